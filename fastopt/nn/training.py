"""The training loop: mini-batches, history, callbacks, and runs that can be stopped and resumed.

The loop knows a network and an optimizer by the protocols `Model` and `Optimizer` alone.
"""

import math
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal, Protocol

import numpy as np

from fastopt._checks import COUNT, boolean, integer, optional, real, to_float
from fastopt._groups import is_grouped
from fastopt._typing import Array
from fastopt.kernels import clip_grad_norm
from fastopt.nn import checkpoint
from fastopt.nn._blas import held_to, useful_threads
from fastopt.nn.history import Diverged, History
from fastopt.nn.layers import Layer
from fastopt.nn.losses import Loss, Metric
from fastopt.schedules._base import start, stateful

__all__ = ["Batches", "Callback", "LambdaCallback", "Model", "Optimizer", "Training", "fit"]

_KIND = "training run"


class Model(Protocol):
    """The interface of a network that can be trained; `Network` has it."""

    params: Array
    grads: Array
    dtype: np.dtype[Any]
    layers: list[Layer]
    loss: Loss
    metrics: dict[str, Metric]

    def as_inputs(self, X: object, name: str = "X") -> Array:
        """Check inputs and convert them to the data type of the parameters."""
        ...

    def as_targets(self, y: object, n: int, name: str = "y") -> Array:
        """Check `n` targets and convert them to the form that the loss works on."""
        ...

    def loss_and_grad(self, X: object, y: object, *, metrics: dict[str, float] | None = None) -> float:
        """Return the loss of a batch, fill `grads`, and fill `metrics` by name."""
        ...

    def training_by_this_thread(self, what: str) -> AbstractContextManager[None]:
        """Refuse, in the name of `what`, to train while another thread does, and keep others from it until the end."""
        ...

    def penalty(self) -> float:
        """Return the part of the loss that depends on the parameters alone."""
        ...

    def predict(self, X: object, batch_size: int = 1024) -> Array:
        """Return the outputs of samples in evaluation mode."""
        ...

    def evaluate(self, X: object, y: object, batch_size: int = 1024) -> dict[str, float]:
        """Return loss and metrics of samples in evaluation mode, by name."""
        ...

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the parameters and further state, by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` returned, or refuse it whole."""
        ...


class Optimizer(Protocol):
    """The interface of an optimizer that can train; those of `fastopt` have it.

    One that keeps averages of the parameters, to be evaluated with, also has a method ``averaged()``: a context manager
    that puts them into the parameters for a while; ``finish()``, if there is one, puts them in for good. `fastopt.EMA`,
    `fastopt.SWA` and the Schedule-Free optimizers are such.
    """

    lr: Any
    groups: Any

    @property
    def steps(self) -> int:
        """Number of steps done."""
        ...

    @property
    def params(self) -> Any:
        """The parameters that it updates, in the structure in which it was given them."""
        ...

    def step(self, grads: Any, *, grad_scale: float = 1.0) -> object:
        """Update the parameters."""

    def state_dict(self) -> dict[str, Any]:
        """Return copies of its state, flat."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Take over a state, or refuse it whole."""


class Callback:
    """Base class of callbacks: override the methods you need; those you do not override cost nothing.

    `fit` calls the methods with the `Training` under way, in the order of the list of callbacks. A plain function in
    that list is called at the end of each epoch.

    Where the optimizer keeps averages of the weights, the network has these in ``on_epoch_end`` and ``on_train_end``.
    In all other methods it has the weights that are trained, and ``with run.averaged():`` puts the averages in for a
    while. What ``on_epoch_end`` does to the weights is then undone: change them in ``on_epoch_begin``.
    """

    def on_train_begin(self, run: "Training") -> None:
        """Start afresh: called once, before the state of a resumed run is loaded."""

    def on_epoch_begin(self, run: "Training") -> None:
        """Run before the first batch of an epoch, and again if it is resumed in the middle."""

    def on_gradients(self, run: "Training") -> bool | None:
        """Run between gradient and update; return True to have the batch computed again instead."""

    def on_batch_end(self, run: "Training") -> None:
        """Run after each update: ``run.loss`` is that of the batch, before the update."""

    def on_epoch_end(self, run: "Training") -> None:
        """Run after each epoch: ``run.logs`` and ``run.history`` include it; averages of the weights are in place."""

    def on_checkpoint(self, run: "Training") -> None:
        """Run when all others are done with the epoch, and when the run is interrupted.

        ``run.save`` then saves all that is needed to go on; ``run.ending`` says whether no epoch
        follows.
        """

    def on_train_end(self, run: "Training") -> None:
        """Run at the end, however the run ends: see ``run.status``."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep: arrays and JSON values, under flat names."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""

    def _claims(self) -> dict[Hashable, str]:
        """Return what only one run at a time can have, with the refusal of another: itself, if it starts afresh."""
        if type(self).on_train_begin is Callback.on_train_begin:
            return {}
        kind = type(self).__name__
        refusal = f"callbacks: expected {kind} objects that no other fit has at this moment, got one that another has"
        return {("callback", id(self)): refusal}


def claimed_path(path: os.PathLike[str]) -> dict[Hashable, str]:
    """Return the claim on a file or folder: runs that write to the same one would undo each other's work."""
    refusal = f"callbacks: expected a path that no other fit writes to at this moment, got {path}"
    return {("path", os.path.realpath(path)): refusal}


class LambdaCallback(Callback):
    """Functions as a callback.

    Parameters
    ----------
    **hooks : callable
        A function of the `Training` for each hook: ``on_epoch_end=lambda run: print(run.logs)``.

    Raises
    ------
    TypeError
        If a name is not one of the hooks of `Callback`, or a value cannot be called.
    """

    def __init__(self, **hooks: Callable[["Training"], Any]) -> None:
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(hook for hook in vars(Callback) if hook.startswith("on_"))
                raise TypeError(f"{name}: expected one of {known}")
            if not callable(function):
                raise TypeError(f"{name}: expected a function, got {function!r}")
            setattr(self, name, function)


class Training:
    """A run under way, as `fit` hands it to callbacks.

    Attributes
    ----------
    net, optimizer, history
        Those of the run.
    X, y : ndarray
        The training data, as the network takes them.
    epochs, batches : int
        Epochs to do, and batches in each.
    epoch : int
        The epoch under way, counted from 0; in ``on_checkpoint`` the one to go on with.
    batch : int
        Batches of this epoch done.
    step : int
        Batches of the run done. The optimizer's own count is lower if a guard has set it back.
    loss, metrics, samples : float, dict, int
        Loss and metrics of the latest batch, and its size.
    logs : dict of str to float
        The values of the latest epoch.
    status : {"running", "completed", "stopped", "interrupted", "failed"}
        How the run ended, in ``on_train_end``.
    """

    def __init__(
        self,
        net: Model,
        X: object,
        y: object,
        *,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = None,
        shuffle: bool = True,
        seed: int | None = 0,
        validation_data: tuple[object, object] | None = None,
        callbacks: Iterable[Callback | Callable[["Training"], Any]] = (),
        clip_norm: float | None = None,
    ) -> None:
        if not (hasattr(optimizer, "params") and hasattr(optimizer, "step")):
            raise TypeError(f"optimizer: expected one made for net.params, such as SGD(net.params), got {optimizer!r}")
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks: expected a list of Callback objects or functions, got {callbacks!r}")
        epochs = integer(0)("epochs", epochs)
        batch_size = optional(COUNT)("batch_size", batch_size)
        self._any_seed = seed is None
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self.net = net
        self.optimizer = optimizer
        self.epochs = epochs
        self.clip_norm: float | None = optional(real(above=0))("clip_norm", clip_norm)
        self.X = net.as_inputs(X)
        self.y: Array = net.as_targets(y, len(self.X))
        self._validation = None
        if validation_data is not None:
            if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
                kind = type(validation_data).__name__
                raise TypeError(f"validation_data: expected (X, y), got {kind}")
            Xv, yv = validation_data
            inputs = net.as_inputs(Xv, "validation_data[0]")
            self._validation = (inputs, net.as_targets(yv, len(inputs), "validation_data[1]"))
        self._data = Batches(self.X, self.y, batch_size, boolean("shuffle", shuffle), integer(0)("seed", seed))
        self._grads = gradients_like(optimizer.params, net)
        self.callbacks: list[Callback] = [_as_callback(item) for item in callbacks]

        self.batches: int = len(self._data)
        self.epoch: int = 0
        self.batch: int = 0
        self.step: int = 0
        self.loss: float = math.nan
        self.metrics: dict[str, float] = {}
        self.samples: int = 0
        self.logs: dict[str, float] = {}
        self.history: History = History()
        self.status: Literal["running", "completed", "stopped", "interrupted", "failed"] = "running"
        self._sums: dict[str, float] = {}
        self._seen = 0
        self._stop: str | None = None
        self._interrupted = False
        self._final = False
        self._averaged = False
        self._norm: float | None = None
        self._lr = math.nan
        self._clock = time.perf_counter()
        # Enough to tell, after an explosion, when the loss began to rise.
        self._recent: deque[float] = deque(maxlen=1000)

    # ---- for callbacks

    def stop(self, reason: str) -> None:
        """End the run after the epoch under way; the reason goes into the history."""
        self._stop = self._stop or reason

    @property
    def ending(self) -> bool:
        """Whether no epoch follows the one under way."""
        return self._stop is not None or self._interrupted or self.history.epochs >= self.epochs

    @property
    def measured(self) -> list[str]:
        """Names of what is measured per epoch: loss and metrics, and the same of the validation data."""
        names = ["loss", *self.net.metrics]
        return names if self._validation is None else [*names, *(f"val_{name}" for name in names)]

    @property
    def gradient_norm(self) -> float:
        """Euclidean norm of the latest gradient, before clipping; computed once per batch."""
        if self._norm is None:
            self._norm = clip_grad_norm(self.net.grads, math.inf).norm
        return self._norm

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averages of the weights, if the optimizer keeps any, into the network for a while.

        Where they are in place already, as in ``on_epoch_end``, nothing changes.
        """
        averaged = getattr(self.optimizer, "averaged", None)
        if averaged is None or self._averaged:
            yield
            return
        with averaged():
            self._averaged = True
            try:
                yield
            finally:
                self._averaged = False

    def means(self) -> dict[str, float]:
        """Return loss and metrics so far in this epoch, as means over its samples."""
        return {name: total / self._seen for name, total in self._sums.items()}

    def diverged(self, what: str) -> Diverged:
        """Return the error that tells where the run exploded, since when, and what to try."""
        message = f"{what} at epoch {self.epoch}, step {self.step}"
        losses = np.array(self._recent)
        finite = losses[np.isfinite(losses)]
        if len(finite):
            # The lower tenth is the usual level for any noise, and unless nine tenths are the rise.
            usual = float(np.quantile(finite, 0.1, method="lower"))
            ago = len(losses) - 1 - int(np.flatnonzero(losses <= usual)[-1])
            message += (
                f"; the loss began to rise after step {self.step - ago}, where it was {usual:.3g}. "
                f"Try a lower learning rate (now {self.optimizer.lr:.3g}), a warm-up, "
                "clip_norm=1.0, or callbacks=[ExplosionGuard()], which goes back and lowers the rate"
            )
        else:
            message += f", before any update: {self._not_finite()}"
        return Diverged(message, self.epoch, self.step)

    def _not_finite(self) -> str:
        """Say what makes the first loss infinite or NaN."""
        arrays = {"X": self.X, "y": self.y, "the initial weights": self.net.params}
        bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if bad:
            return f"there are NaN or infinite values in {' and '.join(bad)}"
        largest = ", ".join(f"{np.abs(array).max():.3g} in {name}" for name, array in arrays.items())
        return (
            f"all values are finite (largest: {largest}), but too large for {self.net.dtype}; "
            "scale X and y to a standard deviation of about 1"
        )

    # ---- the loop

    def run(self, resume: str | os.PathLike[str] | None = None) -> History:
        """Train; see `fit`."""
        blas = held_to(useful_threads(self.net.layers, self._data.size))
        with self.net.training_by_this_thread("fit"), _claimed(self), blas:
            return self._run(resume)

    def _run(self, resume: str | os.PathLike[str] | None) -> History:
        _start_schedules(self.optimizer, self.measured)
        begun: list[Callback] = []
        try:
            for callback in self.callbacks:
                callback.on_train_begin(self)
                begun.append(callback)
            if resume is not None:
                self.load(resume)
            # An explosion is noticed by its loss; NumPy's warnings would only come on top.
            with _deferred(self._interrupt), np.errstate(over="ignore", invalid="ignore"):
                self._loop()
            self._check_params()
            if not self._final:
                self._checkpoint()
            self._keep_averages()
            self.history.interrupted = self._interrupted
            if self._interrupted:
                self.status = "interrupted"
            elif self._stop is not None:
                self.status = "stopped"
                self.history.events.append({"kind": "stopped", "epoch": self.history.epochs - 1, "reason": self._stop})
            else:
                self.status = "completed"
        except BaseException:
            self.status = "failed"
            raise
        finally:
            self._tick()
            # Each is told, in the order of the list, whatever the others raise.
            with ExitStack() as ends:
                for callback in reversed(begun):
                    ends.callback(callback.on_train_end, self)
        return self.history

    def _interrupt(self) -> None:
        self._interrupted = True

    def _call(self, hook: str) -> None:
        for function in _overridden(self.callbacks, hook):
            function(self)

    def _loop(self) -> None:
        checks = _overridden(self.callbacks, "on_gradients")
        batch_ends = _overridden(self.callbacks, "on_batch_end")
        while self.epoch < self.epochs and not self._interrupted:
            self._call("on_epoch_begin")
            if self._stop is not None:
                return
            self._data.begin(self.epoch)
            while self.batch < self.batches:
                self._train_batch(*self._data[self.batch], checks)
                for function in batch_ends:
                    function(self)
                if self._interrupted and self.batch < self.batches:
                    return
            self._end_epoch()
            if self._stop is not None:
                return

    def _train_batch(self, x: Array, y: Array, checks: Sequence[Callable[["Training"], bool | None]]) -> None:
        self.samples = len(x)
        again = True
        while again:
            self.loss = self.net.loss_and_grad(x, y, metrics=self.metrics)
            self._norm = None
            self._recent.append(self.loss)
            again = False
            for check in checks:
                again = check(self) is True or again
        if not math.isfinite(self.loss):
            raise self.diverged(f"the loss became {self.loss}")
        scale = 1.0
        if self.clip_norm is not None:
            if not math.isfinite(self.gradient_norm):
                raise self.diverged(f"the norm of the gradient became {self.gradient_norm}")
            scale = min(1.0, self.clip_norm / (self.gradient_norm or 1.0))
        if self.batch + 1 == self.batches:
            self._lr = float(self.optimizer.lr)
        begin = time.perf_counter()
        self.optimizer.step(self._grads, grad_scale=scale)
        self.history.optimizer_seconds += time.perf_counter() - begin

        self._seen += self.samples
        self._sums["loss"] = self._sums.get("loss", 0.0) + self.loss * self.samples
        for name, value in self.metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * self.samples
        self.batch += 1
        self.step += 1

    def _end_epoch(self) -> None:
        self.logs = self.means()
        with self.averaged():
            if self._validation is not None:
                measured = self.net.evaluate(*self._validation)
                self.logs |= {f"val_{name}": value for name, value in measured.items()}
            self.logs["lr"] = self._lr
            self.history.append(self.logs)
            _tell_schedules(self.optimizer, self.logs)
            self._call("on_epoch_end")
        self.epoch += 1
        self.batch = self._seen = 0
        self._sums = {}
        self._checkpoint()

    def _checkpoint(self) -> None:
        self._final = self.ending
        self._call("on_checkpoint")

    def _keep_averages(self) -> None:
        """Leave the averages of the weights, if the optimizer keeps any, in the network."""
        if not hasattr(self.optimizer, "averaged"):
            return
        trained = self.net.params.copy()
        finish = getattr(self.optimizer, "finish", None)
        if finish is not None:
            finish()
        else:
            with self.averaged():
                averages = self.net.params.copy()
            np.copyto(self.net.params, averages)
        if not np.array_equal(self.net.params, trained):  # nothing may have been averaged yet
            self.history.events.append({"kind": "averaged weights", "epoch": self.history.epochs - 1})
        self._averaged = True

    def _check_params(self) -> None:
        """Raise the error that the next loss, if there were one, would lead to."""
        if not np.isfinite(self.net.params).all():
            raise self.diverged("the last update made parameters infinite or NaN")

    def _tick(self) -> None:
        now = time.perf_counter()
        self.history.seconds += now - self._clock
        self._clock = now

    # ---- saving and resuming

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint that ``fit(..., resume=path)`` goes on from with the same bits."""
        self._check_params()
        self._tick()
        arrays: dict[str, Any] = {}
        callbacks: dict[str, dict[str, Any]] = {}
        for key, value in self.net.state_dict().items():
            arrays[f"net.{key}"] = value
        for key, value in self.optimizer.state_dict().items():
            arrays[f"optimizer.{key}"] = value
        for key, values in self.history.items():
            arrays[f"history.{key}"] = np.array(values, np.float64)
        for name, callback in self._named_callbacks():
            state = callback.state_dict()
            callbacks[name] = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
            for key in state.keys() - callbacks[name].keys():
                arrays[f"callback.{name}.{key}"] = state[key]
        meta = {
            "settings": self._settings(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "seen": self._seen,
            "sums": self._sums,
            "events": self.history.events,
            "seconds": self.history.seconds,
            "optimizer_seconds": self.history.optimizer_seconds,
            "callbacks": callbacks,
        }
        checkpoint.save(path, arrays, meta, kind=_KIND)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint, which has to be of the same run; if any of it does not fit, change nothing."""
        arrays, meta = checkpoint.load(path, kind=_KIND)
        rates = [group.lr for group in self.optimizer.groups]
        before: list[tuple[Any, dict[str, Any]]] = []
        try:
            self._check_settings(meta["settings"], path)
            history = _below("history.", arrays)
            self._check_progress(meta, history)
            self._check_rates(meta["callbacks"])
            states = {"optimizer": _below("optimizer.", arrays), "net": _below("net.", arrays)}
            for name, state in meta["callbacks"].items():
                states[name] = {**_below(f"callback.{name}.", arrays), **state}
            owners: list[tuple[str, Any]] = [("optimizer", self.optimizer), ("net", self.net)]
            for name, owner in [*owners, *self._named_callbacks()]:
                if name in states:
                    before.append((owner, owner.state_dict()))
                    owner.load_state_dict(states[name])
        except BaseException as error:
            for group, lr in zip(self.optimizer.groups, rates, strict=True):
                group.lr = lr
            for owner, state in before:
                owner.load_state_dict(state)
            if not isinstance(error, Exception):
                raise
            what = error if isinstance(error, ValueError) else f"{path} is damaged ({type(error).__name__}: {error})"
            raise ValueError(f"resume: {what}{self._others(meta['callbacks']) if before else ''}") from error
        for group, lr in zip(self.optimizer.groups, rates, strict=True):
            if callable(lr) and not callable(group.lr):
                warnings.warn(f"resume: the rate {group.lr:.3g} in {path} replaces the schedule {lr!r}", stacklevel=4)
        self._data.seed = meta["settings"]["seed"]
        for key, values in history.items():
            self.history[key] = values.tolist()
        self.history.events = meta["events"]
        self.history.seconds = meta["seconds"]
        self.history.optimizer_seconds = meta["optimizer_seconds"]
        self.epoch, self.batch, self.step = meta["epoch"], meta["batch"], meta["step"]
        self._seen, self._sums = meta["seen"], meta["sums"]

    def _check_settings(self, saved: Mapping[str, Any], path: object) -> None:
        seed = integer(0)("seed", saved["seed"])
        for name, value in (self._settings() | ({"seed": seed} if self._any_seed else {})).items():
            if value != saved[name]:
                raise ValueError(f"expected {name}={saved[name]!r} as in {path}, got {value!r}")

    def _check_progress(self, meta: Mapping[str, Any], history: Mapping[str, Array]) -> None:
        """Check that the numbers that say where a run is say the same."""
        epoch, batch = (integer(0)(name, meta[name]) for name in ("epoch", "batch"))
        means = ["loss", *self.net.metrics]
        if (
            batch >= self.batches
            or meta["step"] != epoch * self.batches + batch
            or meta["seen"] != batch * self._data.size
            or meta["sums"].keys() != set(means if batch else ())
            or not all(isinstance(event, dict) for event in meta["events"])
            or (epoch and any(history[name].shape != (epoch,) for name in (*means, "lr")))
        ):
            raise ValueError(f"position, history and metrics do not fit together at epoch {epoch}, batch {batch}")
        for name, number in {**meta["sums"], **{name: meta[name] for name in ("seconds", "optimizer_seconds")}}.items():
            to_float(name, number)

    def _check_rates(self, saved: Mapping[str, Any]) -> None:
        """Refuse to go on at rates that a guard had found too high: schedules do not keep what scaled them."""
        for name in saved.keys() - {name for name, _ in self._named_callbacks()}:
            if factors := [factor for factor in saved[name].get("factors", ()) if factor not in (None, 1)]:
                raise ValueError(
                    f"expected the callback {name.rstrip('0123456789')}, which scaled the schedule of the saved run "
                    f"by {factors[0]:.3g} after it had exploded, got none"
                )

    def _others(self, saved: Mapping[str, Any]) -> str:
        """Say which callbacks with state only the saved run has, or only this one: a guard has a hold on the rate."""
        had = {name for name, state in saved.items() if state}
        has = {name for name, callback in self._named_callbacks() if callback.state_dict()}
        return f"; callbacks of only one of the runs: {', '.join(sorted(had ^ has))}" if had ^ has else ""

    def _settings(self) -> dict[str, Any]:
        return {
            "samples": len(self.X),
            "batch_size": self._data.size,
            "shuffle": self._data.shuffle,
            "seed": self._data.seed,
            "clip_norm": self.clip_norm,
            "validation": self._validation is not None,
        }

    def _named_callbacks(self) -> Iterator[tuple[str, Callback]]:
        counts: dict[str, int] = {}
        for callback in self.callbacks:
            kind = type(callback).__name__
            counts[kind] = counts.get(kind, -1) + 1
            yield f"{kind}{counts[kind]}", callback


def fit(
    net: Model,
    X: object,
    y: object,
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: int | None = 0,
    validation_data: tuple[object, object] | None = None,
    callbacks: Iterable[Callback | Callable[[Training], Any]] = (),
    clip_norm: float | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> History:
    """Train a network.

    Schedules are asked once per update. Those that follow a metric (`ReduceOnPlateau`) are told the one that their
    `monitor` names after each epoch, by default the validation loss, else the training loss, or the accuracy in mode
    "max". They begin anew with a new optimizer, and go on where the training of an optimizer that has done steps, or
    a resumed run, goes on.

    With an optimizer that keeps averages of the weights, such as `fastopt.EMA`, the network is trained as without
    them, and evaluated with them: this holds for the validation data, so for early stopping, its best weights and
    schedules that follow a metric, and for callbacks at the end of an epoch. Loss and metrics of the training data are
    those of the weights that are trained. At the end the network has the averages, as in Keras with ``use_ema=True``,
    and another `fit` begins with them; a resumed run goes on with the trained weights, which a `Checkpoint` has.

    Ctrl-C ends the run after the batch under way and returns the history so far; with a
    `Checkpoint` among the callbacks nothing is lost. A second Ctrl-C raises `KeyboardInterrupt`.

    Parameters
    ----------
    net : Network
        The network.
    X : array_like of shape (n, n_inputs)
        Inputs, in the network's data type or converted to it once.
    y : array_like
        Targets, as the network's loss takes them.
    optimizer : optimizer
        Made for ``net.params``, or for views of it: layers' weights, groups of them. Or such an optimizer inside one
        that keeps averages: ``fastopt.EMA(fastopt.Adam(net.params))``.
    epochs : int
        Passes over the data; those of the resumed run included.
    batch_size : int, optional
        Samples per update; the last batch of an epoch may be smaller. Default: all of them.
    shuffle : bool
        Whether the samples are in a new order each epoch; without effect on a single batch.
    seed : int or None
        Seed of that order; None takes one from the operating system,
        or that of the resumed run.
    validation_data : tuple of array_like, optional
        ``(X, y)`` to measure after each epoch.
    callbacks : iterable of Callback or function
        See `Callback`; a function is called with the `Training` after each epoch.
    clip_norm : float, optional
        Scale gradients whose Euclidean norm, over all parameters, is larger down to this norm.
        L2 penalties of the layers are part of the gradient, `weight_decay` of the optimizer is not.
    resume : path-like, optional
        A file written by `Checkpoint`, from a run with the same network, optimizer, data and
        settings. The result has the same bits as if that run had never stopped.

    Returns
    -------
    History
        Lists with one value per epoch.

    Warns
    -----
    UserWarning
        If the resumed run had a number for a learning rate where `optimizer` has a schedule: the number holds.

    Raises
    ------
    Diverged
        If loss or parameters become infinite or NaN.
    RuntimeError
        If the network is being trained already, in another thread or by the `fit` that called the
        callback which calls this one; and for a callback, or the path of one, that another run
        has at this moment.
    TypeError, ValueError
        For arguments out of range, an optimizer of other arrays, a schedule that follows a metric
        which is not measured, and checkpoints that are damaged or do not fit.

    Examples
    --------
    >>> import fastopt
    >>> from fastopt import nn
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = nn.Network([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), dtype="float64")
    >>> history = fit(net, X, 3 * X, optimizer=fastopt.SGD(net.params, lr=0.5), epochs=50)
    >>> bool(history["loss"][-1] < 1e-6), net.layers[0].weight.round(2)
    (True, array([[3.]]))
    """
    return Training(
        net,
        X,
        y,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_data=validation_data,
        callbacks=callbacks,
        clip_norm=clip_norm,
    ).run(resume)


# What the runs under way, in all threads, have for themselves, and which of them has it.
_claims: dict[Hashable, object] = {}
_claims_lock = threading.Lock()


@contextmanager
def _claimed(run: Training) -> Iterator[None]:
    """Refuse to train with what another run under way has for itself, and keep it from others."""
    refusal = "net: expected a network that no other fit is training, got one in training"
    wanted: dict[Hashable, str] = {("net", id(run.net)): refusal}
    for callback in run.callbacks:
        wanted |= callback._claims()
    for schedule in stateful(*_hyper_parameters(run.optimizer)):
        refusal = f"optimizer: expected schedules with a state that no other fit follows, got {schedule!r} followed"
        wanted["schedule", id(schedule)] = refusal
    owner = object()  # not the run, which might be run inside itself
    try:
        with _claims_lock:
            for key, refusal in wanted.items():
                if key in _claims:
                    raise RuntimeError(refusal)
            _claims.update(dict.fromkeys(wanted, owner))
        yield
    finally:
        with _claims_lock:
            for key in wanted:
                if _claims.get(key) is owner:
                    del _claims[key]


def _as_callback(item: object) -> Callback:
    if isinstance(item, Callback):
        return item
    if isinstance(item, type) or not callable(item):
        raise TypeError(f"callbacks: expected Callback objects or functions, got {item!r}")
    return LambdaCallback(on_epoch_end=item)


def _overridden(callbacks: Iterable[Callback], hook: str) -> list[Callable[[Training], Any]]:
    methods = [getattr(callback, hook) for callback in callbacks]
    default = getattr(Callback, hook)
    return [method for method in methods if getattr(method, "__func__", None) is not default]


class Batches:
    """The batches of an epoch, in buffers made once.

    The order of an epoch depends on the seed and the number of the epoch alone, so that a run can
    be resumed anywhere without a generator's state.
    """

    def __init__(self, X: Array, y: Array, size: int | None, shuffle: bool, seed: int) -> None:
        self.X: Array = X
        self.y: Array = y
        self.size: int = len(X) if size is None else min(int(size), len(X))
        self.shuffle: bool = shuffle and self.size < len(X)
        self.seed = seed
        if self.shuffle:
            self._x = np.empty((self.size, *X.shape[1:]), X.dtype)
            self._y = np.empty((self.size, *y.shape[1:]), y.dtype)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.X) // self.size)

    def begin(self, epoch: int) -> None:
        """Make the order of an epoch."""
        if self.shuffle:
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.X))

    def __getitem__(self, i: int) -> tuple[Array, Array]:
        """Return inputs and targets of batch `i`, which the next call may overwrite."""
        if len(self) == 1:
            return self.X, self.y
        rows = slice(i * self.size, (i + 1) * self.size)
        if not self.shuffle:
            return self.X[rows], self.y[rows]
        order = self._order[rows]
        # With mode="raise", the default, np.take fills a copy of `out` first.
        x = np.take(self.X, order, axis=0, out=self._x[: len(order)], mode="clip")
        y = np.take(self.y, order, axis=0, out=self._y[: len(order)], mode="clip")
        return x, y


def gradients_like(params: Any, net: Model) -> Any:
    """Return the views of ``net.grads`` that correspond to `params`, views of ``net.params``."""
    if params is net.params:
        return net.grads
    if isinstance(params, Mapping):
        return {name: gradients_like(value, net) for name, value in params.items()}
    if is_grouped(params):
        return [gradients_like(group["params"], net) for group in params]
    if isinstance(params, list | tuple):
        return [gradients_like(value, net) for value in params]
    try:
        offset = params.ctypes.data - net.params.ctypes.data
        return np.ndarray(params.shape, params.dtype, net.grads.data, offset, params.strides)
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            "optimizer: expected one made for net.params, or for views of it, got one for "
            f"{type(params).__name__} of shape {getattr(params, 'shape', None)} elsewhere"
        ) from None


def _start_schedules(optimizer: Optimizer, measured: Collection[str]) -> None:
    """Start the schedules that follow a metric anew for a new optimizer; `measured` must have what each follows."""
    for schedule in stateful(*_hyper_parameters(optimizer)):
        _followed(schedule, measured)
    if optimizer.steps == 0:
        start(optimizer, *_hyper_parameters(optimizer))


def _tell_schedules(optimizer: Optimizer, logs: Mapping[str, float]) -> None:
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


@contextmanager
def _deferred(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call a function at the first Ctrl-C, and let the second raise `KeyboardInterrupt`.

    Signals reach the main thread alone, and a handler of the caller's own is left in place.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def handle(signum: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
