"""Any shape, any view, any cut, any number of threads: the same bits; bad input: not one byte."""

import numpy as np
import pytest
from harness import DTYPES, Frozen, assert_same_bits, copies, listed, update
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from table import CASES

import fastopt

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


@given(st.sampled_from(CASES), shapes, st.sampled_from(DTYPES), st.data())
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
    st.sampled_from(CASES),
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
    st.sampled_from(CASES),
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
    st.sampled_from(CASES),
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


@given(
    st.sampled_from([(rule, *bad) for rule in {c.rule.name: c for c in CASES}.values() for bad in rule.rule.bad]),
    shapes,
    st.sampled_from(DTYPES),
)
def test_a_bad_number_leaves_everything_unwritten(bad, shape, dtype):
    case, options, exception, name = bad
    arrays = case.arrays(shape, dtype)
    before = Frozen(*arrays.values())
    with pytest.raises(exception, match=name):
        update(case, arrays, 2, **options)
    before.assert_unchanged()


@given(
    lr=st.floats(0, 10),
    momentum=st.floats(0, 1),
    decay=st.floats(0, 1),
    scale=st.floats(-4, 4),
    nesterov=st.booleans(),
    lr_in_velocity=st.booleans(),
)
def test_any_number_in_range_is_taken(lr, momentum, decay, scale, nesterov, lr_in_velocity):
    param, grad, buffer = np.ones((3, 5))
    fastopt.kernels.momentum(
        param,
        grad,
        buffer,
        lr=lr,
        momentum=momentum,
        weight_decay=decay,
        grad_scale=scale,
        nesterov=nesterov,
        lr_in_velocity=lr_in_velocity,
    )
    assert np.isfinite(param).all()
    assert np.isfinite(buffer).all()
