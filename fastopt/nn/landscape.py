"""The loss around a trained network, along one or two directions of its parameters."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastopt._typing import Array
from fastopt.nn.training import Model

Float64s = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LossLine:
    """The loss along one filter-normalised direction.

    Parameters
    ----------
    position : ndarray of float64, shape (n,)
        Distance from the network; 1 is as far as its weights are long, filter by filter.
    loss : ndarray of float64, shape (n,)
        The loss there.
    """

    position: Float64s
    loss: Float64s


@dataclass(frozen=True, eq=False)
class LossSurface:
    """The loss over a plane through a network's parameters.

    Parameters
    ----------
    a, b : ndarray of float64, shapes (n,), (m,)
        Positions along both directions; the network is at (0, 0).
    loss : ndarray of float64, shape (m, n)
        The loss at each (a, b).
    path : ndarray of float64, shape (steps, 2), optional
        The optimizer's path, projected onto the plane.
    explained : ndarray of float64, shape (2,), optional
        Share of the path's variance along each direction.
    """

    a: Float64s
    b: Float64s
    loss: Float64s
    path: Float64s | None = None
    explained: Float64s | None = None


def measure_line(net: Model, X: Any, y: Any, *, span: float = 1.0, points: int = 51, seed: int = 0) -> LossLine:
    """Measure the loss along one random filter-normalised direction.

    The direction is drawn from a normal distribution, and each filter d (the weights into one
    unit) is scaled to the length of the network's own: ``d <- d / ||d|| * ||w||``. Biases stay.
    Because of this scaling, pictures of different networks can be compared.

    Parameters
    ----------
    net : Network
        A trained network, which stays as it is.
    X, y : array_like
        The samples to measure the loss on.
    span : float
        From ``-span`` to ``span``.
    points : int
        Number of points.
    seed : int
        Same seed, same direction.

    Returns
    -------
    LossLine

    References
    ----------
    Li, Xu, Taylor, Studer and Goldstein, Visualizing the Loss Landscape of Neural Nets,
    NeurIPS 2018, section 4 (filter normalization).
    """
    rng = np.random.default_rng(seed)
    position = np.linspace(-span, span, points)
    direction = _filter_normalised(net, rng)[None]
    return LossLine(position, _losses(net, X, y, position[:, None], direction))


def measure_surface(
    net: Model,
    X: Any,
    y: Any,
    *,
    path: Sequence[Array] | None = None,
    span: float = 0.5,
    points: int = 41,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LossSurface:
    """Measure the loss over a plane around a network.

    Without a path, the plane is spanned by two random filter-normalised directions (see
    `measure_line`). With one, by the first two principal components of the path as seen from the
    network, and large enough to hold it.

    Parameters
    ----------
    net : Network
        A trained network, which stays as it is.
    X, y : array_like
        The samples to measure the loss on.
    path : sequence of ndarray, optional
        Copies of ``net.params`` from the training, at least three, oldest first.
    span : float
        Without a path: from ``-span`` to ``span`` along both directions.
    points : int
        Number of points along each direction.
    seed : int
        Same seed, same random directions.
    progress : callable, optional
        ``progress(done, total)`` is called after each point.

    Returns
    -------
    LossSurface

    Raises
    ------
    ValueError
        If the path has fewer than three points or does not fit the network.

    References
    ----------
    Li et al. 2018 (see `measure_line`), sections 4 and 7.2 (trajectories and PCA directions).
    """
    projected = explained = None
    if path is None:
        rng = np.random.default_rng(seed)
        directions = np.stack([_filter_normalised(net, rng) for _ in range(2)])
        a = b = np.linspace(-span, span, points)
    else:
        if len(path) < 3 or any(np.shape(step) != net.params.shape for step in path):
            raise ValueError(f"path: expected at least 3 arrays of shape {net.params.shape}, got {len(path)}")
        steps = np.stack([np.asarray(step, dtype=np.float64) for step in path]) - net.params
        _, lengths, components = np.linalg.svd(steps, full_matrices=False)
        directions = components[:2]
        # The sign of a component is arbitrary: the path comes from the left and from above.
        directions *= np.where(directions @ steps[0] > 0, -1.0, 1.0)[:, None] * [[1.0], [-1.0]]
        projected = steps @ directions.T
        explained = lengths[:2] ** 2 / max((lengths**2).sum(), np.finfo(float).tiny)
        a, b = (_range(projected[:, k], points) for k in range(2))
    where = np.stack([v.ravel() for v in np.meshgrid(a, b)], axis=1)
    loss = _losses(net, X, y, where, directions, progress).reshape(len(b), len(a))
    return LossSurface(a, b, loss, projected, explained)


def _range(path: Float64s, points: int) -> Float64s:
    low, high = min(path.min(), 0.0), max(path.max(), 0.0)
    margin = 0.2 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, points)


def _filter_normalised(net: Model, rng: np.random.Generator) -> Float64s:
    # The direction is laid out through the layers' own views, whatever their order in params.
    direction = copy.copy(net)
    weights, drawn = (
        [layer.weight for layer in cast("list[Any]", model.layers) if hasattr(layer, "weight")]
        for model in (net, direction)
    )
    direction.params[...] = 0
    for weight, target in zip(weights, drawn, strict=True):
        values = rng.standard_normal(weight.shape)
        length = np.linalg.norm(values, axis=0)
        target[...] = values * (np.linalg.norm(weight.astype(np.float64), axis=0) / np.maximum(length, 1e-10))
    return direction.params.astype(np.float64)


def _losses(
    net: Model,
    X: Any,
    y: Any,
    where: Float64s,
    directions: Float64s,
    progress: Callable[[int, int], None] | None = None,
) -> Float64s:
    # A copy is moved: the network may be at work in other threads.
    moved, losses = copy.copy(net), np.empty(len(where))
    center = moved.params.copy()
    # Far out a loss may well overflow: that is a result.
    with np.errstate(over="ignore", invalid="ignore"):
        for i, position in enumerate(where):
            moved.params[...] = center + position @ directions
            losses[i] = moved.evaluate(X, y)["loss"]
            if progress is not None:
                progress(i + 1, len(where))
    return losses
