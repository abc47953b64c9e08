"""Timing by turns: on a machine that others use too, only what ran side by side can be compared."""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

from fastopt.bench.peers import LIMIT
from fastopt.bench.problem import Step
from fastopt.bench.questions import Level, Question

# Shortest stretch to time, and how long a contender is given; in seconds.
STRETCH: dict[Level, float] = {"quick": 0.001, "default": 0.003, "full": 0.005}
BUDGET: dict[Level, float] = {"quick": 0.15, "default": 0.5, "full": 1.0}
ROUNDS: dict[Level, tuple[int, int]] = {"quick": (2, 15), "default": (5, 30), "full": (7, 50)}

# The threads of OpenMP and BLAS spin for a while after their work, on a core that the next one needs.
PAUSE = 0.01


@dataclass(frozen=True)
class Measurement:
    """The time of one contender, in the terms of its `Question`.

    Attributes
    ----------
    group, table, row, contender : str
    elements, threads : int or None
    seconds : float
        The best of several.
    of_limit : float or None
        Time of the memory limit, measured by turns with it, divided by `seconds`: 1 is as fast as
        memory allows, in the cache or out of it.
    """

    group: str
    table: str
    row: str
    contender: str
    elements: int | None
    threads: int | None
    seconds: float
    of_limit: float | None = None


def measure(question: Question, level: Level) -> list[Measurement]:
    """Time all contenders of a question by turns."""
    with question.open() as steps:
        if question.once:
            rows = _time_runs(steps, rounds=1 if level == "quick" else 2)
        else:
            pause = PAUSE if question.threads != 1 else 0.0
            rows = {"": by_turns(steps, level, pause)}
    found = []
    for part, seconds in rows.items():
        for contender, value in seconds.items():
            found.append(
                Measurement(
                    question.group,
                    question.table,
                    f"{question.row}: {part}" if part else question.row,
                    contender,
                    question.elements,
                    question.threads,
                    value,
                    seconds[LIMIT] / value if LIMIT in seconds else None,
                )
            )
    return found


def by_turns(steps: Mapping[str, Step], level: Level, pause: float = 0.0) -> dict[str, float]:
    """Return the best time of each step, in seconds; `pause` lets the threads of others fall asleep."""
    counts, rounds = {}, {}
    fewest, most = ROUNDS[level]
    for name, step in steps.items():
        with step.around():
            first = _time(step, 1)  # compiles, allocates
            once = first if level == "quick" and first > STRETCH[level] * 100 else _time(step, 1)
            if once < STRETCH[level] / 10:
                once = _time(step, 10)
        counts[name] = max(1, round(STRETCH[level] / max(once, 1e-7)))
        rounds[name] = int(min(most, max(fewest, BUDGET[level] / (counts[name] * once))))
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(max(rounds.values(), default=0)):
        for name, step in steps.items():
            if turn < rounds[name]:
                with step.around():
                    if pause:
                        time.sleep(pause)
                        step.call()  # wakes its threads up
                    seconds = _time(step, counts[name]) / step.repeats
                    best[name] = min(best[name], seconds)
    return best


def _time(step: Step, count: int) -> float:
    """Mean seconds of `count` calls."""
    call, collecting = step.call, gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in repeat(None, count):
            call()
        return (time.perf_counter() - begin) / count
    finally:
        if collecting:
            gc.enable()


def _time_runs(steps: Mapping[str, Step], rounds: int) -> dict[str, dict[str, float]]:
    """Time long runs, and keep the best of the parts that they report."""
    rows: dict[str, dict[str, float]] = {"": {}}
    for _ in range(rounds):
        for name, step in steps.items():
            time.sleep(PAUSE)
            with step.around():
                begin = time.perf_counter()
                parts = step.call()
                taken = {"": time.perf_counter() - begin} | (parts or {})
            for part, seconds in taken.items():
                row = rows.setdefault(part, {})
                row[name] = min(seconds, row.get(name, float("inf")))
    return rows
