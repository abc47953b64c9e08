"""Data sets: the small ones of teaching material, Fashion-MNIST, and the user's own tables."""

from collections.abc import Callable
from pathlib import Path

from fastopt.nn.data._dataset import Dataset, Standardization, Task, train_validation_split
from fastopt.nn.data._fashion_mnist import fashion_mnist, read_idx
from fastopt.nn.data._generated import digits, sine, spiral, vertical
from fastopt.nn.data._table import SUFFIXES, load_table

__all__ = [
    "NAMES",
    "SUFFIXES",
    "Dataset",
    "Standardization",
    "Task",
    "digits",
    "fashion_mnist",
    "load",
    "load_table",
    "read_idx",
    "sine",
    "spiral",
    "train_validation_split",
    "vertical",
]


def load(source: str | Path, *, folder: str | Path | None = None, seed: int = 0) -> Dataset:
    """Load a data set by name, or a user's table by path.

    Parameters
    ----------
    source : str or path
        One of `NAMES`, or the path of a ``.npz``, ``.csv`` or ``.tsv``.
    folder : path, optional
        Folder with the files of Fashion-MNIST.
    seed : int
        For the points of the generated data sets and for random splits.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the name is unknown, or `folder` is given for data that has none.

    Examples
    --------
    >>> load("sine").task
    'regression'
    """
    if folder is not None and source != "fashion-mnist":
        raise ValueError(f"folder: only fashion-mnist is read from a folder, not {source}")
    if source in _LOADERS:
        return _LOADERS[str(source)](folder, seed)
    if Path(source).suffix.lower() in SUFFIXES:
        return load_table(source, seed=seed)
    raise ValueError(f"data: expected one of {', '.join(NAMES)} or a {', '.join(SUFFIXES)} file, got {str(source)!r}")


_LOADERS: dict[str, Callable[[str | Path | None, int], Dataset]] = {
    "spiral": lambda folder, seed: spiral(seed=seed),
    "vertical": lambda folder, seed: vertical(seed=seed),
    "sine": lambda folder, seed: sine(),
    "digits": lambda folder, seed: digits(seed=seed),
    "fashion-mnist": lambda folder, seed: fashion_mnist(folder),
}

#: The data sets that `load` knows by name.
NAMES: tuple[str, ...] = tuple(_LOADERS)
