"""Pictures: that the data is in them, labelled, and that nothing else is touched."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

import fastopt  # noqa: E402
from fastopt import descent, nn, plots, schedules  # noqa: E402
from fastopt.nn import data  # noqa: E402


class Linear:
    """Stands for a trained network: the softmax of X @ W."""

    def __init__(self, classes: int = 3) -> None:
        self.W = np.random.default_rng(1).normal(size=(2, classes))

    def predict(self, X: np.ndarray) -> np.ndarray:
        scores = np.exp(X @ self.W)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))


class Binary(Linear):
    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-X[:, :1])))


class Square:
    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(X**2)


HISTORY = {
    "loss": [1.0, 0.5, 0.25, 0.2],
    "val_loss": [1.1, 0.6, 0.4, 0.35],
    "accuracy": [0.3, 0.6, 0.8, 0.9],
    "val_accuracy": [0.3, 0.5, 0.7, 0.8],
    "lr": [0.1, 0.05, 0.03, 0.02],
}
RANGE = SimpleNamespace(
    lrs=np.geomspace(1e-5, 1, 60),
    losses=np.linspace(2, 1, 60) + np.random.default_rng(0).normal(size=60),
    smoothed=np.linspace(2, 1, 60),
    suggestion=2e-3,
    phases=(1e-4, 1e-1),
)
RUNS = {
    name: {"seconds": [0.1 * k, 0.2 * k, 0.3 * k], "loss": [1.0, 0.5 / k, 0.1 / k]}
    for k, name in enumerate(("sgd", "adam"), start=1)
}
SPIRAL = data.spiral(samples=20)
IMAGES = np.random.default_rng(0).random((12, 6))
LABELS = np.arange(12) % 3
SHARES = np.random.default_rng(1).dirichlet(np.ones(3), 12)


def small_net() -> nn.Network:
    return nn.Network([nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3)], loss=nn.SoftmaxCrossEntropy(), seed=0)


def surface(path: bool) -> plots.LossSurface:
    net = small_net()
    steps = [net.params + k * np.sin(np.arange(net.params.size) * k) for k in range(4, -1, -1)]
    return plots.measure_surface(net, SPIRAL.X, SPIRAL.y, path=steps if path else None, points=5, seed=1)


def trained_film(**options: Any) -> plots.Film:
    net = small_net()
    recorded = plots.Film(SPIRAL.X, SPIRAL.y, resolution=20, **options)
    net.fit(SPIRAL.X, SPIRAL.y, optimizer=fastopt.Adam(net.params), epochs=4, callbacks=[recorded])
    return recorded


FIGURES: dict[str, Callable[[], Figure]] = {
    "decision_regions": lambda: plots.decision_regions(Linear(), SPIRAL.X, SPIRAL.y),
    "decision_regions binary": lambda: plots.decision_regions(Binary(), SPIRAL.X, SPIRAL.y % 2),
    "fitted_curve": lambda: plots.fitted_curve(Square(), SPIRAL.X[:, :1], SPIRAL.X[:, 1]),
    "training_curves": lambda: plots.training_curves(HISTORY),
    "training_report": lambda: plots.training_report(Linear(), SPIRAL.X, SPIRAL.y, HISTORY),
    "training_report sine": lambda: plots.training_report(
        Square(), SPIRAL.X[:, :1], SPIRAL.X[:, 1:], {"loss": [1.0, 0.01]}
    ),
    "training_report images": lambda: plots.training_report(Linear(), IMAGES, LABELS, HISTORY),
    "schedule": lambda: plots.schedule(
        schedules.InverseTimeDecay(0.1, 0.01), 50, momentum=lambda step: 0.9 + step / 1000
    ),
    "schedule log": lambda: plots.schedule(schedules.InverseTimeDecay(1.0, 1.0), 50, log=True),
    "schedules": lambda: plots.schedules({str(k): schedules.InverseTimeDecay(0.1, k) for k in range(4)}, 20),
    "descent": lambda: plots.descent(descent.descend("best")),
    "descent exploding": lambda: plots.descent(descent.descend("exploding")),
    "descent overflow": lambda: plots.descent(descent.descend(descent.Round("huge", {"lr": 1e308}))),
    "descents": lambda: plots.descents([descent.descend(name) for name in ("best", "too high")]),
    "compare": lambda: plots.compare(RUNS),
    "lr_range": lambda: plots.lr_range(RANGE),
    "confusion_matrix": lambda: plots.confusion_matrix(LABELS, SHARES.argmax(axis=1)),
    "worst_mistakes": lambda: plots.worst_mistakes(IMAGES, LABELS, SHARES, image_shape=(2, 3)),
    "worst_mistakes none": lambda: plots.worst_mistakes(IMAGES, LABELS, np.eye(3)[LABELS], image_shape=(2, 3)),
    "rescues": lambda: plots.rescues(
        [1.0, 0.5, np.inf, 0.4], [{"kind": "rescue", "step": 2}], lrs=[1.0, 1.0, 0.3, 0.3]
    ),
    "ensemble": lambda: plots.ensemble([0.8, 0.81, 0.79], [0.79, 0.82, 0.83]),
    "loss_line": lambda: plots.loss_line({"a": plots.measure_line(small_net(), SPIRAL.X, SPIRAL.y, points=7)}),
    "loss_surface": lambda: plots.loss_surface(surface(path=False)),
    "loss_surface path": lambda: plots.loss_surface(surface(path=True)),
}
MOVING: dict[str, Callable[[], plots.Animation]] = {
    "descent_animation": lambda: plots.descent_animation(descent.descend("best"), frames=4, fps=2),
    "film": lambda: plots.film(trained_film(), fps=2),
}


def visible(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.get_visible() and ax.axison]


@pytest.fixture
def tmp_png(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


@pytest.mark.parametrize("name", FIGURES)
def test_picture_is_saved_labelled_and_leaves_settings_alone(name: str, tmp_png: Path) -> None:
    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    plots.save(figure, tmp_png, dpi=50)
    assert dict(matplotlib.rcParams) == before
    assert tmp_png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    titles = [ax.get_title(loc="left") for ax in figure.axes] + [figure.get_suptitle()]
    assert any(titles)
    for ax in visible(figure):
        shared = {
            label
            for other in figure.axes
            if other is ax or ax.get_shared_x_axes().joined(ax, other)
            for label in [other.get_xlabel()]
        }
        place = ax.get_subplotspec()
        shares_y = place is None or not place.is_first_col()
        assert any(shared) or ax.get_label() == "<colorbar>" or name == "descents"
        assert ax.get_ylabel() or shares_y


@pytest.mark.parametrize("name", FIGURES)
def test_texts_lie_inside_and_titles_do_not_overlap(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    boxes = []
    for ax in visible(figure):
        for text in (ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label):  # type: ignore[attr-defined]
            if text.get_text().strip():
                boxes.append(text.get_window_extent())
    for box in boxes:
        assert box.x0 > -1
        assert box.y0 > -1
        assert box.x1 < width + 1
        assert box.y1 < height + 1
    for i, box in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert not box.overlaps(other)


@pytest.mark.parametrize("name", MOVING)
def test_moving_pictures_have_their_frames(name: str, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="comes with matplotlib")
    before = dict(matplotlib.rcParams)
    animation = MOVING[name]()
    told: list[tuple[int, int]] = []
    path = plots.save(animation, tmp_path / "a.gif", dpi=30, progress=lambda done, of: told.append((done, of)))
    assert dict(matplotlib.rcParams) == before
    assert told == [(k, animation.frames) for k in range(1, animation.frames + 1)]
    with image.open(path) as gif:
        # Equal frames at the end are kept as one long one.
        assert 1 < gif.n_frames <= animation.frames


def test_no_window_and_no_pyplot() -> None:
    code = (
        "import sys, fastopt.plots as p, fastopt.descent as d;"
        "p.descent(d.descend('best')); assert 'matplotlib.pyplot' not in sys.modules, 'pyplot'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fastopt_itself_does_not_need_matplotlib() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import fastopt, fastopt.nn, fastopt.descent\n"
        "try: import fastopt.plots\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ('fastopt.plots needs matplotlib: pip install "fastopt[plots]"')


# Saving.


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_same_picture_same_file(suffix: str, tmp_path: Path) -> None:
    files = [plots.save(FIGURES["schedule"](), tmp_path / f"{k}{suffix}").read_bytes() for k in range(2)]
    assert files[0] == files[1]
    assert len(files[0]) > 1000


@pytest.mark.parametrize(
    ("picture", "name", "error", "message"),
    [
        (Figure(), "a.gif", ValueError, "a still picture is saved as .png or .svg or .pdf"),
        (Figure(), "a", ValueError, "a still picture is saved as"),
        (
            plots.Animation(Figure(), lambda i: None, 1),
            "a.png",
            ValueError,
            "a moving picture is saved as .gif or .mp4",
        ),
        (Figure(), "nowhere/a.png", FileNotFoundError, "the folder .*nowhere does not exist"),
    ],
)
def test_bad_paths_are_named(picture: Any, name: str, error: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        plots.save(picture, tmp_path / name)


def test_mp4_without_ffmpeg_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matplotlib.animation.FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    with pytest.raises(RuntimeError, match=r"a\.mp4: \.mp4 needs ffmpeg"):
        plots.save(plots.Animation(Figure(), lambda i: None, 1), tmp_path / "a.mp4")


with_ffmpeg = pytest.mark.skipif(
    not matplotlib.animation.FFMpegWriter.isAvailable(), reason="ffmpeg, which makes .mp4, is not installed"
)


@with_ffmpeg
@pytest.mark.parametrize("name", sorted(MOVING))
def test_mp4_with_ffmpeg(tmp_path: Path, name: str) -> None:
    path = plots.save(MOVING[name](), tmp_path / "a.mp4", dpi=50)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".gif", pytest.param(".mp4", marks=with_ffmpeg)])
def test_an_interrupted_film_leaves_the_old_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"the old one")

    def draw(i: int) -> None:
        if i == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plots.save(plots.Animation(Figure(), draw, 9), path, dpi=20)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"the old one"]


@pytest.mark.skipif(os.name != "posix", reason="stands in for ffmpeg by a shell script")
@pytest.mark.parametrize("reads", [True, False])
def test_what_ffmpeg_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{'cat > /dev/null' if reads else ''}\necho 'Unknown encoder h264' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(OSError, match=r"^a\.mp4: ffmpeg failed: Unknown encoder h264$"):
        plots.save(plots.Animation(Figure(), lambda i: None, 30), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == [program]


# The data is in the picture.


def test_no_logarithmic_axis_for_a_rate_of_zero() -> None:
    (ax,) = plots.schedule(schedules.Constant(0.0), 5, log=True).axes
    assert ax.get_yscale() == "linear"


def test_curves_are_the_history() -> None:
    axes = plots.training_curves(HISTORY).axes
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy", "learning rate"]
    drawn = [line.get_ydata() for ax in axes for line in ax.lines]
    np.testing.assert_array_equal(drawn, list(HISTORY.values()))
    for ax in axes:
        for line in ax.lines:
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
            assert line.get_linestyle() != "None"
    styles = {axes[0].lines[0].get_linestyle(), axes[0].lines[1].get_linestyle()}
    assert len(styles) == 2


def test_wide_losses_get_a_log_axis() -> None:
    assert plots.training_curves({"loss": [1.0, 1e-4]}).axes[0].get_yscale() == "log"
    assert plots.training_curves({"loss": [1.0, 0.9]}).axes[0].get_yscale() == "linear"
    assert plots.training_curves({"loss": [1.0, 0.0]}).axes[0].get_yscale() == "linear"


def test_regions_are_the_classes() -> None:
    net = Linear()
    ax = plots.decision_regions(net, SPIRAL.X, SPIRAL.y, classes=("a", "b", "c")).axes[0]
    for k, line in enumerate(ax.lines[:3]):
        np.testing.assert_array_equal(line.get_xydata(), SPIRAL.X[SPIRAL.y == k])
    assert len({line.get_marker() for line in ax.lines[:3]}) == 3
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]

    # At each sample, the region's colour is nearest to that of the class predicted there.
    image = np.asarray(ax.images[0].get_array())
    x0, x1, y0, y1 = ax.images[0].get_extent()
    assert ax.images[0].origin == "lower"
    colours = np.array([matplotlib.colors.to_rgb(line.get_color()) for line in ax.lines[:3]])
    predicted = net.predict(SPIRAL.X)
    sure = np.sort(predicted, axis=1)[:, -1] - np.sort(predicted, axis=1)[:, -2] > 0.2
    rows, columns = image.shape[:2]
    for x, best in zip(SPIRAL.X[sure], predicted[sure].argmax(axis=1), strict=True):
        pixel = image[
            round(float((x[1] - y0) / (y1 - y0) * (rows - 1))),
            round(float((x[0] - x0) / (x1 - x0) * (columns - 1))),
        ]
        hue, hues = 1 - pixel, 1 - colours
        match = hues @ hue / np.linalg.norm(hues, axis=1)
        assert match.argmax() == best


def test_fitted_curve_is_what_the_network_says() -> None:
    ax = plots.fitted_curve(Square(), SPIRAL.X[:, :1], SPIRAL.X[:, 1]).axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), SPIRAL.X[:, 1])
    x, y = ax.lines[1].get_data()
    np.testing.assert_array_equal(y, np.asarray(x) ** 2)


def test_schedule_is_drawn_step_by_step() -> None:
    rate = schedules.InverseTimeDecay(0.1, 0.5)
    ax = plots.schedule(rate, 10).axes[0]
    drawn = ax.patches[0].get_data()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(drawn.values, [rate(step) for step in range(10)])
    np.testing.assert_array_equal(drawn.edges, range(11))
    assert ax.get_title(loc="left") == repr(rate)


def test_compare_draws_over_steps_and_seconds() -> None:
    figure = plots.compare(RUNS)
    by_step, by_time = figure.axes
    for left, right, run in zip(by_step.lines, by_time.lines, RUNS.values(), strict=True):
        np.testing.assert_array_equal(left.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(right.get_xdata(), run["seconds"])
        np.testing.assert_array_equal(left.get_ydata(), run["loss"])
        np.testing.assert_array_equal(right.get_ydata(), run["loss"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sgd", "adam"]


def test_many_runs_are_compared_by_their_running_medians() -> None:
    rng = np.random.default_rng(0)
    losses = [(k + 1 + rng.normal(scale=0.3, size=150)).tolist() for k in range(20)]
    figure = plots.compare({f"run {k}": {"seconds": range(150), "loss": loss} for k, loss in enumerate(losses)})
    by_step, _ = figure.axes
    for line, loss in zip(by_step.lines, losses, strict=True):
        drawn = np.asarray(line.get_ydata())
        assert drawn[75] == np.median(loss[72:79])
        assert drawn[149] == np.median([*loss[146:150], *loss[146:149]])
        assert drawn[0] == np.median([*loss[1:4], *loss[:4]])
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in by_step.lines}  # type: ignore[attr-defined]
    assert len(looks) == 20
    assert by_step.get_ylabel() == "loss, running median"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"run {k}" for k in range(20)]


@pytest.mark.parametrize(("recommended", "marked"), [(None, 2e-3), (4e-3, 4e-3)])
def test_range_test_marks_phases_and_one_rate(recommended: float | None, marked: float) -> None:
    ax = plots.lr_range(RANGE, recommended=recommended).axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), RANGE.losses)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), RANGE.smoothed)
    line, point = ax.lines[2:]
    np.testing.assert_array_equal(line.get_xdata(), [marked, marked])
    assert (point.get_label(), point.get_xdata()) == (f"recommended: {marked:g}", [marked])
    assert [text.get_text() for text in ax.texts] == ["too small", "learns", "unstable"]


def test_range_test_without_a_suggestion_marks_none() -> None:
    ax = plots.lr_range(SimpleNamespace(**{**vars(RANGE), "suggestion": None})).axes[0]
    assert len(ax.lines) == 2


@pytest.mark.parametrize(
    ("phases", "names"),
    [
        ((1e-4, None), ["too small", "learns"]),
        ((None, 1e-2), ["too small", "unstable"]),
        ((None, None), ["too small"]),
        ((1e-5, 1e-2), ["learns", "unstable"]),
    ],
)
def test_range_test_with_fewer_phases(phases: tuple[float | None, float | None], names: list[str]) -> None:
    ax = plots.lr_range(SimpleNamespace(**{**vars(RANGE), "phases": phases})).axes[0]
    assert [text.get_text() for text in ax.texts] == names


def test_confusion_matrix_counts() -> None:
    ax = plots.confusion_matrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 1], classes=("no", "yes")).axes[0]
    shares = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(shares, [[0.5, 0.5], [0.0, 1.0]])
    assert [text.get_text() for text in ax.texts] == ["1", "1", "3"]
    assert ax.get_title(loc="left") == "Confusion matrix, accuracy 80.0%"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["no", "yes"]


def test_worst_mistakes_come_first_and_hits_not_at_all() -> None:
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.2, 0.8]])
    figure = plots.worst_mistakes(IMAGES[:4], [0, 1, 1, 1], shares, image_shape=(2, 3), classes=("a", "b"))
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == [
        "b\ntaken for a\n99.0% sure",
        "b\ntaken for a\n60.0% sure",
    ]
    np.testing.assert_array_equal(shown[0].images[0].get_array(), IMAGES[2].reshape(2, 3))
    assert figure.get_suptitle() == "The worst mistakes: 2 of 2 mistakes in 4 pictures"


def test_rescues_are_marked_where_they_were() -> None:
    events = [{"kind": "rescue", "step": 2}, {"kind": "stopped", "epoch": 3}]
    ax = plots.rescues([1.0, 9.0, np.nan, 0.4], events).axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, 9.0, np.nan, 0.4])
    assert [line.get_xdata()[0] for line in ax.lines[1:]] == [2]  # type: ignore[index]
    assert ax.get_title(loc="left").endswith("1 rescue")
    assert ax.get_xscale() == "linear"


def test_early_rescues_of_a_long_run_are_spread_out() -> None:
    ax = plots.rescues([1.0] * 1000, [{"kind": "rescue", "step": step} for step in (20, 40, 60)]).axes[0]
    marks = [float(ax.transAxes.inverted().transform(ax.transData.transform((step, 1.0)))[0]) for step in (20, 40, 60)]
    assert min(np.diff(marks)) > 0.04


def test_path_of_a_descent_is_drawn() -> None:
    result = descent.descend("better")
    top, slope, steps = plots.descent(result).axes
    np.testing.assert_array_equal(top.lines[2].get_xydata(), np.stack([result.x, result.f], 1))
    np.testing.assert_array_equal(steps.lines[-1].get_xdata(), result.x)
    x, y = slope.lines[1].get_data()
    np.testing.assert_array_equal(y, result.function.derivative(np.asarray(x)))


# Samples of any type.


class Asked:
    """Keeps what it is asked, and knows nothing."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.grid = np.array(X)
        return np.full((len(X), self.outputs), 1 / self.outputs)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float16", "float64"])
def test_grids_lie_between_samples_of_any_type(dtype: str) -> None:
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=dtype), np.array([0, 1, 1, 0])
    net = Asked(2)
    figure = plots.decision_regions(net, X, y, resolution=50)
    # A margin of 6 % on both sides, in 49 equal steps.
    for column in net.grid.T:
        np.testing.assert_allclose(np.unique(column), np.linspace(-0.06, 1.06, 50), atol=1e-5)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[0, 0], [1, 1]])
    curve = Asked(1)
    plots.fitted_curve(curve, X[:2, 1:], y[:2])
    np.testing.assert_allclose(curve.grid[:, 0], np.linspace(-0.03, 1.03, 500), atol=1e-6)


def test_films_of_whole_numbers_have_a_fine_grid() -> None:
    for outputs, loss, X in (
        (2, nn.SoftmaxCrossEntropy(), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])),
        (1, nn.MeanSquaredError(), np.array([[0], [1], [2], [3]])),
    ):
        net = nn.Network([nn.Dense(X.shape[1], outputs)], loss=loss)
        recorded = plots.Film(X, np.array([0, 1, 1, 0]), resolution=20)
        net.fit(X, [0, 1, 1, 0], optimizer=fastopt.Adam(net.params), epochs=1, callbacks=[recorded])
        assert len(np.unique(recorded.x1)) == len(recorded.x1) >= 20


# What is learnt follows from the loss.


def panel_titles(figure: Figure) -> list[str]:
    return [title for ax in figure.axes if (title := ax.get_title(loc="left"))]


CURVE, REGIONS, NEITHER = ["Fitted curve"], ["Decision regions"], []
PRICES = np.array([200_000, 215_000, 190_000, 260_000])
TASKS = [
    (nn.MeanSquaredError(), 1, 1, PRICES, CURVE),
    (nn.MeanAbsoluteError(), 1, 1, np.array([0, 1, 1, 0]), CURVE),
    (nn.MeanSquaredError(), 2, 1, PRICES, NEITHER),
    (nn.MeanSquaredError(), 1, 2, np.eye(4)[:, :2], NEITHER),
    (nn.BinaryCrossEntropy(), 2, 1, np.array([0.0, 1.0, 1.0, 0.0]), REGIONS),
    (nn.BinaryCrossEntropy(), 2, 1, np.array([[0.05], [0.95], [0.95], [0.05]]), REGIONS),
    (nn.BinaryCrossEntropy(), 2, 3, np.array([[0, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0]]), NEITHER),
    (nn.SoftmaxCrossEntropy(), 2, 3, np.array([0, 1, 2, 0], dtype=np.uint8), REGIONS),
    (nn.SoftmaxCrossEntropy(), 2, 3, np.eye(3)[[0, 1, 2, 0]], REGIONS),
    (nn.SoftmaxCrossEntropy(), 1, 3, np.array([0, 1, 2, 0]), NEITHER),
]


@pytest.mark.parametrize(("loss", "features", "outputs", "y", "expected"), TASKS)
def test_what_is_drawn_follows_from_the_loss(
    loss: nn.Loss, features: int, outputs: int, y: np.ndarray, expected: list[str]
) -> None:
    X = np.arange(4 * features).reshape(4, features) % 3
    net = nn.Network([nn.Dense(features, outputs)], loss=loss)
    recorded = plots.Film(X, y, resolution=5)
    history = net.fit(X, y, optimizer=fastopt.Adam(net.params), epochs=1, callbacks=[recorded])
    assert panel_titles(plots.training_report(net, X, y, history)) == (expected or [])
    film = plots.film(recorded)
    assert [title for title in panel_titles(film.figure) if title in (*CURVE, *REGIONS)] == expected


def test_without_a_loss_targets_that_fit_the_outputs_are_classes() -> None:
    X = SPIRAL.X
    assert panel_titles(plots.training_report(Linear(), X, SPIRAL.y, HISTORY)) == REGIONS
    assert panel_titles(plots.training_report(Linear(), X, 100 * SPIRAL.y, HISTORY)) == NEITHER
    assert panel_titles(plots.training_report(Square(), X[:, :1], 100 * SPIRAL.y, HISTORY)) == CURVE


def test_one_hot_rows_are_classes() -> None:
    rows = np.eye(3)[SPIRAL.y]
    by_number, by_row = (plots.decision_regions(Linear(), SPIRAL.X, y).axes[0] for y in (SPIRAL.y, rows))
    for a, b in zip(by_number.lines, by_row.lines, strict=True):
        np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())
    matrix = plots.confusion_matrix(np.eye(2)[[0, 0, 1]], [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]).axes[0]
    np.testing.assert_allclose(np.asarray(matrix.images[0].get_array()), [[0.5, 0.5], [0, 1]])
    worst = [
        plots.worst_mistakes(IMAGES, y, SHARES, image_shape=(2, 3)).axes[0].get_title()
        for y in (LABELS, np.eye(3)[LABELS])
    ]
    assert worst[0] == worst[1]


def test_mistakes_of_a_network_with_one_output() -> None:
    figure = plots.worst_mistakes(IMAGES[:2], [0, 1], np.array([[0.9], [0.8]]), image_shape=(2, 3))
    assert figure.axes[0].get_title() == "0\ntaken for 1\n90.0% sure"
    assert figure.get_suptitle() == "The worst mistakes: 1 of 1 mistakes in 2 pictures"


# Text stands as it is.


TEXTS = ["_$\\frac{$ %s שלום 雪", "a\tb \x1b[0m \udcff", 60 * "long"]


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_is_text_in_every_picture(text: str, tmp_png: Path) -> None:
    round_ = descent.Round(text, {"lr": 0.1}, steps=3)
    one, two = (descent.descend(name) for name in (round_, "best"))
    line = plots.measure_line(small_net(), SPIRAL.X, SPIRAL.y, points=3)
    shown = text.encode(errors="backslashreplace").decode().replace("\t", " ").replace("\x1b", " ")
    named = " ".join(shown.split())
    figures = [
        (plots.decision_regions(Linear(), SPIRAL.X, SPIRAL.y, classes=("a", text), title=text), {named, shown}),
        (plots.fitted_curve(Square(), SPIRAL.X[:, :1], SPIRAL.X[:, 1], title=text), {shown}),
        (plots.training_curves(HISTORY, title=text), {shown}),
        (plots.training_report(Linear(), SPIRAL.X, SPIRAL.y, HISTORY, classes=("a", text), title=text), {named, shown}),
        (plots.confusion_matrix(LABELS, LABELS, classes=("a", text)), {named}),
        (plots.worst_mistakes(IMAGES, LABELS, SHARES, image_shape=(2, 3), classes=("a", text), title=text), set()),
        (plots.compare({"a": RUNS["sgd"], text: RUNS["adam"]}, title=text), {named, shown}),
        (plots.loss_line({"a": line, text: line}, title=text), {named, shown}),
        (plots.loss_surface(surface(path=False), title=text), {shown}),
        (plots.lr_range(RANGE, title=text), {shown}),
        (plots.rescues([1.0, 0.5], [], title=text), {f"{shown}: 0 rescues"}),
        (plots.ensemble([0.8], [0.8], quantity=text, title=text), {shown}),
        (plots.schedule(schedules.Constant(0.1), 3, title=text), {shown}),
        (plots.schedules({text: schedules.Constant(0.1)}, 3, title=text), {shown}),
        (plots.descent(one, title=text), {f"{shown}\n"}),
        (plots.descents([one, two], title=text), {shown, f"{shown}\n\n"}),
        (plots.film(trained_film(classes=("a", text)), title=text).figure, {named}),
    ]
    for figure, expected in figures:
        plots.save(figure, tmp_png, dpi=40)
        if len(text) < 100:
            assert expected <= set(texts_of(figure))
        else:
            assert text not in texts_of(figure)
            assert any(words.startswith("longlong") and "…" in words for words in texts_of(figure))


def test_all_names_are_in_the_legend() -> None:
    ax = plots.decision_regions(Linear(), SPIRAL.X, SPIRAL.y, classes=("_neg", "two\nlines", "_pos")).axes[0]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["_neg", "two lines", "_pos"]


# Sizes are bounded.


def lies_inside(figure: Figure) -> bool:
    """Whether all legends and titles are in the picture."""
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    boxes = [ax._left_title.get_window_extent() for ax in visible(figure)]  # type: ignore[attr-defined]
    boxes += [legend.get_window_extent() for legend in figure.findobj(matplotlib.legend.Legend)]
    return all(b.x0 > -1 and b.y0 > -1 and b.x1 < width + 1 and b.y1 < height + 1 for b in boxes if b.width > 0)


LONG = [f"$class_{k}$ with a long name, {'x' * k}" for k in range(300)]


@pytest.mark.parametrize("classes", [17, 60, 300])
def test_pictures_of_many_classes_are_bounded(classes: int, tmp_png: Path) -> None:
    X, y = np.random.default_rng(0).normal(size=(600, 2)), np.arange(600) % classes
    net = Linear(classes)
    figures = [
        plots.decision_regions(net, X, y, classes=LONG),
        plots.training_report(net, X, y, HISTORY, classes=LONG),
        plots.confusion_matrix(y, (y + 1) % classes, classes=LONG, title="long " * 60),
        plots.compare(dict.fromkeys(LONG[:classes], RUNS["adam"])),
    ]
    for figure in figures:
        plots.save(figure, tmp_png, dpi=40)
        assert max(figure.get_size_inches()) < 16
        assert lies_inside(figure)
        assert len(figure.findobj(matplotlib.text.Text)) < 1200
    legends = [figures[0].axes[0].get_legend(), figures[3].legends[0]]
    for legend, most in zip(legends, (16, 32), strict=True):
        assert legend is not None
        texts = [text.get_text() for text in legend.get_texts()]
        assert len(texts) == min(most, classes)
        assert classes <= most or texts[-1] == f"and {classes - most + 1} more"
    drawn = sum(len(line.get_xdata()) for line in figures[0].axes[0].lines)  # type: ignore[arg-type]
    assert drawn == len(X)


def test_regions_of_many_classes_are_those_of_the_network() -> None:
    X, y = np.random.default_rng(0).normal(size=(600, 2)), np.arange(600) % 40
    net = Linear(40)
    ax = plots.decision_regions(net, X, y, resolution=60).axes[0]
    image = np.asarray(ax.images[0].get_array())
    x0, x1, y0, y1 = ax.images[0].get_extent()
    grid = np.stack(np.meshgrid(np.linspace(x0, x1, 60), np.linspace(y0, y1, 60)), axis=-1)
    best = net.predict(grid.reshape(-1, 2)).argmax(axis=1).reshape(60, 60)
    border = np.zeros((60, 60), bool)
    border[:, :-1] |= best[:, :-1] != best[:, 1:]
    border[:-1] |= best[:-1] != best[1:]
    np.testing.assert_array_equal((image == 0).all(axis=2), border)
    # The colour of a class, less white.
    hues = {
        k: (1 - image[(best == k) & ~border]) / (1 - image[(best == k) & ~border]).max(axis=1, keepdims=True)
        for k in np.unique(best)
    }
    colours = 1 - np.array([matplotlib.colors.to_rgb(colour) for colour in plots._style.COLOURS])
    for k, hue in hues.items():
        expected = colours[k % len(colours)] / colours[k % len(colours)].max()
        np.testing.assert_allclose(hue, np.broadcast_to(expected, hue.shape), atol=1e-6)


def test_many_samples_are_thinned_out_evenly() -> None:
    X, y = np.random.default_rng(0).normal(size=(60_000, 2)), np.arange(60_000) % 3
    lines = plots.decision_regions(Linear(), X, y, resolution=5).axes[0].lines
    for k, line in enumerate(lines[:3]):  # every fourth of 20,000
        np.testing.assert_array_equal(line.get_xydata(), X[y == k][::4])
    curve = plots.fitted_curve(Square(), X[:, :1], X[:, 1]).axes[0].lines[0]
    np.testing.assert_array_equal(curve.get_xdata(), X[::12, 0])


def test_a_confusion_matrix_of_many_classes_shows_the_mistakes() -> None:
    y = np.repeat(np.arange(100), 4)
    predicted = y.copy()
    predicted[[281, 282]] = 90  # 2 of the 4 of class 70
    ax = plots.confusion_matrix(y, predicted).axes[0]
    shown = [int(label.get_text()) for label in ax.get_yticklabels()]
    assert len(shown) == 30
    assert {70, 90} <= set(shown)
    shares = np.asarray(ax.images[0].get_array())
    assert shares[shown.index(70), shown.index(90)] == 0.5
    assert ax.get_title(loc="left") == "Confusion matrix, accuracy 99.5%\n30 of 100 classes, those in most mistakes"


def test_a_film_of_a_deep_network_shows_its_ends() -> None:
    net = nn.Network(
        [nn.Dense(2, 300), *(nn.Dense(300, 300) for _ in range(9)), nn.Dense(300, 3)], loss=nn.SoftmaxCrossEntropy()
    )
    recorded = plots.Film(SPIRAL.X, SPIRAL.y, resolution=5)
    net.fit(SPIRAL.X, SPIRAL.y, optimizer=fastopt.SGD(net.params, lr=0.0), epochs=1, callbacks=[recorded])
    assert {values.shape for values in recorded.frames[0].params} == {(2, 300), (1, 300), (100, 300), (3, 300), (1, 3)}
    figure = plots.film(recorded).figure
    layers = [title.split(",")[0] for title in panel_titles(figure) if title.startswith("weights")]
    assert layers == [f"weights of layer {k}" for k in (1, 2, 3, 4, 8, 9, 10, 11)]
    assert lies_inside(figure)


# Descents.


def test_colours_run_over_the_steps_until_the_arrival() -> None:
    result = descent.descend("best", steps=1000)
    arrival = result.steps_needed
    assert arrival is not None
    top = plots.descent(result).axes[0]
    colours = np.asarray(top.collections[0].get_facecolor())
    assert len(np.unique(colours[: arrival + 1], axis=0)) > 0.9 * arrival
    assert len(np.unique(colours[arrival:], axis=0)) == 1


@pytest.mark.parametrize("start", [-10.5, 3.0])
def test_all_of_an_explosion_is_on_the_canvas(start: float) -> None:
    result = descent.descend("exploding", start=start)
    for figure in (plots.descent(result), plots.descents([result])):
        figure.draw_without_rendering()
        ax = figure.axes[0]
        points = ax.transAxes.inverted().transform(ax.transData.transform(np.stack([result.x, result.f], 1)))
        assert (points > 0).all()
        assert (points < 1).all()
        # and apart: the last ten are not all in a corner
        assert np.ptp(points[-10:, 1]) > 0.2


# In a notebook.


def test_figures_and_films_show_themselves_in_a_notebook() -> None:
    figure = plots.training_curves(HISTORY, title="雪")
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"  # type: ignore[attr-defined]
    html = plots.Animation(figure, lambda i: None, 2)._repr_html_()
    assert html.startswith('<img src="data:image/gif;base64,R0lGOD')  # GIF8


def test_a_picture_that_fails_leaves_the_old_one(tmp_png: Path) -> None:
    tmp_png.write_bytes(b"the old one")
    figure = Figure()
    figure.text(0, 0, "$\\frac{$")
    with pytest.raises(ValueError, match="frac"):
        plots.save(figure, tmp_png)
    assert tmp_png.read_bytes() == b"the old one"


# The loss around a network.


def test_line_and_surface_leave_the_network_as_it_was() -> None:
    net = small_net()
    before = net.params.copy()
    loss = net.evaluate(SPIRAL.X, SPIRAL.y)["loss"]
    line = plots.measure_line(net, SPIRAL.X, SPIRAL.y, points=5)
    flat = plots.measure_surface(net, SPIRAL.X, SPIRAL.y, points=5)
    np.testing.assert_array_equal(net.params, before)
    assert line.loss[2] == pytest.approx(loss, rel=1e-6)
    assert flat.loss[2, 2] == pytest.approx(loss, rel=1e-6)
    assert line.loss[0] != line.loss[2]


def test_a_failing_network_is_put_back() -> None:
    net = small_net()
    before = net.params.copy()
    with pytest.raises(ValueError, match="y"):
        plots.measure_line(net, SPIRAL.X, SPIRAL.y[:-1])
    np.testing.assert_array_equal(net.params, before)


def test_directions_are_as_long_as_the_filters() -> None:
    net = small_net()
    before = net.params.copy()
    seen: list[np.ndarray] = []

    class Watched(nn.Network):
        def evaluate(self, X: Any, y: Any, batch_size: int = 1024) -> dict[str, float]:
            seen.append(self.params.copy())
            return {"loss": 0.0}

    watched = Watched([copy.copy(layer) for layer in net.layers], loss=net.loss)
    watched.params[...] = before
    plots.measure_line(watched, SPIRAL.X, SPIRAL.y, points=2, span=1.0)
    weights = [layer.weight.copy() for layer in net.layers if isinstance(layer, nn.Dense)]
    net.params[...] = seen[1] - before
    for layer in net.layers:
        if isinstance(layer, nn.Dense):
            np.testing.assert_allclose(
                np.linalg.norm(layer.weight, axis=0),
                np.linalg.norm(weights.pop(0), axis=0),
                rtol=1e-4,
            )
            np.testing.assert_array_equal(layer.bias, 0)


def test_path_in_a_plane_is_found_again() -> None:
    net = small_net()
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(net.params.size, 2)))
    wanted = np.array([[-9.0, 1.0], [-5.0, -2.0], [-2.0, 1.5], [0.0, 0.0]])
    path = [net.params + point @ axes.T for point in wanted]
    found = plots.measure_surface(net, SPIRAL.X, SPIRAL.y, path=path, points=3)
    assert found.path is not None
    assert found.explained is not None
    assert found.explained.sum() == pytest.approx(1, abs=1e-6)
    for i in range(4):
        np.testing.assert_allclose(
            np.linalg.norm(found.path - found.path[i], axis=1),
            np.linalg.norm(wanted - wanted[i], axis=1),
            atol=1e-4,
        )
    assert found.a[0] < found.path[:, 0].min() < found.path[:, 0].max() < found.a[-1]
    assert found.b[0] < found.path[:, 1].min() < found.path[:, 1].max() < found.b[-1]


@pytest.mark.parametrize("path", [[np.zeros(3)] * 4, [np.zeros(51)] * 2])
def test_path_has_to_fit(path: list[np.ndarray]) -> None:
    net = small_net()
    assert net.params.size == 51
    with pytest.raises(ValueError, match=r"path: expected at least 3 arrays of shape \(51,\)"):
        plots.measure_surface(net, SPIRAL.X, SPIRAL.y, path=path)


# Films.


def test_film_records_what_it_is_told_to() -> None:
    recorded = trained_film(every=2)
    assert [frame.epoch for frame in recorded.frames] == [0, 2, 4]
    assert len(recorded.curves["loss"]) == 4
    assert [p.shape for p in recorded.frames[0].params] == [(2, 8), (1, 8), (3, 8), (1, 3)]
    changed = recorded.frames[0].params[0] != recorded.frames[1].params[0]
    assert changed.any()


def test_film_draws_the_frame_that_it_is_told_to() -> None:
    recorded = trained_film()
    animation = plots.film(recorded)
    animation.draw(2)
    curve = next(ax for ax in animation.figure.axes if ax.get_ylabel() == "loss").lines[0]
    np.testing.assert_array_equal(curve.get_ydata(), recorded.curves["loss"][:2])
    pictures = [ax.images[0].get_array() for ax in animation.figure.axes if ax.images]
    frames = recorded.frames
    shown = [np.asarray(picture) for picture in pictures if picture is not None]
    assert any(np.array_equal(frames[2].params[0], picture) for picture in shown)
    update = frames[2].params[0] - frames[1].params[0]
    assert any(np.array_equal(update, picture) for picture in shown)


def test_film_of_a_regression_shows_the_curve(tmp_path: Path) -> None:
    sine = data.sine(30)
    net = nn.Network([nn.Dense(1, 4), nn.ReLU(), nn.Dense(4, 1)], loss=nn.MeanSquaredError())
    recorded = plots.Film(sine.X, sine.y)
    net.fit(sine.X, sine.y, optimizer=fastopt.Adam(net.params), epochs=2, callbacks=[recorded])
    assert plots.save(plots.film(recorded, fps=2), tmp_path / "a.gif", dpi=30).exists()


def test_film_needs_frames() -> None:
    with pytest.raises(ValueError, match="expected at least 2 frames, got 0"):
        plots.film(plots.Film(SPIRAL.X, SPIRAL.y))
    with pytest.raises(ValueError, match="every: expected an integer >= 1, got 0"):
        plots.Film(SPIRAL.X, SPIRAL.y, every=0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.compare({}), "runs: expected at least one run"),
        (
            lambda: plots.compare({"a": {"seconds": [1.0], "loss": [1.0, 2.0]}}),
            r"runs\['a'\]: expected lists of equal length",
        ),
        (lambda: plots.decision_regions(Linear(), IMAGES, LABELS), "X: decision regions need two"),
        (lambda: plots.fitted_curve(Square(), IMAGES, LABELS), "needs one feature and one output"),
        (lambda: plots.confusion_matrix([0, 1], [0]), "predicted: expected 2 > 0 classes"),
        (lambda: plots.ensemble([0.1, 0.2], [0.1]), r"ensembles: expected \(2,\) results"),
        (
            lambda: plots.worst_mistakes(IMAGES, LABELS, SHARES, image_shape=(3, 3)),
            "X: expected 12 pictures of 3 x 3 pixels",
        ),
        (lambda: plots.schedule(lambda step: 0.1, 0), "steps: expected an integer >= 1, got 0"),
        (lambda: plots.schedules({}, 3), "schedules: expected at least one schedule"),
        (lambda: plots.descents([]), "results: expected at least one descent"),
        (lambda: plots.decision_regions(Linear(), SPIRAL.X, SPIRAL.y + 1), "y: expected classes below 3, .* got 3"),
        (
            lambda: plots.decision_regions(Linear(), SPIRAL.X, SPIRAL.y - 1),
            "y: expected class numbers 0, 1, 2, .*, got -1",
        ),
        (lambda: plots.decision_regions(Linear(), SPIRAL.X, SPIRAL.y[1:]), "y: expected 60 classes, .* got 59"),
        (lambda: plots.decision_regions(Linear(), SPIRAL.X, SPIRAL.X), "y: expected one class per sample"),
        (lambda: plots.confusion_matrix([0, 1], [0.5, 1.5]), "predicted: expected class numbers 0, 1, 2, .*, got 0.5"),
        (
            lambda: plots.worst_mistakes(IMAGES, LABELS + 2, SHARES, image_shape=(2, 3)),
            "y: expected classes below 3, got 4",
        ),
    ],
)
def test_what_does_not_fit_is_named(draw: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
