"""Pictures of a training and its result: loss, accuracy, rate, decision regions, fitted curve."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from fastopt._typing import Array
from fastopt.plots._samples import Labels, Predictor, as_features, as_labels, as_shares, outputs_of, scene
from fastopt.plots._style import (
    COLOURS,
    GREY,
    MARKERS,
    line_style,
    new_figure,
    styled,
    tint,
    use_log,
)
from fastopt.plots._text import ENTRIES, add_legend, literal, name_of

#: Different looks of a class: as many combinations of colour and marker.
_LOOKS = math.lcm(len(COLOURS), len(MARKERS))
#: Most samples of a class that are drawn; more would hide each other.
_DRAWN = 5000
#: Most probabilities that are asked for at once.
_AT_ONCE = 2**22

History = Mapping[str, Sequence[float]]


@styled
def decision_regions(
    net: Predictor,
    X: ArrayLike,
    y: ArrayLike,
    *,
    classes: Sequence[str] = (),
    title: str = "Decision regions",
    resolution: int = 300,
) -> Figure:
    """Draw which class a network sees where, and the samples on top.

    The paler a region, the less sure the network is; black lines separate the classes. Of more than
    sixteen classes the legend names the first.

    Parameters
    ----------
    net : object with ``predict``
        Gives class probabilities, shape (n, classes), or (n, 1) for two classes.
    X : array_like, shape (n, 2)
        Samples with two features, numbers of any type.
    y : array_like, shape (n,) or (n, classes)
        Their classes: numbers from 0, or one-hot rows.
    classes : sequence of str, optional
        Names for the legend; default: the numbers.
    title : str
        Title of the picture.
    resolution : int
        The network is asked at this many points along each axis.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the samples do not have two features, or not one class each out of those that the network
        knows.
    """
    figure = new_figure(5.6, 4.8)
    ax = figure.subplots()
    draw_decision_regions(ax, net, X, y, classes=classes, resolution=resolution)
    literal(ax.set_title(title))
    return figure


@styled
def fitted_curve(net: Predictor, X: ArrayLike, y: ArrayLike, *, title: str = "Fitted curve") -> Figure:
    """Draw a regression of one feature: the samples and the network's curve through them.

    Parameters
    ----------
    net : object with ``predict``
        Gives outputs, shape (n, 1).
    X : array_like, shape (n, 1)
        Samples with one feature, numbers of any type.
    y : array_like, shape (n,) or (n, 1)
        Their targets.
    title : str
        Title of the picture.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is not one feature and one output.
    """
    figure = new_figure()
    ax = figure.subplots()
    draw_fitted_curve(ax, net, X, y)
    literal(ax.set_title(title))
    return figure


@styled
def training_curves(history: History, *, title: str = "Training") -> Figure:
    """Draw loss, accuracy and learning rate over the epochs, as far as the history has them.

    Parameters
    ----------
    history : mapping
        Lists with one value per epoch: ``loss``, and of ``val_loss``, ``accuracy``,
        ``val_accuracy`` and ``lr`` those that there are.
    title : str
        Title of the picture.

    Returns
    -------
    Figure
    """
    panels = _panels(history)
    figure = new_figure(6.4, 1.0 + 1.9 * panels)
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    _draw_curves(list(axes), history)
    figure.align_ylabels(axes)
    literal(figure.suptitle(title, x=0.02, ha="left", fontweight="bold"))
    return figure


@styled
def training_report(
    net: Predictor,
    X: ArrayLike,
    y: ArrayLike,
    history: History,
    *,
    classes: Sequence[str] = (),
    title: str = "Training",
) -> Figure:
    """Draw the result of a training beside its course.

    Left the decision regions (two features) or the fitted curve (regression of one feature),
    right what `training_curves` draws; for other data only the latter. Whether the targets are
    classes is known to the network's loss. Without one (``net.loss``), targets that are no
    floating-point numbers are, as far as there are outputs for them.

    Parameters
    ----------
    net : object with ``predict``
        The trained network.
    X, y : array_like
        The samples to show, usually the training set.
    history : mapping
        As for `training_curves`.
    classes : sequence of str, optional
        Names of the classes.
    title : str
        Title of the picture.

    Returns
    -------
    Figure
    """
    X = as_features(X)
    seen = scene(net, X, y)
    if not seen:
        return training_curves(history, title=title)
    panels = _panels(history)
    figure = new_figure(10.0, max(4.6, 0.8 + 1.7 * panels))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.15, 1))[0]
    ax = left.subplots()
    if seen == "curve":
        draw_fitted_curve(ax, net, X, y)
        ax.set_title("Fitted curve")
    else:
        draw_decision_regions(ax, net, X, y, classes=classes)
        ax.set_anchor("N")
        ax.set_title("Decision regions")
    axes = right.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    _draw_curves(list(axes), history)
    right.align_ylabels(axes)
    literal(figure.suptitle(title, x=0.01, ha="left", fontweight="bold"))
    return figure


def draw_decision_regions(
    ax: Axes,
    net: Predictor,
    X: ArrayLike,
    y: ArrayLike,
    *,
    classes: Sequence[str] = (),
    resolution: int = 300,
) -> None:
    """Draw decision regions and samples into given axes; see `decision_regions`."""
    X, labels = as_features(X), as_labels(y)
    if X.shape[1] != 2:
        raise ValueError(f"X: decision regions need two features, got shape {X.shape}")
    if len(labels) != len(X):
        raise ValueError(f"y: expected {len(X)} classes, as many as samples, got {len(labels)}")
    known = outputs_of(net, X)
    if labels.max() >= known:
        raise ValueError(f"y: expected classes below {known}, as the network has outputs, got {labels.max()}")
    x1, x2 = grid_around(X, resolution)
    if known <= ENTRIES:
        _draw_regions(ax, net, x1, x2)
    else:
        _draw_many_regions(ax, net, x1, x2)
    ax.grid(False)
    draw_samples(ax, X, labels, classes)


def _draw_regions(ax: Axes, net: Predictor, x1: Array, x2: Array) -> None:
    shares = class_shares(net, x1, x2)
    _show_image(ax, region_image(shares.argmax(axis=2), shares.max(axis=2), shares.shape[2]), x1, x2)
    for k in np.unique(shares.argmax(axis=2)):
        lead = shares[:, :, k] - np.delete(shares, k, axis=2).max(axis=2)
        if lead.min() < 0:
            ax.contour(x1, x2, lead, levels=[0.0], colors="black", linewidths=0.9)


def _draw_many_regions(ax: Axes, net: Predictor, x1: Array, x2: Array) -> None:
    """Draw regions whose borders are black points of the image, not a curve per class."""
    best, image = regions(net, x1, x2)
    image[:, :-1][best[:, :-1] != best[:, 1:]] = 0
    image[:-1][best[:-1] != best[1:]] = 0
    _show_image(ax, image, x1, x2)


def _show_image(ax: Axes, image: Array, x1: Array, x2: Array) -> None:
    ax.imshow(
        image,
        extent=(x1[0], x1[-1], x2[0], x2[-1]),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )


def _grid(x1: Array, x2: Array) -> Array:
    return np.stack([a.ravel() for a in np.meshgrid(x1, x2)], axis=1)


def class_shares(net: Predictor, x1: Array, x2: Array) -> NDArray[np.float64]:
    """Ask a network over a grid: probabilities of shape (len(x2), len(x1), classes)."""
    return as_shares(net.predict(_grid(x1, x2))).reshape(len(x2), len(x1), -1)


def regions(net: Predictor, x1: Array, x2: Array) -> tuple[Labels, NDArray[np.float64]]:
    """Return the likeliest class at each point of a grid, shape (len(x2), len(x1)), and the image of the regions.

    The probabilities of many classes are not kept together.
    """
    grid = _grid(x1, x2)
    count = outputs_of(net, grid)
    best, share = np.empty(len(grid), np.intp), np.empty(len(grid))
    rows = max(1, _AT_ONCE // count)
    for i in range(0, len(grid), rows):
        shares = as_shares(net.predict(grid[i : i + rows]))
        best[i : i + rows], share[i : i + rows] = shares.argmax(axis=1), shares.max(axis=1)
    shape = len(x2), len(x1)
    return best.reshape(shape), region_image(best.reshape(shape), share.reshape(shape), count)


def region_image(best: Labels, share: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Colour each point like its likeliest class, the paler the smaller its share."""
    sure = np.clip((share - 1 / count) / (1 - 1 / count), 0, 1)
    tints = np.stack([tint(colour, 0.45) for colour in COLOURS])
    image: NDArray[np.float64] = 1 - (0.15 + 0.85 * sure)[..., None] * (1 - tints[best % len(COLOURS)])
    return image


def grid_around(X: Array, resolution: int) -> tuple[Array, Array]:
    """Return coordinates along both axes of a rectangle a little larger than the samples."""
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.06 * (high - low) + 1e-6
    x1, x2 = np.linspace(low - margin, high + margin, resolution, dtype=X.dtype).T
    return x1, x2


def draw_samples(ax: Axes, X: Array, labels: Labels, classes: Sequence[str] = (), size: float = 5) -> None:
    """Draw samples of two features, each class with its marker and colour, and the legend."""
    count = int(labels.max()) + 1
    lines = []
    for k in range(min(count, _LOOKS)):
        alike = X[labels == k] if count <= _LOOKS else X[labels % _LOOKS == k]
        alike = alike[:: -(-len(alike) // _DRAWN) or 1]
        marker = MARKERS[k % len(MARKERS)]
        lines += ax.plot(
            alike[:, 0],
            alike[:, 1],
            marker,
            color=COLOURS[k % len(COLOURS)],
            markeredgecolor="white",
            markeredgewidth=0.6,
            # At the same size, these look smaller than circle and square.
            markersize=1.2 * size if marker in "^v<>*" else size,
        )
    ax.set_xlabel("feature 1")
    ax.set_ylabel("feature 2")
    ax.set_box_aspect(1)
    handles = [lines[k % _LOOKS] for k in range(count)]
    names = [name_of(k, classes) for k in range(count)]
    add_legend(ax, handles, names, title="class", loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)


def draw_fitted_curve(ax: Axes, net: Predictor, X: ArrayLike, y: ArrayLike) -> None:
    """Draw samples and fitted curve into given axes; see `fitted_curve`."""
    X, y = as_features(X), np.asarray(y)
    if X.shape[1] != 1 or y.size != len(X):
        raise ValueError(f"X, y: a fitted curve needs one feature and one output, got {X.shape}, {y.shape}")
    low, high = X.min(), X.max()
    margin = 0.03 * (high - low)
    x = np.linspace(low - margin, high + margin, 500, dtype=X.dtype).reshape(-1, 1)
    some = slice(None, None, -(-len(X) // _DRAWN))
    ax.plot(
        X[some, 0],
        y.reshape(-1)[some],
        "o",
        color=GREY,
        markersize=4 if len(X) <= 200 else 2,
        alpha=0.7,
        markeredgewidth=0,
        label="samples",
    )
    ax.plot(x[:, 0], net.predict(x).reshape(-1), color=COLOURS[1], label="network")
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    ax.legend()


def _panels(history: History) -> int:
    return 1 + ("accuracy" in history) + ("lr" in history)


def _draw_curves(axes: list[Axes], history: History) -> None:
    remaining = iter(axes)
    draw_curve(next(remaining), history, "loss", "loss")
    if len(axes[0].lines) > 1:
        axes[0].legend()
    if "accuracy" in history:
        draw_curve(next(remaining), history, "accuracy", "accuracy")
    if "lr" in history:
        draw_curve(next(remaining), history, "lr", "learning rate")
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def draw_curve(ax: Axes, history: History, key: str, label: str) -> None:
    """Draw one quantity over the epochs, and its validation twin if the history has it."""
    drawn: list[ArrayLike] = []
    for index, (name, kind) in enumerate(((key, "training"), (f"val_{key}", "validation"))):
        if name not in history or len(history[name]) == 0:
            continue
        values = np.asarray(history[name], dtype=np.float64)
        drawn.append(values)
        ax.plot(
            np.arange(1, len(values) + 1),
            values,
            **line_style(index),
            marker=MARKERS[index] if len(values) <= 12 else "",
            label=kind,
        )
    ax.set_ylabel(label)
    if drawn:
        scale_curve(ax, key, drawn)


def scale_curve(ax: Axes, key: str, drawn: list[ArrayLike]) -> None:
    """Choose the vertical axis for a quantity: logarithmic where that reads better, a rate from zero."""
    # A rate that is annealed to almost nothing would spend the axis on its last steps.
    annealed = key == "lr" and np.min(drawn[0]) < 1e-4 * np.max(drawn[0])
    if key != "accuracy" and not annealed and use_log(drawn):
        ax.set_yscale("log")
    elif key == "lr":
        ax.set_ylim(0, 1.1 * float(np.nanmax(drawn[0])) or 1)
