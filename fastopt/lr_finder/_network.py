"""The range test of a network, and short trainings at a few rates: trainings that end early and leave no trace."""

import math

import numpy as np

from fastopt._checks import integer, real
from fastopt.lr_finder._measurement import (
    Interrupts,
    Measurement,
    Progress,
    check_optimizer,
    check_progress,
    initial_loss_error,
    restore_optimizer,
    save_optimizer,
)
from fastopt.lr_finder._result import Mode, RangeTest
from fastopt.nn.callbacks import Callback
from fastopt.nn.history import Diverged
from fastopt.nn.network import Network
from fastopt.nn.training import Optimizer, Training

#: Rates that `verify` tries at most, but for the last two.
_MOST_RATES = 12


def lr_find(
    net: Network,
    optimizer: Optimizer,
    X: object,
    y: object,
    *,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: int | None = 0,
    clip_norm: float | None = None,
    lr_min: float = 1e-5,
    lr_max: float = 10.0,
    steps: int = 100,
    mode: Mode = "exponential",
    early_stop_threshold: float | None = 4.0,
    progress: Progress | None = None,
) -> RangeTest:
    """Test a range of learning rates on a network.

    It takes the batches that `fastopt.nn.fit` takes with the same settings, as many epochs as
    needed. Afterwards the network (parameters, gradients, dropout), the optimizer (state, steps)
    and its rates and schedules are as before, however the test ends.

    Parameters
    ----------
    net : Network
        The network, trained or not.
    optimizer : optimizer
        Made for ``net.params``, or for views of it. All its groups get the rate under test; its
        momentum, weight decay and so on count.
    X : array_like of shape (n, n_inputs)
        Inputs, in the network's data type or converted to it once.
    y : array_like
        Targets, as the network's loss takes them.
    batch_size, shuffle, seed, clip_norm
        As in `fastopt.nn.fit`. Suggestions hold for the batch size they were found with.
    lr_min, lr_max, steps, mode, early_stop_threshold, progress
        As in `lr_find_step`.

    Returns
    -------
    RangeTest

    Raises
    ------
    FloatingPointError
        If the first loss is infinite or NaN.
    KeyboardInterrupt
        At Ctrl-C, after the step under way, when all is as before. A second one does not wait.
    TypeError, ValueError
        For arguments out of range, and an optimizer of other arrays.

    Examples
    --------
    >>> import fastopt
    >>> from fastopt import nn
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = nn.Network([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), dtype="float64")
    >>> optimizer = fastopt.SGD(net.params)
    >>> test = lr_find(net, optimizer, X, 3 * X)
    >>> test
    RangeTest(mode='exponential', steps=100, diverged=False)
    >>> optimizer.lr = test.suggestion
    """
    check_optimizer(optimizer)
    measurement = Measurement(lr_min, lr_max, steps, mode, early_stop_threshold, progress)
    with Interrupts() as interrupts:
        run = Training(
            net,
            X,
            y,
            optimizer=optimizer,
            epochs=steps,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            clip_norm=clip_norm,
            callbacks=[_GrowingRate(measurement, interrupts)],
        )
        measurement.diverged |= _diverges(run, interrupts)
    return measurement.result()


def verify(
    net: Network,
    optimizer: Optimizer,
    X: object,
    y: object,
    lr: float,
    *,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: int | None = 0,
    clip_norm: float | None = None,
    steps: int = 1000,
    progress: Progress | None = None,
) -> tuple[float, dict[float, float]]:
    """Compare a learning rate with a third and three times of it, in short trainings.

    Each rate is held for `steps` updates, from the same start and on the same batches. While the highest or the lowest
    rate does best, the next one beyond it is tried too; in the end, those half of the way (by a factor of the square
    root of 3) from the best one to its neighbours. Afterwards network and optimizer are as before, as with `lr_find`.

    Parameters
    ----------
    net, optimizer, X, y, batch_size, shuffle, seed, clip_norm
        As in `lr_find`.
    lr : float
        The rate, such as the suggestion of a `RangeTest`.
    steps : int
        Updates per rate, at least 1.
    progress : callable, optional
        ``progress(done, total)`` is called after each update; the total grows with the rates.

    Returns
    -------
    best : float
        The rate with the lowest loss; or the one below, if its loss is higher by less than a tenth of the lowest loss
        and of what the training gained: short trainings favour high rates.
    losses : dict of float to float
        For each rate, ascending, the loss of the last quarter of its updates (of the means of its eight parts, the
        median); infinity if the training diverged.

    Raises
    ------
    FloatingPointError
        If the first loss is infinite or NaN, or all trainings diverge.
    KeyboardInterrupt
        At Ctrl-C, after the update under way, when all is as before. A second one does not wait.
    TypeError, ValueError
        For arguments out of range, and an optimizer of other arrays.

    Examples
    --------
    >>> import fastopt
    >>> from fastopt import nn
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = nn.Network([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), dtype="float64")
    >>> best, losses = verify(net, fastopt.SGD(net.params), X, 3 * X, 0.1, steps=50)
    >>> round(best, 2), len(losses)
    (0.9, 7)
    """
    check_optimizer(optimizer)
    lr = real(above=0)("lr", lr)
    steps = integer(1)("steps", steps)
    check_progress(progress)
    if seed is None:  # one for all rates
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    losses: dict[int, float] = {}  # of the rates lr * 3 ** (power / 2)
    initial = math.nan

    def train(power: int) -> None:
        nonlocal initial
        held = _HeldRate(rate(power), steps, interrupts, len(losses), progress)
        run = Training(
            net,
            X,
            y,
            optimizer=optimizer,
            epochs=steps,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            clip_norm=clip_norm,
            callbacks=[held],
        )
        diverged = _diverges(run, interrupts)
        if interrupts.pending:
            raise KeyboardInterrupt
        initial = held.losses[0]
        if not math.isfinite(initial):
            raise initial_loss_error(initial)
        losses[power] = math.inf if diverged else held.final_loss

    def rate(power: int) -> float:
        return lr * math.pow(3.0, power / 2)

    def order(power: int) -> tuple[float, int]:
        # Of equal ones the nearest, of those that diverge the lowest.
        return losses[power], power if losses[power] == math.inf else abs(power)

    def untried(distance: int) -> list[int]:
        best = min(losses, key=order)
        return [power for power in (best - distance, best + distance) if power not in losses]

    with Interrupts() as interrupts:
        for power in (-2, 0, 2):
            train(power)
        while len(losses) < _MOST_RATES and (further := untried(2)):
            for power in further:
                train(power)
        for power in untried(1):
            train(power)
    best = min(losses, key=order)
    if losses[best] == math.inf:
        raise FloatingPointError(f"all trainings diverged, with rates from {rate(min(losses)):.2g} on")
    gained = min(abs(losses[best]), initial - losses[best])
    if losses.get(best - 1, math.inf) < losses[best] + 0.1 * gained:
        best -= 1
    return rate(best), {rate(power): losses[power] for power in sorted(losses)}


def _diverges(run: Training, interrupts: Interrupts) -> bool:
    """Train until a callback ends it, put everything back, and return whether it diverged before."""
    net, optimizer = run.net, run.optimizer
    params, grads, state = net.state_dict(), net.grads.copy(), save_optimizer(optimizer)
    try:
        interrupts.during(run.run)
    except _Over:
        pass
    except Diverged:
        return True
    finally:
        net.load_state_dict(params)
        net.grads[...] = grads
        restore_optimizer(optimizer, state)
    return False


class _Over(Exception):
    """A training is over, in the middle of an epoch."""


class _GrowingRate(Callback):
    """Give each step of a training its rate, and take its loss."""

    def __init__(self, measurement: Measurement, interrupts: Interrupts) -> None:
        self.measurement = measurement
        self.interrupts = interrupts

    def on_gradients(self, run: Training) -> None:
        run.optimizer.lr = self.measurement.lr
        self.measurement.add(run.loss)

    def on_batch_end(self, run: Training) -> None:
        self.measurement.tell()
        if self.measurement.over or self.interrupts.pending:
            raise _Over


class _HeldRate(Callback):
    """Train a number of steps with one rate."""

    def __init__(
        self, lr: float, steps: int, interrupts: Interrupts, trainings_before: int, progress: Progress | None
    ) -> None:
        self.lr = lr
        self.steps = steps
        self.interrupts = interrupts
        self.before = trainings_before * steps
        self.total = max(5 * steps, self.before + steps)
        self.progress = progress
        self.losses: list[float] = []

    @property
    def final_loss(self) -> float:
        """The median of the mean losses of the parts of the last quarter: a training that jumps once is not bad yet."""
        last = np.array(self.losses[-max(1, self.steps // 4) :])
        return float(np.median([part.mean() for part in np.array_split(last, min(8, len(last)))]))

    def on_train_begin(self, run: Training) -> None:
        run.optimizer.lr = self.lr

    def on_gradients(self, run: Training) -> None:
        self.losses.append(run.loss)

    def on_batch_end(self, run: Training) -> None:
        if self.progress is not None:
            self.progress(self.before + len(self.losses), self.total)
        if len(self.losses) == self.steps or self.interrupts.pending:
            raise _Over
