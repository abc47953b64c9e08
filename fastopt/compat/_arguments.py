"""Arguments that other libraries call otherwise, and those that fastopt's rules cannot follow."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from fastopt.kernels.rules import CHECKS


def number(own: str, name: str, value: Any, *, positive: bool = False) -> Any:
    """Return a schedule, or a number in the range of the hyper-parameter `own`, which the library calls `name`."""
    if callable(value):
        return value
    found = CHECKS[own](name, value)
    if positive and not found:
        raise ValueError(f"{name}: expected a number > 0, got {value!r}")
    return found


def two_averages(learning_rate: Any, **named: Any) -> dict[str, Any]:
    """Return the keywords of a class with two averages.

    Parameters
    ----------
    learning_rate
        The rate.
    **named
        Both shares, and epsilon if there is one, in this order under the library's names.
    """
    rate = number("lr", "learning_rate", learning_rate)
    owns = ("beta1", "beta2", "eps")
    beta1, beta2, *eps = [number(own, *pair) for own, pair in zip(owns, named.items(), strict=False)]
    return {"lr": rate, "betas": (beta1, beta2), **({"eps": eps[0]} if eps else {})}


def ftrl(
    learning_rate: Any,
    learning_rate_power: Any,
    initial_accumulator_value: Any,
    l1_regularization_strength: Any,
    l2_regularization_strength: Any,
    l2_shrinkage_regularization_strength: Any,
    beta: Any,
) -> dict[str, Any]:
    """Return the keywords of `fastopt.FTRL` for the arguments of Keras' and TensorFlow 1's."""
    expect("learning_rate_power", learning_rate_power, -0.5, "fastopt's FTRL divides by the square root")
    start = "initial_accumulator_value"
    return {
        "lr": number("lr", "learning_rate", learning_rate, positive=True),
        "l1": number("l1", "l1_regularization_strength", l1_regularization_strength),
        "l2": number("l2", "l2_regularization_strength", l2_regularization_strength),
        "l2_shrinkage": number(
            "l2_shrinkage", "l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength
        ),
        "beta": number("beta", "beta", beta),
        start: number(start, start, initial_accumulator_value),
    }


def split(leaves: Mapping[str, Any], numbers: Iterable[int], settings: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return groups of parameters, each of those with its number, and with the settings of that number."""
    parts: list[dict[str, Any]] = [{} for _ in settings]
    for (name, leaf), i in zip(leaves.items(), numbers, strict=True):
        parts[i][name] = leaf
    return [{"params": part, **own} for part, own in zip(parts, settings, strict=True) if part]


def expect(name: str, found: Any, expected: Any, reason: str) -> None:
    """Refuse an argument that fastopt's rules cannot follow."""
    if found is not None if expected is None else found != expected:
        raise ValueError(f"{name}: expected {expected!r}, since {reason}, got {found!r}")


def refuse(module: str, names: Sequence[str], reasons: Mapping[str, str], name: str) -> NoReturn:
    """Say why a module has no optimizer of a name that the library has, or that there is none at all."""
    if name in reasons:
        raise AttributeError(f"{module}: expected one of {', '.join(names)}, since {reasons[name]}, got {name!r}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
