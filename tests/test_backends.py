"""Backends, instruction sets, thread counts and cuts agree in every bit."""

import itertools
import os
import time

import numpy as np
import pytest
from backends import BACKENDS, using, why_not
from harness import (
    DTYPES,
    LAYOUTS,
    assert_same_bits,
    copies,
    each_number_of_arrays,
    each_variant,
    run_python,
    update,
)
from table import BY_STREAMS, CASES

import fastopt
from fastopt.kernels import _backend


@pytest.fixture(params=[name for name in BACKENDS if name != "numpy"])
def compiled(request):
    """The same without NumPy, with which they are compared."""
    if reason := why_not(request.param):
        pytest.skip(reason)
    return request.param


def test_the_backend_asked_for_is_the_one_in_use():
    asked = os.environ.get("FASTOPT_BACKEND")
    assert _backend.active.name == (asked or "cython")
    isa = os.environ.get("FASTOPT_ISA")
    if isa and _backend.active.name == "cython":
        assert _backend.active.isa == isa


def test_using_switches_and_switches_back(backend):
    before = _backend.active
    name, options = BACKENDS[backend]
    with using(backend):
        assert _backend.active.name == name
        assert _backend.active.isa == options.get("isa")
    assert _backend.active is before
    with pytest.raises(RuntimeError, match="on purpose"), using(backend):
        raise RuntimeError("on purpose")
    assert _backend.active is before


@each_variant
def test_same_bits_as_numpy(compiled, case):
    for dtype, shape in itertools.product(DTYPES, ((1,), (7,), (17,), (8193,), (6, 11))):
        ours, theirs = case.arrays(shape, dtype), case.arrays(shape, dtype)
        for step in (1, 2, 3):
            with _backend.using("numpy"):
                update(case, ours, step)
            with using(compiled):
                update(case, theirs, step)
            for name in ours:
                assert_same_bits(theirs[name], ours[name], f"{name}, shape {shape}, step {step}")


def test_same_scalars_as_numpy(compiled):
    """Of every option: the compiled backends have functions of their own that make them."""
    for case, step in itertools.product(CASES, (1, 2, 3)):
        ours, theirs = case.arrays((3,), np.float64), case.arrays((3,), np.float64)
        with _backend.using("numpy"):
            update(case, ours, step)
        with using(compiled):
            update(case, theirs, step)
        for name in ours:
            assert_same_bits(theirs[name], ours[name], f"{case}, {name}, step {step}")


def test_same_bits_as_numpy_where_a_scalar_is_one(compiled):
    """NumPy leaves out the multiplication by a scalar of 1, and must not compute in float64 where it is added."""
    rng = np.random.default_rng(0)
    param, grad, total = (np.abs(rng.standard_normal(1001)).astype(np.float32) for _ in range(3))
    ours, theirs = param.copy(), param.copy()
    with _backend.using("numpy"):
        fastopt.kernels.adagrad(ours, grad, total.copy(), lr=0.1, eps=1.0)
    with using(compiled):
        fastopt.kernels.adagrad(theirs, grad, total.copy(), lr=0.1, eps=1.0)
    assert_same_bits(theirs, ours)


@each_number_of_arrays
def test_same_bits_as_numpy_in_strided_arrays(compiled, case):
    for dtype, layout in itertools.product(DTYPES, LAYOUTS):
        ours, theirs = ({name: layout.place(a)[0] for name, a in case.arrays((7, 90), dtype).items()} for _ in range(2))
        with _backend.using("numpy"):
            update(case, ours)
        with using(compiled):
            update(case, theirs)
        for name in ours:
            assert_same_bits(theirs[name], ours[name], f"{name}, {layout.name}")


@each_variant
def test_same_bits_over_wide_ranges(compiled, case):
    """Numbers of very different sizes, whose products still stay clear of the denormals."""
    for dtype in DTYPES:
        arrays = case.wide_arrays((1001,), dtype)
        other = copies(arrays)
        for step in (1, 2, 3):
            with _backend.using("numpy"):
                update(case, arrays, step)
            with using(compiled):
                update(case, other, step)
        for name in arrays:
            assert_same_bits(other[name], arrays[name], name)


@each_variant
def test_same_non_finite_values(compiled, case):
    """NaN where NumPy has NaN (its sign and payload are the processor's), and the rest to the bit."""
    arrays = case.arrays((21,), np.float32)
    arrays["grad"][[2, 11, 20]] = np.nan, np.inf, -np.inf
    for i, name in enumerate(case.states):
        arrays[name][[3 + i, 12 + i]] *= 1e30, 1e37  # their squares are infinite
        arrays[name][16 + i] = np.nan
    other = copies(arrays)
    for step in (1, 2):
        with _backend.using("numpy"):
            update(case, arrays, step)
        with using(compiled):
            update(case, other, step)
    for name in arrays:
        np.testing.assert_array_equal(other[name], arrays[name], name, strict=True)


@each_number_of_arrays
def test_thread_counts_and_cuts_give_the_same_bits(backend, set_threads, share_all, case):
    for size, dtype in itertools.product((257, 3001), DTYPES):
        start = case.arrays((size,), dtype)
        with using(backend):
            set_threads(1)
            expected = copies(start)
            update(case, expected)
            for threads in (2, 3, 4, 7):
                set_threads(threads)
                for cuts in ([], [1, 17, 135, 143], range(10, size, 39)):
                    actual = copies(start)
                    update(case, {name: np.split(array, list(cuts)) for name, array in actual.items()})
                    for name in expected:
                        what = f"{name}, {threads} threads, {len(cuts)} cuts"
                        assert_same_bits(actual[name], expected[name], what)


def test_shared_memory_is_refused(backend):
    """By one element or more, whichever array comes first."""
    case, memory = BY_STREAMS[0], np.linspace(0.5, 1.0, 24, dtype=np.float32)
    before = memory.copy()
    with using(backend):
        for shift in (0, 1, 7):
            for param, grad in itertools.permutations((memory[:8], memory[shift : shift + 8])):
                with pytest.raises(ValueError, match=r"^grad: expected memory of its own"):
                    update(case, {"param": param, "grad": grad})
        update(case, {"param": memory[:8], "grad": memory[8:16]})
        update(case, {"param": memory[16:], "grad": memory[8:16]})
    assert_same_bits(memory[8:16], before[8:16])


def test_every_thread_has_a_range(backend, set_threads, share_all):
    case = BY_STREAMS[0]
    with using(backend):
        for threads, size in itertools.product((2, 3, 4, 7), (1, 16, 17, 257, 385, 513, 3001)):
            share_all.clear()
            set_threads(threads)
            update(case, case.arrays((size,), np.float32))
            [(shared, length)] = set(share_all)
            assert shared == size
            assert -(-size // length) >= min(threads, -(-size // 16))


@each_number_of_arrays
def test_threads_over_strided_arrays(backend, set_threads, share_all, case):
    expected = case.arrays((61, 67), DTYPES[len(case.streams) % 2])
    with using(backend):
        set_threads(1)
        reference = copies(expected)
        update(case, reference)
        set_threads(3)
        for layout in LAYOUTS:
            placed = {name: layout.place(array)[0] for name, array in expected.items()}
            update(case, placed)
            for name in placed:
                assert_same_bits(placed[name], reference[name], f"{name}, {layout.name}")


def test_threads_do_not_write_back_what_others_have_updated(backend, set_threads, share_all, monkeypatch):
    """A buffered iterator of NumPy fills its buffers when it is made, before it knows its range.

    If it copied them back, it would undo what other threads had done to those elements since. The pause gives them
    the time to do it.
    """
    nditer = np.nditer

    def slow_nditer(*args, **options):
        iterator = nditer(*args, **options)
        time.sleep(0.002)
        return iterator

    monkeypatch.setattr(np, "nditer", slow_nditer)
    case = BY_STREAMS[1]
    start = case.arrays((301, 3), np.float32)
    expected = copies(start)
    with using(backend):
        set_threads(1)
        update(case, expected)
        set_threads(3)
        for layout in LAYOUTS:
            placed = {name: layout.place(array)[0] for name, array in start.items()}
            update(case, placed)
            for name in placed:
                assert_same_bits(placed[name], expected[name], f"{name}, {layout.name}")


def test_threads_over_arrays_worth_sharing(backend, set_threads):
    """Sizes at which work is shared out without being told to."""
    case = BY_STREAMS[1]
    expected = case.arrays((2_100_001,), np.float32)
    matrix = {name: array[:-1].reshape(2100, 1000) for name, array in copies(expected).items()}
    strided = {name: LAYOUTS[4].place(array)[0] for name, array in matrix.items()}
    actual = copies(expected)
    with using(backend):
        set_threads(1)
        update(case, expected)
        set_threads(2)
        update(case, actual)
        update(case, strided)
    for name in expected:
        assert_same_bits(actual[name], expected[name], name)
        assert_same_bits(strided[name].ravel(), expected[name][:-1], name)


def test_number_of_threads_is_checked(set_threads):
    before = fastopt.get_num_threads()
    for bad in (0, -1):
        with pytest.raises(ValueError, match="expected"):
            set_threads(bad)
    for bad in (1.5, "2", None):
        with pytest.raises(TypeError, match="expected"):
            set_threads(bad)
    assert fastopt.get_num_threads() == before


def test_only_large_arrays_are_shared_out():
    code, out, err = run_python(
        """
        import _thread
        import numpy as np
        import fastopt

        fastopt.set_num_threads(2)
        for size in (1000, 2_000_000):
            param = np.zeros(size)
            fastopt.kernels.sgd(param, np.ones(size), lr=0.5)
            print(_thread._count())
        """
    )
    assert (code, out) == (0, ["0", "1"]), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is a Unix call")
def test_a_forked_child_shares_out_work_again():
    """The parent's pool has no threads in the child, which must neither wait for them nor do without."""
    code, out, err = run_python(
        """
        import os
        import numpy as np
        import fastopt
        from fastopt.kernels import _threads

        fastopt.set_num_threads(2)
        param, grad = np.zeros(2_100_001, "f4"), np.ones(2_100_001, "f4")
        fastopt.kernels.sgd(param, grad, lr=0.5)
        parents, child = _threads._pool, os.fork()
        if child == 0:
            fastopt.kernels.sgd(param, grad, lr=0.5)
            os._exit((param != -1).any() or _threads._pool in (None, parents))
        _, status = os.waitpid(child, 0)
        fastopt.kernels.sgd(param, grad, lr=0.25)
        print(os.waitstatus_to_exitcode(status), bool((param == -0.75).all()))
        """
    )
    assert (code, out) == (0, ["0", "True"]), err


def test_backend_that_does_not_exist_is_an_error():
    code, _, err = run_python("import fastopt", FASTOPT_BACKEND="fortran")
    assert code != 0
    assert "FASTOPT_BACKEND" in err
    assert "fortran" in err


@pytest.mark.parametrize("bad", ["0", "-3", "many", "1.5"])
def test_bad_thread_number_in_the_environment_is_an_error(bad):
    code, _, err = run_python("import fastopt; fastopt.get_num_threads()", FASTOPT_NUM_THREADS=bad)
    assert code != 0
    assert "FASTOPT_NUM_THREADS" in err
    assert bad in err


def test_thread_number_from_the_environment():
    code, out, err = run_python("import fastopt; print(fastopt.get_num_threads())", FASTOPT_NUM_THREADS="3")
    assert (code, out) == (0, ["3"]), err


@pytest.mark.parametrize("name", ["cython", "numba", "numpy"])
def test_backend_from_the_environment(name):
    try:
        _backend.load(name)
    except ImportError as error:
        pytest.skip(f"no {name} here: {error}")
    code, out, err = run_python("import fastopt.kernels._backend as b; print(b.active.name)", FASTOPT_BACKEND=name)
    assert (code, out) == (0, [name]), err
