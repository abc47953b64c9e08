"""Networks in several threads: right results or a refusal, and BLAS as it was found."""

import copy
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

import fastopt
from fastopt import nn
from fastopt.nn import _blas
from fastopt.nn.network import Network

SAMPLES, WIDTH, CLASSES = 200, 20, 3


@pytest.fixture(autouse=True)
def _switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Halved(nn.Layer):
    """A layer of a user's own, with a buffer of its own."""

    def connect(self, n_inputs, dtype, rng, in_place):
        self.n_inputs = self.n_outputs = n_inputs
        self.scale = rng.random(n_inputs, dtype=dtype)

    def allocate(self, batch, training, first, last):
        self._y = np.empty((batch, self.n_inputs), self.scale.dtype)

    def forward(self, x, training):
        return np.multiply(x, self.scale, out=self._y)

    def backward(self, x, y, delta):
        return delta * self.scale


def network(loss=None, outputs=CLASSES, **settings):
    layers = [nn.Dense(WIDTH, 128), nn.ReLU(), Halved(), nn.Dropout(0.3), nn.Dense(128, 16), nn.Sigmoid()]
    layers += [nn.Dense(16, 16), nn.Tanh(), nn.Dense(16, outputs)]
    return nn.Network(layers, loss=loss or nn.SoftmaxCrossEntropy(), **settings)


def samples(seed, loss=None, n=SAMPLES):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, WIDTH)).astype("float32")
    y = rng.integers(0, CLASSES, n)
    return X, (y if loss is None else np.eye(CLASSES, dtype="float32")[y])


def same(actual, expected):
    """Equal but for the order of sums in a BLAS, whose threads are a matter of the moment."""
    if isinstance(expected, dict):
        assert actual == pytest.approx(expected, rel=1e-4)
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


@contextmanager
def meanwhile(work):
    """Call `work` over and over in other threads while the block runs; raise what it raised."""
    done = threading.Event()

    def repeat():
        rounds = 0
        while not done.is_set() or not rounds:
            work()
            rounds += 1

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(repeat) for _ in range(3)]
        try:
            yield
        finally:
            done.set()
        for future in running:
            future.result()


@contextmanager
def held(hold):
    """Run ``hold(pause)`` in another thread as far as its call of `pause`, for the time of the block."""
    reached, go_on = threading.Event(), threading.Event()

    def pause(*_):
        reached.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(hold, pause)
        assert reached.wait(60)
        try:
            yield
        finally:
            go_on.set()
        running.result()


LOSSES = [None, nn.BinaryCrossEntropy(), nn.MeanAbsoluteError()]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("call", ["predict", "evaluate", "forward"])
def test_many_threads_get_what_one_gets(call, loss):
    net = network(loss)
    parts = [samples(seed, loss, n=50 + seed % 40) for seed in range(40)]

    def work(part):
        X, y = part
        return net.evaluate(X, y, batch_size=32) if call == "evaluate" else getattr(net, call)(X)

    alone = [work(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for actual, expected in zip(pool.map(work, parts), alone, strict=True):
                same(actual, expected)


def test_training_and_prediction_do_not_disturb_each_other():
    X, y = samples(0)
    inputs, _ = samples(1)
    net, twin = network(), network()
    optimizer = fastopt.SGD(net.params, lr=0.0)
    expected = net.predict(inputs)
    with meanwhile(lambda: same(net.predict(inputs), expected)):
        net.fit(X, y, optimizer=optimizer, epochs=30, batch_size=32)
    # A rate above zero: now the training is what must be as it is alone.
    optimizer.lr = 0.1
    twin.load_state_dict(net.state_dict())
    with meanwhile(lambda: net.predict(inputs)):
        together = net.fit(X, y, optimizer=optimizer, epochs=30, batch_size=32)
    alone = twin.fit(X, y, optimizer=fastopt.SGD(twin.params, lr=0.1), epochs=30, batch_size=32)
    same(together["loss"], alone["loss"])
    same(net.params, twin.params)


def test_a_metric_may_predict():
    X, y = samples(0)
    inputs, _ = samples(1)
    net, twin = network(), network()
    net.metrics["guess"] = lambda scores, y: float(net.predict(inputs)[0, 0])
    assert net.loss_and_grad(X, y, metrics={}) == twin.loss_and_grad(X, y)
    np.testing.assert_array_equal(net.grads, twin.grads)
    assert net.evaluate(X, y)["loss"] == twin.evaluate(X, y)["loss"]


def test_gradients_of_two_threads_at_once_are_refused():
    X, y = samples(0)
    net, twin = network(), network()
    expected = net.predict(X)

    def hold(pause):
        net.metrics["pause"] = lambda scores, y: pause() or 0.0
        assert net.loss_and_grad(X, y, metrics={}) == twin.loss_and_grad(X, y)
        np.testing.assert_array_equal(net.grads, twin.grads)

    with held(hold):
        same(net.predict(X), expected)
        with pytest.raises(RuntimeError, match=r"loss_and_grad: expected a network that no other .*copy\.deepcopy"):
            net.loss_and_grad(X, y)
        copy.deepcopy(twin).loss_and_grad(X, y)
    net.loss_and_grad(X, y)


def train(net, callbacks=(), **settings):
    X, y = samples(0)
    return net.fit(X, y, optimizer=fastopt.SGD(net.params), epochs=1, callbacks=callbacks, **settings)


def paused_fit(net, *more):
    return lambda pause: train(net, [*more, nn.LambdaCallback(on_batch_end=pause)])


def test_a_network_in_training_is_not_trained_by_another_thread():
    X, y = samples(0)
    net = network()
    with held(paused_fit(net)):
        net.predict(X)
        with pytest.raises(RuntimeError, match="fit: expected a network that no other thread trains"):
            train(net)
        with pytest.raises(RuntimeError, match="loss_and_grad: expected a network that no other thread trains"):
            net.loss_and_grad(X, y)
        train(copy.deepcopy(net))
    train(net)


def test_a_callback_may_not_train_the_same_network():
    net, other = network(), network()
    with pytest.raises(RuntimeError, match="net: expected a network that no other fit is training"):
        train(net, [lambda run: train(run.net)])
    train(net, [lambda run: train(other)])
    X, y = samples(0)
    again = nn.Training(net, X, y, optimizer=fastopt.SGD(net.params), epochs=1, callbacks=[lambda run: run.run()])
    with pytest.raises(RuntimeError, match="net: expected a network that no other fit is training"):
        again.run()
    train(net)


def test_a_callback_that_starts_afresh_follows_one_run(tmp_path):
    shared = [
        (nn.EarlyStopping("loss"), nn.EarlyStopping("loss"), "expected EarlyStopping objects that no other fit has"),
        (nn.ExplosionGuard(), nn.ExplosionGuard(), "expected ExplosionGuard objects that no other fit has"),
        (nn.Checkpoint(tmp_path / "a.npz"), nn.Checkpoint(tmp_path / "b.npz"), "expected Checkpoint objects"),
    ]
    for callback, another, message in shared:
        with held(paused_fit(network(), callback)):
            with pytest.raises(RuntimeError, match=f"callbacks: {message}"):
                train(network(), [callback])
            train(network(), [another])
        train(network(), [callback])
    printer = nn.EpochPrinter()  # knows nothing of the run
    with held(paused_fit(network(), printer)):
        train(network(), [printer])


def test_a_schedule_with_a_state_follows_one_run():
    X, y = samples(0)
    plateau = fastopt.schedules.ReduceOnPlateau(0.1)

    def follow(rate, *callbacks):
        net = network()
        net.fit(X, y, optimizer=fastopt.SGD(net.params, lr=rate), epochs=1, callbacks=callbacks)

    with held(lambda pause: follow(plateau, nn.LambdaCallback(on_batch_end=pause))):
        with pytest.raises(RuntimeError, match="optimizer: expected schedules with a state that no other fit follows"):
            follow(fastopt.schedules.Warmup(plateau, 3))
        follow(fastopt.schedules.ReduceOnPlateau(0.1))
    follow(plateau)


def test_two_runs_do_not_write_to_the_same_files(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    pairs = [
        (nn.Checkpoint(tmp_path / "run.npz"), nn.Checkpoint(tmp_path / "link" / "run.npz")),
        (nn.SnapshotEnsemble(1, folder=tmp_path), nn.SnapshotEnsemble(1, folder=tmp_path / "link")),
    ]
    for first, second in pairs:
        with (
            held(paused_fit(network(), first)),
            pytest.raises(RuntimeError, match=r"callbacks: expected a path that no other fit writes to .* got .*link"),
        ):
            train(network(), [second])
        train(network(), [second])


def test_measuring_the_loss_around_a_network_leaves_it_alone():
    X, y = samples(0)
    net = network()
    expected, own = net.predict(X), net.params.tobytes()
    calls = []

    def look(done, total):
        calls.append(done)
        assert net.params.tobytes() == own
        if done == 5:
            raise KeyboardInterrupt

    with meanwhile(lambda: same(net.predict(X), expected)):
        nn.measure_line(net, X, y, points=9)
        with pytest.raises(KeyboardInterrupt):
            nn.measure_surface(net, X, y, points=3, progress=look)
    assert calls == [1, 2, 3, 4, 5]
    assert net.params.tobytes() == own


# -- ensembles ---------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "files"])
def ensemble(request, tmp_path):
    """Five snapshots that differ a lot."""
    callback = nn.SnapshotEnsemble(1, folder=tmp_path if request.param == "files" else None)
    net = network()
    X, y = samples(0)
    net.fit(X, y, optimizer=fastopt.SGD(net.params, lr=1.0), epochs=5, callbacks=[callback])
    return net, callback


def test_an_ensemble_predicts_in_threads(ensemble):
    net, callback = ensemble
    parts = [samples(seed) for seed in range(8)]
    alone = [callback.predict(X) for X, _ in parts]
    measured = [callback.evaluate(*part, last=2) for part in parts]
    own = net.params.tobytes()
    single = net.predict(parts[0][0])

    def unharmed():
        same(net.predict(parts[0][0]), single)
        assert net.params.tobytes() == own

    with meanwhile(unharmed), ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for actual, expected in zip(pool.map(lambda part: callback.predict(part[0]), parts), alone, strict=True):
                same(actual, expected)
            both = pool.map(lambda part: callback.evaluate(*part, last=2), parts)
            for actual, expected in zip(both, measured, strict=True):
                same(actual, expected)


def test_an_ensemble_that_is_interrupted_leaves_the_network_alone(ensemble, monkeypatch):
    net, callback = ensemble
    own = net.params.tobytes()
    X, _ = samples(1)
    expected = callback.predict(X)

    def interrupted(self, X):
        assert net.params.tobytes() == own
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Network, "predict", interrupted)
        with pytest.raises(KeyboardInterrupt):
            callback.predict(X)
    assert net.params.tobytes() == own
    np.testing.assert_array_equal(callback.predict(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(callback)).predict(X), expected)


def test_an_ensemble_predicts_while_it_grows():
    X, y = samples(0)
    net = network()
    callback = nn.SnapshotEnsemble(1, keep=3)
    train(net, [callback])
    optimizer = fastopt.SGD(net.params, lr=0.1)

    def look():
        if len(callback):
            assert np.isfinite(callback.predict(X)).all()

    class Look(nn.Callback):
        def on_batch_end(self, run):
            look()

    # Nothing but snapshots and their predictions: the training goes as it does alone.
    twin = copy.deepcopy(net)
    with meanwhile(lambda: len(callback) > 1 and callback.predict(X, last=1)):
        net.fit(X, y, optimizer=optimizer, epochs=20, callbacks=[callback, Look()])
    twin.fit(X, y, optimizer=fastopt.SGD(twin.params, lr=0.1), epochs=20)
    same(net.params, twin.params)


# -- BLAS --------------------------------------------------------------------------------------


class Library:
    """A BLAS that only counts threads."""

    def __init__(self, threads):
        self.threads = threads

    def get_num_threads(self):
        return self.threads

    def set_num_threads(self, threads):
        self.threads = threads


@pytest.fixture
def blas(monkeypatch):
    library = Library(8)
    monkeypatch.setattr(_blas, "_libraries", lambda: [library])
    return library


def seen_by(blas, seen):
    return lambda run: seen.append(blas.threads)


@pytest.mark.parametrize(("batch", "threads"), [(10, 1), (50, 2), (100, 5), (1000, 8)])
def test_threads_fit_the_largest_product(blas, monkeypatch, batch, threads):
    # The largest layer has 20 x 128 weights: at 100 rows 256,000 multiply-adds, five times the work of a thread.
    monkeypatch.setattr(_blas, "WORK", 50_000)
    seen = []
    net = network()
    X, y = samples(0, n=1000)
    optimizer = fastopt.SGD(net.params)
    net.fit(X, y, optimizer=optimizer, epochs=1, batch_size=batch, callbacks=[seen_by(blas, seen)])
    assert seen == [threads]
    assert blas.threads == 8


class Boom(Exception):
    pass


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, None])
def test_blas_is_as_before_however_a_run_ends(blas, error):
    def end(run):
        assert blas.threads == 1
        if error is not None:
            raise error

    if error is None:
        train(network(), [end])
    else:
        with pytest.raises(error):
            train(network(), [end])
    assert blas.threads == 8
    X, y = samples(0)
    net = network()
    with pytest.raises(nn.Diverged):
        net.fit(X * np.float32(np.inf), y, optimizer=fastopt.SGD(net.params), epochs=1)
    assert blas.threads == 8


def test_a_limit_of_the_users_holds(blas):
    blas.threads = 2
    seen = []
    with _blas.held_to(4):
        seen.append(blas.threads)
    assert (seen, blas.threads) == ([2], 2)


def test_runs_inside_one_another_and_side_by_side_share_the_least_limit(blas):
    seen = []
    with _blas.held_to(4):
        train(network(), [seen_by(blas, seen)])
        seen.append(blas.threads)
    assert (seen, blas.threads) == ([1, 4], 8)
    # The first to begin is the first to end.
    first, second = _blas.held_to(1), _blas.held_to(3)
    first.__enter__()
    second.__enter__()
    assert blas.threads == 1
    first.__exit__(None, None, None)
    assert blas.threads == 3
    second.__exit__(None, None, None)
    assert blas.threads == 8
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: train(network()), range(20)))
    assert blas.threads == 8


def test_the_real_blas_is_held_and_let_go():
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()
    _blas._libraries.cache_clear()  # another test may have loaded one more

    def threads():
        return [info["num_threads"] for info in controller.info() if info["user_api"] == "blas"]

    before = threads()
    seen = []
    train(network(), [lambda run: seen.extend(threads())])
    assert seen == [1] * len(before)
    assert threads() == before


def test_training_does_without_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    _blas._libraries.cache_clear()
    try:
        assert _blas._libraries() == []
        train(network())
    finally:
        _blas._libraries.cache_clear()


def test_libraries_are_looked_for_once():
    _blas._libraries.cache_clear()
    X, y = samples(0)
    net = network()
    net.fit(X, y, optimizer=fastopt.SGD(net.params), epochs=3, batch_size=10)
    train(net)
    assert _blas._libraries.cache_info().misses == 1


def test_one_thread_at_a_time_parses_the_headers_of_arrays(tmp_path, monkeypatch):
    """CPython 3.11's ast.literal_eval, by which NumPy parses them, fails if two threads are in it."""
    inside, most, load = [], [], np.load

    def slow(*args, **settings):
        inside.append(args)
        most.append(len(inside))
        time.sleep(0.01)
        result = load(*args, **settings)
        inside.pop()
        return result

    path = tmp_path / "weights.npz"
    nn.checkpoint.save(path, {"w": np.ones(3)}, {}, kind="weights")
    monkeypatch.setattr(np, "load", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: nn.checkpoint.load(path, kind="weights"), [path] * 8))
    assert most == [1] * 8
