"""``fastopt descend``: learning rate and momentum in one dimension."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from fastopt.cli import _options, _specs
from fastopt.cli._errors import UsageError
from fastopt.cli._optimizers import OPTIMIZERS, having
from fastopt.cli._output import Picture, check_outputs, finish, show_table

if TYPE_CHECKING:
    from fastopt.descent import Round

EPILOG = """\
examples:
  fastopt descend
  fastopt descend better --plot better.svg
  fastopt descend 3 --momentum 0
  fastopt descend --optimizer momentum:lr=0.3,momentum=0.9 --plot own.png --json own.json

A ball walks down x^2/50 + sin(x)^2, a function with a valley every pi of which the one at 0 is the deepest. The rounds
lead from rates that are far too small to one that explodes:
  1 "too small", 2 "still too small", 3 "stuck next to the global minimum", 4 "momentum too slow",
  5 "good", 6 "better", 7 "best", 8 "too high", 9 "exploding".
With --momentum, a round goes another way: 0 is plain gradient descent. With --animate, it becomes a moving picture.
With --lr, the settings are your own.
"""

PICTURE = "fastopt-descend.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    parser.add_argument("round", nargs="*", metavar="ROUND", help="a round by name or number, or all (default)")
    group = parser.add_argument_group("settings")
    group.add_argument(
        "--optimizer",
        type=_options.optimizer,
        metavar=_specs.FORM,
        help=f"with a rate: out of {', '.join(OPTIMIZERS)} (momentum), with lr and momentum as arguments if you like",
    )
    group.add_argument("--lr", type=_options.real(), metavar="X", help="learning rate")
    group.add_argument(
        "--momentum", type=_options.real(below=1), metavar="X", help=f"of a round, or of {having('momentum')}"
    )
    group.add_argument(
        "--start", type=_options.real(-100, below=100), default=-10.5, metavar="X", help="where to begin (-10.5)"
    )
    group.add_argument("--steps", type=_options.count(most=10**6), metavar="N", help="number of steps")
    _options.add_backend(group)
    _options.add_output(parser, PICTURE, moving=True)


def run(args: argparse.Namespace) -> int:
    """Descend."""
    from fastopt.descent import descend

    picture = check_outputs(args, PICTURE)
    rounds = _rounds(args)
    if args.animate is not None and len(rounds) > 1:
        raise UsageError("--animate: expected one ROUND, or --lr, got all rounds")
    results = [descend(chosen, start=args.start, steps=args.steps) for chosen in rounds]
    show_table(
        ["round", "settings", "outcome"],
        [[result.round.name, result.round.label, result.outcome] for result in results],
        left=True,
    )
    rows = [
        {
            "round": result.round.name,
            "settings": result.round.label,
            "outcome": result.outcome,
            "steps_needed": result.steps_needed,
            "exploded": result.exploded,
            "x": result.x,
            "f": result.f,
        }
        for result in results
    ]
    pictures = []
    if picture is not None and len(results) == 1:
        pictures.append(Picture(picture, lambda plots: plots.descent(results[0])))
    elif picture is not None:
        pictures.append(Picture(picture, lambda plots: plots.descents(results)))
    if args.animate is not None:
        pictures.append(Picture(Path(args.animate), lambda plots: plots.descent_animation(results[0]), "animation"))
    finish(args, {"command": "descend", "rounds": rows}, pictures)
    return 0


def _rounds(args: argparse.Namespace) -> "list[Round]":
    """Return the rounds that are named, or the one that the options describe."""
    from fastopt.descent import ROUNDS, named_round

    own, name = _own(args), " ".join(args.round) or "all"
    if own is not None:
        if args.round:
            raise UsageError(f"--lr: the settings of the round {name!r} are fixed")
        return [own]
    if name == "all":
        if args.momentum is not None:
            raise UsageError("--momentum: needs --lr, or one ROUND")
        return list(ROUNDS.values())
    chosen = named_round(name)
    if args.momentum is not None:
        chosen = dataclasses.replace(chosen, options={**chosen.options, "momentum": args.momentum})
    return [chosen]


def _own(args: argparse.Namespace) -> "Round | None":
    """Make a round of the options, or None without a rate."""
    from fastopt.descent import Round

    given = dict(args.optimizer or {})
    optimizer = given.pop("optimizer", "momentum")
    if other := sorted(given.keys() - {"lr", "momentum"}):
        raise UsageError(f"--optimizer: expected lr and momentum as arguments, got {other[0].replace('_', '-')}")
    for name in ("lr", "momentum"):
        if (value := getattr(args, name)) is not None:
            if name in given:
                raise UsageError(f"--{name}: given twice, by itself and in --optimizer")
            given[name] = value
    if "lr" not in given:
        if args.optimizer is not None:
            raise UsageError("--optimizer: needs --lr")
        return None
    choice = OPTIMIZERS[optimizer]
    if "momentum" in given and "momentum" not in choice.defaults:
        raise UsageError(f"--momentum: {optimizer} has no such setting")
    options = {**choice.fixed, **given}
    return Round("my own", options, choice.cls.__name__)
