"""Parameters, gradients and states that are not NumPy's: their memory is taken, and followed where it goes."""

import numpy as np
import pytest
from backends import using
from harness import assert_same_bits
from optimizer_harness import SHAPES, build, random_arrays
from optimizer_harness import each_variant as each_optimizer

import fastopt
from fastopt import kernels


class Lender:
    """What lends its memory by DLPack alone, and may exchange it."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def lend(array):
    return Lender(array)


def tensor(array):
    return pytest.importorskip("torch").tensor(array)


def exchange(lent, array):
    """Give something other memory, as loading and moving a model do."""
    if isinstance(lent, Lender):
        lent.array = array
    else:
        lent.data = tensor(array)


def values(lent):
    return np.array(np.from_dlpack(lent))


each_kind = pytest.mark.parametrize("kind", [lend, tensor])


@each_kind
@each_optimizer
def test_steps_over_tensors_are_those_over_arrays(kind, case):
    arrays = random_arrays(np.float32, 1)
    lent = [kind(array.copy()) for array in arrays]
    ours, theirs = build(case, arrays), build(case, lent)
    for step in range(3):
        grads = random_arrays(np.float32, 10 + step)
        ours.step(grads)
        theirs.step([kind(grad) for grad in grads])
    for array, own in zip(arrays, lent, strict=True):
        assert_same_bits(values(own), array)


@each_kind
def test_memory_that_is_exchanged_is_followed(backend, kind):
    arrays = random_arrays(np.float64, 1)
    lent = [kind(array.copy()) for array in arrays]
    left = np.from_dlpack(lent[0] if kind is lend else lent[0].detach())  # which keeps its memory
    state = {name: [kind(np.zeros(shape)) for shape in SHAPES] for name in ("exp_avg", "exp_avg_sq")}
    with using(backend):
        ours, theirs = fastopt.Adam(arrays, lr=0.1), fastopt.Adam(lent, lr=0.1, state=state)
        for step in range(4):
            grads = random_arrays(np.float64, 10 + step)
            ours.step(grads)
            theirs.step(grads)
            if step == 1:
                before = left.copy()
                exchange(lent[0], values(lent[0]))
                exchange(state["exp_avg_sq"][2], values(state["exp_avg_sq"][2]))
            for array, own in zip(arrays, lent, strict=True):
                assert_same_bits(values(own), array, f"step {step}")
            assert_same_bits(values(state["exp_avg_sq"][2]), ours.groups[0].state["exp_avg_sq"][2], f"step {step}")
    assert_same_bits(left, before)


@each_kind
def test_memory_of_another_form_is_refused(backend, kind):
    lent = [kind(np.ones(3)), kind(np.ones(2))]
    opt = fastopt.SGD(lent, lr=0.5, momentum=0.5)
    with using(backend):
        opt.step([np.ones(3), np.ones(2)])
        exchange(lent[0], np.ones(4))
        with pytest.raises(
            ValueError, match=r"^(grad|momentum_buffer)\[0\]: expected shape \(4,\) like param\[0\], got"
        ):
            opt.step([np.ones(3), np.ones(2)])
        exchange(lent[0], np.ones(3, np.float32))
        with pytest.raises(TypeError, match=r"^(grad|momentum_buffer)\[0\]: expected dtype float32"):
            opt.step([np.ones(3), np.ones(2)])
        assert opt.steps == 1
        assert (values(lent[1]) == 0.5).all()
        exchange(lent[0], np.ones(3))
        opt.step([np.ones(3), np.ones(2)])
    assert (values(lent[0]) == 0.25).all()


def test_memory_that_two_tensors_come_to_share_is_refused(backend):
    lent = [lend(np.ones(3)), lend(np.ones(3))]
    opt = fastopt.SGD(lent, lr=0.5)
    with using(backend):
        opt.step([np.ones(3), np.ones(3)])
        exchange(lent[0], lent[1].array)
        with pytest.raises(ValueError, match=r"^param\[1\]: expected memory of its own"):
            opt.step([np.ones(3), np.ones(3)])
    assert (lent[1].array == 0.5).all()


# PyTorch's.


def test_tensors_of_half_and_brain_floats(backend):
    torch = pytest.importorskip("torch")
    grad = torch.linspace(-2, 2, 50)
    for dtype in (torch.float16, torch.bfloat16):
        param, expected = torch.zeros(50), torch.zeros(50)
        with using(backend):
            opt = fastopt.SGD([param], lr=1.0)
            for _ in range(2):
                opt.step([grad.to(dtype)], cast_grads=True)
        expected -= grad.to(dtype).float() * 2
        assert torch.equal(param, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch: torch.ones(3).to_sparse(), "layout|sparse|Sparse"),
        (lambda torch: torch._neg_view(torch.ones(3)), r"resolve_neg\(\) makes it plain"),
        (lambda torch: torch.ones(3, device="meta"), ""),
    ],
    ids=["sparse", "negated", "of no device"],
)
def test_tensors_without_plain_memory(backend, make, message):
    torch = pytest.importorskip("torch")
    param, odd = torch.zeros(3), make(torch)
    with using(backend):
        with pytest.raises(TypeError, match=rf"(?s)^grad: expected an array or an object that lends.*({message})"):
            kernels.sgd(param, odd, lr=1.0)
        opt = fastopt.SGD([param], lr=1.0)
        opt.step([torch.ones(3)])
        with pytest.raises(TypeError, match=rf"(?s)^grad\[0\]: expected an array or an object.*({message})"):
            opt.step([odd])
    assert opt.steps == 1
    assert (param == -1).all()


def test_tensors_with_a_graph(backend):
    torch = pytest.importorskip("torch")
    weight, param = torch.ones(3, requires_grad=True), torch.zeros(3)
    with using(backend):
        with pytest.raises(TypeError, match=r"^params\[0\]: .*it requires a gradient: detach\(\) gives"):
            fastopt.SGD([weight], lr=1.0)
        opt = fastopt.SGD([param], lr=1.0)
        for _ in range(2):
            opt.step([2 * weight])
    assert param.tolist() == [-4, -4, -4]


def test_transposed_and_empty_tensors():
    torch = pytest.importorskip("torch")
    base, empty = torch.zeros(4, 3), torch.zeros(0, 3)
    opt = fastopt.SGD([base.T, empty], lr=1.0)
    for _ in range(2):
        opt.step([torch.ones(3, 4), torch.ones(0, 3)])
    opt.step([torch.ones(4, 3).T, torch.ones(0, 3)])
    assert (base == -3).all()


def test_gradients_that_share_memory_with_a_parameter():
    torch = pytest.importorskip("torch")
    memory = torch.zeros(6)
    opt = fastopt.SGD([memory[:3]], lr=1.0)
    opt.step([torch.ones(3)])
    with pytest.raises(ValueError, match=r"memory of its own|memory shared"):
        opt.step([memory[1:4]])
    assert memory.tolist() == [-1, -1, -1, 0, 0, 0]
