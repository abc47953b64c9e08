"""Rules for hyper-parameters: each takes a name and a value and returns the value made plain.

A schedule states its rules in one call of `check`. NumPy's numbers become Python's, lists become
tuples, so that equal schedules print alike.
"""

import math
import operator
from collections.abc import Callable, Iterable
from itertools import pairwise
from numbers import Real
from typing import Any, TypeVar

T = TypeVar("T")
Rule = Callable[[str, Any], object]


def check(instance: object, **rules: Rule) -> None:
    """Replace each named attribute of a frozen dataclass by what its rule makes of it."""
    for name, rule in rules.items():
        object.__setattr__(instance, name, rule(name, getattr(instance, name)))


def real(
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> Callable[[str, Any], float]:
    """Make the rule for a finite number between bounds."""
    bounds = {">=": at_least, ">": above, "<=": at_most, "<": below}
    text = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)
    expected = f"expected a finite number {text}".rstrip()

    def rule(name: str, value: Any) -> float:
        number = to_float(name, value, expected)
        if (
            not math.isfinite(number)
            or (at_least is not None and number < at_least)
            or (above is not None and number <= above)
            or (at_most is not None and number > at_most)
            or (below is not None and number >= below)
        ):
            raise ValueError(f"{name}: {expected}, got {value!r}")
        return number

    return rule


def to_float(name: str, value: Any, expected: str) -> float:
    """Return a real number as a float, infinite where a float cannot hold it."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {expected}, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def integer(at_least: int) -> Callable[[str, Any], int]:
    """Make the rule for an integer of at least `at_least`."""

    def rule(name: str, value: Any) -> int:
        expected = f"expected an integer >= {at_least}"
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name}: {expected}, got {value!r}")
        number = operator.index(value)
        if number < at_least:
            raise ValueError(f"{name}: {expected}, got {value!r}")
        return number

    return rule


def boolean(name: str, value: Any) -> bool:
    """Check for True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return value


def choice(*options: str) -> Rule:
    """Make the rule for one of a few words."""

    def rule(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            kind = ValueError if isinstance(value, str) else TypeError
            raise kind(f"{name}: expected one of {', '.join(map(repr, options))}, got {value!r}")
        return value

    return rule


def optional(rule: Rule) -> Rule:
    """Let None pass beside what `rule` lets pass."""
    return lambda name, value: None if value is None else rule(name, value)


def tuple_of(rule: Callable[[str, Any], T]) -> Callable[[str, Any], tuple[T, ...]]:
    """Make the rule for a sequence whose every element obeys `rule`."""

    def tuple_rule(name: str, value: Any) -> tuple[T, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"{name}: expected a sequence, got {value!r}")
        return tuple(rule(f"{name}[{i}]", item) for i, item in enumerate(value))

    return tuple_rule


def increasing(name: str, value: Any) -> tuple[int, ...]:
    """Check for a sequence of strictly increasing positive integers."""
    steps = tuple_of(COUNT)(name, value)
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError(f"{name}: expected strictly increasing steps, got {steps!r}")
    return steps


def schedule_like(name: str, value: Any) -> object:
    """Check for a schedule or another callable."""
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{name}: expected a schedule such as Constant(0.1), got {value!r}")
    return value


def ordered(instance: object, low: str, high: str) -> None:
    """Check that one hyper-parameter is at most another."""
    least, most = getattr(instance, low), getattr(instance, high)
    if least > most:
        raise ValueError(f"{low}: expected at most {high} = {most!r}, got {least!r}")


RATE = real(at_least=0)
FACTOR = real(above=0, at_most=1)
MOMENTUM = real(at_least=0, at_most=1)
COUNT = integer(1)
check_step = integer(0)
