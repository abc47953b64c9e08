"""Tables as text: which delimiter, header, labels and quantities a .csv is taken to have, and what is refused."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastopt.nn import data


def load(folder: Path, content: str | bytes, **options: Any) -> data.Dataset:
    path = folder / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return data.load_table(path, **{"standardize": False, **options})


def targets(d: data.Dataset) -> list[Any]:
    """The targets or class names of all samples, in order of the first feature, which counts them."""
    X, y = np.concatenate([d.X, d.X_test]), np.concatenate([d.y, d.y_test])
    ordered = y[np.argsort(X[:, 0])]
    return [d.classes[k] for k in ordered] if d.classes else ordered[:, 0].tolist()


def column(*cells: object, quote: bool = False) -> str:
    """A table whose first column counts and whose second has these cells."""
    return "n,y\n" + "".join(f'{i},"{cell}"\n' if quote else f"{i},{cell}\n" for i, cell in enumerate(cells))


# Labels and quantities.


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["1_10", "11_0"], ("11_0", "1_10")),
        (["1_10", "110"], ("110", "1_10")),
        (["791557233689870338", "791557233689870337"], ("791557233689870337", "791557233689870338")),
        (["9007199254740993", "9007199254740992", "7"], ("7", "9007199254740992", "9007199254740993")),
        (["007", "7"], ("007", "7")),
        (["00", "01", "10"], ("00", "01", "10")),
        (["12e4", "120e3"], ("120e3", "12e4")),
        (["+1", "1"], ("+1", "1")),
        (["0x10", "16"], ("0x10", "16")),
        (["\u0661", "1"], ("1", "\u0661")),  # an Arabic digit, which float() reads
        (["nan", "inf", "red"], ("inf", "nan", "red")),
        (["nan", "inf"], ("inf", "nan")),
        (["NA", "DE", "NA"], ("DE", "NA")),
        (["10", "9", "-1"], ("-1", "9", "10")),  # numbers in their order
        (["1.0", "1", "2.", "-0"], ("0", "1", "2")),
        (["True", "False"], ("False", "True")),
        ([" a ", "a", "A"], ("A", "a")),
        (["x" * 100_000, "y"], ("x" * 100_000, "y")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_labels_are_told_apart_as_they_are_written(tmp_path: Path, cells: list[str], classes: tuple[str, ...]) -> None:
    d = load(tmp_path, column(*3 * cells))
    assert (d.task, d.classes) == ("classification", classes)
    same = {"1.0": "1", "2.": "2", "-0": "0", " a ": "a"}
    assert targets(d) == [same.get(cell, cell) for cell in 3 * cells]


@pytest.mark.parametrize("width", [3, 70])
def test_many_labels(tmp_path: Path, width: int) -> None:
    cells = [f"{i % 1000:0{width}}x" for i in range(3000)]
    d = load(tmp_path, column(*cells))
    assert (len(d.classes), d.note, targets(d)) == (1000, "", cells)


WHOLE = "has {} different whole numbers from {} to {}, taken as "
AS_NUMBERS = 'numbers; task="classification" takes them as classes'
AS_CLASSES = 'classes; task="regression" takes them as numbers'


@pytest.mark.parametrize(
    ("values", "task", "note"),
    [
        (range(200_000, 500_000, 1000), "regression", WHOLE.format(300, 200000, 499000) + AS_NUMBERS),
        (3 * [*range(200_000, 500_000, 1000)], "regression", WHOLE.format(300, 200000, 499000) + AS_NUMBERS),
        (range(1950, 1962), "regression", WHOLE.format(12, 1950, 1961) + AS_NUMBERS),
        (20 * [*range(1950, 1980)], "regression", WHOLE.format(30, 1950, 1979) + AS_NUMBERS),
        (range(100), "regression", WHOLE.format(100, 0, 99) + AS_NUMBERS),
        (10 * [*range(27), 28], "regression", WHOLE.format(28, 0, 28) + AS_NUMBERS),
        (10 * [*range(1, 27)], "classification", WHOLE.format(26, 1, 26) + AS_CLASSES),
        (2 * [*range(3, 9)], "classification", WHOLE.format(6, 3, 8) + AS_CLASSES),
        (range(20), "classification", ""),
        (range(1, 5), "classification", ""),
        ([-1, 1], "classification", ""),
        ([5, 6000], "classification", ""),
        ([0.5, 1, 1, 1], "regression", ""),
        ([1e20, 2e20] * 5, "regression", ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_whole_numbers_are_labels_or_quantities(tmp_path: Path, values: Any, task: str, note: str) -> None:
    d = load(tmp_path, column(*values))
    assert (d.task, d.note) == (task, f"column 'y' {note}" if note else "")
    np.savez(tmp_path / "t.npz", X=np.arange(len(values))[:, None], y=np.array(values))
    again = data.load_table(tmp_path / "t.npz", standardize=False)
    assert (again.task, again.note, again.classes) == (task, f"y {note}" if note else "", d.classes)
    assert targets(again) == targets(d)
    # As the note says, and then there is nothing to say.
    for told in ("classification", "regression"):
        d = load(tmp_path, column(*values), task=told)
        assert (d.task, d.note) == (told, "")


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (np.array([2**53 + 1, 2**53] * 3), "classification", ("9007199254740992", "9007199254740993")),
        (np.array([2**64 - 1, 2**64 - 2] * 3, np.uint64), "classification", (str(2**64 - 2), str(2**64 - 1))),
        (np.array([1e20, 2e20, 3e20] * 3), "regression", ()),
        (np.eye(3)[[0, 1, 2, 0]], "classification", ("0", "1", "2")),
        (np.eye(3, dtype=bool)[[0, 1, 2, 0]], "classification", ("0", "1", "2")),
        (np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]]), "regression", ()),
        (np.array([[1.0, 0], [0.5, 0.5], [0, 1]]), "regression", ()),
        (np.array([[3], [4], [3]]), "classification", ("3", "4")),
        (np.array([True, False, True]), "classification", ("False", "True")),
        (np.array([b"red", b"blue"]), "classification", ("blue", "red")),
        (np.array([1.0, 2.0, 1.0], np.float16), "classification", ("1", "2")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_arrays_of_labels_or_quantities(tmp_path: Path, y: Any, task: str, classes: tuple[str, ...]) -> None:
    np.savez(tmp_path / "t.npz", X=np.arange(len(y))[:, None], y=y)
    d = data.load_table(tmp_path / "t.npz", standardize=False)
    assert (d.task, d.classes) == (task, classes)
    if classes:
        labels = y.argmax(axis=1) if y.size > len(y) else y.ravel()
        texts = [label.decode() if isinstance(label, bytes) else str(label) for label in labels.tolist()]
        assert targets(d) == [text.removesuffix(".0") for text in texts]


def test_the_task_can_be_told(tmp_path: Path) -> None:
    ids = column("007", "7", "791557233689870338")
    assert targets(load(tmp_path, ids, task="regression")) == [7, 7, float(np.float32(791557233689870338))]
    assert load(tmp_path, column("1.5", "2.5", "1.5"), task="classification").classes == ("1.5", "2.5")
    assert load(tmp_path, column("1", "inf", "1,5", quote=True), task="classification").classes == ("1", "1,5", "inf")
    assert load(tmp_path, column("1", "inf", "1e39"), task="classification").classes == ("1", "1e39", "inf")


def test_numbers_that_are_names_get_a_note(tmp_path: Path) -> None:
    for cells, what in (
        ([f"{i:03d}" for i in range(5, 65)], "numbers with leading zeros"),
        ([str(2**53 + i) for i in range(60)], "integers of 2**53 or more"),
    ):
        d = load(tmp_path, column(*cells))
        assert targets(d) == cells
        assert d.note == f"column 'y' has {what}, taken as {AS_CLASSES}"


def test_a_target_that_is_hardly_one_gets_a_note(tmp_path: Path) -> None:
    d = load(tmp_path, column(*(f"name {i}" for i in range(30))))
    assert d.note == "column 'y' has 30 different texts in 30 samples"


# The form of a file.

ROWS = [["1.5", "2", "a"], ["-3e2", ".5", "b"], ["4.", "6", "a"]]


@pytest.mark.parametrize("header", [[], ["x", "y", "z"], ["x", "two\nlines", 'a ""quoted"", z']])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_delimiter_is_found(tmp_path: Path, header: list[str], delimiter: str, end: str, encoding: str) -> None:
    rows = [[f'"{cell}"' for cell in header], *ROWS] if header else ROWS
    text = end.join(["", *(delimiter.join(row) for row in rows), "", "  ", ""])
    d = load(tmp_path, text.encode(encoding))
    X = np.concatenate([d.X, d.X_test])
    assert (d.classes, sorted(X.tolist())) == (("a", "b"), [[-300, 0.5], [1.5, 2], [4, 6]])


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("1,5;2,5;a\n3,5;4,5;b\n", {"decimal": ","}, [[1.5, 2.5], [3.5, 4.5]]),
        ("x;y\n1,5;2,25\n3,5;4,5\n", {"decimal": ","}, [[1.5], [3.5]]),
        ("1\t2\t3,5\n2\t3\t4,5\n", {"decimal": ","}, [[1, 2], [2, 3]]),
        ('"1,5","2,5",a\n"3,5","4,5",b\n', {"decimal": ","}, [[1.5, 2.5], [3.5, 4.5]]),
        ("1|2|a\n3|4|b\n", {"delimiter": "|"}, [[1, 2], [3, 4]]),
        ("1 2 a\n3 4 b\n", {"delimiter": " "}, [[1, 2], [3, 4]]),
        ('1,2,"a;b"\n3,4,"c;d"\n', {}, [[1, 2], [3, 4]]),
        ('1;2;"a,b"\n3;4;"c,d"\n', {}, [[1, 2], [3, 4]]),
        ('1, 2, "a, b"\n3, 4, c\n', {}, [[1, 2], [3, 4]]),
        ('1,2,5" pipe\n3,4,6" pipe\n', {}, [[1, 2], [3, 4]]),
        ("#,x,x,y\n1,2,3,a\n3,4,5,b\n", {}, [[1, 2, 3], [3, 4, 5]]),
    ],
)
def test_forms_of_files(tmp_path: Path, text: str, options: dict[str, Any], expected: list[list[float]]) -> None:
    d = load(tmp_path, text, **options)
    assert sorted(np.concatenate([d.X, d.X_test]).tolist()) == expected


def test_tab_separated_files_have_a_suffix_too(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("1\t2\ta\n3\t4\tb\n")
    assert data.load(tmp_path / "t.tsv").classes == ("a", "b")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


@given(
    rows=st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 1)), min_size=2, max_size=30),
    names=st.lists(TEXT.map(lambda name: name + "x"), min_size=2, max_size=2),
    labels=st.lists(TEXT.map(lambda label: label + "x"), min_size=2, max_size=2, unique_by=str.strip),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_python_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int]],
    names: list[str],
    labels: list[str],
    delimiter: str,
    end: str,
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(names)
        rows = [*rows, (0, 0), (0, 1)]
        writer.writerows([i, labels[k]] for i, k in rows)
    d = data.load_table(path, delimiter=delimiter, standardize=False)
    assert d.classes == tuple(sorted(label.strip() for label in labels))
    read = zip(np.concatenate([d.X, d.X_test])[:, 0], np.concatenate([d.y, d.y_test]), strict=True)
    assert sorted((int(x), d.classes[k]) for x, k in read) == sorted((i, labels[k].strip()) for i, k in rows)


# Missing values.

GAPS = "n,x,y\n0,1,a\n1,,b\n2,3,a\n3,5,\n"


@pytest.mark.parametrize("gap", ["", " ", "NA", "n/a", "#N/A", "NaN", "null", "None", "?", "-"])
def test_missing_values_are_found(tmp_path: Path, gap: str) -> None:
    for text, place in (
        (f"n,x,y\n0,1,2.5\n1,{gap},3.5\n", "column 'x'"),
        (f"n,x,y\n0,1,2.5\n1,2,{gap}\n", "column 'y'"),
    ):
        with pytest.raises(ValueError, match=rf"t\.csv: line 3, {place}: missing value \(missing=\"drop\" leaves out"):
            load(tmp_path, text)
    d = load(tmp_path, f"n,x,y\n0,1,2.5\n1,{gap},3.5\n2,2,{gap}\n3,4,4.5\n", missing="drop")
    assert (targets(d), d.note) == ([2.5, 4.5], "2 samples with missing values were left out")


def test_means_are_those_of_the_training_part(tmp_path: Path) -> None:
    x = [1.0, 2.0, "", 4.0, "", 10.0, 7.0, ""]
    d = load(tmp_path, "n,x,y\n" + "".join(f"{i},{cell},{i}.5\n" for i, cell in enumerate(x)), missing="mean", test=0.4)
    known = [x[int(n)] for n in d.X[:, 0] if x[int(n)] != ""]
    filled = [x[int(n)] if x[int(n)] != "" else np.mean(known) for n in [*d.X[:, 0], *d.X_test[:, 0]]]
    np.testing.assert_allclose([*d.X[:, 1], *d.X_test[:, 1]], filled, rtol=1e-6)
    assert "" in [x[int(n)] for n in d.X_test[:, 0]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (GAPS, {}, r"line 3, column 'x': missing value \(.*\"drop\" .*, missing=\"mean\" takes the mean\)"),
        (GAPS, {"missing": "mean"}, r"line 5, column 'y': missing value \(missing=\"drop\" leaves out the sample\)"),
        ("n,y\n1,\n,2.5\n", {"missing": "drop"}, "every sample has a missing value"),
        ("n,x,y\n1,,2.5\n2,,3.5\n", {"missing": "mean"}, "X: feature 2 has no value in the training samples"),
        (GAPS, {"missing": "drop", "target": "n"}, r"line 2, column 'y': expected a number, got 'a'"),
    ],
)
def test_missing_values_that_stay(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, text, **options)


def test_missing_values_of_arrays(tmp_path: Path) -> None:
    X, y = np.arange(8.0).reshape(4, 2), np.array([0.0, 1.0, np.nan, 1.0])
    X[1, 0] = np.nan
    np.savez(tmp_path / "t.npz", X=X, y=y, X_test=X, y_test=y)
    d = data.load_table(tmp_path / "t.npz", missing="drop", standardize=False)
    assert d.X.tolist() == d.X_test.tolist() == [[0, 1], [6, 7]]
    assert (d.classes, d.y.tolist()) == (("0", "1"), [0, 1])


# What is refused, and where.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected at least 2 columns, got 0"),
        ("a\n1\n", "line 1: expected at least 2 columns, got 1, with a comma as delimiter"),
        ("a,b\n", "there are no samples"),
        ("1,2\n3\n", "line 2: expected 2 columns like line 1, got 1"),
        ("1,2\n\n3,4,5\n", "line 3: expected 2 columns like line 1, got 3"),
        ('"a\nb",c\n1,2\n3\n', "line 4: expected 2 columns like line 1, got 1"),
        ("1,2\nx,4\n", "line 2, column 1: expected a number, got 'x'"),
        ("a,b\n1_0,4\n", "line 2, column 'a': expected a number, got '1_0'"),
        ("a,b\n0x1F,4\n", "line 2, column 'a': expected a number, got '0x1F'"),
        ("a,b\n1 000,4\n", "line 2, column 'a': expected a number, got '1 000'"),
        ("a;b\n1,5;4\n", "line 2, column 'a': expected a number, got '1,5' \\(decimal=\",\" reads decimal commas\\)$"),
        (
            "a;b\n1;4,5\n",
            "line 2, column 'b': expected a number, got '4,5' \\(decimal=\",\" reads decimal commas, task=",
        ),
        ("a\tb\n1\t1,234.5\n2\t3\n", "line 2, column 'b': expected a number, got '1,234.5' \\(task="),
        ("a,b\n1,5\n,4\n", "line 3, column 'a': missing value"),
        ("a,b\n1,5\nInfinity,4\n", "line 3, column 'a': expected a finite number, got inf"),
        ("1,1.5\n3,-inf\n", "line 2, column 2: expected a finite number, got -inf"),
        ("1,2\n3,2\n", "at least 2 classes, got 1"),
        ("1,2\n", "at least 2 classes, got 1"),
        ("a,b\n1e200,2\n1,3\n2,3\n", r"line 2, column 'a': .* got 1e\+200, too large for float32"),
        ("a,b\n1,1e39\n1,3.5\n2,3\n", r"line 2, column 'b': .* got 1e\+39, too large for float32"),
        ("1,2.5\n", "at least 2 samples, got 1"),
        ("red,1\nblue,2\n", "line 1, column 1: expected a number, got 'red'"),
        ('a,b\n1,red\n2,"blue\n3,red\n', "line 3: not readable"),
        ('a,b\n1,"red" one\n', "line 2: not readable"),
        (b"a,b\n1,gr\xfcn\n", "expected text in UTF-8"),
        (column(*range(30), "12 kg", *range(30)), "line 32, column 'y': expected a number, got '12 kg' \\(task="),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_damaged_csv_files_are_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "t.csv"))


def test_the_target_is_one_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected the name of one column, got 'a' \(columns: a, a, b\)"):
        load(tmp_path, "a,a,b\n1,2,3\n", target="a")


# Constant columns.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, -0.1, 1e-30, 1e30, 0.0, 1 / 3])
@pytest.mark.parametrize("n", [3, 100, 1001])
def test_a_constant_column_is_only_shifted(tmp_path: Path, dtype: Any, value: float, n: int) -> None:
    X = np.stack([np.arange(n), np.full(n, value)], axis=1).astype(dtype)
    X_test = np.array([[0, 0], [1, 1]]) + X[:2]
    np.savez(tmp_path / "t.npz", X=X, y=X[:, 1], X_test=X_test, y_test=X_test[:, 1])
    d = data.load_table(tmp_path / "t.npz", task="regression", standardize_targets=True)
    difference = X_test[:, 1].astype(float) - X[0, 1]
    for train, test in ((d.X[:, 1], d.X_test[:, 1]), (d.y[:, 0], d.y_test[:, 0])):
        np.testing.assert_array_equal(train, np.zeros(n))
        np.testing.assert_array_equal(test, difference.astype(np.float32))


def test_a_column_that_differs_by_rounding_is_constant() -> None:
    X = np.array([[0.1 + 0.2], [0.3]])  # 0.30000000000000004
    scaling = data.Standardization.of(X)
    assert scaling.scale == 1
    assert np.abs(scaling.apply(X)).max() < 1e-15


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1.0, 1e30])
def test_standardization_of_values_of_any_size(size: float) -> None:
    values = size * np.random.default_rng(0).normal(3, 2, (500, 2))
    scaling = data.Standardization.of(values)
    np.testing.assert_allclose(scaling.scale / size, (values / size).std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.apply(values).mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaling.invert(scaling.apply(values)), values, rtol=1e-12)
