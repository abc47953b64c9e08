"""Steps that are left out for a gradient that is not finite, and the scale of a loss that follows from them."""

import numpy as np
import pytest
from backends import using
from harness import Frozen
from hypothesis import given
from hypothesis import strategies as st
from optimizer_harness import build, equal_states, random_arrays
from optimizer_harness import each_variant as each_optimizer

import fastopt
from fastopt import kernels

BAD = [np.nan, np.inf, -np.inf]


@each_optimizer
@pytest.mark.parametrize("bad", BAD)
def test_a_step_is_left_out_whole(case, bad):
    params = random_arrays(np.float32, 1)
    opt = build(case, params)
    grads = random_arrays(np.float32, 2)
    assert opt.step(grads, skip_nonfinite=True) is True
    before, state = Frozen(*params), opt.state_dict()
    for i, position in ((0, (3, 4)), (2, ()), (3, (32, 1))):
        wrong = [grad.copy() for grad in grads]
        wrong[i][position] = bad
        assert opt.step(wrong, skip_nonfinite=True) is False
    before.assert_unchanged()
    assert equal_states(opt.state_dict(), state)
    assert opt.step(grads) is None
    assert opt.steps == 2


def test_layouts_and_types(backend):
    param = np.ones((3, 4), np.float32)
    opt = fastopt.SGD(param, lr=1.0)
    with using(backend):
        for grad in (np.ones((6, 8))[::2, 1::2], np.ones((4, 3), np.float16).T, np.ones((3, 4), np.float32)):
            grad[2, 3] = np.nan
            assert not opt.step(grad, skip_nonfinite=True, cast_grads=True)
            grad[2, 3] = 1.0
            assert opt.step(grad, skip_nonfinite=True, cast_grads=True)
    assert (param == -2).all()


def test_gradients_beyond_the_type_of_the_parameter():
    param = np.ones(2, np.float32)
    opt = fastopt.SGD(param, lr=1.0)
    assert not opt.step(np.array([1e39, 0.0]), skip_nonfinite=True, cast_grads=True)
    assert (param == 1).all()


def test_large_gradients_are_finite():
    param, grad = np.zeros(3), np.full(3, 1e308)
    assert fastopt.SGD(param, lr=1.0).step(grad, skip_nonfinite=True)
    assert (param == -1e308).all()


def test_a_factor_of_clipping_that_is_not_a_number():
    param, grad = np.ones(2), np.array([np.inf, 1.0])
    opt = fastopt.SGD(param, lr=1.0)
    _, grad_scale = kernels.clip_grad_norm(grad, max_norm=1.0)
    assert not opt.step(grad, grad_scale=grad_scale, skip_nonfinite=True)
    with pytest.raises(ValueError, match=r"^grad_scale: expected"):
        opt.step(grad, grad_scale=grad_scale)
    assert (param == 1).all()


def test_missing_gradients_and_rows():
    table, bias = np.ones((4, 2)), np.ones(2)
    opt = fastopt.SGD({"table": table, "bias": bias}, lr=1.0)
    wrong = {"table": np.array([[1.0, np.nan]]), "bias": None}
    options = {"skip_none": True, "skip_nonfinite": True, "rows": {"table": [2], "bias": None}}
    assert not opt.step(wrong, **options)
    assert opt.groups[0].missed == (0, 0)
    assert opt.step({"table": np.ones((1, 2)), "bias": None}, **options)
    assert table[:, 0].tolist() == [1, 1, 0, 1]
    assert opt.groups[0].missed == (0, 1)


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_the_switch_is_a_boolean(value):
    with pytest.raises(TypeError, match=r"^skip_nonfinite: expected True or False"):
        fastopt.SGD(np.ones(2), lr=1.0).step(np.ones(2), skip_nonfinite=value)


# The scale of a loss.


@given(
    good=st.lists(st.booleans(), max_size=60),
    interval=st.integers(1, 5),
    factors=st.sampled_from([(2.0, 0.5), (1.5, 0.25)]),
)
def test_the_scale_follows_the_steps(good, interval, factors):
    weight, expected, value, in_a_row = np.array([1.0]), 1.0, 8.0, 0
    opt, scale = fastopt.SGD(weight, lr=0.5), fastopt.LossScale(8.0, *factors, interval)
    for fine in good:
        done = scale.step(opt, np.array([scale.value * 0.25 if fine else np.inf]))
        assert done is fine
        if fine:
            expected, in_a_row = expected - 0.125, in_a_row + 1
            if in_a_row == interval:
                value, in_a_row = value * factors[0], 0
        else:
            value, in_a_row = value * factors[1], 0
        assert scale.value == value
        np.testing.assert_allclose(weight, expected, rtol=1e-12, atol=1e-12)
    again = fastopt.LossScale(1.0, *factors, interval)
    again.load_state_dict({name: np.asarray(number) for name, number in scale.state_dict().items()})
    assert again.state_dict() == scale.state_dict()


def test_the_scale_stays_where_a_step_is_refused():
    opt, scale = fastopt.SGD(np.ones(2), lr=1.0), fastopt.LossScale(8.0, growth_interval=2)
    scale.step(opt, np.ones(2))
    with pytest.raises(ValueError, match=r"^grad: expected shape"):
        scale.step(opt, np.ones(3))
    assert scale.state_dict() == {"value": 8.0, "steps": 1}
    assert repr(scale) == "<LossScale: 8, 1 steps in a row>"


def test_clipping_by_the_norm_of_a_scaled_loss():
    one, other = np.ones(2), np.ones(2)
    scale = fastopt.LossScale(1024.0)
    grads = np.array([3.0, 4.0])
    _, clipped = kernels.clip_grad_norm(grads, max_norm=1.0, eps=0.0)
    fastopt.SGD(one, lr=0.1).step(grads, grad_scale=clipped)
    _, clipped = kernels.clip_grad_norm(1024 * grads, max_norm=1024.0, eps=0.0)
    scale.step(fastopt.SGD(other, lr=0.1), 1024 * grads, grad_scale=clipped)
    np.testing.assert_allclose(one, other, rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": 0.0}, "value: expected a finite number > 0, got 0.0"),
        ({"value": np.inf}, "value: expected a finite number > 0, got inf"),
        ({"growth_factor": 1.0}, "growth_factor: expected a finite number > 1, got 1.0"),
        ({"backoff_factor": 1.0}, r"backoff_factor: expected a number in \(0, 1\), got 1.0"),
        ({"growth_interval": 0}, "growth_interval: expected an integer >= 1, got 0"),
    ],
)
def test_numbers_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        fastopt.LossScale(**arguments)


@pytest.mark.parametrize("state", [{}, {"value": 1.0}, {"value": -1.0, "steps": 0}, {"value": 1.0, "steps": -1}])
def test_states_that_are_refused(state):
    scale = fastopt.LossScale()
    with pytest.raises(ValueError, match=r"^(state|value|steps): expected"):
        scale.load_state_dict(state)
    assert scale.state_dict() == {"value": 2.0**15, "steps": 0}
