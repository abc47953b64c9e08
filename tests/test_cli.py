"""The command line: each command in small, what is refused, and how it ends."""

import json
import os
import re
import runpy
import shlex
import shutil
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from cli_harness import TINY, pictures, process, runner

import fastopt
from fastopt import nn
from fastopt.cli import COMMANDS, _averages, _optimizers, build_parser
from fastopt.cli._optimizers import OPTIMIZERS
from fastopt.kernels import _backend
from fastopt.nn import _blas

run = pytest.fixture(runner)


@pytest.fixture
def table(tmp_path):
    """A user's table with two classes by name."""
    rng = np.random.default_rng(0)
    rows = [f"{x:.3f},{y:.3f},{'in' if x * x + y * y < 0.5 else 'out'}" for x, y in rng.uniform(-1, 1, (60, 2))]
    path = tmp_path / "points.csv"
    path.write_text("x,y,where\n" + "\n".join(rows) + "\n")
    return path


# ---- what works


@pytest.mark.parametrize(
    "words",
    [
        ["train", *TINY],
        ["train", "vertical", *TINY, "--classes", 2, "--noise", 0.2],
        ["train", "sine", "--samples", 30, "--epochs", 3, "--hidden", "8,8"],
        ["train", *TINY, "--hidden", "none", "--dtype", "float64"],
        ["train", *TINY, "--batch-size", 7, "--dropout", 0.1, "--l1", 1e-4, "--l2", 1e-4, "--clip-norm", 1],
        ["train", *TINY, "--optimizer", "sgd", "--momentum", 0.5, "--lr-in-velocity", "--weight-decay", 0.01],
        ["train", *TINY, "--optimizer", "rmsprop", "--rho", 0.9, "--eps", 1e-7, "--activation", "tanh"],
        ["train", *TINY, "--optimizer", "adamw", "--betas", "0.8,0.9", "--init", "glorot"],
        ["train", *TINY, "--optimizer", "nesterov", "--schedule", "OneCycle:max-lr=0.1", "--cycle-momentum"],
        ["train", *TINY, "--optimizer", "amsgrad", "--schedule", "cosine-annealing:eta_min=0.001", "--warmup", 2],
        ["train", *TINY, "--schedule", "piecewise-constant:boundaries=1ep/2ep,values=0.1/0.01/0.001"],
        ["train", *TINY, "--schedule", "reduce-on-plateau:patience=0,mode=max", "--early-stopping", 1],
        ["train", *TINY, "--optimizer", "adagrad", "--guard", "--validate"],
        ["train", *TINY, "--snapshots", 3, "--seed", 7],
        ["train", *TINY, "--preset", "nnfs-momentum-0.5", "--epochs", 3],
        ["train", *TINY, "--optimizer", "adam:lr=0.1,betas=0.8/0.9,weight_decay=0.1", "--eps", 1e-7],
        ["compare", *TINY, "--optimizers", "sgd,adam:lr=0.01,eps=1e-7,momentum", "rmsprop:rho=0.9"],
        ["compare", *TINY, "--average", "ema", "--optimizers", "sgd,adam"],
        ["train", *TINY, "--average", "swa:start=1ep,every=1", "--snapshots", 3, "--guard", "--validate"],
        ["lr-find", "--samples", 10, "--steps", 30, "--optimizer", "momentum:momentum=0.8"],
        ["lr-find", "sine", "--samples", 20, "--steps", 30, "--mode", "linear", "--batch-size", 5],
        ["schedule", "one-cycle:max_lr=0.1,total_steps=50"],
        ["schedule", "PiecewiseConstant:boundaries=10/20,values=1/0.1/0.01", "--steps", 30],
        ["schedule", "cosine_warm_restarts:LR=0.1,t-0=5", "--warmup", 3, "--steps", 30, "--log"],
        ["schedule", "reduce-on-plateau:lr=0.1,monitor=val_loss,mode=min", "--steps", 3],
        ["descend"],
        ["descend", "too-high"],
        ["descend", "stuck", "next", "to", "the", "global", "minimum", "--start", -5, "--steps", 50],
        ["descend", "--optimizer", "sgd", "--lr", 0.1, "--momentum", 0.5],
        ["descend", "--optimizer", "momentum:lr=0.3,momentum=0.9"],
        *(["train", *TINY, "--optimizer", name] for name in OPTIMIZERS),
        *(["descend", "--optimizer", name, "--lr", 0.1] for name in OPTIMIZERS),
        ["train", *TINY, "--optimizer", "rmsprop", "--schedule", "one-cycle", "--cycle-momentum"],
        ["landscape", *TINY, "--points", 5],
        ["landscape", *TINY, "--points", 5, "--directions", "random"],
        ["info"],
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_a_command(run, words):
    options = [] if words[0] == "info" else ["--no-plot"]
    code, out, err = run(*words, *options, "--json", "result.json")
    assert (code, err) == (0, "")
    assert out
    assert json.loads(Path("result.json").read_text())["command"] == words[0]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["train", *TINY], ["fastopt-train.png"]),
        (["compare", *TINY], ["fastopt-compare.png"]),
        (["lr-find", "--samples", 10, "--steps", 20], ["fastopt-lr-find.png"]),
        (["schedule", "constant:lr=1", "--steps", 5], ["fastopt-schedule.png"]),
        (["descend"], ["fastopt-descend.png"]),
        (["landscape", *TINY, "--points", 5], ["fastopt-landscape.png", "fastopt-landscape-line.png"]),
    ],
    ids=lambda words: words[0],
)
def test_the_pictures_of_a_command(run, words, names):
    code, out, _ = run(*words, "--json", "result.json")
    assert code == 0
    assert pictures(out) == json.loads(Path("result.json").read_text())["pictures"] == names
    for name in names:
        assert Path(name).read_bytes().startswith(b"\x89PNG")


def test_a_cycle_that_collapses_is_an_event(run):
    code, out, err = run(
        *("train", "vertical", "--samples", 20, "--hidden", 8, "--optimizer", "sgd", "--lr", 3000, "--batch-size", 6),
        *("--epochs", 40, "--snapshots", 3, "--no-plot", "--quiet", "--json", "result.json"),
    )
    assert (code, err) == (0, "")
    events = json.loads(Path("result.json").read_text())["history"]["events"]
    assert {event["kind"] for event in events} == {"collapsed cycle"}
    shown = re.findall(r"^event +epoch (\d+): the cycle that ended after (\d+) updates collapsed", out, re.MULTILINE)
    assert shown == [(str(event["epoch"]), str(event["step"])) for event in events]


def test_threads_of_kernels_and_blas_are_set_and_put_back(run, monkeypatch):
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()
    _blas._libraries.cache_clear()  # another test may have loaded one more

    def counts():
        blas = [library["num_threads"] for library in controller.info() if library["user_api"] == "blas"]
        return [fastopt.get_num_threads(), *blas]

    with controller.limit(limits=2, user_api="blas"):
        before, seen = counts(), []
        monkeypatch.setattr(nn.Training, "run", lambda self, resume: seen.append(counts()) or self.history)
        code, out, _ = run("train", *TINY, "--threads", "1", "--no-plot")
        assert code == 0
        assert seen == [[1] * len(before)]
        assert counts() == before
    assert re.search(r"^kernels .*, 1 thread$", out, re.MULTILINE)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    code, _, err = run("train", *TINY, "--threads", "1", "--no-plot")
    assert code == 2
    assert err == 'fastopt train: --threads needs threadpoolctl: pip install "fastopt[train]"\n'


@pytest.mark.parametrize("backend", ["cython", "numba", "numpy"])
def test_backends_train_alike_and_are_put_back(run, backend):
    before = _backend.active
    try:
        _backend.load(backend)
    except ImportError as error:
        pytest.skip(f"no {backend} backend here: {error}")
    code, out, _ = run("train", *TINY, "--backend", backend, "--no-plot", "--json", "result.json")
    result = json.loads(Path("result.json").read_text())
    assert code == 0
    assert _backend.active is before
    assert result["config"]["backend"] == backend
    assert re.search(f"^kernels +{backend}", out, re.MULTILINE)
    run("train", *TINY, "--no-plot", "--json", "best.json")
    best = json.loads(Path("best.json").read_text())
    assert result["history"]["loss"] == best["history"]["loss"]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_run_learns_the_spiral(run, seed):
    code, out, err = run("train", "--seed", seed, "--no-plot")
    assert (code, err) == (0, "")
    lines = re.findall(r"^epoch: (\d+), acc: ([01]\.\d{3}), loss: (\d+\.\d{3}), lr: [\d.e-]+$", out, re.MULTILINE)
    assert [int(line[0]) for line in lines] == list(range(0, 10001, 100))
    accuracy = re.search(r"^training +accuracy ([\d.]+)", out, re.MULTILINE)
    assert float(accuracy[1]) >= 0.95
    assert re.search(r"^validation +accuracy 0\.\d{3}, loss", out, re.MULTILINE)
    assert re.search(r"^time .* s \(\d+%\) in the optimizer: 10001 steps", out, re.MULTILINE)
    assert re.search(rf"^kernels +{_backend.active.name}", out, re.MULTILINE)


def test_a_table_of_the_user(run, table):
    code, out, _ = run("train", table, "--epochs", 30, "--lr", 0.01, "--json", "-", "--no-plot")
    result = json.loads(out)  # and nothing else is on standard output
    assert code == 0
    assert result["data"] == "points: 48 training and 12 validation samples, 2 features, 2 classes"
    assert result["training"]["accuracy"] > 0.8
    code, out, _ = run("train", table, "--target", "x", "--no-plot")
    assert code == 2  # "where" is no feature


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("x\ty\n1\t2.5\n2\t3.5\n3\t4.5\n", ["--delimiter", "tab"]),
        ("x;y\n1,0;2,5\n2,0;3,5\n3,0;4,5\n", ["--decimal", ","]),
        ("y,x\n2.5,1\nNA,1\n3.5,2\n4.5,3\n", ["--target", "y", "--missing", "drop"]),
    ],
)
def test_forms_of_a_table_of_the_user(run, tmp_path, text, options):
    (tmp_path / "t.csv").write_text(text)
    code, out, err = run("train", "t.csv", *options, "--epochs", 2, "--no-plot")
    assert (code, err) == (0, "")
    assert out.startswith("data        t: 2 training and 1 validation samples, 1 feature, regression, 1 output\n")
    assert ("note        1 sample with a missing value was left out" in out) == ("drop" in options)


def test_the_task_is_told_and_can_be_changed(run, tmp_path):
    (tmp_path / "t.csv").write_text("area,price\n" + "".join(f"{i},{200_000 + 1000 * i}\n" for i in range(40)))
    code, out, _ = run("train", "t.csv", "--epochs", 2, "--no-plot")
    assert code == 0
    assert "1 feature, regression, 1 output\nnote        column 'price' has 40 different whole numbers" in out
    assert "taken as numbers; --task=classification takes them as classes\n" in out
    assert "(the RMSE is in the units of the targets, " in out
    code, out, _ = run("train", "t.csv", "--epochs", 2, "--no-plot", "--task", "classification")
    assert code == 0
    assert "1 feature, 40 classes\nnetwork" in out


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("command", ["train", "compare", "landscape"])
def test_errors_of_a_regression_are_in_the_units_of_the_user(run, command, outputs):
    metrics = pytest.importorskip("sklearn.metrics", reason="its metrics are the reference")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    y = (X @ [[3e4, 2], [-1e4, 1]] + rng.normal(size=(90, 2)) * [5e3, 1] + [2e5, 0])[:, :outputs]
    np.savez("t.npz", X=X[:60], y=y[:60], X_test=X[60:], y_test=y[60:])
    words = ["--epochs", 30, "--hidden", "none", "--seed", 5]
    extra = {"train": [], "compare": ["--optimizers", "adam"], "landscape": ["--points", 3]}[command]
    code, out, _ = run(command, "t.npz", *words, *extra, "--no-plot", "--json", "r.json")
    assert code == 0
    assert "accuracy" not in out
    result = json.loads(Path("r.json").read_text())
    result = result["runs"]["adam"] if command == "compare" else result

    # The same training through the library.
    d = nn.data.load_table("t.npz", standardize_targets=True)
    net = nn.Network([nn.Dense(2, outputs)], loss=nn.MeanSquaredError(), seed=5)
    net.fit(d.X, d.y, optimizer=fastopt.Adam(net.params, lr=1e-3), epochs=30, batch_size=32, seed=5)
    for part, inputs, expected in (("training", d.X, y[:60]), ("validation", d.X_test, y[60:])):
        if part not in result:
            continue
        predicted = d.y_scaling.invert(net.predict(inputs))
        rmse = metrics.root_mean_squared_error(expected, predicted, multioutput="raw_values")
        r2 = metrics.r2_score(expected, predicted, multioutput="raw_values")
        assert np.ravel(result[part]["rmse"]) == pytest.approx(rmse, rel=1e-5)
        assert np.ravel(result[part]["r2"]) == pytest.approx(r2, rel=1e-4, abs=1e-5)
        shown = float(f"{rmse[0]:.4g}")
        assert f"{shown:,.10g}" in out


def test_a_constant_target_has_no_r2(run):
    np.savez("t.npz", X=np.arange(20.0)[:, None], y=np.full(20, 0.1))
    code, out, _ = run("train", "t.npz", "--epochs", 2, "--no-plot", "--json", "r.json")
    assert code == 0
    assert "R2 undefined" in out
    assert json.loads(Path("r.json").read_text())["validation"]["r2"] is None


def test_pixels_are_scaled(run):
    pytest.importorskip("sklearn", reason="the digits come from scikit-learn")
    words = ["train", "digits", "--epochs", 1, "--no-plot", "--quiet", "--json"]
    for scale, name in ((["--scale", "0,1"], "unit"), (["--scale=-1,1"], "told"), ([], "default")):
        assert run(*words, name, *scale)[0] == 0
    unit, told, default = (json.loads(Path(name).read_text()) for name in ("unit", "told", "default"))
    assert told["history"]["loss"] == default["history"]["loss"] != unit["history"]["loss"]
    assert nn.data.digits(pixel_range=(0, 1)).X.max() == 1
    assert nn.data.digits(pixel_range=(0, 1)).X.min() == 0


def test_targets_of_a_regression_may_be_large(run, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (100, 2))
    np.savez(tmp_path / "prices.npz", X=X, y=3e5 + 1e5 * X[:, 0])
    code, out, _ = run("train", "prices.npz", "--lr", 0.01, "--no-plot", "--quiet", "--json", "-")
    assert code == 0
    assert json.loads(out)["validation"]["loss"] < 0.05


@pytest.mark.parametrize("scale", [1e-30, 1e20, 1e30])
def test_targets_of_any_size_are_learnt_alike(run, scale):
    X = np.random.default_rng(0).uniform(-1, 1, (100, 2))
    words = ["train", "t.npz", "--lr", 0.01, "--epochs", 5, "--no-plot", "--quiet", "--json", "-"]
    losses = []
    for factor in (1.0, scale):
        np.savez("t.npz", X=X, y=factor * X[:, 0])
        code, out, _ = run(*words)
        assert code == 0
        losses.append(json.loads(out)["validation"]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_the_guard_of_the_example_is_needed(run):
    (line,) = [line for line in examples()["train"] if "--guard" in line]
    code, _, err = run(*shlex.split(line.replace("--guard", "--no-plot"))[1:])
    assert code == 1
    assert "the loss became" in err


def test_pictures_of_image_data(run):
    pytest.importorskip("sklearn", reason="the digits come from scikit-learn")
    code, out, _ = run("train", "digits", "--epochs", 1, "--plot", "d.svg")
    assert code == 0
    assert pictures(out) == ["d.svg", "d-confusion.svg", "d-mistakes.svg"]
    assert all("<svg" in Path(name).read_text() for name in pictures(out))


def test_animations(run):
    code, out, _ = run("train", *TINY, "--animate", "train.gif", "--no-plot")
    assert code == 0
    assert pictures(out) == ["train.gif"]
    code, out, _ = run("descend", "best", "--steps", "5", "--animate", "fall.gif", "--no-plot")
    assert code == 0
    assert Path("train.gif").read_bytes()[:3] == Path("fall.gif").read_bytes()[:3] == b"GIF"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg, which makes .mp4, is not installed")
def test_films_as_mp4(run):
    code, out, err = run("train", *TINY, "--animate", "train.mp4", "--no-plot")
    assert (code, err, pictures(out)) == (0, "", ["train.mp4"])
    code, out, err = run("descend", "best", "--steps", "5", "--animate", "fall.mp4", "--no-plot")
    assert (code, err, pictures(out)) == (0, "", ["fall.mp4"])
    for name in ("train.mp4", "fall.mp4"):
        assert Path(name).read_bytes()[4:8] == b"ftyp"


def test_quiet_prints_results_only(run):
    _, out, _ = run("train", *TINY, "--quiet", "--no-plot")
    assert [line.split()[0] for line in out.splitlines()] == ["training", "validation", "time", "kernels"]


def test_a_guard_saves_a_run_and_draws_it(run):
    words = ["train", "--optimizer", "momentum", "--lr", 1000, "--decay", 0, "--epochs", 400]
    code, out, err = run(*words, "--guard")
    assert (code, err) == (0, "")
    assert "guard: epoch " in out
    assert "fastopt-train-guard.png" in pictures(out)
    code, out, _ = run(*words, "--no-plot")
    assert re.search("^hint .*--guard", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["digits", "--optimizer", "sgd", "--lr", 1000, "--epochs", 3], "no lower than the 2.302 "),
        (["spiral", "--optimizer", "adam", "--lr", 30, "--epochs", 500], " lower than the 1.099 "),
        (["spiral", "--optimizer", "sgd", "--epochs", 100], "hardly lower than the 1.099 "),
        (["sine", "--optimizer", "adagrad", "--lr", 100, "--epochs", 100], " lower than the 0.5 "),
    ],
)
def test_a_network_that_learned_nothing_gets_a_hint(run, words, found):
    """The mean loss of the first epoch says nothing where that was bad already."""
    code, out, err = run("train", *words, "--warmup", 1, "--no-plot")
    assert (code, err) == (0, "")
    [hint] = re.findall("^hint +(.*)$", out, re.MULTILINE)
    assert found in hint
    assert hint.endswith("try a lower --lr (see fastopt lr-find), --clip-norm 1, --guard")


def test_a_network_that_got_worse_gets_a_hint(run):
    words = ["--batch-size", 8, "--schedule", "piecewise-constant:boundaries=1ep,values=0.1/0.6"]
    _, out, _ = run("train", "digits", "--optimizer", "sgd", *words, "--epochs", 2, "--no-plot")
    [hint] = re.findall("^hint +(.*)$", out, re.MULTILINE)
    assert hint.startswith("the loss is higher than in the beginning; ")


@pytest.mark.parametrize("words", [["digits", "--epochs", 1], ["vertical", "--epochs", 1], ["sine", "--epochs", 100]])
def test_a_short_run_that_learned_gets_no_hint(run, words):
    _, out, _ = run("train", *words, "--no-plot")
    assert not re.search("^hint", out, re.MULTILINE)


def test_snapshots_are_measured(run):
    code, out, _ = run("train", *TINY, "--epochs", 30, "--snapshots", 3, "--json", "s.json")
    assert code == 0
    result = json.loads(Path("s.json").read_text())["snapshots"]
    assert len(result["alone"]) == len(result["together"]) == 3
    assert result["alone"][-1] == result["together"][0]
    assert pictures(out) == ["fastopt-train.png", "fastopt-train-ensemble.png"]


def test_compare_starts_from_the_same_network(run):
    run("compare", *TINY, "--optimizers", "sgd", "adam", "--json", "c.json")
    runs = json.loads(Path("c.json").read_text())["runs"]
    assert runs["sgd"]["curve"]["loss"][0] == runs["adam"]["curve"]["loss"][0]
    assert runs["sgd"]["curve"]["loss"][1] != runs["adam"]["curve"]["loss"][1]


def test_compare_goes_on_when_one_run_diverges(run):
    words = ["compare", "sine", "--samples", 50, "--epochs", 100, "--activation", "relu"]
    code, out, err = run(*words, "--optimizers", "sgd:lr=1000", "adam")
    assert (code, err) == (0, "")
    assert re.search("^sgd:lr=1000 +1000 +diverged", out, re.MULTILINE)
    assert re.search("^adam +0.01 +[0-9]", out, re.MULTILINE)


def test_compare_all_is_sorted_by_the_loss(run):
    words = ["compare", *TINY, "--epochs", 30, "--optimizers", "adam:lr=0.01,all", "sgd:lr=1e30"]
    code, out, err = run(*words, "--json", "c.json", "--plot", "c.png")
    assert (code, err) == (0, "")
    runs = json.loads(Path("c.json").read_text())["runs"]
    assert runs.keys() == {"adam:lr=0.01", *OPTIMIZERS, "sgd:lr=1e30"}
    losses = [result["training"]["loss"] for result in runs.values() if result["diverged"] is None]
    assert losses == sorted(losses)
    assert list(runs)[-1] == "sgd:lr=1e30"
    lines = out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("optimizer  ")) + 1
    table = [line.split() for line in lines[first : first + len(runs)]]
    assert [row[0] for row in table] == list(runs)
    assert [row[1] for row in table] == [f"{result['settings']['lr']:g}" for result in runs.values()]
    assert table[-1][2] == "diverged"


# ---- averages of the weights


def average_runs(run, *words):
    code, out, err = run("train", *TINY, "--batch-size", 10, *words, "--no-plot", "--json", "a.json")
    assert (code, err) == (0, "")
    return out, json.loads(Path("a.json").read_text())


@pytest.mark.parametrize(
    ("text", "epochs", "filled_in"),
    [  # 3 updates in an epoch
        ("ema", 3, "ema:decay=0.0"),
        ("ema", 20, "ema:decay=0.833333"),
        ("ema", 5000, "ema:decay=0.999"),
        ("ema:decay=0.5", 3, "ema:decay=0.5"),
        ("swa", 3, "swa:start=7,every=1"),
        ("swa", 100, "swa:start=225,every=3"),
        ("swa:every=1ep", 3, "swa:start=6,every=3"),
        ("swa:start=1ep", 3, "swa:start=3,every=1"),
        ("swa:every=2,START=1", 3, "swa:start=1,every=2"),
    ],
)
def test_averages_suit_the_length_of_the_training(run, text, epochs, filled_in):
    assert _averages.text_of(*_averages.parse(text, total=3 * epochs, epoch=3)) == filled_in
    if epochs == 3:
        out, result = average_runs(run, "--average", text)
        assert result["settings"]["average"] == filled_in
        assert re.search(f"^average +{re.escape(filled_in)}$", out, re.MULTILINE)


def test_what_train_reports_is_measured_with_the_average(run):
    out, result = average_runs(run, "--epochs", 20, "--average", "ema:decay=0.8", "--checkpoint", "run.npz")
    _, plain = average_runs(run, "--epochs", 20, "--validate")
    assert result["validation"]["loss"] == result["history"]["val_loss"][-1]
    assert result["history"]["loss"] == plain["history"]["loss"]
    assert result["history"]["val_loss"] != plain["history"]["val_loss"]
    assert result["optimizer"].startswith("<EMA: decay=0.8; of <Adam: ")
    assert result["history"]["events"] == [{"kind": "averaged weights", "epoch": 19}]
    assert "event       epoch 19: averaged weights" in out
    assert "note" not in out
    with np.load("run.npz") as file:
        weights, average = file["net.dense1.weight"], file["optimizer.average.0"]
    assert weights.ravel()[0] not in average


def test_an_average_longer_than_the_training_is_told(run):
    out, _ = average_runs(run, "--average", "ema:decay=0.999")
    assert re.search("^note +the weights before the training are 99% of the average", out, re.MULTILINE)


@pytest.mark.parametrize("text", ["ema", "swa:start=2ep"])
def test_a_run_with_an_average_goes_on_to_the_bit(run, text):
    _, straight = average_runs(run, "--epochs", 9, "--average", text)
    whole = straight["settings"]["average"]
    average_runs(run, "--epochs", 5, "--average", whole, "--checkpoint", "run.npz")
    code, _, err = run("train", "--resume", "run.npz", "--epochs", 9, "--no-plot", "--json", "b.json")
    assert (code, err) == (0, "")
    resumed = json.loads(Path("b.json").read_text())
    assert resumed["settings"]["average"] == whole
    for part in ("training", "validation"):
        assert resumed[part] == straight[part]
    for name in ("loss", "val_loss", "lr"):
        assert resumed["history"][name] == straight["history"][name]
    code, _, err = run("train", "--resume", "run.npz", "--average", "ema:decay=0.1", "--no-plot")
    assert (code, err) == (2, f"fastopt train: --average: the run in run.npz has {whole}, got ema:decay=0.1\n")


def test_lr_find_leaves_nothing_behind_but_the_picture(run, tmp_path):
    code, _, _ = run("lr-find", "--samples", 10)
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["fastopt-lr-find.png"]


def test_lr_find_recommends_the_rate_that_its_verification_prefers(run):
    code, out, _ = run("lr-find", "--optimizer", "sgd", "--verify", 200, "--json", "range.json", "--no-plot")
    result = json.loads(Path("range.json").read_text())
    losses = {entry["lr"]: entry["loss"] for entry in result["verification"]["losses"]}
    assert code == 0
    assert result["verification"]["updates"] == 200
    for factor in (1 / 3, 1, 3):
        assert pytest.approx(factor * result["suggestion"]) in list(losses)
    assert losses[result["recommended"]] < losses[result["suggestion"]]  # the suggestion is far too low for the spiral
    assert f"\nrecommended --lr {result['recommended']:.2g}\n" in out
    assert len(re.findall("^verified ", out, re.MULTILINE)) == len(losses)
    assert len(re.findall(", best$", out, re.MULTILINE)) == 1


def test_lr_find_recommends_its_suggestion_without_verification(run):
    _, out, _ = run("lr-find", "--verify", 0, "--json", "range.json", "--no-plot")
    result = json.loads(Path("range.json").read_text())
    assert result["recommended"] == result["suggestion"]
    assert result["verification"]["losses"] == []
    assert "verified" not in out


def test_lr_find_says_so_when_the_loss_never_falls(run):
    _, out, _ = run("lr-find", "--lr-min", 100, "--lr-max", 1000, "--json", "range.json", "--no-plot")
    assert json.loads(Path("range.json").read_text())["recommended"] is None
    assert "the loss never falls; try a larger range than 100 to 1000" in out
    assert "recommended" not in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one-cycle", "max_lr=VALUE, a number (0.1) The highest rate, at least 0."),
        ("one-cycle", "total_steps=VALUE, a whole number (--steps) Updates of the whole training."),
        ("one-cycle", "anneal_strategy=VALUE, cos or linear (cos)"),
        ("step-decay", "step_size=VALUE, a whole number (required)"),
        ("reduce-on-plateau", "monitor=VALUE, a name or none (none)"),
    ],
)
def test_schedule_help_says_what_is_taken_where_nothing_is_given(run, name, said):
    _, out, _ = run("schedule", name, "--help")
    assert said in " ".join(out.split())


def test_schedule_numbers(run):
    _, out, _ = run("schedule", "step-decay:lr=1,step_size=10,gamma=0.5", "--steps", 21, "--json", "-", "--no-plot")
    result = json.loads(out)
    assert result["rates"] == [1.0] * 10 + [0.5] * 10 + [0.25]
    code, out, _ = run("train", *TINY, "--schedule", result["option"], "--json", "-")
    assert code == 0
    assert json.loads(out)["history"]["lr"] == [1.0] * 3


def rows(out):
    """Return the numbers of the table in an output."""
    return [line.split() for line in out.splitlines() if line[:1].isdigit()]


def test_schedule_prints_every_rate_and_its_change(run):
    words = ["schedule", "inverse-time-decay:lr=1,decay=0.1", "--steps", 30, "--no-plot"]
    _, out, _ = run(*words, "--every", 1, "--diff")
    rates = [1 / (1 + 0.1 * step) for step in range(30)]
    assert [(int(row[0]), float(row[1])) for row in rows(out)] == [
        (step, pytest.approx(rate, rel=1e-5)) for step, rate in enumerate(rates)
    ]
    assert [float(row[2]) for row in rows(out)[1:]] == pytest.approx(np.diff(rates), rel=1e-5)
    assert len(rows(out)[0]) == 2  # nothing is before the first
    _, out, _ = run(*words, "--every", 7)
    assert [int(row[0]) for row in rows(out)] == [0, 7, 14, 21, 28]
    _, out, _ = run(*words, "--diff")
    assert [int(row[0]) for row in rows(out)] == [0, 3, 6, 9, 12, 14, 17, 20, 23, 26, 29]
    assert float(rows(out)[1][2]) == pytest.approx(rates[3] - rates[0], rel=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (
            "schedule one-cycle --max-lr 0.2 --total_steps=50",
            "schedule one-cycle:max_lr=0.2,total_steps=50",
            "--max-lr, --total-steps",
        ),
        (
            "schedule OneCycle:max_lr=0.2 --no-three-phase --steps 30",
            "schedule one-cycle:max_lr=0.2,three_phase=False --steps 30",
            "--three-phase",
        ),
        (
            "schedule piecewise-constant --boundaries 10 20 --values 1 0.1 0.01 --steps 30",
            "schedule piecewise-constant:boundaries=10/20,values=1/0.1/0.01 --steps 30",
            "--boundaries, --values",
        ),
        (
            "compare --samples 10 --epochs 2 --optimizers sgd adam:lr=0.01:eps=1e-7",
            "compare --samples 10 --epochs 2 --optimizers sgd adam:lr=0.01,eps=1e-7",
            "adam:lr=0.01:eps=1e-7",
        ),
    ],
)
def test_the_forms_of_version_0_1_still_work_and_say_what_to_write(run, old, new, named):
    def result(words):
        code, _, err = run(*words.split(), "--no-plot", "--json", "result.json")
        assert code == 0
        written = json.loads(Path("result.json").read_text())
        return written.get("rates") or [one["curve"]["loss"] for one in written["runs"].values()], err

    rates, err = result(old)
    [spec] = [word for word in new.split() if ":" in word]
    command = f"fastopt {old.split()[0]}"
    assert err == f"{command}: deprecated, to be removed in version 1.0: {named}; write {spec}\n"
    assert result(new) == (rates, "")


@pytest.mark.parametrize(
    ("words", "rates"),
    [
        (["--optimizer", "adam"], [0.05 / (1 + 1e-3 * step) for step in range(3)]),
        (["--lr", 1], [1, 1, 1]),
        (["--optimizer", "sgd:lr=1"], [1, 1, 1]),
        (["--lr", 1, "--decay", 1], [1, 1 / 2, 1 / 3]),
        (["--optimizer", "sgd:lr=1,decay=1"], [1, 1 / 2, 1 / 3]),
        (["--preset", "nnfs-sgd-decay-1e-2", "--epochs", 3, "--lr", 2], [2 / (1 + 1e-2 * step) for step in range(3)]),
    ],
)
def test_a_rate_that_is_given_is_constant_unless_a_decay_is_given_too(run, words, rates):
    code, out, _ = run("train", *TINY, *words, "--no-plot", "--json", "-")
    assert code == 0
    assert json.loads(out)["history"]["lr"] == pytest.approx(rates)


# ---- saving and going on


def test_a_resumed_run_ends_like_one_that_never_stopped(run):
    words = ["train", *TINY, "--dropout", 0.2, "--batch-size", 7, "--schedule", "one-cycle:total_steps=60"]
    assert run(*words, "--epochs", 10, "--json", "whole.json")[0] == 0
    assert run(*words, "--epochs", 4, "--checkpoint", "run.npz")[0] == 0
    code, out, err = run("train", "--resume", "run.npz", "--epochs", 10, "--json", "parts.json")
    assert (code, err) == (0, "")
    assert "resumed     run.npz" in out
    whole, parts = (json.loads(Path(name).read_text()) for name in ("whole.json", "parts.json"))
    assert parts["validation"] == whole["validation"]
    assert parts["history"]["loss"] == whole["history"]["loss"]
    assert parts["history"]["lr"] == whole["history"]["lr"]
    assert parts["checkpoint"] == "run.npz"


def test_a_resumed_run_keeps_its_settings(run):
    run("train", *TINY, "--checkpoint", "run.npz")
    code, _, err = run("train", "--resume", "run.npz", "--lr", 0.3)
    assert (code, err) == (2, "fastopt train: --lr: the run in run.npz has 0.05, got 0.3\n")
    assert run("train", "sine", "--resume", "run.npz")[0] == 2
    for words, message in (
        (["--hidden", "8,4"], "--hidden: the run in run.npz has 4, got 8,4"),
        (["--hidden", "none"], "--hidden: the run in run.npz has 4, got none"),
        (["--batch-size", 5], "--batch-size: the run in run.npz was begun without it"),
        (["--guard"], "--guard: the run in run.npz was begun without it"),
    ):
        assert run("train", "--resume", "run.npz", *words) == (2, "", f"fastopt train: {message}\n")


@pytest.mark.skipif(os.name != "posix", reason="SIGINT cannot be sent to one process elsewhere")
@pytest.mark.parametrize("saved", [True, False])
def test_ctrl_c_ends_cleanly(tmp_path, saved):
    words = ["train", "--epochs", "10000000", "--no-plot"] + ["--checkpoint", "run.npz"] * saved
    running = process(*words, cwd=tmp_path)
    for line in running.stdout:
        if line.startswith("epoch: 200,"):
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert re.search("^training +accuracy", out, re.MULTILINE)
    assert len(err.splitlines()) == 1
    assert err.startswith("fastopt train: interrupted in epoch ")
    assert ("go on with: fastopt train --resume run.npz" in err) == saved
    if saved:
        epochs = str(int(re.search(r"epoch (\d+)", err)[1]) + 2)
        resumed = process("train", "--resume", "run.npz", "--epochs", epochs, cwd=tmp_path)
        assert resumed.communicate(timeout=60)[1] == ""
        assert resumed.returncode == 0


# ---- as a process


def test_python_m_fastopt(tmp_path):
    ended = process("--version", code="import runpy; runpy.run_module('fastopt', run_name='__main__')", cwd=tmp_path)
    out, err = ended.communicate(timeout=60)
    assert (ended.returncode, out, err) == (0, f"fastopt {fastopt.__version__}\n", "")


@pytest.mark.skipif(os.name != "posix", reason="there are pseudo-terminals on POSIX only")
def test_on_a_terminal_there_is_a_bar(tmp_path):
    pytest.importorskip("rich", reason="the bar is drawn by rich")
    import pty

    near, far = pty.openpty()
    words = ["train", "--epochs", "3000", "--no-plot"]
    ended = process(*words, cwd=tmp_path, out=far)
    os.close(far)
    shown = b""
    with suppress(OSError):  # how Linux says that the other side is closed
        while chunk := os.read(near, 4096):
            shown += chunk
    os.close(near)
    assert ended.communicate(timeout=60)[1] == ""
    assert ended.returncode == 0
    assert b"\x1b[" in shown
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}".encode() in shown
    assert b"epoch: 100, acc: " in shown
    piped = process(*words, cwd=tmp_path).communicate(timeout=60)
    assert "\x1b" not in piped[0] + piped[1]


@pytest.mark.skipif(os.name != "posix", reason="files cannot be closed like this elsewhere")
@pytest.mark.parametrize(
    "words", [["info"], ["train", *TINY, "--no-plot"], ["descend", "--no-plot"], ["train", "--lr", "x"]]
)
def test_nobody_listens(tmp_path, words):
    again = "os.execv(sys.executable, [sys.executable, '-m', 'fastopt', *sys.argv[1:]])"
    ended = process(*words, code=f"import os; os.close(1); os.close(2); {again}", cwd=tmp_path)
    assert ended.communicate(timeout=60) == ("", "")
    assert ended.returncode == (2 if words[-1] == "x" else 0)


def test_names_that_the_terminal_cannot_show(tmp_path, monkeypatch):
    rows = "".join(f"{i},{i % 2}\n" for i in range(10))
    (tmp_path / "gr\xf6\xdfe.csv").write_text(rows)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ended = process("train", "gr\xf6\xdfe.csv", "--epochs", "2", "--no-plot", cwd=tmp_path)
    out, err = ended.communicate(timeout=60)
    assert (ended.returncode, err) == (0, "")
    assert out.startswith(r"data        gr\xf6\xdfe: 8 training and")


def test_a_reader_that_has_seen_enough(tmp_path):
    ended = process("train", "--epochs", "200000", "--no-plot", cwd=tmp_path)
    ended.stdout.readline()
    ended.stdout.close()
    ended.stdout = None
    _, err = ended.communicate(timeout=60)
    assert (ended.returncode, err) == (141, "")


@pytest.mark.parametrize("words", [["--help"], ["info"], ["train", "--help"]], ids=" ".join)
def test_quick_commands_import_nothing_heavy(tmp_path, words):
    code = (
        "from fastopt.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'matplotlib', 'rich', 'numba', 'sklearn', 'fastopt.nn', 'fastopt.bench'} & sys.modules.keys(); "
        "sys.exit(f'imported {heavy}' if heavy and 'numba' not in fastopt.show_config('dicts')['backend'] else code)"
    )
    ended = process(*words, code=f"import fastopt; {code}", cwd=tmp_path)
    out, err = ended.communicate(timeout=60)
    assert (ended.returncode, err) == (0, "")
    assert out


# ---- help


def examples():
    """Every line in a help text that begins with the command's name, in the order of the help."""
    found = {}
    for name in COMMANDS:
        if name == "bench":  # takes minutes; its own tests run its examples in small
            continue
        commands = build_parser([name])._subparsers._group_actions[0].choices
        found[name] = re.findall(r"^  (fastopt .+)$", commands[name].format_help(), re.MULTILINE)
    found["fastopt"] = re.findall(r"^  (fastopt .+)$", build_parser([]).format_help(), re.MULTILINE)
    return found


@pytest.mark.parametrize("name", list(examples()))
def test_examples_in_the_help_work(run, name):
    if any("digits" in line for line in examples()[name]):
        pytest.importorskip("sklearn", reason="the digits come from scikit-learn")
    assert examples()[name]
    for line in examples()[name]:  # in one folder: an example may go on from another
        command, library = (*shlex.split(line)[1:], "")[:2]
        if command == "match" and library in ("torch", "keras") and not find_spec(library):
            continue
        code, out, err = run(*shlex.split(line)[1:])
        assert (code, err) == (0, "") or ("--json -" in line and code == 0), line
        assert out, line


def test_each_help_fits_a_terminal_and_names_each_option():
    for name in COMMANDS:
        text = build_parser([name])._subparsers._group_actions[0].choices[name].format_help()
        assert max(map(len, text.splitlines())) <= 120
        assert "examples:" in text


def test_a_new_optimizer_has_a_name_by_itself(monkeypatch):
    class Newest(fastopt.SGD):
        pass

    monkeypatch.setattr(fastopt.optimizers, "Newest", Newest, raising=False)
    monkeypatch.setattr(fastopt.optimizers, "__all__", [*fastopt.optimizers.__all__, "Newest"])
    choice = runpy.run_path(_optimizers.__file__)["OPTIMIZERS"]["newest"]
    assert choice.cls is Newest
    assert choice.rates(whole=True) == choice.rates(whole=False) == (1e-3, 0.0)
