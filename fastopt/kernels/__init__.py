"""The functional interface: one function per update rule, arrays updated in place.

Every array argument is one array, or a list of arrays of which the i-th entries belong together; a whole model is then
one call. Arrays are float32 or float64, alike in dtype and shape within a tensor, of any layout (equally C- or
F-contiguous ones are fastest), and share no memory. Besides NumPy arrays, objects that lend their memory through the
buffer protocol or DLPack are taken. Gradients are only read; NaN and infinity in them flow through the formulas as
IEEE 754 says.

All arguments are checked before the first element is written. Every function raises

- `TypeError` for what is not an array, for a dtype that is not supported or differs within a tensor, for a
  hyper-parameter that is not a number;
- `ValueError` for a shape that differs, a read-only parameter or state, memory shared between arrays, lists of
  different lengths, a hyper-parameter out of its range or NaN;
- `IndexError` for a row that is not in its table.

In the formulas ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``. `grad_scale` (finite) serves
clipping by the norm (`clip_grad_norm`), loss scaling and, with -1, maximization; `clip_value` (>= 0) bounds the
absolute value of each element, as PyTorch's ``clip_grad_value_`` does; `weight_decay` (>= 0) is the L2 penalty's,
unless it is `decoupled`: then ``p -= lr * weight_decay * p`` before the update, and g is without it. All of them are
part of the one pass over the arrays.

With `cast_grads`, gradients may be float16, bfloat16 (of ``ml_dtypes`` or PyTorch), float32 or float64, whatever their
parameters are; they are converted chunk by chunk, in the cache, without a copy of them.

With `rows`, parameter and states are whole tables, each row of which lies in one piece, and the gradient has a row for
each index in `rows`: only those rows of parameter and states are read and written, so the time depends on their number
and not on the table's length. Gradients of a row that is named more than once are summed in their order first. This is
what PyTorch's ``SparseAdam`` and sparse ``Adagrad`` do, and lazy Adam and momentum elsewhere: the moments of rows that
are not named do not decay. For a list of tensors, `rows` is a list with indices, or None for all rows, for each.

>>> import numpy as np
>>> from fastopt import kernels
>>> table, exp_avg, exp_avg_sq = np.ones((5, 2)), np.zeros((5, 2)), np.zeros((5, 2))
>>> grad = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, -2.0]])
>>> kernels.adam(table, grad, exp_avg, exp_avg_sq, step=1, lr=0.1, rows=[3, 0, 3])
>>> table.round(3)
array([[0.9, 0.9],
       [1. , 1. ],
       [1. , 1. ],
       [0.9, 1. ],
       [1. , 1. ]])
"""

from collections.abc import Sequence
from math import inf
from typing import Any

from fastopt._checks import boolean
from fastopt._typing import Array
from fastopt.kernels import _backend, _threads, rules
from fastopt.kernels._norm import Clipping, clip_grad_norm
from fastopt.kernels._rowwise import rowwise_adagrad
from fastopt.kernels._step import apply_carefully

__all__ = [
    "Clipping",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ademamix",
    "adopt",
    "clip_grad_norm",
    "ftrl",
    "lamb",
    "lion",
    "momentum",
    "muon",
    "nadam",
    "radam",
    "rmsprop",
    "rowwise_adagrad",
    "rprop",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "sgd",
    "sign_sgd",
]

Arrays = Array | Sequence[Array]
Rows = Sequence[int] | Array | Sequence[Sequence[int] | Array | None]


def sgd(
    param: Arrays,
    grad: Arrays,
    *,
    lr: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Stochastic gradient descent: ``p -= lr * g``.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    lr : float
        Learning rate, finite, >= 0.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    H. Robbins and S. Monro, "A Stochastic Approximation Method", 1951. ``torch.optim.SGD``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad = np.array([1.0, 2.0]), np.array([0.5, -0.5])
    >>> kernels.sgd(param, grad, lr=0.1)
    >>> param
    array([0.95, 2.05])
    """
    arrays, values = (param, grad), (lr, weight_decay, decoupled, grad_scale, clip_value, 1)
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rules.SGD, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rules.SGD, arrays, values, cast_grads, rows)


def momentum(
    param: Arrays,
    grad: Arrays,
    momentum_buffer: Arrays,
    *,
    lr: float,
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
    lr_in_velocity: bool = False,
    first_step: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Gradient descent with momentum, in the two conventions that are in use.

    PyTorch and optax keep the rate outside the buffer::

        b = momentum * b + (1 - dampening) * g
        p -= lr * b                              # Nesterov: p -= lr * (g + momentum * b)

    Keras, scikit-learn and "Neural Networks from Scratch" keep it inside (`lr_in_velocity`)::

        u = momentum * u - lr * g
        p += u                                   # Nesterov: p += momentum * u - lr * g

    The two differ as soon as the rate changes between steps.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    momentum_buffer : like `param`
        The velocity, b or u; zeros before the first step.
    lr : float
        Learning rate, finite, >= 0.
    momentum : float
        Share of the velocity that is kept, in [0, 1].
    dampening : float
        Share of the gradient that is held back from b, in [0, 1]; 0 with `lr_in_velocity`.
    nesterov : bool
        Look ahead along the velocity.
    lr_in_velocity : bool
        Take the second convention.
    first_step : bool
        Set ``b = g``, as PyTorch does at the first step whatever `dampening` says. Without dampening a buffer of
        zeros comes to the same.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964. I. Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013, eq. 1-4. ``torch.optim.SGD``,
    ``keras.optimizers.SGD``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, buffer = np.array([1.0, 2.0]), np.array([0.5, -0.5]), np.zeros(2)
    >>> for _ in range(2):
    ...     kernels.momentum(param, grad, buffer, lr=0.1, momentum=0.9)
    >>> param, buffer
    (array([0.855, 2.145]), array([ 0.95, -0.95]))
    """
    step = 1 if boolean("first_step", first_step) else 2  # the rule needs no more of it
    arrays = (param, grad, momentum_buffer)
    values = (lr, momentum, dampening, nesterov, lr_in_velocity, weight_decay, decoupled, grad_scale, clip_value, step)
    rule = rules.MOMENTUM
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def sign_sgd(
    param: Arrays,
    grad: Arrays,
    momentum_buffer: Arrays | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """SignSGD: every element moves by the rate, against the sign of its gradient; Signum where its array is given.

    ::

        p -= lr * sign(g)                        # without momentum_buffer

        b = momentum * b + (1 - momentum) * g    # with momentum_buffer
        p -= lr * sign(b)

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    momentum_buffer : like `param`, optional
        Moving average b of the gradient; zeros before the first step.
    lr : float
        Learning rate, finite, >= 0.
    momentum : float
        Share of the average that is kept, in [0, 1]; other than 0 it needs `momentum_buffer`.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    J. Bernstein et al., "signSGD: Compressed Optimisation for Non-Convex Problems", 2018, arXiv 1802.04434,
    algorithms 1 and 2. ``optax.sign_sgd``, ``optax.signum``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad = np.array([1.0, 2.0]), np.array([3.0, -4.0])
    >>> kernels.sign_sgd(param, grad, lr=0.1)
    >>> param
    array([0.9, 2.1])
    """
    values = (lr, momentum, weight_decay, decoupled, grad_scale, clip_value, 1)
    rule = rules.SIGN_SGD if momentum_buffer is None else rules.SIGNUM
    arrays = (param, grad) if momentum_buffer is None else (param, grad, momentum_buffer)
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def adagrad(
    param: Arrays,
    grad: Arrays,
    sum: Arrays,
    *,
    lr: float,
    eps: float = 1e-10,
    eps_in_sqrt: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """AdaGrad: each element's rate shrinks with the gradients it has seen.

    ::

        s += g**2
        p -= lr * g / (sqrt(s) + eps)            # eps_in_sqrt: sqrt(s + eps)

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    sum : like `param`
        Sum s of squared gradients; before the first step zeros (PyTorch) or 0.1 (Keras, TensorFlow 1).
    lr : float
        Learning rate, finite, >= 0.
    eps : float
        Finite, >= 0.
    eps_in_sqrt : bool
        Add `eps` under the root, as Keras does.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization",
    2011. ``torch.optim.Adagrad``, ``keras.optimizers.Adagrad``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, sum = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2)
    >>> kernels.adagrad(param, grad, sum, lr=0.1)
    >>> param.round(6), sum
    (array([0.9, 2.1]), array([ 9., 16.]))
    """
    arrays, no_lr_decay = (param, grad, sum), 0.0
    values = (lr, no_lr_decay, eps, eps_in_sqrt, weight_decay, decoupled, grad_scale, clip_value, 1)
    rule = rules.ADAGRAD
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def ftrl(
    param: Arrays,
    grad: Arrays,
    accumulator: Arrays,
    linear: Arrays,
    *,
    lr: float = 1e-3,
    l1: float = 0.0,
    l2: float = 0.0,
    l2_shrinkage: float = 0.0,
    beta: float = 0.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """FTRL-Proximal: AdaGrad's rates, for sparse models: `l1` makes parameters exactly zero.

    ::

        s_new = s + g**2
        z += g + 2 * l2_shrinkage * p - (sqrt(s_new) - sqrt(s)) / lr * p
        p = (clip(z, l1) - z) / (sqrt(s_new) / lr + 2 * l2 + beta / lr)
        s = s_new

    The weight decay is decoupled, ``p -= lr * weight_decay * p`` first: ``g = clip(grad_scale * grad, clip_value)``.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    accumulator : like `param`
        Sum s of squared gradients; before the first step 0.1 in Keras and TensorFlow 1. Where it is zero, and `l2` and
        `beta` are, an element without a gradient becomes NaN.
    linear : like `param`
        The sum z of gradients and corrections; zeros before the first step.
    lr : float
        Learning rate, finite, > 0.
    l1, l2 : float
        Penalties on the absolute value and on the square of the parameter, finite, >= 0.
    l2_shrinkage : float
        Penalty on the square that acts through the gradient, finite, >= 0.
    beta : float
        As in the paper: it bounds the rate of the first steps, finite, >= 0.
    weight_decay, grad_scale, clip_value : float
        See above.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    H. B. McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013, algorithm 1; the power of the rate is
    -0.5. ``keras.optimizers.Ftrl``, ``tf.compat.v1.train.FtrlOptimizer``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, accumulator, linear = np.zeros(2), np.array([3.0, -0.5]), np.full(2, 0.1), np.zeros(2)
    >>> kernels.ftrl(param, grad, accumulator, linear, lr=0.1, l1=1.0)
    >>> param.round(4), linear
    (array([-0.0663,  0.    ]), array([ 3. , -0.5]))
    """
    arrays, rule = (param, grad, accumulator, linear), rules.FTRL
    values = (lr, l1, l2, l2_shrinkage, beta, weight_decay, grad_scale, clip_value, 1)
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def rmsprop(
    param: Arrays,
    grad: Arrays,
    square_avg: Arrays,
    momentum_buffer: Arrays | None = None,
    grad_avg: Arrays | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    eps_in_sqrt: bool = False,
    momentum: float = 0.0,
    lr_in_velocity: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """RMSProp: AdaGrad with a sum that forgets; with momentum, and centered, where their arrays are given.

    ::

        s = alpha * s + (1 - alpha) * g**2
        a = alpha * a + (1 - alpha) * g          # grad_avg, if given: centered
        d = s                                    # centered: max(s - a**2, 0)
        u = g / (sqrt(d) + eps)                  # eps_in_sqrt: g / sqrt(d + eps)
        p -= lr * u                              # without momentum_buffer

        b = momentum * b + u                     # with momentum_buffer
        p -= lr * b                              # lr_in_velocity: b = momentum * b + lr * u;  p -= b

    Rounding can make ``s - a**2`` slightly negative, where PyTorch's result is NaN; here it counts as 0.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    square_avg : like `param`
        Moving average s of the squared gradient; before the first step zeros (PyTorch, Keras) or ones (TensorFlow 1).
    momentum_buffer : like `param`, optional
        The velocity b; zeros before the first step.
    grad_avg : like `param`, optional
        Moving average a of the gradient; zeros before the first step.
    lr : float
        Learning rate, finite, >= 0.
    alpha : float
        Share of the averages that is kept, in [0, 1). Keras and "Neural Networks from Scratch" call it rho.
    eps : float
        Finite, >= 0.
    eps_in_sqrt : bool
        Add `eps` under the root, as Keras and TensorFlow 1 do.
    momentum : float
        Share of the velocity that is kept, in [0, 1]; other than 0 it needs `momentum_buffer`.
    lr_in_velocity : bool
        Keep the rate inside the velocity, as Keras and TensorFlow 1 do.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", COURSERA, 2012. Centered: A. Graves, "Generating Sequences With
    Recurrent Neural Networks", 2013, eq. 38-45. ``torch.optim.RMSprop``, ``keras.optimizers.RMSprop``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, square_avg = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2)
    >>> kernels.rmsprop(param, grad, square_avg, lr=0.01, alpha=0.9)
    >>> param.round(4), square_avg.round(4)
    (array([0.9684, 2.0316]), array([0.9, 1.6]))
    """
    values = (lr, alpha, eps, eps_in_sqrt, momentum, lr_in_velocity, weight_decay, decoupled, grad_scale, clip_value, 1)
    arrays: tuple[Any, ...] = (param, grad, square_avg)
    rule = rules.RMSPROP
    if grad_avg is not None:
        rule, arrays = rules.RMSPROP_CENTERED, (*arrays, grad_avg)
    if momentum_buffer is not None:
        rule = rules.RMSPROP_MOMENTUM if grad_avg is None else rules.RMSPROP_CENTERED_MOMENTUM
        arrays = (*arrays, momentum_buffer)
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def adam(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_avg_sq: Arrays,
    max_exp_avg_sq: Arrays | None = None,
    *,
    step: int | Sequence[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    eps_hat: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Adam, with bias correction; AMSGrad where its array is given.

    ::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        v = max of all v so far                  # in the denominator, if max_exp_avg_sq is given: AMSGrad
        p -= lr * m_hat / (sqrt(v_hat) + eps)    # m_hat = m / (1 - beta1**step), v_hat = v / (1 - beta2**step)

    With `eps_hat`, the form before section 2.1 of the paper, in which epsilon is not bias-corrected::

        p -= lr * sqrt(1 - beta2**step) / (1 - beta1**step) * m / (sqrt(v) + eps)

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg : like `param`
        First moment m; zeros before the first step.
    exp_avg_sq : like `param`
        Second moment v; zeros before the first step.
    max_exp_avg_sq : like `param`, optional
        Largest v so far; zeros before the first step.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    lr : float
        Learning rate, finite, >= 0.
    beta1, beta2 : float
        Shares of the moments that are kept, in [0, 1).
    eps : float
        Finite, >= 0.
    eps_hat : bool
        Take the second form, as Keras, scikit-learn and thinc do.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1 and section 2. S. Reddi,
    S. Kale and S. Kumar, "On the Convergence of Adam and Beyond", 2018, algorithm 2. ``torch.optim.Adam``,
    ``keras.optimizers.Adam``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad = np.array([1.0, 2.0]), np.array([3.0, -4.0])
    >>> exp_avg, exp_avg_sq = np.zeros(2), np.zeros(2)
    >>> kernels.adam(param, grad, exp_avg, exp_avg_sq, step=1, lr=0.1)
    >>> param.round(6)
    array([0.9, 2.1])

    A whole model in one call:

    >>> params, grads = [np.ones((4, 3)), np.ones(3)], [np.full((4, 3), 0.5), np.full(3, 0.5)]
    >>> exp_avgs, exp_avg_sqs = [np.zeros((4, 3)), np.zeros(3)], [np.zeros((4, 3)), np.zeros(3)]
    >>> kernels.adam(params, grads, exp_avgs, exp_avg_sqs, step=1, lr=0.1)
    >>> params[1].round(6)
    array([0.9, 0.9, 0.9])
    """
    values = (lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value, step)
    arrays: tuple[Any, ...] = (param, grad, exp_avg, exp_avg_sq)
    rule = rules.ADAM
    if max_exp_avg_sq is not None:
        rule, arrays = rules.AMSGRAD, (*arrays, max_exp_avg_sq)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def adamw(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_avg_sq: Arrays,
    max_exp_avg_sq: Arrays | None = None,
    *,
    step: int | Sequence[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    eps_hat: bool = False,
    weight_decay: float = 1e-2,
    cautious: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Adam with decoupled weight decay: ``p -= lr * weight_decay * p``, then `adam` without it.

    Parameters
    ----------
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq
        As in `adam`.
    step, lr, beta1, beta2, eps, eps_hat, grad_scale, clip_value
        As in `adam`.
    weight_decay : float
        Share of the parameter that goes at rate 1, finite, >= 0; it does not enter the moments.
    cautious : bool
        Decay only those elements that the update brings nearer to zero, or leaves where they are; not with
        `max_exp_avg_sq`.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2. ``torch.optim.AdamW``.
    Cautious: L. Chen et al., "Cautious Weight Decay", 2025, arXiv 2510.12402, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad = np.array([1.0, 2.0]), np.array([3.0, -4.0])
    >>> exp_avg, exp_avg_sq = np.zeros(2), np.zeros(2)
    >>> kernels.adamw(param, grad, exp_avg, exp_avg_sq, step=1, lr=0.1, weight_decay=0.5)
    >>> param.round(6)
    array([0.85, 2.  ])
    """
    values = (lr, beta1, beta2, eps, eps_hat, weight_decay, True, grad_scale, clip_value, step)
    arrays: tuple[Any, ...] = (param, grad, exp_avg, exp_avg_sq)
    rule = rules.ADAM
    if cautious is not False:
        rule = rules.ADAM_CAUTIOUS if boolean("cautious", cautious) else rule
    if max_exp_avg_sq is not None:
        if cautious:
            raise ValueError("cautious: expected False with max_exp_avg_sq, got True")
        rule, arrays = rules.AMSGRAD, (*arrays, max_exp_avg_sq)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def lion(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    *,
    lr: float = 1e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
    cautious: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Lion: every element moves by the rate, in the direction of a moving average.

    ::

        c = beta1 * m + (1 - beta1) * g
        p -= lr * (sign(c) + weight_decay * p)
        m = beta2 * m + (1 - beta2) * g

    The weight decay is decoupled: ``g = clip(grad_scale * grad, clip_value)``.

    Parameters
    ----------
    param, grad, exp_avg : array or list of arrays, float32 or float64, any shape
        Parameter and moving average m, zeros before the first step, are updated in place; the gradient is only read.
    lr, weight_decay, grad_scale, clip_value : float
        As in `adamw`; the rate is usually 3 to 10 times smaller than Adam's, the decay as much larger.
    beta1, beta2 : float
        Shares of the average in the direction of the step and in the next average, in [0, 1).
    cautious : bool
        Decay only those elements that the update brings nearer to zero, or leaves where they are.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    X. Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, arXiv 2302.06675, algorithm 2.
    ``keras.optimizers.Lion``, ``optax.lion``.
    Cautious: L. Chen et al., "Cautious Weight Decay", 2025, arXiv 2510.12402, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, exp_avg = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2)
    >>> kernels.lion(param, grad, exp_avg, lr=0.1)
    >>> param, exp_avg.round(6)
    (array([0.9, 2.1]), array([ 0.03, -0.04]))
    """
    arrays, values = (param, grad, exp_avg), (lr, beta1, beta2, weight_decay, grad_scale, clip_value, 1)
    rule = rules.LION_CAUTIOUS if cautious is not False and boolean("cautious", cautious) else rules.LION
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def adamax(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_inf: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    eps_outside: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Adamax: Adam with the largest of the fading gradients in place of their root mean square.

    ::

        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 * u, abs(g) + eps)         # eps_outside: max(beta2 * u, abs(g))
        p -= lr / (1 - beta1**step) * m / u      # eps_outside: m / (u + eps)

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg : like `param`
        First moment m; zeros before the first step.
    exp_inf : like `param`
        Largest fading gradient u; zeros before the first step.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    lr : float
        Learning rate, finite, >= 0.
    beta1, beta2 : float
        Shares of moment and maximum that are kept, in [0, 1).
    eps : float
        Finite, >= 0.
    eps_outside : bool
        Add `eps` to the maximum when dividing by it, as Keras does, instead of within it.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 2. ``torch.optim.Adamax``,
    ``keras.optimizers.Adamax``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, exp_avg, exp_inf = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2), np.zeros(2)
    >>> kernels.adamax(param, grad, exp_avg, exp_inf, step=1, lr=0.1)
    >>> param.round(6), exp_inf.round(6)
    (array([0.9, 2.1]), array([3., 4.]))
    """
    arrays, rule = (param, grad, exp_avg, exp_inf), rules.ADAMAX
    values = (lr, beta1, beta2, eps, eps_outside, weight_decay, decoupled, grad_scale, clip_value, step)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def nadam(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_avg_sq: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    momentum_decay: float = 4e-3,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """NAdam: Adam with Nesterov's momentum, under a momentum that grows to `beta1`.

    ::

        mu_i = beta1 * (1 - 0.5 * 0.96**(i * momentum_decay)),   P_i = mu_1 * ... * mu_i
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        u = mu_{t+1} / (1 - P_{t+1}) * m + (1 - mu_t) / (1 - P_t) * g
        p -= lr * u / (sqrt(v / (1 - beta2**t)) + eps)

    P is computed with the `beta1` and `momentum_decay` of this step.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg, exp_avg_sq : like `param`
        Moments m and v; zeros before the first step.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    lr : float
        Learning rate, finite, >= 0.
    beta1, beta2 : float
        Shares of the moments that are kept, in [0, 1).
    eps : float
        Finite, >= 0.
    momentum_decay : float
        How fast mu grows, finite, >= 0; Keras has 1.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    T. Dozat, "Incorporating Nesterov Momentum into Adam", 2016, algorithm 8. ``torch.optim.NAdam``,
    ``keras.optimizers.Nadam``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, exp_avg, exp_avg_sq = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2), np.zeros(2)
    >>> kernels.nadam(param, grad, exp_avg, exp_avg_sq, step=1, lr=0.1)
    >>> param.round(4)
    array([0.8944, 2.1056])
    """
    arrays, rule = (param, grad, exp_avg, exp_avg_sq), rules.NADAM
    values = (lr, beta1, beta2, eps, momentum_decay, weight_decay, decoupled, grad_scale, clip_value, step)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def radam(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_avg_sq: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    eps_hat: bool = True,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """RAdam: Adam that takes plain momentum's steps until there are enough gradients to tell their variance.

    ::

        rho_inf = 2 / (1 - beta2) - 1,   rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p -= lr * m_hat                                               # as long as rho <= 5, then
        r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        p -= lr * r * m_hat * sqrt(1 - beta2**step) / (sqrt(v) + eps)   # not eps_hat: m_hat / (sqrt(v_hat) + eps)

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg, exp_avg_sq : like `param`
        Moments m and v; zeros before the first step.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    lr : float
        Learning rate, finite, >= 0.
    beta1, beta2 : float
        Shares of the moments that are kept, in [0, 1).
    eps : float
        Finite, >= 0.
    eps_hat : bool
        Leave epsilon out of the bias correction, as PyTorch does here; optax does not.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    L. Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020, algorithm 2. ``torch.optim.RAdam``,
    ``optax.radam``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, exp_avg, exp_avg_sq = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2), np.zeros(2)
    >>> kernels.radam(param, grad, exp_avg, exp_avg_sq, step=1, lr=0.1)
    >>> param.round(6)
    array([0.7, 2.4])
    """
    arrays, rule = (param, grad, exp_avg, exp_avg_sq), rules.RADAM
    values = (lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value, step)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def adadelta(
    param: Arrays,
    grad: Arrays,
    square_avg: Arrays,
    acc_delta: Arrays,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Adadelta: the size of a step comes from the sizes of those before, so that a rate of 1 is a place to begin.

    ::

        s = rho * s + (1 - rho) * g**2
        u = sqrt(d + eps) / sqrt(s + eps) * g
        d = rho * d + (1 - rho) * u**2
        p -= lr * u

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    square_avg : like `param`
        Moving average s of the squared gradient; zeros before the first step.
    acc_delta : like `param`
        Moving average d of the squared update u; zeros before the first step.
    lr : float
        Factor on the update, finite, >= 0.
    rho : float
        Share of the averages that is kept, in [0, 1).
    eps : float
        Finite, >= 0; it sets the size of the first steps.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    M. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, algorithm 1. ``torch.optim.Adadelta``,
    ``keras.optimizers.Adadelta``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, square_avg, acc_delta = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2), np.zeros(2)
    >>> kernels.adadelta(param, grad, square_avg, acc_delta)
    >>> param.round(6), square_avg.round(6)
    (array([0.996838, 2.003162]), array([0.9, 1.6]))
    """
    arrays, rule = (param, grad, square_avg, acc_delta), rules.ADADELTA
    values = (lr, rho, eps, weight_decay, decoupled, grad_scale, clip_value, 1)
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def ademamix(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_avg_slow: Arrays,
    exp_avg_sq: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    beta3: float = 0.9999,
    mixing: float = 5.0,
    mixing_warmup: int = 0,
    beta3_warmup: int = 0,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """AdEMAMix: Adam with a second, slow average of the gradient, for trainings of very many steps.

    ::

        m = beta1 * m + (1 - beta1) * g
        w = b3 * w + (1 - b3) * g
        v = beta2 * v + (1 - beta2) * g**2
        p -= lr * (m_hat + a * w) / (sqrt(v_hat) + eps)

        m_hat = m / (1 - beta1**step),   v_hat = v / (1 - beta2**step)
        a = mixing * min(1, step / mixing_warmup)
        1 / log(b3) = (1 - t) / log(beta1) + t / log(beta3),   t = min(1, step / beta3_warmup)

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg, exp_avg_slow, exp_avg_sq : like `param`
        Averages m and w of the gradient and v of its square; zeros before the first step.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    lr : float
        Learning rate, finite, >= 0.
    beta1, beta2, beta3 : float
        Shares of m, v and w that are kept, in [0, 1).
    mixing : float
        Weight of the slow average, alpha in the paper, finite, >= 0.
    mixing_warmup, beta3_warmup : int
        Steps in which `mixing` grows from 0, and the share of the slow average from `beta1`; at least 0. The paper has
        the number of all steps for both.
    eps : float
        Finite, >= 0.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    M. Pagliardini, P. Ablin and D. Grangier, "The AdEMAMix Optimizer: Better, Faster, Older", 2024, arXiv 2409.03137,
    algorithm 1, with `decoupled`. ``optax.contrib.ademamix``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, (m, w, v) = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros((3, 2))
    >>> kernels.ademamix(param, grad, m, w, v, step=1, lr=0.1)
    >>> param.round(5), w.round(5)
    (array([0.89995, 2.10005]), array([ 0.0003, -0.0004]))
    """
    arrays, rule = (param, grad, exp_avg, exp_avg_slow, exp_avg_sq), rules.ADEMAMIX
    own = (lr, beta1, beta2, beta3, mixing, mixing_warmup, beta3_warmup, eps, weight_decay, decoupled)
    values = (*own, grad_scale, clip_value, step)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def adopt(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_avg_sq: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.9999,
    eps: float = 1e-6,
    clipped: bool = True,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """ADOPT: Adam that divides by the second moment of the steps before, so that it converges with any `beta2`.

    ::

        v = g**2                                 # at step 1, which moves nothing

        u = g / max(sqrt(v), eps)                # clipped: within plus and minus (step - 1)**0.25
        m = beta1 * m + (1 - beta1) * u
        v = beta2 * v + (1 - beta2) * g**2
        p -= lr * m

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg, exp_avg_sq : like `param`
        Averages m and v; zeros before the first step.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    lr : float
        Learning rate, finite, >= 0.
    beta1, beta2 : float
        Shares of the averages that are kept, in [0, 1).
    eps : float
        Finite, >= 0; above zero for elements without gradients.
    clipped : bool
        Whether to bound u, as the paper's later versions do.
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    decoupled : bool
        Decay the parameter apart from the gradient: ``p -= lr * weight_decay * p`` first, and no decay in g.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    S. Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate", 2024, arXiv
    2411.02853, algorithm 2. ``optax.contrib.adopt``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, exp_avg, exp_avg_sq = np.array([1.0, 2.0]), np.array([3.0, -4.0]), np.zeros(2), np.zeros(2)
    >>> for step in (1, 2):
    ...     kernels.adopt(param, grad, exp_avg, exp_avg_sq, step=step, lr=0.1)
    >>> param, exp_avg_sq
    (array([0.99, 2.01]), array([ 9., 16.]))
    """
    arrays, rule = (param, grad, exp_avg, exp_avg_sq), rules.ADOPT
    values = (lr, beta1, beta2, eps, clipped, weight_decay, decoupled, grad_scale, clip_value, step)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def schedule_free_sgd(
    param: Arrays,
    grad: Arrays,
    z: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 1.0,
    momentum: float = 0.9,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Schedule-Free SGD: gradient descent with an average in the place of a falling rate.

    The parameter is the point y where gradients are taken, between z, which descends, and x, a mean of all z, which is
    what a model is evaluated with. With ``y = (1 - momentum) * z + momentum * x``::

        z -= lr * g                              # lr * min(1, step / warmup_steps)
        x = (1 - c) * x + c * z                  # c = w[step] / (w[1] + ... + w[step])
        w[t] = t**r * min(1, t / warmup_steps)**weight_lr_power

    x is not kept, since ``x = y + (1 - 1 / momentum) * (z - y)``; the update is ::

        p += c * (z - p) - lr * (1 - momentum * (1 - c)) * g
        z -= lr * g

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    z : like `param`
        The point that descends; before the first step what `param` is.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    warmup_steps : int
        Steps in which the rate grows to `lr` in equal parts, at least 0.
    r, weight_lr_power : float
        Exponents of the weights of the mean x, in [0, 5].
    lr : float
        Learning rate, finite, >= 0.
    momentum : float
        Where gradients are taken between z and x, in (0, 1].
    weight_decay, grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value) + weight_decay * param``.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    A. Defazio et al., "The Road Less Scheduled", 2024, arXiv 2405.15682, equations 3-5.
    ``schedulefree.SGDScheduleFree``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param = np.array([1.0, -2.0])
    >>> z = param.copy()
    >>> for step in (1, 2):
    ...     kernels.schedule_free_sgd(param, 2 * param, z, step=step, lr=0.1)
    >>> param.round(4), z.round(4)
    (array([ 0.712, -1.424]), array([ 0.64, -1.28]))
    """
    arrays, rule = (param, grad, z), rules.SCHEDULE_FREE_SGD
    values = (lr, momentum, warmup_steps, r, weight_lr_power, weight_decay, grad_scale, clip_value, step)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def schedule_free_adamw(
    param: Arrays,
    grad: Arrays,
    exp_avg_sq: Arrays,
    z: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 2.5e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Schedule-Free AdamW: RMSProp's steps with an average in the place of momentum and of a falling rate.

    ::

        v = beta2 * v + (1 - beta2) * g**2
        u = g / (sqrt(v / (1 - beta2**step)) + eps) + weight_decay * p
        p += c * (z - p) - lr * (1 - beta1 * (1 - c)) * u
        z -= lr * u

    The parameter is the point y where gradients are taken; the model is evaluated at
    ``x = p + (1 - 1 / beta1) * (z - p)``. See `schedule_free_sgd`, for c and the warm-up too.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg_sq : like `param`
        Moving average v of the squared gradient; zeros before the first step.
    z : like `param`
        The point that descends; before the first step what `param` is.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    warmup_steps : int
        Steps in which the rate grows to `lr` in equal parts, at least 0.
    r, weight_lr_power : float
        Exponents of the weights of the mean x, in [0, 5].
    lr : float
        Learning rate, finite, >= 0.
    beta1 : float
        Where gradients are taken between z and x, in (0, 1).
    beta2 : float
        Share of v that is kept, in [0, 1).
    eps : float
        Finite, >= 0.
    weight_decay, grad_scale, clip_value : float
        Decay, as above, and ``g = clip(grad_scale * grad, clip_value)``.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    A. Defazio et al., "The Road Less Scheduled", 2024, arXiv 2405.15682, algorithm 1.
    ``schedulefree.AdamWScheduleFree``, ``keras.optimizers.ScheduleFreeAdamW``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, exp_avg_sq = np.array([1.0, -2.0]), np.zeros(2)
    >>> z = param.copy()
    >>> for step in (1, 2):
    ...     kernels.schedule_free_adamw(param, 2 * param, exp_avg_sq, z, step=step, lr=0.1)
    >>> param.round(3), z.round(3)
    (array([ 0.848, -1.846]), array([ 0.805, -1.803]))
    """
    arrays, rule = (param, grad, exp_avg_sq, z), rules.SCHEDULE_FREE_ADAMW
    own = (lr, beta1, beta2, warmup_steps, r, weight_lr_power, eps, weight_decay)
    values = (*own, grad_scale, clip_value, step)
    careful = rows is not None or not (cast_grads is False or cast_grads is True) or hasattr(step, "__len__")
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)


def lamb(
    param: Arrays,
    grad: Arrays,
    exp_avg: Arrays,
    exp_avg_sq: Arrays,
    *,
    step: int | Sequence[int],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
) -> None:
    """LAMB: AdamW with a rate for each array, in proportion to the norm of the array.

    ::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        u = m_hat / (sqrt(v_hat) + eps) + weight_decay * p
        p -= lr * norm(p) / norm(u) * u          # lr * u, where one of the norms is 0

    The norms are summed in float64 in a fixed order, as `clip_grad_norm` does it, in the order of memory for C- and for
    F-contiguous arrays: any number of threads and any backend give the same bits.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    exp_avg, exp_avg_sq : like `param`
        Moments m and v; zeros before the first step.
    step : int or sequence of int
        Number of this step, counted from 1; for a list of tensors, one for each or one for all.
    lr : float
        Learning rate, finite, >= 0.
    beta1, beta2 : float
        Shares of the moments that are kept, in [0, 1).
    eps : float
        Finite, >= 0.
    weight_decay, grad_scale, clip_value : float
        Decay, as above, and ``g = clip(grad_scale * grad, clip_value)``.
    cast_grads : bool
        Whether gradients may be of another type; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    Y. You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2020, arXiv 1904.00962,
    algorithm 2. ``keras.optimizers.Lamb``, ``optax.lamb``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, exp_avg, exp_avg_sq = np.array([3.0, 4.0]), np.array([3.0, -4.0]), np.zeros(2), np.zeros(2)
    >>> kernels.lamb(param, grad, exp_avg, exp_avg_sq, step=1, lr=0.1)
    >>> param.round(4)
    array([2.6464, 4.3536])
    """
    values = (lr, beta1, beta2, eps, False, weight_decay, True, grad_scale, clip_value, step)
    apply_carefully(rules.LAMB, (param, grad, exp_avg, exp_avg_sq), values, cast_grads)


def muon(
    param: Arrays,
    grad: Arrays,
    momentum_buffer: Arrays,
    *,
    lr: float = 1e-3,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    ns_steps: int = 5,
    ns_eps: float = 1e-7,
    match_rms: bool = False,
    weight_decay: float = 0.1,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
) -> None:
    """Muon: momentum of a matrix, whose singular values are all brought near 1.

    ::

        b = momentum * b + (1 - momentum) * g
        x = momentum * b + (1 - momentum) * g    # nesterov, else b
        x = x / max(norm(x), ns_eps)             # of the transpose, where there are more rows than columns
        x = c1 * x + (c2 * a + c3 * a @ a) @ x,   a = x @ x.T      # ns_steps times
        p -= lr * weight_decay * p
        p -= lr * s * x,   s = sqrt(max(1, rows / columns))        # match_rms: 0.2 * sqrt(max(rows, columns))

    The products are those of NumPy's BLAS: their last bits depend on it, and on its number of threads.

    Parameters
    ----------
    param : matrix or list of matrices, float32 or float64
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    momentum_buffer : like `param`
        Moving average b of the gradient; zeros before the first step.
    lr : float
        Learning rate, finite, >= 0.
    momentum : float
        Share of the average that is kept, in [0, 1].
    nesterov : bool
        Look ahead along the average.
    ns_coefficients : three of float
        c1, c2 and c3 of the Newton-Schulz steps.
    ns_steps : int
        Number of Newton-Schulz steps, at least 0.
    ns_eps : float
        Finite, >= 0.
    match_rms : bool
        Scale the update to the size of AdamW's, so that its rate and decay fit.
    weight_decay, grad_scale, clip_value : float
        Decay, as above, and ``g = clip(grad_scale * grad, clip_value)``.
    cast_grads : bool
        Whether gradients may be of another type; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/. `match_rms`: J. Liu et al., "Muon is Scalable for LLM Training", 2025,
    arXiv 2502.16982. ``torch.optim.Muon``, which computes the products in bfloat16.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, grad, momentum_buffer = np.eye(2), np.array([[2.0, 0.0], [0.0, 1.0]]), np.zeros((2, 2))
    >>> kernels.muon(param, grad, momentum_buffer, lr=0.1, weight_decay=0.0)
    >>> param.round(3)
    array([[0.931, 0.   ],
           [0.   , 0.889]])
    """
    if not isinstance(ns_coefficients, list | tuple) or len(ns_coefficients) != 3:
        raise TypeError(f"ns_coefficients: expected three numbers, got {ns_coefficients!r}")
    own = (lr, momentum, nesterov, *ns_coefficients, ns_steps, ns_eps, match_rms, weight_decay)
    apply_carefully(rules.MUON, (param, grad, momentum_buffer), (*own, grad_scale, clip_value, 1), cast_grads)


def rprop(
    param: Arrays,
    grad: Arrays,
    prev: Arrays,
    step_size: Arrays,
    *,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    step_size_min: float = 1e-6,
    step_size_max: float = 50.0,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
    rows: Rows | None = None,
) -> None:
    """Rprop: every element has a step size of its own, which grows while the sign of its gradient stays.

    ::

        w *= eta_plus where g and q have one sign, eta_minus where they have different ones, 1 where one is 0
        w = min(max(w, step_size_min), step_size_max)
        g = 0 where the sign has changed
        p -= sign(g) * w
        q = g

    It is for gradients of the whole data; those of batches change their signs by chance.

    Parameters
    ----------
    param : array or list of arrays, float32 or float64, any shape
        Updated in place.
    grad : like `param`
        Gradient of the loss with respect to `param`; only read.
    prev : like `param`
        The gradient q of the step before; zeros before the first step.
    step_size : like `param`
        The step sizes w; before the first step the first step size, 0.01 in PyTorch.
    eta_minus, eta_plus : float
        Factors of a step size, in (0, 1) and above 1.
    step_size_min, step_size_max : float
        Bounds of the step sizes, finite, >= 0.
    grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value)``.
    cast_grads, rows
        For gradients of another type, and for those of some rows; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning: The RPROP algorithm",
    1993; without a step back at a change of sign, "iRprop-" of C. Igel and M. Hüsken, 2000. ``torch.optim.Rprop``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> param, prev, step_size = np.array([1.0, 2.0]), np.array([0.5, 0.5]), np.full(2, 0.1)
    >>> kernels.rprop(param, np.array([3.0, -4.0]), prev, step_size)
    >>> param.round(6), step_size.round(6)
    (array([0.88, 2.  ]), array([0.12, 0.05]))
    """
    arrays, rule = (param, grad, prev, step_size), rules.RPROP
    values = (eta_minus, eta_plus, step_size_min, step_size_max, grad_scale, clip_value, 1)
    careful = rows is not None or not (cast_grads is False or cast_grads is True)
    if careful or not _backend.active.apply(rule, arrays, values, _threads.MIN_SIZE):
        apply_carefully(rule, arrays, values, cast_grads, rows)
