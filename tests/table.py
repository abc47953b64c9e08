"""One table of every rule with every option: the tests pick up from here what there is to test.

A `Rule` is a kernel with its oracle, its states, and arguments it must refuse. A `Case` is a rule
with one combination of options. An `OptimizerCase` is the same for the classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import oracle

_POSITIVE = {"sum", "square_avg", "exp_avg_sq", "max_exp_avg_sq"}


@dataclass(frozen=True)
class Rule:
    name: str
    oracle: Callable
    states: tuple[str, ...]
    optional_states: tuple[str, ...] = ()
    required: dict = field(default_factory=dict)
    bad: tuple[tuple[dict, type | tuple[type, ...], str], ...] = field(default=(), repr=False)
    """Options to refuse, the exception, and the argument that its message starts with."""


@dataclass(frozen=True)
class Case:
    rule: Rule
    name: str
    options: dict
    optional_states: tuple[str, ...] = ()
    per_step: Callable[[int], dict] = lambda step: {}
    """Options that depend on the step, which is counted from 1."""

    def __str__(self):
        return f"{self.rule.name}-{self.name}"

    @property
    def states(self):
        return self.rule.states + self.optional_states

    @property
    def streams(self):
        """Names of all arrays, in the order of the kernel's arguments."""
        return ("param", "grad", *self.states)

    def options_at(self, step):
        return self.options | self.per_step(step)

    def arrays(self, shape, dtype, seed=0):
        """Arrays as they are in the middle of a training.

        No number is near 0, let alone denormal: a second moment that falls from 1 to the square of
        a tiny gradient keeps the rounding of 1, which its root would magnify.
        """
        rng = np.random.default_rng([seed, math.prod(shape)])
        return {name: self._values(name, shape, rng).astype(dtype) for name in self.streams}

    def _values(self, name, shape, rng):
        if name in _POSITIVE:
            return np.asarray(rng.uniform(0.2, 2.0, shape))
        if name == "grad_avg":
            # A mean whose square stays below the mean of squares.
            return np.asarray(rng.uniform(-0.4, 0.4, shape))
        return np.asarray(rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape))

    def gradients(self, shape, dtype, steps, seed=1):
        return [self.arrays(shape, dtype, seed + 1000 * i)["grad"] for i in range(1, steps + 1)]

    def expected(self, arrays, step, **options):
        """The arrays after one more step, from the oracle, in float64."""
        exact = {name: array.astype(np.float64) for name, array in arrays.items()}
        return self.rule.oracle(**exact, **(self.options_at(step) | options))


_NOT_NUMBERS = ("0.1", None, [0.1], 1j, object())


def _refused(name, values, exception=ValueError):
    return tuple(({name: value}, exception, name) for value in values)


def _rate(name):
    bad_values = _refused(name, (-1e-3, math.nan, math.inf, -math.inf))
    return bad_values + _refused(name, _NOT_NUMBERS, TypeError)


def _below_one(name):
    bad_values = _refused(name, (-0.1, 1.0, 1.5, math.nan, math.inf))
    return bad_values + _refused(name, _NOT_NUMBERS, TypeError)


def _up_to_one(name):
    bad_values = _refused(name, (-0.1, 1.001, math.nan, -math.inf))
    return bad_values + _refused(name, _NOT_NUMBERS, TypeError)


_SCALE = _refused("grad_scale", (math.nan, math.inf, -math.inf)) + _refused("grad_scale", _NOT_NUMBERS, TypeError)
_CLIP = _refused("clip_value", (-1e-3, math.nan, -math.inf)) + _refused("clip_value", _NOT_NUMBERS, TypeError)
_COMMON = _rate("lr") + _rate("weight_decay") + _SCALE + _CLIP
_STEP = (
    _refused("step", (0, -1))
    + _refused("step", ("1", None, [1]), TypeError)
    + _refused("step", (1.5, math.nan), (TypeError, ValueError))
)
_ADAM = _COMMON + _rate("eps") + _below_one("beta1") + _below_one("beta2") + _STEP

SGD = Rule("sgd", oracle.sgd, (), required={"lr": 0.1}, bad=_COMMON)
MOMENTUM = Rule(
    "momentum",
    oracle.momentum,
    ("momentum_buffer",),
    required={"lr": 0.1, "momentum": 0.9},
    bad=(
        *_COMMON,
        *_up_to_one("momentum"),
        *_up_to_one("dampening"),
        ({"lr_in_velocity": True, "dampening": 0.5}, ValueError, "dampening"),
    ),
)
ADAGRAD = Rule("adagrad", oracle.adagrad, ("sum",), required={"lr": 0.1}, bad=_COMMON + _rate("eps"))
RMSPROP = Rule(
    "rmsprop",
    oracle.rmsprop,
    ("square_avg",),
    ("momentum_buffer", "grad_avg"),
    required={"lr": 0.1},
    bad=_COMMON + _rate("eps") + _below_one("alpha") + _up_to_one("momentum"),
)
ADAM = Rule(
    "adam",
    oracle.adam,
    ("exp_avg", "exp_avg_sq"),
    ("max_exp_avg_sq",),
    required={"step": 1},
    bad=_ADAM,
)
ADAMW = Rule(
    "adamw",
    oracle.adamw,
    ("exp_avg", "exp_avg_sq"),
    ("max_exp_avg_sq",),
    required={"step": 1},
    bad=_ADAM,
)
RULES = (SGD, MOMENTUM, ADAGRAD, RMSPROP, ADAM, ADAMW)

_DECAY = {"weight_decay": 0.3, "grad_scale": -0.7, "clip_value": 0.8}


def _first(step):
    return {"first_step": step == 1}


def _count(step):
    return {"step": step}


def _count_late(step):
    return {"step": step + 3000}


def _momentum(name, **options):
    return Case(MOMENTUM, name, {"lr": 0.1, "momentum": 0.9} | options)


def _rmsprop(name, *states, **options):
    return Case(RMSPROP, name, {"lr": 0.1} | options, states)


def _rmsprops():
    """Centered, with momentum, and both, under every convention."""
    in_sqrt, in_velocity = {"eps_in_sqrt": True}, {"lr_in_velocity": True}
    flags = ({}, in_sqrt, in_velocity, in_sqrt | in_velocity)
    for states, options, conventions in (
        (("grad_avg",), {}, flags[:2]),
        (("momentum_buffer",), {"momentum": 0.9}, flags),
        (("momentum_buffer", "grad_avg"), {"momentum": 0.8, "alpha": 0.9}, flags),
    ):
        for convention in conventions:
            name = ", ".join([*states, *convention])
            yield _rmsprop(name, *states, eps=1e-2, **options, **convention)
            yield _rmsprop(name + ", decay", *states, eps=1e-2, **options, **convention, **_DECAY)


def _adams():
    for rule in (ADAM, ADAMW):
        for states, prefix in (((), ""), (("max_exp_avg_sq",), "amsgrad ")):
            for name, options in {
                "defaults": {},
                "paper": {"lr": 0.1, "eps": 0.1},
                "eps_hat": {"lr": 0.1, "eps": 1e-2, "eps_hat": True},
                "betas": {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 1e-2},
                "no betas": {"lr": 0.1, "beta1": 0.0, "beta2": 0.0, "eps": 1e-3},
                "decay": {"lr": 0.1} | _DECAY,
                "decay, eps_hat": {"lr": 0.1, "eps": 1e-2, "eps_hat": True} | _DECAY,
                "no decay": {"lr": 0.1, "weight_decay": 0.0},
            }.items():
                yield Case(rule, prefix + name, options, states, _count)
        yield Case(rule, "late", {"lr": 0.1, "eps": 1e-2}, (), _count_late)


CASES = (
    Case(SGD, "plain", {"lr": 0.1}),
    Case(SGD, "no rate", {"lr": 0.0}),
    Case(SGD, "weight_decay", {"lr": 0.1, "weight_decay": 0.3}),
    Case(SGD, "grad_scale", {"lr": 0.1, "grad_scale": -0.7}),
    Case(SGD, "clip_value", {"lr": 0.1, "clip_value": 0.5}),
    Case(SGD, "clip_value 0", {"lr": 0.1, "clip_value": 0.0}),
    Case(SGD, "decay", {"lr": 0.1} | _DECAY),
    _momentum("plain"),
    _momentum("dampening", dampening=0.4),
    _momentum("nesterov", nesterov=True),
    _momentum("decay", **_DECAY),
    _momentum("nesterov, decay", nesterov=True, **_DECAY),
    _momentum("none", momentum=0.0),
    _momentum("whole", momentum=1.0),
    _momentum("lr_in_velocity", lr_in_velocity=True),
    _momentum("lr_in_velocity, nesterov", lr_in_velocity=True, nesterov=True),
    _momentum("lr_in_velocity, decay", lr_in_velocity=True, **_DECAY),
    _momentum("lr_in_velocity, nesterov, decay", lr_in_velocity=True, nesterov=True, **_DECAY),
    Case(MOMENTUM, "first_step", {"lr": 0.1, "momentum": 0.9}, (), _first),
    Case(
        MOMENTUM,
        "first_step, dampening",
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.4},
        (),
        _first,
    ),
    Case(MOMENTUM, "first_step, nesterov", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, (), _first),
    Case(ADAGRAD, "plain", {"lr": 0.1}),
    Case(ADAGRAD, "eps", {"lr": 0.1, "eps": 1e-2}),
    Case(ADAGRAD, "eps_in_sqrt", {"lr": 0.1, "eps": 1e-2, "eps_in_sqrt": True}),
    Case(ADAGRAD, "no eps", {"lr": 0.1, "eps": 0.0}),
    Case(ADAGRAD, "decay", {"lr": 0.1, "eps": 1e-2} | _DECAY),
    Case(ADAGRAD, "eps_in_sqrt, decay", {"lr": 0.1, "eps": 1e-2, "eps_in_sqrt": True} | _DECAY),
    _rmsprop("plain"),
    _rmsprop("eps", eps=1e-2),
    _rmsprop("eps_in_sqrt", eps=1e-2, eps_in_sqrt=True),
    _rmsprop("alpha", alpha=0.6, eps=1e-2),
    _rmsprop("no alpha", alpha=0.0),
    _rmsprop("decay", eps=1e-2, **_DECAY),
    _rmsprop("eps_in_sqrt, decay", eps=1e-2, eps_in_sqrt=True, **_DECAY),
    *_rmsprops(),
    *_adams(),
)


# For what depends on the arrays and not on the options: every rule with every set of states.
VARIANTS = tuple({(case.rule.name, case.states): case for case in reversed(CASES)}.values())[::-1]


@dataclass(frozen=True)
class OptimizerCase:
    name: str
    options: dict
    torch: dict | None = None
    """Options of the class of the same name in torch.optim, None if it has no such rule."""

    def __str__(self):
        kept = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}({kept})"

    @property
    def oracle(self):
        return getattr(oracle, self.name)


def _peer(name, **options):
    """A case with the same options in PyTorch."""
    return OptimizerCase(name, options, options)


OPTIMIZERS = (
    _peer("SGD", lr=0.1),
    _peer("SGD", lr=0.1, weight_decay=0.3),
    _peer("SGD", lr=0.1, momentum=0.9),
    _peer("SGD", lr=0.1, momentum=0.9, dampening=0.4),
    _peer("SGD", lr=0.1, momentum=0.9, nesterov=True),
    _peer("SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.3),
    OptimizerCase("SGD", {"lr": 0.1, "momentum": 0.9, "lr_in_velocity": True}),
    OptimizerCase("SGD", {"lr": 0.1, "momentum": 0.9, "lr_in_velocity": True, "nesterov": True}),
    _peer("Adagrad", lr=0.1),
    _peer("Adagrad", lr=0.1, lr_decay=0.2, eps=1e-2, weight_decay=0.3),
    _peer("Adagrad", lr=0.1, initial_accumulator_value=0.1),
    OptimizerCase(
        "Adagrad",
        {"lr": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-2, "eps_in_sqrt": True},
    ),
    _peer("RMSprop", lr=0.1),
    _peer("RMSprop", lr=0.1, alpha=0.9, eps=1e-2, weight_decay=0.3),
    _peer("RMSprop", lr=0.1, momentum=0.9),
    _peer("RMSprop", lr=0.1, centered=True, eps=1e-2),
    _peer("RMSprop", lr=0.1, centered=True, momentum=0.9, eps=1e-2),
    OptimizerCase("RMSprop", {"lr": 0.1, "eps": 1e-2, "eps_in_sqrt": True}),
    OptimizerCase("RMSprop", {"lr": 0.1, "initial_accumulator_value": 1.0}),
    OptimizerCase(
        "RMSprop",
        {"lr": 0.1, "momentum": 0.9, "lr_in_velocity": True, "eps": 1e-2, "eps_in_sqrt": True},
    ),
    *(
        case
        for name in ("Adam", "AdamW")
        for case in (
            _peer(name),
            _peer(name, lr=0.1, betas=(0.8, 0.9), eps=1e-2),
            _peer(name, lr=0.1, weight_decay=0.3),
            _peer(name, lr=0.1, amsgrad=True, eps=1e-2),
            OptimizerCase(name, {"lr": 0.1, "eps_hat": True, "eps": 1e-2}),
            OptimizerCase(name, {"lr": 0.1, "eps_hat": True, "amsgrad": True, "eps": 1e-2}),
        )
    ),
)

_LR = _rate("lr") + _rate("weight_decay")

# Options that the classes refuse when built.
BAD_OPTIMIZERS = tuple(
    (name, *refused)
    for name, several in {
        "SGD": (
            *_LR,
            *_up_to_one("momentum"),
            *_up_to_one("dampening"),
            ({"momentum": 0.9, "lr_in_velocity": True, "dampening": 0.5}, ValueError, "dampening"),
        ),
        "Adagrad": _LR + _rate("lr_decay") + _rate("eps") + _rate("initial_accumulator_value"),
        "RMSprop": (
            *_LR,
            *_rate("eps"),
            *_below_one("alpha"),
            *_up_to_one("momentum"),
            *_rate("initial_accumulator_value"),
        ),
    }.items()
    for refused in several
) + tuple(
    (name, *refused)
    for name in ("Adam", "AdamW")
    for refused in (
        *_LR,
        *_rate("eps"),
        ({"betas": (1.0, 0.9)}, ValueError, "betas"),
        ({"betas": (0.9, 1.0)}, ValueError, "betas"),
        ({"betas": (-0.1, 0.9)}, ValueError, "betas"),
        ({"betas": (0.9, math.nan)}, ValueError, "betas"),
        ({"betas": ("0.9", 0.9)}, TypeError, "betas"),
        ({"betas": (0.9,)}, (TypeError, ValueError), "betas"),
        ({"betas": 0.9}, (TypeError, ValueError), "betas"),
    )
)
