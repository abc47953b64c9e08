"""The benchmarks: contenders that do what they are compared for, arithmetic of the tables, and the command."""

import argparse
import json
import re
import runpy
import shlex
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import oracle
import pytest

import fastopt
from fastopt.bench import limit, peers, questions, report, rules, shapes, timing, training
from fastopt.bench.book import BookNetwork
from fastopt.bench.groups import GROUPS
from fastopt.bench.peers import BACKENDS, CONTENDERS, LIMIT
from fastopt.bench.problem import Problem, Step
from fastopt.bench.questions import Question, adam_step, kernel_alone, using_threads
from fastopt.bench.rules import BETA1, BETA2, EPS, LR, RULES
from fastopt.bench.training import epoch_with, fastopt_adam, images, network, numpy_adam
from fastopt.cli import bench as command
from fastopt.cli import main

SHAPES = [(3, 4), (5,), (64,)]
EVERYBODY = CONTENDERS | {f"backend {name}": who for name, who in BACKENDS.items() if "fastopt " in name}


def moves(params, before):
    """How far the parameters went, as one array."""
    return np.concatenate([np.ravel(a).astype(np.float64) - np.ravel(b) for a, b in zip(params, before, strict=True)])


def expected_moves(problem):
    rule = getattr(oracle, problem.rule.kernel or problem.rule.name)
    names = ("param", "grad", *problem.rule.states)
    before, after = problem.streams[0], []
    for tensor in zip(*problem.streams, strict=True):
        arrays = {name: array.astype(np.float64) for name, array in zip(names, tensor, strict=True)}
        after.append(rule(**arrays, **problem.rule.options)["param"])
    return moves(after, before)


def run_once(maker, problem):
    """Moves of one step, or None where the contender does not take part."""
    before = [array.copy() for array in problem.streams[0]]
    step = maker(problem)
    if step is None:
        return None
    with step.around():
        result = step.call()
    # optax has its own arrays, which it returns; all others work in those of the problem.
    params = [np.asarray(array) for array in result] if isinstance(result, list | tuple) else problem.streams[0]
    found = moves(params, before)
    step.close()
    return found


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("shapes", [SHAPES, [(100,)]], ids=["list", "array"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", [name for name in EVERYBODY if name not in (LIMIT, "thinc")])
def test_every_contender_does_the_step_that_it_is_timed_for(name, rule, dtype, shapes):
    contender = EVERYBODY[name]
    if not contender.installed():
        pytest.skip(f"{contender.needs} is not installed")
    problem = Problem(RULES[rule], shapes, dtype)
    expected = expected_moves(problem)
    found = run_once(contender.make, problem)
    if found is None:
        assert "fastopt" not in name
        assert name != "NumPy" or problem.rule.textbook is None
        assert name != "NumPy out=" or problem.rule.out is None
        return
    # A move is the difference of two parameters, of which the last digits are all that counts.
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=3e-8 if dtype == "float32" else 1e-12)


def test_a_new_kernel_is_measured_by_itself(monkeypatch):
    def newest(param, grad, exp_avg, *, lr, beta1=0.5, weight_decay=0.0):
        called.append((param, grad, exp_avg, lr, beta1, weight_decay))

    called = []
    monkeypatch.setattr(fastopt.kernels, "newest", newest, raising=False)
    monkeypatch.setattr(fastopt.kernels, "__all__", [*fastopt.kernels.__all__, "newest"])
    problem = Problem(runpy.run_path(rules.__file__)["RULES"]["newest"], [(5,)])
    makers = {name: contender.make(problem) for name, contender in CONTENDERS.items() if contender.installed()}
    assert {name for name, step in makers.items() if step is not None} <= {"fastopt", LIMIT}
    makers["fastopt"].call()
    assert called == [(*problem.arguments, LR, BETA1, 0.0)]


def test_thinc_does_the_step_that_it_is_timed_for():
    pytest.importorskip("thinc", reason="thinc is not installed")
    problem = Problem(RULES["adam"], SHAPES)
    names = ("param", "grad", "exp_avg", "exp_avg_sq")
    options = {"beta1": BETA1, "beta2": BETA2, "eps": EPS, "eps_hat": True}
    before, after = [array.copy() for array in problem.streams[0]], []
    for tensor in zip(*problem.streams, strict=True):
        # Without bias correction: that of a step so late that none is left.
        late = oracle.adam(**dict(zip(names, tensor, strict=True)), lr=LR, step=10**6, **options)
        after.append(late["param"])
    peers.thinc(problem, BETA1, BETA2).call()
    np.testing.assert_allclose(moves(problem.streams[0], before), moves(after, before), rtol=1e-3, atol=3e-8)


@pytest.mark.parametrize("make", [adam_step, kernel_alone])
def test_the_steps_of_the_overhead_table_move_the_parameters(make):
    problem = Problem(RULES["adam"], SHAPES)
    assert np.all(run_once(make, problem))


@pytest.mark.parametrize("compiler", ["c", "numba"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam", "amsgrad"])
def test_the_memory_limit_goes_over_all_arrays_and_leaves_them_alone(rule, dtype, threads, compiler, monkeypatch):
    if compiler == "numba":
        pytest.importorskip("numba", reason="numba is not installed")
        monkeypatch.setattr(limit, "_compiled", lambda: None)
    elif limit._compiled() is None:
        pytest.skip("there is no C compiler")
    problem = Problem.of(rule, 1000, dtype=dtype, threads=threads)
    before = [array.copy() for array in problem.flat]
    step = limit.make(problem)
    step.call()
    for array, kept in zip(problem.flat, before, strict=True):
        np.testing.assert_array_equal(array, kept)
    # Written where it says so: infinity times the factor 0 is NaN.
    problem.flat[1][[0, -1]] = np.inf
    step.call()
    step.close()
    for i, array in enumerate(problem.flat):
        assert np.isnan(array[[0, -1]]).all() == (i != 1)
        assert not np.isnan(array[1:-1]).any()


def test_without_any_compiler_there_is_no_limit(monkeypatch):
    monkeypatch.setattr(limit, "_compiled", lambda: None)
    monkeypatch.setattr(limit, "_jitted", lambda: None)
    assert limit.make(Problem.of("adam", 10)) is None


@pytest.mark.parametrize(
    ("arrays", "number", "values"),
    [
        (shapes.mlp(784, 512, 10), 4, 407_050),
        (shapes.resnet50(), 161, 25_557_032),
        (shapes.gpt2_small(), 148, 124_439_808),
    ],
    ids=["784-512-10", "ResNet-50", "GPT-2 small"],
)
def test_models_have_the_arrays_that_are_published(arrays, number, values):
    assert len(arrays) == number
    assert sum(int(np.prod(shape)) for shape in arrays) == values


def test_problems_are_far_from_denormals_and_share_nothing():
    problem = Problem.of("amsgrad", 70_000)
    for array in problem.flat:
        assert array.shape == (70_000,)
        assert np.isfinite(array).all()
        assert np.abs(array).min() > 1e-10
    assert len({array.ctypes.data for array in problem.flat}) == 5


def test_threads_are_put_back():
    before = fastopt.get_num_threads()
    with using_threads(before + 3):
        assert fastopt.get_num_threads() == before + 3
    assert fastopt.get_num_threads() == before


def test_neighbours_are_busy_while_a_question_is_open(monkeypatch):
    started = []
    real = questions.subprocess.Popen
    monkeypatch.setattr(questions.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1])
    beside = Question("g", "t", "r", list, {"fastopt": lambda shared: Step(list)}, neighbours=2)
    with suppress(KeyboardInterrupt), beside.open():
        assert [process.poll() for process in started] == [None, None]
        raise KeyboardInterrupt
    assert len(started) == 2
    assert None not in [process.poll() for process in started]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("level", ["quick", "full"])
@pytest.mark.parametrize("group", GROUPS)
def test_questions_fit_into_tables(group, level):
    questions = list(GROUPS[group](level, 2))
    assert questions
    keys = [(question.table, question.row) for question in questions]
    assert len(set(keys)) == len(keys)
    assert {question.group for question in questions} == {group}
    for question in questions:
        assert next(iter(question.makers)) == "fastopt"
    assert GROUPS[group].__doc__


# Timing, on a clock that only the steps move.


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)

    def takes(*seconds):
        """A step whose calls take so long, the last time on and on."""
        left = list(seconds)

        def call():
            now[0] += left.pop(0) if len(left) > 1 else left[0]

        return call

    return takes


def question(makers, **options):
    return Question("g", "t", "r", lambda: None, makers, **options)


def test_the_best_of_several_counts(clock):
    calls = clock(9.0, 3.0, 2.0, 1.0, 2.0)
    found = timing.measure(question({"fastopt": lambda _: Step(calls)}), "default")
    assert [m.seconds for m in found] == [1.0]


def test_repeats_are_taken_out_and_the_limit_put_in(clock):
    makers = {
        "fastopt": lambda _: Step(clock(0.5)),
        "peer": lambda _: Step(clock(1.0)),
        "nobody": lambda _: None,
        LIMIT: lambda _: Step(clock(4.0), repeats=16),
    }
    found = {m.contender: m for m in timing.measure(question(makers, elements=10, threads=2), "quick")}
    assert list(found) == ["fastopt", "peer", LIMIT]
    assert found[LIMIT].seconds == 0.25
    assert found["fastopt"].of_limit == 0.5
    assert found["peer"].of_limit == 0.25


def test_long_runs_report_their_parts(clock):
    def make(shared):
        call = clock(3.0, 2.0)
        return Step(lambda: call() or {"optimizer": 0.5})

    found = timing.measure(question({"fastopt": make}, once=True), "default")
    assert [(m.row, m.seconds) for m in found] == [("r", 2.0), ("r: optimizer", 0.5)]


def test_steps_are_closed_even_if_one_fails():
    closed = []

    def fails(shared):
        raise OSError("no")

    makers = {"fastopt": lambda _: Step(list, close=lambda: closed.append(1)), "peer": fails}
    with pytest.raises(OSError, match="no"):
        timing.measure(question(makers), "quick")
    assert closed == [1]


# Tables, files and the picture.


def found_rows():
    base = timing.Measurement("peers", "Adam, float32, 1 thread", "64", "fastopt", 64, 1, 2e-6, 0.8)
    rows = []
    for size, seconds in ((64, 2e-6), (1000, 4e-6)):
        row = replace(base, row=f"{size:,}", elements=size, seconds=seconds)
        rows += [row, replace(row, contender="NumPy", seconds=10 * seconds, of_limit=0.08)]
        rows.append(replace(row, contender=LIMIT, seconds=0.8 * seconds, of_limit=1.0))
    return rows


def test_tables_show_time_fraction_and_multiples():
    lines = [line.split() for line in report.tables(found_rows()).splitlines()]
    assert ["fastopt", "of", "limit", "NumPy"] in lines
    assert ["64", "2.00", "us", "80%", "10.0x"] in lines
    assert ["1,000", "4.00", "us", "80%", "10.0x"] in lines


def test_a_contender_that_is_missing_in_a_row_leaves_a_gap():
    rows = [m for m in found_rows() if not (m.contender == "NumPy" and m.row == "64")]
    assert ["64", "2.00", "us", "80%", "-"] in [line.split() for line in report.tables(rows).splitlines()]


def test_groups_may_ask_the_same():
    """Rows of one name in two groups, other contenders and other times, stay apart."""
    other = [replace(m, group="rules", seconds=3 * m.seconds) for m in found_rows() if m.contender != "NumPy"]
    kept = report.as_dict([*found_rows(), *other], {}, "default")["measurements"]
    assert [m["ratio"] for m in kept if m["row"] == "64"] == pytest.approx([1.0, 10.0, 0.8, 1.0, 0.8])
    tables = report.tables([*found_rows(), *other])
    assert [line.split()[1] for line in tables.splitlines() if line.split()[:1] == ["64"]] == ["2.00", "6.00"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.234e-9, "1.23 ns"), (9.996e-7, "1.00 us"), (0.01, "10.0 ms"), (0.9999, "1.00 s"), (123.4, "123 s")],
)
def test_times_have_three_digits(seconds, text):
    assert report.show_seconds(seconds) == text


def test_curves_are_nanoseconds_per_element():
    (lines,) = report.curves(found_rows()).values()
    assert lines["fastopt"] == ([64, 1000], pytest.approx([31.25, 4.0]))


def test_ratios_are_drawn_from_the_largest_down():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from fastopt.plots._bench import ratios

    with pytest.raises(ValueError, match=r"^panels: expected at least one panel with a row$"):
        ratios({"1 thread": {}})
    rows = {"Adam": {"default": 4.0, "fused": 0.9}, "NAdam": {"default": 9.0}, "SGD": {"default": 1.1}}
    figure = ratios({"1 thread": rows, "2 threads": {"Adam": {"default": 3.0}}}, label="times")
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["SGD", "Adam", "NAdam"]
    assert [[*line.get_xdata()] for line in left.get_lines()[1:]] == [[1.1, 4.0, 9.0], [0.9]]
    assert [[*line.get_xdata()] for line in right.get_lines()[1:]] == [[3.0], []]
    low, high = left.get_xlim()
    assert low < 0.9
    assert high > 9.0
    assert left.get_xlabel() == right.get_xlabel() == "times"


TINY = "peers"


@pytest.fixture
def tiny(monkeypatch):
    """The command with one group of two tiny questions."""

    def group(level, threads):
        makers = {name: CONTENDERS[name].make for name in ("fastopt", "NumPy", LIMIT)}
        for size in (16, 64):
            yield Question(
                TINY,
                "Adam, float32, 1 thread",
                f"{size}",
                lambda size=size: Problem.of("adam", size),
                makers,
                elements=size,
            )

    monkeypatch.setitem(command.GROUPS, TINY, group)
    monkeypatch.setattr(timing, "BUDGET", dict.fromkeys(timing.BUDGET, 1e-4))
    monkeypatch.setattr(timing, "STRETCH", dict.fromkeys(timing.STRETCH, 1e-5))


@pytest.mark.usefixtures("tiny")
def test_the_command_prints_a_table_and_writes_its_files(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    first, picture = tmp_path / "first.json", tmp_path / "bench.svg"
    assert main(["bench", "--groups", TINY, "--json", str(first), "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "Adam, float32, 1 thread" in printed
    assert "NumPy" in printed
    assert picture.read_text().lstrip().startswith("<?xml")
    content = json.loads(first.read_text())
    assert content["machine"]["fastopt"]["fastopt"] == fastopt.__version__
    rows = content["measurements"]
    assert {(m["row"], m["contender"]) for m in rows} >= {("16", "fastopt"), ("64", "NumPy")}
    assert all(m["ratio"] == 1 for m in rows if m["contender"] == "fastopt")

    assert main(["bench", "--groups", TINY, "--compare", str(first)]) == 0
    printed = capsys.readouterr().out
    has_limit = any(m["of_limit"] is not None for m in rows)
    assert ("then" in printed) == has_limit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--groups", "pears"], "expected some of peers, memory"),
        (["--threads", "0"], "expected a whole number >= 1"),
        (["--groups", "startup", "--plot", "x.png"], "the group peers, which is not among"),
        (["--quick", "--full"], "not allowed with"),
        (["--compare", "no-such-file.json"], "No such file"),
        (["--compare", __file__], "not a file of `fastopt bench --json`"),
        (["--plot", "x.txt"], "expected a file name ending in"),
    ],
)
def test_the_command_refuses_in_one_sentence(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_what_needs_too_much_memory_is_left_out(monkeypatch, capsys):
    monkeypatch.setitem(command.GROUPS, TINY, lambda *_: iter([question({"fastopt": list}, bytes=10**18)]))
    assert list(command._measure_group(TINY, "quick", 1)) == []
    assert "needs 1000000000.0 GB" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_examples_in_the_help_work(monkeypatch, tmp_path, capsys):
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    examples = re.findall(r"^  (fastopt bench .+)$", parser.format_help(), re.MULTILINE)
    assert any("--quick" in line for line in examples)
    if any("--plot" in line for line in examples):
        pytest.importorskip("matplotlib", reason="draws with matplotlib")
    small = command.GROUPS[TINY]

    def named(table):
        return lambda level, threads: (replace(one, table=table) for one in small(level, threads))

    for name in command.GROUPS.keys() - {TINY}:
        monkeypatch.setitem(command.GROUPS, name, named(name))
    monkeypatch.chdir(tmp_path)
    for line in examples:  # in one folder: an example may read what another wrote
        assert main(shlex.split(line)[1:]) == 0, line
        assert capsys.readouterr().out, line


# Real training.


def test_images_are_dark_at_the_border():
    task = images(500, (784, 16, 10), 32)
    assert task.X.dtype == np.float32
    lit = (task.X.reshape(-1, 28, 28) > 0).mean(axis=0)
    assert lit[0].mean() < 0.01 < 0.5 < lit[14, 14]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_network_of_a_task_has_its_widths(dropout):
    net = network(replace(images(4, (784, 16, 8, 10), 2), dropout=dropout))
    assert repr(net).startswith("Network(784-16-8-10")
    assert ("Dropout" in repr(net)) == (dropout > 0)


@pytest.mark.parametrize(
    ("make", "needs"),
    [
        (training.layerwise_step, "numpy"),
        (partial(training.layerwise_step, threads=1, beside=True), "numpy"),
        (training.one_blas_thread_step, "threadpoolctl"),
    ],
    ids=["layer by layer", "beside the passes", "BLAS held to one thread"],
)
def test_ways_to_fit_the_optimizer_in_take_the_same_steps(make, needs, monkeypatch):
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    made = []
    monkeypatch.setattr(training, "network", lambda task: made.append(network(task)) or made[-1])
    task = images(16, (784, 12, 10), 16)
    for step in (training.fastopt_step(task), make(task)):
        for _ in range(3):
            step.call()
        step.close()
    expected, found = (net.params for net in made)
    assert not np.array_equal(expected, network(task).params)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_networks_compared_learn():
    task = images(320, (784, 16, 10), 32)
    for make in (fastopt_adam, numpy_adam):
        net = network(task)
        update = make(net)
        losses = []
        for _ in range(20):
            losses.append(net.loss_and_grad(task.X, task.y))
            update()
        assert losses[-1] < losses[0]
    parts = epoch_with(fastopt_adam, task).call()
    assert parts["optimizer"] > 0
    book = BookNetwork(784, 16, 10)
    losses = [book.train_step(task.X, task.y) for _ in range(20)]
    assert losses[-1] < losses[0]
