"""Arrays bound to rules where a step is Python code: what the backends without compiled kernels have in common."""

import weakref
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import chain, combinations
from operator import attrgetter
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from fastopt._typing import Array
from fastopt.kernels._checks import BFLOAT16, GRAD, TEMPORARY
from fastopt.kernels.rules import Rule

Update = Callable[[list[Array], tuple[float, ...]], None]
Streams = Sequence[Sequence[Any]]

# Elements of a chunk of strided arrays: few enough that the buffers of five streams stay in the cache.
_CHUNK = 8192

# NumPy's flags: in C order, in Fortran order, aligned, writable.
_C, _F, _ALIGNED, _WRITABLE = 0x1, 0x2, 0x100, 0x400
_ORDINARY = _C | _ALIGNED | _WRITABLE
# What may be changed of an array in place and bound arrays rely on.
_form = attrgetter("dtype", "shape", "strides", "flags.num")
_grad_form = attrgetter("dtype", "shape", "strides", "flags.aligned")

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Interpreted(ABC):
    """A backend without compiled kernels, see `fastopt.kernels._backend.Backend`."""

    name: str
    isa = None

    def __init__(self) -> None:
        self._updates: dict[Rule, Update] = {}

    @abstractmethod
    def make_update(self, rule: Rule) -> Update:
        """Return the update of contiguous one-dimensional arrays of one dtype, in place."""

    def update_of(self, rule: Rule) -> Update:
        """Return the update of a rule, made once."""
        update = self._updates.get(rule)
        if update is None:
            update = self._updates[rule] = self.make_update(rule)
        return update

    def update_apart(self, rule: Rule, arrays: list[Array], scalars: tuple[float, ...]) -> bool:
        """Update contiguous one-dimensional arrays, unless two of them overlap; return whether it was done."""
        if any(np.may_share_memory(a, b) for a, b in combinations(arrays, 2)):
            return False
        self.update_of(rule)(arrays, scalars)
        return True

    def apply(self, rule: Rule, arrays: tuple[Any, ...], values: tuple[Any, ...], limit: int) -> bool:
        """Update a single ordinary tensor of fewer than `limit` elements; return whether that was possible."""
        scalars = rule.scalars_of(*values)
        param = arrays[0]
        if type(param) is not np.ndarray:
            return False
        dtype, shape = param.dtype, param.shape
        if dtype not in _DTYPES or param.size >= limit:
            return False
        if getrefcount(param) - 2 <= TEMPORARY and param.base is None:  # without those of this function
            return False
        for array in arrays:
            if not (
                type(array) is np.ndarray
                and array.dtype == dtype
                and array.shape == shape
                and array.flags.num & _ORDINARY == _ORDINARY
            ):
                return False
        return self.update_apart(rule, [array.ravel() for array in arrays], scalars)

    def bind(
        self,
        rules: Sequence[Rule],
        parts: Sequence[Streams],
        trusted: bool = False,
        rows: Sequence[Sequence[Array | None] | None] | None = None,
    ) -> "Bound | None":
        """Return arrays that have been looked at, ready for their rules; None for others."""
        return Bound(self, rules, parts, rows) if trusted else None

    def sums_of_squares(self, arrays: tuple[Array, ...], start: int, stop: int) -> list[float] | None:
        """Return None: the general way is the only one."""
        return None


class _Tensor:
    """The arrays of one tensor, and how to lay them end to end."""

    def __init__(self, update: Update, part: int, arrays: Sequence[Array], begin: int) -> None:
        self.update, self.part = update, part
        self.begin, self.size = begin, arrays[0].size
        self.arrays = list(arrays)
        self.dtype = arrays[0].dtype
        self.alike = arrays[GRAD].dtype == self.dtype
        flags = _C | _F | _ALIGNED if self.alike else 0
        for array in arrays:
            flags &= array.flags.num
        self.order = None if not flags & _ALIGNED else "C" if flags & _C else "F" if flags & _F else None
        self.grad_form = _grad_form(arrays[GRAD])
        self.known_grad = weakref.ref(arrays[GRAD])

    def run(self, scalars: tuple[float, ...], start: int, stop: int) -> None:
        """Update the elements from `start` up to `stop`."""
        if self.order is None:
            self._run_strided(scalars, start, stop)
            return
        # Views are made anew in each step: nothing then hinders, or survives, a resize of the arrays.
        arrays = self.arrays if self.order == "C" else [array.T for array in self.arrays]
        flat = [array.ravel() for array in arrays]
        if stop - start < self.size:
            flat = [array[start:stop] for array in flat]
        self.update(flat, scalars)

    def _run_strided(self, scalars: tuple[float, ...], start: int, stop: int) -> None:
        """Go chunk by chunk of NumPy's iterator, which copies only what is not contiguous."""
        access: Any = [["readwrite", "contig", "aligned"] for _ in self.arrays]
        access[GRAD][0] = "readonly"
        # Buffers that were filled before the range is set would be written back, over what other threads did since.
        flags: Any = ["external_loop", "buffered", "delay_bufalloc", "ranged"]
        with np.nditer(self.arrays, flags, access, buffersize=_CHUNK) as chunks:
            chunks.iterrange = (start, stop)  # type: ignore[misc]
            for chunk in chunks:
                arrays = list(chunk)
                if not self.alike:
                    arrays[GRAD] = converted(arrays[GRAD], self.dtype)
                self.update(arrays, scalars)


class _Rows(_Tensor):
    """The arrays of one tensor of which a step updates some rows."""

    def __init__(self, update: Update, part: int, arrays: Sequence[Array], begin: int, rows: Array) -> None:
        super().__init__(update, part, arrays, begin)
        self.rows, self.sums = summed(rows, arrays[GRAD], self.dtype)
        self.length = arrays[0].size // max(1, len(arrays[0]))
        self.size = len(self.rows) * self.length

    def run(self, scalars: tuple[float, ...], start: int, stop: int) -> None:
        """Update the rows that begin among the elements from `start` up to `stop`."""
        if self.size == 0:
            return
        first, last = -(-start // self.length), -(-stop // self.length)
        at_once = max(1, _CHUNK // self.length)
        for begin in range(first, last, at_once):
            part = slice(begin, min(begin + at_once, last))
            rows = self.rows[part]
            pieces = [self.sums[part] if s == GRAD else array[rows] for s, array in enumerate(self.arrays)]
            self.update([piece.reshape(-1) for piece in pieces], scalars)
            for s, array in enumerate(self.arrays):
                if s != GRAD:
                    array[rows] = pieces[s]


def summed(rows: Array, grad: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return each row once, in the order in which a gradient first has it, and the sums of its rows of the gradient."""
    distinct, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    again = np.setdiff1d(np.arange(len(rows)), first)
    grad = converted(grad, dtype)
    sums = grad[first[order]]
    with np.errstate(all="ignore"):
        np.add.at(sums, position[inverse[again]], grad[again])
    return distinct[order], sums


def converted(grad: Array, dtype: np.dtype[Any]) -> Array:
    """Return a gradient in the parameter's type."""
    with np.errstate(all="ignore"):
        if grad.dtype == BFLOAT16:
            grad = (grad.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return grad.astype(dtype, copy=False)


class Bound:
    """Arrays, looked at and ready for their rules."""

    def __init__(
        self,
        backend: Interpreted,
        rules: Sequence[Rule],
        parts: Sequence[Streams],
        rows: Sequence[Sequence[Array | None] | None] | None,
    ) -> None:
        self._rules = list(rules)
        self._counts = [len(streams[0]) for streams in parts]
        self._tensors: list[_Tensor] = []
        self._scalars: list[tuple[float, ...]] = []
        self.size = 0
        for i, (rule, streams) in enumerate(zip(rules, parts, strict=True)):
            indices = None if rows is None else rows[i]
            for index, arrays in zip(indices or [None] * len(streams[0]), zip(*streams, strict=True), strict=True):
                own = backend.update_of(rule), i, arrays, self.size
                self._tensors.append(_Tensor(*own) if index is None else _Rows(*own, index))
                self.size += self._tensors[-1].size
        self._watching = False
        self._rebindable = not any(isinstance(tensor, _Rows) for tensor in self._tensors)
        self._written = [a for tensor in self._tensors for s, a in enumerate(tensor.arrays) if s != GRAD]
        self._forms = list(map(_form, self._written))
        spans = sorted(byte_bounds(array) for array in self._written if array.size)
        self._begins = [begin for begin, _ in spans]
        self._ends: list[int] = []
        for _, end in spans:
            self._ends.append(max(end, self._ends[-1]) if self._ends else end)

    def load(self, values: tuple[tuple[Any, ...], ...]) -> None:
        """Make the scalars of the next step from the hyper-parameters of each part."""
        self._scalars = [rule.scalars_of(*own) for rule, own in zip(self._rules, values, strict=True)]

    def watch(self, owners: tuple[Any, ...], arrays: tuple[Array, ...]) -> None:
        """Have arrays whose owners are not NumPy's looked at before each step: Python has no quick way to."""
        self._watching = len(owners) > 0

    def rebind(self, grads: tuple[Sequence[Any], ...], looked_at: bool = False) -> bool:
        """Take other gradients; return whether they and all bound arrays need no closer look."""
        if not self._rebindable or (self._watching and not looked_at):
            return False
        if list(map(len, grads)) != self._counts or list(map(_form, self._written)) != self._forms:
            return False
        given = list(chain.from_iterable(grads))
        for tensor, grad in zip(self._tensors, given, strict=True):
            if type(grad) is not np.ndarray or _grad_form(grad) != tensor.grad_form:
                return False
            if tensor.known_grad() is not grad:
                if self._meets_written(grad):
                    return False
                tensor.known_grad = weakref.ref(grad)
        for tensor, grad in zip(self._tensors, given, strict=True):
            tensor.arrays[GRAD] = grad
        return True

    def _meets_written(self, grad: Array) -> bool:
        begin, end = byte_bounds(grad)
        before = bisect_right(self._ends, begin)  # arrays that end before the gradient begins
        return before < len(self._begins) and self._begins[before] < end and grad.size > 0

    def release(self) -> None:
        """Let go of the gradients."""
        for tensor in self._tensors:
            tensor.arrays[GRAD] = tensor.arrays[0]

    def run(self, counter: Array | None = None) -> None:
        """Update all arrays, and add 1 to `counter`."""
        if counter is not None:
            counter[0] += 1
        for tensor in self._tensors:
            tensor.run(self._scalars[tensor.part], 0, tensor.size)

    def share(self, length: int, counter: Array | None = None) -> None:
        """Return None: Python has to share the work out."""

    def run_range(self, start: int, stop: int) -> None:
        """Update the elements from `start` up to `stop` of all tensors laid end to end."""
        for tensor in self._tensors:
            first, last = max(start - tensor.begin, 0), min(stop - tensor.begin, tensor.size)
            if first < last:
                tensor.run(self._scalars[tensor.part], first, last)
