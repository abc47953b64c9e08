"""Keras 3's optimizers by name: fastopt's, with the arithmetic, the arguments and the defaults of Keras.

The classes take the parameters first, then the arguments of Keras 3 by its names and with its defaults, and are
optimizers over NumPy arrays. Keras itself is not needed. An argument that fastopt's rules cannot follow is refused,
with the reason.

``params`` is a tree of float32 or float64 arrays, updated in place, or a list of groups with the keywords of fastopt's
own classes; see `fastopt.Optimizer`. A ``learning_rate`` is a number, one of `fastopt.compat.keras.schedules`, or any
other callable of the number of steps done.

Arguments of all classes, by keyword:

- ``weight_decay``: decoupled, ``p -= learning_rate * weight_decay * p`` before the update; a group with
  ``"weight_decay": 0.0`` is what ``exclude_from_weight_decay`` makes in Keras;
- ``clipvalue``: bound on the absolute value of each element of a gradient;
- ``global_clipnorm``: bound on the norm of all gradients together;
- ``loss_scale_factor``: the gradients are divided by it first;
- ``name``: kept as an attribute.

``clipnorm`` (a norm for each array), ``use_ema``, ``gradient_accumulation_steps`` and their like are refused.
"""

from math import inf
from typing import Any, TypedDict, Unpack

from fastopt import kernels, optimizers
from fastopt._checks import boolean, optional, real
from fastopt._trees import Tree
from fastopt.compat._arguments import expect, number, refuse, two_averages
from fastopt.compat.keras import schedules
from fastopt.optimizers import Optimizer, Schedule

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "RMSprop", "schedules"]

Number = float | Schedule

_NO_RULE = "fastopt has no such rule"

# Keras' other optimizers, and why they are not here.
_REFUSED = dict.fromkeys(["Adafactor", "Ftrl", "Lamb", "Muon", "ScheduleFreeAdamW"], _NO_RULE) | {
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


def _decay(weight_decay: Number | None) -> Any:
    return 0.0 if weight_decay is None else number("weight_decay", "weight_decay", weight_decay)


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
