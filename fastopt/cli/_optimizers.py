"""The optimizers by the names that they have on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from typing import Any

from fastopt import optimizers
from fastopt.optimizers import (
    ADOPT,
    FTRL,
    LAMB,
    SGD,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AdEMAMix,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    SignSGD,
)


@dataclass(frozen=True)
class Choice:
    """A class with what its name fixes, and the rates that suit it where its own default does not.

    Attributes
    ----------
    whole : (float, float)
        Learning rate and 1/t decay for data sets of a few hundred points in one batch.
    batches : float
        Learning rate for mini-batches.
    layerwise : bool
        Whether it has to know which array is whose.
    """

    cls: type[Optimizer]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    whole: tuple[float, float] | None = None
    batches: float | None = None
    layerwise: bool = False

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The hyper-parameters with their default values."""
        parameters = list(signature(self.cls).parameters.values())[1:]  # behind the arrays
        return {parameter.name: parameter.default for parameter in parameters}

    def rates(self, *, whole: bool) -> tuple[float, float]:
        """Return the learning rate and the 1/t decay that suit whole data sets, or mini-batches."""
        if whole and self.whole is not None:
            return self.whole
        return self.batches or self.defaults["lr"], 0.0


OPTIMIZERS = {
    "sgd": Choice(SGD, whole=(1.0, 1e-4), batches=0.1),
    "momentum": Choice(SGD, {"momentum": 0.9}, whole=(1.0, 1e-3), batches=0.01),
    "nesterov": Choice(SGD, {"momentum": 0.9, "nesterov": True}, whole=(1.0, 1e-3), batches=0.01),
    "adagrad": Choice(Adagrad, whole=(0.2, 1e-4)),
    "rmsprop": Choice(RMSprop, whole=(0.02, 1e-3), batches=0.001),
    "adam": Choice(Adam, whole=(0.05, 1e-3)),
    "adamw": Choice(AdamW, whole=(0.05, 1e-3)),
    "lion": Choice(Lion, whole=(0.005, 1e-3), batches=3e-4),
    "amsgrad": Choice(Adam, {"amsgrad": True}, whole=(0.05, 1e-3)),
    "adamax": Choice(Adamax, whole=(0.05, 1e-3)),
    "nadam": Choice(NAdam, whole=(0.05, 1e-3)),
    "radam": Choice(RAdam, whole=(0.05, 1e-3)),
    "ademamix": Choice(AdEMAMix, whole=(0.03, 1e-3)),
    "adopt": Choice(ADOPT, whole=(0.1, 1e-3)),
    "ftrl": Choice(FTRL, whole=(1.0, 0.0), batches=0.1),
    "lamb": Choice(LAMB, whole=(0.01, 1e-3), layerwise=True),
    "muon": Choice(Muon, whole=(0.1, 1e-3), layerwise=True),
    "schedulefreeadamw": Choice(ScheduleFreeAdamW, whole=(0.1, 0.0)),
    "schedulefreesgd": Choice(ScheduleFreeSGD, whole=(3.0, 0.0), batches=0.1),
    "signsgd": Choice(SignSGD, whole=(0.01, 1e-3), batches=3e-4),
    "signum": Choice(SignSGD, {"momentum": 0.9}, whole=(0.01, 1e-3), batches=3e-4),
}
for _name in optimizers.__all__:  # a class needs no line of its own
    if _name not in ("Optimizer", "Rprop"):  # whose rate is none: schedules and decays have nothing to change
        OPTIMIZERS.setdefault(_name.lower(), Choice(getattr(optimizers, _name)))


def having(hyper_parameter: str) -> str:
    """Name the optimizers that have a hyper-parameter."""
    return ", ".join(name for name, choice in OPTIMIZERS.items() if hyper_parameter in choice.defaults)
