"""One pass of an update rule over all arrays of a model: bind the arrays, then run the rule over ranges of elements."""

import weakref
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from fastopt.kernels import _backend
from fastopt.kernels._checks import GRAD, Array, as_streams, check_streams

# Elements of a chunk: few enough that the buffers of five streams stay in the cache.
CHUNK = 8192


class Shared(Protocol):
    """A sweep that several threads do together, range by range."""

    def take(self) -> None:
        """Do ranges until none is left."""
        ...

    def finish(self) -> None:
        """Do ranges until none is left, and wait for those of other threads; to be called once."""
        ...


class Sweep(Protocol):
    """Checked arrays, ready for a rule: the compiled backend has its own, `ChunkedSweep` serves the rest."""

    size: int

    def rebind(self, grads: Sequence[Any]) -> bool:
        """Take `grads` in place of the last gradients, or return False where they need a closer look."""
        ...

    def release(self) -> None:
        """Let go of the gradients."""

    def run(self, rule: str, scalars: tuple[float, ...], start: int, stop: int) -> None:
        """Apply `rule` to the elements from `start` up to `stop` of all tensors laid end to end."""

    def share(self, rule: str, scalars: tuple[float, ...], length: int) -> Shared | None:
        """Return `rule` over all elements as work for several threads, or None where Python has to share it out."""
        ...


class ChunkedSweep:
    """A sweep over arrays of any layout, chunk by chunk of NumPy's iterator, which copies only what is not contiguous.

    A strided array is thus updated in place through buffers of fixed size.
    """

    def __init__(self, streams: Sequence[Sequence[Array]]) -> None:
        self._streams: list[Sequence[Array]] = list(streams)
        self._known = [weakref.ref(grad) for grad in streams[GRAD]]
        self._forms = [_form(array) for stream in streams for array in stream]
        self._bounds = list(accumulate((param.size for param in streams[0]), initial=0))
        self.size = self._bounds[-1]

    def rebind(self, grads: Sequence[Any]) -> bool:
        """Take `grads` if they are the very arrays that were bound before, and all are in the form they had then."""
        grads = tuple(grads)
        if len(grads) != len(self._known):
            return False
        if any(grad is None or known() is not grad for known, grad in zip(self._known, grads, strict=True)):
            return False
        self._streams[GRAD] = grads
        return [_form(array) for stream in self._streams for array in stream] == self._forms

    def release(self) -> None:
        """Let go of the gradients, which the caller may not want to keep."""
        self._streams[GRAD] = ()

    def share(self, rule: str, scalars: tuple[float, ...], length: int) -> None:
        """Leave it to Python to share the work out."""

    def run(self, rule: str, scalars: tuple[float, ...], start: int, stop: int) -> None:
        """Apply `rule` to the elements from `start` up to `stop` of all tensors laid end to end."""
        backend = _backend.active
        # Buffers that were filled before the range is set would be written back, over what other threads did since.
        flags: Any = ["external_loop", "buffered", "delay_bufalloc", "ranged"]
        if backend.TAKES_ANY_LENGTH:
            flags.append("growinner")
        for tensor, (begin, end) in zip(zip(*self._streams, strict=True), pairwise(self._bounds), strict=True):
            first, last = max(start, begin), min(stop, end)
            if first >= last:
                continue
            access: Any = [["readonly" if i == GRAD else "readwrite", "contig", "aligned"] for i in range(len(tensor))]
            with np.nditer(tensor, flags, access, buffersize=CHUNK) as chunks:
                chunks.iterrange = (first - begin, last - begin)  # type: ignore[misc]
                for chunk in chunks:
                    backend.update(rule, chunk, scalars)


def _form(array: Array) -> tuple[Any, ...]:
    """Return what may be changed of an array in place and a sweep relies on."""
    return array.dtype, array.shape, array.strides, array.flags.writeable


def prepare(
    names: Sequence[str],
    values: Sequence[object],
    suffixes: Sequence[str] | None = None,
    others: Mapping[str, Array] = MappingProxyType({}),
) -> Sweep:
    """Check every array and return a sweep over them, or raise before anything is written.

    `others`, by their labels, are arrays that are written at the same step.
    """
    streams, numbered = as_streams(names, values)
    check_streams(names, streams, suffixes or numbered, others)
    return _backend.active.bind(tuple(streams), tuple(others.values())) or ChunkedSweep(streams)
