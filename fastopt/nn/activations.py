"""Layers that work element by element: activations and dropout."""

from typing import Any

import numpy as np

from fastopt._checks import real
from fastopt._typing import Array
from fastopt.nn.layers import Buffer, Layer

__all__ = ["Dropout", "ReLU", "Sigmoid", "Tanh"]

# uint64 words drawn at a time for dropout: a bound on the temporary that does not grow with the
# layer, and enough to make the cost of the call disappear.
_RANDOM_WORDS = 2048


class Elementwise(Layer):
    """Layers that keep the shape: the input's memory becomes the output where that is allowed."""

    def connect(self, n_inputs: int, dtype: np.dtype[Any], rng: np.random.Generator, in_place: bool) -> None:
        """Join a network."""
        self.n_inputs: int = n_inputs
        self.n_outputs: int = n_inputs
        self._rng = rng
        self._y: Array | None = None
        self._out = None if in_place else Buffer(dtype)
        self._mask = Buffer(np.dtype(bool))
        self._values = Buffer(dtype)
        self._slopes = Buffer(dtype)

    def allocate(self, batch: int, training: bool, first: bool, last: bool) -> None:
        """Make the buffers ready."""
        self._shape = (batch, self.n_inputs, last and batch > self.n_inputs)
        if self._out is not None:
            self._y = self._out.matrix(*self._shape)

    def _output(self, x: Array) -> Array:
        return x if self._y is None else self._y


class ReLU(Elementwise):
    r"""Rectified linear unit.

    .. math:: y = \max(x, 0)

    The derivative at zero is taken as 0. NaN stays NaN.
    """

    reads = "sign"
    keeps_sign = True

    def allocate(self, batch: int, training: bool, first: bool, last: bool) -> None:
        """Make the buffers ready."""
        super().allocate(batch, training, first, last)
        # The maximum of two arrays is vectorized in NumPy, that of an array and a scalar is not:
        # 1.2 us instead of 6 for 32 x 512.
        self._zero = self._values.matrix(*self._shape)
        self._zero[...] = 0
        if training:
            self._positive = self._mask.matrix(*self._shape)
            self._slope = self._slopes.matrix(*self._shape)

    def forward(self, x: Array, training: bool) -> Array:
        """Compute the output."""
        return np.maximum(x, self._zero, out=self._output(x))

    def backward(self, x: Array, y: Array, delta: Array) -> Array:
        """Compute the gradient."""
        np.greater(y, 0, out=self._positive)
        # Converting first is faster than a product of float and bool, which NumPy computes by way
        # of a buffer.
        np.copyto(self._slope, self._positive)
        return np.multiply(delta, self._slope, out=delta)


class Sigmoid(Elementwise):
    r"""Logistic function.

    .. math:: y = \frac{1}{1 + e^{-x}}, \qquad \frac{dy}{dx} = y (1 - y)
    """

    reads = "values"

    def allocate(self, batch: int, training: bool, first: bool, last: bool) -> None:
        """Make the buffers ready."""
        super().allocate(batch, training, first, last)
        if training:
            self._slope = self._values.matrix(*self._shape)

    def forward(self, x: Array, training: bool) -> Array:
        """Compute the output."""
        return sigmoid(x, self._output(x))

    def backward(self, x: Array, y: Array, delta: Array) -> Array:
        """Compute the gradient."""
        slope = np.subtract(1, y, out=self._slope)
        slope *= y
        return np.multiply(delta, slope, out=delta)


class Tanh(Elementwise):
    r"""Hyperbolic tangent.

    .. math:: y = \tanh x, \qquad \frac{dy}{dx} = 1 - y^2
    """

    reads = "values"

    def allocate(self, batch: int, training: bool, first: bool, last: bool) -> None:
        """Make the buffers ready."""
        super().allocate(batch, training, first, last)
        if training:
            self._slope = self._values.matrix(*self._shape)

    def forward(self, x: Array, training: bool) -> Array:
        """Compute the output."""
        return np.tanh(x, out=self._output(x))

    def backward(self, x: Array, y: Array, delta: Array) -> Array:
        """Compute the gradient."""
        slope = np.multiply(y, y, out=self._slope)
        np.subtract(1, slope, out=slope)
        return np.multiply(delta, slope, out=delta)


class Dropout(Elementwise):
    r"""Set a random fraction of the values to zero while training.

    .. math:: y_i = \frac{x_i m_i}{1 - r}, \qquad m_i \sim \text{Bernoulli}(1 - r)

    In evaluation the layer is the identity.

    Parameters
    ----------
    rate : float
        Fraction r of the values to drop, 0 <= rate < 1. It takes effect as the nearest multiple of
        2^-16, in the division too, so that the expectation stays exact.

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014,
    in the "inverted" form of PyTorch's and Keras' ``Dropout``. `Layer_Dropout` of "Neural Networks
    from Scratch" takes the same fraction.
    """

    keeps_sign = True

    def __init__(self, rate: float) -> None:
        self.rate: float = real(at_least=0, below=1)("rate", rate)

    def allocate(self, batch: int, training: bool, first: bool, last: bool) -> None:
        """Make the buffers ready."""
        super().allocate(batch, training, first, last)
        if training:
            self._factor = self._values.matrix(*self._shape)
            self._kept = self._mask.matrix(*self._shape)

    def forward(self, x: Array, training: bool) -> Array:
        """Compute the output."""
        if not training or self.rate == 0:
            if self._y is not None:
                np.copyto(self._y, x)
            return self._output(x)
        # 16 random bits per value, straight from the bit generator, take a third of the time of
        # rng.random(dtype=float32).
        dropped = min(round(self.rate * 65536), 65535)
        kept = self._kept.reshape(-1, order="A")
        for i in range(0, kept.size, 4 * _RANDOM_WORDS):
            part = kept[i : i + 4 * _RANDOM_WORDS]
            words = self._rng.bit_generator.random_raw((part.size + 3) // 4)
            np.greater_equal(words.view(np.uint16)[: part.size], dropped, out=part)
        np.copyto(self._factor, self._kept)
        self._factor *= 65536 / (65536 - dropped)
        return np.multiply(x, self._factor, out=self._output(x))

    def backward(self, x: Array, y: Array, delta: Array) -> Array:
        """Compute the gradient."""
        return delta if self.rate == 0 else np.multiply(delta, self._factor, out=delta)

    def __repr__(self) -> str:
        """Call that makes the layer."""
        return f"Dropout({self.rate})"


def sigmoid(x: Array, out: Array) -> Array:
    """Logistic function of `x` into `out`, with full relative accuracy at both ends."""
    np.negative(x, out=out)
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right 1 / inf = 0
        np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)
