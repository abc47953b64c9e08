"""What the training loop needs of an optimizer, and what an optimizer needs of the loop."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastopt.schedules._base import start, stateful

if TYPE_CHECKING:
    from fastopt.nn.network import Network

__all__ = ["Optimizer", "gradients_like", "start_schedules", "tell_schedules"]


class Optimizer(Protocol):
    """What the training loop needs of an optimizer."""

    lr: Any
    groups: Any
    steps: int

    @property
    def params(self) -> Any:
        """What it was made for."""
        ...

    def step(self, grads: Any, *, grad_scale: float = 1.0) -> None:
        """Update the parameters."""

    def state_dict(self) -> dict[str, Any]:
        """Return copies of its state, flat."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Take over a state, or refuse it whole."""


def gradients_like(params: Any, net: "Network") -> Any:
    """Return what `params` would be if its arrays were views of ``net.grads``."""
    if params is net.params:
        return net.grads
    if isinstance(params, Mapping):
        return {name: gradients_like(value, net) for name, value in params.items()}
    if isinstance(params, list | tuple):
        if params and all(isinstance(group, Mapping) for group in params):
            return [gradients_like(group["params"], net) for group in params]
        return [gradients_like(value, net) for value in params]
    try:
        offset = params.ctypes.data - net.params.ctypes.data
        return np.ndarray(params.shape, params.dtype, net.grads.data, offset, params.strides)
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            "optimizer: expected one made for net.params, or for views of it, got one for "
            f"{type(params).__name__} of shape {getattr(params, 'shape', None)} elsewhere"
        ) from None


def start_schedules(optimizer: Optimizer, measured: Collection[str]) -> None:
    """Start the schedules that follow a metric anew for a new optimizer; `measured` must have what each follows."""
    for schedule in stateful(*_hyper_parameters(optimizer)):
        _followed(schedule, measured)
    if optimizer.steps == 0:
        start(optimizer, *_hyper_parameters(optimizer))


def tell_schedules(optimizer: Optimizer, logs: Mapping[str, float]) -> None:
    """Tell the schedules that follow a metric how the epoch went, each once, unless another rate was in force."""
    for schedule in stateful(*_hyper_parameters(optimizer), step=optimizer.steps - 1):
        schedule.update(logs[_followed(schedule, logs)])


def _hyper_parameters(optimizer: Optimizer) -> list[Any]:
    return [value for group in optimizer.groups for value in group.hyper_parameters().values()]


def _followed(schedule: Any, measured: Collection[str]) -> str:
    """Return the name of the metric that a schedule follows."""
    given: str | None = getattr(schedule, "monitor", None)
    mode = getattr(schedule, "mode", "min")
    name = given or ("accuracy" if mode == "max" else "loss")
    if given is None and f"val_{name}" in measured:
        return f"val_{name}"
    if name not in measured:
        why = f", the default in mode {mode!r}" if given is None else ""
        raise ValueError(
            f"{type(schedule).__name__}: monitor: expected one of {', '.join(map(repr, measured))}, got {name!r}{why}"
            + (" (it needs validation_data)" if name.startswith("val_") else "")
        )
    return name
