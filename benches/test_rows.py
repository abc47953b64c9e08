"""What a step over some rows of a large table costs: Adam on 1,024 of a million rows of 64, and less and more of them.

The tables that pytest-benchmark prints have the ratios in brackets, of each contender to the fastest. Columns to read
are Min and Median.
"""

import numpy as np
import pytest

import fastopt
from fastopt import kernels

TABLE = 1_000_000, 64
LR = 1e-3
ROUNDS = 60


def by_kernel(table, rows, grad):
    states = np.zeros_like(table), np.zeros_like(table)
    return lambda i: kernels.adam(table, grad, *states, step=i + 1, lr=LR, rows=rows[i])


def by_optimizer(table, rows, grad):
    opt = fastopt.Adam([table], lr=LR)
    return lambda i: opt.step([grad], rows=[rows[i]])


def by_numpy(table, rows, grad):
    """Sum duplicates, take the rows out, step, and put them back."""
    exp_avg, exp_avg_sq = np.zeros_like(table), np.zeros_like(table)

    def step(i):
        distinct, inverse = np.unique(rows[i], return_inverse=True)
        g = np.zeros((len(distinct), grad.shape[1]), grad.dtype)
        np.add.at(g, inverse, grad)
        m = 0.9 * exp_avg[distinct] + 0.1 * g
        v = 0.999 * exp_avg_sq[distinct] + 0.001 * g * g
        exp_avg[distinct], exp_avg_sq[distinct] = m, v
        m_hat, v_hat = m / (1 - 0.9 ** (i + 1)), v / (1 - 0.999 ** (i + 1))
        table[distinct] -= LR * m_hat / (np.sqrt(v_hat) + 1e-8)

    return step


def by_sparse_adam(table, rows, grad):
    torch = pytest.importorskip("torch")
    torch.sparse.check_sparse_tensor_invariants.disable()
    param = torch.nn.Parameter(torch.from_numpy(table))
    opt = torch.optim.SparseAdam([param], lr=LR)
    grads = [torch.sparse_coo_tensor(torch.tensor(r)[None], torch.from_numpy(grad), TABLE) for r in rows]

    def step(i):
        param.grad = grads[i]
        opt.step()

    return step


CONTENDERS = {
    "fastopt.kernels": by_kernel,
    "fastopt.Adam": by_optimizer,
    "NumPy": by_numpy,
    "torch.optim.SparseAdam": by_sparse_adam,
}


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("n", [64, 1024, 16384])
def test_rows(benchmark, n, contender):
    rng = np.random.default_rng(0)
    table = rng.standard_normal(TABLE, dtype=np.float32)
    rows = [rng.integers(0, TABLE[0], n) for _ in range(ROUNDS)]
    grad = rng.standard_normal((n, TABLE[1]), dtype=np.float32)
    step = CONTENDERS[contender](table, rows, grad)
    for i in range(ROUNDS):  # memory that is new is not what is measured
        step(i)
    benchmark.group, benchmark.name = f"{n:,} rows", contender
    turns = iter(range(10**9))
    benchmark.pedantic(lambda: step(next(turns) % ROUNDS), rounds=ROUNDS, iterations=1)


@pytest.mark.parametrize("contender", ["one number a row"])
def test_rowwise_adagrad(benchmark, contender):
    rng = np.random.default_rng(0)
    table = rng.standard_normal(TABLE, dtype=np.float32)
    rows, grad = rng.integers(0, TABLE[0], 1024), rng.standard_normal((1024, TABLE[1]), dtype=np.float32)
    sums = np.zeros(TABLE[0], np.float32)
    benchmark.group, benchmark.name = "1,024 rows, row-wise AdaGrad", contender
    benchmark(kernels.rowwise_adagrad, table, grad, sums, rows=rows, lr=LR)
