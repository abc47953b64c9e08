"""The user's own tables: .npz and .csv."""

import csv
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastopt._checks import boolean, choice, optional
from fastopt._typing import Array
from fastopt.nn.data._dataset import Dataset, Task, train_validation_split


def load_table(
    path: str | Path,
    *,
    target: str | None = None,
    task: Task | None = None,
    test: float = 0.2,
    seed: int = 0,
    standardize: bool = True,
    delimiter: str = ",",
) -> Dataset:
    """Load (X, y) from the user's ``.npz`` or ``.csv``.

    Parameters
    ----------
    path : path
        ``.npz`` with the arrays ``X`` (n, ...) and ``y`` (n,) or (n, outputs), and optionally
        ``X_test`` and ``y_test``; or ``.csv`` (UTF-8, with or without a header line) with one
        sample a line.
    target : str, optional
        For ``.csv``: the header of the column that is y. Default: the last column, and line 1 is a
        header if none of its cells is a number, or if only below it the last column has nothing
        but numbers.
    task : {"classification", "regression"}, optional
        Default: classification if y is text, bool or whole numbers, else regression.
    test : float
        Share of the samples that goes into the test set, unless the file brings its own.
    seed : int
        Same seed, same split.
    standardize : bool
        Shift and scale each feature by mean and standard deviation of the training samples.
    delimiter : str
        Between the columns of a ``.csv``.

    Returns
    -------
    Dataset
        Its classes are the distinct values of y, sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, has missing or non-numeric features, NaN or infinity, no samples,
        or lengths that differ. The message names the file.
    """
    path = Path(path)
    optional(choice("classification", "regression"))("task", task)
    standardize = boolean("standardize", standardize)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        X, y, X_test, y_test = _read_npz(path)
    elif suffix == ".csv":
        X, y = _read_csv(path, target, delimiter)
        X_test = y_test = None
    else:
        raise ValueError(f"{path}: expected a .npz or .csv file")

    image_shape = (int(X.shape[1]), int(X.shape[2])) if X.ndim == 3 else None
    X, y, classes, decided = _checked_table(path, X, y, task)
    if X_test is None or y_test is None:
        try:
            X, y, X_test, y_test = train_validation_split(X, y, validation=test, seed=seed)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    else:
        X_test, y_test, test_classes, _ = _checked_table(path, X_test, y_test, decided, classes)
        if X_test.shape[1] != X.shape[1] or test_classes != classes:
            raise ValueError(f"{path}: X_test, y_test do not have the features and classes of X, y")
    if standardize:
        mean, scale = X.mean(axis=0), X.std(axis=0)
        scale[scale == 0] = 1.0
        X, X_test = (X - mean) / scale, (X_test - mean) / scale
    return Dataset(
        X.astype(np.float32),
        y,
        X_test.astype(np.float32),
        y_test,
        path.stem,
        classes,
        decided,
        image_shape,
    )


def _read_npz(
    path: Path,
) -> tuple[Array, Array, Array | None, Array | None]:
    # Opened here: NumPy leaves the file open when it is not a whole zip.
    with path.open("rb") as opened:
        try:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it is one array, without a name")
            arrays = {name: file[name] for name in file.files}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"{name} is no array")
        except MemoryError:
            raise
        except Exception as error:  # zipfile and NumPy have many kinds for what a damaged file may hold
            raise ValueError(f"{path}: not a readable .npz file ({error})") from None
    missing = [name for name in ("X", "y") if name not in arrays]
    if missing or ("X_test" in arrays) != ("y_test" in arrays):
        raise ValueError(
            f"{path}: expected the arrays X and y, and X_test and y_test or neither; got {', '.join(arrays) or 'none'}"
        )
    return arrays["X"], arrays["y"], arrays.get("X_test"), arrays.get("y_test")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_csv(path: Path, target: str | None, delimiter: str) -> tuple[NDArray[np.float64], Array]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=delimiter)
            names = [cell.strip() for cell in next(lines, [])]
            if len(names) < 2:
                raise ValueError(f"{path}: expected at least 2 columns, got {len(names)} in line 1")
            if target is not None and names.count(target) != 1:
                raise ValueError(f"{path}: no single column {target!r} (columns: {', '.join(names)})")
            column = len(names) - 1 if target is None else names.index(target)
            below = (line[column] for line in lines if len(line) == len(names))
            has_header = (
                target is not None
                or not any(map(_is_number, names))
                or (not _is_number(names[column]) and all(map(_is_number, below)))
            )
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable .csv file ({error})") from None

    labels: list[str] = []

    def keep(cell: str) -> float:
        labels.append(cell.strip())
        return 0.0

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no rows: refused below
            table = np.loadtxt(
                path,
                delimiter=delimiter,
                skiprows=int(has_header),
                ndmin=2,
                comments=None,
                quotechar='"',
                encoding="utf-8-sig",
                converters={column: keep},
            )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not labels:
        raise ValueError(f"{path}: there are no samples")
    if table.shape[1] != len(names):
        raise ValueError(f"{path}: expected {len(names)} columns, got {table.shape[1]}")
    if "" in labels:
        raise ValueError(f"{path}: column {names[column] if has_header else column} has empty cells")
    texts = np.array(labels)
    y = texts.astype(np.float64) if all(map(_is_number, labels)) else texts
    values, counts = np.unique(texts, return_counts=True)
    if y is texts and not has_header and len(counts) > 1 and list(values[counts == 1]) == labels[:1]:
        raise ValueError(
            f"{path}: line 1 is the only one with {labels[0]!r} in column {len(names)}; "
            "if it is a header, give this as the target, and if it is a sample, put it below another"
        )
    return np.delete(table, column, axis=1), y


def _checked_table(
    path: Path,
    X: Array,
    y: Array,
    task: Task | None,
    classes: tuple[str, ...] | None = None,
) -> tuple[NDArray[np.float64], Array, tuple[str, ...], Task]:
    """Features as float64, y ready to train with, the names of its classes, and the task."""
    if X.dtype.kind not in "biuf" or X.ndim < 2 or X.size == 0:
        raise ValueError(f"{path}: X: expected numbers of shape (samples, features), got {X.dtype} {X.shape}")
    if y.dtype.kind not in "biufU" or y.ndim not in (1, 2) or len(y) != len(X):
        raise ValueError(f"{path}: y: expected {len(X)} labels or targets like X, got {y.dtype} {y.shape}")
    for name, values in (("X", X), ("y", y)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{path}: {name} has NaN or infinite values")
        if values.dtype.kind == "f" and np.abs(values).max() > np.finfo(np.float32).max:
            raise ValueError(f"{path}: {name} has values too large for float32")
    X = X.reshape(len(X), -1).astype(np.float64)
    # Up to 2^53 a whole float is one integer.
    whole = y.dtype.kind in "biuU" or bool(((y == np.round(y)) & (np.abs(y) < 2**53)).all())
    if task is None:
        task = "classification" if whole and (y.ndim == 1 or y.shape[1] == 1) else "regression"
    if task == "regression":
        if y.dtype.kind == "U":
            raise ValueError(f"{path}: y: regression needs numbers, got text")
        return X, y.reshape(len(y), -1).astype(np.float32), (), task
    if not whole or y.size != len(y):
        raise ValueError(f"{path}: y: expected one class label a sample, got {y.dtype} {y.shape}")
    labels = y.reshape(-1)
    if labels.dtype.kind == "f":
        labels = labels.astype(np.int64)
    values, numbers = np.unique(labels, return_inverse=True)
    names = tuple(str(value) for value in values)
    if classes is not None:  # a test set may lack a class, but may not bring a new one
        if not set(names) <= set(classes):
            return X, numbers, names, task
        position = {name: k for k, name in enumerate(classes)}
        numbers, names = np.array([position[name] for name in names])[numbers], classes
    if len(names) < 2:
        raise ValueError(f"{path}: y: expected at least 2 classes, got {len(names)}")
    return X, numbers.astype(np.int64), names, task
