"""A step from outside: arrays of all kinds are looked at, bound to their rules, and updated."""

from collections.abc import Sequence
from typing import Any

from fastopt._typing import Array
from fastopt.kernels import _backend, _threads
from fastopt.kernels._backend import Bound
from fastopt.kernels._checks import Part, as_streams, check_parts
from fastopt.kernels.rules import Rule

__all__ = ["apply_carefully", "bind"]


def apply_carefully(rule: Rule, arrays: tuple[Any, ...], values: tuple[Any, ...]) -> None:
    """Do what `Backend.apply` leaves: update arrays of any kind and size, or raise before anything is written.

    Parameters
    ----------
    rule : Rule
        The update rule.
    arrays : tuple of (array or list of arrays)
        An entry for each of the rule's streams.
    values : tuple of (float, int or bool)
        The rule's hyper-parameters and those of a call.
    """
    values = rule.checked(*values)  # which may run code of others: before arrays are bound
    streams, suffixes = as_streams(rule.streams, arrays)
    bound = bind((rule,), (tuple(streams),), (suffixes,))
    bound.load((values,))
    _threads.run(bound)


def bind(
    rules: tuple[Rule, ...], parts: tuple[Sequence[Sequence[Array]], ...], suffixes: Sequence[Sequence[str]]
) -> Bound:
    """Return arrays ready for their rules, or raise an error that names the first that does not fit.

    Parameters
    ----------
    rules : tuple of Rule
        The rule of each part.
    parts : tuple of streams
        Each stream of a part is a sequence of arrays, of which the i-th belong together.
    suffixes : sequence of sequence of str
        What names each tensor of each part in a message.
    """
    bound = _backend.active.bind(rules, parts)
    if bound is None:
        looked_at = zip(rules, parts, suffixes, strict=True)
        check_parts(Part(rule.streams, streams, names) for rule, streams, names in looked_at)
        bound = _backend.active.bind(rules, parts, True)
        if bound is None:
            raise SystemError("arrays that passed all checks cannot be bound")
    return bound
