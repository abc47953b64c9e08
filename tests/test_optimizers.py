"""The classes against the oracle and PyTorch: structures, scales, groups, memory of other libraries."""

import array
import inspect
import itertools
import math
import tracemalloc

import numpy as np
import pytest
from harness import DTYPES, Frozen, assert_close, assert_same_bits
from optimizer_harness import (
    STRUCTURES,
    build,
    each_case,
    each_class,
    each_variant,
    equal_states,
    falling,
    random_arrays,
    saved,
)
from table import CLASSES, ONE_OPTIMIZER, OPTIMIZERS

import fastopt


@each_class
def test_signature_is_the_oracles(variants):
    """Names and defaults are those that the oracle was written with; all but the rate are given by name."""
    expected = inspect.signature(variants[0].oracle).parameters
    actual = dict(inspect.signature(getattr(fastopt, variants[0].name)).parameters)
    assert [actual.pop(name).default for name in ("state", "steps")] == [None, 0]
    assert {name: p.default for name, p in actual.items()} == {name: p.default for name, p in expected.items()}
    assert [name for name, p in actual.items() if p.kind is not p.KEYWORD_ONLY] == ["params", "lr"]


@each_case
def test_follows_the_oracle(case):
    follow(case, STRUCTURES[0], np.float64)


@each_variant
def test_follows_the_oracle_in_float32(case):
    follow(case, STRUCTURES[0], np.float32)


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.name)
def test_follows_the_oracle_in_every_structure(structure):
    follow(ONE_OPTIMIZER, structure, np.float64)


def follow(case, structure, dtype):
    params = random_arrays(dtype, 0)
    exact = case.oracle(params, **case.options)
    structured = structure.params(params)
    opt = build(case, structured)
    assert opt.params is structured
    for step in range(1, 6):
        grads = random_arrays(dtype, step)
        before = Frozen(*grads)
        assert opt.step(structure.grads(grads)) is None
        exact.step(grads)
        before.assert_unchanged()
        assert opt.steps == step
        for actual, expected in zip(params, exact.params, strict=True):
            # The second moment starts at 0: its root's relative error is not that of the state.
            assert_close(actual, expected, 4 * step)


def test_a_single_array():
    (param,) = random_arrays(np.float64, 0, [(6, 2)])
    exact = ONE_OPTIMIZER.oracle([param], **ONE_OPTIMIZER.options)
    opt = build(ONE_OPTIMIZER, param)
    assert opt.params is param
    for step in range(1, 4):
        (grad,) = random_arrays(np.float64, step, [(6, 2)])
        opt.step(grad)
        exact.step([grad])
        assert_close(param, exact.params[0], 4 * step)


@pytest.mark.parametrize("case", [case for case in OPTIMIZERS if case.torch is not None], ids=str)
def test_agrees_with_torch(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    params = random_arrays(np.float64, 0)
    theirs = [torch.tensor(param) for param in params]
    torch.set_default_dtype(torch.float64)  # of the product that NAdam keeps
    peer = getattr(torch.optim, case.name)(theirs, foreach=False, **case.torch)
    opt = build(case, params)
    for step in range(1, 11):
        grads = random_arrays(np.float64, step)
        for tensor, grad in zip(theirs, grads, strict=True):
            tensor.grad = torch.tensor(grad)
        peer.step()
        opt.step(grads)
    torch.set_default_dtype(torch.float32)
    for param, tensor in zip(params, theirs, strict=True):
        np.testing.assert_allclose(param, tensor.numpy(), rtol=1e-12, atol=1e-13)


@each_variant
@pytest.mark.parametrize("options", [{"grad_scale": -0.25}, {"clip_value": 0.5}], ids=str)
def test_scaled_and_clipped_gradients(case, options):
    params = random_arrays(np.float64, 0)
    exact = case.oracle(params, **case.options)
    opt = build(case, params)
    for step in range(1, 4):
        grads = random_arrays(np.float64, step)
        opt.step(grads, **options)
        exact.step(grads, **options)
    for actual, expected in zip(params, exact.params, strict=True):
        assert_close(actual, expected, 12)


def test_no_allocation_of_array_size():
    params = random_arrays(np.float64, 0, [(1_500_000,), (300, 1000)])
    grads = random_arrays(np.float64, 1, [(1_500_000,), (300, 1000)])
    opt = build(ONE_OPTIMIZER, params)
    opt.step(grads)
    tracemalloc.start()
    try:
        opt.step(grads)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < params[0].nbytes / 4


@pytest.mark.parametrize("variants", [v for v in CLASSES.values() if v[0].changeable == "lr"], ids=lambda v: v[0].name)
def test_groups_have_hyper_parameters_of_their_own(variants):
    """Every variant of a class side by side: a group may have another rule, other states and another dtype."""
    dtypes = [DTYPES[i % 2] for i in range(len(variants))]
    params = [random_arrays(dtype, i) for i, dtype in enumerate(dtypes)]
    exact = [case.oracle(own, **(case.options | {"lr": falling})) for case, own in zip(variants, params, strict=True)]
    groups = [{"params": own, **case.options} for case, own in zip(variants, params, strict=True)]
    opt = getattr(fastopt, variants[0].name)(groups)
    for step in range(1, 5):
        grads = [random_arrays(dtype, 10 * step + i) for i, dtype in enumerate(dtypes)]
        for group in opt.groups:
            group.lr = falling(step - 1)
        opt.step(grads)
        for group, one in enumerate(exact):
            one.step(grads[group])
            for actual, expected in zip(params[group], one.params, strict=True):
                assert_close(actual, expected, 4 * step, f"group {group}")


@each_class
def test_an_error_in_a_group_leaves_all_untouched(variants):
    """Whatever is wrong in the last: gradient, hyper-parameter, the result of a schedule."""
    params = [random_arrays(np.float64, i) for i in range(len(variants) + 1)]
    cases = (*variants, variants[0])
    opt = getattr(fastopt, cases[0].name)(
        [{"params": own, **case.options} for case, own in zip(cases, params, strict=True)]
    )
    good = [random_arrays(np.float64, 10 + i) for i in range(len(params))]
    opt.step(good)
    before, state = Frozen(*itertools.chain(*params)), saved(opt)
    wrong = [*good[:-1], [*good[-1][:-1], np.zeros(2)]]
    for grads, options, words in ((wrong, {}, "grad.*shape"), (good, {"clip_value": -1.0}, "clip_value")):
        with pytest.raises(ValueError, match=words):
            opt.step(grads, **options)
    name = cases[-1].changeable
    value = getattr(opt.groups[-1], name)
    setattr(opt.groups[-1], name, lambda step: math.nan)
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        opt.step(good)
    setattr(opt.groups[-1], name, value)
    before.assert_unchanged()
    assert equal_states(saved(opt), state)
    assert opt.steps == 1


def test_group_objects():
    params = random_arrays(np.float64, 0)
    opt = fastopt.SGD([{"params": params[:3], "lr": 0.1}, {"params": params[3], "lr": 0.2}], momentum=0.9)
    assert [group.lr for group in opt.groups] == [0.1, 0.2]
    assert [group.momentum for group in opt.groups] == [0.9, 0.9]
    assert [len(group.params) for group in opt.groups] == [3, 1]
    assert np.shares_memory(opt.groups[1].params[0], params[3])
    assert opt.lr == 0.1


def test_groups_that_are_refused():
    param = np.zeros(3)
    for groups, word in (
        ([{"params": param, "learning_rate": 0.1}], "learning_rate"),
        ([{"lr": 0.1}], "params"),
        ([{"params": param, "lr": -1}], "lr"),
        ([{"params": param}, {"params": np.zeros(2), "momentum": 2.0}], "momentum"),
    ):
        with pytest.raises((TypeError, ValueError), match=word):
            fastopt.SGD(groups)


def test_groups_do_not_share_arrays():
    param = np.zeros(3)
    with pytest.raises(ValueError, match=r"memory|overlap"):
        fastopt.SGD([{"params": param}, {"params": param[1:]}]).step([np.ones(3), np.ones(2)])
    assert not param.any()


def test_groups_do_not_take_each_others_parameters_as_gradients():
    """The update of one group would change the gradient of another before it is used."""
    params = random_arrays(np.float32, 0, [(6,), (6,)])
    opt = build(ONE_OPTIMIZER, [{"params": params[0]}, {"params": params[1]}])
    for grads in ([np.ones(6, "f4"), params[0]], [params[1], np.ones(6, "f4")]):
        before = Frozen(*params)
        with pytest.raises(ValueError, match=r"memory|overlap"):
            opt.step(grads)
        before.assert_unchanged()
        assert opt.steps == 0


def test_tensors_of_torch_are_updated_in_place():
    torch = pytest.importorskip("torch", reason="takes PyTorch's tensors where it is installed")
    params = random_arrays(np.float64, 0)
    tensors = [torch.tensor(param) for param in params]
    ours, theirs = build(ONE_OPTIMIZER, params), build(ONE_OPTIMIZER, tensors)
    for step in range(1, 4):
        grads = random_arrays(np.float64, step)
        ours.step(grads)
        theirs.step([torch.tensor(grad) for grad in grads])
    for param, tensor in zip(params, tensors, strict=True):
        assert_same_bits(tensor.numpy(), param)


def test_tensors_that_are_refused():
    torch = pytest.importorskip("torch", reason="takes PyTorch's tensors where it is installed")
    for dtype in (torch.float16, torch.int32, torch.bfloat16):
        with pytest.raises((TypeError, ValueError, BufferError)):
            fastopt.SGD(torch.zeros(3, dtype=dtype))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda values: array.array("d", values),
        lambda values: memoryview(array.array("d", values)),
        lambda values: memoryview(bytearray(values.tobytes())).cast("d"),
    ],
    ids=["array.array", "memoryview", "bytearray as doubles"],
)
def test_buffers_are_updated_in_place(wrap):
    (param,) = random_arrays(np.float64, 0, [(6,)])
    alone, listed = wrap(param), wrap(param)
    opts = [build(ONE_OPTIMIZER, param), build(ONE_OPTIMIZER, alone), build(ONE_OPTIMIZER, {"a": listed})]
    for step in range(1, 4):
        (grad,) = random_arrays(np.float64, step, [(6,)])
        opts[0].step(grad)
        opts[1].step(wrap(grad))
        opts[2].step({"a": wrap(grad)})
    for buffer in (alone, listed):
        assert np.array_equal(np.frombuffer(buffer), param)


def test_views_are_updated_in_place():
    """Parameters that are parts of one flat array, as a network's are."""
    flat, flat_grads = np.zeros(100, np.float32), np.zeros(100, np.float32)
    views = [flat[:20].reshape(4, 5), flat[20:25], flat[25:99].reshape(2, 37).T]
    grads = [flat_grads[:20].reshape(4, 5), flat_grads[20:25], flat_grads[25:99].reshape(2, 37).T]
    whole = np.zeros(100, np.float32)
    opts = [build(ONE_OPTIMIZER, views), build(ONE_OPTIMIZER, whole)]
    for step in range(1, 4):
        flat_grads[:99] = random_arrays(np.float32, step, [(99,)])[0]
        opts[0].step(grads)
        opts[1].step(flat_grads)
    assert_same_bits(flat, whole)


def test_a_number_of_numpy_is_a_gradient_of_an_array_without_axes():
    """NumPy makes scalars of arrays without axes wherever it computes with them."""
    for dtype in DTYPES:
        alone, listed, expected = (np.array(0.5, dtype) for _ in range(3))
        opts = [build(ONE_OPTIMIZER, params) for params in (alone, [listed, np.zeros(2)], expected)]
        for value in (0.25, -3.0, 1.5):
            opts[0].step(dtype(value))
            opts[1].step([dtype(value), np.ones(2)])
            opts[2].step(np.array(value, dtype))
        assert_same_bits(alone, expected)
        assert_same_bits(listed, expected)
        for wrong, exception in ((np.int64(1), TypeError), (DTYPES[dtype is np.float32](1.0), TypeError)):
            with pytest.raises(exception, match=rf"^grad: expected dtype {expected.dtype}"):
                opts[0].step(wrong)
        with pytest.raises(TypeError, match="params: expected a NumPy array, got"):
            build(ONE_OPTIMIZER, dtype(1.0))


def test_every_optimizer_is_in_the_table():
    assert {case.name for case in OPTIMIZERS} == set(fastopt.optimizers.__all__) - {"Optimizer", "Muon"}  # test_muon.py
