"""`fastopt.compat.sklearn` against ``sklearn.neural_network``: the same weights, whatever the options and the data."""

import copy
import inspect
import pickle
from functools import partial

import numpy as np
import pytest
from harness import assert_same_bits, run_python
from hypothesis import given
from hypothesis import strategies as st

import fastopt
from fastopt import schedules

sklearn = pytest.importorskip("sklearn", reason="the estimators are scikit-learn's")
import sklearn.neural_network as theirs  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.neural_network import _multilayer_perceptron, _stochastic_optimizers  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils import estimator_checks  # noqa: E402

from fastopt.compat import sklearn as ours  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stochastic Optimizer. Maximum iterations",
    "ignore:lbfgs failed",
    "ignore:scipy.optimize. The `disp` and `iprint` options",  # that scikit-learn gives before 1.7
)

STEPS = 1000
each_solver = pytest.mark.parametrize("solver", ours.SOLVERS)
each_estimator = pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])


# The optimizers.

OPTIMIZERS = [
    ("SGDOptimizer", {"learning_rate_init": 0.01}),
    ("SGDOptimizer", {"learning_rate_init": 0.01, "momentum": 0.5, "nesterov": False}),
    ("SGDOptimizer", {"learning_rate_init": 0.01, "momentum": 0}),
    ("SGDOptimizer", {"learning_rate_init": 0.01, "momentum": 0.0, "nesterov": False}),
    ("SGDOptimizer", {"learning_rate_init": 0.01, "momentum": 1}),
    ("SGDOptimizer", {"learning_rate_init": 0.1, "lr_schedule": "invscaling", "power_t": 0.3}),
    ("SGDOptimizer", {"learning_rate_init": 0.1, "lr_schedule": "adaptive", "momentum": 0.7}),
    ("AdamOptimizer", {}),
    ("AdamOptimizer", {"learning_rate_init": 0.01, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4}),
    ("AdamOptimizer", {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 0.1}),
]
each_optimizer = pytest.mark.parametrize(
    ("name", "options"), OPTIMIZERS, ids=[f"{name}-{'-'.join(options)}" for name, options in OPTIMIZERS]
)


def gradients(step, shapes, dtype):
    rng = np.random.default_rng([7, step])
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def states_of(opt):
    return [opt.velocities] if hasattr(opt, "velocities") else [opt.ms, opt.vs]


def run_both(name, options, shapes, dtype, steps, grad_dtype=None, each_step=lambda mine, reference: None):
    """Step fastopt's and scikit-learn's optimizer over parameters of their own; return these, then the optimizers."""
    twins = [[array.copy() for array in gradients(10**6, shapes, dtype)] for _ in range(2)]
    opts = [
        getattr(module, name)(params, **options)
        for module, params in zip((ours, _stochastic_optimizers), twins, strict=True)
    ]
    for step in range(steps):
        grads = gradients(step, shapes, grad_dtype or dtype)
        for opt, params in zip(opts, twins, strict=True):
            opt.update_params(params, [grad.copy() for grad in grads])
            if step % 10 == 9:
                opt.iteration_ends(step)
                if step % 100 == 99:
                    opt.trigger_stopping("", False)
        each_step(*twins)
    return *twins, *opts


def assert_equal_arrays(mine, reference):
    """Bit for bit, but for the sign of zeros."""
    for one, other in zip(mine, reference, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def assert_close_arrays(mine, reference, rtol=1e-9):
    for one, other in zip(mine, reference, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


@each_optimizer
def test_every_step_is_theirs(name, options):
    shapes = [(3, 4), (4, 1), (4,), (1,), (0, 2)]
    compare = assert_equal_arrays if name == "SGDOptimizer" else assert_close_arrays
    *_, mine, reference = run_both(name, options, shapes, np.float64, STEPS, each_step=compare)
    assert mine.learning_rate == pytest.approx(reference.learning_rate, rel=1e-15)
    for own, other in zip(states_of(mine), states_of(reference), strict=True):
        compare(own, other)


@each_optimizer
@pytest.mark.parametrize("grad_dtype", [np.float32, np.float64])
def test_float32_parameters(name, options, grad_dtype):
    """With float64 gradients, scikit-learn computes in float64, keeps its state so, and rounds the parameter alone."""
    *twins, mine, reference = run_both(name, options, [(3, 4), (4,)], np.float32, 50, grad_dtype)
    compare = assert_equal_arrays if name == "SGDOptimizer" else partial(assert_close_arrays, rtol=1e-5)
    compare(*twins)
    for own, other in zip(states_of(mine), states_of(reference), strict=True):
        compare(own, other)
        assert {array.dtype for array in own} == {np.dtype(grad_dtype)}


def test_gradients_of_two_dtypes():
    """As weights of samples make them: float32 for the weights, float64 for the intercepts."""
    params, reference = ([np.ones((3, 2), "f"), np.ones(2, "f")] for _ in range(2))
    opts = ours.SGDOptimizer(params), _stochastic_optimizers.SGDOptimizer(reference)
    for step in range(20):
        first, second = gradients(step, [(3, 2), (2,)], np.float64)
        for opt, own in zip(opts, (params, reference), strict=True):
            opt.update_params(own, [first.astype("f"), second])
    assert_equal_arrays(params, reference)
    assert_equal_arrays(*[opt.velocities for opt in opts])
    assert [velocity.dtype for velocity in opts[0].velocities] == [np.float32, np.float64]


def test_hyper_parameters_of_numpy():
    """Scalars, as from ``np.linspace`` in a grid; with theirs scikit-learn's velocities of float32 become float64."""
    options = {"momentum": np.float64(0.9), "learning_rate_init": np.float64(0.1)}
    compares = {np.float64: assert_equal_arrays, np.float32: partial(assert_close_arrays, rtol=1e-5)}
    for dtype, compare in compares.items():
        *twins, mine, _ = run_both("SGDOptimizer", options, [(3, 4)], dtype, 20)
        compare(*twins)
        assert mine.velocities[0].dtype == dtype


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=4),
    dtype=st.sampled_from([np.float32, np.float64]),
    rate=st.floats(1e-6, 1.0),
    momentum=st.floats(0.0, 1.0),
    nesterov=st.booleans(),
)
def test_any_shapes_and_numbers(shapes, dtype, rate, momentum, nesterov):
    options = {"learning_rate_init": rate, "momentum": momentum, "nesterov": nesterov}
    *twins, mine, reference = run_both("SGDOptimizer", options, shapes, dtype, 5)
    assert_equal_arrays(*twins)
    assert_equal_arrays(mine.velocities, reference.velocities)


def test_state_from_outside_as_in_their_tests():
    """Theirs for Adam asks for the same bits, and for ``beta_2=1``; here it is equal to rounding, and below 1."""
    rng = np.random.default_rng(0)
    for beta_2 in (0.9, 0.99, 0.999):
        ms, vs, grads = ([rng.random(shape) for shape in [(4, 6), (7, 8, 9)]] for _ in range(3))
        results = []
        for module in (ours, _stochastic_optimizers):
            params = [np.zeros_like(m) for m in ms]
            opt = module.AdamOptimizer(params, 0.01, 0.9, beta_2, 1e-8)
            opt.ms, opt.vs, opt.t = copy.deepcopy(ms), copy.deepcopy(vs), 9
            opt.update_params(params, grads)
            results.append((params, opt.ms, opt.vs, [np.array([opt.t, opt.learning_rate])]))
        for own, other in zip(*results, strict=True):
            assert_close_arrays(own, other, rtol=1e-14)


@pytest.mark.parametrize("test", ["no_momentum", "momentum", "trigger_stopping", "nesterovs_momentum"])
def test_their_tests_of_the_optimizers(test, monkeypatch):
    module = pytest.importorskip("sklearn.neural_network.tests.test_stochastic_optimizers")
    monkeypatch.setattr(module, "SGDOptimizer", ours.SGDOptimizer)
    getattr(module, f"test_sgd_optimizer_{test}")()


# The estimators with scikit-learn's solvers.


def data(name, dtype=np.float64, targets=1, n=120, features=6):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, features)).astype(dtype)
    scores = X @ rng.normal(size=(features, max(targets, 3)))
    if name == "MLPRegressor":
        return X, scores[:, :targets].squeeze() + 0.1 * rng.normal(size=(n, targets)).squeeze()
    return X, (scores[:, :targets] > 0).astype(int) if targets > 1 else scores.argmax(1)


def both(name, **options):
    options = {"hidden_layer_sizes": (8, 5), "max_iter": 12, "random_state": 0, **options}
    return getattr(ours, name)(**options), getattr(theirs, name)(**options)


def assert_same_fit(mine, reference, solver):
    compare = assert_close_arrays if solver == "adam" else assert_equal_arrays
    compare(mine.coefs_ + mine.intercepts_, reference.coefs_ + reference.intercepts_)
    if solver != "lbfgs":
        np.testing.assert_allclose(mine.loss_curve_, reference.loss_curve_, rtol=1e-9 if solver == "adam" else 0)
    assert mine.n_iter_ == reference.n_iter_


FITS = [
    {},
    {"activation": "tanh", "alpha": 0.1, "batch_size": 7},
    {"activation": "logistic", "shuffle": False, "batch_size": 50},
    {"learning_rate": "invscaling", "learning_rate_init": 0.1, "power_t": 0.25, "batch_size": 20},
    {"learning_rate": "adaptive", "learning_rate_init": 0.1, "tol": 0.1, "n_iter_no_change": 1, "max_iter": 40},
    {"momentum": 0.5, "nesterovs_momentum": False, "batch_size": 30},
    {"momentum": 0.0, "batch_size": 30},
    {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "batch_size": 30},
    {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2, "max_iter": 30},
    {"hidden_layer_sizes": (), "batch_size": 40},
]


@each_estimator
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("options", FITS, ids="-".join)
def test_same_weights_with_the_same_seed(name, solver, options):
    X, y = data(name)
    mine, reference = both(name, solver=solver, **options)
    assert_same_fit(mine.fit(X, y), reference.fit(X, y), solver)
    assert mine.solver == solver
    assert mine.score(X, y) == pytest.approx(reference.score(X, y), rel=1e-9)


@each_estimator
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_thousand_steps(name, solver):
    X, y = data(name)
    options = {"batch_size": 12, "max_iter": 100, "tol": 0.0, "n_iter_no_change": 1000, "activation": "tanh"}
    mine, reference = both(name, solver=solver, **options)
    assert_same_fit(mine.fit(X, y), reference.fit(X, y), solver)


@each_estimator
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_several_targets_and_sparse_features(name, solver):
    sparse = pytest.importorskip("scipy.sparse")
    X, y = data(name, targets=2)
    mine, reference = both(name, solver=solver)
    X = sparse.csr_array(np.where(abs(X) < 0.5, 0, X)) if hasattr(sparse, "csr_array") else X
    assert_same_fit(mine.fit(X, y), reference.fit(X, y), solver)


@each_estimator
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_warm_start_and_partial_fit(name, solver):
    X, y = data(name)
    classes = {"classes": np.unique(y)} if name == "MLPClassifier" else {}
    mine, reference = both(name, solver=solver, warm_start=True)
    for _ in range(3):
        assert_same_fit(mine.fit(X, y), reference.fit(X, y), solver)
        assert_same_fit(mine.partial_fit(X[:50], y[:50]), reference.partial_fit(X[:50], y[:50]), solver)
    mine, reference = both(name, solver=solver)
    for start in range(0, 120, 40):
        part = slice(start, start + 40)
        for net in (mine, reference):
            net.partial_fit(X[part], y[part], **(classes if start == 0 else {}))
    assert_same_fit(mine, reference, solver)


@each_estimator
def test_from_one_solver_to_another(name):
    """The weights that L-BFGS leaves are views of one vector."""
    X, y = data(name)
    mine, reference = both(name, warm_start=True)
    for solver in ("sgd", "lbfgs", "sgd"):
        for net in (mine, reference):
            net.set_params(solver=solver).fit(X, y)
        assert_same_fit(mine, reference, solver)


@each_estimator
@pytest.mark.parametrize("weights", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_float32_and_weights_of_samples(name, solver, weights):
    X, y = data(name, np.float32)
    given = {}
    if "sample_weight" in inspect.signature(getattr(theirs, name).fit).parameters:  # scikit-learn 1.7
        given["sample_weight"] = np.random.default_rng(0).uniform(0.5, 2, len(X)).astype(weights)
    mine, reference = both(name, solver=solver, batch_size=30)
    for net in (mine, reference):
        net.fit(X, y, **given)
    assert {array.dtype for array in mine.coefs_} == {np.dtype("f")}
    if solver == "sgd":
        assert_same_fit(mine, reference, solver)
    else:
        assert_close_arrays(mine.coefs_ + mine.intercepts_, reference.coefs_ + reference.intercepts_, rtol=1e-4)


# All other optimizers, by name.


@each_solver
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_every_optimizer_trains(name, solver):
    X, y = data(name)
    rates = {"adadelta": 1.0, "ftrl": 0.1}
    net, _ = both(name, solver=solver, learning_rate_init=rates.get(solver, 0.003), max_iter=60)
    net.set_params(batch_size=20).fit(X, y)
    assert net.loss_curve_[-1] < 0.9 * net.loss_curve_[0]
    assert net.solver == solver
    assert net.n_iter_ == len(net.loss_curve_)
    assert "_make" not in vars(net)


@each_solver
def test_a_rule_is_that_of_the_class(solver):
    cls = ours.SOLVERS[solver]
    params, reference = ([np.ones((3, 2)), np.ones(2)] for _ in range(2))
    mine, expected = ours.RuleOptimizer(cls(params), params, 0.01), cls(reference, lr=0.01)
    for step in range(20):
        grads = gradients(step, [(3, 2), (2,)], np.float64)
        mine.update_params(params, grads)
        expected.step(grads)
    for one, other in zip(params, reference, strict=True):
        assert_same_bits(one, other)


@each_estimator
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive", schedules.Constant(0.05)], ids=str)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"solver": "sgd"}, {"solver": "sgd", "solver_params": {"weight_decay": 0.0}}),
        ({"solver": "sgd", "momentum": 0.0}, {"solver": "sgd", "momentum": 0.0, "solver_params": {"decoupled": True}}),
        ({"solver": "adam"}, {"solver": "adam", "solver_params": {"weight_decay": 0.0}}),
    ],
    ids=["sgd", "sgd without momentum", "adam"],
)
def test_options_that_change_nothing(name, learning_rate, one, other):
    """The two ways to make an optimizer are one to the bit."""
    X, y = data(name)
    common = {"learning_rate": learning_rate, "learning_rate_init": 0.05, "tol": 0.1, "n_iter_no_change": 1}
    common |= {"hidden_layer_sizes": (8,), "batch_size": 20, "max_iter": 30, "random_state": 0}
    first = getattr(ours, name)(**common, **one).fit(X, y)
    second = getattr(ours, name)(**common, **{**one, **other}).fit(X, y)
    for own, twin in zip(first.coefs_ + first.intercepts_, second.coefs_ + second.intercepts_, strict=True):
        assert_same_bits(own, twin)
    assert first.loss_curve_ == second.loss_curve_
    assert first._optimizer.learning_rate == pytest.approx(second._optimizer.learning_rate) or one["solver"] == "adam"


@each_estimator
def test_adamw_without_decay_is_adam(name):
    """Scikit-learn's parameters, and its place for epsilon, are AdamW's too."""
    X, y = data(name)
    mine, reference = both(name, solver="adamw", beta_1=0.8, epsilon=0.1, batch_size=20)
    mine.set_params(solver_params={"weight_decay": 0.0})
    assert_same_fit(mine.fit(X, y), reference.set_params(solver="adam").fit(X, y), "adam")


def test_hyper_parameters_have_one_place():
    X, y = data("MLPClassifier")
    net = ours.MLPClassifier((4,), solver="adamw", max_iter=1, beta_1=0.8, epsilon=1e-6, learning_rate_init=0.01)
    found = net.set_params(solver_params={"amsgrad": True, "weight_decay": 0.3}).fit(X, y)._optimizer.optimizer
    assert type(found) is fastopt.AdamW
    expected = {"lr": 0.01, "betas": (0.8, 0.999), "eps": 1e-6, "eps_hat": True, "amsgrad": True, "weight_decay": 0.3}
    assert found.groups[0].hyper_parameters() == {**expected, "decoupled": True, "cautious": False}
    net = ours.MLPClassifier((4,), solver="rmsprop", max_iter=1, solver_params={"alpha": 0.9}).fit(X, y)
    found = net._optimizer.optimizer.groups[0].hyper_parameters()
    assert (found["alpha"], found["momentum"], found["lr"]) == (0.9, 0.0, 0.001)


# Schedules.


@each_solver
def test_a_schedule_counts_batches(solver):
    X, y = data("MLPRegressor")
    rates = []

    def schedule(step):
        rates.append(step)
        return 0.01 / (1 + step)

    net = ours.MLPRegressor(hidden_layer_sizes=(4,), solver=solver, batch_size=30, max_iter=3, random_state=0)
    net.set_params(learning_rate=schedule).fit(X, y)
    assert net._optimizer.optimizer.steps == 12
    assert max(rates) == 12
    assert net._optimizer.learning_rate == 0.01 / 13
    twin = clone(net).set_params(learning_rate=schedules.InverseTimeDecay(0.01, decay=1.0)).fit(X, y)
    for one, other in zip(net.coefs_, twin.coefs_, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize(("mode", "early_stopping"), [("min", False), ("max", True)])
def test_a_schedule_that_follows_a_metric(mode, early_stopping):
    X, y = data("MLPClassifier")
    rate = schedules.ReduceOnPlateau(0.05, mode=mode, patience=0, factor=0.5, threshold=0.2)
    net = ours.MLPClassifier((6,), learning_rate=rate, early_stopping=early_stopping, max_iter=20, random_state=0)
    net.fit(X, y)
    expected = schedules.ReduceOnPlateau(0.05, mode=mode, patience=0, factor=0.5, threshold=0.2)
    for metric in net.validation_scores_ if early_stopping else net.loss_curve_:
        expected.update(metric)
    assert net._optimizer.learning_rate == expected(0) < 0.05
    assert rate == schedules.ReduceOnPlateau(0.05, mode=mode, patience=0, factor=0.5, threshold=0.2)
    weights = [array.copy() for array in net.coefs_]
    for one, other in zip(weights, net.fit(X, y).coefs_, strict=True):  # a fit begins anew
        assert_same_bits(one, other)


# What scikit-learn's tools do with estimators.


@each_estimator
def test_parameters_are_theirs_and_stored_untouched(name):
    mine, reference = getattr(ours, name)(), getattr(theirs, name)()
    assert mine.get_params() == {**reference.get_params(), "solver_params": None}
    names = [[*inspect.signature(type(net)).parameters] for net in (mine, reference)]
    assert names[0] == [*names[1], "solver_params"]
    assert isinstance(mine, type(reference))
    given = {"weight_decay": 0.1}
    rate = schedules.Constant(0.1)
    net = getattr(ours, name)(solver="adamw", solver_params=given, learning_rate=rate, hidden_layer_sizes=(3,))
    assert net.solver_params is given
    assert net.learning_rate is rate
    net.set_params(max_iter=1).fit(*data(name))
    assert net.solver_params is given
    assert given == {"weight_decay": 0.1}
    assert clone(net).get_params() == net.get_params()
    assert "weight_decay" in repr(net)
    with pytest.raises(TypeError, match="unexpected keyword argument 'optimizer'"):
        getattr(ours, name)(optimizer="adam")


def test_grid_search_in_a_pipeline():
    X, y = data("MLPClassifier")
    grid = {
        "mlpclassifier__solver": ["adam", "lion", "adamw"],
        "mlpclassifier__solver_params": [None, {"weight_decay": 0.1}],
    }
    net = ours.MLPClassifier((5,), max_iter=5, random_state=0)
    search = GridSearchCV(make_pipeline(StandardScaler(), net), grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_.keys() == grid.keys()


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda net: pickle.loads(pickle.dumps(net))}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("rate", ["constant", schedules.ReduceOnPlateau(0.01, patience=0, threshold=0.1)], ids=str)
@each_solver
def test_a_copy_goes_on_with_the_same_bits(solver, rate, how):
    X, y = data("MLPRegressor")
    net = ours.MLPRegressor(hidden_layer_sizes=(5,), solver=solver, learning_rate=rate, random_state=0, batch_size=30)
    for _ in range(3):
        net.partial_fit(X, y)
    twin = COPIES[how](net)
    for _ in range(3):
        for each in (net, twin):
            each.partial_fit(X, y)
        for one, other in zip(net.coefs_ + net.intercepts_, twin.coefs_ + twin.intercepts_, strict=True):
            assert_same_bits(one, other)
    again = COPIES[how](COPIES[how](twin))  # a copy of what has not stepped yet
    for each in (net, again):
        each.partial_fit(X, y)
    for one, other in zip(net.coefs_, again.coefs_, strict=True):
        assert_same_bits(one, other)


@each_solver
def test_a_copy_starts_warm_with_the_same_bits(solver):
    X, y = data("MLPClassifier")
    net = ours.MLPClassifier((5,), solver=solver, random_state=0, max_iter=3, warm_start=True).fit(X, y)
    twin = pickle.loads(pickle.dumps(net))
    for one, other in zip(net.fit(X, y).coefs_, twin.fit(X, y).coefs_, strict=True):
        assert_same_bits(one, other)


@each_solver
def test_weights_may_be_replaced_between_fits(solver):
    """By hand, or by early stopping, which goes back to the best ones: the state goes on."""
    X, y = data("MLPRegressor")
    options = {"hidden_layer_sizes": (5,), "solver": solver, "random_state": 0, "max_iter": 5}
    net = ours.MLPRegressor(**options, early_stopping=True).fit(X, y).set_params(early_stopping=False)
    net.best_loss_ = np.inf  # which scikit-learn has not after early stopping
    net.partial_fit(X, y)
    twin = copy.deepcopy(net)
    net.coefs_[0] = net.coefs_[0].copy()
    for each in (net, twin):
        each.partial_fit(X, y)
    for one, other in zip(net.coefs_, twin.coefs_, strict=True):
        assert_same_bits(one, other)


@each_estimator
def test_estimator_checks_end_as_theirs(name):
    if "on_fail" not in inspect.signature(estimator_checks.check_estimator).parameters:
        pytest.skip("scikit-learn 1.6 and newer list the results")
    results = []
    for module in (ours, theirs):
        net = getattr(module, name)(hidden_layer_sizes=(6,), max_iter=30)
        found = estimator_checks.check_estimator(net, on_skip=None, on_fail=None)
        results.append([(result["check_name"], result["status"]) for result in found])
    assert results[0] == results[1]
    assert len(results[0]) > 40


def test_their_tests_pass_under_patch():
    code, words, errors = run_python(
        """
        import sys
        import pytest
        from fastopt.compat import sklearn

        with sklearn.patch():
            options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", "ignore"]
            sys.exit(pytest.main([*options, "--pyargs", "sklearn.neural_network.tests.test_mlp"]))
        """
    )
    assert code == 0, (words, errors)


# The context.


def test_patch_replaces_and_restores():
    before = theirs.MLPClassifier, theirs.MLPRegressor
    optimizers = _multilayer_perceptron.SGDOptimizer, _multilayer_perceptron.AdamOptimizer
    with ours.patch():
        assert (theirs.MLPClassifier, theirs.MLPRegressor) == (ours.MLPClassifier, ours.MLPRegressor)
        with ours.patch():
            assert theirs.MLPClassifier is ours.MLPClassifier
        assert theirs.MLPClassifier is ours.MLPClassifier
    assert (theirs.MLPClassifier, theirs.MLPRegressor) == before
    with pytest.raises(KeyError), ours.patch():
        raise KeyError
    assert (theirs.MLPClassifier, theirs.MLPRegressor) == before
    assert (_multilayer_perceptron.SGDOptimizer, _multilayer_perceptron.AdamOptimizer) == optimizers

    @ours.patch()
    def made():
        return theirs.MLPClassifier

    assert made() is ours.MLPClassifier


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_patch_trains_estimators_of_their_own_class(solver):
    X, y = data("MLPRegressor")
    _, reference = both("MLPRegressor", solver=solver)
    patched = clone(reference)
    with ours.patch():
        patched.fit(X, y)
        patched = pickle.loads(pickle.dumps(patched))
    assert type(patched) is theirs.MLPRegressor
    assert type(patched._optimizer) is {"sgd": ours.SGDOptimizer, "adam": ours.AdamOptimizer}[solver]
    assert_same_fit(patched, reference.fit(X, y), solver)


# What is refused.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"solver": "adamax2"},
            r"The 'solver' parameter of MLPClassifier must be a str among .*'lion'.* Got 'adamax2'",
        ),
        (
            {"learning_rate": "cosine"},
            "The 'learning_rate' parameter of MLPClassifier must be .*callable. Got 'cosine'",
        ),
        (
            {"solver_params": [1]},
            "The 'solver_params' parameter of MLPClassifier must be an instance of 'dict' or None",
        ),
        ({"solver": "lbfgs", "solver_params": {}}, r"solver_params: expected None with solver='lbfgs', got {}"),
        (
            {"solver": "lbfgs", "learning_rate": schedules.Constant(0.1)},
            r"learning_rate: expected no schedule with solver='lbfgs', got Constant\(lr=0.1\)",
        ),
        (
            {"solver_params": {"betas": (0.5, 0.5)}},
            r"solver_params: expected no 'betas', which the estimator's own parameters set, got \(0.5, 0.5\)",
        ),
        (
            {"solver": "lion", "solver_params": {"lr": 0.1}},
            "solver_params: expected no 'lr', which the estimator's own parameters set, got 0.1",
        ),
        (
            {"solver": "lion", "solver_params": {"rho": 0.1}},
            "solver_params: expected hyper-parameters of Lion, among betas, cautious, weight_decay, got 'rho'",
        ),
        (
            {"solver": "lion", "solver_params": {"steps": 3}},
            "solver_params: expected hyper-parameters of Lion, among betas, cautious, weight_decay, got 'steps'",
        ),
        (
            {"solver": "adamw", "solver_params": {"weight_decay": -1}},
            "weight_decay: expected a finite number >= 0, got -1",
        ),
        (
            {"solver": "sgd", "solver_params": {"dampening": 0.5}},
            "dampening: expected 0 with lr_in_velocity, got 0.5",
        ),
        (
            {"learning_rate": schedules.ReduceOnPlateau(0.1, mode="max")},
            r"ReduceOnPlateau: monitor: expected one of 'loss', got 'val_score', the default in mode 'max' "
            r"\(it needs early_stopping=True\)",
        ),
        (
            {"learning_rate": schedules.ReduceOnPlateau(0.1, monitor="accuracy"), "early_stopping": True},
            "ReduceOnPlateau: monitor: expected one of 'loss', 'val_score', got 'accuracy'",
        ),
        ({"learning_rate": lambda step: -1.0}, "lr: expected a finite number >= 0, got -1.0"),
    ],
)
def test_what_an_estimator_refuses(options, message):
    X, y = data("MLPClassifier")
    net = ours.MLPClassifier((3,), **options)
    with pytest.raises(ValueError, match=f"^{message}"):
        net.fit(X, y)
    assert net.get_params() == {**ours.MLPClassifier((3,)).get_params(), **options}
    assert "_make" not in vars(net)


def test_a_class_is_no_schedule():
    net = ours.MLPClassifier((3,), learning_rate=schedules.Constant)
    with pytest.raises(TypeError, match=r"^learning_rate: expected a schedule such as Constant\(0.1\), got <class"):
        net.fit(*data("MLPClassifier"))


def test_lbfgs_has_no_partial_fit():
    X, y = data("MLPClassifier")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'"):
        ours.MLPClassifier(solver="lbfgs").partial_fit(X, y)
    assert ours.MLPClassifier(solver="lion").partial_fit(X, y, classes=np.unique(y)).n_iter_ == 1


def test_a_scikit_learn_without_what_is_relied_on():
    private = [
        "sklearn.neural_network._multilayer_perceptron.BaseMultilayerPerceptron._fit",
        "sklearn.neural_network._multilayer_perceptron.SGDOptimizer",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.utils._param_validation.StrOptions",
        "sklearn.neural_network._stochastic_optimizers",
    ]
    code, words, errors = run_python(
        f"""
        import pkgutil, sys, sklearn.neural_network

        for name in {private}:
            holder, _, last = name.rpartition(".")
            found = pkgutil.resolve_name(holder)
            value = vars(found)[last]
            delattr(found, last)
            if name in sys.modules:
                sys.modules[name] = None
            try:
                import fastopt.compat.sklearn
            except ImportError as error:
                print(error)
            setattr(found, last, value)
        """
    )
    message = "fastopt.compat.sklearn: expected scikit-learn 1.4.2 or newer, with {}, got {} without"
    assert " ".join(words) == " ".join(message.format(name, sklearn.__version__) for name in private), errors
    assert code == 0


def test_scikit_learn_is_missing():
    _, words, errors = run_python(
        """
        import sys

        sys.modules["sklearn"] = None
        try:
            import fastopt.compat.sklearn
        except ModuleNotFoundError as error:
            print(error)
        """
    )
    assert " ".join(words) == 'fastopt.compat.sklearn needs scikit-learn: pip install "fastopt[sklearn]"', errors


def test_names_of_optimizers_come_from_fastopt():
    assert set(ours.SOLVERS.values()) == {getattr(fastopt.optimizers, name) for name in fastopt.optimizers.__all__} - {
        fastopt.Optimizer,
        fastopt.Rprop,
    }
