"""Users' arrays, converted and checked: inputs of networks and targets of losses."""

from typing import Any

import numpy as np

from fastopt._typing import Array

__all__ = ["as_array", "cast", "type_name"]


def type_name(value: object) -> str:
    """Name the type of `value`, with the package that it is from: ``dask.Array``, but ``list``."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"


def as_array(values: object, name: str) -> Array:
    """Convert to an array of any data type but object.

    Raises
    ------
    TypeError
        If `values` is masked, or nothing that NumPy can make an array of.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected an array without a mask, got a masked one; see numpy.ma.filled")
    reason = ""
    try:
        array = np.asarray(values)
        if array.dtype != object:
            return array
        reason = " of objects" if array.ndim else ""
    except Exception as error:  # other libraries and ragged lists have many kinds
        reason = f" ({error})"
    raise TypeError(f"{name}: expected an array of numbers, got {type_name(values)}{reason}") from None


def cast(array: Array, dtype: "np.dtype[Any]", name: str) -> Array:
    """Convert real numbers to `dtype`; an array that has it already is not copied.

    Raises
    ------
    TypeError
        For anything but real numbers.
    ValueError
        If a finite number is too large for `dtype`.
    """
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected an array of numbers, got {array.dtype}")
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        largest = np.abs(array[np.isfinite(array)]).max()
        raise ValueError(
            f"{name}: expected numbers up to {np.finfo(dtype).max:.3g}, got {largest:.3g}, too large for {dtype}"
        ) from None
