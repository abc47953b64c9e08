"""The presets print the columns of the book: its rules from its start, in plain NumPy."""

import re

import book
import numpy as np
import pytest

from fastopt.cli import main
from fastopt.cli._presets import PRESETS
from fastopt.nn import data

RULES = {
    "nnfs-sgd-1.0": book.SGD(1.0),
    "nnfs-sgd-decay-1e-2": book.SGD(1.0, decay=1e-2),
    "nnfs-sgd-decay-1e-3": book.SGD(1.0, decay=1e-3),
    "nnfs-momentum-0.5": book.SGD(1.0, decay=1e-3, momentum=0.5),
    "nnfs-momentum-0.9": book.SGD(1.0, decay=1e-3, momentum=0.9),
    "nnfs-adagrad": book.AdaGrad(1.0, decay=1e-4),
    "nnfs-rmsprop": book.RMSprop(decay=1e-4),
    "nnfs-rmsprop-0.02": book.RMSprop(0.02, decay=1e-5, rho=0.999),
    "nnfs-adam-0.02": book.Adam(0.02, decay=1e-5),
    "nnfs-adam-0.05": book.Adam(0.05, decay=5e-7),
}


def test_the_settings_are_there(capsys):
    assert list(PRESETS)[: len(RULES)] == list(RULES)
    assert main(["train", "--list-presets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(PRESETS)


@pytest.mark.parametrize("name", RULES)
def test_the_columns_of_the_book(name, capsys):
    assert main(["train", "--preset", name, "--epochs", "101", "--dtype", "float64", "--no-plot"]) == 0
    lines = re.findall(r"^epoch: (\d+), acc: (\S+), loss: (\S+), lr: (\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert [line[0] for line in lines] == ["0", "100"]

    # The book draws the spiral and then the weights from one stream.
    stream = np.random.RandomState(0)
    stream.standard_normal(300)
    spiral, rule = data.spiral(), RULES[name]
    network = book.Network(stream)
    losses, _ = book.train(network, rule, spiral.X.astype(np.float64), spiral.y, 101)
    for epoch, _, loss, lr in lines:
        assert float(loss) == pytest.approx(losses[int(epoch)], abs=6e-4)
        # The rate printed is that of the update before.
        assert float(lr) == pytest.approx(rule.rate / (1 + rule.decay * max(int(epoch) - 1, 0)))


def test_the_first_lines_in_print(capsys):
    """Chapter 10 of the book, decay 1e-2."""
    assert main(["train", "--preset", "nnfs-sgd-decay-1e-2", "--epochs", "201", "--no-plot"]) == 0
    out = capsys.readouterr().out
    assert "epoch: 0, acc: 0.360, loss: 1.099, lr: 1.0\n" in out
    assert "epoch: 100, acc: 0.403, loss: 1.095, lr: 0.5025125628140703\n" in out
    assert "epoch: 200, acc: 0.397, loss: 1.084, lr: 0.33444816053511706\n" in out


def test_the_whole_run_is_the_default(capsys):
    assert {PRESETS[name]["epochs"] for name in RULES} == {10001}
