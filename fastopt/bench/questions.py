"""The questions of the benchmarks in groups: each is a row of a table in which contenders are compared.

`fastopt bench` and the suites in ``benches/`` both run these.
"""

import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import fastopt
from fastopt.bench import shapes
from fastopt.bench.peers import BACKENDS, CONTENDERS, LIMIT, Contender, Maker
from fastopt.bench.problem import Problem, Shape, Step
from fastopt.bench.rules import BETA1, BETA2, EPS, LR, RULES
from fastopt.kernels._step import bind
from fastopt.kernels.rules import ADAM

Level = Literal["quick", "default", "full"]

SIZES: dict[Level, tuple[int, ...]] = {
    "quick": (64, 1_000, 10_000, 100_000, 1_000_000, 25_000_000),
    "default": (64, 1_000, 10_000, 100_000, 1_000_000, 25_000_000),
    "full": (64, 256, 1_000, 4_000, 10_000, 100_000, 250_000, 1_000_000, 4_000_000, 25_000_000),
}
FEW_SIZES: dict[Level, tuple[int, ...]] = {
    "quick": (10_000, 1_000_000),
    "default": (64, 10_000, 1_000_000),
    "full": SIZES["full"],
}


@dataclass(frozen=True)
class Question:
    """One row: the same work, done by several contenders.

    Attributes
    ----------
    group, table, row : str
        Where it belongs. The rows of a table have the same contenders.
    setup : callable
        Makes what the contenders share, and work on in turn.
    makers : mapping of str to callable
        Contenders by name; the first is what the others are compared with.
    threads : int or None
        How many a step may use; None leaves every library its own default.
    elements : int or None
        Parameters updated by a step.
    bytes : int
        Memory that it takes, roughly.
    once : bool
        Whether a step is a long run, not to be repeated more than needed.
    neighbours : int
        Processes that keep a processor busy meanwhile.
    """

    group: str
    table: str
    row: str
    setup: Callable[[], Any]
    makers: Mapping[str, Maker]
    threads: int | None = 1
    elements: int | None = None
    bytes: int = 0
    once: bool = False
    neighbours: int = 0

    @contextlib.contextmanager
    def open(self, names: Sequence[str] | None = None) -> Iterator[dict[str, Step]]:
        """Set everything up and give the steps by contender, all or those named."""
        with contextlib.ExitStack() as stack:
            shared = self.setup()
            steps = {}
            for name, make in self.makers.items():
                if names is None or name in names:
                    step = make(shared)
                    if step is not None:
                        stack.callback(step.close)
                        steps[name] = step
            # Once the peers are imported, which they are when they have made a step.
            if self.threads is not None:
                stack.enter_context(using_threads(self.threads))
            stack.enter_context(busy_processes(self.neighbours))
            yield steps


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Run processes that each keep a processor busy, and end with this one at the latest."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}:\n    for _ in range(10**6): pass"
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


@contextlib.contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """Hold fastopt, and the peers that are imported, to a number of threads."""
    setters: list[tuple[Callable[[int], object], int]] = [(fastopt.set_num_threads, fastopt.get_num_threads())]
    if torch := sys.modules.get("torch"):
        setters.append((torch.set_num_threads, torch.get_num_threads()))
    if numexpr := sys.modules.get("numexpr"):
        setters.append((numexpr.set_num_threads, numexpr.nthreads))
    try:
        for setter, _ in setters:
            setter(threads)
        yield
    finally:
        for setter, before in setters:
            setter(before)


def taking_part(contenders: Mapping[str, Contender], rule: str, dtype: str, threads: int) -> dict[str, Maker]:
    """Return those who are installed, offer the rule and can run with so many threads."""
    chosen = {}
    for name, contender in contenders.items():
        if contender.installed() and (contender.threaded if threads > 1 else contender.single):
            tiny = Problem.of(rule, 2, dtype=dtype)
            step = contender.make(tiny)
            if step is not None:
                step.close()
                chosen[name] = contender.make
    return chosen


def _counted(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _update(
    group: str,
    contenders: Mapping[str, Maker],
    rule: str,
    size: int,
    *,
    dtype: str = "float32",
    threads: int = 1,
    table: str = "",
    row: str = "",
) -> Question:
    """Build the question of one array of `size` elements."""
    streams = 2 + len(RULES[rule].states)
    return Question(
        group,
        table or f"{RULES[rule].title}, {dtype}, {_counted(threads)}",
        row or f"{size:,}",
        partial(Problem.of, rule, size, dtype=dtype, threads=threads),
        contenders,
        threads,
        size,
        # Some contenders keep copies or need temporaries.
        bytes=size * np.dtype(dtype).itemsize * streams * (3 if len(contenders) > 3 else 1),
    )


def rules(level: Level, threads: int) -> Iterator[Question]:
    """Every rule x dtype x size on every backend, against NumPy: what is gained over NumPy."""
    for rule in RULES:
        for dtype in ("float32", "float64"):
            if level == "quick" and dtype == "float64":
                continue
            chosen = taking_part(BACKENDS, rule, dtype, 1)
            for size in FEW_SIZES[level]:
                yield _update("rules", chosen, rule, size, dtype=dtype)


def peers(level: Level, threads: int) -> Iterator[Question]:
    """Rules against the peers that are installed, on one thread and on more: who is faster, where."""
    compared = {
        "quick": [("adam", "float32")],
        "default": [
            *((rule, "float32") for rule in ("adam", "momentum", "adagrad", "rmsprop")),
            ("adam", "float64"),
        ],
        "full": [(rule, dtype) for rule in RULES for dtype in ("float32", "float64")],
    }
    for rule, dtype in compared[level]:
        for count in sorted({1, threads}):
            chosen = taking_part(CONTENDERS, rule, dtype, count)
            main = (rule, dtype) == ("adam", "float32")
            for size in SIZES[level] if main else (10_000, 1_000_000, 25_000_000):
                if count > 1 and size < 100_000:
                    continue  # nobody's threads pay there
                yield _update("peers", chosen, rule, size, dtype=dtype, threads=count)


def memory(level: Level, threads: int) -> Iterator[Question]:
    """Every rule far out of cache against its own memory limit: what is left to gain."""
    size = 25_000_000
    chosen = {name: CONTENDERS[name].make for name in ("fastopt", LIMIT)}
    for dtype in ("float32", "float64"):
        for count in sorted({1, threads}):
            for rule in RULES if level != "quick" else ("adam", "momentum"):
                yield _update(
                    "memory",
                    chosen,
                    rule,
                    size,
                    dtype=dtype,
                    threads=count,
                    table=f"{size:,} elements, {dtype}, {_counted(count)}",
                    row=RULES[rule].title,
                )


def models(level: Level, threads: int) -> Iterator[Question]:
    """Adam over all arrays of whole models, in one call: what many arrays cost."""
    sizes = {"784-512-10": shapes.mlp(784, 512, 10), "ResNet-50": shapes.resnet50()}
    if level == "full":
        sizes["GPT-2 small"] = shapes.gpt2_small()
    makers = {"fastopt": adam_step, "kernels.adam": CONTENDERS["fastopt"].make}
    for count in sorted({1, threads}):
        others = taking_part(CONTENDERS, "adam", "float32", count)
        del others["fastopt"]
        for name, arrays in sizes.items():
            yield _model("models", name, arrays, makers | others, count)


_MODELS = {"models": "whole models", "overhead": "small arrays"}


def _model(group: str, name: str, arrays: Sequence[Shape], makers: Mapping[str, Maker], threads: int = 1) -> Question:
    elements = sum(int(np.prod(shape)) for shape in arrays)
    return Question(
        group,
        f"Adam.step, {_MODELS[group]}, float32, {_counted(threads)}",
        f"{name}: {len(arrays)} arrays, {elements:,}",
        partial(Problem, RULES["adam"], arrays, threads=threads),
        makers,
        threads,
        elements,
        bytes=elements * 4 * 4 * 3,
    )


def adam_step(problem: Problem) -> Step:
    """One ``Adam.step``, with the problem's arrays for its state."""
    params, grads, *states = problem.streams
    optimizer = fastopt.Adam(params, lr=LR, betas=(BETA1, BETA2), eps=EPS)
    for name, arrays in zip(problem.rule.states, states, strict=True):
        for own, given in zip(optimizer.groups[0].state[name], arrays, strict=True):
            own[...] = given
    return Step(partial(optimizer.step, grads))


def kernel_alone(problem: Problem) -> Step:
    """Arithmetic alone: arrays that are checked and bound beforehand."""
    streams = [stream if isinstance(stream, list) else [stream] for stream in problem.arguments]
    bound = bind((ADAM,), (streams,), [[""] * len(streams[0])])
    bound.load(((LR, BETA1, BETA2, EPS, False, 0.0, False, 1.0, math.inf, 1),))
    return Step(bound.run)


def overhead(level: Level, threads: int) -> Iterator[Question]:
    """Small arrays, where the call costs more than the arithmetic: what Python and checks cost."""
    peers = taking_part(CONTENDERS, "adam", "float32", 1)
    del peers["fastopt"], peers[LIMIT]
    one = {"fastopt": CONTENDERS["fastopt"].make, "arithmetic alone": kernel_alone} | peers
    yield _update("overhead", one, "adam", 64, table="kernels.adam, 1 thread", row="64 elements")
    step = {
        "fastopt": adam_step,
        "arithmetic alone": kernel_alone,
        "kernels.adam": CONTENDERS["fastopt"].make,
    } | peers
    for name, arrays in (
        ("64-64-10", shapes.mlp(64, 64, 10)),
        ("784-512-10", shapes.mlp(784, 512, 10)),
        ("of 64", [(64,)] * 161),
    ):
        yield _model("overhead", name, arrays, step)


def threads(level: Level, threads: int) -> Iterator[Question]:
    """Adam with 1, 2, ... threads: what threads gain, and from which size on."""
    sizes = (1_000_000, 25_000_000) if level != "full" else (500_000, 1_000_000, 4_000_000, 25_000_000)
    for size in sizes:
        for count in range(1, threads + 1):
            chosen = taking_part(CONTENDERS, "adam", "float32", count)
            chosen = {n: chosen[n] for n in ("fastopt", "torch fused", LIMIT) if n in chosen}
            yield _update(
                "threads",
                chosen,
                "adam",
                size,
                threads=count,
                table=f"Adam, float32, {size:,} elements",
                row=_counted(count),
            )


def growth(level: Level, threads: int) -> Iterator[Question]:
    """Adam from a thousand elements to half a billion: whether the time per element stays flat."""
    sizes = [10**3, 10**4, 10**5, 10**6, 10**7, 25 * 10**6]
    if level != "quick":
        sizes.append(10**8)
    if level == "full":
        sizes.append(5 * 10**8)
    chosen = {name: CONTENDERS[name].make for name in ("fastopt", LIMIT)}
    for count in sorted({1, threads}):
        for size in sizes:
            yield _update("growth", chosen, "adam", size, threads=count, table=f"Adam, growth, {_counted(count)}")
