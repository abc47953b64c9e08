"""The small data sets of teaching material."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastopt._checks import COUNT, integer, real
from fastopt._extras import require
from fastopt.nn.data._dataset import Dataset, check_pixel_range, scale_pixels, train_validation_split

_NOISE = real(at_least=0, at_most=1e6)
_SEED = integer(0, bits=32)  # of a RandomState


def spiral(samples: int = 100, classes: int = 3, noise: float = 0.2, seed: int = 0) -> Dataset:
    """Arms of a spiral, one per class: the data set of CS231n and of Neural Networks from Scratch.

    Class k lies at radius r and angle t, both evenly spaced along the arm::

        r = 0 ... 1,   t = 4k ... 4(k+1) + noise * N(0, 1),   X = r * (sin 2.5t, cos 2.5t)

    Parameters
    ----------
    samples : int
        Samples per class; the test set is as large.
    classes : int
        Number of arms.
    noise : float
        Standard deviation of t, from 0 to 1e6.
    seed : int
        With seed 0 and the defaults, the training points are those of the book.

    Returns
    -------
    Dataset
        2 features; the test set continues the same random stream.

    References
    ----------
    CS231n, "Putting it together: Minimal Neural Network Case Study"; Kinsley and Kukieła,
    Neural Networks from Scratch, chapter 3 (``nnfs.datasets.spiral_data``).

    Examples
    --------
    >>> spiral()
    Dataset('spiral', classification, 300 + 300 samples, 2 features, 3 outputs)
    """
    samples, classes = COUNT("samples", samples), COUNT("classes", classes)
    noise, seed = _NOISE("noise", noise), _SEED("seed", seed)

    def draw(random: np.random.RandomState) -> list[NDArray[np.float64]]:
        arms = []
        radius = np.linspace(0.0, 1.0, samples)
        for k in range(classes):
            t = np.linspace(4 * k, 4 * (k + 1), samples) + noise * random.standard_normal(samples)
            arms.append(np.stack([radius * np.sin(2.5 * t), radius * np.cos(2.5 * t)], axis=1))
        return arms

    return _blobs("spiral", draw, samples, classes, seed)


def vertical(samples: int = 100, classes: int = 3, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Round clouds side by side, one per class: centres (k/3, 1/2).

    Parameters
    ----------
    samples : int
        Samples per class; the test set is as large.
    classes : int
        Number of clouds.
    noise : float
        Standard deviation of both coordinates, from 0 to 1e6.
    seed : int
        With seed 0 and the defaults, the training points are those of the book.

    Returns
    -------
    Dataset
        2 features; the test set continues the same random stream.

    References
    ----------
    Kinsley and Kukieła, Neural Networks from Scratch, chapter 6 (``nnfs.datasets.vertical_data``).

    Examples
    --------
    >>> vertical(samples=50, classes=2)
    Dataset('vertical', classification, 100 + 100 samples, 2 features, 2 outputs)
    """
    samples, classes = COUNT("samples", samples), COUNT("classes", classes)
    noise, seed = _NOISE("noise", noise), _SEED("seed", seed)

    def draw(random: np.random.RandomState) -> list[NDArray[np.float64]]:
        clouds = []
        for k in range(classes):
            x = k / 3 + noise * random.standard_normal(samples)
            y = 0.5 + noise * random.standard_normal(samples)
            clouds.append(np.stack([x, y], axis=1))
        return clouds

    return _blobs("vertical", draw, samples, classes, seed)


def sine(samples: int = 1000) -> Dataset:
    """One period of the sine as a regression: y = sin(2 pi x), x = 0, 1/n, ... (n-1)/n.

    Parameters
    ----------
    samples : int
        Number of training samples. The test samples lie halfway between them.

    Returns
    -------
    Dataset
        1 feature, 1 output.

    References
    ----------
    Kinsley and Kukieła, Neural Networks from Scratch, chapter 17 (``nnfs.datasets.sine_data``).

    Examples
    --------
    >>> sine()
    Dataset('sine', regression, 1000 + 1000 samples, 1 features, 1 outputs)
    """
    samples = COUNT("samples", samples)
    x = np.arange(samples).reshape(-1, 1) / samples
    x_test = x + 0.5 / samples
    arrays = (x, np.sin(2 * np.pi * x), x_test, np.sin(2 * np.pi * x_test))
    X, y, X_test, y_test = (a.astype(np.float32) for a in arrays)
    return Dataset(X, y, X_test, y_test, "sine", task="regression")


def digits(*, test: float = 0.2, seed: int = 0, pixel_range: tuple[float, float] = (-1.0, 1.0)) -> Dataset:
    """scikit-learn's handwritten digits: 1797 pictures of 8 x 8 pixels.

    Parameters
    ----------
    test : float
        Share of the samples that goes into the test set.
    seed : int
        Same seed, same split.
    pixel_range : (low, high)
        Pixels 0...16 are scaled linearly to this range.

    Returns
    -------
    Dataset
        64 features, 10 classes.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    """
    bounds = check_pixel_range(pixel_range)
    datasets = require("sklearn.datasets", extra="data", what="the digits data set")
    X, y = datasets.load_digits(return_X_y=True)
    X, y, X_test, y_test = train_validation_split(
        scale_pixels(X, 16, bounds), y.astype(np.int64), validation=test, seed=seed
    )
    return Dataset(X, y, X_test, y_test, "digits", tuple("0123456789"), image_shape=(8, 8))


def _blobs(
    name: str,
    draw: Callable[[np.random.RandomState], list[NDArray[np.float64]]],
    samples: int,
    classes: int,
    seed: int,
) -> Dataset:
    # RandomState's stream is frozen for good, and it is the one that the book's data comes from.
    random = np.random.RandomState(seed)
    X, X_test = (np.concatenate(draw(random)).astype(np.float32) for _ in range(2))
    y = np.repeat(np.arange(classes), samples)
    return Dataset(X, y, X_test, y.copy(), name, tuple(str(k) for k in range(classes)))
