"""Checks of plain values: each is called with a name and a value and returns the value as plain Python.

A check names the value in its message: ``lr: expected a finite number >= 0, got nan``. A value of the wrong type is a
`TypeError`, one out of range a `ValueError`. NumPy's scalars and 0-d arrays pass as the numbers, integers and booleans
that they hold; a float is never an integer, and a boolean is not a number unless a check lets it pass.

`real` and `integer` make checks; what they make lets an ordinary value in range through after a single comparison, so
that it can stand in front of a step of an optimizer.
"""

import operator
from collections.abc import Callable, Iterable
from itertools import pairwise
from math import inf, nextafter
from sys import float_info
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Check = Callable[[str, Any], T]


def real(
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    infinite: bool = False,
    booleans: bool = False,
) -> "Real":
    """Make the check for a number between bounds, which returns it as a float.

    Parameters
    ----------
    at_least, above : float, optional
        The lower bound, included or excluded; at most one of them.
    at_most, below : float, optional
        The upper bound, included or excluded; at most one of them.
    infinite : bool
        Whether infinity passes on a side without a bound.
    booleans : bool
        Whether True and False pass, as 1.0 and 0.0.
    """
    largest_of_all = inf if infinite else float_info.max
    low = nextafter(above, inf) if above is not None else float(-largest_of_all if at_least is None else at_least)
    high = nextafter(below, -inf) if below is not None else float(largest_of_all if at_most is None else at_most)
    return Real(low, high, _range(at_least, above, at_most, below, infinite), booleans)


class Real:
    """A check for a number between `low` and `high`, both included; see `real`."""

    __slots__ = ("_booleans", "_expected", "high", "low")

    def __init__(self, low: float, high: float, expected: str, booleans: bool) -> None:
        self.low, self.high, self._expected, self._booleans = low, high, expected, booleans

    def __call__(self, name: str, value: Any) -> float:
        """Return `value` as a float."""
        if type(value) is float and self.low <= value <= self.high:  # the common case
            return value
        number = to_float(name, value, self._expected, self._booleans)
        if not self.low <= number <= self.high:
            raise ValueError(f"{name}: expected {self._expected}, got {value!r}")
        return number


def _range(
    at_least: float | None, above: float | None, at_most: float | None, below: float | None, infinite: bool
) -> str:
    """Describe a number between bounds."""
    lower = at_least if above is None else above
    upper = at_most if below is None else below
    if lower is not None and upper is not None:
        return f"a number in {'[' if above is None else '('}{lower:g}, {upper:g}{']' if below is None else ')'}"
    signs = {">=": at_least, ">": above, "<=": at_most, "<": below}
    bound = "".join(f" {sign} {value:g}" for sign, value in signs.items() if value is not None)
    return f"a number{bound}, infinity included" if infinite else f"a finite number{bound}"


def to_float(name: str, value: Any, expected: str = "a number", booleans: bool = False) -> float:
    """Return any real number, NaN among them, as a float: infinite if it is beyond every float."""
    if _is_number(value, booleans):
        try:
            return float(value)
        except OverflowError:
            return -inf if value < 0 else inf
        except (AttributeError, TypeError, ValueError):
            pass
    raise TypeError(f"{name}: expected {expected}, got {value!r}")


def _is_number(value: object, booleans: bool) -> bool:
    """Whether a value is one real number, and not text, which float() reads too."""
    if isinstance(value, np.ndarray | np.generic):
        return value.ndim == 0 and value.dtype.kind in ("fiub" if booleans else "fiu")
    return hasattr(value, "__float__") and (booleans or not isinstance(value, bool))


def integer(at_least: int, *, bits: int | None = None) -> "Integer":
    """Make the check for an integer of at least `at_least`, and below ``2**bits``, which returns it as an int."""
    return Integer(at_least, inf if bits is None else 2**bits - 1, "" if bits is None else f" and below 2**{bits}")


class Integer:
    """A check for an integer from `low` to `high`, both included; see `integer`."""

    __slots__ = ("_expected", "high", "low")

    def __init__(self, low: int, high: float, upper_bound: str) -> None:
        self.low, self.high, self._expected = low, high, f"an integer >= {low}{upper_bound}"

    def __call__(self, name: str, value: Any) -> int:
        """Return `value` as an int."""
        if type(value) is int and self.low <= value <= self.high:  # the common case
            return value
        try:
            if isinstance(value, bool):
                raise TypeError
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{name}: expected {self._expected}, got {value!r}") from None
        if not self.low <= number <= self.high:
            raise ValueError(f"{name}: expected {self._expected}, got {value!r}")
        return number


def boolean(name: str, value: Any) -> bool:
    """Check for True or False; 1 and 0 in their place are a mistake."""
    if isinstance(value, bool | np.bool_) or (
        isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype == np.bool_
    ):
        return bool(value)
    raise TypeError(f"{name}: expected True or False, got {value!r}")


def choice(*options: str) -> Check[str]:
    """Make the check for one of a few words."""

    def check_choice(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            kind = ValueError if isinstance(value, str) else TypeError
            raise kind(f"{name}: expected one of {', '.join(map(repr, options))}, got {value!r}")
        return str(value)

    return check_choice


def optional(check: Check[T]) -> Check[T | None]:
    """Make the check for None or a value that passes `check`."""
    return lambda name, value: None if value is None else check(name, value)


def tuple_of(check: Check[T]) -> Check[tuple[T, ...]]:
    """Make the check for a sequence whose every element passes `check`, which returns it as a tuple."""

    def check_tuple(name: str, value: Any) -> tuple[T, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"{name}: expected a sequence, got {value!r}")
        return tuple(check(f"{name}[{i}]", item) for i, item in enumerate(value))

    return check_tuple


COUNT = integer(1)
RATE = real(at_least=0)
FACTOR = real(above=0, at_most=1)
SHARE = real(at_least=0, at_most=1)


def increasing(name: str, value: Any) -> tuple[int, ...]:
    """Check for a sequence of strictly increasing positive integers."""
    steps = tuple_of(COUNT)(name, value)
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError(f"{name}: expected strictly increasing steps, got {steps!r}")
    return steps


def check_fields(instance: object, **checks: Check[object]) -> None:
    """Replace each named attribute of a frozen dataclass by what its check returns, so that equal ones print alike."""
    for name, check in checks.items():
        object.__setattr__(instance, name, check(name, getattr(instance, name)))


def check_order(instance: object, low: str, high: str) -> None:
    """Check that one attribute is at most another."""
    least, most = getattr(instance, low), getattr(instance, high)
    if least > most:
        raise ValueError(f"{low}: expected at most {high} = {most!r}, got {least!r}")
