"""TensorFlow 1's optimizers by name: fastopt's, with the arithmetic, the arguments and the defaults of ``tf.train``.

The classes take the parameters first, then the arguments of TensorFlow 1.15 in its order and with its defaults, and are
optimizers over NumPy arrays. `use_locking` must be False and `name` changes nothing: both are for graphs of operations.
"""

from typing import Any

from fastopt import optimizers
from fastopt._checks import boolean
from fastopt.compat._arguments import expect, ftrl, number, refuse, two_averages
from fastopt.optimizers import Schedule

__all__ = [
    "AdagradOptimizer",
    "AdamOptimizer",
    "FtrlOptimizer",
    "GradientDescentOptimizer",
    "MomentumOptimizer",
    "RMSPropOptimizer",
]

Number = float | Schedule

_REFUSED = dict.fromkeys(
    ["AdadeltaOptimizer", "AdagradDAOptimizer", "ProximalAdagradOptimizer", "ProximalGradientDescentOptimizer"],
    "fastopt has no such rule",
)


def __getattr__(name: str) -> Any:
    """Say why an optimizer of TensorFlow 1 is missing."""
    refuse(__name__, __all__, _REFUSED, name)


def _rate(learning_rate: Any, use_locking: Any) -> Any:
    locked = boolean("use_locking", use_locking)
    expect("use_locking", locked, False, "steps that several threads ask for come one after the other anyway")
    return number("lr", "learning_rate", learning_rate)


class GradientDescentOptimizer(optimizers.SGD):
    """Gradient descent: ``p -= learning_rate * g``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    use_locking, name
        False, and anything.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``tf.compat.v1.train.GradientDescentOptimizer``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import tf1
    >>> weights = np.array([1.0, -2.0])
    >>> tf1.GradientDescentOptimizer(weights, 0.1).step(2 * weights)
    >>> weights
    array([ 0.8, -1.6])
    """

    def __init__(
        self, params: Any, learning_rate: Number, use_locking: bool = False, name: str = "GradientDescent"
    ) -> None:
        super().__init__(params, _rate(learning_rate, use_locking))


class MomentumOptimizer(optimizers.SGD):
    """Momentum, with the rate outside the velocity: ``b = momentum * b + g; p -= learning_rate * b``.

    Parameters
    ----------
    params, learning_rate, use_locking, name
        As in `GradientDescentOptimizer`.
    momentum : float or schedule
        Share of the velocity b that is kept, in [0, 1].
    use_nesterov : bool
        Look ahead: ``p -= learning_rate * (g + momentum * b)``. Without momentum it changes nothing.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``tf.compat.v1.train.MomentumOptimizer``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import tf1
    >>> weights = np.array([1.0, -2.0])
    >>> opt = tf1.MomentumOptimizer(weights, 0.1, momentum=0.9, use_nesterov=True)
    >>> opt.step(2 * weights)
    >>> weights
    array([ 0.62, -1.24])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number,
        momentum: Number,
        use_locking: bool = False,
        name: str = "Momentum",
        use_nesterov: bool = False,
    ) -> None:
        share = number("momentum", "momentum", momentum)
        super().__init__(
            params,
            _rate(learning_rate, use_locking),
            momentum=share,
            nesterov=boolean("use_nesterov", use_nesterov) and share != 0,
        )


class AdagradOptimizer(optimizers.Adagrad):
    """AdaGrad without an epsilon, from a sum above zero: ``s += g**2; p -= learning_rate * g / sqrt(s)``.

    Parameters
    ----------
    params, learning_rate, use_locking, name
        As in `GradientDescentOptimizer`.
    initial_accumulator_value : float
        Where s starts, finite, above 0.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``tf.compat.v1.train.AdagradOptimizer``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import tf1
    >>> weights = np.array([1.0, -2.0])
    >>> tf1.AdagradOptimizer(weights, 0.5).step(2 * weights)
    >>> weights.round(4)
    array([ 0.5061, -1.5016])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number,
        initial_accumulator_value: float = 0.1,
        use_locking: bool = False,
        name: str = "Adagrad",
    ) -> None:
        own = "initial_accumulator_value"
        start = number(own, own, initial_accumulator_value, positive=True)
        super().__init__(params, _rate(learning_rate, use_locking), eps=0.0, initial_accumulator_value=start)


class RMSPropOptimizer(optimizers.RMSprop):
    """RMSProp with a cache that starts at one, which keeps the first steps small.

    ``s = decay * s + (1 - decay) * g**2; b = momentum * b + learning_rate * g / sqrt(s + epsilon); p -= b``

    Parameters
    ----------
    params, learning_rate, use_locking, name
        As in `GradientDescentOptimizer`.
    decay : float or schedule
        Share of the cache s that is kept, in [0, 1).
    momentum : float or schedule
        Share of the velocity b that is kept, in [0, 1].
    epsilon : float or schedule
        Finite, >= 0.
    centered : bool
        Divide by the root of the variance of the gradient rather than of its mean square.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``tf.compat.v1.train.RMSPropOptimizer``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import tf1
    >>> weights = np.array([1.0, -2.0])
    >>> tf1.RMSPropOptimizer(weights, 0.1).step(2 * weights)
    >>> weights.round(4)
    array([ 0.8246, -1.747 ])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number,
        decay: Number = 0.9,
        momentum: Number = 0.0,
        epsilon: Number = 1e-10,
        use_locking: bool = False,
        centered: bool = False,
        name: str = "RMSProp",
    ) -> None:
        super().__init__(
            params,
            _rate(learning_rate, use_locking),
            alpha=number("alpha", "decay", decay),
            eps=number("eps", "epsilon", epsilon),
            eps_in_sqrt=True,
            momentum=number("momentum", "momentum", momentum),
            centered=boolean("centered", centered),
            lr_in_velocity=True,
            initial_accumulator_value=1.0,
        )


class AdamOptimizer(optimizers.Adam):
    """Adam, in the form in which epsilon is not bias-corrected.

    ``p -= learning_rate * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon)``

    Parameters
    ----------
    params, learning_rate, use_locking, name
        As in `GradientDescentOptimizer`.
    beta1, beta2 : float or schedule
        Shares of the moments that are kept, in [0, 1).
    epsilon : float or schedule
        Finite, >= 0.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``tf.compat.v1.train.AdamOptimizer``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import tf1
    >>> weights = np.array([1.0, -2.0])
    >>> tf1.AdamOptimizer(weights, 0.1).step(2 * weights)
    >>> weights.round(4)
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        beta1: Number = 0.9,
        beta2: Number = 0.999,
        epsilon: Number = 1e-8,
        use_locking: bool = False,
        name: str = "Adam",
    ) -> None:
        super().__init__(
            params,
            **two_averages(_rate(learning_rate, use_locking), beta1=beta1, beta2=beta2, epsilon=epsilon),
            eps_hat=True,
        )


class FtrlOptimizer(optimizers.FTRL):
    """FTRL-Proximal: AdaGrad's rates, for sparse models: the L1 penalty makes parameters exactly zero.

    The formula is in `fastopt.kernels.ftrl`.

    Parameters
    ----------
    params, use_locking, name
        As in `GradientDescentOptimizer`.
    learning_rate : float or schedule
        Learning rate, finite, > 0, or a callable of the number of steps done.
    learning_rate_power : float
        -0.5: fastopt's FTRL divides by the square root of the sum of squared gradients.
    initial_accumulator_value : float
        Where that sum starts, finite, >= 0.
    l1_regularization_strength, l2_regularization_strength : float or schedule
        Penalties on the absolute value and on the square of the parameter, finite, >= 0.
    accum_name, linear_name
        Anything.
    l2_shrinkage_regularization_strength : float or schedule
        Penalty on the square that acts through the gradient, finite, >= 0.
    beta : float or schedule, optional
        It bounds the rate of the first steps, finite, >= 0; ``tf.compat.v1`` of TensorFlow 2 has it. None is 0.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``tf.compat.v1.train.FtrlOptimizer``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import tf1
    >>> weights = np.array([1.0, -2.0])
    >>> tf1.FtrlOptimizer(weights, 0.5, l1_regularization_strength=3.0).step(np.array([-5.0, 0.5]))
    >>> weights.round(4)
    array([1.1365, 0.    ])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: Number = 0.0,
        l2_regularization_strength: Number = 0.0,
        use_locking: bool = False,
        name: str = "Ftrl",
        accum_name: str | None = None,
        linear_name: str | None = None,
        l2_shrinkage_regularization_strength: Number = 0.0,
        beta: Number | None = None,
    ) -> None:
        settings = ftrl(
            _rate(learning_rate, use_locking),
            learning_rate_power,
            initial_accumulator_value,
            l1_regularization_strength,
            l2_regularization_strength,
            l2_shrinkage_regularization_strength,
            0.0 if beta is None else beta,
        )
        super().__init__(params, **settings)
