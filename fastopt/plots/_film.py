"""The film of a training: data and regions, weights and biases, their updates, loss, rate."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from fastopt._checks import COUNT
from fastopt._typing import Array
from fastopt.nn.training import Callback
from fastopt.plots._samples import as_features, as_labels, scene
from fastopt.plots._save import Animation
from fastopt.plots._style import COLOURS, GREY, line_style, new_figure, styled
from fastopt.plots._text import literal
from fastopt.plots._training import draw_samples, grid_around, regions, scale_curve

#: Most layers that are shown: of a deeper network the first and the last.
_LAYERS = 8
#: Most rows and columns of a layer that are kept; a film has no points for more.
_ROWS, _COLUMNS = 128, 512


@dataclass(frozen=True, eq=False)
class _Frame:
    epoch: int
    seen: Array
    """Colours over the plane, or the fitted curve."""
    params: list[Array]
    """Weight and bias of each layer, as pictures: wider than high."""


class Film(Callback):
    """Callback that records a training for `film`.

    Data with two features shows decision regions, a regression of one feature the fitted curve;
    other data shows the rest alone. Whether targets are classes is known to the network's loss.

    Parameters
    ----------
    X, y : array_like
        The samples to show.
    every : int
        Record every so many epochs; aim at 50 to 200 frames.
    classes : sequence of str, optional
        Names of the classes.
    resolution : int
        The network is asked at this many points along each axis.

    Examples
    --------
    >>> from fastopt.nn import data
    >>> spiral = data.spiral()
    >>> recorded = Film(spiral.X, spiral.y, every=10)  # to fit(..., callbacks=[recorded])
    """

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        every: int = 1,
        classes: Sequence[str] = (),
        resolution: int = 120,
    ) -> None:
        self.X: Array = as_features(X)
        self.y: Array = np.asarray(y)
        self.x1: Array
        self.x2: Array
        self.every: int = COUNT("every", every)
        self.classes = classes
        self.resolution = resolution
        self.frames: list[_Frame] = []
        self.curves: dict[str, list[float]] = {}
        self._kind = ""

    def on_train_begin(self, run: Any) -> None:
        """Forget an earlier run and record the network as it begins."""
        self.frames, self.curves = [], {}
        self._kind = scene(run.net, self.X, self.y)
        if self._kind == "regions":
            self.x1, self.x2 = grid_around(self.X, self.resolution)
        elif self._kind == "curve":
            self.x1 = np.linspace(self.X.min(), self.X.max(), 2 * self.resolution, dtype=self.X.dtype)
        self._record(run.net, 0)

    def on_epoch_end(self, run: Any) -> None:
        """Record the network, and keep the history."""
        epoch = len(run.history["loss"])
        self.curves = {name: list(values) for name, values in run.history.items()}
        if epoch % self.every == 0:
            self._record(run.net, epoch)

    def _record(self, net: Any, epoch: int) -> None:
        seen: Array = np.empty(0)
        if self._kind == "regions":
            _, image = regions(net, self.x1, self.x2)
            seen = (255 * image).astype(np.uint8)
        elif self._kind == "curve":
            seen = np.array(net.predict(self.x1[:, None])).reshape(-1)
        params = []
        for layer in net.layers:
            if hasattr(layer, "weight"):
                high, wide = layer.weight.shape
                weight = layer.weight.T if high > wide else layer.weight
                params += [_thinned(weight), _thinned(layer.bias[None, :])]
        self.frames.append(_Frame(epoch, seen, params))


def _thinned(values: Array) -> Array:
    """Return a copy of evenly spread rows and columns, all if they are few."""
    rows, columns = (-(-size // most) for size, most in zip(values.shape, (_ROWS, _COLUMNS), strict=True))
    return np.array(values[::rows, ::columns])


@styled
def film(recorded: Film, *, title: str = "Training", fps: float = 12.0) -> Animation:
    """Animate a recorded training.

    Left the data and what the network makes of it. In the middle weights and biases of each layer
    (of at most eight, the first and the last), and below each how much it changed since the last
    frame. Right loss, accuracy and learning rate.

    Parameters
    ----------
    recorded : Film
        The callback after the training.
    title : str
        Title of the picture.
    fps : float
        Frames per second.

    Returns
    -------
    Animation

    Raises
    ------
    ValueError
        If fewer than two frames were recorded.

    References
    ----------
    Kinsley and Kukieła, Neural Networks from Scratch: the animations of chapter 10.
    """
    if len(recorded.frames) < 2:
        raise ValueError(f"recorded: expected at least 2 frames, got {len(recorded.frames)}")
    strips = 2 * min(len(recorded.frames[0].params), 2 * _LAYERS)
    figure = new_figure(13.0, min(max(5.4, 0.3 + 0.55 * strips), 12.0))
    heading = figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    widths = (1.15, 1.0, 0.85) if recorded._kind else (1.0, 0.85)
    parts = figure.subfigures(1, len(widths), squeeze=False, width_ratios=widths)[0]
    update = [_parameters(parts[-2], recorded), _curves(parts[-1], recorded)]
    if recorded._kind:
        update.append(_seen(parts[0].subplots(), recorded))

    def draw(i: int) -> None:
        heading.set_text(f"{title}, epoch {recorded.frames[i].epoch}")
        literal(heading)
        for change in update:
            change(i)

    # Lay out once: a picture that is laid out anew for each frame trembles.
    draw(0)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    shown = list(range(len(recorded.frames))) + [len(recorded.frames) - 1] * round(1.5 * fps)
    return Animation(figure, lambda i: draw(shown[i]), len(shown), fps)


def _seen(ax: Axes, recorded: Film) -> Any:
    show: Callable[[Any], None]
    ax.set_title("Decision regions" if recorded._kind == "regions" else "Fitted curve")
    if recorded._kind == "regions":
        extent = (recorded.x1[0], recorded.x1[-1], recorded.x2[0], recorded.x2[-1])
        picture = ax.imshow(
            recorded.frames[0].seen,
            extent=extent,
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
        )
        draw_samples(ax, recorded.X, as_labels(recorded.y), recorded.classes, size=4)
        ax.grid(False)
        ax.set_anchor("N")
        show = picture.set_data
    else:
        ax.plot(recorded.X[:, 0], recorded.y.reshape(-1), ".", color=GREY, markersize=3, label="samples")
        (curve,) = ax.plot(recorded.x1, recorded.frames[0].seen, color=COLOURS[1], label="network")
        ax.set_xlabel("x")
        ax.set_ylabel("y")
        ax.legend(loc="upper right")
        show = curve.set_ydata
    return lambda i: show(recorded.frames[i].seen)


def _parameters(part: Any, recorded: Film) -> Any:
    count = len(recorded.frames[0].params)
    shown = [k for k in range(count) if min(k, count - 1 - k) < _LAYERS]
    axes = part.subplots(2 * len(shown), 1, squeeze=False)[:, 0]
    pictures = []
    for place, k in enumerate(shown):
        layer, name = k // 2 + 1, "biases" if k % 2 else "weights"
        values = [frame.params[k] for frame in recorded.frames]
        updates = [b - a for a, b in itertools.pairwise(values)]
        zero = np.zeros_like(values[0])
        for row, (all_values, what) in enumerate(
            ((values, f"{name} of layer {layer}"), ([zero, *updates], "their update"))
        ):
            ax = axes[2 * place + row]
            # One scale for the whole film, blind to extremes: the first updates are by far the
            # largest.
            share = 0.95 if row else 0.995
            limit = float(np.quantile(np.abs(np.stack(all_values)), share)) or 1.0
            picture = ax.imshow(
                all_values[0],
                vmin=-limit,
                vmax=limit,
                aspect="auto",
                interpolation="nearest",
            )
            ax.set_title(f"{what}, dark −{limit:.2g} to light +{limit:.2g}", fontsize=8, pad=3)  # noqa: RUF001
            ax.set_axis_off()
            pictures.append((picture, all_values))

    def change(i: int) -> None:
        for picture, all_values in pictures:
            picture.set_data(all_values[i])

    return change


def _curves(part: Any, recorded: Film) -> Any:
    names = [name for name in ("loss", "accuracy", "lr") if name in recorded.curves]
    axes = part.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    lines = []
    for ax, name in zip(axes, names, strict=True):
        drawn: list[ArrayLike] = []
        for index, key in enumerate((name, f"val_{name}")):
            if key not in recorded.curves:
                continue
            values = np.array(recorded.curves[key], dtype=np.float64)
            epochs = np.arange(1, len(values) + 1)
            # Drawn whole once, so that the axes are wide enough from the first frame on.
            (line,) = ax.plot(epochs, values, **line_style(index), label="validation" if index else "training")
            drawn.append(values)
            lines.append((line, epochs, values))
        ax.set_ylabel("learning rate" if name == "lr" else name)
        scale_curve(ax, name, drawn)
        ax.autoscale_view()
        ax.set_autoscale_on(False)
        if name == "loss" and len(drawn) > 1:
            ax.legend()
    axes[-1].set_xlabel("epoch")
    part.align_ylabels(axes)

    def change(i: int) -> None:
        epoch = recorded.frames[i].epoch
        for line, epochs, values in lines:
            line.set_data(epochs[:epoch], values[:epoch])

    return change
