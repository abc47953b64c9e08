"""The optimizers of "Neural Networks from Scratch in Python", with fastopt's kernels: a reader changes one import.

Names, arguments and their defaults, attributes and the three calls for an update are the book's, and so are the arrays
that momentums and caches are kept in, on the layer. A layer is anything with `weights` and `biases` and, after its
backward pass, `dweights` and `dbiases`. The update is in place, in one pass for each layer.

H. Kinsley and D. Kukieła, "Neural Networks from Scratch in Python", 2020, chapter 10.
"""

from typing import Any

import numpy as np

from fastopt import kernels
from fastopt._checks import real
from fastopt._typing import Array
from fastopt.kernels.rules import CHECKS
from fastopt.schedules import InverseTimeDecay

__all__ = ["Optimizer_Adagrad", "Optimizer_Adam", "Optimizer_RMSprop", "Optimizer_SGD"]

_DECAY = real(at_least=0)


class _Optimizer:
    """The rate and its decay, and the arrays of a layer."""

    def __init__(self, learning_rate: float, decay: float) -> None:
        self.learning_rate: float = CHECKS["lr"]("learning_rate", learning_rate)
        self.current_learning_rate: float = self.learning_rate
        self.decay: float = _DECAY("decay", decay)
        self.iterations: int = 0

    def pre_update_params(self) -> None:
        """Set the rate of the updates to come: ``learning_rate / (1 + decay * iterations)``; once before them."""
        if self.decay:
            self.current_learning_rate = InverseTimeDecay(self.learning_rate, self.decay)(self.iterations)

    def post_update_params(self) -> None:
        """Count an iteration; once after the updates of all layers."""
        self.iterations += 1

    @staticmethod
    def _kept(layer: Any, kind: str) -> list[Array]:
        """Return the arrays of one kind that are kept on the layer, from zeros on."""
        if not hasattr(layer, f"weight_{kind}"):
            setattr(layer, f"weight_{kind}", np.zeros_like(layer.weights))
            setattr(layer, f"bias_{kind}", np.zeros_like(layer.biases))
        return [getattr(layer, f"weight_{kind}"), getattr(layer, f"bias_{kind}")]

    @staticmethod
    def _arrays(layer: Any) -> tuple[list[Array], list[Array]]:
        return [layer.weights, layer.biases], [layer.dweights, layer.dbiases]


class Optimizer_SGD(_Optimizer):
    """Gradient descent, also with momentum.

    ``u = momentum * u - rate * g; p += u``, with u in ``layer.weight_momentums`` and ``layer.bias_momentums``; without
    momentum ``p -= rate * g``.

    Parameters
    ----------
    learning_rate : float
        Finite, >= 0.
    decay : float
        1/t decay of the rate, >= 0.
    momentum : float
        Share of u that is kept, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        An argument does not fit, or, at an update, an array of the layer; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from fastopt.compat.nnfs import Optimizer_SGD
    >>> layer = SimpleNamespace(weights=np.ones((2, 3)), biases=np.zeros((1, 3)))
    >>> optimizer = Optimizer_SGD(learning_rate=0.5, decay=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     layer.dweights, layer.dbiases = layer.weights, layer.biases.copy()
    ...     layer.dweights = layer.dweights.copy()
    ...     optimizer.pre_update_params()
    ...     optimizer.update_params(layer)
    ...     optimizer.post_update_params()
    >>> layer.weights[0].round(4), round(optimizer.current_learning_rate, 4)
    (array([-0.1773, -0.1773, -0.1773]), 0.4545)
    """

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.0, momentum: float = 0.0) -> None:
        super().__init__(learning_rate, decay)
        self.momentum: float = CHECKS["momentum"]("momentum", momentum)

    def update_params(self, layer: Any) -> None:
        """Update weights and biases of a layer in place."""
        params, grads = self._arrays(layer)
        if not self.momentum:
            kernels.sgd(params, grads, lr=self.current_learning_rate, cast_grads=True)
            return
        momentums = self._kept(layer, "momentums")
        kernels.momentum(
            params,
            grads,
            momentums,
            lr=self.current_learning_rate,
            momentum=self.momentum,
            lr_in_velocity=True,
            cast_grads=True,
        )


class Optimizer_Adagrad(_Optimizer):
    """AdaGrad: ``s += g**2; p -= rate * g / (sqrt(s) + epsilon)``, with s in ``layer.weight_cache`` and ``bias_cache``.

    Parameters
    ----------
    learning_rate, decay
        As in `Optimizer_SGD`.
    epsilon : float
        Finite, >= 0.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit, or, at an update, an array of the layer; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from fastopt.compat.nnfs import Optimizer_Adagrad
    >>> layer = SimpleNamespace(weights=np.ones((2, 2)), biases=np.zeros((1, 2)))
    >>> layer.dweights, layer.dbiases = np.full((2, 2), 3.0), np.ones((1, 2))
    >>> Optimizer_Adagrad(learning_rate=0.5).update_params(layer)
    >>> layer.weights[0].round(4), layer.weight_cache[0]
    (array([0.5, 0.5]), array([9., 9.]))
    """

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.0, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon: float = CHECKS["eps"]("epsilon", epsilon)

    def update_params(self, layer: Any) -> None:
        """Update weights and biases of a layer in place."""
        caches = self._kept(layer, "cache")
        kernels.adagrad(*self._arrays(layer), caches, lr=self.current_learning_rate, eps=self.epsilon, cast_grads=True)


class Optimizer_RMSprop(_Optimizer):
    """RMSProp: ``s = rho * s + (1 - rho) * g**2; p -= rate * g / (sqrt(s) + epsilon)``.

    s is in ``layer.weight_cache`` and ``layer.bias_cache``.

    Parameters
    ----------
    learning_rate, decay, epsilon
        As in `Optimizer_Adagrad`.
    rho : float
        Share of the cache that is kept, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        An argument does not fit, or, at an update, an array of the layer; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from fastopt.compat.nnfs import Optimizer_RMSprop
    >>> layer = SimpleNamespace(weights=np.ones((2, 2)), biases=np.zeros((1, 2)))
    >>> layer.dweights, layer.dbiases = np.full((2, 2), 3.0), np.ones((1, 2))
    >>> Optimizer_RMSprop(learning_rate=0.02, rho=0.9).update_params(layer)
    >>> layer.weights[0].round(4), layer.weight_cache[0].round(4)
    (array([0.9368, 0.9368]), array([0.9, 0.9]))
    """

    def __init__(
        self, learning_rate: float = 0.001, decay: float = 0.0, epsilon: float = 1e-7, rho: float = 0.9
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon: float = CHECKS["eps"]("epsilon", epsilon)
        self.rho: float = CHECKS["alpha"]("rho", rho)

    def update_params(self, layer: Any) -> None:
        """Update weights and biases of a layer in place."""
        caches = self._kept(layer, "cache")
        kernels.rmsprop(
            *self._arrays(layer),
            caches,
            lr=self.current_learning_rate,
            alpha=self.rho,
            eps=self.epsilon,
            cast_grads=True,
        )


class Optimizer_Adam(_Optimizer):
    """Adam, with the moments in ``layer.weight_momentums`` and ``layer.weight_cache``, and so on for the biases.

    ``p -= rate * m_hat / (sqrt(v_hat) + epsilon)``

    Parameters
    ----------
    learning_rate, decay, epsilon
        As in `Optimizer_Adagrad`.
    beta_1, beta_2 : float
        Shares of the moments that are kept, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        An argument does not fit, or, at an update, an array of the layer; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from fastopt.compat.nnfs import Optimizer_Adam
    >>> layer = SimpleNamespace(weights=np.ones((2, 2)), biases=np.zeros((1, 2)))
    >>> layer.dweights, layer.dbiases = np.full((2, 2), 3.0), np.ones((1, 2))
    >>> Optimizer_Adam(learning_rate=0.02, decay=1e-5).update_params(layer)
    >>> layer.weights[0].round(4), layer.weight_momentums[0].round(4)
    (array([0.98, 0.98]), array([0.3, 0.3]))
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon: float = CHECKS["eps"]("epsilon", epsilon)
        self.beta_1: float = CHECKS["beta1"]("beta_1", beta_1)
        self.beta_2: float = CHECKS["beta2"]("beta_2", beta_2)

    def update_params(self, layer: Any) -> None:
        """Update weights and biases of a layer in place."""
        moments = self._kept(layer, "momentums"), self._kept(layer, "cache")
        kernels.adam(
            *self._arrays(layer),
            *moments,
            step=self.iterations + 1,
            lr=self.current_learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            eps=self.epsilon,
            cast_grads=True,
        )
