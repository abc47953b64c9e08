"""Any shape, any view, any cut, any number of threads: the same bits; bad input: not one byte."""

import math

import numpy as np
import pytest
from harness import DTYPES, Frozen, assert_same_bits, copies, listed, update
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from table import BY_STREAMS, CASES

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


@st.composite
def views(draw, values):
    """`values` copied into some view of a larger array: any axis order, steps, signs, margins."""
    axes = draw(st.permutations(range(values.ndim)))
    index, outer = [], []
    for axis in axes:
        step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        span = values.shape[axis] * abs(step)
        outer.append(before + span + after)
        cut = slice(before, before + span, abs(step))
        index.append((cut, slice(None, None, -1 if step < 0 else 1)))
    base = np.full(outer, 7.25, values.dtype)
    view = base[..., *(cut for cut, _ in index)][..., *(turn for _, turn in index)]
    view = view.transpose(np.argsort(axes).tolist())
    view[...] = values
    return view, base


@given(st.sampled_from(BY_STREAMS), shapes, st.sampled_from(DTYPES), st.data())
def test_any_view_is_updated_like_its_copy(case, shape, dtype, data):
    expected = case.arrays(shape, dtype)
    placed = {name: data.draw(views(array), label=name) for name, array in expected.items()}
    around = {name: np.sum(base == 7.25) for name, (_, base) in placed.items()}
    grad = Frozen(placed["grad"][1])
    update(case, expected)
    update(case, {name: view for name, (view, _) in placed.items()})
    grad.assert_unchanged()
    for name, (view, base) in placed.items():
        assert_same_bits(view, expected[name], name)
        assert np.sum(base == 7.25) == around[name]


@given(
    st.sampled_from(BY_STREAMS),
    st.integers(0, 3000),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3000), max_size=8),
)
def test_any_cut_gives_the_same_bits(case, size, dtype, cuts):
    whole = case.arrays((size,), dtype)
    pieces = copies(whole)
    cuts = sorted(min(cut, size) for cut in cuts)
    update(case, whole)
    update(case, {name: np.split(array, cuts) for name, array in pieces.items()})
    for name in whole:
        assert_same_bits(pieces[name], whole[name], name)


@given(
    st.sampled_from(BY_STREAMS),
    st.sampled_from(DTYPES),
    st.integers(1, 9),
    st.lists(shapes | st.tuples(st.integers(0, 3000)), min_size=1, max_size=4),
)
def test_any_number_of_threads_gives_the_same_bits(set_threads, share_all, case, dtype, threads, shapes):
    one = [case.arrays(shape, dtype, seed=i) for i, shape in enumerate(shapes)]
    many = [copies(arrays) for arrays in one]
    set_threads(1)
    update(case, listed(*one))
    set_threads(threads)
    update(case, listed(*many))
    for expected, actual in zip(one, many, strict=True):
        for name in expected:
            assert_same_bits(actual[name], expected[name], name)


wrong_arrays = {
    "dtype": lambda array: array.astype(np.float16),
    "byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "shape": lambda array: np.ones((*array.shape, 2), array.dtype),
    "type": lambda array: array.tolist(),
    "nothing": lambda array: None,
    "not writable": lambda array: np.lib.stride_tricks.as_strided(array, writeable=False),
}


@given(
    st.sampled_from(BY_STREAMS),
    st.lists(shapes, min_size=1, max_size=4),
    st.sampled_from(DTYPES),
    st.sampled_from(sorted(wrong_arrays)),
    st.data(),
)
def test_a_bad_array_anywhere_leaves_everything_unwritten(case, shapes, dtype, wrong, data):
    arrays = listed(*(case.arrays(shape, dtype, seed=i) for i, shape in enumerate(shapes)))
    stream = data.draw(st.sampled_from([s for s in case.streams if s != "grad"]))
    position = data.draw(st.integers(0, len(shapes) - 1))
    before = Frozen(*(array for stream in arrays.values() for array in stream))
    arrays[stream][position] = wrong_arrays[wrong](arrays[stream][position])
    with pytest.raises((TypeError, ValueError)):
        update(case, arrays, 2)
    before.assert_unchanged()


# Where the second moments stay clear of 0, at which a root would magnify the rounding.
in_range = {
    "alpha": st.floats(0.5, 0.999),
    "beta1": st.floats(0, 0.999),
    "beta2": st.floats(0.5, 0.999),
    "clip_value": st.floats(0.1, math.inf),
    "dampening": st.floats(0, 1),
    "eps": st.floats(1e-3, 1),
    "grad_scale": st.floats(-4, 4),
    "lr": st.floats(0, 10),
    "momentum": st.floats(0, 1),
    "weight_decay": st.floats(0, 1),
}


# Where a formula divides by a number.
above_zero = {
    "ftrl": {"lr": st.floats(0.01, 10)},
    "schedule_free_adamw": {"beta1": st.floats(0.05, 0.999)},
    "schedule_free_sgd": {"momentum": st.floats(0.05, 1)},
}


@given(st.sampled_from(CASES), st.data())
def test_any_number_in_range_follows_the_oracle(case, data):
    """Beside the switches of a case, whatever the numbers."""
    arrays = case.arrays((9,), np.float64)
    own = in_range | above_zero.get(case.rule.name, {})
    options = {name: data.draw(own[name], label=name) for name in case.options_at(1) if name in own}
    expected = case.expected(arrays, 1, **options)
    update(case, arrays, 1, **options)
    for name, values in expected.items():
        np.testing.assert_allclose(arrays[name], values, rtol=1e-9, atol=1e-9, err_msg=name)
