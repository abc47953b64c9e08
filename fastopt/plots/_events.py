"""Runs with a story: rescues from an explosion, and an ensemble of snapshots."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fastopt.plots._style import COLOURS, GREY, LINES, MARKERS, new_figure, styled
from fastopt.plots._text import literal


@styled
def rescues(
    losses: Sequence[float],
    events: Sequence[Mapping[str, object]],
    *,
    lrs: Sequence[float] | None = None,
    title: str = "Rescued from explosion",
) -> Figure:
    """Draw the loss of a guarded run, with each rescue and the rate that it led to.

    If all of them are in the first fifth, steps are on a logarithmic scale.

    Parameters
    ----------
    losses : sequence of float
        The loss at each step, or epoch; NaN and infinity leave gaps.
    events : sequence of mapping
        Those with ``kind`` "rescue" are marked, at their ``step`` if `losses` and the run count
        steps, with their new ``lr``.
    lrs : sequence of float, optional
        The rate at each step, drawn below.
    title : str
        Title of the picture.

    Returns
    -------
    Figure
    """
    panels = 1 if lrs is None else 2
    figure = new_figure(7.2, 2.4 + 1.8 * panels)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False, height_ratios=(2, 1)[:panels])[:, 0]
    values = np.array(losses, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    ax = axes[0]
    ax.plot(np.arange(len(values)), values, color=COLOURS[0], linewidth=1.2)
    if values[np.isfinite(values)].min(initial=np.inf) > 0:
        ax.set_yscale("log")
    at = [int(str(event["step"])) for event in events if event.get("kind") == "rescue"]
    for k, step in enumerate(at):
        for panel in axes:
            panel.axvline(
                step,
                color=COLOURS[1],
                linewidth=1.0,
                linestyle=LINES[1],
                label="rescue" if k == 0 else None,
            )
    ax.set_ylabel("loss")
    literal(ax.set_title(f"{title}: {len(at)} rescue{'' if len(at) == 1 else 's'}"))
    if at:
        ax.legend(loc="upper right")
    if lrs is not None:
        axes[1].plot(np.arange(len(lrs)), lrs, color=COLOURS[2], drawstyle="steps-post")
        axes[1].set_yscale("log")
        axes[1].set_ylabel("learning rate")
    axes[-1].set_xlabel("step")
    axes[-1].set_xlim(0, max(len(values), *at, 1))
    if at and max(at) < len(values) / 5:
        # Rescues come in the beginning of most runs, and would be one bar there.
        axes[-1].set_xscale("symlog", linthresh=1, linscale=0.3)
    figure.align_ylabels(axes)
    return figure


@styled
def ensemble(
    snapshots: ArrayLike,
    ensembles: ArrayLike,
    *,
    quantity: str = "accuracy on held-out data",
    title: str = "Snapshot ensemble",
) -> Figure:
    """Draw each snapshot's result, and that of the ensemble of the last m snapshots.

    Parameters
    ----------
    snapshots : array_like, shape (m,)
        Result of each snapshot, oldest first.
    ensembles : array_like, shape (m,)
        Result of the ensemble of the last 1, 2, ... m snapshots; the first is the last snapshot.
    quantity : str
        Name of the quantity, for the axis.
    title : str
        Title of the picture.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    single, together = (np.asarray(v, dtype=np.float64) for v in (snapshots, ensembles))
    if single.shape != together.shape or single.ndim != 1:
        raise ValueError(f"ensembles: expected {single.shape} results like snapshots, got {together.shape}")
    figure = new_figure(8.4, 4.0)
    left, right = figure.subplots(1, 2, sharey=True)
    count = np.arange(1, len(single) + 1)
    left.plot(count, single, MARKERS[1], linestyle="none", color=COLOURS[1], markersize=8)
    left.set_xlabel("snapshot")
    literal(left.set_ylabel(quantity), 3.0)
    left.set_title("each snapshot alone")
    right.plot(count, together, "-o", color=COLOURS[0], markersize=7)
    right.set_xlabel("number of snapshots, from the last")
    right.set_title("their ensemble")
    for ax in (left, right):
        ax.axhline(single[-1], color=GREY, linewidth=1.2, linestyle=LINES[1], zorder=1)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(x=0.12)
    left.annotate(
        "last snapshot",
        xy=(0.02, single[-1]),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=GREY,
        fontsize=9,
    )
    literal(figure.suptitle(title, x=0.01, ha="left", fontweight="bold"))
    return figure
