"""optax's optimizers by name: fastopt's, with the arithmetic, the arguments and the defaults of optax.

The functions take the parameters first, then the arguments of optax 0.2 in its order and with its defaults, and return
an optimizer over NumPy arrays. optax itself is not needed. An argument that fastopt's rules cannot follow is refused,
with the reason.

``params`` is a tree of float32 or float64 arrays, updated in place, or a list of groups with the keywords of fastopt's
own classes; see `fastopt.Optimizer`. A ``learning_rate`` is a number or a schedule, a callable of the number of steps
done, as those of `fastopt.schedules` and of optax are. So may be the other numbers, which optax has as
``inject_hyperparams``. The optimizers of ``optax.contrib`` are in `fastopt.compat.optax.contrib`.
"""

from typing import Any

from fastopt._checks import boolean
from fastopt.compat._arguments import expect, number, refuse, two_averages
from fastopt.compat.optax import contrib
from fastopt.compat.optax._masks import Mask, masked
from fastopt.kernels.rules import CHECKS
from fastopt.optimizers import (
    LAMB,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    RAdam,
    RMSprop,
    Schedule,
    SignSGD,
)

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "contrib",
    "lamb",
    "lion",
    "radam",
    "rmsprop",
    "sgd",
    "sign_sgd",
    "signum",
]

Number = float | Schedule

_NO_NESTEROV = "fastopt's Adam has no Nesterov momentum"
_NO_SCHEDULE = "fastopt's NAdam has a schedule of the momentum, which optax's is without"
_NO_RULE = "fastopt has no such rule"

# optax's other optimizers, and why they are not here.
_REFUSED = {
    "amsgrad": "optax corrects the bias before it takes the largest moment or never, fastopt.Adam(amsgrad=True) after",
    "nadam": _NO_SCHEDULE,
    "nadamw": _NO_SCHEDULE,
    "noisy_sgd": "fastopt adds no noise to gradients",
    "rprop": "optax makes each step only when the next gradient is there, fastopt.Rprop at once",
} | dict.fromkeys(
    [
        *("adabelief", "adafactor", "adan", "fromage", "lars", "lbfgs", "novograd", "optimistic_adam"),
        *("optimistic_adam_v2", "optimistic_gradient_descent", "polyak_sgd", "sm3", "yogi"),
    ],
    _NO_RULE,
)


def __getattr__(name: str) -> Any:
    """Say why an optimizer of optax is missing."""
    refuse(__name__, __all__, _REFUSED, name)


def sgd(
    params: Any,
    learning_rate: Number,
    momentum: Number | None = None,
    nesterov: bool = False,
    accumulator_dtype: None = None,
) -> SGD:
    """Gradient descent, plain or with momentum: ``b = g + momentum * b; p -= learning_rate * b``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    momentum : float or schedule, optional
        Share of the velocity b that is kept, in [0, 1].
    nesterov : bool
        Look ahead along the velocity: ``p -= learning_rate * (g + momentum * b)``. Without momentum it changes nothing.
    accumulator_dtype : None
        The velocity has the dtype of its parameter.

    Returns
    -------
    SGD
        A `fastopt.SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.sgd``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> opt = optax.sgd(weights, learning_rate=0.1, momentum=0.9, nesterov=True)
    >>> opt.step(2 * weights)
    >>> weights
    array([ 0.62, -1.24])
    """
    expect("accumulator_dtype", accumulator_dtype, None, "the velocity has the dtype of its parameter")
    share = number("momentum", "momentum", 0.0 if momentum is None else momentum)
    return SGD(
        params,
        number("lr", "learning_rate", learning_rate),
        momentum=share,
        nesterov=boolean("nesterov", nesterov) and share != 0,
    )


def adagrad(
    params: Any,
    learning_rate: Number,
    initial_accumulator_value: float = 0.1,
    eps: Number = 1e-7,
) -> Adagrad:
    """AdaGrad: ``s += g**2; p -= learning_rate * g / sqrt(s + eps)``, where s starts above zero.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    initial_accumulator_value : float
        Where s starts, finite, >= 0.
    eps : float or schedule
        Finite, >= 0; above zero if s starts at zero, where optax leaves elements without gradients alone and the
        formula divides zero by zero.

    Returns
    -------
    Adagrad
        A `fastopt.Adagrad`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.adagrad``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> opt = optax.adagrad(weights, learning_rate=0.5)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.506, -1.502])
    """
    start = CHECKS["initial_accumulator_value"]("initial_accumulator_value", initial_accumulator_value)
    eps = number("eps", "eps", eps)
    if start == 0 and eps == 0:
        raise ValueError(f"eps: expected a number > 0 with initial_accumulator_value=0, got {eps!r}")
    return Adagrad(
        params,
        number("lr", "learning_rate", learning_rate),
        eps=eps,
        eps_in_sqrt=True,
        initial_accumulator_value=start,
    )


def rmsprop(
    params: Any,
    learning_rate: Number,
    decay: Number = 0.9,
    eps: Number = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Number | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> RMSprop:
    """RMSProp: ``s = decay * s + (1 - decay) * g**2; p -= learning_rate * g / sqrt(s + eps)``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    decay : float or schedule
        Share of the average s that is kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    initial_scale : float
        Where s starts.
    eps_in_sqrt : bool
        Add `eps` under the root, as above, or else to the root.
    centered : bool
        Divide by the root of the variance of the gradient rather than of its mean square.
    momentum : float or schedule, optional
        Share of the velocity that is kept, in [0, 1]: ``b = momentum * b + learning_rate * u; p -= b`` with u the
        gradient over the root.
    nesterov : bool
        Without momentum it changes nothing; with momentum it is refused.
    bias_correction : bool
        Refused, if true. `adam` with ``b1=0`` has the correction, in the form with `eps_in_sqrt` false.

    Returns
    -------
    RMSprop
        A `fastopt.RMSprop`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.rmsprop``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> opt = optax.rmsprop(weights, learning_rate=0.1)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.684, -1.684])
    """
    share = number("momentum", "momentum", 0.0 if momentum is None else momentum)
    if boolean("nesterov", nesterov) and share != 0:
        expect("nesterov", True, False, "fastopt's RMSprop has no Nesterov momentum")
    expect("bias_correction", boolean("bias_correction", bias_correction), False, "fastopt's RMSprop has none")
    return RMSprop(
        params,
        number("lr", "learning_rate", learning_rate),
        alpha=number("alpha", "decay", decay),
        eps=number("eps", "eps", eps),
        eps_in_sqrt=eps_in_sqrt,
        momentum=share,
        centered=centered,
        lr_in_velocity=True,
        initial_accumulator_value=CHECKS["initial_accumulator_value"]("initial_scale", initial_scale),
    )


def adam(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: None = None,
    *,
    nesterov: bool = False,
) -> Adam:
    """Adam: ``p -= learning_rate * m_hat / (sqrt(v_hat) + eps)``, both moments with bias correction.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    b1, b2 : float or schedule
        Shares of the moments that are kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    eps_root : float
        0: fastopt's Adam adds no epsilon under the root.
    mu_dtype : None
        The moments have the dtype of their parameter.
    nesterov : bool
        False: fastopt's Adam has no Nesterov momentum.

    Returns
    -------
    Adam
        A `fastopt.Adam`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.adam``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> opt = optax.adam(weights, learning_rate=0.1)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.9, -1.9])
    """
    return Adam(params, **_adam_settings(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov))


def adamw(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: None = None,
    weight_decay: Number = 1e-4,
    mask: Mask = None,
    *,
    nesterov: bool = False,
) -> AdamW:
    """Adam with decoupled weight decay: ``p -= learning_rate * (adam + weight_decay * p)``.

    Parameters
    ----------
    params, learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov
        As in `adam`.
    weight_decay : float or schedule
        Share of a parameter that goes at rate 1, finite, >= 0.
    mask : tree of bool, or callable, optional
        Whether each parameter decays, in the structure of the parameters or a prefix of it, or a function of the
        parameters that returns such a tree. Parameters that do not decay are a group of the optimizer then,
        ``opt.groups[1]``; gradients are given in the structure of the parameters all the same.

    Returns
    -------
    AdamW
        A `fastopt.AdamW`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.adamw``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> params = {"weight": np.ones((2, 2)), "bias": np.ones(2)}
    >>> opt = optax.adamw(params, 0.1, weight_decay=0.5, mask={"weight": True, "bias": False})
    >>> opt.step({"weight": np.ones((2, 2)), "bias": np.ones(2)})
    >>> params["weight"][0].round(3), params["bias"].round(3)
    (array([0.85, 0.85]), array([0.9, 0.9]))
    """
    settings = _adam_settings(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov)
    decay = number("weight_decay", "weight_decay", weight_decay)
    return masked(AdamW, params, mask, weight_decay=decay, **settings)


def lion(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.99,
    mu_dtype: None = None,
    weight_decay: Number = 1e-3,
    mask: Mask = None,
) -> Lion:
    """Lion: ``p -= learning_rate * (sign(b1 * m + (1 - b1) * g) + weight_decay * p); m = b2 * m + (1 - b2) * g``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    b1, b2 : float or schedule
        Shares of the average in the direction of the step and in the next average, in [0, 1).
    mu_dtype : None
        The average has the dtype of its parameter.
    weight_decay, mask
        As in `adamw`.

    Returns
    -------
    Lion
        A `fastopt.Lion`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.lion``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> opt = optax.lion(weights, learning_rate=0.1, weight_decay=0.0)
    >>> opt.step(2 * weights)
    >>> weights
    array([ 0.9, -1.9])
    """
    expect("mu_dtype", mu_dtype, None, "the average has the dtype of its parameter")
    return masked(
        Lion,
        params,
        mask,
        weight_decay=number("weight_decay", "weight_decay", weight_decay),
        **two_averages(learning_rate, b1=b1, b2=b2),
    )


def sign_sgd(params: Any, learning_rate: Number) -> SignSGD:
    """Sign of the gradient: ``p -= learning_rate * sign(g)``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.

    Returns
    -------
    SignSGD
        A `fastopt.SignSGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.sign_sgd``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> optax.sign_sgd(weights, learning_rate=0.1).step(2 * weights)
    >>> weights
    array([ 0.9, -1.9])
    """
    return SignSGD(params, number("lr", "learning_rate", learning_rate))


def signum(
    params: Any,
    learning_rate: Number,
    beta: Number = 0.9,
    accumulator_dtype: None = None,
) -> SignSGD:
    """Sign of the average gradient: ``m = beta * m + (1 - beta) * g; p -= learning_rate * sign(m)``.

    Parameters
    ----------
    params, learning_rate
        As in `sign_sgd`.
    beta : float or schedule
        Share of the average that is kept, in [0, 1].
    accumulator_dtype : None
        The average has the dtype of its parameter.

    Returns
    -------
    SignSGD
        A `fastopt.SignSGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.signum``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> optax.signum(weights, learning_rate=0.1).step(2 * weights)
    >>> weights
    array([ 0.9, -1.9])
    """
    expect("accumulator_dtype", accumulator_dtype, None, "the average has the dtype of its parameter")
    rate = number("lr", "learning_rate", learning_rate)
    return SignSGD(params, rate, momentum=number("momentum", "beta", beta))


def lamb(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-6,
    eps_root: float = 0.0,
    weight_decay: Number = 0.0,
    mask: Mask = None,
) -> LAMB:
    """LAMB: AdamW with a rate for each array, in proportion to the norm of the array, for very large batches.

    ``p -= learning_rate * norm(p) / norm(u) * u`` with ``u = m_hat / (sqrt(v_hat) + eps) + weight_decay * p``

    Parameters
    ----------
    params, learning_rate, b1, b2, eps
        As in `adam`.
    eps_root : float
        0: fastopt's LAMB adds no epsilon under the root.
    weight_decay, mask
        As in `adamw`.

    Returns
    -------
    LAMB
        A `fastopt.LAMB`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.lamb``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> optax.lamb(weights, learning_rate=0.1).step(2 * weights)
    >>> weights.round(4)
    array([ 0.8419, -1.8419])
    """
    expect("eps_root", eps_root, 0.0, "fastopt's LAMB adds epsilon outside the root")
    decay = number("weight_decay", "weight_decay", weight_decay)
    settings = two_averages(learning_rate, b1=b1, b2=b2, eps=eps)
    return masked(LAMB, params, mask, weight_decay=decay, **settings)


def adamax(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
) -> Adamax:
    """Adamax: ``u = max(abs(g) + eps, b2 * u); p -= learning_rate * m_hat / u``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    b1, b2 : float or schedule
        Shares of moment and maximum that are kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.

    Returns
    -------
    Adamax
        A `fastopt.Adamax`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.adamax``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> optax.adamax(weights, learning_rate=0.1).step(2 * weights)
    >>> weights.round(3)
    array([ 0.9, -1.9])
    """
    return Adamax(params, **two_averages(learning_rate, b1=b1, b2=b2, eps=eps))


def adamaxw(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 1e-4,
    mask: Mask = None,
) -> Adamax:
    """Adamax with decoupled weight decay: ``p -= learning_rate * (adamax + weight_decay * p)``.

    Parameters
    ----------
    params, learning_rate, b1, b2, eps
        As in `adamax`.
    weight_decay, mask
        As in `adamw`.

    Returns
    -------
    Adamax
        A `fastopt.Adamax`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.adamaxw``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> optax.adamaxw(weights, learning_rate=0.1, weight_decay=0.5).step(2 * weights)
    >>> weights.round(3)
    array([ 0.85, -1.8 ])
    """
    decay = number("weight_decay", "weight_decay", weight_decay)
    settings = two_averages(learning_rate, b1=b1, b2=b2, eps=eps)
    return masked(Adamax, params, mask, weight_decay=decay, decoupled=True, **settings)


def radam(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
) -> RAdam:
    """RAdam: Adam that takes plain momentum's steps until there are enough gradients to tell their variance.

    Parameters
    ----------
    params, learning_rate, b1, b2, eps
        As in `adam`.
    eps_root : float
        0: fastopt's RAdam adds no epsilon under the root.
    threshold : float
        5: fastopt's RAdam has no other number of gradients.
    nesterov : bool
        False: fastopt's RAdam has no Nesterov momentum.

    Returns
    -------
    RAdam
        A `fastopt.RAdam`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.radam``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> optax.radam(weights, learning_rate=0.1).step(2 * weights)
    >>> weights
    array([ 0.8, -1.6])
    """
    expect("eps_root", eps_root, 0.0, "fastopt's RAdam adds epsilon outside the root")
    expect("threshold", threshold, 5.0, "fastopt's RAdam has no other")
    expect("nesterov", boolean("nesterov", nesterov), False, "fastopt's RAdam has no Nesterov momentum")
    return RAdam(params, eps_hat=False, **two_averages(learning_rate, b1=b1, b2=b2, eps=eps))


def adadelta(
    params: Any,
    learning_rate: Number | None = None,
    rho: Number = 0.9,
    eps: Number = 1e-6,
    weight_decay: Number = 0.0,
    weight_decay_mask: Mask = None,
) -> Adadelta:
    """Adadelta: the size of a step comes from the sizes of those before.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule, optional
        Factor on the update, by default 1; finite, >= 0, or a callable of the number of steps done.
    rho : float or schedule
        Share of the averages that is kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    weight_decay : float or schedule
        L2 penalty in the gradient, finite, >= 0.
    weight_decay_mask
        As `mask` in `adamw`.

    Returns
    -------
    Adadelta
        A `fastopt.Adadelta`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.adadelta``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import optax
    >>> weights = np.array([1.0, -2.0])
    >>> optax.adadelta(weights, learning_rate=1.0).step(2 * weights)
    >>> weights.round(4)
    array([ 0.9968, -1.9968])
    """
    return masked(
        Adadelta,
        params,
        weight_decay_mask,
        lr=number("lr", "learning_rate", 1.0 if learning_rate is None else learning_rate),
        rho=number("rho", "rho", rho),
        eps=number("eps", "eps", eps),
        weight_decay=number("weight_decay", "weight_decay", weight_decay),
    )


def _adam_settings(
    learning_rate: Number, b1: Number, b2: Number, eps: Number, eps_root: Any, mu_dtype: Any, nesterov: Any
) -> dict[str, Any]:
    """Return the keywords of `fastopt.Adam` for the arguments of optax's."""
    expect("eps_root", eps_root, 0.0, "fastopt's Adam adds epsilon outside the root")
    expect("mu_dtype", mu_dtype, None, "the moments have the dtype of their parameter")
    expect("nesterov", boolean("nesterov", nesterov), False, _NO_NESTEROV)
    return two_averages(learning_rate, b1=b1, b2=b2, eps=eps)
