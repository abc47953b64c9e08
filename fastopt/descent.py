"""Descent in one dimension: what learning rate and momentum do, small enough to be seen whole.

One parameter, a function with a valley every pi and one of them the deepest, and the package's own
optimizers. `ROUNDS` are settings found by experiment, from far too small to far too large.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastopt import optimizers
from fastopt._checks import COUNT, real

__all__ = ["ROUNDS", "VALLEYS", "DescentResult", "Function", "Round", "descend", "named_round"]

#: Beyond this distance from the start a descent has exploded.
EXPLODED = 1e6

#: A descent has arrived where it stays within this distance of a minimum.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Function:
    """A function of one variable with its derivative.

    Parameters
    ----------
    f, derivative : callable
        Take and return arrays, elementwise.
    minimum : float
        Where the global minimum is.
    domain : (float, float)
        The part worth drawing.
    formula : str
        How it is written, in matplotlib's math notation.
    """

    f: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    derivative: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    minimum: float
    domain: tuple[float, float]
    formula: str = ""

    @functools.cached_property
    def minima(self) -> NDArray[np.float64]:
        """All minima in the domain and one domain's width beyond it, in ascending order."""
        return self._turns[0]

    @functools.cached_property
    def maxima(self) -> NDArray[np.float64]:
        """All maxima in the same range, in ascending order."""
        return self._turns[1]

    @functools.cached_property
    def _turns(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = self.domain
        x = np.linspace(2 * low - high, 2 * high - low, 100_001)
        slope = self.derivative(x)
        (at,) = np.nonzero((slope[:-1] < 0) != (slope[1:] < 0))
        where = x[at] - slope[at] * (x[at + 1] - x[at]) / (slope[at + 1] - slope[at])
        up = slope[at] < 0
        return where[up], where[~up]

    def valley(self, x: float) -> float:
        """Minimum of the valley in which `x` lies, nan where there is none."""
        between = np.searchsorted(self.maxima, [x])[0]
        low = self.maxima[between - 1] if between > 0 else -math.inf
        high = self.maxima[between] if between < len(self.maxima) else math.inf
        inside = self.minima[(self.minima > low) & (self.minima < high)]
        return float(inside[0]) if len(inside) == 1 else math.nan


#: x^2/50 + sin^2 x: valleys near k pi, the global minimum f = 0 exactly at x = 0.
VALLEYS = Function(
    f=lambda x: x**2 / 50 + np.sin(x) ** 2,
    derivative=lambda x: x / 25 + np.sin(2 * x),
    minimum=0.0,
    domain=(-12.0, 12.0),
    formula=r"$f(x) = x^2/50 + \sin^2 x$",
)


@dataclass(frozen=True)
class Round:
    """An optimizer with its settings, and how long it may try.

    Parameters
    ----------
    name : str
        Name that says how the descent ends.
    options : mapping
        Keyword arguments of the optimizer, such as ``{"lr": 0.1}``.
    optimizer : str
        Name of an optimizer class of fastopt.
    steps : int
        Number of steps.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = "SGD"
    steps: int = 200

    @property
    def label(self) -> str:
        """Optimizer and settings in a few words."""
        settings = ", ".join(f"{key} {_short(value)}" for key, value in self.options.items())
        return f"{self.optimizer}: {settings}" if settings else self.optimizer


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _momentum(name: str, lr: float, momentum: float, steps: int) -> Round:
    return Round(name, MappingProxyType({"lr": lr, "momentum": momentum}), "SGD", steps)


#: Found by experiment on `VALLEYS`, from `descend`'s start.
ROUNDS: Mapping[str, Round] = MappingProxyType(
    {
        item.name: item
        for item in (
            _momentum("too small", 0.01, 0.9, 200),
            _momentum("still too small", 0.1, 0.9, 200),
            _momentum("stuck next to the global minimum", 0.2, 0.9, 200),
            _momentum("momentum too slow", 0.02, 0.98, 400),
            _momentum("good", 0.06, 0.963, 250),
            _momentum("better", 0.25, 0.925, 150),
            _momentum("best", 0.6, 0.865, 100),
            _momentum("too high", 2.5, 0.9, 200),
            _momentum("exploding", 100.0, 0.9, 200),
        )
    }
)


@dataclass(frozen=True, eq=False)
class DescentResult:
    """The path of a descent.

    Parameters
    ----------
    round : Round
        The settings.
    function : Function
        The function that was minimised.
    x, f : ndarray of float64, shape (steps done + 1,)
        Positions and values, the start first. An exploded descent ends early.
    """

    round: Round
    function: Function
    x: NDArray[np.float64]
    f: NDArray[np.float64]

    @property
    def exploded(self) -> bool:
        """Whether it left for infinity."""
        return not abs(float(self.x[-1]) - float(self.x[0])) <= EXPLODED

    @property
    def settled(self) -> float | None:
        """The minimum in which it came to rest, or None."""
        if self.exploded:
            return None
        minimum = self.function.valley(float(self.x[-1]))
        near = np.abs(self.x[-10:] - minimum) <= TOLERANCE
        return minimum if near.all() else None

    @property
    def arrival(self) -> int | None:
        """Steps after which it stays at the minimum in which it came to rest, or None while it moves."""
        minimum = self.settled
        if minimum is None:
            return None
        away = np.flatnonzero(np.abs(self.x - minimum) > TOLERANCE)
        return int(away[-1]) + 1 if len(away) else 0

    @property
    def steps_needed(self) -> int | None:
        """Steps after which it stays at the global minimum, or None if it does not."""
        away = np.flatnonzero(~(np.abs(self.x - self.function.minimum) <= TOLERANCE))
        steps = int(away[-1]) + 1 if len(away) else 0
        return steps if steps <= len(self.x) - 10 else None

    @property
    def outcome(self) -> str:
        """The outcome in a few words."""
        if self.exploded:
            return f"exploded after {len(self.x) - 1} steps"
        if self.steps_needed is not None:
            return f"global minimum after {self.steps_needed} steps"
        if self.settled is not None:
            return f"stuck at x = {self.settled:.2f}"
        return f"still moving after {len(self.x) - 1} steps"


def named_round(name: str) -> Round:
    """Find one of `ROUNDS` by its name, in any case, with blanks or hyphens, or by its number from 1.

    Raises
    ------
    ValueError
        If there is none of this name or number.

    Examples
    --------
    >>> named_round("too-high").label
    'SGD: lr 2.5, momentum 0.9'
    >>> named_round("7").name
    'best'
    """
    wanted = name.strip().lower().replace("-", " ").replace("_", " ")
    by_number = {str(number): known for number, known in enumerate(ROUNDS, start=1)}
    wanted = by_number.get(wanted, wanted)
    if wanted not in ROUNDS:
        raise ValueError(f"round: expected one of {', '.join(ROUNDS)}, or 1 to {len(ROUNDS)}, got {name!r}")
    return ROUNDS[wanted]


def descend(
    settings: str | Round,
    *,
    start: float = -10.5,
    steps: int | None = None,
    function: Function = VALLEYS,
) -> DescentResult:
    """Walk down a function of one variable with one of the package's optimizers.

    Parameters
    ----------
    settings : str or Round
        Name or number of one of `ROUNDS`, or an optimizer with its own settings.
    start : float
        Position of the first step.
    steps : int, optional
        Number of steps; default: the round's.
    function : Function
        The function to minimise.

    Returns
    -------
    DescentResult

    Raises
    ------
    ValueError
        If the name is unknown, or `start` or `steps` make no sense.

    Examples
    --------
    >>> descend("stuck next to the global minimum").outcome
    'stuck at x = -3.08'
    >>> descend(Round("my own", {"lr": 0.5}, "Adam")).steps_needed is None
    True
    """
    chosen = named_round(settings) if isinstance(settings, str) else settings
    steps = COUNT("steps", chosen.steps if steps is None else steps)
    start = real()("start", start)
    make = getattr(optimizers, chosen.optimizer, None)
    if not (isinstance(make, type) and issubclass(make, optimizers.Optimizer)):
        raise ValueError(f"optimizer: expected a class of fastopt such as SGD or Adam, got {chosen.optimizer!r}")
    x = np.array([start], dtype=np.float64)
    optimizer = make(x, **chosen.options)
    path = [start]
    for _ in range(steps):
        optimizer.step(function.derivative(x))
        path.append(float(x[0]))
        if not abs(path[-1] - start) <= EXPLODED:
            break
    walked = np.array(path)
    with np.errstate(over="ignore", invalid="ignore"):
        values = function.f(walked)
    return DescentResult(chosen, function, walked, values)
