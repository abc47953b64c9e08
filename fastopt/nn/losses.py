"""Loss functions and metrics.

A loss takes the network's scores, the output of its last layer, and knows the activation that
belongs to it: softmax, sigmoid or none. Taking both together makes the gradient exact and stable:
softmax and cross-entropy give ``probabilities - one_hot``, and no logarithm of a rounded
probability.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fastopt._typing import Array
from fastopt.nn.activations import sigmoid
from fastopt.nn.arrays import as_array, cast

__all__ = [
    "BinaryCrossEntropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "RegressionAccuracy",
    "SoftmaxCrossEntropy",
    "binary_accuracy",
    "categorical_accuracy",
]

Workspace: TypeAlias = tuple[Array, ...]
#: ``metric(scores, y)``: a mean over the batch's rows, of scores (batch, n_outputs) and targets.
Metric: TypeAlias = Callable[[Array, Array], float]


def categorical_accuracy(scores: Array, y: Array) -> float:
    """Fraction of rows whose largest score is the one of the label.

    Parameters
    ----------
    scores : ndarray of shape (batch, n_classes)
        Scores or probabilities.
    y : ndarray of int of shape (batch,)
        Labels.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> categorical_accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    return float(np.count_nonzero(scores.argmax(axis=1) == y)) / len(y)


def binary_accuracy(scores: Array, y: Array) -> float:
    """Fraction of all values whose score is positive where the target is 1 and only there.

    Parameters
    ----------
    scores : ndarray of shape (batch, n_outputs)
        Scores before the sigmoid: positive means a probability above 1/2.
    y : ndarray of shape (batch, n_outputs)
        Targets between 0 and 1.

    Returns
    -------
    float
        Between 0 and 1.
    """
    return float(np.count_nonzero((scores > 0) == (y > 0.5))) / y.size


@dataclass(frozen=True)
class RegressionAccuracy:
    """Fraction of all values that are closer than `precision` to their target.

    Parameters
    ----------
    precision : float
        The distance that counts as a hit.

    References
    ----------
    Kinsley and Kukiela, "Neural Networks from Scratch in Python", 2020, chapter 17, where the
    precision is the standard deviation of the training targets divided by 250.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[0.0], [1.0]])
    >>> RegressionAccuracy.of(y)(y + 0.001, y)
    1.0
    """

    precision: float

    @classmethod
    def of(cls, y: Array, divisor: float = 250.0) -> "RegressionAccuracy":
        """Precision as a part of the standard deviation of the training targets `y`."""
        return cls(float(np.std(y, dtype=np.float64)) / divisor)

    def __call__(self, scores: Array, y: Array) -> float:
        """Accuracy of a batch."""
        return float(np.count_nonzero(np.abs(scores - y) < self.precision)) / y.size


@dataclass(frozen=True)
class Loss:
    """Base of all losses: real-valued targets of the scores' shape, and no activation."""

    #: The narrowest output the loss makes sense for.
    min_outputs: ClassVar[int] = 1
    #: Whether it tells classes apart; else targets are numbers, whatever their data type.
    classifies: ClassVar[bool] = False

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that belong to the loss, by name."""
        return {}

    def targets(self, y: object, n_outputs: int, dtype: np.dtype[Any]) -> Array:
        """Targets in the form that the loss works on; what has it already is not copied.

        Parameters
        ----------
        y : array_like of shape (n,) or (n, n_outputs)
            Targets as the user has them.
        n_outputs : int
            Width of the scores.
        dtype : numpy.dtype
            Data type of the scores.

        Returns
        -------
        ndarray
            An array whose first axis is the samples.

        Raises
        ------
        ValueError
            For a wrong shape, or values the loss is not defined for.
        """
        array = cast(as_array(y, "y"), dtype, "y")
        if array.ndim == 1 and n_outputs == 1:
            array = array.reshape(-1, 1)
        if array.ndim != 2 or array.shape[1] != n_outputs:
            raise ValueError(f"y: expected shape (batch, {n_outputs}), got {array.shape}")
        return array

    def workspace(self, scores: Array) -> Workspace:
        """Arrays that `value_and_grad` writes intermediate results to."""
        return ()

    def value_and_grad(self, scores: Array, y: Array, work: Workspace) -> float:
        """Loss of a batch, and its gradient in place of the scores.

        Parameters
        ----------
        scores : ndarray of shape (batch, n_outputs)
            Output of the last layer; overwritten by the gradient with respect to it.
        y : ndarray
            Targets in the form that `targets` returns.
        work : tuple of ndarray
            Memory from `workspace`.

        Returns
        -------
        float
            Mean over the batch.
        """
        raise NotImplementedError

    def activate(self, scores: Array) -> Array:
        """Turn scores into outputs, in place: probabilities, or the scores themselves."""
        return scores

    def constant(self, y: Array) -> float:
        """Loss of the best constant prediction: what a network reaches that does not look at its inputs.

        Parameters
        ----------
        y : ndarray
            Targets in any form that `targets` takes, at least one row.

        Returns
        -------
        float
            Mean over the rows, computed in float64. Infinity, which says nothing about a network,
            from a loss that does not know it.

        Examples
        --------
        Two classes of the same size, and numbers around their mean:

        >>> import numpy as np
        >>> round(SoftmaxCrossEntropy().constant(np.array([0, 1, 1, 0])), 6)
        0.693147
        >>> MeanSquaredError().constant(np.array([[1.0], [3.0]]))
        1.0
        """
        return math.inf


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    r"""Softmax and cross-entropy, for one class out of several.

    .. math:: L = -\frac{1}{n} \sum_i \log p_{i, y_i}, \qquad
              p_{ij} = \frac{e^{z_{ij}}}{\sum_k e^{z_{ik}}}, \qquad
              \frac{\partial L}{\partial z_{ij}} = \frac{p_{ij} - [j = y_i]}{n}

    Targets are integer labels of shape (n,), or one-hot rows of shape (n, classes). Nothing is
    clipped: the logarithm is taken of the sum of exponentials, which is at least 1.

    References
    ----------
    PyTorch: ``CrossEntropyLoss``; Keras: ``SparseCategoricalCrossentropy(from_logits=True)``;
    "Neural Networks from Scratch": ``Activation_Softmax_Loss_CategoricalCrossentropy``.
    """

    min_outputs: ClassVar[int] = 2
    classifies: ClassVar[bool] = True

    @property
    def metrics(self) -> dict[str, Metric]:
        """Accuracy, as `categorical_accuracy`."""
        return {"accuracy": categorical_accuracy}

    def targets(self, y: object, n_outputs: int, dtype: np.dtype[Any]) -> Array:
        """Convert and check targets."""
        array = as_array(y, "y")
        if array.ndim == 2:
            array = _labels_of_one_hot(array, n_outputs)
        if array.ndim != 1:
            raise ValueError(
                f"y: expected labels of shape (batch,) or one-hot rows of shape "
                f"(batch, {n_outputs}), got shape {array.shape}"
            )
        if array.dtype != np.intp:
            if array.dtype.kind not in "iu":
                raise TypeError(f"y: expected integer labels, got {array.dtype}")
            array = array.astype(np.intp)
        # As unsigned numbers, negative labels are the largest: one reduction checks both ends.
        if array.size and np.maximum.reduce(array.view(np.uintp)) >= n_outputs:
            bad = array[(array < 0) | (array >= n_outputs)][0]
            raise ValueError(f"y: expected labels from 0 to {n_outputs - 1}, got {bad}")
        return array

    def workspace(self, scores: Array) -> Workspace:
        """Make arrays for intermediate results."""
        batch, classes = scores.shape
        # Where row i, class 0 is in memory, and how far it is to the next class.
        by_column = not scores.flags.c_contiguous
        start = np.arange(batch) * (1 if by_column else classes)
        stride = np.array(batch if by_column else 1)
        index = np.empty(batch, np.intp)
        total, picked = np.empty((2, batch), scores.dtype)
        ones = np.ones(classes, scores.dtype)
        # An array of no dimensions is a faster operand than a Python number.
        return start, stride, index, total, picked, ones, np.array(1 / batch, scores.dtype)

    def value_and_grad(self, scores: Array, y: Array, work: Workspace) -> float:
        """Compute the loss, and its gradient in place."""
        start, stride, index, total, picked, ones, share = work
        z = scores.T  # classes along the first axis
        flat = scores.reshape(-1, order="A")
        np.multiply(y, stride, out=index)
        index += start
        z -= np.maximum.reduce(z, axis=0, out=total)
        flat.take(index, out=picked, mode="clip")
        np.exp(z, out=z)
        np.dot(ones, z, out=total)
        np.subtract(np.log(total), picked, out=picked)
        loss = float(np.add.reduce(picked)) / len(y)
        z *= np.divide(share, total, out=total)
        flat.take(index, out=picked, mode="clip")
        flat[index] = np.subtract(picked, share, out=picked)
        return loss

    def activate(self, scores: Array) -> Array:
        """Turn scores into probabilities, in place."""
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def constant(self, y: Array) -> float:
        """Entropy of the classes' shares."""
        if y.ndim == 2:
            y = _labels_of_one_hot(y, y.shape[1])
        return float(np.sum(_surprise(np.bincount(y) / len(y))))


def _surprise(p: Array) -> Array:
    """Minus p log p, and its limit 0 where p is 0."""
    return -p * np.log(p, out=np.zeros_like(p), where=p > 0)


def _labels_of_one_hot(y: Array, n_outputs: int) -> Array:
    if y.shape[1] != n_outputs:
        raise ValueError(f"y: expected one-hot rows of shape (batch, {n_outputs}), got shape {y.shape}")
    labels: Array = y.argmax(axis=1)
    if np.count_nonzero(y) != len(y) or not (y[np.arange(len(y)), labels] == 1).all():
        raise ValueError("y: expected one-hot rows, a single 1 among zeros, got other values")
    return labels


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    r"""Sigmoid and binary cross-entropy, for outputs that are each true or false.

    .. math:: L = \frac{1}{n k} \sum_{ij} \log(1 + e^{z_{ij}}) - z_{ij} y_{ij}, \qquad
              \frac{\partial L}{\partial z} = \frac{\sigma(z) - y}{n k}

    Targets are numbers from 0 to 1 of the scores' shape (n, k), or (n,) for one output.

    References
    ----------
    PyTorch: ``BCEWithLogitsLoss``; Keras: ``BinaryCrossentropy(from_logits=True)``.
    """

    classifies: ClassVar[bool] = True

    @property
    def metrics(self) -> dict[str, Metric]:
        """Accuracy, as `binary_accuracy`."""
        return {"accuracy": binary_accuracy}

    def targets(self, y: object, n_outputs: int, dtype: np.dtype[Any]) -> Array:
        """Convert and check targets."""
        array = super().targets(y, n_outputs, dtype)
        if array.size and not (array.min() >= 0 and array.max() <= 1):
            bad = array[~((array >= 0) & (array <= 1))][0]
            raise ValueError(f"y: expected values from 0 to 1, got {bad}")
        return array

    def workspace(self, scores: Array) -> Workspace:
        """Make arrays for intermediate results."""
        return np.empty_like(scores), np.empty_like(scores)

    def value_and_grad(self, scores: Array, y: Array, work: Workspace) -> float:
        """Compute the loss, and its gradient in place."""
        values, products = work
        np.multiply(scores, y, out=products)
        np.logaddexp(scores, 0, out=values)
        values -= products
        loss = float(np.add.reduce(values, axis=None)) / values.size
        sigmoid(scores, scores)
        scores -= y
        scores *= 1 / scores.size
        return loss

    def activate(self, scores: Array) -> Array:
        """Turn scores into probabilities, in place."""
        return sigmoid(scores, scores)

    def constant(self, y: Array) -> float:
        """Entropy of each output's share of ones, on average."""
        p = y.mean(axis=0, dtype=np.float64)
        return float(np.mean(_surprise(p) + _surprise(1 - p)))


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    r"""Mean of the squared differences, for regression.

    .. math:: L = \frac{1}{n k} \sum_{ij} (z_{ij} - y_{ij})^2, \qquad
              \frac{\partial L}{\partial z} = \frac{2 (z - y)}{n k}

    References
    ----------
    PyTorch: ``MSELoss``; Keras: ``MeanSquaredError``.
    """

    def value_and_grad(self, scores: Array, y: Array, work: Workspace) -> float:
        """Compute the loss, and its gradient in place."""
        scores -= y
        flat = scores.reshape(-1, order="A")
        loss = float(np.dot(flat, flat)) / flat.size
        scores *= 2 / flat.size
        return loss

    def constant(self, y: Array) -> float:
        """Variance of each output's targets, on average."""
        return float(np.mean(y.var(axis=0, dtype=np.float64)))


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    r"""Mean of the absolute differences, for regression.

    .. math:: L = \frac{1}{n k} \sum_{ij} |z_{ij} - y_{ij}|, \qquad
              \frac{\partial L}{\partial z} = \frac{\operatorname{sign}(z - y)}{n k}

    References
    ----------
    PyTorch: ``L1Loss``; Keras: ``MeanAbsoluteError``.
    """

    def workspace(self, scores: Array) -> Workspace:
        """Make arrays for intermediate results."""
        return (np.empty_like(scores),)

    def value_and_grad(self, scores: Array, y: Array, work: Workspace) -> float:
        """Compute the loss, and its gradient in place."""
        scores -= y
        loss = float(np.add.reduce(np.abs(scores, out=work[0]), axis=None)) / scores.size
        np.sign(scores, out=scores)
        scores *= 1 / scores.size
        return loss

    def constant(self, y: Array) -> float:
        """Distance of each output's targets from their median, on average."""
        return float(np.mean(np.abs(y - np.median(y, axis=0)), dtype=np.float64))
