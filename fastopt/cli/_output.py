"""Files that a command writes, checked before the work begins, and what it prints."""

import argparse
import json
import logging
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastopt._extras import require
from fastopt.cli._errors import REFUSED, UsageError, say, sentence

Progress = Callable[[int, int], None]


def check_file(option: str, path: str, suffixes: Sequence[str] = ()) -> None:
    """Refuse a file that could not be written."""
    file = Path(path)
    if suffixes and file.suffix.lower() not in suffixes:
        raise UsageError(f"{option}: expected a file name ending in {' or '.join(suffixes)}, got {path!r}")
    if file.is_dir():
        raise UsageError(f"{option}: expected a file, got the folder {path!r}")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"{option}: the folder of {path!r} does not exist")
    existed = file.exists()
    try:
        with open(file, "ab"):
            pass
    except OSError as error:
        raise UsageError(f"{option}: {path!r} cannot be written: {error.strerror}") from None
    if not existed:
        file.unlink()


@dataclass(frozen=True)
class Picture:
    """A picture that is yet to be drawn: where it goes, and what makes it with `fastopt.plots`."""

    path: Path
    make: Callable[[Any], Any]
    label: str = "picture"


def check_outputs(args: argparse.Namespace, picture: str | None = None) -> Path | None:
    """Check ``--json``, ``--plot`` and ``--animate``; return where the picture goes, or None for no picture.

    Without ``--plot`` the picture is `picture`, as far as it can be drawn and written here.
    """
    if args.json not in (None, "-"):
        check_file("--json", args.json)
    animate, plot = getattr(args, "animate", None), getattr(args, "plot", None)
    if animate is not None:
        suffixes = require("fastopt.plots._save", extra="plots", what="--animate").MOVING
        check_file("--animate", animate, suffixes)
        if animate.lower().endswith(".mp4") and shutil.which("ffmpeg") is None:
            raise UsageError("--animate: .mp4 needs ffmpeg, which is not installed; .gif does not")
    if plot is not None:
        check_file("--plot", plot, require("fastopt.plots._save", extra="plots", what="--plot").STILL)
        return Path(plot)
    if picture is None or args.no_plot:
        return None
    try:
        check_file("--plot", picture)
        require("fastopt.plots", extra="plots", what="--plot")
    except (UsageError, ModuleNotFoundError) as error:
        show("no picture", str(error))
        return None
    return Path(picture)


def beside(args: argparse.Namespace, path: Path | None, what: str) -> Path | None:
    """Check and return the path of a second picture, ``train-what.png`` beside ``train.png``, or None for none.

    Where the first was not asked for by name, the second is left out if it cannot be written.
    """
    if path is None:
        return None
    second = path.with_name(f"{path.stem}-{what}{path.suffix}")
    try:
        check_file("--plot", str(second))
    except UsageError as error:
        if args.plot is not None:
            raise
        show("no picture", str(error))
        return None
    return second


def one_line(text: str) -> str:
    """Return a text without line breaks, as a title has it."""
    return " ".join(text.split())


def finish(args: argparse.Namespace, result: Mapping[str, Any], pictures: Sequence[Picture] = ()) -> None:
    """Write the result to where ``--json`` says, then draw; a picture that fails costs nothing else."""
    write_json(args, {**result, "pictures": [str(picture.path) for picture in pictures]})
    drawn = [str(picture.path) for picture in pictures if _draw(args, picture)]
    if len(drawn) < len(pictures) and args.json != "-":
        write_json(args, {**result, "pictures": drawn})


def write_json(args: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """Write a result to where ``--json`` says."""
    if args.json is None:
        return
    text = json.dumps(_plain(result), indent=1, allow_nan=False) + "\n"
    if args.json == "-":
        args.stdout.write(text)
        args.stdout.flush()
    else:
        try:
            Path(args.json).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--json: {args.json!r} cannot be written: {error.strerror}") from None


def _plain(value: Any) -> Any:
    """Return what JSON has: null for NaN and infinity, Python's numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def show(label: str, text: str) -> None:
    """Print a line of a report."""
    print(f"{label:<11} {text}", flush=True)


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> None:
    """Print aligned columns, the first to the left and the others to the right, or all to the left."""
    lines = [header, *rows]
    sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(size) if left or k == 0 else cell.rjust(size)
            for k, (cell, size) in enumerate(zip(line, sizes, strict=True))
        ]
        print("  ".join(cells).rstrip(), flush=True)


def has_terminal() -> bool:
    """Whether somebody watches, and rich is there to draw for them."""
    if not sys.stdout.isatty():
        return False
    with suppress(ModuleNotFoundError):
        require("rich", extra="train", what="the progress bar")
        return True
    return False


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Show a bar on a terminal; give the function that moves it."""
    if quiet or not has_terminal():
        yield None
        return
    rich = require("rich.progress", extra="train", what="the progress bar")
    with rich.Progress(transient=True) as bar:
        task = bar.add_task(label)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _draw(args: argparse.Namespace, picture: Picture) -> bool:
    """Draw and save a picture and say where it is; if that fails, say why and return False."""
    path, moving = picture.path, picture.label == "animation"
    try:
        from fastopt import plots

        logging.getLogger("matplotlib.animation").addHandler(logging.NullHandler())  # what it logs, the error says
        with progress(f"drawing {path.name}", quiet=not moving or args.quiet) as move:
            plots.save(picture.make(plots), path, dpi=80 if moving else 150, progress=move)
    except Exception as error:
        reason = sentence(error) if isinstance(error, REFUSED) else f"{type(error).__name__}: {error}"
        say(f"fastopt {args.command}", f"warning: {picture.label} {path} was not drawn: {reason}")
        return False
    show(picture.label, str(path))
    return True
