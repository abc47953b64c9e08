"""The cost of fastopt before the first step: time to import it, and room on the disk."""

import importlib.metadata
import importlib.util
import subprocess
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fastopt.bench.peers import Maker
from fastopt.bench.problem import Step
from fastopt.bench.questions import Level, Question

#: Distributions, and what is imported of them.
_PEERS = {"torch": "torch", "optax": "optax", "thinc": "thinc.api", "scikit-learn": "sklearn"}


def _import(module: str, shared: None) -> Step:
    # -P: as an installed program does, without the current folder.
    command = [sys.executable, "-P", "-c", f"import {module}"]
    return Step(partial(subprocess.run, command, check=True))


def startup(level: Level, threads: int) -> Iterator[Question]:
    """Start a process that imports a library and ends: how long a program waits for it."""
    makers: dict[str, Maker] = {
        "fastopt": partial(_import, "fastopt"),
        "NumPy": partial(_import, "numpy"),
        "Python alone": partial(_import, "sys"),
    }
    if level != "quick":
        for name, module in _PEERS.items():
            if importlib.util.find_spec(module.partition(".")[0]) is not None:
                makers[name] = partial(_import, module)
    yield Question("startup", "A new process with one import", "import", lambda: None, makers, None)


def sizes() -> dict[str, int]:
    """Bytes on the disk: fastopt's kernels and all of it, and the peers without what they need."""
    found = {}
    package, kernels = map(importlib.util.find_spec, ("fastopt", "fastopt.kernels._cython"))
    folders = package.submodule_search_locations or [] if package is not None else []
    files = {path for folder in folders for path in Path(folder).rglob("*.py")}
    if kernels is not None and kernels.origin is not None:
        path = Path(kernels.origin)
        found["fastopt, kernels"] = path.stat().st_size
        files.add(path)
    found["fastopt, all"] = sum(path.stat().st_size for path in files)
    found["fastopt, compressed as in a wheel"] = sum(len(zlib.compress(path.read_bytes())) for path in files)
    for name in ("numpy", *_PEERS):
        try:
            listed = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = sum(file.size or 0 for file in listed)
    return found
