"""The oracle against values worked out by hand and against PyTorch; the table against itself."""

import inspect

import numpy as np
import pytest
from table import CASES, HAND_WORKED, OPTIMIZERS


@pytest.mark.parametrize(("rule", "arrays", "options", "expected"), HAND_WORKED)
def test_oracle_agrees_with_hand_worked_values(rule, arrays, options, expected):
    actual = rule.oracle(**{k: np.float64(v) for k, v in arrays.items()}, **options)
    assert actual == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_option_of_a_case_can_be_seen(case):
    """Leaving an option out changes the result by much more than the comparisons tolerate, or by rounding alone."""
    parameters = inspect.signature(case.rule.oracle).parameters
    arrays = case.arrays((50,), np.float64)
    for name in case.options_at(1):
        default = parameters[name].default
        if default is inspect.Parameter.empty:
            continue
        changes = []
        for step in (1, 2):
            if case.options_at(step)[name] != default:
                with_it = case.expected(arrays, step)
                without = case.expected(arrays, step, **{name: default})
                changes += [np.max(np.abs(without[key] - with_it[key])) for key in with_it]
        assert (max(changes, default=1.0) > 1e-12) == (name not in case.unseen), name


@pytest.mark.parametrize("case", [case for case in OPTIMIZERS if case.torch is not None], ids=str)
def test_oracle_agrees_with_torch(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(3, 4)), rng.normal(size=5)]
    ours = case.oracle(start, **case.options)
    params = [torch.tensor(p) for p in start]
    torch.set_default_dtype(torch.float64)  # of the product that NAdam keeps
    theirs = getattr(torch.optim, case.name)(params, foreach=False, **case.torch)
    for _ in range(10):
        grads = [rng.normal(size=p.shape) for p in start]
        ours.step(grads)
        for param, grad in zip(params, grads, strict=True):
            param.grad = torch.tensor(grad)
        theirs.step()
    torch.set_default_dtype(torch.float32)
    for mine, param in zip(ours.params, params, strict=True):
        np.testing.assert_allclose(mine, param.numpy(), rtol=1e-12, atol=1e-13)
