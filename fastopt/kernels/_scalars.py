"""Hyper-parameters to the scalars of the loops, in float64, once a call.

Conventions (where epsilon sits, whether the rate is inside the velocity) are choices of scalars, so one loop serves
every library's. Each function returns its scalars in the order of the rule's loop; all begin with the three that make
``g = clip(scale * grad, limit) + decay * param``.
"""

from math import inf, nextafter, sqrt
from operator import index
from sys import float_info
from typing import Any

import numpy as np

from fastopt.kernels import _backend

_MAX_STEP = 2**63

# What each hyper-parameter may be: the words of a message, the smallest and the largest value.
_FRACTION = ("a number in [0, 1)", 0.0, nextafter(1.0, 0.0))
_SHARE = ("a number in [0, 1]", 0.0, 1.0)
_NOT_NEGATIVE = ("a finite number >= 0", 0.0, float_info.max)
_NOT_NAN_NOR_NEGATIVE = ("a number >= 0, infinity included", 0.0, inf)
_RANGES: dict[str, tuple[str, float, float]] = {
    "alpha": _FRACTION,
    "beta1": _FRACTION,
    "beta2": _FRACTION,
    "dampening": _SHARE,
    "momentum": _SHARE,
    "clip_value": _NOT_NAN_NOR_NEGATIVE,
    "grad_scale": ("a finite number", -float_info.max, float_info.max),
    "max_norm": _NOT_NAN_NOR_NEGATIVE,
}


def number(name: str, value: Any) -> float:
    """Return a hyper-parameter as a Python float, or raise an error that names it.

    Raises
    ------
    TypeError
        `value` is not a real number.
    ValueError
        `value` is out of the range of the hyper-parameter `name`, or NaN.
    """
    expected, smallest, largest = _RANGES.get(name, _NOT_NEGATIVE)
    if type(value) is float and smallest <= value <= largest:  # what it mostly is
        return value
    if isinstance(value, np.ndarray | np.generic) and (value.dtype.kind not in "fiub" or value.ndim):
        raise TypeError(f"{name}: expected {expected}, got {value!r}")
    try:
        if not hasattr(value, "__float__"):  # text, which float() reads
            raise TypeError
        result = float(value)
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"{name}: expected {expected}, got {value!r}") from None
    except OverflowError:  # an integer beyond every float
        result = inf
    if not smallest <= result <= largest:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return result


def count(name: str, value: object) -> int:
    """Return a step number as an int >= 1, or raise an error that names it."""
    try:
        result = index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}: expected an integer >= 1, got {value!r}") from None
    if not 1 <= result < _MAX_STEP:
        raise ValueError(f"{name}: expected an integer >= 1 and below 2**63, got {value!r}")
    return result


def flag(name: str, value: Any) -> bool:
    """Return a switch as a bool, or raise an error that names it: a number in its place is a mistake."""
    if value is True or value is False or isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{name}: expected True or False, got {value!r}")


def _gradient(weight_decay: float, grad_scale: float, clip_value: float) -> tuple[float, float, float]:
    return number("grad_scale", grad_scale), number("clip_value", clip_value), number("weight_decay", weight_decay)


def sgd(lr: float, weight_decay: float, grad_scale: float, clip_value: float) -> tuple[float, ...]:
    """Scalars of ``p -= lr * g``."""
    return *_gradient(weight_decay, grad_scale, clip_value), number("lr", lr)


def momentum(
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    lr_in_velocity: bool,
    first_step: bool,
    weight_decay: float,
    grad_scale: float,
    clip_value: float,
) -> tuple[float, ...]:
    """Scalars of ``b = mu*b + a*g; p -= c1*b + c2*g``."""
    gradient = _gradient(weight_decay, grad_scale, clip_value)
    lr, mu, dampening = number("lr", lr), number("momentum", momentum), number("dampening", dampening)
    nesterov, first_step = flag("nesterov", nesterov), flag("first_step", first_step)
    if flag("lr_in_velocity", lr_in_velocity):
        if dampening:
            raise ValueError(f"dampening: expected 0 with lr_in_velocity, got {dampening!r}")
        # The buffer holds Keras' velocity u, which is added: p += u, or p += mu*u - lr*g.
        return (*gradient, mu, -lr, -mu, lr) if nesterov else (*gradient, mu, -lr, -1.0, 0.0)
    keep, share = (0.0, 1.0) if first_step else (mu, 1.0 - dampening)
    return (*gradient, keep, share, lr * mu, lr) if nesterov else (*gradient, keep, share, lr, 0.0)


def adagrad(
    lr: float, eps: float, eps_in_sqrt: bool, weight_decay: float, grad_scale: float, clip_value: float
) -> tuple[float, ...]:
    """Scalars of ``s += g*g; p -= lr*g / (sqrt(s + eps_in) + eps_out)``."""
    gradient = _gradient(weight_decay, grad_scale, clip_value)
    lr, eps = number("lr", lr), number("eps", eps)
    return (*gradient, lr, eps, 0.0) if flag("eps_in_sqrt", eps_in_sqrt) else (*gradient, lr, 0.0, eps)


def rmsprop(
    lr: float,
    alpha: float,
    eps: float,
    eps_in_sqrt: bool,
    momentum: float,
    has_buffer: bool,
    lr_in_velocity: bool,
    weight_decay: float,
    grad_scale: float,
    clip_value: float,
) -> tuple[float, ...]:
    """Scalars of ``s += a*(g*g - s); p -= lr*g / (sqrt(s + eps_in) + eps_out)``.

    With momentum: ``b = mu*b + k*g / (...); p -= lr*b``.
    """
    gradient = _gradient(weight_decay, grad_scale, clip_value)
    lr, a, eps = number("lr", lr), 1.0 - number("alpha", alpha), number("eps", eps)
    common = (*gradient, a, eps, 0.0) if flag("eps_in_sqrt", eps_in_sqrt) else (*gradient, a, 0.0, eps)
    mu = number("momentum", momentum)
    lr_in_velocity = flag("lr_in_velocity", lr_in_velocity)
    if not has_buffer:
        if mu:
            raise ValueError(f"momentum: expected 0 without a momentum_buffer, got {momentum!r}")
        return (*common, lr)
    return (*common, mu, lr, 1.0) if lr_in_velocity else (*common, mu, 1.0, lr)


def adam(
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_hat: bool,
    weight_decay: float,
    decoupled: bool,
    grad_scale: float,
    clip_value: float,
) -> tuple[float, ...]:
    """Scalars of ``m += a1*(g-m); v += a2*(g*g-v); p = keep*p - lr*m / (sqrt(v) + eps)``.

    The bias corrections go into the rate and epsilon: with ``c = sqrt(1 - beta2**t)``, the update
    ``lr * m_hat / (sqrt(v_hat) + eps)`` is ``lr * c / (1 - beta1**t) * m / (sqrt(v) + eps * c)``.
    """
    ordinary = _backend.active.adam_scalars(
        step, lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value
    )
    if ordinary is not None:  # at a fraction of the cost of looking at each value by itself
        return ordinary
    step, lr, eps = count("step", step), number("lr", lr), number("eps", eps)
    beta1, beta2 = number("beta1", beta1), number("beta2", beta2)
    grad_scale, clip_value, weight_decay = _gradient(weight_decay, grad_scale, clip_value)
    eps_hat = flag("eps_hat", eps_hat)
    keep, decay = (1.0 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    correction = sqrt(1.0 - beta2**step)
    rate = lr * correction / (1.0 - beta1**step)
    return grad_scale, clip_value, decay, keep, 1.0 - beta1, 1.0 - beta2, rate, eps if eps_hat else eps * correction
