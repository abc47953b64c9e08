"""Kernels against the oracle: every rule and option, dtype, size, layout; one array and lists."""

import inspect
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from harness import (
    BLOCK_SIZES,
    DTYPES,
    LARGE_SIZE,
    LAYOUTS,
    SMALL_SIZES,
    Frozen,
    assert_close,
    assert_same_bits,
    copies,
    each_case,
    each_dtype,
    each_number_of_arrays,
    each_variant,
    listed,
    packed,
    shifted,
    update,
)
from table import HAND_WORKED, HYPER_PARAMETERS, MOST_STREAMS, RULES, VARIANTS

from fastopt import kernels

STEPS = 4


def follow(case, shape, dtype, steps):
    """Run kernel and oracle from the same arrays, and compare after every step."""
    arrays = case.arrays(shape, dtype)
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    for step, grad in enumerate(case.gradients(shape, dtype, steps), start=1):
        arrays["grad"] = grad
        exact["grad"] = grad.astype(np.float64)
        before = Frozen(grad)
        update(case, arrays, step)
        exact |= case.expected(exact, step)
        for name in ("param", *case.states):
            assert_close(arrays[name], exact[name], step, f"{name}, shape {shape}, step {step}")
        before.assert_unchanged()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_signature_is_the_oracles(rule):
    """Argument names, their order and defaults are those that the oracle was written with, before two of all rules."""
    expected = inspect.signature(rule.oracle).parameters
    actual = dict(inspect.signature(getattr(kernels, rule.name)).parameters)
    others = [("cast_grads", False)] if rule.layerwise else [("cast_grads", False), ("rows", None)]
    assert [(name, actual.pop(name).default) for name in [*actual][-len(others) :]] == others
    positional = [name for name, p in expected.items() if p.kind is not p.KEYWORD_ONLY]
    assert list(actual)[: len(positional)] == positional
    assert {name: p.default for name, p in actual.items()} == {name: p.default for name, p in expected.items()}
    for name in set(expected) - set(positional):
        assert actual[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("rule", "arrays", "options", "expected"), HAND_WORKED)
@each_dtype
def test_hand_worked_values(rule, arrays, options, expected, dtype):
    arrays = {name: np.full(3, value, dtype) for name, value in arrays.items()}
    getattr(kernels, rule.name)(**arrays, **options)
    for name, value in expected.items():
        np.testing.assert_allclose(arrays[name], value, rtol=8 * np.finfo(dtype).eps)


@each_case
def test_follows_the_oracle(case):
    follow(case, (33,), np.float64, STEPS)


@each_variant
@each_dtype
def test_follows_the_oracle_at_every_length(case, dtype):
    for size in (*SMALL_SIZES, *BLOCK_SIZES, LARGE_SIZE):
        follow(case, (size,), dtype, 2)


@each_number_of_arrays
@each_dtype
def test_follows_the_oracle_in_every_shape(case, dtype):
    for shape in ((), (0,), (0, 3), (3, 0), (1,), (1, 1, 1), (1, 5, 1), (2, 3, 4, 2)):
        follow(case, shape, dtype, STEPS)


@each_variant
def test_follows_the_oracle_for_a_thousand_steps(case):
    follow(case, (5,), np.float64, 1000)


@each_number_of_arrays
@each_dtype
def test_layout_does_not_change_a_bit(case, dtype):
    """A view is updated in place like a contiguous copy of it, and nothing around it."""
    for shape in ((33,), (7, 9), (3, 5, 4)):
        start = case.arrays(shape, dtype)
        contiguous = copies(start)
        for step in (1, 2):
            update(case, contiguous, step)
        for layout in LAYOUTS:
            placed = {name: layout.place(array) for name, array in start.items()}
            grad_before = Frozen(placed["grad"][1])
            for step in (1, 2):
                update(case, {name: view for name, (view, _) in placed.items()}, step)
            grad_before.assert_unchanged()
            for name, (view, base) in placed.items():
                what = f"{name}, {layout.name}, shape {shape}"
                assert_same_bits(view, contiguous[name], what)
                assert np.all(layout.outside(base) == 7.25), what


@each_number_of_arrays
@each_dtype
def test_each_array_with_a_layout_of_its_own(case, dtype):
    start = case.arrays((7, 9), dtype)
    expected = copies(start)
    update(case, expected)
    for first in range(len(LAYOUTS)):
        views = {
            name: LAYOUTS[(first + 2 * i) % len(LAYOUTS)].place(array)[0]
            for i, (name, array) in enumerate(start.items())
        }
        update(case, views)
        for name, view in views.items():
            assert_same_bits(view, expected[name], f"{name}, {LAYOUTS[first].name} first")


@each_number_of_arrays
@each_dtype
def test_large_strided_arrays(case, dtype):
    """More rows and longer rows than a block, of which only a part belongs to the view."""
    for shape in ((3, 9000), (9000, 3)):
        contiguous = case.arrays(shape, dtype)
        for layout in LAYOUTS[1:]:
            placed = {name: layout.place(array) for name, array in contiguous.items()}
            expected = copies(contiguous)
            update(case, expected)
            update(case, {name: view for name, (view, _) in placed.items()})
            for name, (view, base) in placed.items():
                assert_same_bits(view, expected[name], f"{name}, {layout.name}")
                assert np.all(layout.outside(base) == 7.25)


@each_number_of_arrays
@each_dtype
def test_misaligned_arrays(case, dtype):
    """Fields of packed records start at any byte, and so may a buffer."""
    start = case.arrays((33,), dtype)
    expected = copies(start)
    update(case, expected)
    for place in (packed, shifted):
        arrays = {name: place(array) for name, array in start.items()}
        assert not arrays["param"].flags.aligned
        update(case, arrays)
        for name, array in arrays.items():
            assert_same_bits(array, expected[name], name)


@each_number_of_arrays
def test_gradient_may_be_read_only_or_a_broadcast_number(case):
    for grad in (
        np.broadcast_to(np.float32(0.5), (4, 5)),
        np.broadcast_to(np.arange(5, dtype="f4"), (4, 5)),
    ):
        expected = case.arrays((4, 5), np.float32)
        expected["grad"] = np.array(grad)
        actual = copies(expected) | {"grad": grad}
        update(case, expected)
        update(case, actual)
        for name in ("param", *case.states):
            assert_same_bits(actual[name], expected[name], name)


def _some_tensors(case, contiguous):
    """Parameters of several shapes, dtypes and layouts, as one model may have them."""
    tensors = []
    for i, shape in enumerate([(4, 5), (5,), (), (0, 3), (33, 2), (8193,), (1,)]):
        arrays = case.arrays(shape, DTYPES[i % 2], seed=i)
        if shape == (33, 2):
            arrays = {name: np.asfortranarray(array) for name, array in arrays.items()}
        if shape == (8193,) and not contiguous:
            arrays = {name: array[::-1] for name, array in arrays.items()}
        tensors.append(arrays)
    return tensors


@each_number_of_arrays
@pytest.mark.parametrize("contiguous", [True, False])
def test_a_list_is_updated_like_its_arrays_one_by_one(case, contiguous):
    together, apart = _some_tensors(case, contiguous), _some_tensors(case, contiguous)
    for step, kind in enumerate((list, tuple), start=1):
        update(case, {name: kind(arrays) for name, arrays in listed(*together).items()}, step)
        for arrays in apart:
            update(case, arrays, step)
    for one, other in zip(together, apart, strict=True):
        for name in one:
            assert_same_bits(one[name], other[name], name)


@each_number_of_arrays
def test_empty_lists_do_nothing(case):
    update(case, {name: [] for name in case.streams})


@each_number_of_arrays
def test_one_gradient_for_several_parameters(case):
    first, second = case.arrays((6,), np.float32, seed=1), case.arrays((6,), np.float32, seed=2)
    second["grad"] = first["grad"]
    expected = [copies(first), copies(second)]
    update(case, listed(first, second))
    for arrays, alone in zip((first, second), expected, strict=True):
        update(case, alone)
        for name in arrays:
            assert_same_bits(arrays[name], alone[name], name)


@each_variant
def test_returns_nothing(case):
    assert update(case, case.arrays((3,), np.float32)) is None


@each_number_of_arrays
def test_subclasses_of_arrays_are_updated_in_place(case, tmp_path):
    expected = case.arrays((4, 3), np.float32)
    mapped = {}
    for name, array in expected.items():
        mapped[name] = np.memmap(tmp_path / name, "f4", "w+", shape=array.shape)
        mapped[name][...] = array
    update(case, expected)
    update(case, mapped)
    for name, array in mapped.items():
        array.flush()
        on_disk = np.fromfile(tmp_path / name, "f4").reshape(array.shape)
        assert_same_bits(on_disk, expected[name], name)


@pytest.mark.parametrize("case", [case for case in VARIANTS if not case.rule.layerwise], ids=str)
@each_dtype
def test_non_finite_gradients_reach_their_own_elements_only(case, dtype):
    touched = np.zeros(40, bool)
    touched[[0, 5, 17, 39]] = True
    for value in (np.nan, np.inf, -np.inf):
        clean = case.arrays(touched.shape, dtype)
        dirty = copies(clean)
        dirty["grad"][touched] = value
        with np.errstate(all="ignore"):
            expected = case.expected(dirty, 1, clip_value=np.inf)
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")
            update(case, clean, clip_value=np.inf)
            update(case, dirty, clip_value=np.inf)
        for name in ("param", *case.states):
            assert np.isfinite(clean[name]).all()
            np.testing.assert_array_equal(np.isfinite(dirty[name]), np.isfinite(expected[name]), name)
            assert_same_bits(dirty[name][~touched], clean[name][~touched], name)


@each_case
def test_values_are_non_finite_where_the_oracle_says_so(case):
    """Also that NaN does not get lost; which of NaN and infinity it is may differ: a kernel may add 0 * g."""
    arrays = case.arrays((6,), np.float64)
    arrays["grad"][:3] = np.nan, np.inf, -np.inf
    for step in (1, 2):
        with np.errstate(all="ignore"):
            expected = case.expected(arrays, step)
        update(case, arrays, step)
        for name in ("param", *case.states):
            np.testing.assert_array_equal(np.isfinite(arrays[name]), np.isfinite(expected[name]), name)


@each_variant
def test_nan_in_a_state_is_kept(case):
    """No maximum or comparison may turn a NaN into a number."""
    for poisoned in case.states:
        arrays = case.arrays((9,), np.float32)
        arrays[poisoned][4] = np.nan
        update(case, arrays, 2)
        assert np.isnan(arrays[poisoned][4])
        assert np.isnan(arrays["param"][4])
        assert np.isfinite(np.delete(arrays["param"], 4)).all()


def test_a_number_of_numpy_is_a_gradient_of_an_array_without_axes():
    """NumPy makes scalars of arrays without axes wherever it computes with them."""
    for dtype in DTYPES:
        single, listed_ones, expected = (MOST_STREAMS.arrays((), dtype) for _ in range(3))
        grad = single["grad"] = expected["grad"][()]
        assert isinstance(grad, np.generic)
        listed_ones = {name: [array] for name, array in listed_ones.items()} | {"grad": (grad,)}
        for arrays in (single, listed_ones, expected):
            update(MOST_STREAMS, arrays)
        for name in ("param", *MOST_STREAMS.states):
            assert_same_bits(single[name], expected[name], name)
            assert_same_bits(listed_ones[name][0], expected[name], name)


def test_centered_variance_below_zero_counts_as_zero():
    """A constant gradient has no variance; rounding or the start must not give a NaN."""
    arrays = {"param": np.ones(5, "f4"), "grad": np.full(5, 3, "f4")}
    arrays |= {"square_avg": np.full(5, 8.9, "f4"), "grad_avg": np.full(5, 3, "f4")}
    kernels.rmsprop(**arrays, lr=0.1, eps=0.5)
    # 1 - 0.1 * 3 / (0 + 0.5)
    np.testing.assert_allclose(arrays["param"], 0.4, rtol=1e-6)


@each_variant
def test_numbers_of_numpy_as_hyper_parameters(case):
    """Python's and NumPy's numbers of one value give the same bits."""
    defaults = {name: p.default for name, p in inspect.signature(case.rule.oracle).parameters.items()}
    values = defaults | case.options_at(1)
    for name in values.keys() & HYPER_PARAMETERS.keys():
        for kind in {float: "efdg", int: "bhilBHIL", bool: "?"}[type(values[name])]:
            number = np.dtype(kind).type(values[name])
            if number == 1 != values[name]:  # rounded out of [0, 1)
                continue
            expected, actual = case.arrays((9,), np.float32), case.arrays((9,), np.float32)
            update(case, expected, **{name: type(values[name])(number)})
            update(case, actual, **{name: number})
            for stream in actual:
                assert_same_bits(actual[stream], expected[stream], f"{name}, {kind}, {stream}")


@pytest.mark.parametrize("step", [10**6, 2**40])
@pytest.mark.parametrize("case", [one for one in VARIANTS if "step" in one.rule.required], ids=str)
def test_late_steps(case, step):
    """The corrections go to 1 and nothing overflows."""
    arrays = case.arrays((9,), np.float64)
    expected = case.expected(arrays, step)
    update(case, arrays, step)
    for name in expected:
        assert_close(arrays[name], expected[name], 1, name)


@pytest.mark.parametrize("layout", ["C", "transposed column slice", "every second"])
def test_no_allocation_of_array_size(layout):
    case = MOST_STREAMS
    layout = next(one for one in LAYOUTS if one.name == layout)
    contiguous = case.arrays((1000, 1100), np.float32)
    views = {name: layout.place(array)[0] for name, array in contiguous.items()}
    options = {"weight_decay": 0.1, "grad_scale": 2.0}
    update(case, {name: view[:200, :10] for name, view in views.items()}, **options)
    tracemalloc.start()
    try:
        update(case, views, 2, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < views["param"].nbytes / 3


def test_no_allocation_per_array():
    """A list of many arrays needs a few bytes for each, not its size."""
    case = MOST_STREAMS
    arrays = listed(*(case.arrays((20_000,), np.float32, seed=i) for i in range(50)))
    update(case, arrays)
    tracemalloc.start()
    try:
        update(case, arrays, 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < sum(param.nbytes for param in arrays["param"]) / 8


@each_number_of_arrays
def test_concurrent_calls_do_not_disturb_each_other(case):
    tensors = [case.arrays((20_000,), np.float32, seed=i) for i in range(4)]
    expected = [copies(arrays) for arrays in tensors]
    for arrays in expected:
        for step in range(1, 6):
            update(case, arrays, step)

    def run(arrays):
        for step in range(1, 6):
            update(case, arrays, step)

    threads = [threading.Thread(target=run, args=(arrays,)) for arrays in tensors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for arrays, alone in zip(tensors, expected, strict=True):
        for name in arrays:
            assert_same_bits(arrays[name], alone[name], name)


def test_every_kernel_is_in_the_table():
    functions = {name: getattr(kernels, name) for name in kernels.__all__}
    updates = {name for name, one in functions.items() if "param" in inspect.signature(one).parameters}
    apart = {"rowwise_adagrad", "muon"}  # the state has another shape: test_rows.py; matrices alone: test_muon.py
    assert updates == {rule.name for rule in RULES} | apart
