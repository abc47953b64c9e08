"""The global norm of gradients, with the same bits for any number of threads, any cuts and any backend.

All elements are laid end to end. Within a block of `BLOCK` elements, element i is added to lane i modulo `LANES` in
float64, then the lanes are added up pairwise; the blocks are added up exactly (`math.fsum`). So the result depends
neither on where arrays begin nor on who adds which block, and the lanes are what the processor adds at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import frexp, fsum, inf, isfinite, isnan, ldexp, sqrt
from typing import Any, NamedTuple

import numpy as np

from fastopt._checks import real
from fastopt._typing import Array
from fastopt.kernels import _backend, _threads
from fastopt.kernels._bound import converted
from fastopt.kernels._checks import as_array, check_dtype
from fastopt.kernels.rules import CHECKS

BLOCK = 65536
LANES = 16

# Below this, squares of float64 gradients may have been lost to underflow.
_TINY = 1e-250


_MAX_NORM = real(at_least=0.0, infinite=True, booleans=True)


class Clipping(NamedTuple):
    """The result of `clip_grad_norm`.

    Attributes
    ----------
    norm : float
        Norm of the gradients.
    grad_scale : float
        Factor that clips them, to be handed to a kernel or to ``Optimizer.step``.
    """

    norm: float
    grad_scale: float


def clip_grad_norm(
    grad: Array | Sequence[Array] | Mapping[Any, Array], max_norm: float, *, eps: float = 1e-6
) -> Clipping:
    """Return the norm of all gradients together, and the factor that brings it down to `max_norm`.

    ``norm = sqrt(sum of squares); grad_scale = min(1, max_norm / (norm + eps))``. The gradients are read once and not
    written: the factor goes into the step.

    Parameters
    ----------
    grad : array, sequence or mapping of arrays, float32 or float64, any shapes
        Gradients.
    max_norm : float
        Largest norm to let pass, >= 0; infinity only measures the norm.
    eps : float
        Finite, >= 0; 1e-6 in PyTorch, 0 in optax and Keras.

    Returns
    -------
    Clipping
        `norm` and `grad_scale`. Where a gradient is infinite or NaN the norm says so and the factor is NaN, which a
        step refuses before it writes anything.

    Raises
    ------
    TypeError, ValueError
        What is not an array, a dtype that is not supported, a number out of its range.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
    ``torch.nn.utils.clip_grad_norm_``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights, grad = np.zeros(2), np.array([30.0, -40.0])
    >>> norm, grad_scale = fastopt.kernels.clip_grad_norm(grad, max_norm=1.0)
    >>> norm, round(grad_scale, 6)
    (50.0, 0.02)
    >>> opt = fastopt.SGD(weights, lr=1.0)
    >>> opt.step(grad, grad_scale=grad_scale)
    >>> weights.round(6)
    array([-0.6,  0.8])
    """
    max_norm, eps = _MAX_NORM("max_norm", max_norm), CHECKS["eps"]("eps", eps)
    norm = _norm(_gradients(grad))
    if not norm < inf:
        return Clipping(norm, float("nan"))
    return Clipping(norm, min(1.0, max_norm / (norm + eps)) if norm else 1.0)


def are_finite(grads: Sequence[Array], params: Sequence[Array]) -> bool:
    """Whether gradients, in the types of their parameters, have neither infinities nor NaN; they are read once."""
    pairs = list(zip(grads, params, strict=True))
    alike = tuple([grad for grad, param in pairs if grad.dtype == param.dtype])
    others = [(grad, param) for grad, param in pairs if grad.dtype != param.dtype]
    return all(np.isfinite(converted(grad, param.dtype)).all() for grad, param in others) and isfinite(_norm(alike))


def _gradients(grad: Any) -> tuple[Array, ...]:
    if isinstance(grad, Mapping):
        labelled = [(f"grad[{key!r}]", value) for key, value in grad.items()]
    elif isinstance(grad, list | tuple):
        labelled = [(f"grad[{i}]", value) for i, value in enumerate(grad)]
    else:
        labelled = [("grad", grad)]
    arrays = tuple(as_array(value, label, written=False) for label, value in labelled)
    for (label, _), array in zip(labelled, arrays, strict=True):
        check_dtype(array, label)
    return arrays


def _norm(arrays: tuple[Array, ...]) -> float:
    size = sum(array.size for array in arrays)
    blocks = -(-size // BLOCK)

    def sums(start: int, stop: int) -> list[float]:
        return sums_of_squares(arrays, start, stop)

    shares = _threads.share_out(sums, blocks, grain=1) if size >= _threads.MIN_SIZE else [sums(0, blocks)]
    total = _add(block for share in shares for block in share)
    if isnan(total) or _TINY < total < inf or not size:
        return sqrt(total)
    # Squares that overflowed or vanished: the same sum over gradients scaled by a power of two, which is exact.
    largest = max(max(float(array.max()), -float(array.min())) for array in arrays if array.size)
    if not 0.0 < largest < inf:
        return largest
    exponent = frexp(largest)[1]
    scaled = sqrt(_add(_sums_of_squares(arrays, 0, blocks, -exponent)))
    try:
        return ldexp(scaled, exponent)
    except OverflowError:  # no float is that large
        return inf


def sums_of_squares(arrays: tuple[Array, ...], start: int, stop: int) -> list[float]:
    """Return the sum of squares of each block from `start` up to `stop`."""
    found: list[float] | None = _backend.active.sums_of_squares(arrays, start, stop)
    return found if found is not None else list(_sums_of_squares(arrays, start, stop))


def _add(blocks: Any) -> float:
    try:
        return fsum(blocks)
    except OverflowError:
        return inf


def _sums_of_squares(arrays: Sequence[Array], start: int, stop: int, exponent: int = 0) -> Iterator[float]:
    """Yield the sum of squares of each block, of arrays of any layout."""
    block = np.zeros(BLOCK)
    filled, skip, left = 0, start * BLOCK, (stop - start) * BLOCK
    for array in arrays:
        begin, end = min(skip, array.size), min(skip + left, array.size)
        skip -= begin
        if begin == end:
            continue
        left -= end - begin
        flags: Any = ["external_loop", "buffered", "delay_bufalloc", "ranged"]
        with np.nditer([array], flags, [["readonly"]], op_dtypes=[np.dtype(np.float64)]) as chunks:
            chunks.iterrange = (begin, end)  # type: ignore[misc]
            for chunk in chunks:
                rest: Any = chunk
                while rest.size:
                    taken = rest[: BLOCK - filled]
                    block[filled : filled + taken.size] = taken
                    filled, rest = filled + taken.size, rest[taken.size :]
                    if filled == BLOCK:
                        yield _sum_of_squares(block, exponent)
                        filled = 0
    if filled:
        block[filled:] = 0.0
        yield _sum_of_squares(block, exponent)


def _sum_of_squares(block: Array, exponent: int) -> float:
    with np.errstate(all="ignore"):
        if exponent:
            block = np.ldexp(block, exponent)
        lanes = np.square(block).reshape(-1, LANES).sum(axis=0)
        while lanes.size > 1:
            half = lanes.size // 2
            lanes = lanes[:half] + lanes[half:]
    return float(lanes[0])
