"""`fastopt.compat.nnfs` against the formulas of the book's chapter on optimizers, layer by layer."""

import inspect
import pickle
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from fastopt.compat import nnfs

STEPS = 1000


def sgd(p, g, arrays, rate, iterations, *, momentum=0.0):
    if not momentum:
        return p - rate * g
    arrays["momentums"] = momentum * arrays.get("momentums", 0.0) - rate * g
    return p + arrays["momentums"]


def adagrad(p, g, arrays, rate, iterations, *, epsilon=1e-7):
    arrays["cache"] = arrays.get("cache", 0.0) + g**2
    return p - rate * g / (np.sqrt(arrays["cache"]) + epsilon)


def rmsprop(p, g, arrays, rate, iterations, *, epsilon=1e-7, rho=0.9):
    arrays["cache"] = rho * arrays.get("cache", 0.0) + (1 - rho) * g**2
    return p - rate * g / (np.sqrt(arrays["cache"]) + epsilon)


def adam(p, g, arrays, rate, iterations, *, epsilon=1e-7, beta_1=0.9, beta_2=0.999):
    arrays["momentums"] = beta_1 * arrays.get("momentums", 0.0) + (1 - beta_1) * g
    arrays["cache"] = beta_2 * arrays.get("cache", 0.0) + (1 - beta_2) * g**2
    corrected = arrays["momentums"] / (1 - beta_1 ** (iterations + 1))
    return p - rate * corrected / (np.sqrt(arrays["cache"] / (1 - beta_2 ** (iterations + 1))) + epsilon)


CASES = [
    (nnfs.Optimizer_SGD, sgd, {"learning_rate": 0.05}),
    (nnfs.Optimizer_SGD, sgd, {"learning_rate": 0.05, "decay": 1e-2, "momentum": 0.9}),
    (nnfs.Optimizer_Adagrad, adagrad, {"learning_rate": 0.5, "decay": 1e-4}),
    (nnfs.Optimizer_Adagrad, adagrad, {"learning_rate": 0.5, "epsilon": 1e-2}),
    (nnfs.Optimizer_RMSprop, rmsprop, {"learning_rate": 0.02, "decay": 1e-5, "rho": 0.999}),
    (nnfs.Optimizer_RMSprop, rmsprop, {}),
    (nnfs.Optimizer_Adam, adam, {"learning_rate": 0.05, "decay": 5e-7}),
    (nnfs.Optimizer_Adam, adam, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
]
each_case = pytest.mark.parametrize(
    ("cls", "formula", "options"), CASES, ids=[f"{cls.__name__}-{'-'.join(options)}" for cls, _, options in CASES]
)


def layers(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, 3)
    return [
        SimpleNamespace(weights=rng.normal(size=(n, m)).astype(dtype), biases=np.zeros((1, m), dtype))
        for n, m in pairwise(sizes)
    ]


def train_a_step(optimizer, layers, grads):
    optimizer.pre_update_params()
    for layer, (layer.dweights, layer.dbiases) in zip(layers, grads, strict=True):
        optimizer.update_params(layer)
    optimizer.post_update_params()


@each_case
def test_thousand_iterations_equal_the_formulas(cls, formula, options):
    rng = np.random.default_rng(1)
    own = layers(len(options))
    exact = [{"weight": layer.weights.copy(), "bias": layer.biases.copy()} for layer in own]
    kept = [{"weight": {}, "bias": {}} for _ in own]
    optimizer = cls(**options)
    hyper = {name: value for name, value in options.items() if name not in ("learning_rate", "decay")}
    defaults = inspect.signature(cls).parameters
    lr = options.get("learning_rate", defaults["learning_rate"].default)
    decay = options.get("decay", defaults["decay"].default)
    for iteration in range(STEPS):
        noise = [(rng.normal(size=layer.weights.shape), rng.normal(size=layer.biases.shape)) for layer in own]
        grads = [(0.1 * w.weights + n, 0.1 * w.biases + m) for w, (n, m) in zip(own, noise, strict=True)]
        train_a_step(optimizer, own, grads)
        for layer, params, arrays, (n, m) in zip(own, exact, kept, noise, strict=True):
            for name, found, own_noise in (("weight", layer.weights, n), ("bias", layer.biases, m)):
                grad = 0.1 * params[name] + own_noise
                rate = lr / (1 + decay * iteration)
                params[name] = formula(params[name], grad, arrays[name], rate, iteration, **hyper)
                np.testing.assert_allclose(found, params[name], rtol=1e-9, atol=1e-12, err_msg=f"{iteration}")
    for layer, arrays in zip(own, kept, strict=True):
        for name in ("weight", "bias"):
            for kind, expected in arrays[name].items():
                np.testing.assert_allclose(getattr(layer, f"{name}_{kind}"), expected, rtol=1e-9, atol=1e-12)
    assert optimizer.iterations == STEPS
    assert optimizer.current_learning_rate == pytest.approx(lr / (1 + decay * (STEPS - 1)))


BOOK = {
    "Optimizer_SGD": {"learning_rate": 1.0, "decay": 0.0, "momentum": 0.0},
    "Optimizer_Adagrad": {"learning_rate": 1.0, "decay": 0.0, "epsilon": 1e-7},
    "Optimizer_RMSprop": {"learning_rate": 0.001, "decay": 0.0, "epsilon": 1e-7, "rho": 0.9},
    "Optimizer_Adam": {"learning_rate": 0.001, "decay": 0.0, "epsilon": 1e-7, "beta_1": 0.9, "beta_2": 0.999},
}


@pytest.mark.parametrize("name", nnfs.__all__)
def test_arguments_and_attributes_are_the_books(name):
    parameters = inspect.signature(getattr(nnfs, name)).parameters
    assert {p.name: p.default for p in parameters.values()} == BOOK[name]
    assert list(parameters) == list(BOOK[name])
    optimizer = getattr(nnfs, name)()
    expected = BOOK[name] | {"current_learning_rate": BOOK[name]["learning_rate"], "iterations": 0}
    assert vars(optimizer) == expected
    assert vars(pickle.loads(pickle.dumps(optimizer))) == expected


@each_case
def test_arrays_of_the_layers_are_updated_in_place(cls, formula, options):
    (layer, *_) = layers(2)
    optimizer = cls(**options)
    weights, biases = layer.weights, layer.biases
    grads = [(np.ones_like(weights).T.copy().T, np.ones_like(biases))]  # in Fortran order
    train_a_step(optimizer, [layer], grads)
    kept = {name: value for name, value in vars(layer).items() if name.endswith(("momentums", "cache"))}
    train_a_step(optimizer, [layer], grads)
    assert layer.weights is weights
    assert layer.biases is biases
    assert all(getattr(layer, name) is value for name, value in kept.items())


@each_case
def test_parameters_that_are_set_anew_are_updated(cls, formula, options):
    """As the book's `set_parameters` does, with momentums and caches of before."""
    (layer, *_) = layers(3)
    optimizer = cls(**options)
    train_a_step(optimizer, [layer], [(np.ones_like(layer.weights), np.ones_like(layer.biases))])
    layer.weights = np.zeros_like(layer.weights)
    train_a_step(optimizer, [layer], [(np.ones_like(layer.weights), np.ones_like(layer.biases))])
    assert (layer.weights < 0).all()


def test_gradients_of_another_type():
    (one, *_), (other, *_) = layers(4, np.float32), layers(4, np.float32)
    grads = np.linspace(-1, 1, one.weights.size).reshape(one.weights.shape), np.ones(one.biases.shape)
    train_a_step(nnfs.Optimizer_Adam(), [one], [grads])
    train_a_step(nnfs.Optimizer_Adam(), [other], [tuple(grad.astype(np.float32) for grad in grads)])
    assert one.weights.dtype == one.weight_cache.dtype == np.float32
    assert (one.weights == other.weights).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nnfs.Optimizer_SGD(learning_rate=-1.0), "learning_rate: expected a finite number >= 0, got -1.0"),
        (lambda: nnfs.Optimizer_SGD(decay=-1e-3), "decay: expected a finite number >= 0, got -0.001"),
        (lambda: nnfs.Optimizer_SGD(momentum=2.0), r"momentum: expected a number in \[0, 1\], got 2.0"),
        (lambda: nnfs.Optimizer_RMSprop(rho=1.0), r"rho: expected a number in \[0, 1\), got 1.0"),
        (lambda: nnfs.Optimizer_Adam(beta_2="1"), r"beta_2: expected a number in \[0, 1\), got '1'"),
        (lambda: nnfs.Optimizer_Adam(epsilon=None), "epsilon: expected a finite number >= 0, got None"),
    ],
)
def test_arguments_that_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        make()


def test_a_gradient_that_does_not_fit_changes_nothing():
    (layer, *_) = layers(5)
    before = layer.weights.copy()
    layer.dweights, layer.dbiases = np.ones_like(layer.weights), np.ones((2, 9))
    with pytest.raises(ValueError, match=r"^grad\[1\]: expected shape"):
        nnfs.Optimizer_Adam().update_params(layer)
    assert (layer.weights == before).all()
    assert (layer.weight_cache == 0).all()
