"""The type of all data sets, and the random split of samples."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastopt._checks import integer, real, tuple_of
from fastopt._typing import Array

Task = Literal["classification", "regression"]


@dataclass(frozen=True, eq=False)
class Standardization:
    """A shift and a scale per column: ``(values - mean) / scale``.

    Parameters
    ----------
    mean, scale : ndarray of float64, shape (columns,)
        Mean and standard deviation; the value itself and 1 for a column that is constant.

    Examples
    --------
    >>> scaling = Standardization.of(np.array([[1.0, 0.1], [3.0, 0.1]]))
    >>> scaling.apply(np.array([[2.0, 0.1], [4.0, 0.2]]))
    array([[0. , 0. ],
           [2. , 0.1]])
    >>> scaling.invert(np.array([[-1.0, 0.0]]))
    array([[1. , 0.1]])
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, values: Array) -> "Standardization":
        """Return the one that gives each column of `values` mean 0 and standard deviation 1.

        A column is constant if all its values are the same but for rounding: its deviation as
        computed may be 1e-17 instead of 0, by which nothing can be divided.
        """
        values = np.asarray(values, np.float64)
        low, high = values.min(axis=0), values.max(axis=0)
        constant = high - low <= 4 * np.finfo(np.float64).eps * np.maximum(abs(low), abs(high))
        unit = np.where(constant, 1.0, high - low)  # squares of the smallest and largest values leave the range
        within = (values - low) / unit
        scale = np.where(constant, 1.0, unit * within.std(axis=0))
        return cls(low + unit * within.mean(axis=0), scale)

    def apply(self, values: Array) -> NDArray[np.float64]:
        """Standardize values of shape (n, columns)."""
        result: NDArray[np.float64] = (values - self.mean) / self.scale
        return result

    def invert(self, values: Array) -> NDArray[np.float64]:
        """Return standardized values, or predictions of such, in their own units."""
        result: NDArray[np.float64] = values * self.scale + self.mean
        return result


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples to train with and samples to test with.

    Parameters
    ----------
    X, X_test : ndarray of float32, shape (n, features)
        Inputs, one sample per row.
    y, y_test : ndarray
        Classification: int64 class numbers from 0, shape (n,). Regression: float32 targets,
        shape (n, outputs).
    name : str
        Name of the data set, for titles.
    classes : tuple of str
        Names of the classes; empty for regression.
    task : {"classification", "regression"}
        The kind of target.
    image_shape : tuple of int, optional
        (rows, columns) if a sample is a flattened picture.
    X_scaling, y_scaling : Standardization, optional
        How inputs and targets were standardized, if they were: apply the one to new inputs, invert
        the other on predictions.
    note : str
        How the task was decided or the data changed, where that is not plain.
    """

    X: NDArray[np.float32]
    y: Array
    X_test: NDArray[np.float32]
    y_test: Array
    name: str
    classes: tuple[str, ...] = ()
    task: Task = "classification"
    image_shape: tuple[int, int] | None = None
    X_scaling: Standardization | None = None
    y_scaling: Standardization | None = None
    note: str = ""

    def __repr__(self) -> str:
        """Name, task and sizes, without the arrays."""
        outputs = len(self.classes) or self.y.shape[1]
        return (
            f"Dataset({self.name!r}, {self.task}, {len(self.X)} + {len(self.X_test)} samples, "
            f"{self.X.shape[1]} features, {outputs} outputs)"
        )

    @property
    def outputs(self) -> int:
        """Number of outputs of a network for this data: classes, or columns of y."""
        return len(self.classes) or int(self.y.shape[1])


def check_pixel_range(pixel_range: tuple[float, float]) -> tuple[float, ...]:
    """Return (low, high) with low < high, or raise."""
    bounds = tuple_of(real())("pixel_range", pixel_range)
    if len(bounds) != 2 or bounds[0] >= bounds[1]:
        raise ValueError(f"pixel_range: expected (low, high) with low < high, got {pixel_range}")
    return bounds


def scale_pixels(pixels: Array, brightest: int, bounds: tuple[float, ...]) -> NDArray[np.float32]:
    """Return pictures of 0...brightest as rows of numbers within checked bounds."""
    unit = np.float32(brightest / (bounds[1] - bounds[0]))
    X = pixels.reshape(len(pixels), -1).astype(np.float32)
    X -= np.float32(-bounds[0] * unit)
    X /= unit
    return X


def train_validation_split(
    X: Array, y: Array, *, validation: float = 0.2, seed: int = 0
) -> tuple[Array, Array, Array, Array]:
    """Split samples at random into a training and a validation part.

    Parameters
    ----------
    X, y : ndarray, shapes (n, ...)
        Samples and what belongs to them.
    validation : float
        Share that goes into the validation part, in (0, 1), rounded to whole samples; each part
        gets at least one.
    seed : int
        Same seed, same split.

    Returns
    -------
    X_train, y_train, X_validation, y_validation : ndarray
        Copies.

    Raises
    ------
    ValueError
        If the lengths differ, there are fewer than two samples, or `validation` is out of range.

    Examples
    --------
    >>> X = np.arange(10.0).reshape(10, 1)
    >>> parts = train_validation_split(X, X[:, 0], validation=0.2)
    >>> [len(part) for part in parts]
    [8, 8, 2, 2]
    """
    if len(X) != len(y):
        raise ValueError(f"y: expected {len(X)} samples like X, got {len(y)}")
    if len(X) < 2:
        raise ValueError(f"X: a split needs at least 2 samples, got {len(X)}")
    validation, seed = real(above=0, below=1)("validation", validation), integer(0)("seed", seed)
    order = np.random.default_rng(seed).permutation(len(X))
    held_out = min(max(round(validation * len(X)), 1), len(X) - 1)
    train, rest = order[held_out:], order[:held_out]
    return X[train], y[train], X[rest], y[rest]
