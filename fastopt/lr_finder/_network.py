"""The range test of a network, as a training that ends early and leaves no trace."""

from fastopt.lr_finder._measurement import (
    Interrupts,
    Measurement,
    Progress,
    check_optimizer,
    restore_optimizer,
    save_optimizer,
)
from fastopt.lr_finder._result import Mode, RangeTest
from fastopt.nn.callbacks import Callback
from fastopt.nn.history import Diverged
from fastopt.nn.network import Network
from fastopt.nn.training import Optimizer
from fastopt.nn.training import Training


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
    lr_min: float = 1e-7,
    lr_max: float = 10.0,
    steps: int = 100,
    mode: Mode = "exponential",
    beta: float = 0.98,
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
    lr_min, lr_max, steps, mode, beta, early_stop_threshold, progress
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
    measurement = Measurement(lr_min, lr_max, steps, mode, beta, early_stop_threshold, progress)
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
            callbacks=[_Measure(measurement, interrupts)],
        )
        params, grads, state = net.state_dict(), net.grads.copy(), save_optimizer(optimizer)
        try:
            interrupts.during(run.run)
        except _Over:
            pass
        except Diverged:
            measurement.diverged = True
        finally:
            net.load_state_dict(params)
            net.grads[...] = grads
            restore_optimizer(optimizer, state)
    return measurement.result()


class _Over(Exception):
    """The test is over, within an epoch."""


class _Measure(Callback):
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
