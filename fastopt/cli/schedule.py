"""``fastopt schedule``: what a schedule does."""

import argparse
import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fastopt import schedules
from fastopt.cli import _options
from fastopt.cli._errors import UsageError
from fastopt.cli._output import check_outputs, draw, show, show_table, write_json
from fastopt.cli._schedules import (
    CLASSES,
    LENGTHS,
    RATES,
    arguments,
    build,
    converter,
    describe,
    find,
    name_of,
    required,
    text_of,
)
from fastopt.cli._setup import short

EPILOG = """\
examples:
  fastopt schedule one-cycle --max-lr 0.1 --steps 1000
  fastopt schedule cosine-annealing --lr 0.1 --eta-min 0.001 --steps 500 --warmup 50 --plot warm.svg
  fastopt schedule piecewise-constant --boundaries 300 400 --values 0.1 0.02 0.001 --steps 500 --json plan.json

fastopt schedule NAME --help shows the arguments of a schedule. Names may also be written as in Python: OneCycle --T_0.
"""

PICTURE = "fastopt-schedule.png"

#: The first rate, or the highest, of a schedule that is given none.
RATE = 0.1
#: Steps that can be shown.
MOST = 10**6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a parser for each schedule."""
    parser.epilog = EPILOG
    names = parser.add_subparsers(title="schedules", metavar="NAME", dest="name", required=True)
    for name, cls in CLASSES.items():
        summary, notes = describe(cls)
        one = names.add_parser(
            name,
            help=summary.replace("%", "%%"),
            description=f"{summary}.".replace("%", "%%"),
            allow_abbrev=False,
            usage="%(prog)s [options]",
        )
        group = one.add_argument_group("arguments")
        for argument, field in arguments(cls).items():
            _add(group, cls, argument, field, notes.get(argument, ""))
        how = one.add_argument_group("what to show")
        how.add_argument(
            "--steps", type=_options.count(most=MOST), metavar="N", help="updates (the length given, else 1000)"
        )
        how.add_argument(
            "--warmup", type=_options.count(most=MOST), metavar="N", help="rise to the first rate over N updates before"
        )
        how.add_argument("--log", action="store_true", help="logarithmic axis")
        _options.add_output(one, PICTURE)


def normalize(argv: Sequence[str]) -> list[str]:
    """Let names be written as in Python: ``OneCycle``, ``one_cycle``, ``--max_lr``, ``--T_0=10``."""
    words = list(argv)
    if words and not words[0].startswith("-"):
        with suppress(UsageError):
            words[0] = name_of(find(words[0]))
    for i, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option.startswith("--"):
            words[i] = option.replace("_", "-").lower() + equals + value
    return words


def _add(group: Any, cls: type[Any], name: str, field: "dataclasses.Field[Any]", note: str) -> None:
    kind = get_type_hints(cls)[name]
    default = str(field.default).lower()
    if required(field):
        default = str(RATE) if name in RATES else "--steps" if name in LENGTHS else "required"
    note = f"{note.rstrip('.')} ({default})"
    keywords: dict[str, Any] = {"dest": f"argument_{name}", "help": note.replace("%", "%%")}
    if kind is bool:
        keywords["action"] = argparse.BooleanOptionalAction
    elif get_origin(kind) is tuple:
        keywords |= {"nargs": "+", "metavar": "X"}
    elif get_origin(kind) is Literal:
        keywords["choices"] = get_args(kind)
    else:
        keywords["metavar"] = "X"
    group.add_argument(_option(name), **keywords)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-').lower()}"


def run(args: argparse.Namespace) -> int:
    """Show the schedule."""
    cls = find(args.name)
    values: dict[str, Any] = {}
    for name in arguments(cls):
        value = getattr(args, f"argument_{name}")
        if value is None or isinstance(value, bool):
            values |= {} if value is None else {name: value}
            continue
        text = "/".join(value) if isinstance(value, list) else value
        try:
            values[name] = converter(cls, name)(text)
        except UsageError as error:
            argument, _, rest = str(error).partition(":")
            raise UsageError(f"{_option(argument)}:{rest}") from None
    missing = [name for name, field in arguments(cls).items() if required(field) and name not in values]
    if needed := [_option(name) for name in missing if name not in (*RATES, *LENGTHS)]:
        raise UsageError(f"{name_of(cls)} needs {', '.join(needed)}")
    warmup = args.warmup or 0
    steps = args.steps or warmup + next((values[name] for name in LENGTHS if name in values), 1000)
    if steps > MOST:
        raise UsageError(f"--steps: expected at most {MOST} to show, got {steps}")
    base = build(cls, values, lr=RATE, total=max(1, steps - warmup))
    schedule = schedules.Warmup(base, warmup) if warmup else base
    picture = check_outputs(args, PICTURE)
    rates = [schedule(step) for step in range(steps)]
    show("schedule", repr(schedule))
    if not args.quiet:
        shown = sorted({round(k * (steps - 1) / 10) for k in range(11)})
        show_table(["step", "rate"], [[str(step), f"{rates[step]:.6g}"] for step in shown])
    pictures = []
    momentum = None if warmup else getattr(base, "momentum", None)
    if picture is not None:
        from fastopt import plots

        pictures.append(
            draw(args, picture, plots.schedule(schedule, steps, momentum=momentum, log=args.log, title=short(schedule)))
        )
    result: dict[str, Any] = {
        "command": "schedule",
        "name": name_of(cls),
        "schedule": repr(schedule),
        "option": text_of(base),
        "rates": rates,
        "pictures": pictures,
    }
    if momentum is not None:
        result["momentum"] = [momentum(step) for step in range(steps)]
    write_json(args, result)
    return 0
