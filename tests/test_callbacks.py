"""Callbacks: when they are called, and what those that come along do."""

import io
import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastopt
from fastopt import nn
from fastopt.nn.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochPrinter,
    LambdaCallback,
    ProgressBar,
)
from fastopt.nn.history import Diverged
from fastopt.nn.training import fit
from fastopt.schedules import InverseTimeDecay

HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


def data(n=30, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def network(seed=0):
    layers = [nn.Dense(2, 16), nn.ReLU(), nn.Dense(16, 2)]
    return nn.Network(layers, loss=nn.SoftmaxCrossEntropy(), dtype="float64", seed=seed)


def train(callbacks, *, epochs=4, batch_size=None, lr=0.1, net=None, **settings):
    net = network() if net is None else net
    optimizer = fastopt.SGD(net.params, lr=lr)
    return fit(
        net,
        *data(),
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        callbacks=callbacks,
        **settings,
    )


def test_order_of_the_hooks():
    calls = []

    def recorder(name):
        def record(run):
            calls.append((name, run.epoch, run.batch, run.step, run.ending))

        return record

    train([LambdaCallback(**{name: recorder(name) for name in HOOKS})], epochs=2, batch_size=15)
    assert calls == [
        ("on_train_begin", 0, 0, 0, False),
        ("on_epoch_begin", 0, 0, 0, False),
        ("on_gradients", 0, 0, 0, False),
        ("on_batch_end", 0, 1, 1, False),
        ("on_gradients", 0, 1, 1, False),
        ("on_batch_end", 0, 2, 2, False),
        ("on_epoch_end", 0, 2, 2, False),
        ("on_checkpoint", 1, 0, 2, False),
        ("on_epoch_begin", 1, 0, 2, False),
        ("on_gradients", 1, 0, 2, False),
        ("on_batch_end", 1, 1, 3, False),
        ("on_gradients", 1, 1, 3, False),
        ("on_batch_end", 1, 2, 4, False),
        ("on_epoch_end", 1, 2, 4, True),
        ("on_checkpoint", 2, 0, 4, True),
        ("on_train_end", 2, 0, 4, True),
    ]


def test_functions_and_subclasses_in_the_order_of_the_list():
    calls = []

    class Mine(Callback):
        def on_epoch_end(self, run):
            calls.append("mine")

    train([lambda run: calls.append("first"), Mine(), lambda run: calls.append("last")], epochs=2)
    assert calls == ["first", "mine", "last"] * 2


def test_lambda_callback_refuses_what_it_cannot_call():
    with pytest.raises(TypeError, match=r"on_epoch: expected one of on_train_begin, "):
        LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match=r"state_dict: expected one of"):
        LambdaCallback(state_dict=dict)
    with pytest.raises(TypeError, match=r"on_epoch_end: expected a function, got 3"):
        LambdaCallback(on_epoch_end=3)


def test_true_from_on_gradients_has_the_batch_computed_again():
    answers, losses, net = iter([True, True, False, None]), [], network()

    def check(run):
        losses.append(run.loss)
        run.net.params *= 0.5
        return next(answers)

    history = train([LambdaCallback(on_gradients=check)], epochs=2, net=net)
    assert len(losses) == 4
    assert len(set(losses)) == 4
    assert history["loss"] == losses[2:]


def test_train_end_is_called_when_the_run_fails():
    ended = []
    end = LambdaCallback(on_train_end=lambda run: ended.append(run.status))
    with pytest.raises(ZeroDivisionError):
        train([end, lambda run: 1 / 0])
    with pytest.raises(Diverged):
        train([end], lr=1e300, epochs=9)
    assert ended == ["failed", "failed"]


def test_train_end_is_for_callbacks_that_have_begun():
    watch = EarlyStopping("loss")
    train([watch], epochs=3)
    other = network(seed=1)
    before = other.params.copy()
    with pytest.raises(FileNotFoundError):
        train([Checkpoint("/no such folder/x.npz"), watch], net=other)
    np.testing.assert_array_equal(other.params, before)


def test_train_end_is_called_whatever_the_others_raise():
    ended = []
    ends = [
        LambdaCallback(on_train_end=lambda run: ended.append(1)),
        LambdaCallback(on_train_end=lambda run: 1 / 0),
        LambdaCallback(on_train_end=lambda run: ended.append(3)),
    ]
    with pytest.raises(ZeroDivisionError):
        train(ends)
    assert ended == [1, 3]


NAN = math.nan


@pytest.mark.parametrize(
    ("settings", "values", "stop", "best"),
    [
        # the epoch that ends the run, and the best one, by hand
        ({"patience": 1}, [3, 2, 2, 1], 2, 1),
        ({"patience": 2}, [3, 2, 4, 1, 1, 1, 0], 5, 3),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.2, 2.0, 2.1, 1], 4, 2),
        ({"patience": 2, "mode": "max"}, [1, 3, 2, 4, 4, 4, 5], 5, 3),
        ({"patience": 1, "mode": "max", "min_delta": 1}, [1, 3, 3.5, 9], 2, 1),
        ({"patience": 2}, [NAN, NAN, 1], 1, None),
        ({"patience": 2}, [1, NAN, NAN], 2, 0),
        ({"patience": 3}, [3, 4, 4, 2, 4, 4], None, 3),
        ({"patience": None}, [3, 4, 4, 4, 4], None, 0),
    ],
)
def test_early_stopping(settings, values, stop, best):
    callback, stops = EarlyStopping("loss", **settings), []
    run = SimpleNamespace(net=SimpleNamespace(params=np.zeros(1)), stop=stops.append)
    callback.on_train_begin(run)
    for run.epoch, value in enumerate(values):
        run.logs = {"loss": value}
        run.net.params[:] = run.epoch
        callback.on_epoch_end(run)
        if stops:
            break
    assert (run.epoch if stops else None) == stop
    assert callback.best_epoch == best
    run.history = SimpleNamespace(events=[])
    callback.on_train_end(run)
    assert run.net.params[0] == (run.epoch if best is None else best)


def test_accuracies_are_to_be_high_by_default():
    assert EarlyStopping("val_accuracy").best == -math.inf
    assert EarlyStopping("val_loss").best == math.inf
    assert EarlyStopping("accuracy", mode="min").best == math.inf


@pytest.mark.parametrize("restore", [True, False])
def test_the_network_ends_with_the_best_weights(restore):
    net, seen = network(), []
    watch = EarlyStopping("val_loss", patience=3, restore_best=restore)
    validation = data(20, seed=1)
    history = train(
        [watch, lambda run: seen.append(run.net.params.copy())],
        epochs=300,
        lr=6.0,
        net=net,
        validation_data=validation,
    )
    best = int(np.argmin(history["val_loss"]))
    assert watch.best_epoch == best
    assert history.epochs == best + 4 < 300
    np.testing.assert_array_equal(net.params, seen[best if restore else -1])
    kinds = [event["kind"] for event in history.events]
    assert kinds == ["stopped", "best weights restored"][: 1 + restore]


def test_early_stopping_can_be_used_twice():
    watch = EarlyStopping("loss", patience=2)
    first = train([watch], epochs=5)
    assert train([watch], epochs=5)["loss"] == first["loss"]


def test_a_metric_that_is_not_measured():
    with pytest.raises(ValueError, match=r"monitor: .*'loss', 'accuracy', 'lr', got 'val_loss' \("):
        train([EarlyStopping()])
    with pytest.raises(ValueError, match=r"monitor: .* got 'f1'$"):
        train([EarlyStopping("f1")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "patience: expected an integer >= 1, got 0"),
        (lambda: EarlyStopping(min_delta=-1.0), "min_delta: "),
        (lambda: EarlyStopping(min_delta=math.nan), "min_delta: "),
        (lambda: EarlyStopping(mode="best"), "mode: expected one of 'auto', 'min', 'max', got 'best'"),
        (lambda: EpochPrinter(0), "every: expected an integer >= 1, got 0"),
        (lambda: Checkpoint("x.npz", every=0), "every: expected an integer >= 1, got 0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_printed_lines_have_the_columns_of_the_book():
    out = io.StringIO()
    schedule = InverseTimeDecay(1.0, 1e-1)
    history = train([EpochPrinter(10, file=out)], epochs=25, lr=schedule)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    rates = {0: 1.0, 10: 1 / 1.9, 20: 1 / 2.9, 24: 1 / 3.3}
    for line, (epoch, lr) in zip(lines, rates.items(), strict=True):
        match = re.fullmatch(r"epoch: (\d+), acc: ([01]\.\d{3}), loss: (\d\.\d{3}), lr: (.*)", line)
        assert int(match[1]) == epoch
        assert match[2] == f"{history['accuracy'][epoch]:.3f}"
        assert match[3] == f"{history['loss'][epoch]:.3f}"
        assert float(match[4]) == pytest.approx(lr, rel=1e-12)


def test_printed_rate_of_an_epoch_of_many_updates_is_its_last(capsys):
    schedule = InverseTimeDecay(1.0, 1.0)
    train([EpochPrinter(1)], epochs=2, batch_size=10, lr=schedule, validation_data=data(seed=1))
    first, second = capsys.readouterr().out.splitlines()
    assert re.search(r"lr: 0\.333\d+, val_acc: 0\.\d{3}, val_loss: \d\.\d{3}$", first)
    assert "lr: 0.1666" in second


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("per_epoch", [True, False, None])
def test_progress_bar(per_epoch, monkeypatch):
    pytest.importorskip("rich", reason="ProgressBar is drawn by rich")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    out = Terminal()
    train([ProgressBar(per_epoch=per_epoch, file=out)], epochs=3, batch_size=1)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    last = text.strip().splitlines()[-1]
    assert re.search(r"epoch 3/3 .*loss 0\.\d{3}, acc [01]\.\d{3}, lr 0\.1", last)
    assert bool(re.search(r"lr 0\.1, [\d,]+ samples/s", last)) == (per_epoch is not False)
    assert text.count("epoch: 2, acc: ") == (per_epoch is not False)
    assert out.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


def test_progress_bar_without_a_terminal():
    pytest.importorskip("rich", reason="ProgressBar is drawn by rich")
    out = io.StringIO()
    train([ProgressBar(file=out)], epochs=3, batch_size=1)
    assert [line[:9] for line in out.getvalue().splitlines()] == [
        "epoch: 0,",
        "epoch: 1,",
        "epoch: 2,",
    ]
    assert "\x1b" not in out.getvalue()
    out = io.StringIO()
    train([ProgressBar(file=out)], epochs=3)
    assert out.getvalue() == ""


def test_progress_bar_in_a_notebook_without_widgets(monkeypatch):
    console = pytest.importorskip("rich.console", reason="ProgressBar is drawn by rich")
    shown = []

    class Handle:
        def update(self, bar):
            shown.append(bar._repr_mimebundle_((), ())["text/plain"])

    def display(bar, display_id):
        assert display_id
        return Handle()

    monkeypatch.setattr(console, "_is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    for name in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(display=display))
    out = io.StringIO()
    train([ProgressBar(per_epoch=True, file=out)], epochs=3, batch_size=1)
    assert "epoch 3/3" in shown[-1]
    assert re.search(r"loss 0\.\d{3}, acc [01]\.\d{3}, lr 0\.1", shown[-1])
    assert out.getvalue().count("epoch: ") == 3


def test_progress_bar_gives_the_terminal_back_when_the_run_fails(monkeypatch):
    pytest.importorskip("rich", reason="ProgressBar is drawn by rich")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with pytest.raises(ZeroDivisionError):
        train([ProgressBar(file=out), lambda run: 1 / 0])
    assert out.getvalue().endswith("\x1b[?25h")


def test_progress_bar_without_rich(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ModuleNotFoundError, match=r"ProgressBar needs rich: pip install"):
        ProgressBar()


def test_checkpoint_in_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder of .* does not exist"):
        train([Checkpoint(tmp_path / "no" / "run.npz")])


def test_checkpoints_are_written_when_they_are_due(tmp_path):
    path, written = tmp_path / "run.npz", []

    def look(run):
        if path.exists():
            written.append(run.epoch)
            path.unlink()

    train([Checkpoint(path, every=3), LambdaCallback(on_checkpoint=look)], epochs=8)
    assert written == [3, 6, 8]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience="a"), "patience: expected an integer >= 1, got 'a'"),
        (lambda: EarlyStopping(patience=1.5), "patience: expected an integer >= 1, got 1.5"),
        (lambda: EarlyStopping(min_delta="a"), "min_delta: expected a finite number >= 0, got 'a'"),
        (lambda: EarlyStopping(restore_best="no"), "restore_best: expected True or False, got 'no'"),
        (lambda: EpochPrinter(1.5), "every: expected an integer >= 1, got 1.5"),
        (lambda: Checkpoint("x.npz", every=1.5), "every: expected an integer >= 1, got 1.5"),
    ],
)
def test_arguments_of_a_wrong_type(make, message):
    with pytest.raises(TypeError, match=message):
        make()
