"""``fastopt train``: train a network and show how it went."""

import argparse
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastopt.cli import _options
from fastopt.cli._errors import UsageError, did_you_mean, say, sentence
from fastopt.cli._output import (
    Picture,
    beside,
    check_file,
    check_outputs,
    finish,
    has_terminal,
    one_line,
    show,
    show_table,
)
from fastopt.cli._setup import (
    NAMES,
    Settings,
    describe_data,
    describe_kernels,
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
    show_average,
    show_data,
    updates,
    with_average,
)

if TYPE_CHECKING:
    from fastopt.nn import History, Training

EXAMPLES = """\
examples:
  fastopt train
  fastopt train vertical --optimizer momentum:lr=0.5 --epochs 300 --plot vertical.svg
  fastopt train spiral --preset nnfs-adam-0.05 --epochs 301
  fastopt train sine --schedule one-cycle:pct_start=0.2 --cycle-momentum --epochs 501
  fastopt train vertical --samples 50 --noise 0.2 --optimizer momentum --lr 1 --batch-size 32 --epochs 400 --snapshots 5
  fastopt train sine --samples 300 --optimizer momentum --lr 30 --guard --epochs 501
  fastopt train spiral --epochs 400 --checkpoint run.npz --json run.json
  fastopt train --resume run.npz --epochs 800
  fastopt train digits --optimizer momentum:lr=0.05 --average ema:decay=0.99
"""

SCHEDULES = """
Schedules (fastopt schedule --help lists them all with their arguments):
  --schedule NAME:ARG=VALUE,... such as cosine-annealing:eta_min=0.001. The rate is --lr unless given here, and
  the length the whole training. Lengths count updates; 10ep stands for 10 epochs. Several values are
  separated by /: piecewise-constant:boundaries=30ep/40ep,values=0.1/0.01/0.001.

A rate that is given stays constant, unless --decay, --schedule or --warmup says otherwise. What is not given suits
data and optimizer: spiral is trained as in "Neural Networks from Scratch", in one batch
by Adam with a rate of 0.05 and 1/t decay; fashion-mnist by SGD with momentum 0.9 and a rate of 0.01, in batches
of 32, for 5 epochs (87 % of the test pictures; 88 % with --epochs 12 --batch-size 64 --lr 0.05 --schedule
cosine-annealing).
"""

PICTURE = "fastopt-train.png"

#: What may differ when a run is resumed; all else is as it was.
_FREE = ("epochs", "backend")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLES + SCHEDULES
    _options.add_data(parser)
    parser.add_argument("--preset", metavar="NAME", help="settings by name, see --list-presets")
    parser.add_argument("--list-presets", action="store_true", help="list the presets and exit")
    _options.add_network(parser)
    _options.add_optimizer(parser)
    group = _options.add_length(parser)
    group.add_argument(
        "--guard", action="store_true", default=None, help="when the loss explodes: go back, lower the rate, go on"
    )
    group.add_argument("--snapshots", type=_options.count(), metavar="M", help="cosine cycles, and their ensemble")
    group.add_argument(
        "--early-stopping",
        type=_options.count(),
        metavar="EPOCHS",
        help="stop when the validation loss has not improved for so long; keep the best weights",
    )
    group.add_argument(
        "--validate",
        action=argparse.BooleanOptionalAction,
        help="measure validation data after each epoch (on, unless an epoch is one update)",
    )
    group.add_argument("--checkpoint", metavar="FILE", help="save the run here, as .npz, to go on from")
    group.add_argument(
        "--checkpoint-every",
        type=_options.count(),
        metavar="N",
        help="epochs between saves (1; 100 if one update each)",
    )
    group.add_argument("--resume", metavar="FILE", help="go on with a run, with its settings, and save it there")
    output = _options.add_output(parser, PICTURE, moving=True)
    output.add_argument(
        "--print-every", type=_options.count(), metavar="N", help="epochs between lines (100; 1 if longer)"
    )


def run(args: argparse.Namespace) -> int:
    """Train."""
    if args.list_presets:
        return _list_presets()
    settings = settings_of(args)
    if args.checkpoint is None:
        args.checkpoint = args.resume
    if args.checkpoint is not None:
        check_file("--checkpoint", args.checkpoint, (".npz",))
    picture = check_outputs(args, PICTURE)
    return _Run(args, settings, picture).run()


def settings_of(args: argparse.Namespace) -> Settings:
    """Join options, preset and resumed run."""
    options = given(args)
    preset: dict[str, Any] = {}
    if args.preset is not None:
        from fastopt.cli._presets import PRESETS

        if args.preset not in PRESETS:
            if hint := did_you_mean(args.preset, PRESETS):
                raise UsageError(f"--preset: there is no {args.preset!r}{hint}")
            raise UsageError(f"--preset: expected one of {', '.join(PRESETS)}, got {args.preset!r}")
        preset = dict(PRESETS[args.preset])
        for name in ("source", "optimizer"):
            if options.get(name, preset[name]) != preset[name]:
                raise UsageError(f"--preset: {args.preset} is {preset[name]}, not {options[name]}")
    if args.resume is None:
        return resolve(options, preset)
    saved = _saved_settings(args.resume)
    for name in options.keys() & saved.keys() - set(_FREE):
        if options[name] != saved[name]:
            flag = "data" if name in ("source", "folder") else name.replace("_", "-")
            raise UsageError(f"--{flag}: the run in {args.resume} {_difference(saved[name], options[name])}")
    return resolve(options, preset, saved)


def _difference(saved: Any, wanted: Any) -> str:
    """Say what a run was begun with instead of what is wanted now."""
    if saved is None or isinstance(saved, bool):
        return f"was begun {'with' if saved else 'without'} it"
    texts = [",".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in (saved, wanted)]
    return f"has {texts[0] or 'none'}, got {texts[1] or 'none'}"


def _saved_settings(path: str) -> dict[str, Any]:
    """Return the settings in a checkpoint; none if it was saved from Python."""
    from fastopt.nn import checkpoint

    if not Path(path).is_file():
        raise UsageError(f"--resume: there is no file {path!r}")
    _, meta = checkpoint.load(path, kind="training run")
    saved = meta["callbacks"].get("CommandLine0", {})
    saved = {name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()}
    return {name: value for name, value in saved.items() if name in NAMES}


def _list_presets() -> int:
    from fastopt.cli._presets import PRESETS

    rows = []
    for name, preset in PRESETS.items():
        rest = ", ".join(f"{key} {preset[key]:g}" for key in ("momentum", "rho", "eps") if key in preset)
        rows.append([name, preset["optimizer"], f"{preset['lr']:g}", f"{preset['decay']:g}", rest])
    show_table(["preset", "optimizer", "lr", "decay", ""], rows)
    return 0


class _Run:
    """One call of the command."""

    def __init__(self, args: argparse.Namespace, settings: Settings, picture: Path | None) -> None:
        self.args, self.settings, self.picture = args, settings, picture
        self.data = load_data(settings)
        rate = make_rate(settings, self.data)
        self.net = make_network(settings, self.data)
        self.optimizer = with_average(make_optimizer(settings, self.net, rate), settings, self.data)
        self.whole = updates(settings, self.data) == 1
        self.validate = settings.validate
        if self.validate is None:
            self.validate = not self.whole or settings.early_stopping is not None
        if settings.early_stopping is not None and not self.validate:
            raise UsageError("--early-stopping: needs validation data, got --no-validate")
        self.classify = self.data.task == "classification"
        self.ensembles: dict[str, Any] | None = None
        self.beside = {what: beside(args, picture, what) for what in self._more_pictures()}
        self._make_callbacks()

    def _more_pictures(self) -> Iterator[str]:
        """Name the pictures that come with the report."""
        if self.classify and self.data.X.shape[1] > 2:
            yield "confusion"
            if self.data.image_shape is not None:
                yield "mistakes"
        if self.settings.guard:
            yield "guard"
        if self.settings.snapshots is not None:
            yield "ensemble"

    def _make_callbacks(self) -> None:
        from fastopt import nn
        from fastopt.cli import _callbacks as own

        args, settings = self.args, self.settings
        self.steps = self.snapshots = self.film = None
        self.callbacks: list[nn.Callback] = [own.CommandLine(dataclasses.asdict(settings))]
        if settings.guard:
            self.steps = own.StepRecorder()
            self.callbacks += [self.steps, nn.ExplosionGuard()]
        if settings.snapshots is not None:
            ensemble = nn.SnapshotEnsemble()
            self.snapshots = own.SnapshotScores(ensemble, self.data.X_test, self.data.y_test)
            self.callbacks += [ensemble, self.snapshots]
        if settings.early_stopping is not None:
            self.callbacks.append(nn.EarlyStopping(patience=settings.early_stopping))
        if args.animate is not None:
            from fastopt import plots

            every = max(1, settings.epochs // 100)
            self.film = plots.Film(self.data.X, self.data.y, every=every, classes=self.data.classes)
            self.callbacks.append(self.film)
        if args.checkpoint is not None:
            every = args.checkpoint_every or (100 if self.whole else 1)
            self.callbacks.append(nn.Checkpoint(args.checkpoint, every=every))
        if args.quiet:
            return
        bar_prints = has_terminal() and not self.whole and args.print_every is None
        if not bar_prints:
            self.callbacks.append(nn.EpochPrinter(args.print_every or (100 if self.whole else 1)))
        if has_terminal():
            self.callbacks.append(nn.ProgressBar(per_epoch=bar_prints))

    def run(self) -> int:
        """Train, report, draw."""
        from fastopt import nn
        from fastopt.cli._callbacks import printed_rescues

        settings, data = self.settings, self.data
        if not self.args.quiet:
            show_data(data)
            show("network", describe_network(self.net))
            show("optimizer", describe_optimizer(self.optimizer))
            show_average(settings, data)
            if self.args.resume is not None:
                show("resumed", self.args.resume)
        training = nn.Training(
            self.net,
            data.X,
            data.y,
            optimizer=self.optimizer,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            seed=settings.seed,
            validation_data=(data.X_test, data.y_test) if self.validate else None,
            callbacks=self.callbacks,
            clip_norm=settings.clip_norm,
        )
        try:
            with printed_rescues(quiet=self.args.quiet), warnings.catch_warnings():
                # A cycle that collapsed is reported as an event.
                warnings.filterwarnings("ignore", "SnapshotEnsemble", UserWarning)
                training.run(self.args.resume)
        except nn.Diverged as error:
            message = sentence(error)
            if self.args.checkpoint is not None and Path(self.args.checkpoint).exists():
                message += f" (the run before that is in {self.args.checkpoint})"
            say("fastopt train", message)
            self._finish(training, {"error": message}, [])
            return 1
        return self._report(training)

    def _report(self, training: "Training") -> int:
        history = training.history
        result = {
            part: measure(self.net, self.data, X, y)
            for part, X, y in (
                ("training", self.data.X, self.data.y),
                ("validation", self.data.X_test, self.data.y_test),
            )
        }
        for part, measured in result.items():
            show(part, describe_measured(measured))
        if self.data.y_scaling is not None and not self.args.quiet:
            show("", "(the RMSE is in the units of the targets, the loss that of targets with mean 0 and variance 1)")
        for event in history.events:
            if event["kind"] != "rescue":  # those were printed when they happened
                show("event", _event(event))
        if history.epochs and not self.args.quiet and (hint := self._hint(training, result["training"]["loss"])):
            show("hint", hint)
        if self.snapshots is not None and self.snapshots.scores:
            self._show_snapshots(result)
        steps = self.optimizer.steps
        share = history.optimizer_seconds / max(history.seconds, 1e-9)
        show(
            "time",
            f"{history.seconds:.2f} s, of which {history.optimizer_seconds:.2f} s ({share:.0%}) in the optimizer: "
            f"{steps} steps, {1e6 * history.optimizer_seconds / max(steps, 1):.1f} us each",
        )
        show("kernels", describe_kernels())
        if history.interrupted:
            done = f"interrupted in epoch {training.epoch}"
            if self.args.checkpoint is None:
                say("fastopt train", f"{done}; nothing was saved (--checkpoint FILE does)")
            else:
                say("fastopt train", f"{done}; go on with: fastopt train --resume {self.args.checkpoint}")
        self._finish(training, result, self._pictures(history, result) if history.epochs else [])
        return 130 if history.interrupted else 0

    def _hint(self, training: "Training", loss: float) -> str | None:
        """Say what to try if the network learned nothing or got worse."""
        constant = self.net.loss.constant(training.y)
        losses = training.history["loss"]
        if loss >= 0.95 * constant > 0:
            lower = "no" if loss >= constant else "hardly"
            found = f"the training loss is {lower} lower than the {constant:.4g} of always giving the same answer"
        elif losses[-1] > losses[0]:
            found = "the loss is higher than in the beginning"
        else:
            return None
        tries = {
            "a lower --lr (see fastopt lr-find)": True,
            "--warmup 100": not self.settings.warmup,
            "--clip-norm 1": self.settings.clip_norm is None,
            "--guard": not self.settings.guard,
        }
        return f"{found}; if more epochs do not help, try {', '.join(name for name, new in tries.items() if new)}"

    def _show_snapshots(self, result: dict[str, Any]) -> None:
        assert self.snapshots is not None
        key = "accuracy" if self.classify else "loss"
        scores = self.snapshots
        alone = [score[key] for score in scores.scores]
        counts = range(1, len(scores.ensemble) + 1)
        together = [scores.ensemble.evaluate(self.data.X_test, self.data.y_test, last=m)[key] for m in counts]
        self.ensembles = {"quantity": f"validation {key}", "alone": alone, "together": together}
        result["snapshots"] = self.ensembles
        show("snapshots", f"validation {key} " + ", ".join(f"{value:.3f}" for value in alone))
        show("ensemble", f"validation {key} {together[-1]:.3f} (mean prediction of {len(together)} snapshots)")

    def _pictures(self, history: "History", result: dict[str, Any]) -> list[Picture]:
        data, net = self.data, self.net
        key = "accuracy" if self.classify else "loss"
        reached = f"{key} {result['training'][key]:.3g}, validation {result['validation'][key]:.3g}"
        run = f"{one_line(data.name)}, {self.args.preset or self.settings.optimizer}"

        pictures = []

        def add(path: Path | None, make: Callable[[Any], Any], label: str = "picture") -> None:
            if path is not None:
                pictures.append(Picture(path, make, label))

        add(
            self.picture,
            lambda plots: plots.training_report(
                net, data.X, data.y, history, classes=data.classes, title=f"{run}: {reached}"
            ),
        )
        add(
            self.beside.get("confusion"),
            lambda plots: plots.confusion_matrix(data.y_test, net.predict(data.X_test), classes=data.classes),
        )
        add(
            self.beside.get("mistakes"),
            lambda plots: plots.worst_mistakes(
                data.X_test, data.y_test, net.predict(data.X_test), image_shape=data.image_shape, classes=data.classes
            ),
        )
        if (steps := self.steps) is not None:
            add(self.beside.get("guard"), lambda plots: plots.rescues(steps.losses, history.events, lrs=steps.lrs))
        if (both := self.ensembles) is not None:
            add(
                self.beside.get("ensemble"),
                lambda plots: plots.ensemble(both["alone"], both["together"], quantity=both["quantity"]),
            )
        if (film := self.film) is not None and len(film.frames) > 1:
            add(Path(self.args.animate), lambda plots: plots.film(film, title=run), "animation")
        return pictures

    def _finish(self, training: "Training", result: dict[str, Any], pictures: list[Picture]) -> None:
        import fastopt

        finish(
            self.args,
            {
                "command": "train",
                "settings": dataclasses.asdict(self.settings),
                "data": describe_data(self.data),
                "note": self.data.note,
                "network": repr(self.net),
                "optimizer": repr(self.optimizer),
                "status": training.status,
                **result,
                "history": training.history.to_dict(),
                "steps": self.optimizer.steps,
                "checkpoint": self.args.checkpoint,
                "config": fastopt.show_config("dicts"),
            },
            pictures,
        )


def _event(event: dict[str, Any]) -> str:
    return f"epoch {event['epoch']}: {event.get('reason', event['kind'])}"
