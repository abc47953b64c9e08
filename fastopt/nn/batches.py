"""Mini-batches."""

from typing import TYPE_CHECKING

import numpy as np

from fastopt._typing import Array

if TYPE_CHECKING:
    pass

__all__ = ["Batches"]


class Batches:
    """The batches of an epoch, in buffers made once.

    The order of an epoch depends on the seed and the number of the epoch alone, so that a run can
    be resumed anywhere without a generator's state.
    """

    def __init__(self, X: Array, y: Array, size: int | None, shuffle: bool, seed: int) -> None:
        self.X: Array = X
        self.y: Array = y
        self.size: int = len(X) if size is None else min(int(size), len(X))
        self.shuffle: bool = shuffle and self.size < len(X)
        self.seed = seed
        if self.shuffle:
            self._x = np.empty((self.size, *X.shape[1:]), X.dtype)
            self._y = np.empty((self.size, *y.shape[1:]), y.dtype)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.X) // self.size)

    def begin(self, epoch: int) -> None:
        """Make the order of an epoch."""
        if self.shuffle:
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.X))

    def __getitem__(self, i: int) -> tuple[Array, Array]:
        """Return inputs and targets of batch `i`, which the next call may overwrite."""
        if len(self) == 1:
            return self.X, self.y
        rows = slice(i * self.size, (i + 1) * self.size)
        if not self.shuffle:
            return self.X[rows], self.y[rows]
        order = self._order[rows]
        # With mode="raise", the default, np.take fills a copy of `out` first.
        x = np.take(self.X, order, axis=0, out=self._x[: len(order)], mode="clip")
        y = np.take(self.y, order, axis=0, out=self._y[: len(order)], mode="clip")
        return x, y
