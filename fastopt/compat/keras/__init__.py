"""Keras 3's optimizers by name: fastopt's, with the arithmetic, the arguments and the defaults of Keras.

The classes take the parameters first, then the arguments of Keras 3 by its names and with its defaults, and are
optimizers over NumPy arrays. Keras itself is not needed. An argument that fastopt's rules cannot follow is refused,
with the reason.

``params`` is a tree of float32 or float64 arrays, updated in place, or a list of groups with the keywords of fastopt's
own classes; see `fastopt.Optimizer`. A ``learning_rate`` is a number, one of `fastopt.compat.keras.schedules`, or any
other callable of the number of steps done.

Arguments of all classes, by keyword:

- ``weight_decay``: decoupled, ``p -= learning_rate * weight_decay * p`` before the update, but for `Lamb` and
  `ScheduleFreeAdamW`, which take none; a group with ``"weight_decay": 0.0`` is what ``exclude_from_weight_decay`` makes
  in Keras;
- ``clipvalue``: bound on the absolute value of each element of a gradient;
- ``global_clipnorm``: bound on the norm of all gradients together;
- ``loss_scale_factor``: the gradients are divided by it first;
- ``name``: kept as an attribute.

``clipnorm`` (a norm for each array), ``use_ema``, ``gradient_accumulation_steps`` and their like are refused.
"""

import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, TypedDict, Unpack

import numpy as np

from fastopt import kernels, optimizers
from fastopt._checks import boolean, optional, real
from fastopt._groups import is_grouped
from fastopt._trees import Tree, named, taken_once
from fastopt.compat._arguments import expect, ftrl, number, refuse, split, two_averages
from fastopt.compat.keras import schedules
from fastopt.kernels.rules import CHECKS
from fastopt.optimizers import Optimizer, Schedule

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
    "schedules",
]

Number = float | Schedule

# Keras' other optimizers, and why they are not here.
_REFUSED = {
    "Adafactor": "fastopt has no such rule",
    "LossScaleOptimizer": "fastopt does not watch for gradients that overflow",
    "MultiOptimizer": "groups of parameters have hyper-parameters of their own, and one rule",
    "OptimizerMap": "groups of parameters have hyper-parameters of their own, and one rule",
}

# Arguments with one value that fastopt can follow.
_FIXED: dict[str, tuple[Any, str]] = {
    "clipnorm": (None, "fastopt clips all gradients by one norm, as global_clipnorm does"),
    "use_ema": (False, "fastopt keeps no average of the parameters"),
    "ema_momentum": (0.99, "fastopt keeps no average of the parameters"),
    "ema_overwrite_frequency": (None, "fastopt keeps no average of the parameters"),
    "gradient_accumulation_steps": (None, "fastopt updates with every step; add gradients up before it"),
}


def __getattr__(name: str) -> Any:
    """Say why an optimizer of Keras is missing."""
    refuse(__name__, __all__, _REFUSED, name)


class Common(TypedDict, total=False):
    """Arguments of all classes; see the module."""

    clipnorm: None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: None
    loss_scale_factor: float | None
    gradient_accumulation_steps: None
    name: str | None


class _Keras(Optimizer):
    """What the classes have in common: Keras' words, and what it does to gradients before a step."""

    _kept = ("name", "clipvalue", "global_clipnorm", "loss_scale_factor")

    name: str
    clipvalue: float | None
    global_clipnorm: float | None
    loss_scale_factor: float | None

    def _set_common(self, common: Common) -> None:
        given: dict[str, Any] = dict(common)
        for argument, (value, reason) in _FIXED.items():
            expect(argument, given.pop(argument, value), value, reason)
        self.name = given.pop("name", None) or type(self).__name__.lower()
        bound = optional(real(at_least=0))
        clipvalue = bound("clipvalue", given.pop("clipvalue", None))
        global_clipnorm = bound("global_clipnorm", given.pop("global_clipnorm", None))
        if clipvalue is not None and global_clipnorm is not None:
            raise ValueError(f"clipvalue: expected None beside global_clipnorm={global_clipnorm!r}, got {clipvalue!r}")
        self.clipvalue, self.global_clipnorm = clipvalue or None, global_clipnorm or None  # 0 is no bound, as in Keras
        self.loss_scale_factor = optional(real(above=0))("loss_scale_factor", given.pop("loss_scale_factor", None))
        if given:
            raise TypeError(f"{type(self).__name__}: expected arguments of Keras, got {sorted(given)}")

    def step(self, grads: Any, *, grad_scale: float = 1.0, clip_value: float = inf, **options: Any) -> bool | None:
        """Update the parameters in place, from gradients that are scaled and clipped as was asked for.

        Parameters
        ----------
        grads, grad_scale, clip_value, **options
            As in `fastopt.Optimizer.step`; the first three come before what this optimizer does to gradients.
        """
        if self.loss_scale_factor is not None:
            grad_scale /= self.loss_scale_factor
        if self.clipvalue is not None:
            clip_value = min(clip_value, self.clipvalue)
        if self.global_clipnorm is not None and grad_scale != 0:
            leaves = [grad for grad in Tree(grads, "grads").leaves if grad is not None]
            most = self.global_clipnorm / abs(grad_scale)
            grad_scale *= kernels.clip_grad_norm(leaves, most, eps=0.0).grad_scale
        return super().step(grads, grad_scale=grad_scale, clip_value=clip_value, **options)

    @property
    def learning_rate(self) -> Any:
        """Rate that the next step will use; setting it replaces rate or schedule of all groups."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.lr = value

    @property
    def iterations(self) -> int:
        """Number of steps done."""
        return self.steps


def _decay(weight_decay: Number | None, name: str = "weight_decay") -> Any:
    return 0.0 if weight_decay is None else number("weight_decay", name, weight_decay)


class SGD(_Keras, optimizers.SGD):
    """Gradient descent: ``u = momentum * u - learning_rate * g; p += u``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    momentum : float
        Share of the velocity u that is kept, in [0, 1].
    nesterov : bool
        Look ahead: ``p += momentum * u - learning_rate * g``. Without momentum it changes nothing.
    weight_decay : float or schedule, optional
        Decoupled weight decay.
    **common
        ``clipvalue``, ``global_clipnorm`` and others; see `fastopt.compat.keras`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.SGD``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> opt = keras.SGD(weights, learning_rate=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     opt.step(2 * weights)
    >>> weights.round(4)
    array([ 0.46, -0.92])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.01,
        momentum: Number = 0.0,
        nesterov: bool = False,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        share = number("momentum", "momentum", momentum)
        self._set_common(common)
        super().__init__(
            params,
            number("lr", "learning_rate", learning_rate),
            momentum=share,
            nesterov=boolean("nesterov", nesterov) and share != 0,
            lr_in_velocity=True,
            weight_decay=_decay(weight_decay),
            decoupled=True,
        )


class Adagrad(_Keras, optimizers.Adagrad):
    """AdaGrad: ``s += g**2; p -= learning_rate * g / sqrt(s + epsilon)``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    initial_accumulator_value : float
        Where s starts, finite, >= 0.
    epsilon : float
        Finite, >= 0.
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Adagrad``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.Adagrad(weights, learning_rate=0.5).step(2 * weights)
    >>> weights.round(4)
    array([ 0.5061, -1.5016])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: Number = 1e-7,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            number("lr", "learning_rate", learning_rate),
            eps=number("eps", "epsilon", epsilon),
            eps_in_sqrt=True,
            initial_accumulator_value=initial_accumulator_value,
            weight_decay=_decay(weight_decay),
            decoupled=True,
        )


class RMSprop(_Keras, optimizers.RMSprop):
    """RMSProp: ``s = rho * s + (1 - rho) * g**2; p -= learning_rate * g / sqrt(s + epsilon)``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    rho : float
        Share of the average s that is kept, in [0, 1).
    momentum : float
        Share of the velocity that is kept, in [0, 1]; the rate is inside the velocity.
    epsilon : float
        Finite, >= 0.
    centered : bool
        Divide by the root of the variance of the gradient rather than of its mean square.
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.RMSprop``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.RMSprop(weights, learning_rate=0.1).step(2 * weights)
    >>> weights.round(4)
    array([ 0.6838, -1.6838])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        rho: Number = 0.9,
        momentum: Number = 0.0,
        epsilon: Number = 1e-7,
        centered: bool = False,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            number("lr", "learning_rate", learning_rate),
            alpha=number("alpha", "rho", rho),
            eps=number("eps", "epsilon", epsilon),
            eps_in_sqrt=True,
            momentum=number("momentum", "momentum", momentum),
            centered=boolean("centered", centered),
            lr_in_velocity=True,
            weight_decay=_decay(weight_decay),
            decoupled=True,
        )


class Adam(_Keras, optimizers.Adam):
    """Adam, in the form in which epsilon is not bias-corrected.

    ``p -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    beta_1, beta_2 : float
        Shares of the moments that are kept, in [0, 1).
    epsilon : float
        Finite, >= 0.
    amsgrad : bool
        Divide by the largest second moment so far.
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Adam``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> opt = keras.Adam(weights, learning_rate=keras.schedules.CosineDecay(0.1, decay_steps=100))
    >>> opt.step(2 * weights)
    >>> weights.round(4)
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        amsgrad: bool = False,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            **two_averages(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon),
            eps_hat=True,
            amsgrad=boolean("amsgrad", amsgrad),
            weight_decay=_decay(weight_decay),
            decoupled=True,
        )


class AdamW(_Keras, optimizers.AdamW):
    """Adam with weight decay, which Keras' `Adam` decouples too: it differs in its default.

    Parameters
    ----------
    params, learning_rate, weight_decay, beta_1, beta_2, epsilon, amsgrad, **common
        As in `Adam`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.AdamW``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.AdamW(weights, learning_rate=0.1, weight_decay=0.5).step(2 * weights)
    >>> weights.round(4)
    array([ 0.85, -1.8 ])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        weight_decay: Number = 0.004,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            **two_averages(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon),
            eps_hat=True,
            amsgrad=boolean("amsgrad", amsgrad),
            weight_decay=number("weight_decay", "weight_decay", weight_decay),
        )


class Adamax(_Keras, optimizers.Adamax):
    """Adamax: Adam with the largest of the fading gradients in place of their root mean square.

    ``u = max(beta_2 * u, abs(g)); p -= learning_rate / (1 - beta_1**t) * m / (u + epsilon)``

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    beta_1, beta_2 : float
        Shares of the averages that are kept, in [0, 1).
    epsilon : float
        Finite, >= 0.
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Adamax``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.Adamax(weights, learning_rate=0.1).step(2 * weights)
    >>> weights.round(4)
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            **two_averages(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon),
            eps_outside=True,
            weight_decay=_decay(weight_decay),
            decoupled=True,
        )


class Nadam(_Keras, optimizers.NAdam):
    """NAdam: Adam with Nesterov's momentum, under a momentum that grows to `beta_1`.

    ``mu_t = beta_1 * (1 - 0.5 * 0.96**t)``

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    beta_1, beta_2 : float
        Shares of the averages that are kept, in [0, 1).
    epsilon : float
        Finite, >= 0.
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Nadam``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.Nadam(weights, learning_rate=0.1).step(2 * weights)
    >>> weights.round(4)
    array([ 0.8937, -1.8937])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            **two_averages(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon),
            momentum_decay=1.0,
            weight_decay=_decay(weight_decay),
            decoupled=True,
        )


class Adadelta(_Keras, optimizers.Adadelta):
    """Adadelta: the size of a step comes from the sizes of those before.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Factor on the update, finite, >= 0; the paper has 1.
    rho : float
        Share of the averages that is kept, in [0, 1).
    epsilon : float
        Finite, >= 0.
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Adadelta``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.Adadelta(weights, learning_rate=1.0).step(2 * weights)
    >>> weights.round(4)
    array([ 0.9986, -1.9986])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        rho: Number = 0.95,
        epsilon: Number = 1e-7,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            number("lr", "learning_rate", learning_rate),
            rho=number("rho", "rho", rho),
            eps=number("eps", "epsilon", epsilon),
            weight_decay=_decay(weight_decay),
            decoupled=True,
        )


class Lion(_Keras, optimizers.Lion):
    """Lion: ``p -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g); m = beta_2 * m + (1 - beta_2) * g``.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    beta_1, beta_2 : float
        Shares of the average in the direction of the step and in the next average, in [0, 1).
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Lion``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.Lion(weights, learning_rate=0.1).step(2 * weights)
    >>> weights
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.99,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        super().__init__(
            params,
            **two_averages(learning_rate, beta_1=beta_1, beta_2=beta_2),
            weight_decay=_decay(weight_decay),
        )


class Ftrl(_Keras, optimizers.FTRL):
    """FTRL-Proximal: AdaGrad's rates, for sparse models: the L1 penalty makes parameters exactly zero.

    The formula is in `fastopt.kernels.ftrl`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, > 0.
    learning_rate_power : float
        -0.5: fastopt's FTRL divides by the square root of the sum of squared gradients.
    initial_accumulator_value : float
        Where that sum starts, finite, >= 0.
    l1_regularization_strength, l2_regularization_strength : float or schedule
        Penalties on the absolute value and on the square of the parameter, finite, >= 0.
    l2_shrinkage_regularization_strength : float or schedule
        Penalty on the square that acts through the gradient, finite, >= 0.
    beta : float or schedule
        It bounds the rate of the first steps, finite, >= 0.
    weight_decay, **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Ftrl``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.Ftrl(weights, 0.5, l1_regularization_strength=3.0).step(np.array([-5.0, 0.5]))
    >>> weights.round(4)
    array([1.1365, 0.    ])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: Number = 0.0,
        l2_regularization_strength: Number = 0.0,
        l2_shrinkage_regularization_strength: Number = 0.0,
        beta: Number = 0.0,
        weight_decay: Number | None = None,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        settings = ftrl(
            learning_rate,
            learning_rate_power,
            initial_accumulator_value,
            l1_regularization_strength,
            l2_regularization_strength,
            l2_shrinkage_regularization_strength,
            beta,
        )
        super().__init__(params, **settings, weight_decay=_decay(weight_decay))


class Lamb(_Keras, optimizers.LAMB):
    """LAMB: Adam with a rate for each array, in proportion to the norm of the array, for very large batches.

    ``p -= learning_rate * norm(p) / norm(u) * u`` with ``u = m_hat / (sqrt(v_hat) + epsilon)``

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0.
    beta_1, beta_2 : float
        Shares of the moments that are kept, in [0, 1).
    epsilon : float
        Finite, >= 0.
    weight_decay : None
        Keras takes the decay before it looks at the norms, fastopt as part of the update that they are of. A
        ``"weight_decay"`` in a group is fastopt's.
    **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Lamb``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> keras.Lamb(weights, learning_rate=0.1).step(2 * weights)
    >>> weights.round(4)
    array([ 0.8419, -1.8419])
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        expect("weight_decay", weight_decay or None, None, "fastopt's LAMB has the decay in the norm of its update")
        self._set_common(common)
        super().__init__(params, **two_averages(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon))


class ScheduleFreeAdamW(_Keras, optimizers.ScheduleFreeAdamW):
    """Schedule-Free AdamW: an average in the place of momentum and of a falling rate.

    Between steps the parameters are where gradients are taken. The mean of the points that descend, each with the same
    weight, in the warm-up too, is in their place after ``opt.eval()`` and within ``with opt.averaged()``, which Keras
    has no call for. Keras 3.15 on PyTorch overwrites the point that descends before it is done with it: its steps are
    those of the formula, and fastopt's, on its other backends.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0; a constant after the warm-up is what it is made for.
    beta_1 : float
        Where gradients are taken between the point that descends and the mean, in (0, 1).
    beta_2 : float
        Share of the second moment that is kept, in [0, 1).
    epsilon : float
        Finite, >= 0.
    warmup_steps : int
        Steps in which the rate grows to `learning_rate`, at least 0.
    weight_decay : None
        Keras takes the decay out of the parameter alone, fastopt also out of the point that descends.
    **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.ScheduleFreeAdamW``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> weights = np.array([1.0, -2.0])
    >>> opt = keras.ScheduleFreeAdamW(weights, learning_rate=0.1)
    >>> for _ in range(3):
    ...     opt.step(2 * weights)
    >>> with opt.averaged():
    ...     print(weights.round(4))
    [ 0.8061 -1.8029]
    """

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.0025,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-8,
        warmup_steps: int = 0,
        weight_decay: float | None = None,
        **common: Unpack[Common],
    ) -> None:
        reason = "fastopt's ScheduleFreeAdamW has the decay in the point that descends, too"
        expect("weight_decay", weight_decay or None, None, reason)
        self._set_common(common)
        inner = number("beta1", "beta_1", beta_1, positive=True)
        super().__init__(
            params,
            **two_averages(learning_rate, beta_1=inner, beta_2=beta_2, epsilon=epsilon),
            warmup_steps=warmup_steps,
            weight_lr_power=0.0,
        )


class Muon(_Keras, optimizers.Muon):
    """Muon for matrices: momentum whose singular values are all brought near 1; AdamW for everything else.

    Arrays of two axes are matrices, unless their names exclude them. Keras' momentum, ``m = momentum * m + g``, is
    fastopt's average times a constant, which has no part in the update. Keras divides it by its norm in float32 plus
    1e-7, fastopt by the norm: updates differ by some 1e-7, and by as much over the norm.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, updated in place. A group with ``"adamw": True`` is AdamW's; the others have to be matrices.
    learning_rate : float or schedule
        Learning rate of both, finite, >= 0.
    adam_beta_1, adam_beta_2 : float
        AdamW's shares of the moments that are kept, in [0, 1).
    adam_weight_decay, weight_decay : float or schedule, optional
        Decoupled weight decay of AdamW's parameters, and of the matrices.
    epsilon : float
        AdamW's, finite, >= 0.
    exclude_layers : sequence of str, optional
        Regular expressions: AdamW updates what has one in its name, keys and positions joined by ``/`` as in Keras. One
        that no name has is refused.
    exclude_embeddings : bool
        Whether AdamW updates what has "embedding" in its name.
    muon_a, muon_b, muon_c : float
        Coefficients of the Newton-Schulz steps.
    adam_lr_ratio : float
        1: a group with ``"adamw": True`` can have a rate of its own.
    momentum : float
        Share of the momentum that is kept, in [0, 1).
    ns_steps : int
        Number of Newton-Schulz steps, at least 0.
    nesterov : bool
        Look ahead along the momentum.
    rms_rate : float
        0.2: fastopt's Muon has no other that is Keras'.
    **common
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``keras.optimizers.Muon``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat import keras
    >>> params = {"hidden": np.eye(2), "output": np.eye(2), "bias": np.zeros(2)}
    >>> opt = keras.Muon(params, 0.1, weight_decay=None, adam_weight_decay=None, exclude_layers=["output"])
    >>> opt.step({"hidden": np.diag([2.0, 1.0]), "output": np.diag([2.0, 1.0]), "bias": np.ones(2)})
    >>> [float(param.max().round(2)) for param in params.values()]
    [0.98, 0.9, -0.1]
    """

    _kept = (*_Keras._kept, *optimizers.Muon._kept, "_of_adamw")  # type: ignore[assignment]

    def __init__(
        self,
        params: Any,
        learning_rate: Number = 0.001,
        adam_beta_1: Number = 0.9,
        adam_beta_2: Number = 0.999,
        adam_weight_decay: Number | None = 0.004,
        epsilon: Number = 1e-7,
        weight_decay: Number | None = 0.004,
        *,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **common: Unpack[Common],
    ) -> None:
        self._set_common(common)
        expect("adam_lr_ratio", adam_lr_ratio, 1, "rates of their own are for groups")
        expect("rms_rate", rms_rate, 0.2, "fastopt's Muon has 0.2, or PyTorch's factor instead")
        share = CHECKS["beta1"]("momentum", momentum)
        self._of_adamw = {"eps_hat": True, "weight_decay": _decay(adam_weight_decay, "adam_weight_decay")}
        params = taken_once(params)
        super().__init__(
            self._groups_of(params, exclude_layers, boolean("exclude_embeddings", exclude_embeddings)),
            **two_averages(learning_rate, adam_beta_1=adam_beta_1, adam_beta_2=adam_beta_2, epsilon=epsilon),
            weight_decay=_decay(weight_decay),
            momentum=share,
            nesterov=boolean("nesterov", nesterov),
            ns_coefficients=(muon_a, muon_b, muon_c),
            ns_steps=ns_steps,
            ns_eps=1e-7 * (1 - share),
        )
        self.params: Any = params
        self._split = not is_grouped(params)

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with hyper-parameters of their own, to those that were given as groups; see `fastopt.Muon`."""
        super().add_group(self._completed(group))

    def _completed(self, group: Any) -> Any:
        """Return a group with the settings of Keras' AdamW, if it is AdamW's and has no others."""
        return {**self._of_adamw, **group} if isinstance(group, Mapping) and group.get("adamw") else group

    def _groups_of(self, params: Any, exclude_layers: Sequence[str] | None, exclude_embeddings: bool) -> list[Any]:
        """Return the groups of Muon and of AdamW."""
        if is_grouped(params):
            expect("exclude_layers", exclude_layers, None, "groups have the key 'adamw'")
            return [self._completed(group) for group in params]
        if isinstance(exclude_layers, str):
            raise TypeError(f"exclude_layers: expected a sequence of str, got {exclude_layers!r}")
        tree = Tree(params, "params")
        paths = ["/".join(map(str, path)) for path in tree.paths]
        unused = [pattern for pattern in exclude_layers or () if not any(re.search(pattern, path) for path in paths)]
        if unused:
            raise ValueError(f"exclude_layers: expected expressions that are in one of {paths}, got {unused}")
        patterns = [*(exclude_layers or ()), *(["(?i:embedding)"] if exclude_embeddings else [])]
        adamw = [
            np.ndim(leaf) != 2 or any(re.search(pattern, path) for pattern in patterns)
            for leaf, path in zip(tree.leaves, paths, strict=True)
        ]
        return split(named(tree, "params"), adamw, [{"adamw": False}, {"adamw": True, **self._of_adamw}])
