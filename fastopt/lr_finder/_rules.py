"""The rules by which other libraries choose a rate from the losses of a range test."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastopt._checks import choice, integer

Slope = Literal["step", "lr", "log_lr"]


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
