"""The user's own tables: .npz and .csv."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastopt._checks import boolean, choice, optional
from fastopt._typing import Array
from fastopt.nn import _npz
from fastopt.nn.arrays import cast
from fastopt.nn.data._csv import read_csv
from fastopt.nn.data._dataset import Dataset, Standardization, Task, train_validation_split
from fastopt.nn.data._target import Target, check_range, target_of_array, target_of_texts

Missing = Literal["refuse", "drop", "mean"]

#: What tables are known by.
SUFFIXES = (".npz", ".csv", ".tsv")

_FLOAT32 = np.dtype(np.float32)


def load_table(
    path: str | Path,
    *,
    target: str | None = None,
    task: Task | None = None,
    test: float = 0.2,
    seed: int = 0,
    standardize: bool = True,
    standardize_targets: bool = False,
    delimiter: str | None = None,
    decimal: str = ".",
    missing: Missing = "refuse",
) -> Dataset:
    """Load (X, y) from the user's ``.npz`` or ``.csv``.

    Parameters
    ----------
    path : path
        ``.npz`` with the arrays ``X`` (n, ...) and ``y`` (n,) or (n, outputs), and optionally
        ``X_test`` and ``y_test``; or ``.csv`` or ``.tsv`` (RFC 4180, UTF-8 or UTF-16, with or without a
        header) with one sample per record, y in one column and numbers in all others.
    target : str, optional
        For ``.csv``: the header of the column that is y. Default: the last column, and line 1 is a
        header if none of its cells is a number, or if only below it the last column has nothing
        but numbers.
    task : {"classification", "regression"}, optional
        Default: the values of y decide; see Notes.
    test : float
        Share of the samples that goes into the test set, unless the file brings its own.
    seed : int
        Same seed, same split.
    standardize : bool
        Shift and scale each feature by mean and standard deviation of the training samples; one
        that is constant there is only shifted.
    standardize_targets : bool
        Do the same to the targets of a regression.
    delimiter : str, optional
        The character between the columns of a ``.csv``. Default: the one of comma, semicolon and tab
        that makes a table of the file.
    decimal : {".", ","}
        The decimal sign of a ``.csv``.
    missing : {"refuse", "drop", "mean"}
        What to do about missing values: NaN, and in a ``.csv`` empty cells, NA, N/A, nan, null, none, ?
        and - in columns of numbers. "drop" leaves their samples out, "mean" puts the mean of
        the feature over the training samples in their place.

    Returns
    -------
    Dataset
        Its classes are the distinct values of y, sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, has missing, infinite or non-numeric features, no samples, or
        lengths that differ. The message names the file, and the line and column of a ``.csv``.

    Notes
    -----
    Text, booleans and one-hot rows are classes. So are numbers that are names: if one has leading
    zeros ("007"), or is an integer of 2**53 or more; they are told apart as they are written.
    Fractions are regression targets. Whole numbers are classes if there are at most two different
    ones; or at most 20, which count from 0 or 1 without a gap, or occur twice on average; or more,
    which count from 0 or 1 without a gap and occur ten times on average. Prices and years are thus
    regression targets. In doubt, the `note` of the data set says how they were taken.
    """
    path = Path(path)
    optional(choice("classification", "regression"))("task", task)
    choice("refuse", "drop", "mean")("missing", missing)
    choice(".", ",")("decimal", decimal)
    standardize = boolean("standardize", standardize)
    standardize_targets = boolean("standardize_targets", standardize_targets)
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(f"delimiter: expected one character, got {delimiter!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
    if suffix == ".npz" and (target is not None or delimiter is not None or decimal != "."):
        name = "target" if target is not None else "delimiter" if delimiter is not None else "decimal"
        raise ValueError(f"{name}: only for a .csv, not for {path}")
    try:
        if suffix == ".npz":
            samples, test_samples, image_shape = _read_npz(path)
        else:
            table = read_csv(path, target=target, delimiter=delimiter, decimal=decimal)
            name = table.column(table.target)
            found = target_of_texts(table.y, task, decimal, name, table.cell)
            check_range(table.X, table.cell)
            samples, test_samples, image_shape = _Samples(table.X, found, table.cell), None, None
        notes = [samples.y.doubt] if task is None and samples.y.doubt else []
        task = samples.y.task if task is None else task
        X, y, classes = _complete(samples, task, missing, notes)
        if test_samples is None:
            X, y, X_test, y_test = train_validation_split(X, y, validation=test, seed=seed)
        else:
            X_test, y_test, _ = _complete(test_samples, task, missing, notes, classes)
            if X_test.shape[1:] != X.shape[1:] or y_test.shape[1:] != y.shape[1:]:
                raise ValueError("X_test, y_test: expected the features and outputs of X, y")
        _fill_with_means(X, X_test)
        X_scaling = y_scaling = None
        if standardize:
            X_scaling = Standardization.of(X)
            X, X_test = X_scaling.apply(X), X_scaling.apply(X_test)
        if task == "regression":
            if standardize_targets:
                y_scaling = Standardization.of(y)
                y, y_test = y_scaling.apply(y), y_scaling.apply(y_test)
            y, y_test = cast(y, _FLOAT32, "y"), cast(y_test, _FLOAT32, "y_test")
        return Dataset(
            cast(X, _FLOAT32, "X"),
            y,
            cast(X_test, _FLOAT32, "X_test"),
            y_test,
            path.stem,
            classes,
            task,
            image_shape,
            X_scaling,
            y_scaling,
            "; ".join(notes),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


@dataclass(frozen=True)
class _Samples:
    """Samples as they are in a file: X has NaN where a value is missing, ``cell(i, j)`` says where that is."""

    X: NDArray[np.float64]
    y: Target
    cell: Callable[[int, int | None], str]


def _read_npz(path: Path) -> tuple[_Samples, _Samples | None, tuple[int, int] | None]:
    # Opened here: NumPy leaves the file open when it is not a whole zip.
    with path.open("rb") as opened:
        try:
            arrays = _npz.read(opened)
        except MemoryError:
            raise
        except Exception as error:  # zipfile and NumPy have many kinds for what a damaged file may hold
            raise ValueError(f"not a readable .npz file ({error})") from None
    lacking = [name for name in ("X", "y") if name not in arrays]
    if lacking or ("X_test" in arrays) != ("y_test" in arrays):
        raise ValueError(
            f"expected the arrays X and y, and X_test and y_test or neither; got {', '.join(arrays) or 'none'}"
        )
    test = _of_arrays(arrays, "X_test", "y_test") if "X_test" in arrays else None
    shape = arrays["X"].shape
    return _of_arrays(arrays, "X", "y"), test, (shape[1], shape[2]) if len(shape) == 3 else None


def _of_arrays(arrays: dict[str, Array], X_name: str, y_name: str) -> _Samples:
    X, y = arrays[X_name], arrays[y_name]
    if X.dtype.kind not in "biuf" or X.ndim < 2 or X.size == 0:
        raise ValueError(f"{X_name}: expected numbers of shape (samples, features), got {X.dtype} {X.shape}")
    if y.dtype.kind not in "biufUS" or y.ndim not in (1, 2) or y.size == 0 or len(y) != len(X):
        raise ValueError(f"{y_name}: expected {len(X)} labels or targets like {X_name}, got {y.dtype} {y.shape}")

    def cell(i: int, j: int | None = None) -> str:
        return f"{y_name}[{i}]" if j is None else f"{X_name}{[i, *map(int, np.unravel_index(j, X.shape[1:]))]}"

    flat = X.reshape(len(X), -1)
    check_range(flat, cell)
    return _Samples(flat.astype(np.float64), target_of_array(y, y_name), cell)


def _complete(
    samples: _Samples, task: Task, missing: Missing, notes: list[str], classes: tuple[str, ...] = ()
) -> tuple[NDArray[np.float64], Array, tuple[str, ...]]:
    """Return X, y and the names of the classes, without samples that miss a value, or with NaN for a mean."""
    no_y, no_X = samples.y.missing(task), np.isnan(samples.X)
    lacking = no_y | no_X.any(axis=1)
    if missing != "drop" and (bad := no_y if missing == "mean" else lacking).any():
        i = int(bad.argmax())
        where = samples.cell(i, None if no_y[i] else int(no_X[i].argmax()))
        options = 'missing="drop" leaves out the sample' + ("" if no_y[i] else ', missing="mean" takes the mean')
        raise ValueError(f"{where}: missing value ({options})")
    keep = ~lacking if missing == "drop" else np.ones(len(lacking), bool)
    if not keep.any():
        raise ValueError("every sample has a missing value")
    if not keep.all():
        n = np.count_nonzero(lacking)
        notes.append(
            f"{n} samples with missing values were left out" if n > 1 else "1 sample with a missing value was left out"
        )
    X = samples.X[keep]
    if task == "regression":
        assert samples.y.numbers is not None
        return X, samples.y.numbers[keep], ()
    assert samples.y.labels is not None
    labels = [label for label, kept in zip(samples.y.labels, keep, strict=True) if kept]
    if not classes:
        classes = tuple(str(label) for label in sorted(set(labels)))
        if len(classes) < 2:
            raise ValueError(f"y: expected at least 2 classes, got {len(classes)}")
    position = {name: k for k, name in enumerate(classes)}
    try:
        return X, np.array([position[str(label)] for label in labels], np.int64), classes
    except KeyError as error:
        raise ValueError(f"y_test: expected the classes of y, got {error}") from None


def _fill_with_means(X: NDArray[np.float64], X_test: NDArray[np.float64]) -> None:
    """Put the mean of a feature over the training samples where it is missing."""
    absent = np.isnan(X)
    if absent.all(axis=0).any():
        raise ValueError(f"X: feature {int(absent.all(axis=0).argmax()) + 1} has no value in the training samples")
    means = np.mean(X, axis=0, where=~absent)
    for values in (X, X_test):
        np.copyto(values, means, where=np.isnan(values))
