"""What the training loop needs of an optimizer, and what an optimizer needs of the loop."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastopt.schedules._base import Schedule

if TYPE_CHECKING:
    from fastopt.nn.network import Network

__all__ = ["Optimizer", "gradients_like", "tell_schedules"]


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


def tell_schedules(optimizer: Optimizer, logs: Mapping[str, float]) -> None:
    """Tell the schedules that follow a metric how the epoch went, each once, wherever it is used."""
    used = [value for group in optimizer.groups for value in (group.lr, *_momenta(group))]
    schedules = {id(schedule): schedule for value in used for schedule in _following(value)}
    for schedule in schedules.values():
        metric = "accuracy" if getattr(schedule, "mode", "min") == "max" else "loss"
        schedule.update(logs.get(f"val_{metric}", logs[metric]))


def _momenta(group: Any) -> tuple[Any, ...]:
    """Return the hyper-parameters of a group besides the rate that may be schedules."""
    return (getattr(group, "momentum", None), *getattr(group, "betas", ()))


def _following(schedule: Any) -> Iterator[Any]:
    """Yield what takes a metric in `schedule`: itself, or what those that only pass it on are made from."""
    if isinstance(schedule, Schedule) and type(schedule).update is Schedule.update:
        for part in schedule._schedules().values():
            yield from _following(part)
    elif hasattr(schedule, "update"):
        yield schedule
