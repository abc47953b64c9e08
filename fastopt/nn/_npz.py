"""One reader of ``.npz`` files, for files of any origin and for any number of threads."""

import threading
from typing import BinaryIO

import numpy as np

from fastopt._typing import Array

__all__ = ["read"]

# np.load parses the header of an array by ast.literal_eval, which raises "SystemError: AST constructor recursion depth
# mismatch" in CPython 3.11 if two threads are in it (github.com/python/cpython/issues/106905).
_reading = threading.Lock()


def read(file: BinaryIO) -> dict[str, Array]:
    """Return the arrays of an open ``.npz`` file by their names; raise nearly anything if it is damaged."""
    with _reading:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is one array, without a name")
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} is no array")
    return arrays
