"""Descent in one dimension: the path on the function, and over the steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import SymmetricalLogLocator
from numpy.typing import NDArray

from fastopt.descent import DescentResult, Function
from fastopt.plots._save import Animation
from fastopt.plots._style import COLOURS, GREY, capitalized, new_figure, styled
from fastopt.plots._text import literal

_CURVE: dict[str, Any] = {"color": GREY, "linewidth": 1.4}
#: Width of the linear half of a symmetric logarithmic axis, the domain, in decades.
_NEAR = 3.0
_WALK: dict[str, Any] = {"color": COLOURS[0], "linewidth": 0.7, "alpha": 0.5}


@styled
def descent(result: DescentResult, *, title: str | None = None) -> Figure:
    """Draw one descent: its path on the function, the slope, and the position at each step.

    Parameters
    ----------
    result : DescentResult
        Result of `fastopt.descent.descend`.
    title : str, optional
        Default: the name of the round and its settings.

    Returns
    -------
    Figure
    """
    figure = new_figure(6.8, 7.2)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2.4))
    function = result.function
    view = _view(result)
    _draw_path(top, result, view)
    top.set_ylabel("f(x)")
    literal(top.set_title(f"{capitalized(result.round.name) if title is None else title}\n"))
    literal(top.text(0, 1.03, f"{result.round.label}: {result.outcome}", transform=top.transAxes), 4.6)
    top.text(1, 1.03, function.formula, transform=top.transAxes, ha="right")
    top.legend(
        loc="upper center",
        ncols=2,
        handletextpad=0.1,
        columnspacing=1.0,
        frameon=True,
        edgecolor="none",
    )

    x = view.points(function)
    slope = function.derivative(x)
    middle.axhline(0, color="#404040", linewidth=0.8)
    middle.plot(x, slope, **_CURVE)
    middle.set_ylabel("f'(x)")
    if view.far:
        _set_logarithmic(middle.set_yscale, middle.yaxis, slope[_inside(function, x)], ticks=3)

    for minimum in function.minima:
        if function.domain[0] < minimum < function.domain[1]:
            bottom.axvline(minimum, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    steps = np.arange(len(result.x))
    bottom.plot(result.x, steps, **_WALK)
    bottom.scatter(result.x, steps, c=_shade(result), s=9, zorder=3, linewidths=0)
    last = max(len(result.x) - 1, 1)
    bottom.set_ylim(1.02 * last, -0.02 * last)
    bottom.set_ylabel("step")
    bottom.set_xlabel("x (dotted: minima)")
    top.set_xlim(view.low, view.high)
    figure.align_ylabels([top, middle, bottom])
    return figure


@styled
def descents(results: Sequence[DescentResult], *, title: str = "Descent in one dimension") -> Figure:
    """Draw a page of descents side by side, each path on its function.

    Parameters
    ----------
    results : sequence of DescentResult
        Results of `fastopt.descent.descend`, one per picture.
    title : str
        Title of the page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no descents.
    """
    if not results:
        raise ValueError("results: expected at least one descent")
    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure = new_figure(3.5 * columns + 0.4, 0.6 + 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax, result in zip(axes.flat, results, strict=False):
        _draw_path(ax, result, _view(result))
        literal(ax.set_title(f"{result.round.name}\n\n", fontsize=10, fontweight="bold"), 3.0)
        settings = ax.text(
            0,
            1.03,
            f"{result.round.label}\n{result.outcome}",
            transform=ax.transAxes,
            fontsize=8.5,
            linespacing=1.35,
        )
        literal(settings, 3.0)
    for ax in axes.flat[len(results) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("x")
    for ax in axes[:, 0]:
        ax.set_ylabel("f(x)")
    literal(figure.suptitle(title, x=0.01, ha="left", fontweight="bold"), figure.get_figwidth() - 5)
    figure.legend(
        *axes.flat[0].get_legend_handles_labels(),
        loc="outside upper right",
        ncols=4,
        handletextpad=0.1,
    )
    return figure


@styled
def descent_animation(result: DescentResult, *, frames: int = 120, fps: float = 15.0) -> Animation:
    """Animate a descent: the point walks on the function, its last steps behind it.

    Parameters
    ----------
    result : DescentResult
        Result of `fastopt.descent.descend`.
    frames : int
        At most this many frames; the steps are spread evenly over them.
    fps : float
        Frames per second.

    Returns
    -------
    Animation
    """
    figure = new_figure(6.4, 4.0)
    ax = figure.subplots()
    _draw_function(ax, result.function, _view(result))
    (trail,) = ax.plot([], [], "-", color=COLOURS[0], linewidth=1.2, alpha=0.6)
    (past,) = ax.plot([], [], "o", color=COLOURS[0], markersize=4, alpha=0.4, markeredgewidth=0)
    (point,) = ax.plot([], [], "o", color=COLOURS[1], markersize=10, markeredgecolor="black")
    ax.set_xlabel("x")
    ax.set_ylabel("f(x)")
    ax.legend(loc="upper center", handletextpad=0.1)
    literal(ax.set_title(f"{capitalized(result.round.name)}\n"))
    literal(ax.text(0, 1.03, result.round.label, transform=ax.transAxes), 3.2)
    caption = ax.text(1, 1.03, "", transform=ax.transAxes, ha="right", family="monospace")
    last = len(result.x) - 1
    shown = np.unique(np.linspace(0, last, min(frames, last + 1)).astype(int))
    # The end stays in view for a second and a half.
    shown = np.append(shown, np.full(round(1.5 * fps), last))

    def draw(i: int) -> None:
        k = int(shown[i])
        point.set_data(result.x[k : k + 1], result.f[k : k + 1])
        past.set_data(result.x[: k + 1], result.f[: k + 1])
        start = max(0, k - 6)
        trail.set_data(result.x[start : k + 1], result.f[start : k + 1])
        caption.set_text(result.outcome if k == last else f"step {k:4d}   x = {result.x[k]:8.3g}")

    return Animation(figure, draw, len(shown), fps)


@dataclass(frozen=True)
class _View:
    """The part of the axis that is shown."""

    low: float
    high: float
    far: bool
    """Whether it is so much wider than the domain that only logarithms show the whole path."""

    def points(self, function: Function) -> NDArray[np.float64]:
        """Return positions at which to draw the function."""
        if not self.far:
            return np.linspace(self.low, self.high, 2000)
        low, high = function.domain
        parts = [np.linspace(low, high, 2000)]
        if self.low < low:
            parts.insert(0, low - np.geomspace(1e-3, low - self.low, 2000)[::-1])
        if self.high > high:
            parts.append(high + np.geomspace(1e-3, self.high - high, 2000))
        return np.concatenate(parts)


def _view(result: DescentResult) -> _View:
    """Return the domain, widened for a path that leaves it."""
    low, high = result.function.domain
    path = result.x[np.abs(result.f) < 1e300]  # an exploded path may end where nothing can be drawn
    if path.min() >= low and path.max() <= high:
        return _View(low, high, far=False)
    left, right = min(low, path.min()), max(high, path.max())
    if right - left > 3 * (high - low):
        return _View(left + left - low, right + right - high, far=True)
    margin = 0.04 * (path.max() - path.min())
    return _View(min(low, path.min() - margin), max(high, path.max() + margin), far=False)


def _shade(result: DescentResult) -> Any:
    """Return a colour per step: all colours on the way, the last one from the arrival on."""
    steps = np.arange(len(result.x))
    # The map's yellow end would be lost on white.
    return matplotlib.colormaps["viridis"](0.85 * np.minimum(steps / (result.arrival or steps[-1]), 1))


def _draw_function(ax: Axes, function: Function, view: _View) -> None:
    x = view.points(function)
    y = function.f(x)
    ax.plot(x, y, **_CURVE)
    known = y[_inside(function, x)] if view.far else y
    span = known.max() - known.min()
    top = y.max() + 0.08 * span
    if view.far:
        _set_logarithmic(ax.set_xscale, ax.xaxis, np.array(function.domain))
        _set_logarithmic(ax.set_yscale, ax.yaxis, known)
        top = 2 * y.max()
    ax.set_xlim(view.low, view.high)
    ax.set_ylim(known.min() - 0.12 * span, top)
    ax.plot(
        [function.minimum],
        [known.min() - 0.06 * span],
        "^",
        color="black",
        markersize=6,
        label="global minimum",
    )


def _set_logarithmic(set_scale: Any, axis: Axis, near: NDArray[np.float64], ticks: int = 7) -> None:
    """Make an axis linear as far as there are values near by, and logarithmic on both sides of them."""
    limit = float(np.abs(near).max())
    set_scale("symlog", linthresh=limit, linscale=_NEAR)
    locator = SymmetricalLogLocator(base=10, linthresh=limit)
    locator.set_params(numticks=ticks)
    axis.set_major_locator(locator)


def _inside(function: Function, x: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (x >= function.domain[0]) & (x <= function.domain[1])


def _draw_path(ax: Axes, result: DescentResult, view: _View) -> None:
    _draw_function(ax, result.function, view)
    ax.plot(result.x, result.f, **_WALK)
    ax.scatter(result.x, result.f, c=_shade(result), s=11, zorder=3, linewidths=0, label="steps, dark to light")
    for at, marker, colour, label in ((0, "s", "white", "start"), (-1, "o", COLOURS[1], "end")):
        ax.plot(
            result.x[at],
            result.f[at],
            marker,
            color=colour,
            markeredgecolor="black",
            markersize=7,
            linestyle="none",
            zorder=4 - at,
            label=label,
        )
