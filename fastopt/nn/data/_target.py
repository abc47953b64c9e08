"""Labels or quantities: the task that the values of y set."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastopt._typing import Array
from fastopt.nn.data._csv import MISSING, is_number, to_float
from fastopt.nn.data._dataset import Task

_EXACT = 2**53  # below this, a whole float is one integer
_LARGEST = np.float64(np.finfo(np.float32).max)  # which no comparison rounds to float16

# Texts that are the same label if they are the same number: 7 and 7.0, but not 007.
_PLAIN = re.compile(r"(-?(?:0|[1-9]\d*))(?:[.,]0*)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_LEADING_ZERO = re.compile(r"[+-]?0\d+", re.ASCII)
_GROUPED = re.compile(r"[+-]?[\d.,]+", re.ASCII)

_AS_CLASSES = ', taken as classes; task="regression" takes them as numbers'
_AS_NUMBERS = ', taken as numbers; task="classification" takes them as classes'


@dataclass(frozen=True)
class Target:
    """y as it is in a file.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n, outputs), or None
        The targets of a regression, NaN where one is missing; None if y is text.
    labels : list or None
        One label per sample, None where it is missing; None if y has several outputs.
    task : {"classification", "regression"}
        The task, unless the user says otherwise.
    doubt : str
        How the values were taken, if that may be wrong.
    """

    numbers: NDArray[np.float64] | None
    labels: list[Any] | None
    task: Task
    doubt: str = ""

    def missing(self, task: Task) -> NDArray[np.bool_]:
        """Return which samples have no label, or lack a number."""
        if task == "classification":
            if self.labels is None:
                raise ValueError("y: expected one class label per sample, got several numbers")
            return np.array([label is None for label in self.labels])
        if self.numbers is None:
            raise ValueError("y: regression needs numbers, got text")
        absent: NDArray[np.bool_] = np.logical_or.reduce(np.isnan(self.numbers), axis=1)
        return absent


def check_range(values: Array, cell: Callable[[int, int], str]) -> None:
    """Refuse what is infinite or will not fit into float32; ``cell(i, j)`` says where it is."""
    if values.dtype.kind == "f" and (extreme := np.abs(values) > _LARGEST).any():
        i, j = map(int, np.argwhere(extreme)[0])
        value = values[i, j]
        if np.isinf(value):
            raise ValueError(f"{cell(i, j)}: expected a finite number, got {value}")
        raise ValueError(
            f"{cell(i, j)}: expected a number up to {_LARGEST:.3g}, got {value:.3g}, too large for float32"
        )


def target_of_texts(texts: list[str], task: Task | None, decimal: str, name: str, cell: Callable[[int], str]) -> Target:
    """Read a column of a .csv.

    Parameters
    ----------
    texts : list of str
        The cells.
    task : {"classification", "regression"} or None
        What the user says; None: odd texts among numbers are refused, not taken for labels.
    decimal : {".", ","}
        The decimal sign.
    name : str
        The column in messages.
    cell : callable
        ``cell(i)`` says where text i is in the file.
    """
    numbers = []
    for i, text in enumerate(texts):
        try:
            numbers.append(to_float(text, decimal))
        except ValueError:
            if task == "regression" or (task is None and _is_odd(texts, decimal)):
                ways = ['decimal="," reads decimal commas'] if is_number(text, ",") else []
                ways += ['task="classification" takes it as a class'] if task is None else []
                hint = f" ({', '.join(ways)})" if ways else ""
                raise ValueError(f"{cell(i)}: expected a number, got {text!r}{hint}") from None
            break
    if len(numbers) < len(texts) or not any(is_number(text, decimal) for text in texts):
        k = len(set(texts))
        doubt = f"{name} has {k} different texts in {len(texts)} samples" if k > max(20, len(texts) / 2) else ""
        return Target(None, [text or None for text in texts], "classification", doubt)
    column = np.array(numbers)
    if task != "classification":
        check_range(column[:, None], lambda i, j: cell(i))
    labels: list[Any] = [None if np.isnan(number) else text for text, number in zip(texts, numbers, strict=True)]
    present = [text for text in labels if text is not None]
    if all(map(_PLAIN.fullmatch, present)):
        labels = [None if text is None else int(re.split("[.,]", text)[0]) for text in labels]
    if any(map(_LEADING_ZERO.fullmatch, present)):
        doubt = f"{name} has numbers with leading zeros{_AS_CLASSES}"
        return Target(column[:, None], labels, "classification", doubt)
    long = any(abs(int(text)) >= _EXACT for text in present if len(text) > 15 and _INTEGER.fullmatch(text))
    return Target(column[:, None], labels, *_task(column, long, name))


def _is_odd(texts: list[str], decimal: str) -> bool:
    """Whether a column that is not of numbers alone is hardly one of classes, but has numbers such as 1,234.50."""
    if all(_GROUPED.fullmatch(text) or text.casefold() in MISSING for text in texts):
        return True
    numbers = sum(is_number(text, decimal) for text in texts)
    return 2 * numbers > len(texts) and len(set(texts)) > max(20, len(texts) / 2)


def target_of_array(y: Array, name: str) -> Target:
    """Read an array of shape (n,) or (n, outputs)."""
    if y.dtype.kind == "S":
        y = np.strings.decode(y, "utf-8")
    if y.dtype.kind == "U":
        if y.size != len(y):
            raise ValueError(f"{name}: expected one class label per sample, got {y.dtype} {y.shape}")
        return Target(None, y.ravel().tolist(), "classification")
    columns = y.reshape(len(y), -1)
    check_range(columns, lambda i, j: f"{name}[{i}]" if y.ndim == 1 else f"{name}[{i}, {j}]")
    numbers = columns.astype(np.float64)
    if y.size == len(y):
        labels = y.ravel().tolist()
        if y.dtype.kind == "b":
            return Target(numbers, labels, "classification")
        long = y.dtype.kind != "f" and bool((columns >= _EXACT).any() or (columns <= -_EXACT).any())
        if y.dtype.kind == "f":
            labels = [None if label != label else int(label) if label == label // 1 else label for label in labels]
        return Target(numbers, labels, *_task((numbers if y.dtype.kind == "f" else y).ravel(), long, name))
    if ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():  # one-hot rows
        return Target(numbers, y.argmax(axis=1).tolist(), "classification")
    return Target(numbers, None, "regression")


def _task(values: Array, long: bool, name: str) -> tuple[Task, str]:
    """Tell labels from quantities, as the notes of `load_table` say, and say how they were taken if it may be wrong."""
    if long:
        return "classification", f"{name} has integers of 2**53 or more{_AS_CLASSES}"
    values = values[values == values]
    if not ((values == np.round(values)) & (np.abs(values) < _EXACT)).all():
        return "regression", ""
    different = np.unique(values)
    n, k = len(values), len(different)
    counted = k > 0 and different[0] in (0, 1) and different[-1] - different[0] == k - 1
    if k <= 2 or (counted and k <= 20):
        return "classification", ""
    said = f"{name} has {k} different whole numbers from {different[0]:.0f} to {different[-1]:.0f}"
    if (k <= 20 and n >= 2 * k) or (counted and n >= 10 * k):
        return "classification", said + _AS_CLASSES
    return "regression", said + _AS_NUMBERS
