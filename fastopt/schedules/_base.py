"""The base class of schedules: it checks the step, and keeps the state of those that have one."""

import operator
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from fastopt._checks import RATE, integer

_check_count = integer(0)


def check_step(step: Any) -> int | float:
    """Return a step as a plain number: an int, or a float for a fraction of a step."""
    with suppress(TypeError):
        if not isinstance(step, bool) and (whole := operator.index(step)) >= 0:
            return whole  # as it is: a float would round what is above 2**53
    return RATE("step", step)


def check_update(step: Any) -> int:
    """Return the number of an update as a plain int."""
    return _check_count("step", step)


class Schedule(ABC):
    """A callable step -> rate.

    A schedule of your own needs no base class, any callable will do. Derive from this one, and
    write `_at`, to have the step checked. One with a state of its own, like `ReduceOnPlateau`,
    also writes `update`, `reset`, `state_dict` and `_load`; then its state is kept from within
    `Warmup` and the like too, and every optimizer starts it anew.
    """

    # The latest step asked for, and a weak reference to the optimizer that started this schedule:
    # no part of its value, so that neither comparisons nor copies nor pickles have them.
    _asked: int | float = 0
    _owner: Callable[[], object] = staticmethod(lambda: None)

    def __call__(self, step: float) -> float:
        """Return the rate of the update number `step`, counted from 0.

        Parameters
        ----------
        step : int or float
            Updates done so far, at least 0. Fractions give what lies between two updates, or with
            `PerEpoch` between two epochs.

        Returns
        -------
        float
            The rate of the next update.

        Raises
        ------
        TypeError
            If `step` is not a number.
        ValueError
            If `step` is negative, infinite or NaN.
        """
        # The usual case costs two comparisons; NumPy's integers and all that is wrong go on.
        if type(step) is not int or step < 0:
            step = check_step(step)
        return self._at(step)

    @abstractmethod
    def _at(self, step: float) -> float:
        """Return the rate at a step already checked."""

    def _parts(self) -> tuple[Callable[[int], float], ...]:
        """Return the schedules that this one is made from."""
        return ()

    def _in_force(self, step: float) -> Iterable[tuple[Any, float]]:
        """Return the parts that the rate of update `step` comes from, each with the step that it is at."""
        return ((part, step) for part in self._parts())

    def _schedules(self) -> dict[str, "Schedule"]:
        parts: Iterable[tuple[int, object]] = enumerate(self._parts())
        return {f"{i}.": part for i, part in parts if isinstance(part, Schedule)}

    @property
    def cyclic(self) -> bool:
        """Whether the rate comes in cycles, whose last steps `ends_cycle` tells."""
        return any(part.cyclic for part in self._schedules().values())

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of a cycle."""
        check_update(step)
        return False

    def update(self, metric: float, step: int | None = None) -> None:
        """Pass a metric on to each `ReduceOnPlateau` inside that is in force; nothing else heeds it.

        Parameters
        ----------
        metric : float
            The latest value of what is watched, such as the validation loss of an epoch.
        step : int, optional
            The number, from 0, of the latest update before the metric was measured: ``opt.steps - 1``.
            Default: the latest step that this schedule was asked for.
        """
        for schedule in stateful(self, step=self._asked if step is None else check_update(step)):
            schedule.update(metric)

    def start(self, owner: object) -> None:
        """Begin with the state of a new schedule, unless it was `owner` that began with this one before.

        Optimizers call it before their first step, so that a schedule that another training has used is as new.
        """
        start(owner, self)

    def reset(self) -> None:
        """Go back to the state of a new schedule: nothing to do, unless a `ReduceOnPlateau` is inside."""
        for schedule in stateful(self):
            if isinstance(schedule, Schedule) and schedule is not self:
                schedule.reset()

    def state_dict(self) -> dict[str, float | int]:
        """Return what is needed to go on: nothing, unless a `ReduceOnPlateau` is inside.

        Returns
        -------
        dict of str to float or int
            Keys of a schedule inside another start with its place: ``"0.lr"``.
        """
        return {
            prefix + key: value
            for prefix, part in self._schedules().items()
            for key, value in part.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned; nothing changes if any of it is wrong.

        Parameters
        ----------
        state : mapping of str to float or int
            Numbers may be 0-d arrays, as ``numpy.load`` gives them.

        Raises
        ------
        TypeError, ValueError
            If a key is missing or unknown, or a value cannot be.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state: expected a mapping, got {state!r}")
        before = self.state_dict()
        if state.keys() != before.keys():
            raise ValueError(f"state: expected the keys {sorted(before)}, got {sorted(state)}")
        try:
            self._load(state)
        except (TypeError, ValueError):
            self._load(before)
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_asked", "_owner")}

    def _load(self, state: Mapping[str, Any]) -> None:
        for prefix, part in self._schedules().items():
            part.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})


def schedule_like(name: str, value: Any) -> Any:
    """Check for a schedule or another callable."""
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{name}: expected a schedule such as Constant(0.1), got {value!r}")
    return value


def stateful(*values: Any, step: float | None = None) -> Iterator[Any]:
    """Yield the schedules that a metric is told to, each once, wherever they stand in `values`.

    Parameters
    ----------
    *values
        Hyper-parameters: numbers, flags, schedules, and tuples or lists of these, such as Adam's betas.
    step : float, optional
        Leave out what is not in force at the update of this number, such as the schedule behind a `Warmup` that has
        not ended.
    """
    found: dict[int, Any] = {}
    waiting = [(value, step) for value in reversed(values)]
    while waiting:
        value, at = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += [(item, at) for item in reversed(value)]
        elif isinstance(value, Schedule) and type(value).update is Schedule.update:
            parts = [(part, None) for part in value._parts()] if at is None else value._in_force(at)
            waiting += reversed([*parts])
        elif callable(value) and hasattr(value, "update"):
            found.setdefault(id(value), value)
    yield from found.values()


def start(owner: object, *values: Any) -> None:
    """Reset the schedules with state in `values`, unless it was `owner` that started them before.

    Whoever takes steps calls it before the first one. So a schedule that another training has used begins like a new
    one, as all other schedules do, while what it was told ahead of the first step of the same training counts.
    """
    for schedule in stateful(*values):
        if isinstance(schedule, Schedule) and schedule._owner() is not owner:
            schedule.reset()
            object.__setattr__(schedule, "_owner", weakref.ref(owner))
