"""`fastopt.minimize` and `fastopt.scipy_method`: functions of one array, with SciPy's conventions."""

import sys

import numpy as np
import pytest

import fastopt
from fastopt.schedules import CosineAnnealing, ReduceOnPlateau

optimize = pytest.importorskip("scipy.optimize", reason="results are SciPy's")

OPTIMIZERS = [
    (fastopt.SGD, {"lr": 0.05, "momentum": 0.9}),
    (fastopt.Adagrad, {"lr": 0.5}),
    (fastopt.RMSprop, {"lr": 0.01}),
    (fastopt.Adam, {"lr": 0.05, "amsgrad": True}),
    (fastopt.AdamW, {"lr": 0.05, "weight_decay": 0.0}),
    (fastopt.Lion, {"lr": 0.01}),
]


def bowl(x, center=3.0, scale=1.0):
    return scale * float(((x - center) ** 2).sum())


def slope(x, center=3.0, scale=1.0):
    return scale * 2 * (x - center)


@pytest.mark.parametrize(("optimizer", "hyper"), OPTIMIZERS, ids=lambda value: getattr(value, "__name__", ""))
def test_it_takes_the_steps_of_the_optimizer(optimizer, hyper):
    x0 = np.array([0.5, -2.0, 7.0])
    by_hand = x0.copy()
    opt = optimizer(by_hand, **hyper)
    for _ in range(50):
        opt.step(slope(by_hand))
    result = fastopt.minimize(bowl, x0, jac=slope, optimizer=optimizer, steps=50, **hyper)
    assert result.x.tobytes() == by_hand.tobytes()
    assert (result.fun, result.jac.tolist()) == (bowl(by_hand), slope(by_hand).tolist())
    assert (result.nit, result.nfev, result.njev) == (50, 51, 51)
    assert (result.status, result.success, result.message) == (0, True, "All steps are done.")
    assert x0.tolist() == [0.5, -2.0, 7.0]
    method = fastopt.scipy_method(optimizer, **hyper)
    by_scipy = optimize.minimize(bowl, x0, jac=slope, method=method, options={"maxiter": 50})
    assert by_scipy.x.tobytes() == by_hand.tobytes()
    assert isinstance(by_scipy, optimize.OptimizeResult)
    assert isinstance(result, optimize.OptimizeResult)


@pytest.mark.parametrize("jac", [None, False, "2-point"])
def test_without_a_gradient_differences_are_taken(jac):
    result = fastopt.minimize(bowl, np.zeros(2), jac=jac, lr=0.1, steps=300)
    np.testing.assert_allclose(result.x, 3, atol=1e-4)
    assert result.nfev == 301 * 3
    assert result.njev == 301


def test_differences_in_float32_are_those_of_float64():
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return ((x - 3) ** 2).sum() + 100

    x0 = np.zeros(3, np.float32)
    result = fastopt.minimize(fun, x0, lr=0.1, steps=300)
    assert result.x.dtype == np.float32
    np.testing.assert_allclose(result.x, 3, atol=1e-3)
    assert seen == {np.dtype(np.float64)}


def test_value_and_gradient_of_one_function():
    calls = []

    def both(x, center):
        calls.append(x)
        return bowl(x, center), slope(x, center)

    result = fastopt.minimize(both, np.zeros(2), (1.0,), jac=True, lr=0.1, steps=20)
    other = fastopt.minimize(bowl, np.zeros(2), (1.0,), jac=slope, lr=0.1, steps=20)
    assert (result.x == other.x).all()
    assert len(calls) == result.nfev == 21
    by_scipy = optimize.minimize(
        both, np.zeros(2), (1.0,), jac=True, method=fastopt.scipy_method(lr=0.1), options={"steps": 20}
    )
    assert (by_scipy.x == result.x).all()


def test_arguments_that_are_no_tuple():
    assert fastopt.minimize(bowl, [0.0], 1.0, jac=slope, lr=0.1, steps=0).fun == bowl(np.zeros(1), 1.0)


def test_what_is_handed_out_may_be_kept_and_changed():
    kept = []

    def fun(x):
        kept.append(x)
        return bowl(x)

    def jac(x):
        grad = slope(x)
        x[:] = np.nan
        return grad

    path = []
    result = fastopt.minimize(fun, np.zeros(1), jac=jac, lr=0.1, steps=5, callback=path.append, return_all=True)
    assert len({float(x[0]) for x in kept}) == 6
    assert [x.tolist() for x in path] == [x.tolist() for x in result.allvecs[1:]]
    assert result.allvecs[0].tolist() == [0.0]
    assert result.allvecs[-1].tolist() == result.x.tolist()


def test_a_gradient_array_that_is_used_again():
    grad = np.empty(2)

    def jac(x):
        grad[:] = slope(x)
        return grad

    results = []
    fastopt.minimize(
        bowl,
        np.zeros(2),
        jac=jac,
        lr=0.1,
        steps=3,
        callback=lambda intermediate_result: results.append(intermediate_result),
    )
    assert len({tuple(result.jac) for result in results}) == 3
    assert [result.nit for result in results] == [1, 2, 3]
    assert [result.fun for result in results] == [bowl(result.x) for result in results]


@pytest.mark.parametrize("stop", ["raise", True, np.True_])
def test_callbacks_end_the_run(stop):
    def callback(x):
        if x[0] > 1:
            if stop == "raise":
                raise StopIteration
            return stop
        return None

    result = fastopt.minimize(bowl, np.zeros(2), jac=slope, lr=0.3, callback=callback)
    assert 1 < result.x[0] < 1.5
    assert (result.status, result.success) == (99, False)
    assert result.message.startswith("`callback`")


def test_the_gradient_within_gtol_is_the_end():
    result = fastopt.minimize(bowl, np.zeros(2), jac=slope, optimizer=fastopt.SGD, lr=0.25, gtol=1e-3)
    assert (result.status, result.success, result.message) == (0, True, "The gradient is within gtol.")
    assert np.abs(result.jac).max() <= 1e-3
    assert result.nit < 20
    few = fastopt.minimize(bowl, np.zeros(2), jac=slope, optimizer=fastopt.SGD, lr=0.25, gtol=1e-3, steps=3)
    assert (few.status, few.success) == (1, False)
    method = fastopt.scipy_method(fastopt.SGD, lr=0.25)
    by_scipy = optimize.minimize(bowl, np.zeros(2), jac=slope, method=method, tol=1e-3)
    assert by_scipy.nit == result.nit


def test_no_steps():
    result = fastopt.minimize(bowl, np.full(2, 5.0), jac=slope, steps=0)
    assert (result.x.tolist(), result.nit, result.nfev) == ([5.0, 5.0], 0, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_ends_the_run(value):
    def fun(x):
        return value if x[0] > 0.25 else bowl(x)

    result = fastopt.minimize(fun, np.zeros(1), jac=slope, lr=0.1)
    assert (result.status, result.success, result.nit) == (3, False, 3)
    assert result.message == f"The value after 3 steps is {value}."
    result = fastopt.minimize(bowl, np.zeros(1), jac=lambda x: slope(x) * np.nan, lr=0.1)
    assert (result.status, result.message) == (3, "The gradient after 0 steps is not finite.")


def test_a_gradient_beyond_float32_ends_the_run_without_a_warning():
    result = fastopt.minimize(bowl, np.zeros(1, np.float32), jac=lambda x: np.array([1e300]))
    assert (result.status, result.message) == (3, "The gradient after 0 steps is not finite.")


def test_rates_are_schedules():
    rate = CosineAnnealing(0.1, T_max=200, cycle=False)
    result = fastopt.minimize(bowl, np.zeros(2), jac=slope, lr=rate, steps=200)
    constant = fastopt.minimize(bowl, np.zeros(2), jac=slope, lr=0.1, steps=200)
    assert not (result.x == constant.x).all()
    np.testing.assert_allclose(result.x, 3, atol=1e-2)
    plateau = ReduceOnPlateau(0.5, factor=0.5, patience=0)
    fastopt.minimize(
        lambda x: float(abs(x).sum()), np.ones(1), jac=np.sign, optimizer=fastopt.SGD, lr=plateau, steps=30
    )
    assert plateau(0) < 1e-3


def test_float32_stays_and_integers_become_float64():
    assert fastopt.minimize(bowl, np.zeros(2, np.float32), jac=slope, lr=0.1, steps=2).x.dtype == np.float32
    assert fastopt.minimize(bowl, [0, 1], jac=slope, lr=0.1, steps=2).x.dtype == np.float64
    assert fastopt.minimize(bowl, 0, jac=slope, lr=0.1, steps=2).x.shape == (1,)


def test_disp_prints_the_end(capsys):
    fastopt.minimize(bowl, np.zeros(1), jac=slope, lr=0.1, steps=2, disp=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "All steps are done."
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["fun", "nit", "nfev", "njev"]


def test_any_maker_of_optimizers():
    from fastopt.compat import optax

    result = fastopt.minimize(bowl, np.zeros(1), jac=slope, optimizer=optax.adam, learning_rate=0.1, steps=5)
    np.testing.assert_allclose(result.x, 0.5, atol=0.01)


REFUSED = [
    (lambda: fastopt.minimize(3, [0.0]), TypeError, "fun: expected a function, got 3"),
    (
        lambda: fastopt.minimize(bowl, [0.0], jac=3),
        ValueError,
        "jac: expected a function, True, None or '2-point', got 3",
    ),
    (lambda: fastopt.minimize(bowl, [0.0], jac="3-point"), ValueError, "jac: expected a function, .*, got '3-point'"),
    (lambda: fastopt.minimize(bowl, [[0.0]]), ValueError, r"x0: expected one dimension, .*, got shape \(1, 1\)"),
    (lambda: fastopt.minimize(bowl, []), ValueError, "x0: expected at least one number, got none"),
    (lambda: fastopt.minimize(bowl, [1j]), TypeError, "x0: expected float32 or float64, .*, got complex128"),
    (lambda: fastopt.minimize(bowl, ["a"]), TypeError, "x0: expected float32 or float64, .*, got <U1"),
    (lambda: fastopt.minimize(bowl, [np.nan]), ValueError, "x0: expected finite numbers, got nan"),
    (lambda: fastopt.minimize(bowl, [0.0], callback=3), TypeError, "callback: expected a function, got 3"),
    (lambda: fastopt.minimize(bowl, [0.0], optimizer=3), TypeError, "optimizer: expected a class such as fastopt.Adam"),
    (
        lambda: fastopt.minimize(bowl, [0.0], optimizer=lambda x: x),
        TypeError,
        "optimizer: expected a class such as fastopt",
    ),
    (
        lambda: fastopt.minimize(bowl, [0.0], optimizer=lambda x: fastopt.SGD(x.copy())),
        ValueError,
        "optimizer: expected one that updates the array it was given, got <SGD",
    ),
    (lambda: fastopt.minimize(bowl, [0.0], steps=-1), ValueError, "steps: expected an integer >= 0, got -1"),
    (lambda: fastopt.minimize(bowl, [0.0], gtol=-1.0), ValueError, "gtol: expected a finite number >= 0, got -1.0"),
    (lambda: fastopt.minimize(bowl, [0.0], lr=-1.0), ValueError, "lr: expected a finite number >= 0, got -1.0"),
    (lambda: fastopt.minimize(bowl, [0.0], rate=1.0), TypeError, ".*unexpected keyword argument 'rate'"),
    (lambda: fastopt.minimize(bowl, [0.0], steps=1, maxiter=2), ValueError, "maxiter: expected none beside steps"),
    (
        lambda: fastopt.minimize(bowl, [0.0], jac=lambda x: np.ones(2)),
        ValueError,
        r"jac: expected a gradient of the shape of x0, \(1,\), got \(2,\)",
    ),
    (lambda: fastopt.minimize(bowl, [0.0], jac=lambda x: [1j]), TypeError, "jac: expected a gradient of real numbers"),
    (lambda: fastopt.minimize(bowl, [0.0], jac=True), TypeError, "fun: expected value and gradient, since jac is True"),
    (lambda: fastopt.minimize(lambda x: "a", [0.0], jac=slope), TypeError, "fun: expected a number, got 'a'"),
    (
        lambda: fastopt.minimize(lambda x: np.ones(2), [0.0], jac=slope),
        ValueError,
        r"fun: expected a number, got an array of shape \(2,\)",
    ),
    (
        lambda: optimize.minimize(bowl, [0.0], jac=slope, method=fastopt.scipy_method(), bounds=[(0, 1)]),
        ValueError,
        "bounds: expected none, since the optimizers take only gradients",
    ),
    (
        lambda: optimize.minimize(bowl, [0.0], jac=slope, hess=np.eye, method=fastopt.scipy_method()),
        ValueError,
        "hess: expected none, since the optimizers take only gradients",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


def test_scipy_that_is_missing_is_told_to_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ModuleNotFoundError, match=r'^fastopt.minimize needs scipy: pip install "fastopt\[scipy\]"'):
        fastopt.minimize(bowl, [0.0], jac=slope)
