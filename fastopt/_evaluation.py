"""Averages in the place of the parameters: for evaluation, and back for training, to the bit."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastopt._groups import Group
from fastopt._typing import Array
from fastopt.kernels._checks import describe


class Averaging(ABC):
    """What optimizers that average have in common: `eval`, `train`, `finish`, and the saving of what is in."""

    _trained: list[Array] | None = None  # the parameters as they are trained, while their averages stand in for them

    @abstractmethod
    def _current_averages(self) -> Iterator[Array]:
        """Yield the average of each parameter, in the order of the groups."""

    @abstractmethod
    def _averaged_groups(self) -> list[Group]:
        """Return the groups whose parameters are averaged."""

    def _parameters(self) -> list[Array]:
        return [param for group in self._averaged_groups() for param in group.params]

    def _names(self) -> list[str]:
        return [name for group in self._averaged_groups() for name in group.names]

    def _refuse_averages(self, what: str) -> None:
        if self._trained is not None:
            raise RuntimeError(
                f"{what}: expected the parameters in place, got their averages: train() puts the parameters back"
            )

    def eval(self) -> None:
        """Put the averages into the parameters; a copy of the parameters is kept for `train`.

        Where they are there already, nothing is done.

        Examples
        --------
        >>> import fastopt, numpy as np
        >>> weights = np.array([1.0, -2.0])
        >>> opt = fastopt.EMA(fastopt.SGD(weights, lr=0.5), decay=0.5)
        >>> opt.step(weights.copy())
        >>> opt.eval()
        >>> weights
        array([ 0.75, -1.5 ])
        >>> opt.train()
        >>> weights
        array([ 0.5, -1. ])
        """
        if self._trained is None:
            averages = list(self._current_averages())
            self._trained = [param.copy() for param in self._parameters()]
            for param, average in zip(self._parameters(), averages, strict=True):
                param[...] = average

    def train(self) -> None:
        """Put the parameters back, to the bit, in the place of their averages.

        Where they are there already, nothing is done.
        """
        if self._trained is not None:
            for param, before in zip(self._parameters(), self._trained, strict=True):
                param[...] = before
            self._trained = None

    def finish(self) -> None:
        """Put the averages into the parameters for good: further steps go on from there.

        Examples
        --------
        >>> import fastopt, numpy as np
        >>> weights = np.array([1.0, -2.0])
        >>> opt = fastopt.ScheduleFreeSGD(weights, lr=0.1)
        >>> for _ in range(2):
        ...     opt.step(2 * weights)
        >>> opt.finish()
        >>> weights
        array([ 0.72, -1.44])
        """
        self.eval()
        self._trained = None

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averages into the parameters for a while: `eval` and `train` around a block.

        Raises
        ------
        RuntimeError
            The averages are there already.

        Examples
        --------
        >>> import fastopt, numpy as np
        >>> weights = np.array([1.0, -2.0])
        >>> opt = fastopt.EMA(fastopt.SGD(weights, lr=0.5), decay=0.5)
        >>> opt.step(weights.copy())
        >>> with opt.averaged():
        ...     print(weights)
        [ 0.75 -1.5 ]
        >>> weights
        array([ 0.5, -1. ])
        """
        self._refuse_averages("averaged")
        self.eval()
        try:
            yield
        finally:
            self.train()

    def _trained_state(self) -> dict[str, Array]:
        """Return copies of the parameters that their averages stand in for, nothing while they are in place."""
        kept = self._trained or []
        return {f"trained.{name}": array.copy() for name, array in zip(self._names(), kept, strict=bool(kept))}

    def _take_trained(self, state: dict[str, Any]) -> list[Array] | None:
        """Take what `_trained_state` has saved out of a state; return None where the parameters were in place."""
        if not any(name.startswith("trained.") for name in state):
            return None
        return take_arrays(state, "trained", self._names(), self._parameters())


def take_arrays(state: dict[str, Any], prefix: str, names: list[str], models: list[Array]) -> list[Array]:
    """Take arrays ``prefix.name`` out of a state, each like its model, or raise an error that names the first other."""
    found = []
    for name, model in zip(names, models, strict=True):
        if f"{prefix}.{name}" not in state:
            raise ValueError(f"state: expected '{prefix}.{name}', got none: it was saved without averages")
        array = np.asarray(state.pop(f"{prefix}.{name}"))
        if (array.shape, array.dtype) != (model.shape, model.dtype):
            raise ValueError(
                f"state '{prefix}.{name}': expected shape {model.shape} and dtype {model.dtype}, "
                f"got {array.shape} and {describe(array.dtype)}"
            )
        found.append(array.copy())
    return found


def taken(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dictionary or an open ``.npz`` file as a dictionary of its own."""
    if not hasattr(state, "items"):
        raise TypeError(f"state: expected a mapping of names to arrays, got {type(state).__name__}")
    return dict(state.items())
