"""Ctrl-C between two batches instead of anywhere."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["deferred"]


@contextmanager
def deferred(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call a function at the first Ctrl-C, and let the second raise `KeyboardInterrupt`.

    Signals reach the main thread alone, and a handler of the caller's own is left in place.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def handle(signum: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
