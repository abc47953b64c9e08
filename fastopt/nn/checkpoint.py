"""Checkpoint files: arrays and JSON in one ``.npz``, without pickle, never half written, checked before use."""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastopt._typing import Array
from fastopt.nn import _npz

__all__ = ["load", "save", "target"]

_FORMAT = "fastopt"
_VERSION = 1


def save(
    path: str | os.PathLike[str],
    arrays: Mapping[str, ArrayLike],
    meta: Mapping[str, Any],
    *,
    kind: str,
) -> None:
    """Write arrays and metadata to one ``.npz`` file, atomically.

    The file is written under a temporary name in the same folder, flushed to the disk and then
    renamed: whatever happens meanwhile, `path` holds the complete old content or the complete new
    one. A killed process can leave ``<path>.tmp`` behind; the next save overwrites it.

    Parameters
    ----------
    path : path-like
        Where to write; an existing file is replaced, and for a link the file that it leads to.
    arrays : mapping of str to array_like
        Numbers and arrays of any plain dtype. Object arrays are refused: they would need pickle.
    meta : mapping of str to JSON values
        Everything that is not an array.
    kind : str
        Name of the content, for the error message of a `load` that expects another.

    Raises
    ------
    FileNotFoundError, FileExistsError
        If `path` cannot be a file.
    TypeError
        If an array has an object dtype or `meta` holds what JSON cannot express.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.npz"
    >>> save(path, {"weight": np.ones(3)}, {"note": "first try"}, kind="weights")
    >>> arrays, meta = load(path, kind="weights")
    >>> arrays["weight"], meta["note"]
    (array([1., 1., 1.]), 'first try')
    """
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name}: expected a plain dtype, got {array.dtype}")
    header = {**meta, "format": _FORMAT, "version": _VERSION, "kind": kind}
    plain["meta"] = np.array(json.dumps(header))

    path = target(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **plain)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def target(path: str | os.PathLike[str]) -> Path:
    """Return the file that saving under `path` replaces: where links lead.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    FileExistsError
        If it is a folder, a device or the like.
    """
    file = Path(os.path.realpath(path))
    if not file.parent.is_dir():
        raise FileNotFoundError(f"path: the folder of {path} does not exist")
    if file.exists() and not file.is_file():
        raise FileExistsError(f"path: expected a file to write to, got {path}, which is a folder or a device")
    return file


def load(path: str | os.PathLike[str], *, kind: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `save` wrote.

    Parameters
    ----------
    path : path-like
        The file.
    kind : str
        The `kind` it was saved with.

    Returns
    -------
    arrays : dict of str to ndarray
        Numbers come back as 0-d arrays.
    meta : dict
        The metadata.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is truncated, damaged, of another kind or not a file of fastopt at all.
    """
    with open(path, "rb") as file:
        try:
            # The check sums come first: np.load believes an array's header before it gets to them.
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"the check sum of {damaged} is wrong")
            file.seek(0)
            arrays = _npz.read(file)
            if "meta" not in arrays:
                raise ValueError("it has no metadata")
            meta = json.loads(str(arrays.pop("meta")))
            if not isinstance(meta, dict) or meta.get("format") != _FORMAT:
                raise ValueError("its metadata is not fastopt's")
        except MemoryError:
            raise
        except Exception as error:  # damaged bytes can raise nearly anything in zipfile and NumPy
            raise ValueError(
                f"{path}: not a file saved by fastopt, or damaged ({type(error).__name__}: {error})"
            ) from error
    if (version := meta.get("version")) != _VERSION:
        raise ValueError(f"{path}: expected format version {_VERSION}, got {version}")
    if (found := meta.get("kind")) != kind:
        raise ValueError(f"{path}: expected a {kind} file, got a {found} file")
    return arrays, meta


def checked_state(state: Mapping[str, Any], like: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of `state`, whose names, shapes and data types must all be those of `like`."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a mapping of names to arrays, got {state!r}")
    if missing := sorted(like.keys() - state.keys()):
        raise ValueError(f"state: missing {', '.join(missing)}")
    if unknown := sorted(state.keys() - like.keys()):
        raise ValueError(f"state: unknown {', '.join(map(str, unknown))}")
    arrays = {name: np.asarray(state[name]) for name in like}
    for name, array in arrays.items():
        expected = like[name]
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise ValueError(
                f"state[{name!r}]: expected shape {expected.shape} and {expected.dtype}, "
                f"got {array.shape} and {array.dtype}"
            )
    return arrays
