"""Scaling of losses for gradients in half precision."""

from collections.abc import Mapping
from typing import Any

from fastopt._checks import integer, real
from fastopt.optimizers import Optimizer

__all__ = ["LossScale"]

_VALUE, _GROWTH, _BACKOFF = real(above=0), real(above=1), real(above=0, below=1)


class LossScale:
    """A factor on the loss that keeps small gradients of half precision from vanishing, and finds its size by itself.

    The gradients are those of ``value * loss``; `step` takes the factor out again within the update. Where a gradient
    is infinite or NaN the step is left out and the factor becomes smaller; after many steps in a row it becomes larger.

    Parameters
    ----------
    value : float
        The first factor, above 0.
    growth_factor : float
        What the factor is multiplied by after `growth_interval` steps in a row, above 1.
    backoff_factor : float
        What it is multiplied by when a step is left out, in (0, 1).
    growth_interval : int
        Steps in a row, at least 1.

    Attributes
    ----------
    value : float
        The factor of the next step.
    steps : int
        Steps in a row since the factor has changed.

    Raises
    ------
    TypeError, ValueError
        A number does not fit; the message names it.

    References
    ----------
    P. Micikevicius et al., "Mixed Precision Training", 2018, section 3.2. Keras' ``LossScaleOptimizer``, whose defaults
    these are; ``torch.amp.GradScaler``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0], np.float32)
    >>> opt, scale = fastopt.SGD(weights, lr=0.1), fastopt.LossScale(2.0**17)
    >>> def gradients():
    ...     with np.errstate(over="ignore"):
    ...         return (scale.value * 2 * weights).astype(np.float16)
    >>> [scale.step(opt, gradients(), cast_grads=True) for _ in range(5)]
    [False, False, False, False, True]
    >>> weights, scale.value
    (array([ 0.8, -1.6], dtype=float32), 8192.0)
    """

    def __init__(
        self,
        value: float = 2.0**15,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        self.value: float = _VALUE("value", value)
        self.growth_factor: float = _GROWTH("growth_factor", growth_factor)
        self.backoff_factor: float = _BACKOFF("backoff_factor", backoff_factor)
        self.growth_interval: int = integer(1)("growth_interval", growth_interval)
        self.steps: int = 0

    def step(self, optimizer: Optimizer, grads: Any, *, grad_scale: float = 1.0, **options: Any) -> bool:
        """Let an optimizer step by gradients of the scaled loss, unless one of them is not finite.

        Parameters
        ----------
        optimizer : Optimizer
            It updates its parameters.
        grads : like the parameters
            Gradients of ``value * loss``.
        grad_scale : float
            A further factor: that of clipping by the norm, from `fastopt.kernels.clip_grad_norm` with ``max_norm``
            times `value`.
        **options
            As in `fastopt.Optimizer.step`.

        Returns
        -------
        bool
            Whether it was done.

        Raises
        ------
        TypeError, ValueError, IndexError
            See `fastopt.Optimizer.step`; the factor does not change then.
        """
        done = bool(optimizer.step(grads, grad_scale=grad_scale / self.value, skip_nonfinite=True, **options))
        if not done:
            self.value, self.steps = self.value * self.backoff_factor, 0
        elif self.steps + 1 == self.growth_interval:
            self.value, self.steps = self.value * self.growth_factor, 0
        else:
            self.steps += 1
        return done

    def state_dict(self) -> dict[str, float | int]:
        """Return what is needed to go on.

        Returns
        -------
        dict
            ``"value"`` and ``"steps"``.
        """
        return {"value": self.value, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Parameters
        ----------
        state : mapping of str to number
            Numbers may be 0-d arrays, as ``numpy.load`` gives them.

        Raises
        ------
        TypeError, ValueError
            A number is missing or does not fit; nothing is changed then.
        """
        if state.keys() != {"value", "steps"}:
            raise ValueError(f"state: expected the keys ['steps', 'value'], got {sorted(state)}")
        value, steps = _VALUE("value", state["value"]), integer(0)("steps", state["steps"])
        self.value, self.steps = value, steps

    def __repr__(self) -> str:
        return f"<LossScale: {self.value:g}, {self.steps} steps in a row>"
