"""Errors of the command line: one sentence each, on standard error."""

import argparse
import io
import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

#: Errors that come from what the user gave, wherever they are noticed. All others are bugs, and show as such.
REFUSED = (ValueError, OSError, ImportError, MemoryError, OverflowError)


class UsageError(ValueError):
    """An option, file or value that cannot be."""


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one sentence."""

    def error(self, message: str) -> NoReturn:
        """End with one line instead of the usage and the message."""
        say(self.prog, f"{message} (see {self.prog} --help)")
        raise SystemExit(2)

    def parse_known_args(self, *args: Any, **keywords: Any) -> Any:
        """Refuse what a command does not know under its own name, not under that of the whole program."""
        namespace, unknown = super().parse_known_args(*args, **keywords)
        if unknown:
            option = unknown[0].partition("=")[0]
            hint = did_you_mean(option, self._option_string_actions) if option.startswith("--") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return namespace, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, invalid_choice(value, action.choices))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # Before Python 3.13, argparse drops the value of --option=-- and stores an empty list.
        if action.option_strings and arg_strings == ["--"]:
            raise argparse.ArgumentError(action, "expected a value, got '--'")
        return super()._get_values(action, arg_strings)


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return what to add to a message about a misspelt name: nothing, if no option is like it."""
    bare = {option.lstrip("-").lower(): option for option in options}
    name = name.lstrip("-").lower()
    close = [known for known in bare if len(name) > 2 and known.startswith(name)]
    close = close or get_close_matches(name, bare, n=2, cutoff=0.7)
    return f"; did you mean {' or '.join(bare[known] for known in close[:2])}?" if close else ""


def invalid_choice(name: str, options: Iterable[str]) -> str:
    """Return the message about a name that is none of the options, in the words of argparse."""
    options = list(options)
    return f"invalid choice: {name!r}" + (did_you_mean(name, options) or f" (choose from {', '.join(options)})")


def deprecated(prog: str, old: str, new: str) -> None:
    """Say in a sentence what to write instead of a form that goes away."""
    say(prog, f"deprecated, to be removed in version 1.0: {old}; write {new}")


def make_printable() -> None:
    """Let anything be printed: where an output is closed nowhere, what it cannot encode as an escape."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(prog: str, message: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{prog}: {' '.join(message.split())}\n")


def sentence(error: BaseException) -> str:
    """Describe an error without its Python dress."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, FloatingPointError):
        advice = {"clip_norm=1.0": "--clip-norm 1", "callbacks=[ExplosionGuard()]": "fastopt train --guard"}
        message = str(error)
        for python, option in advice.items():
            message = message.replace(python, option)
        return message
    return str(error) or type(error).__name__
