"""An update of Adam over arrays that are there: `fastopt.compat.optax` beside optax's jitted update.

The tables that pytest-benchmark prints have the ratios in brackets, of each contender to the fastest. Columns to read
are Min and Median. JAX takes the number of its threads from the machine; fastopt runs with one and with all.
"""

import numpy as np
import pytest

import fastopt
from fastopt.compat import optax as compat

MODELS = {
    "64": [(64,)],
    "784-512-10": [(784, 512), (512,), (512, 10), (10,)],
    "80 x 1,000": [(1000,)] * 80,
    "4,000,000": [(2000, 2000)],
}


def by_fastopt(params, grads):
    opt = compat.adam(params, 1e-3)
    return lambda: opt.step(grads)


def by_optax(params, grads):
    jax = pytest.importorskip("jax", reason="optax computes with JAX")
    optax = pytest.importorskip("optax")
    optimizer = optax.adam(1e-3)

    def update(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    update = jax.jit(update, donate_argnums=(0, 1))
    grads = [jax.numpy.array(grad) for grad in grads]
    params = [jax.numpy.array(param) for param in params]
    carried = [params, optimizer.init(params)]

    def step():
        carried[:] = update(*carried, grads)
        jax.block_until_ready(carried)

    return step


CONTENDERS = {
    **{f"fastopt, threads: {n}": (by_fastopt, n) for n in sorted({1, fastopt.get_num_threads()})},
    "optax": (by_optax, fastopt.get_num_threads()),
}


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("model", MODELS)
def test_update(benchmark, model, contender):
    rng = np.random.default_rng(0)
    params, grads = ([rng.standard_normal(shape, np.float32) for shape in MODELS[model]] for _ in range(2))
    make, threads = CONTENDERS[contender]
    before = fastopt.get_num_threads()
    fastopt.set_num_threads(threads)
    try:
        step = make(params, grads)
        step()
        benchmark.group, benchmark.name = f"Adam, {model}", contender
        benchmark(step)
    finally:
        fastopt.set_num_threads(before)
