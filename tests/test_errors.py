"""What the kernels refuse, in which words, and that nothing has been written by then."""

import re

import numpy as np
import pytest
from harness import DTYPES, Frozen, copies, listed, update
from numpy.lib.stride_tricks import as_strided
from table import CASES, RULES, VARIANTS

from fastopt import kernels

SHAPE = (4, 5)

each_variant = pytest.mark.parametrize("case", VARIANTS, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def other(dtype):
    return np.float64 if dtype == np.float32 else np.float32


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# What a stream may wrongly hold, made from what it should: name, exception, words of the message.
# The last column tells whether the array is wrong by itself or only beside the parameter.
BAD_ARRAYS = [
    *(
        (name, lambda array, name=name: array.astype(name), TypeError, ("float32", name), True)
        for name in ("float16", "int32", "int64", "uint8", "bool", "complex64", "object")
    ),
    ("big-endian", lambda a: a.astype(a.dtype.newbyteorder(">")), TypeError, ("float32",), True),
    ("other dtype", lambda a: a.astype(other(a.dtype)), TypeError, ("float32", "float64"), False),
    ("list", lambda a: a.tolist(), TypeError, ("list",), True),
    ("text", lambda a: "text", TypeError, ("str",), True),
    ("number", lambda a: 1.5, TypeError, ("float",), True),
    ("NumPy number", lambda a: a.dtype.type(1.5), TypeError, ("float",), True),
    ("bytes", lambda a: a.tobytes(), TypeError, ("bytes",), True),
    ("transposed", lambda a: a.T.copy(), ValueError, ("(4, 5)", "(5, 4)"), False),
    ("row", lambda a: a[:1].copy(), ValueError, ("(4, 5)", "(1, 5)"), False),
    ("one more row", lambda a: np.ones((5, 5), a.dtype), ValueError, ("(4, 5)", "(5, 5)"), False),
    ("flat", lambda a: a.ravel().copy(), ValueError, ("(4, 5)", "(20,)"), False),
    ("0-d", lambda a: np.ones((), a.dtype), ValueError, ("(4, 5)", "()"), False),
    ("empty", lambda a: np.ones((0, 5), a.dtype), ValueError, ("(4, 5)", "(0, 5)"), False),
    ("one more axis", lambda a: a[None].copy(), ValueError, ("(4, 5)", "(1, 4, 5)"), False),
    ("read-only", read_only, ValueError, ("writ",), True),
]


def assert_refused(case, arrays, exception, start, words=(), step=2, **options):
    """The call raises, the message begins with `start`, and no array has changed."""
    everything = [
        array
        for stream in arrays.values()
        for array in (stream if isinstance(stream, (list, tuple)) else [stream])
        if isinstance(array, np.ndarray) and not array.dtype.hasobject
    ]
    before = Frozen(*everything)
    with pytest.raises(exception) as caught:
        update(case, arrays, step, **options)
    before.assert_unchanged()
    message = str(caught.value)
    assert re.match(start, message), message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("position", [None, 0, 2], ids=["single", "first", "last"])
@pytest.mark.parametrize("bad", BAD_ARRAYS, ids=lambda bad: bad[0])
@each_variant
def test_wrong_array(case, bad, position):
    _, spoil, exception, words, alone = bad
    for stream in case.streams:
        if stream == "param" and not alone:
            continue
        if stream == "grad" and spoil is read_only:
            continue
        tensors = [case.arrays(SHAPE, np.float32, seed=i) for i in range(3)]
        wrong = spoil(tensors[position or 0][stream])
        if position is None:
            if isinstance(wrong, list):
                continue
            arrays = tensors[0] | {stream: wrong}
            start = rf"{stream}: "
        else:
            arrays = listed(*tensors)
            arrays[stream][position] = wrong
            start = rf"{stream}\[{position}\]: "
        assert_refused(case, arrays, exception, start, ("expected", *words))


@each_variant
def test_none_among_arrays(case):
    for stream in case.streams:
        arrays = listed(*(case.arrays(SHAPE, np.float32, seed=i) for i in range(3)))
        arrays[stream][1] = None
        assert_refused(case, arrays, TypeError, rf"{stream}\[1\]: ", ("None",))
    for stream in ("param", "grad", *case.rule.states):
        arrays = case.arrays(SHAPE, np.float32) | {stream: None}
        assert_refused(case, arrays, TypeError, rf"{stream}: ", ("None",))


@each_variant
@each_dtype
def test_dtypes_are_compared_per_tensor(case, dtype):
    """A list may mix dtypes; the arrays of one tensor may not."""
    tensors = [case.arrays(SHAPE, one) for one in (dtype, other(dtype), dtype)]
    update(case, listed(*tensors))
    arrays = listed(*tensors)
    arrays["grad"] = arrays["grad"][1:] + arrays["grad"][:1]
    assert_refused(case, arrays, TypeError, r"grad\[0\]: ", (np.dtype(dtype).name,))


@each_variant
def test_lists_of_different_lengths(case):
    for stream in case.streams[1:]:
        for length in (0, 2, 4):
            arrays = listed(*(case.arrays(SHAPE, np.float32, seed=i) for i in range(3)))
            arrays[stream] = [case.arrays(SHAPE, np.float32, seed=9 + i)[stream] for i in range(length)]
            assert_refused(case, arrays, ValueError, stream, ("3", str(length)))


@each_variant
def test_lists_mixed_with_arrays(case):
    for stream in case.streams:
        for kind in (list, tuple):
            arrays = case.arrays(SHAPE, np.float32)
            arrays[stream] = kind([arrays[stream]])
            assert_refused(case, arrays, (TypeError, ValueError), r"\w+: ", ("expected",))


@each_variant
def test_other_containers(case):
    for kind in (iter, set, dict.fromkeys):
        for stream in case.streams:
            arrays = case.arrays((), np.float32) | {stream: kind([])}
            assert_refused(case, arrays, TypeError, rf"{stream}: ", ("expected",))


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
@each_variant
def test_overlap_within_one_tensor(case, overlap):
    for a, b in pairs(case):
        for first, second in (OVERLAPS[overlap], OVERLAPS[overlap][::-1]):
            memory = np.linspace(0.5, 1.0, 24, dtype=np.float32)
            arrays = case.arrays((8,), np.float32) | {a: memory[first][:8], b: memory[second][:8]}
            assert_refused(case, arrays, ValueError, rf"({a}|{b}): ", (a, b))


@pytest.mark.parametrize("overlap", OVERLAPS)
@each_variant
def test_overlap_across_tensors(case, overlap):
    first, second = OVERLAPS[overlap]
    for a in case.streams:
        for b in case.streams:
            if a == b == "grad":
                continue
            memory = np.linspace(0.5, 1.0, 24, dtype=np.float32)
            arrays = listed(*(case.arrays((8,), np.float32, seed=i) for i in range(4)))
            arrays[a][1] = memory[first][:8]
            arrays[b][3] = memory[second][:8]
            names = rf"({a}\[1\]|{b}\[3\]): "
            assert_refused(case, arrays, ValueError, names, (f"{a}[1]", f"{b}[3]"))


@pytest.mark.parametrize("apart", NO_OVERLAPS)
@each_variant
def test_arrays_side_by_side_or_interleaved_are_fine(case, apart):
    first, second = NO_OVERLAPS[apart]
    for a, b in pairs(case):
        arrays = case.arrays((8,), np.float32)
        memory = np.zeros(24, np.float32)
        expected = copies(arrays)
        for name, where in ((a, first), (b, second)):
            view = memory[where][:8]
            view[...] = arrays[name]
            arrays[name] = view
        update(case, arrays)
        update(case, expected)
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], expected[name])


@each_variant
def test_columns_of_one_matrix_are_fine(case):
    """All streams interleaved in one matrix, as a structure of columns."""
    expected = case.arrays((9,), np.float64)
    matrix = np.column_stack(list(expected.values()))
    columns = dict(zip(expected, matrix.T, strict=True))
    update(case, columns)
    update(case, expected)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, expected[name])


@each_variant
def test_overlap_across_dtypes(case):
    tensors = [case.arrays((8,), np.float32), case.arrays((8,), np.float64)]
    memory = np.ones(12, np.float64)
    tensors[0]["param"], tensors[1]["grad"] = memory.view(np.float32)[-8:], memory[1:9]
    assert_refused(case, listed(*tensors), ValueError, r"(param\[0\]|grad\[1\]): ")


@each_variant
def test_overlap_with_the_longer_of_two_gradients(case):
    """Gradients may lie in each other; what is written must keep clear of the longer one too."""
    tensors = [case.arrays((30,), np.float32), case.arrays((8,), np.float32)]
    memory = np.ones(40, np.float32)
    tensors[0]["grad"], tensors[1]["grad"] = memory[:30], memory[2:10]
    for stream in ("param", *case.states):
        arrays = listed(*tensors)
        arrays[stream][1] = memory[20:28]
        assert_refused(case, arrays, ValueError, rf"({stream}\[1\]|grad\[0\]): ", (f"{stream}[1]", "grad[0]"))


@each_variant
def test_array_that_overlaps_itself(case):
    for stream in ("param", *case.states):
        for shape, strides in (((4, 5), (0, 4)), ((4, 5), (4, 4)), ((20,), (0,))):
            arrays = case.arrays(shape, np.float32)
            arrays[stream] = as_strided(np.ones(20, np.float32), shape, strides)
            assert_refused(case, arrays, ValueError, rf"{stream}: ", ("memory",))


@each_variant
def test_empty_arrays_overlap_nothing(case):
    memory = np.zeros(4, np.float32)
    update(case, dict.fromkeys(case.streams, memory[2:2]))


def test_gradients_may_overlap_each_other():
    memory = np.ones(12, np.float32)
    params = [np.zeros(8, np.float32), np.zeros(8, np.float32), np.zeros(8, np.float32)]
    kernels.sgd(params, [memory[:8], memory[4:], memory[7::-1]], lr=0.5)
    for param in params:
        np.testing.assert_array_equal(param, np.full(8, -0.5, np.float32))


def _bad_options():
    for rule in RULES:
        cases = [case for case in VARIANTS if case.rule == rule]
        case = max(cases, key=lambda case: len(case.states))
        for options, exception, name in rule.bad:
            yield pytest.param(case, options, exception, name, id=f"{rule.name}-{options}".split(" object at")[0])


@pytest.mark.parametrize(("case", "options", "exception", "name"), list(_bad_options()))
def test_wrong_hyper_parameter(case, options, exception, name):
    arrays = case.arrays(SHAPE, np.float32)
    words = ["expected"]
    if len(options) == 1 and not isinstance(options[name], (list, complex)):
        words.append(str(options[name]) if type(options[name]) is not object else "object")
    assert_refused(case, arrays, exception, rf"{name}: ", words, **options)
    tensors = listed(arrays, case.arrays((3,), np.float64))
    assert_refused(case, tensors, exception, rf"{name}: ", words, **options)


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
