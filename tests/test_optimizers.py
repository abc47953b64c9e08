"""The classes against the oracle and PyTorch: structures, scales, groups, memory of other libraries."""

import array
import tracemalloc

import numpy as np
import oracle
import pytest
from harness import Frozen, assert_close, assert_same_bits
from optimizer_harness import (
    STRUCTURES,
    build,
    each_case,
    each_dtype,
    falling,
    random_arrays,
    rising,
)
from table import OPTIMIZERS

import fastopt


@each_case
@each_dtype
def test_follows_the_oracle(case, dtype):
    for structure in STRUCTURES:
        follow(case, structure, dtype)


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


@each_case
def test_a_single_array(case):
    (param,) = random_arrays(np.float64, 0, [(6, 2)])
    exact = case.oracle([param], **case.options)
    opt = build(case, param)
    assert opt.params is param
    for step in range(1, 4):
        (grad,) = random_arrays(np.float64, step, [(6, 2)])
        opt.step(grad)
        exact.step([grad])
        assert_close(param, exact.params[0], 4 * step)


@each_case
def test_agrees_with_torch(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    if case.torch is None:
        pytest.skip("a convention that torch.optim does not have; the oracle has it")
    params = random_arrays(np.float64, 0)
    theirs = [torch.tensor(param) for param in params]
    peer = getattr(torch.optim, case.name)(theirs, foreach=False, **case.torch)
    opt = build(case, params)
    for step in range(1, 11):
        grads = random_arrays(np.float64, step)
        for tensor, grad in zip(theirs, grads, strict=True):
            tensor.grad = torch.tensor(grad)
        peer.step()
        opt.step(grads)
    for param, tensor in zip(params, theirs, strict=True):
        np.testing.assert_allclose(param, tensor.numpy(), rtol=1e-12, atol=1e-13)


@each_case
@pytest.mark.parametrize("options", [{"grad_scale": 0.25}, {"grad_scale": -1.0}, {"clip_value": 0.5}], ids=str)
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


@each_case
def test_no_allocation_of_array_size(case):
    params = random_arrays(np.float64, 0, [(700_000,), (300, 1000)])
    grads = random_arrays(np.float64, 1, [(700_000,), (300, 1000)])
    opt = build(case, params)
    opt.step(grads)
    tracemalloc.start()
    try:
        opt.step(grads)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < params[0].nbytes / 4


@pytest.mark.parametrize(
    ("name", "common", "own"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}, {"lr": 0.3, "weight_decay": 0.2}),
        ("SGD", {"lr": 0.1}, {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"lr": falling}, {"lr": rising}),
        ("Adagrad", {"lr": 0.1}, {"lr_decay": 0.3, "initial_accumulator_value": 0.5}),
        ("RMSprop", {"lr": 0.1}, {"alpha": 0.9, "centered": True, "eps": 1e-2}),
        ("RMSprop", {"lr": 0.1, "momentum": 0.9}, {"momentum": 0.0, "eps_in_sqrt": True}),
        ("Adam", {"lr": 0.1}, {"betas": (0.8, 0.9), "eps": 1e-2, "eps_hat": True}),
        ("Adam", {"lr": 0.1, "amsgrad": True}, {"amsgrad": False, "weight_decay": 0.1}),
        ("AdamW", {"lr": 0.1}, {"lr": 0.2, "weight_decay": 0.3}),
    ],
)
def test_groups_have_hyper_parameters_of_their_own(name, common, own):
    params = random_arrays(np.float64, 0)
    kind = getattr(oracle, name)
    one, two = kind(params[:2], **common), kind(params[2:], **(common | own))
    groups = [{"params": params[:2]}, {"params": params[2:], **own}]
    opt = getattr(fastopt, name)(groups, **common)
    for step in range(1, 5):
        grads = random_arrays(np.float64, step)
        opt.step([grads[:2], grads[2:]])
        one.step(grads[:2])
        two.step(grads[2:])
        for actual, expected in zip(params, one.params + two.params, strict=True):
            assert_close(actual, expected, 4 * step)


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


@each_case
def test_groups_do_not_take_each_others_parameters_as_gradients(case):
    """The update of one group would change the gradient of another before it is used."""
    params = random_arrays(np.float32, 0, [(6,), (6,)])
    opt = build(case, [{"params": params[0]}, {"params": params[1]}])
    for grads in ([np.ones(6, "f4"), params[0]], [params[1], np.ones(6, "f4")]):
        before = Frozen(*params)
        with pytest.raises(ValueError, match=r"memory|overlap"):
            opt.step(grads)
        before.assert_unchanged()
        assert opt.steps == 0


@each_case
def test_tensors_of_torch_are_updated_in_place(case):
    torch = pytest.importorskip("torch", reason="takes PyTorch's tensors where it is installed")
    params = random_arrays(np.float64, 0)
    tensors = [torch.tensor(param) for param in params]
    ours, theirs = build(case, params), build(case, tensors)
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


@each_case
@pytest.mark.parametrize(
    "wrap",
    [
        lambda values: array.array("d", values),
        lambda values: memoryview(array.array("d", values)),
        lambda values: memoryview(bytearray(values.tobytes())).cast("d"),
    ],
    ids=["array.array", "memoryview", "bytearray as doubles"],
)
def test_buffers_are_updated_in_place(case, wrap):
    (param,) = random_arrays(np.float64, 0, [(6,)])
    alone, listed = wrap(param), wrap(param)
    opts = [build(case, param), build(case, alone), build(case, {"a": listed})]
    for step in range(1, 4):
        (grad,) = random_arrays(np.float64, step, [(6,)])
        opts[0].step(grad)
        opts[1].step(wrap(grad))
        opts[2].step({"a": wrap(grad)})
    for buffer in (alone, listed):
        assert np.array_equal(np.frombuffer(buffer), param)


@each_case
def test_views_are_updated_in_place(case):
    """Parameters that are parts of one flat array, as a network's are."""
    flat, flat_grads = np.zeros(100, np.float32), np.zeros(100, np.float32)
    views = [flat[:20].reshape(4, 5), flat[20:25], flat[25:99].reshape(2, 37).T]
    grads = [flat_grads[:20].reshape(4, 5), flat_grads[20:25], flat_grads[25:99].reshape(2, 37).T]
    whole = np.zeros(100, np.float32)
    opts = [build(case, views), build(case, whole)]
    for step in range(1, 4):
        flat_grads[:99] = random_arrays(np.float32, step, [(99,)])[0]
        opts[0].step(grads)
        opts[1].step(flat_grads)
    assert_same_bits(flat, whole)


def test_every_optimizer_is_in_the_table():
    assert {case.name for case in OPTIMIZERS} == set(fastopt.optimizers.__all__) - {"Optimizer"}
