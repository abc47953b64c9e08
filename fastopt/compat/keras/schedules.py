"""Keras 3's learning-rate schedules: fastopt's, with the arguments, the defaults and the values of Keras.

Each is a callable of the number of steps done, counted from 0 as in Keras. They are computed in float64, where Keras
rounds to its ``floatx``. A `name` is taken and kept, and changes nothing.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import Any

from fastopt import schedules
from fastopt._checks import FACTOR, RATE, SHARE, boolean, check_fields, check_order, integer, real, tuple_of
from fastopt.schedules._base import Schedule

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
]


def _steps(at_least: int = 1) -> Callable[[str, Any], int]:
    """Return a check for a number of steps, which in Keras may be a float, if it is whole."""
    check = integer(at_least)
    return lambda name, value: check(name, int(value) if isinstance(value, float) and value.is_integer() else value)


class _Keras(Schedule):
    """A schedule of fastopt behind the arguments of Keras."""

    def __post_init__(self) -> None:
        """Check the arguments, and make the schedule."""
        object.__setattr__(self, "_same", self._make())

    @abstractmethod
    def _make(self) -> Schedule:
        """Return the schedule of fastopt."""

    def _at(self, step: float) -> float:
        rate: float = self._same(step)  # type: ignore[attr-defined]
        return rate

    def _parts(self) -> tuple[Schedule, ...]:
        return (self._same,)  # type: ignore[attr-defined]

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of a cycle."""
        ends: bool = self._same.ends_cycle(step)  # type: ignore[attr-defined]
        return ends


@dataclass(frozen=True)
class ExponentialDecay(_Keras):
    """The same factor again and again: ``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        The rate at step 0, at least 0.
    decay_steps : int
        Steps that `decay_rate` stands for.
    decay_rate : float
        The factor of `decay_steps` steps, above 0 and at most 1.
    staircase : bool
        Use ``step // decay_steps``.
    name : str
        Changes nothing.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.schedules.ExponentialDecay``.

    Examples
    --------
    >>> from fastopt.compat.keras.schedules import ExponentialDecay
    >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False
    name: str = "ExponentialDecay"

    def _make(self) -> Schedule:
        check_fields(self, initial_learning_rate=RATE, decay_steps=_steps(), decay_rate=FACTOR, staircase=boolean)
        return schedules.ExponentialDecay(self.initial_learning_rate, self.decay_rate, self.decay_steps, self.staircase)


@dataclass(frozen=True)
class PiecewiseConstantDecay(_Keras):
    """``values[i]``, where `i` boundaries are below the step: the old value holds at the boundary itself.

    Parameters
    ----------
    boundaries : sequence of float
        Steps, at least 0, increasing.
    values : sequence of float
        The rates, each at least 0, one more than there are boundaries.
    name : str
        Changes nothing.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.schedules.PiecewiseConstantDecay``.

    Examples
    --------
    >>> from fastopt.compat.keras.schedules import PiecewiseConstantDecay
    >>> rate = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> [rate(step) for step in (99, 100, 101, 201)]
    [0.1, 0.1, 0.01, 0.001]
    """

    boundaries: tuple[float, ...]
    values: tuple[float, ...]
    name: str = "PiecewiseConstant"

    def _make(self) -> Schedule:
        check_fields(self, boundaries=tuple_of(real(at_least=0)), values=tuple_of(RATE))
        if any(later <= earlier for earlier, later in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"boundaries: expected strictly increasing steps, got {self.boundaries!r}")
        # Steps are whole; two boundaries between the same ones leave no step to the value between them.
        first_steps: list[int] = []
        values = list(self.values[:1])
        for boundary, value in zip(self.boundaries, self.values[1:], strict=False):
            if first_steps and first_steps[-1] == floor(boundary) + 1:
                values[-1] = value
            else:
                first_steps.append(floor(boundary) + 1)
                values.append(value)
        if len(self.values) != len(self.boundaries) + 1:
            expected = f"{len(self.boundaries) + 1}, one more than there are boundaries"
            raise ValueError(f"values: expected {expected}, got {len(self.values)}")
        return schedules.PiecewiseConstant(tuple(first_steps), tuple(values))


@dataclass(frozen=True)
class PolynomialDecay(_Keras):
    """From one rate to another along a polynomial, a straight line by default.

    ::

        (initial_learning_rate - end_learning_rate) * (1 - t / T) ** power + end_learning_rate

    with ``T = decay_steps`` and ``t = min(step, T)``.

    Parameters
    ----------
    initial_learning_rate : float
        The rate at step 0, at least 0.
    decay_steps : int
        The step at which the end is reached.
    end_learning_rate : float
        The rate from there on, at least 0.
    power : float
        Above 0.
    cycle : bool
        After `decay_steps` let T be the next multiple of it, instead of staying at the end.
    name : str
        Changes nothing.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.schedules.PolynomialDecay``.

    Examples
    --------
    >>> from fastopt.compat.keras.schedules import PolynomialDecay
    >>> PolynomialDecay(0.1, decay_steps=100, end_learning_rate=0.0)(75)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str = "PolynomialDecay"

    def _make(self) -> Schedule:
        check_fields(
            self,
            initial_learning_rate=RATE,
            decay_steps=_steps(),
            end_learning_rate=RATE,
            power=real(above=0),
            cycle=boolean,
        )
        return schedules.PolynomialDecay(
            self.initial_learning_rate, self.decay_steps, self.end_learning_rate, self.power, self.cycle
        )


@dataclass(frozen=True)
class InverseTimeDecay(_Keras):
    """The 1/t decay: ``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        The rate at step 0, at least 0.
    decay_steps : int
        Steps that count as one.
    decay_rate : float
        At least 0.
    staircase : bool
        Use ``step // decay_steps``.
    name : str
        Changes nothing.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.schedules.InverseTimeDecay``.

    Examples
    --------
    >>> from fastopt.compat.keras.schedules import InverseTimeDecay
    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False
    name: str = "InverseTimeDecay"

    def _make(self) -> Schedule:
        check_fields(
            self, initial_learning_rate=RATE, decay_steps=_steps(), decay_rate=real(at_least=0), staircase=boolean
        )
        return schedules.InverseTimeDecay(self.initial_learning_rate, self.decay_rate, self.decay_steps, self.staircase)


@dataclass(frozen=True)
class CosineDecay(_Keras):
    """Half a cosine down to the share `alpha` of the rate, after a warm-up if there is a `warmup_target`.

    Parameters
    ----------
    initial_learning_rate : float
        The rate at step 0, at least 0.
    decay_steps : int
        Steps of the decay, which come after those of the warm-up.
    alpha : float
        The lowest rate as a share, from 0 to 1, of the rate that the decay begins with.
    name : str
        Changes nothing.
    warmup_target : float, optional
        The rate that a straight line leads to, and that the decay begins with; at least `initial_learning_rate` and
        above 0. None: no warm-up.
    warmup_steps : int
        Steps of the warm-up, at least 0.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.schedules.CosineDecay``.

    Examples
    --------
    >>> from fastopt.compat.keras.schedules import CosineDecay
    >>> rate = CosineDecay(0.0, decay_steps=1000, warmup_target=0.1, warmup_steps=100)
    >>> [round(rate(step), 4) for step in (0, 50, 100, 600, 1100)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    name: str = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: int = 0

    def _make(self) -> Schedule:
        check_fields(self, initial_learning_rate=RATE, decay_steps=_steps(), alpha=SHARE, warmup_steps=_steps(0))
        if self.warmup_target is None:
            return self._decay_from(self.initial_learning_rate)
        check_fields(self, warmup_target=real(above=0))
        check_order(self, "initial_learning_rate", "warmup_target")
        start = self.initial_learning_rate / self.warmup_target
        return schedules.Warmup(self._decay_from(self.warmup_target), self.warmup_steps, start)

    def _decay_from(self, rate: float) -> Schedule:
        return schedules.CosineAnnealing(rate, self.decay_steps, self.alpha * rate, cycle=False)


@dataclass(frozen=True)
class CosineDecayRestarts(_Keras):
    """Cosine cycles that may grow longer and lower, with warm restarts (SGDR).

    Parameters
    ----------
    initial_learning_rate : float
        The rate at step 0, at least 0.
    first_decay_steps : int
        Steps of the first cycle.
    t_mul : float
        How many times longer each cycle is than the one before, at least 1.
    m_mul : float
        How much of its height a peak keeps in the next cycle; above 0, at most 1.
    alpha : float
        The lowest rate as a share, from 0 to 1, of `initial_learning_rate`.
    name : str
        Changes nothing.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    Notes
    -----
    Keras rounds a logarithm and may begin a cycle a step late; here a restart is where the lengths put it.

    References
    ----------
    ``keras.optimizers.schedules.CosineDecayRestarts``. I. Loshchilov, F. Hutter, "SGDR", 2017, arXiv:1608.03983.

    Examples
    --------
    >>> from fastopt.compat.keras.schedules import CosineDecayRestarts
    >>> rate = CosineDecayRestarts(0.1, first_decay_steps=1000, m_mul=0.9)
    >>> [round(rate(step), 4) for step in (0, 500, 1000, 2000, 3000)]
    [0.1, 0.05, 0.09, 0.045, 0.081]
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str = "SGDRDecay"

    def _make(self) -> Schedule:
        check_fields(
            self,
            initial_learning_rate=RATE,
            first_decay_steps=_steps(),
            t_mul=real(at_least=1),
            m_mul=FACTOR,
            alpha=SHARE,
        )
        lowest = self.alpha * self.initial_learning_rate
        return schedules.CosineWarmRestarts(
            self.initial_learning_rate, self.first_decay_steps, self.t_mul, lowest, self.m_mul
        )
