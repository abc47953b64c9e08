"""Nested structures of arrays: mappings, lists and tuples, named ones too, within each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

LISTS = (list, tuple)  # a union of the two, written in place, would be made anew in every step

# What an object has that is itself an array, or lends its memory as one.
_OF_ARRAYS = ("__array_interface__", "__dlpack__", "__array__")


class Tree:
    """The structure of parameters, which their gradients and states have too.

    Attributes
    ----------
    leaves : list
        The entries that are no mappings, lists or tuples, in the order of iteration.
    suffixes : list of str
        What names each leaf in a message: ``[0]['weight']``.
    paths : list of tuple
        Keys and positions that lead to each leaf.
    flat : bool
        Whether it is a list or tuple of leaves.
    top : object
        What was given, a generator as a list.
    """

    def __init__(self, tree: Any, what: str) -> None:
        self.leaves: list[Any] = []
        self.paths: list[tuple[Any, ...]] = []
        self.top = taken_once(tree)
        self._shape = self._read(self.top, (), what)
        self.suffixes = ["".join(f"[{key!r}]" for key in path) for path in self.paths]
        self.flat = isinstance(self._shape, list) and not any(self._shape)
        self._single = self._shape is None

    def _read(self, tree: Any, path: tuple[Any, ...], what: str) -> Any:
        """Collect the leaves; return None for a leaf, a list or a dictionary of the same for others."""
        tree = taken_once(tree)
        if isinstance(tree, Mapping):
            return {key: self._read(value, (*path, key), what) for key, value in tree.items()}
        if isinstance(tree, LISTS):
            return [self._read(value, (*path, i), what) for i, value in enumerate(tree)]
        self.leaves.append(tree)
        self.paths.append(path)
        return None

    def leaves_of(self, tree: Any, what: str) -> Sequence[Any]:
        """Return the leaves of another tree of this structure, or raise an error that names the part that differs."""
        if self.flat and isinstance(tree, LISTS):  # the common case
            return tree
        if self._single:
            return [tree]
        return list(_matched(self._shape, taken_once(tree), what))


def named(tree: Tree, what: str) -> dict[str, Any]:
    """Return the leaves of a tree by the names that they have in the state of an optimizer."""
    names = [".".join(map(str, path)) for path in tree.paths]
    if len(set(names)) < len(names):
        raise ValueError(f"{what}: expected distinct names, got {sorted(n for n in set(names) if names.count(n) > 1)}")
    return dict(zip(names, tree.leaves, strict=True))


def by_names(tree: Any, what: str, names: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Split a tree into groups of its leaves by their names, which must be these."""
    given = named(Tree(tree, what), what)
    expected = [name for group in names for name in group]
    if given.keys() != set(expected):
        missing = [name for name in expected if name not in given]
        unknown = [name for name in given if name not in expected]
        raise ValueError(f"{what}: expected the structure of params, got missing {missing} and unknown {unknown}")
    return [{name: given[name] for name in group} for group in names]


def _matched(shape: Any, tree: Any, what: str) -> Iterator[Any]:
    if shape is None:
        yield tree
    elif isinstance(shape, dict):
        if not isinstance(tree, Mapping):
            raise TypeError(f"{what}: expected a mapping of names to arrays like params, got {type(tree).__name__}")
        if len(tree) != len(shape) or any(key not in tree for key in shape):
            missing = [key for key in shape if key not in tree]
            unknown = [key for key in tree if key not in shape]
            raise ValueError(f"{what}: expected the keys of params, got missing {missing} and unknown {unknown}")
        for key, part in shape.items():
            yield from _matched(part, tree[key], f"{what}[{key!r}]")
    else:
        tree = taken_once(tree)
        if not isinstance(tree, LISTS):
            raise TypeError(f"{what}: expected a list of arrays like params, got {type(tree).__name__}")
        if len(tree) != len(shape):
            raise ValueError(f"{what}: expected {len(shape)} entries like params, got {len(tree)}")
        for i, part in enumerate(shape):
            yield from _matched(part, tree[i], f"{what}[{i}]")


def taken_once(value: Any) -> Any:
    """Return the items of a generator, or of another iterable in order, as a list; arrays and the rest as they are."""
    if isinstance(value, Mapping | Set | list | tuple | str | bytes) or not isinstance(value, Iterable):
        return value
    if any(hasattr(value, name) for name in _OF_ARRAYS):
        return value
    try:
        memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        return list(value)
    return value
