"""One table of every rule with every option: the tests pick up from here what there is to test.

A `Rule` is a kernel with its oracle and results worked out by hand. A `Case` is a rule with one combination of
options. An `OptimizerCase` is the same for the classes.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import oracle

_POSITIVE = {"sum", "square_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "acc_delta", "step_size", "accumulator"}


@dataclass(frozen=True)
class Rule:
    """A kernel, all of whose arguments are known from the signature of its oracle."""

    oracle: Callable
    hand_worked: tuple[tuple[dict, dict, dict], ...] = field(repr=False)
    """Arrays, options, and the arrays afterwards; each follows from the formula by mental arithmetic."""

    @property
    def name(self):
        return self.oracle.__name__

    def _arguments(self, kind, required):
        parameters = list(inspect.signature(self.oracle).parameters.values())[2:]
        return tuple(p.name for p in parameters if p.kind is kind and (p.default is p.empty) == required)

    @property
    def layerwise(self):
        """Whether the update of an element depends on its whole tensor."""
        return self.name == "lamb"

    @cached_property
    def states(self):
        return self._arguments(inspect.Parameter.POSITIONAL_OR_KEYWORD, required=True)

    @cached_property
    def optional_states(self):
        return self._arguments(inspect.Parameter.POSITIONAL_OR_KEYWORD, required=False)

    @cached_property
    def required(self):
        """The options that have no default, with a value."""
        values = {"lr": 0.1, "momentum": 0.9, "step": 1}
        return {name: values[name] for name in self._arguments(inspect.Parameter.KEYWORD_ONLY, required=True)}


@dataclass(frozen=True)
class Case:
    rule: Rule
    name: str
    options: dict
    optional_states: tuple[str, ...] = ()
    per_step: Callable[[int], dict] = lambda step: {}
    """Options that depend on the step, which is counted from 1."""
    unseen: tuple[str, ...] = ()
    """Options that change nothing but the rounding."""

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

    def wide_arrays(self, shape, dtype, seed=5):
        """Arrays of very different sizes, whose products still stay clear of the denormals."""
        rng = np.random.default_rng(seed)
        arrays = self.arrays(shape, dtype)
        for name, array in arrays.items():
            # The square of a mean stays below the mean of squares for most.
            array *= dtype(10) ** (rng.integers(-6, 4, shape) - 3 * (name == "grad_avg")).astype(dtype)
        return arrays

    def gradients(self, shape, dtype, steps, seed=1):
        return [self.arrays(shape, dtype, seed + 1000 * i)["grad"] for i in range(1, steps + 1)]

    def expected(self, arrays, step, **options):
        """The arrays after one more step, from the oracle, in float64."""
        exact = {name: array.astype(np.float64) for name, array in arrays.items()}
        return self.rule.oracle(**exact, **(self.options_at(step) | options))


_NOT_NUMBERS = ("0.1", None, [0.1], 1j, object())
_NOT_NEGATIVE = ((0.125, 0.5, 0.0), (-1e-3, math.nan, math.inf, -math.inf), _NOT_NUMBERS)
_FRACTION = ((0.25, 0.5, 0.0), (-0.1, 1.0, 1.5, math.nan, math.inf), _NOT_NUMBERS)
_SHARE = ((0.25, 0.5, 0.0, 1.0), (-0.1, 1.001, math.nan, -math.inf), _NOT_NUMBERS)
_SWITCH = ((False, True), (), (0, 1.0, "True", None))
_COUNT = ((3, 7, 0), (-1, 2**63), ("1", None, 1.5, math.nan, True))
_EXPONENT = ((0.75, 2.0, 0.0, 5.0), (-0.1, 5.1, math.nan, math.inf), (*_NOT_NUMBERS, True))
_ANY = ((-1.5, 2.0, 0.0), (math.nan, math.inf, -math.inf), _NOT_NUMBERS)

HYPER_PARAMETERS = {
    "adamw": _SWITCH,
    "alpha": _FRACTION,
    "amsgrad": _SWITCH,
    "beta": _NOT_NEGATIVE,
    "beta1": _FRACTION,
    "beta2": _FRACTION,
    "beta3": _FRACTION,
    "beta3_warmup": _COUNT,
    "cautious": _SWITCH,
    "centered": _SWITCH,
    "clip_value": ((0.0, 0.5, math.inf), (-1e-3, math.nan, -math.inf), _NOT_NUMBERS),
    "clipped": _SWITCH,
    "dampening": _SHARE,
    "decoupled": _SWITCH,
    "eps": _NOT_NEGATIVE,
    "eps_hat": _SWITCH,
    "eps_in_sqrt": _SWITCH,
    "eps_outside": _SWITCH,
    "eta_minus": ((0.25, 0.5), (0.0, 1.0, -0.5, math.nan), _NOT_NUMBERS),
    "eta_plus": ((1.25, 2.0), (1.0, 0.5, math.nan, math.inf), _NOT_NUMBERS),
    "grad_scale": ((-1.5, 0.0, 2.0), (math.nan, math.inf, -math.inf), _NOT_NUMBERS),
    "initial_accumulator_value": _NOT_NEGATIVE,
    "l1": _NOT_NEGATIVE,
    "l2": _NOT_NEGATIVE,
    "l2_shrinkage": _NOT_NEGATIVE,
    "lr": _NOT_NEGATIVE,
    "lr_decay": _NOT_NEGATIVE,
    "lr_in_velocity": _SWITCH,
    "match_rms": _SWITCH,
    "mixing": _NOT_NEGATIVE,
    "mixing_warmup": _COUNT,
    "momentum": _SHARE,
    "momentum_decay": _NOT_NEGATIVE,
    "nesterov": _SWITCH,
    "ns_coefficient1": _ANY,
    "ns_coefficient2": _ANY,
    "ns_coefficient3": _ANY,
    "ns_eps": _NOT_NEGATIVE,
    "ns_steps": _COUNT,
    "r": _EXPONENT,
    "rho": _FRACTION,
    "step": ((1, 7, 2**40), (0, -1, 2**63), ("1", None, 1.5, math.nan, True)),
    "step_size_max": ((25.0, 100.0), (-1e-3, math.nan, math.inf), _NOT_NUMBERS),
    "step_size_min": _NOT_NEGATIVE,
    "warmup_steps": _COUNT,
    "weight_decay": _NOT_NEGATIVE,
    "weight_lr_power": _EXPONENT,
}
"""For every name of a hyper-parameter: values that are taken (two ordinary ones, then its bounds), values out of range,
values of a wrong type."""


def refused(name):
    """What a hyper-parameter must not be: pairs of a value and the exception."""
    _, out_of_range, wrong_types = HYPER_PARAMETERS[name]
    return [(value, ValueError) for value in out_of_range] + [(value, TypeError) for value in wrong_types]


def _worked(options, *, grad, **arrays):
    """Arrays as pairs: before and after."""
    before, after = ({name: pair[i] for name, pair in arrays.items()} for i in (0, 1))
    return before | {"grad": grad}, options, after


SGD = Rule(
    oracle.sgd,
    (
        # 3 - 0.5 * 4
        _worked({"lr": 0.5}, grad=4, param=(3, 1)),
        # g = 2 * 4 + 0.5 * 6 = 11; 6 - 0.1 * 11
        _worked({"lr": 0.1, "grad_scale": 2, "weight_decay": 0.5}, grad=4, param=(6, 4.9)),
    ),
)
MOMENTUM = Rule(
    oracle.momentum,
    (
        # b = 0.5 * 4 + 3 = 5; 1 - 0.1 * 5
        _worked({"lr": 0.1, "momentum": 0.5}, grad=3, param=(1, 0.5), momentum_buffer=(4, 5)),
        # b = 0.5 * 4 + 0.75 * 4 = 5; 1 - 0.1 * 5
        _worked({"lr": 0.1, "momentum": 0.5, "dampening": 0.25}, grad=4, param=(1, 0.5), momentum_buffer=(4, 5)),
        # b = 5; 1 - 0.1 * (3 + 0.5 * 5)
        _worked({"lr": 0.1, "momentum": 0.5, "nesterov": True}, grad=3, param=(1, 0.45), momentum_buffer=(4, 5)),
        # b = g whatever the buffer and the dampening; 1 - 0.1 * 3
        _worked(
            {"lr": 0.1, "momentum": 0.5, "dampening": 0.25, "first_step": True},
            grad=3,
            param=(1, 0.7),
            momentum_buffer=(4, 3),
        ),
        # u = 0.5 * 4 - 0.1 * 10 = 1; 1 + 1
        _worked({"lr": 0.1, "momentum": 0.5, "lr_in_velocity": True}, grad=10, param=(1, 2), momentum_buffer=(4, 1)),
        # u = 1; 1 + 0.5 * 1 - 0.1 * 10
        _worked(
            {"lr": 0.1, "momentum": 0.5, "lr_in_velocity": True, "nesterov": True},
            grad=10,
            param=(1, 0.5),
            momentum_buffer=(4, 1),
        ),
    ),
)
ADAGRAD = Rule(
    oracle.adagrad,
    (
        # s = 9 + 16 = 25; 1 - 0.1 * 4 / (5 + 3)
        _worked({"lr": 0.1, "eps": 3}, grad=4, param=(1, 0.95), sum=(9, 25)),
        # s = 17 + 16 = 33; 1 - 0.1 * 4 / sqrt(33 + 31)
        _worked({"lr": 0.1, "eps": 31, "eps_in_sqrt": True}, grad=4, param=(1, 0.95), sum=(17, 33)),
    ),
)
RMSPROP = Rule(
    oracle.rmsprop,
    (
        # s = 0.75 * 28 + 0.25 * 16 = 25; 1 - 0.1 * 4 / (5 + 3)
        _worked({"lr": 0.1, "alpha": 0.75, "eps": 3}, grad=4, param=(1, 0.95), square_avg=(28, 25)),
        # s = 25; 1 - 0.1 * 4 / sqrt(25 + 39)
        _worked(
            {"lr": 0.1, "alpha": 0.75, "eps": 39, "eps_in_sqrt": True}, grad=4, param=(1, 0.95), square_avg=(28, 25)
        ),
        # s = 25, a = 0.75 * 4 + 0.25 * 0 = 3, root = 4; g = 0: only the momentum moves
        _worked(
            {"lr": 0.1, "alpha": 0.75, "eps": 0, "momentum": 0.5},
            grad=0,
            param=(1, 0.8),
            square_avg=(25 / 0.75, 25),
            grad_avg=(4, 3),
            momentum_buffer=(4, 2),
        ),
        # s = 0.5 * 48 + 0.5 * 4 = 26, a = 0.5 * 0 + 0.5 * 2 = 1, root = 5; b = 0.5 + 2 / 5
        _worked(
            {"lr": 0.1, "alpha": 0.5, "eps": 0, "momentum": 0.5},
            grad=2,
            param=(1, 0.91),
            square_avg=(48, 26),
            grad_avg=(0, 1),
            momentum_buffer=(1, 0.9),
        ),
        # b = 0.5 * 1 + 0.1 * 2 / 5
        _worked(
            {"lr": 0.1, "alpha": 0.5, "eps": 0, "momentum": 0.5, "lr_in_velocity": True},
            grad=2,
            param=(1, 0.46),
            square_avg=(48, 26),
            grad_avg=(0, 1),
            momentum_buffer=(1, 0.54),
        ),
    ),
)
ADAM = Rule(
    oracle.adam,
    (
        # m^ = 4, v^ = 16 at the first step, whatever the betas; 1 - 0.1 * 4 / (4 + 1)
        _worked(
            {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 1},
            grad=4,
            param=(1, 0.92),
            exp_avg=(0, 1),
            exp_avg_sq=(0, 4),
        ),
        # rate = 0.1 * 0.5 / 0.25 = 0.2; 1 - 0.2 * 1 / (2 + 3)
        _worked(
            {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 3, "eps_hat": True},
            grad=4,
            param=(1, 0.96),
            exp_avg=(0, 1),
            exp_avg_sq=(0, 4),
        ),
        # step 2, betas 0.5: corrections 0.75; m = 3, v = 12, m^ = 4, v^ = 16; 1 - 0.1 * 4 / (4 + 1)
        _worked(
            {"step": 2, "lr": 0.1, "beta1": 0.5, "beta2": 0.5, "eps": 1},
            grad=4,
            param=(1, 0.92),
            exp_avg=(2, 3),
            exp_avg_sq=(8, 12),
        ),
        # AMSGrad: the largest v so far is 27, v^ = 36; 1 - 0.1 * 4 / (6 + 2)
        _worked(
            {"step": 2, "lr": 0.1, "beta1": 0.5, "beta2": 0.5, "eps": 2},
            grad=4,
            param=(1, 0.95),
            exp_avg=(2, 3),
            exp_avg_sq=(8, 12),
            max_exp_avg_sq=(27, 27),
        ),
        # L2: g = 2 + 0.5 * 4 = 4 goes through the moments; 4 - 0.1 * 4 / (4 + 1)
        _worked(
            {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 1, "weight_decay": 0.5},
            grad=2,
            param=(4, 3.92),
            exp_avg=(0, 1),
            exp_avg_sq=(0, 4),
        ),
    ),
)
ADAMW = Rule(
    oracle.adamw,
    (
        # decoupled: 4 * (1 - 0.1 * 0.5) = 3.8, the moments see g = 4 alone; 3.8 - 0.1 * 4 / (4 + 1)
        _worked(
            {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 1, "weight_decay": 0.5},
            grad=4,
            param=(4, 3.72),
            exp_avg=(0, 1),
            exp_avg_sq=(0, 4),
        ),
        # cautious: away from zero there is no decay; 4 + 0.1 * 4 / (4 + 1)
        _worked(
            {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 1, "weight_decay": 0.5, "cautious": True},
            grad=-4,
            param=(4, 4.08),
            exp_avg=(0, -1),
            exp_avg_sq=(0, 4),
        ),
    ),
)
LION = Rule(
    oracle.lion,
    (
        # c = 0.5 * 4 + 0.5 * 2 = 3; 4 - 0.5 * (1 + 0.5 * 4); m = 0.5 * 4 + 0.5 * 2
        _worked({"lr": 0.5, "beta1": 0.5, "beta2": 0.5, "weight_decay": 0.5}, grad=2, param=(4, 2.5), exp_avg=(4, 3)),
        # c = 0.5 * 4 - 0.5 * 6 = -1; 1 + 0.5; m = 0.5 * 4 - 0.5 * 6
        _worked({"lr": 0.5, "beta1": 0.5, "beta2": 0.5}, grad=-6, param=(1, 1.5), exp_avg=(4, -1)),
        # cautious: the same away from zero, and 1 - 0.5 * 0.5 * 1 where nothing moves
        *(
            _worked(
                {"lr": 0.5, "beta1": 0.5, "beta2": 0.5, "weight_decay": 0.5, "cautious": True},
                grad=grad,
                param=(1, after),
                exp_avg=(4, average),
            )
            for grad, after, average in ((-6, 1.5, -1), (-4, 0.75, 0))
        ),
        # c = 0: nothing moves
        _worked({"lr": 0.5, "beta1": 0.5, "beta2": 0.5}, grad=-4, param=(1, 1), exp_avg=(4, 0)),
    ),
)
ADAMAX = Rule(
    oracle.adamax,
    (
        # m = 0.5 * 4 + 0.5 * 2 = 3, u = max(0.5 * 4, 2 + 1) = 3; 4 - 0.5 / (1 - 0.5) * 3 / 3
        _worked(
            {"step": 1, "lr": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 1},
            grad=2,
            param=(4, 3),
            exp_avg=(4, 3),
            exp_inf=(4, 3),
        ),
        # u = max(0.5 * 4, 1) = 2, m = 0.5 * 6 - 0.5 * 0 = 3; 4 - 0.5 / 0.5 * 3 / (2 + 1)
        _worked(
            {"step": 1, "lr": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 1, "eps_outside": True},
            grad=0,
            param=(4, 3),
            exp_avg=(6, 3),
            exp_inf=(4, 2),
        ),
    ),
)
NADAM = Rule(
    oracle.nadam,
    (
        # mu = 0.5 * (1 - 0.5) = 0.25 at every step; m = 0.5 * 0 + 0.5 * 12 = 6, v^ = 144;
        # 0.25 / (1 - 0.0625) * 6 + 0.75 / 0.75 * 12 = 1.6 + 12; 4 - 0.5 * 13.6 / (12 + 4)
        _worked(
            {"step": 1, "lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 4, "momentum_decay": 0},
            grad=12,
            param=(4, 3.575),
            exp_avg=(0, 6),
            exp_avg_sq=(0, 36),
        ),
    ),
)
RADAM = Rule(
    oracle.radam,
    (
        # rho is 1 at the first step: m^ = 4; 3 - 0.5 * 4
        _worked(
            {"step": 1, "lr": 0.5, "beta1": 0.75, "beta2": 0.75},
            grad=4,
            param=(3, 1),
            exp_avg=(0, 1),
            exp_avg_sq=(0, 4),
        ),
        # so late that nothing is left to correct: v = 0.75 * 16 + 0.25 * 16, r = 1; 3 - 0.5 * 4 / (4 + 1)
        _worked(
            {"step": 2**40, "lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 1},
            grad=4,
            param=(3, 2.6),
            exp_avg=(4, 4),
            exp_avg_sq=(16, 16),
        ),
    ),
)
ADADELTA = Rule(
    oracle.adadelta,
    (
        # s = 0.75 * 20 + 0.25 * 36 = 24, u = sqrt(8 + 1) / sqrt(24 + 1) * 6 = 3.6, d = 0.75 * 8 + 0.25 * 3.6**2
        _worked({"lr": 0.5, "rho": 0.75, "eps": 1}, grad=6, param=(4, 2.2), square_avg=(20, 24), acc_delta=(8, 9.24)),
    ),
)
RPROP = Rule(
    oracle.rprop,
    (
        # the same sign: 1.5 * 2 = 3; 4 - 3
        _worked({"eta_plus": 1.5}, grad=0.1, param=(4, 1), prev=(7, 0.1), step_size=(2, 3)),
        # another sign: half the size, and no move
        _worked({}, grad=-5, param=(4, 4), prev=(7, 0), step_size=(2, 1)),
        # no sign: the size stays; 4 + 2
        _worked({}, grad=-5, param=(4, 6), prev=(0, -5), step_size=(2, 2)),
        # bounds: 3 instead of 1.2 * 20
        _worked({"step_size_max": 3}, grad=5, param=(4, 1), prev=(1, 5), step_size=(20, 3)),
        _worked({"step_size_min": 3}, grad=-5, param=(4, 4), prev=(1, 0), step_size=(2, 3)),
    ),
)
SIGN_SGD = Rule(
    oracle.sign_sgd,
    (
        _worked({"lr": 0.5}, grad=-3, param=(4, 4.5)),
        # -7 + 2 * 4 = 1
        _worked({"lr": 0.5, "weight_decay": 2}, grad=-7, param=(4, 3.5)),
        # 0.75 * 4 - 0.25 * 8 = 1
        _worked({"lr": 0.5, "momentum": 0.75}, grad=-8, param=(4, 3.5), momentum_buffer=(4, 1)),
    ),
)
FTRL = Rule(
    oracle.ftrl,
    (
        # n = 9 + 16, sigma = (5 - 3) / 0.5 = 4, z = 1 + 4 - 4 * 2 = -3; (3 - 1) / (5 / 0.5)
        _worked({"lr": 0.5, "l1": 1}, grad=4, param=(2, 0.2), accumulator=(9, 25), linear=(1, -3)),
        # the same z is within the bound
        _worked({"lr": 0.5, "l1": 3}, grad=4, param=(2, 0), accumulator=(9, 25), linear=(1, -3)),
        # z = 1 + 4 + 2 * 0.25 * 2 - 8 = -2; 2 / (10 + 2 * 4 + 1 / 0.5)
        _worked(
            {"lr": 0.5, "l2": 4, "l2_shrinkage": 0.25, "beta": 1},
            grad=4,
            param=(2, 0.1),
            accumulator=(9, 25),
            linear=(1, -2),
        ),
        # 4 - 0.5 * 1 * 4 = 2 before all else
        _worked({"lr": 0.5, "l1": 1, "weight_decay": 1}, grad=4, param=(4, 0.2), accumulator=(9, 25), linear=(1, -3)),
    ),
)
_MIXED = {"step": 1, "lr": 0.5, "beta1": 0.5, "beta2": 0.75, "beta3": 0.75, "mixing": 2, "eps": 4}
ADEMAMIX = Rule(
    oracle.ademamix,
    (
        # m^ = 12, v^ = 144; 4 - 0.5 * (12 + 2 * 3) / (12 + 4)
        _worked(_MIXED, grad=12, param=(4, 3.4375), exp_avg=(0, 6), exp_avg_slow=(0, 3), exp_avg_sq=(0, 36)),
        # half the mixing after half its warm-up: 4 - 0.5 * (12 + 3) / 16
        _worked(
            _MIXED | {"mixing_warmup": 2},
            grad=12,
            param=(4, 3.53125),
            exp_avg=(0, 6),
            exp_avg_slow=(0, 3),
            exp_avg_sq=(0, 36),
        ),
        # 1/log2 of the share is -1/4 at the start and -7/4 at the end, -1 between: 0.5; 4 - 0.5 * (12 + 2 * 6) / 16
        _worked(
            _MIXED | {"beta1": 0.0625, "beta3": 2 ** (-4 / 7), "beta3_warmup": 2},
            grad=12,
            param=(4, 3.25),
            exp_avg=(0, 11.25),
            exp_avg_slow=(0, 6),
            exp_avg_sq=(0, 36),
        ),
    ),
)
_ADOPTED = {"step": 17, "lr": 0.5, "beta1": 0.5, "beta2": 0.75}
ADOPT = Rule(
    oracle.adopt,
    (
        # the first step: the square alone
        _worked(_ADOPTED | {"step": 1}, grad=4, param=(3, 3), exp_avg=(0, 0), exp_avg_sq=(0, 16)),
        # 12 / 2 = 6, bounded by the fourth root of 16; 0.5 * 4 + 0.5 * 2; 5 - 0.5 * 3
        _worked(_ADOPTED, grad=12, param=(5, 3.5), exp_avg=(4, 3), exp_avg_sq=(4, 39)),
        _worked(_ADOPTED | {"clipped": False}, grad=12, param=(5, 2.5), exp_avg=(4, 5), exp_avg_sq=(4, 39)),
        # 12 / 8
        _worked(_ADOPTED | {"eps": 8}, grad=12, param=(5, 3.625), exp_avg=(4, 2.75), exp_avg_sq=(4, 39)),
    ),
)
_FREE = {"step": 4, "lr": 0.5, "momentum": 0.5}
SCHEDULE_FREE_SGD = Rule(
    oracle.schedule_free_sgd,
    (
        # x = 4 between y = 6 and z = 8; z = 8 - 2, x = 0.75 * 4 + 0.25 * 6 = 4.5; halfway between them
        _worked(_FREE, grad=4, param=(6, 5.25), z=(8, 6)),
        # steps 1 and 2 of 4 weigh 1/16 and 4/16, so c = 0.8; half the rate: z = 7, x = 0.2 * 4 + 0.8 * 7 = 6.4
        _worked(_FREE | {"step": 2, "warmup_steps": 4}, grad=4, param=(6, 6.7), z=(8, 7)),
        # 1 + 2 + 3 + 4: c = 0.4, x = 0.6 * 4 + 0.4 * 6 = 4.8
        _worked(_FREE | {"r": 1}, grad=4, param=(6, 5.4), z=(8, 6)),
        # 4 = -2 + 1 * 6
        _worked(_FREE | {"weight_decay": 1}, grad=-2, param=(6, 5.25), z=(8, 6)),
    ),
)
SCHEDULE_FREE_ADAMW = Rule(
    oracle.schedule_free_adamw,
    (
        # v^ = 144, 12 / (12 + 4) + 0.25 * 6 = 2.25; z = 8 - 4.5, and x is z at the first step
        _worked(
            {"step": 1, "lr": 2, "beta1": 0.5, "beta2": 0.75, "eps": 4, "weight_decay": 0.25},
            grad=12,
            param=(6, 3.5),
            exp_avg_sq=(0, 36),
            z=(8, 3.5),
        ),
    ),
)
_LAYER = {"step": 1, "lr": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 4}
LAMB = Rule(
    oracle.lamb,
    (
        # 12 / (12 + 4) + 0.0625 * 4 = 1, and a norm of 4: 4 - 0.5 * 4 / 1 * 1
        _worked(_LAYER | {"weight_decay": 0.0625}, grad=12, param=(4, 2), exp_avg=(0, 6), exp_avg_sq=(0, 36)),
        # a norm of 0: at the rate itself
        _worked(_LAYER, grad=12, param=(0, -0.375), exp_avg=(0, 6), exp_avg_sq=(0, 36)),
    ),
)
RULES = (
    *(SGD, MOMENTUM, SIGN_SGD, ADAGRAD, FTRL, RMSPROP, ADAM, ADAMW, LION, ADAMAX, NADAM, RADAM, ADADELTA, RPROP),
    *(ADEMAMIX, ADOPT, SCHEDULE_FREE_SGD, SCHEDULE_FREE_ADAMW, LAMB),
)
"""All but Muon, which takes matrices alone: tests/test_muon.py."""
HAND_WORKED = tuple((rule, *worked) for rule in RULES for worked in rule.hand_worked)

_DECAY = {"weight_decay": 0.3, "grad_scale": -0.7, "clip_value": 0.8}


def _first(step):
    return {"first_step": step == 1}


def _count(step):
    return {"step": step}


def _count_late(step):
    return {"step": step + 3000}


def _count_after_ten(step):
    return {"step": step + 10}


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
    Case(SGD, "decoupled", {"lr": 0.1, "decoupled": True} | _DECAY, unseen=("decoupled",)),
    _momentum("plain"),
    _momentum("dampening", dampening=0.4),
    _momentum("nesterov", nesterov=True),
    _momentum("decay", **_DECAY),
    _momentum("nesterov, decay", nesterov=True, **_DECAY),
    _momentum("decoupled", decoupled=True, **_DECAY),
    _momentum("lr_in_velocity, decoupled", lr_in_velocity=True, decoupled=True, **_DECAY),
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
    Case(ADAGRAD, "decoupled", {"lr": 0.1, "eps": 1e-2, "decoupled": True} | _DECAY),
    Case(ADAGRAD, "eps_in_sqrt, decay", {"lr": 0.1, "eps": 1e-2, "eps_in_sqrt": True} | _DECAY),
    _rmsprop("plain"),
    _rmsprop("eps", eps=1e-2),
    _rmsprop("eps_in_sqrt", eps=1e-2, eps_in_sqrt=True),
    _rmsprop("alpha", alpha=0.6, eps=1e-2),
    _rmsprop("no alpha", alpha=0.0),
    _rmsprop("decay", eps=1e-2, **_DECAY),
    _rmsprop("decoupled", eps=1e-2, decoupled=True, **_DECAY),
    _rmsprop("centered, decoupled", "momentum_buffer", "grad_avg", eps=1e-2, momentum=0.8, decoupled=True, **_DECAY),
    _rmsprop("eps_in_sqrt, decay", eps=1e-2, eps_in_sqrt=True, **_DECAY),
    *_rmsprops(),
    *_adams(),
    Case(ADAM, "decoupled", {"lr": 0.1, "decoupled": True} | _DECAY, (), _count),
    Case(ADAMW, "cautious", {"lr": 0.1, "cautious": True} | _DECAY, (), _count),
    Case(LION, "cautious", {"lr": 0.1, "cautious": True} | _DECAY),
    Case(LION, "defaults", {}),
    Case(LION, "decay", {"lr": 0.1} | _DECAY),
    Case(LION, "no betas", {"lr": 0.1, "beta1": 0.0, "beta2": 0.0}),
    *(
        Case(rule, name, options, (), _count if rule is not RADAM else _count_after_ten)
        for rule in (ADAMAX, NADAM, RADAM)
        for name, options in {
            "defaults": {},
            "betas": {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 1e-2},
            "decay": {"lr": 0.1} | _DECAY,
            "decoupled": {"lr": 0.1, "decoupled": True} | _DECAY,
        }.items()
    ),
    Case(ADAMAX, "no betas", {"lr": 0.1, "beta1": 0.0, "beta2": 0.0, "eps": 1e-3}, (), _count),
    Case(NADAM, "no betas", {"lr": 0.1, "beta1": 0.0, "beta2": 0.0, "eps": 1e-3}, (), _count),
    Case(RADAM, "early", {"lr": 0.1}, (), _count),
    Case(RADAM, "no betas", {"lr": 0.1, "beta1": 0.0, "beta2": 0.0}, (), _count),
    Case(ADAMAX, "eps_outside", {"lr": 0.1, "eps": 1e-2, "eps_outside": True}, (), _count),
    Case(NADAM, "momentum_decay", {"lr": 0.1, "momentum_decay": 1.0}, (), _count),
    Case(NADAM, "late", {"lr": 0.1, "eps": 1e-2}, (), _count_late),
    Case(RADAM, "late", {"lr": 0.1, "eps": 1e-2}, (), _count_late),
    Case(RADAM, "late, not eps_hat", {"lr": 0.1, "eps": 1e-2, "eps_hat": False}, (), _count_after_ten),
    Case(ADADELTA, "defaults", {}),
    Case(ADADELTA, "paper", {"lr": 0.5, "rho": 0.95, "eps": 1e-2}),
    Case(ADADELTA, "decay", {"lr": 0.5} | _DECAY),
    Case(ADADELTA, "decoupled", {"lr": 0.5, "decoupled": True} | _DECAY),
    Case(SIGN_SGD, "plain", {"lr": 0.1}),
    Case(SIGN_SGD, "decay", {"lr": 0.1} | _DECAY | {"clip_value": 0.1}),
    Case(SIGN_SGD, "decoupled", {"lr": 0.1, "decoupled": True} | _DECAY, unseen=("clip_value",)),
    Case(SIGN_SGD, "momentum", {"lr": 0.1, "momentum": 0.9}, ("momentum_buffer",)),
    Case(
        SIGN_SGD, "momentum, decoupled", {"lr": 0.1, "momentum": 0.5, "decoupled": True} | _DECAY, ("momentum_buffer",)
    ),
    Case(FTRL, "defaults", {"lr": 0.1}),
    Case(FTRL, "penalties", {"lr": 0.1, "l1": 0.5, "l2": 0.3, "l2_shrinkage": 0.2, "beta": 0.4}),
    Case(FTRL, "decay", {"lr": 0.1} | _DECAY),
    Case(ADEMAMIX, "defaults", {"lr": 0.1}, (), _count),
    Case(
        ADEMAMIX,
        "betas",
        {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "beta3": 0.95, "mixing": 2.0, "eps": 1e-2},
        (),
        _count,
    ),
    Case(ADEMAMIX, "warm-up", {"lr": 0.1, "mixing_warmup": 7, "beta3_warmup": 9}, (), _count),
    Case(ADEMAMIX, "decay", {"lr": 0.1} | _DECAY, (), _count),
    Case(ADEMAMIX, "decoupled", {"lr": 0.1, "decoupled": True} | _DECAY, (), _count),
    Case(ADEMAMIX, "late", {"lr": 0.1, "mixing_warmup": 7}, (), _count_late, unseen=("mixing_warmup",)),
    Case(ADOPT, "defaults", {"lr": 0.1}, (), _count_after_ten),
    Case(ADOPT, "betas", {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 0.7}, (), _count_after_ten),
    Case(ADOPT, "not clipped", {"lr": 0.1, "clipped": False}, (), _count_after_ten),
    Case(ADOPT, "early", {"lr": 0.1}, (), lambda step: {"step": step + 1}),
    Case(ADOPT, "decay", {"lr": 0.1} | _DECAY, (), _count_after_ten),
    Case(ADOPT, "decoupled", {"lr": 0.1, "decoupled": True} | _DECAY, (), _count_after_ten),
    *(
        Case(rule, name, {"lr": 0.1} | options, (), lambda step: {"step": step + 2})
        for rule, inner in ((SCHEDULE_FREE_SGD, "momentum"), (SCHEDULE_FREE_ADAMW, "beta1"))
        for name, options in {
            "plain": {},
            "inner": {inner: 0.6},
            "warm-up": {"warmup_steps": 5, "r": 0.75, "weight_lr_power": 1.5},
            "after a warm-up": {"warmup_steps": 2, "r": 0.5},
            "decay": _DECAY,
        }.items()
    ),
    Case(SCHEDULE_FREE_SGD, "whole", {"lr": 0.1, "momentum": 1.0}, (), _count),
    Case(SCHEDULE_FREE_SGD, "late", {"lr": 0.1, "warmup_steps": 100, "r": 0.75}, (), _count_late),
    Case(SCHEDULE_FREE_ADAMW, "eps", {"lr": 0.1, "eps": 1e-2, "beta2": 0.9}, (), _count),
    Case(LAMB, "defaults", {"lr": 0.1}, (), _count),
    Case(LAMB, "betas", {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 1e-2}, (), _count),
    Case(LAMB, "decay", {"lr": 0.1} | _DECAY, (), _count),
    Case(RPROP, "defaults", {}),
    Case(RPROP, "etas", {"eta_minus": 0.3, "eta_plus": 1.7}),
    Case(RPROP, "bounds", {"step_size_min": 0.5, "step_size_max": 1.0}),
    Case(RPROP, "grad_scale", {"grad_scale": -0.7, "clip_value": 0.8}),
)


# For what depends on the loop and not on its scalars: every rule with every set of states.
VARIANTS = tuple({(case.rule.name, case.states): case for case in reversed(CASES)}.values())[::-1]

# For what depends on the arrays and not on what is done to them: one for each number of arrays.
BY_STREAMS = tuple({len(case.streams): case for case in reversed(VARIANTS)}.values())[::-1]
MOST_STREAMS = max(BY_STREAMS, key=lambda case: len(case.streams))


@dataclass(frozen=True)
class OptimizerCase:
    name: str
    options: dict
    torch: dict | None = None
    """Options of the class of the same name in torch.optim, None if it has no such rule."""

    @property
    def changeable(self):
        """A hyper-parameter that may change between steps: the rate, unless the state was made with it."""
        return "eta_plus" if self.name == "Rprop" else "lr"

    @property
    def layerwise(self):
        return self.name == "LAMB"

    def __str__(self):
        kept = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}({kept})"

    @property
    def oracle(self):
        return getattr(oracle, self.name)

    @property
    def states(self):
        """Names of the state arrays."""
        return tuple(self.oracle([np.zeros(1)], **self.options).states[0])

    @property
    def numbers(self):
        """Names of the hyper-parameters that are numbers, in a pair by the names that rules have for them."""
        found = []
        for name, parameter in inspect.signature(self.oracle).parameters.items():
            if isinstance(parameter.default, tuple):
                found += [name.removesuffix("s") + str(i) for i in range(1, len(parameter.default) + 1)]
            elif isinstance(parameter.default, float):
                found.append(name)
        return found

    @property
    def switches(self):
        """Names of the hyper-parameters that are True or False."""
        parameters = inspect.signature(self.oracle).parameters.items()
        return [name for name, parameter in parameters if isinstance(parameter.default, bool)]

    def options_with(self, name, value):
        """The options with another value of a hyper-parameter, which may be one of a pair."""
        defaults = {key: one.default for key, one in inspect.signature(self.oracle).parameters.items()}
        if name in defaults:
            return self.options | {name: value}
        pair, i = name[:-1] + "s", int(name[-1]) - 1
        values = list(self.options.get(pair, defaults[pair]))
        values[i] = value
        return self.options | {pair: tuple(values)}


def _peer(name, **options):
    """A case with the same options in PyTorch."""
    return OptimizerCase(name, options, options)


OPTIMIZERS = (
    _peer("SGD"),
    _peer("SGD", lr=0.1),
    _peer("SGD", lr=0.1, weight_decay=0.3),
    _peer("SGD", lr=0.1, momentum=0.9),
    _peer("SGD", lr=0.1, momentum=0.9, dampening=0.4),
    _peer("SGD", lr=0.1, momentum=0.9, nesterov=True),
    _peer("SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.3),
    OptimizerCase("SGD", {"lr": 0.1, "momentum": 0.9, "lr_in_velocity": True}),
    OptimizerCase("SGD", {"lr": 0.1, "momentum": 0.9, "lr_in_velocity": True, "nesterov": True}),
    _peer("Adagrad"),
    _peer("Adagrad", lr=0.1),
    _peer("Adagrad", lr=0.1, lr_decay=0.2, eps=1e-2, weight_decay=0.3),
    _peer("Adagrad", lr=0.1, initial_accumulator_value=0.1),
    OptimizerCase(
        "Adagrad",
        {"lr": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-2, "eps_in_sqrt": True},
    ),
    _peer("RMSprop"),
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
    OptimizerCase("Adam", {"lr": 0.1, "weight_decay": 0.3, "decoupled": True}),
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
    OptimizerCase("SGD", {"lr": 0.1, "weight_decay": 0.3, "decoupled": True}),
    OptimizerCase("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "decoupled": True}),
    OptimizerCase("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.3, "decoupled": True}),
    OptimizerCase("RMSprop", {"lr": 0.1, "momentum": 0.9, "eps": 1e-2, "weight_decay": 0.3, "decoupled": True}),
    *(
        case
        for name in ("Adamax", "NAdam", "RAdam")
        for case in (
            _peer(name),
            _peer(name, lr=0.1, betas=(0.8, 0.9), eps=1e-2),
            _peer(name, lr=0.1, weight_decay=0.3),
            OptimizerCase(name, {"lr": 0.1, "weight_decay": 0.3, "decoupled": True}),
        )
    ),
    OptimizerCase("Adamax", {"lr": 0.1, "eps": 1e-2, "eps_outside": True}),
    _peer("NAdam", lr=0.1, momentum_decay=1.0),
    OptimizerCase("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "eps_hat": False}),
    _peer("Adadelta"),
    _peer("Adadelta", lr=0.5, rho=0.95, eps=1e-2, weight_decay=0.3),
    OptimizerCase("Adadelta", {"lr": 0.5, "weight_decay": 0.3, "decoupled": True}),
    _peer("Rprop"),
    OptimizerCase("Rprop", {"lr": 0.1, "eta_minus": 0.3, "eta_plus": 1.7, "step_size_max": 1.0}),
    OptimizerCase("SignSGD", {"lr": 0.01}),
    OptimizerCase("SignSGD", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.3, "decoupled": True}),
    OptimizerCase("FTRL", {"lr": 0.1}),
    OptimizerCase("FTRL", {"lr": 0.1, "l1": 0.5, "l2": 0.3, "initial_accumulator_value": 0.5}),
    OptimizerCase("FTRL", {"lr": 0.1, "l2_shrinkage": 0.2, "beta": 0.4, "weight_decay": 0.3}),
    OptimizerCase("AdEMAMix", {}),
    OptimizerCase("AdEMAMix", {"lr": 0.1, "betas": (0.8, 0.9, 0.95), "mixing": 2.0, "eps": 1e-2, "weight_decay": 0.3}),
    OptimizerCase(
        "AdEMAMix", {"lr": 0.1, "mixing_warmup": 5, "beta3_warmup": 7, "weight_decay": 0.3, "decoupled": True}
    ),
    OptimizerCase("ADOPT", {"lr": 0.1}),
    OptimizerCase("ADOPT", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "clipped": False, "weight_decay": 0.3}),
    OptimizerCase("ADOPT", {"lr": 0.1, "weight_decay": 0.3, "decoupled": True}),
    OptimizerCase("ScheduleFreeSGD", {"lr": 0.1}),
    OptimizerCase("ScheduleFreeSGD", {"lr": 0.1, "momentum": 0.6, "warmup_steps": 4, "weight_decay": 0.3}),
    OptimizerCase("ScheduleFreeSGD", {"lr": 0.1, "warmup_steps": 4, "r": 0.75, "weight_lr_power": 1.0}),
    OptimizerCase("ScheduleFreeAdamW", {"lr": 0.1}),
    OptimizerCase("ScheduleFreeAdamW", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.3}),
    OptimizerCase("ScheduleFreeAdamW", {"lr": 0.1, "warmup_steps": 4, "r": 0.75, "weight_lr_power": 1.0}),
    OptimizerCase("LAMB", {"lr": 0.1}),
    OptimizerCase("LAMB", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.3}),
    OptimizerCase("AdamW", {"lr": 0.1, "weight_decay": 0.3, "cautious": True}),
    OptimizerCase("Lion", {"lr": 0.01, "weight_decay": 0.3, "cautious": True}),
    OptimizerCase("Lion", {}),
    OptimizerCase("Lion", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.3}),
)

# For what depends on the rule and its states and not on the options: every class with every set of states.
OPTIMIZER_VARIANTS = tuple({(case.name, case.states): case for case in OPTIMIZERS}.values())
ONE_OPTIMIZER = max(OPTIMIZER_VARIANTS, key=lambda case: len(case.states))

CLASSES = {
    name: tuple(case for case in OPTIMIZER_VARIANTS if case.name == name)
    for name in dict.fromkeys(case.name for case in OPTIMIZERS)
}
"""The variants of every class, which an optimizer may have side by side as groups."""
