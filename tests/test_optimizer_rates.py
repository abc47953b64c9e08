"""Hyper-parameters of the optimizers that change: schedules, and numbers set by hand."""

from types import SimpleNamespace

import numpy as np
import oracle
import pytest
from harness import Frozen, assert_close, assert_same_bits
from optimizer_harness import (
    build,
    each_case,
    each_variant,
    equal_states,
    falling,
    random_arrays,
    saved,
    set_hyper_parameter,
)
from table import CLASSES, HYPER_PARAMETERS, refused

import fastopt
from fastopt import schedules
from fastopt.schedules import ReduceOnPlateau


def follow(opt, params, exact=None, before_step=lambda step: None):
    """Five steps, of the oracle too if there is one; return the parameters after each."""
    reached = []
    for step in range(5):
        grads = random_arrays(np.float64, step + 1)
        before_step(step)
        opt.step(grads)
        reached.append([param.copy() for param in params])
        if exact is not None:
            exact.step(grads)
            for actual, expected in zip(params, exact.params, strict=True):
                assert_close(actual, expected, 4 * (step + 1))
    return reached


def assert_same(one, other, what):
    for arrays, others in zip(one, other, strict=True):
        for array, expected in zip(arrays, others, strict=True):
            assert_same_bits(array, expected, what)


@each_case
def test_any_number_may_be_a_schedule(case):
    """One that stays gives the bits of the number, one that changes those of a number set before each step."""
    for name in case.numbers:
        first, second = HYPER_PARAMETERS[name][0][:2]

        def changing(step, values=(first, second)):
            return values[step % 2]

        def made(value, case=case, name=name):
            params = random_arrays(np.float64, 0)
            return build(SimpleNamespace(name=case.name, options=case.options_with(name, value)), params), params

        try:
            opt, params = made(first)
            constant, others = made(lambda step, value=first: value)
        except (TypeError, ValueError):
            # What a number may not be beside the others, a schedule may not return; a state starts with a number.
            with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
                made(changing)
            continue
        assert_same(follow(constant, others), follow(opt, params), name)

        opt, params = made(changing)
        reached = follow(opt, params, case.oracle(params, **case.options_with(name, changing)))
        assert opt.groups[0].schedules() == {name: changing}
        opt, params = made(first)
        by_hand = follow(
            opt,
            params,
            before_step=lambda step, group=opt.groups[0], name=name, value=changing: set_hyper_parameter(
                group, name, value(step)
            ),
        )
        assert_same(by_hand, reached, name)


@each_variant
def test_a_bad_result_of_a_schedule_writes_nothing(case):
    group = build(case, np.zeros(3)).groups[0]
    used = dict(zip(group.rule.hyper_parameters, group.values(0), strict=True))
    for name in used.keys() & set(case.numbers):
        for value, exception in refused(name):
            params, good = random_arrays(np.float32, 0), used[name]
            opt = build(case, params)
            set_hyper_parameter(opt.groups[0], name, lambda step, good=good, bad=value: bad if step else good)
            opt.step(random_arrays(np.float32, 1))
            before, state = Frozen(*params), saved(opt)
            with pytest.raises(exception, match=f"^{name}: expected"):
                opt.step(random_arrays(np.float32, 2))
            before.assert_unchanged()
            assert equal_states(saved(opt), state)


@each_variant
def test_numbers_of_numpy_as_hyper_parameters(case):
    for name in case.numbers:
        for kind in "efdg":
            params, others = (random_arrays(np.float32, 0) for _ in range(2))
            options = case.options_with(name, None)
            pair = next((key for key, value in options.items() if isinstance(value, tuple)), name)
            number = np.dtype(kind).type(HYPER_PARAMETERS[name][0][0])
            try:
                opt = getattr(fastopt, case.name)(params, **case.options_with(name, float(number)))
            except ValueError:
                continue
            other = getattr(fastopt, case.name)(others, **case.options_with(name, number))
            assert opt.groups[0].hyper_parameters() == other.groups[0].hyper_parameters()
            values = getattr(other.groups[0], pair)
            assert all(type(value) is float for value in (values if isinstance(values, tuple) else [values]))
            for each in (opt, other):
                each.step(random_arrays(np.float32, 1))
            for one, two in zip(params, others, strict=True):
                assert_same_bits(one, two, name)


@pytest.mark.parametrize("options", [{}, {"dampening": 0.5}, {"lr_in_velocity": True}], ids=str)
def test_a_momentum_that_begins_later(options):
    """Its buffer appears, and begins as at a first step: PyTorch's with the gradient whatever the dampening."""
    params = random_arrays(np.float64, 0)
    opt = fastopt.SGD(params, lr=0.1, **options)
    for step in (1, 2):
        opt.step(random_arrays(np.float64, step))
    assert not opt.groups[0].state
    opt.groups[0].momentum = 0.9
    exact = oracle.SGD(params, lr=0.1, momentum=0.9, **options)
    for step in (3, 4, 5):
        grads = random_arrays(np.float64, step)
        opt.step(grads)
        exact.step(grads)
        for actual, expected in zip(params, exact.params, strict=True):
            assert_close(actual, expected, 4 * step)
    assert opt.steps == 5
    for actual, expected in zip(opt.groups[0].state["momentum_buffer"], exact.states, strict=True):
        assert_close(actual, expected["momentum_buffer"], 20)


@pytest.mark.parametrize(
    "variants",
    [v for v in CLASSES.values() if "momentum" in v[0].numbers and not v[0].name.startswith("ScheduleFree")],
    ids=lambda v: v[0].name,
)
def test_a_momentum_that_changes_between_zero_and_more(variants):
    """Its buffer begins at zero, and stays when the momentum is zero again."""
    case = next(case for case in variants if "momentum" not in case.options)
    params = random_arrays(np.float64, 0)
    momenta = (0.0, 0.0, 0.5, 0.25, 0.0, 0.5)
    opt = build(case, params)
    exact = case.oracle(params, **case.options)
    for step, momentum in enumerate(momenta):
        if step == 2:
            # From here on the oracle has a buffer, beside the states that it had.
            later = case.oracle(exact.params, **(case.options | {"momentum": lambda done: momenta[done + 2]}))
            for new, old in zip(later.states, exact.states, strict=True):
                new |= old
            exact = later
        opt.groups[0].momentum = momentum
        grads = random_arrays(np.float64, step + 1)
        opt.step(grads)
        exact.step(grads)
        for actual, expected in zip(params, exact.params, strict=True):
            assert_close(actual, expected, 4 * (step + 1))
    assert "momentum_buffer" in opt.groups[0].state


def test_a_schedule_is_replaced_by_an_equal_one():
    """Each has a state of its own."""
    old, new = ReduceOnPlateau(0.5, patience=0), ReduceOnPlateau(0.5, patience=0)
    opt = fastopt.SGD(np.zeros(3), lr=old, momentum=old)
    opt.lr = new
    assert opt.schedule is new
    opt.groups[0].momentum = new
    assert opt.groups[0].momentum is new
    opt = fastopt.Adam(np.zeros(3), betas=(old, 0.9))
    opt.groups[0].betas = (new, 0.9)
    assert opt.groups[0].betas[0] is new


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


def test_rate_of_adagrad_is_the_decayed_one():
    opt = fastopt.Adagrad(np.zeros(3), lr=0.5, lr_decay=0.25)
    rates = []
    for _ in range(3):
        rates.append(opt.lr)
        opt.step(np.ones(3))
    assert rates == [0.5, 0.5 / 1.25, 0.5 / 1.5]
