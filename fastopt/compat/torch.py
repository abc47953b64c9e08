"""PyTorch's optimizers with fastopt's kernels: the classes of ``torch.optim``, for models on the CPU.

Each class is a subclass of PyTorch's own and overrides the step alone: arguments, parameter groups, hooks, state and
its saving, and learning rate schedulers are PyTorch's. The step updates dense float32 and float64 parameters on the CPU
by compiled rules, all of them in one call; any others among the parameters take PyTorch's own step.

Rules that PyTorch has not are optimizers of PyTorch all the same; they refuse such other parameters.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import inf
from operator import attrgetter, index
from typing import Any, ClassVar, NamedTuple

from fastopt._extras import require
from fastopt._typing import Array
from fastopt.kernels import _backend, rules
from fastopt.kernels._backend import Bound
from fastopt.kernels._checks import GRAD
from fastopt.kernels._layerwise import prepared
from fastopt.kernels._step import bind
from fastopt.kernels._threads import run
from fastopt.kernels.rules import CHECKS, RULES, Rule

torch: Any = require("torch", extra="torch", what="fastopt.compat.torch")
optim: Any = torch.optim

__all__ = [
    "ADOPT",
    "FTRL",
    "LAMB",
    "SGD",
    "AdEMAMix",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "SignSGD",
]

Tensor = Any
Group = dict[str, Any]
Values = tuple[Any, ...]
Counter = Any  # a memoryview of PyTorch's number of steps, a float

# PyTorch's conventions, where a rule offers others.
_CONVENTIONS = {
    "decoupled": False,
    "eps_hat": False,
    "eps_in_sqrt": False,
    "eps_outside": False,
    "lr_in_velocity": False,
}

# What PyTorch has as pairs and threes; a rule has those of the names that it needs.
_TUPLES = {
    "betas": ("beta1", "beta2", "beta3"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("step_size_min", "step_size_max"),
    "ns_coefficients": ("ns_coefficient1", "ns_coefficient2", "ns_coefficient3"),
}

# How the hyper-parameters of a rule become plain values; they may be tensors of one element.
_KINDS: dict[str, Callable[[Any], Any]] = {"real": float, "integer": index, "boolean": bool}
_READERS = {
    rule: [(name, _KINDS[kind]) for name, (kind, _, _) in zip(rule.hyper_parameters, rule.ranges, strict=False)]
    for rule in RULES
}

_PLAIN = (torch.Tensor, torch.nn.Parameter)  # a subclass may stand for something else than its memory
_DTYPES = (torch.float32, torch.float64)
_data_ptr = torch.Tensor.data_ptr
_grad = attrgetter("grad")


class _Found(NamedTuple):
    """A parameter that a rule can update."""

    done: float  # steps
    arrays: list[Array]  # of parameter, gradient and states
    held: list[Tensor]  # whose memory the plan keeps: parameter, states, counter
    counter: Counter | None
    product: Array | None  # of the momenta so far, which NAdam keeps
    made: dict[str, Tensor]  # state that begins with this step


class _Part:
    """Parameters of one group that have done the same number of steps, and so share their scalars."""

    def __init__(self, group: int, rule: Rule, done: float) -> None:
        self.group, self.rule, self.done = group, rule, done
        self.places: list[int] = []  # among all parameters of the optimizer
        self.suffixes: list[str] = []
        self.counters: list[Counter] = []
        self.products: list[Array] = []
        self.momentum = 1.0  # of the next step
        self.whole: list[Array] = []  # the arrays of a layerwise rule, which has a part for each parameter
        self.streams: list[list[Array]] = [[] for _ in rule.streams]

    def add(self, place: int, suffix: str, found: _Found) -> None:
        self.places.append(place)
        self.suffixes.append(suffix)
        if found.counter is not None:
            self.counters.append(found.counter)
        if found.product is not None:
            self.products.append(found.product)
        for stream, array in zip(self.streams, found.arrays, strict=True):
            stream.append(array)

    def stands(self) -> bool:
        """Whether the parameters have done `done` steps still."""
        return [counter[0] for counter in self.counters].count(self.done) == len(self.counters)

    def count(self) -> None:
        """Add a step."""
        self.done += 1
        for counter in self.counters:
            counter[0] = self.done
        for product in self.products:
            product *= self.momentum  # in its own type, as PyTorch does
        if self.counters:
            self.done = self.counters[0][0]  # a float32 stays at 2**24, in PyTorch too


class _Plan:
    """Memory bound to rules for the steps to come, and what tells whether it still is that of the optimizer."""

    def __init__(self, chosen: list[Rule | None]) -> None:
        self.parts: list[_Part] = []
        self.bound: Bound | None = None
        self.rest: dict[int, list[Tensor]] = {}  # parameters that PyTorch updates, by the number of their group
        self.params: list[Tensor] = []  # that the rules update
        self.made: list[dict[str, Tensor]] = []  # state that begins with the first step, of each of them
        self.held: list[Tensor] = []  # whose memory is bound
        self._chosen = chosen
        self._backend = _backend.active

    def bind(self, values: list[Values]) -> None:
        """Bind all parts, or raise an error that names what does not fit."""
        if self.parts:
            rules_of_parts = tuple([part.rule for part in self.parts])
            streams = tuple([part.streams for part in self.parts])
            self.bound = bind(rules_of_parts, streams, [part.suffixes for part in self.parts])
            for part in self.parts:
                part.whole = [stream[0] for stream in part.streams] if part.rule.layerwise else []
            self._load(values, [part.streams[GRAD] for part in self.parts])
            for part in self.parts:
                part.streams = []  # the gradients are not the plan's to keep

    def begin(self, params: list[Tensor], grads: list[Any], states: dict[Tensor, Any]) -> None:
        """Give the optimizer the new state, and note what the plan was made of, for `holds`."""
        for param, state in zip(self.params, self.made, strict=True):
            if state:
                states[param].update(state)
        self.made = []
        self._own_states = [states[param] for param in self.params if param in states]
        self._looks = _looks(params, grads, states, self._own_states, self.held)

    def holds(
        self,
        chosen: list[Rule | None],
        params: list[Tensor],
        grads: list[Any],
        states: dict[Tensor, Any],
    ) -> bool:
        """Whether the same parameters have gradients, and the memory of parameters and states is where it was."""
        return (
            self._chosen == chosen
            and self._backend is _backend.active
            and self._looks == _looks(params, grads, states, self._own_states, self.held)
            and all(part.stands() for part in self.parts)
        )

    def take(self, values: list[Values], grads: list[Any]) -> bool:
        """Take hyper-parameters and gradients of the next step; return whether these fit."""
        if self.bound is None:
            return True
        given = tuple([[grads[place] for place in part.places] for part in self.parts])
        try:
            if not (self.bound.rebind(given) or self.bound.rebind(tuple([[g.numpy() for g in own] for own in given]))):
                return False
            self._load(values, given)
        except (RuntimeError, TypeError):  # a gradient that is sparse, or has a graph
            return False
        return True

    def _load(self, values: list[Values], grads: Sequence[Sequence[Any]]) -> None:
        """Make the scalars of the next step, for gradients that fit."""
        assert self.bound is not None
        loaded: list[Values] = []
        for part in self.parts:
            *own, step = values[part.group]
            loaded.append((*own, step or int(part.done) + 1))
        for i, part in enumerate(self.parts):
            if part.rule.layerwise:
                (grad,) = grads[i]
                part.whole[GRAD] = grad.numpy() if isinstance(grad, torch.Tensor) else grad
                loaded[i] = prepared(part.rule, part.whole, loaded[i], part.suffixes[0])
                part.whole[GRAD] = part.whole[0]  # the gradient is not the plan's to keep
        self.bound.load(tuple(loaded))
        for part in self.parts:
            if part.products:
                known = dict(zip(part.rule.hyper_parameters, values[part.group], strict=False))
                growth = 0.96 ** ((part.done + 1) * known["momentum_decay"])
                part.momentum = known["beta1"] * (1.0 - 0.5 * growth)

    def run(self) -> None:
        """Update parameters and states, and count the step."""
        if self.bound is not None:
            for part in self.parts:
                part.count()
            run(self.bound)
            torch.autograd.graph.increment_version(self.params)  # so that autograd notices

    def release(self) -> None:
        """Let go of the gradients."""
        if self.bound is not None:
            self.bound.release()


def _looks(
    params: list[Tensor],
    grads: list[Any],
    states: dict[Tensor, Any],
    own_states: list[dict[str, Any]],
    held: list[Tensor],
) -> tuple[list[Any], ...]:
    """Return what changes with the objects of a step, in loops of C: there are hundreds of tensors.

    An identity stands for an object that the plan keeps alive, so no other one can have it.
    """
    return (
        list(map(id, params)),
        list(map(type, grads)),
        list(map(id, states.values())),
        list(map(id, chain.from_iterable(map(dict.values, own_states)))),
        list(map(_data_ptr, held)),
    )


def _array(tensor: Any, model: Tensor) -> Array | None:
    """Return the memory of a tensor of the dtype and shape of `model`, or None where it is not for a loop."""
    if not (
        type(tensor) in _PLAIN
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype is model.dtype
        and tensor.dtype in _DTYPES
        and tensor.shape == model.shape
    ):
        return None
    try:
        array: Array = tensor.detach().numpy()
    except RuntimeError:  # a tensor that is negated when it is read, or one of torch.func
        return None
    return array


def _unhooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return PyTorch's own step without the hooks, which the step around it calls."""
    inner: Callable[..., Any] = getattr(step, "__wrapped__", step) if getattr(step, "hooked", False) else step
    return inner


class _Compiled:
    """What the classes add to PyTorch's: the step."""

    param_groups: list[Group]
    defaults: dict[str, Any]
    state: dict[Tensor, dict[str, Any]]

    _torch_step: ClassVar[Callable[..., Any] | None] = None
    _counts: ClassVar[bool] = True  # whether PyTorch keeps the number of steps in the state
    _decoupled: ClassVar[bool] = False  # where a group does not say so, as in older PyTorch
    _conventions: ClassVar[dict[str, bool]] = {}  # that are not as in the other classes
    _plan: _Plan | None = None  # not part of what is copied or pickled

    @staticmethod
    def _rule(group: Group) -> Rule:
        """Return the update rule that hyper-parameters choose."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew.

        Returns
        -------
        The loss that `closure` returned, else None.
        """
        torch_step = self._torch_step
        if torch_step is not None and torch.compiler.is_compiling():  # PyTorch's operations are for its compiler
            return torch_step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scaled = getattr(self, "grad_scale", None) is not None or getattr(self, "found_inf", None) is not None
        if torch_step is not None and scaled:  # by torch.amp.GradScaler, which leaves the scale to fused steps
            torch_step()
            return loss
        params = [param for group in self.param_groups for param in group["params"]]
        grads = list(map(_grad, params))
        choices = [self._choose(group) for group in self.param_groups]
        chosen, values = [rule for rule, _ in choices], [own for _, own in choices]
        plan = self._plan
        try:
            if plan is None or not (plan.holds(chosen, params, grads, self.state) and plan.take(values, grads)):
                with torch.no_grad():
                    plan = self._make_plan(chosen, values, grads)
            if plan.rest:
                self._leave(plan.rest)
            if plan is not self._plan:
                plan.begin(params, grads, self.state)
                self._plan = plan
            plan.run()
        finally:
            if plan is not None:
                plan.release()
        return loss

    def _choose(self, group: Group) -> tuple[Rule | None, Values]:
        """Return the rule of a group and its plain hyper-parameters, or None where the group is PyTorch's to update."""
        if group.get("capturable") or group.get("differentiable"):
            return None, ()
        if self._torch_step is not None and group.get("foreach") and isinstance(group["lr"], torch.Tensor):
            return None, ()
        rule, step = self._rule(group), self._next_step(group)
        try:
            known = self._known(group, rule)
            plain = [kind(known[name]) for name, kind in _READERS[rule]]
            values = (*plain, -1.0 if group.get("maximize") else 1.0, inf)
            rule.scalars_of(*values, step or 1)  # refuses what is out of range; PyTorch takes more, between steps too
        except (KeyError, RuntimeError, TypeError, ValueError):
            if self._torch_step is None:
                raise
            return None, ()
        return rule, (*values, step)

    def _known(self, group: Group, rule: Rule) -> dict[str, Any]:
        """Return the hyper-parameters of a group under the names that a rule has for them, and more."""
        decoupled = group.get("decoupled_weight_decay", self._decoupled)
        known = {**_CONVENTIONS, **self._conventions, **group, "decoupled": decoupled}
        for name, parts in _TUPLES.items():
            if name in group:
                own = [part for part in parts if part in rule.hyper_parameters]
                value = group[name]
                if not isinstance(value, list | tuple) or len(value) != len(own):
                    expected = "three numbers" if len(own) == 3 else "a pair of numbers"
                    raise TypeError(f"{name}: expected {expected}, got {value!r}")
                known |= zip(own, value, strict=True)
        return known

    def _next_step(self, group: Group) -> int | None:
        """Return the number of the next step where a group counts them, None where its parameters do."""
        return None

    def _make_plan(self, chosen: list[Rule | None], values: list[Values], grads: list[Any]) -> _Plan:
        """Look at all tensors, and return the plan of the next steps."""
        plan = _Plan(chosen)
        parts: dict[tuple[int, float, int], _Part] = {}
        place = -1
        for number, (group, rule) in enumerate(zip(self.param_groups, chosen, strict=True)):
            for i, param in enumerate(group["params"]):
                place += 1
                if grads[place] is None:
                    continue
                found = None if rule is None else self._look(param, grads[place], rule, group)
                if rule is None or found is None:
                    plan.rest.setdefault(number, []).append(param)
                    continue
                key = number, found.done, place if rule.layerwise else -1
                if key not in parts:
                    parts[key] = _Part(number, rule, found.done)
                parts[key].add(place, f"[{number}][{i}]", found)
                plan.params.append(param)
                plan.made.append(found.made)
                plan.held += found.held
        plan.parts = list(parts.values())
        if self._torch_step is None:
            self._refuse(plan.rest)
        try:
            plan.bind(values)
        except (TypeError, ValueError):  # some share memory: the order of updates counts
            if self._torch_step is None:
                raise
            plan = _Plan(chosen)
            plan.rest = {number: group["params"] for number, group in enumerate(self.param_groups)}
        return plan

    def _look(self, param: Tensor, grad: Tensor, rule: Rule, group: Group) -> _Found | None:
        """Return what a rule updates, or None where the parameter is PyTorch's to update."""
        if _array(param, param) is None:
            return None
        state = self.state.get(param, {})
        made: dict[str, Tensor] = {}
        if not state if self._counts else any(state.get(name) is None for name in rule.states):
            for name, start in rule.states.items():
                if start == "param":
                    made[name] = param.detach().clone(memory_format=torch.preserve_format)
                    continue
                value = group.get(start, self.defaults.get(start, 0.0)) if isinstance(start, str) else start
                made[name] = torch.full_like(param, float(value), memory_format=torch.preserve_format)
            if self._counts:
                wide = torch.get_default_dtype() is torch.float64 and not group.get("fused")
                made["step"] = torch.zeros((), dtype=torch.float64 if wide else torch.float32)
                if rule is rules.NADAM:
                    made["mu_product"] = torch.ones_like(made["step"])
        known = {**state, **made}
        tensors = [param, grad, *[known.get(name) for name in rule.states]]
        arrays = [array for array in [_array(tensor, param) for tensor in tensors] if array is not None]
        if len(arrays) < len(tensors):
            return None
        held = [param, *tensors[2:]]
        arrays += [torch.empty_like(param, memory_format=torch.preserve_format).numpy() for _ in rule.workspace]
        if not self._counts:
            return _Found(0.0 if made else 1.0, arrays, held, None, None, made)
        step = known.get("step")
        counted = _array(step, step) if isinstance(step, torch.Tensor) else None
        if counted is None or counted.size != 1 or not (counted >= 0).all() or not counted.item().is_integer():
            return None
        counter: Counter = memoryview(counted.reshape(1))  # type: ignore[arg-type]
        product: Array | None = None
        if rule is rules.NADAM:
            kept = known.get("mu_product")
            product = _array(kept, kept) if isinstance(kept, torch.Tensor) else None
            if product is None or product.size != 1:
                return None
            held.append(kept)
        return _Found(counter[0], arrays, [*held, step], counter, product, made)

    def _leave(self, rest: dict[int, list[Tensor]]) -> None:
        """Let PyTorch update the parameters that are for no rule."""
        assert self._torch_step is not None
        groups = self.param_groups
        self.param_groups = [{**groups[number], "params": params} for number, params in rest.items()]
        try:
            self._torch_step()
        finally:
            self.param_groups = groups

    def _refuse(self, rest: dict[int, list[Tensor]]) -> None:
        """Say which parameter cannot be updated, where PyTorch has no step for it."""
        if not rest:
            return
        number, (param, *_) = next(iter(rest.items()))
        place = next(i for i, other in enumerate(self.param_groups[number]["params"]) if other is param)
        found = [f"{t.dtype} on {t.device}, {t.layout}" for t in (param, param.grad)]
        raise TypeError(
            f"params[{number}][{place}]: expected parameter, gradient and state that are dense and alike, of "
            f"torch.float32 or torch.float64, on the CPU, got a {type(param).__name__} of {found[0]}, and a gradient "
            f"of {found[1]}"
        )


class SGD(_Compiled, optim.SGD):  # type: ignore[misc]
    """Gradient descent, plain or with momentum: ``torch.optim.SGD`` by `fastopt.kernels.sgd` and `~.momentum`.

    Parameters
    ----------
    params, lr, momentum, dampening, weight_decay, nesterov, maximize, foreach, differentiable, fused
        As in ``torch.optim.SGD``, in its order and with its defaults. `foreach` and `fused` choose among PyTorch's
        implementations, and make no difference to the step of dense parameters here.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.SGD([weight], lr=0.1, momentum=0.9)
    >>> for _ in range(3):
    ...     opt.zero_grad()
    ...     (weight**2).sum().backward()
    ...     opt.step()
    >>> weight.data
    tensor([ 0.0620, -0.1240])
    """

    _torch_step = _unhooked(optim.SGD.step)
    _counts = False

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.SGD if group["momentum"] == 0 else rules.MOMENTUM


class Adagrad(_Compiled, optim.Adagrad):  # type: ignore[misc]
    """AdaGrad: ``torch.optim.Adagrad`` by `fastopt.kernels.adagrad`.

    Parameters
    ----------
    params, lr, lr_decay, weight_decay, initial_accumulator_value, eps, foreach, maximize, differentiable, fused
        As in ``torch.optim.Adagrad``, in its order and with its defaults; `foreach` and `fused` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.Adagrad([weight], lr=0.5)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.5000, -1.5000])
    """

    _torch_step = _unhooked(optim.Adagrad.step)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.ADAGRAD


class RMSprop(_Compiled, optim.RMSprop):  # type: ignore[misc]
    """RMSProp, also centered and with momentum: ``torch.optim.RMSprop`` by `fastopt.kernels.rmsprop`.

    Parameters
    ----------
    params, lr, alpha, eps, weight_decay, momentum, centered, capturable, foreach, maximize, differentiable
        As in ``torch.optim.RMSprop``, in its order and with its defaults; `foreach` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.RMSprop([weight], lr=0.1, alpha=0.75)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.8000, -1.8000])
    """

    _torch_step = _unhooked(optim.RMSprop.step)

    @staticmethod
    def _rule(group: Group) -> Rule:
        if group["momentum"] > 0:
            return rules.RMSPROP_CENTERED_MOMENTUM if group["centered"] else rules.RMSPROP_MOMENTUM
        return rules.RMSPROP_CENTERED if group["centered"] else rules.RMSPROP


class Adam(_Compiled, optim.Adam):  # type: ignore[misc]
    """Adam, also AMSGrad: ``torch.optim.Adam`` by `fastopt.kernels.adam`.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, amsgrad, foreach, maximize, capturable, differentiable, fused, \
decoupled_weight_decay
        As in ``torch.optim.Adam``, in its order and with its defaults; `foreach` and `fused` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> model = torch.nn.Linear(4, 1)
    >>> opt = fastopt.compat.torch.Adam(model.parameters(), lr=0.1)
    >>> model(torch.ones(8, 4)).mean().backward()
    >>> opt.step()
    >>> sorted(opt.state[model.bias])
    ['exp_avg', 'exp_avg_sq', 'step']
    """

    _torch_step = _unhooked(optim.Adam.step)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.AMSGRAD if group["amsgrad"] else rules.ADAM


class AdamW(_Compiled, optim.AdamW):  # type: ignore[misc]
    """Adam with decoupled weight decay: ``torch.optim.AdamW`` by `fastopt.kernels.adamw`.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, amsgrad, maximize, foreach, capturable, differentiable, fused
        As in ``torch.optim.AdamW``, in its order and with its defaults; `foreach` and `fused` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.AdamW([weight], lr=0.1, weight_decay=0.5)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.8500, -1.8000])
    """

    _torch_step = _unhooked(optim.AdamW.step)
    _decoupled = True
    _rule = staticmethod(Adam._rule)


class Adamax(_Compiled, optim.Adamax):  # type: ignore[misc]
    """Adamax: ``torch.optim.Adamax`` by `fastopt.kernels.adamax`.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, foreach, maximize, differentiable, capturable
        As in ``torch.optim.Adamax``, in its order and with its defaults; `foreach` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.Adamax([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.9000, -1.9000])
    """

    _torch_step = _unhooked(optim.Adamax.step)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.ADAMAX


class NAdam(_Compiled, optim.NAdam):  # type: ignore[misc]
    """NAdam: ``torch.optim.NAdam`` by `fastopt.kernels.nadam`.

    The product of the momenta, `mu_product`, is kept for PyTorch's step; this one computes it anew.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay, foreach, maximize, capturable, \
differentiable
        As in ``torch.optim.NAdam``, in its order and with its defaults; `foreach` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.NAdam([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.8944, -1.8944])
    """

    _torch_step = _unhooked(optim.NAdam.step)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.NADAM


class RAdam(_Compiled, optim.RAdam):  # type: ignore[misc]
    """RAdam: ``torch.optim.RAdam`` by `fastopt.kernels.radam`.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay, decoupled_weight_decay, foreach, maximize, capturable, differentiable
        As in ``torch.optim.RAdam``, in its order and with its defaults; `foreach` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.RAdam([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.8000, -1.6000])
    """

    _torch_step = _unhooked(optim.RAdam.step)
    _conventions: ClassVar[dict[str, bool]] = {"eps_hat": True}

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.RADAM


class Adadelta(_Compiled, optim.Adadelta):  # type: ignore[misc]
    """Adadelta: ``torch.optim.Adadelta`` by `fastopt.kernels.adadelta`.

    Parameters
    ----------
    params, lr, rho, eps, weight_decay, foreach, capturable, maximize, differentiable
        As in ``torch.optim.Adadelta``, in its order and with its defaults; `foreach` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.Adadelta([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.9997, -1.9997])
    """

    _torch_step = _unhooked(optim.Adadelta.step)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.ADADELTA


class Rprop(_Compiled, optim.Rprop):  # type: ignore[misc]
    """Rprop: ``torch.optim.Rprop`` by `fastopt.kernels.rprop`.

    Parameters
    ----------
    params, lr, etas, step_sizes, capturable, foreach, maximize, differentiable
        As in ``torch.optim.Rprop``, in its order and with its defaults; `foreach` as in `SGD`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.Rprop([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.9000, -1.9000])
    """

    _torch_step = _unhooked(optim.Rprop.step)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.RPROP


if hasattr(optim, "Muon"):  # PyTorch 2.9
    __all__ += ["Muon"]

    class Muon(_Compiled, optim.Muon):  # type: ignore[misc]
        """Muon, for matrices: ``torch.optim.Muon`` by `fastopt.kernels.muon`; absent where PyTorch is older than 2.9.

        The products of matrices are NumPy's, in the parameter's own type, where PyTorch rounds them to bfloat16:
        updates differ from PyTorch's by what that takes away, some hundredths of their size.

        Parameters
        ----------
        params, lr, weight_decay, momentum, nesterov, ns_coefficients, eps, ns_steps, adjust_lr_fn
            As in ``torch.optim.Muon``, in its order and with its defaults.

        Examples
        --------
        >>> import torch, fastopt.compat.torch
        >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, -1.0]]))
        >>> opt = fastopt.compat.torch.Muon([weight], lr=0.1, weight_decay=0.0)
        >>> (weight**2).sum().backward()
        >>> opt.step()
        >>> weight.data.diag()
        tensor([ 2.9247, -0.8866])
        """

        _torch_step = _unhooked(optim.Muon.step)
        _counts = False
        _match_rms: ClassVar[dict[Any, bool]] = {None: False, "original": False, "match_rms_adamw": True}

        def _known(self, group: Group, rule: Rule) -> dict[str, Any]:
            known = super()._known(group, rule)
            return known | {"ns_eps": group["eps"], "match_rms": self._match_rms[group["adjust_lr_fn"]]}

        @staticmethod
        def _rule(group: Group) -> Rule:
            return rules.MUON


class _Own(_Compiled, optim.Optimizer):  # type: ignore[misc]
    """An optimizer that PyTorch has not: it checks hyper-parameters, and has no step of PyTorch's to fall back on."""

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        optim.Optimizer.__init__(self, params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with hyper-parameters of their own, which are checked first."""
        group = {**self.defaults, **param_group}
        rule = self._rule(group)
        known = {name: _plain(value) for name, value in self._known(group, rule).items()}
        rule.scalars_of(*[known[name] for name in rule.hyper_parameters], 1.0, inf, 1)
        for start in rule.states.values():
            if isinstance(start, str) and start in CHECKS:
                CHECKS[start](start, known[start])
        super().add_param_group(param_group)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value


class Lion(_Own):
    """Lion, which PyTorch has not, as an optimizer of PyTorch by `fastopt.kernels.lion`.

    Parameters
    ----------
    params : iterable of tensors, of (name, tensor), or of groups
        Dense float32 or float64 parameters on the CPU, updated in place.
    lr : float or tensor
        Learning rate, finite, >= 0; 3 to 10 times smaller than Adam's.
    betas : pair of float
        Shares of the average in the direction of the step and in the next average, in [0, 1).
    weight_decay : float
        Decoupled: the share of a parameter that goes at rate 1, finite, >= 0.
    cautious : bool
        Decay only those elements that the update brings nearer to zero, or leaves where they are.
    maximize : bool
        Climb instead of descending.

    Raises
    ------
    TypeError, ValueError
        A hyper-parameter does not fit; at a step, a parameter, gradient or state.

    References
    ----------
    See `fastopt.kernels.lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.Lion([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.9000, -1.9000])
    """

    _counts = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        cautious: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay, cautious=cautious, maximize=maximize)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.LION_CAUTIOUS if group["cautious"] else rules.LION


class SignSGD(_Own):
    """SignSGD, with momentum Signum: `fastopt.SignSGD` as an optimizer of PyTorch, which has it not.

    Parameters
    ----------
    params, maximize
        As in `Lion`.
    lr, momentum, weight_decay
        As in `fastopt.SignSGD`, numbers or tensors of one element.
    decoupled_weight_decay : bool
        Decay the parameter apart from the gradient.

    Raises
    ------
    TypeError, ValueError
        As in `Lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.SignSGD([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.9000, -1.9000])
    """

    _counts = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-4,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.SIGN_SGD if group["momentum"] == 0 else rules.SIGNUM


class FTRL(_Own):
    """FTRL-Proximal: `fastopt.FTRL` as an optimizer of PyTorch, which has it not.

    Parameters
    ----------
    params, maximize
        As in `Lion`.
    lr, l1, l2, l2_shrinkage, beta, initial_accumulator_value, weight_decay
        As in `fastopt.FTRL`, numbers or tensors of one element.

    Raises
    ------
    TypeError, ValueError
        As in `Lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.FTRL([weight], lr=0.5, l1=3.0)
    >>> weight.grad = torch.tensor([-5.0, 0.5])
    >>> opt.step()
    >>> weight.data
    tensor([1.1365, 0.0000])
    """

    _counts = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        l2_shrinkage: float = 0.0,
        beta: float = 0.0,
        initial_accumulator_value: float = 0.1,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            l1=l1,
            l2=l2,
            l2_shrinkage=l2_shrinkage,
            beta=beta,
            initial_accumulator_value=initial_accumulator_value,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.FTRL


class AdEMAMix(_Own):
    """AdEMAMix: `fastopt.AdEMAMix` as an optimizer of PyTorch, which has it not.

    Parameters
    ----------
    params, maximize
        As in `Lion`.
    lr, betas, mixing, mixing_warmup, beta3_warmup, eps, weight_decay
        As in `fastopt.AdEMAMix`, numbers or tensors of one element.
    decoupled_weight_decay : bool
        Decay the parameter apart from the gradient.

    Raises
    ------
    TypeError, ValueError
        As in `Lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.AdEMAMix([weight], lr=0.1, mixing_warmup=1000, beta3_warmup=1000)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.9000, -1.9000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        *,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        mixing: float = 5.0,
        mixing_warmup: int = 0,
        beta3_warmup: int = 0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            mixing=mixing,
            mixing_warmup=mixing_warmup,
            beta3_warmup=beta3_warmup,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.ADEMAMIX


class ADOPT(_Own):
    """ADOPT: `fastopt.ADOPT` as an optimizer of PyTorch, which has it not.

    Parameters
    ----------
    params, maximize
        As in `Lion`.
    lr, betas, eps, clipped, weight_decay
        As in `fastopt.ADOPT`, numbers or tensors of one element.
    decoupled_weight_decay : bool
        Decay the parameter apart from the gradient.

    Raises
    ------
    TypeError, ValueError
        As in `Lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.ADOPT([weight], lr=0.1)
    >>> for _ in range(3):
    ...     opt.zero_grad()
    ...     (weight**2).sum().backward()
    ...     opt.step()
    >>> weight.data
    tensor([ 0.9711, -1.9711])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-6,
        clipped: bool = True,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            clipped=clipped,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.ADOPT


class LAMB(_Own):
    """LAMB: `fastopt.LAMB` as an optimizer of PyTorch, which has it not.

    Parameters
    ----------
    params, maximize
        As in `Lion`.
    lr, betas, eps, weight_decay
        As in `fastopt.LAMB`, numbers or tensors of one element.

    Raises
    ------
    TypeError, ValueError
        As in `Lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.LAMB([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> opt.step()
    >>> weight.data
    tensor([ 0.8419, -1.8419])
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize)

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.LAMB


class _ScheduleFree(_Own):
    """What the two Schedule-Free rules have in common: the swap for evaluation, and the counts of a group."""

    _counts = False

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        own = {"k": 0, "train_mode": False, "weight_sum": 0.0, "lr_max": -1.0, "scheduled_lr": 0.0}
        super().__init__(params, **defaults, **own)

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with hyper-parameters of their own, in the mode that the others are in."""
        if self.param_groups:
            param_group = {"train_mode": self.param_groups[0]["train_mode"], **param_group}
        super().add_param_group(param_group)

    @staticmethod
    def _inner(group: Group) -> float:
        """Return the share of the mean in the point where gradients are taken."""
        raise NotImplementedError

    def _next_step(self, group: Group) -> int | None:
        return int(group["k"]) + 1

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew.

        Returns
        -------
        The loss that `closure` returned, else None.

        Raises
        ------
        RuntimeError
            The optimizer is not in train mode.
        """
        if not all(group["train_mode"] for group in self.param_groups):
            raise RuntimeError("step: expected an optimizer in train mode, got one in eval mode: call train() first")
        loss = super().step(closure)
        for group in self.param_groups:
            # `schedulefree` weighs the mean by the last two; fastopt's rules know the weights from the number of steps.
            group["k"] += 1
            group["scheduled_lr"] = float(group["lr"]) * min(1.0, group["k"] / max(group["warmup_steps"], 1))
            group["lr_max"] = max(group["scheduled_lr"], group["lr_max"])
            group["weight_sum"] += group["k"] ** group["r"] * group["lr_max"] ** group["weight_lr_power"]
        return loss

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def eval(self) -> None:
        """Put the mean, which a model is evaluated with, into the parameters; their state keeps them as ``y``.

        Where it is there already, nothing is done.
        """
        for group in self.param_groups:
            for param, state in self._begun(group, train_mode=True):
                state["y"] = param.detach().clone(memory_format=torch.preserve_format)
                param.lerp_(state["z"], 1.0 - 1.0 / self._inner(group))
                group["y_of"] = group["k"]
            group["train_mode"] = False

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def train(self) -> None:
        """Put the parameters back, to the bit, in the place of their mean; to be called before the first step.

        Where they are there already, nothing is done.
        """
        for group in self.param_groups:
            for param, state in self._begun(group, train_mode=False):
                kept = state.pop("y", None)
                if kept is not None and group.get("y_of") == group["k"]:
                    param.copy_(kept)
                else:  # `schedulefree` has saved the state
                    param.lerp_(state["z"], 1.0 - self._inner(group))
            group.pop("y_of", None)
            group["train_mode"] = True

    def _begun(self, group: Group, train_mode: bool) -> list[tuple[Tensor, dict[str, Tensor]]]:
        """Return the parameters of a group that have a state, with it, where the group is in a mode."""
        if bool(group["train_mode"]) != train_mode:
            return []
        return [(param, self.state[param]) for param in group["params"] if "z" in self.state.get(param, {})]


class ScheduleFreeSGD(_ScheduleFree):
    """Schedule-Free SGD: `fastopt.ScheduleFreeSGD` with the interface of ``schedulefree.SGDScheduleFree``.

    `train` before the first step, and `eval` before an evaluation, swap what the parameters are.

    Parameters
    ----------
    params
        As in `Lion`.
    lr, momentum, weight_decay, warmup_steps, r, weight_lr_power, foreach
        As in ``schedulefree.SGDScheduleFree``, in its order and with its defaults. `foreach` makes no difference.

    Raises
    ------
    TypeError, ValueError
        As in `Lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.ScheduleFreeSGD([weight], lr=0.1)
    >>> opt.train()
    >>> for _ in range(3):
    ...     opt.zero_grad()
    ...     (weight**2).sum().backward()
    ...     opt.step()
    >>> opt.eval()
    >>> weight.data
    tensor([ 0.6459, -1.2917])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2,
        foreach: bool | None = True,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            r=r,
            weight_lr_power=weight_lr_power,
            foreach=foreach,
        )

    @staticmethod
    def _inner(group: Group) -> float:
        return float(group["momentum"])

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.SCHEDULE_FREE_SGD


class ScheduleFreeAdamW(_ScheduleFree):
    """Schedule-Free AdamW: `fastopt.ScheduleFreeAdamW` with the interface of ``schedulefree.AdamWScheduleFree``.

    `train` before the first step, and `eval` before an evaluation, swap what the parameters are.

    Parameters
    ----------
    params
        As in `Lion`.
    lr, betas, eps, weight_decay, warmup_steps, r, weight_lr_power, foreach
        As in ``schedulefree.AdamWScheduleFree``, in its order and with its defaults. `foreach` makes no difference.

    Raises
    ------
    TypeError, ValueError
        As in `Lion`.

    Examples
    --------
    >>> import torch, fastopt.compat.torch
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    >>> opt = fastopt.compat.torch.ScheduleFreeAdamW([weight], lr=0.1, warmup_steps=10)
    >>> opt.train()
    >>> for _ in range(3):
    ...     opt.zero_grad()
    ...     (weight**2).sum().backward()
    ...     opt.step()
    >>> opt.eval()
    >>> weight.data
    tensor([ 0.9525, -1.9523])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        foreach: bool | None = True,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            r=r,
            weight_lr_power=weight_lr_power,
            foreach=foreach,
        )

    @staticmethod
    def _inner(group: Group) -> float:
        return float(group["betas"][0])

    @staticmethod
    def _rule(group: Group) -> Rule:
        return rules.SCHEDULE_FREE_ADAMW
