"""Rules by which the update of an element depends on its whole tensor: what comes before their loops.

LAMB's loop is Adam's, with a rate for each tensor; Muon's takes an update that was made of the whole matrix. Both are
found from the arrays as they are before the step, so nothing has been written when they are there.
"""

from collections.abc import Callable, Sequence
from math import fsum, inf, sqrt
from typing import Any

import numpy as np

from fastopt._typing import Array
from fastopt.kernels import _backend, _threads, rules
from fastopt.kernels._bound import converted
from fastopt.kernels._norm import BLOCK, sums_of_squares
from fastopt.kernels.rules import Rule, Value

Values = tuple[Value, ...]


def prepared(rule: Rule, arrays: Sequence[Array], values: Values, suffix: str) -> Values:
    """Return the hyper-parameters with which a loop is to update one tensor, and fill its workspace.

    Parameters
    ----------
    rule : Rule
        A layerwise rule.
    arrays : sequence of ndarray
        An array for each of the rule's streams, which fit each other.
    values : tuple of (float, int or bool)
        Checked hyper-parameters of the rule and of a call.
    suffix : str
        Names the tensor in a message.
    """
    return _PREPARATIONS[rule](arrays, values, suffix)


def _with_trust_ratio(arrays: Sequence[Array], values: Values, suffix: str) -> Values:
    """Multiply the rate by the norm of the parameter over that of Adam's update, decay included."""
    lr, *averages, weight_decay, _, grad_scale, clip_value, step = values
    alone = (1.0, *averages, 0.0, False, grad_scale, clip_value, step)  # at rate 1, and without decay
    # Contiguous arrays in the order of their memory, and others, whose elements are copied, in C order.
    order: Any = "F" if all(array.flags.f_contiguous for array in arrays) else "C"
    param, grad, exp_avg, exp_avg_sq = (array.ravel(order) for array in arrays)

    def squares(start: int, stop: int) -> list[tuple[float, float]]:
        found = []
        scratch = np.empty((4, min(BLOCK, param.size)), param.dtype)
        for block in range(start, stop):
            here = slice(block * BLOCK, (block + 1) * BLOCK)
            own = param[here]
            sources = (0.0, converted(grad[here], own.dtype), exp_avg[here], exp_avg_sq[here])
            streams = update, *_ = tuple(scratch[:, : own.size])
            for stream, source in zip(streams, sources, strict=True):
                stream[...] = source
            if not _backend.active.apply(rules.ADAM, streams, alone, BLOCK + 1):
                raise SystemError("arrays that were made for it cannot be updated")
            if weight_decay:
                with np.errstate(all="ignore"):
                    update -= own.dtype.type(weight_decay) * own  # both with a minus, which the norm does not see
            (of_param,), (of_update,) = sums_of_squares((own,), 0, 1), sums_of_squares((update,), 0, 1)
            found.append((of_param, of_update))
        return found

    blocks = -(-param.size // BLOCK)
    shares = _threads.share_out(squares, blocks, grain=1) if param.size >= _threads.MIN_SIZE else [squares(0, blocks)]
    norm, size = (sqrt(fsum(column)) if column else 0.0 for column in _columns(shares))
    ratio = norm / size if 0.0 < norm < inf and size > 0.0 else 1.0
    return (lr * ratio, *values[1:])


def _columns(shares: list[list[tuple[float, float]]]) -> tuple[list[float], list[float]]:
    pairs = [pair for share in shares for pair in share]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _orthogonalized(arrays: Sequence[Array], values: Values, suffix: str) -> Values:
    """Fill the update of a matrix: its momentum with all singular values brought near 1, by Newton-Schulz steps."""
    _, momentum, nesterov, a, b, c, ns_steps, ns_eps, match_rms, _, grad_scale, clip_value, _ = values
    param, grad, buffer, update = arrays
    check_matrix(param, "param" + suffix)
    rows, columns = param.shape
    with np.errstate(all="ignore"):
        g = np.clip(converted(grad, param.dtype) * param.dtype.type(grad_scale), -clip_value, clip_value)
        x = buffer + (1.0 - momentum) * (g - buffer)
        if nesterov:
            x = g + momentum * (x - g)
        x = x.T if rows > columns else x
        x = x / max(float(np.linalg.norm(x)), ns_eps)
        for _ in range(int(ns_steps)):
            gram = x @ x.T
            x = a * x + (b * gram + c * (gram @ gram)) @ x
        size = 0.2 * sqrt(max(rows, columns)) if match_rms else sqrt(max(1.0, rows / max(columns, 1)))
        np.multiply(x.T if rows > columns else x, param.dtype.type(size), out=update)
    return values


def check_matrix(param: Array, label: str) -> None:
    """Refuse an array that has not two axes."""
    if param.ndim != 2:
        raise ValueError(f"{label}: expected a matrix, got shape {param.shape}")


_PREPARATIONS: dict[Rule, Callable[[Sequence[Array], Values, str], Values]] = {
    rules.LAMB: _with_trust_ratio,
    rules.MUON: _orthogonalized,
}
