"""The schedule that follows a metric instead of the step."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fastopt._checks import RATE, check_fields, check_order, choice, integer, optional, real, to_float
from fastopt.schedules._base import Schedule


@dataclass
class _State:
    lr: float
    best: float
    num_bad_epochs: int = 0
    cooldown_counter: int = 0


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Multiply the rate by `factor` when a metric has stopped improving.

    Call `update` with the metric once per epoch, or as often as it is measured; `fastopt.nn.fit`
    does that by itself. An epoch is good if the metric beats the best so far by the threshold;
    after more than `patience` bad epochs in a row::

        lr = max(lr * factor, min_lr)

    Between two updates the rate is constant, whatever the step.

    Parameters
    ----------
    lr : float
        The first rate, at least 0.
    mode : {"min", "max"}
        Whether a lower or a higher metric is better.
    factor : float
        Above 0 and below 1.
    patience : int
        Bad epochs in a row that are let pass; the one after them lowers the rate.
    threshold : float
        How much better counts as better, at least 0; below 1 if relative.
    threshold_mode : {"rel", "abs"}
        Better than ``best * (1 - threshold)`` or than ``best - threshold``; with plus in mode
        "max". The relative one is meant for metrics above 0.
    cooldown : int
        Epochs after a reduction during which bad ones are not counted.
    min_lr : float
        The lowest rate, from 0 to `lr`.
    eps : float
        A reduction by no more than this is left out.
    monitor : str, optional
        The metric that `fastopt.nn.fit` tells it, a column of the history such as "val_loss" or
        "val_r2". Default: the loss in mode "min", "accuracy" in mode "max", of the validation data
        if there are any.

    Notes
    -----
    PyTorch: ``ReduceLROnPlateau``, with the same parameters, but for `monitor`, and numbers. Keras: the callback
    ``ReduceLROnPlateau(monitor, factor, patience, mode, min_delta, cooldown, min_lr)``; its
    threshold `min_delta` is absolute; it reduces at ``>= patience`` bad epochs, PyTorch and this
    class at ``> patience``: its ``patience=p`` is ``patience=p - 1`` here; and it counts again from
    the last epoch of the cooldown on: its ``cooldown=c``, if not 0, is ``cooldown=c - 1`` here.

    A metric that is NaN is a bad epoch.

    The state is `state_dict`, saved with the optimizer; ``==`` compares it, ``repr`` leaves it out.
    There is one, however many schedules and groups share the object, and an optimizer that is new
    to it begins with `reset`: two optimizers that train at the same time need one each.

    Examples
    --------
    >>> schedule = ReduceOnPlateau(lr=1.0, factor=0.5, patience=1)
    >>> for loss in (0.9, 0.8, 0.8, 0.8, 0.8):
    ...     schedule.update(loss)
    ...     print(loss, schedule(0))
    0.9 1.0
    0.8 1.0
    0.8 1.0
    0.8 0.5
    0.8 0.5
    >>> schedule.state_dict()
    {'lr': 0.5, 'best': 0.8, 'num_bad_epochs': 1, 'cooldown_counter': 0}
    """

    lr: float
    mode: Literal["min", "max"] = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8
    monitor: str | None = None
    _state: _State = field(init=False, repr=False, hash=False)

    def __post_init__(self) -> None:
        """Check the hyper-parameters."""
        check_fields(
            self,
            lr=RATE,
            mode=choice("min", "max"),
            factor=real(above=0, below=1),
            patience=integer(0),
            threshold_mode=choice("rel", "abs"),
            cooldown=integer(0),
            min_lr=RATE,
            eps=real(at_least=0),
            monitor=optional(_metric),
        )
        check_fields(self, threshold=real(at_least=0, below=1 if self.threshold_mode == "rel" else None))
        check_order(self, "min_lr", "lr")
        self.reset()

    def reset(self) -> None:
        """Forget all metrics and go back to the first rate."""
        worst = math.inf if self.mode == "min" else -math.inf
        object.__setattr__(self, "_state", _State(self.lr, best=worst))

    def _at(self, step: float) -> float:
        return self._state.lr

    def update(self, metric: float, step: int | None = None) -> None:
        """Take note of the latest metric and lower the rate if it is time.

        Parameters
        ----------
        metric : float
            The latest value of what is watched, such as the validation loss of an epoch. A 0-d
            array will do.
        step : int, optional
            Without effect: it tells schedules such as `Warmup` which of their parts is in force.

        Raises
        ------
        TypeError
            If `metric` is not a number.
        """
        value = to_float("metric", metric)
        state = self._state
        if self._is_better(value, state.best):
            state.best = value
            state.num_bad_epochs = 0
        else:
            state.num_bad_epochs += 1
        if state.cooldown_counter > 0:
            state.cooldown_counter -= 1
            state.num_bad_epochs = 0
        if state.num_bad_epochs > self.patience:
            reduced = max(state.lr * self.factor, self.min_lr)
            if state.lr - reduced > self.eps:
                state.lr = reduced
            state.cooldown_counter = self.cooldown
            state.num_bad_epochs = 0

    def _is_better(self, value: float, best: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        change = sign * self.threshold
        target = best * (1.0 + change) if self.threshold_mode == "rel" else best + change
        return value < target if self.mode == "min" else value > target

    def state_dict(self) -> dict[str, float | int]:
        """Return the rate, the best metric and the two counters, as plain numbers."""
        return asdict(self._state)

    def _load(self, state: Mapping[str, Any]) -> None:
        loaded = _State(**state)
        check_fields(loaded, lr=RATE, best=real(infinite=True), num_bad_epochs=integer(0), cooldown_counter=integer(0))
        object.__setattr__(self, "_state", loaded)


def _metric(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name}: expected the name of a metric, got {value!r}")
    return str(value)
