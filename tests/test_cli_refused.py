"""What the command line refuses, and how: one sentence on standard error and exit code 2."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_harness import process, runner

from fastopt.cli import COMMANDS, build_parser

run = pytest.fixture(runner)

REFUSED = [
    ("", "fastopt: the following arguments are required: COMMAND"),
    ("frobnicate", "fastopt: argument COMMAND: invalid choice: 'frobnicate'"),
    ("train --nope", "fastopt train: unrecognized arguments: --nope (see fastopt train --help)"),
    ("--nope train", "fastopt: unrecognized arguments: --nope (see fastopt --help)"),
    ("train spiral extra", "unrecognized arguments: extra"),
    ("train --epoch=3", "unrecognized arguments: --epoch=3; did you mean --epochs?"),
    ("train --lr nan", "argument --lr: expected a number >= 0, got 'nan'"),
    ("train --lr inf", "argument --lr: expected a number >= 0, got 'inf'"),
    ("train --epochs 0", "argument --epochs: expected a whole number >= 1, got '0'"),
    ("train --epochs 1.5", "argument --epochs: expected a whole number >= 1, got '1.5'"),
    ("train --momentum 1", "argument --momentum: expected a number >= 0 and < 1, got '1'"),
    ("train --clip-norm 0", "argument --clip-norm: expected a number > 0, got '0'"),
    ("train --hidden 0", "argument --hidden: expected widths such as 64 or 128,64, or none, got '0'"),
    ("train --betas 0.9", "argument --betas: expected two numbers such as 0.9,0.999, got '0.9'"),
    ("train --optimizer adm", "argument --optimizer: invalid choice: 'adm'; did you mean adam or radam?"),
    ("train --optimizer adm:lr=1", "argument --optimizer: invalid choice: 'adm'; did you mean adam or radam?"),
    ("train --optimizer nosuch", "argument --optimizer: invalid choice: 'nosuch' (choose from sgd, momentum, "),
    ("train --optimizer adam:epsi=1", "argument --optimizer: adam has no 'epsi'; did you mean eps?"),
    ("train --optimizer adam:nope=1", "argument --optimizer: adam takes lr, decay, momentum"),
    ("train --optimizer adam:betas=0.9", "argument --optimizer: betas: expected two numbers"),
    ("train --optimizer adam:lr=1 --lr 2", "--lr: given twice, by itself and in --optimizer"),
    ("train --optimizer sgd:rho=0.5", "--rho: sgd has no such setting"),
    ("train --activation sigmod", "argument --activation: invalid choice: 'sigmod'; did you mean sigmoid?"),
    ("trian", "fastopt: argument COMMAND: invalid choice: 'trian'; did you mean train?"),
    ("train spirl", "data: there is no 'spirl'; did you mean spiral?"),
    ("train --preset nnfs-adm-0.05", "--preset: there is no 'nnfs-adm-0.05'; did you mean nnfs-adam-0.05"),
    ("train --decay 1 --schedule constant", "not allowed with argument --decay"),
    ("train nosuch", "data: expected one of spiral, vertical, sine, digits, fashion-mnist or a .npz"),
    ("train nosuch.csv", "nosuch.csv: no such file"),
    ("train bad.csv", "bad.csv: "),
    ("train bad.npz", "bad.npz: not a readable .npz file"),
    ("train folder.csv", "folder.csv: no such file"),
    ("train fashion-mnist --data empty", "empty: there is no train-images-idx3-ubyte"),
    ("train fashion-mnist --data damaged", "damaged/train-images-idx3-ubyte"),
    ("train --data empty", "--data: only for fashion-mnist, not for spiral"),
    ("train sine --classes 3", "--classes: only for spiral, vertical, not for sine"),
    ("train --target x", "--target: only for a table (.npz, .csv, .tsv), not for spiral"),
    ("train sine --missing drop", "--missing: only for a table (.npz, .csv, .tsv), not for sine"),
    ("train good.csv --target z", "good.csv: target: expected the name of one column, got 'z' (columns: a, b, c)"),
    ("train good.csv --decimal ,", "line 3, column 'b': missing value (--missing=drop leaves out the sample, --missi"),
    ("train good.csv --target b", "line 2, column 'c': expected a number, got '1,5' (--decimal=, reads decimal com"),
    ("train good.csv --delimiter ;", "good.csv: line 1: expected at least 2 columns, got 1, with a semicolon as delim"),
    ("train good.csv --delimiter ab", "--delimiter: expected one character, or tab, got 'ab'"),
    ("train --scale 0,1", "--scale: only for digits, fashion-mnist, not for spiral"),
    ("train digits --scale 1,0", "--scale: expected two numbers such as 0,1, the lower one first, got '1,0'"),
    ("train digits --scale 0,inf", "--scale: expected two numbers such as 0,1, the lower one first, got '0,inf'"),
    ("train --samples 100000000000000", "--samples: expected a whole number <= 10000000, got '100000000000000'"),
    ("train --classes 99999999999999999999999999", "--classes: expected a whole number <= 100000, got '9999"),
    ("train --hidden 1000000000", "argument --hidden: expected widths <= 1000000, got '1000000000'"),
    (f"train --hidden {','.join(200 * ['1000000'])}", "not enough memory"),
    ("train vertical --noise 1e308", "noise: expected a number in [0, 1e+06], got 1e+308"),
    ("train --rho 0.9", "--rho: adam has no such setting"),
    ("train --optimizer sgd --betas 0.9,0.99", "--betas: sgd has no such setting"),
    (
        "train --optimizer adagrad --schedule one-cycle --cycle-momentum",
        "--cycle-momentum: adagrad has no such setting",
    ),
    ("train --cycle-momentum", "--cycle-momentum: needs --schedule one-cycle or cyclical"),
    (
        "train --schedule cosine",
        "schedule: there is no 'cosine'; did you mean cosine-annealing or cosine-warm-restarts?",
    ),
    ("train --schedule one-cycle:max_l=1", "schedule: one-cycle has no 'max_l'; did you mean max_lr?"),
    ("train --schedule nosuch", "schedule: expected one of constant, inverse-time-decay"),
    ("train --schedule step-decay", "schedule: step-decay needs step_size"),
    ("train --schedule step-decay:step_size=x", "step-decay: step_size: expected a whole number, got 'x'"),
    ("train --schedule step-decay:step_size=infep", "step-decay: step_size: expected a whole number, got 'infep'"),
    ("train --schedule step-decay:step_size=0", "step-decay: step_size: expected an integer >= 1, got 0"),
    ("train --schedule one-cycle:nope=1", "schedule: one-cycle takes max_lr, total_steps"),
    ("train --schedule one-cycle:pct_start", "got 'pct_start'"),
    ("train --schedule one-cycle:three_phase=perhaps", "three_phase: expected true or false, got 'perhaps'"),
    ("train --schedule one-cycle:anneal_strategy=up", "anneal_strategy: expected cos or linear, got 'up'"),
    ("train --snapshots 20 --epochs 10", "cycles: expected at most total_steps = 10, got 20"),
    (
        "train --snapshots 2 --schedule constant",
        "--snapshots: needs a schedule with cycles, such as snapshot-cosine, got constant",
    ),
    ("train --early-stopping 3 --no-validate", "--early-stopping: needs validation data"),
    ("train --preset nosuch", "--preset: expected one of nnfs-sgd-1.0"),
    ("train sine --preset nnfs-adagrad", "--preset: nnfs-adagrad is spiral, not sine"),
    ("train --preset nnfs-adagrad --optimizer sgd", "--preset: nnfs-adagrad is adagrad, not sgd"),
    ("train sine --init nnfs", "--init: nnfs is only for spiral, not for sine"),
    ("train --plot x.gif", "--plot: expected a file name ending in .png or .svg or .pdf, got 'x.gif'"),
    ("train --plot nosuch/x.png", "--plot: the folder of 'nosuch/x.png' does not exist"),
    ("train --plot folder.png", "--plot: expected a file, got the folder 'folder.png'"),
    ("train --plot a.png --no-plot", "not allowed with argument"),
    ("train --animate x.png", "--animate: expected a file name ending in .gif or .mp4, got 'x.png'"),
    ("train --json nosuch/x.json", "--json: the folder of 'nosuch/x.json' does not exist"),
    ("train --json bad.csv/x.json", "--json: the folder of 'bad.csv/x.json' does not exist"),
    ("train --checkpoint=", "--checkpoint: expected a file name ending in .npz, got ''"),
    ("train --checkpoint x.zip", "--checkpoint: expected a file name ending in .npz, got 'x.zip'"),
    ("train --resume nosuch.npz", "--resume: there is no file 'nosuch.npz'"),
    ("train --resume bad.npz", "bad.npz: not a file saved by fastopt, or damaged"),
    ("train --average", "argument --average: expected one argument"),
    ("train --average emma", "fastopt train: --average: there is no 'emma'; did you mean ema?"),
    ("train --average mean", "fastopt train: --average: expected one of ema, swa, got 'mean'"),
    ("train --average ema:decay=1", "fastopt train: --average: decay: expected a number in [0, 1), got 1.0"),
    ("train --average ema:decay=x", "fastopt train: --average: decay: expected a number, got 'x'"),
    ("train --average ema:start=1", "fastopt train: --average: ema takes decay as ARG=VALUE, got 'start=1'"),
    ("train --average swa:every=0", "fastopt train: --average: every: expected an integer >= 1, got 0"),
    ("train --average swa:every=6 --epochs 5", "--average: start, every: expected start + every <= 5, the"),
    ("train --average swa:start=-1", "fastopt train: --average: start: expected an integer >= 0, got -1"),
    ("compare --average swa:start=5ep --epochs 5", "--average: start, every: expected start + every <= 5, the"),
    ("compare --optimizers al", "--optimizers: invalid choice: 'al'"),
    ("compare --optimizers sgd adma", "--optimizers: invalid choice: 'adma'; did you mean adamax or adam?"),
    ("compare --optimizers adam:lr", "--optimizers: adam takes lr, decay, momentum"),
    ("compare --optimizers adam:lr=-1", "--optimizers: lr: expected a number >= 0, got '-1'"),
    ("compare --optimizers adam sgd:rho=0.5", "--rho: sgd has no such setting"),
    ("compare --optimizers ,", "--optimizers: expected at least one name, got none"),
    ("lr-find --lr-min 1 --lr-max 0.1", "--lr-min: expected less than --lr-max, 0.1, got 1"),
    ("lr-find --optimizer adam:lr=1", "--optimizer: lr: expected none, since the rate is what is looked for"),
    ("lr-find --steps 1", "argument --steps: expected a whole number >= 2, got '1'"),
    ("schedule", "the following arguments are required: NAME"),
    ("schedule nosuch", "argument NAME: invalid choice: 'nosuch'"),
    ("schedule one-cycl:max_lr=1", "argument NAME: invalid choice: 'one-cycl'; did you mean one-cycle?"),
    ("schedule step-decay", "fastopt schedule: step-decay needs step_size: write step-decay:step_size=VALUE"),
    ("schedule piecewise-constant", "fastopt schedule: piecewise-constant needs boundaries, values"),
    ("train --schedule step-decay", "fastopt train: schedule: step-decay needs step_size"),
    (
        "schedule step-decay:step_size=1.5",
        "fastopt schedule: step-decay: step_size: expected a whole number, got '1.5'",
    ),
    ("schedule step-decay --step-size 1.5", "step_size: expected a whole number, got '1.5'"),
    ("schedule constant:lr=1,lr", "constant takes lr as ARG=VALUE, got 'lr'"),
    ("schedule one-cycle --nope 1", "fastopt schedule one-cycle: unrecognized arguments: --nope 1"),
    ("schedule cyclical:base_lr=1,max_lr=0.1", "base_lr: expected at most max_lr = 0.1, got 1.0"),
    ("schedule constant --steps 99999999999999999", "--steps: expected a whole number <= 1000000, got '9999"),
    ("schedule one-cycle:total_steps=9999999999", "--steps: expected at most 1000000 to show"),
    ("schedule piecewise-constant --values=--", "argument --values: expected a value, got '--'"),
    ("descend --steps 99999999999999999999", "--steps: expected a whole number <= 1000000, got '9999"),
    ("descend nosuch", "round: expected one of too small, still too small"),
    ("descend 10", ", exploding, or 1 to 9, got '10'"),
    ("descend 3 --optimizer sgd", "--optimizer: needs --lr"),
    ("descend good --lr 0.1", "--lr: the settings of the round 'good' are fixed"),
    ("descend --optimizer adam --lr 1 --momentum 0.5", "--momentum: adam has no such setting"),
    ("descend --momentum 0.5", "--momentum: needs --lr"),
    ("descend --optimizer adam", "--optimizer: needs --lr"),
    ("descend --optimizer adam:lr=1,eps=1", "--optimizer: expected lr and momentum as arguments, got eps"),
    ("descend --start 5000", "argument --start: expected a number"),
    ("descend --animate x.gif", "--animate: expected one ROUND"),
    ("landscape --epochs 1", "--epochs: expected at least 2 updates in all, for a path, got 1"),
    ("landscape --points 9999", "argument --points: expected a whole number <= 1000, got '9999'"),
    ("landscape --points 2", "argument --points: expected a whole number >= 3, got '2'"),
    ("info --backend nosuch", "argument --backend: invalid choice: 'nosuch'"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[words[:60] for words, _ in REFUSED])
def test_refused_in_one_sentence(run, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "good.csv").write_text('a,b,c\n1,2,"1,5"\n2,,"2,5"\n')
    (tmp_path / "bad.npz").write_bytes(b"PK not a zip")
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "damaged" / f"{name}-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(*words.split())
    assert code == 2
    assert err.startswith("fastopt")
    assert message in err
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert not re.search("^epoch", out, re.MULTILINE)  # nothing was trained
    assert sorted(tmp_path.rglob("*")) == before


def options_with_a_value():
    for name in COMMANDS:
        command = build_parser([name])._subparsers._group_actions[0].choices[name]
        for action in command._actions:
            if action.option_strings and action.nargs is None:
                yield name, action.option_strings[-1]


@pytest.mark.parametrize(("command", "option"), list(options_with_a_value()))
def test_two_dashes_are_no_value(run, command, option):
    code, _, err = run(command, f"{option}=--")
    message = f"argument {option}: expected a value, got '--'"
    assert (code, err) == (2, f"fastopt {command}: {message} (see fastopt {command} --help)\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_named(tmp_path):
    words = ["train", "--samples", "10", "--epochs", "3", "--no-plot", "--quiet"]
    for options, out, message in (
        (["--json", "/dev/full"], subprocess.PIPE, "--json: '/dev/full' cannot be written: No space left on device"),
        ([], open("/dev/full", "w"), "No space left on device"),  # noqa: SIM115
    ):
        ended = process(*words, *options, cwd=tmp_path, out=out)
        _, err = ended.communicate(timeout=60)
        assert (ended.returncode, err) == (2, f"fastopt train: {message}\n")
        if out != subprocess.PIPE:
            out.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_files_are_refused(run, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    for option, name in (("--json", "x.json"), ("--plot", "x.png"), ("--checkpoint", "x.npz")):
        code, _, err = run("train", option, f"locked/{name}")
        assert code == 2
        assert f"{option}: 'locked/{name}' cannot be written" in err


def test_mp4_without_ffmpeg_is_refused_before_the_work(run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, out, err = run("descend", "best", "--animate", "x.mp4")
    message = "--animate: .mp4 needs ffmpeg, which is not installed; .gif does not"
    assert (code, out, err) == (2, "", f"fastopt descend: {message}\n")


@pytest.mark.parametrize("command", ["train", "landscape"])
def test_a_diverged_run_says_why_and_what_to_try(run, command):
    words = [command, "sine", "--optimizer", "sgd", "--lr", "1000", "--activation", "relu", "--epochs", "100"]
    code, _, err = run(*words, "--no-plot", "--json", "result.json")
    assert code == 1
    if command == "train":
        result = json.loads(Path("result.json").read_text())
        assert result["status"] == "failed"
        assert result["error"] in err
    assert err.count("\n") == 1
    assert "the loss began to rise" in err
    assert "--clip-norm 1" in err
    assert "fastopt train --guard" in err
    assert "ExplosionGuard" not in err


@pytest.mark.parametrize(
    ("missing", "words", "code", "text"),
    [
        ("matplotlib", "train --samples 10 --epochs 3", 0, 'pip install "fastopt[plots]"'),
        ("matplotlib", "train --plot x.png", 2, 'pip install "fastopt[plots]"'),
        ("matplotlib", "train --animate x.gif", 2, 'pip install "fastopt[plots]"'),
        ("matplotlib", "landscape", 2, 'pip install "fastopt[plots]"'),
        ("rich", "train --samples 10 --epochs 3 --no-plot", 0, "accuracy"),
        ("sklearn", "train digits", 2, 'pip install "fastopt[data]"'),
        ("numba", "info --backend numba", 2, 'pip install "fastopt[numba]"'),
    ],
)
def test_missing_extras(tmp_path, monkeypatch, missing, words, code, text):
    if os.environ.get("FASTOPT_BACKEND") == missing:
        monkeypatch.setenv("FASTOPT_BACKEND", "numpy")
    hide = (
        f"import importlib.util as u; find = u.find_spec; "
        f"u.find_spec = lambda name, *a: None if name == '{missing}' else find(name, *a); "
        f"sys.modules['{missing}'] = None; from fastopt.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    ended = process(*words.split(), code=hide, cwd=tmp_path)
    out, err = ended.communicate(timeout=60)
    assert ended.returncode == code, err
    assert text in (err if code else out)
    assert err.count("\n") == (1 if code else 0)


# What pip writes as the command.
SCRIPT = "import sys\nfrom fastopt.cli import main\nsys.exit(main())\n"
# Python imports this when it starts.
NO_NUMBA = "import sys\nsys.modules['numba'] = None\n"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FASTOPT_BACKEND", "nonsense", "FASTOPT_BACKEND: expected one of cython, numba, numpy, got 'nonsense'"),
        ("FASTOPT_BACKEND", "numba", 'the numba backend needs numba: pip install "fastopt[numba]"'),
        ("FASTOPT_ISA", "nonsense", "FASTOPT_ISA: expected one of v4, v3, baseline, got 'nonsense'"),
        ("FASTOPT_NUM_THREADS", "x", "FASTOPT_NUM_THREADS: expected an integer >= 1, got 'x'"),
    ],
)
@pytest.mark.parametrize("command", [["fastopt"], ["-m", "fastopt"], ["-mfastopt"], ["-X", "utf8", "-m", "fastopt"]])
def test_an_environment_that_cannot_be_is_refused_in_one_sentence(tmp_path, command, variable, value, message):
    (tmp_path / "fastopt").write_text(SCRIPT)
    (tmp_path / "sitecustomize.py").write_text(NO_NUMBA)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("FASTOPT_")}
    environment |= {variable: value, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, *command, "info"], capture_output=True, text=True, env=environment, timeout=60, cwd=tmp_path
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"fastopt: {message}\n")


@pytest.mark.parametrize("command", [["-c", "import fastopt"], ["program.py"], ["-m", "package"]])
def test_a_program_gets_an_exception_instead(tmp_path, command):
    (tmp_path / "program.py").write_text("import fastopt\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("import fastopt\n")
    environment = {**os.environ, "FASTOPT_BACKEND": "nonsense"}
    ended = subprocess.run(
        [sys.executable, *command, "fastopt"], capture_output=True, text=True, env=environment, timeout=60, cwd=tmp_path
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("ValueError: FASTOPT_BACKEND: expected one of")


def test_an_error_of_ours_is_not_hidden(run, monkeypatch):
    monkeypatch.setattr("fastopt.cli.info._version", lambda name: 1 + name)
    with pytest.raises(TypeError):
        run("info")


def test_benchmarks_that_the_wheel_is_without(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastopt.cli.bench", None)
    code, _, err = run("bench", "--quick")
    assert code == 2
    assert 'pip install -e ".[bench]"' in err
