"""PyTorch's learning-rate schedulers by name, over fastopt's optimizers.

The classes take an optimizer and the arguments of ``torch.optim.lr_scheduler``, by its names, in its order and with its
defaults, and set the rate of each group at every `step`. PyTorch itself is not needed.

>>> import fastopt, numpy as np
>>> from fastopt.compat.lr_scheduler import StepLR
>>> opt = fastopt.SGD(np.ones(3), lr=0.5)
>>> scheduler = StepLR(opt, step_size=2, gamma=0.1)
>>> for _ in range(4):
...     opt.step(np.ones(3))
...     scheduler.step()
...     print(round(opt.lr, 6))
0.5
0.05
0.05
0.005

A rate is a function of the number of steps and of the rates that the optimizer's groups had when its first scheduler
was made, so it does not matter what sets the rate in between; `ReduceLROnPlateau` alone has a memory. PyTorch goes on
from the latest rate instead: the two agree as long as nothing else sets it. Of several schedulers on one optimizer
`ChainedScheduler` makes the product, `SequentialLR` a sequence.

Without a scheduler object, the same functions of the number of steps done are in `fastopt.schedules`.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fastopt import schedules
from fastopt._checks import boolean, integer, real, to_float
from fastopt.kernels.rules import CHECKS

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

Schedule = Callable[[int], float]

_EPOCH = integer(-1)
_COUNT = integer(0)
_FACTOR = real(at_least=0)

# The rates that the groups of an optimizer had when its first scheduler was made.
_initial_lrs: WeakKeyDictionary[Any, list[float]] = WeakKeyDictionary()


def _initial(optimizer: Any) -> list[float]:
    if not hasattr(optimizer, "groups"):
        raise TypeError(f"optimizer: expected an optimizer of fastopt, got {type(optimizer).__name__}")
    rates = _initial_lrs.setdefault(optimizer, [])
    for i, group in enumerate(optimizer.groups[len(rates) :], start=len(rates)):
        if callable(group.lr):
            raise TypeError(f"optimizer: expected rates that are numbers, got a schedule in groups[{i}]")
        rates.append(group.lr)
    return rates


class _OfOptimizer:
    """What every scheduler can tell of its optimizer."""

    optimizer: Any

    def get_last_lr(self) -> list[float]:
        """Return the rate of each group.

        Returns
        -------
        list of float
            As they are in the optimizer.
        """
        return [group.lr for group in self.optimizer.groups]


class LRScheduler(_OfOptimizer, ABC):
    """What the schedulers have in common.

    Attributes
    ----------
    optimizer : Optimizer
        What was given.
    base_lrs : list of float
        Rates of its groups to begin with.
    last_epoch : int
        Number of steps done.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the rates stay as they are.
    """

    def __init__(self, optimizer: Any, last_epoch: int = -1) -> None:
        self.last_epoch: int = _EPOCH("last_epoch", last_epoch) + 1
        self.optimizer: Any = optimizer
        self.base_lrs: list[float] = list(_initial(optimizer))
        self._schedules = [self._schedule(lr, i) for i, lr in enumerate(self.base_lrs)]
        self._set()

    @abstractmethod
    def _schedule(self, lr: float, group: int) -> Schedule:
        """Return the rates of a group, as a function of the number of steps."""

    def _set(self) -> None:
        rates = [CHECKS["lr"]("lr", schedule(self.last_epoch)) for schedule in self._schedules]
        for group, rate in zip(self.optimizer.groups, rates, strict=False):
            group.lr = rate

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next step, or of step number `epoch`."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else _COUNT("epoch", epoch)
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on.

        Returns
        -------
        dict
            ``"last_epoch"``, and ``"base_lrs"``.
        """
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned; the optimizer's rates are part of its own state.

        Parameters
        ----------
        state_dict : mapping
            Of a scheduler of the same class and arguments.
        """
        rates = [CHECKS["lr"]("base_lrs", lr) for lr in state_dict["base_lrs"]]
        self.last_epoch = _COUNT("last_epoch", state_dict["last_epoch"])
        self.base_lrs = rates
        self._schedules = [self._schedule(lr, i) for i, lr in enumerate(rates)]


class StepLR(LRScheduler):
    """A fall by the factor `gamma` every `step_size` steps: ``lr * gamma ** (step // step_size)``."""

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size: int = step_size
        self.gamma: float = gamma
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.StepDecay(lr, self.step_size, self.gamma)


class MultiStepLR(LRScheduler):
    """A fall by the factor `gamma` at each of the `milestones`, twice at one that is named twice."""

    def __init__(self, optimizer: Any, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones: Counter[int] = Counter(_COUNT(f"milestones[{i}]", one) for i, one in enumerate(milestones))
        self.gamma: float = _FACTOR("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return lambda step: lr * self.gamma ** sum(n for at, n in self.milestones.items() if at <= step)


class ConstantLR(LRScheduler):
    """A part of the rate, `factor`, for the first `total_iters` steps, then all of it."""

    def __init__(self, optimizer: Any, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor: float = real(at_least=0, at_most=1)("factor", factor)
        self.total_iters: int = _COUNT("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return lambda step: lr * self.factor if step < self.total_iters else lr


class LinearLR(LRScheduler):
    """A straight line from ``start_factor * lr`` to ``end_factor * lr`` over `total_iters` steps."""

    def __init__(
        self,
        optimizer: Any,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor: float = real(above=0, at_most=1)("start_factor", start_factor)
        self.end_factor: float = real(at_least=0, at_most=1)("end_factor", end_factor)
        self.total_iters: int = total_iters
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.PolynomialDecay(lr * self.start_factor, self.total_iters, lr * self.end_factor)


class ExponentialLR(LRScheduler):
    """The same factor at every step: ``lr * gamma ** step``."""

    def __init__(self, optimizer: Any, gamma: float, last_epoch: int = -1) -> None:
        self.gamma: float = gamma
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.ExponentialDecay(lr, self.gamma)


class PolynomialLR(LRScheduler):
    """A fall to zero over `total_iters` steps: ``lr * (1 - step / total_iters) ** power``."""

    def __init__(self, optimizer: Any, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters: int = total_iters
        self.power: float = power
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.PolynomialDecay(lr, self.total_iters, power=self.power)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the rate to `eta_min` over `T_max` steps, and back again."""

    def __init__(self, optimizer: Any, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max: int = T_max
        self.eta_min: float = eta_min
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.CosineAnnealing(lr, self.T_max, self.eta_min)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines from the rate to `eta_min`: the first over `T_0` steps, each `T_mult` times as long as the last."""

    def __init__(self, optimizer: Any, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_0: int = T_0
        self.T_mult: int = T_mult
        self.eta_min: float = eta_min
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.CosineWarmRestarts(lr, self.T_0, self.T_mult, self.eta_min)


class LambdaLR(LRScheduler):
    """The rate times a function of the number of steps; a list has one function for each group."""

    def __init__(self, optimizer: Any, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Any] = _by_group("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        factor = self.lr_lambdas[group]
        return lambda step: lr * factor(step)


class MultiplicativeLR(LambdaLR):
    """The latest rate times a function of the number of steps: the product of ``f(1)`` to ``f(step)``."""

    def _schedule(self, lr: float, group: int) -> Schedule:
        factor = self.lr_lambdas[group]
        return lambda step: lr * math.prod(factor(one) for one in range(1, step + 1))


class _WithMomentum(LRScheduler):
    """A scheduler that moves the momentum, ``betas[0]`` where there are betas, against the rate."""

    cycle_momentum: bool

    def _set(self) -> None:
        super()._set()
        if not self.cycle_momentum:
            return
        for group, schedule in zip(self.optimizer.groups, self._schedules, strict=False):
            momentum = schedule.momentum(self.last_epoch)  # type: ignore[attr-defined]
            if "betas" in group.hyper_parameters():
                group.betas = (momentum, *group.betas[1:])
            else:
                group.momentum = momentum

    def _check_momentum(self, cycle_momentum: bool) -> None:
        self.cycle_momentum = boolean("cycle_momentum", cycle_momentum)
        if self.cycle_momentum and not all(
            {"betas", "momentum"} & group.hyper_parameters().keys() for group in self.optimizer.groups
        ):
            raise ValueError("cycle_momentum: expected False with an optimizer that has no momentum, got True")


class CyclicLR(_WithMomentum):
    """A rate that goes up from `base_lr` to `max_lr` and down again; ``scale_fn`` is refused."""

    def __init__(
        self,
        optimizer: Any,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Any = "triangular",
        gamma: float = 1.0,
        scale_fn: None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if scale_fn is not None:
            raise ValueError("scale_fn: expected None, since fastopt's Cyclical has modes by name, got a function")
        self.optimizer = optimizer
        self.base: list[Any] = _by_group("base_lr", base_lr, optimizer)
        self.most: list[Any] = _by_group("max_lr", max_lr, optimizer)
        self._check_momentum(cycle_momentum)
        self._others = (step_size_up, step_size_down, mode, gamma, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.Cyclical(self.base[group], self.most[group], *self._others)


class OneCycleLR(_WithMomentum):
    """One cycle: up to `max_lr`, down to far below where it began, the momentum the other way round."""

    def __init__(
        self,
        optimizer: Any,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Any = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 10000.0,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("total_steps: expected a number of steps, or epochs and steps_per_epoch, got None")
            count = integer(1)
            total_steps = count("epochs", epochs) * count("steps_per_epoch", steps_per_epoch)
        self.optimizer = optimizer
        self.total_steps: int = integer(1)("total_steps", total_steps)
        self.most: list[Any] = _by_group("max_lr", max_lr, optimizer)
        self._check_momentum(cycle_momentum)
        self._others = (self.total_steps, pct_start, anneal_strategy, div_factor, final_div_factor, three_phase)
        self._momenta = (base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        return schedules.OneCycle(self.most[group], *self._others, *self._momenta)

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next step, of which there are `total_steps`."""
        following = self.last_epoch + 1 if epoch is None else epoch
        if following >= self.total_steps:
            raise ValueError(f"step: expected at most {self.total_steps} steps, got another one")
        super().step(epoch)


class ChainedScheduler(LRScheduler):
    """The product of what several schedulers make of the rate."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Any = None) -> None:
        self.schedulers: list[LRScheduler] = _of_one_optimizer(schedulers, optimizer)
        super().__init__(self.schedulers[0].optimizer)

    def _schedule(self, lr: float, group: int) -> Schedule:
        parts = [scheduler._schedules[group] for scheduler in self.schedulers]
        return lambda step: lr * math.prod(part(step) / lr for part in parts) if lr else 0.0


class SequentialLR(LRScheduler):
    """One scheduler after the other, each from its milestone on, and each from its own first step."""

    def __init__(
        self, optimizer: Any, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self.schedulers: list[LRScheduler] = _of_one_optimizer(schedulers, optimizer)
        self.milestones: tuple[int, ...] = tuple(milestones)
        super().__init__(optimizer, last_epoch)

    def _schedule(self, lr: float, group: int) -> Schedule:
        parts = tuple(scheduler._schedules[group] for scheduler in self.schedulers)
        return schedules.Sequential(parts, self.milestones)


class ReduceLROnPlateau(_OfOptimizer):
    """A fall by `factor` when a metric has not become better for `patience` epochs: ``scheduler.step(metric)``."""

    def __init__(
        self,
        optimizer: Any,
        mode: Any = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Any = "rel",
        cooldown: int = 0,
        min_lr: Any = 0.0,
        eps: float = 1e-8,
    ) -> None:
        rates = _initial(optimizer)
        least = _by_group("min_lr", min_lr, optimizer)
        self.optimizer: Any = optimizer
        self.last_epoch: int = 0
        others = (mode, factor, patience, threshold, threshold_mode, cooldown)
        self._schedules = [
            schedules.ReduceOnPlateau(lr, *others, one, eps) for lr, one in zip(rates, least, strict=True)
        ]

    def step(self, metrics: float) -> None:
        """Take note of the latest metric, and lower the rates if it is time."""
        metric = to_float("metrics", metrics)
        for group, schedule in zip(self.optimizer.groups, self._schedules, strict=False):
            schedule.update(metric)
            group.lr = schedule(0)
        self.last_epoch += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on.

        Returns
        -------
        dict
            ``"last_epoch"``, and for each group rate, best metric and counters.
        """
        return {"last_epoch": self.last_epoch, "groups": [schedule.state_dict() for schedule in self._schedules]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        for schedule, state in zip(self._schedules, state_dict["groups"], strict=True):
            schedule.load_state_dict(state)
        self.last_epoch = _COUNT("last_epoch", state_dict["last_epoch"])


def _by_group(name: str, value: Any, optimizer: Any) -> list[Any]:
    """Return a value for each group, of a list of them or of one for all."""
    count = len(_initial(optimizer))
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name}: expected {count} entries, one for each group, got {len(value)}")
    return list(value)


def _of_one_optimizer(schedulers: Sequence[LRScheduler], optimizer: Any) -> list[LRScheduler]:
    found = list(schedulers)
    if not found or any(isinstance(one, ReduceLROnPlateau) or not isinstance(one, LRScheduler) for one in found):
        raise ValueError("schedulers: expected schedulers, and no ReduceLROnPlateau among them")
    if any(one.optimizer is not (optimizer or found[0].optimizer) for one in found):
        raise ValueError("schedulers: expected schedulers of one optimizer, got one of another")
    return found
