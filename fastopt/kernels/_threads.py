"""One pool of threads for all backends, and the size from which a step is worth sharing out."""

import os
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

from fastopt._checks import integer
from fastopt._typing import Array
from fastopt.kernels._backend import Bound

T = TypeVar("T")

# Below this many elements waking another thread, a tenth of a millisecond where a BLAS has just worked, costs more than
# it saves (measured: Adam, float32). Alone, with the threads awake, it pays from half a million on.
MIN_SIZE = 2_000_000

# Ranges are multiples of this many elements: long enough for the cost of taking one, and whole cache lines.
_GRAIN = 16384

# Ranges for each thread: enough that one that is held up leaves the rest to the others, and few enough that handing
# them out is not felt (measured between training steps, where BLAS workers spin: 2 to 6 are alike, 16 cost 2 %).
_RANGES = 4


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


class _Pool:
    """Threads that take work from a queue, and end with the pool.

    An interrupt (Ctrl-C) amid the Python code of `concurrent.futures` or `threading` leaves a lock of theirs taken, and
    the next step or the end of the process hangs. So what a step calls here is a single call of C.
    """

    def __init__(self, threads: int) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._started = 0
        for _ in range(threads):
            self._started += 1
            start_new_thread(_serve, (self._queue,))

    def submit(self, work: Callable[[], object]) -> None:
        """Have a thread call `work`, which must not raise, some time or never."""
        self._queue.put(work)

    def __del__(self) -> None:
        for _ in range(self._started):
            self._queue.put(None)


def _serve(queue: SimpleQueue[Callable[[], object] | None]) -> None:
    while (work := queue.get()) is not None:
        work()
        del work  # it holds arrays


_num_threads = _requested()
_pool: _Pool | None = None


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
    _num_threads = integer(1)("n", n)
    _forget_pool()


def _forget_pool() -> None:
    """Let the next step start a pool of its own; a pool that still works finishes by itself."""
    global _pool
    _pool = None


# A child process has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _submit(work: Callable[[], object]) -> None:
    """Hand `work` to the pool, unless there is none to be had, as at interpreter exit."""
    global _pool
    pool = _pool  # which another thread may forget in the meantime
    if pool is None:
        try:
            pool = _pool = _Pool(max(1, _num_threads - 1))
        except RuntimeError:
            return
    pool.submit(work)


def _length(size: int, grain: int) -> int:
    """Return the length of the ranges that `size` is cut into."""
    return -(-size // (_RANGES * _num_threads * grain)) * grain


def share_out(work: Callable[[int, int], T], size: int, grain: int = _GRAIN) -> list[T]:
    """Return the results, in any order, of ``work(start, stop)`` over ranges that cover `size`.

    The calling thread and those of the pool take one range after the other. So a pool thread that gets no processor,
    because a BLAS worker spins on it, costs no more than the range that it is at, and none that it has not begun.
    """
    length = _length(size, grain)
    pending = deque(range(0, size, length))
    results: list[T] = []
    errors: list[BaseException] = []

    def take_ranges() -> None:
        while True:
            try:
                start = pending.popleft()
            except IndexError:
                return
            results.append(work(start, min(start + length, size)))

    def help_out(busy: Lock) -> None:
        with busy:
            try:
                take_ranges()
            except BaseException as error:
                errors.append(error)

    helpers = [Lock() for _ in range(min(_num_threads, len(pending)) - 1)]

    def finish() -> None:
        try:
            pending.clear()
            for busy in helpers:
                with busy:
                    pass
        except BaseException:  # an interrupt, which is raised when all is done
            finish()
            raise

    try:
        for busy in helpers:
            _submit(partial(help_out, busy))
        take_ranges()
    finally:  # an error must not leave another thread at work on arrays that the caller thinks are its own again
        finish()
    if errors:
        raise errors[0]
    return results


def run(bound: Bound, counter: Array | None = None) -> None:
    """Update bound arrays, shared out over the pool where that pays; see `Bound.run`."""
    size = bound.size
    if size < MIN_SIZE or _num_threads == 1:
        bound.run(counter)
        return
    shared = bound.share(_length(size, _GRAIN), counter)
    if shared is None:
        if counter is not None:
            counter[0] += 1
        share_out(bound.run_range, size)
        return
    try:
        for _ in range(_num_threads - 1):
            _submit(shared.take)
    finally:  # an interrupt must not leave a step half done
        shared.finish()
