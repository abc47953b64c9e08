"""Pictures of a training and its result: loss, accuracy, rate, decision regions, fitted curve."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from fastopt._typing import Array
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


class Predictor(Protocol):
    """A trained network, or another object with its ``predict``."""

    def predict(self, X: Array, /) -> Array:
        """Class probabilities, or outputs of a regression, one sample per row."""
        ...


History = Mapping[str, Sequence[float]]


@styled
def decision_regions(
    net: Predictor,
    X: Array,
    y: Array,
    *,
    classes: Sequence[str] = (),
    title: str = "Decision regions",
    resolution: int = 300,
) -> Figure:
    """Draw which class a network sees where, and the samples on top.

    The paler a region, the less sure the network is; black lines separate the classes.

    Parameters
    ----------
    net : object with ``predict``
        Gives class probabilities, shape (n, classes), or (n, 1) for two classes.
    X : ndarray, shape (n, 2)
        Samples with two features.
    y : ndarray of int, shape (n,)
        Their classes.
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
        If the samples do not have two features.
    """
    figure = new_figure(5.6, 4.8)
    ax = figure.subplots()
    draw_decision_regions(ax, net, X, y, classes=classes, resolution=resolution)
    ax.set_title(title)
    return figure


@styled
def fitted_curve(net: Predictor, X: Array, y: Array, *, title: str = "Fitted curve") -> Figure:
    """Draw a regression of one feature: the samples and the network's curve through them.

    Parameters
    ----------
    net : object with ``predict``
        Gives outputs, shape (n, 1).
    X : ndarray, shape (n, 1)
        Samples with one feature.
    y : ndarray, shape (n,) or (n, 1)
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
    ax.set_title(title)
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
    figure.suptitle(title, x=0.02, ha="left", fontweight="bold")
    return figure


@styled
def training_report(
    net: Predictor,
    X: Array,
    y: Array,
    history: History,
    *,
    classes: Sequence[str] = (),
    title: str = "Training",
) -> Figure:
    """Draw the result of a training beside its course.

    Left the decision regions (two features) or the fitted curve (regression of one feature),
    right what `training_curves` draws; for other data only the latter.

    Parameters
    ----------
    net : object with ``predict``
        The trained network.
    X, y : ndarray
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
    regression = np.asarray(y).dtype.kind == "f"
    if X.shape[1] != (1 if regression else 2):
        return training_curves(history, title=title)
    panels = _panels(history)
    figure = new_figure(10.0, max(4.6, 0.8 + 1.7 * panels))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.15, 1))[0]
    ax = left.subplots()
    if regression:
        draw_fitted_curve(ax, net, X, y)
        ax.set_title("Fitted curve")
    else:
        draw_decision_regions(ax, net, X, y, classes=classes)
        ax.set_anchor("N")
        ax.set_title("Decision regions")
    axes = right.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    _draw_curves(list(axes), history)
    right.align_ylabels(axes)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def draw_decision_regions(
    ax: Axes,
    net: Predictor,
    X: Array,
    y: Array,
    *,
    classes: Sequence[str] = (),
    resolution: int = 300,
) -> None:
    """Draw decision regions and samples into given axes; see `decision_regions`."""
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X: decision regions need two features, got shape {X.shape}")
    x1, x2 = grid_around(X, resolution)
    draw_regions(ax, net, x1, x2, X.dtype)
    draw_samples(ax, X, y, classes)
    ax.legend(title="class", loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)


def draw_regions(ax: Axes, net: Predictor, x1: Array, x2: Array, dtype: Any) -> None:
    """Draw only the regions, over the grid of the coordinates `x1` and `x2`."""
    shares = class_shares(net, x1, x2, dtype)
    ax.imshow(
        region_image(shares),
        extent=(x1[0], x1[-1], x2[0], x2[-1]),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )
    for k in np.unique(shares.argmax(axis=2)):
        lead = shares[:, :, k] - np.delete(shares, k, axis=2).max(axis=2)
        if lead.min() < 0:
            ax.contour(x1, x2, lead, levels=[0.0], colors="black", linewidths=0.9)
    ax.grid(False)


def class_shares(net: Predictor, x1: Array, x2: Array, dtype: Any) -> NDArray[np.float64]:
    """Ask a network over a grid: probabilities of shape (len(x2), len(x1), classes)."""
    grid = np.stack([a.ravel() for a in np.meshgrid(x1, x2)], axis=1).astype(dtype)
    shares = np.asarray(net.predict(grid), dtype=np.float64).reshape(len(grid), -1)
    if shares.shape[1] == 1:
        shares = np.concatenate([1 - shares, shares], axis=1)
    return shares.reshape(len(x2), len(x1), -1)


def region_image(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colour each point like its likeliest class, the paler the less sure."""
    count = shares.shape[2]
    sure = np.clip((shares.max(axis=2) - 1 / count) / (1 - 1 / count), 0, 1)
    tints = np.stack([tint(COLOURS[k % len(COLOURS)], 0.45) for k in range(count)])
    image: NDArray[np.float64] = 1 - (0.15 + 0.85 * sure)[:, :, None] * (1 - tints[shares.argmax(axis=2)])
    return image


def grid_around(X: Array, resolution: int) -> tuple[Array, Array]:
    """Return coordinates along both axes of a rectangle a little larger than the samples."""
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.06 * (high - low) + 1e-6
    x1, x2 = np.linspace(low - margin, high + margin, resolution).T
    return x1, x2


def draw_samples(ax: Axes, X: Array, y: Array, classes: Sequence[str] = (), size: float = 5) -> None:
    """Draw samples of two features, each class with its marker and colour."""
    y = np.asarray(y).reshape(-1).astype(int)
    for k in range(int(y.max()) + 1):
        of_class = X[y == k]
        marker = MARKERS[k % len(MARKERS)]
        ax.plot(
            of_class[:, 0],
            of_class[:, 1],
            marker,
            color=COLOURS[k % len(COLOURS)],
            markeredgecolor="white",
            markeredgewidth=0.6,
            # At the same size, these look smaller than circle and square.
            markersize=1.2 * size if marker in "^v<>*" else size,
            label=classes[k] if k < len(classes) else str(k),
        )
    ax.set_xlabel("feature 1")
    ax.set_ylabel("feature 2")
    ax.set_box_aspect(1)


def draw_fitted_curve(ax: Axes, net: Predictor, X: Array, y: Array) -> None:
    """Draw samples and fitted curve into given axes; see `fitted_curve`."""
    if X.ndim != 2 or X.shape[1] != 1 or y.size != len(X):
        raise ValueError(f"X, y: a fitted curve needs one feature and one output, got {X.shape}, {y.shape}")
    margin = 0.03 * (X.max() - X.min())
    x = np.linspace(X.min() - margin, X.max() + margin, 500, dtype=X.dtype).reshape(-1, 1)
    few = len(X) <= 200
    ax.plot(
        X[:, 0],
        y.reshape(-1),
        "o",
        color=GREY,
        markersize=4 if few else 2,
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
