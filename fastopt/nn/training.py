"""The training loop: mini-batches, history, callbacks, and runs that can be stopped and resumed."""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastopt._checks import COUNT, boolean, integer, optional, real
from fastopt._typing import Array
from fastopt.kernels import clip_grad_norm
from fastopt.nn import resuming
from fastopt.nn.batches import Batches
from fastopt.nn.callbacks import Callback, LambdaCallback
from fastopt.nn.history import Diverged, History
from fastopt.nn.interrupts import deferred
from fastopt.nn.optimizing import Optimizer, gradients_like, start_schedules, tell_schedules

if TYPE_CHECKING:
    from fastopt.nn.network import Network

__all__ = ["Training", "fit"]


class Training:
    """A run under way: what `fit` hands to callbacks.

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
        net: "Network",
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
        """Euclidean norm of the latest gradient, before clipping; computed once a batch."""
        if self._norm is None:
            self._norm = clip_grad_norm(self.net.grads, math.inf).norm
        return self._norm

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
            message += ", before any update: check that X, y and the initial weights are finite"
        return Diverged(message, self.epoch, self.step)

    # ---- the loop

    def run(self, resume: str | os.PathLike[str] | None = None) -> History:
        """Train; see `fit`."""
        start_schedules(self.optimizer, self.measured)
        begun: list[Callback] = []
        try:
            for callback in self.callbacks:
                callback.on_train_begin(self)
                begun.append(callback)
            if resume is not None:
                self.load(resume)
            # An explosion is noticed by its loss; NumPy's warnings would only come on top.
            with deferred(self._interrupt), np.errstate(over="ignore", invalid="ignore"):
                self._loop()
            self._check_params()
            if not self._final:
                self._checkpoint()
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
        if self._validation is not None:
            measured = self.net.evaluate(*self._validation)
            self.logs |= {f"val_{name}": value for name, value in measured.items()}
        self.logs["lr"] = self._lr
        self.history.append(self.logs)
        tell_schedules(self.optimizer, self.logs)
        self._call("on_epoch_end")
        self.epoch += 1
        self.batch = self._seen = 0
        self._sums = {}
        self._checkpoint()

    def _checkpoint(self) -> None:
        self._final = self.ending
        self._call("on_checkpoint")

    def _check_params(self) -> None:
        """Notice what the next loss, if there were one, would show."""
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
        resuming.save(self, path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint, which has to be of the same run; if any of it does not fit, change nothing."""
        resuming.load(self, path)


def fit(
    net: "Network",
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
        Made for ``net.params``, or for views of it: layers' weights, groups of them.
    epochs : int
        Passes over the data; those of the resumed run included.
    batch_size : int, optional
        Samples an update; the last batch of an epoch may be smaller. Default: all of them.
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
        Lists with a value an epoch.

    Warns
    -----
    UserWarning
        If the resumed run had a number for a learning rate where `optimizer` has a schedule: the number holds.

    Raises
    ------
    Diverged
        If loss or parameters become infinite or NaN.
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
