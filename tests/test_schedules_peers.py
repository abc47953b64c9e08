"""Schedules against PyTorch's and Keras' own, over a few cycles and past the end."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastopt.schedules import (
    Constant,
    CosineAnnealing,
    CosineWarmRestarts,
    Cyclical,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PerEpoch,
    PiecewiseConstant,
    PolynomialDecay,
    ReduceOnPlateau,
    Scaled,
    Schedule,
    Sequential,
    StepDecay,
    Warmup,
)

STEPS = 100


def name(value: object) -> str:
    return repr(value)[:60] if isinstance(value, Schedule) else ""


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="compares with PyTorch")


# --- PyTorch ------------------------------------------------------------------------------------

MakeTorch = Callable[[Any, Any], Any]


def run_torch(torch: Any, make: MakeTorch, steps: int) -> tuple[list[float], list[float]]:
    """Return the rate and the momentum of each step under a scheduler of PyTorch."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0, momentum=0.9)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates, momenta = [], []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates, momenta


TORCH: list[tuple[Schedule, MakeTorch]] = [
    (Constant(1.0), lambda s, o: s.LambdaLR(o, lambda step: 1.0)),
    (PiecewiseConstant((5,), (0.3, 1.0)), lambda s, o: s.ConstantLR(o, 0.3, total_iters=5)),
    (ExponentialDecay(1.0, 0.93), lambda s, o: s.ExponentialLR(o, 0.93)),
    (StepDecay(1.0, 30), lambda s, o: s.StepLR(o, 30)),
    (StepDecay(1.0, 7, gamma=0.8), lambda s, o: s.StepLR(o, 7, gamma=0.8)),
    (PiecewiseConstant((3, 40), (1, 0.1, 0.01)), lambda s, o: s.MultiStepLR(o, [3, 40])),
    (PolynomialDecay(1.0, 5), lambda s, o: s.PolynomialLR(o)),
    (PolynomialDecay(1.0, 30, power=2.5), lambda s, o: s.PolynomialLR(o, 30, 2.5)),
    (PolynomialDecay(0.2, 30, 0.9), lambda s, o: s.LinearLR(o, 0.2, 0.9, total_iters=30)),
    (CosineAnnealing(1.0, 17), lambda s, o: s.CosineAnnealingLR(o, 17)),
    (CosineAnnealing(1.0, 40, 0.2), lambda s, o: s.CosineAnnealingLR(o, 40, eta_min=0.2)),
    (CosineWarmRestarts(1.0, 13), lambda s, o: s.CosineAnnealingWarmRestarts(o, 13)),
    (
        CosineWarmRestarts(1.0, 3, T_mult=2, eta_min=0.1),
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.1),
    ),
    (
        CosineWarmRestarts(1.0, 4, T_mult=3),
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, T_mult=3),
    ),
    (
        Scaled(StepDecay(1.0, 10, 0.5), ExponentialDecay(1.0, 0.9)),
        lambda s, o: s.ChainedScheduler([s.StepLR(o, 10, 0.5), s.ExponentialLR(o, 0.9)]),
    ),
    (
        Warmup(ExponentialDecay(1.0, 0.9), 20),
        lambda s, o: s.SequentialLR(o, [s.LinearLR(o, total_iters=20), s.ExponentialLR(o, 0.9)], [20]),
    ),
    (
        Sequential((PiecewiseConstant((4,), (0.5, 1)), StepDecay(1, 9)), (12,)),
        lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.5, 4), s.StepLR(o, 9)], [12]),
    ),
]


@pytest.mark.parametrize(("ours", "make"), TORCH, ids=name)
def test_same_rates_as_torch(torch: Any, ours: Schedule, make: MakeTorch) -> None:
    rates, _ = run_torch(torch, make, STEPS)
    np.testing.assert_allclose([ours(step) for step in range(STEPS)], rates, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"step_size_up": 7},
        {"step_size_up": 5, "step_size_down": 9},
        {"step_size_up": 9, "step_size_down": 2, "mode": "triangular2"},
        {"step_size_up": 6, "mode": "exp_range", "gamma": 0.97},
        {"step_size_up": 6, "base_momentum": 0.3, "max_momentum": 0.99},
    ],
)
def test_same_rates_and_momenta_as_torch_cyclic(torch: Any, options: dict[str, Any]) -> None:
    ours = Cyclical(0.1, 0.7, **options)
    rates, momenta = run_torch(torch, lambda s, o: s.CyclicLR(o, 0.1, 0.7, **options), STEPS)
    np.testing.assert_allclose([ours(step) for step in range(STEPS)], rates, rtol=1e-12)
    np.testing.assert_allclose([ours.momentum(step) for step in range(STEPS)], momenta, rtol=1e-12)


@pytest.mark.parametrize("total_steps", [7, 30, STEPS])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"anneal_strategy": "linear"},
        {"three_phase": True},
        {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.45},
        {"pct_start": 0.0},
        {"pct_start": 0.05, "three_phase": True},
        {"pct_start": 1.0},
        {"div_factor": 4.0, "final_div_factor": 0.5, "base_momentum": 0.1, "max_momentum": 0.6},
    ],
)
def test_same_rates_and_momenta_as_torch_one_cycle(torch: Any, options: dict[str, Any], total_steps: int) -> None:
    ours = OneCycle(0.7, total_steps, **options)
    rates, momenta = run_torch(torch, lambda s, o: s.OneCycleLR(o, 0.7, total_steps, **options), total_steps)
    got = [ours(step) for step in range(total_steps)]
    np.testing.assert_allclose(got, rates, rtol=1e-12)
    got = [ours.momentum(step) for step in range(total_steps)]
    np.testing.assert_allclose(got, momenta, rtol=1e-12)


def test_same_rates_as_torch_stepped_once_an_epoch(torch: Any) -> None:
    rates, _ = run_torch(torch, lambda s, o: s.ExponentialLR(o, 0.5), 5)
    ours = PerEpoch(ExponentialDecay(1.0, 0.5), steps_per_epoch=4)
    assert [ours(step) for step in range(20)] == pytest.approx(np.repeat(rates, 4).tolist())


# Those of PyTorch's schedulers that take a fraction of an epoch in ``scheduler.step(epoch + i / n)``, as the
# documentation of CosineAnnealingWarmRestarts has it.
FRACTIONAL: list[tuple[Schedule, MakeTorch]] = [
    *(pair for pair in TORCH if not isinstance(pair[0], Scaled | Warmup | Sequential)),
    (Cyclical(1.0, 2.0, 3, 5), lambda s, o: s.CyclicLR(o, 1.0, 2.0, 3, 5)),
    (Cyclical(1.0, 2.0, 3, mode="triangular2"), lambda s, o: s.CyclicLR(o, 1.0, 2.0, 3, mode="triangular2")),
    (Cyclical(1.0, 2.0, 3, None, "exp_range", 0.9), lambda s, o: s.CyclicLR(o, 1.0, 2.0, 3, None, "exp_range", 0.9)),
    (OneCycle(0.7, 13), lambda s, o: s.OneCycleLR(o, 0.7, 13)),
    (OneCycle(0.7, 13, three_phase=True), lambda s, o: s.OneCycleLR(o, 0.7, 13, three_phase=True)),
]


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
@pytest.mark.parametrize(("ours", "make"), FRACTIONAL, ids=name)
def test_same_rates_as_torch_at_fractions_of_an_epoch(torch: Any, ours: Schedule, make: MakeTorch) -> None:
    epochs, n = 13, 7
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates, momenta = [], []
    for epoch in range(epochs):
        for i in range(n):
            optimizer.step()
            if (epoch + i / n) < epochs - 1:  # behind the last step, OneCycleLR raises an error
                scheduler.step(epoch + i / n)
                rates.append(optimizer.param_groups[0]["lr"])
                momenta.append(optimizer.param_groups[0]["momentum"])
    schedule = PerEpoch(ours, n, fractional=True)
    np.testing.assert_allclose([schedule(step) for step in range(len(rates))], rates, rtol=1e-9, atol=1e-12)
    if isinstance(ours, Cyclical | OneCycle):
        got = [ours.momentum(step / n) for step in range(len(rates))]
        np.testing.assert_allclose(got, momenta, rtol=1e-9)


def metrics_with_plateaus() -> list[float]:
    """Return a falling loss with noise and flat stretches, one of them NaN."""
    rng = np.random.default_rng(0)
    falling = np.repeat(np.geomspace(5.0, 0.5, 30), 4) + rng.normal(0, 0.05, 120)
    falling[60:63] = np.nan
    return [float(x) for x in falling]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 0},
        {"patience": 2, "factor": 0.7},
        {"patience": 3, "factor": 0.5, "threshold": 0.1},
        {"patience": 1, "factor": 0.5, "cooldown": 3},
        {"patience": 0, "factor": 0.5, "min_lr": 0.01},
        {"patience": 0, "factor": 0.5, "eps": 0.1},
        {},
    ],
)
def test_same_rates_as_torch_plateau(torch: Any, options: dict[str, Any], mode: Any, threshold_mode: Any) -> None:
    options = {**options, "mode": mode, "threshold_mode": threshold_mode}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    ours = ReduceOnPlateau(1.0, **options)
    sign = 1 if mode == "min" else -1
    for metric in metrics_with_plateaus():
        metric = 6 - metric if sign < 0 else metric
        scheduler.step(metric)
        ours.update(metric)
        assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        assert ours.state_dict()["num_bad_epochs"] == scheduler.num_bad_epochs
        assert ours.state_dict()["cooldown_counter"] == scheduler.cooldown_counter
        assert ours.state_dict()["best"] == scheduler.best


# --- Keras --------------------------------------------------------------------------------------

MakeKeras = Callable[[Any], Callable[[int], Any]]

KERAS: list[tuple[Schedule, MakeKeras]] = [
    (InverseTimeDecay(0.5, 0.02), lambda s: s.InverseTimeDecay(0.5, 1, 0.02)),
    (InverseTimeDecay(0.5, 0.7, 13), lambda s: s.InverseTimeDecay(0.5, 13, 0.7)),
    (
        InverseTimeDecay(0.5, 0.7, 13, True),
        lambda s: s.InverseTimeDecay(0.5, 13, 0.7, True),
    ),
    (ExponentialDecay(0.5, 0.9, 7), lambda s: s.ExponentialDecay(0.5, 7, 0.9)),
    (
        ExponentialDecay(0.5, 0.9, 7, True),
        lambda s: s.ExponentialDecay(0.5, 7, 0.9, True),
    ),
    (StepDecay(0.5, 7, 0.9), lambda s: s.ExponentialDecay(0.5, 7, 0.9, staircase=True)),
    # Keras keeps the old value at the boundary.
    (
        PiecewiseConstant((11, 51, 61), (1.0, 0.5, 0.2, 0.1)),
        lambda s: s.PiecewiseConstantDecay([10, 50, 60], [1.0, 0.5, 0.2, 0.1]),
    ),
    (PolynomialDecay(0.5, 30, 1e-4), lambda s: s.PolynomialDecay(0.5, 30)),
    (PolynomialDecay(0.5, 30, 0.1, 2.5), lambda s: s.PolynomialDecay(0.5, 30, 0.1, 2.5)),
    (
        PolynomialDecay(0.5, 30, 0.1, 0.5, cycle=True),
        lambda s: s.PolynomialDecay(0.5, 30, 0.1, 0.5, cycle=True),
    ),
    (CosineAnnealing(0.5, 40, cycle=False), lambda s: s.CosineDecay(0.5, 40)),
    (
        CosineAnnealing(0.5, 40, 0.1, cycle=False),
        lambda s: s.CosineDecay(0.5, 40, alpha=0.2),
    ),
    (
        Warmup(CosineAnnealing(0.5, 40, 0.1, cycle=False), 20, start_factor=0.1),
        lambda s: s.CosineDecay(0.05, 40, alpha=0.2, warmup_target=0.5, warmup_steps=20),
    ),
    (CosineWarmRestarts(0.5, 13), lambda s: s.CosineDecayRestarts(0.5, 13, t_mul=1.0)),
    (
        CosineWarmRestarts(0.5, 13, 1, 0.1, gamma=0.7),
        lambda s: s.CosineDecayRestarts(0.5, 13, t_mul=1.0, m_mul=0.7, alpha=0.2),
    ),
    (
        CosineWarmRestarts(0.5, 5, 2, 0.1, gamma=0.7),
        lambda s: s.CosineDecayRestarts(0.5, 5, t_mul=2.0, m_mul=0.7, alpha=0.2),
    ),
]


# On its torch backend Keras calls NumPy in a way that NumPy warns of.
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:keras")
@pytest.mark.parametrize(("ours", "make"), KERAS, ids=name)
def test_same_rates_as_keras(keras: Any, ours: Schedule, make: MakeKeras) -> None:
    theirs = make(keras.optimizers.schedules)
    rates = [float(keras.ops.convert_to_numpy(theirs(step))) for step in range(STEPS)]
    # Keras computes these in single precision.
    np.testing.assert_allclose([ours(step) for step in range(STEPS)], rates, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("patience", "cooldown"), [(1, 0), (2, 0), (4, 0), (1, 1), (1, 3), (2, 2), (3, 5)])
def test_same_rates_as_keras_plateau(keras: Any, patience: int, cooldown: int) -> None:
    optimizer = SimpleNamespace(learning_rate=1.0)
    theirs = keras.callbacks.ReduceLROnPlateau(
        "loss", 0.5, patience, mode="min", min_delta=0.1, cooldown=cooldown, min_lr=1e-3
    )
    theirs.set_model(SimpleNamespace(optimizer=optimizer))
    theirs.on_train_begin()
    ours = ReduceOnPlateau(
        1.0,
        factor=0.5,
        patience=patience - 1,
        threshold=0.1,
        threshold_mode="abs",
        cooldown=max(cooldown - 1, 0),
        min_lr=1e-3,
    )
    for epoch, loss in enumerate(np.nan_to_num(metrics_with_plateaus(), nan=9.0)):
        theirs.on_epoch_end(epoch, {"loss": loss})
        ours.update(loss)
        assert ours(0) == pytest.approx(optimizer.learning_rate, rel=1e-12)
