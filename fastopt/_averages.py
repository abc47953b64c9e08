"""Averages of the weights of a training, for its evaluation."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from fastopt import kernels
from fastopt._checks import integer, real
from fastopt._evaluation import Averaging, take_arrays, taken
from fastopt._groups import Group, filled_like
from fastopt._typing import Array
from fastopt.optimizers import Optimizer

__all__ = ["EMA", "SWA"]

_DECAY = real(at_least=0, below=1)


class _Average(Averaging):
    """An optimizer whose steps are followed by an average of its parameters."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer: expected an optimizer of fastopt, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.averages: list[Array] = [filled_like(param, param) for param in self._parameters()]
        self.updates: int = 0

    @property
    def params(self) -> Any:
        """The optimizer's parameters, in the structure in which it was given them."""
        return self.optimizer.params

    @property
    def groups(self) -> list[Group]:
        """The optimizer's groups."""
        return self.optimizer.groups

    @property
    def steps(self) -> int:
        """Number of steps that the optimizer has done."""
        return self.optimizer.steps

    @property
    def lr(self) -> float:
        """The optimizer's learning rate; to set it sets the optimizer's."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, value: Any) -> None:
        self.optimizer.lr = value

    @property
    def schedule(self) -> Any:
        """The optimizer's schedule of the learning rate, or None."""
        return self.optimizer.schedule

    def _averaged_groups(self) -> list[Group]:
        return self.optimizer.groups

    def _current_averages(self) -> Iterator[Array]:
        return iter(self.averages)

    @abstractmethod
    def _share(self) -> float:
        """Return the share of the next parameters in the average, 0 for none."""

    @abstractmethod
    def _settings(self) -> str:
        """Return the arguments beside the optimizer, as they are written."""

    def __repr__(self) -> str:
        """Name the settings, and the optimizer."""
        return f"<{type(self).__name__}: {self._settings()}; of {self.optimizer!r}>"

    def step(self, grads: Any, **options: Any) -> bool | None:
        """Let the optimizer step, and take the new parameters into the average.

        Parameters
        ----------
        grads, **options
            As in `fastopt.Optimizer.step`.

        Returns
        -------
        bool or None
            What the optimizer returns; the average stays as it is where that is False.

        Raises
        ------
        RuntimeError
            The parameters are swapped for their averages.
        TypeError, ValueError, IndexError
            See `fastopt.Optimizer.step`.
        """
        self._refuse_averages("step")
        done = self.optimizer.step(grads, **options)
        if done is not False:
            self.update()
        return done

    def update(self) -> None:
        """Take the parameters as they are into the average, in place; for steps that are made elsewhere."""
        self._refuse_averages("update")
        share = self._share()
        if share:
            # a = (1 - share) * a + share * p, in one pass.
            kernels.sgd(self.averages, self._parameters(), lr=share, weight_decay=1.0, decoupled=True, grad_scale=-1.0)
        self.updates += 1

    def state_dict(self) -> dict[str, Array | float | int]:
        """Return copies of the averages and of the optimizer's state.

        Returns
        -------
        dict
            ``"updates"``, ``"average.<parameter>"`` for each parameter, and what the optimizer returns; after `eval`
            also ``"trained.<parameter>"``, the parameters themselves.
        """
        own = {f"average.{name}": array.copy() for name, array in zip(self._names(), self.averages, strict=True)}
        return {**self.optimizer.state_dict(), "updates": self.updates, **own, **self._trained_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, from a dictionary or an open ``.npz`` file.

        Parameters
        ----------
        state : mapping of str to array or number
            Of the same class and optimizer over parameters of the same names, shapes and dtypes.

        Raises
        ------
        TypeError, ValueError
            Something is missing or does not fit; nothing is changed then.
        """
        found = taken(state)
        averages = take_arrays(found, "average", self._names(), self.averages)
        trained = self._take_trained(found)
        updates = integer(0)("state 'updates'", found.pop("updates", None))
        self.optimizer.load_state_dict(found)
        for average, array in zip(self.averages, averages, strict=True):
            average[...] = array
        self.updates, self._trained = updates, trained


class EMA(_Average):
    """Exponential moving average of the weights: ``a = decay * a + (1 - decay) * p`` after each step.

    Evaluated with such an average, a model is mostly better than with its last weights, and needs less of a fall of the
    rate. The parameters themselves are trained as without it.

    Parameters
    ----------
    optimizer : Optimizer
        It updates the parameters; the average begins with what they are now.
    decay : float
        Share of the average that is kept, in [0, 1). The average spans about ``1 / (1 - decay)`` steps.

    Attributes
    ----------
    optimizer : Optimizer
        What was given.
    averages : list of ndarray
        An average for each parameter, in the order of the groups.
    updates : int
        Parameters taken into them.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    References
    ----------
    B. Polyak and A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, for the mean;
    ``torch.optim.swa_utils.get_ema_multi_avg_fn``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.EMA(fastopt.SGD(weights, lr=0.5), decay=0.75)
    >>> for _ in range(2):
    ...     opt.step(weights.copy())
    >>> weights, opt.averages[0]
    (array([ 0.25, -0.5 ]), array([ 0.71875, -1.4375 ]))
    """

    def __init__(self, optimizer: Optimizer, decay: float = 0.999) -> None:
        super().__init__(optimizer)
        self.decay: float = _DECAY("decay", decay)

    def _share(self) -> float:
        return 1.0 - self.decay

    def _settings(self) -> str:
        return f"decay={self.decay!r}"


class SWA(_Average):
    """Mean of the weights along the way: of those after every `every` steps, from step `start` on.

    Parameters
    ----------
    optimizer : Optimizer
        It updates the parameters, at a rate that stays high or goes up and down.
    start : int
        Steps before the first weights that count, at least 0.
    every : int
        Steps from weights to weights, at least 1: the length of a cycle, or of an epoch.

    Attributes
    ----------
    optimizer : Optimizer
        What was given.
    averages : list of ndarray
        The means, in the order of the groups; before the first weights that count, the parameters as they were given,
        and `averaged` leaves the parameters as they are.
    updates : int
        Steps seen.

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message names it.

    Notes
    -----
    Layers that keep statistics of their inputs have to see data again with the averaged weights.

    References
    ----------
    P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, algorithm 1.
    ``torch.optim.swa_utils.AveragedModel``.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> weights = np.array([1.0, -2.0])
    >>> opt = fastopt.SWA(fastopt.SGD(weights, lr=0.5), start=1)
    >>> for _ in range(3):
    ...     opt.step(weights.copy())
    >>> weights, opt.averages[0]
    (array([ 0.125, -0.25 ]), array([ 0.1875, -0.375 ]))
    """

    def __init__(self, optimizer: Optimizer, start: int = 0, every: int = 1) -> None:
        super().__init__(optimizer)
        self.start: int = integer(0)("start", start)
        self.every: int = integer(1)("every", every)

    def _share(self) -> float:
        since = self.updates + 1 - self.start
        return self.every / since if since > 0 and since % self.every == 0 else 0.0

    def _current_averages(self) -> Iterator[Array]:
        begun = self.updates >= self.start + self.every
        return iter(self.averages if begun else self._parameters())

    def _settings(self) -> str:
        return f"start={self.start!r}, every={self.every!r}"
