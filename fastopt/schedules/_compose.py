"""Schedules made from others. A part may be any callable step -> rate."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fastopt._checks import COUNT, RATE, boolean, check_fields, increasing, integer, real, tuple_of
from fastopt.schedules._base import Schedule, check_update, schedule_like


def ends_cycle(part: Callable[[int], float], step: int) -> bool:
    """Whether `step` is the last of a cycle of a part, which may be any callable."""
    return isinstance(part, Schedule) and part.ends_cycle(step)


class _Composed(Schedule):
    """A schedule that notes where it is, to know which of its parts is in force when a metric comes without a step."""

    def __call__(self, step: float) -> float:
        rate = super().__call__(step)
        object.__setattr__(self, "_asked", step)
        return rate


@dataclass(frozen=True)
class Scaled(_Composed):
    """A schedule times a factor: ``schedule(step) * factor``.

    Parameters
    ----------
    schedule : callable
        Step -> rate.
    factor : float or callable
        A number of at least 0, or another schedule: ``schedule(step) * factor(step)``.

    Notes
    -----
    With a schedule as factor it is PyTorch's ``ChainedScheduler``. Keras: none.

    Examples
    --------
    >>> from fastopt.schedules import ExponentialDecay, StepDecay
    >>> Scaled(StepDecay(lr=0.1, step_size=30), factor=0.5)(0)
    0.05
    >>> both = Scaled(StepDecay(lr=1.0, step_size=10, gamma=0.5), ExponentialDecay(1.0, gamma=0.9))
    >>> round(both(11), 6) == round(0.5 * 0.9**11, 6)
    True
    """

    schedule: Callable[[int], float]
    factor: float | Callable[[int], float]

    def __post_init__(self) -> None:
        """Check the parts."""
        check_fields(self, schedule=schedule_like, factor=schedule_like if callable(self.factor) else RATE)

    def _at(self, step: float) -> float:
        factor = self.factor(step) if callable(self.factor) else self.factor  # type: ignore[arg-type]
        return self.schedule(step) * factor  # type: ignore[arg-type]

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of a cycle of either factor."""
        step = check_update(step)
        return any(part.ends_cycle(step) for part in self._schedules().values())

    def _parts(self) -> tuple[Callable[[int], float], ...]:
        return (self.schedule, self.factor) if callable(self.factor) else (self.schedule,)


@dataclass(frozen=True)
class PerEpoch(_Composed):
    """A schedule that counts epochs instead of steps: ``schedule(step // steps_per_epoch)``.

    Parameters
    ----------
    schedule : callable
        Epoch -> rate.
    steps_per_epoch : int
        Updates per epoch.
    fractional : bool
        Use ``schedule(step / steps_per_epoch)``: lengths count epochs, and the rate still changes
        with every update.

    Notes
    -----
    PyTorch: call ``scheduler.step()`` once per epoch, or, for the fractional form, as its
    ``CosineAnnealingWarmRestarts`` proposes, ``scheduler.step(epoch + i / steps_per_epoch)`` after
    batch i. Keras: the callback ``LearningRateScheduler``.

    Examples
    --------
    >>> from fastopt.schedules import CosineWarmRestarts, StepDecay
    >>> schedule = PerEpoch(StepDecay(lr=0.1, step_size=1, gamma=0.5), steps_per_epoch=400)
    >>> [schedule(step) for step in (0, 399, 400, 800)]
    [0.1, 0.1, 0.05, 0.025]
    >>> schedule = PerEpoch(CosineWarmRestarts(lr=1.0, T_0=10), steps_per_epoch=4, fractional=True)
    >>> [round(schedule(step), 4) for step in (0, 1, 2, 3, 4, 39, 40)]
    [1.0, 0.9985, 0.9938, 0.9862, 0.9755, 0.0015, 1.0]
    """

    schedule: Callable[[int], float]
    steps_per_epoch: int
    fractional: bool = False

    def __post_init__(self) -> None:
        """Check the parts."""
        check_fields(self, schedule=schedule_like, steps_per_epoch=COUNT, fractional=boolean)

    def _at(self, step: float) -> float:
        return self.schedule(self._epoch(step))  # type: ignore[arg-type]  # whole, unless asked for fractions

    def _epoch(self, step: float) -> float:
        return step / self.steps_per_epoch if self.fractional else step // self.steps_per_epoch

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of the epoch that ends a cycle."""
        epoch, since = divmod(check_update(step), self.steps_per_epoch)
        return since + 1 == self.steps_per_epoch and ends_cycle(self.schedule, epoch)

    def _parts(self) -> tuple[Callable[[int], float], ...]:
        return (self.schedule,)

    def _in_force(self, step: float) -> Iterable[tuple[Any, float]]:
        return [(self.schedule, self._epoch(step))]


@dataclass(frozen=True)
class Warmup(_Composed):
    """A straight line up to the first rate of a schedule, then that schedule from its start.

    ::

        schedule(0) * (start_factor + (1 - start_factor) * step / warmup_steps)    before, and
        schedule(step - warmup_steps)                                 from step warmup_steps on

    Parameters
    ----------
    schedule : callable
        Step -> rate; its step 0 is step number `warmup_steps`.
    warmup_steps : int
        Steps of the rise, at least 0.
    start_factor : float
        The rate at step 0 as a part, from 0 to 1, of ``schedule(0)``. With 0 the first update
        changes nothing.

    Notes
    -----
    PyTorch: ``SequentialLR`` of ``LinearLR(start_factor, total_iters=warmup_steps)`` and the
    schedule, with ``milestones=[warmup_steps]``. Keras: `warmup_target` and `warmup_steps` of
    ``CosineDecay``, where the start is the `initial_learning_rate`. The same numbers. For a rise
    that multiplies the schedule without putting it off, use
    ``Scaled(schedule, Warmup(Constant(1.0), warmup_steps))``. A ``ReduceOnPlateau`` inside hears no
    metric of the rise.

    References
    ----------
    P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017,
    arXiv:1706.02677, section 2.2, gradual warmup.

    Examples
    --------
    >>> from fastopt.schedules import StepDecay
    >>> schedule = Warmup(StepDecay(lr=1.0, step_size=10), warmup_steps=4, start_factor=0.0)
    >>> [schedule(step) for step in (0, 1, 2, 4, 13, 14)]
    [0.0, 0.25, 0.5, 1.0, 1.0, 0.1]
    """

    schedule: Callable[[int], float]
    warmup_steps: int
    start_factor: float = 1 / 3

    def __post_init__(self) -> None:
        """Check the parts."""
        check_fields(
            self,
            schedule=schedule_like,
            warmup_steps=integer(0),
            start_factor=real(at_least=0, at_most=1),
        )

    def _at(self, step: float) -> float:
        if step >= self.warmup_steps:
            return self.schedule(step - self.warmup_steps)  # type: ignore[arg-type]  # a fraction only if it was one
        rise = (1.0 - self.start_factor) * step / self.warmup_steps
        return self.schedule(0) * (self.start_factor + rise)

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of a cycle; the rise belongs to the first."""
        since = check_update(step) - self.warmup_steps
        return since >= 0 and ends_cycle(self.schedule, since)

    def _parts(self) -> tuple[Callable[[int], float], ...]:
        return (self.schedule,)

    def _in_force(self, step: float) -> Iterable[tuple[Any, float]]:
        return [(self.schedule, step - self.warmup_steps)] if step >= self.warmup_steps else []


@dataclass(frozen=True)
class Sequential(_Composed):
    """One schedule after the other, each from its own start.

    ``schedules[i](step - milestones[i - 1])``, where i milestones are at or below the step.

    Parameters
    ----------
    schedules : tuple of callable
        Step -> rate each.
    milestones : tuple of int
        The steps, increasing, at which the next schedule begins: one fewer than `schedules`.

    Notes
    -----
    PyTorch: ``SequentialLR(schedulers, milestones)``, the same numbers. Keras: none. A
    ``ReduceOnPlateau`` among them hears the metrics of its own steps only.

    Examples
    --------
    >>> from fastopt.schedules import Constant, PolynomialDecay
    >>> schedule = Sequential([Constant(0.1), PolynomialDecay(lr=0.1, decay_steps=50)], [100])
    >>> [round(schedule(step), 4) for step in (0, 99, 100, 125, 150)]
    [0.1, 0.1, 0.1, 0.05, 0.0]
    """

    schedules: tuple[Callable[[int], float], ...]
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the parts."""
        check_fields(self, schedules=tuple_of(schedule_like), milestones=increasing)
        if len(self.schedules) != len(self.milestones) + 1:
            raise ValueError(
                f"schedules: expected {len(self.milestones) + 1}, one more than there are "
                f"milestones, got {len(self.schedules)}"
            )

    def _at(self, step: float) -> float:
        [(schedule, since)] = self._in_force(step)
        rate: float = schedule(since)
        return rate

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of a cycle of the schedule in force."""
        [(schedule, since)] = self._in_force(check_update(step))
        return ends_cycle(schedule, int(since))

    def _parts(self) -> tuple[Callable[[int], float], ...]:
        return self.schedules

    def _in_force(self, step: float) -> list[tuple[Any, float]]:
        i = bisect_right(self.milestones, step)
        return [(self.schedules[i], step - self.milestones[i - 1] if i else step)]
