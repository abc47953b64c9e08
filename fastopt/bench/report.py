"""Measurements as tables of ratios, as JSON, and as the curves of a picture."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fastopt
from fastopt.bench.timing import Measurement

_FORMAT = "fastopt-bench-1"

Key = tuple[str, str, str, str]


def tables(found: Sequence[Measurement], before: Mapping[Key, float] | None = None) -> str:
    """Return the measurements as text: the first contender's time, the others as multiples of it.

    Parameters
    ----------
    found : sequence of Measurement
    before : mapping, optional
        The first contender's fraction of the memory limit in an earlier run, see `fractions`.

    Returns
    -------
    str
        A table for each table of the questions.
    """
    names = dict.fromkeys((m.group, m.table) for m in found)
    return "\n\n".join(_table([m for m in found if (m.group, m.table) == name], before or {}) for name in names)


def _table(found: Sequence[Measurement], before: Mapping[Key, float]) -> str:
    contenders = list(dict.fromkeys(m.contender for m in found))
    first = contenders[0]
    limited = any(m.of_limit is not None for m in found)
    compared = any(_key(m) in before for m in found)
    others = [name for name in contenders[1:] if name != "memory limit"]
    header = ["", first, *["of limit"] * limited, *["then"] * compared, *others]
    rows = [header]
    for row in dict.fromkeys(m.row for m in found):
        cells = {m.contender: m for m in found if m.row == row}
        ratios = _ratios(list(cells.values()))
        mine = cells.get(first)
        line = [row, show_seconds(mine.seconds) if mine else "-"]
        if limited:
            line.append(_percent(mine.of_limit if mine else None))
        if compared:
            line.append(_percent(before.get(_key(mine)) if mine else None))
        line += [_multiple(ratios.get(name)) for name in others]
        rows.append(line)
    note = f"{first}: time" + ", of limit: share of the memory limit's speed" * limited
    note += ", then: the same in the earlier run" * compared
    note += f"; the others: times as long as {first}" * bool(others)
    return f"{found[0].table}\n{note}\n\n{_aligned(rows)}"


def _ratios(row: Sequence[Measurement]) -> dict[str, float]:
    """Return a row's times as multiples of the first contender's, fastopt's."""
    return {m.contender: m.seconds / row[0].seconds for m in row}


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def show_seconds(seconds: float) -> str:
    """Return a time with three digits and a unit that fits it.

    Examples
    --------
    >>> show_seconds(3.456e-4)
    '346 us'
    >>> show_seconds(0.0999999)
    '100 ms'
    """
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if float(f"{seconds * factor:.3g}") < 1000:
            return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds:#.3g}".rstrip(".") + " s"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.0%}"


def _multiple(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.0f}x" if ratio >= 99.5 else f"{ratio:.1f}x" if ratio >= 9.95 else f"{ratio:.2f}x"


def show_sizes(sizes: Mapping[str, int]) -> str:
    """Return a table of sizes on the disk."""
    rows = [[name, f"{size / 1e6:,.2f} MB"] for name, size in sizes.items()]
    return f"Installed size\n\n{_aligned(rows)}"


def curves(
    found: Iterable[Measurement], group: str = "peers", start: str = "Adam, float32"
) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Return time per element over size, for each table of a group that grows in size.

    Returns
    -------
    dict
        Titles to contenders to sizes and nanoseconds per element.
    """
    panels: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for m in found:
        if m.group == group and m.table.startswith(start) and m.elements:
            sizes, times = panels.setdefault(m.table, {}).setdefault(m.contender, ([], []))
            sizes.append(m.elements)
            times.append(m.seconds / m.elements * 1e9)
    return {title: lines for title, lines in panels.items() if any(len(x) > 1 for x, _ in lines.values())}


def machine() -> dict[str, Any]:
    """Return what the numbers depend on: processor, system, versions, environment."""
    versions = {}
    for name in ("numpy", "numba", "torch", "jax", "optax", "thinc", "scikit-learn", "numexpr"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "environment": {name: os.environ[name] for name in blas_variables()},
        "fastopt": fastopt.show_config("dicts"),
    }


def blas_variables() -> list[str]:
    """Return the variables of the environment that change how BLAS or OpenMP run."""
    starts = ("OPENBLAS_", "MKL_", "BLIS_", "OMP_", "GOMP_", "KMP_", "VECLIB_")
    return sorted(name for name in os.environ if name.startswith(starts))


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def as_dict(found: Sequence[Measurement], sizes: Mapping[str, int], level: str) -> dict[str, Any]:
    """Return everything that is worth keeping, as JSON has it."""
    return {
        "format": _FORMAT,
        "level": level,
        "machine": machine(),
        "measurements": list(_with_ratios(found)),
        "sizes": dict(sizes),
    }


def _with_ratios(found: Sequence[Measurement]) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys((m.group, m.table, m.row) for m in found):
        cells = [m for m in found if (m.group, m.table, m.row) == name]
        for m, ratio in zip(cells, _ratios(cells).values(), strict=True):
            yield asdict(m) | {"ratio": ratio}


def _key(m: Measurement) -> Key:
    return m.group, m.table, m.row, m.contender


def fractions(path: str | os.PathLike[str]) -> dict[Key, float]:
    """Read an earlier run: the fraction of the memory limit, by table, row and contender.

    Raises
    ------
    ValueError
        If the file is none that ``fastopt bench --json`` wrote.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        known = content["format"] == _FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a file of `fastopt bench --json`") from error
    if not known:
        raise ValueError(f"{path}: expected format {_FORMAT}, got {content['format']}")
    return dict(_known_fractions(content["measurements"]))


def _known_fractions(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Key, float]]:
    for row in rows:
        if row["of_limit"] is not None:
            yield (row["group"], row["table"], row["row"], row["contender"]), row["of_limit"]
