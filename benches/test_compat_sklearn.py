"""What the estimators of `fastopt.compat.sklearn` gain over scikit-learn's own: steps of the optimizer, and whole fits.

The tables that pytest-benchmark prints have the ratios in brackets, of each contender to the fastest. Columns to read
are Min and Median. All runs on one thread; BLAS takes its number from ``OPENBLAS_NUM_THREADS``.
"""

import warnings

import numpy as np
import pytest

import fastopt

theirs = pytest.importorskip("sklearn.neural_network")
stochastic = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
compat = pytest.importorskip("fastopt.compat.sklearn")

MODELS = {
    "784-512-10": [(784, 512), (512, 10), (512,), (10,)],
    "64-100-10": [(64, 100), (100, 10), (100,), (10,)],
}
DTYPES = ["float32", "float64"]
CONTENDERS = {"fastopt": (compat, compat), "scikit-learn": (theirs, stochastic)}

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_contender = pytest.mark.parametrize("contender", CONTENDERS)


@pytest.fixture(autouse=True)
def one_thread():
    before = fastopt.get_num_threads()
    fastopt.set_num_threads(1)
    yield
    fastopt.set_num_threads(before)


@each_contender
@each_dtype
@pytest.mark.parametrize("optimizer", ["SGDOptimizer", "AdamOptimizer"])
@pytest.mark.parametrize("model", MODELS)
def test_step(benchmark, model, optimizer, dtype, contender):
    rng = np.random.default_rng(0)
    params, grads = ([rng.normal(size=shape).astype(dtype) for shape in MODELS[model]] for _ in range(2))
    opt = getattr(CONTENDERS[contender][1], optimizer)(params, 1e-6)
    benchmark.group, benchmark.name = f"{optimizer}, {model}, {dtype}", contender
    benchmark(opt.update_params, params, grads)


@pytest.mark.parametrize("contender", [*CONTENDERS, "no optimizer"])
@each_dtype
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_fit(benchmark, request, monkeypatch, solver, dtype, contender):
    """One epoch over 6,000 x 784, with --full over 60,000: batches of 128, 512 hidden units, 10 classes.

    Without an optimizer there are the forward and backward passes alone.
    """
    rng = np.random.default_rng(0)
    rows = 60_000 if request.config.getoption("level") == "full" else 6_000
    X, y = rng.random((rows, 784)).astype(dtype), rng.integers(0, 10, rows)
    module = theirs
    if contender == "no optimizer":
        monkeypatch.setattr(stochastic.BaseOptimizer, "update_params", lambda *_: None)
    else:
        module, _ = CONTENDERS[contender]
    net = module.MLPClassifier((512,), solver=solver, batch_size=128, max_iter=1, random_state=0)
    benchmark.group, benchmark.name = f"fit, {solver}, {dtype}", contender
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one epoch is not enough
        benchmark.pedantic(net.fit, (X, y), rounds=4, warmup_rounds=1)
