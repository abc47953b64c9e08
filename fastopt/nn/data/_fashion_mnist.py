"""Fashion-MNIST, and the IDX format that its files are in."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastopt._extras import require
from fastopt._typing import Array
from fastopt.nn.data._dataset import Dataset, check_pixel_range, scale_pixels

#: Where Debian's package ``dataset-fashion-mnist`` puts its files.
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")

_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_FASHION_SHA256 = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def fashion_mnist(folder: str | Path | None = None, *, pixel_range: tuple[float, float] = (-1.0, 1.0)) -> Dataset:
    """Fashion-MNIST: 70,000 grey pictures of 28 x 28 pixels, ten kinds of clothes.

    Parameters
    ----------
    folder : path, optional
        Folder of the four IDX files (``train-images-idx3-ubyte`` and so on, plain or ``.gz``).
        Without it: the folder of Debian's package ``dataset-fashion-mnist`` if installed,
        else the files are downloaded once into pooch's cache and checked against their SHA-256.
    pixel_range : (low, high)
        Pixels 0...255 are scaled linearly to this range. The default is the book's
        ``(x - 127.5) / 127.5``; ``(0, 1)`` gives ``x / 255``.

    Returns
    -------
    Dataset
        60,000 training and 10,000 test samples, 784 features, 10 classes.

    Raises
    ------
    FileNotFoundError
        If `folder` lacks one of the files.
    ValueError
        If a file is damaged or does not fit the others, or its download is damaged.
    ModuleNotFoundError
        If the data has to be downloaded and pooch is not installed.
    ConnectionError
        If the download fails.

    References
    ----------
    Xiao, Rasul and Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms, 2017, arXiv:1708.07747.
    """
    bounds = check_pixel_range(pixel_range)  # before anything is read or downloaded
    train_images, train_labels, test_images, test_labels = _fashion_files(folder)
    images, y = _read_labelled(train_images, train_labels)
    images_test, y_test = _read_labelled(test_images, test_labels)
    if images.shape[1:] != images_test.shape[1:]:
        raise ValueError(
            f"{test_images}: expected pictures of {images.shape[1:]} pixels like "
            f"{train_images.name}, got {images_test.shape[1:]}"
        )
    rows, columns = images.shape[1:]
    return Dataset(
        scale_pixels(images, 255, bounds),
        y,
        scale_pixels(images_test, 255, bounds),
        y_test,
        "Fashion-MNIST",
        _FASHION_CLASSES,
        image_shape=(rows, columns),
    )


def read_idx(path: str | Path) -> Array:
    """Read an array from an IDX file, the format of MNIST, plain or gzip-compressed.

    Parameters
    ----------
    path : path
        The file. Compression is recognised by content, not by name.

    Returns
    -------
    ndarray
        In the file's type (one of uint8, int8, int16, int32, float32, float64) and shape.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, too long or not in this format.

    References
    ----------
    LeCun, Cortes and Burges, The MNIST database of handwritten digits, "the IDX file format".
    """
    path = Path(path)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: truncated or damaged gzip file ({error})") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_DTYPES:
        raise ValueError(f"{path}: not an IDX file (it begins with {content[:4].hex() or 'nothing'})")
    dtype = np.dtype(_IDX_DTYPES[content[2]])
    start = 4 + 4 * content[3]
    if content[3] == 0 or len(content) < start:
        raise ValueError(f"{path}: truncated IDX header")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise ValueError(f"{path}: the header promises {expected} bytes for shape {shape}, got {len(content) - start}")
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _fashion_files(folder: str | Path | None) -> list[Path]:
    if folder is None and DEBIAN_FOLDER.is_dir():
        folder = DEBIAN_FOLDER
    if folder is None:
        return [_download(name) for name in _FASHION_SHA256]
    files = []
    for name in _FASHION_SHA256:
        found = [p for p in (Path(folder, name), Path(folder, f"{name}.gz")) if p.is_file()]
        if not found:
            raise FileNotFoundError(f"{folder}: there is no {name} or {name}.gz")
        files.append(found[0])
    return files


def _download(name: str) -> Path:
    pooch = require("pooch", extra="data", what="downloading Fashion-MNIST")
    url = f"{_FASHION_URL}{name}.gz"
    instead = "install Debian's package dataset-fashion-mnist, or give the folder of the files (--data DIR)"
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{_FASHION_SHA256[name]}",
                fname=f"{name}.gz",
                path=pooch.os_cache("fastopt") / "fashion-mnist",
            )
        )
    except OSError as error:
        raise ConnectionError(f"{url} could not be downloaded ({_cause(error)}): {instead}") from error
    except ValueError as error:  # pooch has deleted the file
        raise ValueError(f"{url} sent a damaged file, with another SHA-256 than it should have: {instead}") from error


def _cause(error: BaseException) -> BaseException:
    """Return the first of the errors that led to this one: it says why, the others say where."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _read_labelled(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.dtype != np.uint8 or x.size == 0:
        raise ValueError(f"{images}: expected uint8 pictures, got {x.dtype} of shape {x.shape}")
    if y.ndim != 1 or y.dtype != np.uint8:
        raise ValueError(f"{labels}: expected uint8 labels, got {y.dtype} of shape {y.shape}")
    if len(x) != len(y):
        raise ValueError(f"{labels}: expected {len(x)} labels like {images.name}, got {len(y)}")
    if y.max() >= len(_FASHION_CLASSES):
        raise ValueError(f"{labels}: expected labels 0 to 9, got {y.max()}")
    return x, y.astype(np.int64)
