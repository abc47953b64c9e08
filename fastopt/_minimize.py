"""Minimize a function as ``scipy.optimize.minimize`` does, by any of the optimizers."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import numpy as np

from fastopt._checks import boolean, integer, optional, real, to_float
from fastopt._extras import require
from fastopt._typing import Array
from fastopt.optimizers import Adam, Optimizer
from fastopt.schedules._base import stateful

__all__ = ["minimize", "scipy_method"]

Make = Callable[..., Optimizer]

#: What is not passed on to the optimizer: each option with its check and default.
_OPTIONS: dict[str, tuple[Callable[[str, Any], Any], Any]] = {
    "steps": (integer(0), 1000),
    "gtol": (optional(real(at_least=0)), None),
    "disp": (boolean, False),
    "return_all": (boolean, False),
}

#: SciPy's names for two of them; its ``tol`` gives way to the tolerance itself.
_OTHER_NAMES = {"maxiter": "steps", "tol": "gtol"}

# Status and message of each way to end. SciPy's BFGS has these numbers, and 99 for StopIteration.
_DONE = 0, "All steps are done."
_CONVERGED = 0, "The gradient is within gtol."
_NOT_CONVERGED = 1, "All steps are done, and the gradient is not within gtol."
_STOPPED = 99, "`callback` raised `StopIteration`."
_TOLD_TO_STOP = 99, "`callback` returned True."


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    *,
    jac: Callable[..., Any] | bool | str | None = None,
    optimizer: Make = Adam,
    callback: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """Minimize a function of one array by an optimizer, with SciPy's conventions; the last iterate is the result.

    The same as ``scipy.optimize.minimize(fun, x0, args, jac=jac, method=fastopt.scipy_method(optimizer, **options),
    callback=callback)``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns the value at `x` of shape (n,); with ``jac=True`` value and gradient.
    x0 : array_like of shape (n,)
        Where to begin. float32 stays float32; float16, integers and booleans become float64. It is not written to.
    args : tuple
        Further arguments of `fun` and `jac`; anything else is the only one.
    jac : callable, bool, None or "2-point"
        ``jac(x, *args)`` returns the gradient, of shape (n,); True: `fun` does. None, False or "2-point": forward
        differences, ``scipy.optimize.approx_fprime``, at the cost of n more values per step; `fun` then gets float64.
    optimizer : class, default `fastopt.Adam`
        A class of fastopt's optimizers, or a function that makes one of an array and keywords.
    callback : callable, optional
        After each step, ``callback(x)`` or, if the name of its only parameter is this,
        ``callback(intermediate_result=...)``, an ``OptimizeResult`` with x, fun, jac and nit. It ends the run by
        raising ``StopIteration`` or by returning True.
    steps : int, default 1000
        Number of steps. SciPy's name ``maxiter`` is another for it.
    gtol : float, optional
        End as soon as no element of the gradient is larger in absolute value. SciPy's ``tol`` stands for it where it is
        not given. Default: all steps are done.
    disp : bool, default False
        Print how it ended.
    return_all : bool, default False
        Keep all iterates, from x0 to x, in ``allvecs``.
    **options
        All other keywords go to `optimizer`: `lr`, a number or a schedule, and its further hyper-parameters. A
        `fastopt.schedules.ReduceOnPlateau` is told the value after each step.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x``, the last iterate, and ``fun`` and ``jac`` there, which need not be the lowest value of the run; ``nit``,
        ``nfev``, ``njev``, ``status``, ``message``, and ``success``: whether the run ended as asked for. That is when
        the gradient is within `gtol` if there is one, else after all steps (status 0). It is not after all steps with
        a gradient that is not within `gtol` (1), where value or gradient are not finite (3), and where `callback`
        ended it (99).

    Raises
    ------
    TypeError, ValueError
        An argument, or what `fun` or `jac` returned, does not fit; the message names it.
    ModuleNotFoundError
        SciPy is not installed.

    Notes
    -----
    The optimizer updates one array in place, and `fun`, `jac` and `callback` get copies of it: they may keep and change
    them.

    References
    ----------
    ``scipy.optimize.minimize``, and the custom minimizers in its notes.

    Examples
    --------
    >>> import fastopt, numpy as np
    >>> def fun(x):
    ...     return ((x - 3) ** 2).sum(), 2 * (x - 3)
    >>> result = fastopt.minimize(fun, np.zeros(2), jac=True, optimizer=fastopt.SGD, lr=0.1, momentum=0.5, gtol=1e-6)
    >>> result.x.round(4), result.nit, result.message
    (array([3., 3.]), 43, 'The gradient is within gtol.')
    """
    return scipy_method(optimizer, **options)(fun, x0, args, jac=jac, callback=callback)


def scipy_method(optimizer: Make = Adam, **options: Any) -> Callable[..., Any]:
    """Return an optimizer as a ``method`` for ``scipy.optimize.minimize``.

    Parameters
    ----------
    optimizer, **options
        As in `fastopt.minimize`. The ``options`` of ``scipy.optimize.minimize`` are the same ones, and come first.

    Returns
    -------
    callable
        ``method(fun, x0, args, jac, hess, hessp, bounds, constraints, callback, **options)``.

    Raises
    ------
    TypeError, ValueError
        An option does not fit; `bounds`, `constraints`, `hess` and `hessp` are refused when it is called.

    Notes
    -----
    SciPy has no way to tell a method of ``jac="3-point"`` or ``"cs"``: forward differences are taken.

    References
    ----------
    ``scipy.optimize.minimize``, the custom minimizers in its notes.

    Examples
    --------
    >>> import fastopt
    >>> from scipy.optimize import minimize, rosen, rosen_der
    >>> method = fastopt.scipy_method(fastopt.Adam, lr=0.1)
    >>> result = minimize(rosen, [-1.0, 2.0], jac=rosen_der, method=method, options={"maxiter": 2000})
    >>> result.x.round(2), result.nit
    (array([1., 1.]), 2000)
    """
    if not callable(optimizer):
        raise TypeError(f"optimizer: expected a class such as fastopt.Adam, got {optimizer!r}")
    before = _by_own_names(options)
    _checked(before)

    def method(
        fun: Callable[..., Any],
        x0: Any,
        args: Any = (),
        *,
        jac: Any = None,
        hess: Any = None,
        hessp: Any = None,
        bounds: Any = None,
        constraints: Any = (),
        callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        """Minimize; see `fastopt.minimize`."""
        given = {"hess": hess, "hessp": hessp, "bounds": bounds, "constraints": constraints}
        for name, value in given.items():
            if value is not None and not (isinstance(value, list | tuple | Mapping) and not value):
                raise ValueError(f"{name}: expected none, since the optimizers take only gradients, got {value!r}")
        settings = before | _by_own_names(options)
        own = _checked(settings)
        hyper = {name: value for name, value in settings.items() if name not in own}
        tell = _reporter(callback)
        x = _start(x0)
        evaluations = _Evaluations(fun, args if isinstance(args, tuple) else (args,), jac)
        made = optimizer(x, **hyper)
        if not isinstance(made, Optimizer):
            raise TypeError(f"optimizer: expected a class such as fastopt.Adam, got {optimizer!r}, which made {made!r}")
        if made.params is not x:
            raise ValueError(f"optimizer: expected one that updates the array it was given, got {made!r}")
        return _descend(x, made, evaluations, tell, **own)

    return method


def _descend(
    x: Array,
    optimizer: Optimizer,
    evaluations: "_Evaluations",
    tell: Callable[[Any], tuple[int, str] | None],
    *,
    steps: int,
    gtol: float | None,
    disp: bool,
    return_all: bool,
) -> Any:
    """Take steps until it is time to end."""
    result_of = require("scipy.optimize", extra="scipy", what="fastopt.minimize").OptimizeResult
    hyper_parameters = [value for group in optimizer.groups for value in group.hyper_parameters().values()]
    iterates = [x.copy()]
    value, grad = evaluations(x)
    step = 0
    while (end := _end(value, grad, step, steps, gtol)) is None:
        optimizer.step(grad)
        step += 1
        value, grad = evaluations(x)
        if return_all:
            iterates.append(x.copy())
        for schedule in stateful(*hyper_parameters, step=optimizer.steps - 1):
            schedule.update(value)
        end = tell(result_of(x=x.copy(), fun=value, jac=grad.copy(), nit=step))
        if end is not None:
            break
    status, message = end
    result = result_of(
        x=x,
        fun=value,
        jac=grad,
        nit=step,
        nfev=evaluations.values,
        njev=evaluations.gradients,
        status=status,
        success=status == 0,
        message=message,
    )
    if return_all:
        result.allvecs = iterates
    if disp:
        print(message, *[f"         {name}: {result[name]}" for name in ("fun", "nit", "nfev", "njev")], sep="\n")
    return result


def _end(value: float, grad: Array, step: int, steps: int, gtol: float | None) -> tuple[int, str] | None:
    """Return status and message if it is time to end."""
    if not np.isfinite(value):
        return 3, f"The value after {step} steps is {value}."
    if not np.isfinite(grad).all():
        return 3, f"The gradient after {step} steps is not finite."
    if gtol is not None and np.abs(grad).max() <= gtol:
        return _CONVERGED
    if step == steps:
        return _DONE if gtol is None else _NOT_CONVERGED
    return None


def _by_own_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options under the names that they have here; None stands for one that is not given."""
    named = {name: value for name, value in options.items() if name not in _OTHER_NAMES}
    for other, name in _OTHER_NAMES.items():
        value = options.get(other)
        if value is None:
            continue
        if name not in named:
            named[name] = value
        elif other != "tol":
            raise ValueError(f"{other}: expected none beside {name}, which is the same, got {value!r}")
    return named


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that are not the optimizer's."""
    return {name: check(name, options.get(name, default)) for name, (check, default) in _OPTIONS.items()}


def _start(x0: Any) -> Array:
    """Return a copy of the point to begin with, as an array for an optimizer."""
    array = np.atleast_1d(np.asarray(x0))
    if array.ndim != 1:
        raise ValueError(f"x0: expected one dimension, as in SciPy, got shape {array.shape}; reshape in fun instead")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"x0: expected float32 or float64, or what float64 can hold, got {array.dtype}")
    if not array.size:
        raise ValueError("x0: expected at least one number, got none")
    if not np.isfinite(array).all():
        raise ValueError(f"x0: expected finite numbers, got {array[~np.isfinite(array)][0]}")
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64)


class _Evaluations:
    """Value and gradient at a point, and how often the functions of the user were called for them."""

    def __init__(self, fun: Callable[..., Any], args: tuple[Any, ...], jac: Any) -> None:
        if not callable(fun):
            raise TypeError(f"fun: expected a function, got {fun!r}")
        if not callable(jac) and not (isinstance(jac, bool | None) or (isinstance(jac, str) and jac == "2-point")):
            raise ValueError(f"jac: expected a function, True, None or '2-point', got {jac!r}")
        self._fun, self._args = fun, args
        self._jac: Any = jac
        self._evaluate = self._apart if callable(jac) else self._together if jac is True else self._differences
        self.values = self.gradients = 0

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Return value and gradient at `x`."""
        value, grad = self._evaluate(x)
        self.gradients += 1
        given = np.array(grad)  # a copy: the user's function may return the same array each time
        if given.dtype.kind not in "fiub":
            raise TypeError(f"jac: expected a gradient of real numbers, got {given.dtype}")
        if given.shape != x.shape and not given.size == x.size == 1:
            raise ValueError(f"jac: expected a gradient of the shape of x0, {x.shape}, got {given.shape}")
        with np.errstate(over="ignore"):  # infinity is the end of the run, and its message
            return value, given.reshape(x.shape).astype(x.dtype, copy=False)

    # The optimizer writes to x: functions of the user get a copy each, which they may keep and change.

    def _apart(self, x: Array) -> tuple[float, Any]:
        return self._value(x), self._jac(x.copy(), *self._args)

    def _together(self, x: Array) -> tuple[float, Any]:
        self.values += 1
        returned = self._fun(x.copy(), *self._args)
        if not isinstance(returned, list | tuple) or len(returned) != 2:
            raise TypeError(f"fun: expected value and gradient, since jac is True, got {type(returned).__name__}")
        return _number(returned[0]), returned[1]

    def _differences(self, x: Array) -> tuple[float, Any]:
        approx_fprime = require("scipy.optimize", extra="scipy", what="fastopt.minimize").approx_fprime
        x = x.astype(np.float64)  # all values of a difference: the steps are smaller than the rounding of float32
        value = self._value(x)
        if not np.isfinite(value):
            return value, np.full_like(x, np.nan)
        return value, approx_fprime(x, lambda point: value if np.array_equal(point, x) else self._value(point))

    def _value(self, x: Array) -> float:
        self.values += 1
        return _number(self._fun(x.copy(), *self._args))


def _number(value: Any) -> float:
    """Check the value of the user's function."""
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise ValueError(f"fun: expected a number, got an array of shape {value.shape}")
        value = value.item()
    return to_float("fun", value)


def _reporter(callback: Callable[..., Any] | None) -> Callable[[Any], tuple[int, str] | None]:
    """Return the function that calls back with a result, and returns status and message if that ends the run."""
    if callback is None:
        return lambda result: None
    if not callable(callback):
        raise TypeError(f"callback: expected a function, got {callback!r}")
    try:
        whole = set(signature(callback).parameters) == {"intermediate_result"}
    except ValueError:  # a function of C without a signature
        whole = False

    def tell(result: Any) -> tuple[int, str] | None:
        try:
            told = callback(intermediate_result=result) if whole else callback(result.x)
        except StopIteration:
            return _STOPPED
        return _TOLD_TO_STOP if isinstance(told, bool | np.bool_) and told else None

    return tell
