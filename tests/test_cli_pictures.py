"""Results before pictures: what is written before anything is drawn, and what a picture that fails costs."""

import json
import random
from pathlib import Path

import pytest
from cli_harness import TINY, pictures, runner

pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")

from fastopt import plots

run = pytest.fixture(runner)

DRAWN = [
    (["train", *TINY, "--checkpoint", "run.npz"], "training_report", ["a.png"]),
    (["train", *TINY, "--animate", "a.gif"], "film", ["a.png", "a.gif"]),
    (["train", *TINY, "--guard"], "rescues", ["a.png", "a-guard.png"]),
    (["train", *TINY, "--snapshots", 2], "ensemble", ["a.png", "a-ensemble.png"]),
    (
        ["train", "digits", "--epochs", 1, "--hidden", 4],
        "confusion_matrix",
        ["a.png", "a-confusion.png", "a-mistakes.png"],
    ),
    (
        ["train", "digits", "--epochs", 1, "--hidden", 4],
        "worst_mistakes",
        ["a.png", "a-confusion.png", "a-mistakes.png"],
    ),
    (["compare", *TINY], "compare", ["a.png"]),
    (["lr-find", "--samples", 10, "--steps", 20], "lr_range", ["a.png"]),
    (["schedule", "constant:lr=1", "--steps", 5], "schedule", ["a.png"]),
    (["descend"], "descents", ["a.png"]),
    (["descend", "best", "--animate", "a.gif"], "descent_animation", ["a.png", "a.gif"]),
    (["landscape", *TINY, "--points", 3], "loss_surface", ["a.png", "a-line.png"]),
    (["landscape", *TINY, "--points", 3], "loss_line", ["a.png", "a-line.png"]),
]


@pytest.mark.parametrize(("words", "function", "names"), DRAWN, ids=[function for _, function, _ in DRAWN])
def test_a_picture_that_fails_costs_nothing_else(run, monkeypatch, words, function, names):
    if "digits" in words:
        pytest.importorskip("sklearn", reason="has the digits data set")
    written = []

    def fail(*_, **__):
        written.append(json.loads(Path("result.json").read_text()))
        raise RuntimeError("no such ink")

    monkeypatch.setattr(plots, function, fail)
    # What is drawn all the same need not be drawn here.
    monkeypatch.setattr(plots, "save", lambda picture, path, **_: Path(path).write_text("drawn"))
    code, out, err = run(*words, "--plot", "a.png", "--json", "result.json")
    [failed] = [name for name in names if f" {name} " in err]
    kind = "animation" if failed.endswith(".gif") else "picture"
    assert (code, err) == (
        0,
        f"fastopt {words[0]}: warning: {kind} {failed} was not drawn: RuntimeError: no such ink\n",
    )
    drawn = [name for name in names if name != failed]
    assert pictures(out) == drawn
    result = json.loads(Path("result.json").read_text())
    # All of it had been written when the picture was begun, and then without it.
    assert written == [{**result, "pictures": names}]
    assert result["pictures"] == drawn
    assert Path("run.npz").exists() == ("run.npz" in words)


def test_ctrl_c_in_a_picture_leaves_the_results(run, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "training_report", stop)
    code, out, err = run("train", *TINY, "--plot", "a.png", "--json", "result.json")
    assert (code, err) == (130, "fastopt train: interrupted\n")
    assert "accuracy" in out
    assert json.loads(Path("result.json").read_text())["status"] == "completed"


def test_a_failed_picture_leaves_json_on_standard_output(run, monkeypatch):
    monkeypatch.delattr(plots, "compare")
    code, out, err = run("compare", *TINY, "--plot", "a.png", "--json", "-")
    assert code == 0
    assert json.loads(out)["command"] == "compare"
    assert err.endswith("has no attribute 'compare'\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["train", *TINY, "--guard"], "guard"),
        (["train", *TINY, "--snapshots", 2], "ensemble"),
        (["train", "digits", "--epochs", 1], "confusion"),
        (["train", "digits", "--epochs", 1], "mistakes"),
        (["landscape", *TINY, "--points", 3], "line"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_path_of_every_picture_is_checked_before_the_work(run, monkeypatch, words, what):
    if "digits" in words:
        pytest.importorskip("sklearn", reason="has the digits data set")
    Path(f"a-{what}.png").mkdir()
    code, out, err = run(*words, "--plot", "a.png")
    assert (code, err) == (2, f"fastopt {words[0]}: --plot: expected a file, got the folder 'a-{what}.png'\n")
    assert "accuracy" not in out
    # One that nobody asked for is left out.
    Path(f"fastopt-{words[0]}-{what}.png").mkdir()
    monkeypatch.setattr(plots, "save", lambda *_, **__: None)
    code, out, err = run(*words, "--quiet")
    assert (code, err) == (0, "")
    assert f"no picture  --plot: expected a file, got the folder 'fastopt-{words[0]}-{what}.png'\n" in out
    assert f"fastopt-{words[0]}-{what}.png" not in pictures(out)


def table(path, columns, label, rows=60):
    source = random.Random(0)
    lines = [",".join([*(f"x{k}" for k in range(columns)), "y"])]
    lines += [",".join([*(f"{source.gauss(0, 1)}" for _ in range(columns)), label(i)]) for i in range(rows)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        (2, lambda i: "$" * (1 + i % 4)),  # as restaurants are
        (3, lambda i: ("_a$b^{", "%s\\frac", "שלום")[i % 3]),
        (2, lambda i: f"a class with a rather long name {'x' * (i % 50)} and an end"),
        (3, lambda i: f"class {i % 60}"),
    ],
)
def test_classes_of_any_name_and_number(run, columns, label):
    image = pytest.importorskip("PIL.Image", reason="comes with matplotlib")
    path = table("$a_{b$.csv", columns, label, rows=300)
    code, out, err = run("train", path, "--epochs", 1, "--quiet", "--json", "result.json", "--plot", "a.png")
    assert (code, err) == (0, "")
    names = ["a.png"] if columns == 2 else ["a.png", "a-confusion.png"]
    assert pictures(out) == json.loads(Path("result.json").read_text())["pictures"] == names
    for name in names:
        with image.open(name) as picture:
            assert max(picture.size) < 16 * 150


# Rounds of a descent.


def test_rounds_have_numbers_and_go_without_momentum(run):
    def rounds(*words):
        code, _, err = run("descend", *words, "--no-plot", "--json", "result.json")
        assert (code, err) == (0, "")
        return json.loads(Path("result.json").read_text())["rounds"]

    everything = rounds()
    assert rounds("7") == rounds("best") == [everything[6]]
    [plain] = rounds("3", "--momentum", 0)
    assert (plain["round"], plain["settings"]) == (everything[2]["round"], "SGD: lr 0.2, momentum 0")
    assert plain["x"] == rounds("--optimizer", "sgd", "--lr", 0.2)[0]["x"] != everything[2]["x"]
