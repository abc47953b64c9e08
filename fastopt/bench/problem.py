"""The arrays of a rule, as contenders are given them, and the step to time, as they return it."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fastopt._typing import Array
from fastopt.bench.rules import RULES, Rule

Shape = tuple[int, ...]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Step:
    """A step that can be timed.

    Attributes
    ----------
    call : callable
        One step. For long runs it may return a dictionary of parts of its own time, in seconds.
    around : callable
        Makes a context to call it in, whose own cost is not timed.
    repeats : int
        Steps that one call does.
    close : callable
        Lets go of what the step holds.
    """

    call: Callable[[], Any]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    repeats: int = 1
    close: Callable[[], object] = _nothing


@dataclass
class Problem:
    """Parameters, gradients and state of a rule, for arrays of the given shapes.

    All contenders work on the same arrays, one after the other: where an array happens to lie in
    memory then cannot decide between them. Streams are cut from one block each, so that the memory
    limit can be taken over the same elements in one piece.

    Attributes
    ----------
    rule : Rule
    shapes : sequence of shapes
        Of each parameter.
    dtype : str
    threads : int
        How many threads a step may use.
    """

    rule: Rule
    shapes: Sequence[Shape]
    dtype: str = "float32"
    threads: int = 1
    flat: list[Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.flat = [_filled(self.size, self.dtype, name) for name in ("p", "g", *self.rule.states)]

    @classmethod
    def of(cls, rule: str, *sizes: int, dtype: str = "float32", threads: int = 1) -> "Problem":
        """Make a problem of one-dimensional arrays."""
        return cls(RULES[rule], [(size,) for size in sizes], dtype, threads)

    @cached_property
    def size(self) -> int:
        """Elements of all parameters together."""
        return sum(math.prod(shape) for shape in self.shapes)

    @cached_property
    def streams(self) -> list[list[Array]]:
        """Parameters, gradients and each state, a list of arrays each."""
        return [self.cut(block) for block in self.flat]

    @property
    def arguments(self) -> list[Any]:
        """The streams as `fastopt.kernels` take them: a single array, or a list."""
        return [stream[0] if len(stream) == 1 else stream for stream in self.streams]

    def cut(self, block: Array) -> list[Array]:
        """Return views of `block` in the shapes of the parameters."""
        views, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            views.append(block[start:stop].reshape(shape))
            start = stop
        return views


def _filled(size: int, dtype: str, name: str) -> Array:
    """Return plausible values, whose like no number of steps turns into denormals or infinity."""
    rng = np.random.default_rng(sum(map(ord, name)))
    pattern = rng.standard_normal(min(size, 1 << 16)) * 0.1
    if "sq" in name or name in ("sum", "acc_delta", "accumulator", "exp_inf", "step_size"):
        pattern = 0.1 + pattern**2
    values = np.empty(size, dtype)
    whole = size - size % max(1, pattern.size)
    values[:whole].reshape(-1, pattern.size)[...] = pattern
    values[whole:] = pattern[: size - whole]
    return values
