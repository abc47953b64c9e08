"""Learning-rate schedules: the rate of every step."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastopt._checks import COUNT
from fastopt.plots._style import COLOURS, new_figure, styled
from fastopt.plots._text import literal

Schedule = Callable[[int], float]


@styled
def schedule(
    schedule: Schedule,
    steps: int,
    *,
    momentum: Schedule | None = None,
    log: bool = False,
    title: str | None = None,
) -> Figure:
    """Draw a schedule: the learning rate of each step.

    Parameters
    ----------
    schedule : callable
        ``schedule(step)`` gives the rate, steps counted from 0.
    steps : int
        Number of steps to draw.
    momentum : callable, optional
        A momentum that changes along with it, drawn below.
    log : bool
        Draw the rate on a logarithmic axis.
    title : str, optional
        Default: the schedule as it prints.

    Returns
    -------
    Figure
    """
    panels = 1 if momentum is None else 2
    figure = new_figure(6.4, 1.6 + 1.9 * panels)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    _draw(axes[0], schedule, steps, log=log)
    axes[0].set_ylabel("learning rate")
    if momentum is not None:
        _draw(axes[1], momentum, steps, colour=COLOURS[1], from_zero=False)
        axes[1].set_ylabel("momentum")
    axes[-1].set_xlabel("step")
    figure.align_ylabels(axes)
    literal(axes[0].set_title(repr(schedule) if title is None else title), 5.6, wrap=True)
    return figure


@styled
def schedules(schedules: Mapping[str, Schedule], steps: int, *, title: str = "Learning-rate schedules") -> Figure:
    """Draw a page of schedules side by side, all over the same steps.

    Parameters
    ----------
    schedules : mapping
        Names to schedules.
    steps : int
        Number of steps to draw.
    title : str
        Title of the page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no schedules.
    """
    if not schedules:
        raise ValueError("schedules: expected at least one schedule")
    columns = min(3, len(schedules))
    rows = math.ceil(len(schedules) / columns)
    figure = new_figure(max(6.4, 3.2 * columns), 0.6 + 2.0 * rows)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for ax, (name, values) in zip(axes.flat, schedules.items(), strict=False):
        _draw(ax, values, steps)
        literal(ax.set_title(name, fontsize=10), 2.6)
    for ax in axes.flat[len(schedules) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, len(schedules) - columns) : len(schedules)]:
        ax.xaxis.set_tick_params(labelbottom=True)
        ax.set_xlabel("step")
    for ax in axes[:, 0]:
        ax.set_ylabel("learning rate")
    literal(figure.suptitle(title, x=0.01, ha="left", fontweight="bold"))
    return figure


def _draw(
    ax: Axes,
    schedule: Schedule,
    steps: int,
    *,
    colour: str = COLOURS[0],
    from_zero: bool = True,
    log: bool = False,
) -> None:
    steps = COUNT("steps", steps)
    values = [schedule(step) for step in range(steps)]
    # A rate belongs to its whole step, so jumps are vertical.
    ax.stairs(values, np.arange(steps + 1), baseline=None, color=colour, linewidth=1.8)
    ax.set_xlim(0, steps)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    if log and max(values) > 0:
        ax.set_yscale("log")
    elif from_zero:
        ax.set_ylim(0, 1.08 * max(values) or 1)
