"""The one-dimensional descent: the function, and that each named round does what its name says."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastopt
from fastopt.descent import ROUNDS, VALLEYS, Round, descend, named_round


def test_derivative_is_the_slope() -> None:
    x = np.linspace(-15, 15, 1001)
    h = 1e-6
    slope = (VALLEYS.f(x + h) - VALLEYS.f(x - h)) / (2 * h)
    np.testing.assert_allclose(VALLEYS.derivative(x), slope, atol=1e-8)


def test_global_minimum_is_known_and_unique() -> None:
    x = np.linspace(-100, 100, 200_001)
    values = VALLEYS.f(x)
    assert VALLEYS.f(np.array([VALLEYS.minimum]))[0] == 0.0
    assert (values[np.abs(x) > 1e-6] > 0).all()


def test_minima_and_maxima_are_where_the_slope_turns() -> None:
    assert np.abs(VALLEYS.derivative(VALLEYS.minima)).max() < 1e-6
    assert np.abs(VALLEYS.derivative(VALLEYS.maxima)).max() < 1e-6
    for extrema, sign in ((VALLEYS.minima, 1), (VALLEYS.maxima, -1)):
        bend = VALLEYS.derivative(extrema + 1e-4) - VALLEYS.derivative(extrema - 1e-4)
        assert (sign * bend > 0).all()
    assert VALLEYS.minimum in np.round(VALLEYS.minima, 9)
    assert len(VALLEYS.minima) == len(VALLEYS.maxima) + 1


@given(st.floats(-12, 12))
def test_the_valley_is_where_a_slow_ball_comes_to_rest(x: float) -> None:
    end = np.array([x])
    for _ in range(3000):
        end -= 0.05 * VALLEYS.derivative(end)
    if np.abs(VALLEYS.maxima - x).min() > 1e-3:
        assert VALLEYS.valley(x) == pytest.approx(end[0], abs=1e-6)


NEIGHBOUR = -3.0798  # solves x/25 + sin 2x = 0 next to the global minimum


@pytest.mark.parametrize(
    ("name", "minimum"),
    [
        ("too small", -9.2356),
        ("still too small", -6.1587),
        ("stuck next to the global minimum", NEIGHBOUR),
    ],
)
def test_small_rates_get_stuck(name: str, minimum: float) -> None:
    result = descend(name)
    assert result.settled == pytest.approx(minimum, abs=1e-3)
    assert result.steps_needed is None
    assert result.outcome.startswith("stuck at")
    # More patience does not help.
    assert descend(name, steps=2000).settled == pytest.approx(minimum, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("momentum too slow", 300, 400), ("good", 180, 220), ("better", 90, 110), ("best", 45, 55)],
)
def test_steps_to_the_global_minimum(name: str, least: int, most: int) -> None:
    result = descend(name)
    assert result.steps_needed is not None
    assert least <= result.steps_needed <= most
    away = np.abs(result.x - VALLEYS.minimum) > 0.05
    assert away[result.steps_needed - 1]
    assert not away[result.steps_needed :].any()
    assert result.outcome == f"global minimum after {result.steps_needed} steps"


@pytest.mark.parametrize("name", ["good", "better", "best"])
@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_good_rounds_do_not_depend_on_luck(name: str, factor: float) -> None:
    chosen = ROUNDS[name]
    near = Round("near", {**chosen.options, "lr": factor * chosen.options["lr"]}, steps=400)
    needed = descend(near).steps_needed
    assert needed is not None
    assert needed < 1.3 * chosen.steps


def test_too_high_a_rate_never_rests_and_never_explodes() -> None:
    result = descend("too high", steps=2000)
    assert result.settled is None
    assert not result.exploded
    assert np.abs(np.diff(result.x[-100:])).max() > 1
    assert result.outcome == "still moving after 2000 steps"


def test_exploding_explodes() -> None:
    result = descend("exploding")
    assert result.exploded
    assert len(result.x) < 200
    assert abs(result.x[-1]) > 1e6
    assert result.settled is None
    assert result.steps_needed is None
    assert result.outcome == f"exploded after {len(result.x) - 1} steps"


def test_overflow_counts_as_explosion() -> None:
    result = descend(Round("huge", {"lr": 1e308}))
    assert result.exploded
    assert math.isinf(result.x[-1]) or abs(result.x[-1]) > 1e6


def test_path_is_that_of_the_optimizer() -> None:
    x = np.array([-10.5])
    optimizer = fastopt.Adam(x, lr=0.3)
    result = descend(Round("adam", {"lr": 0.3}, "Adam"), steps=20)
    expected = [x[0]]
    for _ in range(20):
        optimizer.step(x / 25 + np.sin(2 * x))
        expected.append(x[0])
    np.testing.assert_array_equal(result.x, expected)
    np.testing.assert_array_equal(result.f, VALLEYS.f(result.x))


def test_start_at_the_minimum_needs_no_step() -> None:
    assert descend("good", start=0.0).steps_needed == 0


def test_names_in_any_spelling() -> None:
    assert named_round(" Too-High ") is ROUNDS["too high"]
    assert named_round("stuck_next_to_the_global_minimum").options["lr"] == 0.2


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ("perfect", {}, "round: expected one of too small, .*, got 'perfect'"),
        ("good", {"steps": 0}, "steps: expected an integer >= 1, got 0"),
        ("good", {"start": math.nan}, "start: expected a finite number, got nan"),
        (Round("x", {}, "Newton"), {}, "optimizer: expected a class of fastopt .* got 'Newton'"),
        (Round("x", {}, "kernels"), {}, "optimizer: expected a class of fastopt"),
        (Round("x", {"lr": -1.0}), {}, "lr: expected"),
    ],
)
def test_bad_settings_are_named(settings: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        descend(settings, **options)
