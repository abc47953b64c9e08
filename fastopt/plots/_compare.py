"""Optimizers side by side: what each reaches in how many steps, and in how much time."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from fastopt._typing import Array
from fastopt.plots._style import COLOURS, line_style, new_figure, styled, use_log
from fastopt.plots._text import add_legend, literal

#: Runs that are named.
_NAMED = 32


@styled
def compare(
    runs: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    quantity: str = "loss",
    title: str = "The same network from the same start",
) -> Figure:
    """Draw the loss of several runs over steps and over seconds.

    More than seven hide each other's noise: then each is drawn as its running median, over a 25th of its points.

    Parameters
    ----------
    runs : mapping
        Names to runs. A run has the lists ``step`` (updates done; default: 1, 2, ...),
        ``seconds`` (since its start) and the quantity, one value each per point.
    quantity : str
        Name of the list to draw.
    title : str
        Title of the picture.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no runs, or the lists of a run differ in length.
    """
    if not runs:
        raise ValueError("runs: expected at least one run")
    many = len(runs) > len(COLOURS)
    figure = new_figure(10.0, max(4.2, 1.0 + 0.19 * min(len(runs), _NAMED)))
    axes = figure.subplots(1, 2, sharey=True)
    values = []
    lines = []
    for index, (name, run) in enumerate(runs.items()):
        y = np.asarray(run[quantity], dtype=np.float64)
        steps = np.asarray(run.get("step", range(1, len(y) + 1)), dtype=np.float64)
        seconds = np.asarray(run["seconds"], dtype=np.float64)
        if not len(y) == len(steps) == len(seconds):
            raise ValueError(
                f"runs[{name!r}]: expected lists of equal length, got {len(steps)} steps, "
                f"{len(seconds)} seconds, {len(y)} values"
            )
        y = _running_median(y) if many else y
        values.append(y)
        axes[0].plot(steps, y, linewidth=1.4, **line_style(index))
        lines += axes[1].plot(seconds, y, linewidth=1.4, **line_style(index))
    if use_log(values):
        axes[0].set_yscale("log")
    literal(axes[0].set_ylabel(f"{quantity}, running median" if many else quantity), 3.0)
    axes[0].set_xlabel("step")
    axes[1].set_xlabel("time in seconds")
    for ax in axes:
        ax.set_xlim(left=0)
    axes[0].set_title("over steps")
    axes[1].set_title("over time")
    literal(figure.suptitle(title, x=0.01, ha="left", fontweight="bold"))
    add_legend(figure, lines, list(runs), width=3.0, most=_NAMED, loc="outside right center", handlelength=3.2)
    return figure


def _running_median(y: Array) -> Array:
    """Return the medians of a 25th of the values around each."""
    half = len(y) // 50
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(y, half, mode="reflect"), 2 * half + 1)
    return np.asarray(np.median(windows, axis=1))
