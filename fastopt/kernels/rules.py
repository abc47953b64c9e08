"""The update rules as objects: loop, scalars, state arrays, and the ranges of hyper-parameters.

Everything that needs to know about a rule reads it here: the functions of `fastopt.kernels`, the optimizers, backends,
tests and benchmarks.
"""

import builtins
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from types import FunctionType, MappingProxyType
from typing import Any

from fastopt._checks import Integer, Real, boolean, integer, real
from fastopt.kernels import loops

Value = float | int | bool

_NOT_NEGATIVE = real(at_least=0.0, booleans=True)
_FRACTION = real(at_least=0.0, below=1.0, booleans=True)
_SHARE = real(at_least=0.0, at_most=1.0, booleans=True)
_COUNT = integer(0, bits=63)
_EXPONENT = real(at_least=0.0, at_most=5.0)  # no power of a number of steps overflows

CHECKS: Mapping[str, Callable[[str, Any], Value]] = MappingProxyType(
    {
        "adamw": boolean,
        "alpha": _FRACTION,
        "amsgrad": boolean,
        "beta": _NOT_NEGATIVE,
        "beta1": _FRACTION,
        "beta2": _FRACTION,
        "beta3": _FRACTION,
        "beta3_warmup": _COUNT,
        "cautious": boolean,
        "centered": boolean,
        "clipped": boolean,
        "clip_value": real(at_least=0.0, infinite=True, booleans=True),
        "dampening": _SHARE,
        "decoupled": boolean,
        "eps": _NOT_NEGATIVE,
        "eps_hat": boolean,
        "eps_in_sqrt": boolean,
        "eps_outside": boolean,
        "eta_minus": real(above=0.0, below=1.0),
        "eta_plus": real(above=1.0),
        "grad_scale": real(booleans=True),
        "initial_accumulator_value": _NOT_NEGATIVE,
        "l1": _NOT_NEGATIVE,
        "l2": _NOT_NEGATIVE,
        "l2_shrinkage": _NOT_NEGATIVE,
        "lr": _NOT_NEGATIVE,
        "lr_decay": _NOT_NEGATIVE,
        "lr_in_velocity": boolean,
        "mixing": _NOT_NEGATIVE,
        "mixing_warmup": _COUNT,
        "momentum": _SHARE,
        "match_rms": boolean,
        "momentum_decay": _NOT_NEGATIVE,
        "nesterov": boolean,
        "ns_coefficient1": real(),
        "ns_coefficient2": real(),
        "ns_coefficient3": real(),
        "ns_eps": _NOT_NEGATIVE,
        "ns_steps": _COUNT,
        "r": _EXPONENT,
        "rho": _FRACTION,
        "step": integer(1, bits=63),
        "step_size_max": _NOT_NEGATIVE,
        "step_size_min": _NOT_NEGATIVE,
        "warmup_steps": _COUNT,
        "weight_decay": _NOT_NEGATIVE,
        "weight_lr_power": _EXPONENT,
    }
)
"""Range of every hyper-parameter, by its name: a check that takes name and value and returns a plain number."""

KINDS = ("real", "integer", "boolean")
"""Kinds of hyper-parameters."""

PER_CALL = ("grad_scale", "clip_value", "step")
"""Names that the scalars of every rule end with: they belong to a call rather than to the rule."""


def with_globals(function: Callable[..., Any], names: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a function of `fastopt.kernels.loops` that finds the functions it calls in `names`."""
    own = {"__builtins__": builtins, "__name__": function.__module__}
    return FunctionType(function.__code__, own | dict(names), function.__name__)


def _of_scalars() -> dict[str, Callable[..., Any]]:
    """Return what functions of scalars may call: those of C, and those of `fastopt.kernels.loops` for them."""
    names: dict[str, Callable[..., Any]] = {"exp": math.exp, "log": math.log, "sqrt": math.sqrt}
    for name, function in vars(loops).items():
        if name.startswith("_") and isinstance(function, FunctionType):
            names[name] = with_globals(function, names)  # which calls those before it
    return names


_OF_SCALARS = _of_scalars()


class Rule:
    """An update rule.

    Parameters
    ----------
    loop, scalars : function
        A loop of `fastopt.kernels.loops`, and the function beside it that makes the loop's scalars.
    states : mapping of str to (float or str)
        Names of the state arrays, in the loop's order, and what they are filled with before the first step: a number,
        an optimizer's hyper-parameter of that name, or the parameter, "param".
    layerwise : bool
        Whether the update of an element depends on its whole tensor; see `fastopt.kernels._layerwise`.
    workspace : tuple of str
        Names of arrays that a step fills before the loop reads them; they come behind the states, and are not kept.

    Attributes
    ----------
    name : str
        Name of the loop.
    streams : tuple of str
        Names of all arrays, in the loop's order.
    hyper_parameters : tuple of str
        Names of the hyper-parameters, in the order of `scalars_of`; `PER_CALL` follow them there.
    scalar_names : tuple of str
        Names of the loop's scalars, in the order of what `scalars_of` returns.
    ranges : tuple of (str, float, float)
        Kind ("real", "integer", "boolean"), smallest and largest value of each argument of `scalars_of`.
    scalars_of : function
        Returns the loop's scalars for the values of `hyper_parameters` and `PER_CALL`; raises `TypeError` or
        `ValueError` for a value that is not a number or out of its range, with a message that names it.

    Raises
    ------
    TypeError
        Loop, scalars and states do not fit each other.
    """

    def __init__(
        self,
        loop: Callable[..., None],
        scalars: Callable[..., tuple[float, ...]],
        states: Mapping[str, float | str] = MappingProxyType({}),
        *,
        layerwise: bool = False,
        workspace: tuple[str, ...] = (),
    ) -> None:
        names = scalars.__code__.co_varnames[: scalars.__code__.co_argcount]
        if names[-len(PER_CALL) :] != PER_CALL:
            raise TypeError(f"{scalars.__name__}: expected arguments that end with {PER_CALL}, got {names}")
        unknown = [name for name in names if name not in CHECKS]
        if unknown:
            raise TypeError(f"{scalars.__name__}: expected arguments that have a range in CHECKS, got {unknown}")
        self.loop: Callable[..., None] = loop
        self.name: str = loop.__name__
        self.states: dict[str, float | str] = dict(states)
        self.layerwise: bool = layerwise
        self.workspace: tuple[str, ...] = workspace
        self.streams: tuple[str, ...] = ("param", "grad", *states, *workspace)
        self.hyper_parameters: tuple[str, ...] = names[: -len(PER_CALL)]
        self.scalar_names: tuple[str, ...] = loop.__code__.co_varnames[
            1 + len(self.streams) : loop.__code__.co_argcount
        ]
        self.ranges: tuple[tuple[str, float, float], ...] = tuple(_range(CHECKS[name]) for name in names)
        self._checks = [(name, CHECKS[name]) for name in names]
        self._scalars = with_globals(scalars, _OF_SCALARS)
        made = len(self._made_up())
        if made != len(self.scalar_names):
            raise TypeError(f"{self.name}: expected {len(self.scalar_names)} scalars, got {made} of {scalars.__name__}")

    def _made_up(self) -> tuple[float, ...]:
        """Return scalars for values that go together: zeros, which some rules refuse, or halves."""
        zeros, halves = (
            [int(low > 0) if kind != "real" else min(max(typical, low), high) for kind, low, high in self.ranges]
            for typical in (0.0, 0.5)
        )
        made: tuple[float, ...]
        try:
            made = self._scalars(*zeros)
        except ValueError:
            made = self._scalars(*halves)
        return made

    def __repr__(self) -> str:
        return f"<Rule {self.name}: {', '.join(self.streams)}>"

    def checked(self, *values: Any) -> tuple[Value, ...]:
        """Return the arguments of `scalars_of` as plain Python numbers, or raise its errors."""
        return tuple(check(name, value) for (name, check), value in zip(self._checks, values, strict=True))

    @cached_property
    def scalars_of(self) -> Callable[..., tuple[float, ...]]:
        """The function of scalars behind checks of its arguments, made when it is first asked for.

        Plain values in their ranges pass a condition that is written out: a call of each check would take longer than
        all the rest of a small step.
        """
        plain = {
            "real": "type({0}) is float and {1} <= {0} <= {2}",
            "integer": "type({0}) is int and {1} <= {0} <= {2}",
            "boolean": "type({0}) is bool",
        }
        names = [name for name, _ in self._checks]
        ranges = zip(names, self.ranges, strict=True)
        conditions = [plain[kind].format(name, low, high) for name, (kind, low, high) in ranges]
        arguments = ", ".join(names)
        source = (
            f"def scalars_of({arguments}):\n"
            f"    if {' and '.join(conditions)}:\n"
            f"        return scalars({arguments})\n"
            f"    return scalars(*checked({arguments}))\n"
        )
        namespace: dict[str, Any] = {"scalars": self._scalars, "checked": self.checked, "inf": math.inf}
        exec(source, namespace)
        scalars_of: Callable[..., tuple[float, ...]] = namespace["scalars_of"]
        return scalars_of


def _range(check: Callable[..., Value]) -> tuple[str, float, float]:
    if isinstance(check, Real | Integer):
        return type(check).__name__.lower(), check.low, check.high
    return "boolean", 0, 1


SGD = Rule(loops.sgd, loops.sgd_scalars)
MOMENTUM = Rule(loops.momentum, loops.momentum_scalars, {"momentum_buffer": 0.0})
SIGN_SGD = Rule(loops.sign_sgd, loops.sign_sgd_scalars)
SIGNUM = Rule(loops.signum, loops.signum_scalars, {"momentum_buffer": 0.0})
ADAGRAD = Rule(loops.adagrad, loops.adagrad_scalars, {"sum": "initial_accumulator_value"})
FTRL = Rule(loops.ftrl, loops.ftrl_scalars, {"accumulator": "initial_accumulator_value", "linear": 0.0})
RMSPROP = Rule(loops.rmsprop, loops.rmsprop_scalars, {"square_avg": "initial_accumulator_value"})
RMSPROP_CENTERED = Rule(loops.rmsprop_centered, loops.rmsprop_scalars, RMSPROP.states | {"grad_avg": 0.0})
RMSPROP_MOMENTUM = Rule(
    loops.rmsprop_momentum, loops.rmsprop_momentum_scalars, RMSPROP.states | {"momentum_buffer": 0.0}
)
RMSPROP_CENTERED_MOMENTUM = Rule(
    loops.rmsprop_centered_momentum,
    loops.rmsprop_momentum_scalars,
    RMSPROP_CENTERED.states | {"momentum_buffer": 0.0},
)
ADAM = Rule(loops.adam, loops.adam_scalars, {"exp_avg": 0.0, "exp_avg_sq": 0.0})
AMSGRAD = Rule(loops.amsgrad, loops.adam_scalars, ADAM.states | {"max_exp_avg_sq": 0.0})
ADAM_CAUTIOUS = Rule(loops.adam_cautious, loops.adam_scalars, ADAM.states)
LAMB = Rule(loops.adam, loops.adam_scalars, ADAM.states, layerwise=True)
LION = Rule(loops.lion, loops.lion_scalars, {"exp_avg": 0.0})
LION_CAUTIOUS = Rule(loops.lion_cautious, loops.lion_scalars, LION.states)
ADAMAX = Rule(loops.adamax, loops.adamax_scalars, {"exp_avg": 0.0, "exp_inf": 0.0})
NADAM = Rule(loops.nadam, loops.nadam_scalars, ADAM.states)
RADAM = Rule(loops.radam, loops.radam_scalars, ADAM.states)
ADADELTA = Rule(loops.adadelta, loops.adadelta_scalars, {"square_avg": 0.0, "acc_delta": 0.0})
ADEMAMIX = Rule(loops.ademamix, loops.ademamix_scalars, {"exp_avg": 0.0, "exp_avg_slow": 0.0, "exp_avg_sq": 0.0})
ADOPT = Rule(loops.adopt, loops.adopt_scalars, ADAM.states)
SCHEDULE_FREE_SGD = Rule(loops.schedule_free_sgd, loops.schedule_free_sgd_scalars, {"z": "param"})
SCHEDULE_FREE_ADAMW = Rule(
    loops.schedule_free_adamw, loops.schedule_free_adamw_scalars, {"exp_avg_sq": 0.0, "z": "param"}
)
MUON = Rule(loops.muon, loops.muon_scalars, {"momentum_buffer": 0.0}, layerwise=True, workspace=("update",))
RPROP = Rule(loops.rprop, loops.rprop_scalars, {"prev": 0.0, "step_size": "lr"})

RULES: tuple[Rule, ...] = tuple(value for value in globals().values() if isinstance(value, Rule))
