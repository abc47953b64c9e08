"""AdaGrad with one number for each row of a table: made of the rule of gradient descent, on gradients scaled by row."""

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from fastopt._checks import boolean
from fastopt._typing import Array
from fastopt.kernels import rules
from fastopt.kernels._bound import summed
from fastopt.kernels._checks import Part, as_array, as_rows, check_parts, describe
from fastopt.kernels._step import apply_carefully
from fastopt.kernels.rules import CHECKS


def rowwise_adagrad(
    param: Array,
    grad: Array,
    sum: Array,
    *,
    rows: Sequence[int] | Array | None = None,
    lr: float,
    eps: float = 1e-10,
    grad_scale: float = 1.0,
    clip_value: float = inf,
    cast_grads: bool = False,
) -> None:
    """AdaGrad with one rate for each row: a state as small as one number a row of an embedding table.

    ::

        s[i] += mean(g[i]**2)                    # over the elements of row i
        p[i] -= lr * g[i] / (sqrt(s[i]) + eps)

    Parameters
    ----------
    param : array, float32 or float64, with rows along the first axis
        A whole table, updated in place.
    grad : array
        Gradient of the rows in `rows`, in their order, else like `param`; only read.
    sum : array like `param`, shape (number of rows,)
        Sum s of mean squared gradients; zeros before the first step.
    rows : sequence of int, optional
        Indices of the rows that the gradient is for; gradients of a row that is named more than once are summed first.
        Default: all rows.
    lr : float
        Learning rate, finite, >= 0.
    eps : float
        Finite, >= 0.
    grad_scale, clip_value : float
        ``g = clip(grad_scale * grad, clip_value)``.
    cast_grads : bool
        Whether `grad` may be of another type than `param`; see `fastopt.kernels`.

    Raises
    ------
    TypeError, ValueError, IndexError
        See `fastopt.kernels`; nothing is written then.

    References
    ----------
    ``EXACT_ROWWISE_ADAGRAD`` of FBGEMM's table-batched embeddings; D. Mudigere et al., "Software-Hardware Co-design for
    Fast and Scalable Training of Deep Learning Recommendation Models", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import kernels
    >>> table, sums = np.ones((4, 2)), np.zeros(4)
    >>> kernels.rowwise_adagrad(table, np.array([[3.0, 4.0]]), sums, rows=[2], lr=0.1)
    >>> table[2].round(4), sums
    (array([0.9151, 0.8869]), array([ 0. ,  0. , 12.5,  0. ]))
    """
    values = {"lr": lr, "eps": eps, "grad_scale": grad_scale, "clip_value": clip_value}
    lr, eps, grad_scale, clip_value = (CHECKS[name](name, value) for name, value in values.items())
    cast = boolean("cast_grads", cast_grads)
    table, gradient, sums = as_array(param, "param"), as_array(grad, "grad", written=False), as_array(sum, "sum")
    if table.ndim == 0:
        raise ValueError("param: expected an array with rows, got one without axes")
    indices = np.arange(len(table)) if rows is None else as_rows(rows, "rows")
    check_parts(
        [Part(("param", "grad"), ([table], [gradient]), [""], [indices], cast), Part(("sum",), ([sums],), [""])]
    )
    if sums.shape != (len(table),) or sums.dtype != table.dtype:
        raise ValueError(
            f"sum: expected shape {(len(table),)} and dtype {table.dtype}, got {sums.shape} and {describe(sums.dtype)}"
        )
    with np.errstate(all="ignore"):
        distinct, g = summed(indices, gradient, table.dtype)
        g = np.clip(g * table.dtype.type(grad_scale), -clip_value, clip_value)
        by_row = g.reshape(len(g), -1)
        new = sums[distinct] + (by_row * by_row).mean(axis=1, dtype=table.dtype) if g.size else sums[distinct]
        scaled = by_row / (np.sqrt(new) + table.dtype.type(eps))[:, np.newaxis]
    no_decay: tuple[Any, ...] = (0.0, False)
    apply_carefully(rules.SGD, (table, scaled.reshape(g.shape)), (lr, *no_decay, 1.0, inf, 1), rows=distinct)
    sums[distinct] = new
