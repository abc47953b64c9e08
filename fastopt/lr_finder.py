"""The learning-rate range test: one short run with a growing rate shows which rates train.

`lr_find` does it for a network of `fastopt.nn`, `lr_find_step` for any function that does one step
of training. Afterwards model and optimizer are what they were, to the bit. The `RangeTest` that
both return suggests rates by the rules of fastai and PyTorch Lightning, `steepest`, `valley` and
`minimum`, which can also be applied to losses of any other origin.

References
----------
Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3: the test.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar

import numpy as np

from fastopt._checks import boolean, choice, integer, real
from fastopt._range_test import Mode, RangeTest, minimum, steepest, valley
from fastopt.kernels import clip_grad_norm
from fastopt.nn import Network
from fastopt.nn.training import Batches, Optimizer, gradients_like

__all__ = ["RangeTest", "lr_find", "lr_find_step", "minimum", "steepest", "valley"]

Progress = Callable[[int, int], object]
S = TypeVar("S")


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
    _check_optimizer(optimizer)
    if batch_size is not None:
        batch_size = integer(1)("batch_size", batch_size)
    boolean("shuffle", shuffle)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    seed = integer(0)("seed", seed)
    if clip_norm is not None:
        clip_norm = real(above=0)("clip_norm", clip_norm)
    inputs = net.as_inputs(X)
    data = Batches(inputs, net.as_targets(y, len(inputs)), batch_size, shuffle, seed)
    grads = gradients_like(optimizer.params, net)

    def batches() -> Iterator[tuple[Any, Any]]:
        for epoch in count():
            data.begin(epoch)
            for i in range(len(data)):
                yield data[i]

    endless = batches()

    def step() -> float:
        loss = net.loss_and_grad(*next(endless))
        scale = 1.0
        if clip_norm is not None:
            scale = clip_grad_norm(net.grads, clip_norm, eps=0.0).grad_scale
        if not math.isfinite(scale):
            return math.nan  # a gradient overflowed, which ends the test like an infinite loss
        optimizer.step(grads, grad_scale=scale)
        return loss

    def save() -> tuple[Any, ...]:
        return net.state_dict(), net.grads.copy(), _save_optimizer(optimizer)

    def restore(state: tuple[Any, ...]) -> None:
        params, gradients, rest = state
        net.load_state_dict(params)
        net.grads[...] = gradients
        _restore_optimizer(optimizer, rest)

    return _sweep(
        step,
        lambda lr: setattr(optimizer, "lr", lr),
        save,
        restore,
        lrs=_rates(lr_min, lr_max, steps, mode),
        mode=mode,
        beta=beta,
        threshold=early_stop_threshold,
        progress=progress,
    )


def lr_find_step(
    step: Callable[[], Any],
    optimizer: Optimizer | None = None,
    *,
    set_lr: Callable[[float], object] | None = None,
    save: Callable[[], S] | None = None,
    restore: Callable[[S], object] | None = None,
    lr_min: float = 1e-7,
    lr_max: float = 10.0,
    steps: int = 100,
    mode: Mode = "exponential",
    beta: float = 0.98,
    early_stop_threshold: float | None = 4.0,
    progress: Progress | None = None,
) -> RangeTest:
    r"""Test a range of learning rates on a training loop of your own.

    The rate of step i = 0 ... n - 1 is one of

    .. math:: \eta_i = \eta_{min} (\eta_{max} / \eta_{min})^{i / (n-1)}, \qquad
              \eta_i = \eta_{min} + (\eta_{max} - \eta_{min}) \, i / (n-1)

    and the loss :math:`l_i` of that step is averaged to

    .. math:: a_i = \beta a_{i-1} + (1-\beta) l_i, \quad a_{-1} = 0, \qquad
              s_i = a_i / (1 - \beta^{i+1})

    Parameters
    ----------
    step : callable
        ``step() -> loss`` does one step of training, on a batch of its own choice, and returns the
        loss of that batch before the update.
    optimizer : optimizer of fastopt, optional
        The one that `step` uses. Its parameters, state, rates and schedules are put back.
    set_lr : callable, optional
        ``set_lr(lr)`` sets the rate of the next step: needed without `optimizer`, and only then.
    save, restore : callable, optional
        ``restore(save())`` puts back what a step changes, the rate included: both are needed
        without `optimizer`. With it they are for what else is to be put back.
    lr_min, lr_max : float
        First and last rate, ``0 < lr_min < lr_max``. The defaults are fastai's.
    steps : int
        Steps from the first rate to the last, at least 2.
    mode : {"exponential", "linear"}
        How the rate grows.
    beta : float
        Smoothing of the loss, in [0, 1).
    early_stop_threshold : float or None
        Stop when the smoothed loss is above this many times its lowest value (for a lowest value
        b < 0: above ``b + (threshold - 1) * abs(b)``). With None, only an infinite or NaN loss
        ends the test.
    progress : callable, optional
        ``progress(done, steps)`` is called after each step.

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
        For arguments out of range, and a step that does not return a number.

    Notes
    -----
    Smoothing, and the threshold on it, are fastai's (``AvgSmoothLoss``, ``LRFinder``). PyTorch
    Lightning's ``lr_find`` differs in the exponent of the correction, i + 2, which makes its curve
    begin at half of the first loss; in its second rate, which it skips; and in its defaults, rates
    from 1e-8 to 1. fastai's last rate is one step short of `lr_max`.

    References
    ----------
    fastai 2.7, ``fastai/callback/schedule.py`` and ``fastai/learner.py``. PyTorch Lightning 2.5,
    ``lightning/pytorch/tuner/lr_finder.py``.

    Examples
    --------
    With an optimizer of fastopt and gradients of your own:

    >>> import fastopt
    >>> weights = np.array([1.0, -2.0])
    >>> optimizer = fastopt.Adam(weights)
    >>> def step():
    ...     loss = float(weights @ weights)
    ...     optimizer.step(2 * weights)
    ...     return loss
    >>> test = lr_find_step(step, optimizer)
    >>> weights, optimizer.steps, optimizer.lr
    (array([ 1., -2.]), 0, 0.001)

    With anything else, here plain gradient descent:

    >>> rate = {"lr": 0.1}
    >>> def step():
    ...     loss = float(weights @ weights)
    ...     weights[:] -= rate["lr"] * 2 * weights
    ...     return loss
    >>> def restore(saved):
    ...     weights[:] = saved[0]
    ...     rate["lr"] = saved[1]
    >>> test = lr_find_step(step, set_lr=lambda lr: rate.update(lr=lr), restore=restore,
    ...                     save=lambda: (weights.copy(), rate["lr"]), mode="linear", lr_max=9.0)
    >>> test.diverged, weights, rate
    (True, array([ 1., -2.]), {'lr': 0.1})
    """
    for name, value in (("step", step), ("set_lr", set_lr), ("save", save), ("restore", restore)):
        if not callable(value) and (value is not None or name == "step"):
            raise TypeError(f"{name}: expected a function, got {value!r}")
    if optimizer is not None:
        _check_optimizer(optimizer)
    if (save is None) != (restore is None):
        raise TypeError("save, restore: expected both or neither")
    if optimizer is None and (set_lr is None or save is None):
        raise TypeError("optimizer: expected one of fastopt, or set_lr, save and restore instead")
    if optimizer is not None and set_lr is not None:
        raise TypeError("set_lr: expected none beside an optimizer, which it would bypass")

    def save_all() -> tuple[Any, ...]:
        rest = None if save is None else save()
        if optimizer is None:
            return None, None, rest
        params = [array.copy() for group in optimizer.groups for array in group.params]
        return params, _save_optimizer(optimizer), rest

    def restore_all(saved: tuple[Any, ...]) -> None:
        params, state, rest = saved
        if optimizer is not None:
            arrays = [array for group in optimizer.groups for array in group.params]
            for array, before in zip(arrays, params, strict=True):
                array[...] = before
            _restore_optimizer(optimizer, state)
        if restore is not None:
            restore(rest)

    return _sweep(
        step,
        set_lr if set_lr is not None else lambda lr: setattr(optimizer, "lr", lr),
        save_all,
        restore_all,
        lrs=_rates(lr_min, lr_max, steps, mode),
        mode=mode,
        beta=beta,
        threshold=early_stop_threshold,
        progress=progress,
    )


def _rates(lr_min: float, lr_max: float, steps: int, mode: Mode) -> list[float]:
    low, high = real(above=0)("lr_min", lr_min), real(above=0)("lr_max", lr_max)
    if low >= high:
        raise ValueError(f"lr_min: expected less than lr_max = {lr_max!r}, got {lr_min!r}")
    choice("exponential", "linear")("mode", mode)
    space = np.geomspace if mode == "exponential" else np.linspace
    rates: list[float] = space(low, high, integer(2)("steps", steps)).tolist()
    return rates


def _check_optimizer(optimizer: Any) -> None:
    if not (hasattr(optimizer, "groups") and hasattr(optimizer, "load_state_dict")):
        raise TypeError(
            f"optimizer: expected one of fastopt, got {optimizer!r}; "
            "for others there is lr_find_step with set_lr, save and restore"
        )


def _save_optimizer(optimizer: Optimizer) -> tuple[list[Any], dict[str, Any]]:
    return [group.lr for group in optimizer.groups], optimizer.state_dict()


def _restore_optimizer(optimizer: Optimizer, saved: tuple[list[Any], dict[str, Any]]) -> None:
    # The rates come first: the state of a schedule is loaded into the schedule.
    for group, lr in zip(optimizer.groups, saved[0], strict=True):
        group.lr = lr
    optimizer.load_state_dict(saved[1])


def _sweep(
    step: Callable[[], Any],
    set_lr: Callable[[float], object],
    save: Callable[[], S],
    restore: Callable[[S], object],
    *,
    lrs: list[float],
    mode: Mode,
    beta: float,
    threshold: float | None,
    progress: Progress | None,
) -> RangeTest:
    beta = real(at_least=0, below=1)("beta", beta)
    if threshold is not None:
        threshold = real(above=1)("early_stop_threshold", threshold)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: expected a function, got {progress!r}")
    losses: list[float] = []
    smoothed: list[float] = []
    average, best, diverged = 0.0, math.inf, False
    with _Interrupts() as interrupts:
        saved = save()
        try:
            # The loss shows an explosion; NumPy's warnings would only come on top.
            with np.errstate(over="ignore", invalid="ignore"):
                for i, lr in enumerate(lrs):
                    set_lr(lr)
                    loss = _as_loss(interrupts.during(step))
                    average = beta * average + (1 - beta) * loss
                    losses.append(loss)
                    smoothed.append(average / (1 - beta ** (i + 1)))
                    best = min(best, smoothed[-1])
                    diverged = not math.isfinite(loss) or (
                        threshold is not None and smoothed[-1] > best + (threshold - 1) * abs(best)
                    )
                    if progress is not None:
                        progress(i + 1, len(lrs))
                    if diverged or interrupts.pending:
                        break
        finally:
            restore(saved)
    if not math.isfinite(losses[0]):
        raise FloatingPointError(f"the loss is {losses[0]} before any update: check that data and weights are finite")
    done = lrs[: len(losses)]
    return RangeTest(mode, len(lrs), diverged, tuple(done), tuple(losses), tuple(smoothed))


def _as_loss(value: Any) -> float:
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"step: expected it to return the loss, a number, got {value!r}")


class _Interrupts:
    """Hold back Ctrl-C: a step cut in the middle may still have threads that write.

    It is raised when the block is left. A second one breaks a step that hangs, and only a step:
    what follows it, putting everything back, is never cut.
    """

    def __enter__(self) -> "_Interrupts":
        self.pending = self._breakable = False
        self._handles = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._handles:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, signum: int, frame: object) -> None:
        if self.pending and self._breakable:
            self._breakable = False
            raise KeyboardInterrupt
        self.pending = True

    def during(self, step: Callable[[], Any]) -> Any:
        self._breakable = True
        try:
            return step()
        finally:
            self._breakable = False

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.pending and kind is None:
            raise KeyboardInterrupt
