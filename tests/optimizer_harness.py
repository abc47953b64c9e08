"""Parameters of one model in every structure, and optimizers of the table over them."""

import io
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from harness import DTYPES
from table import CLASSES, OPTIMIZER_VARIANTS, OPTIMIZERS

import fastopt

SHAPES = ((4, 5), (5,), (), (33, 3))
SHAPE_NAMES = ("weight", "bias", "scale", "table")

Layer = namedtuple("Layer", "weight bias")

each_case = pytest.mark.parametrize("case", OPTIMIZERS, ids=str)
each_variant = pytest.mark.parametrize("case", OPTIMIZER_VARIANTS, ids=str)
each_class = pytest.mark.parametrize("variants", CLASSES.values(), ids=CLASSES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@dataclass(frozen=True)
class Structure:
    """How a list of four arrays is handed over, as parameters and as gradients."""

    name: str
    params: Callable
    grads: Callable


def named(arrays, names=SHAPE_NAMES):
    return dict(zip(names, arrays, strict=True))


STRUCTURES = (
    Structure("list", list, list),
    Structure("tuple", tuple, tuple),
    Structure("mapping", named, named),
    Structure("mapping, other order", named, lambda a: dict(reversed(list(named(a).items())))),
    Structure(
        "groups",
        lambda a: [{"params": a[:1]}, {"params": tuple(a[1:])}],
        lambda a: [a[:1], tuple(a[1:])],
    ),
    Structure(
        "groups of an array, a mapping and a list",
        lambda a: [
            {"params": a[0]},
            {"params": named(a[1:3], SHAPE_NAMES[1:3])},
            {"params": a[3:]},
        ],
        lambda a: [a[0], named(a[1:3], SHAPE_NAMES[1:3]), a[3:]],
    ),
    *(
        Structure(name, tree, tree)
        for name, tree in {
            "tuples and a mapping": lambda a: [(a[0], a[1]), {"scale": a[2], "table": a[3]}],
            "mapping of lists": lambda a: {"layers": [a[0], (a[1],)], "rest": {"scale": a[2], "table": a[3]}},
            "named tuples": lambda a: (Layer(a[0], a[1]), Layer(weight=a[2], bias=a[3])),
        }.items()
    ),
    Structure(
        "groups of trees",
        lambda a: [{"params": {"a": [a[0], a[1]]}}, {"params": (a[2], {"b": a[3]})}],
        lambda a: [{"a": [a[0], a[1]]}, (a[2], {"b": a[3]})],
    ),
)


def random_arrays(dtype, seed, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape)).astype(dtype) for shape in shapes]


def build(case, params, **options):
    return getattr(fastopt, case.name)(params, **(case.options | options))


def set_hyper_parameter(group, name, value):
    """Set a hyper-parameter of a group, which may be one of a pair."""
    if name in group.hyper_parameters():
        setattr(group, name, value)
        return
    pair, i = name[:-1] + "s", int(name[-1]) - 1
    values = list(getattr(group, pair))
    values[i] = value
    setattr(group, pair, values)


def equal_states(one, other):
    """The same keys, and for each the same type of value to the bit."""
    return one.keys() == other.keys() and all(
        np.asarray(one[key]).dtype == np.asarray(other[key]).dtype
        and np.asarray(one[key]).tobytes() == np.asarray(other[key]).tobytes()
        for key in one
    )


def saved(opt):
    """What `np.load` gives of what `np.savez` wrote, without pickle."""
    file = io.BytesIO()
    np.savez(file, **opt.state_dict())
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def falling(step):
    return 0.1 / (1 + step)


def rising(step):
    return 0.5 + 0.1 * min(step, 4)
