"""Smoothing without lag."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def smooth(losses: Array, width: int) -> Array:
    """Return the moving averages, over about half of `width` points, of the moving medians over `width` points.

    The medians take out single losses that stick out, the averages the jags of the medians. Each window is centred on
    its point, so that nothing is shifted; at the ends, the curve is mirrored.
    """
    half = width // 2
    return _moving(np.mean, _moving(np.median, losses, half), half // 2)


def _moving(function: Callable[..., Any], values: Array, half: int) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, half, mode="symmetric"), 2 * half + 1)
    return np.asarray(function(windows, axis=-1), np.float64)
