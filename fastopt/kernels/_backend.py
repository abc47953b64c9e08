"""Choice of the backend: Cython, else Numba, else NumPy, or what the environment asks for."""

import importlib.util
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, overload

BACKENDS = ("cython", "numba", "numpy")
ISAS = ("v4", "v3", "baseline")

# Without the option pip would take the wheel that it built and kept when there was no compiler.
_HOW_TO_COMPILE = "install a C compiler, then pip install --force-reinstall --no-cache-dir fastopt"


class Backend(Protocol):
    """What a backend module offers."""

    @property
    def name(self) -> str:
        """One of `BACKENDS`."""
        ...

    @property
    def isa(self) -> str | None:
        """Of the compiled kernels, one of `ISAS`."""
        ...

    @property
    def TAKES_ANY_LENGTH(self) -> bool:
        """Whether `update` is best given arrays as long as they come, rather than short enough for the cache."""
        ...

    def apply(self, rule: str, arrays: tuple[Any, ...], scalars: tuple[float, ...], limit: int) -> bool:
        """Bind and sweep fewer than `limit` elements of ordinary arrays at once; return whether it was done."""
        ...

    @property
    def apply_adam(self) -> Callable[..., bool]:
        """Do what `apply` does for Adam, or with five arrays AMSGrad: arrays, limit, arguments of `_scalars.adam`."""
        ...

    @property
    def adam_scalars(self) -> Callable[..., tuple[float, ...] | None]:
        """Return what `_scalars.adam` returns, or None for arguments that need a check."""
        ...

    def bind(self, streams: tuple[Any, ...], others: tuple[Any, ...] = ()) -> Any:
        """Return a sweep over ordinary arrays, or None where they need the chunked one.

        Gradients must not overlap `others` either, which are written at the same step.
        """
        ...

    def sums_of_squares(self, arrays: tuple[Any, ...], start: int, stop: int) -> list[float] | None:
        """Return the sums of squares of blocks of elements, or None for arrays that need the general way."""
        ...

    def update(self, rule: str, arrays: tuple[Any, ...], scalars: tuple[float, ...]) -> None:
        """Apply `rule` to contiguous one-dimensional arrays of one dtype."""


def load(name: str, isa: str | None = None) -> Backend:
    """Return the backend `name`, with `isa` for one instruction set of the compiled kernels.

    Raises
    ------
    ValueError
        `name` or `isa` is not one of `BACKENDS`, `ISAS`.
    ImportError
        The backend cannot be had here; the message says what to do.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
    if isa is not None and isa not in ISAS:
        raise ValueError(f"isa: expected one of {', '.join(ISAS)}, got {isa!r}")
    if name == "cython":
        return _load_compiled(isa)
    if name == "numpy":
        from fastopt.kernels import _numpy

        return _numpy
    if importlib.util.find_spec("numba") is None:
        raise ImportError('the numba backend needs numba: pip install "fastopt[numba]"')
    from fastopt.kernels import _numba

    return _numba


def _load_compiled(isa: str | None) -> Backend:
    try:
        import fastopt.kernels._cython as compiled
    except ModuleNotFoundError as error:
        if hasattr(__spec__.loader, "archive"):  # of zipimport
            raise ImportError("the compiled kernels cannot be loaded from a zip archive: install fastopt") from error
        raise ImportError(f"the compiled kernels are not installed ({error}): {_HOW_TO_COMPILE}") from error
    except ImportError as error:  # built for another machine, or loaded in a sub-interpreter
        raise ImportError(f"the compiled kernels cannot be loaded ({error})") from error
    best = compiled.best_isa()
    if isa is not None and ISAS.index(isa) < ISAS.index(best):
        raise ImportError(f"the {isa} kernels cannot run: this processor or operating system supports {best} at best")
    if isa is not None:
        return compiled.Kernels(isa)
    for candidate in ISAS[ISAS.index(best) : -1]:
        try:
            return compiled.Kernels(candidate)
        except ImportError:  # built by a compiler that does not know it
            continue
    return compiled.Kernels("baseline")


def _choose() -> Backend:
    """Honour FASTOPT_BACKEND and FASTOPT_ISA, else take the best backend there is."""
    name, isa = os.environ.get("FASTOPT_BACKEND") or None, os.environ.get("FASTOPT_ISA") or None
    for variable, value, values in (("FASTOPT_BACKEND", name, BACKENDS), ("FASTOPT_ISA", isa, ISAS)):
        if value is not None and value not in values:
            raise ValueError(f"{variable}: expected one of {', '.join(values)}, got {value!r}")
    if isa is not None and name not in (None, "cython"):
        raise ValueError(f"FASTOPT_ISA: expected nothing with FASTOPT_BACKEND={name}, got {isa!r}")
    if name is not None or isa is not None:
        return load(name or "cython", isa)
    try:
        return load("cython")
    except ImportError as error:
        reason = error
    backend = load("numba" if importlib.util.find_spec("numba") else "numpy")
    slower = {"numba": "starts slower and takes longer on small arrays", "numpy": "is several times slower"}
    install = "" if backend.name == "numba" else ' (or: pip install "fastopt[numba]")'
    warnings.warn(
        f"fastopt runs on its {backend.name} backend, which {slower[backend.name]}: {reason}{install}. "
        f"FASTOPT_BACKEND={backend.name} silences this warning.",
        RuntimeWarning,
        stacklevel=2,
    )
    return backend


active: Backend = _choose()


@contextmanager
def using(name: str, isa: str | None = None) -> Iterator[Backend]:
    """Run a block of code on another backend; not for several threads at once."""
    global active
    before, active = active, load(name, isa)
    try:
        yield active
    finally:
        active = before


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
    import numpy as np

    from fastopt._version import __version__
    from fastopt.kernels._threads import get_num_threads

    config = {
        "fastopt": __version__,
        "backend": active.name,
        "instruction_set": active.isa,
        "threads": get_num_threads(),
        "backends": [name for name in BACKENDS if _can_load(name)],
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
        load(name)
    except ImportError:
        return False
    return True
