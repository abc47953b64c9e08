"""A step from outside: arrays of all kinds are looked at, bound to their rules, and updated."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastopt._checks import boolean
from fastopt._typing import Array
from fastopt.kernels import _backend, _threads
from fastopt.kernels._backend import Bound
from fastopt.kernels._checks import GRAD, Part, as_rows, as_streams, check_parts, is_temporary
from fastopt.kernels._layerwise import prepared
from fastopt.kernels.rules import Rule

__all__ = ["apply_carefully", "bind"]


def apply_carefully(
    rule: Rule, arrays: tuple[Any, ...], values: tuple[Any, ...], cast_grads: bool = False, rows: Any = None
) -> None:
    """Do what `Backend.apply` leaves: update arrays of any kind and size, or raise before anything is written.

    Parameters
    ----------
    rule : Rule
        The update rule.
    arrays : tuple of (array or list of arrays)
        An entry for each of the rule's streams.
    values : tuple of (float, int or bool)
        The rule's hyper-parameters and those of a call; for a list of tensors, the last, the number of the step, may be
        a sequence of numbers.
    cast_grads : bool
        Whether gradients may be of another type than their parameters.
    rows : sequence of int, or list of (sequence of int or None), optional
        Indices of the rows that the gradients are for.
    """
    lost = is_temporary(arrays)
    # What may run code of others comes before arrays are bound.
    cast = boolean("cast_grads", cast_grads)
    *others, step = values
    listed = isinstance(arrays[0], list | tuple)
    by_tensor = listed and (isinstance(step, list | tuple) or (isinstance(step, np.ndarray) and step.ndim > 0))
    steps = list(step) if by_tensor else [step]
    checked = [rule.checked(*others, own) for own in steps or [1]]
    streams, suffixes = as_streams(rule.streams[: len(arrays)], arrays)
    streams += [[np.empty_like(param) for param in streams[0]] for _ in rule.workspace]
    indices = _indices(rows, suffixes, listed)
    if rule.layerwise and not by_tensor:
        by_tensor, checked = True, checked * len(suffixes)
    if not by_tensor:
        bound = bind((rule,), (tuple(streams),), (suffixes,), (indices,), cast)
        bound.load((checked[0],))
    else:
        if len(checked) != len(suffixes):
            raise ValueError(f"step: expected {len(suffixes)} numbers like param, got {len(steps)}")
        parts = tuple(tuple([stream[i]] for stream in streams) for i in range(len(suffixes)))
        own_rows = None if indices is None else tuple([own] for own in indices)
        bound = bind((rule,) * len(suffixes), parts, [[suffix] for suffix in suffixes], own_rows, cast)
        if rule.layerwise:
            checked = [
                prepared(rule, [stream[0] for stream in part], own, suffix)
                for part, own, suffix in zip(parts, checked, suffixes, strict=True)
            ]
        bound.load(tuple(checked))
    if lost:
        raise ValueError(
            "param: expected an array that is in use elsewhere, got a temporary one, whose update would be lost: "
            "indexing with an array makes a copy (rows=... updates rows in place)"
        )
    _threads.run(bound)


def _indices(rows: Any, suffixes: Sequence[str], listed: bool) -> list[Array | None] | None:
    """Return the rows of each tensor, checked."""
    if rows is None:
        return None
    if not listed:
        return [as_rows(rows, "rows")]
    if not isinstance(rows, list | tuple) or len(rows) != len(suffixes):
        found = f"{len(rows)} entries" if isinstance(rows, list | tuple) else type(rows).__name__
        raise ValueError(f"rows: expected a list of {len(suffixes)} entries like param, got {found}")
    return [None if own is None else as_rows(own, f"rows[{i}]") for i, own in enumerate(rows)]


def bind(
    rules: tuple[Rule, ...],
    parts: tuple[Sequence[Sequence[Array]], ...],
    suffixes: Sequence[Sequence[str]],
    rows: tuple[Sequence[Array | None] | None, ...] | None = None,
    cast: bool = False,
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
    rows : tuple of (sequence of (array or None) or None), optional
        Indices of the rows that the gradient of each tensor of each part is for; None: for all.
    cast : bool
        Whether gradients may be of another type than their parameters.
    """
    bound = _backend.active.bind(rules, parts, False, rows)
    if bound is None:
        indices_of = rows or (None,) * len(rules)
        parts = tuple(
            streams if indices is None else _with_rows_in_one_piece(streams, indices)
            for streams, indices in zip(parts, indices_of, strict=True)
        )
        looked_at = zip(rules, parts, suffixes, indices_of, strict=True)
        check_parts(Part(rule.streams, streams, names, indices, cast) for rule, streams, names, indices in looked_at)
        bound = _backend.active.bind(rules, parts, True, rows)
        if bound is None:
            raise SystemError("arrays that passed all checks cannot be bound")
    return bound


def _with_rows_in_one_piece(
    streams: Sequence[Sequence[Array]], rows: Sequence[Array | None]
) -> Sequence[Sequence[Array]]:
    """Copy gradients of rows of which each is not in one piece: they are as small as what is updated."""
    grads = [
        grad if index is None else np.ascontiguousarray(grad) for grad, index in zip(streams[GRAD], rows, strict=True)
    ]
    return (*streams[:GRAD], grads, *streams[GRAD + 1 :])
