"""A dense network: one flat array of parameters, one of gradients, and the passes over them."""

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastopt._checks import COUNT, integer, optional
from fastopt._typing import Array
from fastopt.nn.arrays import as_array, cast
from fastopt.nn.checkpoint import checked_state
from fastopt.nn.history import History
from fastopt.nn.layers import Layer, aligned_empty, with_own_buffers
from fastopt.nn.losses import Loss, Metric, Workspace
from fastopt.nn.training import Optimizer, fit

__all__ = ["Network"]


class Network:
    """Layers one after the other, and a loss.

    Parameters
    ----------
    layers : sequence of Layer
        At least one `Dense`. Each layer belongs to one network.
    loss : Loss
        It also decides what `predict` returns: softmax or sigmoid probabilities, or the output of
        the last layer.
    dtype : {"float32", "float64"}, default "float32"
        Data type of parameters, gradients and everything between them.
    seed : int or None, default 0
        Seed of the initial weights and of dropout. None takes one from the operating system.
    metrics : mapping of str to callable, optional
        ``metric(scores, y) -> float``, a mean over the rows, reported by `evaluate` and by
        training. The default is what belongs to the loss: "accuracy" for classification.

    Attributes
    ----------
    params, grads : ndarray of shape (n_params,)
        All parameters and all gradients: layer after layer, weight (row by row) before bias.
        An optimizer is made for `params` and stepped with `grads`.
    rng : numpy.random.Generator
        Source of the initial weights and of dropout (SFC64). `state_dict` saves its state.

    Raises
    ------
    TypeError, ValueError
        For what is not a layer or a loss, and for widths that do not fit.

    Notes
    -----
    `predict`, `evaluate` and `forward` may be called from any number of threads at once. `params`
    and `grads` are shared: while one thread trains, in `fit` or in a call of `loss_and_grad`, both
    refuse to start in another, with `RuntimeError`, and predictions there are made with weights
    that may change meanwhile. ``copy.deepcopy(net)`` is a network for another thread to train.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import nn
    >>> net = nn.Network([nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3)],
    ...                  loss=nn.SoftmaxCrossEntropy())
    >>> net
    Network(2-64-3: Dense, ReLU(), Dense; SoftmaxCrossEntropy; 387 parameters, float32)
    >>> X = np.zeros((5, 2), np.float32)
    >>> loss = net.loss_and_grad(X, np.array([0, 1, 2, 0, 1]))
    >>> round(loss, 4)  # all scores are zero: log(3)
    1.0986
    >>> net.params -= 0.1 * net.grads
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        loss: Loss,
        dtype: Any = "float32",
        seed: int | None = 0,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        self.layers: list[Layer] = _check_layers(layers)
        if not isinstance(loss, Loss):
            raise TypeError(f"loss: expected a Loss such as SoftmaxCrossEntropy(), got {loss!r}")
        self.loss = loss
        self.dtype: np.dtype[Any] = _check_dtype(dtype)
        self.metrics: dict[str, Metric] = dict(loss.metrics if metrics is None else metrics)
        for name, metric in self.metrics.items():
            if not isinstance(name, str) or name in ("loss", "lr") or name.startswith("val_"):
                raise ValueError(f"metrics: expected names other than 'loss', 'lr' and 'val_...', got {name!r}")
            if not callable(metric):
                raise TypeError(f"metrics[{name!r}]: expected a callable, got {metric!r}")
        self.rng: np.random.Generator = np.random.Generator(np.random.SFC64(optional(integer(0))("seed", seed)))
        holders = [i for i, layer in enumerate(self.layers) if layer.parameter_shapes()]
        self._first, self._last = holders[0], holders[-1]
        self.n_inputs: int = self.layers[self._first].n_inputs
        self._connect()
        self._bind()
        # Taken out by whoever runs them: a second thread, or a metric that predicts, gets others.
        self._idle = [_Passes(self, self.layers)]
        self._training = threading.RLock()
        for layer in self.layers:
            layer._in_use = True

    def _connect(self) -> None:
        width = self.n_inputs
        # What the layers below read, in `backward`, of the buffer that the next layer is given. A
        # user's array is never written to.
        reads = {"values"}
        for i, layer in enumerate(self.layers):
            in_place = reads <= ({"nothing", "sign"} if layer.keeps_sign else {"nothing"})
            try:
                layer.connect(width, self.dtype, self.rng, in_place)
            except ValueError as error:
                raise ValueError(f"layers[{i}] ({layer!r}): {error}") from None
            width = layer.n_outputs
            if layer.parameter_shapes() or not in_place:
                reads = set()
            reads.add(layer.reads)
        if width < self.loss.min_outputs:
            raise ValueError(
                f"layers: expected at least {self.loss.min_outputs} outputs for {type(self.loss).__name__}, got {width}"
            )
        self.n_outputs: int = width
        self._keep_scores = reads != {"nothing"}

    def _bind(self) -> None:
        shapes = [layer.parameter_shapes() for layer in self.layers]
        size = sum(int(np.prod(shape)) for named in shapes for shape in named.values())
        self.params: Array = aligned_empty(size, self.dtype)
        self.grads: Array = aligned_empty(size, self.dtype)
        self.grads[...] = 0
        self._named: dict[str, Array] = {}
        start = 0
        counts: dict[str, int] = {}
        for layer, named in zip(self.layers, shapes, strict=True):
            params, grads = {}, {}
            kind = type(layer).__name__.lower()
            for name, shape in named.items():
                stop = start + int(np.prod(shape))
                params[name] = self.params[start:stop].reshape(shape)
                grads[name] = self.grads[start:stop].reshape(shape)
                self._named[f"{kind}{counts.get(kind, 0)}.{name}"] = params[name]
                start = stop
            layer.bind(params, grads)
            counts[kind] = counts.get(kind, 0) + 1

    @contextmanager
    def training_by_this_thread(self, what: str) -> Iterator[None]:
        """Refuse, in the name of `what`, to train while another thread does, and keep others from it until the end."""
        if not self._training.acquire(blocking=False):
            raise RuntimeError(_REFUSED.format(what))
        try:
            yield
        finally:
            self._training.release()

    def _take_passes(self) -> "_Passes":
        try:
            return self._idle.pop()
        except IndexError:
            return _Passes(self, [with_own_buffers(layer) for layer in self.layers])

    def _give_back(self, passes: "_Passes") -> None:
        if passes.layers is self.layers:
            self._idle.append(passes)

    def as_inputs(self, X: object, name: str = "X") -> Array:
        """Convert inputs to the network's data type; an array that has it already is not copied.

        Parameters
        ----------
        X : array_like of shape (n, n_inputs)
            Numbers, one sample per row.
        name : str, default "X"
            Name for error messages.

        Returns
        -------
        ndarray of shape (n, n_inputs)

        Raises
        ------
        TypeError, ValueError
            If it is not that.
        """
        array = cast(as_array(X, name), self.dtype, name)
        if array.ndim != 2 or array.shape[1] != self.n_inputs:
            raise ValueError(f"{name}: expected shape (batch, {self.n_inputs}), got {array.shape}")
        if not len(array):
            raise ValueError(f"{name}: expected at least one row, got shape {array.shape}")
        return array

    def as_targets(self, y: object, n: int, name: str = "y") -> Array:
        """Convert targets to the form that the loss works on; what has it already is not copied.

        Parameters
        ----------
        y : array_like
            Integer labels of shape (n,) or one-hot rows for `SoftmaxCrossEntropy`; numbers of shape
            (n, n_outputs), or (n,) with one output, for the other losses.
        n : int
            Number of samples expected.
        name : str, default "y"
            Name for error messages.

        Returns
        -------
        ndarray
            Its first axis is the samples.

        Raises
        ------
        TypeError, ValueError
            For another type, shape or number of rows, and for labels out of range.
        """
        try:
            array = self.loss.targets(y, self.n_outputs, self.dtype)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}{str(error).removeprefix('y')}") from None
        if len(array) != n:
            raise ValueError(f"{name}: expected {n} rows, as many as inputs, got {len(array)}")
        return array

    def forward(self, X: object, training: bool = False) -> Array:
        """Scores: the output of the last layer, before softmax or sigmoid.

        Parameters
        ----------
        X : array_like of shape (batch, n_inputs)
            A batch.
        training : bool, default False
            Whether dropout is at work.

        Returns
        -------
        ndarray of shape (batch, n_outputs)
            A new array of the network's data type.
        """
        x = self.as_inputs(X)
        passes = self._take_passes()
        try:
            return passes.forward(x, training).copy()
        finally:
            self._give_back(passes)

    def loss_and_grad(self, X: object, y: object, *, metrics: dict[str, float] | None = None) -> float:
        """Loss of a batch in training mode, and its gradient in `grads`.

        Parameters
        ----------
        X : array_like of shape (batch, n_inputs)
            A batch. Another data type than the network's is converted, which takes a copy: convert
            once with `as_inputs`.
        y : array_like
            Its targets; see `as_targets`.
        metrics : dict, optional
            Filled with the network's metrics of this batch, as seen in training mode.

        Returns
        -------
        float
            Mean loss over the batch, plus the layers' penalties.

        Raises
        ------
        RuntimeError
            If another thread trains the network at this moment.
        TypeError, ValueError
            For inputs or targets that do not fit.
        """
        x = self.as_inputs(X)
        targets = self.as_targets(y, len(x))
        if not self._training.acquire(blocking=False):
            raise RuntimeError(_REFUSED.format("loss_and_grad"))
        try:
            passes = self._take_passes()
            try:
                outputs = passes.outputs(x)
                if metrics is not None:
                    for name, metric in self.metrics.items():
                        metrics[name] = metric(outputs[-1], targets)
                loss, delta = passes.data_loss(self.loss, outputs[-1], targets)
                passes.backward(outputs, delta)
            finally:
                self._give_back(passes)
        finally:
            self._training.release()
        return loss + self.penalty()

    def penalty(self) -> float:
        """Sum of the layers' L1 and L2 penalties at the present parameters."""
        return sum(layer.penalty() for layer in self.layers)

    def predict(self, X: object, batch_size: int = 1024) -> Array:
        """Compute outputs in evaluation mode: probabilities, or numbers for a regression.

        Parameters
        ----------
        X : array_like of shape (n, n_inputs)
            Samples.
        batch_size : int, default 1024
            Rows that go through the network at a time.

        Returns
        -------
        ndarray of shape (n, n_outputs)
            A new array of the network's data type.
        """
        x = self.as_inputs(X)
        result = np.empty((len(x), self.n_outputs), self.dtype)
        batches = _batches(len(x), batch_size)
        passes = self._take_passes()
        try:
            for rows in batches:
                result[rows] = self.loss.activate(passes.forward(x[rows], False))
        finally:
            self._give_back(passes)
        return result

    def evaluate(self, X: object, y: object, batch_size: int = 1024) -> dict[str, float]:
        """Loss and metrics in evaluation mode.

        Parameters
        ----------
        X : array_like of shape (n, n_inputs)
            Samples.
        y : array_like
            Their targets; see `as_targets`.
        batch_size : int, default 1024
            Rows that go through the network at a time.

        Returns
        -------
        dict of str to float
            "loss", without the layers' penalties, and each metric by name.
        """
        x = self.as_inputs(X)
        targets = self.as_targets(y, len(x))
        totals = dict.fromkeys(("loss", *self.metrics), 0.0)
        batches = _batches(len(x), batch_size)
        passes = self._take_passes()
        try:
            for rows in batches:
                scores, part = passes.forward(x[rows], False), targets[rows]
                for name, metric in self.metrics.items():
                    totals[name] += metric(scores, part) * len(part)
                totals["loss"] += passes.data_loss(self.loss, scores, part)[0] * len(part)
        finally:
            self._give_back(passes)
        return {name: total / len(x) for name, total in totals.items()}

    def fit(self, X: object, y: object, *, optimizer: Optimizer, **settings: Any) -> History:
        """Train with an optimizer; see `fastopt.nn.fit` for the settings.

        Parameters
        ----------
        X : array_like of shape (n, n_inputs)
            Samples.
        y : array_like
            Their targets; see `as_targets`.
        optimizer : object
            Made for `params`; its ``step(grads)`` is called after each batch.
        **settings
            Passed on.

        Returns
        -------
        History
        """
        return fit(self, X, y, optimizer=optimizer, **settings)

    def named_params(self) -> dict[str, Array]:
        """Return views of the parameters by name: "dense0.weight", "dense0.bias", and so on."""
        return dict(self._named)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the parameters by name, and "rng", the state of the generator.

        Plain arrays: ``np.savez(file, **net.state_dict())`` saves them without pickle.
        """
        state = {name: array.copy() for name, array in self._named.items()}
        state["rng"] = _rng_state(self.rng)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; if any of it does not fit, change nothing.

        Parameters
        ----------
        state : mapping of str to array_like
            Every parameter in its shape and data type, and "rng".

        Raises
        ------
        ValueError
            For names that are missing or unknown, and for other shapes or data types.
        """
        arrays = checked_state(state, self.state_dict())
        _set_rng_state(self.rng, arrays.pop("rng"))
        for name, array in arrays.items():
            self._named[name][...] = array

    def __getstate__(self) -> dict[str, Any]:
        """Keep what makes the network again: in a plain copy, layers would not hold views."""
        return {
            "layers": [copy.copy(layer) for layer in self.layers],
            "loss": self.loss,
            "dtype": self.dtype.name,
            "metrics": self.metrics,
            "state": self.state_dict(),
        }

    def __setstate__(self, saved: dict[str, Any]) -> None:
        """Make the network again; for `copy.copy`, `copy.deepcopy` and pickle."""
        state = saved.pop("state")
        self.__init__(**saved)  # type: ignore[misc]
        self.load_state_dict(state)

    def __repr__(self) -> str:
        """Widths, layers, loss and size."""
        widths, names = [self.n_inputs], []
        for layer in self.layers:
            if layer.parameter_shapes():
                widths.append(layer.n_outputs)
            names.append(type(layer).__name__ if layer.parameter_shapes() else repr(layer))
        return (
            f"Network({'-'.join(map(str, widths))}: {', '.join(names)}; "
            f"{type(self.loss).__name__}; {self.params.size} parameters, {self.dtype})"
        )


_REFUSED = (
    "{}: expected a network that no other thread trains at this moment, got one in training; its parameters and "
    "gradients are shared, so give each thread a copy: copy.deepcopy(net)"
)


class _Passes:
    """Forward and backward passes through a network's layers, in buffers that serve one call at a time."""

    def __init__(self, net: Network, layers: list[Layer]) -> None:
        self.layers = layers
        self._first, self._last, self._keep_scores = net._first, net._last, net._keep_scores
        self._allocated: tuple[int, bool] | None = None
        self._work: tuple[tuple[Array, ...], Workspace] | None = None

    def _allocate(self, batch: int, training: bool) -> None:
        if self._allocated in ((batch, training), (batch, True)):
            return
        self._allocated = None
        for i, layer in enumerate(self.layers):
            layer.allocate(batch, training, first=i <= self._first, last=i >= self._last)
        self._work = None
        self._allocated = (batch, training)

    def forward(self, x: Array, training: bool) -> Array:
        """Return the scores, in a buffer that the next pass overwrites."""
        self._allocate(len(x), training)
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def outputs(self, x: Array) -> list[Array]:
        """Return the batch and what each layer makes of it in training, in buffers that the next pass overwrites."""
        self._allocate(len(x), True)
        outputs = [x]
        for layer in self.layers:
            x = layer.forward(x, True)
            outputs.append(x)
        return outputs

    def data_loss(self, loss: Loss, scores: Array, targets: Array) -> tuple[float, Array]:
        """Return the loss, and its gradient in the memory of the scores unless the last layer needs them."""
        if self._work is None:
            separate = self._keep_scores or not scores.flags.forc
            copied: tuple[Array, ...] = (np.empty_like(scores),) if separate else ()
            self._work = (copied, loss.workspace(scores))
        copied, work = self._work
        if copied:
            np.copyto(copied[0], scores)
            scores = copied[0]
        return loss.value_and_grad(scores, targets, work), scores

    def backward(self, outputs: list[Array], delta: Array) -> None:
        """Write the gradient of the loss, given the one with respect to the scores, to the network's array."""
        for i in range(len(self.layers) - 1, self._first - 1, -1):
            delta = self.layers[i].backward(outputs[i], outputs[i + 1], delta)


def _check_layers(layers: Sequence[Layer]) -> list[Layer]:
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise TypeError(f"layers: expected a list of layers, got {layers!r}")
    checked = list(layers)
    for i, layer in enumerate(checked):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers[{i}]: expected a layer such as Dense(2, 64), got {layer!r}")
        if layer._in_use or any(layer is other for other in checked[:i]):
            raise ValueError(f"layers[{i}]: {layer!r} belongs to a network already")
    if not any(layer.parameter_shapes() for layer in checked):
        raise ValueError("layers: expected at least one layer with parameters, such as Dense(2, 3)")
    return checked


def _check_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        checked: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype: expected float32 or float64, got {dtype!r}") from None
    if dtype is None or checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype: expected float32 or float64, got {dtype!r}")
    return checked


def _batches(n: int, batch_size: int) -> list[slice]:
    batch_size = COUNT("batch_size", batch_size)
    return [slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size)]


def _rng_state(rng: np.random.Generator) -> Array:
    """Return the state of an SFC64 generator as an array of six uint64."""
    state: Any = rng.bit_generator.state
    return np.array([*state["state"]["state"], state["has_uint32"], state["uinteger"]], np.uint64)


def _set_rng_state(rng: np.random.Generator, state: Array) -> None:
    """Put an SFC64 generator into a state that `_rng_state` gave."""
    if state[4] > 1 or state[5] >= 2**32:
        raise ValueError(f"state['rng']: expected the state of an SFC64 generator, got {state}")
    rng.bit_generator.state = {
        "bit_generator": "SFC64",
        "state": {"state": np.array(state[:4], np.uint64)},
        "has_uint32": int(state[4]),
        "uinteger": int(state[5]),
    }
