"""What src/sweep.pyx offers; see `fastopt.kernels._backend.Backend`."""

from collections.abc import Iterable
from typing import Any, Literal

from typing_extensions import disjoint_base

@disjoint_base
class Sweep:
    @property
    def size(self) -> int: ...
    def rebind(self, /, grads: Iterable[object]) -> bool: ...
    def release(self, /) -> None: ...
    def run(self, /, rule: str, scalars: tuple[float, ...], start: int, stop: int) -> None: ...
    def share(self, /, rule: str, scalars: tuple[float, ...], length: int) -> Shared: ...

@disjoint_base
class Shared:
    def take(self, /) -> None: ...
    def finish(self, /) -> None: ...

@disjoint_base
class Kernels:
    @property
    def name(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def TAKES_ANY_LENGTH(self) -> bool: ...
    def __init__(self, isa: str) -> None: ...
    def bind(self, /, streams: tuple[object, ...], others: tuple[object, ...] = ...) -> Sweep | None: ...
    def apply(self, /, rule: str, arrays: tuple[object, ...], scalars: tuple[float, ...], limit: int) -> bool: ...
    def apply_adam(
        self,
        /,
        arrays: tuple[object, ...],
        limit: int,
        step: object,
        lr: object,
        beta1: object,
        beta2: object,
        eps: object,
        eps_hat: object,
        weight_decay: object,
        decoupled: bool,
        grad_scale: object,
        clip_value: object,
    ) -> bool: ...
    def adam_scalars(
        self,
        /,
        step: object,
        lr: object,
        beta1: object,
        beta2: object,
        eps: object,
        eps_hat: object,
        weight_decay: object,
        decoupled: bool,
        grad_scale: object,
        clip_value: object,
    ) -> tuple[float, float, float, float, float, float, float, float] | None: ...
    def sums_of_squares(self, /, arrays: tuple[object, ...], start: int, stop: int) -> list[float] | None: ...
    def update(self, /, rule: str, arrays: tuple[Any, ...], scalars: tuple[float, ...]) -> None: ...

def best_isa() -> Literal["baseline", "v3", "v4"]: ...
