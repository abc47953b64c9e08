"""The optimizer step of gradient descent, in place and at memory speed, for anything that speaks NumPy."""

import importlib
from typing import TYPE_CHECKING

from fastopt._version import __version__ as __version__

try:
    from fastopt._source_tree import refuse as _refuse

    _refuse(__path__)

    # Before the kernels: Ctrl-C while NumPy loads from within a compiled module crashes Python.
    import numpy as _numpy  # noqa: F401

    from fastopt import kernels, optimizers
    from fastopt.kernels._config import show_config
    from fastopt.kernels._threads import get_num_threads, set_num_threads
    from fastopt.optimizers import *  # noqa: F403
except (ImportError, ValueError, KeyboardInterrupt) as _error:
    from fastopt import _command

    _command.end(_error)
    raise

# They take as long to import as all the rest, or longer, and a step with a constant rate does without.
_LATER = ("lr_finder", "nn", "schedules")
_LATER_NAMES = {
    "EMA": "_averages",
    "SWA": "_averages",
    "LossScale": "_loss_scale",
    "minimize": "_minimize",
    "scipy_method": "_minimize",
}

if TYPE_CHECKING:
    from fastopt import lr_finder, nn, schedules
    from fastopt._averages import EMA, SWA
    from fastopt._loss_scale import LossScale
    from fastopt._minimize import minimize, scipy_method
else:

    def __getattr__(name):
        if name in _LATER:
            return importlib.import_module(f"fastopt.{name}")
        if name in _LATER_NAMES:
            return getattr(importlib.import_module(f"fastopt.{_LATER_NAMES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "EMA",
    "SWA",
    "LossScale",
    "get_num_threads",
    "kernels",
    "lr_finder",
    "minimize",
    "nn",
    "schedules",
    "scipy_method",
    "set_num_threads",
    "show_config",
]
__all__ += optimizers.__all__


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
