"""The learning-rate range test: loss over rate, its phases, and the rate to begin with."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from fastopt.plots._style import COLOURS, GREY, new_figure, styled
from fastopt.plots._text import literal


class RangeTest(Protocol):
    """The results of a range test that its picture shows."""

    @property
    def lrs(self) -> Sequence[float]:
        """The rates tried, ascending."""
        ...

    @property
    def losses(self) -> Sequence[float]:
        """The loss at each."""
        ...

    @property
    def smoothed(self) -> Sequence[float]:
        """The smoothed loss at each."""
        ...

    @property
    def suggestion(self) -> float | None:
        """The rate to begin with, None for no suggestion."""
        ...

    @property
    def phases(self) -> tuple[float | None, float | None]:
        """Rates at which the loss begins to fall, and to rise again; None where it does not."""
        ...


@styled
def lr_range(result: RangeTest, *, recommended: float | None = None, title: str = "Learning-rate range test") -> Figure:
    """Draw a learning-rate range test with its three phases and the rate to begin with.

    Parameters
    ----------
    result : object
        With ``lrs``, ``losses``, ``smoothed`` (equal lengths), ``suggestion`` (a rate, or None) and
        ``phases`` (rate at which the loss begins to fall, rate at which it begins to rise).
    recommended : float, optional
        The rate to mark instead of the suggestion: one that did better in a training, say.
    title : str
        Title of the picture.

    Returns
    -------
    Figure
    """
    lrs, losses, smoothed = (np.asarray(v, dtype=np.float64) for v in (result.lrs, result.losses, result.smoothed))
    figure = new_figure(7.2, 4.6)
    ax = figure.subplots()
    ax.plot(lrs, losses, color=GREY, linewidth=0.8, alpha=0.6, label="loss")
    ax.plot(lrs, smoothed, color=COLOURS[0], linewidth=2.2, label="smoothed")
    # Steps that grow are even in the logarithm.
    if len(lrs) > 2 and lrs[2] - lrs[1] > 1.01 * (lrs[1] - lrs[0]):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=12))
        ax.xaxis.set_minor_formatter(NullFormatter())
    if len(lrs) > 1:
        ax.set_xlim(lrs[0], lrs[-1])

    # The end of the test may be a million times larger than what matters: the beginning decides.
    finite = np.concatenate([losses, smoothed])
    low = float(finite[np.isfinite(finite)].min())
    early = losses[: max(1, len(losses) // 4)]
    high = max(float(np.quantile(early[np.isfinite(early)], 0.9)), float(smoothed[0]))
    span = max(high - low, 1e-12 + 0.05 * abs(high))
    ax.set_ylim(low - 0.1 * span, high + 0.35 * span)

    learns, harms = result.phases
    harms = float(lrs[-1]) if harms is None else harms
    learns = harms if learns is None else learns
    edges = (float(lrs[0]), learns, harms, float(lrs[-1]))
    names = ("too small", "learns", "unstable")
    shades = ("#EFEFEF", "#FFFFFF", "#DDDDDD")
    for name, shade, left, right in zip(names, shades, edges[:-1], edges[1:], strict=True):
        if left >= right:
            continue
        ax.axvspan(left, right, color=shade, linewidth=0, zorder=0)
        # In axes coordinates, so that it holds for both scales.
        to_axes = ax.transData + ax.transAxes.inverted()
        start, end = to_axes.transform([(left, high), (right, high)])[:, 0]
        ax.text(
            (start + end) / 2,
            1.015,
            name,
            transform=ax.transAxes,
            ha="center",
            va="bottom",
            color="#404040",
            fontsize=9 if end - start > 0.14 else 7,
        )

    rate = result.suggestion if recommended is None else recommended
    if rate is not None:
        ax.axvline(rate, color=COLOURS[1], linewidth=1.4, zorder=3)
        ax.plot(
            [rate],
            [np.interp(rate, lrs, smoothed)],
            "o",
            color=COLOURS[1],
            markeredgecolor="black",
            markersize=10,
            zorder=5,
            label=f"recommended: {rate:.2g}",
        )
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    literal(ax.set_title(title, pad=22))
    ax.legend(loc="lower left")
    return figure
