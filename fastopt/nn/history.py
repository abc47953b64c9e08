"""The record of a training run, and the error of one that diverged."""

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Diverged", "History"]


class Diverged(FloatingPointError):
    """The loss, a gradient or the parameters became infinite or NaN.

    Attributes
    ----------
    epoch, step : int
        Where, counted from 0: the epoch, and the batch since the beginning of the run.
    """

    def __init__(self, message: str, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.epoch, self.step)


class History(dict[str, list[float]]):
    """The measurements of a run: lists with one value per epoch, by the name of the quantity.

    "loss" and the network's metrics, such as "accuracy", are means over the samples of the epoch,
    each as it was when its batch was trained on, before the update. "lr" is the rate of the epoch's
    last update. "val_loss" and so on are measured after the epoch, on the validation data, with averages of the weights
    where the optimizer keeps any.

    Attributes
    ----------
    events : list of dict
        Further events: rescues, restored or averaged weights. Each has a "kind" and an "epoch".
    seconds, optimizer_seconds : float
        Time of the whole run, and the part of it spent in ``optimizer.step``.
    interrupted : bool
        Whether Ctrl-C ended the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.seconds: float = 0.0
        self.optimizer_seconds: float = 0.0
        self.interrupted = False

    def __repr__(self) -> str:
        """Return the number of epochs and the last value of each quantity.

        Examples
        --------
        >>> history = History()
        >>> history.append({"loss": 0.5, "accuracy": 0.75})
        >>> history
        History(1 epoch: loss 0.5, accuracy 0.75)
        """
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.items() if values)
        return f"History({self.epochs} epoch{'' if self.epochs == 1 else 's'}{': ' if last else ''}{last})"

    @property
    def epochs(self) -> int:
        """Number of epochs done."""
        return len(self.get("loss", ()))

    def append(self, logs: Mapping[str, float]) -> None:
        """Add the values of an epoch."""
        for name, value in logs.items():
            self.setdefault(name, []).append(value)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values; None stands for what JSON has not, NaN and infinity.

        Examples
        --------
        >>> history = History()
        >>> history.append({"loss": 0.5, "val_loss": float("nan")})
        >>> history.to_dict()["val_loss"]
        [None]
        """
        columns = {name: [value if math.isfinite(value) else None for value in values] for name, values in self.items()}
        return {
            **columns,
            "events": [dict(event) for event in self.events],
            "seconds": self.seconds,
            "optimizer_seconds": self.optimizer_seconds,
            "interrupted": self.interrupted,
        }
