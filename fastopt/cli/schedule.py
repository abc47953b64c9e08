"""``fastopt schedule``: what a schedule does."""

import argparse
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, get_origin, get_type_hints

from fastopt import schedules
from fastopt.cli import _options, _specs
from fastopt.cli._errors import UsageError, deprecated
from fastopt.cli._output import Picture, check_outputs, finish, show, show_table
from fastopt.cli._schedules import (
    CLASSES,
    LENGTHS,
    RATES,
    arguments,
    build,
    describe,
    find,
    kind_of,
    name_of,
    read,
    required,
    text_of,
)
from fastopt.cli._setup import short

EPILOG = """\
examples:
  fastopt schedule one-cycle:max_lr=0.1 --steps 1000
  fastopt schedule inverse-time-decay:lr=1,decay=0.1 --steps 30 --every 1 --diff
  fastopt schedule cosine-annealing:lr=0.1,eta_min=0.001 --steps 500 --warmup 50 --plot warm.svg
  fastopt schedule piecewise-constant:boundaries=300/400,values=0.1/0.02/0.001 --steps 500 --json plan.json

A schedule is written NAME:ARG=VALUE,ARG=VALUE, here and in fastopt train --schedule; fastopt schedule NAME --help shows
its arguments. The name may also be written as in Python: OneCycle.
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
            description=f"{summary}.\n\n{_explained(cls, notes)}".replace("%", "%%"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            usage="%(prog)s[:ARG=VALUE,...] [options]",
        )
        one.add_argument("--arguments", help=argparse.SUPPRESS)
        for argument in arguments(cls):
            _add_old(one, cls, argument)
        how = one.add_argument_group("what to show")
        how.add_argument(
            "--steps", type=_options.count(most=MOST), metavar="N", help="updates (the length given, else 1000)"
        )
        how.add_argument(
            "--warmup", type=_options.count(most=MOST), metavar="N", help="rise to the first rate over N updates before"
        )
        how.add_argument(
            "--every", type=_options.count(most=MOST), metavar="N", help="print every N-th rate (11 of them, evenly)"
        )
        how.add_argument("--diff", action="store_true", help="print how much each differs from the one before")
        how.add_argument("--log", action="store_true", help="logarithmic axis")
        _options.add_output(one, PICTURE)


def normalize(argv: Sequence[str]) -> list[str]:
    """Split ``NAME:ARG=VALUE,...``, and let names be written as in Python: ``OneCycle``, ``--max_lr``."""
    words = list(argv)
    if words and not words[0].startswith("-"):
        name, colon, rest = words[0].partition(":")
        with suppress(UsageError):
            name = name_of(find(name))
        words[:1] = [name, f"--arguments={rest}"] if colon else [name]
    for i, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option.startswith("--"):
            words[i] = option.replace("_", "-").lower() + equals + value
    return words


def _explained(cls: type[Any], notes: dict[str, str]) -> str:
    """Return a paragraph about each argument of a schedule."""
    lines = ["arguments:"]
    for name, field in arguments(cls).items():
        default = str(field.default).lower()
        if required(field):
            default = str(RATE) if name in RATES else "--steps" if name in LENGTHS else "required"
        kind = kind_of(get_type_hints(cls)[name])
        lines += [f"  {name}=VALUE, {kind} ({default})"]
        lines += textwrap.wrap(notes.get(name, ""), 78, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _add_old(parser: argparse.ArgumentParser, cls: type[Any], name: str) -> None:
    """Add an argument as the option that it was in version 0.1."""
    kind = get_type_hints(cls)[name]
    keywords: dict[str, Any] = {"dest": f"argument_{name}", "help": argparse.SUPPRESS}
    if kind is bool:
        keywords["action"] = argparse.BooleanOptionalAction
    elif get_origin(kind) is tuple:
        keywords["nargs"] = "+"
    parser.add_argument(_option(name), **keywords)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-').lower()}"


def run(args: argparse.Namespace) -> int:
    """Show the schedule."""
    try:
        return _run(args)
    except UsageError as error:
        raise UsageError(str(error).removeprefix("schedule: ")) from None  # the command has that name


def _run(args: argparse.Namespace) -> int:
    cls = find(args.name)
    old = _old_arguments(args, cls)
    _, texts = _specs.split(f"{args.name}:{args.arguments or ''}")
    values = read(cls, {**texts, **old})
    missing = [name for name, field in arguments(cls).items() if required(field) and name not in values]
    if needed := [name for name in missing if name not in (*RATES, *LENGTHS)]:
        example = ",".join(f"{name}=VALUE" for name in needed)
        raise UsageError(f"{name_of(cls)} needs {', '.join(needed)}: write {name_of(cls)}:{example}")
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
        every = args.every
        shown = range(0, steps, every) if every else sorted({round(k * (steps - 1) / 10) for k in range(11)})
        rows = [[str(step), f"{rates[step]:.6g}"] for step in shown]
        if args.diff:
            differences = [f"{rates[step] - rates[before]:+.6g}" for before, step in pairwise(shown)]
            rows = [[*row, difference] for row, difference in zip(rows, ["", *differences], strict=True)]
        show_table(["step", "rate", "difference"][: len(rows[0])], rows)
    momentum = None if warmup else getattr(base, "momentum", None)
    result: dict[str, Any] = {
        "command": "schedule",
        "name": name_of(cls),
        "schedule": repr(schedule),
        "option": text_of(base),
        "rates": rates,
    }
    if momentum is not None:
        result["momentum"] = [momentum(step) for step in range(steps)]
    pictures = []
    if picture is not None:
        look = {"momentum": momentum, "log": args.log, "title": short(schedule)}
        pictures.append(Picture(picture, lambda plots: plots.schedule(schedule, steps, **look)))
    finish(args, result, pictures)
    if old:
        options = ", ".join(_option(name) for name in old)
        written = ",".join(f"{name}={text}" for name, text in {**texts, **old}.items())
        deprecated("fastopt schedule", options, f"{name_of(cls)}:{written}")
    return 0


def _old_arguments(args: argparse.Namespace, cls: type[Any]) -> dict[str, str]:
    """Return the arguments given as options, as texts."""
    given = {name: getattr(args, f"argument_{name}") for name in arguments(cls)}
    return {
        name: "/".join(value) if isinstance(value, list) else str(value)
        for name, value in given.items()
        if value is not None
    }
