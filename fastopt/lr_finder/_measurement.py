"""The common part of range tests of networks and of other training loops: rates, losses, the end, and Ctrl-C."""

import math
import signal
import threading
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from fastopt._checks import choice, integer, real
from fastopt.lr_finder._result import Mode, RangeTest
from fastopt.nn.training import Optimizer

Progress = Callable[[int, int], object]


class Measurement:
    """The rates of a range test under way, and the losses so far.

    Attributes
    ----------
    diverged : bool
        Whether the losses end the test.
    """

    def __init__(
        self,
        lr_min: float,
        lr_max: float,
        steps: int,
        mode: Mode,
        early_stop_threshold: float | None,
        progress: Progress | None,
    ) -> None:
        low, high = real(above=0)("lr_min", lr_min), real(above=0)("lr_max", lr_max)
        if low >= high:
            raise ValueError(f"lr_min: expected less than lr_max = {lr_max!r}, got {lr_min!r}")
        choice("exponential", "linear")("mode", mode)
        self.mode: Mode = mode
        space = np.geomspace if mode == "exponential" else np.linspace
        self.lrs: list[float] = space(low, high, integer(2)("steps", steps)).tolist()
        self.threshold = early_stop_threshold
        if early_stop_threshold is not None:
            self.threshold = real(above=1)("early_stop_threshold", early_stop_threshold)
        check_progress(progress)
        self.progress = progress
        self.losses: list[float] = []
        self.diverged = False
        self._lowest = math.inf

    @property
    def lr(self) -> float:
        """The rate of the next step."""
        return self.lrs[len(self.losses)]

    @property
    def over(self) -> bool:
        """Whether no step follows."""
        return self.diverged or len(self.losses) == len(self.lrs)

    def add(self, loss: float) -> None:
        """Take the loss of a step."""
        self.losses.append(loss)
        level = median(self.losses[-5:])
        self._lowest = min(self._lowest, level)
        self.diverged = not math.isfinite(loss) or (
            self.threshold is not None
            and level > self.losses[0]
            and level > self._lowest + (self.threshold - 1) * abs(self._lowest)
        )

    def tell(self) -> None:
        """Tell how many steps are done."""
        if self.progress is not None:
            self.progress(len(self.losses), len(self.lrs))

    def result(self) -> RangeTest:
        """Return the result of the test."""
        if not math.isfinite(self.losses[0]):
            raise initial_loss_error(self.losses[0])
        done = self.lrs[: len(self.losses)]
        return RangeTest(self.mode, len(self.lrs), self.diverged, tuple(done), tuple(self.losses))


def initial_loss_error(loss: float) -> FloatingPointError:
    """Return the error for a loss that is infinite or NaN at once."""
    return FloatingPointError(f"the loss is {loss} before any update: check that data and weights are finite")


def check_progress(progress: Any) -> None:
    """Refuse what cannot be called."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: expected a function, got {progress!r}")


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no optimizer of fastopt."""
    if not (hasattr(optimizer, "groups") and hasattr(optimizer, "load_state_dict")):
        raise TypeError(
            f"optimizer: expected one of fastopt, got {optimizer!r}; "
            "for others there is lr_find_step with set_lr, save and restore"
        )


def save_optimizer(optimizer: Optimizer) -> tuple[list[Any], dict[str, Any]]:
    """Return copies of the state of an optimizer, and its rates and schedules."""
    return [group.lr for group in optimizer.groups], optimizer.state_dict()


def restore_optimizer(optimizer: Optimizer, saved: tuple[list[Any], dict[str, Any]]) -> None:
    """Put back what `save_optimizer` returned."""
    # The rates come first: the state of a schedule is loaded into the schedule.
    for group, lr in zip(optimizer.groups, saved[0], strict=True):
        group.lr = lr
    optimizer.load_state_dict(saved[1])


class Interrupts:
    """Hold back Ctrl-C: a step cut in the middle may still have threads that write.

    It is raised when the block is left. A second one breaks a step that hangs, and only a step:
    what follows it, putting everything back, is never cut.
    """

    def __enter__(self) -> "Interrupts":
        self.pending = self._breakable = False
        self._handles = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._handles:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, signum: int, frame: object) -> None:
        if self.pending and self._breakable:
            self._breakable = False
            raise KeyboardInterrupt
        self.pending = True

    def during(self, step: Callable[[], Any]) -> Any:
        self._breakable = True
        try:
            return step()
        finally:
            self._breakable = False

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.pending and kind is None:
            raise KeyboardInterrupt
