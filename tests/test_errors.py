"""What the kernels refuse, in which words, and that nothing has been written by then."""

import inspect
import itertools
import re

import numpy as np
import pytest
from harness import Frozen, copies, each_dtype, each_variant, listed, update
from numpy.lib.stride_tricks import as_strided
from table import CASES, HYPER_PARAMETERS, MOST_STREAMS, RULES, VARIANTS, refused

from fastopt import kernels
from fastopt.kernels.rules import CHECKS

SHAPE = (4, 5)


def other(dtype):
    return np.float64 if dtype == np.float32 else np.float32


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# Streams that a wrong array is wrong in: by itself, only beside the parameter, or only where it is written.
ALONE = frozenset(MOST_STREAMS.streams)
BESIDE = ALONE - {"param"}
WRITTEN = ALONE - {"grad"}

# What a stream may wrongly hold, made from what it should: name, exception, words of the message, in which streams.
BAD_ARRAYS = [
    *(
        (name, lambda array, name=name: array.astype(name), TypeError, ("float32", name), ALONE)
        for name in ("float16", "int32", "int64", "uint8", "bool", "complex64", "object")
    ),
    ("big-endian", lambda a: a.astype(a.dtype.newbyteorder(">")), TypeError, ("float32",), ALONE),
    ("other dtype", lambda a: a.astype(other(a.dtype)), TypeError, ("float32", "float64"), BESIDE),
    ("list", lambda a: a.tolist(), TypeError, ("list",), ALONE),
    ("text", lambda a: "text", TypeError, ("str",), ALONE),
    ("number", lambda a: 1.5, TypeError, ("float",), ALONE),
    ("NumPy number", lambda a: a.dtype.type(1.5), TypeError, ("float",), WRITTEN),
    ("bytes", lambda a: a.tobytes(), TypeError, ("bytes",), ALONE),
    ("transposed", lambda a: a.T.copy(), ValueError, ("(4, 5)", "(5, 4)"), BESIDE),
    ("row", lambda a: a[:1].copy(), ValueError, ("(4, 5)", "(1, 5)"), BESIDE),
    ("one more row", lambda a: np.ones((5, 5), a.dtype), ValueError, ("(4, 5)", "(5, 5)"), BESIDE),
    ("flat", lambda a: a.ravel().copy(), ValueError, ("(4, 5)", "(20,)"), BESIDE),
    ("0-d", lambda a: np.ones((), a.dtype), ValueError, ("(4, 5)", "()"), BESIDE),
    ("empty", lambda a: np.ones((0, 5), a.dtype), ValueError, ("(4, 5)", "(0, 5)"), BESIDE),
    ("one more axis", lambda a: a[None].copy(), ValueError, ("(4, 5)", "(1, 4, 5)"), BESIDE),
    ("read-only", read_only, ValueError, ("writ",), WRITTEN),
]
BAD_NAMES = [bad[0] for bad in BAD_ARRAYS]


def assert_refused(case, arrays, exception, start, words=(), **options):
    """The call raises, the message begins with `start`, and no array has changed."""
    everything = [
        array
        for stream in arrays.values()
        for array in (stream if isinstance(stream, (list, tuple)) else [stream])
        if isinstance(array, np.ndarray) and not array.dtype.hasobject
    ]
    before = Frozen(*everything)
    with pytest.raises(exception) as caught:
        update(case, arrays, 2, **options)
    before.assert_unchanged()
    message = str(caught.value)
    assert re.match(start, message), message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(("spoil", "exception", "words", "streams"), [bad[1:] for bad in BAD_ARRAYS], ids=BAD_NAMES)
def test_wrong_array(spoil, exception, words, streams):
    """By itself, and at any place of a list."""
    for stream, position in itertools.product(sorted(streams), (None, 0, 2)):
        tensors = [MOST_STREAMS.arrays(SHAPE, np.float32, seed=i) for i in range(3)]
        wrong = spoil(tensors[position or 0][stream])
        if position is None:
            if isinstance(wrong, list):
                continue  # a list of arrays
            arrays, start = tensors[0] | {stream: wrong}, rf"{stream}: "
        else:
            arrays, start = listed(*tensors), rf"{stream}\[{position}\]: "
            arrays[stream][position] = wrong
        assert_refused(MOST_STREAMS, arrays, exception, start, ("expected", *words))


@each_variant
def test_every_array_is_looked_at_and_named(case):
    for stream in case.streams:
        arrays = case.arrays(SHAPE, np.float32)
        arrays[stream] = arrays[stream].astype(np.float16)
        assert_refused(case, arrays, TypeError, rf"{stream}: ", ("expected", "float32", "float16"))


@each_variant
def test_none_among_arrays(case):
    for stream in case.streams:
        arrays = listed(*(case.arrays(SHAPE, np.float32, seed=i) for i in range(3)))
        arrays[stream][1] = None
        assert_refused(case, arrays, TypeError, rf"{stream}\[1\]: ", ("None",))
    for stream in ("param", "grad", *case.rule.states):
        arrays = case.arrays(SHAPE, np.float32) | {stream: None}
        assert_refused(case, arrays, TypeError, rf"{stream}: ", ("None",))


@each_dtype
def test_dtypes_are_compared_per_tensor(dtype):
    """A list may mix dtypes; the arrays of one tensor may not."""
    tensors = [MOST_STREAMS.arrays(SHAPE, one) for one in (dtype, other(dtype), dtype)]
    update(MOST_STREAMS, listed(*tensors))
    arrays = listed(*tensors)
    arrays["grad"] = arrays["grad"][1:] + arrays["grad"][:1]
    assert_refused(MOST_STREAMS, arrays, TypeError, r"grad\[0\]: ", (np.dtype(dtype).name,))


def test_lists_of_different_lengths():
    for stream in MOST_STREAMS.streams[1:]:
        for length in (0, 2, 4):
            arrays = listed(*(MOST_STREAMS.arrays(SHAPE, np.float32, seed=i) for i in range(3)))
            arrays[stream] = [MOST_STREAMS.arrays(SHAPE, np.float32, seed=9 + i)[stream] for i in range(length)]
            assert_refused(MOST_STREAMS, arrays, ValueError, stream, ("3", str(length)))


def test_lists_mixed_with_arrays():
    for stream in MOST_STREAMS.streams:
        for kind in (list, tuple):
            arrays = MOST_STREAMS.arrays(SHAPE, np.float32)
            arrays[stream] = kind([arrays[stream]])
            assert_refused(MOST_STREAMS, arrays, (TypeError, ValueError), r"\w+: ", ("expected",))


def test_other_containers():
    for kind in (iter, set, dict.fromkeys):
        for stream in MOST_STREAMS.streams:
            arrays = MOST_STREAMS.arrays((), np.float32) | {stream: kind([])}
            assert_refused(MOST_STREAMS, arrays, TypeError, rf"{stream}: ", ("expected",))


# Two arrays in one memory: how the first and the second lie in it, for 1-D arrays of 8 elements.
OVERLAPS = {
    "the same": (slice(0, 8), slice(0, 8)),
    "shifted by one": (slice(0, 8), slice(1, 9)),
    "shifted back": (slice(3, 11), slice(0, 8)),
    "one shared element": (slice(0, 8), slice(7, 15)),
    "reversed": (slice(0, 8), slice(7, None, -1)),
    "strides that meet": (slice(0, 16, 2), slice(0, 24, 3)),
    "strides that meet once": (slice(0, 16, 2), slice(14, None, -1)),
}
NO_OVERLAPS = {
    "side by side": (slice(0, 8), slice(8, 16)),
    "side by side, turned": (slice(8, 16), slice(7, None, -1)),
    "even and odd": (slice(0, 16, 2), slice(1, 17, 2)),
    "odd and even, reversed": (slice(1, 17, 2), slice(14, None, -2)),
    "every third": (slice(0, 24, 3), slice(2, 24, 3)),
}


def pairs(case):
    """Every two streams of which at least one is written."""
    return [(a, b) for i, a in enumerate(case.streams) for b in case.streams[i + 1 :]]


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_overlap_within_one_tensor(overlap):
    for a, b in pairs(MOST_STREAMS):
        for first, second in (OVERLAPS[overlap], OVERLAPS[overlap][::-1]):
            memory = np.linspace(0.5, 1.0, 24, dtype=np.float32)
            arrays = MOST_STREAMS.arrays((8,), np.float32) | {a: memory[first][:8], b: memory[second][:8]}
            assert_refused(MOST_STREAMS, arrays, ValueError, rf"({a}|{b}): ", (a, b))


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_overlap_across_tensors(overlap):
    first, second = OVERLAPS[overlap]
    for a in MOST_STREAMS.streams:
        for b in MOST_STREAMS.streams:
            if a == b == "grad":
                continue
            memory = np.linspace(0.5, 1.0, 24, dtype=np.float32)
            arrays = listed(*(MOST_STREAMS.arrays((8,), np.float32, seed=i) for i in range(4)))
            arrays[a][1] = memory[first][:8]
            arrays[b][3] = memory[second][:8]
            names = rf"({a}\[1\]|{b}\[3\]): "
            assert_refused(MOST_STREAMS, arrays, ValueError, names, (f"{a}[1]", f"{b}[3]"))


@pytest.mark.parametrize("apart", NO_OVERLAPS)
def test_arrays_side_by_side_or_interleaved_are_fine(apart):
    first, second = NO_OVERLAPS[apart]
    for a, b in pairs(MOST_STREAMS):
        arrays = MOST_STREAMS.arrays((8,), np.float32)
        memory = np.zeros(24, np.float32)
        expected = copies(arrays)
        for name, where in ((a, first), (b, second)):
            view = memory[where][:8]
            view[...] = arrays[name]
            arrays[name] = view
        update(MOST_STREAMS, arrays)
        update(MOST_STREAMS, expected)
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], expected[name])


def test_columns_of_one_matrix_are_fine():
    """All streams interleaved in one matrix, as a structure of columns, of which the gradients' may be read only."""
    expected = MOST_STREAMS.arrays((9,), np.float64)
    matrix = np.column_stack(list(expected.values()))
    columns = dict(zip(expected, matrix.T, strict=True))
    columns["grad"].flags.writeable = False
    update(MOST_STREAMS, columns)
    update(MOST_STREAMS, expected)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, expected[name])


def test_overlap_across_dtypes():
    tensors = [MOST_STREAMS.arrays((8,), np.float32), MOST_STREAMS.arrays((8,), np.float64)]
    memory = np.ones(12, np.float64)
    tensors[0]["param"], tensors[1]["grad"] = memory.view(np.float32)[-8:], memory[1:9]
    assert_refused(MOST_STREAMS, listed(*tensors), ValueError, r"(param\[0\]|grad\[1\]): ")


def test_overlap_with_the_longer_of_two_gradients():
    """Gradients may lie in each other; what is written must keep clear of the longer one too."""
    tensors = [MOST_STREAMS.arrays((30,), np.float32), MOST_STREAMS.arrays((8,), np.float32)]
    memory = np.ones(40, np.float32)
    tensors[0]["grad"], tensors[1]["grad"] = memory[:30], memory[2:10]
    for stream in ("param", *MOST_STREAMS.states):
        arrays = listed(*tensors)
        arrays[stream][1] = memory[20:28]
        assert_refused(MOST_STREAMS, arrays, ValueError, rf"({stream}\[1\]|grad\[0\]): ", (f"{stream}[1]", "grad[0]"))


def test_array_that_overlaps_itself():
    for stream in ("param", *MOST_STREAMS.states):
        for shape, strides in (((4, 5), (0, 4)), ((4, 5), (4, 4)), ((20,), (0,))):
            arrays = MOST_STREAMS.arrays(shape, np.float32)
            arrays[stream] = as_strided(np.ones(20, np.float32), shape, strides)
            assert_refused(MOST_STREAMS, arrays, ValueError, rf"{stream}: ", ("memory",))


def test_empty_arrays_overlap_nothing():
    memory = np.zeros(4, np.float32)
    update(MOST_STREAMS, dict.fromkeys(MOST_STREAMS.streams, memory[2:2]))


def test_gradients_may_overlap_each_other():
    memory = np.ones(12, np.float32)
    params = [np.zeros(8, np.float32), np.zeros(8, np.float32), np.zeros(8, np.float32)]
    kernels.sgd(params, [memory[:8], memory[4:], memory[7::-1]], lr=0.5)
    for param in params:
        np.testing.assert_array_equal(param, np.full(8, -0.5, np.float32))


@pytest.mark.parametrize("name", HYPER_PARAMETERS)
def test_wrong_hyper_parameter(name):
    """Of every function that has it, for one array and for lists."""
    for case in VARIANTS:
        if name not in inspect.signature(case.rule.oracle).parameters:
            continue
        for value, exception in refused(name):
            arrays = case.arrays(SHAPE, np.float32)
            words = ["expected"] if type(value) is object else ["expected", str(value)]
            assert_refused(case, arrays, exception, rf"{name}: ", words, **{name: value})
            tensors = listed(arrays, case.arrays((3,), np.float64))
            assert_refused(case, tensors, exception, rf"{name}: ", words, **{name: value})


@pytest.mark.parametrize("name", HYPER_PARAMETERS)
def test_hyper_parameter_in_its_range(name):
    """The bounds are part of a range, or not, as the table says."""
    taken, _, _ = HYPER_PARAMETERS[name]
    for value in taken:
        assert CHECKS[name](name, value) == value
    for value, exception in refused(name):
        with pytest.raises(exception, match=f"^{name}: expected"):
            CHECKS[name](name, value)


def test_every_hyper_parameter_is_in_the_table():
    assert HYPER_PARAMETERS.keys() == CHECKS.keys()


def test_dampening_in_the_convention_that_has_none():
    options = {"lr": 0.1, "momentum": 0.9, "lr_in_velocity": True, "dampening": 0.5}
    arrays = np.ones((3, 4), np.float32)
    before = Frozen(arrays)
    with pytest.raises(ValueError, match=r"^dampening: expected 0 with lr_in_velocity, got 0\.5"):
        kernels.momentum(*arrays, **options)
    before.assert_unchanged()


def test_momentum_without_its_buffer():
    """A momentum that would silently not be used is a mistake."""
    param, grad, square_avg = np.ones((3, 4), np.float32)
    before = Frozen(param, square_avg)
    with pytest.raises(ValueError, match="momentum"):
        kernels.rmsprop(param, grad, square_avg, lr=0.1, momentum=0.9)
    before.assert_unchanged()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_required_and_unknown_arguments(rule):
    case = next(case for case in CASES if case.rule == rule)
    arrays = case.arrays(SHAPE, np.float32)
    before = Frozen(*arrays.values())
    kernel = getattr(kernels, rule.name)
    for name in rule.required:
        options = {key: value for key, value in rule.required.items() if key != name}
        with pytest.raises(TypeError, match=name):
            kernel(*arrays.values(), **options)
    with pytest.raises(TypeError, match="learning_rate"):
        kernel(*arrays.values(), **rule.required, learning_rate=0.1)
    with pytest.raises(TypeError):
        kernel(arrays["param"])
    before.assert_unchanged()
