"""Parameter groups: what an optimizer keeps for each set of parameters that share hyper-parameters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastopt._checks import boolean
from fastopt._trees import Tree
from fastopt._typing import Array
from fastopt.kernels._checks import Part, as_array, as_rows, check_parts
from fastopt.kernels.rules import CHECKS, Rule, Value


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
    missed : tuple of int
        For each parameter, how many of the optimizer's steps its state has not seen: those before the newest state
        arrays were made, and those for which its gradient was None.
    lr : float or schedule
        Learning rate; the optimizer's further hyper-parameters are attributes too.
    """

    lr: Any

    if TYPE_CHECKING:

        def __getattr__(self, hyper_parameter: str) -> Any: ...

    def __init__(
        self,
        params: Any,
        label: str,
        first_number: int,
        rule_of: Callable[..., Rule],
        hyper: Mapping[str, Any],
        counter: Array,
        changes: list[int],
    ) -> None:
        own: dict[str, Any] = vars(self)  # `__setattr__` is for hyper-parameters
        tree = own["_tree"] = Tree(params, "params" + label)
        own["suffixes"] = [label + suffix for suffix in tree.suffixes]
        own["params"] = tuple(as_array(v, "params" + s) for v, s in zip(tree.leaves, self.suffixes, strict=True))
        own["names"] = _names(tree, first_number)
        check_parts([Part(["params"], [self.params], self.suffixes)])
        own["state"] = MappingProxyType({})
        own["_rule_of"], own["_counter"], own["_changes"] = rule_of, counter, changes
        own["_owners"] = {("params", i): leaf for i, leaf in enumerate(tree.leaves) if _may_move(leaf)}
        own["listed"] = tree.flat
        self.set_missed([counter.item()] * len(self.params))
        self._use({name: _checked(name, value) for name, value in hyper.items()})

    def _use(self, hyper: dict[str, Any]) -> None:
        """Take checked hyper-parameters, with the rule that they choose and the state arrays that it needs."""
        own, steps = vars(self), self._counter.item()
        rule = self._rule_of(**hyper)
        if not self.state.keys() <= rule.states.keys():
            rule = self.rule  # a momentum that becomes zero goes on as a momentum
        flat = dict(_flat(hyper, rule))
        values = tuple([flat[name] for name in rule.hyper_parameters])
        plain = None if any(map(callable, values)) else values
        if plain is not None:
            rule.scalars_of(*plain, 1.0, 1.0, 1)  # refuses what does not go together
        state = dict(self.state)
        for name, start in rule.states.items():
            if name not in state:
                if isinstance(start, str) and start != "param":
                    start = CHECKS[start](start, flat[start])
                state[name] = tuple([filled_like(p, p if start == "param" else start) for p in self.params])
                self.set_missed([steps] * len(self.params))
        if state.keys() != self.state.keys() or "rule" not in own:
            own["state"] = MappingProxyType({name: state[name] for name in rule.states})
            self._changes[0] += 1
        own["rule"], own["_hyper"], own["_values"], own["plain_values"] = rule, hyper, values, plain
        own.update(hyper)

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

    @property
    def missed(self) -> tuple[int, ...]:
        """See the class."""
        before, steps, after = self._missed
        missed: tuple[int, ...] = after if self._counter.item() > steps else before
        return missed

    def set_missed(self, missed: Sequence[int]) -> None:
        """Set the numbers of steps that the states have not seen."""
        vars(self)["_missed"] = tuple(missed), 0, tuple(missed)

    def skip(self, tensors: Sequence[int]) -> None:
        """Have some parameters miss the next step; that it is done, an interrupt or not, the counter tells."""
        before = self.missed
        after = tuple(n + (i in tensors) for i, n in enumerate(before))
        vars(self)["_missed"] = before, self._counter.item(), after

    def hyper_parameters(self) -> dict[str, Any]:
        """Return the hyper-parameters by name."""
        return dict(self._hyper)

    def schedules(self) -> dict[str, Callable[[int], Any]]:
        """Return the hyper-parameters that are schedules, by name, those of a pair apart."""
        return {name: value for name, value in _flat(self._hyper, self.rule) if callable(value)}

    def values(self, steps: int) -> tuple[Value, ...]:
        """Return the hyper-parameters of the step after `steps` others, in the rule's order."""
        if self.plain_values is not None:
            plain: tuple[Value, ...] = self.plain_values
            return plain
        pairs = zip(self.rule.hyper_parameters, self._values, strict=True)
        return tuple([CHECKS[name](name, value(steps)) if callable(value) else value for name, value in pairs])

    def leaves_of(self, tree: Any, what: str = "grads") -> Sequence[Any]:
        """Return what stands in a tree, which must have the structure of the parameters, for each of them."""
        leaves: Sequence[Any] = self._tree.leaves_of(tree, what)
        return leaves

    def adopt(self, state: Mapping[str, Any]) -> None:
        """Take state arrays, each a tree like the parameters, in place of new ones; the optimizer checks all groups."""
        if state.keys() != self.state.keys():
            raise ValueError(f"state: expected {[*self.state]}, got {[*state]}")
        streams = {}
        owners = {key: owner for key, owner in self._owners.items() if key[0] == "params"}
        for name in self.state:
            leaves = self.leaves_of(state[name], name)
            if len(leaves) != len(self.params):
                raise ValueError(f"{name}: expected {len(self.params)} arrays like params, got {len(leaves)}")
            labelled = zip(leaves, self.suffixes, strict=True)
            streams[name] = tuple(as_array(leaf, name + suffix) for leaf, suffix in labelled)
            owners |= {(name, i): leaf for i, leaf in enumerate(leaves) if _may_move(leaf)}
        vars(self)["state"], vars(self)["_owners"] = MappingProxyType(streams), owners
        self._changes[0] += 1

    def arrays_of(self, values: Sequence[Any], skip_none: bool) -> list[Array | None]:
        """Return gradients as plain arrays, and None where there is none."""
        if len(values) != len(self.params):
            raise ValueError(f"grads: expected {len(self.params)} arrays like params, got {len(values)}")
        arrays = []
        for value, suffix in zip(values, self.suffixes, strict=True):
            if value is None and not skip_none:
                raise TypeError(
                    f"grad{suffix}: expected an array, got None (skip_none=True leaves its parameter alone)"
                )
            arrays.append(None if value is None else as_array(value, "grad" + suffix, written=False))
        return arrays

    def rows_of(self, tree: Any, label: str) -> Sequence[Array | None]:
        """Return the rows that the gradient of each parameter is for, None for all."""
        if tree is None:
            return [None] * len(self.params)
        leaves = self.leaves_of(tree, "rows")
        if len(leaves) != len(self.params):
            raise ValueError(f"rows{label}: expected {len(self.params)} entries like params, got {len(leaves)}")
        labelled = list(zip(leaves, self.suffixes, strict=True))
        for value, suffix in labelled:
            if self.rule.layerwise and value is not None:
                raise ValueError(
                    f"rows{suffix}: expected None, since its update depends on the whole array, got indices"
                )
        return [None if value is None else as_rows(value, "rows" + suffix) for value, suffix in labelled]

    def watched(self) -> list[tuple[Any, Array]]:
        """Return the tensors that are not NumPy's and may exchange their memory, each with the array made of it."""
        streams = {"params": self.params, **self.state}
        return [(owner, streams[name][i]) for (name, i), owner in self._owners.items()]

    def look_again(self) -> None:
        """Take the memory that tensors have now, if it is not what they had."""
        streams = {"params": self.params, **self.state}
        for (name, i), owner in self._owners.items():
            array = as_array(owner, name + self.suffixes[i])
            if array.__array_interface__ != streams[name][i].__array_interface__:
                streams[name] = (*streams[name][:i], array, *streams[name][i + 1 :])
                self._changes[0] += 1
        vars(self)["params"] = streams.pop("params")
        vars(self)["state"] = MappingProxyType(streams)


def _may_move(leaf: Any) -> bool:
    """Whether something that lends its memory may exchange it for other: what has the buffer protocol may not."""
    return not isinstance(leaf, np.ndarray) and hasattr(leaf, "__dlpack__")


def _names(tree: Tree, first_number: int) -> list[str]:
    """Return the names of parameters in the state: keys, or numbers that go on from group to group, joined by dots."""
    names = []
    for path in tree.paths:
        head = path[0] if path else 0
        keys = (head if isinstance(tree.top, Mapping) else first_number + head, *path[1:])
        names.append(".".join(map(str, keys)))
    return names


def _checked(name: str, value: Any) -> Any:
    """Return a checked hyper-parameter: a plain number, a schedule, or a pair of these."""
    check = CHECKS.get(name)
    if check is not None:
        return value if callable(value) and check is not boolean else check(name, value)
    if not isinstance(value, list | tuple):
        return value  # how many numbers are expected depends on the rule: `_flat` refuses it
    single = name.removesuffix("s")
    parts = enumerate(value, start=1)
    return tuple(_checked(f"{single}{i}", part) if f"{single}{i}" in CHECKS else part for i, part in parts)


def _same(one: Any, other: Any) -> bool:
    """Whether two hyper-parameters are one: equal schedules are not, since each has a state of its own."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or (one == other and not callable(one))


def _flat(hyper: Mapping[str, Any], rule: Rule) -> Iterator[tuple[str, Any]]:
    """Yield the hyper-parameters by the names that a rule has for them: ``betas`` as ``beta1`` and ``beta2``."""
    for name, value in hyper.items():
        if name in CHECKS:
            yield name, value
            continue
        single = name.removesuffix("s")
        parts = [f"{single}{i}" for i in range(1, 4) if f"{single}{i}" in rule.hyper_parameters]
        if not parts:  # of another rule that the optimizer has, too
            continue
        if not isinstance(value, tuple) or len(value) != len(parts):
            expected = {2: "a pair of numbers", 3: "three numbers"}[len(parts)]
            raise TypeError(f"{name}: expected {expected}, got {value!r}")
        yield from zip(parts, value, strict=True)


def filled_like(param: Array, value: float | Array) -> Array:
    """Return a dense array in the order of `param`, and as far from a cache line: then vectors line up in both."""
    line = 64
    memory = np.empty(param.nbytes + line, np.uint8)
    start = (param.ctypes.data - memory.ctypes.data) % line
    array = memory[start : start + param.nbytes].view(param.dtype)
    array = array.reshape(param.shape, order="F" if param.flags.fnc else "C")
    array[...] = value
    return array


def is_grouped(params: Any) -> bool:
    """Whether `params` is a list of groups rather than of arrays: mappings, each with the key ``"params"``."""
    return (
        isinstance(params, list | tuple)
        and len(params) > 0
        and all(isinstance(entry, Mapping) and "params" in entry for entry in params)
    )


def make_group(
    entry: Mapping[str, Any],
    label: str,
    before: Sequence[Group],
    rule_of: Callable[..., Rule],
    defaults: Mapping[str, Any],
    counter: Array,
    changes: list[int],
) -> Group:
    """Return a group for a mapping with the key ``"params"`` and hyper-parameters, which comes behind others."""
    hyper = {key: value for key, value in entry.items() if key != "params"}
    unknown = hyper.keys() - defaults.keys()
    if unknown:
        known = ", ".join(defaults)
        raise TypeError(f"params{label}: expected hyper-parameters among {known}, got {sorted(map(str, unknown))}")
    first_number = sum(len(group.params) for group in before)
    group = Group(entry["params"], label, first_number, rule_of, {**defaults, **hyper}, counter, changes)
    groups = [*before, group]
    arrays = [array for group in groups for array in group.params]
    names = [name for group in groups for name in group.names]
    if not group.params:
        raise ValueError(f"params{label}: expected at least one array, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"params: expected distinct names, got {sorted(n for n in set(names) if names.count(n) > 1)}")
    check_parts([Part(["params"], [arrays], [suffix for group in groups for suffix in group.suffixes])])
    return group


def make_groups(
    params: Any, rule_of: Callable[..., Rule], defaults: Mapping[str, Any], counter: Array, changes: list[int]
) -> list[Group]:
    """Split `params` into groups: a list of mappings with the key ``"params"`` is one, anything else is one group."""
    groups: list[Group] = []
    for i, entry in enumerate(params if is_grouped(params) else [{"params": params}]):
        label = f"[{i}]" if is_grouped(params) else ""
        groups.append(make_group(entry, label, groups, rule_of, defaults, counter, changes))
    return groups
