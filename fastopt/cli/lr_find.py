"""``fastopt lr-find``: a learning-rate range test."""

import argparse
import dataclasses
import math
from typing import Any

from fastopt.cli import _options
from fastopt.cli._errors import UsageError
from fastopt.cli._output import Picture, check_outputs, finish, one_line, progress, show
from fastopt.cli._setup import (
    describe_data,
    describe_kernels,
    describe_network,
    given,
    load_data,
    make_network,
    make_optimizer,
    resolve,
    show_data,
)

EPILOG = """\
examples:
  fastopt lr-find
  fastopt lr-find spiral --optimizer momentum --lr-min 1e-3 --lr-max 100 --plot range.svg
  fastopt lr-find digits --mode linear --lr-max 0.1 --steps 200 --verify 0 --json range.json

The rate grows from --lr-min to --lr-max while the network is trained for --steps updates; it suggests a third of the
rate with the lowest loss. That one, a third and three times of it (and so on, while the first or the last does best)
are each held for --verify updates: the one whose loss ends lowest is recommended.
"""

PICTURE = "fastopt-lr-find.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    _options.add_data(parser)
    _options.add_network(parser)
    _options.add_optimizer(parser, rate=False)
    group = parser.add_argument_group("range test")
    group.add_argument("--lr-min", type=_options.real(above=True), default=1e-5, metavar="X", help="first rate (1e-5)")
    group.add_argument("--lr-max", type=_options.real(above=True), default=10.0, metavar="X", help="last rate (10)")
    group.add_argument("--steps", type=_options.count(2, 10**6), default=100, metavar="N", help="updates (100)")
    group.add_argument(
        "--verify",
        type=_options.count(0),
        default=1000,
        metavar="N",
        help="updates to verify each rate with (1000); 0 for none",
    )
    group.add_argument("--mode", choices=("exponential", "linear"), default="exponential", help="how the rate grows")
    group.add_argument(
        "--stop-at",
        type=_options.real(1, above=True),
        default=4.0,
        metavar="X",
        help="end at X times the lowest loss (4)",
    )
    group.add_argument("--batch-size", type=_options.count(), metavar="N", help="samples per update")
    _options.add_backend(group)
    _options.add_output(parser, PICTURE)


def run(args: argparse.Namespace) -> int:
    """Test the range."""
    picture = check_outputs(args, PICTURE)
    if args.lr_min >= args.lr_max:
        raise UsageError(f"--lr-min: expected less than --lr-max, {args.lr_max:g}, got {args.lr_min:g}")
    from fastopt.lr_finder import lr_find, verify

    settings = resolve(given(args))
    dataset = load_data(settings)
    net = make_network(settings, dataset)
    optimizer = make_optimizer(settings, net, settings.lr)
    if not args.quiet:
        show_data(dataset)
        show("network", describe_network(net))
    batches: Any = {name: getattr(settings, name) for name in ("batch_size", "seed", "clip_norm")}
    with progress("testing rates", quiet=args.quiet) as move:
        test = lr_find(
            net,
            optimizer,
            dataset.X,
            dataset.y,
            **batches,
            lr_min=args.lr_min,
            lr_max=args.lr_max,
            steps=args.steps,
            mode=args.mode,
            early_stop_threshold=args.stop_at,
            progress=move,
        )
    learns, harms = test.phases
    if learns is None:
        show("range", f"the loss never falls; try a larger range than {args.lr_min:g} to {args.lr_max:g}")
    else:
        upto = f"to {harms:.2g}, where it rises" if harms is not None else "on, and does not rise again"
        show("range", f"the loss falls from {learns:.2g} {upto}")
    recommended, verified = test.suggestion, dict[float, float]()
    if recommended is not None and args.verify:
        with progress("verifying", quiet=args.quiet) as move:
            recommended, verified = verify(
                net, optimizer, dataset.X, dataset.y, recommended, steps=args.verify, progress=move, **batches
            )
        for rate, loss in verified.items():
            ends = "diverges" if loss == math.inf else f"ends at loss {loss:.3g}"
            notes = ["suggested"] * (rate == test.suggestion) + ["best"] * (rate == recommended)
            show("verified", f"{rate:.2g} {ends}{', ' * bool(notes)}{', '.join(notes)}")
    if recommended is not None:
        show("recommended", f"--lr {recommended:.2g}")
    others = ", ".join(f"{rule} {rate:.2g}" for rule, rate in test.suggestions.items() if rate is not None)
    show("others", others or "none")
    show("kernels", describe_kernels())
    title = f"{one_line(dataset.name)}, {settings.optimizer}: learning-rate range test"
    finish(
        args,
        {
            "command": "lr-find",
            "settings": dataclasses.asdict(settings),
            "data": describe_data(dataset),
            **test.to_dict(),
            "recommended": recommended,
            "verification": {
                "updates": args.verify,
                "losses": [{"lr": rate, "loss": loss} for rate, loss in verified.items()],
            },
        },
        [] if picture is None else [Picture(picture, lambda _: test.plot(title=title, recommended=recommended))],
    )
    return 0
