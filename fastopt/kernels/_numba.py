"""The Numba backend: the loops jitted, for machines without a C compiler.

The scalars are cast to the arrays' own type, so that nothing is computed in a wider one; `error_model="numpy"` keeps a
division from raising, which is what lets the loops vectorize; there is no `fastmath`, which would change the bits.
"""

# pyright: reportCallIssue=false
# (an intrinsic is not called with the typing context that it is defined with)

import platform
from collections.abc import Callable
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastopt._typing import Array
from fastopt.kernels import loops
from fastopt.kernels._bound import Interpreted, Update
from fastopt.kernels.rules import Rule, with_globals


def compiled(function: Callable[..., Any]) -> Any:
    """Have Numba compile `function` at its first call, and keep the machine code where there is a place for it."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


@compiled
def _clip(x, limit):
    x = -limit if x < -limit else x
    return limit if x > limit else x


@compiled
def _maximum(a, b):
    return a if (a > b) | (a != a) else b


@compiled
def _nonnegative(x):
    return type(x)(0) if x < 0 else x


@compiled
def _sign(x):
    return type(x)(1) if x > 0 else type(x)(-1) if x < 0 else x - x  # 0 for both zeros


@compiled
def _where(condition, a, b):
    return a if condition else b


_FUNCTIONS = {
    "clip": _clip,
    "maximum": _maximum,
    "nonnegative": _nonnegative,
    "sign": _sign,
    "sqrt": sqrt,
    "where": _where,
}


class Numba(Interpreted):
    """The loops, jitted by Numba."""

    name = "numba"

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[Rule, Any] = {}

    def make_update(self, rule: Rule) -> Update:
        """Return the update of contiguous one-dimensional arrays of one dtype, in place."""
        entry = self._entries[rule] = _entry(rule)
        return lambda arrays, scalars: entry(*arrays, scalars)

    def update_apart(self, rule: Rule, arrays: list[Array], scalars: tuple[float, ...]) -> bool:
        """Update contiguous one-dimensional arrays, unless two of them overlap; return whether it was done."""
        if rule not in self._entries:
            self.update_of(rule)
        done: bool = self._entries[rule](*arrays, scalars)
        return done


def _entry(rule: Rule) -> Any:
    """Return the jitted function that runs a loop over arrays and a tuple of scalars, with denormals flushed to zero.

    It returns False, with nothing written, where two of the arrays overlap. A call of a dispatcher costs as much as a
    small update, so one call does everything; its source is made, since Numba cannot cast a tuple to the arrays' type.
    """
    arguments = rule.loop.__code__.co_varnames[1 : rule.loop.__code__.co_argcount]
    arrays, scalars = arguments[: len(rule.streams)], rule.scalar_names
    casts = ", ".join(f"real(scalars[{i}])" for i in range(len(scalars)))
    # Addresses are unsigned, and the difference of unsigned numbers is never negative.
    begin = "int64({}.ctypes.data)".format
    apart = " and ".join(f"abs({begin(a)} - {begin(b)}) >= p.nbytes" for a, b in combinations(arrays, 2))
    source = f"""
def {rule.name}_entry({", ".join(arrays)}, scalars):
    if not ({apart}):
        return False
    real = p.dtype.type
    word = flush_to_zero()
    loop(p.size, {", ".join(arrays)}, {casts})
    restore(word)
    return True
"""
    loop = compiled(with_globals(rule.loop, _FUNCTIONS))
    namespace = {
        "__name__": __name__,
        "flush_to_zero": flush_to_zero,
        "int64": np.int64,
        "loop": loop,
        "restore": restore,
    }
    # Under the name of the file of loops Numba finds a place for the machine code, and sees when it is out of date.
    exec(compile(source, loops.__file__, "exec"), namespace)
    return compiled(namespace[f"{rule.name}_entry"])


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


BACKEND = Numba()
