"""Arrays of every layout, one way to call the kernels, and how results are compared."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from table import BY_STREAMS, CASES, VARIANTS

from fastopt import kernels

DTYPES = (np.float32, np.float64)

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_variant = pytest.mark.parametrize("case", VARIANTS, ids=str)
each_number_of_arrays = pytest.mark.parametrize("case", BY_STREAMS, ids=lambda case: f"{len(case.streams)} arrays")
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

# Around the widths of vector registers, and around the length of a cache-sized block.
SMALL_SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33)
BLOCK_SIZES = (8191, 8192, 8193)
LARGE_SIZE = 100_003


@dataclass(frozen=True)
class Layout:
    """A view of a larger array: the shape of that array, and how to take the view."""

    name: str
    outer: Callable
    view: Callable

    def place(self, values):
        """Copy of `values` in this layout, and the array it is a view of."""
        base = np.full(self.outer(values.shape), 7.25, values.dtype)
        view = self.view(base)
        view[...] = values
        return view, base

    def outside(self, base):
        """The elements of `base` that do not belong to the view, as a copy."""
        inside = np.zeros(base.shape, bool)
        self.view(inside)[...] = True
        return base[~inside]


def _every(axis_slice):
    return lambda base: base[(axis_slice,) * base.ndim]


LAYOUTS = (
    Layout("C", lambda shape: shape, lambda base: base),
    Layout("F", lambda shape: shape[::-1], lambda base: base.T),
    Layout("row slice", lambda shape: (shape[0] + 3, *shape[1:]), lambda base: base[2:-1]),
    Layout("column slice", lambda shape: (*shape[:-1], shape[-1] + 3), lambda base: base[..., 1:-2]),
    Layout(
        "transposed column slice",
        lambda shape: (*shape[:0:-1], shape[0] + 3),
        lambda base: base[..., 2:-1].T,
    ),
    Layout("every second", lambda shape: tuple(2 * n + 1 for n in shape), _every(slice(1, None, 2))),
    Layout("reversed", lambda shape: shape, _every(slice(None, None, -1))),
    Layout(
        "every third, reversed",
        lambda shape: tuple(3 * n for n in shape),
        _every(slice(None, None, -3)),
    ),
    Layout("rows reversed", lambda shape: shape, lambda base: base[::-1]),
    Layout(
        "last axis first",
        lambda shape: (shape[-1], *shape[:-1]),
        lambda base: np.moveaxis(base, 0, -1),
    ),
    Layout("one column", lambda shape: (*shape, 3), lambda base: base[..., 1]),
)


def packed(values):
    """Fields of packed records: misaligned, with a byte between them."""
    records = np.zeros(values.shape, np.dtype([("tag", "u1"), ("value", values.dtype)]))
    records["value"] = values
    return records["value"]


def shifted(values):
    """End to end, but one byte off."""
    array = np.zeros(values.nbytes + 1, np.uint8)[1:].view(values.dtype).reshape(values.shape)
    array[...] = values
    return array


# Ways to lay out a copy of values.
PLACES = (*(lambda values, layout=layout: layout.place(values)[0] for layout in LAYOUTS), packed, shifted)
PLACE_NAMES = [*(layout.name for layout in LAYOUTS), "packed", "shifted"]


def update(case, arrays, step=1, /, **options):
    """One call of the case's kernel on named arrays (or lists of arrays), all given in place."""
    kernel = getattr(kernels, case.rule.name)
    states = {name: arrays[name] for name in case.states}
    return kernel(arrays["param"], arrays["grad"], **states, **(case.options_at(step) | options))


def listed(*tensors):
    """Named arrays of several parameters, as named lists."""
    return {name: [arrays[name] for arrays in tensors] for name in tensors[0]}


def copies(arrays):
    """Copies that keep each array's memory layout out of it (always C-contiguous)."""
    return {name: np.array(array, order="C", copy=True) for name, array in arrays.items()}


def assert_same_bits(actual, expected, what=""):
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.tobytes() != expected.tobytes():
        different = np.argwhere(np.atleast_1d(actual != expected))
        raise AssertionError(f"{what}: {len(different)} elements differ, first at {different[:1]}")


def assert_close(actual, expected, steps, what=""):
    """Equal but for the rounding of `steps` updates.

    An update is about ten operations on numbers no larger than the largest of the array or of the
    gradients (which are of the order of 1), each off by half an `eps`; a division by a root of
    a second moment below 1 multiplies what the moments brought along. 32 `eps` a step leaves room
    for both, and is far below what any wrong formula does (test_table.py).
    """
    dtype = actual.dtype
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    bound = 32 * steps * np.finfo(dtype).eps * scale
    error = np.max(np.abs(actual.astype(np.float64) - expected), initial=0.0)
    assert error <= bound, f"{what}: off by {error:.3g}, {error / bound:.3g} times the bound"


class Frozen:
    """Bytes of arrays, to be compared with what they are later."""

    def __init__(self, *arrays):
        self.arrays = arrays
        self.bytes = [array.tobytes() for array in arrays]

    def assert_unchanged(self):
        assert [array.tobytes() for array in self.arrays] == self.bytes


def run_python(*parts, **environment):
    """Run code in a fresh interpreter that must end in time; give back its exit code, words printed and errors."""
    done = subprocess.run(
        [sys.executable, "-c", "".join(map(textwrap.dedent, parts))],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.split(), done.stderr


def in_threads(*calls):
    """Call all at the same moment, each in a thread of its own, and raise what the first of them raised."""
    start, errors = threading.Barrier(len(calls)), []

    def run(call):
        start.wait()
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
