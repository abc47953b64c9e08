"""``fastopt match``: the same training by fastopt and by another library."""

import argparse
from typing import Any, NamedTuple

import numpy as np

import fastopt
from fastopt._typing import Array
from fastopt.cli import _options, _specs
from fastopt.cli._errors import UsageError
from fastopt.cli._libraries import LIBRARIES, Run, Task, train_ours
from fastopt.cli._optimizers import OPTIMIZERS, having
from fastopt.cli._output import check_outputs, finish, show, show_table
from fastopt.cli._setup import (
    describe_kernels,
    describe_network,
    given,
    load_data,
    make_network,
    resolve,
    show_data,
)

EPILOG = """\
examples:
  fastopt match torch
  fastopt match torch --optimizer rmsprop:lr=0.001,rho=0.9
  fastopt match keras --optimizer nesterov --lr 0.1 --iterations 500
  fastopt match sklearn --seed 7 --json match.json

A network of 2, 64 and 3 values with ReLU learns the spiral in one batch, in float64, twice from the same weights: by
fastopt.nn with fastopt's optimizer, and by the library with its own network, gradients and optimizer. Both optimizers
get the same arguments; what is not given has the library's default, and where it has none for the rate, fastopt's.

The losses are those before each update, their difference relative to the library's. That of the parameters after the
last update is relative to the largest of them. "last bit" is how far two trainings by fastopt are apart, from weights
that differ in their last bit: nothing can be equal to less than that. It grows with the rate and with the iterations.
The exit code is 1 if a relative difference is larger than --tolerance.
"""

#: Arguments of an optimizer here: the rate stays constant.
ARGUMENTS = [name for name in _options.ARGUMENTS if name != "decay"]

HELP = {"lr": "learning rate", "rho": "share of its cache that rmsprop keeps", "betas": f"of {having('betas')}"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    parser.add_argument("library", choices=LIBRARIES, metavar="LIBRARY", help=f"one of {', '.join(LIBRARIES)}")
    group = parser.add_argument_group("optimizer")
    group.add_argument(
        "--optimizer",
        type=_options.optimizer,
        default={"optimizer": "adam"},
        metavar=_specs.FORM,
        help=f"out of {', '.join(OPTIMIZERS)} (adam), as far as the library has it, with options of this group as "
        "arguments if you like",
    )
    for name in ARGUMENTS:
        text = HELP.get(name, f"of {having(name.replace('-', '_'))}")
        group.add_argument(
            f"--{name}", type=_options.ARGUMENTS[name], metavar="X,X" if name == "betas" else "X", help=text
        )
    group = parser.add_argument_group("training")
    group.add_argument("--iterations", type=_options.count(), default=1000, metavar="N", help="updates (1000)")
    group.add_argument(
        "--seed", type=_options.count(0, 2**32 - 1), metavar="N", help="seed of data and initial weights (0)"
    )
    group.add_argument(
        "--tolerance", type=_options.real(), default=1e-6, metavar="X", help="largest relative difference (1e-06)"
    )
    _options.add_backend(group)
    output = _options.add_output(parser, None)
    output.add_argument(
        "--print-every", type=_options.count(), metavar="N", help="iterations between lines (a tenth of them)"
    )


class Difference(NamedTuple):
    """The largest difference between two arrays, infinite where one has no finite value."""

    absolute: float
    relative: float
    at: int

    @classmethod
    def of(cls, own: Array, other: Array, scale: Any) -> "Difference":
        """Compare; `scale` is what a difference is relative to."""
        apart = np.abs(own - other)
        apart[~np.isfinite(apart)] = np.inf
        relative = np.divide(apart, scale, out=np.where(apart > 0, np.inf, 0.0), where=(scale > 0) & (apart < np.inf))
        at = int(np.argmax(relative))
        return cls(float(apart.max()), float(relative[at]), at)


def run(args: argparse.Namespace) -> int:
    """Train twice, and compare."""
    check_outputs(args)
    options = given(args)
    if "decay" in options:
        raise UsageError("--optimizer: decay: expected none, since the rate stays constant")
    library = LIBRARIES[args.library]()
    name = options["optimizer"]
    settings = {key: options[key] for key in (name.replace("-", "_") for name in ARGUMENTS) if key in options}
    arguments = library.arguments(name, settings)
    setup = resolve({"seed": options.get("seed", 0), "dtype": "float64"})
    data = load_data(setup)
    net = make_network(setup, data)
    task = Task(net, net.as_inputs(data.X), net.as_targets(data.y, len(data.X)), args.iterations)
    calls = library.describe(name, arguments)
    if not args.quiet:
        show_data(data)
        show("network", describe_network(net))
        show("fastopt", f"{fastopt.__version__}: {calls[0]}")
        show(args.library, f"{library.version()}: {calls[1]}")
        show("kernels", describe_kernels())
        if library.note:
            show("note", library.note)
    own = train_ours(library, task, name, arguments)
    near = train_ours(library, task, name, arguments, last_bit=True)
    other = library.train(task, name, arguments)
    loss = Difference.of(own.losses, other.losses, np.abs(other.losses))
    params = Difference.of(own.params, other.params, np.abs(other.params).max())
    last_bit = Difference.of(near.losses, own.losses, np.abs(own.losses))
    if not args.quiet:
        _show_losses(args, own, other)
    equal = max(loss.relative, params.relative) <= args.tolerance
    show("loss", f"{_apart(loss)}, at iteration {loss.at + 1}")
    show("parameters", f"{_apart(params)}, after iteration {args.iterations}")
    show("last bit", f"{_apart(last_bit)}, in the loss of fastopt alone")
    show("result", _verdict(equal, last_bit, args.tolerance))
    result = {
        "command": "match",
        "library": args.library,
        "versions": {"fastopt": fastopt.__version__, args.library: library.version()},
        "optimizer": name,
        "arguments": arguments,
        "calls": {"fastopt": calls[0], args.library: calls[1]},
        "seed": setup.seed,
        "losses": {"fastopt": own.losses, args.library: other.losses},
        "differences": {
            "loss": {"absolute": loss.absolute, "relative": loss.relative, "iteration": loss.at + 1},
            "parameters": {"absolute": params.absolute, "relative": params.relative},
            "last_bit": {"absolute": last_bit.absolute, "relative": last_bit.relative},
        },
        "tolerance": args.tolerance,
        "equal": equal,
    }
    finish(args, result)
    return 0 if equal else 1


def _show_losses(args: argparse.Namespace, own: Run, other: Run) -> None:
    """Print the losses side by side."""
    every = args.print_every or max(1, args.iterations // 10)
    shown = sorted({1, *range(every, args.iterations + 1, every), args.iterations})
    rows = []
    for iteration in shown:
        a, b = (float(run.losses[iteration - 1]) for run in (own, other))
        rows.append([str(iteration), f"{a:#.15g}", f"{b:#.15g}", f"{a - b:.1e}"])
    show_table(["iteration", "loss: fastopt", args.library, "difference"], rows)


def _apart(difference: Difference) -> str:
    return f"at most {difference.absolute:.1e} apart, {difference.relative:.1e} relative"


def _verdict(equal: bool, last_bit: Difference, tolerance: float) -> str:
    if equal:
        return f"equal to a relative {tolerance:g}"
    text = f"not equal to a relative {tolerance:g}"
    if last_bit.relative > tolerance:
        text += (
            ", and neither is fastopt to itself after a change of the last bit: try a lower --lr, or fewer --iterations"
        )
    return text
