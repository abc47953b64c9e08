"""Initial values of weights: callables that fill an array in place.

An initializer is called as ``initializer(array, rng)`` with the array to fill and a
`numpy.random.Generator`. ``array.shape[0]`` is the fan-in and ``array.shape[-1]`` the fan-out. All
draw in float64 and round once, so that one seed gives the same network in either precision.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fastopt._checks import check_fields, choice, real
from fastopt._typing import Array

__all__ = ["Constant", "Glorot", "He", "Initializer", "LeCun", "Normal", "Uniform", "Zeros"]

Initializer: TypeAlias = Callable[[Array, np.random.Generator], None]
Distribution: TypeAlias = Literal["normal", "uniform"]


def _fill(array: Array, rng: np.random.Generator, distribution: Distribution, std: float) -> None:
    if distribution == "normal":
        array[...] = std * rng.standard_normal(array.shape)
    else:
        limit = math.sqrt(3.0) * std
        array[...] = rng.uniform(-limit, limit, array.shape)


@dataclass(frozen=True)
class Constant:
    """Every element equal to `value`.

    Parameters
    ----------
    value : float
        The value.
    """

    value: float

    def __post_init__(self) -> None:
        """Check the settings."""
        check_fields(self, value=real())

    def __call__(self, array: Array, rng: np.random.Generator) -> None:
        """Fill `array`; `rng` is not used."""
        array[...] = self.value


@dataclass(frozen=True)
class Zeros:
    """All zeros: the usual start of a bias.

    A weight matrix that starts at zero in a hidden layer stays symmetric: every unit of the layer
    learns the same.
    """

    def __call__(self, array: Array, rng: np.random.Generator) -> None:
        """Fill `array`; `rng` is not used."""
        array[...] = 0


@dataclass(frozen=True)
class Normal:
    """Normal distribution of mean zero.

    Parameters
    ----------
    std : float, default 0.01
        Standard deviation. The default is the one of "Neural Networks from Scratch".

    References
    ----------
    Kinsley and Kukiela, "Neural Networks from Scratch in Python", 2020, chapter 3:
    ``0.01 * np.random.randn(n_inputs, n_neurons)``.
    """

    std: float = 0.01

    def __post_init__(self) -> None:
        """Check the settings."""
        check_fields(self, std=real(at_least=0))

    def __call__(self, array: Array, rng: np.random.Generator) -> None:
        """Fill `array` with values drawn from `rng`."""
        _fill(array, rng, "normal", self.std)


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution over [-limit, limit).

    Parameters
    ----------
    limit : float, default 0.05
        Half the width of the interval.
    """

    limit: float = 0.05

    def __post_init__(self) -> None:
        """Check the settings."""
        check_fields(self, limit=real(at_least=0))

    def __call__(self, array: Array, rng: np.random.Generator) -> None:
        """Fill `array` with values drawn from `rng`."""
        array[...] = rng.uniform(-self.limit, self.limit, array.shape)


@dataclass(frozen=True)
class _Scaled:
    """Base class of the initializers whose variance depends on the shape."""

    distribution: Distribution = "normal"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_fields(self, distribution=choice("normal", "uniform"))

    def __call__(self, array: Array, rng: np.random.Generator) -> None:
        """Fill `array` with values drawn from `rng`."""
        _fill(array, rng, self.distribution, math.sqrt(self._variance(array.shape[0], array.shape[-1])))

    def _variance(self, fan_in: int, fan_out: int) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class He(_Scaled):
    """Variance 2 / fan_in, which keeps the size of activations through layers of ReLU.

    Parameters
    ----------
    distribution : {"normal", "uniform"}, default "normal"
        The distribution to draw from.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015, equation 10. PyTorch:
    ``kaiming_normal_``; Keras: ``HeNormal`` (which truncates the distribution).
    """

    def _variance(self, fan_in: int, fan_out: int) -> float:
        return 2.0 / fan_in


@dataclass(frozen=True)
class LeCun(_Scaled):
    """Variance 1 / fan_in, for layers followed by nothing, or by tanh.

    Parameters
    ----------
    distribution : {"normal", "uniform"}, default "normal"
        The distribution to draw from.

    References
    ----------
    LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998, equation 16. Keras:
    ``LecunNormal`` (which truncates the distribution).
    """

    def _variance(self, fan_in: int, fan_out: int) -> float:
        return 1.0 / fan_in


@dataclass(frozen=True)
class Glorot(_Scaled):
    """Variance 2 / (fan_in + fan_out), for layers followed by sigmoid, tanh or softmax.

    Parameters
    ----------
    distribution : {"normal", "uniform"}, default "uniform"
        The distribution to draw from.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    2010, equation 16. PyTorch: ``xavier_uniform_``; Keras: ``GlorotUniform``.
    """

    distribution: Distribution = "uniform"

    def _variance(self, fan_in: int, fan_out: int) -> float:
        return 2.0 / (fan_in + fan_out)
