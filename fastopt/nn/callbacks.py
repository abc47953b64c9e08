"""Callbacks for every day: early stopping, checkpoints, lines and bars of progress."""

import math
import os
import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from fastopt._checks import COUNT, boolean, choice, optional, real
from fastopt._extras import require
from fastopt._typing import Array
from fastopt.nn import checkpoint
from fastopt.nn.training import Callback, LambdaCallback, Training, claimed_path

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "EpochPrinter",
    "LambdaCallback",
    "ProgressBar",
]


class EarlyStopping(Callback):
    """Stop when a metric no longer improves, and go back to the best weights.

    With ``patience=None`` it never stops and only keeps the best weights.

    Parameters
    ----------
    monitor : str
        A column of the history: "val_loss", "val_accuracy", "loss", "accuracy".
    patience : int or None
        Stop after this many epochs in a row without an improvement.
    min_delta : float
        Smallest change that counts as an improvement.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" is "max" for accuracies, else "min".
    restore_best : bool
        Whether the network ends with the weights of the best epoch or of the last.

    Attributes
    ----------
    best : float
        The best value so far; infinite before the first epoch.
    best_epoch : int or None
        The epoch of the best value, counted from 0.
    wait : int
        Epochs since then.

    Notes
    -----
    Keras: ``EarlyStopping``, the same rule (``wait >= patience``), but there `restore_best_weights`
    is off by default. PyTorch Lightning: ``EarlyStopping``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int | None = 10,
        min_delta: float = 0.0,
        mode: Literal["auto", "min", "max"] = "auto",
        restore_best: bool = True,
    ) -> None:
        choice("auto", "min", "max")("mode", mode)
        self.monitor = monitor
        self.patience: int | None = optional(COUNT)("patience", patience)
        self.min_delta: float = real(at_least=0)("min_delta", min_delta)
        self.restore_best: bool = boolean("restore_best", restore_best)
        self._sign = -1.0 if mode == "max" or (mode == "auto" and "accuracy" in monitor) else 1.0
        self._reset()

    def _reset(self) -> None:
        self.best: float = self._sign * math.inf
        self.best_epoch: int | None = None
        self.wait: int = 0
        self._params: Array | None = None

    def on_train_begin(self, run: Training) -> None:
        """Forget an earlier run."""
        self._reset()
        self._live = run.net.params

    def on_epoch_begin(self, run: Training) -> None:
        """Do not go on with a resumed run that had been stopped."""
        self._stop_if_due(run)

    def on_epoch_end(self, run: Training) -> None:
        """Compare the epoch with the best so far."""
        if self.monitor not in run.logs:
            raise ValueError(
                f"monitor: expected one of {', '.join(map(repr, run.logs))}, got {self.monitor!r}"
                + (" (it needs validation_data)" if self.monitor.startswith("val_") else "")
            )
        value = float(run.logs[self.monitor])
        if self._sign * value < self._sign * self.best - self.min_delta:
            self.best, self.best_epoch, self.wait = value, run.epoch, 0
            if self.restore_best:
                if self._params is None:
                    self._params = np.empty_like(run.net.params)
                np.copyto(self._params, run.net.params)
        else:
            self.wait += 1
            self._stop_if_due(run)

    def _stop_if_due(self, run: Training) -> None:
        if self.patience is not None and self.wait >= self.patience:
            run.stop(f"{self.monitor} has not improved for {self.wait} epochs")

    def on_train_end(self, run: Training) -> None:
        """Go back to the best weights."""
        if self._params is not None:
            np.copyto(run.net.params, self._params)
            run.history.events.append({"kind": "best weights restored", "epoch": self.best_epoch})

    def state_dict(self) -> dict[str, Any]:
        """Return the counters and the best weights."""
        state = {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait}
        return state if self._params is None else {**state, "params": self._params}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        self._params = None
        if "params" in state:
            self._params = checkpoint.checked_state({"params": state["params"]}, {"params": self._live})["params"]


class Checkpoint(Callback):
    """Save the run to a file, so that ``fit(..., resume=path)`` goes on with the same bits.

    The file is written after every `every` epochs, after the last one, and when Ctrl-C interrupts
    the run: then in the middle of an epoch, with nothing lost. It is never half written: a killed
    process leaves the previous checkpoint.

    Parameters
    ----------
    path : path-like
        The file, by convention ``.npz``. It is overwritten.
    every : int
        Epochs between two checkpoints.
    """

    def __init__(self, path: str | os.PathLike[str], *, every: int = 1) -> None:
        self.path: Path = Path(path)
        self.every: int = COUNT("every", every)

    def on_train_begin(self, run: Training) -> None:
        """Complain now, not after the first epoch."""
        checkpoint.target(self.path)

    def _claims(self) -> dict[Hashable, str]:
        return super()._claims() | claimed_path(self.path)

    def on_checkpoint(self, run: Training) -> None:
        """Save, if it is time."""
        if run.ending or run.epoch % self.every == 0:
            run.save(self.path)


class EpochPrinter(Callback):
    """Print a line every few epochs: ``epoch: 100, acc: 0.403, loss: 1.095, lr: 0.909...``.

    Parameters
    ----------
    every : int
        Epochs between two lines; the last epoch is always printed.
    file : text file, optional
        Where to; default: standard output.

    Notes
    -----
    Where an epoch is a single update, loss and accuracy are those before the update, and the rate
    is the one that led to them, that of the update before: the columns of the listings in
    H. Kinsley, D. Kukieła, "Neural Networks from Scratch in Python", 2020, chapter 10.
    """

    def __init__(self, every: int = 100, *, file: TextIO | None = None) -> None:
        self.every: int = COUNT("every", every)
        self.file = file

    def on_epoch_end(self, run: Training) -> None:
        """Print, if it is time."""
        if run.epoch % self.every == 0 or run.ending:
            print(_line(run), file=self.file, flush=True)


def _line(run: Training) -> str:
    """Describe the epoch just done in a line."""
    rates = run.history["lr"]
    lr = rates[-2] if run.batches == 1 and len(rates) > 1 else rates[-1]
    columns = {"acc": "accuracy", "loss": "loss", "lr": "lr"}
    columns |= {"val_acc": "val_accuracy", "val_loss": "val_loss"}
    words = [f"epoch: {run.epoch}"]
    for label, name in columns.items():
        if name in run.logs:
            words.append(f"{label}: {lr if name == 'lr' else format(run.logs[name], '.3f')}")
    return ", ".join(words)


#: Names in the progress bar, which has to fit beside the bar itself.
_SHORT = {"accuracy": "acc"}


class ProgressBar(Callback):
    """Show a bar with loss, accuracy, rate, samples per second and the time left.

    One bar per epoch, and a line of results below it, if epochs have many batches; else one bar for
    all epochs. Where the output is neither a terminal nor a notebook, only the lines are printed.

    Parameters
    ----------
    per_epoch : bool, optional
        A bar for each epoch; default: if an epoch has at least 20 batches.
    file : text file, optional
        Where to; default: standard output.

    Raises
    ------
    ModuleNotFoundError
        If rich is not installed: ``pip install "fastopt[train]"``.
    """

    def __init__(self, *, per_epoch: bool | None = None, file: TextIO | None = None) -> None:
        self._rich = require("rich.progress", extra="train", what="ProgressBar")
        self.per_epoch: bool | None = optional(boolean)("per_epoch", per_epoch)
        self.file = file
        self._bar: Any = None
        #: How a notebook shows the bar.
        self._shown: Any = None

    def on_train_begin(self, run: Training) -> None:
        """Draw the bar, if there is a terminal to draw it on."""
        self._many = run.batches >= 20 if self.per_epoch is None else self.per_epoch
        self._samples, self._since, self._drawn = 0, time.perf_counter(), 0.0
        console = require("rich.console", extra="train", what="ProgressBar").Console(file=self.file)
        if not (console.is_terminal or console.is_jupyter):
            return
        rich = self._rich
        self._bar = rich.Progress(
            *(rich.TextColumn("{task.description}"), rich.BarColumn(bar_width=None)),
            *(rich.TextColumn("{task.fields[metrics]}"), rich.TextColumn("left")),
            rich.TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("", total=None, metrics="")
        if console.is_jupyter:
            # Not by rich, which needs ipywidgets for it.
            display = require("IPython.display", extra="train", what="the bar in a notebook").display
            self._shown = display(self._bar, display_id=True)
        else:
            self._bar.start()

    def on_epoch_begin(self, run: Training) -> None:
        """Start the bar of the epoch."""
        if self._bar is not None and self._many:
            self._bar.reset(self._task, total=run.batches)
            self._draw(run)

    def on_batch_end(self, run: Training) -> None:
        """Move the bar, a few times a second."""
        self._samples += run.samples
        if self._bar is not None and time.perf_counter() - self._drawn > 0.1:
            self._draw(run)

    def on_epoch_end(self, run: Training) -> None:
        """Move the bar to the end of the epoch, and print its results."""
        if self._many:
            self._print(_line(run))
        if self._bar is not None and run.ending:
            self._draw(run)

    def on_train_end(self, run: Training) -> None:
        """Give the terminal back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._shown = None

    def _print(self, line: str) -> None:
        if self._bar is None or self._shown is not None:
            print(line, file=self.file, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, run: Training) -> None:
        if self._bar is None:
            return
        self._drawn = time.perf_counter()
        metrics = [f"{_SHORT.get(name, name)} {value:.3f}" for name, value in run.means().items()]
        metrics.append(f"lr {run.optimizer.lr:.3g}")
        if self._many:
            metrics.append(f"{self._samples / (self._drawn - self._since):,.0f} samples/s")
        self._bar.update(
            self._task,
            description=f"epoch {run.epoch + 1}/{run.epochs}",
            total=run.batches if self._many else run.epochs,
            completed=run.batch if self._many else run.epoch + run.batch / run.batches,
            metrics=", ".join(metrics),
        )
        if self._shown is not None:
            self._shown.update(self._bar)
