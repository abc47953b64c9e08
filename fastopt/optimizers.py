"""Optimizers: state, step count and learning rate around the kernels, sorted by complexity.

Names and defaults are PyTorch's. Every hyper-parameter is an attribute of ``opt.groups[i]``, open to change between
steps; every one that is a number may be a schedule, a callable of the number of steps done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from math import inf
from threading import RLock
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from fastopt._checks import boolean, integer
from fastopt._evaluation import Averaging, taken
from fastopt._groups import Group, filled_like, is_grouped, make_group, make_groups
from fastopt._trees import LISTS, Tree, by_names, named, taken_once
from fastopt._typing import Array
from fastopt.kernels import _backend, rules
from fastopt.kernels._backend import Bound
from fastopt.kernels._checks import Part, as_array, check_parts, describe
from fastopt.kernels._layerwise import check_matrix, prepared
from fastopt.kernels._norm import are_finite
from fastopt.kernels._step import bind
from fastopt.kernels._threads import run
from fastopt.kernels.rules import CHECKS, Rule, Value

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
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "SignSGD",
]

Schedule = Callable[[int], float]

_STEPS = integer(0, bits=63)


class _Plan(NamedTuple):
    """Arrays bound for the steps to come: the parameters of a group that have missed equally many steps are a part."""

    key: Any  # what the plan is good for
    parts: list[tuple[int, int, list[int]]]  # number of the group, steps missed, numbers of the parameters in it
    whole: bool  # whether each group is one part
    bound: Bound | None
    workspaces: dict[int, list[Array]]  # of the parts whose rule is layerwise, by the numbers of the parts


class Optimizer:
    """The base class of all optimizers: groups, the step, the learning rate, saving and loading.

    Parameters
    ----------
    params : array, or tree of arrays, or list of groups
        float32 or float64 arrays of any shape, updated in place: one, or lists, tuples and mappings of them, nested as
        you like. A list in which every entry is a mapping with the key ``"params"`` is a list of groups with
        hyper-parameters of their own. Objects that lend their memory (buffer protocol, DLPack) are taken as arrays,
        generators as lists.
    state : mapping of str to tree of arrays, optional
        State arrays by name, each in the structure of the gradients, to go on from; they are taken without a copy, and
        updated in place. Default: new ones.
    steps : int
        Steps done before.

    Attributes
    ----------
    params
        What was given.
    groups : list of Group
        The arrays, state and hyper-parameters of each group.
    steps : int
        Steps done.
    """

    _kept: ClassVar[tuple[str, ...]] = ()  # attributes of a derived class that copies have too

    def __init__(self, params: Any, state: Mapping[str, Any] | None, steps: int, **defaults: Any) -> None:
        params = taken_once(params)
        self.params: Any = params
        self._defaults = defaults
        self._counter = np.zeros(1, np.int64)  # of the steps; kernels increase it in the same breath as the arrays
        self._changes = [0]  # of rules and state arrays, which ask for arrays to be bound anew
        self.groups: list[Group] = make_groups(params, self._rule, defaults, self._counter, self._changes)
        self._one_at_a_time = RLock()
        self._stepping = False
        self._grouped = is_grouped(params)
        self._plan = _Plan(None, [], False, None, {})
        for group in self.groups:
            self._check_group(group)
        if state is not None:
            self._adopt(state)
        self.steps = steps
        self._start_schedules()
        for group in self.groups:  # a schedule that does not fit is refused now
            group.rule.scalars_of(*group.values(steps), 1.0, inf, 1)

    def _adopt(self, state: Mapping[str, Any]) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"state: expected a mapping of names to arrays, got {type(state).__name__}")
        for i, group in enumerate(self.groups):
            own = {}
            for name, trees in state.items():
                if self._grouped:
                    self._check_grouped(trees, name)
                if not self._grouped or name in group.state:
                    own[name] = trees[i] if self._grouped else trees
            group.adopt(own)
        check_parts(
            Part(("params", *group.state), (group.params, *group.state.values()), group.suffixes)
            for group in self.groups
        )

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with hyper-parameters of their own; gradients are then a list with an entry per group.

        Parameters
        ----------
        group : mapping
            ``"params"``, and the hyper-parameters that differ from the optimizer's own. Its state begins with its first
            step, whatever the number of steps of the others.

        Raises
        ------
        TypeError, ValueError
            It does not fit, or shares memory with another group; nothing is changed then.

        Examples
        --------
        >>> import fastopt, numpy as np
        >>> opt = fastopt.SGD([np.ones(2)], lr=0.1)
        >>> opt.add_group({"params": [np.ones(3)], "lr": 0.5})
        >>> opt.step([[np.ones(2)], [np.ones(3)]])
        >>> opt.groups[1].params[0]
        array([0.5, 0.5, 0.5])
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"group: expected a mapping with the key 'params', got {type(group).__name__}")
        with self._one_at_a_time:
            label = f"[{len(self.groups)}]"
            added = make_group(group, label, self.groups, self._rule, self._defaults, self._counter, self._changes)
            self._check_group(added)
            self.params = [*(self.params if self._grouped else [{"params": self.params}]), group]
            self.groups.append(added)
            self._grouped = True
            self._changes[0] += 1

    def _start_schedules(self) -> None:
        """Let schedules that have a state, which another optimizer may have changed, begin anew."""
        for group in self.groups:
            for schedule in group.schedules().values():
                start = getattr(schedule, "start", None)
                if start is not None:
                    start(self)

    @staticmethod
    def _rule(*args: Any, **hyper: Any) -> Rule:
        """Return the update rule that hyper-parameters choose."""
        raise NotImplementedError

    @staticmethod
    def _check_group(group: Group) -> None:
        """Refuse parameters that the rule of their group is not for."""

    @property
    def steps(self) -> int:
        """Number of steps done."""
        return int(self._counter[0])

    @steps.setter
    def steps(self, value: int) -> None:
        value = _STEPS("steps", value)
        missed = [group.missed for group in self.groups]
        self._counter[0] = value
        for group, own in zip(self.groups, missed, strict=True):
            group.set_missed([min(n, value) for n in own])
        self._changes[0] += 1

    def step(
        self,
        grads: Any,
        *,
        grad_scale: float = 1.0,
        clip_value: float = inf,
        skip_none: bool = False,
        cast_grads: bool = False,
        skip_nonfinite: bool = False,
        rows: Any = None,
    ) -> bool | None:
        """Update the parameters in place; steps that several threads ask for come one after the other.

        Parameters
        ----------
        grads : like `params`
            Gradients in the structure of the parameters; for groups, a list with one entry per group. Only read.
        grad_scale : float
            Finite factor on every gradient: for clipping by the norm (see `fastopt.kernels.clip_grad_norm`), loss
            scaling, or -1 to maximize.
        clip_value : float
            Bound, >= 0, on the absolute value of each element of the gradients, after `grad_scale`.
        skip_none : bool
            Whether a gradient may be None: its parameter and state then stay as they are, and miss this step where
            its number counts, as in Adam's bias correction.
        cast_grads : bool
            Whether gradients may be float16, bfloat16, float32 or float64, whatever their parameters are; see
            `fastopt.kernels`.
        skip_nonfinite : bool
            Whether to do nothing where a gradient has an infinity or NaN, or where `grad_scale` is NaN, which
            `fastopt.kernels.clip_grad_norm` returns then. The gradients are read once more for it.
        rows : like `grads`, optional
            Indices of the rows that a gradient is for, in place of each gradient, or None where it is for all; see
            `fastopt.kernels`. Rows that are not named stay as they are, with their state.

        Returns
        -------
        bool or None
            With `skip_nonfinite` whether it was done, else None.

        Raises
        ------
        TypeError, ValueError, IndexError
            An array or hyper-parameter does not fit; nothing is written and the step does not count.
        RuntimeError
            A schedule, or a signal handler, called it from within a step.
        """
        with self._one_at_a_time:
            if self._stepping:
                raise RuntimeError("step: called from within a step of the same optimizer")
            self._stepping = True
            try:
                ready = self._ready(grads, grad_scale, clip_value, skip_none, cast_grads, skip_nonfinite, rows)
                if ready is None:
                    return False
                bound, values = ready
                try:
                    bound.load(values)
                    run(bound, self._counter)
                finally:
                    bound.release()
            finally:
                self._stepping = False
        return True if skip_nonfinite else None

    def _ready(
        self,
        grads: Any,
        grad_scale: float,
        clip_value: float,
        skip_none: bool,
        cast_grads: bool,
        skip_nonfinite: bool,
        rows: Any,
    ) -> tuple[Bound, tuple[tuple[Value, ...], ...]] | None:
        """Return the arrays of all groups, bound to their rules, and the hyper-parameters of the next step.

        None: a gradient is not finite, and the step is to be skipped then.
        """
        # Schedules, and whatever else runs code of others, may change arrays: they come before these are looked at.
        if skip_none is not False or cast_grads is not False or skip_nonfinite is not False:
            skip_none, cast_grads = boolean("skip_none", skip_none), boolean("cast_grads", cast_grads)
            if boolean("skip_nonfinite", skip_nonfinite) and grad_scale != grad_scale:
                return None
        if type(grad_scale) is not float or type(clip_value) is not float:
            grad_scale = CHECKS["grad_scale"]("grad_scale", grad_scale)
            clip_value = CHECKS["clip_value"]("clip_value", clip_value)
        steps = self._counter.item()
        if steps == 0:
            self._start_schedules()
        trees = (grads,)
        if self._grouped:
            trees = taken_once(grads)
            self._check_grouped(trees, "grads")
        own_values: tuple[tuple[Value, ...], ...] = ()
        given: tuple[Sequence[Any], ...] = ()
        for group, tree in zip(self.groups, trees):  # noqa: B905 (checked above: strict takes longer)
            own_values += (group.plain_values or group.values(steps),)
            given += (tree if group.listed and type(tree) in LISTS else group.leaves_of(tree),)
        absent = _absent(given) if skip_none else ()
        if skip_nonfinite and not self._finite(given, skip_none):
            return None
        plan = self._plan
        if (
            rows is not None
            or plan.key != (_backend.active, self._changes[0], cast_grads, absent)
            or plan.bound is None
            or not (
                plan.whole or all(len(own) == len(group.params) for own, group in zip(given, self.groups, strict=True))
            )
            or not plan.bound.rebind(given if plan.whole else _by_part(given, plan.parts))
        ):
            plan = self._make_plan(given, absent, skip_none, cast_grads, rows)
        for i, tensors in enumerate(absent):
            self.groups[i].skip(tensors)
        values: tuple[tuple[Value, ...], ...] = ()
        for i, missed, _ in plan.parts:
            values += ((*own_values[i], grad_scale, clip_value, steps - missed + 1),)
        if plan.workspaces:
            values = self._prepared(plan, given, values)
        assert plan.bound is not None
        return plan.bound, values

    def _prepared(
        self, plan: _Plan, given: tuple[Sequence[Any], ...], values: tuple[tuple[Value, ...], ...]
    ) -> tuple[tuple[Value, ...], ...]:
        """Return the hyper-parameters of each part, after what layerwise rules do before their loops."""
        own = list(values)
        for part, workspace in plan.workspaces.items():
            i, _, (t,) = plan.parts[part]
            group = self.groups[i]
            grad = as_array(given[i][t], "grad" + group.suffixes[t], written=False)
            arrays = [group.params[t], grad, *[arrays[t] for arrays in group.state.values()], *workspace]
            own[part] = prepared(group.rule, arrays, own[part], group.suffixes[t])
        return tuple(own)

    def _finite(self, given: tuple[Sequence[Any], ...], skip_none: bool) -> bool:
        """Whether the gradients of all groups are finite."""
        grads: list[Array] = []
        params: list[Array] = []
        for group, own in zip(self.groups, given, strict=True):
            for grad, param in zip(group.arrays_of(own, skip_none), group.params, strict=True):
                if grad is not None:
                    grads.append(grad)
                    params.append(param)
        return are_finite(grads, params)

    def _make_plan(
        self,
        given: tuple[Sequence[Any], ...],
        absent: tuple[tuple[int, ...], ...],
        skip_none: bool,
        cast_grads: bool,
        rows: Any,
    ) -> _Plan:
        """Look at all arrays, and return a plan for the step, the last one where it is still good."""
        indices = self._rows_of(rows)
        for group in self.groups:
            group.look_again()
        given = tuple([group.arrays_of(own, skip_none) for group, own in zip(self.groups, given, strict=True)])
        key = (_backend.active, self._changes[0], cast_grads, absent)
        plan = self._plan
        if (
            indices is None
            and plan.key == key
            and plan.bound is not None
            and plan.bound.rebind(_by_part(given, plan.parts), True)
        ):
            return plan
        parts = [
            (i, missed, [t for t, own in enumerate(group.missed) if own == missed and not (absent and t in absent[i])])
            for i, group in enumerate(self.groups)
            for missed in dict.fromkeys(group.missed)
        ]
        parts = [part for part in parts if part[2]]
        if any(group.rule.layerwise for group in self.groups):
            parts = list(self._apart(parts))
        workspaces = {
            n: [filled_like(self.groups[i].params[tensors[0]], 0.0) for _ in self.groups[i].rule.workspace]
            for n, (i, _, tensors) in enumerate(parts)
            if self.groups[i].rule.layerwise
        }
        streams = [(group.params, own, *group.state.values()) for group, own in zip(self.groups, given, strict=True)]
        bound = bind(
            tuple([self.groups[i].rule for i, _, _ in parts]),
            tuple(
                [
                    (*[_chosen(stream, tensors) for stream in streams[i]], *[[own] for own in workspaces.get(n, ())])
                    for n, (i, _, tensors) in enumerate(parts)
                ]
            ),
            [_chosen(self.groups[i].suffixes, tensors) for i, _, tensors in parts],
            None if indices is None else _by_part(indices, parts),
            cast_grads,
        )
        watched = [pair for group in self.groups for pair in group.watched()]
        bound.watch(tuple([owner for owner, _ in watched]), tuple([array for _, array in watched]))
        whole = [(i, len(tensors)) for i, _, tensors in parts] == [(i, len(own)) for i, own in enumerate(given)]
        plan = _Plan(key, parts, whole, bound, workspaces)
        if indices is None:
            self._plan = plan
        return plan

    def _apart(self, parts: list[tuple[int, int, list[int]]]) -> Iterator[tuple[int, int, list[int]]]:
        """Yield the parts, those of layerwise rules tensor by tensor."""
        for i, missed, tensors in parts:
            if self.groups[i].rule.layerwise:
                yield from ((i, missed, [t]) for t in tensors)
            else:
                yield i, missed, tensors

    def _rows_of(self, rows: Any) -> tuple[Sequence[Array | None], ...] | None:
        """Return the rows that the gradients of each group are for."""
        if rows is None:
            return None
        if not self._grouped:
            return (self.groups[0].rows_of(rows, ""),)
        self._check_grouped(rows, "rows")
        return tuple(
            [group.rows_of(tree, f"[{i}]") for i, (group, tree) in enumerate(zip(self.groups, rows, strict=True))]
        )

    def _check_grouped(self, trees: Any, what: str) -> None:
        if not isinstance(trees, list | tuple) or len(trees) != len(self.groups):
            found = f"{len(trees)} entries" if isinstance(trees, list | tuple) else type(trees).__name__
            expected = f"a list with an entry for each of {len(self.groups)} groups"
            raise ValueError(f"{what}: expected {expected}, got {found}")

    def _rate(self, group: Group) -> float:
        """Return the rate that the next step of `group` will use."""
        steps = self.steps
        lr = group.lr
        return CHECKS["lr"]("lr", lr(steps)) if callable(lr) else lr

    @property
    def lr(self) -> float:
        """Rate that the next step will use, of the first group; setting it replaces rate or schedule of all groups."""
        return self._rate(self.groups[0])

    @lr.setter
    def lr(self, value: float | Schedule) -> None:
        value = value if callable(value) else CHECKS["lr"]("lr", value)
        for group in self.groups:
            group.lr = value

    @property
    def schedule(self) -> Schedule | None:
        """Schedule of the first group's learning rate, or None where the rate is a number."""
        lr = self.groups[0].lr
        return cast("Schedule", lr) if callable(lr) else None

    def state_dict(self) -> dict[str, Array | float | int]:
        """Return copies of all state as a flat dictionary of arrays and numbers.

        Returns
        -------
        dict
            ``"steps"``; ``"<state>.<parameter>"`` for every state array; ``"lr.<group>"`` where the rate is a number;
            ``"missed.<parameter>"`` where its state has not seen all steps;
            ``"schedule.<group>.<key>"`` for a schedule of the rate that has state of its own, such as
            `fastopt.schedules.ReduceOnPlateau`; ``"schedule.<hyper-parameter>.<group>.<key>"`` for one of another
            hyper-parameter. ``np.savez(file, **state)`` saves it.

        Examples
        --------
        >>> import fastopt, numpy as np
        >>> opt = fastopt.Adam({"w": np.zeros(2)}, lr=0.1)
        >>> opt.step({"w": np.ones(2)})
        >>> sorted(opt.state_dict())
        ['exp_avg.w', 'exp_avg_sq.w', 'lr.0', 'steps']
        """
        with self._one_at_a_time:
            state: dict[str, Array | float | int] = {"steps": self.steps}
            for i, group in enumerate(self.groups):
                if not callable(group.lr):
                    state[f"lr.{i}"] = float(group.lr)
                state |= {f"missed.{name}": n for name, n in zip(group.names, group.missed, strict=True) if n}
            for prefix, schedule in self._schedules().items():
                state |= {prefix + key: value for key, value in schedule.state_dict().items()}
            return state | {name: array.copy() for name, array in self._state_arrays().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, from a dictionary or an open ``.npz`` file.

        Hyper-parameters other than the rate are not part of it: they are the constructor's.

        Parameters
        ----------
        state : mapping of str to array or number
            Of an optimizer of the same class over parameters of the same names, shapes and dtypes.

        Raises
        ------
        TypeError, ValueError
            Not a mapping, a name is missing or unknown, or a shape, dtype or number does not fit; nothing is changed
            then.
        """
        if not hasattr(state, "items"):
            raise TypeError(f"state: expected a mapping of names to arrays, got {type(state).__name__}")
        own = self._state_arrays()
        loaded = {name: np.asarray(value) for name, value in state.items()}
        owners = self._schedules()
        schedules: dict[str, dict[str, Any]] = {prefix: {} for prefix in owners}
        rates: dict[int, float] = {}
        for i, group in enumerate(self.groups):
            if f"lr.{i}" in loaded:
                rates[i] = CHECKS["lr"]("lr", loaded.pop(f"lr.{i}"))
                schedules.pop(f"schedule.{i}.", None)
            elif not callable(group.lr):
                raise ValueError(
                    f"state: expected a rate 'lr.{i}', got none: it was saved while a schedule set the rate"
                )
        missed = [
            [_STEPS(f"state 'missed.{name}'", loaded.pop(f"missed.{name}", 0)) for name in group.names]
            for group in self.groups
        ]
        for prefix, values in schedules.items():
            for name in [name for name in loaded if name.startswith(prefix)]:
                values[name.removeprefix(prefix)] = loaded.pop(name).item()
        expected = own.keys() | {"steps"}
        if loaded.keys() != expected:
            missing, unknown = sorted(expected - loaded.keys()), sorted(loaded.keys() - expected)
            raise ValueError(f"state: expected this optimizer's names, got missing {missing} and unknown {unknown}")
        for name, array in own.items():
            found = loaded[name]
            if (found.shape, found.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"state {name!r}: expected shape {array.shape} and dtype {array.dtype}, "
                    f"got {found.shape} and {describe(found.dtype)}"
                )
        try:
            steps = _STEPS("state 'steps'", loaded["steps"])
        except TypeError as error:
            raise ValueError(str(error)) from None
        with self._one_at_a_time:
            self._load_schedules(owners, schedules)
            for name, array in own.items():
                array[...] = loaded[name]
            for i, rate in rates.items():
                self.groups[i].lr = rate
            self.steps = steps
            for group, numbers in zip(self.groups, missed, strict=True):
                group.set_missed([min(n, steps) for n in numbers])

    def _state_arrays(self) -> dict[str, Array]:
        return {
            f"{state}.{name}": array
            for group in self.groups
            for state, arrays in group.state.items()
            for name, array in zip(group.names, arrays, strict=True)
        }

    def _schedules(self) -> dict[str, Any]:
        """Return the schedules with state of their own, by what their names in the state begin with."""
        return {
            f"schedule.{i}." if name == "lr" else f"schedule.{name}.{i}.": schedule
            for i, group in enumerate(self.groups)
            for name, schedule in group.schedules().items()
            if hasattr(schedule, "load_state_dict")
        }

    @staticmethod
    def _load_schedules(schedules: Mapping[str, Any], states: Mapping[str, dict[str, Any]]) -> None:
        """Load every schedule's state, or none."""
        before = {prefix: schedules[prefix].state_dict() for prefix in states}
        try:
            for prefix, values in states.items():
                schedules[prefix].load_state_dict(values)
        except (TypeError, ValueError, KeyError):
            for prefix, values in before.items():
                schedules[prefix].load_state_dict(values)
            raise

    def __reduce__(self) -> Any:
        settings = [group.hyper_parameters() for group in self.groups]
        kept = {name: getattr(self, name) for name in self._kept}
        return _unbound, (
            type(self),
            self._defaults,
            settings if self._grouped else settings[0],
            self.state_dict(),
            kept,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Optimizer":
        make, arguments = self.__reduce__()
        copied: Optimizer = make(*deepcopy(arguments, memo))
        return copied

    def bind(self, params: Any) -> None:
        """Give an optimizer that was copied or unpickled the parameters that it goes on with.

        An optimizer is copied and pickled without its parameters, which belong to a model.

        Parameters
        ----------
        params : like the parameters of the original
            Arrays of the same names, shapes and dtypes; for groups, a list with an entry per group.

        Raises
        ------
        RuntimeError
            The optimizer has parameters already.
        TypeError, ValueError
            They do not fit the state; the optimizer stays without parameters.

        Examples
        --------
        >>> import copy, fastopt, numpy as np
        >>> weights = np.array([1.0, -2.0])
        >>> opt = fastopt.Adam(weights, lr=0.1)
        >>> opt.step(2 * weights)
        >>> other = copy.deepcopy(opt)
        >>> other.bind(weights.copy())
        >>> other.steps
        1
        """
        raise RuntimeError("bind: expected a copied or unpickled optimizer, which has no parameters yet")

    def __repr__(self) -> str:
        arrays = [array for group in self.groups for array in group.params]
        settings = ", ".join(f"{name}={value!r}" for name, value in self.groups[0].hyper_parameters().items())
        return f"<{type(self).__name__}: {len(arrays)} arrays, {sum(a.size for a in arrays)} values; {settings}>"


def _absent(given: tuple[Sequence[Any], ...]) -> tuple[tuple[int, ...], ...]:
    """Return for each group the numbers of the gradients that are None; nothing where there is none."""
    absent = tuple([tuple([i for i, grad in enumerate(own) if grad is None]) for own in given])
    return absent if any(absent) else ()


def _chosen(values: Sequence[Any], numbers: list[int]) -> Sequence[Any]:
    return [values[i] for i in numbers]


def _by_part(values: tuple[Sequence[Any], ...], parts: list[tuple[int, int, list[int]]]) -> tuple[Sequence[Any], ...]:
    """Return what stands for the parameters of each group, for those of each part."""
    return tuple([_chosen(values[i], numbers) for i, _, numbers in parts])


class _Unbound(Optimizer):
    """An optimizer as it is copied and unpickled: settings and state, no parameters."""

    _settings: tuple[dict[str, Any], Any, dict[str, Array | float | int], dict[str, Any]]

    def __getattr__(self, name: str) -> Any:
        """Say what is missing."""
        if name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise RuntimeError(
            f"{type(self).__name__}: expected bind(params) first, since a copied or unpickled optimizer has settings "
            "and state, but no parameters"
        )

    def bind(self, params: Any) -> None:
        """Take parameters, and become an optimizer; see `Optimizer.bind`."""
        defaults, settings, state, kept = self._settings
        cls: type[Optimizer] = type(self).__bases__[1]
        if isinstance(settings, list):
            params = taken_once(params)
            if kept.get("_split"):
                params = by_names(params, "params", kept["_group_names"])
            if not isinstance(params, list | tuple) or len(params) != len(settings):
                raise ValueError(f"params: expected a list with an entry for each of {len(settings)} groups")
            entries = [own["params"] if is_grouped([own]) else own for own in params]
            params = [{"params": own, **hyper} for own, hyper in zip(entries, settings, strict=True)]
        else:
            defaults = defaults | settings
        made: Optimizer = object.__new__(cls)
        Optimizer.__init__(made, params, None, 0, **defaults)
        made.load_state_dict(state)
        vars(self).clear()
        vars(self).update(vars(made) | kept)
        object.__setattr__(self, "__class__", cls)

    def __reduce__(self) -> Any:
        return _unbound, (type(self).__bases__[1], *self._settings)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: no parameters yet, see bind()>"


def _unbound(
    cls: type[Optimizer],
    defaults: dict[str, Any],
    settings: Any,
    state: dict[str, Array | float | int],
    kept: dict[str, Any],
) -> Optimizer:
    """Return an optimizer as it is copied and unpickled, to be bound to parameters."""
    opt: _Unbound = object.__new__(type(cls.__name__, (_Unbound, cls), {"__doc__": cls.__doc__}))
    opt._settings = (defaults, settings, state, kept)
    return opt


class SGD(Optimizer):
    """Gradient descent, plain or with momentum.

    Without momentum ``p -= lr * g``; with it the two conventions of `fastopt.kernels.momentum`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    momentum : float or schedule
        Share of the velocity that is kept, in [0, 1].
    dampening : float or schedule
        Share of the gradient that is held back from the velocity, in [0, 1].
    nesterov : bool
        Look ahead along the velocity.
    lr_in_velocity : bool
        Keras', scikit-learn's and "Neural Networks from Scratch"'s convention instead of PyTorch's.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``, as Keras does.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.sgd` and `fastopt.kernels.momentum`. ``torch.optim.SGD``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.SGD(weights, lr=0.1, momentum=0.9)
    >>> for _ in range(3):
    ...     opt.step(2 * weights)  # gradient of w**2
    >>> weights.round(3), opt.steps
    (array([ 0.062, -0.124]), 3)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        momentum: float | Schedule = 0.0,
        dampening: float | Schedule = 0.0,
        nesterov: bool = False,
        lr_in_velocity: bool = False,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            nesterov=nesterov,
            lr_in_velocity=lr_in_velocity,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(momentum: Any, nesterov: bool, **_: Any) -> Rule:
        if nesterov and momentum == 0:
            raise ValueError(f"momentum: expected a number > 0 with nesterov, got {momentum!r}")
        return rules.SGD if momentum == 0 else rules.MOMENTUM


class SignSGD(Optimizer):
    """SignSGD, or with momentum Signum: every element moves by the rate, against the sign of gradient or average.

    ``p -= lr * sign(g)``, with momentum ``b = momentum * b + (1 - momentum) * g; p -= lr * sign(b)``

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done: what every element moves by.
    momentum : float or schedule
        Share of the average that is kept, in [0, 1].
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.sign_sgd`. ``optax.sign_sgd``, ``optax.signum``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.SignSGD(weights, lr=0.1)
    >>> opt.step(2 * weights)
    >>> weights
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-4,
        *,
        momentum: float | Schedule = 0.0,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(momentum: float | Schedule, **_: Any) -> Rule:
        return rules.SIGNUM if callable(momentum) or momentum > 0 else rules.SIGN_SGD


class Adagrad(Optimizer):
    """AdaGrad: each element's rate shrinks with the gradients it has seen.

    ``s += g**2; p -= lr_t * g / (sqrt(s) + eps)`` with ``lr_t = lr / (1 + steps * lr_decay)``, steps done before.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    lr_decay : float or schedule
        1/t decay of the rate, >= 0.
    eps : float or schedule
        Finite, >= 0. "Neural Networks from Scratch" has 1e-7.
    eps_in_sqrt : bool
        ``sqrt(s + eps)``, as in Keras.
    initial_accumulator_value : float
        Where s starts: 0 in PyTorch, 0.1 in Keras and TensorFlow 1.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``, as Keras does.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.adagrad`. ``torch.optim.Adagrad``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.Adagrad(weights, lr=0.5)
    >>> for _ in range(2):
    ...     opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.276, -1.2  ])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-2,
        *,
        lr_decay: float | Schedule = 0.0,
        eps: float | Schedule = 1e-10,
        eps_in_sqrt: bool = False,
        initial_accumulator_value: float = 0.0,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            lr_decay=lr_decay,
            eps=eps,
            eps_in_sqrt=eps_in_sqrt,
            initial_accumulator_value=initial_accumulator_value,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.ADAGRAD

    def _rate(self, group: Group) -> float:
        values = (*group.values(self.steps), 1.0, inf, self.steps + 1)
        rate: float = dict(zip(group.rule.scalar_names, group.rule.scalars_of(*values), strict=True))["lr"]
        return rate


class FTRL(Optimizer):
    """FTRL-Proximal: AdaGrad's rates, for sparse models: `l1` makes parameters exactly zero.

    The formula is in `fastopt.kernels.ftrl`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, > 0, or a callable of the number of steps done.
    l1, l2 : float or schedule
        Penalties on the absolute value and on the square of the parameter, finite, >= 0.
    l2_shrinkage : float or schedule
        Penalty on the square that acts through the gradient, finite, >= 0.
    beta : float or schedule
        It bounds the rate of the first steps, finite, >= 0.
    initial_accumulator_value : float
        Where the sum of squared gradients starts, finite, >= 0; above zero where `l2` and `beta` are zero.
    weight_decay : float or schedule
        Decoupled: ``p -= lr * weight_decay * p`` before the step.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.ftrl`. ``keras.optimizers.Ftrl``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.FTRL(weights, lr=0.5, l1=3.0)
    >>> opt.step(np.array([-5.0, 0.5]))
    >>> weights.round(4)
    array([1.1365, 0.    ])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        l1: float | Schedule = 0.0,
        l2: float | Schedule = 0.0,
        l2_shrinkage: float | Schedule = 0.0,
        beta: float | Schedule = 0.0,
        initial_accumulator_value: float = 0.1,
        weight_decay: float | Schedule = 0.0,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            l1=l1,
            l2=l2,
            l2_shrinkage=l2_shrinkage,
            beta=beta,
            initial_accumulator_value=initial_accumulator_value,
            weight_decay=weight_decay,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.FTRL


class RMSprop(Optimizer):
    """RMSProp, also centered and with momentum.

    ``s = alpha * s + (1 - alpha) * g**2; p -= lr * g / (sqrt(s) + eps)``; the other forms are in
    `fastopt.kernels.rmsprop`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    alpha : float or schedule
        Share of the cache that is kept, in [0, 1); Keras and "Neural Networks from Scratch" call it rho and have 0.9.
    eps : float or schedule
        Finite, >= 0.
    eps_in_sqrt : bool
        ``sqrt(s + eps)``, as in Keras and TensorFlow 1.
    momentum : float or schedule
        Share of the velocity that is kept, in [0, 1].
    centered : bool
        Divide by the root of the variance of the gradient rather than of its mean square.
    lr_in_velocity : bool
        Keras' and TensorFlow 1's convention instead of PyTorch's.
    initial_accumulator_value : float
        Where the cache s starts: 0 in PyTorch and Keras, 1 in TensorFlow 1, which keeps the first steps small.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``, as Keras does.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.rmsprop`. ``torch.optim.RMSprop``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.RMSprop(weights, lr=0.1, alpha=0.9)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.684, -1.684])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-2,
        *,
        alpha: float | Schedule = 0.99,
        eps: float | Schedule = 1e-8,
        eps_in_sqrt: bool = False,
        momentum: float | Schedule = 0.0,
        centered: bool = False,
        lr_in_velocity: bool = False,
        initial_accumulator_value: float = 0.0,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            alpha=alpha,
            eps=eps,
            eps_in_sqrt=eps_in_sqrt,
            momentum=momentum,
            centered=centered,
            lr_in_velocity=lr_in_velocity,
            initial_accumulator_value=initial_accumulator_value,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(momentum: Any, centered: bool, **_: Any) -> Rule:
        if momentum == 0:
            return rules.RMSPROP_CENTERED if centered else rules.RMSPROP
        return rules.RMSPROP_CENTERED_MOMENTUM if centered else rules.RMSPROP_MOMENTUM


class Adam(Optimizer):
    """Adam, with bias correction; AMSGrad on demand.

    ``m = b1 m + (1-b1) g; v = b2 v + (1-b2) g**2; p -= lr * m_hat / (sqrt(v_hat) + eps)`` with
    ``m_hat = m / (1 - b1**t), v_hat = v / (1 - b2**t)`` at step t = 1, 2, ...

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    betas : pair of (float or schedule)
        Shares of the moments that are kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    eps_hat : bool
        Leave epsilon out of the bias correction, as Keras, scikit-learn and thinc do.
    amsgrad : bool
        Divide by the largest second moment so far.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``, as `AdamW` does.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.adam`. ``torch.optim.Adam``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.Adam(weights, lr=fastopt.schedules.InverseTimeDecay(0.5, decay=1e-2))
    >>> for _ in range(2):
    ...     opt.step(2 * weights)
    >>> weights.round(3), round(opt.lr, 6)
    (array([ 0.039, -1.014]), 0.490196)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-8,
        eps_hat: bool = False,
        amsgrad: bool = False,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            eps_hat=eps_hat,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(amsgrad: bool, **_: Any) -> Rule:
        return rules.AMSGRAD if amsgrad else rules.ADAM


class AdamW(Adam):
    """Adam with decoupled weight decay: ``p -= lr * weight_decay * p`` before each Adam step.

    Parameters
    ----------
    params, lr, betas, eps, eps_hat, amsgrad, state, steps
        As in `Adam`.
    weight_decay : float or schedule
        Share of a parameter that goes at rate 1, finite, >= 0; it does not enter the moments.
    cautious : bool
        Decay only those elements that the update brings nearer to zero, or leaves where they are; not with `amsgrad`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.adamw`. ``torch.optim.AdamW``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.AdamW(weights, lr=0.1, weight_decay=0.5)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.85, -1.8 ])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-8,
        eps_hat: bool = False,
        amsgrad: bool = False,
        weight_decay: float | Schedule = 1e-2,
        cautious: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        Optimizer.__init__(
            self,
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            eps_hat=eps_hat,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            decoupled=True,
            cautious=cautious,
        )

    @staticmethod
    def _rule(amsgrad: bool, cautious: bool = False, **_: Any) -> Rule:
        if amsgrad and cautious:
            raise ValueError("cautious: expected False with amsgrad, got True")
        return rules.AMSGRAD if amsgrad else rules.ADAM_CAUTIOUS if cautious else rules.ADAM


class Lion(Optimizer):
    """Lion: every element moves by the rate, in the direction of a moving average.

    ``c = b1 m + (1-b1) g; p -= lr * (sign(c) + weight_decay * p); m = b2 m + (1-b2) g``

    Parameters
    ----------
    params, betas, weight_decay, cautious, state, steps
        As in `AdamW`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done; 3 to 10 times smaller than Adam's.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.lion`. ``keras.optimizers.Lion``, ``optax.lion``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.Lion(weights, lr=0.1)
    >>> opt.step(2 * weights)
    >>> weights
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-4,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.99),
        weight_decay: float | Schedule = 0.0,
        cautious: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(params, state, steps, lr=lr, betas=betas, weight_decay=weight_decay, cautious=cautious)

    @staticmethod
    def _rule(cautious: bool, **_: Any) -> Rule:
        return rules.LION_CAUTIOUS if cautious else rules.LION


class Adamax(Optimizer):
    """Adamax: Adam with the largest of the fading gradients in place of their root mean square.

    ``m = b1 m + (1-b1) g; u = max(b2 u, abs(g) + eps); p -= lr / (1 - b1**t) * m / u`` at step t = 1, 2, ...

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    betas : pair of (float or schedule)
        Shares of the moment and of the maximum that are kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    eps_outside : bool
        ``u = max(b2 u, abs(g))`` and ``m / (u + eps)``, as in Keras.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.adamax`. ``torch.optim.Adamax``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.Adamax(weights, lr=0.1)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 2e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-8,
        eps_outside: bool = False,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            eps_outside=eps_outside,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.ADAMAX


class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's momentum, under a momentum that grows to its share.

    The formula is in `fastopt.kernels.nadam`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    betas : pair of (float or schedule)
        Shares of the moments that are kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    momentum_decay : float or schedule
        How fast the momentum grows, finite, >= 0; Keras has 1.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.nadam`. ``torch.optim.NAdam``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.NAdam(weights, lr=0.1)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.894, -1.894])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 2e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-8,
        momentum_decay: float | Schedule = 4e-3,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            momentum_decay=momentum_decay,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.NADAM


class RAdam(Optimizer):
    """RAdam: Adam that takes plain momentum's steps until there are enough gradients to tell their variance.

    The formula is in `fastopt.kernels.radam`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    betas : pair of (float or schedule)
        Shares of the moments that are kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    eps_hat : bool
        Leave epsilon out of the bias correction, as PyTorch does here; optax does not.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.radam`. ``torch.optim.RAdam``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.RAdam(weights, lr=0.1)
    >>> opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.8, -1.6])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-8,
        eps_hat: bool = True,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            eps_hat=eps_hat,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.RADAM


class Adadelta(Optimizer):
    """Adadelta: the size of a step comes from the sizes of those before.

    ``s = rho s + (1-rho) g**2; u = sqrt(d + eps) / sqrt(s + eps) * g; d = rho d + (1-rho) u**2; p -= lr * u``

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Factor on the update, or a callable of the number of steps done.
    rho : float or schedule
        Share of the averages that is kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0; it sets the size of the first steps.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.adadelta`. ``torch.optim.Adadelta``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.Adadelta(weights)
    >>> opt.step(2 * weights)
    >>> weights.round(4)
    array([ 0.9968, -1.9968])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1.0,
        *,
        rho: float | Schedule = 0.9,
        eps: float | Schedule = 1e-6,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            rho=rho,
            eps=eps,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.ADADELTA


class AdEMAMix(Optimizer):
    """AdEMAMix: Adam with a second, slow average of the gradient, for trainings of very many steps.

    The formula is in `fastopt.kernels.ademamix`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    betas : three of (float or schedule)
        Shares of the fast average, of the squares and of the slow average that are kept, in [0, 1).
    mixing : float or schedule
        Weight of the slow average, alpha in the paper, finite, >= 0.
    mixing_warmup, beta3_warmup : int
        Steps in which `mixing` and the share of the slow average grow; the paper has the number of all steps for both.
    eps : float or schedule
        Finite, >= 0.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.ademamix`. ``optax.contrib.ademamix``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.AdEMAMix(weights, lr=0.1, mixing_warmup=1000, beta3_warmup=1000)
    >>> for _ in range(2):
    ...     opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.8, -1.8])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule, float | Schedule] = (0.9, 0.999, 0.9999),
        mixing: float | Schedule = 5.0,
        mixing_warmup: int = 0,
        beta3_warmup: int = 0,
        eps: float | Schedule = 1e-8,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            mixing=mixing,
            mixing_warmup=mixing_warmup,
            beta3_warmup=beta3_warmup,
            eps=eps,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.ADEMAMIX


class ADOPT(Optimizer):
    """ADOPT: Adam that divides by the second moment of the steps before, so that it converges with any ``betas[1]``.

    The first step moves nothing. The formula is in `fastopt.kernels.adopt`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    betas : pair of (float or schedule)
        Shares of the averages that are kept, in [0, 1).
    eps : float or schedule
        Smallest root that a gradient is divided by, finite, >= 0; above zero for elements without gradients.
    clipped : bool
        Whether to bound the quotient by the fourth root of the number of steps done.
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    decoupled : bool
        Decay the parameter apart from the gradient, ``p -= lr * weight_decay * p``.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.adopt`. ``optax.contrib.adopt``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.ADOPT(weights, lr=0.1)
    >>> for _ in range(3):
    ...     opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.971, -1.971])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.9999),
        eps: float | Schedule = 1e-6,
        clipped: bool = True,
        weight_decay: float | Schedule = 0.0,
        decoupled: bool = False,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            clipped=clipped,
            weight_decay=weight_decay,
            decoupled=decoupled,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.ADOPT


class LAMB(Optimizer):
    """LAMB: AdamW with a rate for each array, in proportion to the norm of the array, for very large batches.

    The formula is in `fastopt.kernels.lamb`. Each step reads the arrays once more than AdamW's.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done.
    betas : pair of (float or schedule)
        Shares of the moments that are kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    weight_decay : float or schedule
        Share of a parameter that goes at rate 1, decoupled from the moments, part of the update's norm; finite, >= 0.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.lamb`. ``keras.optimizers.Lamb``, ``optax.lamb``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.LAMB(weights, lr=0.1)
    >>> opt.step(2 * weights)
    >>> weights.round(4)
    array([ 0.8419, -1.8419])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-6,
        weight_decay: float | Schedule = 0.0,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            eps_hat=False,
            weight_decay=weight_decay,
            decoupled=True,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.LAMB


class _ScheduleFree(Optimizer, Averaging):
    """What the Schedule-Free rules have in common: the mean that they are evaluated with."""

    _inner: ClassVar[str]  # hyper-parameter that says where gradients are taken between z and the mean

    def _averaged_groups(self) -> list[Group]:
        return self.groups

    def _current_averages(self) -> Iterator[Array]:
        for group in self.groups:
            share = dict(zip(group.rule.hyper_parameters, group.values(self.steps), strict=True))[self._inner]
            for param, z in zip(group.params, group.state["z"], strict=True):
                yield param + (1.0 - 1.0 / share) * (z - param)

    def finish(self) -> None:
        """Put the mean into the parameters for good, and let further steps go on from there."""
        super().finish()
        for group in self.groups:
            for param, z in zip(group.params, group.state["z"], strict=True):
                z[...] = param

    def step(self, grads: Any, **options: Any) -> bool | None:
        """Update the parameters in place.

        Parameters
        ----------
        grads, **options
            As in `fastopt.Optimizer.step`; gradients are those at the parameters as they are between steps.

        Raises
        ------
        RuntimeError
            The parameters are swapped for their mean: `train` puts them back.
        TypeError, ValueError, IndexError
            As in `fastopt.Optimizer.step`.
        """
        self._refuse_averages("step")
        return super().step(grads, **options)

    def state_dict(self) -> dict[str, Array | float | int]:
        """Return copies of all state; after `eval` also ``"trained.<parameter>"``, the parameters themselves.

        Returns
        -------
        dict
            As in `fastopt.Optimizer.state_dict`.
        """
        return {**super().state_dict(), **self._trained_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, and whether it was saved after `eval`; see `fastopt.Optimizer`."""
        found = taken(state)
        trained = self._take_trained(found)
        super().load_state_dict(found)
        self._trained = trained


class ScheduleFreeSGD(_ScheduleFree):
    """Schedule-Free SGD: gradient descent with an average in the place of a falling rate.

    Between steps the parameters are where gradients are taken; a model is evaluated with their mean, after `eval` or
    within `averaged`. The formula is in `fastopt.kernels.schedule_free_sgd`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done; a constant after the warm-up is what it is made for.
    momentum : float or schedule
        Where gradients are taken between the point that descends and the mean, in (0, 1].
    weight_decay : float or schedule
        L2 penalty in the gradient: ``g = grad + weight_decay * p``.
    warmup_steps : int
        Steps in which the rate grows to `lr`, at least 0.
    r : float
        Exponent of the step in the weights of the mean, in [0, 5]: the larger, the less early steps count.
    weight_lr_power : float
        Exponent of the growing rate in these weights, in [0, 5].
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.schedule_free_sgd`. ``schedulefree.SGDScheduleFree``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.ScheduleFreeSGD(weights, lr=0.1)
    >>> for _ in range(3):
    ...     opt.step(2 * weights)
    >>> with opt.averaged():
    ...     print(weights.round(4))
    [ 0.6459 -1.2917]
    """

    _inner = "momentum"

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1.0,
        *,
        momentum: float | Schedule = 0.9,
        weight_decay: float | Schedule = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            r=r,
            weight_lr_power=weight_lr_power,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.SCHEDULE_FREE_SGD


class ScheduleFreeAdamW(_ScheduleFree):
    """Schedule-Free AdamW: an average in the place of momentum and of a falling rate.

    Between steps the parameters are where gradients are taken; a model is evaluated with their mean, after `eval` or
    within `averaged`. The formula is in `fastopt.kernels.schedule_free_adamw`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate, or a callable of the number of steps done; a constant after the warm-up is what it is made for.
    betas : pair of (float or schedule)
        Where gradients are taken between the point that descends and the mean, in (0, 1), and the share of the second
        moment that is kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    weight_decay : float or schedule
        Share of a parameter that goes at rate 1, finite, >= 0; it does not enter the moment.
    warmup_steps : int
        Steps in which the rate grows to `lr`, at least 0.
    r : float
        Exponent of the step in the weights of the mean, in [0, 5]: the larger, the less early steps count.
    weight_lr_power : float
        Exponent of the growing rate in these weights, in [0, 5].
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.schedule_free_adamw`. ``schedulefree.AdamWScheduleFree``,
    ``keras.optimizers.ScheduleFreeAdamW``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.ScheduleFreeAdamW(weights, lr=0.1, warmup_steps=10)
    >>> for _ in range(3):
    ...     opt.step(2 * weights)
    >>> with opt.averaged():
    ...     print(weights.round(4))
    [ 0.9525 -1.9523]
    """

    _inner = "beta1"

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 2.5e-3,
        *,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-8,
        weight_decay: float | Schedule = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            r=r,
            weight_lr_power=weight_lr_power,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.SCHEDULE_FREE_ADAMW


class Split(Optimizer):
    """An optimizer that has put its parameters into groups of its own, and takes gradients in the structure of old."""

    _kept = ("_split", "_group_names")
    _split: bool = True

    @property
    def _group_names(self) -> list[list[str]]:
        return [group.names for group in self.groups]

    def step(self, grads: Any, **options: Any) -> bool | None:
        """Update the parameters in place; see `Optimizer.step`.

        Parameters
        ----------
        grads : like `params`
            Gradients in the structure of the parameters as they were given.
        **options
            As in `Optimizer.step`; `rows` is a list with an entry for each of `groups`.
        """
        return super().step(by_names(grads, "grads", self._group_names) if self._split else grads, **options)

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with hyper-parameters of their own, to those that were given as groups.

        Parameters
        ----------
        group : mapping
            See `Optimizer.add_group`.

        Raises
        ------
        RuntimeError
            The parameters were not given as groups.
        """
        if self._split:
            raise RuntimeError("add_group: expected parameters that were given as groups, got a tree that was split")
        super().add_group(group)


class Muon(Split):
    """Muon for matrices: momentum whose singular values are all brought near 1; AdamW for everything else.

    Arrays of two axes are matrices, all others are updated by AdamW with the same rate and weight decay. What is a
    matrix and should be AdamW's all the same, as embeddings and the last layer, is a group with ``"adamw": True``, and
    then every array is in a group: the others without that key are Muon's, and have to be matrices. The formula is in
    `fastopt.kernels.muon`; the products are those of NumPy's BLAS, and their last bits are its affair.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, updated in place; see `Optimizer`.
    lr : float or schedule
        Learning rate of both, or a callable of the number of steps done; that of AdamW fits because of `match_rms`.
    weight_decay : float or schedule
        Share of a parameter that goes at rate 1, decoupled, finite, >= 0.
    momentum : float or schedule
        Share of Muon's average that is kept, in [0, 1].
    nesterov : bool
        Look ahead along the average.
    ns_coefficients : three of float
        Coefficients of the Newton-Schulz steps.
    ns_steps : int
        Number of Newton-Schulz steps, at least 0.
    ns_eps : float
        Smallest norm that a matrix is divided by before them, finite, >= 0.
    match_rms : bool
        Scale updates to the size of AdamW's, ``0.2 * sqrt(max(rows, columns))``; else
        ``sqrt(max(1, rows / columns))``, PyTorch's default, which asks for a rate of its own.
    betas, eps
        AdamW's, as in `AdamW`.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.muon`. ``torch.optim.Muon``, ``keras.optimizers.Muon``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weight, bias = np.eye(2), np.zeros(2)
    >>> opt = fastopt.Muon([weight, bias], lr=0.1, weight_decay=0.0)
    >>> opt.step([np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1.0, -1.0])])
    >>> weight.round(2), bias.round(2)
    (array([[0.98, 0.  ],
           [0.  , 0.97]]), array([-0.1,  0.1]))
    """

    def __init__(
        self,
        params: Any,
        lr: float | Schedule = 1e-3,
        *,
        weight_decay: float | Schedule = 0.1,
        momentum: float | Schedule = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        ns_steps: int = 5,
        ns_eps: float = 1e-7,
        match_rms: bool = True,
        betas: tuple[float | Schedule, float | Schedule] = (0.9, 0.999),
        eps: float | Schedule = 1e-8,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        params = taken_once(params)
        self._split = not is_grouped(params)
        super().__init__(
            self._split_by_shape(params) if self._split else params,
            state,
            steps,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            ns_steps=ns_steps,
            ns_eps=ns_eps,
            match_rms=match_rms,
            betas=betas,
            eps=eps,
            eps_hat=False,
            decoupled=True,
            adamw=False,
        )
        self.params = params

    @staticmethod
    def _check_group(group: Group) -> None:
        for param, suffix in zip(group.params, group.suffixes, strict=True):
            if group.rule.layerwise:
                check_matrix(param, "params" + suffix)

    @staticmethod
    def _split_by_shape(params: Any) -> list[dict[str, Any]]:
        """Return the groups of matrices and of the rest, each with the names that they have in the state."""
        leaves = named(Tree(params, "params"), "params")
        matrices = {name: leaf for name, leaf in leaves.items() if np.ndim(leaf) == 2}
        others = {name: leaf for name, leaf in leaves.items() if name not in matrices}
        groups = [{"params": matrices, "adamw": False}, {"params": others, "adamw": True}]
        return [group for group in groups if group["params"]]

    @staticmethod
    def _rule(adamw: bool, **_: Any) -> Rule:
        return rules.ADAM if adamw else rules.MUON


class Rprop(Optimizer):
    """Rprop: every element has a step size of its own, which grows while the sign of its gradient stays.

    For gradients of the whole data; the formula is in `fastopt.kernels.rprop`.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place; see `Optimizer`.
    lr : float
        The first step size, finite, >= 0; it cannot change later.
    eta_minus, eta_plus : float or schedule
        Factors of a step size, in (0, 1) and above 1.
    step_size_min, step_size_max : float or schedule
        Bounds of the step sizes, finite, >= 0.
    state, steps
        State arrays and steps to go on from; see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        A parameter or hyper-parameter does not fit; the message names it.

    References
    ----------
    See `fastopt.kernels.rprop`. ``torch.optim.Rprop``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.Rprop(weights, lr=0.1)
    >>> for _ in range(2):
    ...     opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.78, -1.78])
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        *,
        eta_minus: float | Schedule = 0.5,
        eta_plus: float | Schedule = 1.2,
        step_size_min: float | Schedule = 1e-6,
        step_size_max: float | Schedule = 50.0,
        state: Mapping[str, Any] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(
            params,
            state,
            steps,
            lr=lr,
            eta_minus=eta_minus,
            eta_plus=eta_plus,
            step_size_min=step_size_min,
            step_size_max=step_size_max,
        )

    @staticmethod
    def _rule(**_: Any) -> Rule:
        return rules.RPROP
