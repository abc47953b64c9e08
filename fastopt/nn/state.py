"""State as plain arrays: what is saved without pickle, and checked whole before it is used."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastopt._typing import Array


def rng_state(rng: np.random.Generator) -> Array:
    """State of an SFC64 generator as an array of six uint64."""
    state: Any = rng.bit_generator.state
    return np.array([*state["state"]["state"], state["has_uint32"], state["uinteger"]], np.uint64)


def set_rng_state(rng: np.random.Generator, state: Array) -> None:
    """Put an SFC64 generator into a state that `rng_state` gave."""
    if state[4] > 1 or state[5] >= 2**32:
        raise ValueError(f"state['rng']: expected the state of an SFC64 generator, got {state}")
    rng.bit_generator.state = {
        "bit_generator": "SFC64",
        "state": {"state": np.array(state[:4], np.uint64)},
        "has_uint32": int(state[4]),
        "uinteger": int(state[5]),
    }


def checked_state(state: Mapping[str, Any], like: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays of `state`, once all names, shapes and data types are those of `like`."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a mapping of names to arrays, got {state!r}")
    if missing := sorted(like.keys() - state.keys()):
        raise ValueError(f"state: missing {', '.join(missing)}")
    if unknown := sorted(state.keys() - like.keys()):
        raise ValueError(f"state: unknown {', '.join(map(str, unknown))}")
    arrays = {name: np.asarray(state[name]) for name in like}
    for name, array in arrays.items():
        expected = like[name]
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise ValueError(
                f"state[{name!r}]: expected shape {expected.shape} and {expected.dtype}, "
                f"got {array.shape} and {array.dtype}"
            )
    return arrays
