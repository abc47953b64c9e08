"""From options to data, network and optimizer: what train, compare, lr-find and landscape share."""

import argparse
import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fastopt._typing import Array
from fastopt.cli._errors import UsageError, did_you_mean
from fastopt.cli._optimizers import OPTIMIZERS
from fastopt.cli._output import show

if TYPE_CHECKING:
    from fastopt.nn import Network
    from fastopt.nn.data import Dataset

ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh"}

#: nnfs: as in "Neural Networks from Scratch", normal with 0.01 from the random stream that made the spiral.
INITIALIZERS = ("he", "glorot", "lecun", "normal", "nnfs")


@dataclass
class Settings:
    """All options of a training, resolved."""

    source: str = "spiral"
    samples: int | None = None
    classes: int | None = None
    noise: float | None = None
    folder: str | None = None
    target: str | None = None
    task: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    missing: str | None = None
    scale: tuple[float, float] | None = None
    seed: int = 0
    hidden: tuple[int, ...] = (64,)
    activation: str = "relu"
    init: str = "he"
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    dtype: str = "float32"
    optimizer: str = "adam"
    lr: float | None = None
    decay: float | None = None
    schedule: str | None = None
    warmup: int = 0
    cycle_momentum: bool = False
    momentum: float | None = None
    lr_in_velocity: bool | None = None
    rho: float | None = None
    betas: tuple[float, float] | None = None
    eps: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None
    average: str | None = None
    epochs: int = 50
    batch_size: int | None = 32
    backend: str | None = None
    preset: str | None = None
    guard: bool = False
    snapshots: int | None = None
    early_stopping: int | None = None
    validate: bool | None = None


NAMES = tuple(field.name for field in dataclasses.fields(Settings))

#: What suits each data set, unless the options say something else; "" is a table of the user's.
_BY_DATA: dict[str, dict[str, Any]] = {
    "spiral": {"hidden": (64,), "epochs": 10001, "batch_size": None},
    "vertical": {"hidden": (64,), "epochs": 1001, "batch_size": None},
    "sine": {"hidden": (64, 64), "activation": "tanh", "init": "glorot", "epochs": 2001, "batch_size": None},
    "digits": {"hidden": (64,), "epochs": 20, "batch_size": 32},
    "fashion-mnist": {"hidden": (512,), "dropout": 0.2, "epochs": 5, "batch_size": 32, "optimizer": "momentum"},
    "": {"hidden": (64,), "epochs": 50, "batch_size": 32},
}


def given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, those in ``--optimizer NAME:ARG=VALUE,...`` among them."""
    options = {name: value for name, value in vars(args).items() if name in NAMES and value is not None}
    parts: dict[str, Any] = options.pop("optimizer", {})
    if twice := sorted(options.keys() & parts.keys()):
        raise UsageError(f"--{twice[0].replace('_', '-')}: given twice, by itself and in --optimizer")
    return options | parts


def resolve(
    options: Mapping[str, Any], *layers: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Settings:
    """Join options with what they leave open: `layers`, the first counts most, then what suits data and optimizer."""
    merged: dict[str, Any] = {}
    for layer in (*reversed(layers), options):
        merged |= layer
    source = merged.get("source", "spiral")
    suits = _BY_DATA.get(source, _BY_DATA[""])
    settings = Settings(**{**suits, **(defaults or {}), **merged})
    lr, decay = rates(settings, settings.optimizer)
    if settings.lr is None:
        settings.lr = lr
    if settings.decay is None:
        # The decay that suits a data set goes with the rate that does: one of the user's stays as it is.
        settings.decay = 0.0 if settings.schedule is not None or "lr" in merged else decay
    return settings


def rates(settings: Settings, optimizer: str) -> tuple[float, float]:
    """Return the learning rate and the 1/t decay that suit an optimizer on this data."""
    lr, decay = OPTIMIZERS[optimizer].rates(whole=settings.source in ("spiral", "vertical", "sine"))
    return ((0.01 if lr < 0.1 else 0.1), 1e-3) if settings.source == "sine" else (lr, decay)


def load_data(settings: Settings) -> "Dataset":
    """Load the data that the settings name."""
    from fastopt.nn import data

    source = settings.source
    fits = {
        "samples": ("spiral", "vertical", "sine"),
        "classes": ("spiral", "vertical"),
        "noise": ("spiral", "vertical"),
        "folder": ("fashion-mnist",),
        "scale": ("digits", "fashion-mnist"),
    }
    for name, sources in fits.items():
        if getattr(settings, name) is not None and source not in sources:
            option = "data" if name == "folder" else name
            raise UsageError(f"--{option}: only for {', '.join(sources)}, not for {source}")
    options = {name: getattr(settings, name) for name in ("target", "task", "delimiter", "decimal", "missing")}
    options = {name: value for name, value in options.items() if value is not None}
    if source in data.NAMES and options:
        raise UsageError(f"--{next(iter(options))}: only for a table ({', '.join(data.SUFFIXES)}), not for {source}")
    sizes = {name: getattr(settings, name) for name in ("samples", "classes", "noise")}
    sizes = {name: value for name, value in sizes.items() if value is not None}
    pixels: dict[str, Any] = {} if settings.scale is None else {"pixel_range": settings.scale}
    if source == "spiral":
        return data.spiral(**sizes, seed=settings.seed)
    if source == "vertical":
        return data.vertical(**sizes, seed=settings.seed)
    if source == "sine":
        return data.sine(**sizes)
    if source == "digits":
        return data.digits(**pixels, seed=settings.seed)
    if source == "fashion-mnist":
        return data.fashion_mnist(settings.folder, **pixels)
    if not source.lower().endswith(data.SUFFIXES):
        if hint := did_you_mean(source, data.NAMES):
            raise UsageError(f"data: there is no {source!r}{hint}")
        raise UsageError(
            f"data: expected one of {', '.join(data.NAMES)} or a {', '.join(data.SUFFIXES)} file, got {source!r}"
        )
    try:
        # No rate suits house prices and percentages alike.
        return data.load_table(source, **options, seed=settings.seed, standardize_targets=True)
    except ValueError as error:
        raise UsageError(_with_options(str(error))) from None


def _with_options(text: str) -> str:
    """Turn the arguments of `load_table` in a message into options."""
    return re.sub(r'\b(task|decimal|missing)="([^"]+)"', r"--\1=\2", text)


def make_network(settings: Settings, dataset: "Dataset") -> "Network":
    """Make the network for the data."""
    from fastopt import nn

    initializer = _initializer(settings, dataset)
    widths = [dataset.X.shape[1], *settings.hidden, dataset.outputs]
    layers: list[nn.Layer] = []
    for i, (n_inputs, n_outputs) in enumerate(pairwise(widths)):
        if i > 0:
            layers.append(getattr(nn, ACTIVATIONS[settings.activation])())
            if settings.dropout:
                layers.append(nn.Dropout(settings.dropout))
        layers.append(
            nn.Dense(n_inputs, n_outputs, initializer=initializer, weight_l1=settings.l1, weight_l2=settings.l2)
        )
    loss = nn.MeanSquaredError() if dataset.task == "regression" else nn.SoftmaxCrossEntropy()
    return nn.Network(layers, loss=loss, dtype=settings.dtype, seed=settings.seed)


def _initializer(settings: Settings, dataset: "Dataset") -> Any:
    from fastopt import nn

    if settings.init == "nnfs":
        if settings.source != "spiral":
            raise UsageError(f"--init: nnfs is only for spiral, not for {settings.source}")
        return _book_stream(settings.seed, len(dataset.X))
    return {"he": nn.He, "glorot": nn.Glorot, "lecun": nn.LeCun, "normal": nn.Normal}[settings.init]()


def _book_stream(seed: int, drawn: int) -> Any:
    """Make the initializer that goes on with the random stream from which the spiral drew `drawn` numbers."""
    import numpy as np

    random = np.random.RandomState(seed)
    random.standard_normal(drawn)

    def fill(array: Array, rng: object) -> None:
        array[...] = random.standard_normal(array.shape)
        array *= 0.01

    return fill


def updates(settings: Settings, dataset: "Dataset") -> int:
    """Return the number of updates in an epoch."""
    size = settings.batch_size or len(dataset.X)
    return -(-len(dataset.X) // size)


def make_rate(settings: Settings, dataset: "Dataset") -> Any:
    """Make the learning rate: a number, or a schedule."""
    from fastopt import schedules
    from fastopt.cli import _schedules

    lr, decay, epoch = settings.lr, settings.decay, updates(settings, dataset)
    assert lr is not None
    assert decay is not None
    rate: Any = lr
    total = max(1, settings.epochs * epoch - settings.warmup)
    if settings.schedule is not None:
        rate = _schedules.parse(settings.schedule, lr=lr, total=total, epoch=epoch)
        if settings.snapshots is not None and not rate.cyclic:
            raise UsageError(
                f"--snapshots: needs a schedule with cycles, such as snapshot-cosine, got {settings.schedule}"
            )
        # With all that was filled in, so that a resumed run goes on with it.
        settings.schedule = _schedules.text_of(rate)
    elif settings.snapshots is not None:
        rate = _schedules.build(schedules.SnapshotCosine, {"cycles": settings.snapshots}, lr=lr, total=total)
        settings.schedule = _schedules.text_of(rate)
    elif decay:
        rate = schedules.InverseTimeDecay(lr, decay)
    if settings.warmup:
        rate = schedules.Warmup(schedules.Constant(lr) if rate is lr else rate, settings.warmup)
    return rate


def make_optimizer(settings: Settings, net: "Network", rate: Any) -> Any:
    """Make the optimizer for a network: over one array, or over those of each layer where the rule asks for them."""
    choice = OPTIMIZERS[settings.optimizer]
    keywords = dict(choice.fixed)
    for name in ("momentum", "lr_in_velocity", "rho", "betas", "eps", "weight_decay"):
        value, keyword = getattr(settings, name), "alpha" if name == "rho" else name
        if value is None:
            continue
        if keyword not in choice.defaults:
            raise UsageError(f"--{name.replace('_', '-')}: {settings.optimizer} has no such setting")
        keywords[keyword] = value
    if settings.cycle_momentum:
        if not choice.defaults.keys() & {"momentum", "betas"}:
            raise UsageError(f"--cycle-momentum: {settings.optimizer} has no such setting")
        moved = getattr(getattr(rate, "schedule", rate), "momentum", None)
        if moved is None or settings.warmup:
            raise UsageError("--cycle-momentum: needs --schedule one-cycle or cyclical, without --warmup")
        if "momentum" in choice.defaults:
            keywords["momentum"] = moved
        else:
            keywords["betas"] = moved, (settings.betas or choice.defaults["betas"])[1]
    return choice.cls(net.named_params() if choice.layerwise else net.params, lr=rate, **keywords)


def with_average(optimizer: Any, settings: Settings, dataset: "Dataset") -> Any:
    """Return the optimizer with the average of the weights that the settings name around it, or as it is for none."""
    if settings.average is None:
        return optimizer
    from fastopt.cli import _averages

    name, values = _average(settings, dataset)
    # With all that was filled in, so that a resumed run goes on with it.
    settings.average = _averages.text_of(name, values)
    try:
        return _averages.CLASSES[name][0](optimizer, **values)
    except ValueError as error:
        raise UsageError(f"--average: {error}") from None


def _average(settings: Settings, dataset: "Dataset") -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of the average of the weights."""
    from fastopt.cli import _averages

    assert settings.average is not None
    epoch = updates(settings, dataset)
    return _averages.parse(settings.average, total=settings.epochs * epoch, epoch=epoch)


def show_average(settings: Settings, dataset: "Dataset") -> None:
    """Print which average of the weights there is, and a note if much of it is older than the training."""
    if settings.average is None:
        return
    from fastopt.cli import _averages

    name, values = _average(settings, dataset)
    show("average", _averages.text_of(name, values))
    if (share := values.get("decay", 0.0) ** (settings.epochs * updates(settings, dataset))) > 0.05:
        show("note", f"the weights before the training are {share:.0%} of the average; a lower decay forgets them")


def measure(net: "Network", dataset: "Dataset", X: Any, y: Any) -> dict[str, Any]:
    """Return loss and accuracy; for a regression the loss, and RMSE in the units of the data and R2 of each output.

    R2 is the share of the variance of `y` that is explained; None where all targets are the same.
    """
    measured: dict[str, Any] = dict(net.evaluate(X, y))
    if dataset.task == "classification":
        return measured
    import numpy as np

    scale = 1.0 if dataset.y_scaling is None else dataset.y_scaling.scale
    squares = np.square(net.predict(X) - y.astype("float64")).mean(axis=0)
    variances = np.ptp(y, axis=0).astype(bool) * y.var(axis=0, dtype="float64")
    errors = (np.sqrt(squares) * scale).tolist()
    shares = [1 - s / v if v else None for s, v in zip(squares.tolist(), variances.tolist(), strict=True)]
    measured["rmse"], measured["r2"] = (errors, shares) if len(errors) > 1 else (errors[0], shares[0])
    return measured


def describe_measured(measured: Mapping[str, Any]) -> str:
    """Say in a line how good a network is."""
    if "accuracy" in measured:
        return f"accuracy {measured['accuracy']:.3f}, loss {measured['loss']:.4g}"
    return f"RMSE {rmse(measured)}, R2 {r2(measured)}, loss {measured['loss']:.4g}"


def rmse(measured: Mapping[str, Any]) -> str:
    """Write the RMSE of each output."""
    return _each(measured["rmse"], lambda value: f"{float(f'{value:.4g}'):,.10g}")


def r2(measured: Mapping[str, Any]) -> str:
    """Write the R2 of each output."""
    return _each(measured["r2"], lambda value: "undefined" if value is None else f"{value:.3f}")


def _each(values: Any, write: Callable[[Any], str]) -> str:
    """Write one value, or the first of several."""
    texts = [write(value) for value in (values if isinstance(values, list) else [values])]
    return " / ".join(texts if len(texts) <= 4 else [*texts[:3], "..."])


def describe_data(dataset: "Dataset") -> str:
    """Say in a line what the data is."""

    def some(number: int, what: str) -> str:
        return f"{number} {what}{'s' if number > 1 else ''}"

    learnt = f"{len(dataset.classes)} classes" if dataset.classes else f"regression, {some(dataset.outputs, 'output')}"
    return (
        f"{dataset.name}: {len(dataset.X)} training and {len(dataset.X_test)} validation samples, "
        f"{some(dataset.X.shape[1], 'feature')}, {learnt}"
    )


def show_data(dataset: "Dataset") -> None:
    """Print what the data is, and how its task was decided if that may be wrong."""
    show("data", describe_data(dataset))
    if dataset.note:
        show("note", _with_options(dataset.note))


def describe_network(net: "Network") -> str:
    """Say in a line what the network is."""
    text = repr(net)
    return text[text.index("(") + 1 : -1]


def describe_optimizer(optimizer: Any) -> str:
    """Say in a line what the optimizer is, with the settings that matter."""
    optimizer = getattr(optimizer, "optimizer", optimizer)
    shown = [type(optimizer).__name__]
    for name, value in optimizer.groups[0].hyper_parameters().items():
        if value is not False and (value != 0 or name == "lr"):
            shown.append(f"{name} {short(value)}")
    return ", ".join(shown)


def short(value: Any) -> str:
    """Write a number, or a schedule without what it has by default."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return f"({', '.join(map(short, value))})"
    if getattr(value, "__name__", "") == "momentum":
        return "against the rate"
    if not dataclasses.is_dataclass(value):
        return str(value)
    fields = [field for field in dataclasses.fields(value) if field.init]
    texts = [
        f"{field.name}={short(getattr(value, field.name))}"
        for field in fields
        if getattr(value, field.name) != field.default
    ]
    return f"{type(value).__name__}({', '.join(texts)})"


def describe_kernels() -> str:
    """Say which kernels ran."""
    import fastopt

    config = fastopt.show_config("dicts")
    isa = f", instruction set {config['instruction_set']}" if config["instruction_set"] else ""
    return f"{config['backend']}{isa}, {config['threads']} thread{'s' if config['threads'] > 1 else ''}"
