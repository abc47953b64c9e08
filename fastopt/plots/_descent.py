"""Descent in one dimension: the path on the function, and over the steps."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastopt.descent import DescentResult, Function
from fastopt.plots._save import Animation
from fastopt.plots._style import COLOURS, GREY, capitalized, new_figure, styled

_CURVE: dict[str, Any] = {"color": GREY, "linewidth": 1.4}
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
    top.set_title(f"{capitalized(result.round.name) if title is None else title}\n")
    top.text(0, 1.03, f"{result.round.label}: {result.outcome}", transform=top.transAxes)
    top.text(1, 1.03, function.formula, transform=top.transAxes, ha="right")
    top.legend(
        loc="upper center",
        ncols=2,
        handletextpad=0.1,
        columnspacing=1.0,
        frameon=True,
        edgecolor="none",
    )

    x = np.linspace(*view, 2000)
    middle.axhline(0, color="#404040", linewidth=0.8)
    middle.plot(x, function.derivative(x), **_CURVE)
    middle.set_ylabel("f'(x)")

    for minimum in function.minima:
        if function.domain[0] < minimum < function.domain[1]:
            bottom.axvline(minimum, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    steps = np.arange(len(result.x))
    bottom.plot(result.x, steps, **_WALK)
    bottom.scatter(result.x, steps, c=_shade(steps), s=9, zorder=3, linewidths=0)
    last = max(len(result.x) - 1, 1)
    bottom.set_ylim(1.02 * last, -0.02 * last)
    bottom.set_ylabel("step")
    bottom.set_xlabel("x (dotted: minima)")
    top.set_xlim(*view)
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
    """
    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure = new_figure(3.5 * columns + 0.4, 0.6 + 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax, result in zip(axes.flat, results, strict=False):
        _draw_path(ax, result, _view(result))
        ax.set_title(f"{result.round.name}\n\n", fontsize=10, fontweight="bold")
        ax.text(
            0,
            1.03,
            f"{result.round.label}\n{result.outcome}",
            transform=ax.transAxes,
            fontsize=8.5,
            linespacing=1.35,
        )
    for ax in axes.flat[len(results) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("x")
    for ax in axes[:, 0]:
        ax.set_ylabel("f(x)")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
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
    ax.set_title(f"{capitalized(result.round.name)}\n")
    ax.text(0, 1.03, result.round.label, transform=ax.transAxes)
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


def _view(result: DescentResult) -> tuple[float, float]:
    """Return the domain, widened for a path that leaves it: up to sixty times for an explosion."""
    low, high = result.function.domain
    near = result.x[np.abs(result.x - (low + high) / 2) < 30 * (high - low)]
    if not near.size or (near.min() >= low and near.max() <= high):
        return low, high
    margin = 0.04 * (near.max() - near.min())
    return min(low, near.min() - margin), max(high, near.max() + margin)


def _shade(steps: NDArray[np.int64]) -> Any:
    # The map's yellow end would be lost on white.
    return matplotlib.colormaps["viridis"](0.85 * steps / max(len(steps) - 1, 1))


def _draw_function(ax: Axes, function: Function, view: tuple[float, float]) -> None:
    x = np.linspace(*view, 2000)
    y = function.f(x)
    ax.plot(x, y, **_CURVE)
    span = y.max() - y.min()
    ax.set_xlim(*view)
    ax.set_ylim(y.min() - 0.12 * span, y.max() + 0.08 * span)
    ax.plot(
        [function.minimum],
        [y.min() - 0.06 * span],
        "^",
        color="black",
        markersize=6,
        label="global minimum",
    )


def _draw_path(ax: Axes, result: DescentResult, view: tuple[float, float]) -> None:
    _draw_function(ax, result.function, view)
    steps = np.arange(len(result.x))
    ax.plot(result.x, result.f, **_WALK)
    ax.scatter(result.x, result.f, c=_shade(steps), s=11, zorder=3, linewidths=0, label="steps, dark to light")
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
