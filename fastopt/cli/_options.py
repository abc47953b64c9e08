"""Kinds of values, and the options that several commands share.

No option has a default here: `None` is "not given", so that a preset, a resumed run or the data can decide.
"""

import argparse
import math
from collections.abc import Callable
from typing import Any

from fastopt.cli import _specs
from fastopt.cli._errors import UsageError, invalid_choice
from fastopt.cli._optimizers import OPTIMIZERS, having
from fastopt.cli._setup import ACTIVATIONS, INITIALIZERS
from fastopt.kernels._backend import BACKENDS

Arguments = argparse._ActionsContainer


def count(least: int = 1, most: int = 10**9) -> Callable[[str], int]:
    """Make the type of a whole number."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {least}, got {text!r}")
        if value > most:
            raise argparse.ArgumentTypeError(f"expected a whole number <= {most}, got {text!r}")
        return value

    return convert


def real(least: float = 0.0, *, below: float = math.inf, above: bool = False) -> Callable[[str], float]:
    """Make the type of a finite number of at least `least`, or above it, and below `below`."""
    expected = f"expected a number {'>' if above else '>='} {least:g}"
    if below < math.inf:
        expected += f" and < {below:g}"

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < below or (above and value == least):
            raise argparse.ArgumentTypeError(f"{expected}, got {text!r}")
        return value

    return convert


def widths(text: str) -> tuple[int, ...]:
    """Read the widths of the hidden layers: ``64``, ``128,64`` or ``none``."""
    if text == "none":
        return ()
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = (0,)
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"expected widths such as 64 or 128,64, or none, got {text!r}")
    if max(values) > 10**6:
        raise argparse.ArgumentTypeError(f"expected widths <= {10**6}, got {text!r}")
    return values


def betas(text: str) -> tuple[float, float]:
    """Read Adam's two betas: ``0.9,0.999``, or ``0.9/0.999`` where commas separate arguments."""
    share = real(below=1)
    parts = text.replace("/", ",").split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"expected two numbers such as 0.9,0.999, got {text!r}")
    return share(parts[0]), share(parts[1])


#: Arguments of an optimizer in its text form, and how to read each; they are options by the same names, too.
ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "lr": real(),
    "decay": real(),
    "momentum": real(below=1),
    "rho": real(below=1),
    "betas": betas,
    "eps": real(),
    "weight-decay": real(),
}


def optimizer(text: str) -> dict[str, Any]:
    """Read an optimizer, ``NAME:ARG=VALUE,...``: the options that it stands for, its name as ``"optimizer"``."""
    name, texts = _specs.split(text)
    if name not in OPTIMIZERS:
        raise argparse.ArgumentTypeError(invalid_choice(name, OPTIMIZERS))
    values: dict[str, Any] = {"optimizer": name}
    try:
        for argument, value in _specs.by_name(texts, ARGUMENTS, name).items():
            try:
                values[argument.replace("-", "_")] = ARGUMENTS[argument](value)
            except argparse.ArgumentTypeError as error:
                raise UsageError(f"{argument}: {error}") from None
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return values


def optimizer_without_rate(text: str) -> dict[str, Any]:
    """Read an optimizer whose rate the command sets."""
    values = optimizer(text)
    for name in ("lr", "decay"):
        if name in values:
            raise argparse.ArgumentTypeError(f"{name}: expected none, since the rate is what is looked for")
    return values


def delimiter(text: str) -> str:
    """Read the character between two columns; the tab also by name."""
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\r\n':
        raise argparse.ArgumentTypeError(f"expected one character, or tab, got {text!r}")
    return text


def interval(text: str) -> tuple[float, float]:
    """Read two numbers, the lower one first: ``0,1``."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise argparse.ArgumentTypeError(f"expected two numbers such as 0,1, the lower one first, got {text!r}")
    return low, high


def add_data(parser: argparse.ArgumentParser) -> Arguments:
    """Add which data to learn from."""
    parser.add_argument(
        "source",
        nargs="?",
        metavar="DATA",
        help="spiral (default), vertical, sine, digits, fashion-mnist, or the path of a .npz (arrays X and y), .csv "
        "or .tsv (y in the last column)",
    )
    group = parser.add_argument_group("data")
    group.add_argument(
        "--samples", type=count(most=10**7), metavar="N", help="samples per class of spiral, vertical; of sine"
    )
    group.add_argument("--classes", type=count(2, 10**5), metavar="N", help="classes of spiral and vertical")
    group.add_argument("--noise", type=real(), metavar="X", help="noise of spiral and vertical")
    group.add_argument("--data", dest="folder", metavar="DIR", help="folder with the files of fashion-mnist")
    group.add_argument(
        "--scale", type=interval, metavar="LOW,HIGH", help="range of the pixels of fashion-mnist and digits (-1,1)"
    )
    group.add_argument("--target", metavar="COLUMN", help="header of the column that is y in a .csv (the last)")
    group.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="what to learn from a table (text and few or gapless whole numbers are classes, other numbers targets)",
    )
    group.add_argument(
        "--delimiter", type=delimiter, metavar="X", help="between columns of a .csv (comma, semicolon or tab, as found)"
    )
    group.add_argument("--decimal", choices=(".", ","), help="decimal sign of a .csv (.)")
    group.add_argument(
        "--missing", choices=("drop", "mean"), help="leave out samples with missing values, or fill in means (refuse)"
    )
    group.add_argument(
        "--seed", type=count(0, 2**32 - 1), metavar="N", help="seed of data, weights, dropout, shuffling (0)"
    )
    return group


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add how the network looks."""
    group = parser.add_argument_group("network")
    group.add_argument("--hidden", type=widths, metavar="N,...", help="widths of the hidden layers: 64, 128,64 or none")
    group.add_argument("--activation", choices=tuple(ACTIVATIONS), help="after each hidden layer (relu)")
    group.add_argument("--init", choices=INITIALIZERS, help="initial weights (he)")
    group.add_argument("--dropout", type=real(below=1), metavar="P", help="share of the hidden values dropped")
    group.add_argument("--l1", type=real(), metavar="X", help="L1 penalty on the weights")
    group.add_argument("--l2", type=real(), metavar="X", help="L2 penalty on the weights")
    group.add_argument("--dtype", choices=("float32", "float64"), help="data type (float32)")


def add_optimizer(parser: argparse.ArgumentParser, *, one: bool = True, rate: bool = True) -> None:
    """Add the optimizer and its learning rate; without `one` only what holds for several at once."""
    group = parser.add_argument_group("optimizer")
    if one:
        group.add_argument(
            "--optimizer",
            type=optimizer if rate else optimizer_without_rate,
            metavar=_specs.FORM,
            help=f"out of {', '.join(OPTIMIZERS)} (adam; momentum for fashion-mnist), with options of this group as "
            "arguments if you like: adam:lr=0.01,betas=0.9/0.99",
        )
    if rate:
        _add_rate(group, one=one)
    if one:
        group.add_argument("--momentum", type=real(below=1), metavar="X", help=f"of {having('momentum')}")
        group.add_argument(
            "--lr-in-velocity",
            action="store_true",
            default=None,
            help="multiply by the rate before the velocity, as Keras does, not after it, as PyTorch does",
        )
        group.add_argument("--rho", type=real(below=1), metavar="X", help="share of its cache that rmsprop keeps")
        group.add_argument("--betas", type=betas, metavar="X,X", help=f"of {having('betas')}")
        group.add_argument("--eps", type=real(), metavar="X", help=f"epsilon of {having('eps')}")
    group.add_argument("--weight-decay", type=real(), metavar="X", help="L2 in the gradient; decoupled in adamw")
    group.add_argument("--clip-norm", type=real(above=True), metavar="X", help="scale longer gradients down to norm X")


def _add_rate(group: Arguments, *, one: bool) -> None:
    if one:
        group.add_argument(
            "--lr",
            type=real(),
            metavar="X",
            help="learning rate: constant, unless --decay, --schedule or --warmup says otherwise",
        )
    change = group.add_mutually_exclusive_group()
    change.add_argument("--decay", type=real(), metavar="X", help="1/t decay: lr / (1 + X * step)")
    if one:
        change.add_argument("--schedule", metavar=_specs.FORM, help="a schedule, such as one-cycle: see below")
        group.add_argument("--warmup", type=count(0), metavar="STEPS", help="rise to the first rate over these steps")
        group.add_argument(
            "--cycle-momentum",
            action="store_true",
            default=None,
            help="move the momentum against the rate: schedules one-cycle, cyclical",
        )


def add_length(parser: argparse.ArgumentParser, *, average: bool = True) -> Arguments:
    """Add how long to train."""
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=count(), metavar="N", help="passes over the data")
    group.add_argument("--batch-size", type=count(), metavar="N", help="samples per update")
    if average:
        group.add_argument(
            "--average",
            metavar=_specs.FORM,
            help="evaluate with an average of the weights: ema:decay=X, exponential (over a tenth of the training), "
            "or swa:start=N,every=N, their mean from update N on (over the last quarter, after each epoch)",
        )
    add_backend(group)
    return group


def add_backend(parser: Arguments) -> None:
    """Add what the computing is done with."""
    parser.add_argument("--backend", choices=BACKENDS, help="kernels to run on (the best there is)")
    parser.add_argument(
        "--threads",
        type=count(most=10**4),
        metavar="N",
        help="threads of the kernels, and at most of BLAS (all processors; BLAS as many as its products can use)",
    )


def add_output(parser: argparse.ArgumentParser, picture: str | None, *, moving: bool = False) -> Arguments:
    """Add where the results go; `picture` is the default name of the picture."""
    group = parser.add_argument_group("output")
    if picture is not None:
        where = group.add_mutually_exclusive_group()
        where.add_argument("--plot", metavar="FILE", help=f"picture: .png, .svg or .pdf ({picture})")
        where.add_argument("--no-plot", action="store_true", help="draw no picture")
    if moving:
        group.add_argument("--animate", metavar="FILE", help="moving picture: .gif, or .mp4 (needs ffmpeg)")
    group.add_argument("--json", metavar="FILE", help="results as JSON; - for standard output")
    group.add_argument("--quiet", action="store_true", help="print results only")
    return group
