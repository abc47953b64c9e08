"""Masks: which parameters decay."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastopt._checks import boolean
from fastopt._groups import is_grouped
from fastopt._trees import Tree, named, taken_once
from fastopt.compat._arguments import split
from fastopt.optimizers import LAMB, Adadelta, Adamax, AdamW, AdEMAMix, Lion, Optimizer, Split

Opt = TypeVar("Opt", bound=Optimizer)
Mask = Any  # a tree of booleans, or a function of the parameters that returns one


class _MaskedAdamW(Split, AdamW):
    pass


class _MaskedLion(Split, Lion):
    pass


class _MaskedAdamax(Split, Adamax):
    pass


class _MaskedAdadelta(Split, Adadelta):
    pass


class _MaskedLAMB(Split, LAMB):
    pass


class _MaskedAdEMAMix(Split, AdEMAMix):
    pass


_MASKED: dict[Any, Any] = {
    AdamW: _MaskedAdamW,
    Lion: _MaskedLion,
    Adamax: _MaskedAdamax,
    Adadelta: _MaskedAdadelta,
    LAMB: _MaskedLAMB,
    AdEMAMix: _MaskedAdEMAMix,
}


def masked(cls: Callable[..., Opt], params: Any, mask: Mask, **settings: Any) -> Opt:
    """Return an optimizer whose weight decay is for the parameters that `mask` has chosen."""
    if mask is None:
        return cls(params, **settings)
    params = taken_once(params)
    chosen = choices(params, mask)
    if all(chosen) or not any(chosen):
        return cls(params, **settings | ({} if all(chosen) else {"weight_decay": 0.0}))
    leaves = named(Tree(params, "params"), "params")
    groups = split(leaves, [not own for own in chosen], [{}, {"weight_decay": 0.0}])
    opt: Opt = _MASKED[cls](groups, **settings)
    return opt


def choices(params: Any, mask: Mask) -> list[bool]:
    """Return whether each parameter decays, of a mask in their structure or a prefix of it, or a function."""
    if is_grouped(params):
        raise ValueError(
            f"mask: expected None with groups of parameters, which have a weight_decay of their own, got {mask!r}"
        )
    tree = Tree(params, "params")
    marks = Tree(mask(params) if callable(mask) else mask, "mask")
    labelled = zip(marks.paths, marks.suffixes, marks.leaves, strict=True)
    by_path = {path: boolean("mask" + suffix, mark) for path, suffix, mark in labelled}
    over = [next((path[:i] for i in range(len(path) + 1) if path[:i] in by_path), None) for path in tree.paths]
    missing = ["params" + suffix for suffix, path in zip(tree.suffixes, over, strict=True) if path is None]
    unknown = ["mask" + suffix for suffix, path in zip(marks.suffixes, marks.paths, strict=True) if path not in over]
    if missing or unknown:
        raise ValueError(
            f"mask: expected the structure of params, or a prefix of it, got none for {missing} and unknown {unknown}"
        )
    return [by_path[path] for path in over if path is not None]
