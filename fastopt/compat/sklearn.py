"""scikit-learn's multi-layer perceptrons with fastopt's optimizers: the classes of ``sklearn.neural_network``.

`MLPClassifier` and `MLPRegressor` are subclasses of scikit-learn's own and override what makes the optimizer: network,
gradients, batches, validation and stopping are scikit-learn's code. Their solvers are all of fastopt's optimizers, by
name, and their learning rate may be a schedule. `patch` puts them in the place of scikit-learn's, for code that is not
to be changed.

scikit-learn 1.4.2, the first for NumPy 2, or newer. The private names that all this relies on are looked for when the
module is imported.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from math import inf
from operator import attrgetter
from typing import Any

import numpy as np

from fastopt import kernels, optimizers
from fastopt._extras import require
from fastopt._groups import filled_like
from fastopt._typing import Array
from fastopt.kernels import rules
from fastopt.optimizers import SGD, Adam, Optimizer
from fastopt.schedules._base import schedule_like, stateful

_WHAT = "fastopt.compat.sklearn"
sklearn: Any = require("sklearn", extra="sklearn", what=_WHAT)
neural_network: Any = require("sklearn.neural_network", extra="sklearn", what=_WHAT)


def _private(module: str, *names: str) -> Any:
    """Return a private module of scikit-learn, which has these names."""
    found: Any = None
    try:
        found = require(module, extra="sklearn", what=_WHAT)
        missing = [f"{module}.{name}" for name in names if not _has(found, name)]
    except ModuleNotFoundError:
        missing = [module]
    if missing:
        what = f"expected scikit-learn 1.4.2 or newer, with {', '.join(missing)}"
        raise ImportError(f"{_WHAT}: {what}, got {sklearn.__version__} without")
    return found


def _has(value: Any, dotted: str) -> bool:
    try:
        attrgetter(dotted)(value)
    except AttributeError:
        return False
    return True


_stochastic: Any = _private(
    "sklearn.neural_network._stochastic_optimizers",
    "BaseOptimizer.update_params",
    "BaseOptimizer.iteration_ends",
    "BaseOptimizer.trigger_stopping",
    "SGDOptimizer",
    "AdamOptimizer",
)
_perceptron: Any = _private(
    "sklearn.neural_network._multilayer_perceptron",
    "SGDOptimizer",
    "AdamOptimizer",
    "BaseMultilayerPerceptron._parameter_constraints",
    "BaseMultilayerPerceptron._fit",
    "BaseMultilayerPerceptron._check_solver",
    "BaseMultilayerPerceptron._update_no_improvement_count",
)
_StrOptions: Any = _private("sklearn.utils._param_validation", "StrOptions").StrOptions

__all__ = ["AdamOptimizer", "MLPClassifier", "MLPRegressor", "RuleOptimizer", "SGDOptimizer", "patch"]

SOLVERS: dict[str, type[Optimizer]] = {
    name.lower(): cls
    for name, cls in vars(optimizers).items()
    if name in optimizers.__all__ and cls not in (Optimizer, optimizers.Rprop)
}
"""The optimizers by the names that they have as a solver; Rprop is not for batches."""

_CONSTRAINTS: Mapping[str, Any] = _perceptron.BaseMultilayerPerceptron._parameter_constraints
_OWN_SOLVERS: frozenset[str] = frozenset(_CONSTRAINTS["solver"][0].options)
"""The solvers that scikit-learn has by itself."""


def _zeros_like(params: Sequence[Array]) -> list[Array]:
    """Return state that lies in memory as the parameters do: a step of Adam took up to twice as long otherwise."""
    return [filled_like(param, 0.0) for param in params]


def _update(
    kernel: Callable[..., None],
    params: Sequence[Array],
    grads: Sequence[Array],
    *states: list[Array],
    **hyper: Any,
) -> None:
    """Call a kernel, for each tensor in the dtype that NumPy's promotion gives parameter, gradient and state.

    That is wider than the parameter where X is float32 and y or the weights of the samples are float64. As with
    scikit-learn, the state stays in it, and the parameter is rounded after the step.
    """
    wide, steep = [*params], [*grads]
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        dtype = np.result_type(param, grad, *[state[i] for state in states])
        if dtype != param.dtype:
            wide[i] = param.astype(dtype)
            for arrays in (steep, *states):
                arrays[i] = arrays[i].astype(dtype, copy=False)
    kernel(wide, steep, *states, **hyper)
    for param, updated in zip(params, wide, strict=True):
        if updated is not param:
            np.copyto(param, updated, casting="same_kind")


class SGDOptimizer(_stochastic.SGDOptimizer):  # type: ignore[misc]
    """Gradient descent with momentum: scikit-learn's optimizer by `fastopt.kernels.momentum`.

    The same bits. State and all that is not the step are scikit-learn's; velocities are updated in place.

    Parameters
    ----------
    params, learning_rate_init, lr_schedule, momentum, nesterov, power_t
        As in scikit-learn's class, in its order and with its defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat.sklearn import SGDOptimizer
    >>> weights = np.array([1.0, -2.0])
    >>> opt = SGDOptimizer([weights], learning_rate_init=0.1, momentum=0.9)
    >>> for _ in range(3):
    ...     opt.update_params([weights], [2 * weights])
    >>> weights.round(4)
    array([-0.1084,  0.2167])
    """

    def __init__(
        self,
        params: Sequence[Array],
        learning_rate_init: float = 0.1,
        lr_schedule: str = "constant",
        momentum: float = 0.9,
        nesterov: bool = True,
        power_t: float = 0.5,
    ) -> None:
        super().__init__(params, learning_rate_init, lr_schedule, momentum, nesterov, power_t)
        self.velocities: list[Array] = _zeros_like(params)

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Update the parameters in place.

        Parameters
        ----------
        params, grads : list of arrays
            Parameters, and their gradients, which are only read.
        """
        _update(
            kernels.momentum,
            params,
            grads,
            self.velocities,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=bool(self.nesterov),
            lr_in_velocity=True,
        )


class AdamOptimizer(_stochastic.AdamOptimizer):  # type: ignore[misc]
    """Adam: scikit-learn's optimizer by `fastopt.kernels.adam`, equal to rounding.

    State and all that is not the step are scikit-learn's; moments are updated in place.

    Parameters
    ----------
    params, learning_rate_init, beta_1, beta_2, epsilon
        As in scikit-learn's class, in its order and with its defaults.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat.sklearn import AdamOptimizer
    >>> weights = np.array([1.0, -2.0])
    >>> opt = AdamOptimizer([weights], learning_rate_init=0.1)
    >>> opt.update_params([weights], [2 * weights])
    >>> weights.round(4), opt.t
    (array([ 0.9, -1.9]), 1)
    """

    t: int

    def __init__(
        self,
        params: Sequence[Array],
        learning_rate_init: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(params, learning_rate_init, beta_1, beta_2, epsilon)
        self.ms: list[Array] = _zeros_like(params)
        self.vs: list[Array] = _zeros_like(params)

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Update the parameters in place.

        Parameters
        ----------
        params, grads : list of arrays
            Parameters, and their gradients, which are only read.
        """
        step = self.t + 1
        hyper = {
            "lr": self.learning_rate_init,
            "beta1": self.beta_1,
            "beta2": self.beta_2,
            "eps": self.epsilon,
            "eps_hat": True,
            "step": step,
        }
        _update(kernels.adam, params, grads, self.ms, self.vs, **hyper)
        self.t = step
        scalars = rules.ADAM.scalars_of(**hyper, weight_decay=0.0, decoupled=False, grad_scale=1.0, clip_value=inf)
        self.learning_rate = scalars[rules.ADAM.scalar_names.index("lr")]  # with the corrections, as scikit-learn's


class RuleOptimizer(_stochastic.SGDOptimizer):  # type: ignore[misc]
    """Any optimizer of fastopt in the place of scikit-learn's, whose changes of the learning rate it keeps.

    Parameters
    ----------
    optimizer : Optimizer
        It updates the parameters. A schedule of its rate stands above the three arguments below.
    params : list of arrays
        The parameters of `optimizer`.
    learning_rate_init : float
        The first rate.
    lr_schedule : {"constant", "invscaling", "adaptive"}
        How scikit-learn changes the rate, as in its ``SGDOptimizer``.
    power_t : float
        Exponent of "invscaling".

    Attributes
    ----------
    optimizer : Optimizer
        What was given, or its copy over other parameters once a step was for these.
    learning_rate : float
        The rate; that of the next step, where a schedule sets it, as of the end of the last epoch.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> from fastopt.compat.sklearn import RuleOptimizer
    >>> weights = np.array([1.0, -2.0])
    >>> opt = RuleOptimizer(fastopt.Lion([weights]), [weights], learning_rate_init=0.1)
    >>> opt.update_params([weights], [2 * weights])
    >>> weights
    array([ 0.9, -1.9])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        params: Sequence[Array],
        learning_rate_init: float = 1e-3,
        lr_schedule: str = "constant",
        power_t: float = 0.5,
    ) -> None:
        _stochastic.BaseOptimizer.__init__(self, learning_rate_init)  # and no velocities
        self.optimizer = optimizer
        self.lr_schedule = "constant" if optimizer.schedule else lr_schedule
        self.power_t = power_t
        self._params: list[Array] = [*params]
        self.iteration_ends(0)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_params": []}  # they are the estimator's

    def update_params(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Update the parameters in place.

        Parameters
        ----------
        params, grads : list of arrays
            Parameters, and their gradients, which are only read. Where the parameters are other arrays than before, as
            in a copied or unpickled estimator, the state goes on with these.
        """
        if [*map(id, params)] != [*map(id, self._params)]:
            self.optimizer = copy.copy(self.optimizer)
            self.optimizer.bind([*params])
            self._params = [*params]
        if not self.optimizer.schedule:
            self.optimizer.lr = self.learning_rate
        # A gradient is float64 where X is float32 and y, or the weights of the samples, are float64.
        self.optimizer.step(grads, cast_grads=True)

    def iteration_ends(self, time_step: int) -> None:
        """Change the rate at the end of an epoch.

        Parameters
        ----------
        time_step : int
            Number of samples seen.
        """
        super().iteration_ends(time_step)
        if self.optimizer.schedule:
            self.learning_rate = self.optimizer.lr

    def follow(self, measured: Mapping[str, float]) -> None:
        """Tell the schedules that follow a metric how the epoch went.

        Parameters
        ----------
        measured : mapping of str to float
            The metrics by name.
        """
        hyper = self.optimizer.groups[0].hyper_parameters().values()
        for schedule in stateful(*hyper, step=self.optimizer.steps - 1):
            schedule.update(measured[_followed(schedule, measured)])


def _followed(schedule: Any, measured: Collection[str]) -> str:
    """Return the name of the metric that a schedule follows."""
    given: str | None = getattr(schedule, "monitor", None)
    mode = getattr(schedule, "mode", "min")
    name = given or ("val_score" if mode == "max" else "loss")
    if name not in measured:
        why = f", the default in mode {mode!r}" if given is None else ""
        needs = " (it needs early_stopping=True)" if name == "val_score" else ""
        names = ", ".join(map(repr, measured))
        raise ValueError(f"{type(schedule).__name__}: monitor: expected one of {names}, got {name!r}{why}{needs}")
    return name


class _Compiled:
    """What the estimators add to scikit-learn's: the optimizer."""

    @property
    def _optimizer(self) -> Any:
        try:
            return vars(self)["_optimizer"]
        except KeyError:
            raise AttributeError("_optimizer") from None

    @_optimizer.setter
    def _optimizer(self: Any, given: Any) -> None:
        """Take an optimizer; within a fit, where scikit-learn has made its own, that of the solver instead."""
        make = vars(self).get("_make")
        vars(self)["_optimizer"] = given if make is None else make(self.coefs_ + self.intercepts_)

    def _fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        make = self._chosen()
        solver = self.solver
        if make is not None:
            self._make = make
            if solver not in _OWN_SOLVERS:
                self.solver = "sgd"  # scikit-learn's loop knows its own by name, and makes what `_optimizer` replaces
        try:
            return super()._fit(*args, **kwargs)  # type: ignore[misc]
        finally:
            self.solver = solver
            vars(self).pop("_make", None)

    def _chosen(self: Any) -> Callable[[list[Array]], Any] | None:
        """Return the function that makes an optimizer for parameters, or None where the solver needs none."""
        solver, rate, given = self.solver, self.learning_rate, self.solver_params
        scheduled = callable(rate)
        if solver not in SOLVERS:
            if given is not None:
                raise ValueError(f"solver_params: expected None with solver={solver!r}, got {given!r}")
            if scheduled:
                raise ValueError(f"learning_rate: expected no schedule with solver={solver!r}, got {rate!r}")
            return None
        if solver == "sgd" and not (scheduled or given):
            momentum, nesterov = self.momentum, self.nesterovs_momentum
            return lambda params: SGDOptimizer(params, self.learning_rate_init, rate, momentum, nesterov, self.power_t)
        if solver == "adam" and not (scheduled or given):
            betas = self.beta_1, self.beta_2
            return lambda params: AdamOptimizer(params, self.learning_rate_init, *betas, self.epsilon)
        cls = SOLVERS[solver]
        # A schedule may have state, while what the constructor was given stays as it was.
        lr = schedule_like("learning_rate", rate) if scheduled else self.learning_rate_init
        hyper = copy.deepcopy({"lr": lr, **self._hyper_parameters(cls)})
        for schedule in stateful(*hyper.values()):
            _followed(schedule, self._measured())
        policy = "constant" if scheduled or solver == "adam" else rate  # scikit-learn's Adam has no other
        return lambda params: RuleOptimizer(cls(params, **hyper), params, self.learning_rate_init, policy, self.power_t)

    def _hyper_parameters(self: Any, cls: type[Optimizer]) -> dict[str, Any]:
        """Return the hyper-parameters of an optimizer without its rate."""
        own: dict[str, Any] = {}
        convention: dict[str, Any] = {}
        if issubclass(cls, SGD):
            own = {"momentum": self.momentum, "nesterov": bool(self.nesterovs_momentum) and self.momentum > 0}
            convention = {"lr_in_velocity": True}
        elif issubclass(cls, Adam):
            own = {"betas": (self.beta_1, self.beta_2), "eps": self.epsilon}
            convention = {"eps_hat": True}
        given = self.solver_params or {}
        known = sorted(signature(cls).parameters.keys() - {"params", "state", "steps", "lr"} - own.keys())
        for name, value in given.items():
            if name == "lr" or name in own:
                what = f"expected no {name!r}, which the estimator's own parameters set, got {value!r}"
                raise ValueError(f"solver_params: {what}")
            if name not in known:
                what = f"expected hyper-parameters of {cls.__name__}, among {', '.join(known)}, got {name!r}"
                raise ValueError(f"solver_params: {what}")
        return own | convention | given

    def _check_solver(self: Any) -> bool:
        return self.solver in SOLVERS or super()._check_solver()  # type: ignore[misc]

    def _measured(self: Any) -> dict[str, str]:
        """Return the names of the metrics of an epoch, with the attributes that collect them."""
        return {"loss": "loss_curve_"} | ({"val_score": "validation_scores_"} if self.early_stopping else {})

    def _update_no_improvement_count(self: Any, *args: Any, **kwargs: Any) -> None:
        super()._update_no_improvement_count(*args, **kwargs)  # type: ignore[misc]
        if isinstance(self._optimizer, RuleOptimizer):
            self._optimizer.follow({name: getattr(self, curve)[-1] for name, curve in self._measured().items()})


def _constructor(parent: Any) -> Callable[..., None]:
    """Return the constructor of an estimator: scikit-learn's, whatever its version has, and one parameter more."""

    def __init__(self: Any, *args: Any, solver_params: dict[str, Any] | None = None, **kwargs: Any) -> None:
        parent.__init__(self, *args, **kwargs)
        self.solver_params = solver_params

    own = signature(parent.__init__)
    added = Parameter("solver_params", Parameter.KEYWORD_ONLY, default=None)
    __init__.__signature__ = own.replace(parameters=[*own.parameters.values(), added])  # type: ignore[attr-defined]
    return __init__


def _constraints(parent: Any) -> dict[str, Any]:
    """Return the values that the parameters of an estimator take."""
    own = parent._parameter_constraints
    return {
        **own,
        "solver": [_StrOptions({*_OWN_SOLVERS, *SOLVERS})],
        "learning_rate": [*own["learning_rate"], callable],
        "solver_params": [dict, None],
    }


class MLPClassifier(_Compiled, neural_network.MLPClassifier):  # type: ignore[misc]
    """Multi-layer perceptron classifier: scikit-learn's, trained by fastopt's optimizers.

    The same parameters, methods and fitted attributes, and the same weights: with solver "sgd" bit for bit, with "adam"
    to rounding.

    Parameters
    ----------
    hidden_layer_sizes, activation, ..., max_fun
        As in ``sklearn.neural_network.MLPClassifier``, in its order and with its defaults, except for
        these three.
    solver : str
        One of scikit-learn's, "adam", "sgd" or "lbfgs", or another optimizer of fastopt by its name in lower case,
        such as "adamw", "lion" or "rmsprop". `learning_rate_init` is the rate of all of them, and `beta_1`, `beta_2`
        and `epsilon` are AdamW's too, with scikit-learn's place for epsilon; the rest of the hyper-parameters have
        fastopt's names and defaults, and come by `solver_params`.
    learning_rate : {"constant", "invscaling", "adaptive"} or schedule
        As in scikit-learn, for every solver but "adam" and "lbfgs"; or, for every solver but "lbfgs", a schedule of
        `fastopt.schedules` or another callable of the number of batches done, in the place of `learning_rate_init`. One
        that follows a metric is told "loss", or "val_score" with `early_stopping`, after each epoch.
    solver_params : dict, optional
        Further hyper-parameters of the optimizer by the names of the class in `fastopt`: ``{"weight_decay": 0.1}``.

    Raises
    ------
    ValueError
        By `fit` and `partial_fit`: a parameter does not fit; the message names it.

    References
    ----------
    See ``sklearn.neural_network.MLPClassifier``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> from fastopt.compat.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> decay = {"weight_decay": 0.1}
    >>> net = MLPClassifier((20,), solver="adamw", solver_params=decay, learning_rate_init=0.02, random_state=0)
    >>> net.fit(scale(X), y).score(scale(X), y) > 0.95
    True
    """

    __init__ = _constructor(neural_network.MLPClassifier)
    _parameter_constraints: dict[str, Any] = _constraints(neural_network.MLPClassifier)


class MLPRegressor(_Compiled, neural_network.MLPRegressor):  # type: ignore[misc]
    """Multi-layer perceptron regressor: scikit-learn's, trained by fastopt's optimizers.

    Parameters
    ----------
    loss, hidden_layer_sizes, activation, ..., max_fun
        As in ``sklearn.neural_network.MLPRegressor``, in its order and with its defaults.
    solver, learning_rate, solver_params
        As in `MLPClassifier`.

    Raises
    ------
    ValueError
        By `fit` and `partial_fit`: a parameter does not fit; the message names it.

    References
    ----------
    See ``sklearn.neural_network.MLPRegressor``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt import schedules
    >>> from fastopt.compat.sklearn import MLPRegressor
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> rate = schedules.CosineAnnealing(0.02, T_max=2000)
    >>> net = MLPRegressor(hidden_layer_sizes=(30,), learning_rate=rate, batch_size=20, random_state=0)
    >>> net.fit(X, np.sin(3 * X.ravel())).score(X, np.sin(3 * X.ravel())) > 0.98
    True
    """

    __init__ = _constructor(neural_network.MLPRegressor)
    _parameter_constraints: dict[str, Any] = _constraints(neural_network.MLPRegressor)


# Where the names are looked up; objects of scikit-learn's own classes are pickled by the names that stay.
_REPLACED = (
    (neural_network, MLPClassifier),
    (neural_network, MLPRegressor),
    (_perceptron, SGDOptimizer),
    (_perceptron, AdamOptimizer),
)


@contextmanager
def patch() -> Iterator[None]:
    """Put fastopt's classes in the place of scikit-learn's, in all threads, until the context ends.

    ``sklearn.neural_network`` has `MLPClassifier` and `MLPRegressor` then; estimators of scikit-learn's own classes,
    and of classes derived from them, are trained by `SGDOptimizer` and `AdamOptimizer`. It is a decorator, too.

    Examples
    --------
    >>> import fastopt.compat.sklearn, sklearn.neural_network
    >>> with fastopt.compat.sklearn.patch():
    ...     sklearn.neural_network.MLPClassifier.__module__
    'fastopt.compat.sklearn'
    >>> sklearn.neural_network.MLPClassifier.__module__
    'sklearn.neural_network._multilayer_perceptron'
    """
    before = [(module, cls.__name__, getattr(module, cls.__name__)) for module, cls in _REPLACED]
    for module, cls in _REPLACED:
        setattr(module, cls.__name__, cls)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
