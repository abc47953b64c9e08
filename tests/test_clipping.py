"""Clipping by the global norm: the norm is right, and the same bits however it is computed."""

import math
from itertools import pairwise

import numpy as np
import pytest
from backends import BACKENDS, using, why_not
from harness import DTYPES, PLACE_NAMES, PLACES, each_dtype
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import fastopt
from fastopt.kernels import _norm, clip_grad_norm

N = 3 * _norm.BLOCK + 1234


def exact_norm(arrays):
    """Norm from exact sums of Python floats."""
    return math.sqrt(math.fsum(float(x) ** 2 for array in arrays for x in np.asarray(array).ravel()))


def values(n=N, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(n).astype(dtype)


@each_dtype
def test_norm_is_the_root_of_the_sum_of_squares(dtype):
    for n in (0, 1, 15, 16, 17, 1000, _norm.BLOCK - 1, _norm.BLOCK, _norm.BLOCK + 1, N):
        grad = values(n, dtype)
        assert clip_grad_norm(grad, math.inf).norm == pytest.approx(exact_norm([grad]), rel=1e-13), n


def test_factor_brings_the_norm_down_to_the_bound():
    grad = values(1000)
    norm, grad_scale = clip_grad_norm(grad, 2.0, eps=0.0)
    assert norm * grad_scale == pytest.approx(2.0, rel=1e-15)
    assert clip_grad_norm(grad, 2.0).grad_scale == 2.0 / (norm + 1e-6)


@pytest.mark.parametrize("max_norm", [1e3, math.inf])
def test_factor_is_one_below_the_bound(max_norm):
    assert clip_grad_norm(values(1000), max_norm).grad_scale == 1.0


def test_agrees_with_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    grads = [values(700).reshape(7, 100), values(33, seed=1)]
    weights = [torch.zeros(grad.shape, requires_grad=True) for grad in grads]
    for weight, grad in zip(weights, grads, strict=True):
        weight.grad = torch.from_numpy(grad.copy())
    total = torch.nn.utils.clip_grad_norm_(weights, 1.5)
    norm, grad_scale = clip_grad_norm(grads, 1.5)
    assert norm == pytest.approx(float(total), rel=1e-6)
    for weight, grad in zip(weights, grads, strict=True):
        np.testing.assert_allclose(grad * grad_scale, weight.grad.numpy(), rtol=1e-6)


@each_dtype
def test_same_bits_on_every_backend_with_any_threads_and_cuts(dtype, set_threads, share_all):
    grad = values(dtype=dtype)
    bounds = [0, 1, 5, 21, 1000, _norm.BLOCK - 3, _norm.BLOCK + 40, 2 * _norm.BLOCK, N]
    pieces = [grad[a:b] for a, b in pairwise(bounds)]
    found = set()
    for backend in filter(lambda name: why_not(name) is None, BACKENDS):
        with using(backend):
            for threads in (1, 2, 3):
                set_threads(threads)
                found |= {clip_grad_norm(grad, 1.0).norm, clip_grad_norm(pieces, 1.0).norm}
    assert len(found) == 1


@pytest.mark.parametrize("place", PLACES, ids=PLACE_NAMES)
def test_layout_does_not_matter_where_the_memory_order_is_the_same(place):
    """Elements are added in the order in which they lie in memory."""
    for dtype in DTYPES:
        grad = place(values(64 * 128, dtype).reshape(64, 128))
        assert clip_grad_norm(grad, 1.0).norm == pytest.approx(exact_norm([grad]), rel=1e-13)
        in_order = grad.transpose(np.argsort([-abs(stride) for stride in grad.strides], kind="stable"))
        turned = in_order[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in in_order.strides)]
        assert clip_grad_norm(grad, 1.0) == clip_grad_norm(np.ascontiguousarray(turned), 1.0)
        both = [grad, values(77, dtype)]
        assert clip_grad_norm(both, 1.0) == clip_grad_norm([np.ascontiguousarray(turned), both[1]], 1.0)


def test_numbers_of_numpy_are_gradients_of_arrays_without_axes():
    for number in (np.float32(-3.0), np.float64(-3.0)):
        assert clip_grad_norm(number, 1.0) == clip_grad_norm(np.asarray(number), 1.0)
        assert clip_grad_norm({"slope": number, "w": np.full(1, 4.0)}, 1.0, eps=0.0) == (5.0, 0.2)
        assert clip_grad_norm([number, np.full(1, 4.0)], 1.0, eps=0.0) == (5.0, 0.2)


def test_mapping_and_mixed_dtypes():
    grads = {"w": values(10), "b": values(3, np.float64)}
    assert clip_grad_norm(grads, 1.0) == clip_grad_norm(list(grads.values()), 1.0)
    assert clip_grad_norm(grads, 1.0).norm == pytest.approx(exact_norm(grads.values()))


@pytest.mark.parametrize(("scale", "dtype"), [(1e200, "f8"), (1e-200, "f8"), (1e30, "f4"), (1e-30, "f4")])
def test_squares_may_overflow_or_vanish(scale, dtype):
    grad = np.array([3.0 * scale, -4.0 * scale], dtype)
    assert clip_grad_norm(grad, 1.0).norm == pytest.approx(5.0 * scale, rel=1e-6, abs=0)


def test_norm_beyond_every_float_is_infinite():
    assert clip_grad_norm(np.full(4, 1.7e308), 1.0).norm == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@each_dtype
def test_not_finite_gradients_stop_the_step(bad, dtype):
    grad = values(100, dtype)
    grad[57] = bad
    norm, grad_scale = clip_grad_norm(grad, 1.0)
    assert norm == math.inf if math.isinf(bad) else math.isnan(norm)
    param = np.ones(100, dtype)
    with pytest.raises(ValueError, match="grad_scale: expected a finite number, got nan"):
        fastopt.SGD(param).step(grad, grad_scale=grad_scale)
    assert (param == 1).all()


def test_no_gradients():
    assert clip_grad_norm([], 1.0) == (0.0, 1.0)
    assert clip_grad_norm(np.zeros((3, 0)), 1.0) == (0.0, 1.0)
    assert clip_grad_norm(np.zeros(5), 0.0) == (0.0, 1.0)


@given(
    npst.arrays(
        st.sampled_from([np.float32, np.float64]),
        npst.array_shapes(min_dims=0, max_dims=3, max_side=20),
        elements=st.floats(-1e3, 1e3, width=32),
    ),
    st.floats(1e-3, 1e3),
)
def test_clipped_norm_is_within_the_bound(grad, max_norm):
    norm, grad_scale = clip_grad_norm(grad, max_norm)
    assert norm == pytest.approx(exact_norm([grad]), rel=1e-12, abs=1e-300)
    assert norm * grad_scale <= max_norm * (1 + 1e-15)


@pytest.mark.parametrize(
    ("grad", "options", "error", "message"),
    [
        ([np.ones(3), 1.0], {}, TypeError, r"grad\[1\]: expected"),
        (np.int64(3), {}, TypeError, "grad: expected dtype float32 or float64, got int64"),
        ({"w": np.ones(3, int)}, {}, TypeError, r"grad\['w'\]: expected dtype float32 or float64, got int64"),
        (np.ones(3, ">f8"), {}, TypeError, "grad: expected dtype float32 or float64, got float64 of foreign byte"),
        (np.ones(3), {"max_norm": -1.0}, ValueError, "max_norm: expected a number >= 0"),
        (np.ones(3), {"max_norm": math.nan}, ValueError, "max_norm: expected"),
        (np.ones(3), {"eps": math.inf}, ValueError, "eps: expected a finite number >= 0, got inf"),
    ],
)
def test_bad_input(grad, options, error, message):
    with pytest.raises(error, match=message):
        clip_grad_norm(grad, **({"max_norm": 1.0} | options))
