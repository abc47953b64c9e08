"""Training runs as checkpoints: all that they are, and the whole of it or nothing on the way back."""

import os
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastopt._checks import integer, to_float
from fastopt._typing import Array
from fastopt.nn import checkpoint
from fastopt.nn.callbacks import Callback

if TYPE_CHECKING:
    from fastopt.nn.training import Training

__all__ = ["load", "save"]

_KIND = "training run"


def save(run: "Training", path: str | os.PathLike[str]) -> None:
    """Write a checkpoint that ``fit(..., resume=path)`` goes on from with the same bits."""
    arrays: dict[str, Any] = {}
    callbacks: dict[str, dict[str, Any]] = {}
    for key, value in run.net.state_dict().items():
        arrays[f"net.{key}"] = value
    for key, value in run.optimizer.state_dict().items():
        arrays[f"optimizer.{key}"] = value
    for key, values in run.history.items():
        arrays[f"history.{key}"] = np.array(values, np.float64)
    for name, callback in _named_callbacks(run):
        state = callback.state_dict()
        callbacks[name] = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
        for key in state.keys() - callbacks[name].keys():
            arrays[f"callback.{name}.{key}"] = state[key]
    meta = {
        "settings": _settings(run),
        "epoch": run.epoch,
        "batch": run.batch,
        "step": run.step,
        "seen": run._seen,
        "sums": run._sums,
        "events": run.history.events,
        "seconds": run.history.seconds,
        "optimizer_seconds": run.history.optimizer_seconds,
        "callbacks": callbacks,
    }
    checkpoint.save(path, arrays, meta, kind=_KIND)


def load(run: "Training", path: str | os.PathLike[str]) -> None:
    """Go on from a checkpoint, which has to be of the same run; if any of it does not fit, change nothing."""
    arrays, meta = checkpoint.load(path, kind=_KIND)
    rates = [group.lr for group in run.optimizer.groups]
    before: list[tuple[Any, dict[str, Any]]] = []
    try:
        _check_settings(run, meta["settings"], path)
        history = _below("history.", arrays)
        _check_progress(run, meta, history)
        _check_rates(run, meta["callbacks"])
        states = {"optimizer": _below("optimizer.", arrays), "net": _below("net.", arrays)}
        for name, state in meta["callbacks"].items():
            states[name] = {**_below(f"callback.{name}.", arrays), **state}
        owners: list[tuple[str, Any]] = [("optimizer", run.optimizer), ("net", run.net)]
        for name, owner in [*owners, *_named_callbacks(run)]:
            if name in states:
                before.append((owner, owner.state_dict()))
                owner.load_state_dict(states[name])
    except BaseException as error:
        for group, lr in zip(run.optimizer.groups, rates, strict=True):
            group.lr = lr
        for owner, state in before:
            owner.load_state_dict(state)
        if not isinstance(error, Exception):
            raise
        what = error if isinstance(error, ValueError) else f"{path} is damaged ({type(error).__name__}: {error})"
        raise ValueError(f"resume: {what}{_others(run, meta['callbacks']) if before else ''}") from error
    for group, lr in zip(run.optimizer.groups, rates, strict=True):
        if callable(lr) and not callable(group.lr):
            warnings.warn(f"resume: the rate {group.lr:.3g} in {path} replaces the schedule {lr!r}", stacklevel=5)
    run._data.seed = meta["settings"]["seed"]
    for key, values in history.items():
        run.history[key] = values.tolist()
    run.history.events = meta["events"]
    run.history.seconds = meta["seconds"]
    run.history.optimizer_seconds = meta["optimizer_seconds"]
    run.epoch, run.batch, run.step = meta["epoch"], meta["batch"], meta["step"]
    run._seen, run._sums = meta["seen"], meta["sums"]


def _check_settings(run: "Training", saved: Mapping[str, Any], path: object) -> None:
    seed = integer(0)("seed", saved["seed"])
    for name, value in (_settings(run) | ({"seed": seed} if run._any_seed else {})).items():
        if value != saved[name]:
            raise ValueError(f"expected {name}={saved[name]!r} as in {path}, got {value!r}")


def _check_progress(run: "Training", meta: Mapping[str, Any], history: Mapping[str, Array]) -> None:
    """Check that the numbers that say where a run is say the same."""
    epoch, batch = (integer(0)(name, meta[name]) for name in ("epoch", "batch"))
    means = ["loss", *run.net.metrics]
    if (
        batch >= run.batches
        or meta["step"] != epoch * run.batches + batch
        or meta["seen"] != batch * run._data.size
        or meta["sums"].keys() != set(means if batch else ())
        or not all(isinstance(event, dict) for event in meta["events"])
        or (epoch and any(history[name].shape != (epoch,) for name in (*means, "lr")))
    ):
        raise ValueError(f"position, history and metrics do not fit together at epoch {epoch}, batch {batch}")
    for name, number in {**meta["sums"], **{name: meta[name] for name in ("seconds", "optimizer_seconds")}}.items():
        to_float(name, number)


def _check_rates(run: "Training", saved: Mapping[str, Any]) -> None:
    """Refuse to go on at rates that a guard had found too high: schedules do not keep what scaled them."""
    for name in saved.keys() - {name for name, _ in _named_callbacks(run)}:
        if factors := [factor for factor in saved[name].get("factors", ()) if factor not in (None, 1)]:
            raise ValueError(
                f"expected the callback {name.rstrip('0123456789')}, which scaled the schedule of the saved run "
                f"by {factors[0]:.3g} after it had exploded, got none"
            )


def _others(run: "Training", saved: Mapping[str, Any]) -> str:
    """Say which callbacks with state only the saved run has, or only this one: a guard has a hold on the rate."""
    had = {name for name, state in saved.items() if state}
    has = {name for name, callback in _named_callbacks(run) if callback.state_dict()}
    return f"; callbacks of only one of the runs: {', '.join(sorted(had ^ has))}" if had ^ has else ""


def _settings(run: "Training") -> dict[str, Any]:
    return {
        "samples": len(run.X),
        "batch_size": run._data.size,
        "shuffle": run._data.shuffle,
        "seed": run._data.seed,
        "clip_norm": run.clip_norm,
        "validation": run._validation is not None,
    }


def _named_callbacks(run: "Training") -> Iterator[tuple[str, Callback]]:
    counts: dict[str, int] = {}
    for callback in run.callbacks:
        kind = type(callback).__name__
        counts[kind] = counts.get(kind, -1) + 1
        yield f"{kind}{counts[kind]}", callback


def _below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
