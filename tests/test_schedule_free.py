"""Schedule-Free: the mean that it is evaluated with, the way there and back to the bit, its authors' own numbers."""

import copy

import numpy as np
import pytest
from harness import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from optimizer_harness import equal_states, random_arrays, saved

import fastopt
from fastopt.kernels import loops
from fastopt.kernels.rules import with_globals

CASES = (
    ("ScheduleFreeSGD", {"lr": 0.1}, 0.9),
    ("ScheduleFreeSGD", {"lr": 0.1, "momentum": 0.6, "warmup_steps": 4, "r": 0.75, "weight_decay": 0.1}, 0.6),
    ("ScheduleFreeAdamW", {"lr": 0.1}, 0.9),
    ("ScheduleFreeAdamW", {"lr": 0.1, "betas": (0.8, 0.9), "warmup_steps": 4, "weight_lr_power": 1.0}, 0.8),
)
each_case = pytest.mark.parametrize(("name", "options", "inner"), CASES, ids=str)


def build(name, params, options):
    return getattr(fastopt, name)(params, **options)


@each_case
def test_the_mean_is_that_of_all_points(name, options, inner):
    """Of z after every step, by the weights of the definition, from z alone."""
    params = random_arrays(np.float64, 0)
    opt = build(name, params, options)
    path = []
    for step in range(1, 11):
        opt.step(random_arrays(np.float64, step))
        path.append([z.copy() for z in opt.groups[0].state["z"]])
    steps = np.arange(1, 11)
    warmed = np.minimum(1, steps / max(1, options.get("warmup_steps", 0)))
    weights = steps ** options.get("r", 0.0) * warmed ** options.get("weight_lr_power", 2.0)
    with opt.averaged():
        for param, points in zip(params, zip(*path, strict=True), strict=True):
            np.testing.assert_allclose(param, np.average(points, axis=0, weights=weights), rtol=1e-12, atol=1e-13)
    for param, mean, z in zip(params, opt._current_averages(), path[-1], strict=True):
        np.testing.assert_allclose(param, inner * mean + (1 - inner) * z, rtol=1e-12, atol=1e-13)


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_to_the_bit(name, options, inner, dtype):
    params, others = random_arrays(dtype, 0), random_arrays(dtype, 0)
    opt, other = build(name, params, options), build(name, others, options)
    for step in range(1, 6):
        for each in (opt, other):
            each.step(random_arrays(dtype, step))
        before = [param.copy() for param in params]
        opt.eval()
        opt.eval()
        assert any((param != one).any() for param, one in zip(params, before, strict=True)) == (step > 1)
        with pytest.raises(
            RuntimeError, match=r"^step: expected the parameters in place, got their averages: train\(\)"
        ):
            opt.step(random_arrays(dtype, step))
        with pytest.raises(RuntimeError, match=r"^averaged: expected the parameters in place"), opt.averaged():
            pass
        opt.train()
        opt.train()
        for param, one in zip(params, others, strict=True):
            assert_same_bits(param, one)


@each_case
def test_a_checkpoint_knows_which_is_in(name, options, inner):
    """Saved after `eval`, with the parameters as they are then, training goes on as if nothing had been."""
    params, others = random_arrays(np.float32, 0), random_arrays(np.float32, 0)
    opt = build(name, params, options)
    for step in (1, 2, 3):
        opt.step(random_arrays(np.float32, step))
    opt.eval()
    state = saved(opt)
    assert {key.partition(".")[0] for key in state} >= {"trained", "z"}
    for param, own in zip(others, params, strict=True):
        param[...] = own
    second = build(name, others, options)
    second.load_state_dict(state)
    assert equal_states(second.state_dict(), opt.state_dict())
    with pytest.raises(RuntimeError, match=r"^step: expected the parameters in place"):
        second.step(random_arrays(np.float32, 4))
    third = copy.deepcopy(opt)
    thirds = [param.copy() for param in params]
    third.bind(thirds)
    for each in (opt, second, third):
        each.train()
        assert not any(key.startswith("trained.") for key in each.state_dict())
        each.step(random_arrays(np.float32, 4))
    for param, other, one in zip(params, others, thirds, strict=True):
        assert_same_bits(param, other)
        assert_same_bits(param, one)


@each_case
@pytest.mark.parametrize("evaluated", [False, True])
def test_what_is_finished_goes_on_from_the_mean(name, options, inner, evaluated):
    params = random_arrays(np.float64, 0)
    opt = build(name, params, options)
    for step in range(1, 4):
        opt.step(random_arrays(np.float64, step))
    with opt.averaged():
        mean = [param.copy() for param in params]
    if evaluated:
        opt.eval()
    opt.finish()
    for each in (params, opt.groups[0].state["z"], list(opt._current_averages())):
        for one, expected in zip(each, mean, strict=True):
            np.testing.assert_allclose(one, expected, rtol=1e-12)
    opt.step(random_arrays(np.float64, 4))


def test_a_state_that_does_not_fit_leaves_all_as_it_was():
    opt = fastopt.ScheduleFreeSGD([np.ones(3)], lr=0.1)
    opt.step([np.ones(3)])
    opt.eval()
    state, before = opt.state_dict(), opt.state_dict()
    for change, error in (
        ({"trained.0": np.ones(4)}, r"state 'trained.0': expected shape \(3,\) and dtype float64, got \(4,\)"),
        ({"z.0": np.ones(4)}, "state 'z.0': expected shape"),
        ({"steps": -1}, "state 'steps': expected"),
    ):
        with pytest.raises(ValueError, match=f"^{error}"):
            opt.load_state_dict(state | change)
        assert equal_states(opt.state_dict(), before)
    with pytest.raises(TypeError, match=r"^state: expected a mapping of names to arrays, got list"):
        opt.load_state_dict([])


@pytest.mark.parametrize("make", [lambda opt: fastopt.EMA(opt, 0.5), lambda opt: fastopt.SWA(opt)])
def test_averages_are_saved_with_what_they_stand_in_for(make):
    params, others = random_arrays(np.float32, 0), random_arrays(np.float32, 0)
    opt = make(fastopt.Adam(params))
    opt.step(random_arrays(np.float32, 1))
    opt.eval()
    for param, own in zip(others, params, strict=True):
        param[...] = own
    second = make(fastopt.Adam(others))
    second.load_state_dict(saved(opt))
    for each in (opt, second):
        with pytest.raises(RuntimeError, match=r"^update: expected the parameters in place"):
            each.update()
        each.train()
        each.step(random_arrays(np.float32, 2))
    for param, other in zip(params, others, strict=True):
        assert_same_bits(param, other)


def test_what_is_refused():
    for make, message in (
        (lambda: fastopt.ScheduleFreeSGD(np.ones(2), momentum=0.0), "momentum: expected a number > 0, got 0.0"),
        (lambda: fastopt.ScheduleFreeAdamW(np.ones(2), betas=(0.0, 0.9)), "beta1: expected a number > 0, got 0.0"),
        (lambda: fastopt.ScheduleFreeAdamW(np.ones(2), warmup_steps=-1), "warmup_steps: expected an integer >= 0"),
        (lambda: fastopt.ScheduleFreeSGD(np.ones(2), r=6), r"r: expected a number in \[0, 5\], got 6"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            make()


@given(st.integers(1, 3000), st.floats(0, 10))
def test_sums_of_powers(n, s):
    power_sum = with_globals(loops._power_sum, {})
    np.testing.assert_allclose(power_sum(n, s), (np.arange(1, n + 1, dtype=np.longdouble) ** s).sum(), rtol=1e-11)


@pytest.mark.parametrize(
    ("theirs", "name", "options"),
    [
        ("SGDScheduleFree", "ScheduleFreeSGD", {"lr": 0.1}),
        ("SGDScheduleFree", "ScheduleFreeSGD", {"lr": 0.05, "momentum": 0.7, "weight_decay": 0.1, "warmup_steps": 50}),
        ("SGDScheduleFree", "ScheduleFreeSGD", {"lr": 0.05, "r": 0.75, "weight_lr_power": 1.0, "warmup_steps": 7}),
        ("AdamWScheduleFree", "ScheduleFreeAdamW", {}),
        (
            "AdamWScheduleFree",
            "ScheduleFreeAdamW",
            {"lr": 0.01, "betas": (0.95, 0.99), "eps": 1e-3, "weight_decay": 0.1},
        ),
        ("AdamWScheduleFree", "ScheduleFreeAdamW", {"lr": 0.01, "r": 0.75, "warmup_steps": 100}),
    ],
    ids=str,
)
def test_agrees_with_its_authors(theirs, name, options):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    schedulefree = pytest.importorskip("schedulefree", reason="compares with schedulefree where it is installed")
    params = random_arrays(np.float64, 0)
    tensors = [torch.nn.Parameter(torch.tensor(param)) for param in params]
    first, second = getattr(schedulefree, theirs)(tensors, **options), build(name, params, options)
    first.train()
    for step in range(1, 1001):
        grads = random_arrays(np.float64, step)
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = torch.tensor(grad)
        first.step()
        second.step(grads)
    for param, tensor in zip(params, tensors, strict=True):
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=1e-9, atol=1e-12)
    first.eval()
    second.eval()
    for param, tensor in zip(params, tensors, strict=True):
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=1e-9, atol=1e-12)
        assert_close(param, tensor.detach().numpy(), 1000)
