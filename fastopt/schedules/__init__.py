"""Schedules: callables ``schedule(step) -> rate``, with the step counted from 0.

An optimizer takes a schedule wherever it takes a rate, ``fastopt.SGD(params, lr=schedule)``, and
calls it once per update with the number of updates done so far. Any callable will do; those here
are immutable values that print as the expression that makes them, compare, hash and pickle:

>>> from fastopt.schedules import CosineAnnealing, Warmup
>>> schedule = Warmup(CosineAnnealing(lr=0.1, T_max=900), warmup_steps=100)
>>> [round(schedule(step), 4) for step in (0, 50, 100, 550, 1000)]
[0.0333, 0.0667, 0.1, 0.05, 0.0]
>>> eval(repr(schedule)) == schedule
True

==================  ==========================================================================
decay               `Constant`, `InverseTimeDecay`, `ExponentialDecay`, `StepDecay`,
                    `PiecewiseConstant`, `PolynomialDecay`, `CosineAnnealing`
rise and decay      `InverseSqrt`, `WarmupStableDecay`
cycles              `SnapshotCosine`, `CosineWarmRestarts`, `Cyclical`, `OneCycle`
made from others    `Scaled`, `PerEpoch`, `Warmup`, `Sequential`
told a metric       `ReduceOnPlateau`
==================  ==========================================================================

A step is an update of the parameters. To count in epochs, as PyTorch's schedulers are mostly
used, wrap a schedule in `PerEpoch`. Names and defaults of hyper-parameters are those of
``torch.optim.lr_scheduler``, where the rate itself is the optimizer's ``lr``; each class says what
it is called in PyTorch and in Keras and where the three differ.
"""

from fastopt.schedules._base import Schedule
from fastopt.schedules._compose import PerEpoch, Scaled, Sequential, Warmup
from fastopt.schedules._cycles import CosineWarmRestarts, Cyclical, OneCycle, SnapshotCosine
from fastopt.schedules._decay import (
    Constant,
    CosineAnnealing,
    ExponentialDecay,
    InverseSqrt,
    InverseTimeDecay,
    PiecewiseConstant,
    PolynomialDecay,
    StepDecay,
    WarmupStableDecay,
)
from fastopt.schedules._plateau import ReduceOnPlateau

__all__ = [
    "Constant",
    "CosineAnnealing",
    "CosineWarmRestarts",
    "Cyclical",
    "ExponentialDecay",
    "InverseSqrt",
    "InverseTimeDecay",
    "OneCycle",
    "PerEpoch",
    "PiecewiseConstant",
    "PolynomialDecay",
    "ReduceOnPlateau",
    "Scaled",
    "Schedule",
    "Sequential",
    "SnapshotCosine",
    "StepDecay",
    "Warmup",
    "WarmupStableDecay",
]
