"""Which backend runs the tests, and fixtures that put global settings back."""

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)  # of a missing backend: `pytest_sessionstart` ends the run
    import fastopt
    from fastopt.kernels import _backend, _threads

# The oracle, the table and the harness, which importlib mode keeps out of reach. Not the folder above:
# its `fastopt` has no compiled kernels and would hide the installed package.
sys.path.insert(0, str(Path(__file__).parent))

from backends import BACKENDS, why_not

# Whoever imports Keras first: its own choice is TensorFlow, installed or not.
os.environ.setdefault("KERAS_BACKEND", next(name for name in ("torch", "jax", "numpy") if find_spec(name)))

settings.register_profile(
    "fastopt",
    # Compilation by Numba and a busy machine make first calls slow; a failure must be repeatable.
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("fastopt")


def pytest_report_header(config):
    active = _backend.active
    isa = f", {active.isa}" if active.isa else ""
    return f"fastopt {fastopt.__version__}: {active.name}{isa}, from {Path(fastopt.__file__).parent}"


def pytest_sessionstart(session):
    """Do not test a fallback in the belief that it is the compiled backend."""
    if _backend.active.name != "cython" and not os.environ.get("FASTOPT_BACKEND"):
        pytest.exit(
            f"the compiled kernels are missing: {Path(fastopt.__file__).parent} runs on "
            f"{_backend.active.name}. Install with `pip install -e .`, or name a fallback to "
            "test: FASTOPT_BACKEND=numba or FASTOPT_BACKEND=numpy",
            returncode=3,
        )


@pytest.fixture
def set_threads():
    """`fastopt.set_num_threads`, undone afterwards."""
    before = fastopt.get_num_threads()
    yield fastopt.set_num_threads
    fastopt.set_num_threads(before)


@pytest.fixture
def share_all(monkeypatch):
    """Arrays of any size are shared out to the threads, in small ranges; their sizes and lengths are recorded."""
    length_of, shared = _threads._length, []

    def small(size, grain):
        shared.append((size, length_of(size, min(grain, 16))))
        return shared[-1][1]

    monkeypatch.setattr(_threads, "MIN_SIZE", 1)
    monkeypatch.setattr(_threads, "_length", small)
    return shared


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Name of each backend that this environment has, in turn."""
    if reason := why_not(request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def keras():
    """Keras, if it is installed."""
    return pytest.importorskip("keras", reason="compares with Keras")
