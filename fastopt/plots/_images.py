"""Classification of pictures: what is taken for what, and the worst mistakes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from fastopt.plots._samples import Labels, as_labels, as_shares
from fastopt.plots._style import new_figure, styled
from fastopt.plots._text import literal, name_of, name_ticks

#: Most classes of a confusion matrix: beyond, its numbers could not be read on a page.
_CLASSES = 30


@styled
def confusion_matrix(
    y: ArrayLike,
    predicted: ArrayLike,
    *,
    classes: Sequence[str] = (),
    title: str = "Confusion matrix",
) -> Figure:
    """Draw how often each class is taken for each other.

    Of more than thirty classes, the thirty that are in most mistakes.

    Parameters
    ----------
    y : array_like, shape (n,) or (n, classes)
        True classes: numbers from 0, or one-hot rows.
    predicted : array_like, shape (n,) or (n, classes)
        Predicted classes, or their probabilities.
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
    y, predicted = as_labels(y), as_labels(predicted, "predicted")
    if len(y) != len(predicted) or len(y) == 0:
        raise ValueError(f"predicted: expected {len(y)} > 0 classes like y, got {len(predicted)}")
    known = max(len(classes), int(max(y.max(), predicted.max())) + 1)
    shown = _most_confused(y, predicted, known)
    count = len(shown)
    names = [name_of(k, classes) for k in shown]
    place = np.full(known, -1)
    place[shown] = np.arange(count)
    both = (place[y] >= 0) & (place[predicted] >= 0)
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (place[y[both]], place[predicted[both]]), 1)
    shares = matrix / np.maximum(np.bincount(y, minlength=known)[shown], 1)[:, None]

    cell = min(0.52, 12 / count)
    side = 2.2 + cell * count
    figure = new_figure(side + 0.6, side)
    ax = figure.subplots()
    image = ax.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    # In points; a digit is about two thirds as wide as high.
    size = min(8.0, 72 * cell / (0.66 * (len(str(matrix.max())) + 1)))
    for (i, j), number in np.ndenumerate(matrix):
        if number:
            ax.text(
                j,
                i,
                f"{number}",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if shares[i, j] > 0.5 else "black",
            )
    name_ticks(ax.xaxis, names, width=1.4, rotation=45, ha="right", rotation_mode="anchor")
    name_ticks(ax.yaxis, names, width=1.4)
    ax.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    ax.grid(False)
    ax.grid(which="minor", color="#DDDDDD", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    part = f"\n{count} of {known} classes, those in most mistakes" if count < known else ""
    literal(ax.set_title(f"{title}, accuracy {np.mean(y == predicted):.1%}{part}"), max(cell * count, 4.0))
    figure.colorbar(image, ax=ax, shrink=0.6, label="share of the true class")
    return figure


def _most_confused(y: Labels, predicted: Labels, known: int) -> NDArray[np.intp]:
    """Return the classes to show, ascending: all, or those in most mistakes, of equal ones the most frequent."""
    wrong = y != predicted
    mistakes = np.bincount(np.concatenate([y[wrong], predicted[wrong]]), minlength=known)
    order = np.lexsort((-np.bincount(y, minlength=known), -mistakes))
    return np.sort(order[:_CLASSES])


@styled
def worst_mistakes(
    X: ArrayLike,
    y: ArrayLike,
    probabilities: ArrayLike,
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
    y : array_like, shape (n,) or (n, classes)
        True classes: numbers from 0, or one-hot rows.
    probabilities : array_like, shape (n, classes), or (n, 1) for two classes
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
    X, y, probabilities = np.asarray(X), as_labels(y), as_shares(probabilities)
    rows, columns = image_shape
    if X.shape != (len(y), rows * columns) or len(probabilities) != len(y):
        raise ValueError(
            f"X: expected {len(y)} pictures of {rows} x {columns} pixels and as many predictions, "
            f"got {X.shape} and {probabilities.shape}"
        )
    if len(y) and y.max() >= probabilities.shape[1]:
        raise ValueError(f"y: expected classes below {probabilities.shape[1]}, got {y.max()}")
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != y)
    worst = wrong[np.argsort(probabilities[wrong, y[wrong]], kind="stable")][:count]
    total = f"{title}: {len(worst)} of {len(wrong)} mistakes in {len(y)} pictures"
    across = 6
    down = max(1, -(-len(worst) // across))
    figure = new_figure(9.0, 0.6 + 2.0 * down if len(worst) else 1.0)
    literal(figure.suptitle(total, x=0.01, ha="left", fontweight="bold"))
    axes = figure.subplots(down, across, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, i in zip(axes.flat, worst, strict=False):
        ax.imshow(X[i].reshape(rows, columns), cmap="Greys", interpolation="nearest")
        true, taken = (name_of(int(k), classes) for k in (y[i], predicted[i]))
        text = f"{true}\ntaken for {taken}\n{probabilities[i, predicted[i]]:.1%} sure"
        literal(ax.set_title(text, fontsize=8, loc="center", pad=3), 1.4)
    return figure
