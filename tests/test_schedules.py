"""Schedules against values worked out by hand, and what must hold for all of them."""

import copy
import dataclasses
import gc
import io
import itertools
import math
import pickle
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastopt import schedules
from fastopt.schedules import (
    Constant,
    CosineAnnealing,
    CosineWarmRestarts,
    Cyclical,
    ExponentialDecay,
    InverseSqrt,
    InverseTimeDecay,
    OneCycle,
    PerEpoch,
    PiecewiseConstant,
    PolynomialDecay,
    ReduceOnPlateau,
    Scaled,
    Schedule,
    Sequential,
    SnapshotCosine,
    StepDecay,
    Warmup,
    WarmupStableDecay,
)
from fastopt.schedules._base import start, stateful

# A cosine is 1, 1/2, -1/2, -1 at 0, 1/3, 2/3 and 1 of its way: heights 1, 3/4, 1/4, 0.
BY_HAND: list[tuple[Schedule, dict[int, float]]] = [
    (Constant(0.3), {0: 0.3, 7: 0.3}),
    (InverseTimeDecay(1.0, 0.25), {0: 1.0, 1: 0.8, 4: 0.5, 12: 0.25}),
    (InverseTimeDecay(1.0, 1.0, decay_steps=4), {1: 0.8, 4: 0.5, 6: 0.4}),
    (InverseTimeDecay(1.0, 1.0, decay_steps=4, staircase=True), {3: 1.0, 4: 0.5, 7: 0.5, 8: 1 / 3}),
    (ExponentialDecay(2.0, 0.5), {0: 2.0, 1: 1.0, 3: 0.25}),
    (ExponentialDecay(1.0, 0.25, decay_steps=2), {1: 0.5, 2: 0.25, 3: 0.125}),
    (ExponentialDecay(1.0, 0.25, decay_steps=2, staircase=True), {1: 1.0, 2: 0.25, 3: 0.25}),
    (StepDecay(1.0, 10), {0: 1.0, 9: 1.0, 10: 0.1, 19: 0.1, 20: 0.01}),
    (PiecewiseConstant((2, 5), (3.0, 2.0, 1.0)), {0: 3.0, 1: 3.0, 2: 2.0, 4: 2.0, 5: 1.0, 9: 1.0}),
    (PolynomialDecay(1.0, 10), {0: 1.0, 3: 0.7, 10: 0.0, 11: 0.0}),
    (PolynomialDecay(1.1, 4, end_lr=0.1, power=2.0), {0: 1.1, 1: 0.6625, 2: 0.35, 4: 0.1, 9: 0.1}),
    (PolynomialDecay(0.0, 4, end_lr=1.0), {0: 0.0, 1: 0.25, 4: 1.0}),
    (PolynomialDecay(1.0, 10, cycle=True), {10: 0.0, 11: 0.45, 15: 0.25, 20: 0.0, 21: 0.3}),
    (CosineAnnealing(1.0, 3), {0: 1.0, 1: 0.75, 2: 0.25, 3: 0.0, 4: 0.25, 6: 1.0, 7: 0.75, 10: 0.25}),
    (CosineAnnealing(0.9, 3, eta_min=0.1, cycle=False), {1: 0.7, 2: 0.3, 3: 0.1, 4: 0.1, 6: 0.1}),
    (InverseSqrt(2.0, 4), {0: 0.0, 1: 0.5, 3: 1.5, 4: 2.0, 16: 1.0, 64: 0.5}),
    (WarmupStableDecay(1.0, 4, 3, 10), {0: 0.0, 1: 0.25, 4: 1.0, 7: 1.0, 8: 0.9, 16: 0.1, 17: 0.0, 99: 0.0}),
    (WarmupStableDecay(0.9, 0, 2, 3, 0.1, "cosine"), {0: 0.9, 2: 0.9, 3: 0.7, 4: 0.3, 5: 0.1, 9: 0.1}),
    (WarmupStableDecay(1.0, 0, 0, 16, 0.5, "1-sqrt"), {0: 1.0, 1: 0.875, 4: 0.75, 9: 0.625, 16: 0.5}),
    (SnapshotCosine(1.0, 17, cycles=3), {0: 1.0, 2: 0.75, 3: 0.5, 4: 0.25, 6: 1.0, 16: 0.25}),
    (CosineWarmRestarts(1.0, 3), {0: 1.0, 1: 0.75, 2: 0.25, 3: 1.0, 4: 0.75}),
    (
        CosineWarmRestarts(1.0, 3, T_mult=3, eta_min=0.2, gamma=0.5),
        {0: 1.0, 1: 0.8, 2: 0.4, 3: 0.6, 6: 0.5, 9: 0.3, 12: 0.4, 21: 0.35, 39: 0.3},
    ),
    (
        Cyclical(1.0, 2.0, step_size_up=2, step_size_down=4),
        {0: 1.0, 1: 1.5, 2: 2.0, 3: 1.75, 5: 1.25, 6: 1.0, 8: 2.0},
    ),
    (
        Cyclical(0.0, 1.0, 2, mode="triangular2"),
        {1: 0.5, 2: 1.0, 4: 0.0, 6: 0.5, 7: 0.25, 10: 0.25},
    ),
    (Cyclical(0.5, 1.5, 2, mode="exp_range", gamma=0.5), {1: 0.75, 2: 0.75, 5: 0.515625}),
    (
        OneCycle(1.0, 20, 0.25, "linear", div_factor=10, final_div_factor=100),
        {0: 0.1, 2: 0.55, 4: 1.0, 9: 0.667, 19: 0.001, 20: 0.001, 99: 0.001},
    ),
    (
        OneCycle(1.0, 28, 0.25, div_factor=10, final_div_factor=100),
        {0: 0.1, 2: 0.325, 4: 0.775, 6: 1.0, 13: 0.75025, 20: 0.25075, 27: 0.001},
    ),
    (
        OneCycle(1.0, 20, 0.25, "linear", div_factor=10, final_div_factor=100, three_phase=True),
        {0: 0.1, 2: 0.55, 4: 1.0, 6: 0.55, 8: 0.1, 19: 0.001},
    ),
    (OneCycle(1.0, 10, pct_start=0.1), {0: 1.0, 3: 4e-6 + 0.75 * (1 - 4e-6), 9: 4e-6}),
    (OneCycle(1.0, 1), {0: 4e-6}),
    (Scaled(StepDecay(1.0, 10), 0.5), {0: 0.5, 10: 0.05}),
    (Scaled(StepDecay(1.0, 2), ExponentialDecay(1.0, 0.5)), {0: 1.0, 1: 0.5, 2: 0.025}),
    (PerEpoch(ExponentialDecay(1.0, 0.5), 5), {0: 1.0, 4: 1.0, 5: 0.5, 9: 0.5, 10: 0.25}),
    (PerEpoch(PolynomialDecay(1.0, 10), 4, fractional=True), {0: 1.0, 1: 0.975, 4: 0.9, 39: 0.025, 40: 0.0}),
    (Warmup(ExponentialDecay(0.6, 0.5), 4), {0: 0.2, 1: 0.3, 4: 0.6, 5: 0.3, 6: 0.15}),
    (Warmup(Constant(1.0), 0, start_factor=0.0), {0: 1.0}),
    (
        Sequential((Constant(0.5), StepDecay(1.0, 2), Constant(0.2)), (3, 6)),
        {0: 0.5, 2: 0.5, 3: 1.0, 4: 1.0, 5: 0.1, 6: 0.2, 99: 0.2},
    ),
    (ReduceOnPlateau(0.1), {0: 0.1, 1000: 0.1}),
]
EXAMPLES = [schedule for schedule, _ in BY_HAND]
CLASSES = [getattr(schedules, name) for name in schedules.__all__ if name != "Schedule"]


@pytest.mark.parametrize(("schedule", "values"), BY_HAND, ids=lambda x: str(x)[:60])
def test_values_by_hand(schedule: Schedule, values: dict[int, float]) -> None:
    got = {step: schedule(step) for step in values}
    assert got == pytest.approx(values, rel=1e-12, abs=1e-15)


def test_every_public_class_has_values_by_hand() -> None:
    assert {type(schedule) for schedule in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_momentum_by_hand(three_phase: bool) -> None:
    schedule = OneCycle(1.0, 20, 0.25, "linear", three_phase=three_phase)
    down = {6: 0.9, 8: 0.95, 15: 0.95} if three_phase else {9: 0.85 + 0.1 / 3}
    want = {0: 0.95, 2: 0.9, 4: 0.85, **down, 19: 0.95, 30: 0.95}
    assert {step: schedule.momentum(step) for step in want} == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(
    ("mode", "want"),
    [
        ("triangular", {0: 0.9, 1: 0.7, 2: 0.5, 3: 0.7, 4: 0.9, 6: 0.5}),
        ("triangular2", {0: 0.9, 1: 0.7, 2: 0.5, 3: 0.7, 4: 0.9, 6: 0.7}),
        ("exp_range", {0: 0.9, 1: 0.8, 2: 0.8, 3: 0.875, 4: 0.9}),
    ],
)
def test_cyclical_momentum_by_hand(
    mode: Literal["triangular", "triangular2", "exp_range"], want: dict[int, float]
) -> None:
    schedule = Cyclical(0.0, 1.0, 2, mode=mode, gamma=0.5, base_momentum=0.5, max_momentum=0.9)
    assert {step: schedule.momentum(step) for step in want} == pytest.approx(want, rel=1e-12)


ONE_OF_EACH = list({type(schedule): schedule for schedule in reversed(EXAMPLES)}.values())


def class_name(value: object) -> str:
    return type(value).__name__ if isinstance(value, Schedule) else repr(value)[:40]


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_gives_floats_at_any_step(schedule: Schedule) -> None:
    for step in (0, 1, 12_345, 2**31, 10**18, 0.5, 2.75, 12_345.25):
        rate = schedule(step)
        assert type(rate) is float
        assert math.isfinite(rate)
        assert rate >= 0


def test_examples_differ() -> None:
    assert all(a != b for a, b in itertools.combinations(EXAMPLES, 2))


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=class_name)
class TestEveryClass:
    def test_repr_makes_it_again(self, schedule: Schedule) -> None:
        assert eval(repr(schedule), vars(schedules)) == schedule

    def test_pickles(self, schedule: Schedule) -> None:
        rates = [schedule(step) for step in range(50)]
        again = pickle.loads(pickle.dumps(schedule))
        assert again == schedule
        assert hash(again) == hash(schedule)
        assert [again(step) for step in range(50)] == rates

    def test_cannot_be_changed(self, schedule: Schedule) -> None:
        name = dataclasses.fields(schedule)[0].name  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, name, 0.5)

    def test_checks_the_step_in_every_method(self, schedule: Schedule) -> None:
        for ask in (schedule, schedule.ends_cycle, getattr(schedule, "momentum", schedule)):
            with pytest.raises(ValueError, match=r"^step: expected .* >= 0, got -1"):
                ask(-1)
            assert ask(np.uint8(200)) == ask(200)


# All schedules check the step in the same two places, so one of them will do.


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.array, np.float32, float])
def test_takes_steps_of_any_kind_of_number(number: Callable[[int], int]) -> None:
    rate = ExponentialDecay(1.0, 0.5)(number(3))
    assert (type(rate), rate) == (float, 0.125)


def test_whole_steps_stay_whole() -> None:
    schedule = PiecewiseConstant((2**53 + 1,), (1.0, 2.0))
    assert [schedule(np.int64(2**53 + k)) for k in (0, 1)] == [1.0, 2.0]


@pytest.mark.parametrize("step", [-1, np.int64(-1), -(10**400), -0.5, math.nan, math.inf, np.float32("nan")])
def test_refuses_steps_below_0_and_what_is_not_finite(step: float) -> None:
    with pytest.raises(ValueError, match=r"^step: expected a finite number >= 0, got"):
        Constant(0.1)(step)


@pytest.mark.parametrize("step", ["1", None, True, np.True_, [1], np.array([1]), 1j])
def test_refuses_steps_that_are_no_numbers(step: Any) -> None:
    with pytest.raises(TypeError, match=r"^step: expected a finite number >= 0, got"):
        Constant(0.1)(step)


@pytest.mark.parametrize("step", [1.0, 0.5, True, "1", None])
def test_the_last_update_of_a_cycle_is_a_whole_number(step: Any) -> None:
    with pytest.raises(TypeError, match=r"^step: expected an integer >= 0, got"):
        SnapshotCosine(0.1, 10, 2).ends_cycle(step)


def wrong_values(field_type: object) -> list[object]:
    """Return values that show whether a hyper-parameter of this type is checked; what checks refuse is their test."""
    if field_type is float:
        return [math.nan, -0.1]
    if field_type is int:
        return [-1]
    if field_type == int | None:
        return [0]
    if field_type is bool:
        return [1]
    if get_origin(field_type) is Literal:
        return ["nonsense"]
    if field_type == tuple[int, ...]:
        return [(0, 5), (5, 5)]
    if field_type == tuple[float, ...]:
        return [(0.1, -0.1)]
    if field_type == tuple[Callable[[int], float], ...]:
        return [(0.1, 0.2), 0.1, (Constant, Constant)]
    if field_type == Callable[[int], float]:
        return [0.1, None, "Constant", Constant]
    if field_type == str | None:
        return ["", 1]
    assert field_type == float | Callable[[int], float]
    return [-0.1, None, Constant]


def all_fields() -> list[tuple[Schedule, str, object]]:
    return [
        (schedule, field.name, wrong)
        for schedule in ONE_OF_EACH
        for field in dataclasses.fields(schedule)  # type: ignore[arg-type]
        if field.init
        for wrong in wrong_values(field.type)
    ]


@pytest.mark.parametrize(("schedule", "name", "wrong"), all_fields(), ids=class_name)
def test_every_hyper_parameter_is_checked(schedule: Schedule, name: str, wrong: object) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}(\[\d\])?: expected .*, got "):
        dataclasses.replace(schedule, **{name: wrong})  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExponentialDecay(0.1, 0.0), r"gamma: expected a number in \(0, 1\], got 0"),
        (lambda: ExponentialDecay(0.1, 1.5), r"gamma: expected .* 1\], got 1.5"),
        (lambda: StepDecay(0.1, 0), "step_size: expected an integer >= 1, got 0"),
        (lambda: InverseSqrt(0.1, 0), "warmup_steps: expected an integer >= 1, got 0"),
        (lambda: WarmupStableDecay(0.1, 5, 5, 0), "decay_steps: expected an integer >= 1, got 0"),
        (lambda: WarmupStableDecay(0.1, 5, 5, 5, 0.2), "end_lr: expected at most lr = 0.1, got 0.2"),
        (
            lambda: WarmupStableDecay(0.1, 5, 5, 5, tail="sqrt"),
            "tail: expected one of 'linear', 'cosine', '1-sqrt', got",
        ),
        (lambda: PolynomialDecay(0.1, 5, power=0), "power: expected a finite number > 0, got 0"),
        (lambda: PiecewiseConstant((5,), (0.1,)), "values: expected 2, one more .*, got 1"),
        (lambda: Sequential((Constant(1),), (5,)), "schedules: expected 2, one more .*, got 1"),
        (lambda: CosineAnnealing(0.1, 5, 0.2), "eta_min: expected at most lr = 0.1, got 0.2"),
        (lambda: CosineWarmRestarts(0.1, 5, 0), "T_mult: expected a finite number >= 1, got 0"),
        (lambda: CosineWarmRestarts(0.1, 5, 1, 0.2), "eta_min: expected at most lr = 0.1, got"),
        (lambda: SnapshotCosine(0.1, 5, 6), "cycles: expected at most total_steps = 5, got 6"),
        (lambda: Cyclical(0.2, 0.1), "base_lr: expected at most max_lr = 0.1, got 0.2"),
        (lambda: Cyclical(0.1, 0.2, base_momentum=0.95), "base_momentum: expected at most max_mom"),
        (lambda: Cyclical(0.1, 0.2, max_momentum=1.1), r"max_momentum: expected .* 1\], got 1.1"),
        (lambda: OneCycle(1, 10, pct_start=1.1), r"pct_start: expected .* 1\], got 1.1"),
        (lambda: OneCycle(1, 10, 0.6, three_phase=True), r"pct_start: expected .* 0.5\], got 0.6"),
        (lambda: OneCycle(1, 10, div_factor=0.5), "div_factor: expected .* >= 1, got 0.5"),
        (lambda: OneCycle(1, 9, div_factor=4, final_div_factor=0.2), "final_div.* >= 0.25, got"),
        (lambda: OneCycle(1, 10, max_momentum=0.8), "base_momentum: expected at most max_mom"),
        (lambda: Warmup(Constant(1), 5, 1.5), r"start_factor: expected .* 1\], got 1.5"),
        (lambda: ReduceOnPlateau(0.1, factor=1.0), r"factor: expected .* 1\), got 1"),
        (lambda: ReduceOnPlateau(0.1, threshold=1.0), r"threshold: expected .* 1\), got 1"),
        (lambda: ReduceOnPlateau(0.1, min_lr=0.2), "min_lr: expected at most lr = 0.1, got 0.2"),
    ],
)
def test_limits_of_hyper_parameters(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_numbers_of_numpy_and_lists_become_plain() -> None:
    schedule = PiecewiseConstant([np.int64(3)], np.array([1, 2]))  # type: ignore[arg-type]
    assert repr(schedule) == "PiecewiseConstant(boundaries=(3,), values=(1.0, 2.0))"
    assert hash(schedule) == hash(PiecewiseConstant((3,), (1.0, 2.0)))
    assert repr(Constant(np.float64(0.1))) == "Constant(lr=0.1)"
    size: Any = np.int32(7)
    assert repr(StepDecay(1, size)) == "StepDecay(lr=1.0, step_size=7, gamma=0.1)"
    flag: Any = np.True_
    assert InverseTimeDecay(np.float32(1), np.float64(0.5), size, flag) == InverseTimeDecay(1.0, 0.5, 7, True)
    assert (
        repr(PerEpoch(Constant(1), size, flag))
        == "PerEpoch(schedule=Constant(lr=1.0), steps_per_epoch=7, fractional=True)"
    )


@pytest.mark.parametrize("cls", CLASSES)
def test_docstring_names_every_hyper_parameter(cls: type) -> None:
    parameters = (cls.__doc__ or "").split("----------")[1].split("Notes")[0].split("Examples")[0]
    heads = [line.split(" : ")[0] for line in parameters.splitlines() if " : " in line]
    documented = [name for head in heads for name in head.strip().split(", ")]
    assert documented == [field.name for field in dataclasses.fields(cls) if field.init]


def test_field_types_are_objects_that_a_command_line_can_read() -> None:
    for field in itertools.chain.from_iterable(map(dataclasses.fields, CLASSES)):
        assert not isinstance(field.type, str)
        if get_origin(field.type) is Literal and field.init:
            assert field.default in get_args(field.type)


# --- properties ---------------------------------------------------------------------------------

rates = st.floats(0, 10, allow_subnormal=False)
fractions = st.floats(0, 1, allow_subnormal=False)
factors = st.floats(1e-3, 1)
counts = st.integers(1, 40)
steps = st.integers(0, 500)
low_high = st.tuples(rates, rates).map(lambda pair: (min(pair), max(pair)))
momentum_range = st.tuples(fractions, fractions).map(lambda pair: (min(pair), max(pair)))


def within(value: float, low: float, high: float) -> bool:
    rounding = 1e-12 * max(abs(low), abs(high))
    return low - rounding <= value <= high + rounding


@settings(deadline=None)
@given(rates, st.floats(0, 10), factors, counts, st.booleans())
def test_decays_start_at_lr_and_never_rise(lr: float, decay: float, gamma: float, count: int, staircase: bool) -> None:
    for schedule in (
        InverseTimeDecay(lr, decay, count, staircase),
        ExponentialDecay(lr, gamma, count, staircase),
        StepDecay(lr, count, gamma),
        PolynomialDecay(lr, count, end_lr=lr * gamma, power=10 * gamma),
        CosineAnnealing(lr, count, lr * gamma, cycle=False),
    ):
        values = [schedule(step) for step in range(100)]
        assert values[0] == pytest.approx(lr, rel=1e-12)
        assert all(within(b, 0.0, a) for a, b in itertools.pairwise(values))


@settings(deadline=None)
@given(low_high, counts, st.integers(1, 4), factors, steps)
def test_cosines_stay_between_their_bounds(
    bounds: tuple[float, float], length: int, mult: int, gamma: float, step: int
) -> None:
    low, high = bounds
    assert within(CosineAnnealing(high, length, low)(step), low, high)
    assert within(CosineWarmRestarts(high, length, mult, low, gamma)(step), low, high)
    assert within(SnapshotCosine(high, length * mult, mult)(step), 0.0, high)


@settings(deadline=None)
@given(
    low_high,
    momentum_range,
    counts,
    counts,
    st.sampled_from(["triangular", "triangular2", "exp_range"]),
    factors,
    steps,
)
def test_cyclical_bounds_period_and_counter_cycle(
    bounds: tuple[float, float],
    momenta: tuple[float, float],
    up: int,
    down: int,
    mode: Literal["triangular", "triangular2", "exp_range"],
    gamma: float,
    step: int,
) -> None:
    schedule = Cyclical(*bounds, up, down, mode, gamma, *momenta)
    assert within(schedule(step), *bounds)
    assert within(schedule.momentum(step), *momenta)
    assert schedule(step // (up + down) * (up + down)) == bounds[0]
    if mode == "triangular":
        assert schedule(step + up + down) == schedule(step)
    # What the rate has climbed of its range, momentum has gone down of its own.
    (low, high), (least, most) = bounds, momenta
    climbed = (schedule(step) - low) * (most - least)
    assert (most - schedule.momentum(step)) * (high - low) == pytest.approx(climbed, abs=1e-12)


@settings(deadline=None)
@given(
    rates,
    st.integers(1, 200),
    st.floats(0, 0.5),
    st.sampled_from(["cos", "linear"]),
    st.booleans(),
    momentum_range,
    st.integers(0, 300),
)
def test_one_cycle_bounds_end_and_counter_cycle(
    max_lr: float,
    total: int,
    pct: float,
    strategy: Literal["cos", "linear"],
    three_phase: bool,
    momenta: tuple[float, float],
    step: int,
) -> None:
    schedule = OneCycle(max_lr, total, pct, strategy, 25.0, 1e4, three_phase, *momenta)
    last = max_lr / 25.0 / 1e4
    assert within(schedule(step), last, max_lr)
    assert within(schedule.momentum(step), *momenta)
    if step >= total - 1 and pct * total - 1 < total - 1:
        assert schedule(step) == pytest.approx(last, rel=1e-9, abs=1e-12)
        assert schedule.momentum(step) == pytest.approx(momenta[1], abs=1e-12)


@settings(deadline=None)
@given(counts, st.integers(1, 5), st.integers(0, 30))
@example(1, 3, 5)  # where a logarithm rounds down past a whole number
@example(1, 4, 25)  # and where it rounds up
def test_restarts_are_found_exactly(T_0: int, T_mult: int, cycle: int) -> None:
    schedule = CosineWarmRestarts(1.0, T_0, T_mult, gamma=0.5)
    start = sum(T_0 * T_mult**i for i in range(cycle))
    length = T_0 * T_mult**cycle
    assert schedule(start) == 0.5**cycle
    assert schedule.ends_cycle(start + length - 1)
    assert schedule(start + length) == 0.5 ** (cycle + 1)
    if length % 2 == 0:
        assert schedule(start + length // 2) == pytest.approx(0.5**cycle / 2, rel=1e-12)
        assert not schedule.ends_cycle(start + length - 2)


@settings(deadline=None)
@given(counts, counts)
def test_cycles_end_where_the_next_begins(a: int, b: int) -> None:
    for schedule, length in (
        (CosineWarmRestarts(1.0, a), a),
        (Cyclical(0.0, 1.0, a, b), a + b),
        (Cyclical(0.0, 1.0, a), 2 * a),
        (SnapshotCosine(1.0, a * b, b), a),
    ):
        ends = [step for step in range(3 * a * b) if schedule.ends_cycle(step)]
        assert ends == list(range(length - 1, 3 * a * b, length))


def test_a_last_cycle_cut_short_ends_with_the_training() -> None:
    schedule = SnapshotCosine(1.0, total_steps=11, cycles=3)
    assert [step for step in range(11) if schedule.ends_cycle(step)] == [3, 7, 10]


@settings(deadline=None)
@given(rates, counts, fractions)
def test_warmup_rises_evenly_to_the_schedule(lr: float, n: int, start: float) -> None:
    inner = StepDecay(lr, 3)
    schedule = Warmup(inner, n, start)
    rise = np.diff([schedule(step) for step in range(n + 1)])
    assert schedule(0) == pytest.approx(start * lr)
    np.testing.assert_allclose(rise, lr * (1 - start) / n, atol=1e-12)
    assert [schedule(n + step) for step in range(10)] == [inner(step) for step in range(10)]


def test_parts_may_be_any_callable() -> None:
    cycle = Cyclical(0.1, 1.0, step_size_up=2)
    momentum = Sequential((Constant(0.9), cycle.momentum), (3,))
    assert [momentum(step) for step in (2, 3, 5)] == pytest.approx([0.9, 0.9, 0.8])
    assert Scaled(lambda step: step * 0.5, lambda step: 2.0)(3) == 3.0
    assert pickle.loads(pickle.dumps(momentum))(5) == momentum(5)


# --- ReduceOnPlateau ----------------------------------------------------------------------------


def rates_after(schedule: ReduceOnPlateau, metrics: list[float]) -> list[float]:
    rates = []
    for metric in metrics:
        schedule.update(metric)
        rates.append(schedule(0))
    return rates


@pytest.mark.parametrize(
    ("options", "metrics", "want"),
    [
        # The first bad epoch lowers the rate only if the patience is 0.
        ({"patience": 0}, [5, 5, 4, 4], [1, 0.5, 0.5, 0.25]),
        ({"patience": 1}, [5, 5, 5, 5, 5], [1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 2}, [5, 5, 5, 4, 5, 5, 5], [1, 1, 1, 1, 1, 1, 0.5]),
        ({"patience": 0, "mode": "max"}, [1, 2, 2, 1, 3], [1, 1, 0.5, 0.25, 0.25]),
        # 10 % better than 10 is below 9, or above 11.
        ({"patience": 0, "threshold": 0.1}, [10, 8.9, 8.5], [1, 1, 0.5]),
        ({"patience": 0, "threshold": 0.1, "mode": "max"}, [10, 11.1, 12], [1, 1, 0.5]),
        # 1 better than 10 is below 9, or above 11; 9 and 11 themselves are not.
        ({"patience": 0, "threshold": 1, "threshold_mode": "abs"}, [10, 9, 8.9], [1, 0.5, 0.5]),
        (
            {"patience": 0, "threshold": 1, "threshold_mode": "abs", "mode": "max"},
            [10, 11, 11.1],
            [1, 0.5, 0.5],
        ),
        # In the two epochs after a reduction bad ones do not count.
        ({"patience": 0, "cooldown": 2}, [5, 5, 5, 5, 5, 5], [1, 0.5, 0.5, 0.5, 0.25, 0.25]),
        # A good epoch counts during the cooldown too.
        ({"patience": 0, "cooldown": 1}, [5, 5, 3, 4], [1, 0.5, 0.5, 0.25]),
        ({"patience": 0, "min_lr": 0.3}, [5, 5, 5, 5], [1, 0.5, 0.3, 0.3]),
        ({"patience": 0, "eps": 0.25}, [5, 5, 5, 5], [1, 0.5, 0.5, 0.5]),
        ({"patience": 0}, [5, math.nan, math.inf, 4], [1, 0.5, 0.25, 0.25]),
        ({"patience": 0}, [math.nan, 5, 4], [0.5, 0.5, 0.5]),
    ],
)
def test_plateau_by_hand(options: dict[str, float], metrics: list[float], want: list[float]) -> None:
    schedule = ReduceOnPlateau(1.0, factor=0.5, **options)  # type: ignore[arg-type]
    assert rates_after(schedule, metrics) == pytest.approx(want, rel=1e-15)


@pytest.mark.parametrize("metric", [np.float32(5), np.array(5.0), np.int64(5)])
def test_plateau_takes_numbers_of_numpy(metric: float) -> None:
    schedule = ReduceOnPlateau(1.0)
    schedule.update(metric)
    assert schedule.state_dict()["best"] == 5.0


@pytest.mark.parametrize("metric", ["5", None, True, [5.0], np.array([5.0]), 1j])
def test_plateau_refuses_what_is_no_number(metric: object) -> None:
    schedule = ReduceOnPlateau(1.0)
    with pytest.raises(TypeError, match="metric: expected a number, got"):
        schedule.update(metric)  # type: ignore[arg-type]
    assert schedule == ReduceOnPlateau(1.0)


def saved(state: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return what a state becomes in a file of NumPy's, without pickle."""
    file = io.BytesIO()
    np.savez(file, **state)  # type: ignore[arg-type]
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return dict(loaded)


@settings(deadline=None)
@given(st.lists(st.floats(), max_size=30), st.lists(st.floats(), max_size=30))
def test_plateau_goes_on_from_its_saved_state(first: list[float], then: list[float]) -> None:
    schedule = ReduceOnPlateau(1.0, factor=0.7, patience=1, cooldown=2, min_lr=0.01)
    rates_after(schedule, first)
    resumed = ReduceOnPlateau(1.0, factor=0.7, patience=1, cooldown=2, min_lr=0.01)
    resumed.load_state_dict(saved(schedule.state_dict()))
    assert resumed == schedule == pickle.loads(pickle.dumps(schedule))
    assert resumed.state_dict() == schedule.state_dict()
    assert all(type(value) in (int, float) for value in resumed.state_dict().values())
    assert rates_after(resumed, then) == rates_after(schedule, then)


def test_plateau_state_is_its_own() -> None:
    schedule = ReduceOnPlateau(1.0, patience=0)
    state = schedule.state_dict()
    rates_after(schedule, [1.0, 2.0])
    assert state["lr"] == 1.0
    assert schedule.state_dict() == {
        "lr": 0.1,
        "best": 1.0,
        "num_bad_epochs": 0,
        "cooldown_counter": 0,
    }
    assert schedule != ReduceOnPlateau(1.0, patience=0)


WRONG_STATES = [
    {"lr": math.nan},
    {"lr": -1.0},
    {"lr": "0.1"},
    {"lr": np.array([0.1])},
    {"best": math.nan},
    {"best": None},
    {"num_bad_epochs": -1},
    {"num_bad_epochs": 1.5},
    {"cooldown_counter": True},
    {"cooldown_counter": np.array(2.0)},
    {"unknown": 1},
]


@pytest.mark.parametrize("wrong", WRONG_STATES, ids=repr)
def test_plateau_refuses_a_malformed_state_whole(wrong: dict[str, object]) -> None:
    schedule = ReduceOnPlateau(1.0, patience=0)
    good = {"lr": 0.5, "best": 1.0, "num_bad_epochs": 0, "cooldown_counter": 0}
    name = "state" if "unknown" in wrong else next(iter(wrong))
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
        schedule.load_state_dict({**good, **wrong})
    assert schedule == ReduceOnPlateau(1.0, patience=0)


def test_plateau_refuses_a_state_with_a_key_missing_or_no_state() -> None:
    schedule = ReduceOnPlateau(1.0)
    state = schedule.state_dict()
    del state["best"]
    with pytest.raises(ValueError, match=r"^state: expected the keys \['best', 'cooldown_counter'"):
        schedule.load_state_dict(state)
    with pytest.raises(TypeError, match=r"^state: expected a mapping, got 5"):
        schedule.load_state_dict(5)  # type: ignore[arg-type]


# --- schedules with state inside others -----------------------------------------------------------

Wrap = Callable[[Schedule], Schedule]

# Each with the steps at which the plateau inside is in force, out of the first twelve.
INSIDE: list[tuple[Wrap, range]] = [
    (lambda p: Scaled(p, 0.5), range(12)),
    (lambda p: Scaled(Constant(1.0), p), range(12)),
    (lambda p: PerEpoch(p, 2), range(12)),
    (lambda p: Warmup(p, 4, start_factor=0.0), range(4, 12)),
    (lambda p: Sequential((Constant(1.0), p), (3,)), range(3, 12)),
    (lambda p: Sequential((p, Constant(1.0)), (5,)), range(5)),
    (lambda p: Sequential((Constant(0.5), p, Constant(1.0)), (2, 9)), range(2, 9)),
    (lambda p: PerEpoch(Warmup(p, 2), 3), range(6, 12)),
    (lambda p: PerEpoch(Warmup(p, 2), 3, fractional=True), range(6, 12)),
    (lambda p: Warmup(PerEpoch(p, 2), 3), range(3, 12)),
    (lambda p: Warmup(Sequential((Constant(1.0), p), (2,)), 3), range(5, 12)),
    (lambda p: Sequential((Constant(1.0), Sequential((Constant(1.0), p), (2,))), (3,)), range(5, 12)),
    (lambda p: Scaled(Warmup(Scaled(p, 0.5), 6), 0.5), range(6, 12)),
]


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize(("wrap", "in_force"), INSIDE)
def test_a_plateau_hears_metrics_while_its_rate_is_in_force(wrap: Wrap, in_force: range, by_hand: bool) -> None:
    """Each update is followed by a metric; by hand it comes without its step."""
    plateau, alone = (ReduceOnPlateau(1.0, factor=0.5, patience=1) for _ in range(2))
    schedule, fresh = wrap(plateau), wrap(ReduceOnPlateau(1.0))
    for step in range(12):
        before = plateau(0)
        assert schedule(step) == pytest.approx(fresh(step) * (before if step in in_force else 1.0))
        for told in (schedule.update, alone.update) if step in in_force else (schedule.update,):
            told(5.0, *([] if by_hand else [step]))
        assert plateau.state_dict() == alone.state_dict()
    assert plateau(0) < 1.0  # or this test shows nothing


@pytest.mark.parametrize(("wrap", "in_force"), INSIDE)
def test_a_plateau_inside_another_schedule_is_saved_and_reset(wrap: Wrap, in_force: range) -> None:
    schedule, resumed = wrap(ReduceOnPlateau(1.0, patience=0)), wrap(ReduceOnPlateau(1.0, patience=0))
    for _ in range(2):
        schedule.update(1.0, step=in_force[-1])
    assert schedule != resumed
    resumed.load_state_dict(saved(schedule.state_dict()))
    assert resumed == schedule
    schedule.reset()
    assert schedule == wrap(ReduceOnPlateau(1.0, patience=0))
    assert resumed != schedule


def test_the_step_last_asked_for_is_no_part_of_a_schedule() -> None:
    schedule = Warmup(ReduceOnPlateau(1.0), 4)
    schedule(9)
    assert schedule == Warmup(ReduceOnPlateau(1.0), 4)
    for again in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule), dataclasses.replace(schedule)):
        again.update(1.0)
        assert again == Warmup(ReduceOnPlateau(1.0), 4)


def test_update_checks_its_step() -> None:
    schedule = Warmup(ReduceOnPlateau(1.0), 4)
    with pytest.raises(ValueError, match=r"^step: expected an integer >= 0, got -1"):
        schedule.update(1.0, step=-1)


def test_a_shared_plateau_is_told_once() -> None:
    plateau = ReduceOnPlateau(0.0, patience=1000)
    schedule = Scaled(Sequential((plateau, plateau), (5,)), Warmup(plateau, 2))
    for metric in range(4):
        schedule.update(metric, step=8)
    assert plateau.state_dict()["num_bad_epochs"] == 3


def test_stateful_finds_what_follows_a_metric_in_any_hyper_parameter() -> None:
    class Own:  # needs no base class
        def __call__(self, step: int) -> float:
            return 0.1

        def update(self, metric: float) -> None:
            pass

    early, late, own = ReduceOnPlateau(1.0), ReduceOnPlateau(2.0), Own()
    lr = Sequential((Scaled(early, 0.5), Warmup(own, 3), late), (10, 20))
    betas = (Scaled(Constant(0.9), early), 0.999)
    others = (1e-8, False, None, Constant(0.1), OneCycle(0.1, 10).momentum, {"update": 1}, {1, 2})
    assert [*stateful(lr, betas, *others)] == [early, own, late]
    at = {step: [*stateful(lr, *others, step=step)] for step in (0, 9, 10, 12, 13, 19, 20)}
    assert at == {0: [early], 9: [early], 10: [], 12: [], 13: [own], 19: [own], 20: [late]}
    assert [*stateful(lr, betas, step=20)] == [late, early]


class Owner:
    """What takes steps."""


def test_a_new_owner_starts_schedules_anew() -> None:
    plateau = ReduceOnPlateau(1.0, patience=0)
    first, second = Owner(), Owner()
    rates = []
    for owner in (first, second):
        start(owner, 0.9, (Warmup(plateau, 2), 0.999))
        rates.append(rates_after(plateau, [1.0, 1.0, 1.0]))
        start(owner, Scaled(plateau, 0.5))  # again by the same: goes on
        rates[-1] += rates_after(plateau, [1.0])
    assert rates[0] == rates[1] == pytest.approx([1.0, 0.1, 0.01, 0.001])
    start(first, plateau)
    assert plateau == ReduceOnPlateau(1.0, patience=0)


def test_a_schedule_neither_keeps_its_owner_alive_nor_takes_the_next_for_it() -> None:
    plateau = ReduceOnPlateau(1.0, patience=0)
    owner = Owner()
    start(owner, plateau)
    rates_after(plateau, [1.0, 1.0])
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    assert pickle.loads(pickle.dumps(plateau))(0) == pytest.approx(0.1)
    start(Owner(), plateau)
    assert plateau(0) == 1.0


def test_a_schedule_of_ones_own_with_state() -> None:
    class Alternating(Schedule):
        """Another rate after each metric."""

        turns = 0

        def _at(self, step: float) -> float:
            return 1.0 + self.turns % 2

        def update(self, metric: float, step: int | None = None) -> None:
            self.turns += 1

        def reset(self) -> None:
            self.turns = 0

        def state_dict(self) -> dict[str, float | int]:
            return {"turns": self.turns}

        def _load(self, state: Mapping[str, Any]) -> None:
            self.turns = int(state["turns"])

    own = Alternating()
    schedule = Warmup(own, 3)
    schedule.update(1.0, step=2)
    assert schedule(3) == 1.0
    schedule.update(1.0, step=3)
    assert schedule(3) == 2.0
    assert schedule.state_dict() == {"0.turns": 1}
    schedule.load_state_dict({"0.turns": 4})
    assert own.turns == 4
    start(Owner(), schedule)
    assert own.turns == 0


def test_a_schedule_of_ones_own_without_a_way_back() -> None:
    class Counting(Schedule):
        told = 0

        def _at(self, step: float) -> float:
            return 1.0 / (1 + self.told)

        def update(self, metric: float, step: int | None = None) -> None:
            self.told += 1

    schedule = Counting()
    schedule.update(1.0)
    start(Owner(), Warmup(schedule, 2))
    assert schedule(0) == 0.5


def test_two_plateaus_are_loaded_both_or_neither() -> None:
    schedule = Sequential((ReduceOnPlateau(1.0), ReduceOnPlateau(2.0)), (5,))
    before = schedule.state_dict()
    wrong = {**before, "0.lr": 0.5, "1.lr": math.nan}
    with pytest.raises(ValueError, match=r"^lr: expected a finite number >= 0, got nan"):
        schedule.load_state_dict(wrong)
    assert schedule.state_dict() == before


@pytest.mark.parametrize("schedule", [Constant(0.1), Warmup(Constant(0.1), 5)])
def test_other_schedules_have_an_empty_state(schedule: Schedule) -> None:
    schedule.update(1.0)
    assert schedule.state_dict() == {}
    schedule.load_state_dict({})
    with pytest.raises(ValueError, match=r"state: expected the keys \[\], got \['lr'\]"):
        schedule.load_state_dict({"lr": 0.1})


def ends(schedule: Schedule, steps: int) -> list[int]:
    return [step for step in range(steps) if schedule.ends_cycle(step)]


def test_compositions_know_the_cycles_of_their_parts() -> None:
    cycles = SnapshotCosine(1.0, 12, 3)
    assert ends(Scaled(cycles, 0.5), 12) == [3, 7, 11]
    assert ends(PerEpoch(cycles, 2), 24) == [7, 15, 23]
    assert ends(Warmup(cycles, 5), 17) == [8, 12, 16]
    assert ends(Warmup(SnapshotCosine(1.0, 3, 3), 5), 8) == [5, 6, 7]
    assert ends(Sequential([Constant(1.0), cycles], [10]), 22) == [13, 17, 21]
    assert ends(Warmup(Constant(1.0), 5), 20) == []


def test_compositions_are_cyclic_if_a_part_is() -> None:
    assert Scaled(Warmup(SnapshotCosine(1.0, 12, 3), 5), 0.5).cyclic
    assert not Scaled(Warmup(Constant(1.0), 5), 0.5).cyclic


# The names that people search for, with the formulas that their libraries document.

LR, LEAST, WARM, TOTAL = 0.1, 0.001, 10, 100


def along(step):
    return min(1.0, (step - WARM) / (TOTAL - WARM))


SEARCHED = {
    "constant": (Warmup(Constant(LR), WARM, 0.0), lambda t: LR),
    "linear": (Warmup(PolynomialDecay(LR, TOTAL - WARM), WARM, 0.0), lambda t: LR * max(0, TOTAL - t) / (TOTAL - WARM)),
    "cosine": (
        Warmup(CosineAnnealing(LR, TOTAL - WARM, LEAST, cycle=False), WARM, 0.0),
        lambda t: LEAST + (LR - LEAST) * (1 + math.cos(math.pi * along(t))) / 2,
    ),
    "polynomial": (
        Warmup(PolynomialDecay(LR, TOTAL - WARM, LEAST, power=2.0), WARM, 0.0),
        lambda t: LEAST + (LR - LEAST) * (1 - along(t)) ** 2,
    ),
    "inverse square root": (InverseSqrt(LR, WARM), lambda t: LR * math.sqrt(WARM / t)),
    "stable": (
        WarmupStableDecay(LR, WARM, 50, 40),
        lambda t: LR * min(1, max(0, (TOTAL - t) / (TOTAL - WARM - 50))),
    ),
}


@pytest.mark.parametrize("name", SEARCHED)
def test_schedules_with_a_warm_up_under_the_names_that_people_search_for(name):
    schedule, after = SEARCHED[name]
    expected = [LR * t / WARM if t < WARM else after(t) for t in range(150)]
    np.testing.assert_allclose([schedule(t) for t in range(150)], expected, rtol=1e-12, atol=1e-15)
