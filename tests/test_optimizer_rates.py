"""Learning rates and momenta of the optimizers: numbers, schedules, set by hand."""

from types import SimpleNamespace

import numpy as np
import oracle
import pytest
from harness import Frozen, assert_close
from optimizer_harness import (
    build,
    each_case,
    equal_states,
    falling,
    random_arrays,
    rising,
    saved,
)

import fastopt
from fastopt import schedules


def lasting(case, **options):
    """Five steps of package and oracle with the same options, compared."""
    params = random_arrays(np.float64, 0)
    exact = case.oracle(params, **(case.options | options))
    opt = build(case, params, **options)
    for step in range(5):
        grads = random_arrays(np.float64, step + 1)
        opt.step(grads)
        exact.step(grads)
        for actual, expected in zip(params, exact.params, strict=True):
            assert_close(actual, expected, 4 * (step + 1))
    return opt


@each_case
def test_rate_from_a_schedule(case):
    opt = lasting(case, lr=falling)
    assert opt.schedule is falling
    assert opt.steps == 5


def test_rate_from_the_packages_schedule():
    """The learning rate of step t, from 0, is lr / (1 + decay t)."""
    param = np.zeros(1)
    opt = fastopt.SGD(param, lr=schedules.InverseTimeDecay(1.0, 0.5))
    rates = []
    for _ in range(4):
        rates.append(opt.lr)
        before = param.copy()
        opt.step(np.ones(1))
        assert before - param == pytest.approx(rates[-1])
    assert rates == pytest.approx([1, 1 / 1.5, 1 / 2, 1 / 2.5])


def test_schedule_is_called_with_the_steps_done():
    calls = []

    def schedule(step):
        calls.append(step)
        return 0.1

    opt = fastopt.SGD(np.zeros(2), lr=schedule)
    for _ in range(3):
        opt.step(np.ones(2))
    assert sorted(set(calls)) == [0, 1, 2]
    assert {type(step) for step in calls} == {int}


def test_rate_set_by_hand():
    param = np.zeros(1)
    opt = fastopt.SGD(param, lr=0.5)
    assert opt.lr == 0.5
    assert opt.schedule is None
    opt.step(np.ones(1))
    opt.lr = 0.25
    opt.step(np.ones(1))
    assert opt.lr == 0.25
    assert param[0] == -0.75


def test_rate_set_by_hand_replaces_every_groups_schedule():
    a, b = np.zeros(1), np.zeros(1)
    opt = fastopt.SGD([{"params": a, "lr": falling}, {"params": b}], lr=0.5)
    opt.lr = 0.125
    assert opt.lr == 0.125
    assert opt.schedule is None
    opt.step([np.ones(1), np.ones(1)])
    assert a[0] == b[0] == -0.125


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf, "0.1", None, [0.1]])
def test_bad_rate_set_by_hand_changes_nothing(bad):
    a, b = np.zeros(1), np.zeros(1)
    opt = fastopt.SGD([{"params": a, "lr": 0.25}, {"params": b}], lr=0.5)
    with pytest.raises((TypeError, ValueError), match=r"^lr: expected"):
        opt.lr = bad
    opt.step([np.ones(1), np.ones(1)])
    assert (a[0], b[0]) == (-0.25, -0.5)


@each_case
@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf, "0.1", None])
def test_bad_rate_from_a_schedule_writes_nothing(case, bad):
    params = random_arrays(np.float32, 0)
    opt = build(case, params, lr=lambda step: 0.1 if step == 0 else bad)
    opt.step(random_arrays(np.float32, 1))
    before = Frozen(*params)
    with pytest.raises((TypeError, ValueError), match="lr"):
        opt.step(random_arrays(np.float32, 2))
    before.assert_unchanged()
    assert opt.steps == 1


def test_a_schedule_that_fails_writes_nothing():
    rates = {0: 0.1}
    first, second = np.zeros(3), np.zeros(3)
    opt = fastopt.Adam([{"params": first, "lr": 0.1}, {"params": second, "lr": lambda step: rates[step]}])
    opt.step([np.ones(3), np.ones(3)])
    before, state = Frozen(first, second), saved(opt)
    with pytest.raises(KeyError):
        opt.step([np.ones(3), np.ones(3)])
    before.assert_unchanged()
    assert equal_states(saved(opt), state)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}),
        ("SGD", {"nesterov": True}),
        ("SGD", {"dampening": 0.5}),
        ("SGD", {"lr_in_velocity": True}),
        ("SGD", {"lr_in_velocity": True, "nesterov": True}),
        ("RMSprop", {"eps": 1e-2}),
        ("RMSprop", {"eps": 1e-2, "lr_in_velocity": True, "centered": True}),
    ],
)
def test_momentum_from_a_schedule(name, options):
    case = SimpleNamespace(name=name, options=options, oracle=getattr(oracle, name))
    lasting(case, lr=0.1, momentum=rising)
    lasting(case, lr=falling, momentum=rising)
    lasting(case, lr=0.1, momentum=lambda step: 0.0)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("eps_hat", [False, True])
def test_first_beta_from_a_schedule(name, eps_hat):
    case = SimpleNamespace(name=name, options={}, oracle=getattr(oracle, name))
    lasting(case, lr=0.1, betas=(rising, 0.9), eps=1e-2, eps_hat=eps_hat)


@pytest.mark.parametrize("bad", [1.5, -0.5, np.nan, "0.9", None])
def test_bad_momentum_from_a_schedule_writes_nothing(bad):
    def schedule(step):
        return 0.9 if step == 0 else bad

    for name, options in (
        ("SGD", {"momentum": schedule}),
        ("RMSprop", {"momentum": schedule}),
        ("Adam", {"betas": (schedule, 0.999)}),
        ("AdamW", {"betas": (schedule, 0.999)}),
    ):
        params = random_arrays(np.float32, 0)
        opt = getattr(fastopt, name)(params, **options)
        opt.step(random_arrays(np.float32, 1))
        before = Frozen(*params)
        with pytest.raises((TypeError, ValueError), match="expected"):
            opt.step(random_arrays(np.float32, 2))
        before.assert_unchanged()
        assert opt.steps == 1


def test_rate_of_adagrad_is_the_decayed_one():
    opt = fastopt.Adagrad(np.zeros(3), lr=0.5, lr_decay=0.25)
    rates = []
    for _ in range(3):
        rates.append(opt.lr)
        opt.step(np.ones(3))
    assert rates == [0.5, 0.5 / 1.25, 0.5 / 1.5]


def test_a_schedule_is_replaced_by_an_equal_one():
    """Each has a state of its own."""
    old, new = schedules.ReduceOnPlateau(0.5, patience=0), schedules.ReduceOnPlateau(0.5, patience=0)
    opt = fastopt.SGD(np.zeros(3), lr=old)
    opt.lr = new
    assert opt.schedule is new


def test_the_start_of_a_state_is_no_schedule():
    with pytest.raises(TypeError, match=r"^initial_accumulator_value: expected a finite number >= 0, got"):
        fastopt.Adagrad(np.zeros(3), initial_accumulator_value=lambda step: 0.1)
