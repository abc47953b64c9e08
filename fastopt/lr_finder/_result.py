"""The result of a range test: its losses, their phases, and the rates that they suggest."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from fastopt.lr_finder._rules import minimum, steepest, valley

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mode = Literal["exponential", "linear"]


@dataclass(frozen=True)
class RangeTest:
    """The rates and losses of a range test, and what follows from them.

    Parameters
    ----------
    mode : {"exponential", "linear"}
        How the rate grew.
    steps : int
        Steps planned; fewer were done if the loss diverged.
    diverged : bool
        Whether the test ended because of the loss.
    lrs, losses, smoothed : tuple of float
        The rate of each step, the loss before its update, and the exponential average of the
        losses. If the last loss is infinite or NaN, so is its average.
    """

    mode: Mode
    steps: int
    diverged: bool
    lrs: tuple[float, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    smoothed: tuple[float, ...] = field(repr=False)

    @property
    def suggestions(self) -> dict[str, float | None]:
        """The rates that `steepest`, `valley` and `minimum` suggest for the smoothed loss.

        Each rule leaves out the ends as its library does: the first 10 points and the last for
        "steepest", the first tenth of the steps planned and the last 5 points for the others.
        "steepest" looks no further than the lowest loss: beyond it, the steepest fall is the one
        after an explosion. None stands for no suggestion.
        """
        lrs, losses = self.lrs, self.smoothed
        # One point more than is looked at, for the central difference at the lowest.
        stop = min(int(self._curve().argmin()) + 2, len(lrs) - 1)
        return {
            "steepest": steepest(lrs[:stop], losses[:stop], skip_end=0),
            "valley": valley(lrs, losses, skip_begin=self.steps // 10),
            "minimum/10": minimum(lrs, losses, skip_begin=self.steps // 10),
        }

    @property
    def suggestion(self) -> float | None:
        """The rate to begin with: the one of "minimum/10".

        fastai begins with "valley", Lightning with "steepest". On three data sets, with five
        optimizers each, "minimum/10" trained further than "valley" every time, and was far from the
        best rate less often than "steepest".
        """
        return self.suggestions["minimum/10"]

    @property
    def phases(self) -> tuple[float | None, float | None]:
        """The rates between which the network learns: those below do too little, those above harm.

        The smoothed loss has done a tenth of its fall at the first, and has lost a tenth of it
        again at the second; with very noisy losses it is half of their noise instead. The first is
        None if the loss never falls beyond its noise, the second if it does not rise again.
        """
        loss, tenth = self._curve(), max(2, self.steps // 10)
        if len(loss) <= tenth:  # it exploded at once, and the first loss is all that is known
            tenth = 1
        begin = np.array(self.losses[:tenth])
        level = float(begin.mean())
        # From differences: a loss that already falls is not all noise.
        noise = math.sqrt(float(np.square(np.diff(begin)).mean()) / 2) if tenth > 1 else 0.0
        # The first points of the average are as noisy as the losses.
        lowest = int(loss[tenth:].argmin()) + tenth if len(loss) > tenth else 0
        if level - loss[lowest] <= max(noise, 1e-3 * abs(level)):
            return None, self._first(0, loss > level + max(3 * noise, 0.1 * abs(level)))
        # A linear sweep may learn from its second step on.
        top = level if self.mode == "exponential" else float(loss[:tenth].max())
        tolerance = max(0.1 * (top - float(loss[lowest])), noise / 2)
        flat = np.flatnonzero(loss[:lowest] > top - tolerance)
        start = self.lrs[flat[-1] + 1 if len(flat) else 0]
        return start, self._first(lowest, loss[lowest:] > loss[lowest] + tolerance)

    def _curve(self) -> npt.NDArray[np.float64]:
        loss = np.array(self.smoothed)
        loss[~np.isfinite(loss)] = np.inf
        return loss

    def _first(self, start: int, found: npt.NDArray[np.bool_]) -> float | None:
        return self.lrs[start + int(found.argmax())] if found.any() else None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values; None stands for NaN, infinity and no suggestion."""
        learns, harms = self.phases
        return {
            "mode": self.mode,
            "steps": self.steps,
            "diverged": self.diverged,
            "lrs": list(self.lrs),
            "losses": [loss if math.isfinite(loss) else None for loss in self.losses],
            "smoothed": [loss if math.isfinite(loss) else None for loss in self.smoothed],
            "suggestion": self.suggestion,
            "suggestions": self.suggestions,
            "phases": {"learns": learns, "harms": harms},
        }

    def plot(self, **settings: Any) -> "Figure":
        """Draw it; see `fastopt.plots.lr_range`, which needs matplotlib.

        Parameters
        ----------
        **settings
            Passed on.

        Returns
        -------
        matplotlib.figure.Figure
            For `fastopt.plots.save`.
        """
        from fastopt import plots

        return plots.lr_range(self, **settings)
