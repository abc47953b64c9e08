"""The NumPy backend: the loops over whole chunks, the last resort that runs everywhere."""

from typing import Any

import numpy as np

from fastopt._typing import Array
from fastopt.kernels._bound import Interpreted, Update
from fastopt.kernels.rules import Rule, with_globals

# Elements of a chunk, the length of the temporaries. Measured: shorter ones pay more for each operation than the cache
# saves; from 256 KiB on, NumPy reuses the temporaries of an expression instead of allocating the next.
_CHUNK = 65536


def _clip(x: Array, limit: Any) -> Array:
    return x if limit == np.inf else np.clip(x, -limit, limit)


def _nonnegative(x: Array) -> Array:
    return np.where(x < 0, x.dtype.type(0), x)


# The number 1, which as a factor on the left costs nothing: the product is the other factor, not a copy. It has the
# arrays' type, since NumPy would widen an array of float32 beside a subclass of Python's float.


class _Single(np.float32):
    def __mul__(self, x: Any) -> Any:
        return x


class _Double(np.float64):
    def __mul__(self, x: Any) -> Any:
        return x


_ONES = {"f": _Single(1.0), "d": _Double(1.0)}

_FUNCTIONS = {
    "clip": _clip,
    "maximum": np.maximum,
    "nonnegative": _nonnegative,
    "range": lambda chunk: (chunk,),
    "sign": np.sign,
    "sqrt": np.sqrt,
    "where": np.where,
}


class NumPy(Interpreted):
    """The loops, run by NumPy: the index is a slice, so the body runs once for each chunk."""

    name = "numpy"

    def make_update(self, rule: Rule) -> Update:
        """Return the update of contiguous one-dimensional arrays of one dtype, in place."""
        body = with_globals(rule.loop, _FUNCTIONS)

        def update(arrays: list[Array], scalars: tuple[float, ...]) -> None:
            # Python's floats take the arrays' type, as the other backends cast them.
            one = _ONES[arrays[0].dtype.char]
            operands = [one if scalar == 1.0 else scalar for scalar in scalars]
            with np.errstate(all="ignore"):
                for start in range(0, arrays[0].size, _CHUNK):
                    body(slice(start, start + _CHUNK), *arrays, *operands)

        return update


BACKEND = NumPy()
