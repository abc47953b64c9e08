"""Snapshot ensembles: the models that one cyclic run passes through, averaged."""

import copy
import math
import os
import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastopt._checks import COUNT, optional
from fastopt._typing import Array
from fastopt.nn import checkpoint
from fastopt.nn.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from fastopt.nn.training import Callback, Model, Training, claimed_path

__all__ = ["SnapshotEnsemble"]

_KIND = "snapshot"

# Updates after which a network that has learned nothing is not taken for one that is still to begin.
_BEGINNING = 100


class SnapshotEnsemble(Callback):
    r"""Keep the weights at the end of each cycle of the learning rate, and predict with all.

    .. math:: p(x) = \frac{1}{M} \sum_{i=1}^{M} p_i(x)

    Parameters
    ----------
    cycle : int, optional
        Updates in a cycle. Default: as the optimizer's schedule says, which is then
        `fastopt.schedules.SnapshotCosine`, `CosineWarmRestarts` or another with a method
        ``ends_cycle(step)``.
    keep : int, optional
        How many of the latest snapshots to keep; default: all.
    folder : path-like, optional
        Where to keep them, as files ``snapshot-<step>.npz``; it is made if it does not exist, and
        files of an earlier run in it are overwritten. Default: in memory.

    Warns
    -----
    UserWarning
        For a cycle that collapsed: with a rate too high it ends in a network that knows little or nothing, whose
        snapshot only does harm. Its loss on up to 1024 training samples is then nearer to that of the best
        constant prediction (`Loss.constant`) than to the lowest after an earlier cycle or, as long as none has learned
        anything, above 0.95 times the constant's. Cycles that end before the 100th update are not judged.
        ``history.events`` has it too, as "collapsed cycle".

    Notes
    -----
    Where the optimizer keeps averages of the weights, the snapshots are of these.

    `predict` and `evaluate` work on a copy of the network, whose own weights they never touch, and may be called while
    it is trained and from several threads at once.

    References
    ----------
    G. Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", 2017, arXiv:1704.00109.

    Examples
    --------
    >>> import fastopt
    >>> from fastopt import nn
    >>> from fastopt.nn.training import fit
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = nn.Network([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), dtype="float64")
    >>> schedule = fastopt.schedules.SnapshotCosine(lr=1.0, total_steps=60, cycles=3)
    >>> ensemble = SnapshotEnsemble()
    >>> optimizer = fastopt.SGD(net.params, lr=schedule)
    >>> history = fit(net, X, 3 * X, optimizer=optimizer, epochs=60, callbacks=[ensemble])
    >>> ensemble.steps, ensemble.predict([[0.5]]).round(2)
    ([20, 40, 60], array([[1.5]]))
    """

    def __init__(
        self,
        cycle: int | None = None,
        *,
        keep: int | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.cycle: int | None = optional(COUNT)("cycle", cycle)
        self.keep: int | None = optional(COUNT)("keep", keep)
        self.folder: Path | None = None if folder is None else Path(folder)
        self._snapshots: dict[int, Array | None] = {}  # by step; None is in a file
        self._net: Model | None = None
        self._idle: list[Model] = []
        self._best = math.inf

    @property
    def steps(self) -> list[int]:
        """After how many updates each snapshot was taken."""
        return list(self._snapshots)

    def __len__(self) -> int:
        """Return the number of snapshots."""
        return len(self._snapshots)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the networks that only predict."""
        return {**vars(self), "_idle": []}

    def on_train_begin(self, run: Training) -> None:
        """Forget an earlier run's snapshots."""
        self._snapshots, self._net, self._idle, self._best = {}, run.net, [], math.inf
        if self.cycle is None:
            _cycle_end(run.optimizer, 0)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def _claims(self) -> dict[Hashable, str]:
        return super()._claims() | ({} if self.folder is None else claimed_path(self.folder))

    def on_batch_end(self, run: Training) -> None:
        """Take a snapshot, if a cycle ends, and see whether the network still knows anything."""
        if self._cycle_ends(run):
            with run.averaged():
                self._take(run)
                self._notice_collapse(run)

    def _cycle_ends(self, run: Training) -> bool:
        if self.cycle is not None:
            return run.step % self.cycle == 0
        return _cycle_end(run.optimizer, run.optimizer.steps - 1)

    def _take(self, run: Training) -> None:
        if self.folder is None:
            self._snapshots[run.step] = run.net.params.copy()
        else:
            arrays = {"params": run.net.params}
            checkpoint.save(self._path(run.step), arrays, {"step": run.step}, kind=_KIND)
            self._snapshots[run.step] = None
        if self.keep is not None and len(self) > self.keep:
            dropped = next(iter(self._snapshots))
            del self._snapshots[dropped]
            if self.folder is not None:
                self._path(dropped).unlink(missing_ok=True)

    def _notice_collapse(self, run: Training) -> None:
        every = -(-len(run.X) // 1024)
        loss = run.net.evaluate(run.X[::every], run.y[::every])["loss"]
        before, self._best = self._best, min(loss, self._best)
        constant = run.net.loss.constant(run.y)
        learnt = before < 0.95 * constant
        if run.step < _BEGINNING or loss < ((before + constant) / 2 if learnt else 0.95 * constant):
            return
        than = f"; {before:.3g} after an earlier cycle" if learnt else ""
        reason = (
            f"the cycle that ended after {run.step} updates collapsed: the training loss is {loss:.3g} "
            f"({constant:.3g} without learning anything{than}). Try a lower rate"
        )
        run.history.events.append({"kind": "collapsed cycle", "epoch": run.epoch, "step": run.step, "reason": reason})
        warnings.warn(f"SnapshotEnsemble: {reason}", stacklevel=7)

    def predict(self, X: object, *, last: int | None = None) -> Array:
        """Return the mean of what the snapshots predict: probabilities, or numbers.

        Parameters
        ----------
        X : array_like of shape (n, n_inputs)
            Samples.
        last : int, optional
            Take only so many of the latest snapshots; 1 is the last one alone. Default: all.

        Returns
        -------
        ndarray of shape (n, n_outputs)

        Raises
        ------
        ValueError
            If there are not as many snapshots.
        """
        # All that changes while a training goes on is looked at once.
        snapshots, idle, own = list(self._snapshots.items()), self._idle, self._net
        if own is None or not snapshots:
            raise ValueError("expected at least one snapshot: train with this callback first")
        count = len(snapshots) if last is None else COUNT("last", last)
        if count > len(snapshots):
            raise ValueError(f"last: expected at most {len(snapshots)}, the number of snapshots, got {last!r}")
        try:
            net = idle.pop()
        except IndexError:
            net = copy.copy(own)
        total = np.zeros((), net.dtype)
        for step, params in snapshots[-count:]:
            np.copyto(net.params, self._load(step) if params is None else params)
            total = total + net.predict(X)
        idle.append(net)
        return total / count

    def evaluate(self, X: object, y: object, *, last: int | None = None) -> dict[str, float]:
        """Return loss and metrics of the averaged prediction.

        Parameters
        ----------
        X, y : array_like
            Samples and targets, as for ``Network.evaluate``.
        last : int, optional
            As for `predict`.

        Returns
        -------
        dict of str to float
            "loss", and each of the network's metrics.
        """
        predicted = self.predict(X, last=last)
        assert self._net is not None
        loss = self._net.loss
        targets = self._net.as_targets(y, len(predicted))
        scores = _scores(loss, predicted)
        measured = {name: metric(scores, targets) for name, metric in self._net.metrics.items()}
        work = loss.workspace(scores)
        return {"loss": loss.value_and_grad(scores, targets, work), **measured}

    def _load(self, step: int) -> Array:
        return checkpoint.load(self._path(step), kind=_KIND)[0]["params"]

    def _path(self, step: int) -> Path:
        assert self.folder is not None
        return self.folder / f"snapshot-{step}.npz"

    def state_dict(self) -> dict[str, Any]:
        """Return the snapshots, or where they are if they have files."""
        memory = {f"params.{step}": params for step, params in self._snapshots.items() if params is not None}
        return {"steps": self.steps, "best": self._best, **memory}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the snapshots of the run so far."""
        steps = list(state["steps"])
        self._best = state["best"]
        if self.folder is not None:
            self._snapshots = dict.fromkeys(steps)
            return
        assert self._net is not None
        names = {f"params.{step}": step for step in steps}
        arrays = checkpoint.checked_state({k: state[k] for k in names}, dict.fromkeys(names, self._net.params))
        self._snapshots = {names[name]: params for name, params in arrays.items()}


def _cycle_end(optimizer: Any, step: int) -> bool:
    schedule = optimizer.schedule
    if not getattr(schedule, "cyclic", False):
        raise ValueError(
            "cycle: expected a number of updates, since the optimizer's learning rate has no "
            f"cycles of its own: {optimizer.schedule!r}"
        )
    return bool(schedule.ends_cycle(step))


def _scores(loss: Loss, predicted: Array) -> Array:
    """Return scores that the loss's activation maps to `predicted`."""
    tiny = np.finfo(predicted.dtype).tiny
    if isinstance(loss, SoftmaxCrossEntropy):
        return np.asarray(np.log(np.maximum(predicted, tiny)))
    if isinstance(loss, BinaryCrossEntropy):
        return np.asarray(np.log(np.maximum(predicted, tiny) / np.maximum(1 - predicted, tiny)))
    return predicted
