"""The trainer with averages of the weights: evaluated with them, trained and saved without."""

from contextlib import contextmanager

import numpy as np
import pytest
from test_training import blobs, network

import fastopt
from fastopt.lr_finder import lr_find, verify
from fastopt.nn import Callback, Checkpoint, EarlyStopping, ExplosionGuard, LambdaCallback, SnapshotEnsemble, checkpoint
from fastopt.nn.training import fit
from fastopt.schedules import ReduceOnPlateau, SnapshotCosine

X, Y = blobs()
VALIDATION = blobs(30, seed=1)
SETTINGS = {"epochs": 5, "batch_size": 20, "validation_data": VALIDATION}  # 3 updates in an epoch


def ema(optimizer):
    return fastopt.EMA(optimizer, decay=0.8)


def swa(optimizer):
    return fastopt.SWA(optimizer, start=4, every=2)


class Centred(fastopt.SGD):
    """An optimizer that has an average in itself, and no other inside: the mean of all weights so far."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.mean = params.copy()

    def step(self, grads, **options):
        super().step(grads, **options)
        self.mean += (self.params - self.mean) / self.steps

    @contextmanager
    def averaged(self):
        kept = self.params.copy()
        self.params[...] = self.mean
        yield
        self.params[...] = kept

    def state_dict(self):
        return {**super().state_dict(), "mean": self.mean.copy()}

    def load_state_dict(self, state):
        state = dict(state)
        self.mean[...] = state.pop("mean")
        super().load_state_dict(state)


KINDS = {
    "ema": lambda net: ema(fastopt.Adam(net.params, lr=0.05)),
    "swa": lambda net: swa(fastopt.SGD(net.params, lr=0.5, momentum=0.9)),
    "own": lambda net: Centred(net.params, 0.5),
}


def averages(kind, start, path):
    """The average after each step, from the weights after each step, by the definition."""
    if kind == "ema":
        found = [start]
        for params in path:
            found.append(0.8 * found[-1] + 0.2 * params)
        return found[1:]
    if kind == "own":
        return [np.mean(path[: n + 1], axis=0) for n in range(len(path))]
    return [np.mean(path[4 : n + 1][1::2], axis=0) if n >= 5 else path[n] for n in range(len(path))]


@pytest.mark.parametrize("kind", KINDS)
def test_validation_is_measured_with_the_averages(kind):
    net, twin = network(), network()
    start, path = net.params.copy(), []
    follow = LambdaCallback(on_batch_end=lambda run: path.append(run.net.params.copy()))
    history = fit(net, X, Y, optimizer=KINDS[kind](net), callbacks=[follow], **SETTINGS)
    expected = averages(kind, start, path)
    for epoch in range(5):
        twin.params[...] = expected[3 * epoch + 2]
        measured = twin.evaluate(*VALIDATION)
        assert history["val_loss"][epoch] == pytest.approx(measured["loss"], rel=1e-9)
        assert history["val_accuracy"][epoch] == measured["accuracy"]
    np.testing.assert_allclose(net.params, expected[-1], rtol=1e-9, atol=1e-12)
    assert np.abs(expected[-1] - path[-1]).max() > 1e-3  # or this test shows nothing
    assert history.events == [{"kind": "averaged weights", "epoch": 4}]


@pytest.mark.parametrize("average", [ema, swa])
def test_the_weights_are_trained_as_without_averages(average):
    runs = []
    for wrap in (lambda optimizer: optimizer, average):
        net, path = network(dropout=0.2), []
        optimizer = wrap(fastopt.Adam(net.params, lr=0.05))
        follow = LambdaCallback(on_batch_end=lambda run, path=path: path.append(run.net.params.tobytes()))
        history = fit(net, X, Y, optimizer=optimizer, callbacks=[follow], clip_norm=0.5, **SETTINGS)
        runs.append((path, history["loss"], history["lr"], optimizer.steps, optimizer.lr))
    assert runs[0] == runs[1]


def test_a_mean_that_has_not_begun_leaves_the_weights():
    nets = network(), network()
    histories = [
        fit(net, X, Y, optimizer=wrap(fastopt.SGD(net.params, lr=0.5)), **SETTINGS)
        for net, wrap in zip(nets, (lambda opt: opt, lambda opt: fastopt.SWA(opt, start=15)), strict=True)
    ]
    assert nets[0].params.tobytes() == nets[1].params.tobytes()
    assert histories[0] == histories[1]
    assert histories[1].events == []


class Seen(Callback):
    """The weights that each hook sees."""

    def __init__(self):
        self.seen = {}

    def _note(self, hook, run):
        params = run.net.params.copy()
        with run.averaged(), run.averaged():
            self.seen.setdefault(hook, []).append((params, run.net.params.copy()))
        assert params.tobytes() == run.net.params.tobytes()

    def on_batch_end(self, run):
        self._note("batch", run)

    def on_epoch_end(self, run):
        self._note("epoch", run)

    def on_checkpoint(self, run):
        self._note("checkpoint", run)

    def on_train_end(self, run):
        self._note("end", run)


@pytest.mark.parametrize("kind", KINDS)
def test_callbacks_find_trained_weights_or_averages(kind):
    net, seen = network(), Seen()
    fit(net, X, Y, optimizer=KINDS[kind](net), callbacks=[seen], **SETTINGS)
    for hook, in_place in {"batch": False, "epoch": True, "checkpoint": False, "end": True}.items():
        params, averaged = seen.seen[hook][-1]
        assert np.array_equal(params, averaged) == in_place
        assert np.array_equal(averaged, net.params)


def test_the_best_weights_are_averages():
    net, kept = network(), []
    optimizer = ema(fastopt.SGD(net.params, lr=2.0, momentum=0.9))
    stop = EarlyStopping(patience=2)
    callbacks = [stop, lambda run: kept.append(run.net.params.copy())]
    history = fit(net, X, Y, optimizer=optimizer, callbacks=callbacks, **{**SETTINGS, "epochs": 100})
    best = int(np.argmin(history["val_loss"]))
    assert stop.best_epoch == best < history.epochs - 1
    assert net.params.tobytes() == kept[best].tobytes()
    assert net.evaluate(*VALIDATION)["loss"] == history["val_loss"][best]
    kinds = [event["kind"] for event in history.events]
    assert kinds == ["averaged weights", "stopped", "best weights restored"]


def test_a_plateau_is_that_of_the_averages():
    net = network()
    schedule = ReduceOnPlateau(2.0, patience=0, factor=0.5)
    optimizer = ema(fastopt.SGD(net.params, lr=schedule, momentum=0.9))
    history = fit(net, X, Y, optimizer=optimizer, **{**SETTINGS, "epochs": 30})
    twin, rates = ReduceOnPlateau(2.0, patience=0, factor=0.5), []
    for epoch, loss in enumerate(history["val_loss"]):
        rates.append(twin(3 * epoch))
        twin.update(loss)
    assert history["lr"] == rates
    assert rates[-1] < 2.0


# ---- saved and resumed

CALLBACKS = {
    "none": list,
    "stopping": lambda: [EarlyStopping(patience=None)],
    "guard": lambda: [ExplosionGuard(every=3)],
    "ensemble": lambda: [SnapshotEnsemble(4)],
}


RESUMED = KINDS | {"schedule-free": lambda net: fastopt.ScheduleFreeAdamW(net.params, lr=0.05, warmup_steps=4)}


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize("kind", RESUMED)
@pytest.mark.parametrize("steps", [6, 8, 15])  # after an epoch, within one, at the end of another run
def test_resumed_to_the_bit(kind, callbacks, steps, tmp_path):
    path = tmp_path / "run.npz"

    def run(*more, resume=None, epochs=7):
        net = network(dropout=0.2)
        optimizer = RESUMED[kind](net)
        own = CALLBACKS[callbacks]()
        settings = {**SETTINGS, "epochs": epochs}
        history = fit(net, X, Y, optimizer=optimizer, callbacks=[*own, *more], resume=resume, **settings)
        state = {name: np.asarray(value).tobytes() for name, value in optimizer.state_dict().items()}
        ensemble = own[0].predict(X).tobytes() if callbacks == "ensemble" else None
        return net.params.tobytes(), state, dict(history), history.events, ensemble

    def interrupt(run):
        if run.step == steps:
            run._interrupt()

    run(LambdaCallback(on_batch_end=interrupt), Checkpoint(path), epochs=5)
    assert run(resume=path) == run()


def test_a_checkpoint_has_the_weights_that_are_trained(tmp_path):
    net, last = network(), {}
    optimizer = ema(fastopt.SGD(net.params, lr=0.5))
    note = LambdaCallback(on_batch_end=lambda run: last.update(params=run.net.params.copy()))
    fit(net, X, Y, optimizer=optimizer, callbacks=[note, Checkpoint(tmp_path / "run.npz")], **SETTINGS)
    arrays, _ = checkpoint.load(tmp_path / "run.npz", kind="training run")
    names = net.named_params()
    assert b"".join(arrays[f"net.{name}"].tobytes() for name in names) == last["params"].tobytes()
    assert arrays["optimizer.average.0"].tobytes() == net.params.tobytes()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (lambda opt: opt, ema, "resume: state: expected 'average.0', got none: it was saved without averages"),
        (
            ema,
            lambda opt: opt,
            r"resume: state: expected this optimizer's names, .* unknown \['average.0', 'updates'\]",
        ),
    ],
)
def test_a_run_without_averages_is_another_run(first, second, message, tmp_path):
    net = network()
    path = tmp_path / "run.npz"
    fit(net, X, Y, optimizer=first(fastopt.SGD(net.params, lr=0.5)), callbacks=[Checkpoint(path)], **SETTINGS)
    net = network()
    before = net.params.tobytes()
    with pytest.raises(ValueError, match=f"^{message}"):
        fit(net, X, Y, optimizer=second(fastopt.SGD(net.params, lr=0.5)), resume=path, **SETTINGS)
    assert net.params.tobytes() == before


# ---- with everything else


def test_a_training_that_fails_leaves_the_weights_that_were_trained():
    net, last = network(), {}

    def fail(run):
        raise RuntimeError("on purpose")

    note = LambdaCallback(on_batch_end=lambda run: last.update(params=run.net.params.copy()))
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(net, X, Y, optimizer=ema(fastopt.SGD(net.params, lr=0.5)), callbacks=[note, fail], **SETTINGS)
    assert net.params.tobytes() == last["params"].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_rescue_takes_the_averages_back(kind):
    net, seen = network(), []

    def poison(run):
        if run.step == 7 and not guard.rescues:
            run.net.grads[...] = np.nan
            run.loss = np.nan

    def look(run):
        good = guard._copies[-1]
        seen.append((good.step, good.params.tobytes(), run.optimizer.steps, run.net.params.tobytes()))
        with run.averaged():
            assert np.isfinite(run.net.params).all()

    guard = ExplosionGuard(every=3)
    optimizer = KINDS[kind](net)
    before = LambdaCallback(on_gradients=poison)
    after = LambdaCallback(on_gradients=lambda run: look(run) if guard.rescues and not seen else None)
    history = fit(net, X, Y, optimizer=optimizer, callbacks=[before, guard, after], **SETTINGS)
    step, good, steps, params = seen[0]
    assert guard.rescues == 1
    assert (steps, params) == (step, good)
    if kind != "own":
        assert optimizer.updates == optimizer.steps == 15 - (7 - step)
    assert np.isfinite(net.params).all()
    assert [event["kind"] for event in history.events] == ["rescue", "averaged weights"]


def test_groups_of_layers():
    net, twin = network(), network()
    first, last = net.layers[0], net.layers[-1]
    groups = [{"params": [first.weight, last.weight]}, {"params": {"first": first.bias, "last": last.bias}, "lr": 0.05}]
    history = fit(net, X, Y, optimizer=ema(fastopt.AdamW(groups, lr=0.05)), **SETTINGS)
    whole = fit(twin, X, Y, optimizer=ema(fastopt.AdamW(twin.params, lr=0.05)), **SETTINGS)
    assert net.params.tobytes() == twin.params.tobytes()
    assert history == whole


def test_snapshots_are_averages():
    net, kept = network(), []
    optimizer = ema(fastopt.SGD(net.params, lr=SnapshotCosine(0.5, total_steps=15, cycles=3)))

    def note(run):
        if run.step % 5 == 0:
            kept.append(run.optimizer.averages[0].copy())

    ensemble = SnapshotEnsemble()
    fit(net, X, Y, optimizer=optimizer, callbacks=[ensemble, LambdaCallback(on_batch_end=note)], **SETTINGS)
    assert ensemble.steps == [5, 10, 15]
    assert [p.tobytes() for p in ensemble._snapshots.values()] == [p.tobytes() for p in kept]
    assert ensemble.evaluate(*VALIDATION, last=1)["loss"] == pytest.approx(net.evaluate(*VALIDATION)["loss"])


@pytest.mark.parametrize("average", [ema, swa])
def test_range_tests_leave_no_trace(average):
    net, plain = network(), network()
    optimizer = average(fastopt.Adam(net.params, lr=0.01))
    fit(net, X, Y, optimizer=optimizer, **SETTINGS)
    before = [net.params.tobytes(), {k: np.asarray(v).tobytes() for k, v in optimizer.state_dict().items()}]
    test = lr_find(net, optimizer, X, Y, batch_size=20, steps=20)
    verify(net, optimizer, X, Y, 0.01, batch_size=20, steps=6)
    assert [net.params.tobytes(), {k: np.asarray(v).tobytes() for k, v in optimizer.state_dict().items()}] == before
    fresh = network()
    losses = [
        lr_find(n, wrap(fastopt.Adam(n.params)), X, Y, batch_size=20, steps=20).losses
        for n, wrap in ((plain, lambda opt: opt), (fresh, average))
    ]
    assert losses[0] == losses[1]
    assert len(test.losses) > 5


def test_another_training_begins_with_the_averages():
    net = network()
    optimizer = ema(fastopt.SGD(net.params, lr=0.5))
    fit(net, X, Y, optimizer=optimizer, **SETTINGS)
    left, first = net.params.tobytes(), []
    note = LambdaCallback(on_epoch_begin=lambda run: first.append(run.net.params.tobytes()))
    fit(net, X, Y, optimizer=optimizer, callbacks=[note], **SETTINGS)
    assert first[0] == left
    assert optimizer.updates == 30


def test_a_training_without_a_schedule_leaves_the_mean():
    """It is what the last epoch was evaluated with, and where another training begins."""
    net = network()
    optimizer = fastopt.ScheduleFreeAdamW(net.params, lr=0.05)
    history = fit(net, X, Y, optimizer=optimizer, **SETTINGS)
    assert net.evaluate(*VALIDATION)["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-12)
    assert history.events == [{"kind": "averaged weights", "epoch": 4}]
    np.testing.assert_array_equal(optimizer.groups[0].state["z"][0], net.params)
    again = fit(net, X, Y, optimizer=optimizer, **SETTINGS)
    assert again["loss"][0] < history["loss"][0] / 2


def test_an_average_of_other_arrays_is_refused():
    net = network()
    with pytest.raises(ValueError, match=r"^optimizer: expected one made for net\.params"):
        fit(net, X, Y, optimizer=ema(fastopt.SGD(np.ones(3), lr=0.5)), epochs=1)
