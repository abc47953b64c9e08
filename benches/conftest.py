"""Runs the questions of `fastopt.bench` under pytest-benchmark.

A suite names its group; every contender of every question in it becomes one benchmark. The memory
limit is measured right before and after each, and the fraction of it, which survives a change of
machine better than seconds do, is kept in the benchmark's `extra_info` and shown in the tables at
the end.
"""

import pytest

import fastopt
from fastopt.bench import GROUPS, report, timing
from fastopt.bench.peers import LIMIT
from fastopt.kernels import _backend

FOUND = pytest.StashKey[list[timing.Measurement]]()
BEFORE = pytest.StashKey[dict[report.Key, float]]()


def pytest_addoption(parser):
    group = parser.getgroup("fastopt benches")
    group.addoption("--quick", dest="level", action="store_const", const="quick", help="few sizes and rules")
    group.addoption("--full", dest="level", action="store_const", const="full", help="all sizes, and large ones")
    group.addoption("--threads", type=int, help="measure 1 and this many threads (all that fastopt uses)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # Peers warn about this and that, which is no concern of a benchmark.
    config.addinivalue_line("filterwarnings", "default")
    config.stash[FOUND] = []
    config.stash[BEFORE] = {}


def pytest_report_header(config):
    active = _backend.active
    lines = [f"fastopt {fastopt.__version__}: {active.name}, {active.isa or '-'}, from {fastopt.__path__[0]}"]
    if variables := report.blas_variables():
        lines.append(f"set in the environment: {', '.join(variables)}; unset what slows NumPy down")
    return lines


def pytest_generate_tests(metafunc):
    if "case" not in metafunc.fixturenames:
        return
    level = metafunc.config.getoption("level") or "default"
    threads = metafunc.config.getoption("threads") or fastopt.get_num_threads()
    questions = GROUPS[metafunc.module.GROUP](level, threads)
    cases = [(level, question, name) for question in questions for name in question.makers]
    ids = [f"{question.table} | {question.row} | {name}" for _, question, name in cases]
    metafunc.parametrize("case", cases, ids=ids, indirect=True)


@pytest.fixture
def case(request, benchmark):
    """A function that runs one benchmark."""
    level, question, name = request.param
    benchmark.group, benchmark.name = f"{question.table} | {question.row}", name

    def run():
        with question.open([name, LIMIT]) as steps:
            step, limit = steps[name], steps.get(LIMIT)
            beside = [_best(limit, level)] if limit else []
            with step.around():
                if question.once:
                    parts = benchmark.pedantic(step.call)
                    benchmark.extra_info.update(parts or {})
                else:
                    benchmark(step.call)
            if benchmark.disabled:
                return
            seconds = benchmark.stats.stats.min / step.repeats
            if limit:
                beside.append(_best(limit, level))
        found = timing.Measurement(
            question.group,
            question.table,
            question.row,
            name,
            question.elements,
            question.threads,
            seconds,
            min(beside) / seconds if beside else None,
        )
        for key in ("group", "table", "row", "contender", "of_limit"):
            benchmark.extra_info[key] = getattr(found, key)
        request.config.stash[FOUND].append(found)

    return run


def _best(step, level):
    return timing.by_turns({LIMIT: step}, level)[LIMIT]


def pytest_benchmark_compare_machine_info(config, compared_benchmark):
    """Take the fractions out of the run that `--benchmark-compare` reads."""
    for entry in compared_benchmark["benchmarks"]:
        info = entry["extra_info"]
        if info.get("of_limit") is not None:
            config.stash[BEFORE][info["group"], info["table"], info["row"], info["contender"]] = info["of_limit"]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    if found := config.stash[FOUND]:
        terminalreporter.section("ratios")
        terminalreporter.write_line(report.tables(found, config.stash[BEFORE]))
