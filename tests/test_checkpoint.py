"""Checkpoint files, and runs resumed from them: the same bits as if they had never stopped.

Run as a program, this file is the run that the tests at its end interrupt and kill. How often they
do so is set by the environment variable FASTOPT_INTERRUPTIONS.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from optimizer_harness import build
from table import OPTIMIZER_VARIANTS

import fastopt
from fastopt import nn
from fastopt.nn import checkpoint
from fastopt.nn.callbacks import Callback, Checkpoint, EarlyStopping, LambdaCallback
from fastopt.nn.ensemble import SnapshotEnsemble
from fastopt.nn.guard import ExplosionGuard
from fastopt.nn.history import Diverged
from fastopt.nn.training import fit
from fastopt.schedules import CosineWarmRestarts, InverseTimeDecay, ReduceOnPlateau

INTERRUPTIONS = int(os.environ.get("FASTOPT_INTERRUPTIONS", "10"))


# ---- files

ARRAYS = {
    "single": np.arange(6, dtype=np.float32).reshape(2, 3),
    "double": np.array([np.nan, np.inf, 5e-324]),
    "number": 3,
    "empty": np.zeros((0, 4)),
    "words": np.array([1, 2**64 - 1], np.uint64),
    "a name: with/all.sorts?": np.array(True),
}
META = {"epoch": 3, "loss": 0.1, "nan": float("nan"), "nested": {"list": [1, None, "ä"]}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.npz"


@pytest.fixture
def saved(path):
    checkpoint.save(path, ARRAYS, META, kind="test")
    return path


def same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, value in expected.items():
        value = np.asarray(value)
        assert arrays[name].dtype == value.dtype
        assert arrays[name].shape == value.shape
        assert arrays[name].tobytes() == value.tobytes()


def test_round_trip(saved):
    arrays, meta = checkpoint.load(saved, kind="test")
    same(arrays, ARRAYS)
    assert repr({name: meta[name] for name in META}) == repr(META)
    assert os.listdir(saved.parent) == ["file.npz"]


def test_no_pickle(saved):
    with np.load(saved, allow_pickle=False) as file:
        assert {name: file[name].shape for name in file.files}["single"] == (2, 3)
    with pytest.raises(TypeError, match="thing: expected a plain dtype, got object"):
        checkpoint.save(saved, {"thing": np.array([{}])}, {}, kind="test")
    same(checkpoint.load(saved, kind="test")[0], ARRAYS)


@pytest.mark.parametrize("step", ["savez", "fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file(saved, step, monkeypatch):
    def fail(*args, **settings):
        raise OSError("no space left on device")

    monkeypatch.setattr(np if step == "savez" else os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save(saved, {"new": np.ones(3)}, {}, kind="test")
    same(checkpoint.load(saved, kind="test")[0], ARRAYS)
    assert os.listdir(saved.parent) == ["file.npz"]


def test_what_json_cannot_express_is_refused_before_writing(saved):
    with pytest.raises(TypeError):
        checkpoint.save(saved, {}, {"set": {1}}, kind="test")
    same(checkpoint.load(saved, kind="test")[0], ARRAYS)


def test_the_remains_of_a_killed_save_do_no_harm(path):
    path.with_name("file.npz.tmp").write_bytes(b"half")
    checkpoint.save(path, ARRAYS, META, kind="test")
    same(checkpoint.load(path, kind="test")[0], ARRAYS)
    assert os.listdir(path.parent) == ["file.npz"]


def test_truncated_files(saved):
    content = saved.read_bytes()
    for length in [*range(0, len(content), 41), len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"file\.npz: not a file saved by fastopt, or damaged"):
            checkpoint.load(saved, kind="test")


def test_damaged_files_are_noticed(saved):
    content = bytearray(saved.read_bytes())
    noticed = harmless = 0
    for i in range(0, len(content), 7):
        content[i] ^= 0x55
        saved.write_bytes(content)
        try:
            arrays, meta = checkpoint.load(saved, kind="test")
        except ValueError as error:
            noticed += "damaged" in str(error)
        else:  # a date, say
            same(arrays, ARRAYS)
            assert repr({name: meta[name] for name in META}) == repr(META)
            harmless += 1
        content[i] ^= 0x55
    assert noticed > len(content) / 7 / 2
    assert noticed + harmless == len(range(0, len(content), 7))


def test_a_damaged_shape_is_not_believed(saved):
    content, shape, huge = saved.read_bytes(), b"(2,), }" + b" " * 20, b"(999999999999999,), }"
    assert content.count(shape) == 1
    saved.write_bytes(content.replace(shape, huge.ljust(len(shape))))
    with pytest.raises(ValueError, match=r"damaged .*check sum of words"):
        checkpoint.load(saved, kind="test")


def foreign_files():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    yield "another npz", buffer.getvalue()
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.array('{"format": "something else"}'))
    yield "another npz with metadata", buffer.getvalue()
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.array("[]"))
    yield "a list", buffer.getvalue()
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.array([{}], object))
    yield "pickle", buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    yield "npy", buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hello.txt", "hello")
    yield "zip", buffer.getvalue()
    yield "text", b"hello\n"
    yield "nothing", b""


@pytest.mark.parametrize(("kind", "content"), list(foreign_files()))
def test_foreign_files(kind, content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.npz: not a file saved by fastopt, or damaged"):
        checkpoint.load(path, kind="test")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(path):
    sign = path.with_name("executed")
    checkpoint.save(path, {}, {}, kind="test")
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays, evil=np.array([Malicious(sign)], object))
    with pytest.raises(ValueError, match=r"allow_pickle=False"):
        checkpoint.load(path, kind="test")
    assert not sign.exists()


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError):
        checkpoint.load(path, kind="test")


def test_another_kind_or_version(saved, monkeypatch):
    with pytest.raises(ValueError, match="expected a snapshot file, got a test file"):
        checkpoint.load(saved, kind="snapshot")
    monkeypatch.setattr(checkpoint, "_VERSION", 2)
    with pytest.raises(ValueError, match="expected format version 2, got 1"):
        checkpoint.load(saved, kind="test")


def test_a_link_stays_and_the_file_it_leads_to_is_written(tmp_path):
    real, link = tmp_path / "elsewhere" / "real.npz", tmp_path / "link.npz"
    real.parent.mkdir()
    try:
        link.symlink_to(real)
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    for arrays in (ARRAYS, {"new": np.ones(3)}):
        checkpoint.save(link, arrays, META, kind="test")
        assert link.is_symlink()
        same(checkpoint.load(real, kind="test")[0], arrays)
    assert os.listdir(real.parent) == ["real.npz"]


@pytest.mark.parametrize(
    "kind",
    ["folder", pytest.param("pipe", marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here"))],
)
def test_what_is_no_file_is_refused_before_training(kind, path):
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    run = Run()
    before = run.net.params.copy()
    with pytest.raises(FileExistsError, match="path: expected a file to write to, got"):
        run.fit(Checkpoint(path))
    np.testing.assert_array_equal(run.net.params, before)
    with pytest.raises(FileExistsError):
        checkpoint.save(path, ARRAYS, META, kind="test")
    assert not path.is_file()


# ---- runs

EPOCHS = 7


def data(n=70, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5)).astype(np.float32)
    return X, (np.abs(X).sum(axis=1) > 4).astype(int)


def network(width=12):
    layers = [nn.Dense(5, width), nn.ReLU(), nn.Dropout(0.2), nn.Dense(width, 2)]
    return nn.Network(layers, loss=nn.SoftmaxCrossEntropy(), seed=1)


# Rates of every kind, and every optimizer of the table.
OPTIMIZERS = {
    "momentum": lambda p: fastopt.SGD(p, lr=InverseTimeDecay(0.1, 1e-2), momentum=0.9),
    "adam": lambda p: fastopt.Adam(p, lr=0.02, amsgrad=True),
    "plateau": lambda p: fastopt.AdamW(p, lr=ReduceOnPlateau(0.2, patience=0, factor=0.5)),
    "cycles": lambda p: fastopt.SGD(p, lr=CosineWarmRestarts(0.3, T_0=10)),
} | {str(case): lambda p, case=case: build(case, p) for case in OPTIMIZER_VARIANTS}


class Run:
    """A run that can be made again and again."""

    def __init__(self, kind="adam", callbacks=list, **settings):
        self.net = network()
        self.optimizer = OPTIMIZERS[kind](self.net.params)
        self.callbacks = callbacks()
        self.settings = {
            "epochs": EPOCHS,
            "batch_size": 16,
            "seed": 4,
            "validation_data": data(30, 1),
            **settings,
        }

    def fit(self, *more, **settings):
        callbacks = [*self.callbacks, *more]
        arguments = {"optimizer": self.optimizer, **self.settings, **settings}
        self.history = fit(self.net, *data(), callbacks=callbacks, **arguments)
        return self

    def bits(self):
        """Everything that must not depend on whether the run was stopped."""
        states = {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        for i, callback in enumerate(self.callbacks):
            states[f"callback {i}"] = callback.state_dict()
        flat = {
            f"{owner} {name}": value.tobytes() if isinstance(value, np.ndarray) else repr(value)
            for owner, state in states.items()
            for name, value in state.items()
        }
        return {**flat, "history": repr(dict(self.history)), "events": repr(self.history.events)}


def interrupt_at(step):
    def check(run):
        if run.step == step:
            signal.raise_signal(signal.SIGINT)

    return LambdaCallback(on_batch_end=check)


@pytest.mark.parametrize(("kind", "after"), [*((kind, 4) for kind in OPTIMIZERS), ("plateau", 1), ("plateau", EPOCHS)])
def test_stopped_after_an_epoch(kind, after, path):
    expected = Run(kind).fit().bits()
    Run(kind).fit(Checkpoint(path), epochs=after)
    assert Run(kind).fit(resume=path).bits() == expected


@pytest.mark.parametrize("settings", [{"batch_size": None}, {"shuffle": False}, {"clip_norm": 0.1}])
def test_stopped_with_other_settings(settings, path):
    expected = Run(**settings).fit().bits()
    Run(**settings).fit(Checkpoint(path), epochs=3)
    assert Run(**settings).fit(resume=path).bits() == expected


@pytest.mark.parametrize("kind", ["adam", "plateau"])
@pytest.mark.parametrize("step", [1, 4, 5, 6, 17, 34, 35])
def test_interrupted_in_the_middle_of_an_epoch(kind, step, path):
    """An epoch has 5 batches: nothing of it is lost, whatever `every` says."""
    expected = Run(kind).fit().bits()
    history = Run(kind).fit(Checkpoint(path, every=100), interrupt_at(step)).history
    assert history.interrupted
    assert history.epochs == step // 5
    resumed = Run(kind).fit(Checkpoint(path, every=100), resume=path)
    assert not resumed.history.interrupted
    assert resumed.bits() == expected


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_checkpoint"])
def test_interrupted_between_two_batches(hook, path):
    expected = Run().fit().bits()

    def check(run):
        if run.step == 15 and not path.exists():
            signal.raise_signal(signal.SIGINT)

    Run().fit(Checkpoint(path, every=100), LambdaCallback(**{hook: check}))
    assert Run().fit(resume=path).bits() == expected


def test_settings_may_be_numpy_numbers(path):
    settings = {"batch_size": np.int64(16), "seed": np.int32(4), "clip_norm": np.float32(0.5)}
    expected = Run(**settings).fit().bits()
    Run(**settings).fit(Checkpoint(path), epochs=np.int64(3))
    assert Run(**settings).fit(resume=path).bits() == expected


def test_stopped_again_and_again(path):
    expected = Run("momentum").fit().bits()
    resume = None
    for step in range(3, 40, 3):
        run = Run("momentum").fit(Checkpoint(path), interrupt_at(step), resume=resume)
        resume = path
    assert run.bits() == expected


class Poison(Callback):
    """Make the parameters NaN after some updates."""

    def __init__(self, *steps):
        self.steps = steps

    def on_batch_end(self, run):
        if run.step in self.steps:
            run.net.params[::7] = np.nan


CALLBACKS = {
    "early stopping": lambda: [EarlyStopping("val_accuracy", patience=2), EarlyStopping("loss")],
    "guard": lambda: [ExplosionGuard(every=3), Poison(9, 18, 24)],
    "ensemble": lambda: [SnapshotEnsemble(4, keep=3)],
}


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize("kind", ["momentum", "adam", "plateau", "cycles"])
def test_callbacks_go_on_too(kind, callbacks, path):
    expected = Run(kind, CALLBACKS[callbacks]).fit().bits()
    for step in (1, 7, 10, 19, 20, 25, 26, 33):
        path.unlink(missing_ok=True)
        Run(kind, CALLBACKS[callbacks]).fit(Checkpoint(path), interrupt_at(step))
        assert Run(kind, CALLBACKS[callbacks]).fit(resume=path).bits() == expected


def test_a_run_that_was_stopped_early_stays_stopped(path):
    callbacks = lambda: [EarlyStopping("loss", patience=1, min_delta=0.5)]  # noqa: E731
    expected = Run(callbacks=callbacks).fit(Checkpoint(path))
    assert expected.history.epochs == 2
    assert Run(callbacks=callbacks).fit(resume=path).bits() == expected.bits()


def test_an_exploded_run_can_be_resumed_with_a_guard(path):
    with pytest.raises(Diverged):
        Run().fit(Checkpoint(path), Poison(17))
    resumed = Run().fit(ExplosionGuard(), Poison(17), resume=path)
    assert resumed.history.epochs == EPOCHS
    assert [event["kind"] for event in resumed.history.events] == ["rescue"]
    assert np.isfinite(resumed.net.params).all()


def test_parameters_that_are_not_finite_are_not_saved(path):
    with pytest.raises(Diverged, match="last update"):
        Run().fit(Checkpoint(path), Poison(10))
    _, meta = checkpoint.load(path, kind="training run")
    assert meta["epoch"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 8}, r"resume: expected batch_size=16 as in .*, got 8"),
        ({"seed": 5}, r"resume: expected seed=4 as in .*, got 5"),
        ({"shuffle": False}, r"resume: expected shuffle=True as in .*, got False"),
        ({"clip_norm": 1.0}, r"resume: expected clip_norm=None as in .*, got 1\.0"),
        ({"validation_data": None}, r"resume: expected validation=True as in .*, got False"),
    ],
)
def test_resuming_with_other_settings_is_refused(changes, message, path):
    Run().fit(Checkpoint(path), epochs=2)
    with pytest.raises(ValueError, match=message):
        Run().fit(resume=path, **changes)


def test_resuming_another_network_or_optimizer_is_refused(path):
    Run().fit(Checkpoint(path), epochs=2)
    with pytest.raises(ValueError, match="state"):
        Run("momentum").fit(resume=path)
    run = Run()
    run.net = network(width=13)
    run.optimizer = OPTIMIZERS["adam"](run.net.params)
    with pytest.raises(ValueError, match="state"):
        run.fit(resume=path)


def test_resuming_from_a_damaged_file(path):
    Run().fit(Checkpoint(path), epochs=2)
    path.write_bytes(path.read_bytes()[:-100])
    run = Run()
    before = run.net.params.copy()
    with pytest.raises(ValueError, match="damaged"):
        run.fit(resume=path)
    np.testing.assert_array_equal(run.net.params, before)


def test_a_seed_from_the_system_is_saved(path):
    whole = Run(seed=None).fit(Checkpoint(path, every=3), epochs=3)
    seed = checkpoint.load(path, kind="training run")[1]["settings"]["seed"]
    assert Run(seed=seed).fit(epochs=3).bits() == whole.bits()
    assert Run(seed=None).fit(resume=path).bits() == Run(seed=seed).fit().bits()


def rewrite(path, change):
    """Write the file again, with the right check sums, after ``change(arrays, meta)``."""
    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays.pop("meta")))
    change(arrays, meta)
    np.savez(path, **arrays, meta=np.array(json.dumps(meta)))


def refused(run, path, match):
    """Check that neither network nor optimizer changes when a run cannot be resumed."""

    def states():
        owned = [run.net.named_params(), run.optimizer.state_dict()]
        return [{name: np.array(value) for name, value in state.items()} for state in owned]

    before, rates = states(), [group.lr for group in run.optimizer.groups]
    with pytest.raises(ValueError, match=match):
        run.fit(resume=path)
    for state, expected in zip(states(), before, strict=True):
        same(state, expected)
    assert [group.lr for group in run.optimizer.groups] == rates


WATCHED = {
    "nothing": list,
    "best weights": lambda: [EarlyStopping("loss")],
    "guard": lambda: [EarlyStopping("loss"), ExplosionGuard(every=3)],
    "ensemble": lambda: [EarlyStopping("loss"), SnapshotEnsemble(4)],
}


@pytest.mark.parametrize("callbacks", WATCHED)
def test_a_refused_resume_changes_nothing(callbacks, path):
    Run(callbacks=WATCHED[callbacks]).fit(Checkpoint(path), epochs=2)
    refused(Run("momentum", WATCHED[callbacks]), path, "resume: state")
    run = Run(callbacks=WATCHED[callbacks])
    run.net = network(width=13)
    run.optimizer = OPTIMIZERS["adam"](run.net.params)
    refused(run, path, r"resume: state '.*exp_avg.*': expected shape \(106,\)")
    rewrite(path, lambda arrays, meta: arrays.pop("net.dense0.weight"))
    refused(Run(callbacks=WATCHED[callbacks]), path, r"resume: state: missing dense0\.weight")


def cut(*names):
    def change(arrays, meta):
        for name in names:
            arrays[name] = arrays[name][:-1]

    return change


DAMAGE = {
    "no version": lambda arrays, meta: meta.pop("version"),
    "no kind": lambda arrays, meta: meta.pop("kind"),
    "no epoch": lambda arrays, meta: meta.pop("epoch"),
    "no callbacks": lambda arrays, meta: meta.pop("callbacks"),
    "callbacks null": lambda arrays, meta: meta.update(callbacks=None),
    "no seconds": lambda arrays, meta: meta.pop("seconds"),
    "settings null": lambda arrays, meta: meta.update(settings=None),
    "setting missing": lambda arrays, meta: meta["settings"].pop("shuffle"),
    "epoch negative": lambda arrays, meta: meta.update(epoch=-1),
    "epoch a word": lambda arrays, meta: meta.update(epoch="a"),
    "batch too large": lambda arrays, meta: meta.update(batch=10**9),
    "step": lambda arrays, meta: meta.update(step=3),
    "seen": lambda arrays, meta: meta.update(seen=0.5),
    "sums": lambda arrays, meta: meta.update(sums={"loss": 1.0}),
    "events": lambda arrays, meta: meta.update(events=[3]),
    "history": cut("history.loss"),
    "rng": lambda arrays, meta: arrays["net.rng"].fill(2**64 - 1),
    "best weights": cut("callback.EarlyStopping0.params"),
    "no guard": lambda arrays, meta: arrays.pop("callback.ExplosionGuard0.live"),
    "guard": cut("callback.ExplosionGuard0.live"),
    "good point": cut("callback.ExplosionGuard0.0.params"),
    "optimizer's good point": cut("callback.ExplosionGuard0.0.optimizer.exp_avg.0"),
    "snapshot": cut("callback.SnapshotEnsemble0.params.4"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_that_no_check_sum_shows(kind, path):
    callbacks = lambda: [EarlyStopping("loss"), ExplosionGuard(every=3), SnapshotEnsemble(4)]  # noqa: E731
    Run(callbacks=callbacks).fit(Checkpoint(path), epochs=2)
    rewrite(path, lambda arrays, meta: None)
    Run(callbacks=callbacks).fit(resume=path)
    rewrite(path, DAMAGE[kind])
    refused(Run(callbacks=callbacks), path, r"^resume: |file\.npz: expected ")


def test_resuming_with_a_number_in_place_of_a_schedule_is_refused(path):
    Run("momentum", WATCHED["guard"]).fit(Checkpoint(path), epochs=2)
    run = Run("momentum", WATCHED["guard"])
    run.optimizer.lr = 0.05
    refused(run, path, r"expected a rate 'lr\.0', got none: it was saved while a schedule")


def test_a_saved_number_in_place_of_a_schedule_is_told(path):
    Run("adam").fit(Checkpoint(path), epochs=2)
    run = Run("adam")
    run.optimizer.lr = InverseTimeDecay(0.1, 1e-2)
    with pytest.warns(UserWarning, match=r"resume: the rate 0\.02 in .* replaces the schedule InverseTimeDecay"):
        run.fit(resume=path)
    assert run.optimizer.lr == 0.02


def test_a_guard_that_comes_or_goes_is_named(path):
    Run("plateau", WATCHED["guard"]).fit(Checkpoint(path), epochs=2)
    refused(Run("plateau"), path, "callbacks of only one of the runs: EarlyStopping0, ExplosionGuard0")
    Run("plateau").fit(Checkpoint(path), epochs=2)
    refused(Run("plateau", WATCHED["guard"]), path, "callbacks of only one of the runs: .*ExplosionGuard0")


def test_a_run_with_a_scaled_schedule_does_not_go_on_at_the_rate_that_exploded(path):
    first = Run("momentum", lambda: [ExplosionGuard(every=3, factor=0.5)]).fit(Poison(9), Checkpoint(path), epochs=3)
    assert first.optimizer.schedule.factor == 0.5
    match = r"^resume: expected the callback ExplosionGuard, which scaled the schedule .* by 0\.5 .*, got none$"
    refused(Run("momentum"), path, match)
    resumed = Run("momentum", lambda: [ExplosionGuard(every=3, factor=0.5)]).fit(resume=path)
    assert resumed.optimizer.schedule.factor == 0.5


def test_a_scaled_number_needs_no_guard(path):
    Run("adam", lambda: [ExplosionGuard(every=3, factor=0.5)]).fit(Poison(9), Checkpoint(path), epochs=3)
    assert Run("adam").fit(resume=path).optimizer.lr == 0.01


def test_a_plateau_that_sets_the_momentum_is_saved(path):
    def run():
        made = Run()
        momentum = ReduceOnPlateau(0.9, patience=0, factor=0.5)
        made.optimizer = fastopt.SGD(made.net.params, lr=0.2, momentum=momentum)
        return made

    straight = run().fit()
    assert straight.optimizer.groups[0].momentum(0) < 0.9  # or this test shows nothing
    run().fit(Checkpoint(path), epochs=3)
    assert run().fit(resume=path).bits() == straight.bits()


# ---- processes


def long_run(path, ask=lambda run: None):
    """Last long enough to be interrupted; the callbacks keep state of every kind, and each epoch asks to begin."""
    callbacks = lambda: [ExplosionGuard(every=20), EarlyStopping(patience=None)]  # noqa: E731
    run = Run("momentum", callbacks, epochs=120)
    resume = path if path.exists() else None
    return run.fit(Checkpoint(path), LambdaCallback(on_epoch_begin=ask), resume=resume)


def start(path):
    paths = [*sys.path, os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, __file__, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL, and no SIGINT for a child")
def test_interrupted_at_random_points(path):
    """After each signal the file is whole, and what resumes from it ends with the same bits."""
    expected = long_run(path).bits()
    path.unlink()
    rng = np.random.default_rng()
    hits = 0
    for i in range(INTERRUPTIONS):
        name = ("SIGINT", "SIGKILL")[i % 2]
        child = start(path)
        try:
            for _ in range(rng.integers(1, 100)):  # epoch by epoch, then on its own: closed input gives no line
                child.stdout.readline()
                child.stdin.write("go\n")
                child.stdin.flush()
            child.stdin.close()
            time.sleep(rng.uniform(0, 0.005))
            child.send_signal(getattr(signal, name))
            child.wait(timeout=60)
            errors = child.stderr.read()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
            child.stderr.close()
        if path.exists():
            epoch = checkpoint.load(path, kind="training run")[1]["epoch"]
            hits += 0 < epoch < 120
            # Python itself may meet a signal that comes after the end of the run.
            assert name == "SIGKILL" or child.returncode == 0 or epoch == 120, errors
            assert long_run(path).bits() == expected
            path.unlink()
        else:
            assert name == "SIGKILL", errors
    assert hits or INTERRUPTIONS < 5


if __name__ == "__main__":

    def ask(run):
        print("epoch", run.epoch, flush=True)
        sys.stdin.readline()

    long_run(Path(sys.argv[1]), ask)
