"""Averages of weights: EMA and SWA, by the definition, to the bit back and forth."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optimizer_harness import random_arrays

import fastopt


def follow(opt, params, steps):
    """The parameters after each step."""
    path = []
    for step in range(steps):
        opt.step(random_arrays(params[0].dtype, 10 + step))
        path.append([param.copy() for param in params])
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_ema_is_the_definition(dtype, decay):
    params = random_arrays(dtype, 1)
    start = [param.astype(np.float64) for param in params]
    opt = fastopt.EMA(fastopt.Adam(params, lr=0.1), decay)
    for after in follow(opt, params, 6):
        start = [decay * a + (1 - decay) * p for a, p in zip(start, after, strict=True)]
    for average, expected in zip(opt.averages, start, strict=True):
        assert average.dtype == dtype
        np.testing.assert_allclose(average, expected, rtol=30 * np.finfo(dtype).eps)
    assert opt.updates == opt.optimizer.steps == 6


@given(start=st.integers(0, 5), every=st.integers(1, 4), steps=st.integers(0, 12))
def test_swa_is_the_mean(start, every, steps):
    params = random_arrays(np.float64, 1)
    before = [param.copy() for param in params]
    opt = fastopt.SWA(fastopt.SGD(params, lr=0.1), start, every)
    chosen = follow(opt, params, steps)[start:][every - 1 :: every]
    expected = [np.mean(own, axis=0) for own in zip(*chosen, strict=True)] if chosen else before
    for average, mean in zip(opt.averages, expected, strict=True):
        np.testing.assert_allclose(average, mean, rtol=1e-12)
    last = [param.copy() for param in params]
    with opt.averaged():  # without anything averaged, the parameters stay
        for param, mean in zip(params, expected if chosen else last, strict=True):
            np.testing.assert_allclose(param, mean, rtol=1e-12)


def test_the_parameters_come_back_to_the_bit():
    params = random_arrays(np.float32, 1)
    opt = fastopt.EMA(fastopt.Adam([{"params": params[:2]}, {"params": {"a": params[2], "b": params[3]}}]), 0.5)
    opt.step([random_arrays(np.float32, 2)[:2], dict(zip("ab", random_arrays(np.float32, 2)[2:], strict=True))])
    before = [param.tobytes() for param in params]
    with opt.averaged():
        assert [param.tobytes() for param in params] == [average.tobytes() for average in opt.averages]
        with pytest.raises(RuntimeError, match=r"^step: expected the parameters in place"):
            opt.step(random_arrays(np.float32, 2))
        with pytest.raises(RuntimeError, match=r"^averaged: expected the parameters in place"), opt.averaged():
            pass
    assert [param.tobytes() for param in params] == before
    with pytest.raises(RuntimeError, match="on purpose"), opt.averaged():
        raise RuntimeError("on purpose")
    assert [param.tobytes() for param in params] == before


def test_steps_that_are_left_out_do_not_count():
    weights = np.ones(2)
    opt = fastopt.EMA(fastopt.SGD(weights, lr=0.5), 0.5)
    assert not opt.step(np.array([np.nan, 1.0]), skip_nonfinite=True)
    with pytest.raises(ValueError, match=r"^grad: expected shape"):
        opt.step(np.ones(3))
    assert opt.updates == 0
    assert opt.averages[0].tolist() == [1, 1]
    weights -= 1
    opt.update()
    assert opt.averages[0].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("make", [lambda opt: fastopt.EMA(opt, 0.9), lambda opt: fastopt.SWA(opt, 1, 2)])
def test_they_are_saved_and_go_on(make):
    params = random_arrays(np.float32, 1)
    opt = make(fastopt.Adam(params))
    follow(opt, params, 3)
    file = io.BytesIO()
    np.savez(file, **opt.state_dict())
    file.seek(0)
    copied = [param.copy() for param in params]
    other = make(fastopt.Adam(copied))
    with np.load(file) as state:
        other.load_state_dict(state)
    for one, own in ((opt, params), (other, copied)):
        follow(one, own, 3)
    for average, own in zip(opt.averages, other.averages, strict=True):
        assert average.tobytes() == own.tobytes()
    assert other.updates == 6


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda opt: fastopt.EMA(opt, 0.9), "EMA: decay=0.9; "),
        (lambda opt: fastopt.SWA(opt, 1), "SWA: start=1, every=1; "),
    ],
)
def test_they_show_what_they_wrap(make, shown):
    weights = np.ones(2)
    rate = fastopt.schedules.InverseTimeDecay(0.5, 1.0)
    opt = make(fastopt.SGD(weights, lr=rate))
    assert repr(opt) == f"<{shown}of {opt.optimizer!r}>"
    assert opt.params is weights
    assert opt.groups is opt.optimizer.groups
    assert (opt.steps, opt.lr, opt.schedule) == (0, 0.5, rate)
    opt.step(np.ones(2))
    assert (opt.steps, opt.lr) == (1, 0.25)
    opt.lr = 0.1
    assert (opt.optimizer.lr, opt.schedule) == (0.1, None)


def test_states_that_do_not_fit():
    opt = fastopt.EMA(fastopt.SGD(np.ones(2), lr=0.1))
    state = opt.state_dict()
    for change, message in (
        ({"average.0": np.ones(3)}, r"state 'average.0': expected shape \(2,\)"),
        ({"updates": -1}, "state 'updates': expected an integer >= 0"),
        ({"more": 1}, "state: expected this optimizer's names"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            opt.load_state_dict(state | change)
    del state["average.0"]
    with pytest.raises(ValueError, match=r"^state: expected 'average\.0', got none"):
        opt.load_state_dict(state)
    assert opt.averages[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda opt: fastopt.EMA(opt, 1.0), ValueError, r"decay: expected a number in \[0, 1\), got 1.0"),
        (lambda opt: fastopt.SWA(opt, -1), ValueError, "start: expected an integer >= 0, got -1"),
        (lambda opt: fastopt.SWA(opt, 0, 0), ValueError, "every: expected an integer >= 1, got 0"),
        (lambda opt: fastopt.EMA(opt.groups), TypeError, "optimizer: expected an optimizer of fastopt, got list"),
    ],
)
def test_arguments_that_are_refused(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make(fastopt.SGD(np.ones(2), lr=0.1))
