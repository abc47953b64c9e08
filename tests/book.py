"""Chapter 10 of "Neural Networks from Scratch" in plain NumPy and float64: network, rules, settings.

The rules are those that the book states: the rate falls as `rate / (1 + decay * iterations)` with the
iterations counted from 0, momentum holds the rate in its velocity, epsilon stands outside the root.
"""

from dataclasses import dataclass

import numpy as np


class Network:
    """Dense, ReLU, dense, softmax with cross-entropy: a 2-64-3 classifier."""

    def __init__(self, rng, hidden=64):
        self.weight1, self.bias1 = 0.01 * rng.standard_normal((2, hidden)), np.zeros(hidden)
        self.weight2, self.bias2 = 0.01 * rng.standard_normal((hidden, 3)), np.zeros(3)

    @property
    def params(self):
        return [self.weight1, self.bias1, self.weight2, self.bias2]

    def loss_and_gradients(self, inputs, labels):
        before = inputs @ self.weight1 + self.bias1
        hidden = np.where(before > 0, before, 0.0)
        scores = hidden @ self.weight2 + self.bias2
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        rows = np.arange(len(inputs))
        loss = -np.log(probabilities[rows, labels]).mean()
        d_scores = probabilities.copy()
        d_scores[rows, labels] -= 1
        d_scores /= len(inputs)
        d_before = np.where(before > 0, d_scores @ self.weight2.T, 0.0)
        gradients = [
            inputs.T @ d_before,
            d_before.sum(axis=0),
            hidden.T @ d_scores,
            d_scores.sum(axis=0),
        ]
        return loss, gradients


@dataclass(frozen=True)
class SGD:
    rate: float
    decay: float = 0.0
    momentum: float = 0.0
    caches = 1

    def update(self, param, gradient, caches, iteration):
        rate = self.rate / (1 + self.decay * iteration)
        caches[0] = self.momentum * caches[0] - rate * gradient
        param += caches[0]


@dataclass(frozen=True)
class AdaGrad:
    rate: float
    decay: float
    epsilon: float = 1e-7
    caches = 1

    def update(self, param, gradient, caches, iteration):
        rate = self.rate / (1 + self.decay * iteration)
        caches[0] = caches[0] + gradient**2
        param -= rate * gradient / (np.sqrt(caches[0]) + self.epsilon)


@dataclass(frozen=True)
class RMSprop:
    rate: float = 0.001
    decay: float = 0.0
    rho: float = 0.9
    epsilon: float = 1e-7
    caches = 1

    def update(self, param, gradient, caches, iteration):
        rate = self.rate / (1 + self.decay * iteration)
        caches[0] = self.rho * caches[0] + (1 - self.rho) * gradient**2
        param -= rate * gradient / (np.sqrt(caches[0]) + self.epsilon)


@dataclass(frozen=True)
class Adam:
    rate: float
    decay: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    caches = 2

    def update(self, param, gradient, caches, iteration):
        rate = self.rate / (1 + self.decay * iteration)
        caches[0] = self.beta_1 * caches[0] + (1 - self.beta_1) * gradient
        caches[1] = self.beta_2 * caches[1] + (1 - self.beta_2) * gradient**2
        momentum = caches[0] / (1 - self.beta_1 ** (iteration + 1))
        cache = caches[1] / (1 - self.beta_2 ** (iteration + 1))
        param -= rate * momentum / (np.sqrt(cache) + self.epsilon)


def train(network, rule, inputs, labels, epochs):
    """Full-batch training; the loss before each epoch's update and copies of the parameters after."""
    caches = [[np.zeros_like(param)] * rule.caches for param in network.params]
    losses, trajectory = [], []
    for iteration in range(epochs):
        loss, gradients = network.loss_and_gradients(inputs, labels)
        for param, gradient, own in zip(network.params, gradients, caches, strict=True):
            rule.update(param, gradient, own, iteration)
        losses.append(loss)
        trajectory.append(np.concatenate([param.ravel() for param in network.params]))
    return losses, trajectory
