"""Several threads, forks, exits and sub-interpreters: nothing hangs, nothing is lost, every bit as in one thread."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from harness import assert_same_bits, in_threads, run_python
from optimizer_harness import build
from table import ONE_OPTIMIZER, OPTIMIZER_VARIANTS

import fastopt
from fastopt import kernels
from fastopt.kernels import _backend, _threads, rules
from fastopt.kernels._step import bind

THREADS = 4

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is a Unix call")


@pytest.fixture
def switch_often():
    """Let the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Training:
    """An optimizer over two arrays, whose gradients depend on the parameters."""

    def __init__(self, case, seed, size=3001):
        rng = np.random.default_rng(seed)
        self.params = [rng.normal(size=size), rng.normal(size=(size // 7, 7)).astype(np.float32)]
        self.opt = build(case, self.params)

    def run(self, steps=30):
        for _ in range(steps):
            self.opt.step([p - np.sign(p) for p in self.params])
        return self

    @property
    def arrays(self):
        return [
            *self.params,
            *(array for group in self.opt.groups for state in group.state.values() for array in state),
        ]


@pytest.mark.parametrize("pool_threads", [1, 2])
def test_optimizers_in_threads_of_their_own(set_threads, share_all, switch_often, pool_threads):
    set_threads(pool_threads)
    together = [Training(case, seed) for seed, case in enumerate(OPTIMIZER_VARIANTS)]
    in_threads(*(training.run for training in together))
    for seed, (case, training) in enumerate(zip(OPTIMIZER_VARIANTS, together, strict=True)):
        for actual, expected in zip(training.arrays, Training(case, seed).run().arrays, strict=True):
            assert_same_bits(actual, expected, str(case))


@pytest.mark.parametrize("pool_threads", [1, 2])
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
def test_one_optimizer_in_several_threads(set_threads, share_all, switch_often, pool_threads, layout):
    """Its steps happen one after the other: none is lost, and none sees another's gradients."""
    set_threads(pool_threads)
    steps, stride = 50, {"contiguous": 1, "strided": 2}[layout]
    params = [np.zeros(size * stride)[::stride] for size in (40_001, 17, 30_000)]
    opt = fastopt.SGD(params, lr=0.25)

    def run(thread):
        for _ in range(steps):
            opt.step([np.full(p.shape, float(thread)) for p in params])

    in_threads(*(lambda thread=thread: run(thread) for thread in range(1, THREADS + 1)))
    assert opt.steps == THREADS * steps
    for param in params:
        # Sums of quarters are exact, so their order does not matter.
        assert (param == -0.25 * steps * sum(range(1, THREADS + 1))).all()


def test_number_of_threads_changes_during_steps(set_threads, share_all, switch_often):
    set_threads(2)
    changed = Training(ONE_OPTIMIZER, 0)

    def change():
        for n in (1, 3, 2, 4) * 10:
            fastopt.set_num_threads(n)
            time.sleep(1e-3)

    in_threads(changed.run, change)
    for actual, expected in zip(changed.arrays, Training(ONE_OPTIMIZER, 0).run().arrays, strict=True):
        assert_same_bits(actual, expected)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 16, 17, 1000])
def test_ranges_cover_everything_once(set_threads, threads, size):
    set_threads(threads)
    ranges = sorted(_threads.share_out(lambda start, stop: (start, stop), size, grain=16))
    assert [start for start, _ in ranges] == [0] + [stop for _, stop in ranges[:-1]]
    assert ranges[-1][1] == size


@pytest.mark.skipif(_backend.active.name != "cython", reason="the other backends share out in Python")
@pytest.mark.parametrize("length", [1, 7, 1000, 4000, 5000])
def test_a_step_shared_by_threads_does_everything_once(length):
    params, grads = [np.zeros(3000), np.zeros(1000, np.float32)], [np.ones(3000), np.ones(1000, np.float32)]
    counter = np.zeros(1, np.int64)
    bound = _backend.active.bind((rules.SGD,), ((params, grads),))
    bound.load(((0.5, 0.0, False, 1.0, np.inf, 1),))
    for step in range(1, 11):
        shared = bound.share(length, counter)
        in_threads(shared.take, shared.take, shared.finish)
        assert counter == [step]
        for param in params:
            assert (param == -0.5 * step).all()


@pytest.mark.skipif(_backend.active.name != "cython", reason="the other backends share out in Python")
def test_a_step_that_is_interrupted_is_done_whole(set_threads, monkeypatch):
    """Ctrl-C while the work is handed out."""
    monkeypatch.setattr(_threads, "MIN_SIZE", 1)

    def interrupted(work):
        raise KeyboardInterrupt

    set_threads(2)
    param = np.zeros(100_000)
    opt = fastopt.SGD(param, lr=0.5)
    monkeypatch.setattr(_threads, "_submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opt.step(np.ones(100_000))
    assert (param == -0.5).all()
    assert opt.steps == 1


def test_an_interrupt_waits_for_the_other_threads(set_threads):
    """A step of a fallback is left half done, but nobody writes to its arrays any more."""
    set_threads(2)
    caller, begun, written = threading.current_thread(), threading.Event(), []

    def work(start, stop):
        if threading.current_thread() is caller:
            begun.wait(30)
            raise KeyboardInterrupt
        begun.set()
        time.sleep(0.05)
        written.append(start)

    with pytest.raises(KeyboardInterrupt):
        _threads.share_out(work, 1000, grain=1)
    assert len(written) == 1
    time.sleep(0.1)
    assert len(written) == 1


def test_an_error_of_another_thread_is_raised(set_threads):
    set_threads(2)
    caller, begun = threading.current_thread(), threading.Event()

    def work(start, stop):
        if threading.current_thread() is not caller:
            begun.set()
            raise ZeroDivisionError
        begun.wait(30)

    with pytest.raises(ZeroDivisionError):
        _threads.share_out(work, 1000, grain=1)


def test_threads_end_with_their_pool():
    code, out, err = run_python(
        """
        import _thread
        import time
        import fastopt
        from fastopt.kernels import _threads

        for n in (2, 5, 3, 1):
            fastopt.set_num_threads(n)
            _threads.share_out(lambda start, stop: time.sleep(1e-3), 100, grain=1)
            wait = time.monotonic() + 30
            while _thread._count() > n - 1 and time.monotonic() < wait:
                time.sleep(1e-3)
            print(_thread._count())
        """
    )
    assert (code, out) == (0, ["1", "4", "2", "0"]), err


INTERRUPTED = """
    import random
    import signal
    import sys
    import time
    import numpy as np
    import fastopt
    from fastopt.kernels import _threads

    def interrupt(*_):
        raise KeyboardInterrupt

    _threads.MIN_SIZE = 1
    fastopt.set_num_threads(3)
    signal.signal(signal.SIGALRM, interrupt)
    random = random.Random(0)
    param, grad = np.zeros(200_000 * stride)[::stride], np.ones(200_000)
    opt = fastopt.SGD(param, lr=0.5)
    opt.step(grad)  # an interrupt while Numba compiles leaves the lock of llvmlite taken
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
            while True:
                opt.step(grad)
        except KeyboardInterrupt:
            pass
        if whole and not (param == param[0]).all():
            sys.exit("half a step")
    print("end")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="interval timers are Unix calls")
@pytest.mark.parametrize("stride", [1, 2], ids=["contiguous", "strided"])
def test_interrupts_at_any_moment(stride):
    """Neither a step nor the end of the process hangs on a lock that an interrupted one left taken.

    Steps in compiled code are done whole; Python code may be interrupted between two ranges.
    """
    whole = stride == 1 and _backend.active.name == "cython"
    code, out, err = run_python(f"stride, whole = {stride}, {whole}", INTERRUPTED)
    assert (code, out) == (0, ["end"]), err


def test_a_range_of_strided_arrays_leaves_the_others_alone(monkeypatch):
    """What another thread writes to its range, at whatever moment, is not written back from a buffer of this one."""
    param, make = np.zeros(40_000)[::2], np.nditer

    def nditer(operands, *args, **options):
        made = make(operands, *args, **options)
        operands[0][:9000] = 7.0
        return made

    with _backend.using("numpy"):
        bound = bind((rules.SGD,), (([param], [np.ones(20_000)]),), [[""]])
        bound.load(((0.5, 0.0, False, 1.0, np.inf, 1),))
        monkeypatch.setattr(np, "nditer", nditer)
        bound.run_range(9000, 20_000)
    assert (param[:9000] == 7.0).all()
    assert (param[9000:] == -0.5).all()


def test_norm_in_several_threads(set_threads, monkeypatch):
    monkeypatch.setattr(_threads, "MIN_SIZE", 1)
    set_threads(2)
    grads = [np.random.default_rng(0).normal(size=size) for size in (200_000, 77)]
    expected, norms = kernels.clip_grad_norm(grads, 1.0), []
    in_threads(*[lambda: norms.append(kernels.clip_grad_norm(grads, 1.0))] * THREADS)
    assert norms == [expected] * THREADS


def test_an_error_in_one_thread_leaves_the_others_alone(set_threads, share_all):
    set_threads(2)
    good, bad = Training(ONE_OPTIMIZER, 0), Training(ONE_OPTIMIZER, 1)

    def fail():
        for _ in range(30):
            with pytest.raises(ValueError, match="grad"):
                bad.opt.step([np.zeros(2), np.zeros(3)])

    in_threads(good.run, fail)
    assert (good.opt.steps, bad.opt.steps) == (30, 0)
    for actual, expected in zip(good.arrays, Training(ONE_OPTIMIZER, 0).run().arrays, strict=True):
        assert_same_bits(actual, expected)


# --------------------------------------------------------------------------------- whole processes

SETTING = """
    import os
    import threading
    import warnings
    import numpy as np
    import fastopt
    warnings.simplefilter("ignore")  # Python >= 3.12 warns of any fork beside threads
    fastopt.set_num_threads(2)
    param, grad = np.zeros(2_100_001, "f4"), np.ones(2_100_001, "f4")
    opt = fastopt.SGD(param, lr=0.25)
    opt.step(grad)
"""


@needs_fork
def test_fork_while_another_thread_steps():
    """The child steps on, with an optimizer of its own, whatever the other thread was in the middle of."""
    code, out, err = run_python(
        SETTING,
        """
        mine = np.zeros(2_100_001, "f4")
        own = fastopt.SGD(mine, lr=0.5)
        stop = threading.Event()

        def keep_stepping():
            while not stop.is_set():
                opt.step(grad)

        thread = threading.Thread(target=keep_stepping)
        thread.start()
        codes = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                own.step(grad)
                os._exit(0 if (mine == -0.5).all() else 7)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        thread.join()
        print(*codes, (param == -0.25 * opt.steps).all())
        """,
    )
    assert (code, out) == (0, ["0"] * 10 + ["True"]), err


@needs_fork
def test_children_of_multiprocessing_step():
    code, out, err = run_python(
        SETTING,
        """
        import multiprocessing

        def child(queue):
            opt.step(grad)
            queue.put(float(param[-1]))

        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        print(queue.get(timeout=30), param[-1])
        process.join(30)
        print(process.exitcode)
        """,
    )
    assert (code, out) == (0, ["-0.5", "-0.25", "0"]), err


def test_exit_with_an_idle_pool():
    code, out, err = run_python(SETTING, "print('end')")
    assert (code, out, err) == (0, ["end"], "")


def test_exit_while_a_daemon_thread_steps():
    code, out, err = run_python(
        SETTING,
        """
        def keep_stepping():
            while True:
                opt.step(grad)

        threading.Thread(target=keep_stepping, daemon=True).start()
        while opt.steps < 3:
            pass
        print("end")
        """,
    )
    assert (code, out, err) == (0, ["end"], "")


def test_steps_at_interpreter_exit():
    """No new threads can be had then: the step runs in the thread that calls it."""
    code, out, err = run_python(
        """
        import atexit
        import numpy as np
        import fastopt

        def last_step():
            opt.step(grad)
            print((param == -0.5).all())

        fastopt.set_num_threads(2)
        param, grad = np.zeros(2_100_001), np.ones(2_100_001)
        opt = fastopt.SGD(param, lr=0.5)
        atexit.register(last_step)
        """
    )
    assert (code, out, err) == (0, ["True"], "")


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="asks CPython's own module for a sub-interpreter")
def test_sub_interpreter_falls_back_or_refuses():
    """The kernels load in one interpreter only, and say so; whether NumPy loads in another is NumPy's to say."""
    code, out, err = run_python(
        """
        import sys
        import textwrap
        import numpy as np
        import fastopt
        param = np.ones(3)
        opt = fastopt.SGD(param, lr=0.25)
        opt.step(np.ones(3))
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
        else:
            import _xxsubinterpreters as interpreters

        source = '''
        import warnings
        warnings.simplefilter("ignore")
        try:
            import numpy as np
            import fastopt
            param = np.ones(3)
            fastopt.SGD(param, lr=0.5).step(np.ones(3))
        except Exception as error:  # NumPy itself breaks in places: it supports one interpreter
            print("refused" if str(error) else "nothing said")
        else:
            print("stepped" if (param == 0.5).all() else param)
        '''
        interpreter = interpreters.create()
        failure = interpreters.run_string(interpreter, textwrap.dedent(source))
        if failure is not None:
            print(failure)
        # NumPy 2.1 does not survive the end of a sub-interpreter, so none ends here.
        opt.step(np.ones(3))
        print((param == 0.5).all())
        """
    )
    assert code == 0, err
    assert out in (["stepped", "True"], ["refused", "True"]), err


# --------------------------------------------------------------------------------- how many CPUs there are


def test_affinity_bounds_the_threads():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity masks")
    code, out, err = run_python(
        """
        import os
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        import fastopt
        print(fastopt.get_num_threads())
        """,
        FASTOPT_NUM_THREADS="",
    )
    assert (code, out) == (0, ["1"]), err


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 8),
        ("250000 100000", 2),
        ("300000 100000", 3),
        ("20000 100000", 1),
        ("1600000 100000", 8),
        ("", 8),
        ("nonsense", 8),
    ],
)
def test_control_group_quota_bounds_the_threads(monkeypatch, tmp_path, quota, expected):
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(_threads.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(_threads, "open", lambda path: file.open(), raising=False)
    assert _threads._available_cpus() == expected


def test_no_control_group(monkeypatch):
    def no_file(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(_threads.os, "sched_getaffinity", lambda pid: {0, 1, 5}, raising=False)
    monkeypatch.setattr(_threads, "open", no_file, raising=False)
    assert _threads._available_cpus() == 3


@pytest.mark.parametrize("bad", [0, -1, 1.0, "2", None, True])
def test_wrong_number_of_threads(set_threads, bad):
    before = fastopt.get_num_threads()
    with pytest.raises((TypeError, ValueError), match=r"^n: expected an integer >= 1, got"):
        set_threads(bad)
    assert fastopt.get_num_threads() == before
