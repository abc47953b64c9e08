"""Schedules by name: ``one-cycle:max_lr=0.1,pct_start=0.2``."""

import dataclasses
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fastopt import schedules
from fastopt.cli import _specs
from fastopt.cli._errors import UsageError, did_you_mean

#: The classes by name; those made from other schedules have no text form.
CLASSES: dict[str, type[schedules.Schedule]] = {
    re.sub("(?<!^)(?=[A-Z])", "-", name).lower(): getattr(schedules, name)
    for name in (
        "Constant",
        "InverseTimeDecay",
        "ExponentialDecay",
        "StepDecay",
        "PiecewiseConstant",
        "PolynomialDecay",
        "CosineAnnealing",
        "InverseSqrt",
        "WarmupStableDecay",
        "CosineWarmRestarts",
        "SnapshotCosine",
        "Cyclical",
        "OneCycle",
        "ReduceOnPlateau",
    )
}

#: Arguments that are the first rate, or the highest.
RATES = ("lr", "max_lr")
#: Arguments that are the length of the whole training.
LENGTHS = ("total_steps", "T_max", "decay_steps")


def find(name: str) -> type[schedules.Schedule]:
    """Return the class of a name, in any way of writing it: one-cycle, one_cycle, OneCycle."""

    def bare(text: str) -> str:
        return re.sub("[-_ ]", "", text).lower()

    for known, cls in CLASSES.items():
        if bare(known) == bare(name):
            return cls
    if hint := did_you_mean(name, CLASSES):
        raise UsageError(f"schedule: there is no {name!r}{hint}")
    raise UsageError(f"schedule: expected one of {', '.join(CLASSES)}, got {name!r}")


def name_of(cls: type[schedules.Schedule]) -> str:
    """Return the name of a class on the command line."""
    return next(name for name, known in CLASSES.items() if known is cls)


def arguments(cls: type[schedules.Schedule]) -> dict[str, dataclasses.Field[Any]]:
    """Return the arguments that a class takes, by name."""
    return {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]


def required(field: dataclasses.Field[Any]) -> bool:
    """Whether an argument has no default."""
    return field.default is dataclasses.MISSING


def converter(cls: type[schedules.Schedule], name: str, epoch: int | None = None) -> Callable[[str], Any]:
    """Make the function that reads an argument; ``10ep`` stands for 10 epochs of `epoch` updates."""
    return reader(get_type_hints(cls)[name], name, epoch)


def reader(kind: Any, name: str, epoch: int | None = None) -> Callable[[str], Any]:
    """Make the function that reads an argument of a type; ``10ep`` stands for 10 epochs of `epoch` updates."""

    def read(text: str) -> Any:
        try:
            return _read(kind, text.strip(), epoch)
        except (ValueError, OverflowError):
            raise UsageError(f"{name}: expected {kind_of(kind)}, got {text!r}") from None

    return read


def _read(kind: Any, text: str, epoch: int | None) -> Any:
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return tuple(_read(item, part, epoch) for part in re.split("[/ ]+", text))
    if get_origin(kind) in (Union, types.UnionType):
        return None if text == "none" else _read(get_args(kind)[0], text, epoch)
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError
        return text.lower() == "true"
    if kind is str:
        return text
    if kind is int:
        if epoch is not None and text.endswith("ep"):
            return round(float(text.removesuffix("ep")) * epoch)
        return int(text)
    return float(text)


def kind_of(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"numbers separated by /, each {kind_of(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return f"{kind_of(get_args(kind)[0])} or none"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}[kind]


def build(cls: type[schedules.Schedule], values: Mapping[str, Any], *, lr: float | None, total: int | None) -> Any:
    """Make a schedule; a rate or a length that is missing is `lr` or `total`."""
    given = dict(values)
    name = name_of(cls)
    for argument, field in arguments(cls).items():
        if argument in given or not required(field):
            continue
        if argument in RATES and lr is not None:
            given[argument] = lr
        elif argument in LENGTHS and total is not None:
            given[argument] = total
        else:
            raise UsageError(f"schedule: {name} needs {argument}")
    try:
        return cls(**given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"schedule: {name}: {error}") from None


def parse(text: str, *, lr: float, total: int, epoch: int) -> Any:
    """Make a schedule from ``NAME:ARG=VALUE,...`` for a training of `total` updates, `epoch` of them an epoch."""
    name, texts = _specs.split(text)
    cls = find(name)
    return build(cls, read(cls, texts, epoch), lr=lr, total=total)


def read(cls: type[schedules.Schedule], texts: Mapping[str, str], epoch: int | None = None) -> dict[str, Any]:
    """Return the values of arguments that are given as texts."""
    values: dict[str, Any] = {}
    for argument, text in _specs.by_name(texts, arguments(cls), f"schedule: {name_of(cls)}").items():
        try:
            values[argument] = converter(cls, argument, epoch)(text)
        except UsageError as error:
            raise UsageError(f"schedule: {name_of(cls)}: {error}") from None
    return values


def text_of(schedule: Any) -> str:
    """Write a schedule in the form that `parse` reads."""
    values = {name: getattr(schedule, name) for name in arguments(type(schedule))}
    texts = {
        name: "/".join(map(str, value)) if isinstance(value, tuple) else str(value).lower() if value is None else value
        for name, value in values.items()
    }
    return f"{name_of(type(schedule))}:{','.join(f'{name}={value}' for name, value in texts.items())}"


def describe(cls: type[schedules.Schedule]) -> tuple[str, dict[str, str]]:
    """Return the first sentence of a class, and what its docstring says about each argument."""
    lines = (cls.__doc__ or "").splitlines() or [""]
    notes: dict[str, str] = {}
    names: list[str] = []
    if "    Parameters" in lines:
        for line in lines[lines.index("    Parameters") + 2 :]:
            if match := re.match(r"    (\w[\w, ]*?) : ", line):
                names = match[1].split(", ")
            elif line.startswith("        "):
                for name in names:
                    notes[name] = f"{notes.get(name, '')} {line.strip()}".strip().replace("`", "")
            else:
                break
    return lines[0].split(": ``")[0].rstrip("."), notes
