"""The result of a range test: its losses, their phases, and the rates that they suggest."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastopt.lr_finder._rules import minimum, steepest, valley
from fastopt.lr_finder._smoothing import smooth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mode = Literal["exponential", "linear"]

#: Below as many differences of losses, noise cannot be told from a fall.
_FEW = 8


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
    lrs, losses : tuple of float
        The rate of each step, and the loss before its update.
    """

    mode: Mode
    steps: int
    diverged: bool
    lrs: tuple[float, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)

    @cached_property
    def smoothed(self) -> tuple[float, ...]:
        """The losses, smoothed without lag; infinite from the first loss on that is infinite or NaN.

        Moving medians over a twelfth of the steps planned (at most 101), then moving averages over half as many, all
        centred: with the defaults half a decade of rates. A test of more steps is smoother.
        """
        finite = list(takewhile(math.isfinite, self.losses))
        return (*smooth(np.array(finite), self._width).tolist(), *[math.inf] * (len(self.losses) - len(finite)))

    @property
    def suggestion(self) -> float | None:
        """The rate to begin with, or None if the loss never falls.

        It is a third of the rate at which the smoothed loss is lowest, or the rate at which the loss begins to fall if
        that is higher. At the lowest loss itself, longer trainings than the test end in jumps. `verify` compares it
        with its neighbours.
        """
        learns, _ = self.phases
        return None if learns is None else max(learns, self.lrs[self._lowest] / 3)

    @property
    def suggestions(self) -> dict[str, float | None]:
        """The rates that the rules of other libraries suggest: `steepest`, `valley` and `minimum` ("minimum/10").

        They see the smoothed loss without the ends that their libraries leave out (the first 10 points for "steepest",
        the first tenth of the steps planned for the others), and no further than its lowest point. None stands for no
        suggestion, or one at which the loss does not fall yet.
        """
        lrs, losses, skip = self.lrs, self.smoothed, self.steps // 10
        # One point more than is looked at, for the central difference at the lowest.
        stop = self._lowest + 2
        found = {
            "steepest": steepest(lrs[:stop], losses[:stop], skip_end=0),
            "valley": valley(lrs[:stop], losses[:stop], skip_begin=skip, skip_end=0),
            "minimum/10": minimum(lrs[:stop], losses[:stop], skip_begin=skip, skip_end=0),
        }
        learns, _ = self.phases
        low, high = (math.inf, 0.0) if learns is None else (learns, lrs[self._lowest])
        return {rule: rate if rate is not None and low <= rate <= high else None for rule, rate in found.items()}

    @cached_property
    def phases(self) -> tuple[float | None, float | None]:
        """The rates between which the network learns: those below do too little, those above harm.

        The smoothed loss has done a tenth of its fall at the first, and has lost a tenth of it again at the second;
        with very noisy losses it is more than a tenth. The first is None if the loss never falls beyond its noise, the
        second if it does not rise again.
        """
        loss, lowest, (level, noise) = np.array(self.smoothed), self._lowest, self._begin
        # The lowest of a hundred points that are noise alone lies 2.5 deviations below their mean, rarely 4.
        if min(level, loss[0]) - loss[lowest] <= 4 * noise:
            return None, self._first(0, loss > level + max(4 * noise, 0.1 * abs(level)))
        # A linear test may learn from its second step on.
        top = level if self.mode == "exponential" else float(loss[: self._tenth].max())
        tolerance = max(0.1 * (top - float(loss[lowest])), 2 * noise)
        flat = np.flatnonzero(loss[:lowest] > top - tolerance)
        start = self.lrs[flat[-1] + 1 if len(flat) else 0]
        return start, self._first(lowest, loss[lowest:] > loss[lowest] + tolerance)

    @property
    def _width(self) -> int:
        """Points in a window of the smoothing: fewer if the test ended after a few steps."""
        return 2 * min(50, max(1, self.steps // 25), len(self.losses) // 8) + 1

    @property
    def _tenth(self) -> int:
        """Points at the beginning that tell where the loss begins, and how noisy it is."""
        tenth = max(2, self.steps // 10)
        return tenth if len(self.losses) > tenth else 1  # it exploded at once, and the first loss is all that is known

    @cached_property
    def _begin(self) -> tuple[float, float]:
        """The loss at the beginning, and the standard deviation of the smoothed loss, at least a 4000th of the loss."""
        level = float(np.mean(self.losses[: self._tenth]))
        # From how differences of neighbours scatter, for a loss that falls is not all noise; in the first half, where
        # nothing has exploded. The median distance of such a difference from their median is 0.95 deviations.
        steps = np.diff(self.losses[: len(self.losses) // 2])
        scatter = np.median(np.abs(steps - np.median(steps))) if len(steps) >= _FEW else 0.0
        noise = float(scatter) / 0.95
        # The deviation of a median is 1.25 times that of a mean.
        return level, max(1.25 * noise / math.sqrt(self._width), abs(level) / 4000)

    @cached_property
    def _lowest(self) -> int:
        """The point with the lowest smoothed loss, before it has lost half of its fall again.

        After an explosion the loss may fall once more, to another solution.
        """
        loss, (level, noise) = np.array(self.smoothed), self._begin
        best = np.minimum.accumulate(loss)
        # The highest of points that are noise alone lies up to 6 deviations above the lowest.
        risen = loss - best > np.maximum(0.5 * (level - best), 6 * noise)
        stop = int(risen.argmax()) if risen.any() else len(loss)
        start = self._tenth if stop > self._tenth else 0
        return start + int(loss[start:stop].argmin())

    def _first(self, start: int, found: "np.ndarray[Any, np.dtype[np.bool_]]") -> float | None:
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

        result: Any = self  # type checkers do not take a cached property for a property
        return plots.lr_range(result, **settings)
