"""Classification of pictures: what is taken for what, and the worst mistakes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fastopt._typing import Array
from fastopt.plots._style import new_figure, styled


@styled
def confusion_matrix(
    y: ArrayLike,
    predicted: ArrayLike,
    *,
    classes: Sequence[str] = (),
    title: str = "Confusion matrix",
) -> Figure:
    """Draw how often each class is taken for each other.

    Parameters
    ----------
    y : array_like of int, shape (n,)
        True classes.
    predicted : array_like of int, shape (n,)
        Predicted classes.
    classes : sequence of str, optional
        Names of the classes; default: the numbers.
    title : str
        Title of the picture; the accuracy is added.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the lengths differ or there is nothing to draw.
    """
    y, predicted = np.asarray(y).ravel(), np.asarray(predicted).ravel()
    if len(y) != len(predicted) or len(y) == 0:
        raise ValueError(f"predicted: expected {len(y)} > 0 classes like y, got {len(predicted)}")
    count = max(len(classes), int(max(y.max(), predicted.max())) + 1)
    names = [classes[k] if k < len(classes) else str(k) for k in range(count)]
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (y, predicted), 1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)

    side = 2.2 + 0.52 * count
    figure = new_figure(side + 0.6, side)
    ax = figure.subplots()
    image = ax.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for (i, j), number in np.ndenumerate(matrix):
        if number:
            ax.text(
                j,
                i,
                f"{number}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if shares[i, j] > 0.5 else "black",
            )
    ax.set_xticks(range(count), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(count), names)
    ax.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    ax.grid(False)
    ax.grid(which="minor", color="#DDDDDD", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(f"{title}, accuracy {np.mean(y == predicted):.1%}")
    figure.colorbar(image, ax=ax, shrink=0.6, label="share of the true class")
    return figure


@styled
def worst_mistakes(
    X: Array,
    y: ArrayLike,
    probabilities: Array,
    *,
    image_shape: tuple[int, int],
    classes: Sequence[str] = (),
    count: int = 24,
    title: str = "The worst mistakes",
) -> Figure:
    """Draw the pictures that the network was most sure of and got wrong.

    Parameters
    ----------
    X : ndarray, shape (n, rows * columns)
        Pictures.
    y : array_like of int, shape (n,)
        True classes.
    probabilities : ndarray, shape (n, classes)
        Probabilities that the network predicts for them.
    image_shape : (rows, columns)
        Shape of a picture.
    classes : sequence of str, optional
        Names of the classes; default: the numbers.
    count : int
        At most this many, the worst first: the least probability given to the true class.
    title : str
        Title of the page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    y = np.asarray(y).ravel()
    rows, columns = image_shape
    if X.shape != (len(y), rows * columns) or len(probabilities) != len(y):
        raise ValueError(
            f"X: expected {len(y)} pictures of {rows} x {columns} pixels and as many predictions, "
            f"got {X.shape} and {probabilities.shape}"
        )
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != y)
    worst = wrong[np.argsort(probabilities[wrong, y[wrong]], kind="stable")][:count]
    total = f"{title}: {len(worst)} of {len(wrong)} mistakes in {len(y)} pictures"
    across = 6
    down = max(1, -(-len(worst) // across))
    figure = new_figure(9.0, 0.6 + 2.0 * down if len(worst) else 1.0)
    figure.suptitle(total, x=0.01, ha="left", fontweight="bold")
    axes = figure.subplots(down, across, squeeze=False)

    def name(k: int) -> str:
        return classes[k] if k < len(classes) else str(k)

    for ax in axes.flat:
        ax.set_axis_off()
    for ax, i in zip(axes.flat, worst, strict=False):
        ax.imshow(X[i].reshape(rows, columns), cmap="Greys", interpolation="nearest")
        ax.set_title(
            f"{name(int(y[i]))}\ntaken for {name(int(predicted[i]))}\n{probabilities[i, predicted[i]]:.1%} sure",
            fontsize=8,
            loc="center",
            pad=3,
        )
    return figure
