"""What the training loop needs of an optimizer, and what an optimizer needs of the loop."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from .network import Network

__all__ = ["Optimizer", "gradients_like", "tell_schedules"]


class Optimizer(Protocol):
    """What the training loop needs of an optimizer."""

    lr: Any
    groups: Any
    steps: int

    @property
    def params(self) -> Any:
        """What it was made for."""

    def step(self, grads: Any, *, grad_scale: float = 1.0) -> None:
        """Update the parameters."""

    def state_dict(self) -> dict[str, Any]:
        """Return copies of its state, flat."""

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


def tell_schedules(optimizer: Optimizer, logs: Mapping[str, float]) -> None:
    """Tell the schedules that follow a metric how the epoch went."""
    schedules = {id(group.lr): group.lr for group in optimizer.groups if hasattr(group.lr, "update")}
    for schedule in schedules.values():
        metric = "accuracy" if _mode(schedule) == "max" else "loss"
        schedule.update(logs.get(f"val_{metric}", logs[metric]))


def _mode(schedule: Any) -> str:
    """Return whether less or more is better for a schedule, which may be inside others."""
    while not hasattr(schedule, "mode") and hasattr(schedule, "schedule"):
        schedule = schedule.schedule
    return getattr(schedule, "mode", "min")
