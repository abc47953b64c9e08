"""Data sets: what is generated, what is read, and what is said about damaged files."""

import gzip
import hashlib
import struct
import sys
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastopt._extras import require
from fastopt.nn import data
from fastopt.nn.data import _fashion_mnist

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(values: np.ndarray) -> bytes:
    code = IDX_CODES[values.dtype.str[1:]]
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write_fashion(folder: Path, *, compress: bool = False, replaced: dict[str, bytes] | None = None) -> Path:
    """Write four small files in the layout of Fashion-MNIST, 6 + 4 pictures of 2 x 3 pixels."""
    random = np.random.default_rng(0)
    contents = {
        "train-images-idx3-ubyte": idx_bytes(random.integers(0, 256, (6, 2, 3), dtype=np.uint8)),
        "train-labels-idx1-ubyte": idx_bytes(np.arange(6, dtype=np.uint8)),
        "t10k-images-idx3-ubyte": idx_bytes(random.integers(0, 256, (4, 2, 3), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte": idx_bytes(np.arange(4, dtype=np.uint8)),
    }
    contents |= replaced or {}
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


# Generated data.


def test_spiral_lies_on_its_arms() -> None:
    d = data.spiral(samples=50, classes=4, noise=0.0)
    radius = np.hypot(d.X[:, 0], d.X[:, 1]).reshape(4, 50)
    np.testing.assert_allclose(radius, np.tile(np.linspace(0, 1, 50), (4, 1)), atol=1e-6)
    end = d.X.reshape(4, 50, 2)[:, -1]
    angle = 2.5 * 4 * np.arange(1, 5)
    np.testing.assert_allclose(end, np.stack([np.sin(angle), np.cos(angle)], 1), atol=1e-5)
    np.testing.assert_array_equal(d.y, np.repeat([0, 1, 2, 3], 50))


@pytest.mark.parametrize("name", ["spiral", "vertical"])
def test_points_are_those_of_the_book(name: str) -> None:
    datasets = pytest.importorskip("nnfs.datasets", reason="nnfs brings the book's own data")
    np.random.seed(0)  # noqa: NPY002 - nnfs draws from the global stream
    X, y = getattr(datasets, f"{name}_data")(100, 3)
    d = getattr(data, name)()
    np.testing.assert_allclose(d.X, X, atol=2e-7)
    np.testing.assert_array_equal(d.y, y)


@pytest.mark.parametrize("make", [data.spiral, data.vertical])
def test_seed_decides_the_points(make: Any) -> None:
    first, again, other = make(seed=3), make(seed=3), make(seed=4)
    np.testing.assert_array_equal(first.X, again.X)
    np.testing.assert_array_equal(first.X_test, again.X_test)
    assert not np.array_equal(first.X, other.X)
    assert not np.array_equal(first.X, first.X_test)
    assert first.X.dtype == np.float32
    assert first.y.dtype == np.int64
    assert first.classes == ("0", "1", "2")


def test_sine_tests_between_its_training_points() -> None:
    d = data.sine(samples=100)
    np.testing.assert_allclose(d.y, np.sin(2 * np.pi * d.X.astype(float)), atol=1e-6)
    np.testing.assert_allclose(d.X_test[:-1], (d.X[:-1] + d.X[1:]) / 2, atol=1e-6)
    assert (d.task, d.outputs, d.y.shape) == ("regression", 1, (100, 1))


def test_digits_are_scaled_and_split() -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    d = data.digits(test=0.25)
    assert (len(d.X), len(d.X_test)) == (1348, 449)
    assert (d.X.min(), d.X.max(), d.image_shape) == (-1.0, 1.0, (8, 8))
    assert set(d.y) == set(range(10))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"samples": 0}, ValueError, "samples: expected an integer >= 1, got 0"),
        ({"samples": 2.5}, TypeError, r"samples: expected an integer >= 1, got 2\.5"),
        ({"classes": -1}, ValueError, "classes: expected an integer >= 1, got -1"),
        ({"classes": True}, TypeError, "classes: expected an integer >= 1, got True"),
        ({"noise": -0.1}, ValueError, r"noise: expected a number in \[0, 1e\+06\], got -0\.1"),
        ({"noise": float("nan")}, ValueError, r"noise: expected a number in \[0, 1e\+06\], got nan"),
        ({"noise": 1e308}, ValueError, r"noise: expected a number in \[0, 1e\+06\], got 1e\+308"),
    ],
)
def test_bad_numbers_are_named(arguments: dict[str, Any], error: Any, message: str) -> None:
    for generate in (data.spiral, data.vertical):
        with pytest.raises(error, match=message):
            generate(**arguments)


# Splitting.


@given(n=st.integers(2, 60), validation=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_split_keeps_every_sample_once(n: int, validation: float, seed: int) -> None:
    X = np.arange(2 * n).reshape(n, 2)
    X_train, y_train, X_rest, y_rest = data.train_validation_split(X, X[:, 1], validation=validation, seed=seed)
    assert len(X_rest) == min(max(round(validation * n), 1), n - 1)
    together = np.concatenate([X_train, X_rest])
    np.testing.assert_array_equal(together[np.argsort(together[:, 0])], X)
    np.testing.assert_array_equal(together[:, 1], np.concatenate([y_train, y_rest]))


@pytest.mark.parametrize(
    ("n", "m", "validation", "message"),
    [
        (4, 3, 0.5, "y: expected 4 samples like X, got 3"),
        (1, 1, 0.5, "at least 2 samples, got 1"),
        (4, 4, 0.0, r"validation: expected a number in \(0, 1\)"),
        (4, 4, float("nan"), r"validation: expected a number in \(0, 1\)"),
    ],
)
def test_bad_splits_are_refused(n: int, m: int, validation: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.train_validation_split(np.zeros((n, 1)), np.zeros(m), validation=validation)


# IDX files and Fashion-MNIST.


@given(
    values=st.sampled_from(sorted(IDX_CODES)).flatmap(
        lambda code: hnp.arrays(code, hnp.array_shapes(max_dims=3, min_side=0, max_side=4))
    ),
    compress=st.booleans(),
)
def test_idx_files_are_read_back(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, compress: bool) -> None:
    path = tmp_path_factory.mktemp("idx") / "values"
    content = idx_bytes(values)
    path.write_bytes(gzip.compress(content) if compress else content)
    read = data.read_idx(path)
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


GOOD = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (GOOD[:3], "not an IDX file"),
        (b"\x01" + GOOD[1:], "not an IDX file"),
        (GOOD[:2] + b"\x07" + GOOD[3:], "not an IDX file"),
        (GOOD[:3] + b"\x00" + GOOD[4:], "truncated IDX header"),
        (GOOD[:9], "truncated IDX header"),
        (GOOD[:-1], r"promises 12 bytes for shape \(3, 4\), got 11"),
        (GOOD + b"\x00", r"promises 12 bytes for shape \(3, 4\), got 13"),
        (GOOD[:3] + b"\x03" + GOOD[4:], "the header promises"),
        (GOOD[:4] + b"\xff" * 8 + GOOD[12:], "the header promises"),
        (gzip.compress(GOOD)[:-9], "truncated or damaged gzip file"),
        (gzip.compress(GOOD)[:15], "truncated or damaged gzip file"),
        (gzip.compress(GOOD)[:-8] + b"\x00" * 8, "truncated or damaged gzip file"),
        (b"\x1f\x8bnonsense", "truncated or damaged gzip file"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "damaged.idx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        data.read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("compress", [False, True])
def test_fashion_mnist_is_read_and_scaled(tmp_path: Path, compress: bool) -> None:
    folder = write_fashion(tmp_path, compress=compress)
    d = data.fashion_mnist(folder)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (6, 2, 3), dtype=np.uint8).reshape(6, 6).astype(np.float32)
    np.testing.assert_array_equal(d.X, (pixels - np.float32(127.5)) / np.float32(127.5))
    np.testing.assert_array_equal(d.y, np.arange(6))
    assert (d.X.dtype.name, d.X_test.shape, d.image_shape) == ("float32", (4, 6), (2, 3))
    assert d.classes[9] == "Ankle boot"
    unit = data.fashion_mnist(folder, pixel_range=(0, 1))
    np.testing.assert_array_equal(unit.X, pixels / np.float32(255))


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"train-labels-idx1-ubyte": idx_bytes(np.zeros(5, np.uint8))},
            "train-labels-idx1-ubyte: expected 6 labels like train-images-idx3-ubyte, got 5",
        ),
        (
            {"t10k-labels-idx1-ubyte": idx_bytes(np.full(4, 10, np.uint8))},
            "t10k-labels-idx1-ubyte: expected labels 0 to 9, got 10",
        ),
        (
            {"t10k-labels-idx1-ubyte": idx_bytes(np.zeros((4, 1), np.uint8))},
            r"t10k-labels-idx1-ubyte: expected uint8 labels, got uint8 of shape \(4, 1\)",
        ),
        (
            {"train-images-idx3-ubyte": idx_bytes(np.zeros((6, 2, 3), np.float32))},
            "train-images-idx3-ubyte: expected uint8 pictures, got float32",
        ),
        (
            {"train-images-idx3-ubyte": idx_bytes(np.zeros((0, 2, 3), np.uint8))},
            r"train-images-idx3-ubyte: expected uint8 pictures, got uint8 of shape \(0, 2, 3\)",
        ),
        (
            {"t10k-images-idx3-ubyte": idx_bytes(np.zeros((4, 3, 3), np.uint8))},
            r"t10k-images-idx3-ubyte: expected pictures of \(2, 3\) pixels",
        ),
        ({"t10k-images-idx3-ubyte": b""}, "t10k-images-idx3-ubyte: not an IDX file"),
    ],
)
def test_fashion_mnist_files_have_to_fit(tmp_path: Path, replaced: dict[str, bytes], message: str) -> None:
    folder = write_fashion(tmp_path, replaced=replaced)
    with pytest.raises(ValueError, match=message):
        data.fashion_mnist(folder)


def test_fashion_mnist_names_the_missing_file(tmp_path: Path) -> None:
    folder = write_fashion(tmp_path)
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"no t10k-images-idx3-ubyte or t10k-.*\.gz"):
        data.fashion_mnist(folder)


@pytest.mark.parametrize("pixel_range", [(1, 0), (0, 0), (0, float("inf")), (float("nan"), 1)])
def test_fashion_mnist_range_is_checked(pixel_range: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"pixel_range.*: expected (a finite number|\(low, high\))"):
        data.fashion_mnist(pixel_range=pixel_range)


def test_debian_folder_comes_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fashion_mnist, "DEBIAN_FOLDER", write_fashion(tmp_path))
    assert len(data.fashion_mnist().X) == 6


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a folder in the place of the real server."""
    pytest.importorskip("pooch", reason="pooch downloads")
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: Any) -> None:
            pass

    monkeypatch.setattr(_fashion_mnist, "DEBIAN_FOLDER", tmp_path / "nowhere")
    for variable in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(_fashion_mnist, "_FASHION_URL", f"http://127.0.0.1:{server.server_port}/")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


@pytest.fixture
def served_small(served: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Serve four small files."""
    write_fashion(served, compress=True)
    for name in _fashion_mnist._FASHION_SHA256:
        digest = hashlib.sha256((served / f"{name}.gz").read_bytes()).hexdigest()
        monkeypatch.setitem(_fashion_mnist._FASHION_SHA256, name, digest)
    return served


def test_files_are_downloaded_once(served_small: Path) -> None:
    first = data.fashion_mnist()
    assert (len(first.X), len(first.X_test)) == (6, 4)
    for path in served_small.iterdir():
        path.unlink()
    np.testing.assert_array_equal(data.fashion_mnist().X, first.X)


def test_a_damaged_download_is_refused_and_not_kept(served_small: Path) -> None:
    path = served_small / "t10k-labels-idx1-ubyte.gz"
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte\.gz sent a damaged file.*--data DIR"):
        data.fashion_mnist()
    path.write_bytes(good)
    assert len(data.fashion_mnist().X) == 6


def test_a_failed_download_says_why_and_what_to_do(served_small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (served_small / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ConnectionError, match=r"train-labels-idx1-ubyte\.gz could not be downloaded \(404 "):
        data.fashion_mnist()
    monkeypatch.setattr(_fashion_mnist, "_FASHION_URL", "http://127.0.0.1:1/")
    with pytest.raises(ConnectionError, match=r"refused.*dataset-fashion-mnist.*--data DIR"):
        data.fashion_mnist()


@pytest.mark.skipif(not _fashion_mnist.DEBIAN_FOLDER.is_dir(), reason="compares with dataset-fashion-mnist of Debian")
def test_the_published_files_are_those_of_debian(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian = Path("/usr/share/datasets/fashion-mnist")
    # Debian takes name and time out of the headers; with them the files are the published ones to the bit.
    times = {"train-labels-idx1-ubyte": 1504176606, "train-images-idx3-ubyte": 1504176606}
    for name, digest in _fashion_mnist._FASHION_SHA256.items():
        content = (debian / f"{name}.gz").read_bytes()
        header = b"\x1f\x8b\x08\x08" + struct.pack("<I", times.get(name, 1504176627)) + content[8:10]
        published = header + name.encode() + b"\0" + content[10:]
        assert hashlib.sha256(published).hexdigest() == digest
        (served / f"{name}.gz").write_bytes(published)
    downloaded = data.fashion_mnist()
    assert (downloaded.X.shape, downloaded.X_test.shape) == ((60000, 784), (10000, 784))
    np.testing.assert_array_equal(np.bincount(downloaded.y), 10 * [6000])


# The user's own tables.


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


ROWS = "".join(f"{i},{i * i},{'red' if i % 2 else 'blue'}\n" for i in range(10))


@pytest.mark.parametrize("header", ["", "\ufeff", "a,b,colour\n", '"a, first",b,colour\n', "\ufeffa,b,colour\n"])
def test_csv_with_class_names(tmp_path: Path, header: str) -> None:
    d = data.load_table(write(tmp_path / "t.csv", header + ROWS), standardize=False)
    assert (d.task, d.classes, len(d.X), len(d.X_test)) == ("classification", ("blue", "red"), 8, 2)
    for X, y in ((d.X, d.y), (d.X_test, d.y_test)):
        np.testing.assert_array_equal(X[:, 1], X[:, 0] ** 2)
        np.testing.assert_array_equal(y, X[:, 0] % 2)


def test_a_header_may_have_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{i},{2 * i},{i + 0.5}\n" for i in range(10))
    for header in ("0,1,price\n", "id,1,price\n", "0, 1 ,price\n"):
        d = data.load_table(write(tmp_path / "t.csv", header + rows), standardize=False)
        assert (d.task, len(d.X) + len(d.X_test)) == ("regression", 10)
        np.testing.assert_array_equal(d.X[:, 1], 2 * d.X[:, 0])
        np.testing.assert_array_equal(d.y[:, 0], d.X[:, 0] + 0.5)
    d = data.load_table(write(tmp_path / "t.csv", "0,1,2\n" + rows), target="1", standardize=False)
    assert len(d.X) + len(d.X_test) == 10
    with pytest.raises(ValueError, match="line 1 is the only one with 'colour' in column 3"):
        data.load_table(write(tmp_path / "t.csv", "0,1,colour\n" + ROWS))
    assert len(data.load_table(write(tmp_path / "t.csv", "0,1,colour\n" + ROWS), target="colour").classes) == 2


def test_csv_target_by_name_and_semicolons(tmp_path: Path) -> None:
    rows = "".join(f"{i / 2};{i};{i + 1}\n" for i in range(10))
    path = write(tmp_path / "t.csv", "height;a;b\n" + rows)
    d = data.load_table(path, target="height", delimiter=";", standardize=False)
    assert (d.task, d.y.shape, d.y.dtype.name) == ("regression", (8, 1), "float32")
    np.testing.assert_array_equal(d.X[:, 0] / 2, d.y[:, 0])


def test_features_are_standardized_by_the_training_part(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(5, 3, (200, 3))
    X[:, 1] = 7.0
    np.savez(tmp_path / "t.npz", X=X, y=random.integers(0, 3, 200))
    d = data.load_table(tmp_path / "t.npz")
    np.testing.assert_allclose(d.X.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(d.X.std(axis=0), [1, 0, 1], atol=1e-6)
    assert abs(d.X_test.mean(axis=0)[0]) > 1e-6


def test_npz_brings_its_test_set_and_labels_from_anywhere(tmp_path: Path) -> None:
    X, y = np.ones((4, 2, 3)), np.array([-1, 7, 7, -1])
    np.savez(tmp_path / "t.npz", X=X, y=y, X_test=X[:2], y_test=np.array([7, 7]))
    d = data.load_table(tmp_path / "t.npz", standardize=False)
    assert (d.classes, d.image_shape, d.X.shape) == (("-1", "7"), (2, 3), (4, 6))
    np.testing.assert_array_equal(d.y, [0, 1, 1, 0])
    np.testing.assert_array_equal(d.y_test, [1, 1])


def test_task_can_be_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.ones((4, 2)), y=np.arange(4))
    assert data.load_table(tmp_path / "t.npz").task == "classification"
    assert data.load_table(tmp_path / "t.npz", task="regression").task == "regression"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((3, 2))}, "expected the arrays X and y"),
        ({"X": np.ones((3, 2)), "y": np.arange(3), "X_test": np.ones((1, 2))}, "or neither"),
        ({"X": np.ones((3, 2)), "y": np.arange(2)}, "expected 3 labels or targets"),
        ({"X": np.ones(3), "y": np.arange(3)}, r"X: expected numbers of shape \(samples, fea"),
        ({"X": np.full((3, 2), "a"), "y": np.arange(3)}, "X: expected numbers"),
        ({"X": np.full((3, 2), np.nan), "y": np.arange(3)}, r"X\[0, 0\]: missing value"),
        ({"X": np.ones((3, 2)), "y": np.array([1.5, np.inf, 0])}, r"y\[1\]: expected a finite number, got inf"),
        (
            {"X": np.full((3, 2), np.finfo(np.longdouble).max), "y": np.arange(3)},
            r"X\[0, 0\]: .* too large for float32",
        ),
        ({"X": np.ones((3, 1, 2)), "y": np.array([1, np.nan, 0])}, r"y\[1\]: missing value"),
        (
            {"X": np.full((3, 1, 2), [[1, np.inf]]), "y": np.arange(3)},
            r"X\[0, 0, 1\]: expected a finite number, got inf",
        ),
        ({"X": np.ones((3, 2)), "y": np.array([[0.5, 1e39]] * 3)}, r"y\[0, 1\]: .* got 1e\+39, too large for float32"),
        ({"X": np.ones((3, 2)), "y": np.array([["a", "b"]] * 3)}, "y: expected one class label per sample"),
        ({"X": np.ones((3, 2)), "y": np.array([None, 1, 2])}, "not a readable .npz file"),
        (
            {"X": np.ones((3, 2)), "y": np.arange(3), "X_test": np.ones((1, 3)), "y_test": [0]},
            "X_test, y_test: expected the features and outputs of X, y",
        ),
        (
            {"X": np.ones((3, 2)), "y": np.arange(3), "X_test": np.ones((1, 2)), "y_test": [9]},
            "y_test: expected the classes of y, got '9'",
        ),
    ],
)
def test_unfit_npz_files_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        data.load_table(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("damage", ["member", "encrypted", "method"])
def test_odd_zips_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, X=np.ones((3, 2)), **({} if damage == "member" else {"y": np.arange(3)}))
    if damage == "member":
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("y", "0 1 2")
    else:
        content = bytearray(path.read_bytes())
        entry = content.index(b"PK\x01\x02")  # of the first member, in the list at the end
        content[entry + 8 : entry + 12] = b"\x01\0\0\0" if damage == "encrypted" else b"\0\0\x63\0"
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.npz: not a readable \.npz file"):
        data.load_table(path)


@pytest.mark.parametrize("keep", [0, 10, 100, -30])
def test_truncated_npz_files_are_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).random((50, 4)), y=np.arange(50))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        data.load_table(path)


def test_an_array_is_not_a_table(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.ones(3))
    (tmp_path / "t.npy").rename(tmp_path / "t.npz")
    with pytest.raises(ValueError, match=r"not a readable \.npz file"):
        data.load_table(tmp_path / "t.npz")


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("absent.csv", {}, FileNotFoundError, "absent.csv: no such file"),
        ("t.txt", {}, ValueError, r"t\.txt: expected a \.npz, \.csv or \.tsv file"),
        ("t.csv", {"target": "c"}, ValueError, r"expected the name of one column, got 'c' \(columns: a, b\)"),
        ("t.csv", {"task": "guess"}, ValueError, "task: expected one of 'classification', "),
        ("t.csv", {"task": "regression", "target": "b"}, ValueError, "line 2, column 'b': expected a number, got 'x'$"),
        ("t.csv", {"missing": "guess"}, ValueError, "missing: expected one of 'refuse', 'drop', 'mean', got"),
        ("t.csv", {"decimal": ";"}, ValueError, r"decimal: expected one of '\.', ',', got ';'"),
        ("t.csv", {"delimiter": ""}, ValueError, "delimiter: expected one character, got ''"),
        ("t.npz", {"target": "a"}, ValueError, r"target: only for a \.csv, not for .*t\.npz"),
        ("t.npz", {"delimiter": ";"}, ValueError, r"delimiter: only for a \.csv"),
        ("t.npz", {"task": "classification"}, ValueError, "one class label per sample"),
        ("n.npz", {"task": "regression"}, ValueError, "regression needs numbers, got text"),
        ("t.csv", {"test": 1.5}, ValueError, r"validation: expected a number in \(0, 1\)"),
    ],
)
def test_wrong_options_for_tables(tmp_path: Path, name: str, options: dict[str, Any], error: Any, message: str) -> None:
    for file in ("t.csv", "t.txt"):
        write(tmp_path / file, "a,b\n1,x\n2,y\n")
    np.savez(tmp_path / "t.npz", X=np.ones((3, 2)), y=np.ones((3, 2)))
    np.savez(tmp_path / "n.npz", X=np.ones((3, 2)), y=["a", "b", "a"])
    with pytest.raises(error, match=message):
        data.load_table(tmp_path / name, **options)


# By name.


def test_load_by_name_and_by_path(tmp_path: Path) -> None:
    np.testing.assert_array_equal(data.load("spiral", seed=5).X, data.spiral(seed=5).X)
    assert data.load("fashion-mnist", folder=write_fashion(tmp_path)).name == "Fashion-MNIST"
    assert data.load(write(tmp_path / "mine.csv", ROWS)).name == "mine"


@pytest.mark.parametrize(
    ("source", "folder", "message"),
    [
        ("spirals", None, "expected one of spiral, vertical, sine, .* got 'spirals'"),
        ("spiral", "somewhere", "only fashion-mnist is read from a folder, not spiral"),
    ],
)
def test_load_names_what_it_knows(source: str, folder: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.load(source, folder=folder)


def test_repr_is_short() -> None:
    assert repr(data.sine(10)) == ("Dataset('sine', regression, 10 + 10 samples, 1 features, 1 outputs)")


# Optional dependencies.


def test_require_names_distribution_and_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sklearn.datasets", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r'scikit-learn: pip install "fastopt\[data\]"'):
        data.digits()


def test_require_passes_on_what_is_broken_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "broken_inside.py", "import something_it_lacks")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'something_it_lacks'"):
        require("broken_inside", extra="plots", what="a test")
