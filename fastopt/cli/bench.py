"""``fastopt bench``: run groups of questions, print tables, save a picture and JSON."""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import fastopt
from fastopt.bench import report
from fastopt.bench.groups import GROUPS
from fastopt.bench.questions import Level, Question
from fastopt.bench.startup import sizes
from fastopt.bench.timing import Measurement, measure
from fastopt.cli import _options
from fastopt.cli._errors import UsageError
from fastopt.cli._output import Picture, check_outputs, finish

# In half a minute: where the others stand, what a call costs, and a real training step.
QUICK = ("peers", "overhead", "training")

EPILOG = """\
examples:
  fastopt bench --quick --plot bench.png
  fastopt bench --groups memory,overhead --threads 1
  fastopt bench --groups overhead --json before.json
  fastopt bench --groups overhead --compare before.json

Peers (torch, optax, thinc, scikit-learn, numexpr, numba) take part where they are installed. Times are the best of
several, taken by turns; on a busy machine look at the ratios, and run twice.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--quick", action="store_true", help=f"half a minute: {', '.join(QUICK)}, in short")
    level.add_argument(
        "--full",
        action="store_true",
        help="every rule, dtype and size, GPT-2 small, 5e8 elements (8 GB of memory); takes long",
    )
    parser.add_argument(
        "--groups", type=_groups, metavar="A,B", help=f"which of {', '.join(GROUPS)} (all; with --quick as said there)"
    )
    parser.add_argument(
        "--threads", type=_options.count(), metavar="N", help="measure 1 and N threads (all that fastopt uses)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all measurements to FILE, or to standard output with -")
    parser.add_argument(
        "--compare", metavar="FILE", help="an earlier --json: show its fractions of the memory limit beside the new"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the group peers into FILE: .png, .svg or .pdf")


def _groups(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in GROUPS:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(GROUPS)}, got {name!r}")
    return names


def run(args: argparse.Namespace) -> int:
    """Measure, and show what was found."""
    level: Level = "quick" if args.quick else "full" if args.full else "default"
    names = args.groups or (QUICK if args.quick else list(GROUPS))
    threads = args.threads or fastopt.get_num_threads()
    picture = check_outputs(args)
    if picture is not None and "peers" not in names:
        raise UsageError("--plot: the picture shows the group peers, which is not among --groups")
    before = report.fractions(args.compare) if args.compare is not None else None
    if variables := report.blas_variables():
        _note(f"set in the environment: {', '.join(variables)}; unset what slows NumPy down")

    begin = time.perf_counter()
    found: list[Measurement] = []
    for name in names:
        for table in _measure_group(name, level, threads):
            _print(report.tables(table, before))
            found += table
    on_disk = sizes() if "startup" in names else {}
    if on_disk:
        _print(report.show_sizes(on_disk))
    finish(
        args,
        report.as_dict(found, on_disk, level),
        [] if picture is None else [Picture(picture, lambda _: _draw(found))],
    )
    _note(f"measured in {time.perf_counter() - begin:.0f} s")
    return 0


def _draw(found: list[Measurement]) -> Any:
    from fastopt.plots._bench import bench

    return bench(report.curves(found))


def _measure_group(name: str, level: Level, threads: int) -> Iterator[list[Measurement]]:
    """Give the measurements of a group, table by table."""
    for _, questions in groupby(GROUPS[name](level, threads), key=lambda question: question.table):
        found: list[Measurement] = []
        for question in questions:
            if question.bytes > _free_memory():
                gigabytes = question.bytes / 1e9
                _note(f"left out: {question.table}, {question.row}: needs {gigabytes:.1f} GB of memory")
                continue
            _progress(question)
            found += measure(question, level)
        _progress(None)
        if found:
            yield found


def _free_memory() -> float:
    """Return the bytes available without swapping, infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    return int(available[0]) * 1024 if available else float("inf")


def _progress(question: Question | None) -> None:
    """Say on one line of a terminal what is being measured."""
    if sys.stderr.isatty():
        text = f"measuring {question.table}: {question.row}" if question else ""
        sys.stderr.write(f"\r\x1b[2K{text[:100]}")
        sys.stderr.flush()


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()
