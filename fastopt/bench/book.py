"""A network in plain NumPy classes, written for reading: what learners write, and start from."""

from itertools import pairwise
from typing import Any

import numpy as np

from fastopt._typing import Array


class _Dense:
    def __init__(self, n_inputs: int, n_neurons: int) -> None:
        normal = np.random.default_rng(0).standard_normal((n_inputs, n_neurons), np.float32)
        self.weights = np.float32(0.01) * normal
        self.biases = np.zeros((1, n_neurons), np.float32)

    def forward(self, inputs: Array) -> Array:
        self.inputs = inputs
        return np.asarray(np.dot(inputs, self.weights) + self.biases)

    def backward(self, dvalues: Array) -> Array:
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        return np.asarray(np.dot(dvalues, self.weights.T))


class _ReLU:
    def forward(self, inputs: Array) -> Array:
        self.inputs = inputs
        return np.asarray(np.maximum(0, inputs))

    def backward(self, dvalues: Array) -> Array:
        dinputs = dvalues.copy()
        dinputs[self.inputs <= 0] = 0
        return dinputs


class _SoftmaxCrossEntropy:
    def forward(self, inputs: Array, labels: Array) -> float:
        exponentials = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output: Array = exponentials / np.sum(exponentials, axis=1, keepdims=True)
        likelihoods = np.clip(self.output, 1e-7, 1 - 1e-7)[range(len(labels)), labels]
        return float(np.mean(-np.log(likelihoods)))

    def backward(self, labels: Array) -> Array:
        dinputs = self.output.copy()
        dinputs[range(len(labels)), labels] -= 1
        return np.asarray(dinputs / len(labels))


class _Adam:
    def __init__(self, lr: float, decay: float) -> None:
        self.lr: float = lr
        self.decay: float = decay
        self.iterations: int = 0
        self.caches: dict[tuple[int, str], tuple[Array, Array]] = {}

    def update(self, layers: list[Any]) -> None:
        lr = self.lr / (1 + self.decay * self.iterations)
        for layer in layers:
            for name in ("weights", "biases"):
                param, grad = getattr(layer, name), getattr(layer, "d" + name)
                zeros = (np.zeros_like(param), np.zeros_like(param))
                momentum, cache = self.caches.get((id(layer), name), zeros)
                momentum = 0.9 * momentum + 0.1 * grad
                cache = 0.999 * cache + 0.001 * grad**2
                self.caches[id(layer), name] = momentum, cache
                momentum_corrected = momentum / (1 - 0.9 ** (self.iterations + 1))
                cache_corrected = cache / (1 - 0.999 ** (self.iterations + 1))
                param += -lr * momentum_corrected / (np.sqrt(cache_corrected) + 1e-7)
        self.iterations += 1


class BookNetwork:
    """Dense layers with ReLU between them, softmax with cross-entropy, and Adam with 1/t decay."""

    def __init__(self, *widths: int) -> None:
        self.dense: list[_Dense] = [_Dense(*pair) for pair in pairwise(widths)]
        self.layers: list[Any] = [self.dense[0]]
        for layer in self.dense[1:]:
            self.layers += [_ReLU(), layer]
        self.loss: _SoftmaxCrossEntropy = _SoftmaxCrossEntropy()
        self.optimizer: _Adam = _Adam(lr=0.05, decay=5e-7)

    def train_step(self, X: Array, y: Array) -> float:
        """One full step: forward, loss, accuracy, backward, update."""
        values = X
        for layer in self.layers:
            values = layer.forward(values)
        loss = self.loss.forward(values, y)
        self.accuracy: Any = np.mean(np.argmax(self.loss.output, axis=1) == y)
        gradients = self.loss.backward(y)
        for layer in reversed(self.layers):
            gradients = layer.backward(gradients)
        self.optimizer.update(self.dense)
        return loss
