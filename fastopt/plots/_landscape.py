"""Pictures of the loss around trained networks."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from fastopt.nn.landscape import LossLine, LossSurface
from fastopt.plots._style import COLOURS, line_style, new_figure, styled, use_log
from fastopt.plots._text import add_legend, literal


@styled
def loss_line(lines: Mapping[str, LossLine], *, title: str = "Loss along a random direction") -> Figure:
    """Draw the loss along a line through each of one or more networks.

    Parameters
    ----------
    lines : mapping
        The lines by name, as `fastopt.nn.measure_line` returns them.
    title : str
        Title of the picture.

    Returns
    -------
    Figure
    """
    figure = new_figure(6.4, 4.0)
    ax = figure.subplots()
    drawn = []
    for index, line in enumerate(lines.values()):
        drawn += ax.plot(line.position, line.loss, **line_style(index))
    if use_log([line.loss for line in lines.values()]):
        ax.set_yscale("log")
    ax.axvline(0, color="#404040", linewidth=0.8)
    ax.set_xlabel("distance from the trained network, in lengths of its filters")
    ax.set_ylabel("loss")
    literal(ax.set_title(title))
    if len(lines) > 1:
        add_legend(ax, drawn, list(lines), handlelength=3.2)
    return figure


@styled
def loss_surface(surface: LossSurface, *, title: str = "Loss around the trained network") -> Figure:
    """Draw the loss over a plane, and the optimizer's path on it.

    Parameters
    ----------
    surface : LossSurface
        The surface, as `fastopt.nn.measure_surface` returns it.
    title : str
        Title of the picture.

    Returns
    -------
    Figure
    """
    figure = new_figure(6.6, 5.0)
    ax = figure.subplots()
    finite = surface.loss[np.isfinite(surface.loss)]
    if len(finite) == 0:
        raise ValueError("surface: expected at least one finite loss")
    loss = np.where(np.isfinite(surface.loss), surface.loss, finite.max())
    low, high = float(finite.min()), float(finite.max())
    log = 0 < 5 * low < high  # evenly spaced levels would crowd on the slopes and leave the valley empty
    spread = max(high - low, 1e-12)
    levels = np.geomspace(low, high, 16) if log else np.linspace(low, low + spread, 16)
    filled = ax.contourf(surface.a, surface.b, loss, levels=levels, cmap="viridis_r", norm=LogNorm() if log else None)
    ax.contour(surface.a, surface.b, loss, levels=levels, colors="black", linewidths=0.4, alpha=0.5)
    figure.colorbar(filled, ax=ax, label="loss", pad=0.02, ticks=levels[::3], format="{x:.3g}")
    if surface.path is not None:
        x, y = surface.path.T
        ax.plot(x, y, "-", color="white", linewidth=3.0, solid_joinstyle="round")
        ax.plot(
            x,
            y,
            "-o",
            color="black",
            linewidth=1.2,
            markersize=3 if len(x) <= 60 else 0,
            label="path of the optimizer",
        )
        ax.plot(
            x[:1],
            y[:1],
            "s",
            color="white",
            markeredgecolor="black",
            markersize=8,
            linestyle="none",
            label="start",
        )
    ax.plot(
        [0],
        [0],
        "o",
        color=COLOURS[1],
        markeredgecolor="black",
        markersize=9,
        linestyle="none",
        label="trained network",
    )
    for set_label, k in ((ax.set_xlabel, 0), (ax.set_ylabel, 1)):
        if surface.explained is None:
            set_label(f"random direction {k + 1}")
        else:
            set_label(f"principal component {k + 1} ({surface.explained[k]:.0%} of the path's variance)")
    ax.grid(False)
    literal(ax.set_title(title, pad=26 if surface.path is not None else 8))
    if surface.path is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 0.99), ncols=3, borderaxespad=0.1)
    return figure
