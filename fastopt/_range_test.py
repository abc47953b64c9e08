"""What a range test measured, and the rules that choose a rate from it."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from fastopt._checks import choice, integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mode = Literal["exponential", "linear"]
Slope = Literal["step", "lr", "log_lr"]


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured.

    Parameters
    ----------
    mode : {"exponential", "linear"}
        How the rate grew.
    steps : int
        Steps planned; fewer were done if the loss diverged.
    diverged : bool
        Whether the test ended because of the loss.
    lrs, losses, smoothed : tuple of float
        The rate of each step, the loss before its update, and the exponential average of the
        losses. If the last loss is infinite or NaN, so is its average.
    """

    mode: Mode
    steps: int
    diverged: bool
    lrs: tuple[float, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    smoothed: tuple[float, ...] = field(repr=False)

    @property
    def suggestions(self) -> dict[str, float | None]:
        """The rates that `steepest`, `valley` and `minimum` suggest for the smoothed loss.

        Each rule leaves out the ends as its library does: the first 10 points and the last for
        "steepest", the first tenth of the steps planned and the last 5 points for the others.
        "steepest" looks no further than the lowest loss: beyond it, the steepest fall is the one
        after an explosion. None stands for no suggestion.
        """
        lrs, losses = self.lrs, self.smoothed
        # One point more than is looked at, for the central difference at the lowest.
        stop = min(int(self._curve().argmin()) + 2, len(lrs) - 1)
        return {
            "steepest": steepest(lrs[:stop], losses[:stop], skip_end=0),
            "valley": valley(lrs, losses, skip_begin=self.steps // 10),
            "minimum/10": minimum(lrs, losses, skip_begin=self.steps // 10),
        }

    @property
    def suggestion(self) -> float | None:
        """The rate to begin with: the one of "minimum/10".

        fastai begins with "valley", Lightning with "steepest". On three data sets, with five
        optimizers each, "minimum/10" trained further than "valley" every time, and was far from the
        best rate less often than "steepest".
        """
        return self.suggestions["minimum/10"]

    @property
    def phases(self) -> tuple[float | None, float | None]:
        """The rates between which the network learns: those below do too little, those above harm.

        The smoothed loss has done a tenth of its fall at the first, and has lost a tenth of it
        again at the second; with very noisy losses it is half of their noise instead. The first is
        None if the loss never falls beyond its noise, the second if it does not rise again.
        """
        loss, tenth = self._curve(), max(2, self.steps // 10)
        if len(loss) <= tenth:  # it exploded at once, and the first loss is all that is known
            tenth = 1
        begin = np.array(self.losses[:tenth])
        level = float(begin.mean())
        # From differences: a loss that already falls is not all noise.
        noise = math.sqrt(float(np.square(np.diff(begin)).mean()) / 2) if tenth > 1 else 0.0
        # The first points of the average are as noisy as the losses.
        lowest = int(loss[tenth:].argmin()) + tenth if len(loss) > tenth else 0
        if level - loss[lowest] <= max(noise, 1e-3 * abs(level)):
            return None, self._first(0, loss > level + max(3 * noise, 0.1 * abs(level)))
        # A linear sweep may learn from its second step on.
        top = level if self.mode == "exponential" else float(loss[:tenth].max())
        tolerance = max(0.1 * (top - float(loss[lowest])), noise / 2)
        flat = np.flatnonzero(loss[:lowest] > top - tolerance)
        start = self.lrs[flat[-1] + 1 if len(flat) else 0]
        return start, self._first(lowest, loss[lowest:] > loss[lowest] + tolerance)

    def _curve(self) -> npt.NDArray[np.float64]:
        loss = np.array(self.smoothed)
        loss[~np.isfinite(loss)] = np.inf
        return loss

    def _first(self, start: int, found: npt.NDArray[np.bool_]) -> float | None:
        return self.lrs[start + int(found.argmax())] if found.any() else None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values; None stands for NaN, infinity and no suggestion."""
        learns, harms = self.phases
        return {
            "mode": self.mode,
            "steps": self.steps,
            "diverged": self.diverged,
            "lrs": list(self.lrs),
            "losses": [loss if math.isfinite(loss) else None for loss in self.losses],
            "smoothed": [loss if math.isfinite(loss) else None for loss in self.smoothed],
            "suggestion": self.suggestion,
            "suggestions": self.suggestions,
            "phases": {"learns": learns, "harms": harms},
        }

    def plot(self, **settings: Any) -> "Figure":
        """Draw it; see `fastopt.plots.lr_range`, which needs matplotlib.

        Parameters
        ----------
        **settings
            Passed on.

        Returns
        -------
        matplotlib.figure.Figure
            For `fastopt.plots.save`.
        """
        from fastopt import plots

        return plots.lr_range(self, **settings)


def steepest(
    lrs: Sequence[float],
    losses: Sequence[float],
    *,
    skip_begin: int = 10,
    skip_end: int = 1,
    slope: Slope = "step",
) -> float | None:
    """Find the rate at which the loss falls most steeply.

    Parameters
    ----------
    lrs : sequence of float
        Rates, ascending.
    losses : sequence of float
        The smoothed loss at each; infinite ones and NaN are left out.
    skip_begin, skip_end : int
        Points to leave out at either end.
    slope : {"step", "lr", "log_lr"}
        What the fall is measured against: the number of the step or the rate, by central
        differences, or the logarithm of the rate, by forward differences.

    Returns
    -------
    float or None
        One of `lrs`; None if less than two points are left or the loss falls nowhere.

    Raises
    ------
    TypeError, ValueError
        For arguments out of range.

    References
    ----------
    PyTorch Lightning, ``suggestion`` of ``lr_find``: "step" until version 2.5.2, "lr" from 2.5.3
    on. In an exponential sweep "lr" favours the smallest rates (Lightning's issue 21141).
    fastai, ``steep``: "log_lr" with ``skip_begin=steps // 10, skip_end=5``.

    Examples
    --------
    >>> steepest([0.1, 0.2, 0.4, 0.8], [3, 2.5, 1.5, 1.3], skip_begin=0, skip_end=0)
    0.2
    """
    choice("step", "lr", "log_lr")("slope", slope)
    rates, values = _kept(lrs, losses, skip_begin, skip_end)
    if len(values) < 2:
        return None
    if slope == "step":
        gradient = np.gradient(values)
    elif slope == "lr":
        gradient = np.gradient(values, rates)
    else:
        gradient = np.diff(values) / np.diff(np.log(rates))
    best = int(gradient.argmin())
    return float(rates[best]) if gradient[best] < 0 else None


def valley(lrs: Sequence[float], losses: Sequence[float], *, skip_begin: int = 10, skip_end: int = 5) -> float | None:
    """Find the middle of the longest valley: the longest falling subsequence of the losses.

    Of its k points, ending with point e of those that are left (counted from 0), the suggestion is
    point ``e - k + k // 3 + k // 6``: half of the way if the subsequence has no gaps.

    Parameters
    ----------
    lrs : sequence of float
        Rates, ascending.
    losses : sequence of float
        The smoothed loss at each; infinite ones and NaN are left out.
    skip_begin, skip_end : int
        Points to leave out at either end; fastai has ``skip_begin=steps // 10``.

    Returns
    -------
    float or None
        One of `lrs`; None if no three points fall.

    Raises
    ------
    TypeError, ValueError
        For arguments out of range.

    References
    ----------
    fastai, ``valley``, the default of its ``lr_find``. Where no three points fall, that gives the
    first or the last rate.

    Examples
    --------
    >>> valley([1, 2, 3, 4, 5, 6, 7], [9, 8, 7, 6, 5, 4, 9], skip_begin=0, skip_end=0)
    3.0
    """
    rates, values = _kept(lrs, losses, skip_begin, skip_end)
    # lowest[k] is the end, negated, of the falling subsequence of k + 1 points that ends highest.
    lowest: list[float] = []
    end = 0
    for i, value in enumerate(-values):
        k = bisect_left(lowest, value)
        if k == len(lowest):
            end = i
        lowest[k : k + 1] = [value]
    k = len(lowest)
    return float(rates[end - k + k // 3 + k // 6]) if k >= 3 else None


def minimum(lrs: Sequence[float], losses: Sequence[float], *, skip_begin: int = 10, skip_end: int = 5) -> float | None:
    """Find a tenth of the rate at which the loss is lowest.

    Parameters
    ----------
    lrs : sequence of float
        Rates, ascending.
    losses : sequence of float
        The smoothed loss at each; infinite ones and NaN are left out.
    skip_begin, skip_end : int
        Points to leave out at either end; fastai has ``skip_begin=steps // 10``.

    Returns
    -------
    float or None
        None if the first point that is left is the lowest.

    Raises
    ------
    TypeError, ValueError
        For arguments out of range.

    References
    ----------
    fastai, ``minimum``.

    Examples
    --------
    >>> minimum([0.5, 1, 2, 4], [3, 2, 1, 9], skip_begin=0, skip_end=0)
    0.2
    """
    rates, values = _kept(lrs, losses, skip_begin, skip_end)
    lowest = int(values.argmin()) if len(values) else 0
    return float(rates[lowest]) / 10 if lowest > 0 else None


def _kept(
    lrs: Sequence[float], losses: Sequence[float], skip_begin: int, skip_end: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the points that a rule works on."""
    rates, values = np.asarray(lrs, np.float64), np.asarray(losses, np.float64)
    if rates.ndim != 1 or not (rates > 0).all() or not (np.diff(rates) > 0).all():
        raise ValueError(f"lrs: expected ascending rates > 0, got {lrs!r}")
    if values.shape != rates.shape:
        raise ValueError(f"losses: expected {len(rates)} like lrs, got shape {values.shape}")
    begin, end = integer(0)("skip_begin", skip_begin), integer(0)("skip_end", skip_end)
    kept = np.isfinite(values)
    kept[:begin] = False
    kept[max(0, len(values) - end) :] = False
    return rates[kept], values[kept]
