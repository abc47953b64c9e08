"""Parameter groups: what an optimizer keeps for each set of parameters that share hyper-parameters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fastopt._checks import boolean
from fastopt._typing import Array
from fastopt.kernels._checks import Part, as_array, check_parts
from fastopt.kernels.rules import CHECKS, Rule, Value

_LISTS = (list, tuple)  # a union of the two, written in place, would be made anew in every step


class Group:
    """Parameters that share hyper-parameters; each hyper-parameter is an attribute that may be set between steps.

    A hyper-parameter is a number, or a schedule: a callable of the number of steps done that returns one. A pair such
    as ``betas`` sets ``beta1`` and ``beta2`` of the update rule.

    Attributes
    ----------
    params : tuple of ndarray
        The arrays that the steps update.
    names : list of str
        Their names in the state: the keys of a mapping, else consecutive numbers.
    rule : Rule
        The update rule that the hyper-parameters choose.
    state : mapping of str to tuple of ndarray
        State arrays by name, each tuple parallel to `params`.
    lr : float or schedule
        Learning rate; the optimizer's further hyper-parameters are attributes too.
    """

    lr: Any

    def __init__(
        self,
        params: Any,
        label: str,
        first_number: int,
        rule_of: Callable[..., Rule],
        hyper: Mapping[str, Any],
        counter: Array,
    ) -> None:
        own: dict[str, Any] = vars(self)  # `__setattr__` is for hyper-parameters
        own["_single"] = not isinstance(params, list | tuple | Mapping)
        own["_keys"] = list(params) if isinstance(params, Mapping) else None
        own["_listed"] = not self._single and self._keys is None
        values = self.values_of(params, "params" + label)
        keys = self._keys if self._keys is not None else range(len(values))
        own["suffixes"] = [label] if self._single else [f"{label}[{key!r}]" for key in keys]
        own["params"] = tuple(as_array(v, "params" + suffix) for v, suffix in zip(values, self.suffixes, strict=True))
        own["names"] = [str(key) for key in self._keys or range(first_number, first_number + len(values))]
        check_parts([Part(["params"], [self.params], self.suffixes)])
        own["state"] = MappingProxyType({})
        own["_rule_of"], own["_counter"], own["_born"] = rule_of, counter, 0
        self._use({name: _checked(name, value) for name, value in hyper.items()})

    def _use(self, hyper: dict[str, Any]) -> None:
        """Take checked hyper-parameters, with the rule that they choose and the state arrays that it needs."""
        own, steps = vars(self), self._counter.item()
        rule = self._rule_of(**hyper)
        if not self.state.keys() <= rule.states.keys():
            rule = self.rule  # a momentum that becomes zero goes on as a momentum
        flat = dict(_flat(hyper))
        values = tuple([flat[name] for name in rule.hyper_parameters])
        plain = None if any(map(callable, values)) else values
        if plain is not None:
            rule.scalars_of(*plain, 1.0, 1.0, 1)  # refuses what does not go together
        state = dict(self.state)
        for name, start in rule.states.items():
            if name not in state:
                start = CHECKS[start](start, flat[start]) if isinstance(start, str) else start
                state[name] = tuple(_filled_like(param, start) for param in self.params)
                own["_born"] = steps
        own["state"] = MappingProxyType({name: state[name] for name in rule.states})
        own["rule"], own["_hyper"], own["_values"], own["plain_values"] = rule, hyper, values, plain

    def __getattr__(self, name: str) -> Any:
        """Return a hyper-parameter."""
        try:
            return vars(self)["_hyper"][name]
        except KeyError:
            raise AttributeError(
                f"{name}: expected a hyper-parameter, one of {[*vars(self).get('_hyper', ())]}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Take a hyper-parameter between steps, and refuse what would have no effect."""
        if name not in self._hyper:
            raise AttributeError(f"{name}: expected a hyper-parameter, one of {[*self._hyper]}")
        value = _checked(name, value)
        if _same(value, self._hyper[name]):
            return
        hyper = self._hyper | {name: value}
        rules = self._rule_of(**self._hyper), self._rule_of(**hyper)
        if name in self.rule.states.values() or (isinstance(value, bool) and rules[0] is not rules[1]):
            raise AttributeError(f"{name}: expected to stay {self._hyper[name]!r}, since the state was made with it")
        self._use(hyper)

    def hyper_parameters(self) -> dict[str, Any]:
        """Return the hyper-parameters by name."""
        return dict(self._hyper)

    def schedules(self) -> dict[str, Callable[[int], Any]]:
        """Return the hyper-parameters that are schedules, by name, those of a pair apart."""
        return {name: value for name, value in _flat(self._hyper) if callable(value)}

    def values(self, steps: int) -> tuple[Value, ...]:
        """Return the hyper-parameters of the step after `steps` others, in the rule's order."""
        if self.plain_values is not None:
            plain: tuple[Value, ...] = self.plain_values
            return plain
        pairs = zip(self.rule.hyper_parameters, self._values, strict=True)
        return tuple([CHECKS[name](name, value(steps)) if callable(value) else value for name, value in pairs])

    def step_number(self, steps: int) -> int:
        """Return the number, counted from 1, of the step after `steps` others: of those that all state arrays saw."""
        number: int = steps - self._born + 1
        return number

    def values_of(self, values: Any, what: str = "grads") -> Sequence[Any]:
        """Return what stands in `values`, which must have the structure of the parameters, for each of them."""
        if self._listed and isinstance(values, _LISTS):  # the common case
            return values
        if self._single:
            return [values]
        if self._keys is None:
            raise TypeError(f"{what}: expected a list of arrays like params, got {type(values).__name__}")
        if not isinstance(values, Mapping):
            raise TypeError(f"{what}: expected a mapping of names to arrays like params, got {type(values).__name__}")
        if len(values) != len(self._keys) or any(key not in values for key in self._keys):
            missing = [key for key in self._keys if key not in values]
            unknown = [key for key in values if key not in self._keys]
            raise ValueError(f"{what}: expected the keys of params, got missing {missing} and unknown {unknown}")
        return [values[key] for key in self._keys]

    def arrays_of(self, values: Sequence[Any]) -> list[Array]:
        """Return gradients as plain arrays."""
        if len(values) != len(self.params):
            raise ValueError(f"grads: expected {len(self.params)} arrays like params, got {len(values)}")
        labelled = zip(values, self.suffixes, strict=True)
        return [as_array(value, "grad" + suffix, written=False) for value, suffix in labelled]


def _checked(name: str, value: Any) -> Any:
    """Return a checked hyper-parameter: a plain number, a schedule, or a pair of these."""
    check = CHECKS.get(name)
    if check is not None:
        return value if callable(value) and check is not boolean else check(name, value)
    single = name.removesuffix("s")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise TypeError(f"{name}: expected a pair of numbers, got {value!r}")
    return tuple(_checked(f"{single}{i}", part) for i, part in enumerate(value, start=1))


def _same(one: Any, other: Any) -> bool:
    """Whether two hyper-parameters are one: equal schedules are not, since each has a state of its own."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(map(_same, one, other))
    return one is other or (one == other and not callable(one))


def _flat(hyper: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the hyper-parameters by the names that rules have for them: ``betas`` as ``beta1`` and ``beta2``."""
    for name, value in hyper.items():
        if isinstance(value, tuple):
            yield from ((f"{name.removesuffix('s')}{i}", part) for i, part in enumerate(value, start=1))
        else:
            yield name, value


def _filled_like(param: Array, value: float) -> Array:
    """Return a dense array in the order of `param`, and as far from a cache line: then vectors line up in both."""
    line = 64
    memory = np.empty(param.nbytes + line, np.uint8)
    start = (param.ctypes.data - memory.ctypes.data) % line
    array = memory[start : start + param.nbytes].view(param.dtype)
    array.fill(value)
    return array.reshape(param.shape, order="F" if param.flags.fnc else "C")


def is_grouped(params: Any) -> bool:
    """Whether `params` is a list of groups rather than of arrays."""
    return isinstance(params, list | tuple) and any(isinstance(entry, Mapping) for entry in params)


def make_groups(params: Any, rule_of: Callable[..., Rule], defaults: Mapping[str, Any], counter: Array) -> list[Group]:
    """Split `params` into groups: a list of mappings with the key ``"params"`` is one, anything else is one group."""
    grouped = is_grouped(params)
    groups: list[Group] = []
    for i, entry in enumerate(params if grouped else [{"params": params}]):
        label = f"[{i}]" if grouped else ""
        if not isinstance(entry, Mapping) or "params" not in entry:
            raise TypeError(
                f"params{label}: expected a group, a mapping with the key 'params', got {type(entry).__name__}"
            )
        hyper = {key: value for key, value in entry.items() if key != "params"}
        unknown = hyper.keys() - defaults.keys()
        if unknown:
            known = ", ".join(defaults)
            raise TypeError(f"params{label}: expected hyper-parameters among {known}, got {sorted(map(str, unknown))}")
        first_number = sum(len(group.params) for group in groups)
        groups.append(Group(entry["params"], label, first_number, rule_of, {**defaults, **hyper}, counter))
    arrays = [array for group in groups for array in group.params]
    names = [name for group in groups for name in group.names]
    if not arrays:
        raise ValueError("params: expected at least one array, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"params: expected distinct names, got {sorted(n for n in set(names) if names.count(n) > 1)}")
    check_parts([Part(["params"], [arrays], [suffix for group in groups for suffix in group.suffixes])])
    return groups
