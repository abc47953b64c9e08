"""Rules as objects: what does not fit together is refused when it is made, and src/rules.pyx is made from the loops."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fastopt.kernels import _backend, loops
from fastopt.kernels.rules import ADAM, CHECKS, LAMB, PER_CALL, RULES, Rule

SRC = Path(__file__).parents[1] / "src"


@pytest.mark.skipif(not SRC.exists(), reason="the tests run apart from the sources")
def test_the_compiled_rules_are_made_from_the_loops():
    spec = importlib.util.spec_from_file_location("generate", SRC / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    made = generate.generate(Path(loops.__file__).read_text())
    assert (SRC / "rules.pyx").read_text() == made, "run: python src/generate.py"


def test_every_loop_is_the_loop_of_one_rule():
    functions = {name for name, value in vars(loops).items() if callable(value) and not name.endswith("_scalars")}
    functions -= {name for name in functions if name.startswith("_")}
    assert functions == {rule.name for rule in RULES}
    assert sorted(functions) == sorted(rule.name for rule in RULES if rule is not LAMB)  # whose loop is Adam's


def few(lr, grad_scale, clip_value, step):
    return lr, grad_scale


def unnamed(lr, speed, grad_scale, clip_value, step):
    return 1.0, 1.0, 0.0, lr


def misplaced(grad_scale, clip_value, step, lr):
    return 1.0, 1.0, 0.0, lr


@pytest.mark.parametrize(
    ("scalars", "states", "message"),
    [
        (few, {}, "sgd: expected 5 scalars, got 2 of few"),
        (unnamed, {}, r"unnamed: expected arguments that have a range in CHECKS, got \['speed'\]"),
        (misplaced, {}, "misplaced: expected arguments that end with"),
        (loops.sgd_scalars, {"sum": 0.0}, "sgd: expected 4 scalars, got 5"),
    ],
)
def test_parts_that_do_not_fit_are_refused(scalars, states, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        Rule(loops.sgd, scalars, states)


@pytest.mark.skipif(_backend.active.name != "cython", reason="the other backends run the loops themselves")
def test_kernels_compiled_from_other_loops_are_refused(monkeypatch):
    longer = Rule(loops.adam, loops.adam_scalars, ADAM.states)
    longer.streams += ("another",)
    monkeypatch.setattr(_backend, "RULES", (longer,))
    with pytest.raises(ImportError, match=r"another version: adam: expected \(5, 8, 10\).*, got \(4, 8, 10\)"):
        _backend.load("cython", _backend.active.isa)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_scalars_are_made_from_checked_values(rule):
    """Whatever passes the condition for plain values is what passes the checks, and the result is the same."""
    names = (*rule.hyper_parameters, *PER_CALL)
    typical = 0.5 if rule.name in ("ftrl", "schedule_free_sgd", "schedule_free_adamw") else 0.0  # 0 does not go there
    ordinary = {"boolean": True, "integer": 1, "real": typical}
    plain = {
        name: max(low, ordinary[kind]) if kind == "real" else ordinary[kind]
        for name, (kind, low, _) in zip(names, rule.ranges, strict=True)
    }
    of_numpy = {name: np.asarray(value)[()] for name, value in plain.items()}
    assert rule.scalars_of(*of_numpy.values()) == rule.scalars_of(*plain.values())
    for i, (name, (kind, low, _)) in enumerate(zip(names, rule.ranges, strict=True)):
        wrong = "x" if kind == "boolean" else low - 1 if np.isfinite(low - 1) and low - 1 < low else np.nan
        values = list(plain.values())
        values[i] = wrong
        with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
            rule.scalars_of(*values)
        with pytest.raises((TypeError, ValueError), match=f"^{name}: expected"):
            CHECKS[name](name, wrong)
