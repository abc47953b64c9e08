"""The update rules as fastopt does them and as NumPy does them, textbook style and with ``out=``.

Every function updates ``p`` and the state arrays in place from the gradient ``g``. Counting steps is
left out: the bias corrections are always those of the first step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter, signature
from typing import Any

import numpy as np

from fastopt import kernels
from fastopt._typing import Array

LR = 1e-4
MOMENTUM = 0.9
ALPHA = 0.99
BETA1, BETA2 = 0.9, 0.999
EPS = 1e-8
WEIGHT_DECAY = 1e-2

# At the first step lr * sqrt(1 - beta2) / (1 - beta1) and eps * sqrt(1 - beta2), see fastopt.kernels.
_ADAM_LR = LR * (1 - BETA2) ** 0.5 / (1 - BETA1)
_ADAM_EPS = EPS * (1 - BETA2) ** 0.5


_OPTIONS = {"lr": LR, "momentum": MOMENTUM, "alpha": ALPHA, "beta1": BETA1, "beta2": BETA2, "eps": EPS, "step": 1}


@dataclass(frozen=True)
class Rule:
    """An update rule and three ways to apply it to ``p, g, *states``.

    Attributes
    ----------
    name, title : str
        Name in the code, and in tables.
    textbook : callable, optional
        The formula in NumPy, as it is usually written.
    out : callable, optional
        The formula in NumPy without temporaries; takes two scratch arrays after the states.
    kernel : str, optional
        Name in `fastopt.kernels`, if it is not `name`.
    optional_states : tuple of str
        State arrays that the kernel can do without.
    """

    name: str
    title: str
    textbook: Callable[..., None] | None = None
    out: Callable[..., None] | None = None
    kernel: str = ""
    optional_states: tuple[str, ...] = ()

    @cached_property
    def function(self) -> Callable[..., None]:
        """The function of `fastopt.kernels`; takes one array or a list of arrays a stream."""
        function: Callable[..., None] = getattr(kernels, self.kernel or self.name)
        return function

    @cached_property
    def states(self) -> tuple[str, ...]:
        """State arrays, named as in `fastopt.kernels`."""
        return (*(p.name for p in self._states if p.default is p.empty), *self.optional_states)

    @cached_property
    def _states(self) -> list[Parameter]:
        _, _, *others = signature(self.function).parameters.values()
        return [p for p in others if p.kind is p.POSITIONAL_OR_KEYWORD]

    @cached_property
    def options(self) -> dict[str, float]:
        """The hyper-parameters, and the number of the step."""
        names = signature(self.function).parameters.keys() & _OPTIONS.keys()
        if "momentum_buffer" not in self.states:
            names -= {"momentum"}
        return {name: _OPTIONS[name] for name in names}

    def fastopt(self, p: Any, g: Any, *states: Any) -> Callable[[], None]:
        """Return one call of `fastopt.kernels`."""
        given = {"p": p, "g": g} | dict(zip(self.states, states, strict=True))
        arrays = ["p", "g", *(s.name if s.name in given else "None" for s in self._states)]
        keywords = [f"{name}={value!r}" for name, value in self.options.items()]
        # A call as one writes it: a partial with the keywords takes a quarter longer on small arrays.
        call: Callable[[], None] = eval(
            f"lambda: function({', '.join(arrays + keywords)})", given | {"function": self.function}
        )
        return call


# Textbook style.


def _sgd(p: Array, g: Array) -> None:
    p -= LR * g


def _momentum(p: Array, g: Array, b: Array) -> None:
    b[...] = MOMENTUM * b + g
    p -= LR * b


def _adagrad(p: Array, g: Array, s: Array) -> None:
    s += g**2
    p -= LR * g / (np.sqrt(s) + EPS)


def _rmsprop(p: Array, g: Array, s: Array) -> None:
    s[...] = ALPHA * s + (1 - ALPHA) * g**2
    p -= LR * g / (np.sqrt(s) + EPS)


def _rmsprop_momentum(p: Array, g: Array, s: Array, b: Array) -> None:
    s[...] = ALPHA * s + (1 - ALPHA) * g**2
    b[...] = MOMENTUM * b + g / (np.sqrt(s) + EPS)
    p -= LR * b


def _rmsprop_centered(p: Array, g: Array, s: Array, m: Array) -> None:
    s[...] = ALPHA * s + (1 - ALPHA) * g**2
    m[...] = ALPHA * m + (1 - ALPHA) * g
    p -= LR * g / (np.sqrt(np.maximum(s - m**2, 0)) + EPS)


def _adam(p: Array, g: Array, m: Array, v: Array) -> None:
    m[...] = BETA1 * m + (1 - BETA1) * g
    v[...] = BETA2 * v + (1 - BETA2) * g**2
    m_hat = m / (1 - BETA1)
    v_hat = v / (1 - BETA2)
    p -= LR * m_hat / (np.sqrt(v_hat) + EPS)


def _adamw(p: Array, g: Array, m: Array, v: Array) -> None:
    p *= 1 - LR * WEIGHT_DECAY
    _adam(p, g, m, v)


def _amsgrad(p: Array, g: Array, m: Array, v: Array, v_max: Array) -> None:
    m[...] = BETA1 * m + (1 - BETA1) * g
    v[...] = BETA2 * v + (1 - BETA2) * g**2
    np.maximum(v, v_max, out=v_max)
    p -= LR * (m / (1 - BETA1)) / (np.sqrt(v_max / (1 - BETA2)) + EPS)


# With out=: no temporaries, as few passes as NumPy allows. a, b: scratch.


def _moving_average(average: Array, x: Array, rate: float, a: Array) -> None:
    np.subtract(x, average, out=a)
    np.multiply(a, rate, out=a)
    np.add(average, a, out=average)


def _sgd_out(p: Array, g: Array, a: Array, b: Array) -> None:
    np.multiply(g, LR, out=a)
    np.subtract(p, a, out=p)


def _momentum_out(p: Array, g: Array, v: Array, a: Array, b: Array) -> None:
    np.multiply(v, MOMENTUM, out=v)
    np.add(v, g, out=v)
    np.multiply(v, LR, out=a)
    np.subtract(p, a, out=p)


def _scaled_step(p: Array, g: Array, s: Array, lr: float, eps: float, a: Array) -> None:
    """``p -= lr * g / (sqrt(s) + eps)``; `a` may be `s`."""
    np.sqrt(s, out=a)
    np.add(a, eps, out=a)
    np.divide(g, a, out=a)
    np.multiply(a, lr, out=a)
    np.subtract(p, a, out=p)


def _adagrad_out(p: Array, g: Array, s: Array, a: Array, b: Array) -> None:
    np.multiply(g, g, out=a)
    np.add(s, a, out=s)
    _scaled_step(p, g, s, LR, EPS, a)


def _rmsprop_out(p: Array, g: Array, s: Array, a: Array, b: Array) -> None:
    np.multiply(g, g, out=b)
    _moving_average(s, b, 1 - ALPHA, a)
    _scaled_step(p, g, s, LR, EPS, a)


def _rmsprop_momentum_out(p: Array, g: Array, s: Array, v: Array, a: Array, b: Array) -> None:
    np.multiply(g, g, out=b)
    _moving_average(s, b, 1 - ALPHA, a)
    np.sqrt(s, out=a)
    np.add(a, EPS, out=a)
    np.divide(g, a, out=a)
    np.multiply(v, MOMENTUM, out=v)
    np.add(v, a, out=v)
    np.multiply(v, LR, out=a)
    np.subtract(p, a, out=p)


def _rmsprop_centered_out(p: Array, g: Array, s: Array, m: Array, a: Array, b: Array) -> None:
    np.multiply(g, g, out=b)
    _moving_average(s, b, 1 - ALPHA, a)
    _moving_average(m, g, 1 - ALPHA, a)
    np.multiply(m, m, out=a)
    np.subtract(s, a, out=a)
    np.maximum(a, 0, out=a)
    _scaled_step(p, g, a, LR, EPS, a)


def _adam_out(p: Array, g: Array, m: Array, v: Array, a: Array, b: Array) -> None:
    _moving_average(m, g, 1 - BETA1, a)
    np.multiply(g, g, out=b)
    _moving_average(v, b, 1 - BETA2, a)
    _scaled_step(p, m, v, _ADAM_LR, _ADAM_EPS, a)


def _adamw_out(p: Array, g: Array, m: Array, v: Array, a: Array, b: Array) -> None:
    np.multiply(p, 1 - LR * WEIGHT_DECAY, out=p)
    _adam_out(p, g, m, v, a, b)


def _amsgrad_out(p: Array, g: Array, m: Array, v: Array, v_max: Array, a: Array, b: Array) -> None:
    _moving_average(m, g, 1 - BETA1, a)
    np.multiply(g, g, out=b)
    _moving_average(v, b, 1 - BETA2, a)
    np.maximum(v, v_max, out=v_max)
    _scaled_step(p, m, v_max, _ADAM_LR, _ADAM_EPS, a)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("sgd", "SGD", _sgd, _sgd_out),
        Rule("momentum", "SGD with momentum", _momentum, _momentum_out),
        Rule("adagrad", "AdaGrad", _adagrad, _adagrad_out),
        Rule("rmsprop", "RMSProp", _rmsprop, _rmsprop_out),
        Rule(
            "rmsprop_momentum",
            "RMSProp with momentum",
            _rmsprop_momentum,
            _rmsprop_momentum_out,
            "rmsprop",
            ("momentum_buffer",),
        ),
        Rule(
            "rmsprop_centered", "Centered RMSProp", _rmsprop_centered, _rmsprop_centered_out, "rmsprop", ("grad_avg",)
        ),
        Rule("adam", "Adam", _adam, _adam_out),
        Rule("adamw", "AdamW", _adamw, _adamw_out),
        Rule("amsgrad", "AMSGrad", _amsgrad, _amsgrad_out, "adam", ("max_exp_avg_sq",)),
        Rule("nadam", "NAdam"),
        Rule("radam", "RAdam"),
        Rule("ademamix", "AdEMAMix"),
        Rule("adopt", "ADOPT"),
        Rule("ftrl", "FTRL"),
        Rule("sign_sgd", "SignSGD"),
        Rule("signum", "Signum", kernel="sign_sgd", optional_states=("momentum_buffer",)),
        Rule("schedule_free_sgd", "Schedule-Free SGD"),
        Rule("schedule_free_adamw", "Schedule-Free AdamW"),
    )
}

# What an element moves by depends on more than its own elements: layerwise.py, and benches/test_rows.py.
_OTHERS = ("lamb", "muon", "rowwise_adagrad")

for _name in kernels.__all__:  # a kernel needs no line of its own
    if "param" in signature(getattr(kernels, _name)).parameters and _name not in _OTHERS:
        RULES.setdefault(_name, Rule(_name, _name.capitalize()))
