"""Schedules that go up and down: cosine cycles, triangles, one cycle."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from fastopt._checks import COUNT, FACTOR, RATE, SHARE, boolean, check_fields, check_order, choice, optional, real
from fastopt.schedules._base import Schedule, check_step, check_update


def _multiple(name: str, value: Any) -> int | float:
    """Check for a number of at least 1, and return a whole one as an int."""
    multiple = real(at_least=1)(name, value)
    return int(multiple) if multiple.is_integer() else multiple


@dataclass(frozen=True)
class SnapshotCosine(Schedule):
    """Equal cosine cycles down to 0, each ending in a model for a snapshot ensemble.

    ::

        lr / 2 * (1 + cos(pi * (step % C) / C)),   C = ceil(total_steps / cycles)

    Parameters
    ----------
    lr : float
        The rate at the start of each cycle, at least 0.
    total_steps : int
        Updates of the whole training.
    cycles : int
        Number of cycles, at most `total_steps`.

    Notes
    -----
    `ends_cycle` says when to take a snapshot. If `cycles` does not divide `total_steps`, the last
    cycle is cut short, and very short cycles may be fewer than `cycles`. After `total_steps` the
    cycles go on. Neither PyTorch nor Keras has it by this name; the same numbers come from
    ``CosineWarmRestarts(lr, T_0=C)`` and its counterparts.

    References
    ----------
    G. Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", 2017, arXiv:1704.00109,
    equation 2, where the iteration counts from 1.

    Examples
    --------
    >>> schedule = SnapshotCosine(lr=0.1, total_steps=300, cycles=3)
    >>> [round(schedule(step), 4) for step in (0, 50, 99, 100, 150)]
    [0.1, 0.05, 0.0, 0.1, 0.05]
    >>> [step for step in range(300) if schedule.ends_cycle(step)]
    [99, 199, 299]
    """

    lr: float
    total_steps: int
    cycles: int

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, total_steps=COUNT, cycles=COUNT)
        check_order(self, "cycles", "total_steps")

    def _at(self, step: float) -> float:
        length = -(-self.total_steps // self.cycles)
        return self.lr / 2.0 * (1.0 + math.cos(math.pi * (step % length) / length))

    @property
    def cyclic(self) -> bool:
        """True: `ends_cycle` tells the last steps."""
        return True

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of its cycle."""
        done = check_update(step) + 1
        return done % -(-self.total_steps // self.cycles) == 0 or done == self.total_steps


@dataclass(frozen=True)
class CosineWarmRestarts(Schedule):
    """Cosine cycles that may grow longer and lower, with warm restarts (SGDR).

    In cycle i = 0, 1, ..., which is T_i = T_0 * T_mult ** i steps long, T_cur steps after its
    start::

        eta_min + (lr - eta_min) * gamma ** i * (1 + cos(pi * T_cur / T_i)) / 2

    Parameters
    ----------
    lr : float
        The rate at the start of the first cycle, at least 0.
    T_0 : int
        Steps of the first cycle.
    T_mult : float
        How many times longer each cycle is than the one before, at least 1.
    eta_min : float
        The lowest rate, from 0 to `lr`.
    gamma : float
        How much of its height above `eta_min` a peak keeps in the next cycle; above 0, at most 1.

    Notes
    -----
    PyTorch: ``CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)``, which has no `gamma`. Keras:
    ``CosineDecayRestarts(lr, first_decay_steps=T_0, t_mul=T_mult, m_mul=gamma,
    alpha=eta_min / lr)``, where `t_mul` is 2 by default. The same numbers.
    Restarts are found in whole numbers here; Keras rounds a logarithm and may be a step off.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    arXiv:1608.03983, equation 5; lower peaks are proposed there as future work.

    Examples
    --------
    >>> schedule = CosineWarmRestarts(lr=1.0, T_0=10, T_mult=2, gamma=0.5)
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 20, 30)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    >>> [step for step in range(100) if schedule.ends_cycle(step)]
    [9, 29, 69]
    """

    lr: float
    T_0: int
    T_mult: float = 1
    eta_min: float = 0.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(self, lr=RATE, T_0=COUNT, T_mult=_multiple, eta_min=RATE, gamma=FACTOR)
        check_order(self, "eta_min", "lr")

    def _cycle(self, step: float) -> tuple[int, float, float]:
        """Return the number of the cycle, the steps since its start, and its length."""
        T_0, m, whole = self.T_0, self.T_mult, int(step)  # cycles begin at whole steps, unless `m` is a fraction
        if m == 1:
            return whole // T_0, step % T_0, T_0
        if isinstance(m, float):
            i = int(math.log(step * (m - 1) / T_0 + 1) / math.log(m))
            start = T_0 * (m**i - 1) / (m - 1)
            return i, step - start, T_0 * m**i
        # Cycle i starts at T_0 (m^i - 1) / (m - 1), so i is the largest with m^i <= ratio. The
        # logarithm may round across a whole number; whole numbers then decide.
        ratio = whole * (m - 1) // T_0 + 1
        i = int(math.log(ratio) / math.log(m))
        if m**i > ratio:
            i -= 1
        elif m ** (i + 1) <= ratio:
            i += 1
        return i, step - T_0 * (m**i - 1) // (m - 1), T_0 * m**i

    def _at(self, step: float) -> float:
        i, since, length = self._cycle(step)
        height = (self.lr - self.eta_min) * self.gamma**i
        return float(self.eta_min + height * (1.0 + math.cos(math.pi * since / length)) / 2.0)

    @property
    def cyclic(self) -> bool:
        """True: `ends_cycle` tells the last steps."""
        return True

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of its cycle."""
        i, since, length = self._cycle(check_update(step))
        return since + 1 == length if isinstance(length, int) else self._cycle(step + 1)[0] > i


@dataclass(frozen=True)
class Cyclical(Schedule):
    """Up and down in straight lines, again and again; momentum may go the other way (CLR).

    With h rising from 0 to 1 in `step_size_up` steps and falling back to 0 in `step_size_down`::

        base_lr + (max_lr - base_lr) * h * scale

    where scale is 1 for ``"triangular"``, ``0.5 ** cycle`` (cycles counted from 0) for
    ``"triangular2"`` and ``gamma ** step`` for ``"exp_range"``.

    Parameters
    ----------
    base_lr : float
        The rate at the start of each cycle, at least 0.
    max_lr : float
        The rate at the first peak, at least `base_lr`.
    step_size_up : int
        Steps of the rising half.
    step_size_down : int, optional
        Steps of the falling half; None: as many as `step_size_up`.
    mode : {"triangular", "triangular2", "exp_range"}
        How the height of the cycles changes, see above.
    gamma : float
        For ``"exp_range"`` alone; above 0 and at most 1.
    base_momentum, max_momentum : float
        Between these `momentum` cycles, from 0 to 1.

    Notes
    -----
    PyTorch: ``CyclicLR``, with the same parameters and numbers; instead of its `cycle_momentum`
    hand `momentum` to the optimizer. Its `scale_fn` is not offered: write a function. Keras: none.

    References
    ----------
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, arXiv:1506.01186.

    Examples
    --------
    >>> schedule = Cyclical(base_lr=0.0, max_lr=1.0, step_size_up=2, step_size_down=4)
    >>> [schedule(step) for step in range(8)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.5]
    >>> [round(schedule.momentum(step), 3) for step in range(8)]
    [0.9, 0.85, 0.8, 0.825, 0.85, 0.875, 0.9, 0.85]
    """

    base_lr: float
    max_lr: float
    step_size_up: int = 2000
    step_size_down: int | None = None
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: float = 1.0
    base_momentum: float = 0.8
    max_momentum: float = 0.9

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(
            self,
            base_lr=RATE,
            max_lr=RATE,
            step_size_up=COUNT,
            step_size_down=optional(COUNT),
            mode=choice("triangular", "triangular2", "exp_range"),
            gamma=FACTOR,
            base_momentum=SHARE,
            max_momentum=SHARE,
        )
        check_order(self, "base_lr", "max_lr")
        check_order(self, "base_momentum", "max_momentum")

    def _at(self, step: float) -> float:
        return self.base_lr + (self.max_lr - self.base_lr) * self._height(step)

    def momentum(self, step: float) -> float:
        """Return the momentum of update number `step`: high where the rate is low.

        ``max_momentum - (max_momentum - base_momentum) * h * scale``. The method itself is a
        schedule: ``SGD(params, lr=schedule, momentum=schedule.momentum)``, or
        ``Adam(params, lr=schedule, betas=(schedule.momentum, 0.999))``.
        """
        height = self._height(check_step(step))
        return self.max_momentum - (self.max_momentum - self.base_momentum) * height

    def _height(self, step: float) -> float:
        up = self.step_size_up
        down = self.step_size_down or up
        cycle, since = divmod(step, up + down)
        height = since / up if since <= up else (up + down - since) / down
        if self.mode == "triangular2":
            height *= 0.5**cycle
        elif self.mode == "exp_range":
            height *= self.gamma**step
        return height

    @property
    def cyclic(self) -> bool:
        """True: `ends_cycle` tells the last steps."""
        return True

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of its cycle."""
        length = self.step_size_up + (self.step_size_down or self.step_size_up)
        return (check_update(step) + 1) % length == 0


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One rise and one longer, deeper fall over the whole training; momentum goes the other way.

    From ``low = max_lr / div_factor`` to `max_lr` at step ``pct_start * total_steps - 1``, then to
    ``low / final_div_factor`` at step ``total_steps - 1``; with three phases by way of `low` again,
    at step ``2 * pct_start * total_steps - 2``. Between a and b, a fraction p of the way::

        b + (a - b) * (1 + cos(pi * p)) / 2     ("cos")
        a + (b - a) * p                         ("linear")

    Parameters
    ----------
    max_lr : float
        The highest rate, at least 0.
    total_steps : int
        Updates of the whole training. Later steps get the last rate.
    pct_start : float
        The part of the steps, from 0 to 1, in which the rate rises. At most 0.5 in three phases.
    anneal_strategy : {"cos", "linear"}
        The curve of each phase.
    div_factor : float
        ``max_lr / div_factor`` is the first rate; at least 1.
    final_div_factor : float
        The first rate divided by this is the last; above 0, and at least ``1 / div_factor``.
    three_phase : bool
        Fall back to the first rate, as fast as it rose, and only then to the last, as in the paper.
    base_momentum, max_momentum : float
        Between these `momentum` goes, from 0 to 1.

    Notes
    -----
    PyTorch: ``OneCycleLR``, with the same parameters and numbers. It raises an error after the last
    step, where the last rate is kept here, and divides by zero where ``pct_start * total_steps``
    is 1, where the first rate is `max_lr` here. Instead of its `cycle_momentum` hand `momentum` to
    the optimizer; instead of `epochs` and `steps_per_epoch` give their product. Keras: none.

    References
    ----------
    L. N. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2018, arXiv:1708.07120. Two phases and the cosine are fastai's.

    Examples
    --------
    >>> schedule = OneCycle(max_lr=1.0, total_steps=100, pct_start=0.31)
    >>> [round(schedule(step), 4) for step in (0, 15, 30, 99)]
    [0.04, 0.52, 1.0, 0.0]
    >>> [round(schedule.momentum(step), 4) for step in (0, 15, 30, 99)]
    [0.95, 0.9, 0.85, 0.95]
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
    base_momentum: float = 0.85
    max_momentum: float = 0.95

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(
            self,
            max_lr=RATE,
            total_steps=COUNT,
            three_phase=boolean,
            anneal_strategy=choice("cos", "linear"),
            div_factor=real(at_least=1),
            base_momentum=SHARE,
            max_momentum=SHARE,
        )
        check_fields(
            self,
            pct_start=real(at_least=0, at_most=0.5 if self.three_phase else 1),
            final_div_factor=real(at_least=1 / self.div_factor),
        )
        check_order(self, "base_momentum", "max_momentum")

    def _at(self, step: float) -> float:
        low = self.max_lr / self.div_factor
        return self._anneal(step, low, self.max_lr, low / self.final_div_factor)

    def momentum(self, step: float) -> float:
        """Return the momentum of update number `step`: high where the rate is low.

        From `max_momentum` to `base_momentum` and back, in the same phases as the rate; constant in
        a third phase. The method itself is a schedule:
        ``SGD(params, lr=schedule, momentum=schedule.momentum)``, or
        ``Adam(params, lr=schedule, betas=(schedule.momentum, 0.999))``.
        """
        step = check_step(step)
        return self._anneal(step, self.max_momentum, self.base_momentum, self.max_momentum)

    def _anneal(self, step: float, start: float, peak: float, end: float) -> float:
        """Go from `start` to `peak` to `end`, or to `peak`, `start`, and `end` in three phases."""
        last = self.total_steps - 1
        up = self.pct_start * self.total_steps - 1.0
        down = 2.0 * self.pct_start * self.total_steps - 2.0
        step = min(step, last)
        if step <= up:
            a, b, begin, finish = start, peak, 0.0, up
        elif not self.three_phase:
            a, b, begin, finish = peak, end, up, float(last)
        elif step <= down:
            a, b, begin, finish = peak, start, up, down
        else:
            a, b, begin, finish = start, end, down, float(last)
        p = (step - begin) / (finish - begin) if finish > begin else 1.0
        if self.anneal_strategy == "cos":
            return b + (a - b) * (1.0 + math.cos(math.pi * p)) / 2.0
        return a + (b - a) * p
