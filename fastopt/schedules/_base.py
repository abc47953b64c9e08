"""The base class of schedules: it checks the step, and saves the state of those that have one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from fastopt._checks import integer

check_step = integer(0)


class Schedule(ABC):
    """A callable step -> rate.

    A schedule of your own needs no base class, any callable will do. Derive from this one, and
    write `_at`, to have the step checked, or to have your state saved from within `Warmup` and the
    like.
    """

    def __call__(self, step: int) -> float:
        """Return the rate of the update number `step`, counted from 0.

        Parameters
        ----------
        step : int
            Updates done so far, at least 0.

        Returns
        -------
        float
            The rate of the next update.

        Raises
        ------
        TypeError
            If `step` is not an integer.
        ValueError
            If `step` is negative.
        """
        # The usual case costs two comparisons; NumPy's integers and all that is wrong go on.
        if type(step) is not int or step < 0:
            step = check_step("step", step)
        return self._at(step)

    @abstractmethod
    def _at(self, step: int) -> float:
        """Return the rate at a step already checked."""

    def _parts(self) -> tuple[Callable[[int], float], ...]:
        """Return the schedules that this one is made from."""
        return ()

    def _schedules(self) -> dict[str, "Schedule"]:
        parts = enumerate(self._parts())
        return {f"{i}.": part for i, part in parts if isinstance(part, Schedule)}

    @property
    def cyclic(self) -> bool:
        """Whether the rate comes in cycles, whose last steps `ends_cycle` tells."""
        return any(part.cyclic for part in self._schedules().values())

    def ends_cycle(self, step: int) -> bool:
        """Whether the update number `step`, from 0, is the last of a cycle."""
        check_step("step", step)
        return False

    def update(self, metric: float) -> None:
        """Pass a metric on to each `ReduceOnPlateau` inside; nothing else heeds it.

        Parameters
        ----------
        metric : float
            The latest value of what is watched, such as the validation loss of an epoch.
        """
        for part in self._schedules().values():
            part.update(metric)

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

    def _load(self, state: Mapping[str, Any]) -> None:
        for prefix, part in self._schedules().items():
            part.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})


def schedule_like(name: str, value: Any) -> Any:
    """Check for a schedule or another callable."""
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{name}: expected a schedule such as Constant(0.1), got {value!r}")
    return value
