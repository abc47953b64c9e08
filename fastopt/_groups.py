"""Parameter groups: what an optimizer keeps for each set of parameters that share hyper-parameters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastopt.kernels import _backend
from fastopt.kernels._checks import Array, as_array, check_streams
from fastopt.kernels._sweep import Sweep, prepare

_LISTS = (list, tuple)  # a union of the two, written in place, would be made anew in every step

# Hyper-parameters that decide which state arrays there are, or what they begin with.
_FIXED = ("amsgrad", "centered", "initial_accumulator_value")


class Group:
    """Parameters that share hyper-parameters; each hyper-parameter is an attribute that may be set between steps.

    Attributes
    ----------
    params : tuple of ndarray
        The arrays that the steps update.
    names : list of str
        Their names in the state: the keys of a mapping, else consecutive numbers.
    state : dict of str to tuple of ndarray
        State arrays by name, each tuple parallel to `params`.
    lr : float or schedule
        Learning rate; the optimizer's further hyper-parameters are attributes too.
    """

    lr: Any
    rule: str

    if TYPE_CHECKING:

        def __getattr__(self, hyper_parameter: str) -> Any: ...

    def __init__(self, params: Any, label: str, first_number: int, hyper: Mapping[str, Any]) -> None:
        self._single = not isinstance(params, list | tuple | Mapping)
        self._keys = list(params) if isinstance(params, Mapping) else None
        self._listed = not self._single and self._keys is None
        values = self.values_of(params, "params" + label)
        keys = self._keys if self._keys is not None else range(len(values))
        self.suffixes = [label] if self._single else [f"{label}[{key!r}]" for key in keys]
        self.params = tuple(as_array(v, "params" + suffix) for v, suffix in zip(values, self.suffixes, strict=True))
        self.names = [str(key) for key in self._keys or range(first_number, first_number + len(values))]
        self.state: dict[str, tuple[Array, ...]] = {}
        self._others: dict[str, Array] = {}
        self._sweep: Sweep | None = None
        self._bound_by: object = None
        check_streams(["params"], [self.params], self.suffixes)
        self._hyper = tuple(hyper)
        for name, value in hyper.items():
            setattr(self, name, value)

    def allocate(self, rule: str, states: Mapping[str, float]) -> None:
        """Choose the update rule and fill its state arrays, given by name, with their initial values."""
        self.rule = rule
        self.state = {name: tuple(_filled_like(p, value) for p in self.params) for name, value in states.items()}
        self._sealed = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Take hyper-parameters between steps, and refuse what would have no effect."""
        if getattr(self, "_sealed", False) and not name.startswith("_"):
            open_ones = [hyper for hyper in self._hyper if hyper not in _FIXED]
            if name not in open_ones:
                raise AttributeError(f"{name}: expected a hyper-parameter that may be changed, one of {open_ones}")
        super().__setattr__(name, value)

    def hyper_parameters(self) -> dict[str, Any]:
        """Return the hyper-parameters by name."""
        return {name: getattr(self, name) for name in self._hyper}

    def written(self) -> dict[str, Array]:
        """Return all arrays that a step writes, by their labels."""
        streams = {"param": self.params, **self.state}
        return {
            name + suffix: array
            for name, stream in streams.items()
            for suffix, array in zip(self.suffixes, stream, strict=True)
        }

    def keep_apart(self, others: Iterable["Group"]) -> None:
        """Refuse gradients that share memory with what a step of `others` writes."""
        self._others = {label: array for group in others for label, array in group.written().items()}

    def values_of(self, values: Any, what: str = "grads") -> Sequence[Any]:
        """Return what stands in `values`, which must have the structure of the parameters, for each of them."""
        if self._listed and isinstance(values, _LISTS):  # what it mostly is
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

    def arrays_of(self, grads: Any) -> list[Array]:
        """Return the gradients as plain arrays; `bind` then runs no code of theirs."""
        return self._plain(self.values_of(grads))

    def bind(self, values: Sequence[Any]) -> Sweep:
        """Return a sweep over parameters, gradients and state, or raise before anything is written."""
        sweep = self._sweep if self._bound_by is _backend.active else None
        if sweep is not None and sweep.rebind(values):
            return sweep
        values = self._plain(values)
        if sweep is None or not sweep.rebind(values):
            streams = (self.params, values, *self.state.values())
            sweep = prepare(("param", "grad", *self.state), streams, self.suffixes, self._others)
        self._sweep, self._bound_by = sweep, _backend.active
        return sweep

    def release(self) -> None:
        """Let go of the gradients."""
        if self._sweep is not None:
            self._sweep.release()

    def _plain(self, values: Sequence[Any]) -> list[Array]:
        if len(values) != len(self.params):
            raise ValueError(f"grads: expected {len(self.params)} arrays like params, got {len(values)}")
        return [as_array(value, "grad" + suffix) for value, suffix in zip(values, self.suffixes, strict=True)]


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


def make_groups(params: Any, defaults: Mapping[str, Any]) -> list[Group]:
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
        groups.append(Group(entry["params"], label, first_number, {**defaults, **hyper}))
    arrays = [array for group in groups for array in group.params]
    names = [name for group in groups for name in group.names]
    if not arrays:
        raise ValueError("params: expected at least one array, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"params: expected distinct names, got {sorted(n for n in set(names) if names.count(n) > 1)}")
    check_streams(["params"], [arrays], [suffix for group in groups for suffix in group.suffixes])
    return groups
