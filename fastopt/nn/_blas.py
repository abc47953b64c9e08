"""BLAS with as many threads as a training can use.

The workers of a BLAS spin between products. Where other processes want the cores too, a product of microseconds then
waits for a worker that is not running, often for the whole of a time slice.
"""

import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from fastopt.nn.layers import Layer

__all__ = ["held_to", "useful_threads"]

# Multiply-adds of the largest product for each thread of BLAS (measured: training steps, float32, two cores. Alone two
# threads gain 1.0 to 1.17 times up to products of 3 million, 1.5 times at 13 and 1.7 at 51 million. On a busy machine
# they take 4 to 30 times as long as one thread).
WORK = 4_000_000


def useful_threads(layers: Iterable[Layer], batch: int) -> int:
    """Return how many threads of BLAS the largest product of a training step on `batch` rows can use."""
    largest = max(math.prod(shape) for layer in layers for shape in layer.parameter_shapes().values())
    return max(1, batch * largest // WORK)


@cache
def _libraries() -> list[Any]:
    """Return the controllers of the BLAS that is loaded; without threadpoolctl there are none."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    # Looking for them takes milliseconds, and the one that NumPy was built with is loaded from the start.
    found = ThreadpoolController().lib_controllers
    return [library for library in found if library.user_api == "blas" and library.get_num_threads() is not None]


# The number of threads belongs to the process. So trainings at the same time share the least limit of all, and the last
# that ends puts back what the first found.
_lock = threading.Lock()
_limits: dict[object, int] = {}
_found: list[tuple[Any, int]] = []


@contextmanager
def held_to(threads: int) -> Iterator[None]:
    """Hold BLAS to a number of threads, in the whole process, if it uses more."""
    limit = object()
    try:
        with _lock:
            if not _limits:
                _found[:] = [(library, library.get_num_threads()) for library in _libraries()]
            _limits[limit] = threads
            _apply()
        yield
    finally:
        with _lock:
            _limits.pop(limit, None)
            _apply()


def _apply() -> None:
    for library, found in _found:
        threads = min((found, *_limits.values()))
        if library.get_num_threads() != threads:
            library.set_num_threads(threads)
