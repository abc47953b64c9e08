"""``fastopt landscape``: the loss around a trained network, and the optimizer's path on it."""

import argparse
import dataclasses

from fastopt.cli import _options
from fastopt.cli._errors import UsageError
from fastopt.cli._output import Picture, beside, check_outputs, finish, one_line, progress, show
from fastopt.cli._setup import (
    describe_data,
    describe_measured,
    describe_network,
    describe_optimizer,
    given,
    load_data,
    make_network,
    make_optimizer,
    make_rate,
    measure,
    resolve,
    show_data,
    updates,
)

EPILOG = """\
examples:
  fastopt landscape
  fastopt landscape spiral --optimizer momentum --epochs 300 --points 21 --plot path.svg
  fastopt landscape sine --epochs 200 --points 15 --directions random --json around.json

The plane goes through the trained network, along the principal components of the optimizer's path, or along two random
directions in which each filter is as long as the network's own (Li et al. 2018). A second picture shows the loss along
one such direction. The loss is measured on at most 2000 training samples.
"""

PICTURE = "fastopt-landscape.png"

_SAMPLES = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    _options.add_data(parser)
    _options.add_network(parser)
    _options.add_optimizer(parser)
    _options.add_length(parser, average=False)
    group = parser.add_argument_group("landscape")
    group.add_argument("--directions", choices=("path", "random"), default="path", help="what spans the plane (path)")
    group.add_argument(
        "--points", type=_options.count(3, 1000), default=41, metavar="N", help="points along each side (41)"
    )
    _options.add_output(parser, PICTURE)


def run(args: argparse.Namespace) -> int:
    """Train, then look around."""
    picture = check_outputs(args, PICTURE)
    second = beside(args, picture, "line")
    from fastopt import nn
    from fastopt._extras import require
    from fastopt.cli._callbacks import Path

    require("fastopt.plots", extra="plots", what="fastopt landscape")
    settings = resolve(given(args), defaults={"epochs": 1001} if args.source in (None, "spiral") else {})
    dataset = load_data(settings)
    rate = make_rate(settings, dataset)
    if args.directions == "path" and settings.epochs * updates(settings, dataset) < 2:
        raise UsageError("--epochs: expected at least 2 updates in all, for a path, got 1")
    net = make_network(settings, dataset)
    optimizer = make_optimizer(settings, net, rate)
    if not args.quiet:
        show_data(dataset)
        show("network", describe_network(net))
        show("optimizer", describe_optimizer(optimizer))
    with progress("training", quiet=args.quiet) as move:
        path = Path(move)
        history = net.fit(
            dataset.X,
            dataset.y,
            optimizer=optimizer,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            seed=settings.seed,
            callbacks=[path],
            clip_norm=settings.clip_norm,
        )
    if history.interrupted:
        raise KeyboardInterrupt
    every = -(-len(dataset.X) // _SAMPLES)
    X, y = dataset.X[::every], dataset.y[::every]
    measured = measure(net, dataset, X, y)
    show("training", describe_measured(measured))
    with progress("measuring", quiet=args.quiet) as move:
        walked = path.params if args.directions == "path" else None
        surface = nn.measure_surface(net, X, y, path=walked, points=args.points, seed=settings.seed, progress=move)
    line = nn.measure_line(net, X, y, seed=settings.seed)
    title = f"{one_line(dataset.name)}, {settings.optimizer}: loss around the trained network"
    pictures = []
    if picture is not None:
        pictures.append(Picture(picture, lambda plots: plots.loss_surface(surface, title=title)))
    if second is not None:
        pictures.append(Picture(second, lambda plots: plots.loss_line({settings.optimizer: line})))
    finish(
        args,
        {
            "command": "landscape",
            "settings": dataclasses.asdict(settings),
            "data": describe_data(dataset),
            "training": measured,
            "surface": dataclasses.asdict(surface),
            "line": dataclasses.asdict(line),
        },
        pictures,
    )
    return 0
