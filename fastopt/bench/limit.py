"""The memory limit: how long merely reading and writing a rule's arrays takes.

A loop with the same streams as the rule and next to no arithmetic, compiled on the spot with the
system's C compiler (``CC``, else ``cc``), else with Numba. No update in place can be faster by more
than noise; so the time as a fraction of it says how good a kernel is, on any machine.
"""

import ctypes
import functools
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from fastopt._typing import Array
from fastopt.bench.problem import Problem, Step

_FLAGS: tuple[str, ...] = ("-O3", "-march=native", "-shared", "-fPIC")
if platform.machine() in ("x86_64", "AMD64"):
    # Measured out of cache: AVX-512 made the loop up to a fifth slower on one processor (Zen 5).
    _FLAGS += ("-mno-avx512f",)

#: Elements that one call goes over at least, by repeating itself.
_FEWEST = 200_000

#: Takes the flat arrays p, g, *states and how often to go over them; returns what does that.
Loops = Callable[[list[Array], int], Callable[[], Any]]


def make(problem: Problem) -> Step | None:
    """Return the step that does what no update can do without, or None with no compiler at all."""
    loops = _compiled() or _jitted()
    if loops is None:
        return None
    size = problem.size
    repeats = max(1, _FEWEST // max(1, size))
    share = max(64, -(-size // problem.threads // 64) * 64)
    first, *others = [
        loops([array[start : start + share] for array in problem.flat], repeats) for start in range(0, size, share)
    ]
    if not others:
        return Step(first, repeats=repeats)
    pool = ThreadPoolExecutor(len(others))

    def run() -> None:
        futures = [pool.submit(other) for other in others]
        first()
        for future in futures:
            future.result()

    return Step(run, repeats=repeats, close=pool.shutdown)


@functools.cache
def _compiled() -> Loops | None:
    """Compile ``limit.c``; None where that does not work."""
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or ""]
    source = Path(__file__).with_name("limit.c")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = Path(folder, "limit.so")
        command = [*compiler, *_FLAGS, "-o", str(library), str(source)]
        try:
            subprocess.run(command, check=True, capture_output=True)
            functions = ctypes.CDLL(str(library))
        except (OSError, subprocess.CalledProcessError):
            return None
    reals = {"float32": ctypes.c_float, "float64": ctypes.c_double}

    def loops(arrays: list[Array], repeats: int) -> Callable[[], Any]:
        name, size = arrays[0].dtype.name, arrays[0].size
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        numbers = (ctypes.c_int(len(arrays) - 2), reals[name](0), ctypes.c_int(repeats))
        return partial(functions[f"limit_{name}"], pointers, ctypes.c_size_t(size), *numbers)

    return loops


@functools.cache
def _jitted() -> Loops | None:
    """Compile twins of ``limit.c`` with Numba; None where it is not installed."""
    if importlib.util.find_spec("numba") is None:
        return None
    import numba

    compiled = numba.njit(nogil=True, error_model="numpy")

    @compiled
    def none(repeats, c, p, g):  # type: ignore[no-untyped-def]
        for _ in range(repeats):
            for i in range(p.size):
                p[i] += c * g[i]

    @compiled
    def one(repeats, c, p, g, s):  # type: ignore[no-untyped-def]
        for _ in range(repeats):
            for i in range(p.size):
                d = c * g[i]
                p[i] += d
                s[i] += d

    @compiled
    def two(repeats, c, p, g, s, t):  # type: ignore[no-untyped-def]
        for _ in range(repeats):
            for i in range(p.size):
                d = c * g[i]
                p[i] += d
                s[i] += d
                t[i] += d

    @compiled
    def three(repeats, c, p, g, s, t, u):  # type: ignore[no-untyped-def]
        for _ in range(repeats):
            for i in range(p.size):
                d = c * g[i]
                p[i] += d
                s[i] += d
                t[i] += d
                u[i] += d

    def loops(arrays: list[Array], repeats: int) -> Callable[[], Any]:
        loop = (none, one, two, three)[len(arrays) - 2]
        return partial(loop, repeats, arrays[0].dtype.type(0), *arrays)

    return loops
