"""Tables as text: delimiter, header, numbers and missing values of a .csv."""

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

#: Cells, in any case, that stand for a missing number.
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-"})

# Unlike `float`: no underscores, no digits but 0 to 9, no infinity.
_NUMBER = {
    decimal: re.compile(rf"[+-]?(\d+{sign}?\d*|{sign}\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
    for decimal, sign in ((".", r"\."), (",", ","))
}
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)

_SNIFFED = 20  # records that decide on the delimiter


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a finite number."""
    return _NUMBER[decimal].fullmatch(cell) is not None


def to_float(cell: str, decimal: str = ".") -> float:
    """Return the number in a cell, NaN where it is missing.

    Raises
    ------
    ValueError
        For any other text.
    """
    cell = cell.strip()
    if is_number(cell, decimal):
        return float(cell.replace(",", "."))
    if cell.casefold() in MISSING:
        return np.nan
    if _INFINITE.fullmatch(cell):
        return float(cell)
    raise ValueError(cell)


@dataclass
class Table:
    """A file's samples: features as numbers, the column of y as text.

    Parameters
    ----------
    X : ndarray of float64, shape (n, features)
        NaN where a value is missing.
    y : list of str
        Without spaces around.
    lines : list of int
        The line of the file in which each sample begins, from 1.
    names : list of str
        The header; empty without one.
    target : int
        The column of y.
    """

    X: NDArray[np.float64]
    y: list[str]
    lines: list[int]
    names: list[str]
    target: int

    def column(self, j: int) -> str:
        """Name a column of the file."""
        return f"column {self.names[j]!r}" if self.names and self.names[j] else f"column {j + 1}"

    def cell(self, i: int, feature: int | None = None) -> str:
        """Say where a feature of sample i, or its y, stands in the file."""
        j = self.target if feature is None else feature + (feature >= self.target)
        return f"line {self.lines[i]}, {self.column(j)}"


def read_csv(path: Path, *, target: str | None, delimiter: str | None, decimal: str) -> Table:
    """Read a file; see `load_table` for its form.

    Raises
    ------
    ValueError
        If it is no table, if a feature is no number, or if there is no such target.
    """
    with path.open("rb") as file:
        utf16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    encoding = "utf-16" if utf16 else "utf-8-sig"  # spreadsheets put a byte order mark in front
    try:
        if delimiter is None:
            delimiter = _sniff(path, encoding)
        return _read(path, encoding, delimiter, decimal, target)
    except UnicodeError as error:
        raise ValueError(f"expected text in UTF-8 ({error})") from None


def _records(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, with the line in which it begins."""
    with path.open(encoding=encoding, newline="") as file:
        records = csv.reader(file, delimiter=delimiter, skipinitialspace=delimiter != " ", strict=True)
        line = 1
        try:
            for record in records:
                if len(record) > 1 or (record and record[0].strip()):
                    yield line, record
                line = records.line_num + 1
        except csv.Error as error:
            raise ValueError(f"line {line}: not readable ({error})") from None


def _sniff(path: Path, encoding: str) -> str:
    """Return the delimiter of the file: if several divide it into columns, the one that leaves most numbers."""
    found = {}
    for delimiter in DELIMITERS:
        try:
            records = [record for _, record in islice(_records(path, encoding, delimiter), _SNIFFED)]
        except UnicodeError:
            raise
        except ValueError:
            continue
        if records and len(records[0]) > 1:
            cells = [cell.strip() for record in records for cell in record]
            decimals = "." if delimiter == "," else ".,"
            numbers = sum(any(is_number(cell, decimal) for decimal in decimals) for cell in cells)
            found[delimiter] = numbers / len(cells)
    return max(found, key=lambda delimiter: found[delimiter], default=",")


def _read(path: Path, encoding: str, delimiter: str, decimal: str, target: str | None) -> Table:
    records = _records(path, encoding, delimiter)
    start, first = next(records, (1, []))
    first = [cell.strip() for cell in first]
    width = len(first)
    if width < 2:
        name = DELIMITERS.get(delimiter, repr(delimiter))
        raise ValueError(f"line {start}: expected at least 2 columns, got {width}, with a {name} as delimiter")
    if target is not None and first.count(target) != 1:
        raise ValueError(f"target: expected the name of one column, got {target!r} (columns: {', '.join(first)})")
    column = width - 1 if target is None else first.index(target)
    numeric = [is_number(cell, decimal) for cell in first]
    header = target is not None or not any(numeric)
    if not header and not numeric[column]:
        # Then it is one if the column below has nothing but numbers.
        below = (
            record[column] for _, record in islice(_records(path, encoding, delimiter), 1, None) if record[column:]
        )
        header = all(is_number(cell.strip(), decimal) or cell.strip().casefold() in MISSING for cell in below)

    features = array("d")
    table = Table(np.empty((0, width - 1)), [], [], first if header else [], column)
    for line, record in records if header else chain([(start, first)], records):
        if len(record) != width:
            raise ValueError(f"line {line}: expected {width} columns like line {start}, got {len(record)}")
        table.lines.append(line)
        table.y.append(record.pop(column).strip())
        features.extend(_floats(record, decimal, table))
    if not table.y:
        raise ValueError("there are no samples")
    table.X = np.frombuffer(features).reshape(-1, width - 1)
    if not header and not numeric[column]:
        counts = Counter(table.y)
        if len(counts) > 1 and [label for label, count in counts.items() if count == 1] == table.y[:1]:
            raise ValueError(
                f"line {start} is the only one with {table.y[0]!r} in column {column + 1}; "
                "if it is a header, give this as the target, and if it is a sample, put it below another"
            )
    return table


def _floats(cells: list[str], decimal: str, table: Table) -> list[float]:
    """Return the features of the sample that is the last of the table so far."""
    text = "".join(cells)
    if decimal == "." and text.isascii() and "_" not in text:  # all other numbers of Python are ours
        with suppress(ValueError):
            return list(map(float, cells))
    numbers = []
    for j, cell in enumerate(cells):
        try:
            numbers.append(to_float(cell, decimal))
        except ValueError:
            hint = ' (decimal="," reads decimal commas)' if is_number(cell.strip(), ",") else ""
            raise ValueError(f"{table.cell(-1, j)}: expected a number, got {cell.strip()!r}{hint}") from None
    return numbers
