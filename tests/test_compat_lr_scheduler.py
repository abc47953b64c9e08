"""`fastopt.compat.lr_scheduler`: PyTorch's rates and momenta step for step, and its formulas where it is missing."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastopt
from fastopt.compat import lr_scheduler as ours

STEPS = 300
CASES = {
    "StepLR": ({"step_size": 7, "gamma": 0.8},),
    "MultiStepLR": ({"milestones": [3, 40, 40]}, {"milestones": [10, 20], "gamma": 0.5}),
    "ConstantLR": ({}, {"factor": 0.5, "total_iters": 11}),
    "LinearLR": ({}, {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 30}),
    "ExponentialLR": ({"gamma": 0.97},),
    "PolynomialLR": ({}, {"total_iters": 50, "power": 2.5}),
    "CosineAnnealingLR": ({"T_max": 17}, {"T_max": 40, "eta_min": 0.01}),
    "CosineAnnealingWarmRestarts": ({"T_0": 13}, {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    "LambdaLR": ({"lr_lambda": lambda step: 1 / (1 + step)}, {"lr_lambda": [lambda step: 0.9**step, lambda step: 0.5]}),
    "MultiplicativeLR": ({"lr_lambda": lambda step: 1 - 1 / (step + 5)},),
    "CyclicLR": (
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 7},
        {"base_lr": [0.1, 0.2], "max_lr": 0.7, "step_size_up": 5, "step_size_down": 9, "mode": "triangular2"},
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 6, "mode": "exp_range", "gamma": 0.97, "cycle_momentum": False},
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 6, "base_momentum": 0.3, "max_momentum": 0.99},
    ),
    "OneCycleLR": (
        {"max_lr": 0.5, "total_steps": STEPS},
        {"max_lr": [0.5, 0.2], "epochs": 30, "steps_per_epoch": 10, "three_phase": True, "anneal_strategy": "linear"},
        {"max_lr": 0.5, "total_steps": STEPS, "pct_start": 0.1, "div_factor": 10.0, "cycle_momentum": False},
    ),
}
VARIANTS = [(name, options) for name, all_of_it in CASES.items() for options in all_of_it]
each = pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=[f"{name}-{'-'.join(options)}" for name, options in VARIANTS]
)
RATES = (0.5, 0.02)


def optimizer(name="SGD", **options):
    """Of two groups."""
    options = {"momentum": 0.9} if name == "SGD" else {}
    groups = [{"params": [np.ones(2)], "lr": lr} for lr in RATES]
    return getattr(fastopt, name)(groups, lr=0.1, **options)


def momentum_of(group):
    return group.betas[0] if "betas" in group.hyper_parameters() else group.momentum


def path(opt, scheduler, steps=STEPS):
    """Rates and momenta of each step."""
    found = []
    for step in range(steps):
        found.append([(group.lr, momentum_of(group)) for group in opt.groups])
        opt.step([[np.zeros(2)], [np.zeros(2)]])
        if step < steps - 1:
            scheduler.step()
        assert scheduler.get_last_lr() == [group.lr for group in opt.groups]
    return np.array(found)


def path_of_torch(make, name="SGD", steps=STEPS):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in RATES]
    groups = [{"params": [param], "lr": lr} for param, lr in zip(params, RATES, strict=True)]
    opt = getattr(torch.optim, name)(groups, lr=0.1, **({"momentum": 0.9} if name == "SGD" else {}))
    scheduler, found = make(torch.optim.lr_scheduler, opt), []
    for step in range(steps):
        found.append([(g["lr"], g["betas"][0] if "betas" in g else g["momentum"]) for g in opt.param_groups])
        opt.step()
        if step < steps - 1:
            scheduler.step()
    return np.array(found)


@each
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_rates_and_momenta_are_torchs(name, options, kind):
    expected = path_of_torch(lambda module, opt: getattr(module, name)(opt, **options), kind)
    opt = optimizer(kind)
    np.testing.assert_allclose(path(opt, getattr(ours, name)(opt, **options)), expected, rtol=1e-9, atol=1e-12)


def composed(module, opt):
    first, second = module.LinearLR(opt, total_iters=20), module.ExponentialLR(opt, 0.97)
    return module.SequentialLR(opt, [first, second], [20])


def chained(module, opt):
    return module.ChainedScheduler([module.StepLR(opt, 10, 0.5), module.ExponentialLR(opt, 0.97)])


@pytest.mark.parametrize("make", [composed, chained])
def test_schedulers_of_schedulers_are_torchs(make):
    expected, opt = path_of_torch(make), optimizer()
    np.testing.assert_allclose(path(opt, make(ours, opt)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{"patience": 2}, {"mode": "max", "factor": 0.5, "cooldown": 2, "min_lr": [0.1, 0.001]}]
)
def test_plateaus_are_torchs(options):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    opt = optimizer()
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in RATES]
    theirs = torch.optim.SGD(groups, lr=0.1)
    mine, other = ours.ReduceLROnPlateau(opt, **options), torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    rng = np.random.default_rng(0)
    for metric in 1 / np.arange(1, 60) + 0.2 * rng.random(59):
        mine.step(metric)
        other.step(metric)
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12)


FORMULAS = {
    "StepLR": lambda lr, t: lr * 0.8 ** (t // 7),
    "MultiStepLR": lambda lr, t: lr * 0.1 ** ((t >= 3) + 2 * (t >= 40)),
    "ConstantLR": lambda lr, t: lr / 3 if t < 5 else lr,
    "LinearLR": lambda lr, t: lr * (1 / 3 + 2 / 3 * min(t, 5) / 5),
    "ExponentialLR": lambda lr, t: lr * 0.97**t,
    "PolynomialLR": lambda lr, t: lr * (1 - min(t, 5) / 5),
    "CosineAnnealingLR": lambda lr, t: lr * (1 + math.cos(math.pi * t / 17)) / 2,
    "CosineAnnealingWarmRestarts": lambda lr, t: lr * (1 + math.cos(math.pi * (t % 13) / 13)) / 2,
    "LambdaLR": lambda lr, t: lr / (1 + t),
    "MultiplicativeLR": lambda lr, t: lr * math.prod(1 - 1 / (k + 5) for k in range(1, t + 1)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_rates_are_those_of_the_formula(name):
    opt = optimizer()
    found = path(opt, getattr(ours, name)(opt, **CASES[name][0]))[:, :, 0]
    expected = [[FORMULAS[name](lr, t) for lr in RATES] for t in range(STEPS)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@each
def test_it_goes_on_where_it_was(name, options):
    opt, whole = optimizer(), optimizer()
    expected = path(whole, getattr(ours, name)(whole, **options), 100)
    first = getattr(ours, name)(opt, **options)
    found = [*path(opt, first, 40)]
    first.step()
    state = first.state_dict()
    if "lr_lambda" not in options:
        state = pickle.loads(pickle.dumps(state))
    second = getattr(ours, name)(opt, **options)
    assert opt.groups[0].lr == expected[0][0][0]  # it begins anew, until it is told
    second.load_state_dict(state)
    second.step(40)
    np.testing.assert_array_equal([*found, *path(opt, second, 60)], expected)


def test_begun_in_the_middle():
    opt, whole = optimizer(), optimizer()
    expected = path(whole, ours.StepLR(whole, 7), 50)
    np.testing.assert_array_equal(path(opt, ours.StepLR(opt, 7, last_epoch=19), 30), expected[20:])


def test_a_later_scheduler_begins_with_the_first_rates():
    opt = optimizer()
    ours.LinearLR(opt)
    assert ours.ExponentialLR(opt, 0.9).base_lrs == list(RATES)
    assert opt.lr == RATES[0]


def test_state_of_a_plateau():
    opt = optimizer()
    first = ours.ReduceLROnPlateau(opt, patience=0)
    for metric in (1.0, 1.0):
        first.step(metric)
    second = ours.ReduceLROnPlateau(opt, patience=0)
    second.load_state_dict(first.state_dict())
    second.step(1.0)
    first.step(1.0)
    assert first.state_dict() == second.state_dict()
    assert second.last_epoch == 3
    assert opt.groups[0].lr == pytest.approx(0.005)


def test_an_average_of_weights_has_a_rate_too():
    opt = fastopt.EMA(fastopt.SGD(np.ones(2), lr=1.0))
    scheduler = ours.ExponentialLR(opt, 0.5)
    opt.step(np.ones(2))
    scheduler.step()
    assert opt.lr == 0.5


@given(name=st.sampled_from(sorted(FORMULAS)), lr=st.floats(0, 10), step=st.integers(0, 10**6))
def test_any_step(name, lr, step):
    if name == "MultiplicativeLR":
        step %= 100
    opt = fastopt.SGD(np.ones(1), lr=lr)
    getattr(ours, name)(opt, **CASES[name][0]).step(step)
    assert opt.lr == pytest.approx(FORMULAS[name](lr, step), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda opt: ours.StepLR(opt, 0), ValueError, "step_size: expected an integer >= 1, got 0"),
        (lambda opt: ours.StepLR(opt.groups, 3), TypeError, "optimizer: expected an optimizer of fastopt, got list"),
        (lambda opt: ours.StepLR(opt, 3, last_epoch=-2), ValueError, "last_epoch: expected an integer >= -1, got -2"),
        (lambda opt: ours.MultiStepLR(opt, [3, -1]), ValueError, r"milestones\[1\]: expected an integer >= 0, got -1"),
        (lambda opt: ours.ConstantLR(opt, 1.5), ValueError, r"factor: expected a number in \[0, 1\], got 1.5"),
        (lambda opt: ours.LinearLR(opt, 0.0), ValueError, r"start_factor: expected a number in \(0, 1\], got 0.0"),
        (lambda opt: ours.CosineAnnealingLR(opt, 0), ValueError, "T_max: expected an integer >= 1, got 0"),
        (
            lambda opt: ours.LambdaLR(opt, [len] * 3),
            ValueError,
            "lr_lambda: expected 2 entries, one for each group, got 3",
        ),
        (lambda opt: ours.CyclicLR(opt, 0.1, 0.2, scale_fn=len), ValueError, "scale_fn: expected None, since"),
        (lambda opt: ours.OneCycleLR(opt, 0.1), ValueError, "total_steps: expected a number of steps, or epochs and"),
        (
            lambda opt: ours.ChainedScheduler([]),
            ValueError,
            "schedulers: expected schedulers, and no ReduceLROnPlateau",
        ),
        (
            lambda opt: ours.SequentialLR(opt, [ours.StepLR(optimizer(), 3)], []),
            ValueError,
            "schedulers: expected schedulers of one optimizer, got one of another",
        ),
        (lambda opt: ours.ReduceLROnPlateau(opt, "least"), ValueError, "mode: expected one of 'min', 'max'"),
        (lambda opt: ours.ReduceLROnPlateau(opt).step("low"), TypeError, "metrics: expected a number, got 'low'"),
    ],
)
def test_refused(make, error, message):
    opt = optimizer()
    with pytest.raises(error, match=f"^{message}"):
        make(opt)
    assert [group.lr for group in opt.groups] == list(RATES)


def test_no_momentum_to_cycle_and_no_rate_to_begin_with():
    with pytest.raises(ValueError, match=r"^cycle_momentum: expected False with an optimizer that has no momentum"):
        ours.OneCycleLR(fastopt.Adagrad(np.ones(2)), 0.1, 10)
    with pytest.raises(TypeError, match=r"^optimizer: expected rates that are numbers, got a schedule in groups\[0\]"):
        ours.StepLR(fastopt.SGD(np.ones(2), lr=lambda step: 0.1), 3)
    opt = optimizer()
    scheduler = ours.OneCycleLR(opt, 0.1, 3)
    for _ in range(2):
        scheduler.step()
    with pytest.raises(ValueError, match=r"^step: expected at most 3 steps, got another one"):
        scheduler.step()
