"""Text that somebody else wrote: names of classes, files and runs stand in a picture as they are."""

import functools
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text

#: Most entries of a legend: more do not fit beside a picture, and could not be told apart.
ENTRIES = 16

#: Fonts with the characters that matplotlib's own font lacks, Chinese, Japanese and Korean above all.
_OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
)


def literal(text: Text, width: float | None = None, *, wrap: bool = False) -> Text:
    """Let a text stand for itself, each line shortened in the middle if it is longer than `width`.

    Dollar signs are no mathematics, and characters that cannot be drawn become visible or blank.

    Parameters
    ----------
    text : matplotlib.text.Text
        What ``set_title`` and the like return.
    width : float, optional
        In inches; default: the figure's, less one inch.
    wrap : bool
        Break lines first, at blanks. (Text that matplotlib wraps is mathematics to it.)

    Returns
    -------
    Text
        The same.
    """
    text.set_parse_math(False)
    text.set_usetex(False)
    rotation = text.get_rotation()
    text.set_rotation(0)
    figure = text.get_figure(root=True)
    assert figure is not None
    most = (figure.get_figwidth() - 1.0 if width is None else width) * figure.dpi

    def fits(line: str) -> bool:
        text.set_text(line)
        with glyphs_may_be_missing():
            return text.get_window_extent().width <= most

    lines = printable(text.get_text()).split("\n")
    if wrap:
        lines = [part for line in lines for part in _wrapped(line, fits)]
    text.set_text("\n".join(line if fits(line) else _shortened(line, fits) for line in lines))
    text.set_rotation(rotation)
    return text


def add_legend(
    owner: Axes | Figure,
    handles: Sequence[Artist],
    names: Sequence[str],
    *,
    width: float = 1.6,
    most: int = ENTRIES,
    **settings: Any,
) -> Legend:
    """Add a legend with every name as it is, in one line; of more than `most` it says how many are left out.

    Parameters
    ----------
    owner : Axes or Figure
        What the legend belongs to.
    handles : sequence of Artist
        What the names stand for.
    names : sequence of str
        As many names.
    width : float
        The longest name that is not shortened, in inches.
    most : int
        The largest number of entries.
    **settings
        For ``owner.legend``.

    Returns
    -------
    Legend
    """
    shown, texts = list(handles), [one_line(name) for name in names]
    if len(shown) > most:
        shown[most - 1 :] = [Line2D([], [], linestyle="none")]
        texts[most - 1 :] = [f"and {len(handles) - most + 1} more"]
    # A legend made with names leaves those out that begin with an underscore.
    legend = owner.legend(shown, len(shown) * ["name"], **settings)
    for entry, name in zip(legend.get_texts(), texts, strict=True):
        entry.set_text(name)
        literal(entry, width)
    return legend


def name_ticks(axis: Axis, names: Sequence[str], *, width: float, **look: Any) -> None:
    """Write names at the ticks 0, 1, 2, ... of an axis."""
    axis.set_ticks(range(len(names)), names, **look)
    # The axis writes them anew whenever it is drawn.
    axis.set_ticklabels([literal(label, width).get_text() for label in axis.get_ticklabels()], **look)


def name_of(k: int, classes: Sequence[str]) -> str:
    """Return the name of a class in one line, its number if it has none."""
    return one_line(str(classes[k])) if k < len(classes) else str(k)


def one_line(text: str) -> str:
    """Return a printable text with a blank for each line feed or wider space."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """Return a text without control characters but line feeds, half characters as escapes."""
    whole = text.encode(errors="backslashreplace").decode()
    return "".join(" " if unicodedata.category(char) == "Cc" and char != "\n" else char for char in whole)


@contextmanager
def glyphs_may_be_missing() -> Iterator[None]:
    """Say nothing of characters that no font here has: the box that is drawn says it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        yield


@functools.cache
def font_families() -> list[str]:
    """Return the usual font and those here that can stand in for it."""
    return ["sans-serif", *sorted(set(_OTHER_FONTS) & set(font_manager.get_font_names()), key=_OTHER_FONTS.index)]


def _wrapped(line: str, fits: Callable[[str], bool]) -> list[str]:
    lines = [""]
    for word in line.split(" "):
        if not lines[-1] or fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}" if lines[-1] else word
        else:
            lines.append(word)
    return lines


def _shortened(line: str, fits: Callable[[str], bool]) -> str:
    low, high = 0, min(len(line), 1000)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(_cut(line, middle)) else (low, middle)
    return _cut(line, low)


def _cut(line: str, kept: int) -> str:
    """Keep so many characters, two thirds of them from the beginning: the end tells names apart, too."""
    end = kept // 3
    return f"{line[: kept - end]}…{line[len(line) - end :]}"
