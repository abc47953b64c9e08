"""The guard against exploding runs: notice, go back, lower the rate, go on."""

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

import numpy as np

from fastopt._checks import COUNT, optional, real
from fastopt._typing import Array
from fastopt.nn.checkpoint import checked_state
from fastopt.nn.training import Callback, Training
from fastopt.schedules import Scaled

__all__ = ["ExplosionGuard"]

_log = logging.getLogger(__name__)

# Losses and gradients are judged by their means over at least this many samples: the loss of a
# small batch jumps by orders of magnitude in the healthiest of runs.
_SAMPLES = 256


@dataclass
class _Copy:
    step: int
    loss: float
    live: int
    params: Array
    optimizer: dict[str, Any]


class ExplosionGuard(Callback):
    """Save a run from its own learning rate.

    Before each update it looks at loss and gradient. If they explode it puts parameters and
    optimizer back to the last good point, multiplies the learning rate, a number or a schedule, by
    `factor`, and has the batch computed again. What it did is logged (logger "fastopt.nn.guard")
    and in ``history.events``.

    These are taken for an explosion, as it happens:

    - a loss or a gradient is infinite or NaN;
    - the loss stays above `rise` times the reference, the loss before training, for `patience`
      updates. Cyclic rates may undo much of what was learned, but not more than all of it, and the
      first updates of adaptive methods may overshoot, but soon come back;
    - the norm of the gradient stays above `grad_rise` times the largest before, for as long.

    These are what an explosion that passed by itself may leave behind, a network that is finite but
    no longer learns:

    - the median loss is above 1.2 times the reference;
    - it had risen above `rise` times the reference before, and is not clearly below what it is
      without learning: above 0.95 times that;
    - the network died: less than a third of the units that had a gradient still have one, as when
      ReLUs never let anything through again, or tanh is saturated, and the loss is above half of
      what it is without learning. No rate brings such units back. After a rescue, when the rate is
      known to be too high, it is enough that a third is lost of those alive at the good point.

    Without learning the loss is that of the best constant prediction (`Loss.constant`) if that is
    between one half of the reference and all of it; else it is the reference.

    Losses and norms are means over at least 256 samples; a unit is alive if its bias has a gradient
    for any of those. The last three are looked for every `every` updates, the first time `patience`
    updates after the start or a rescue. Then a good point is taken too, unless the loss is rising,
    above the reference or not back from a rise, or more than half of the units are dead. If a run
    explodes again before the next good point, the one before it is used.

    Parameters
    ----------
    rise : float
        Above 1.
    grad_rise : float or None
        Above 1; None leaves gradients alone, and saves one pass over them per update.
    patience : int
        Updates.
    factor : float
        Between 0 and 1.
    every : int
        Updates between two good points. Two are kept, the start being the first, each a copy of
        parameters and optimizer state.
    max_rescues : int
        After so many the run ends with `Diverged`.
    reference : float, optional
        The loss of an untrained network: give it when the network comes trained. Default: the loss
        of up to 1024 samples before the first update.

    Notes
    -----
    The optimizer's step count is put back as well, and with it the position in a schedule.
    """

    def __init__(
        self,
        *,
        rise: float = 2.0,
        grad_rise: float | None = 100.0,
        patience: int = 20,
        factor: float = 0.3,
        every: int = 100,
        max_rescues: int = 20,
        reference: float | None = None,
    ) -> None:
        self.rise: float = real(above=1)("rise", rise)
        self.grad_rise: float | None = optional(real(above=1))("grad_rise", grad_rise)
        self.patience: int = COUNT("patience", patience)
        self.factor: float = real(above=0, below=1)("factor", factor)
        self.every: int = COUNT("every", every)
        self.max_rescues: int = COUNT("max_rescues", max_rescues)
        self._reference = optional(real(above=0))("reference", reference)

    def on_train_begin(self, run: Training) -> None:
        """Measure the loss before training, and make the rates ready to be scaled."""
        self._run = run
        self.rescues: int = 0
        every = -(-len(run.X) // 1024)
        state = run.net.state_dict()
        loss = run.net.loss_and_grad(run.X[::every], run.y[::every])
        run.net.load_state_dict(state)  # dropout drew random numbers, and a healthy run is not to be changed
        self.reference: float = loss if self._reference is None else self._reference
        constant = run.net.loss.constant(run.y) + run.net.penalty()
        # A network that starts far above a constant's loss may be long on its way down to it.
        self._unlearnt = constant if self.reference / 2 < constant < self.reference else self.reference
        layers = cast("list[Any]", run.net.layers)
        self._biases = [layer.bias_grad for layer in layers if hasattr(layer, "bias_grad")]
        self._biases = self._biases or [np.zeros(0)]
        self._live = np.zeros(sum(map(len, self._biases)), bool)
        self._most_live = 0
        self._copies: list[_Copy] = []
        self._restored = False
        self._next_check = min(self.patience, self.every)
        self._overshot = False
        self._risen_since: int | None = None
        self._losses: deque[float] = deque(maxlen=50)
        self._largest_norm = 0.0
        self._start_mean()
        self._given = [group.lr for group in run.optimizer.groups]
        # From the start, because the state of a schedule is saved under other names once scaled.
        for group in run.optimizer.groups:
            if callable(group.lr):
                group.lr = _scaled(group.lr, 1.0)

    def _start_mean(self) -> None:
        self._samples = 0
        self._loss_sum = self._norm_sum = 0.0
        self._live[:] = False

    def on_gradients(self, run: Training) -> bool:
        """Look, and if need be go back."""
        if not self._copies:
            self._copy(run, run.loss, int(np.count_nonzero(np.concatenate(self._biases))))
        problem = self._problem(run)
        if problem is not None:
            self._rescue(run, problem)
        return problem is not None

    def _problem(self, run: Training) -> str | None:
        norm = 0.0 if self.grad_rise is None else run.gradient_norm
        if not math.isfinite(run.loss):
            return f"the loss became {run.loss}"
        if not math.isfinite(norm):
            return f"the norm of the gradient became {norm}"
        self._samples += run.samples
        self._loss_sum += run.loss * run.samples
        self._norm_sum += norm * run.samples
        self._live |= np.concatenate(self._biases) != 0
        if self._samples < min(_SAMPLES, len(run.X)):
            return None
        loss, norm = self._loss_sum / self._samples, self._norm_sum / self._samples
        live = int(np.count_nonzero(self._live))
        self._start_mean()
        self._losses.append(loss)
        self._most_live = max(live, self._most_live)
        if (problem := self._rise(loss, norm)) is not None:
            self._risen_since = run.step if self._risen_since is None else self._risen_since
            return problem if run.step - self._risen_since >= self.patience else None
        self._risen_since = None
        self._largest_norm = max(self._largest_norm, norm)
        return self._check(run, loss, live) if run.step >= self._next_check else None

    def _rise(self, loss: float, norm: float) -> str | None:
        if loss > self.rise * self.reference:
            self._overshot = True
            return f"the loss rose to {loss:.3g}, from {self.reference:.3g} before training"
        if self.grad_rise is not None and 0 < self._largest_norm * self.grad_rise < norm:
            return f"the norm of the gradient rose to {norm:.3g}, from {self._largest_norm:.3g}"
        return None

    def _check(self, run: Training, loss: float, live: int) -> str | None:
        """See whether the run still learns; if so, this may be a good point."""
        self._next_check = run.step + self.every
        usual = median(self._losses)
        highest = 0.95 * self._unlearnt if self._overshot else self.reference
        if len(self._losses) == self._losses.maxlen:
            if usual > (1.0 if self._overshot else 1.2) * highest:
                return f"the loss stays at {usual:.3g}, and is {self._unlearnt:.3g} without learning anything"
            self._overshot = False
        enough = self._most_live / 3
        if self.rescues:
            # Relative to the good point: else one that had lost a few would be gone back to for ever.
            enough = max(enough, self._copies[-1].live * 2 / 3)
        if usual > self._unlearnt / 2 and live < enough:
            return f"the network died: only {live} of {self._most_live} units have a gradient"
        if loss <= min(1.5 * usual, highest) and live >= self._most_live / 2:
            self._copy(run, loss, live)
        return None

    def _copy(self, run: Training, loss: float, live: int) -> None:
        state = run.optimizer.state_dict()
        self._copies = [*self._copies[-1:], _Copy(run.step, loss, live, run.net.params.copy(), state)]
        self._restored = False

    def _rescue(self, run: Training, problem: str) -> None:
        if run.step == 0:
            raise run.diverged(problem)
        if self.rescues == self.max_rescues:
            raise run.diverged(f"after {self.rescues} rescues {problem}")
        self.rescues += 1
        if self._restored and len(self._copies) > 1:
            self._copies.pop()
        self._restored = True
        good = self._copies[-1]
        before = run.optimizer.lr
        rates = [_scaled(group.lr, self.factor) for group in run.optimizer.groups]
        np.copyto(run.net.params, good.params)
        run.optimizer.load_state_dict(good.optimizer)
        for group, rate in zip(run.optimizer.groups, rates, strict=True):
            group.lr = rate
        self._losses.clear()
        self._next_check = run.step + min(self.patience, self.every)
        self._overshot = False
        self._risen_since = None
        self._start_mean()
        run.history.events.append(
            {
                "kind": "rescue",
                "epoch": run.epoch,
                "step": run.step,
                "back_to": good.step,
                "problem": problem,
                "lr": run.optimizer.lr,
            }
        )
        _log.warning(
            "epoch %d, step %d: %s; back to step %d (loss %.3g), learning rate %.3g -> %.3g",
            *(run.epoch, run.step, problem, good.step, good.loss, before, run.optimizer.lr),
        )

    def on_train_end(self, run: Training) -> None:
        """Leave the schedules as they were given, unless they had to be scaled."""
        for group, lr in zip(run.optimizer.groups, self._given, strict=True):
            if callable(lr) and group.lr == _scaled(lr, 1.0):
                group.lr = lr

    def state_dict(self) -> dict[str, Any]:
        """Return measurements, factors of the schedules, and the good points."""
        state: dict[str, Any] = {
            "rescues": self.rescues,
            "reference": self.reference,
            "unlearnt": self._unlearnt,
            "restored": self._restored,
            "losses": list(self._losses),
            "largest_norm": self._largest_norm,
            "mean": [self._samples, self._loss_sum, self._norm_sum],
            "checks": [self._next_check, self._overshot, self._most_live, self._risen_since],
            "live": self._live,
            "factors": [g.lr.factor if isinstance(g.lr, Scaled) else None for g in self._run.optimizer.groups],
            "copies": [[copy.step, copy.loss, copy.live] for copy in self._copies],
        }
        for i, copy in enumerate(self._copies):
            state[f"{i}.params"] = copy.params
            for key, value in copy.optimizer.items():
                state[f"{i}.optimizer.{key}"] = np.asarray(value)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on guarding."""
        self.rescues, self.reference, self._unlearnt = state["rescues"], state["reference"], state["unlearnt"]
        self._restored = state["restored"]
        self._losses.clear()
        self._losses.extend(state["losses"])
        self._largest_norm = state["largest_norm"]
        self._samples, self._loss_sum, self._norm_sum = state["mean"]
        self._next_check, self._overshot, self._most_live, self._risen_since = state["checks"]
        kept = {k: v for k, v in self._run.optimizer.state_dict().items() if isinstance(v, np.ndarray)}
        like = {"params": self._run.net.params, **kept}
        self._live = checked_state({"live": state["live"]}, {"live": self._live})["live"]
        for group, factor in zip(self._run.optimizer.groups, state["factors"], strict=True):
            if factor is not None:
                group.lr = Scaled(group.lr.schedule, factor)
        self._copies = []
        for i, (step, loss, live) in enumerate(state["copies"]):
            prefix = f"{i}.optimizer."
            optimizer = {k.removeprefix(prefix): state[k] for k in state if k.startswith(prefix)}
            arrays = {name: optimizer[name] for name in kept if name in optimizer}
            params = checked_state({"params": state[f"{i}.params"], **arrays}, like)["params"]
            self._copies.append(_Copy(step, loss, live, params, optimizer))


def _scaled(lr: Any, factor: float) -> float | Callable[[int], float]:
    if not callable(lr):
        return float(lr * factor)
    if isinstance(lr, Scaled) and not callable(lr.factor):
        return Scaled(lr.schedule, lr.factor * factor)
    return Scaled(cast("Callable[[int], float]", lr), factor)
