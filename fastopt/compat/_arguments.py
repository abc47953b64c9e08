"""Arguments that other libraries call otherwise, and those that fastopt's rules cannot follow."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from fastopt.kernels.rules import CHECKS


def number(own: str, name: str, value: Any) -> Any:
    """Return a schedule, or a number in the range of the hyper-parameter `own`, which the library calls `name`."""
    return value if callable(value) else CHECKS[own](name, value)


def expect(name: str, found: Any, expected: Any, reason: str) -> None:
    """Refuse an argument that fastopt's rules cannot follow."""
    if found is not None if expected is None else found != expected:
        raise ValueError(f"{name}: expected {expected!r}, since {reason}, got {found!r}")


def refuse(module: str, names: Sequence[str], reasons: Mapping[str, str], name: str) -> NoReturn:
    """Say why a module has no optimizer of a name that the library has, or that there is none at all."""
    if name in reasons:
        raise AttributeError(f"{module}: expected one of {', '.join(names)}, since {reasons[name]}, got {name!r}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
