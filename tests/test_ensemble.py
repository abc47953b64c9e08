"""Snapshot ensembles: when snapshots are taken, what they predict, and that averaging pays."""

import os

import numpy as np
import pytest

import fastopt
from fastopt import nn
from fastopt.nn.ensemble import SnapshotEnsemble
from fastopt.nn.guard import ExplosionGuard
from fastopt.nn.training import fit
from fastopt.schedules import CosineWarmRestarts, Scaled, SnapshotCosine


def noisy(n, seed):
    """Two overlapping classes, and a tenth of the labels wrong."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    y = (X[:, 0] * X[:, 1] + 0.5 * X[:, 2] > 0).astype(int)
    return X, np.where(rng.random(n) < 0.1, 1 - y, y)


LOSSES = {
    "softmax": (nn.SoftmaxCrossEntropy(), 2, lambda y: y),
    "binary": (nn.BinaryCrossEntropy(), 1, lambda y: y),
    "regression": (nn.MeanSquaredError(), 1, lambda y: y.astype(float)),
}


def train(ensemble, lr, *, epochs=12, loss="softmax", seed=0, n=100, batch_size=20, more=()):
    function, outputs, targets = LOSSES[loss]
    layers = [nn.Dense(8, 30), nn.ReLU(), nn.Dense(30, outputs)]
    net = nn.Network(layers, loss=function, seed=seed, dtype="float64")
    X, y = noisy(n, seed)
    snapshots = {}

    def remember(run):
        snapshots[run.step] = net.params.copy()

    fit(
        net,
        X,
        targets(y),
        optimizer=fastopt.SGD(net.params, lr=lr, momentum=0.9),
        epochs=epochs,
        batch_size=batch_size,
        callbacks=[ensemble, nn_callback(remember), *more],
    )
    return net, snapshots


def nn_callback(function):
    from fastopt.nn.callbacks import LambdaCallback

    return LambdaCallback(on_batch_end=function)


@pytest.mark.parametrize(
    ("ensemble", "lr", "steps"),
    [
        (SnapshotEnsemble(), SnapshotCosine(0.1, total_steps=60, cycles=3), [20, 40, 60]),
        (SnapshotEnsemble(), CosineWarmRestarts(0.1, T_0=8, T_mult=2), [8, 24, 56]),
        (SnapshotEnsemble(), Scaled(SnapshotCosine(0.2, 60, 4), 0.5), [15, 30, 45, 60]),
        (SnapshotEnsemble(25), 0.1, [25, 50]),
        (SnapshotEnsemble(15, keep=2), 0.1, [45, 60]),
    ],
)
def test_snapshots_are_the_weights_at_the_ends_of_cycles(ensemble, lr, steps):
    net, params = train(ensemble, lr)
    assert ensemble.steps == steps
    assert len(ensemble) == len(steps)
    X, _ = noisy(30, 5)
    own = net.params.copy()
    predictions = []
    for step in steps:
        net.params[:] = params[step]
        predictions.append(net.predict(X))
    net.params[:] = own
    np.testing.assert_allclose(ensemble.predict(X), np.mean(predictions, axis=0), rtol=1e-12)
    np.testing.assert_allclose(ensemble.predict(X, last=1), predictions[-1], rtol=1e-12)
    np.testing.assert_array_equal(net.params, own)


def test_a_guard_does_not_hide_the_cycles():
    ensemble = SnapshotEnsemble()
    train(ensemble, SnapshotCosine(0.1, total_steps=60, cycles=3), more=[ExplosionGuard()])
    assert ensemble.steps == [20, 40, 60]


def test_snapshots_on_disk(tmp_path):
    schedule = SnapshotCosine(0.1, total_steps=60, cycles=3)
    memory, disk = SnapshotEnsemble(keep=2), SnapshotEnsemble(keep=2, folder=tmp_path / "new")
    train(memory, schedule)
    train(disk, schedule)
    assert sorted(os.listdir(tmp_path / "new")) == ["snapshot-40.npz", "snapshot-60.npz"]
    X, _ = noisy(30, 5)
    np.testing.assert_array_equal(disk.predict(X), memory.predict(X))


@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate_measures_what_is_predicted(loss):
    ensemble = SnapshotEnsemble(20)
    net, _ = train(ensemble, 0.02, loss=loss)
    targets = LOSSES[loss][2]
    X, y = noisy(30, 5)
    alone = ensemble.evaluate(X, targets(y), last=1)
    assert alone == pytest.approx(net.evaluate(X, targets(y)), rel=1e-9)
    both, p = ensemble.evaluate(X, targets(y)), ensemble.predict(X)
    if loss == "softmax":
        assert both["loss"] == pytest.approx(-np.log(p[np.arange(30), y]).mean())
        assert both["accuracy"] == pytest.approx((p.argmax(axis=1) == y).mean())
    elif loss == "binary":
        expected = -np.log(np.where(y == 1, p[:, 0], 1 - p[:, 0])).mean()
        assert both["loss"] == pytest.approx(expected)
        assert both["accuracy"] == pytest.approx(((p[:, 0] > 0.5) == y).mean())
    else:
        assert both == {"loss": pytest.approx(((p[:, 0] - y) ** 2).mean())}


def test_the_ensemble_is_at_least_as_good_as_the_last_snapshot():
    """On held-out data, for every seed: five cycles that each overfit the noise in their own way."""
    for seed in range(4):
        ensemble = SnapshotEnsemble()
        schedule = SnapshotCosine(0.3, total_steps=1000, cycles=5)
        train(ensemble, schedule, epochs=100, seed=seed, n=200)
        held_out = noisy(1000, seed + 100)
        losses = [ensemble.evaluate(*held_out, last=last)["loss"] for last in (1, 5)]
        assert losses[1] < losses[0]


def test_a_cycle_that_collapses_is_reported():
    """The rate of the second of three cycles kills all units: what is left is a constant."""
    X, y = noisy(100, 0)
    net = nn.Network([nn.Dense(8, 30), nn.ReLU(), nn.Dense(30, 2)], loss=nn.SoftmaxCrossEntropy())
    constant = net.loss.constant(y)
    ensemble = SnapshotEnsemble(50)
    optimizer = fastopt.SGD(net.params, lr=lambda step: 300.0 if 50 <= step < 60 else 0.1)
    match = "SnapshotEnsemble: the cycle that ended after 100 updates collapsed: .* after an earlier cycle"
    with pytest.warns(UserWarning, match=match) as found:
        history = fit(net, X, y, optimizer=optimizer, epochs=100, callbacks=[ensemble])
    assert [warning.filename for warning in found] == [__file__]
    [event] = history.events
    assert (event["kind"], event["epoch"], event["step"]) == ("collapsed cycle", 99, 100)
    assert ensemble.evaluate(X, y, last=1)["loss"] > 0.9 * constant


def test_a_cycle_that_loses_most_is_reported():
    X, y = noisy(100, 0)
    net = nn.Network([nn.Dense(8, 30), nn.ReLU(), nn.Dense(30, 2)], loss=nn.SoftmaxCrossEntropy())
    ensemble, constant, losses = SnapshotEnsemble(100), net.loss.constant(y), []

    def lose(run):
        if run.step == 200:
            net.params *= 0.3
        if run.step % 100 == 0:
            losses.append(net.evaluate(X, y)["loss"])

    optimizer = fastopt.SGD(net.params, lr=0.1)
    with pytest.warns(UserWarning, match="after 200 updates collapsed"):
        history = fit(net, X, y, optimizer=optimizer, epochs=300, callbacks=[nn_callback(lose), ensemble])
    assert [event["step"] for event in history.events] == [200]
    assert (losses[0] + constant) / 2 < losses[1] < 0.95 * constant


def test_a_network_that_never_learns_is_reported_as_well():
    X, y = noisy(100, 0)
    net = nn.Network([nn.Dense(8, 2)], loss=nn.SoftmaxCrossEntropy(), dtype="float64")
    ensemble = SnapshotEnsemble(50)
    with pytest.warns(UserWarning, match="after 100 updates collapsed: the training loss is 0.693 .0.6.. without"):
        history = fit(net, 0 * X, y, optimizer=fastopt.SGD(net.params, lr=0.0), epochs=100, callbacks=[ensemble])
    assert [event["step"] for event in history.events] == [100]  # 50 updates are too few to say


def test_without_cycles():
    with pytest.raises(ValueError, match=r"cycle: expected a number of updates, since .*: None"):
        train(SnapshotEnsemble(), 0.1)
    with pytest.raises(ValueError, match=r"cycle: .*Inverse"):
        train(SnapshotEnsemble(), fastopt.schedules.InverseTimeDecay(0.1, 1.0))


def test_without_snapshots():
    ensemble = SnapshotEnsemble(1000)
    with pytest.raises(ValueError, match="expected at least one snapshot"):
        ensemble.predict(np.zeros((1, 8)))
    train(ensemble, 0.1)
    with pytest.raises(ValueError, match="expected at least one snapshot"):
        ensemble.evaluate(*noisy(3, 0))


@pytest.mark.parametrize(("last", "expected"), [(0, "an integer >= 1"), (4, "at most 3, the number of snapshots")])
def test_more_snapshots_than_there_are(last, expected):
    ensemble = SnapshotEnsemble(20)
    train(ensemble, 0.1)
    with pytest.raises(ValueError, match=f"last: expected {expected}, got {last}"):
        ensemble.predict(np.zeros((1, 8)), last=last)


@pytest.mark.parametrize("settings", [{"cycle": 0}, {"keep": 0}])
def test_bad_arguments(settings):
    [name] = settings
    with pytest.raises(ValueError, match=f"{name}: expected an integer >= 1, got 0"):
        SnapshotEnsemble(**settings)
