"""Time per element over size: who is how fast, in the cache and out of it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fastopt.plots._style import COLOURS, GREY, LINES, MARKERS, new_figure, styled

Panels = Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]


@styled
def bench(
    panels: Panels,
    *,
    limit: str = "memory limit",
    title: str = "Time of an optimizer step per element",
) -> Figure:
    """Draw the time per element over size, a line per contender and a panel per comparison.

    Parameters
    ----------
    panels : mapping
        Titles of the panels to names of contenders to sizes (elements) and times (nanoseconds per
        element). The first contender is the one that the others are compared with.
    limit : str
        Name of the contender that is no contender but the bound: drawn as the edge of an area.
    title : str
        Title of the picture.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is nothing to draw, or sizes and times differ in number.
    """
    if not panels or not all(panels.values()):
        raise ValueError("panels: expected at least one panel with a line")
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines if name != limit))
    looks = _looks(names)
    # A decade is as wide in every panel.
    decades = [max(1.5, _decades(lines.values())) for lines in panels.values()]
    figure = new_figure(3.2 + 0.95 * sum(decades), 4.8)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=decades)[0]
    handles = {}
    for ax, (panel, lines) in zip(axes, panels.items(), strict=True):
        for name, (sizes, times) in lines.items():
            if len(sizes) != len(times):
                raise ValueError(
                    f"panels[{panel!r}][{name!r}]: expected as many times as sizes, got {len(times)} and {len(sizes)}"
                )
            if name == limit:
                (handles[name],) = ax.plot(sizes, times, color=GREY, linewidth=1.2, label=name)
                ax.fill_between(sizes, times, min(times) / 1e3, color=GREY, alpha=0.15, linewidth=0)
                continue
            first = name == names[0]
            (handles[name],) = ax.plot(
                sizes,
                times,
                **looks[name],
                linewidth=2.6 if first else 1.3,
                markersize=5.5 if first else 4,
                zorder=3 if first else 2,
                label=name,
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(panel)
        ax.set_xlabel("parameters (elements)")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[0].set_ylabel("nanoseconds per element")
    values = [time for lines in panels.values() for _, times in lines.values() for time in times]
    axes[0].set_ylim(min(values) / 1.6, max(values) * 1.6)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    ordered = [handles[name] for name in [*names, limit] if name in handles]
    figure.legend(handles=ordered, loc="outside right center", handlelength=3.4)
    return figure


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a colour for each library, a dash for each way of using it, a marker for each contender.

    The library is the first word of the name: "torch fused" and "torch.optim" are both torch's.
    """
    looks: dict[str, dict[str, Any]] = {}
    libraries: dict[str, int] = {}
    for k, name in enumerate(names):
        library = name.replace(".", " ").split()[0]
        way = libraries[library] = libraries.get(library, -1) + 1
        looks[name] = {
            "color": COLOURS[list(libraries).index(library) % len(COLOURS)],
            "linestyle": LINES[way % len(LINES)],
            "marker": MARKERS[k % len(MARKERS)],
        }
    return looks


def _decades(lines: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    sizes = [size for x, _ in lines for size in x]
    return math.log10(max(sizes) / min(sizes)) + 0.3


@styled
def ratios(
    panels: Mapping[str, Mapping[str, Mapping[str, float]]],
    *,
    label: str = "times as long as fastopt",
    title: str = "Time of an optimizer step",
) -> Figure:
    """Draw how many times as long as fastopt others take, a row per rule and a panel per setting.

    Parameters
    ----------
    panels : mapping
        Titles of the panels to names of the rows to names of contenders to ratios, > 0. Rows are sorted by the ratio of
        the first contender in the first panel.
    label : str
        What the ratios are; those below 1 lie on a grey ground.
    title : str
        Title of the picture.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not panels or not all(panels.values()):
        raise ValueError("panels: expected at least one panel with a row")
    first = next(iter(panels.values()))
    rows = sorted(first, key=lambda row: next(iter(first[row].values())))
    contenders = list(dict.fromkeys(name for panel in panels.values() for row in panel.values() for name in row))
    figure = new_figure(1.9 + 3.3 * len(panels), 1.6 + 0.29 * len(rows))
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    values = [ratio for panel in panels.values() for row in panel.values() for ratio in row.values()]
    low, high = min(0.5, min(values) / 1.4), max(2.0, max(values) * 1.4)
    for ax, (panel, found) in zip(axes, panels.items(), strict=True):
        ax.axvspan(low, 1, color=GREY, alpha=0.15, linewidth=0)
        ax.axvline(1, color=GREY, linewidth=1.2)
        for k, name in enumerate(contenders):
            lift = 0.22 * ((len(contenders) - 1) / 2 - k)  # so that equal ratios do not hide each other
            known = [(found[row][name], y + lift) for y, row in enumerate(rows) if name in found.get(row, {})]
            ax.plot(
                [ratio for ratio, _ in known],
                [y for _, y in known],
                color=COLOURS[k % len(COLOURS)],
                marker=MARKERS[k % len(MARKERS)],
                linestyle="none",
                markersize=5,
                label=name,
            )
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        ticks = [tick for decade in (0.01, 0.1, 1, 10, 100, 1000) for tick in (decade, 2 * decade, 5 * decade)]
        ax.set_xticks([tick for tick in ticks if low <= tick <= high])
        ax.minorticks_off()
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.set_title(panel)
        ax.set_xlabel(label)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.legend(handles=axes[0].get_lines()[1:], loc="outside lower center", ncols=len(contenders))
    return figure
