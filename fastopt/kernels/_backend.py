"""Choice of the backend: Cython, else Numba, else NumPy, or what the environment asks for."""

import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from fastopt._typing import Array
from fastopt.kernels._checks import TEMPORARY
from fastopt.kernels.rules import KINDS, RULES, Rule

BACKENDS = ("cython", "numba", "numpy")
ISAS = ("v4", "v3", "baseline")

# Without the option pip would take the wheel that it built and kept when there was no compiler.
_HOW_TO_COMPILE = "install a C compiler, then pip install --force-reinstall --no-cache-dir fastopt"


class Bound(Protocol):
    """Arrays, looked at and ready for their rules. A step is `load`, `rebind`, `run` and `release`, in this order."""

    @property
    def size(self) -> int:
        """Number of elements of all parameters."""
        ...

    def load(self, values: tuple[tuple[Any, ...], ...]) -> None:
        """Make the scalars of the next step from the hyper-parameters of each part, in their rule's order."""

    def rebind(self, grads: tuple[Sequence[Any], ...], looked_at: bool = False) -> bool:
        """Take other gradients, a sequence per part; return whether they and all bound arrays need no closer look.

        Whether arrays that are watched are still in place has been `looked_at` or is to be.
        """
        ...

    def watch(self, owners: tuple[Any, ...], arrays: tuple[Array, ...]) -> None:
        """Have `rebind` see to it that `arrays` are still where their owners, which are not NumPy's, have them."""

    def run(self, counter: Array | None = None) -> None:
        """Update all arrays; `counter`, an array of one int64, is increased together with them."""

    def share(self, length: int, counter: Array | None = None) -> "Shared | None":
        """Return `run` as work for several threads, in ranges of `length`; None where Python has to share it out."""
        ...

    def run_range(self, start: int, stop: int) -> None:
        """Update the elements from `start` up to `stop` of all parameters laid end to end."""

    def release(self) -> None:
        """Let go of the gradients."""


class Shared(Protocol):
    """A step that several threads do together, range by range."""

    def take(self) -> None:
        """Do ranges until none is left."""

    def finish(self) -> None:
        """Do ranges until none is left, and wait for those of other threads; to be called once."""


class Backend(Protocol):
    """One way to run the loops."""

    @property
    def name(self) -> str:
        """One of `BACKENDS`."""
        ...

    @property
    def isa(self) -> str | None:
        """Of the compiled kernels, one of `ISAS`."""
        ...

    def apply(self, rule: Rule, arrays: tuple[Any, ...], values: tuple[Any, ...], limit: int) -> bool:
        """Update fewer than `limit` elements of ordinary arrays at once; return whether that was possible."""
        ...

    def bind(
        self,
        rules: tuple[Rule, ...],
        parts: tuple[Sequence[Sequence[Any]], ...],
        trusted: bool = False,
        rows: tuple[Sequence[Array | None] | None, ...] | None = None,
    ) -> Bound | None:
        """Return arrays ready for their rules, or None where they need a closer look; trusted ones have had it.

        With `rows`, gradients are for the rows of these indices alone. Arrays that were bound so, take no others.
        """
        ...

    def sums_of_squares(self, arrays: tuple[Array, ...], start: int, stop: int) -> list[float] | None:
        """Return the sums of squares of blocks of elements, or None for arrays that need the general way."""
        ...


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

        return _numpy.BACKEND
    if importlib.util.find_spec("numba") is None:
        raise ImportError('the numba backend needs numba: pip install "fastopt[numba]"')
    from fastopt.kernels import _numba

    backend: Backend = _numba.BACKEND
    return backend


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
        return _kernels(isa)
    for candidate in ISAS[ISAS.index(best) : -1]:
        try:
            return _kernels(candidate)
        except ImportError:  # built by a compiler that does not know it
            continue
    return _kernels("baseline")


def _kernels(isa: str) -> Backend:
    """Return the compiled loops of one instruction set, each under the rule that it was made from."""
    from fastopt.kernels._cython import Kernels

    kernels = Kernels(isa, TEMPORARY)
    rows = {row[0].decode(): (number, row[1:]) for number in range(kernels.n_rows) for row in [kernels.row(number)]}
    for rule in RULES:
        counts = len(rule.streams), len(rule.scalar_names), len(rule.ranges)
        number, row = rows.get(rule.name, (0, None))
        if row != counts:
            raise ImportError(
                f"the compiled kernels are of another version: {rule.name}: expected {counts} arrays, scalars and "
                f"hyper-parameters, got {row}; {_HOW_TO_COMPILE}"
            )
        kinds, lows, highs = zip(*rule.ranges, strict=True)
        kernels.add(rule, number, tuple(map(KINDS.index, kinds)), lows, highs)
    return kernels


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
