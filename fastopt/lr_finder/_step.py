"""The range test of any training loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from fastopt.lr_finder._measurement import (
    Interrupts,
    Measurement,
    Progress,
    check_optimizer,
    restore_optimizer,
    save_optimizer,
)
from fastopt.lr_finder._result import Mode, RangeTest
from fastopt.nn.training import Optimizer

S = TypeVar("S")


def lr_find_step(
    step: Callable[[], Any],
    optimizer: Optimizer | None = None,
    *,
    set_lr: Callable[[float], object] | None = None,
    save: Callable[[], S] | None = None,
    restore: Callable[[S], object] | None = None,
    lr_min: float = 1e-5,
    lr_max: float = 10.0,
    steps: int = 100,
    mode: Mode = "exponential",
    early_stop_threshold: float | None = 4.0,
    progress: Progress | None = None,
) -> RangeTest:
    r"""Test a range of learning rates on a training loop of your own.

    The rate of step i = 0 ... n - 1 is one of

    .. math:: \eta_i = \eta_{min} (\eta_{max} / \eta_{min})^{i / (n-1)}, \qquad
              \eta_i = \eta_{min} + (\eta_{max} - \eta_{min}) \, i / (n-1)

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
        First and last rate, ``0 < lr_min < lr_max``.
    steps : int
        Steps from the first rate to the last, at least 2.
    mode : {"exponential", "linear"}
        How the rate grows.
    early_stop_threshold : float or None
        Stop when the median of the last five losses is above the first loss, and above this many times its own lowest
        value so far (for a lowest value b < 0: above ``b + (threshold - 1) * abs(b)``). With None, only an infinite or
        NaN loss ends the test.
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
    fastai and PyTorch Lightning smooth the losses by an exponential average with factor 0.98, which lags by up to 49
    steps: half of their tests. Here windows are centred; see `RangeTest.smoothed`.

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
        check_optimizer(optimizer)
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
        return params, save_optimizer(optimizer), rest

    def restore_all(saved: tuple[Any, ...]) -> None:
        params, state, rest = saved
        if optimizer is not None:
            arrays = [array for group in optimizer.groups for array in group.params]
            for array, before in zip(arrays, params, strict=True):
                array[...] = before
            restore_optimizer(optimizer, state)
        if restore is not None:
            restore(rest)

    if set_lr is None:
        set_lr = partial(setattr, optimizer, "lr")
    measurement = Measurement(lr_min, lr_max, steps, mode, early_stop_threshold, progress)
    with Interrupts() as interrupts:
        saved = save_all()
        try:
            # The loss shows an explosion; NumPy's warnings would only come on top.
            with np.errstate(over="ignore", invalid="ignore"):
                while not (measurement.over or interrupts.pending):
                    set_lr(measurement.lr)
                    measurement.add(_as_loss(interrupts.during(step)))
                    measurement.tell()
        finally:
            restore_all(saved)
    return measurement.result()


def _as_loss(value: Any) -> float:
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"step: expected it to return the loss, a number, got {value!r}")
