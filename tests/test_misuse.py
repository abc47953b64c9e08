"""What people do to arrays, optimizers and groups between steps: refused whole, never a crash or half a step."""

import weakref
from contextlib import nullcontext

import numpy as np
import pytest
from backends import using

import fastopt
from fastopt import kernels
from fastopt.kernels._checks import TEMPORARY
from fastopt.kernels.rules import CHECKS

STRIDED = pytest.mark.parametrize("strided", [False, True], ids=["contiguous", "strided"])


def build(strided, optimizer=fastopt.Adam, n=2):
    """An optimizer over `n` arrays of shape (4, 6), or (4, 3) as columns of those, that has made a step."""
    params = [np.ones((4, 6))[:, :: 2 if strided else 1] for _ in range(n)]
    grads = [np.ones(param.shape) for param in params]
    opt = optimizer(params, lr=0.1)
    opt.step(grads)
    return opt, params, grads


def assert_refused(opt, params, grads, match):
    before = [param.tobytes() for param in params]
    with pytest.raises((TypeError, ValueError), match=match):
        opt.step(grads)
    assert [param.tobytes() for param in params] == before
    assert opt.steps == 1


@pytest.mark.parametrize("size", [10, 4000])
def test_a_parameter_that_was_resized(size):
    param = np.ones(1000)
    opt = fastopt.SGD(param, lr=0.1, momentum=0.9)
    opt.step(np.ones(1000))
    param.resize(size, refcheck=False)
    assert_refused(opt, [param], np.ones(size), "expected shape")


def test_a_parameter_of_a_new_dtype():
    param = np.ones(16)
    opt = fastopt.SGD(param, lr=0.1, momentum=0.9)
    opt.step(np.ones(16))
    param.dtype = np.float32
    assert_refused(opt, [param], np.ones(32, np.float32), "momentum_buffer: expected dtype float32")


@STRIDED
def test_a_gradient_of_a_new_dtype(strided):
    opt, params, grads = build(strided)
    grads[1].dtype = np.int64
    assert_refused(opt, params, grads, r"grad\[1\]: expected dtype float64 like param\[1\], got int64")


@STRIDED
def test_a_gradient_of_a_new_shape(strided):
    opt, params, grads = build(strided)
    grads[1].shape = grads[1].shape[::-1]
    assert_refused(opt, params, grads, r"grad\[1\]: expected shape")


@pytest.mark.filterwarnings("ignore:Setting the strides")
@pytest.mark.parametrize("turned", ["param", "momentum_buffer"])
def test_an_array_of_a_new_order(turned):
    """A square matrix turned in place is still the same memory in the same shape: only its elements' places change."""
    param, grad = np.arange(16.0).reshape(4, 4), np.arange(0.0, 1.6, 0.1).reshape(4, 4)
    opt = fastopt.SGD(param, lr=1.0, momentum=0.5)
    opt.step(grad)
    array = {"param": param, **{name: arrays[0] for name, arrays in opt.groups[0].state.items()}}[turned]
    array.strides = array.strides[::-1]
    buffer = 0.5 * opt.groups[0].state["momentum_buffer"][0] + grad
    expected = param - buffer
    opt.step(grad)
    np.testing.assert_allclose(param, expected, rtol=1e-15)


@STRIDED
def test_a_parameter_that_was_closed(strided):
    opt, params, grads = build(strided)
    opt.groups[0].params[1].flags.writeable = False
    assert_refused(opt, params, grads, r"param\[1\]: expected a writable array")


def test_a_step_within_a_step():
    param = np.ones(3)

    def schedule(step):
        if step:
            opt.step(np.ones(3))
        return 0.1

    opt = fastopt.SGD(param, lr=schedule)
    opt.step(np.ones(3))
    with pytest.raises(RuntimeError, match="within a step"):
        opt.step(np.ones(3))
    assert opt.steps == 1
    opt.lr = 0.1
    opt.step(np.ones(3))
    assert opt.steps == 2


@pytest.mark.parametrize("name", ["weigth_decay", "amsgrad", "params", "state", "rule"])
def test_groups_refuse_what_would_have_no_effect(name):
    opt = fastopt.Adam(np.ones(3))
    with pytest.raises(AttributeError, match=f"^{name}: expected (a hyper-parameter, one of|to stay False)"):
        setattr(opt.groups[0], name, True)
    opt.groups[0].weight_decay = 0.5
    assert "weight_decay=0.5" in repr(opt)


def test_options_are_named():
    """Positional ones in PyTorch's order would land elsewhere."""
    with pytest.raises(TypeError, match="positional"):
        fastopt.SGD(np.ones(3), 0.1, 0.9)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (fastopt.SGD, {"momentum": 0.9, "nesterov": 1e-4}),
        (fastopt.SGD, {"lr_in_velocity": "no"}),
        (fastopt.Adagrad, {"eps_in_sqrt": 0.01}),
        (fastopt.RMSprop, {"centered": np.ones(2)}),
        (fastopt.RMSprop, {"lr_in_velocity": None}),
        (fastopt.Adam, {"eps_hat": 1}),
        (fastopt.Adam, {"amsgrad": "False"}),
    ],
)
def test_switches_are_true_or_false(optimizer, options):
    name = list(options)[-1]
    with pytest.raises(TypeError, match=f"^{name}: expected True or False, got"):
        optimizer(np.ones(3), **options)


@pytest.mark.parametrize("value", [np.complex128(0.1), np.array("0.1"), np.array([0.1]), 0.1j, "0.1"])
def test_rates_are_real_numbers(value):
    opt = fastopt.SGD(np.ones(3))
    with pytest.raises(TypeError, match=r"^lr: expected a finite number >= 0, got"):
        opt.lr = value


@pytest.mark.parametrize("value", [np.float32(0.5), np.array(0.5), np.float16(0.5), np.int8(1), True])
def test_numbers_of_numpy_become_python_floats(value):
    number = CHECKS["lr"]("lr", value)
    assert type(number) is float
    assert number == value


def test_a_step_beyond_every_float():
    with pytest.raises(ValueError, match=r"^step: expected an integer >= 1 and below"):
        fastopt.kernels.adam(*np.ones((4, 3)), step=10**400)


@pytest.mark.parametrize("rate", [float("nan"), -1.0, None])
def test_a_schedule_that_returns_no_rate(rate):
    param = np.ones(3)
    opt = fastopt.SGD(param, lr=lambda step: rate if step else 0.1)
    opt.step(np.zeros(3))
    for ask in (lambda: opt.lr, lambda: opt.step(np.ones(3))):
        with pytest.raises((TypeError, ValueError), match=r"^lr: expected a finite number"):
            ask()
    assert (param == 1).all()


@pytest.mark.parametrize("name", ["param", "grad"])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_schedule_that_resizes_an_array(name, grouped):
    """It is called before the arrays are looked at: no step over memory that has been freed."""
    arrays = {"param": np.ones(1000), "grad": np.ones(1000)}

    def schedule(step):
        if step:
            arrays[name].resize(10, refcheck=False)
        return 0.1

    params, grads = [arrays["param"], np.ones(3)], [arrays["grad"], np.ones(3)]
    if grouped:
        params, grads = [{"params": [param]} for param in params], [[grad] for grad in grads]
    opt = fastopt.SGD(params, lr=schedule)
    opt.step(grads)
    # The other backends hold weak references to gradients, and NumPy does not resize what has some.
    with pytest.raises(ValueError, match=r"grad.*: expected shape|cannot resize an array that .* is referenced"):
        opt.step(grads)
    assert opt.steps == 1
    assert (arrays["param"] == 0.9).all()


def test_a_gradient_that_resizes_a_parameter_of_another_group():
    class Lent:
        lent = 0

        def __dlpack_device__(self):
            return grad.__dlpack_device__()

        def __dlpack__(self, **options):
            self.lent += 1
            if self.lent > 1:
                first.resize(10, refcheck=False)
            return grad.__dlpack__(**options)

    first, second, grad, lent = np.ones(1000), np.ones(3), np.ones(3), Lent()
    opt = fastopt.SGD([{"params": [first]}, {"params": [second]}], lr=0.1)
    opt.step([[np.ones(1000)], [lent]])
    with pytest.raises(ValueError, match="expected shape"):
        opt.step([[np.ones(1000)], [lent]])
    assert (second == 0.9).all()


@STRIDED
def test_a_schedule_that_changes_the_list_of_gradients(strided):
    opt, params, grads = build(strided, fastopt.SGD)
    opt.step(grads)

    def schedule(step):
        grads[1] = np.ones(1)
        return 0.1

    opt.lr = schedule
    opt.steps = 1
    assert_refused(opt, params, grads, r"grad\[1\]: expected shape")


@STRIDED
def test_a_gradient_that_is_missing(strided):
    """Where the last one is gone, which is None too to those that remember it."""
    opt, params, _ = build(strided)
    assert_refused(opt, params, [None, np.ones(params[1].shape)], r"grad\[0\]: expected an array")


@STRIDED
def test_gradients_are_let_go(strided):
    """After a step, the first one included, and after one that failed."""
    opt, params, _ = build(strided)

    def step_and_look(fit=True):
        grads = [np.ones(param.shape) for param in params]
        alive = [weakref.ref(grad) for grad in grads]
        with nullcontext() if fit else pytest.raises(ValueError, match="grad_scale"):
            opt.step(grads, grad_scale=1.0 if fit else np.nan)
        del grads
        return [grad() is not None for grad in alive]

    opt = fastopt.Adam(params)
    assert not any(step_and_look())
    assert not any(step_and_look())
    assert not any(step_and_look(fit=False))


def test_a_number_is_read_once():
    """`__float__` may return what has a `__float__` of its own, which would be called when all has been checked."""

    class Endless:
        def __float__(self):
            return self

        def __ge__(self, other):
            return True

        __le__ = __ge__

    with pytest.raises(TypeError, match=r"^lr: expected a finite number"):
        CHECKS["lr"]("lr", Endless())


@pytest.mark.skipif(not TEMPORARY, reason="this Python does not count the references of variables")
def test_an_update_that_nobody_could_see(backend):
    table, grad, sums = np.ones((5, 3)), np.ones((2, 3)), np.zeros((2, 3))
    message = r"^param: expected an array that is in use elsewhere, got a temporary one"
    with using(backend):
        with pytest.raises(ValueError, match=message):
            kernels.adagrad(table[[1, 2]], grad, sums, lr=0.5)
        with pytest.raises(ValueError, match=message):
            kernels.adagrad(param=table[[1, 2]], grad=grad, sum=sums, lr=0.5)
        assert (sums == 0).all()
        rows = table[[1, 2]]
        held = [table[[1, 2]]]
        kernels.sgd(rows, grad, lr=0.5)
        kernels.sgd(held[0], grad, lr=0.5)
        kernels.sgd(table[1:3], grad, lr=0.5)
        kernels.sgd(table[0], grad[0], lr=0.5)
        kernels.sgd(*[held[0]], grad, lr=0.5)
    assert (rows == 0.5).all()
    assert (held[0] == 0).all()
    assert table[:, 0].tolist() == [0.5, 0.5, 0.5, 1, 1]
