"""The update rules as textbook NumPy formulas: the readable reference and the last resort.

Each function updates one-dimensional chunks in place. ``p`` is the parameter, ``g`` the gradient (only read), the
remaining arrays are the rule's state; what follows are the scalars that :mod:`fastopt.kernels` computed in float64. The
order of operations is that of ``src/rules.pyx`` and ``_numba.py``, so that all three give the same bits.
"""

import numpy as np
from numpy import sqrt

name = "numpy"
isa = None

# Temporaries are as long as a chunk, so a chunk must stay small.
TAKES_ANY_LENGTH = False


def sgd(p, g, scale, limit, decay, lr):
    g = np.clip(scale * g, -limit, limit) + decay * p
    p -= lr * g


def momentum(p, g, b, scale, limit, decay, mu, a, c1, c2):
    g = np.clip(scale * g, -limit, limit) + decay * p
    b[:] = mu * b + a * g
    p -= c1 * b + c2 * g


def adagrad(p, g, s, scale, limit, decay, lr, eps_in, eps_out):
    g = np.clip(scale * g, -limit, limit) + decay * p
    s += g * g
    p -= lr * g / (sqrt(s + eps_in) + eps_out)


def rmsprop(p, g, s, scale, limit, decay, a, eps_in, eps_out, lr):
    g = np.clip(scale * g, -limit, limit) + decay * p
    s += a * (g * g - s)
    p -= lr * g / (sqrt(s + eps_in) + eps_out)


def rmsprop_momentum(p, g, s, b, scale, limit, decay, a, eps_in, eps_out, mu, k, lr):
    g = np.clip(scale * g, -limit, limit) + decay * p
    s += a * (g * g - s)
    b[:] = mu * b + k * g / (sqrt(s + eps_in) + eps_out)
    p -= lr * b


def rmsprop_centered(p, g, s, ga, scale, limit, decay, a, eps_in, eps_out, lr):
    g = np.clip(scale * g, -limit, limit) + decay * p
    s += a * (g * g - s)
    ga += a * (g - ga)
    variance = s - ga * ga
    variance[variance < 0] = 0
    p -= lr * g / (sqrt(variance + eps_in) + eps_out)


def rmsprop_centered_momentum(p, g, s, ga, b, scale, limit, decay, a, eps_in, eps_out, mu, k, lr):
    g = np.clip(scale * g, -limit, limit) + decay * p
    s += a * (g * g - s)
    ga += a * (g - ga)
    variance = s - ga * ga
    variance[variance < 0] = 0
    b[:] = mu * b + k * g / (sqrt(variance + eps_in) + eps_out)
    p -= lr * b


def adam(p, g, m, v, scale, limit, decay, keep, a1, a2, lr, eps):
    g = np.clip(scale * g, -limit, limit) + decay * p
    m += a1 * (g - m)
    v += a2 * (g * g - v)
    p[:] = keep * p - lr * m / (sqrt(v) + eps)


def amsgrad(p, g, m, v, x, scale, limit, decay, keep, a1, a2, lr, eps):
    g = np.clip(scale * g, -limit, limit) + decay * p
    m += a1 * (g - m)
    v += a2 * (g * g - v)
    np.maximum(x, v, out=x)
    p[:] = keep * p - lr * m / (sqrt(x) + eps)


def bind(streams, others=()):
    """Nothing to prepare: every sweep goes through NumPy's iterator."""


def apply(rule, arrays, scalars, limit):
    """No short cut for small arrays."""
    return False


def apply_adam(*arguments):
    """No short cut for small arrays."""
    return False


def adam_scalars(*arguments):
    """Nothing faster to offer than the general way."""


def sums_of_squares(arrays, start, stop):
    """Nothing faster to offer than the general way."""


def update(rule, arrays, scalars):
    """Apply `rule` to contiguous one-dimensional arrays of one dtype."""
    with np.errstate(all="ignore"):
        real = arrays[0].dtype.type
        globals()[rule](*arrays, *map(real, scalars))
