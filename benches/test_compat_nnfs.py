"""An update of the layers of a network: `fastopt.compat.nnfs` beside the formulas in NumPy, as the book has them.

The tables that pytest-benchmark prints have the ratios in brackets. Columns to read are Min and Median.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import fastopt
from fastopt.compat import nnfs

SIZES = {"2-64-3": (2, 64, 3), "784-512-10": (784, 512, 10)}


def kept(layer, name):
    for kind in ("weight", "bias"):
        if not hasattr(layer, f"{kind}_{name}"):
            setattr(layer, f"{kind}_{name}", np.zeros_like(getattr(layer, "weights" if kind == "weight" else "biases")))
    return getattr(layer, f"weight_{name}"), getattr(layer, f"bias_{name}")


def sgd(layer):
    updates = [
        0.9 * m - 1e-3 * g for m, g in zip(kept(layer, "momentums"), (layer.dweights, layer.dbiases), strict=True)
    ]
    layer.weight_momentums, layer.bias_momentums = updates
    layer.weights += updates[0]
    layer.biases += updates[1]


def adagrad(layer):
    caches = [s + g**2 for s, g in zip(kept(layer, "cache"), (layer.dweights, layer.dbiases), strict=True)]
    layer.weight_cache, layer.bias_cache = caches
    layer.weights += -1e-3 * layer.dweights / (np.sqrt(caches[0]) + 1e-7)
    layer.biases += -1e-3 * layer.dbiases / (np.sqrt(caches[1]) + 1e-7)


def rmsprop(layer):
    caches = [0.9 * s + 0.1 * g**2 for s, g in zip(kept(layer, "cache"), (layer.dweights, layer.dbiases), strict=True)]
    layer.weight_cache, layer.bias_cache = caches
    layer.weights += -1e-3 * layer.dweights / (np.sqrt(caches[0]) + 1e-7)
    layer.biases += -1e-3 * layer.dbiases / (np.sqrt(caches[1]) + 1e-7)


def adam(layer):
    grads = layer.dweights, layer.dbiases
    momentums = [0.9 * m + 0.1 * g for m, g in zip(kept(layer, "momentums"), grads, strict=True)]
    caches = [0.999 * v + 0.001 * g**2 for v, g in zip(kept(layer, "cache"), grads, strict=True)]
    layer.weight_momentums, layer.bias_momentums = momentums
    layer.weight_cache, layer.bias_cache = caches
    corrected = [m / (1 - 0.9**100) for m in momentums], [v / (1 - 0.999**100) for v in caches]
    layer.weights += -1e-3 * corrected[0][0] / (np.sqrt(corrected[1][0]) + 1e-7)
    layer.biases += -1e-3 * corrected[0][1] / (np.sqrt(corrected[1][1]) + 1e-7)


RULES = {
    "SGD, momentum": (nnfs.Optimizer_SGD(1e-3, momentum=0.9), sgd),
    "Adagrad": (nnfs.Optimizer_Adagrad(1e-3), adagrad),
    "RMSprop": (nnfs.Optimizer_RMSprop(1e-3), rmsprop),
    "Adam": (nnfs.Optimizer_Adam(1e-3), adam),
}


@pytest.mark.parametrize("contender", ["fastopt", "NumPy"])
@pytest.mark.parametrize("net", SIZES)
@pytest.mark.parametrize("rule", RULES)
def test_update(benchmark, rule, net, contender):
    rng = np.random.default_rng(0)
    layers = [
        SimpleNamespace(
            weights=rng.standard_normal((n, m), np.float32),
            biases=np.zeros((1, m), np.float32),
            dweights=rng.standard_normal((n, m), np.float32),
            dbiases=rng.standard_normal((1, m), np.float32),
        )
        for n, m in zip(SIZES[net], SIZES[net][1:], strict=False)
    ]
    optimizer, formula = RULES[rule]
    update = optimizer.update_params if contender == "fastopt" else formula
    benchmark.group, benchmark.name = f"{rule}, {net}", contender
    before = fastopt.get_num_threads()
    fastopt.set_num_threads(1)
    try:
        benchmark(lambda: [update(layer) for layer in layers])
    finally:
        fastopt.set_num_threads(before)
