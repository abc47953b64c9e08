"""The same training by other libraries, with networks of their own."""

import copy
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastopt import optimizers
from fastopt._extras import require
from fastopt._typing import Array
from fastopt.cli._errors import UsageError
from fastopt.cli._optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from fastopt.nn import Network

Keywords = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Data and the start of a training: a network of two dense layers, ReLU between them, softmax and cross-entropy."""

    net: "Network"
    X: Array
    y: Array
    iterations: int

    @property
    def weights(self) -> list[Array]:
        """Weight and bias of each layer; a weight has a row for each input."""
        return list(self.net.named_params().values())

    @property
    def widths(self) -> list[int]:
        """Numbers of inputs, hidden values and outputs."""
        return [len(self.weights[0]), *[bias.size for bias in self.weights[1::2]]]


@dataclass(frozen=True)
class Run:
    """The loss before each update, and the parameters after the last one."""

    losses: Array
    params: Array

    @classmethod
    def of(cls, losses: Sequence[Any], weights: Sequence[Any]) -> "Run":
        """Make it of a loss per iteration, and the weights in the order of `Task.weights`."""
        params = [np.asarray(weight, np.float64).ravel() for weight in weights]
        return cls(np.asarray(losses, np.float64), np.concatenate(params))


class Library:
    """A library: how it calls optimizers and their settings, and how it trains.

    Attributes
    ----------
    module : str
        Its name on the command line, which is that of its extra too.
    theirs, ours : str
        The modules that have its optimizers, and fastopt's with the same arguments and conventions.
    keywords : mapping
        The keywords of settings that it calls otherwise than the command line; several for a pair.
    note : str
        What there is to say about it here.
    """

    module: ClassVar[str]
    theirs: ClassVar[str]
    ours: ClassVar[str]
    keywords: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    note: str = ""

    def __init__(self) -> None:
        self.library = self._require(self.module)
        self._theirs, self._ours = self._require(self.theirs), self._require(self.ours)

    def _require(self, module: str) -> Any:
        return require(module, extra=self.module, what="the comparison")

    def version(self) -> str:
        """Return its version, with those of what it runs on."""
        return str(self.library.__version__)

    def name_of(self, name: str) -> str:
        """Return its name of an optimizer, which is that of fastopt's with its arguments."""
        return OPTIMIZERS[name].cls.__name__

    def fixed(self, name: str) -> Keywords:
        """Return the settings that the name of an optimizer fixes."""
        return dict(OPTIMIZERS[name].fixed)

    def make(self, name: str) -> Any:
        """Return what makes its optimizer, or None if it has none."""
        return getattr(self._theirs, self.name_of(name), None)

    def optimizers(self) -> list[str]:
        """Return the names of the optimizers that it and fastopt have, and that do with the parameters in one array."""
        ours = [name for name, choice in OPTIMIZERS.items() if not choice.layerwise]
        return [name for name in ours if self.name_of(name) in self._ours.__all__ and self._takes(name)]

    def _takes(self, name: str, **settings: Any) -> bool:
        """Whether its optimizer takes settings, and those that the name fixes."""
        make = self.make(name)
        return make is not None and self._named(self.fixed(name) | settings).keys() <= signature(make).parameters.keys()

    def _named(self, settings: Mapping[str, Any]) -> Keywords:
        """Return settings under the names that they have here."""
        named: Keywords = {}
        for setting, value in settings.items():
            keywords = self.keywords.get(setting, (setting,))
            named |= zip(keywords, value if len(keywords) > 1 else (value,), strict=True)
        return named

    def arguments(self, name: str, settings: Mapping[str, Any]) -> Keywords:
        """Return the keywords of an optimizer, the same ones for both, or say what does not fit."""
        if name not in self.optimizers():
            raise UsageError(f"--optimizer: {self.module} takes {', '.join(self.optimizers())}, got {name!r}")
        defaults = OPTIMIZERS[name].defaults
        for setting, value in settings.items():
            if ("alpha" if setting == "rho" else setting) not in defaults or not self._takes(name, **{setting: value}):
                raise UsageError(f"--{setting.replace('_', '-')}: {name} has no such setting in {self.module}")
        (rate,) = self._named({"lr": 0.0})
        default = signature(self.make(name)).parameters[rate].default
        lr = default if isinstance(default, float) else defaults["lr"]
        return self._named({"lr": lr, **self.fixed(name), **settings})

    def our_step(self, name: str, net: "Network", arguments: Keywords) -> Callable[[], None]:
        """Return the update of `net` by fastopt."""
        optimizer = getattr(self._ours, self.name_of(name))(net.params, **arguments)
        return lambda: optimizer.step(net.grads)

    def describe(self, name: str, arguments: Keywords) -> tuple[str, str]:
        """Return the two calls that make the optimizers, fastopt's first."""
        own = self.name_of(name)
        return _call(f"{self.ours}.{own}", arguments), _call(f"{self.theirs}.{own}", arguments)

    def train(self, task: Task, name: str, arguments: Keywords) -> Run:
        """Train with the library."""
        raise NotImplementedError


def _call(function: str, arguments: Keywords) -> str:
    return f"{function}({', '.join(f'{keyword}={value!r}' for keyword, value in arguments.items())})"


class Torch(Library):
    """PyTorch, whose names and defaults are fastopt's own."""

    module, theirs, ours = "torch", "torch.optim", "fastopt"
    keywords: ClassVar = {"rho": ("alpha",)}

    def train(self, task: Task, name: str, arguments: Keywords) -> Run:
        """Train with PyTorch."""
        torch = self.library
        dense = [torch.nn.Linear(*pair, dtype=torch.float64) for pair in pairwise(task.widths)]
        model = torch.nn.Sequential(dense[0], torch.nn.ReLU(), dense[1])
        with torch.no_grad():
            for param, weight in zip(model.parameters(), task.weights, strict=True):
                param.copy_(torch.tensor(weight.T))  # PyTorch's weights have a row for each output
        optimizer = self.make(name)(model.parameters(), **arguments)
        X, y = torch.tensor(task.X), torch.tensor(task.y)
        losses = []
        for _ in range(task.iterations):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(X), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return Run.of(losses, [param.detach().numpy().T for param in model.parameters()])


class Keras(Library):
    """Keras, on whatever backend it has."""

    module, theirs, ours = "keras", "keras.optimizers", "fastopt.compat.keras"
    keywords: ClassVar = {"lr": ("learning_rate",), "betas": ("beta_1", "beta_2"), "eps": ("epsilon",)}

    #: The best first. PyTorch's rounds losses to float32, NumPy's has no gradients and computes in float32 throughout.
    _BACKENDS = ("tensorflow", "jax", "torch", "numpy")

    def __init__(self) -> None:
        self._choose_backend()
        super().__init__()
        self.backend = str(self.library.config.backend())
        if not self._differentiates():
            self.note = f"Keras' backend {self.backend} has no gradients in float64: its optimizer gets fastopt.nn's"
        if self.backend == "numpy":
            self.note += ", and computes in float32 all the same"

    def name_of(self, name: str) -> str:
        """Return its name of an optimizer."""
        return "Nadam" if name == "nadam" else super().name_of(name)

    def _choose_backend(self) -> None:
        """Have Keras take a backend that is installed, where the one that its file names, TensorFlow mostly, is not."""
        if "keras" in sys.modules or "KERAS_BACKEND" in os.environ:
            return
        home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
        try:
            chosen = json.loads((home / "keras.json").read_text())["backend"]
        except (OSError, ValueError, KeyError, TypeError):
            chosen = self._BACKENDS[0]
        if chosen not in self._BACKENDS or not find_spec(chosen):
            os.environ["KERAS_BACKEND"] = next(name for name in self._BACKENDS if find_spec(name))

    def _differentiates(self) -> bool:
        return self.backend in self._BACKENDS[:2]

    def version(self) -> str:
        """Return its version, and its backend."""
        return f"{super().version()} on {self.backend}"

    def train(self, task: Task, name: str, arguments: Keywords) -> Run:
        """Train with Keras."""
        train = self._fit if self._differentiates() else self._update
        config = self.library.config
        before = config.floatx()
        config.set_floatx("float64")  # Keras rounds learning rates and losses to it
        try:
            with warnings.catch_warnings(), _wide_jax() if self.backend == "jax" else nullcontext():
                warnings.simplefilter("ignore", DeprecationWarning)  # of what Keras does with NumPy
                return train(task, self.make(name)(**arguments))
        finally:
            config.set_floatx(before)

    def _fit(self, task: Task, optimizer: Any) -> Run:
        keras = self.library
        widths = task.widths
        model = keras.Sequential(
            [
                keras.Input((widths[0],), dtype="float64"),
                keras.layers.Dense(widths[1], activation="relu", dtype="float64"),
                keras.layers.Dense(widths[2], dtype="float64"),
            ]
        )
        model.set_weights(task.weights)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        batch = {"batch_size": len(task.X), "shuffle": False}
        history = model.fit(task.X, task.y, **batch, epochs=task.iterations, verbose=0)
        return Run.of(history.history["loss"], model.get_weights())

    def _update(self, task: Task, optimizer: Any) -> Run:
        net = copy.deepcopy(task.net)
        params = self.library.Variable(net.params, dtype="float64")
        losses = []
        for _ in range(task.iterations):
            net.params[...] = params.numpy()
            losses.append(net.loss_and_grad(task.X, task.y))
            optimizer.apply([self.library.ops.convert_to_tensor(net.grads, "float64")], [params])
        return Run.of(losses, [params.numpy()])


class Sklearn(Library):
    """scikit-learn's `MLPClassifier`, with its two solvers."""

    module, theirs, ours = "sklearn", "sklearn.neural_network", "fastopt.compat.sklearn"
    keywords: ClassVar = {"lr": ("learning_rate_init",), "betas": ("beta_1", "beta_2"), "eps": ("epsilon",)}

    def name_of(self, name: str) -> str:
        """Return the name of the class that has a solver's step."""
        return f"{super().name_of(name)}Optimizer"

    def make(self, name: str) -> Any:
        """Return the class that has a solver's settings: it is private, and the base of fastopt's."""
        return getattr(self._ours, self.name_of(name)).__base__

    def fixed(self, name: str) -> Keywords:
        """Return the settings that a name fixes, with MLPClassifier's rate, and momentum only where it is named."""
        rate = signature(self._theirs.MLPClassifier).parameters["learning_rate_init"].default
        plain = {"momentum": 0.0, "nesterov": False} if OPTIMIZERS[name].cls is optimizers.SGD else {}
        return {"lr": rate} | plain | super().fixed(name)

    def our_step(self, name: str, net: "Network", arguments: Keywords) -> Callable[[], None]:
        """Return the update of `net` by fastopt."""
        optimizer = getattr(self._ours, self.name_of(name))([net.params], **arguments)
        return lambda: optimizer.update_params([net.params], [net.grads])

    def _settings(self, name: str, arguments: Keywords) -> Keywords:
        solver = OPTIMIZERS[name].cls.__name__.lower()
        renamed = {"nesterovs_momentum" if key == "nesterov" else key: value for key, value in arguments.items()}
        return {"solver": solver, **renamed}

    def describe(self, name: str, arguments: Keywords) -> tuple[str, str]:
        """Return the two calls."""
        own, _ = super().describe(name, arguments)
        return own, _call(f"{self.theirs}.MLPClassifier", self._settings(name, arguments))

    def train(self, task: Task, name: str, arguments: Keywords) -> Run:
        """Train with scikit-learn."""
        common = {"hidden_layer_sizes": task.widths[1:-1], "alpha": 0.0, "tol": 0.0, "n_iter_no_change": 10**9}
        batch = {"batch_size": len(task.X), "shuffle": False, "warm_start": True}
        net = self._theirs.MLPClassifier(**common, **batch, max_iter=1, **self._settings(name, arguments))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._require("sklearn.exceptions").ConvergenceWarning)
            net.fit(task.X, task.y)  # an iteration that makes the arrays
            net.coefs_ = [weight.copy() for weight in task.weights[0::2]]
            net.intercepts_ = [bias.copy() for bias in task.weights[1::2]]
            net.set_params(max_iter=task.iterations).fit(task.X, task.y)
        trained = [array for layer in zip(net.coefs_, net.intercepts_, strict=True) for array in layer]
        return Run.of(net.loss_curve_[-task.iterations :], trained)


class Optax(Library):
    """optax, with a network in JAX."""

    module, theirs, ours = "optax", "optax", "fastopt.compat.optax"
    keywords: ClassVar = {"lr": ("learning_rate",), "rho": ("decay",), "betas": ("b1", "b2")}

    def __init__(self) -> None:
        super().__init__()
        self._jax = self._require("jax")

    def version(self) -> str:
        """Return its version, and that of JAX."""
        return f"{super().version()} with JAX {self._jax.__version__}"

    def name_of(self, name: str) -> str:
        """Return the name of the function that makes an optimizer."""
        return super().name_of(name).lower()

    def train(self, task: Task, name: str, arguments: Keywords) -> Run:
        """Train with JAX and optax."""
        jax, optax = self._jax, self.library

        def loss(weights: Any, X: Any, y: Any) -> Any:
            hidden = jax.nn.relu(X @ weights[0] + weights[1])
            scores = hidden @ weights[2] + weights[3]
            return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()

        @jax.jit  # type: ignore[untyped-decorator]
        def update(weights: Any, state: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(weights, X, y)
            updates, state = optimizer.update(grads, state, weights)
            return value, optax.apply_updates(weights, updates), state

        with _wide_jax():
            X, y = jax.numpy.array(task.X), jax.numpy.array(task.y)
            weights = [jax.numpy.array(weight) for weight in task.weights]
            optimizer = self.make(name)(**arguments)
            state = optimizer.init(weights)
            losses = []
            for _ in range(task.iterations):
                value, weights, state = update(weights, state)
                losses.append(value)
            return Run.of(losses, weights)


@contextmanager
def _wide_jax() -> Iterator[None]:
    """Let JAX compute in float64."""
    jax = require("jax", extra="optax", what="the comparison")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


LIBRARIES: dict[str, type[Library]] = {library.module: library for library in (Torch, Keras, Sklearn, Optax)}


def train_ours(library: Library, task: Task, name: str, arguments: Keywords, *, last_bit: bool = False) -> Run:
    """Train with fastopt; with `last_bit` from weights of which each differs in its last bit."""
    net = copy.deepcopy(task.net)
    if last_bit:
        net.params[...] = np.nextafter(net.params, np.inf)
    step = library.our_step(name, net, arguments)
    losses = []
    for _ in range(task.iterations):
        losses.append(net.loss_and_grad(task.X, task.y))
        step()
    return Run.of(losses, [net.params])
