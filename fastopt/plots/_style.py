"""One look for all pictures: colours, lines and markers that also work in black and white."""

import functools
import io
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from fastopt.plots._text import font_families, glyphs_may_be_missing

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: Okabe and Ito's colour-blind-safe palette, without its yellow, which is too faint for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (1, 1)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")

#: Grey of what only supports the picture: reference lines, hints.
GREY = "#767676"

_RC: dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#404040",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "image.cmap": "viridis",
    # The same picture is the same file, so that it can be kept under version control.
    "svg.hashsalt": "fastopt",
}


def styled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function in this style, whatever the user's own settings, and leave those alone."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with matplotlib.style.context(["default", _RC, {"font.family": font_families()}]):
            return function(*args, **kwargs)

    return run


def new_figure(width: float = 6.4, height: float = 4.2) -> Figure:
    """Make a figure, in inches, that no window manager knows of."""
    figure = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # else each text that is measured makes a canvas of its own
    return figure


class Picture(Figure):
    """A figure that a notebook shows."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        with glyphs_may_be_missing():
            self.savefig(file, format="png", dpi=100)
        return file.getvalue()


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the line with this number; 49 differ before they repeat."""
    k = index % len(COLOURS)
    return {"color": COLOURS[k], "linestyle": LINES[(k + index // len(COLOURS)) % len(LINES)]}


def tint(colour: str, strength: float) -> NDArray[np.float64]:
    """Mix a colour with white; strength 1 leaves it as it is."""
    return 1 - strength * (1 - np.array(to_rgb(colour)))


def use_log(values: Iterable[ArrayLike]) -> bool:
    """Say whether values span so much, and are all positive, that a log axis reads better."""
    flat = np.concatenate([np.ravel(v) for v in values])
    flat = flat[np.isfinite(flat)]
    return bool(flat.size and flat.min() > 0 and flat.max() > 30 * flat.min())


def capitalized(text: str) -> str:
    """Begin a text with a capital letter and leave the rest as it is."""
    return text[:1].upper() + text[1:]
