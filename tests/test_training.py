"""The training loop: batches, means, rates, divergence, arguments."""

import json
import math
import pickle
import signal
import threading
import tracemalloc

import numpy as np
import pytest

import fastopt
from fastopt import nn
from fastopt.nn.history import Diverged, History
from fastopt.nn.training import Batches, LambdaCallback, Training, fit, gradients_like
from fastopt.schedules import Constant, InverseTimeDecay, ReduceOnPlateau, Scaled, Sequential, Warmup


def blobs(n=50, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 4)) + 2 * np.eye(4)[y], y


def network(seed=0, dropout=0.0, dtype="float64"):
    layers = [nn.Dense(4, 8, weight_l2=1e-3), nn.ReLU(), nn.Dropout(dropout), nn.Dense(8, 3)]
    return nn.Network(layers, loss=nn.SoftmaxCrossEntropy(), dtype=dtype, seed=seed)


def test_full_batch_is_the_plain_loop():
    X, y = blobs()
    net, twin = network(), network()
    schedule = InverseTimeDecay(0.1, 1e-2)
    history = fit(net, X, y, optimizer=fastopt.Adam(net.params, lr=schedule), epochs=20)
    optimizer = fastopt.Adam(twin.params, lr=schedule)
    for epoch in range(20):
        metrics = {}
        assert history["loss"][epoch] == pytest.approx(twin.loss_and_grad(X, y, metrics=metrics))
        assert history["accuracy"][epoch] == pytest.approx(metrics["accuracy"])
        assert history["lr"][epoch] == 0.1 / (1 + 1e-2 * epoch)
        optimizer.step(twin.grads)
    assert net.params.tobytes() == twin.params.tobytes()
    assert history.epochs == 20
    assert 0 < history.optimizer_seconds < history.seconds


@pytest.mark.parametrize("size", [1, 7, 25, 49, 50, 80, None])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_epoch_has_every_sample_once(size, shuffle):
    X, y = np.arange(100.0).reshape(50, 2), np.arange(50)
    batches = Batches(X, y, size, shuffle, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        batches.begin(epoch)
        seen = []
        for i in range(len(batches)):
            x, t = batches[i]
            assert len(x) == len(t) == min(size or 50, 50, 50 - len(seen))
            np.testing.assert_array_equal(x, X[t])
            seen += t.tolist()
        assert sorted(seen) == list(range(50))
        orders.append(seen)
    assert orders[0] == orders[2]
    mixed = shuffle and size is not None and size < 50
    assert (orders[0] != orders[1]) == mixed
    assert (orders[0] != list(range(50))) == mixed


def test_means_are_weighted_by_samples():
    X, y = blobs()
    net, batches = network(), []
    seen = LambdaCallback(on_batch_end=lambda run: batches.append((run.samples, run.loss, run.metrics["accuracy"])))
    optimizer = fastopt.SGD(net.params, lr=0.1)
    history = fit(net, X, y, optimizer=optimizer, epochs=1, batch_size=20, callbacks=[seen])
    sizes, losses, accuracies = np.array(batches).T
    assert sizes.tolist() == [20, 20, 10]
    assert history["loss"] == [pytest.approx(np.average(losses, weights=sizes))]
    assert history["accuracy"] == [pytest.approx(np.average(accuracies, weights=sizes))]
    assert history["accuracy"][0] * 50 == pytest.approx(round(history["accuracy"][0] * 50))


def test_batches_are_drawn_without_allocating():
    X, y = np.zeros((2000, 300), np.float32), np.zeros(2000, int)
    batches = Batches(X, y, 500, True, seed=0)
    batches.begin(0)
    tracemalloc.start()
    try:
        for i in range(len(batches)):
            batches[i]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000  # a batch is 600,000 bytes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_seed_same_bits(dtype):
    X, y = blobs()

    def run(seed):
        net = network(dropout=0.3, dtype=dtype)
        fit(net, X, y, optimizer=fastopt.Adam(net.params), epochs=3, batch_size=16, seed=seed)
        return net.params.tobytes()

    assert run(5) == run(5)
    assert run(5) != run(6)
    assert run(None) != run(None)


def test_validation_is_measured_after_the_epoch():
    X, y = blobs()
    Xv, yv = blobs(30, seed=1)
    net = network()
    optimizer = fastopt.SGD(net.params, lr=0.1)
    history = fit(net, X, y, optimizer=optimizer, epochs=3, validation_data=(Xv, yv))
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "lr"]
    measured = net.evaluate(Xv, yv)
    assert history["val_loss"][-1] == measured["loss"]
    assert history["val_accuracy"][-1] == measured["accuracy"]


def test_regression_has_no_accuracy():
    X = np.linspace(-1, 1, 20)[:, None]
    net = nn.Network([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), dtype="float64")
    history = fit(net, X, X, optimizer=fastopt.SGD(net.params, lr=0.1), epochs=2)
    assert list(history) == ["loss", "lr"]


def parameter_structures(net):
    first, last = net.layers[0], net.layers[-1]
    return {
        "list": [first.weight, first.bias, last.weight, last.bias],
        "mapping": net.named_params(),
        "groups": [
            {"params": [first.weight, last.weight], "weight_decay": 0.0},
            {"params": {"first": first.bias, "last": last.bias}},
        ],
        "slice": net.params[:],
    }


@pytest.mark.parametrize("kind", ["list", "mapping", "groups", "slice"])
def test_the_optimizer_may_have_views_of_the_parameters(kind):
    X, y = blobs()
    net, twin = network(), network()
    optimizer = fastopt.Adam(parameter_structures(net)[kind], lr=0.01)
    fit(net, X, y, optimizer=optimizer, epochs=3, batch_size=20)
    fit(twin, X, y, optimizer=fastopt.Adam(twin.params, lr=0.01), epochs=3, batch_size=20)
    assert net.params.tobytes() == twin.params.tobytes()


def test_gradients_have_the_layout_of_strided_views():
    net = network()
    net.grads[:] = np.arange(len(net.grads))
    params = {"reversed": net.layers[0].weight[::-1, ::2].T, "one": net.layers[-1].bias[1:2]}
    grads = gradients_like(params, net)
    np.testing.assert_array_equal(grads["reversed"], net.layers[0].weight_grad[::-1, ::2].T)
    np.testing.assert_array_equal(grads["one"], net.layers[-1].bias_grad[1:2])
    assert all(np.shares_memory(grad, net.grads) for grad in grads.values())


def test_an_optimizer_of_other_parameters_is_refused():
    X, y = blobs()
    net, other = network(), network()
    with pytest.raises(ValueError, match=r"optimizer: expected one made for net\.params"):
        fit(net, X, y, optimizer=fastopt.SGD(other.params), epochs=1)
    with pytest.raises(ValueError, match=r"optimizer: expected one made for net\.params"):
        fit(net, X, y, optimizer=fastopt.SGD([net.params.copy()]), epochs=1)


@pytest.mark.parametrize("clip_norm", [1e-3, 0.05, 1e6])
def test_clipping(clip_norm):
    X, y = blobs()
    net = network()
    net.loss_and_grad(X, y)
    before, norm = net.params.copy(), np.linalg.norm(net.grads)
    fit(net, X, y, optimizer=fastopt.SGD(net.params, lr=1.0), epochs=1, clip_norm=clip_norm)
    step = before - net.params
    assert np.linalg.norm(step) == pytest.approx(min(norm, clip_norm))
    np.testing.assert_allclose(step / np.linalg.norm(step), net.grads / norm, atol=1e-10)


def test_plateau_schedules_are_told_the_metric():
    X, y = blobs()
    net = network()
    schedule = ReduceOnPlateau(0.5, mode="max", patience=0, factor=0.5, threshold=0.0)
    optimizer = fastopt.SGD(net.params, lr=Scaled(schedule, 0.1))
    history = fit(net, X, y, optimizer=optimizer, epochs=40, validation_data=blobs(20, seed=1))
    lr, best, expected = 0.05, -1.0, []
    for accuracy in history["val_accuracy"]:
        expected.append(lr)
        if accuracy <= best:
            lr /= 2
        best = max(best, accuracy)
    assert lr < 0.05
    assert history["lr"][:10] == pytest.approx(expected[:10])


def test_a_schedule_shared_by_groups_is_told_once():
    X, y = blobs()
    net = network()
    schedule = ReduceOnPlateau(0.0, patience=1000)
    groups = [{"params": net.layers[0].weight}, {"params": net.layers[-1].weight}]
    fit(net, X, y, optimizer=fastopt.SGD(groups, lr=schedule), epochs=5)
    assert schedule.state_dict()["num_bad_epochs"] == 4


def test_a_schedule_among_several_values_of_a_hyper_parameter_is_told():
    X, y = blobs()
    net = network()
    schedule = ReduceOnPlateau(0.9, patience=1000)
    fit(net, X, y, optimizer=fastopt.Adam(net.params, lr=0.0, betas=(Scaled(schedule, 1.0), 0.999)), epochs=5)
    assert schedule.state_dict()["num_bad_epochs"] == 4


def regression(*layers, **metrics):
    """A network with a metric of its own, and data that it learns."""
    net = nn.Network([*layers, nn.Dense(2, 1)], loss=nn.MeanSquaredError(), metrics=metrics)
    X = np.random.default_rng(0).normal(size=(50, 2))
    return net, X, X[:, 0]


def r2(outputs, targets):
    return float(1 - ((outputs - targets) ** 2).mean() / targets.var())


@pytest.mark.parametrize("use", ["lr", "warmup", "sequential", "momentum", "group"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "max"}, "one of 'loss', 'r2', got 'accuracy', the default in mode 'max'"),
        ({"monitor": "R2"}, "one of 'loss', 'r2', got 'R2'"),
        ({"monitor": "val_r2"}, r"one of 'loss', 'r2', got 'val_r2' \(it needs validation_data\)"),
    ],
)
def test_a_metric_that_is_not_measured_is_refused_before_the_training(use, options, message):
    net, X, y = regression(r2=r2)
    plateau = ReduceOnPlateau(0.1, **options)
    rate = {"warmup": Warmup(plateau, 10), "sequential": Sequential([Constant(0.1), plateau], [5])}.get(use, plateau)
    if use == "momentum":
        optimizer = fastopt.SGD(net.params, lr=0.1, momentum=plateau)
    else:
        layer = net.layers[0]
        groups = [{"params": layer.weight}, {"params": layer.bias, "lr": plateau}]
        optimizer = fastopt.SGD(groups if use == "group" else net.params, lr=0.1 if use == "group" else rate)
    before = net.params.copy()
    with pytest.raises(ValueError, match=f"^ReduceOnPlateau: monitor: expected {message}$"):
        fit(net, X, y, optimizer=optimizer, epochs=3, callbacks=[lambda run: pytest.fail("an epoch was trained")])
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize("monitor", ["r2", "val_r2", "loss"])
def test_a_plateau_is_told_the_metric_that_it_names(monitor):
    net, X, y = regression(r2=r2)
    plateau = ReduceOnPlateau(0.1, mode="max", monitor=monitor)
    history = fit(net, X, y, optimizer=fastopt.SGD(net.params, lr=plateau), epochs=5, validation_data=(X[:9], y[:9]))
    assert len({max(history[name]) for name in ("r2", "val_r2", "loss")}) == 3  # or this test shows nothing
    assert plateau.state_dict()["best"] == max(history[monitor])


@pytest.mark.parametrize("batch_size", [None, 10])
def test_a_plateau_begins_when_the_warm_up_has_ended(batch_size):
    """From then on the rates are those of a plateau that was alone from the start, told the same metrics."""
    net, X, y = regression()
    per_epoch = 1 if batch_size is None else 5
    schedule = Warmup(ReduceOnPlateau(1e-3, patience=1, threshold=0.5, factor=0.5), 4 * per_epoch, start_factor=0.0)
    history = fit(net, X, y, optimizer=fastopt.SGD(net.params, lr=schedule), epochs=12, batch_size=batch_size)
    alone, expected = ReduceOnPlateau(1e-3, patience=1, threshold=0.5, factor=0.5), []
    for loss in history["loss"][4:]:
        expected.append(alone(0))
        alone.update(loss)
    assert history["lr"][4:] == expected
    assert expected[-1] < 1e-3  # or this test shows nothing
    last = 1 - 1 / per_epoch  # the history has the rate of the last update of an epoch
    assert history["lr"][:4] == pytest.approx([1e-3 * (epoch + last) / 4 for epoch in range(4)])


def test_a_shared_plateau_begins_where_one_of_its_users_does():
    net, X, y = regression()
    plateau = ReduceOnPlateau(0.5, patience=100)
    optimizer = fastopt.SGD(net.params, lr=Scaled(Warmup(plateau, 6), 1e-3), momentum=Warmup(plateau, 4))
    heard = []
    fit(net, X, y, optimizer=optimizer, epochs=8, callbacks=[lambda run: heard.append(plateau.state_dict()["best"])])
    assert np.isinf(heard).tolist() == [True] * 4 + [False] * 4


@pytest.mark.parametrize("built", ["one by one", "all before the first training"])
def test_a_plateau_begins_anew_in_every_training(built):
    plateau = ReduceOnPlateau(0.1, patience=0, factor=0.5, threshold=0.5)
    X, y = blobs()

    def runs():
        for _ in range(3):
            net = network()
            yield net, fastopt.SGD(net.params, lr=Scaled(plateau, 0.5), momentum=Scaled(plateau, 5.0))

    rates = [
        fit(net, X, y, optimizer=optimizer, epochs=4)["lr"]
        for net, optimizer in (runs() if built == "one by one" else list(runs()))
    ]
    assert rates[0] == rates[1] == rates[2]
    assert rates[0][0] == 0.05
    assert rates[0][-1] < 0.05


def test_a_plateau_goes_on_with_its_optimizer():
    def rates(*epochs):
        net, X, y = regression()
        optimizer = fastopt.SGD(net.params, lr=ReduceOnPlateau(0.01, patience=0, factor=0.5, threshold=0.5))
        return [rate for more in epochs for rate in fit(net, X, y, optimizer=optimizer, epochs=more)["lr"]]

    assert rates(3, 3) == rates(6)


def test_divergence_says_where_since_when_and_what_to_try():
    X = np.linspace(-1, 1, 20)[:, None]
    net = nn.Network([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), dtype="float64")
    optimizer, losses = fastopt.SGD(net.params, lr=0.1), []

    def explode(run):
        losses.append(run.loss)
        if run.epoch == 30:
            optimizer.lr = 1e8

    with pytest.raises(Diverged, match="the loss became inf") as caught:
        fit(net, X, 3 * X, optimizer=optimizer, epochs=500, callbacks=[explode])
    error = caught.value
    assert isinstance(error, FloatingPointError)
    assert error.epoch == error.step == len(losses) > 35
    lowest = max(i for i, loss in enumerate(losses) if loss <= np.quantile(losses, 0.1))
    assert 28 <= lowest <= 31
    assert f"began to rise after step {lowest}" in str(error)
    for word in ("learning rate (now 1e+08)", "warm-up", "clip_norm", "ExplosionGuard"):
        assert word in str(error)


def test_divergence_in_the_last_update():
    X, y = blobs()
    net = network()
    with pytest.raises(Diverged, match="last update"):
        fit(net, 100 * X, y, optimizer=fastopt.SGD(net.params, lr=1e308), epochs=1)


@pytest.mark.parametrize("array", ["X", "y"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_in_the_data_is_named(array, bad):
    net = nn.Network([nn.Dense(4, 1)], loss=nn.MeanSquaredError())
    data = {"X": np.zeros((5, 4)), "y": np.zeros((5, 1))}
    data[array][3, 0] = bad
    with pytest.raises(Diverged, match=f"before any update: there are NaN or infinite values in {array}$"):
        net.fit(**data, optimizer=fastopt.SGD(net.params), epochs=1)


@pytest.mark.parametrize("array", ["X", "y"])
@pytest.mark.parametrize(("dtype", "value"), [("float32", 1e20), ("float32", -1e38), ("float64", 1e200)])
def test_finite_values_whose_squares_overflow_are_not_called_infinite(array, dtype, value):
    net = nn.Network([nn.Dense(4, 1)], loss=nn.MeanSquaredError(), dtype=dtype)
    data = {"X": np.zeros((5, 4)), "y": np.zeros((5, 1))}
    data[array][3] = value
    with pytest.raises(Diverged) as caught:
        net.fit(**data, optimizer=fastopt.SGD(net.params), epochs=1)
    assert f"{abs(value):.3g} in {array}" in str(caught.value)
    assert f"too large for {dtype}" in str(caught.value)


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(Diverged("the loss became nan", 3, 40)))
    assert (str(error), error.epoch, error.step) == ("the loss became nan", 3, 40)


def test_history_is_json():
    history = History()
    history.append({"loss": 1.0, "val_loss": math.inf})
    history.events.append({"kind": "rescue", "epoch": 0})
    saved = json.loads(json.dumps(history.to_dict(), allow_nan=False))
    assert saved["loss"] == [1.0]
    assert saved["val_loss"] == [None]
    assert saved["events"] == [{"kind": "rescue", "epoch": 0}]
    assert saved["interrupted"] is False


def test_stop_ends_the_run_after_the_epoch():
    X, y = blobs()
    net, runs = network(), []

    def stop(run):
        runs.append(run)
        if run.epoch == 1:
            run.stop("enough")

    history = fit(
        net,
        X,
        y,
        optimizer=fastopt.SGD(net.params),
        epochs=5,
        batch_size=10,
        callbacks=[LambdaCallback(on_batch_end=stop)],
    )
    assert history.epochs == 2
    assert history.events == [{"kind": "stopped", "epoch": 1, "reason": "enough"}]
    assert runs[-1].status == "stopped"


def test_ctrl_c_returns_the_history_so_far():
    X, y = blobs()
    net, runs = network(), []

    def interrupt(run):
        if run.step == 13:
            runs.append(run)
            signal.raise_signal(signal.SIGINT)

    callbacks = [LambdaCallback(on_batch_end=interrupt)]
    optimizer = fastopt.SGD(net.params)
    history = fit(net, X, y, optimizer=optimizer, epochs=9, batch_size=10, callbacks=callbacks)
    assert history.interrupted
    assert history.epochs == 2
    assert runs[0].status == "interrupted"
    assert optimizer.steps == 13
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_is_not_held_back():
    X, y = blobs()
    net = network()
    ended = []

    def interrupt(run):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    callbacks = [LambdaCallback(on_batch_end=interrupt, on_train_end=lambda run: ended.append(run.status))]
    with pytest.raises(KeyboardInterrupt):
        fit(net, X, y, optimizer=fastopt.SGD(net.params), epochs=2, callbacks=callbacks)
    assert ended == ["failed"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_callers_own_handler_is_left_alone():
    X, y = blobs()
    net, caught = network(), []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append("mine"))
    try:
        callback = LambdaCallback(on_batch_end=lambda run: signal.raise_signal(signal.SIGINT))
        optimizer = fastopt.SGD(net.params)
        history = fit(net, X, y, optimizer=optimizer, epochs=2, callbacks=[callback])
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == ["mine", "mine"]
    assert history.epochs == 2


def test_training_in_a_thread():
    X, y = blobs()
    net, histories = network(), []
    optimizer = fastopt.SGD(net.params)
    thread = threading.Thread(target=lambda: histories.append(fit(net, X, y, optimizer=optimizer, epochs=2)))
    thread.start()
    thread.join()
    assert histories[0].epochs == 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epochs": -1}, ValueError, r"epochs: expected an integer >= 0, got -1"),
        ({"epochs": 2.0}, TypeError, r"epochs: expected an integer >= 0, got 2\.0"),
        ({"epochs": True}, TypeError, r"epochs: "),
        ({"batch_size": 0}, ValueError, r"batch_size: expected an integer >= 1, got 0"),
        ({"batch_size": "8"}, TypeError, r"batch_size: "),
        ({"seed": -1}, ValueError, r"seed: "),
        ({"seed": 0.5}, TypeError, r"seed: "),
        ({"clip_norm": 0.0}, ValueError, r"clip_norm: expected a finite number > 0"),
        ({"clip_norm": math.nan}, ValueError, r"clip_norm: "),
        ({"clip_norm": "a"}, TypeError, r"clip_norm: expected a finite number > 0, got 'a'"),
        ({"shuffle": "no"}, TypeError, r"shuffle: expected True or False, got 'no'"),
        ({"optimizer": None}, TypeError, r"optimizer: expected one made for net\.params, .* got None"),
        ({"callbacks": None}, TypeError, r"callbacks: expected a list of .*, got None"),
        ({"callbacks": [3]}, TypeError, r"callbacks: .* got 3"),
        ({"callbacks": [nn.Dense]}, TypeError, r"callbacks: "),
        ({"X": np.zeros((50, 5))}, ValueError, r"X: expected shape \(batch, 4\)"),
        ({"X": np.ma.masked_less(np.zeros((50, 4)), 1)}, TypeError, r"X: expected an array without a mask"),
        ({"y": np.ma.masked_less(np.zeros(50, int), 1)}, TypeError, r"y: expected an array without a mask"),
        ({"y": np.zeros(49, int)}, ValueError, r"y: expected 50 rows"),
        ({"validation_data": (np.zeros((2, 3)), [0, 1])}, ValueError, r"validation_data\[0\]: "),
        ({"validation_data": (np.zeros((2, 4)), [0, 9])}, ValueError, r"validation_data\[1\]: "),
        ({"validation_data": np.zeros((3, 4))}, TypeError, r"validation_data: expected \(X, y\)"),
    ],
)
def test_bad_arguments(changes, error, message):
    X, y = blobs()
    net = network()
    before = net.params.copy()
    arguments = {"X": X, "y": y, "optimizer": fastopt.SGD(net.params), "epochs": 1, **changes}
    with pytest.raises(error, match=message):
        fit(net, **arguments)
    np.testing.assert_array_equal(net.params, before)


def test_zero_epochs():
    X, y = blobs()
    net = network()
    before = net.params.copy()
    history = Training(net, X, y, optimizer=fastopt.SGD(net.params), epochs=0).run()
    assert history.epochs == 0
    np.testing.assert_array_equal(net.params, before)
