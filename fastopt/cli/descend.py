"""``fastopt descend``: learning rate and momentum in one dimension."""

import argparse
from pathlib import Path
from typing import Any

from fastopt.cli import _options, _specs
from fastopt.cli._errors import UsageError
from fastopt.cli._optimizers import OPTIMIZERS, having
from fastopt.cli._output import check_outputs, draw, show_table, write_json

EPILOG = """\
examples:
  fastopt descend
  fastopt descend better --plot better.svg
  fastopt descend --optimizer momentum:lr=0.3,momentum=0.9 --plot own.png --json own.json

A ball walks down x^2/50 + sin(x)^2, a function with a valley every pi of which the one at 0 is the deepest. The rounds
lead from rates that are far too small to one that explodes: "too small", "still too small",
"stuck next to the global minimum", "momentum too slow", "good", "better", "best", "too high", "exploding".
With --animate, a round becomes a moving picture. With --lr, the settings are your own.
"""

PICTURE = "fastopt-descend.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    parser.add_argument("round", nargs="*", metavar="ROUND", help="a round by name, or all (default)")
    group = parser.add_argument_group("settings")
    group.add_argument(
        "--optimizer",
        type=_options.optimizer,
        metavar=_specs.FORM,
        help=f"with a rate: out of {', '.join(OPTIMIZERS)} (momentum), with lr and momentum as arguments if you like",
    )
    group.add_argument("--lr", type=_options.real(), metavar="X", help="learning rate")
    group.add_argument("--momentum", type=_options.real(below=1), metavar="X", help=f"of {having('momentum')}")
    group.add_argument(
        "--start", type=_options.real(-100, below=100), default=-10.5, metavar="X", help="where to begin (-10.5)"
    )
    group.add_argument("--steps", type=_options.count(most=10**6), metavar="N", help="number of steps")
    _options.add_backend(group)
    _options.add_output(parser, PICTURE, moving=True)


def run(args: argparse.Namespace) -> int:
    """Descend."""
    from fastopt.descent import ROUNDS, descend, named_round

    picture = check_outputs(args, PICTURE)
    name = " ".join(args.round) or "all"
    own = _own(args)
    if own is not None and args.round:
        raise UsageError(f"--lr: the settings of the round {name!r} are fixed")
    rounds = list(ROUNDS.values()) if name == "all" else [named_round(name)]
    if own is not None:
        rounds = [own]
    if args.animate is not None and len(rounds) > 1:
        raise UsageError("--animate: expected one ROUND, or --lr, got all rounds")
    results = [descend(chosen, start=args.start, steps=args.steps) for chosen in rounds]
    show_table(
        ["round", "settings", "outcome"],
        [[result.round.name, result.round.label, result.outcome] for result in results],
        left=True,
    )
    pictures = []
    if picture is not None or args.animate is not None:
        from fastopt import plots

        if picture is not None:
            figure = plots.descent(results[0]) if len(results) == 1 else plots.descents(results)
            pictures.append(draw(args, picture, figure))
        if args.animate is not None:
            film = plots.descent_animation(results[0])
            pictures.append(draw(args, Path(args.animate), film, "animation"))
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
    write_json(args, {"command": "descend", "rounds": rows, "pictures": pictures})
    return 0


def _own(args: argparse.Namespace) -> Any:
    """Make a round of the options, or None without them."""
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
        for name in ("optimizer", "momentum"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name}: needs --lr")
        return None
    choice = OPTIMIZERS[optimizer]
    if "momentum" in given and "momentum" not in choice.defaults:
        raise UsageError(f"--momentum: {optimizer} has no such setting")
    options = {**choice.fixed, **given}
    return Round("my own", options, choice.cls.__name__)
