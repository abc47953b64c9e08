"""The ten runs of chapter 10 of "Neural Networks from Scratch", 100 epochs each, in float64."""

import book
import numpy as np
import pytest
from harness import assert_close

import fastopt
from fastopt import nn
from fastopt.schedules import InverseTimeDecay

EPOCHS = 100

# The book's setting in the book's rules, and in the package's: class and options beside the decayed rate.
KERAS_MOMENTUM = {"lr_in_velocity": True}
SETTINGS = {
    "SGD, rate 1": (book.SGD(1.0), "SGD", {}),
    "SGD, decay 1e-2": (book.SGD(1.0, decay=1e-2), "SGD", {}),
    "SGD, decay 1e-3": (book.SGD(1.0, decay=1e-3), "SGD", {}),
    "momentum 0.5": (book.SGD(1.0, decay=1e-3, momentum=0.5), "SGD", {"momentum": 0.5} | KERAS_MOMENTUM),
    "momentum 0.9": (book.SGD(1.0, decay=1e-3, momentum=0.9), "SGD", {"momentum": 0.9} | KERAS_MOMENTUM),
    "AdaGrad": (book.AdaGrad(1.0, decay=1e-4), "Adagrad", {"eps": 1e-7}),
    "RMSprop": (book.RMSprop(decay=1e-4), "RMSprop", {"alpha": 0.9, "eps": 1e-7}),
    "RMSprop, rho 0.999": (book.RMSprop(0.02, decay=1e-5, rho=0.999), "RMSprop", {"alpha": 0.999, "eps": 1e-7}),
    "Adam, rate 0.02": (book.Adam(0.02, decay=1e-5), "Adam", {"eps": 1e-7}),
    "Adam, rate 0.05": (book.Adam(0.05, decay=5e-7), "Adam", {"eps": 1e-7}),
}
each_setting = pytest.mark.parametrize(("rule", "name", "options"), SETTINGS.values(), ids=SETTINGS)


def make(rule, name, options, params):
    return getattr(fastopt, name)(params, lr=InverseTimeDecay(rule.rate, rule.decay), **options)


@pytest.fixture(scope="module")
def spiral():
    datasets = pytest.importorskip("nnfs.datasets", reason="the book's data come from nnfs")
    before = np.random.get_state()  # noqa: NPY002
    try:
        # The data are drawn from NumPy's global generator. `nnfs.init()` would seed it, and
        # replace NumPy's functions by single-precision ones: not called.
        np.random.seed(0)  # noqa: NPY002
        inputs, labels = datasets.spiral_data(samples=100, classes=3)
    finally:
        np.random.set_state(before)  # noqa: NPY002
    assert inputs.dtype == np.float64
    return inputs, labels


def start():
    return book.Network(np.random.default_rng(0))


def same_network(reference):
    """The package's network with the parameters of the book's, and these in the book's order."""
    network = nn.Network([nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3)], loss=nn.SoftmaxCrossEntropy(), dtype="float64")
    first, _, last = network.layers
    views = [first.weight, first.bias, last.weight, last.bias]
    for view, value in zip(views, reference.params, strict=True):
        view[...] = value
    return network, lambda: np.concatenate([view.ravel() for view in views])


def rounding(rule, inputs, labels):
    """How far rounding alone takes the run from itself, epoch by epoch.

    The same run over the same samples in another order is equal but for the rounding of the sums. The
    distance grows from 1e-16 to 1e-7 within 100 epochs of Adam, because a step divides gradients by
    their own size: those of a hidden unit that hardly matters are mostly rounding. A fixed tolerance
    would therefore be too wide for most epochs and rules; this one fits each.
    """
    _, trajectory = book.train(start(), rule, inputs, labels, EPOCHS)
    distances = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(inputs))
        _, other = book.train(start(), rule, inputs[order], labels[order], EPOCHS)
        distances.append(np.max(np.abs(np.subtract(trajectory, other)), axis=1))
    largest = np.maximum.accumulate(np.max(distances, axis=0))
    return np.maximum(largest, np.finfo(np.float64).eps)


@each_setting
def test_the_first_hundred_epochs(spiral, rule, name, options):
    """Parameters agree after each epoch as well as two orders of summation do (up to 2.1 times)."""
    reference = start()
    network, parameters = same_network(reference)
    losses, trajectory = book.train(reference, rule, *spiral, EPOCHS)
    opt = make(rule, name, options, network.params)
    bounds = 8 * rounding(rule, *spiral)
    assert bounds[-1] < 1e-5
    for epoch, bound in enumerate(bounds):
        loss = network.loss_and_grad(*spiral)
        opt.step(network.grads)
        assert loss == pytest.approx(losses[epoch], rel=1e-14 + 10 * bound)
        distance = np.max(np.abs(parameters() - trajectory[epoch]))
        assert distance <= bound, f"epoch {epoch}: {distance:.2g}, bound {bound:.2g}"


@each_setting
def test_the_rule_alone(spiral, rule, name, options):
    """Given the same gradients, the parameters stay equal to rounding; nothing can grow."""
    reference = start()
    _, parameters = same_network(reference)
    params = parameters()
    opt = make(rule, name, options, params)
    caches = [[np.zeros_like(param)] * rule.caches for param in reference.params]
    for iteration in range(EPOCHS):
        _, gradients = reference.loss_and_gradients(*spiral)
        for param, gradient, own in zip(reference.params, gradients, caches, strict=True):
            rule.update(param, gradient, own, iteration)
        opt.step(np.concatenate([gradient.ravel() for gradient in gradients]))
        expected = np.concatenate([param.ravel() for param in reference.params])
        assert_close(params, expected, iteration + 1)


@each_setting
def test_fit_runs_them(spiral, rule, name, options):
    """The same through `fit`: losses and rates of every epoch."""
    reference = start()
    network, _ = same_network(reference)
    opt = make(rule, name, options, network.params)
    losses, _ = book.train(reference, rule, *spiral, EPOCHS)
    history = network.fit(*spiral, optimizer=opt, epochs=EPOCHS, shuffle=False)
    # The bound on the parameters is checked above; 1e-5 is the widest of the ten.
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)
    rates = [rule.rate / (1 + rule.decay * iteration) for iteration in range(EPOCHS)]
    np.testing.assert_allclose(history["lr"], rates, rtol=1e-14)
    assert opt.steps == EPOCHS
