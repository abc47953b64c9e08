"""``fastopt compare``: the same network from the same start, trained by several optimizers."""

import argparse
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from fastopt.cli import _options, _specs
from fastopt.cli._errors import UsageError, deprecated, sentence
from fastopt.cli._optimizers import OPTIMIZERS
from fastopt.cli._output import Picture, check_outputs, finish, one_line, progress, show, show_table
from fastopt.cli._setup import (
    Settings,
    describe_data,
    describe_kernels,
    describe_network,
    describe_optimizer,
    given,
    load_data,
    make_network,
    make_optimizer,
    make_rate,
    measure,
    r2,
    resolve,
    rmse,
    show_average,
    show_data,
    updates,
    with_average,
)

if TYPE_CHECKING:
    from fastopt.cli._output import Progress
    from fastopt.nn import Network
    from fastopt.nn.data import Dataset

EPILOG = """\
examples:
  fastopt compare
  fastopt compare spiral --optimizers adam:lr=0.02 adam:lr=0.05 adam:lr=0.2 --epochs 500
  fastopt compare digits --optimizers all --epochs 10
  fastopt compare sine --optimizers momentum,nesterov,adam --epochs 300 --plot sine.svg --json sine.json

An optimizer may bring settings of its own, NAME:ARG=VALUE,..., out of lr, decay, momentum, rho, betas, eps and
weight-decay. A rate that is given stays constant unless decay is given too; without one, rate and decay are those that
fastopt train takes for it on this data. "all" stands for all optimizers with these.

The table and the legend of the picture are sorted by the training loss in the end, the lowest first.
"""

PICTURE = "fastopt-compare.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    _options.add_data(parser)
    _options.add_network(parser)
    _options.add_optimizer(parser, one=False)
    parser.add_argument(
        "--optimizers",
        nargs="+",
        default=["sgd,momentum,adagrad,rmsprop,adam"],
        metavar=_specs.FORM,
        help=f"all, or out of {', '.join(OPTIMIZERS)}, separated by commas or blanks "
        "(sgd,momentum,adagrad,rmsprop,adam)",
    )
    _options.add_length(parser)
    _options.add_output(parser, PICTURE)


def run(args: argparse.Namespace) -> int:
    """Compare."""
    picture = check_outputs(args, PICTURE)
    common = resolve(given(args), defaults=_shorter(args))
    specs = [s for spec in _specs.split_list(args.optimizers) for s in (OPTIMIZERS if spec == "all" else [spec])]
    runs = {spec: _settings(spec, args) for spec in specs}
    if not runs:
        raise UsageError("--optimizers: expected at least one name, got none")
    dataset = load_data(common)
    for settings in runs.values():  # all are refused before the first is trained
        _make_optimizer(settings, make_network(settings, dataset), dataset)
    if not args.quiet:
        show_data(dataset)
        show("network", describe_network(make_network(common, dataset)))
        show_average(common, dataset)
    results = {}
    with progress("training", quiet=args.quiet) as move:
        for i, (spec, settings) in enumerate(runs.items()):
            results[spec] = _train(settings, dataset, None if move is None else _part(move, i, len(runs)))
    results = dict(sorted(results.items(), key=_final_loss))
    _show(results, dataset.task)
    show("kernels", describe_kernels())
    curves = {spec: result["curve"] for spec, result in results.items() if result["curve"]["loss"]}
    title = f"{one_line(dataset.name)}: the same network from the same start"
    pictures = []
    if picture is not None and curves:
        pictures.append(Picture(picture, lambda plots: plots.compare(curves, title=title)))
    finish(args, {"command": "compare", "data": describe_data(dataset), "runs": results}, pictures)
    if old := next(filter(_specs.is_old, runs), None):
        name, *arguments = old.split(":")
        deprecated("fastopt compare", old, f"{name}:{','.join(arguments)}")
    return 0


def _shorter(args: argparse.Namespace) -> dict[str, Any]:
    # What sets optimizers apart shows early; a table of the user's may be of any size.
    return {"epochs": 2001} if args.source in (None, "spiral") else {}


def _settings(spec: str, args: argparse.Namespace) -> Settings:
    try:
        options = _options.optimizer(spec)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--optimizers: {error}") from None
    return resolve({**given(args), **options}, defaults=_shorter(args))


def _make_optimizer(settings: Settings, net: "Network", dataset: "Dataset") -> Any:
    return with_average(make_optimizer(settings, net, make_rate(settings, dataset)), settings, dataset)


def _part(move: "Progress", i: int, runs: int) -> "Progress":
    return lambda done, total: move(i * total + done, runs * total)


def _train(settings: Settings, dataset: "Dataset", move: "Progress | None") -> dict[str, Any]:
    from fastopt import nn
    from fastopt.cli._callbacks import Curve

    net = make_network(settings, dataset)
    optimizer = _make_optimizer(settings, net, dataset)
    curve = Curve(None if move is None else move)
    training = nn.Training(
        net,
        dataset.X,
        dataset.y,
        optimizer=optimizer,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        seed=settings.seed,
        callbacks=[curve],
        clip_norm=settings.clip_norm,
    )
    result: dict[str, Any] = {"optimizer": describe_optimizer(optimizer), "settings": dataclasses.asdict(settings)}
    try:
        history = training.run()
        if history.interrupted:
            raise KeyboardInterrupt
        result["training"] = measure(net, dataset, dataset.X, dataset.y)
        result["validation"] = measure(net, dataset, dataset.X_test, dataset.y_test)
        result["diverged"] = None
    except nn.Diverged as error:
        history = training.history
        result["diverged"] = sentence(error)
    steps = max(training.step, 1)
    result |= {
        "steps": training.step,
        "seconds": history.seconds,
        "optimizer_seconds": history.optimizer_seconds,
        "microseconds_a_step": 1e6 * history.optimizer_seconds / steps,
        "updates_an_epoch": updates(settings, dataset),
        "curve": {"step": curve.step, "seconds": curve.seconds, "loss": curve.loss},
    }
    return result


def _final_loss(run: tuple[str, dict[str, Any]]) -> float:
    """Return the training loss of a run in the end, infinity if it diverged."""
    loss = run[1]["training"]["loss"] if run[1]["diverged"] is None else math.inf
    return loss if math.isfinite(loss) else math.inf


def _show(results: dict[str, dict[str, Any]], task: str) -> None:
    header, shown = ["accuracy", "val. loss", "val. acc."], _show_accuracy
    if task == "regression":
        header, shown = ["RMSE", "val. RMSE", "val. R2"], _show_errors
    rows = []
    for spec, result in results.items():
        cells = ["diverged", "-", "-", "-"]
        if result["diverged"] is None:
            cells = [f"{result['training']['loss']:.4g}", *shown(result["training"], result["validation"])]
        spent = [f"{result['seconds']:.2f}", f"{result['microseconds_a_step']:.1f}"]
        rows.append([spec, f"{result['settings']['lr']:g}", *cells, *spent])
    show_table(["optimizer", "lr", "loss", *header, "seconds", "us/step"], rows)


def _show_accuracy(training: dict[str, Any], validation: dict[str, Any]) -> list[str]:
    return [f"{training['accuracy']:.3f}", f"{validation['loss']:.4g}", f"{validation['accuracy']:.3f}"]


def _show_errors(training: dict[str, Any], validation: dict[str, Any]) -> list[str]:
    return [rmse(training), rmse(validation), r2(validation)]
