"""Saved states: a continued run equals an unbroken one, and what does not fit is refused whole."""

import itertools

import numpy as np
import pytest
from harness import assert_same_bits
from optimizer_harness import (
    STRUCTURES,
    build,
    each_variant,
    equal_states,
    falling,
    random_arrays,
    saved,
)
from table import OPTIMIZER_VARIANTS

import fastopt


@each_variant
def test_a_continued_run_equals_an_unbroken_one(case):
    for structure in STRUCTURES:
        save_and_continue(case, structure)


def save_and_continue(case, structure):
    unbroken = random_arrays(np.float32, 0)
    opt = build(case, structure.params(unbroken))
    for step in range(1, 4):
        opt.step(structure.grads(random_arrays(np.float32, step)))
    continued = [param.copy() for param in unbroken]
    state = saved(opt)
    other = build(case, structure.params(continued))
    other.load_state_dict(state)
    assert other.steps == 3
    for step in range(4, 7):
        for each in (opt, other):
            each.step(structure.grads(random_arrays(np.float32, step)))
    for one, two in zip(unbroken, continued, strict=True):
        assert_same_bits(one, two)
    assert equal_states(saved(opt), saved(other))


@each_variant
def test_states_are_copies(case):
    opts = [build(case, random_arrays(np.float32, 0)) for _ in range(2)]
    for opt in opts:
        opt.step(random_arrays(np.float32, 1))
    state = opts[0].state_dict()
    opts[1].load_state_dict(state)
    before = saved(opts[0])
    for value in state.values():
        if isinstance(value, np.ndarray):
            value[...] = 7
    for opt in opts:
        assert equal_states(saved(opt), before)


def test_names_in_a_state():
    param = np.zeros((2, 3), np.float32)
    opt = fastopt.Adam({"weight": param}, lr=0.5)
    opt.step({"weight": np.ones((2, 3), np.float32)})
    state = opt.state_dict()
    assert set(state) == {"steps", "lr.0", "exp_avg.weight", "exp_avg_sq.weight"}
    assert (state["steps"], state["lr.0"]) == (1, 0.5)
    np.testing.assert_allclose(state["exp_avg.weight"], np.full((2, 3), 0.1), rtol=1e-6)
    np.testing.assert_allclose(state["exp_avg_sq.weight"], np.full((2, 3), 0.001), rtol=1e-6)
    opt = fastopt.SGD([param, np.zeros(4)], lr=falling, momentum=0.9)
    assert set(opt.state_dict()) == {"steps", "momentum_buffer.0", "momentum_buffer.1"}


def test_rate_set_by_hand_is_saved():
    opt = fastopt.SGD([{"params": np.zeros(2), "lr": 0.1}, {"params": np.zeros(2), "lr": 0.2}])
    other = fastopt.SGD([{"params": np.zeros(2)}, {"params": np.zeros(2)}], lr=0.7)
    other.load_state_dict(saved(opt))
    assert [group.lr for group in other.groups] == [0.1, 0.2]


class Halving:
    """A schedule with a state: half the rate at every call of `halve`."""

    def __init__(self):
        self.rate = 1.0

    def __call__(self, step):
        return self.rate

    def state_dict(self):
        return {"rate": self.rate}

    def load_state_dict(self, state):
        if not state["rate"] >= 0:
            raise ValueError(f"rate: expected a number >= 0, got {state['rate']}")
        self.rate = float(state["rate"])


def test_state_of_a_schedule_is_saved():
    schedule = Halving()
    opt = fastopt.SGD(np.zeros(2), lr=schedule)
    schedule.rate = 0.25
    state = saved(opt)
    assert state["schedule.0.rate"] == 0.25
    other = fastopt.SGD(np.zeros(2), lr=Halving())
    other.load_state_dict(state)
    assert other.lr == 0.25
    assert other.schedule.rate == 0.25


MOMENTA = {
    "momentum": lambda params, schedule: fastopt.SGD(params, lr=0.1, momentum=schedule),
    "rmsprop": lambda params, schedule: fastopt.RMSprop(params, lr=0.1, momentum=schedule),
    "adam": lambda params, schedule: fastopt.Adam(params, lr=0.1, betas=(schedule, 0.999)),
    "adamw, rate too": lambda params, schedule: fastopt.AdamW(params, lr=schedule, betas=(schedule, 0.999)),
    "groups": lambda params, schedule: fastopt.SGD(
        [{"params": p, "momentum": m} for p, m in zip(params, (schedule, 0.5, Halving()), strict=True)]
    ),
}


@pytest.mark.parametrize("kind", MOMENTA)
def test_state_of_a_schedule_of_the_momentum_is_saved(kind):
    """It goes on to the bit, and is refused as a whole."""
    params = [np.linspace(1, 2, 3), np.ones(2), np.ones(1)]
    grads = [p / 3 for p in params]
    schedule, twin = Halving(), Halving()
    schedule.rate = twin.rate = 0.5
    opt, start = MOMENTA[kind](params, schedule), [p.copy() for p in params]
    schedule.rate = 0.25
    opt.step(grads)
    state, reached = saved(opt), [p.copy() for p in params]
    hyper_parameter = next(name for name, value in opt.groups[0].schedules().items() if name != "lr")
    key = f"schedule.{hyper_parameter}.0.rate"
    assert state[key] == 0.25
    other = MOMENTA[kind](start, twin)
    before = saved(other)
    for wrong in ({key: -1.0}, {"steps": -1}, {key.replace("0", "7"): 0.5}):
        assert refusal(other, state | wrong)
        assert equal_states(saved(other), before)
    assert refusal(other, {k: v for k, v in state.items() if k != key})
    assert equal_states(saved(other), before)
    for own, value in zip(start, reached, strict=True):
        own[...] = value
    other.load_state_dict(state)
    assert twin.rate == 0.25
    for each in (opt, other):
        each.step(grads)
    for own, expected in zip(start, params, strict=True):
        assert_same_bits(own, expected)


def refusal(opt, state):
    """What `opt` says against a state, or None if it takes it."""
    try:
        opt.load_state_dict(state)
    except (TypeError, ValueError, KeyError) as error:
        return str(error)
    return None


# One for each set of state arrays: a class is not part of a state.
DIFFERENT_STATES = tuple({case.states: case for case in OPTIMIZER_VARIANTS}.values())


def spoiled_states(state):
    """Every way to spoil a saved state: what is wrong, the key at fault, the state."""
    for key, value in state.items():
        value = np.asarray(value)
        yield "missing", key, {k: v for k, v in state.items() if k != key}
        yield "renamed", key, {(k + "x" if k == key else k): v for k, v in state.items()}
        yield "None", key, state | {key: None}
        yield "text", key, state | {key: "text"}
        yield "one axis more", key, state | {key: np.stack([value, value])}
        if value.ndim:
            yield "other shape", key, state | {key: value[..., :-1]}
            yield "flat", key, state | {key: np.append(value.ravel(), value.dtype.type(0))}
        if key not in ("steps", "lr.0"):
            yield "float16", key, state | {key: value.astype(np.float16)}
            yield (
                "other float",
                key,
                state | {key: value.astype("f8" if value.dtype == "f4" else "f4")},
            )
    yield "extra", "unknown", state | {"unknown": 1.0}
    yield "extra", "exp_avg.9", state | {"exp_avg.9": np.zeros(3, np.float32)}
    for bad in (-1, 1.5, np.nan, 1j):
        yield f"steps {bad}", "steps", state | {"steps": bad}
    for bad in (-1.0, np.nan, np.inf, 1j):
        yield f"lr {bad}", "lr.0", state | {"lr.0": bad}


@pytest.mark.parametrize("case", DIFFERENT_STATES, ids=str)
def test_spoiled_states_are_refused_whole(case):
    opt, other = (build(case, random_arrays(np.float32, 0)) for _ in range(2))
    for step in (1, 2):
        opt.step(random_arrays(np.float32, step))
    other.step(random_arrays(np.float32, 3))
    before = saved(other)
    for how, key, state in spoiled_states(saved(opt)):
        message = refusal(other, state)
        assert message, f"{key} was accepted, {how}"
        assert key.partition(".")[0] in message, how
        assert equal_states(saved(other), before), (how, key)
        assert other.steps == 1
    for bad in (None, 3, [("steps", 1)]):
        with pytest.raises((TypeError, ValueError)):
            other.load_state_dict(bad)
    assert equal_states(saved(other), before)


def test_states_of_other_optimizers_are_refused():
    opts = [build(case, random_arrays(np.float32, 0)) for case in DIFFERENT_STATES]
    for opt in opts:
        opt.step(random_arrays(np.float32, 1))
    for opt, other in itertools.permutations(opts, 2):
        before = saved(opt)
        with pytest.raises((TypeError, ValueError, KeyError)):
            opt.load_state_dict(saved(other))
        assert equal_states(saved(opt), before)


def test_a_refused_state_leaves_the_schedule_alone():
    """Also when what is wrong comes after the schedule's own entries."""
    schedule = Halving()
    opt = fastopt.SGD({"a": np.zeros(2)}, lr=schedule, momentum=0.9)
    state = saved(opt)
    schedule.rate = 0.125
    for spoiled in (
        state | {"momentum_buffer.a": np.zeros(3)},
        state | {"zzz": 1.0},
        state | {"steps": -1},
        {key: value for key, value in state.items() if key != "schedule.0.rate"},
    ):
        with pytest.raises((TypeError, ValueError, KeyError)):
            opt.load_state_dict(spoiled)
        assert schedule.rate == 0.125


def test_a_schedule_that_refuses_its_state_leaves_everything():
    schedules = [Halving(), Halving()]
    opt = fastopt.SGD([{"params": np.zeros(2), "lr": one} for one in schedules], momentum=0.9)
    opt.step([np.ones(2), np.ones(2)])
    before = saved(opt)
    state = {name: np.zeros_like(value) for name, value in before.items()}
    for name in ("schedule.0.rate", "schedule.1.rate"):
        with pytest.raises(ValueError, match="rate"):
            opt.load_state_dict(state | {name: np.float64(-1)})
        assert equal_states(saved(opt), before)
