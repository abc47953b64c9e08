"""Callbacks of the command line: what it keeps of a run for its reports and pictures."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastopt.cli._output import Progress
from fastopt.nn import Callback, SnapshotEnsemble, Training


class CommandLine(Callback):
    """Keep the settings in the checkpoint, so that ``--resume`` needs no other option."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)

    def state_dict(self) -> dict[str, Any]:
        """Return the settings."""
        return self._settings


class StepRecorder(Callback):
    """Keep the loss of each step as first seen, before a guard puts it right, and the rate."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.lrs: list[float] = []

    def on_gradients(self, run: Training) -> None:
        """Note the loss."""
        while len(self.losses) <= run.step:
            self.losses.append(run.loss)

    def on_batch_end(self, run: Training) -> None:
        """Note the rate."""
        while len(self.lrs) < run.step:
            self.lrs.append(run.optimizer.lr)


class Curve(Callback):
    """Keep loss, step and seconds about a thousand times per run: the mean loss since the last time."""

    def __init__(self, move: Progress | None = None) -> None:
        self.step: list[int] = []
        self.seconds: list[float] = []
        self.loss: list[float] = []
        self._move = move

    def on_train_begin(self, run: Training) -> None:
        """Start the clock."""
        self._steps = run.epochs * run.batches
        self._every = max(1, self._steps // 1000)
        self._sum = 0.0
        self._begin = time.perf_counter()

    def on_batch_end(self, run: Training) -> None:
        """Note the loss, if it is time."""
        self._sum += run.loss
        if run.step % self._every == 0:
            self.step.append(run.step)
            self.seconds.append(time.perf_counter() - self._begin)
            self.loss.append(self._sum / self._every)
            self._sum = 0.0
            if self._move is not None:
                self._move(run.step, self._steps)


class Path(Callback):
    """Keep about a hundred copies of the parameters, evenly spread over the run."""

    def __init__(self, move: Progress | None = None) -> None:
        self.params: list[Any] = []
        self._move = move

    def on_train_begin(self, run: Training) -> None:
        """Keep the start."""
        self._steps = run.epochs * run.batches
        self._every = max(1, self._steps // 100)
        self.params.append(run.net.params.copy())

    def on_batch_end(self, run: Training) -> None:
        """Keep a copy, if it is time."""
        if run.step % self._every == 0 or run.step == self._steps:
            self.params.append(run.net.params.copy())
            if self._move is not None:
                self._move(run.step, self._steps)


class SnapshotScores(Callback):
    """Measure each snapshot on held-out data when it is taken."""

    def __init__(self, ensemble: SnapshotEnsemble, X: Any, y: Any) -> None:
        self.ensemble = ensemble
        self._X, self._y = X, y
        self.scores: list[dict[str, float]] = []

    def on_batch_end(self, run: Training) -> None:
        """Measure, if there is a new one."""
        if len(self.ensemble.steps) > len(self.scores):
            with run.averaged():
                self.scores.append(run.net.evaluate(self._X, self._y))

    def state_dict(self) -> dict[str, Any]:
        """Return the results so far."""
        return {"scores": self.scores}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the results so far."""
        self.scores = list(state["scores"])


class _Printer(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"guard: {record.getMessage()}", flush=True)


@contextmanager
def printed_rescues(*, quiet: bool) -> Iterator[None]:
    """Print what a guard logs among the lines of the training."""
    logger = logging.getLogger("fastopt.nn.guard")
    handler: logging.Handler = logging.NullHandler() if quiet else _Printer()
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
