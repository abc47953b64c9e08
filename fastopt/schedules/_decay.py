"""Schedules that go down once, from the plainest on."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from fastopt._checks import (
    COUNT,
    FACTOR,
    RATE,
    boolean,
    check_fields,
    check_order,
    choice,
    increasing,
    integer,
    real,
    tuple_of,
)
from fastopt.schedules._base import Schedule


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step: ``lr``.

    Parameters
    ----------
    lr : float
        The rate, at least 0.

    Notes
    -----
    A float does the same for an optimizer; this is for building other schedules. PyTorch's
    ``ConstantLR`` is something else, ``PiecewiseConstant([total_iters], [factor * lr, lr])``.

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_fields(self, lr=RATE)

    def _at(self, step: float) -> float:
        return self.lr


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """The 1/t decay: ``lr / (1 + decay * step / decay_steps)``.

    Parameters
    ----------
    lr : float
        The rate at step 0, at least 0.
    decay : float
        At least 0; the rate is halved when ``step / decay_steps = 1 / decay``.
    decay_steps : int
        Steps that count as one.
    staircase : bool
        Use ``step // decay_steps``, so that the rate stays the same for `decay_steps` steps.

    Notes
    -----
    Keras: ``InverseTimeDecay(lr, decay_steps, decay_rate=decay, staircase)``, the same numbers.
    "Neural Networks from Scratch" and Keras before 2.11 have it as `decay`, without `decay_steps`,
    inside the optimizers; PyTorch has it only in ``torch.optim.Adagrad``, as `lr_decay`.

    References
    ----------
    H. Robbins, S. Monro, "A Stochastic Approximation Method", 1951: any rate that falls like 1/t.
    H. Kinsley, D. Kukieła, "Neural Networks from Scratch in Python", 2020, chapter 10.

    Examples
    --------
    >>> schedule = InverseTimeDecay(lr=1.0, decay=0.1)
    >>> [round(schedule(step), 4) for step in (0, 1, 10, 20)]
    [1.0, 0.9091, 0.5, 0.3333]
    """

    lr: float
    decay: float
    decay_steps: int = 1
    staircase: bool = False

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, decay=real(at_least=0), decay_steps=COUNT, staircase=boolean)

    def _at(self, step: float) -> float:
        t = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.lr / (1.0 + self.decay * t)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """Multiply by the same factor again and again: ``lr * gamma ** (step / decay_steps)``.

    Parameters
    ----------
    lr : float
        The rate at step 0, at least 0.
    gamma : float
        The factor of `decay_steps` steps, above 0 and at most 1.
    decay_steps : int
        Steps that `gamma` stands for.
    staircase : bool
        Use ``step // decay_steps``: then it is `StepDecay`.

    Notes
    -----
    PyTorch: ``ExponentialLR(gamma)``, with ``decay_steps=1``. Keras:
    ``ExponentialDecay(lr, decay_steps, decay_rate=gamma, staircase)``. The same numbers; both also
    take factors above 1.

    Examples
    --------
    >>> schedule = ExponentialDecay(lr=1.0, gamma=0.5, decay_steps=10)
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 20)]
    [1.0, 0.7071, 0.5, 0.25]
    """

    lr: float
    gamma: float
    decay_steps: int = 1
    staircase: bool = False

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, gamma=FACTOR, decay_steps=COUNT, staircase=boolean)

    def _at(self, step: float) -> float:
        t = step // self.decay_steps if self.staircase else step / self.decay_steps
        return float(self.lr * self.gamma**t)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Drop by a factor every so many steps: ``lr * gamma ** (step // step_size)``.

    Parameters
    ----------
    lr : float
        The rate of the first `step_size` steps, at least 0.
    step_size : int
        Steps from drop to drop. Step number `step_size` is the first with the lower rate.
    gamma : float
        The factor of each drop, above 0 and at most 1.

    Notes
    -----
    PyTorch: ``StepLR(step_size, gamma)``, the same numbers. Keras:
    ``ExponentialDecay(lr, decay_steps=step_size, decay_rate=gamma, staircase=True)``.

    Examples
    --------
    >>> schedule = StepDecay(lr=1.0, step_size=30, gamma=0.5)
    >>> [schedule(step) for step in (0, 29, 30, 60)]
    [1.0, 1.0, 0.5, 0.25]
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, step_size=COUNT, gamma=FACTOR)

    def _at(self, step: float) -> float:
        return float(self.lr * self.gamma ** (step // self.step_size))


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """A plan made by hand: ``values[i]``, where `i` boundaries are at or below the step.

    Parameters
    ----------
    boundaries : tuple of int
        The steps, increasing, at which the next value begins.
    values : tuple of float
        The rates, each at least 0, one more than there are boundaries.

    Notes
    -----
    PyTorch: ``MultiStepLR(milestones=boundaries, gamma)``, where each value is `gamma` times the
    one before. Keras: ``PiecewiseConstantDecay(boundaries, values)`` keeps the old value *at* the
    boundary; for the same numbers add 1 to each boundary here. At a negative step, which Keras
    gives the first value, this one raises ValueError like all schedules here.

    Examples
    --------
    >>> schedule = PiecewiseConstant(boundaries=(100, 150), values=(0.1, 0.02, 0.001))
    >>> [schedule(step) for step in (0, 99, 100, 150)]
    [0.1, 0.1, 0.02, 0.001]
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, boundaries=increasing, values=tuple_of(RATE))
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values: expected {len(self.boundaries) + 1}, one more than there are boundaries, "
                f"got {len(self.values)}"
            )

    def _at(self, step: float) -> float:
        return self.values[bisect_right(self.boundaries, step)]


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """From one rate to another along a polynomial, a straight line by default.

    ::

        end_lr + (lr - end_lr) * (1 - t / T) ** power,   t = min(step, T),   T = decay_steps

    Parameters
    ----------
    lr : float
        The rate at step 0, at least 0.
    decay_steps : int
        The step at which `end_lr` is reached.
    end_lr : float
        The rate from there on, at least 0.
    power : float
        Above 0: 1 for a line, 2 to fall early, 0.5 to fall late.
    cycle : bool
        After `decay_steps`, instead of staying at `end_lr`, let T be the next multiple of
        `decay_steps`: ``decay_steps * ceil(step / decay_steps)``.

    Notes
    -----
    PyTorch: ``PolynomialLR(total_iters=decay_steps, power)``, where `end_lr` is always 0, and
    ``LinearLR(start_factor, end_factor, total_iters)``, a line from ``start_factor * lr`` to
    ``end_factor * lr``. Keras: ``PolynomialDecay(lr, decay_steps, end_lr, power, cycle)``, where
    `end_lr` is 0.0001 by default. The same numbers.

    References
    ----------
    L.-C. Chen et al., "DeepLab", 2016, arXiv:1606.00915: the "poly" policy, power 0.9.

    Examples
    --------
    >>> schedule = PolynomialDecay(lr=1.0, decay_steps=100, power=2.0)
    >>> [schedule(step) for step in (0, 50, 100, 200)]
    [1.0, 0.25, 0.0, 0.0]
    """

    lr: float
    decay_steps: int
    end_lr: float = 0.0
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, decay_steps=COUNT, end_lr=RATE, power=real(above=0), cycle=boolean)

    def _at(self, step: float) -> float:
        total: float = self.decay_steps
        if step > total:
            if not self.cycle:
                return self.end_lr
            total *= -(-step // total)
        return float(self.end_lr + (self.lr - self.end_lr) * (1.0 - step / total) ** self.power)


@dataclass(frozen=True)
class CosineAnnealing(Schedule):
    """Half a cosine from `lr` down to `eta_min`.

    ::

        eta_min + (lr - eta_min) * (1 + cos(pi * step / T_max)) / 2

    Parameters
    ----------
    lr : float
        The rate at step 0, at least 0.
    T_max : int
        The step at which `eta_min` is reached.
    eta_min : float
        The lowest rate, from 0 to `lr`.
    cycle : bool
        After `T_max` go on along the cosine, up to `lr` at ``2 * T_max`` and down again, as PyTorch
        does. False: stay at `eta_min`, as Keras does.

    Notes
    -----
    PyTorch: ``CosineAnnealingLR(T_max, eta_min)``. Keras, with ``cycle=False``:
    ``CosineDecay(lr, decay_steps=T_max, alpha=eta_min / lr)``; its `warmup_target` and
    `warmup_steps` are ``Warmup`` here. The same numbers.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    arXiv:1608.03983, equation 5, without restarts.

    Examples
    --------
    >>> schedule = CosineAnnealing(lr=1.0, T_max=100)
    >>> [round(schedule(step), 4) for step in (0, 25, 50, 100, 150)]
    [1.0, 0.8536, 0.5, 0.0, 0.5]
    """

    lr: float
    T_max: int
    eta_min: float = 0.0
    cycle: bool = True

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, T_max=COUNT, eta_min=RATE, cycle=boolean)
        check_order(self, "eta_min", "lr")

    def _at(self, step: float) -> float:
        if step > self.T_max:
            if not self.cycle:
                return self.eta_min
            step %= 2 * self.T_max
        fraction = (1.0 + math.cos(math.pi * step / self.T_max)) / 2.0
        return self.eta_min + (self.lr - self.eta_min) * fraction


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """A straight line up, then down as the inverse square root of the step: the schedule of the Transformer.

    ::

        lr * step / warmup_steps            before step warmup_steps, and
        lr * sqrt(warmup_steps / step)      from there on

    Parameters
    ----------
    lr : float
        The highest rate, at least 0, at step number `warmup_steps`.
    warmup_steps : int
        Steps of the rise.

    Notes
    -----
    Noam's schedule, ``d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)``, has the highest rate
    ``(d_model * warmup_steps) ** -0.5``. transformers calls it ``get_inverse_sqrt_schedule``. PyTorch, Keras: none.

    References
    ----------
    A. Vaswani et al., "Attention Is All You Need", 2017, equation 3.

    Examples
    --------
    >>> schedule = InverseSqrt(lr=1.0, warmup_steps=100)
    >>> [round(schedule(step), 4) for step in (0, 50, 100, 400)]
    [0.0, 0.5, 1.0, 0.5]
    """

    lr: float
    warmup_steps: int

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, warmup_steps=COUNT)

    def _at(self, step: float) -> float:
        if step < self.warmup_steps:
            return self.lr * step / self.warmup_steps
        return self.lr * math.sqrt(self.warmup_steps / step)


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """Up in a straight line, then constant, then down (WSD): training may go on from before the fall.

    ::

        lr * step / warmup_steps                    in the first steps
        lr                                          in stable_steps more
        end_lr + (lr - end_lr) * tail(t)            in decay_steps more, where t goes from 0 to 1
        end_lr                                      from there on

    Parameters
    ----------
    lr : float
        The highest rate, at least 0.
    warmup_steps, stable_steps : int
        Steps of the rise, and of the constant rate, at least 0.
    decay_steps : int
        Steps of the fall.
    end_lr : float
        The rate after it, from 0 to `lr`.
    tail : {"linear", "cosine", "1-sqrt"}
        How it falls: ``1 - t``, ``(1 + cos(pi * t)) / 2`` or ``1 - sqrt(t)``, which fell lowest in the comparisons of
        Hägele et al.

    Notes
    -----
    transformers calls it ``get_wsd_schedule``. PyTorch, Keras: none.

    References
    ----------
    S. Hu et al., "MiniCPM", 2024, arXiv:2404.06395, section 4. A. Hägele et al., "Scaling Laws and Compute-Optimal
    Training Beyond Fixed Training Durations", 2024, arXiv:2405.18392, section 3.

    Examples
    --------
    >>> schedule = WarmupStableDecay(lr=1.0, warmup_steps=10, stable_steps=80, decay_steps=100, tail="1-sqrt")
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 89, 90, 115, 190, 500)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    lr: float
    warmup_steps: int
    stable_steps: int
    decay_steps: int
    end_lr: float = 0.0
    tail: Literal["linear", "cosine", "1-sqrt"] = "linear"

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(
            self,
            lr=RATE,
            warmup_steps=integer(0),
            stable_steps=integer(0),
            decay_steps=COUNT,
            end_lr=RATE,
            tail=choice("linear", "cosine", "1-sqrt"),
        )
        check_order(self, "end_lr", "lr")

    def _at(self, step: float) -> float:
        if step < self.warmup_steps:
            return self.lr * step / self.warmup_steps
        t = min(max(0.0, (step - self.warmup_steps - self.stable_steps) / self.decay_steps), 1.0)
        if self.tail == "linear":
            height = 1.0 - t
        elif self.tail == "cosine":
            height = (1.0 + math.cos(math.pi * t)) / 2.0
        else:
            height = 1.0 - math.sqrt(t)
        return self.end_lr + (self.lr - self.end_lr) * height
