"""Samples as pictures need them: features as floating-point numbers, targets as classes or numbers."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastopt._typing import Array
from fastopt.nn.losses import Loss

Labels = NDArray[np.intp]


class Predictor(Protocol):
    """A predictor, such as a trained network: anything with ``predict``."""

    def predict(self, X: Array, /) -> Array:
        """Class probabilities, or outputs of a regression, one sample a row."""
        ...


def as_features(X: ArrayLike) -> Array:
    """Return features as floating-point numbers, in which a grid between them can be laid."""
    array = np.asarray(X)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"X: expected an array of numbers, got {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"X: expected shape (samples, features), got {array.shape}")
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def as_labels(y: ArrayLike, name: str = "y") -> Labels:
    """Return the class of each sample.

    Parameters
    ----------
    y : array_like
        Class numbers in any numeric type, shape (n,) or (n, 1); probabilities of the second of two
        classes in the same shapes; or one-hot rows or probabilities, shape (n, classes).
    name : str
        What error messages call it.

    Returns
    -------
    ndarray of intp, shape (n,)

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    """
    array = np.asarray(y)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected class numbers, got {array.dtype}")
    if array.ndim == 2 and array.shape[1] > 1:
        if not ((array >= 0).all() and np.allclose(array.sum(axis=1, dtype=np.float64), 1, atol=1e-3)):
            raise ValueError(f"{name}: expected one class per sample, got rows that are not one-hot")
        labels: Labels = array.argmax(axis=1)
        return labels
    if array.ndim not in (1, 2) or array.size != len(array):
        raise ValueError(f"{name}: expected one class per sample, got shape {array.shape}")
    flat = array.reshape(-1)
    if flat.dtype.kind == "f" and ((flat >= 0) & (flat <= 1)).all():
        flat = flat > 0.5
    wrong = flat[~((flat >= 0) & (flat == np.floor(flat)))]
    if wrong.size:
        raise ValueError(f"{name}: expected class numbers 0, 1, 2, ..., got {wrong[0]}")
    return flat.astype(np.intp)


def as_shares(outputs: ArrayLike) -> NDArray[np.float64]:
    """Return the probability of each class, shape (n, classes), also where a network gives that of the second only."""
    shares = np.asarray(outputs, dtype=np.float64)
    shares = shares.reshape(len(shares), -1)
    return np.concatenate([1 - shares, shares], axis=1) if shares.shape[1] == 1 else shares


def scene(net: Predictor, X: Array, y: ArrayLike) -> Literal["regions", "curve", ""]:
    """Say what of a network can be drawn on its samples: decision regions, a fitted curve, or nothing.

    Whether it tells classes apart is known to its loss. Without one, targets that are no floating-point
    numbers are classes, as far as there are outputs for them.
    """
    features, targets = X.shape[1], np.asarray(y)
    if features > 2:
        return ""
    loss = getattr(net, "loss", None)
    if isinstance(loss, Loss):
        classifies = loss.classifies
    else:
        classifies = targets.dtype.kind != "f" and _has_outputs_for(net, X, targets)
    if not classifies:
        return "curve" if features == 1 and targets.size == len(X) else ""
    return "regions" if features == 2 and _has_outputs_for(net, X, targets) else ""


def _has_outputs_for(net: Predictor, X: Array, targets: Array) -> bool:
    try:
        return bool(as_labels(targets).max() < outputs_of(net, X))
    except ValueError:  # several classes per sample, say
        return False


def outputs_of(net: Predictor, X: Array) -> int:
    """Return how many classes a network knows."""
    return int(as_shares(net.predict(X[:1])).shape[1])
