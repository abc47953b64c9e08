"""Compiled kernels flush denormals to zero, and leave the caller's control word as it was."""

import ctypes
import ctypes.util
import platform
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from backends import COMPILED, using, why_not
from harness import LAYOUTS, each_dtype, each_number_of_arrays, listed, update
from table import BY_STREAMS, MOST_STREAMS, VARIANTS

DENORMAL = {np.float32: 1e-40, np.float64: 1e-310}


def denormals_work():
    """Denormal operands and results are kept by this thread, in both types."""
    return all(
        np.all(np.full(9, value, dtype) * np.full(9, 0.5, dtype) > 0)
        and np.all(np.full(9, np.finfo(dtype).tiny, dtype) * np.full(9, 0.5, dtype) > 0)
        for dtype, value in DENORMAL.items()
    )


def denormal_states(case, shape, dtype):
    arrays = {name: np.full(shape, DENORMAL[dtype], dtype) for name in case.states}
    return arrays | {"param": np.ones(shape, dtype), "grad": np.zeros(shape, dtype)}


@pytest.mark.parametrize("name", [*COMPILED, "numba"])
@pytest.mark.parametrize("case", [case for case in BY_STREAMS if case.states], ids=str)
@each_dtype
def test_compiled_kernels_flush_denormals(name, set_threads, share_all, case, dtype):
    """Decayed states become 0: in vectors, in the rest after them, strided, in shares of threads."""
    if reason := why_not(name):
        pytest.skip(reason)
    set_threads(3)
    for size in (1, 3, 8, 33, 2001):
        for layout in LAYOUTS:
            arrays = denormal_states(case, (size, 3), dtype)
            arrays = {stream: layout.place(array)[0] for stream, array in arrays.items()}
            with using(name):
                update(case, arrays, 2, weight_decay=0.0)
            for state in case.states:
                assert np.all(arrays[state] == 0), (state, size, layout.name)
    assert denormals_work()


@pytest.mark.parametrize("name", [*COMPILED, "numba"])
@each_number_of_arrays
@each_dtype
def test_compiled_kernels_take_denormals_as_zero(name, case, dtype):
    """Also where the result would not be denormal: a gradient of 1e-40 scaled by 1e20 is 0."""
    if reason := why_not(name):
        pytest.skip(reason)
    for size in (1, 3, 8, 33):
        arrays = {stream: np.zeros(size, dtype) for stream in case.streams}
        arrays["grad"] += DENORMAL[dtype]
        with using(name):
            update(case, arrays, 1, grad_scale=1e20)
        for stream in ("param", *case.states):
            assert np.all(arrays[stream] == 0), (stream, size)
    assert denormals_work()


@each_dtype
def test_denormals_work_after_a_call(backend, dtype):
    case = MOST_STREAMS
    assert denormals_work()
    with using(backend):
        for shape in ((), (1,), (3,), (33,), (0,), (4, 5)):
            update(case, denormal_states(case, shape, dtype))
            assert denormals_work()
        arrays = denormal_states(case, (8, 5), dtype)
        update(case, {name: array[::2, 1:-1] for name, array in arrays.items()})
        assert denormals_work()
        update(case, listed(arrays, denormal_states(case, (3,), dtype)))
        assert denormals_work()


def test_denormals_work_after_a_call_that_raised(backend):
    case = MOST_STREAMS
    good, bad = (denormal_states(case, (9,), np.float32) for _ in range(2))
    bad["grad"] = np.zeros(8, np.float32)
    with using(backend):
        with pytest.raises(ValueError, match="grad"):
            update(case, listed(good, bad))
        assert denormals_work()
        with pytest.raises(ValueError, match="grad_scale"):
            update(case, good, grad_scale=np.nan)
        assert denormals_work()


def test_denormals_work_after_a_shared_out_call(backend, set_threads, share_all):
    set_threads(3)
    with using(backend):
        update(MOST_STREAMS, denormal_states(MOST_STREAMS, (3001,), np.float32))
    assert denormals_work()


def test_denormals_work_in_worker_threads_after_a_call(backend):
    def run(case):
        update(case, denormal_states(case, (3001,), np.float32))
        return denormals_work()

    with using(backend), ThreadPoolExecutor(3) as pool:
        assert all(pool.map(run, VARIANTS))


class ControlWord:
    """MXCSR of this thread, read and written through the C library's floating-point environment."""

    FLUSH, DENORMALS_ARE_ZERO, TRUNCATE = 1 << 15, 1 << 6, 3 << 13
    STICKY_FLAGS = 0x3F

    def __init__(self):
        self.libm = ctypes.CDLL(ctypes.util.find_library("m"))
        # fenv_t of x86-64 glibc: 28 bytes of x87 state, then MXCSR.
        self.environment = (ctypes.c_uint32 * 8)()

    def read(self):
        self.libm.fegetenv(ctypes.byref(self.environment))
        return self.environment[7] & ~self.STICKY_FLAGS

    def write(self, word):
        self.read()
        self.environment[7] = word
        self.libm.fesetenv(ctypes.byref(self.environment))


@pytest.fixture
def control_word():
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        pytest.skip("reads MXCSR through the layout of fenv_t in glibc on x86-64")
    word = ControlWord()
    before = word.read()
    yield word
    word.write(before)


def test_the_callers_control_word_is_what_it_was(backend, set_threads, share_all, control_word):
    """Whatever the caller had chosen: also flush-to-zero itself, and another rounding."""
    case = MOST_STREAMS
    flush, zero, truncate = control_word.FLUSH, control_word.DENORMALS_ARE_ZERO, control_word.TRUNCATE
    default = control_word.read()
    set_threads(2)
    small, large = (case.arrays(shape, np.float32) for shape in ((33,), (6001,)))
    small["grad"] = small["grad"][::-1]
    with using(backend):
        update(case, small)
        for bits in (0, flush, zero, flush | zero, truncate):
            control_word.write(default | bits)
            try:
                update(case, small, 2)
                after_small = control_word.read()
                update(case, large, 2)
                after_large = control_word.read()
            finally:
                control_word.write(default)
            assert after_small == after_large == default | bits
