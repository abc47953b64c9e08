"""The configuration that runs: backend, instruction set, threads, versions."""

import importlib.util
import platform
import sys
from typing import Any, Literal, overload

import numpy as np

from fastopt._version import __version__
from fastopt.kernels import _backend
from fastopt.kernels._threads import get_num_threads


@overload
def show_config(mode: Literal["stdout"] = ...) -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show which kernels run: backend, instruction set, threads and versions.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print the configuration, or return it as a dictionary (as `numpy.show_config` does).

    Returns
    -------
    dict or None
        With ``mode="dicts"``: keys ``fastopt``, ``backend``, ``instruction_set``, ``threads``, ``backends``
        (those that can be had here), ``numpy``, ``python`` and ``machine``.

    Raises
    ------
    ValueError
        `mode` is neither of the two.

    Examples
    --------
    >>> import fastopt
    >>> fastopt.show_config("dicts")["backend"] in ("cython", "numba", "numpy")
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode: expected 'stdout' or 'dicts', got {mode!r}")
    config = {
        "fastopt": __version__,
        "backend": _backend.active.name,
        "instruction_set": _backend.active.isa,
        "threads": get_num_threads(),
        "backends": [name for name in _backend.BACKENDS if _can_load(name)],
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        sys.stdout.write(f"{key.replace('_', ' '):<16} {shown if shown is not None else '-'}\n")
    return None


def _can_load(name: str) -> bool:
    if name == "numba":  # whose import takes long
        return importlib.util.find_spec("numba") is not None
    try:
        _backend.load(name)
    except ImportError:
        return False
    return True
