"""The update rules as Numba loops: twins of those in ``src/rules.pyx``, for machines without a C compiler.

The scalars come in the arrays' own type, so that nothing is computed in a wider one; `error_model="numpy"` keeps a
division from raising, which is what lets the loops vectorize; there is no `fastmath`, which would change the bits.
"""

# pyright: reportCallIssue=false
# (an intrinsic is not called with the typing context that it is defined with)

import platform
from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

name = "numba"
isa = None
TAKES_ANY_LENGTH = True


def compiled(function):
    """Have Numba compile `function` at its first call, and keep the machine code where there is a place for it."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


@compiled
def clip(x, limit):
    x = -limit if x < -limit else x
    return limit if x > limit else x


@compiled
def sgd(p, g, scale, limit, decay, lr):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        p[i] -= lr * grad


@compiled
def momentum(p, g, b, scale, limit, decay, mu, a, c1, c2):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        b[i] = mu * b[i] + a * grad
        p[i] -= c1 * b[i] + c2 * grad


@compiled
def adagrad(p, g, s, scale, limit, decay, lr, eps_in, eps_out):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += grad * grad
        p[i] -= lr * grad / (sqrt(s[i] + eps_in) + eps_out)


@compiled
def rmsprop(p, g, s, scale, limit, decay, a, eps_in, eps_out, lr):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        p[i] -= lr * grad / (sqrt(s[i] + eps_in) + eps_out)


@compiled
def rmsprop_momentum(p, g, s, b, scale, limit, decay, a, eps_in, eps_out, mu, k, lr):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        b[i] = mu * b[i] + k * grad / (sqrt(s[i] + eps_in) + eps_out)
        p[i] -= lr * b[i]


@compiled
def variance(s, m):
    d = s - m * m
    return s - s if d < 0 else d  # zero in the type of d, which may be -inf


@compiled
def rmsprop_centered(p, g, s, m, scale, limit, decay, a, eps_in, eps_out, lr):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        m[i] += a * (grad - m[i])
        p[i] -= lr * grad / (sqrt(variance(s[i], m[i]) + eps_in) + eps_out)


@compiled
def rmsprop_centered_momentum(p, g, s, m, b, scale, limit, decay, a, eps_in, eps_out, mu, k, lr):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        m[i] += a * (grad - m[i])
        b[i] = mu * b[i] + k * grad / (sqrt(variance(s[i], m[i]) + eps_in) + eps_out)
        p[i] -= lr * b[i]


@compiled
def adam(p, g, m, v, scale, limit, decay, keep, a1, a2, lr, eps):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        p[i] = keep * p[i] - lr * m[i] / (sqrt(v[i]) + eps)


@compiled
def maximum(a, b):
    return a if (a > b) | (a != a) else b  # NaN stays NaN


@compiled
def amsgrad(p, g, m, v, v_max, scale, limit, decay, keep, a1, a2, lr, eps):
    for i in range(p.size):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        v_max[i] = maximum(v_max[i], v[i])
        p[i] = keep * p[i] - lr * m[i] / (sqrt(v_max[i]) + eps)


def bind(streams: tuple[object, ...], others: tuple[object, ...] = ()) -> None:
    """Nothing to prepare: every sweep goes through NumPy's iterator."""


def apply(rule: str, arrays: tuple[object, ...], scalars: tuple[float, ...], limit: int) -> bool:
    """No short cut for small arrays."""
    return False


def apply_adam(*arguments: object) -> bool:
    """No short cut for small arrays."""
    return False


def adam_scalars(*arguments: object) -> None:
    """Nothing faster to offer than the general way."""


def sums_of_squares(arrays: tuple[object, ...], start: int, stop: int) -> None:
    """Nothing faster to offer than the general way."""


def update(rule: str, arrays: Sequence[np.ndarray[Any, Any]], scalars: tuple[float, ...]) -> None:
    """Apply `rule` to contiguous one-dimensional arrays of one dtype, with denormals flushed to zero."""
    real = arrays[0].dtype.type
    with np.errstate(over="ignore"):
        cast = [real(scalar) for scalar in scalars]
    word = flush_to_zero()
    try:
        globals()[rule](*arrays, *cast)
    finally:
        restore(word)


# Flush-to-zero: set in the thread's control word around each update, as src/flush_to_zero.pxd does.

_MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
_FLUSH = {"x86_64": 0x8040, "aarch64": 1 << 24}.get(_MACHINE, 0)


@intrinsic
def _read_control_word(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _MACHINE == "x86_64":
            word = cgutils.alloca_once(builder, ir.IntType(32))
            _call_sse(builder, "stmxcsr", word)
            return builder.zext(builder.load(word), ir.IntType(64))
        if _MACHINE == "aarch64":
            return builder.asm(ir.FunctionType(ir.IntType(64), []), "mrs $0, fpcr", "=r", [], side_effect=True)
        return ir.Constant(ir.IntType(64), 0)

    return types.uint64(), generate


@intrinsic
def _write_control_word(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _MACHINE == "x86_64":
            word = cgutils.alloca_once_value(builder, builder.trunc(args[0], ir.IntType(32)))
            _call_sse(builder, "ldmxcsr", word)
        elif _MACHINE == "aarch64":
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
            builder.asm(kind, "msr fpcr, $0", "r,~{memory}", [args[0]], side_effect=True)
        return context.get_dummy_value()

    return types.void(types.uint64), generate


def _call_sse(builder: Any, name: str, word: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(word, ir.IntType(8).as_pointer())])


@compiled
def flush_to_zero():
    word = _read_control_word()
    _write_control_word(word | np.uint64(_FLUSH))
    return word


@compiled
def restore(word):
    _write_control_word(word)
