"""Every rule of `fastopt.compat.torch` beside PyTorch's own class, for one matrix of four million elements.

    python benches/torch_rules.py [RULE ...] [--threads N] [--plot FILE]

Whole calls of ``step()``, hooks included, in float32, by turns over the same parameter and gradient; the best of each.
The tables, in Markdown, have milliseconds and, beside PyTorch's, how many times as long as fastopt's they are; where
PyTorch is ahead, that is **bold**. Its default on the CPU is a for-loop over parameters. The two Schedule-Free rules
stand beside the package ``schedulefree``, where it is installed, and rules that PyTorch has not beside nothing. Muon's
products of matrices are those of NumPy's BLAS, which has threads of its own.
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.optim.optimizer import _default_to_fused_or_foreach

import fastopt
from fastopt.bench.problem import Step
from fastopt.bench.questions import using_threads
from fastopt.bench.timing import PAUSE, by_turns
from fastopt.compat import torch as compat
from fastopt.plots import save
from fastopt.plots._bench import ratios

SHAPE = (2000, 2000)
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {}),
    "SGD, momentum": ("SGD", {"momentum": 0.9}),
    "RMSprop, centered": ("RMSprop", {"centered": True}),
    "Adam, AMSGrad": ("Adam", {"amsgrad": True}),
} | {name: (name, {}) for name in sorted(compat.__all__, key=str.lower) if name != "SGD"}
FUSED = ("SGD", "Adagrad", "Adam", "AdamW")
FREE = {"ScheduleFreeSGD": "SGDScheduleFree", "ScheduleFreeAdamW": "AdamWScheduleFree"}
OURS, PLAIN, FOREACH, FUSION = "fastopt", "PyTorch's default", "`foreach=True`", "`fused=True`"


def contenders(name: str, options: dict[str, Any]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Give what makes an optimizer of a list of parameters, by contender."""
    yield OURS, partial(getattr(compat, name), **options)
    if hasattr(torch.optim, name):
        cls = partial(getattr(torch.optim, name), **options)
        yield PLAIN, cls
        if name != "Muon":
            yield FOREACH, partial(cls, foreach=True)
        if name in FUSED:
            yield FUSION, partial(cls, fused=True)
    elif name in FREE and importlib.util.find_spec("schedulefree"):
        import schedulefree

        cls = getattr(schedulefree, FREE[name])
        yield PLAIN, partial(cls, foreach=False)
        yield FOREACH, cls


def measure(name: str, options: dict[str, Any], threads: int) -> dict[str, float]:
    """Return the milliseconds of a step, by contender."""
    made = torch.Generator().manual_seed(0)
    param = torch.nn.Parameter(torch.randn(SHAPE, generator=made))
    param.grad = torch.randn(SHAPE, generator=made)
    steps = {}
    for contender, make in contenders(name, options):
        opt = make([param])
        if name in FREE:
            opt.train()
        steps[contender] = Step(opt.step)
    with using_threads(threads):
        found = by_turns(steps, "full", PAUSE if threads > 1 else 0.0)
    return {contender: 1e3 * seconds for contender, seconds in found.items()}


def cells(times: dict[str, float]) -> Iterator[str]:
    """Give the cells of a row: fastopt's time, those of PyTorch with their ratios."""
    yield f"{times[OURS]:.2f}"
    for contender in (PLAIN, FOREACH, FUSION):
        if contender in times:
            ratio = times[contender] / times[OURS]
            shown = f"{ratio:.1f}x" if ratio >= 9.95 else f"{ratio:.2f}x"
            yield f"{times[contender]:.2f}, {shown if ratio >= 1 else f'**{shown}**'}"
        else:
            yield ""


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", metavar="RULE", default=[*RULES], help=", ".join(RULES))
    parser.add_argument("--threads", type=int, help="measure 1 and N threads (all that fastopt uses)")
    parser.add_argument("--plot", metavar="FILE", help="draw the ratios into FILE: .png, .svg or .pdf")
    args = parser.parse_args()
    if unknown := [name for name in args.rules if name not in RULES]:
        parser.error(f"RULE: expected some of {', '.join(RULES)}, got {unknown}")
    if any(_default_to_fused_or_foreach([torch.nn.Parameter(torch.zeros(1))], False, use_fused=False)):
        raise SystemExit("this PyTorch's default on the CPU is no for-loop: what the tables say about it is not so")
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for threads in sorted({1, args.threads or fastopt.get_num_threads()}):
        title = "1 thread" if threads == 1 else f"{threads} threads"
        print(f"{title}, milliseconds, PyTorch {torch.__version__.partition('+')[0]}:\n")
        print(f"| | {OURS} | {PLAIN} | {FOREACH} | {FUSION} |\n| --- | ---: | ---: | ---: | ---: |")
        panel = panels[title] = {}
        for rule in args.rules:
            times = measure(*RULES[rule], threads)
            print(f"| {rule} |", " | ".join(cells(times)), "|", flush=True)
            others = {
                contender.strip("`"): time / times[OURS] for contender, time in times.items() if contender != OURS
            }
            if others:
                panel[rule] = others
        print()
    if args.plot is not None:
        label = "times fastopt's; grey: PyTorch is ahead"
        save(ratios(panels, label=label, title="Time of a step of PyTorch's own class, 4,000,000 elements"), args.plot)


if __name__ == "__main__":
    main()
