"""Real training steps: forward and backward passes in BLAS alternate with the optimizer.

They share the cores and the cache, and gradients are what a network makes of data, zeros and
denormals included; so they say what a kernel timed alone cannot.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import fastopt
from fastopt._extras import require
from fastopt._typing import Array
from fastopt.bench.book import BookNetwork
from fastopt.bench.peers import Maker
from fastopt.bench.problem import Step
from fastopt.bench.questions import Level, Question, using_threads
from fastopt.bench.rules import RULES
from fastopt.nn._blas import held_to


@dataclass(frozen=True)
class Task:
    """Data, and the widths of the network that learns them.

    Attributes
    ----------
    X, y : ndarray
        float32 inputs and int64 labels.
    widths : tuple of int
    batch : int
    dropout : float
    """

    X: Array
    y: Array
    widths: tuple[int, ...]
    batch: int
    dropout: float = 0.0


def images(rows: int, widths: tuple[int, ...], batch: int, dropout: float = 0.0) -> Task:
    """Return images like those of Fashion-MNIST: 28 x 28, ten classes, dark and quiet at the border.

    Pixels at the border are lit once in thousands of images. Their gradients are zero in between,
    so that the averages an optimizer keeps of them decay into the denormal range.
    """
    rng = np.random.default_rng(0)
    axis = np.linspace(-1, 1, 28)
    distance = np.maximum(np.abs(axis[:, None]), np.abs(axis[None, :])).reshape(-1)
    lit = np.where(distance < 0.7, 0.8, np.exp(-30 * (distance - 0.7)))
    templates = rng.random((10, 784), np.float32)
    y = rng.integers(0, 10, rows)
    X = rng.random((rows, 784), np.float32)
    X *= templates[y] * np.less(X, lit)
    return Task(X, y, widths, batch, dropout)


def spiral() -> Task:
    """Return the spiral of three classes, as one batch."""
    from fastopt.nn.data import spiral

    data = spiral(samples=100, classes=3)
    return Task(np.asarray(data.X, np.float32), data.y, (2, 64, 3), 300)


def network(task: Task) -> Any:
    """Return the task's network in `fastopt.nn`."""
    from fastopt import nn

    layers: list[Any] = []
    for n_inputs, n_outputs in pairwise(task.widths):
        layers += [nn.Dense(n_inputs, n_outputs), nn.ReLU()]
        if task.dropout:
            layers.append(nn.Dropout(task.dropout))
    del layers[-1 - bool(task.dropout) :]
    return nn.Network(layers, loss=nn.SoftmaxCrossEntropy())


# One step, over and over.


def fastopt_step(task: Task, threads: int | None = None) -> Step:
    """One step of `fastopt.nn` and `fastopt.Adam`, with fastopt's threads on or off."""
    net = network(task)
    x, y = task.X[: task.batch], task.y[: task.batch]
    optimizer = fastopt.Adam(net.params, lr=1e-3)

    def run() -> None:
        net.loss_and_grad(x, y)
        optimizer.step(net.grads)

    return _with_threads(run, threads)


def _with_threads(run: Callable[[], Any], threads: int | None) -> Step:
    return Step(run) if threads is None else Step(run, around=partial(using_threads, threads))


def layerwise_step(task: Task, threads: int | None = None, beside: bool = False) -> Step:
    """One step that updates each layer as soon as its gradient is ready, at once or `beside` the rest of the passes."""
    net = network(task)
    pool = ThreadPoolExecutor(1) if beside else None
    pending: list[Future[bool | None]] = []

    def update_after(layer: Any) -> None:
        backward, optimizer = layer.backward, fastopt.Adam([layer.weight, layer.bias], lr=1e-3)
        update = partial(optimizer.step, [layer.weight_grad, layer.bias_grad])

        def backward_and_update(*arrays: Any) -> Any:
            delta = backward(*arrays)
            if pool is None:
                update()
            else:
                pending.append(pool.submit(update))
            return delta

        layer.backward = backward_and_update

    for layer in net.layers:
        if layer.parameter_shapes():
            update_after(layer)

    def run() -> None:
        net.loss_and_grad(task.X[: task.batch], task.y[: task.batch])
        while pending:
            pending.pop().result()

    step = _with_threads(run, threads)
    return step if pool is None else replace(step, close=pool.shutdown)


def one_blas_thread_step(task: Task) -> Step:
    """One step that holds BLAS to one thread during the update, so that its workers need not spin."""
    limits = require("threadpoolctl", extra="bench", what="this contender").ThreadpoolController()
    net = network(task)
    x, y = task.X[: task.batch], task.y[: task.batch]
    optimizer = fastopt.Adam(net.params, lr=1e-3)

    def run() -> None:
        net.loss_and_grad(x, y)
        with limits.limit(limits=1, user_api="blas"):
            optimizer.step(net.grads)

    return Step(run)


def passes_alone(task: Task) -> Step:
    """Return the forward and backward passes, no optimizer."""
    net = network(task)
    return Step(partial(net.loss_and_grad, task.X[: task.batch], task.y[: task.batch]))


def numpy_step(task: Task) -> Step:
    """One step of `fastopt.nn`, and Adam in NumPy with ``out=``."""
    net = network(task)
    x, y = task.X[: task.batch], task.y[: task.batch]
    update = numpy_adam(net)

    def run() -> None:
        net.loss_and_grad(x, y)
        update()

    return Step(run)


def numpy_adam(net: Any) -> Callable[[], None]:
    """Adam in NumPy with ``out=`` for the network's flat arrays."""
    others = [np.zeros_like(net.params) for _ in range(4)]
    formula = RULES["adam"].out
    assert formula is not None
    return partial(formula, net.params, net.grads, *others)


def torch_adam(net: Any) -> Callable[[], None]:
    """PyTorch's fused Adam in the memory of the network's flat arrays."""
    torch = require("torch", extra="bench", what="this contender")
    param = torch.nn.Parameter(torch.from_numpy(net.params))
    param.grad = torch.from_numpy(net.grads)
    step: Callable[[], None] = torch.optim.Adam([param], lr=1e-3, fused=True).step
    return step


def fastopt_adam(net: Any) -> Callable[[], object]:
    """`fastopt.Adam` for the network's flat arrays."""
    return partial(fastopt.Adam(net.params, lr=1e-3).step, net.grads)


def book_step(task: Task) -> Step:
    """One step of plain NumPy classes, written for reading."""
    net = BookNetwork(*task.widths)
    return Step(partial(net.train_step, task.X[: task.batch], task.y[: task.batch]))


class _TorchNetwork:
    """The task's network in eager PyTorch, with its fused Adam."""

    def __init__(self, task: Task) -> None:
        torch = require("torch", extra="bench", what="this contender")
        layers: list[Any] = []
        for n_inputs, n_outputs in pairwise(task.widths):
            layers += [torch.nn.Linear(n_inputs, n_outputs), torch.nn.ReLU()]
            if task.dropout:
                layers.append(torch.nn.Dropout(task.dropout))
        self.net = torch.nn.Sequential(*layers[: -1 - bool(task.dropout)])
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=True)
        self.X, self.y = torch.from_numpy(task.X), torch.from_numpy(task.y)
        self.batch, self.torch = task.batch, torch

    def train_step(self, x: Any, y: Any) -> float:
        """Take one step and return the seconds spent in the optimizer."""
        self.optimizer.zero_grad()
        self.loss(self.net(x), y).backward()
        begin = time.perf_counter()
        self.optimizer.step()
        return time.perf_counter() - begin

    def epoch(self) -> dict[str, float]:
        """Train on every batch once, in random order."""
        order = self.torch.randperm(len(self.X))
        seconds = 0.0
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            seconds += self.train_step(self.X[rows], self.y[rows])
        return {"optimizer": seconds}


def torch_step(task: Task) -> Step:
    """One step of eager PyTorch with ``Adam(fused=True)``."""
    net = _TorchNetwork(task)
    return Step(partial(net.train_step, net.X[: task.batch], net.y[: task.batch]))


# A whole epoch.


def fastopt_epoch(task: Task, epochs: int = 1) -> Step:
    """One epoch of `fastopt.nn`, or several."""
    net = network(task)
    optimizer = fastopt.Adam(net.params, lr=1e-3)

    def run() -> dict[str, float]:
        history = net.fit(task.X, task.y, optimizer=optimizer, epochs=epochs, batch_size=task.batch)
        return {"optimizer": history.optimizer_seconds}

    return Step(run)


def torch_epoch(task: Task, epochs: int = 1) -> Step:
    """One epoch of eager PyTorch with ``Adam(fused=True)``, or several."""
    net = _TorchNetwork(task)
    return Step(lambda: {"optimizer": sum(net.epoch()["optimizer"] for _ in range(epochs))})


def sklearn_epoch(task: Task) -> Step:
    """One epoch of scikit-learn's MLPClassifier, which has no dropout."""
    classifiers = require("sklearn.neural_network", extra="bench", what="this contender")
    hidden = task.widths[1:-1]

    def run() -> None:
        net = classifiers.MLPClassifier(hidden, batch_size=task.batch, alpha=0.0, random_state=0)
        net.partial_fit(task.X, task.y, classes=np.arange(task.widths[-1]))

    return Step(run)


def epoch_with(make: Callable[[Any], Callable[[], object]], task: Task, threads: int | None = None) -> Step:
    """One epoch of `fastopt.nn` from the start, with an optimizer whose steps are timed one by one."""

    def run() -> dict[str, float]:
        net = network(task)
        update = make(net)
        steps = len(task.X) // task.batch
        seconds = np.empty(steps)
        for i in range(steps):
            rows = slice(i * task.batch, (i + 1) * task.batch)
            net.loss_and_grad(task.X[rows], task.y[rows])
            begin = time.perf_counter()
            update()
            seconds[i] = time.perf_counter() - begin
        part = max(1, steps // 10)
        return {
            "optimizer": float(seconds.sum()),
            "a step, first tenth": float(np.median(seconds[:part])),
            "a step, last tenth": float(np.median(seconds[-part:])),
        }

    return _with_threads(run, threads)


# The questions.


def _installed(makers: dict[str, Maker]) -> dict[str, Maker]:
    """Leave out what needs a library that is not installed."""
    needs = {"torch": "torch", "scikit-learn": "sklearn", "BLAS held": "threadpoolctl"}
    return {
        name: make
        for name, make in makers.items()
        if all(
            importlib.util.find_spec(module) is not None for start, module in needs.items() if name.startswith(start)
        )
    }


def training(level: Level, threads: int) -> Iterator[Question]:
    """Whole training steps and epochs: what is left of the gain where the optimizer is one part."""
    yield Question(
        "training",
        "A training step with Adam, float32",
        "spiral 2-64-3, 300 rows",
        spiral,
        _installed({"fastopt": fastopt_step, "plain classes": book_step, "torch eager": torch_step}),
        None,
    )
    stepwise = _installed(
        {
            "fastopt": fastopt_step,
            "its threads off": partial(fastopt_step, threads=1),
            "no optimizer": passes_alone,
            "Adam in NumPy out=": numpy_step,
            "torch eager": torch_step,
        }
    )
    table = "A training step with Adam, float32, threads as the libraries choose"
    networks: list[tuple[tuple[int, ...], int]] = [((784, 512, 10), 128)]
    if level != "quick":
        networks += [((784, 512, 10), 32), ((784, 1024, 1024, 10), 32), ((784, 1024, 1024, 10), 128)]
        stepwise |= _installed(
            {
                "layer by layer": layerwise_step,
                "the same, threads off": partial(layerwise_step, threads=1),
                "beside the passes": partial(layerwise_step, threads=1, beside=True),
                "BLAS held to 1 thread": one_blas_thread_step,
            }
        )
    for widths, batch in networks:
        task = partial(images, batch, widths, batch)
        yield Question("training", table, _named(widths, f"batch {batch}"), task, stepwise, None)

    rows, widths = (6_000, (784, 128, 10)) if level == "quick" else (60_000, (784, 512, 10))
    epochs: dict[str, Maker] = {"fastopt": fastopt_epoch, "torch eager": torch_epoch, "scikit-learn": sklearn_epoch}
    yield Question(
        "training",
        "An epoch like Fashion-MNIST's, dropout 0.2 (none in scikit-learn), batch 32",
        _named(widths, f"{rows:,} rows"),
        partial(images, rows, widths, 32, 0.2),
        _installed(epochs),
        None,
        bytes=rows * 784 * 4 * 4,
        once=True,
    )
    if level == "quick":  # too few steps for anything to decay
        return
    optimizers: dict[str, Maker] = {
        "fastopt": partial(epoch_with, fastopt_adam),
        "NumPy out=": partial(epoch_with, numpy_adam),
        "torch.optim": partial(epoch_with, torch_adam),
        "torch.optim, 1 thread": partial(epoch_with, torch_adam, threads=1),
    }
    yield Question(
        "training",
        "fastopt.nn with other optimizers, batch 32: denormals build up in the averages",
        _named(widths, f"{rows:,} rows"),
        partial(images, rows, widths, 32),
        _installed(optimizers),
        None,
        bytes=rows * 784 * 4 * 4,
        once=True,
    )


def neighbours(level: Level, threads: int) -> Iterator[Question]:
    """Training beside none, one and two busy processes: what it costs to share the processors."""
    hidden, steps, rows = (128 if level == "quick" else 512), 300, 6_000
    epoch = partial(images, rows, (784, hidden, 10), 32, 0.2)
    tasks: dict[str, tuple[Callable[[], Task], int]] = {
        f"{steps} steps with Adam, spiral 2-64-3, 300 rows, float32": (spiral, steps),
        f"An epoch with Adam, 784-{hidden}-10, {rows:,} rows, batch 32, float32": (epoch, 1),
    }
    for table, (task, epochs) in tasks.items():
        makers: dict[str, Maker] = {
            "fastopt": partial(whole, fastopt_epoch, epochs=epochs),
            "BLAS held to 1 thread": partial(whole, fastopt_epoch, epochs=epochs, around=partial(held_to, 1)),
            "torch eager": partial(whole, torch_epoch, epochs=epochs),
        }
        for count, beside in enumerate(("alone", "beside one busy process", "beside two")):
            yield Question("neighbours", table, beside, task, _installed(makers), None, once=True, neighbours=count)


def whole(make: Callable[..., Step], task: Task, around: Callable[[], Any] = nullcontext, **settings: Any) -> Step:
    """Return a step without the parts of its time."""
    call = make(task, **settings).call
    return Step(lambda: call() and None, around)


def _named(widths: tuple[int, ...], rest: str) -> str:
    return f"{'-'.join(map(str, widths))}, {rest}"
