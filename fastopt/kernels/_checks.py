"""Checks of array arguments, each with a message that names the array, the expected and the found.

The compiled backend recognises the ordinary good case by itself; what it does not recognise comes here and is either
refused or handed on as plain arrays. So there is one place that words errors, whatever the backend.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds

from fastopt._typing import Array

# The gradient is the second stream of every rule, and the only one that is not written.
GRAD = 1

# bfloat16, which NumPy does not have, by its bits: the upper half of a float32.
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])

# Types of gradients that can be converted to their parameter's.
_CONVERTIBLE = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.float16), BFLOAT16)

# Work that NumPy may spend on deciding whether two interleaved views share an element.
_OVERLAP_WORK = 100_000


def _references(param: object) -> int:
    """Return the references to an argument of a function that has put it into a tuple, as every kernel does."""
    arrays = (param,)
    return sys.getrefcount(arrays[0]) - 1  # that of the call


def _references_to_temporaries() -> int:
    """Return the references to an array that nobody but a kernel knows, or 0 if Python's do not tell it from others."""
    array = np.empty(1)
    of_temporary = _references(np.empty(1))
    return of_temporary if of_temporary < _references(array) else 0


TEMPORARY = _references_to_temporaries()


class _Span(NamedTuple):
    """The bytes between an array's first and last element, and where the array stands among the arguments."""

    begin: int
    end: int
    order: int
    label: str
    array: Array
    written: bool


def as_array(value: Any, label: str, *, written: bool = True) -> Array:
    """Return the memory of `value` as a plain ndarray, without a copy.

    Accepted are NumPy arrays (a subclass as its plain base), objects with the buffer protocol, and objects that speak
    DLPack, such as CPU tensors; where nothing is written, also NumPy's scalars, which it makes of arrays without axes
    wherever it computes with them.
    """
    if isinstance(value, np.generic) and not written:
        scalar = np.array(value)
        scalar.flags.writeable = False
        return scalar
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{label}: expected an array without a mask, got {type(value).__name__}")
    if isinstance(value, np.ndarray):
        plain = np.asarray(value)
        return plain.view(BFLOAT16) if plain.dtype.kind == "V" and plain.dtype.name == "bfloat16" else plain
    if not isinstance(value, np.generic | bytes | bytearray):
        try:
            if hasattr(value, "__dlpack__"):
                return _from_dlpack(value, written)
            return np.asarray(memoryview(value))
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            reason = f" ({error})" if hasattr(value, "__dlpack__") else ""
            raise TypeError(
                f"{label}: expected an array or an object that lends its memory, got {type(value).__name__}{reason}"
            ) from error
    raise TypeError(f"{label}: expected a NumPy array, got {type(value).__name__}")


def _from_dlpack(value: Any, written: bool) -> Array:
    """Return the memory of a tensor, one of bfloat16 by its bits."""
    if type(value).__module__.partition(".")[0] == "torch":
        torch: Any = sys.modules["torch"]
        if value.is_neg():  # which PyTorch lends as if it were not
            raise BufferError("its elements are the negatives of its memory: resolve_neg() makes it plain")
        if written and value.requires_grad:
            raise BufferError("it requires a gradient: detach() gives a tensor that does not, of the same memory")
        value = value.detach()  # which keeps the memory alive, even when the tensor is given other
        if value.dtype == torch.bfloat16:
            return np.from_dlpack(value.view(torch.int16), copy=False).view(BFLOAT16)
    return np.from_dlpack(value, copy=False)


def is_temporary(arrays: Sequence[object]) -> bool:
    """Whether nobody could see the update of a parameter; `arrays` is the tuple that a kernel made."""
    param = arrays[0]
    return sys.getrefcount(param) - 2 <= TEMPORARY and type(param) is np.ndarray and param.base is None


def as_streams(names: Sequence[str], values: Sequence[object]) -> tuple[list[list[Array]], list[str]]:
    """Split each argument into its arrays; return them with the suffix that names each tensor in a message."""
    lists = [value if isinstance(value, list | tuple) else None for value in values]
    if lists[0] is None:
        for name, found in zip(names, lists, strict=True):
            if found is not None:
                raise TypeError(f"{name}: expected one array like {names[0]}, got a {type(found).__name__}")
        return [[as_array(value, names[s], written=s != GRAD)] for s, value in enumerate(values)], [""]
    suffixes = [f"[{i}]" for i in range(len(lists[0]))]
    streams = []
    for s, (name, found, value) in enumerate(zip(names, lists, values, strict=True)):
        if found is None:
            raise TypeError(f"{name}: expected a list of arrays like {names[0]}, got {type(value).__name__}")
        if len(found) != len(suffixes):
            raise ValueError(f"{name}: expected {len(suffixes)} arrays like {names[0]}, got {len(found)}")
        labelled = zip(found, suffixes, strict=True)
        streams.append([as_array(item, name + suffix, written=s != GRAD) for item, suffix in labelled])
    return streams, suffixes


def as_rows(value: Any, label: str) -> Array:
    """Return indices of rows as a contiguous array of int64."""
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        value = as_array(value, label, written=False)
    rows = np.asarray(value)
    if rows.ndim != 1:
        raise ValueError(f"{label}: expected indices of rows along one axis, got shape {rows.shape}")
    if rows.dtype.kind not in "iu" and rows.size:
        raise TypeError(f"{label}: expected integers, got dtype {rows.dtype}")
    if rows.dtype.kind == "u" and rows.dtype.itemsize == 8 and rows.size:
        rows = np.minimum(rows, np.iinfo(np.int64).max)  # which is beyond every table, too
    return np.ascontiguousarray(rows, np.int64)


class Part(NamedTuple):
    """Tensors that share a rule: the names of their streams, the streams, and the suffix that names each tensor.

    Where `rows` has indices for a tensor, its gradient has rows for these alone. Gradients that are to be `cast` may be
    of any type of real numbers.
    """

    names: Sequence[str]
    streams: Sequence[Sequence[Array]]
    suffixes: Sequence[str]
    rows: Sequence[Array | None] | None = None
    cast: bool = False


def check_parts(parts: Iterable[Part]) -> None:
    """Refuse any tensor that a step could not update: the first stream sets what the others must look like.

    Every stream but the gradient is written, and may share memory with no other array of any part.
    """
    spans: list[_Span] = []
    for part in parts:
        all_rows = [None] * len(part.suffixes) if part.rows is None else part.rows
        for name, stream in zip(part.names, part.streams, strict=True):
            written = name != "grad"
            for array, model, suffix, rows in zip(stream, part.streams[0], part.suffixes, all_rows, strict=True):
                label, like = name + suffix, part.names[0] + suffix
                check_dtype(model, label)
                if array.dtype != model.dtype and (written or not part.cast):
                    hint = "" if written or array.dtype not in _CONVERTIBLE else " (cast_grads=True converts it)"
                    found = describe(array.dtype)
                    raise TypeError(f"{label}: expected dtype {model.dtype} like {like}, got {found}{hint}")
                if array.dtype not in _CONVERTIBLE:
                    types = ", ".join(describe(dtype) for dtype in _CONVERTIBLE)
                    raise TypeError(f"{label}: expected dtype {types}, got {describe(array.dtype)}")
                shape, of = model.shape, ""
                if rows is not None and written:
                    _check_rows(array, label, rows, "rows" + suffix)
                elif rows is not None:
                    shape, of = (len(rows), *shape[1:]), f" for {len(rows)} rows"
                if array.shape != shape:
                    raise ValueError(f"{label}: expected shape {shape} like {like}{of}, got {array.shape}")
                if written and not array.flags.writeable:
                    raise ValueError(f"{label}: expected a writable array, got a read-only one")
                if written and array.size and _overlaps_itself(array):
                    strides = f"strides {array.strides} for {array.shape}"
                    raise ValueError(f"{label}: expected elements that share no memory, got {strides}")
                if array.size:
                    spans.append(_Span(*byte_bounds(array), len(spans), label, array, written))
    _refuse_overlap(spans)


def _check_rows(array: Array, label: str, rows: Array, rows_label: str) -> None:
    """Refuse indices that are not in a table, and a table whose rows are not in one piece each."""
    if array.ndim == 0:
        raise ValueError(f"{label}: expected an array with rows, got one without axes")
    outside = (rows < 0) | (rows >= len(array))
    if outside.any():
        wrong = rows[outside][0]
        raise IndexError(f"{rows_label}: expected integers in [0, {len(array)}) like the rows of {label}, got {wrong}")
    if not (array.flags.aligned and array[:1].flags.c_contiguous):
        raise ValueError(f"{label}: expected rows that lie in one piece each, got strides {array.strides}")


def check_dtype(array: Array, label: str) -> None:
    """Refuse what is neither float32 nor float64, in the machine's byte order."""
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{label}: expected dtype float32 or float64, got {describe(array.dtype)}")


def describe(dtype: np.dtype[Any]) -> str:
    """Name of a dtype, with its byte order where that is the trouble."""
    if dtype == BFLOAT16:
        return "bfloat16"
    return str(dtype) if dtype.isnative else f"{dtype.name} of foreign byte order"


def _overlaps_itself(array: Array) -> bool:
    """Whether two elements may share memory: a zero stride, or windows laid over each other by ``as_strided``."""
    reach = array.itemsize
    axes = zip(array.strides, array.shape, strict=True)
    for stride, length in sorted((abs(stride), length) for stride, length in axes if length > 1):
        if stride < reach:
            return True
        reach += stride * (length - 1)
    return False


def _refuse_overlap(spans: list[_Span]) -> None:
    """Refuse two arrays that share an element, unless both are only read."""
    reaching: list[_Span] = []
    for span in sorted(spans):
        reaching = [other for other in reaching if other.end > span.begin]
        for other in reaching:
            if (span.written or other.written) and _share_memory(span.array, other.array):
                first, second = sorted((span, other), key=lambda s: s.order)
                raise ValueError(f"{second.label}: expected memory of its own, got memory shared with {first.label}")
        reaching.append(span)


def _share_memory(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=_OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
