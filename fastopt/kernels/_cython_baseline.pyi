"""What every build of src/kernels.pyx offers; see `fastopt.kernels._backend.Backend`."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from typing_extensions import disjoint_base

_Array = np.ndarray[Any, np.dtype[np.float32]] | np.ndarray[Any, np.dtype[np.float64]]

name: Literal["cython"]
isa: Literal["baseline", "v3", "v4"]
TAKES_ANY_LENGTH: Literal[True]

@disjoint_base
class Sweep:
    @property
    def size(self) -> int: ...
    def rebind(self, /, grads: Iterable[object]) -> bool: ...
    def release(self, /) -> None: ...
    def run(self, /, rule: str, scalars: tuple[float, ...], start: int, stop: int) -> None: ...

def bind(streams: tuple[object, ...], others: tuple[object, ...] = ...) -> Sweep | None: ...
def apply(rule: str, arrays: tuple[object, ...], scalars: tuple[float, ...], limit: int) -> bool: ...
def apply_adam(
    arrays: tuple[object, ...],
    limit: int,
    step: object,
    lr: object,
    beta1: object,
    beta2: object,
    eps: object,
    eps_hat: bool,
    weight_decay: object,
    decoupled: bool,
    grad_scale: object,
    clip_value: object,
) -> bool: ...
def sums_of_squares(arrays: tuple[object, ...], start: int, stop: int) -> list[float] | None: ...
def update(rule: str, arrays: tuple[_Array, ...], scalars: tuple[float, ...]) -> None: ...
def best_isa() -> Literal["baseline", "v3", "v4"]: ...
