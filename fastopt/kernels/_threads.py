"""One pool of threads for all backends, and the size from which a sweep is worth sharing out."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from fastopt.kernels._sweep import Sweep

T = TypeVar("T")

# Below this many elements handing a range to another thread costs more than it saves.
MIN_SIZE = 500_000

# Ranges start on a multiple of this many elements: two threads never write to one cache line.
_LINE = 64


def _available_cpus() -> int:
    """CPUs that this process may use: its affinity mask, and the quota of its control group."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cpus = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            cpus = min(cpus, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return cpus


def _requested() -> int:
    text = os.environ.get("FASTOPT_NUM_THREADS", "")
    if not text:
        return _available_cpus()
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"FASTOPT_NUM_THREADS: expected an integer >= 1, got {text!r}")
    return int(text)


_num_threads = _requested()
_pool: ThreadPoolExecutor | None = None


def get_num_threads() -> int:
    """Return how many threads a large step may use.

    Returns
    -------
    int
        The value of `set_num_threads`, else of the environment variable ``FASTOPT_NUM_THREADS``, else the number of
        CPUs that the process may use (affinity and control-group quota considered).
    """
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set how many threads a large step may use; the result of a step does not depend on it.

    Parameters
    ----------
    n : int
        At least 1. With 1, every step runs in the thread that calls it.

    Raises
    ------
    TypeError, ValueError
        `n` is not an integer, or below 1.

    Examples
    --------
    >>> import fastopt
    >>> fastopt.set_num_threads(2)
    >>> fastopt.get_num_threads()
    2
    """
    global _num_threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n: expected an integer >= 1, got {n!r}")
    if n < 1:
        raise ValueError(f"n: expected an integer >= 1, got {n!r}")
    _num_threads = int(n)
    _forget_pool()


def _forget_pool() -> None:
    """Let the next step start a pool of its own; a pool that still works finishes by itself."""
    global _pool
    _pool = None


# A child process has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _submit(work: Callable[[int, int], T], start: int, stop: int) -> Future[T] | None:
    """Hand a range to the pool, or return None where there is none to be had, as at interpreter exit."""
    global _pool
    try:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, _num_threads - 1), thread_name_prefix="fastopt")
        return _pool.submit(work, start, stop)
    except RuntimeError:
        return None


def share_out(work: Callable[[int, int], T], size: int, line: int = _LINE) -> list[T]:
    """Return the results of ``work(start, stop)`` over adjoining ranges, one a thread, that cover `size` in order."""
    share = -(-size // (_num_threads * line)) * line
    ranges = [(start, min(start + share, size)) for start in range(0, size, share)]
    futures = [_submit(work, *bounds) for bounds in ranges[1:]]
    try:
        results = [work(*ranges[0])]
        for future, bounds in zip(futures, ranges[1:], strict=True):
            results.append(work(*bounds) if future is None else future.result())
        return results
    finally:  # an error must not leave another thread at work on arrays that the caller thinks are its own again
        wait([future for future in futures if future is not None])


def run(sweep: Sweep, rule: str, scalars: Sequence[float]) -> None:
    """Run `rule` over the whole sweep, shared out over the pool where that pays."""
    size = sweep.size
    if size < MIN_SIZE or _num_threads == 1:
        sweep.run(rule, scalars, 0, size)
    else:
        share_out(lambda start, stop: sweep.run(rule, scalars, start, stop), size)
