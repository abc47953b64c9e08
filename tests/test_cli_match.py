"""`fastopt match`: the same training by fastopt and by another library, side by side."""

import json
import re
import sys

import numpy as np
import pytest
from cli_harness import runner

from fastopt.cli import match
from fastopt.cli._optimizers import OPTIMIZERS

run = pytest.fixture(runner)

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # in Keras on PyTorch

MODULES = {"torch": "torch", "keras": "keras", "sklearn": "sklearn", "optax": "optax"}
# What only one of the two has under a name that both know, and what needs the arrays of each layer.
OTHERS = ("ademamix", "adopt", "ftrl", "lamb", "muon", "schedulefreesgd", "signsgd", "signum")
ALONE = {
    "torch": ("lion", "schedulefreeadamw", *OTHERS),
    "keras": ("radam", "schedulefreeadamw", *OTHERS),  # on PyTorch, Keras overwrites a state that it still needs
    "optax": ("amsgrad", "nadam", "schedulefreeadamw", *OTHERS),
}
CASES = [
    *((library, name) for library, alone in ALONE.items() for name in OPTIMIZERS if name not in alone),
    *(("sklearn", name) for name in ("sgd", "momentum", "nesterov", "adam")),
]


@pytest.fixture
def library(request):
    """A library that is installed, Keras on a backend that computes in float64."""
    if request.param != "keras":
        pytest.importorskip(MODULES[request.param])
    elif request.getfixturevalue("keras").backend.backend() == "numpy":
        pytest.skip("Keras' backend numpy computes in float32")
    return request.param


@pytest.mark.parametrize(("library", "name"), CASES, indirect=["library"])
def test_every_optimizer_that_both_have_is_equal(run, library, name):
    code, out, err = run("match", library, "--optimizer", name, "--iterations", 60, "--json", "match.json")
    assert (code, err) == (0, "")
    assert "result      equal to a relative 1e-06" in out
    with open("match.json", encoding="utf-8") as file:
        result = json.load(file)
    assert result["equal"] is True
    losses = np.array([result["losses"]["fastopt"], result["losses"][library]])
    assert losses.shape == (2, 60)
    assert losses[0, -1] < losses[0, 0]
    np.testing.assert_allclose(*losses, rtol=1e-9)
    assert result["differences"]["loss"]["relative"] == np.max(np.abs(losses[0] - losses[1]) / losses[1])


@pytest.mark.parametrize("library", ["torch"], indirect=True)
def test_lines_are_those_that_are_asked_for(run, library):
    code, out, _ = run("match", library, "--iterations", 25, "--print-every", 10, "--lr", 0.01, "--seed", 3)
    assert code == 0
    table = out[out.index("iteration ") :].splitlines()
    assert table[0].split() == ["iteration", "loss:", "fastopt", "torch", "difference"]
    assert [int(line.split()[0]) for line in table[1:5]] == [1, 10, 20, 25]
    assert "fastopt.Adam(lr=0.01)" in out
    assert "torch.optim.Adam(lr=0.01)" in out
    code, out, _ = run("match", library, "--iterations", 25, "--quiet")
    assert [line.split()[0] for line in out.splitlines()] == ["loss", "parameters", "last", "result"]


@pytest.mark.parametrize("library", ["torch"], indirect=True)
def test_a_difference_is_an_exit_code_of_1(run, library, monkeypatch):
    """As when two conventions are mixed up: here epsilon of one is another."""
    from fastopt.cli import _libraries

    step = _libraries.Torch.our_step

    def mixed_up(self, name, net, arguments):
        return step(self, name, net, arguments | {"eps": 1e-3})

    monkeypatch.setattr(_libraries.Torch, "our_step", mixed_up)
    code, out, _ = run("match", library, "--iterations", 20)
    assert code == 1
    assert "result      not equal to a relative 1e-06\n" in out
    code, out, _ = run("match", library, "--iterations", 20, "--tolerance", 1)
    assert code == 0


@pytest.mark.parametrize("library", ["torch"], indirect=True)
def test_what_is_not_equal_to_itself_is_said_to_be(run, library):
    code, out, _ = run("match", library, "--lr", 3, "--iterations", 200, "--tolerance", 1e-15)
    assert code == 1
    assert "and neither is fastopt to itself after a change of the last bit: try a lower --lr" in out


@pytest.mark.parametrize("library", match.LIBRARIES)
def test_a_missing_library_is_told_to_be_installed(run, library, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[library], None)
    code, out, err = run("match", library)
    needed = {"sklearn": "scikit-learn"}.get(library, library)
    assert (code, out) == (2, "")
    assert err == f'fastopt match: the comparison needs {needed}: pip install "fastopt[{library}]"\n'


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["torch", "--optimizer", "lion"], "--optimizer: torch takes sgd, momentum, .*, got 'lion'"),
        (["sklearn", "--optimizer", "rmsprop"], "--optimizer: sklearn takes sgd, .*, got 'rmsprop'"),
        (["torch", "--optimizer", "sgd:decay=0.1"], "--optimizer: decay: expected none, since the rate stays constant"),
        (["sklearn", "--weight-decay", "0.1"], "--weight-decay: adam has no such setting in sklearn"),
        (["torch", "--rho", "0.9"], "--rho: adam has no such setting in torch"),
        (["chainer"], "argument LIBRARY: invalid choice: 'chainer'"),
        ([], "the following arguments are required: LIBRARY"),
    ],
)
def test_what_is_refused(run, words, message):
    if words and words[0] in MODULES:
        pytest.importorskip(MODULES[words[0]])
    code, out, err = run("match", *words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert re.search(message, err)
