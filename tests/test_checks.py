"""The checks of plain values: what passes, what it becomes, and the words of the refusal."""

import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from fastopt import _checks, lr_finder, nn, schedules
from fastopt._checks import boolean, choice, increasing, integer, optional, real, to_float, tuple_of

TINY = 5e-324
SPLIT = nn.data.train_validation_split


def exactly(value):
    """A value with its type, so that 1, 1.0, True and NumPy's scalars are told apart."""
    return type(value), value


@pytest.mark.parametrize(
    "value",
    [
        2.0,
        2,
        Fraction(2),
        Decimal(2),
        np.float64(2),
        np.float16(2),
        np.longdouble(2),
        np.uint8(2),
        np.array(2),
        np.array(2.0),
    ],
    ids=repr,
)
def test_a_real_number_becomes_a_float(value):
    assert exactly(real(at_least=0, at_most=2)("x", value)) == (float, 2.0)
    assert exactly(to_float("x", value)) == (float, 2.0)


@pytest.mark.parametrize(
    "value",
    ["2", b"2", None, 2j, [2.0], True, np.True_, np.array(True), np.array([2.0]), np.array("2"), np.complex64(2)],
    ids=repr,
)
def test_other_values_are_no_real_numbers(value):
    with pytest.raises(TypeError, match=r"^x: expected a finite number, got "):
        real()("x", value)
    with pytest.raises(TypeError, match=r"^x: expected a number, got "):
        to_float("x", value)


@pytest.mark.parametrize("value", [True, np.True_, np.array(True)], ids=repr)
def test_booleans_are_numbers_where_they_may_be(value):
    assert exactly(real(booleans=True)("x", value)) == (float, 1.0)


@pytest.mark.parametrize(
    ("bounds", "words", "passing", "refused"),
    [
        ({}, "a finite number", (-1e308, 1e308), (math.inf, -math.inf, 10**400)),
        ({"at_least": 0}, "a finite number >= 0", (0.0, -0.0, 1e308), (-TINY, math.inf)),
        ({"above": 0}, "a finite number > 0", (TINY, 1e308), (0.0, -1.0, math.inf)),
        ({"at_most": 1.5}, "a finite number <= 1.5", (1.5, -1e308), (math.nextafter(1.5, 2), -math.inf)),
        ({"below": 1}, "a finite number < 1", (math.nextafter(1, 0), -1e308), (1.0, 1, -math.inf)),
        ({"at_least": 0, "below": 1}, "a number in [0, 1)", (0.0, math.nextafter(1, 0)), (-TINY, 1.0, math.inf)),
        ({"above": 0, "at_most": 1}, "a number in (0, 1]", (TINY, 1.0), (0.0, math.nextafter(1, 2), -math.inf)),
        ({"infinite": True}, "a number, infinity included", (math.inf, -math.inf), ()),
        ({"at_least": 0, "infinite": True}, "a number >= 0, infinity included", (0.0, math.inf), (-TINY, -math.inf)),
    ],
)
def test_bounds(bounds, words, passing, refused):
    check = real(**bounds)
    for value in passing:
        assert exactly(check("lr", value)) == (float, value)
        assert exactly(check("lr", np.float64(value))) == (float, value)
    for value in (*refused, math.nan):
        with pytest.raises(ValueError, match=f"^{re.escape(f'lr: expected {words}, got {value!r}')}$"):
            check("lr", value)


@pytest.mark.parametrize(("value", "expected"), [(10**400, math.inf), (-(10**400), -math.inf)])
def test_integers_beyond_every_float_are_infinite(value, expected):
    assert to_float("x", value) == expected
    assert real(infinite=True)("x", value) == expected


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)], ids=repr)
def test_an_integer_becomes_an_int(value):
    assert exactly(integer(3)("n", value)) == (int, 3)


@pytest.mark.parametrize(
    "value", [3.0, np.float32(3), True, np.True_, np.array(True), np.array([3]), "3", None], ids=repr
)
def test_other_values_are_no_integers(value):
    with pytest.raises(TypeError, match=r"^n: expected an integer >= 1, got "):
        integer(1)("n", value)


def test_bounds_of_integers():
    check = integer(1, bits=32)
    assert check("n", 1) == 1
    assert check("n", 2**32 - 1) == 2**32 - 1
    for value in (0, -1, 2**32, np.int64(2**32)):
        words = f"n: expected an integer >= 1 and below 2**32, got {value!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
            check("n", value)


@pytest.mark.parametrize("value", [False, np.False_, np.array(False)], ids=repr)
def test_a_switch_becomes_a_bool(value):
    assert boolean("flag", value) is False


@pytest.mark.parametrize("value", [0, 1, np.int8(1), "True", None, np.array([True])], ids=repr)
def test_other_values_are_no_switches(value):
    with pytest.raises(TypeError, match=r"^flag: expected True or False, got "):
        boolean("flag", value)


def test_words():
    assert exactly(choice("min", "max")("mode", np.str_("max"))) == (str, "max")
    with pytest.raises(ValueError, match=r"^mode: expected one of 'min', 'max', got 'mean'$"):
        choice("min", "max")("mode", "mean")
    with pytest.raises(TypeError, match=r"^mode: expected one of 'min', 'max', got 1$"):
        choice("min", "max")("mode", 1)


def test_checks_of_checks():
    assert optional(integer(1))("n", None) is None
    assert exactly(optional(integer(1))("n", np.int8(2))) == (int, 2)
    assert exactly(tuple_of(real())("x", np.array([1, 2]))) == (tuple, (1.0, 2.0))
    assert exactly(increasing("steps", np.array([1, 5]))) == (tuple, (1, 5))
    with pytest.raises(TypeError, match=r"^x\[1\]: expected a finite number, got '2'$"):
        tuple_of(real())("x", [1, "2"])
    with pytest.raises(ValueError, match=r"^steps: expected strictly increasing steps, got \(2, 2\)$"):
        increasing("steps", [2, 2])


def test_checks_stand_at_the_bottom():
    used = {value.__module__ for value in vars(_checks).values() if hasattr(value, "__module__")}
    assert not {name for name in used if name.startswith("fastopt.")} - {"fastopt._checks"}


@pytest.mark.parametrize(
    "make",
    [
        lambda n, x, yes: nn.data.spiral(n(5), n(3), x(0.5), n(1)).X.tolist(),
        lambda n, x, yes: nn.data.sine(n(5)).X.tolist(),
        lambda n, x, yes: [
            a.tolist() for a in nn.data.train_validation_split(np.eye(8), np.ones(8), validation=x(0.5), seed=n(1))
        ],
        lambda n, x, yes: repr(nn.Dense(n(2), n(3), weight_l1=x(0.5), bias_l2=n(1), initializer=nn.Normal(x(0.5)))),
        lambda n, x, yes: repr(nn.Dropout(x(0.5))),
        lambda n, x, yes: repr(nn.Constant(x(0.5))),
        lambda n, x, yes: nn.Network([nn.Dense(2, 3)], loss=nn.MeanSquaredError(), seed=n(1)).params.tolist(),
        lambda n, x, yes: vars(nn.EarlyStopping(patience=n(2), min_delta=x(0.5), restore_best=yes)),
        lambda n, x, yes: nn.ExplosionGuard(rise=n(2), grad_rise=x(2.5), patience=n(2), factor=x(0.5)).factor,
        lambda n, x, yes: repr(schedules.ExponentialDecay(x(0.5), gamma=x(0.5), decay_steps=n(3), staircase=yes)),
        lambda n, x, yes: repr(schedules.ReduceOnPlateau(n(1), patience=n(3), threshold=x(0.25))),
        lambda n, x, yes: lr_finder.steepest(np.arange(1, 6), np.exp2(-np.arange(5)), skip_begin=n(1), skip_end=n(0)),
    ],
)
def test_options_take_scalars_of_numpy(make):
    plain = make(int, float, True)
    assert make(np.int64, np.float32, np.bool_(True)) == plain
    assert make(np.array, np.array, np.array(True)) == plain
