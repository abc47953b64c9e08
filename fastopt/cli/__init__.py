"""The command ``fastopt``: a module for each of its commands, with `add_arguments(parser)` and `run(args) -> int`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

from fastopt.cli._errors import REFUSED, Parser, make_printable, say, sentence
from fastopt.kernels import _backend

__all__ = ["main"]

#: Summary of each command.
COMMANDS = {
    "train": "train a network and show how it went",
    "compare": "train the same network with several optimizers",
    "lr-find": "find a good learning rate by a range test",
    "schedule": "show a learning-rate schedule",
    "descend": "walk down a function of one variable",
    "landscape": "draw the loss around a network",
    "match": "train the same network with fastopt and with another library",
    "bench": "measure the kernels against others and against the memory",
    "info": "show which kernels run, and versions",
}

USAGE = {
    "train": "[DATA] ",
    "compare": "[DATA] ",
    "lr-find": "[DATA] ",
    "landscape": "[DATA] ",
    "descend": "[ROUND] ",
    "match": "LIBRARY ",
}

EPILOG = """\
examples:
  fastopt train
  fastopt compare spiral --epochs 300
  fastopt info

fastopt COMMAND --help shows the options of a command, with examples.
"""


def command_module(name: str) -> Any:
    """Import the module of a command, and no other. Written out, so that whatever freezes a program finds them all."""
    match name:
        case "train":
            from fastopt.cli import train

            return train
        case "compare":
            from fastopt.cli import compare

            return compare
        case "lr-find":
            from fastopt.cli import lr_find

            return lr_find
        case "schedule":
            from fastopt.cli import schedule

            return schedule
        case "descend":
            from fastopt.cli import descend

            return descend
        case "landscape":
            from fastopt.cli import landscape

            return landscape
        case "match":
            from fastopt.cli import match

            return match
        case "bench":
            try:
                import fastopt.cli.bench as bench
            except ModuleNotFoundError as error:
                if error.name != "fastopt.cli.bench":
                    raise
                raise ImportError(
                    "the benchmarks are not part of the wheel; in a checkout of the source: "
                    'pip install -e ".[bench]", then fastopt bench'
                ) from None
            return bench
        case _:
            from fastopt.cli import info

            return info


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser, with the options of the command that `argv` names."""
    import fastopt

    style = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="fastopt",
        description="The optimizer step of gradient descent at memory speed: see it, compare it, measure it.",
        epilog=EPILOG,
        formatter_class=style,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastopt {fastopt.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=style,
            allow_abbrev=False,
            usage=f"%(prog)s {USAGE[name]}[options]" if name in USAGE else None,
        )
        if name == wanted:
            command_module(name).add_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; default: those of the process.

    Returns
    -------
    int
        The exit code: 0; 1 if a training diverged, or two that `match` compares differ; 2 for what is refused, with one
        line on standard error; 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    prog = "fastopt"
    try:
        make_printable()
        if argv[:1] == ["schedule"]:
            argv[1:] = command_module("schedule").normalize(argv[1:])
        args = build_parser(argv).parse_args(argv)
        prog = f"fastopt {args.command}"
        code = _run(args)
        sys.stdout.flush()
        return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        say(prog, "interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except FloatingPointError as error:
        say(prog, sentence(error))
        return 1
    except REFUSED as error:
        say(prog, sentence(error))
        return 2


def _run(args: argparse.Namespace) -> int:
    args.stdout = sys.stdout
    name = getattr(args, "backend", None)
    backend = nullcontext() if not isinstance(name, str) else _backend.using(name)
    # JSON on standard output stays alone there.
    alone = redirect_stdout(sys.stderr) if getattr(args, "json", None) == "-" else nullcontext()
    run = command_module(args.command).run
    with backend, alone, _threads(args):
        return int(run(args))


@contextmanager
def _threads(args: argparse.Namespace) -> Iterator[None]:
    """Hold kernels and BLAS to the threads that the command line asks for; the benchmarks do that themselves."""
    count = getattr(args, "threads", None)
    if count is None or args.command == "bench":
        yield
        return
    from fastopt import get_num_threads, set_num_threads
    from fastopt._extras import require
    from fastopt.nn._blas import held_to

    require("threadpoolctl", extra="train", what="--threads")
    before = get_num_threads()
    set_num_threads(count)
    try:
        with held_to(count):
            yield
    finally:
        set_num_threads(before)
