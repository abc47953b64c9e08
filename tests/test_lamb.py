"""LAMB's norms: of whole arrays, in blocks, shared by threads, with the same bits everywhere."""

import numpy as np
import oracle
import pytest
from backends import using
from harness import Frozen, assert_close, assert_same_bits, each_dtype

import fastopt
from fastopt import kernels
from fastopt.kernels._norm import BLOCK

OPTIONS = {"step": 3, "lr": 0.1, "weight_decay": 0.3}
NAMES = ("param", "grad", "exp_avg", "exp_avg_sq")


def arrays_of(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=shape).astype(dtype) for name in NAMES}
    return arrays | {"exp_avg_sq": np.abs(arrays["exp_avg_sq"]) + dtype(0.1)}


@each_dtype
def test_arrays_of_several_blocks(backend, dtype):
    for size in (BLOCK - 1, BLOCK, 2 * BLOCK + 17):
        arrays = arrays_of(size, dtype)
        frozen = Frozen(arrays["grad"])
        expected = oracle.lamb(**{name: array.astype(np.float64) for name, array in arrays.items()}, **OPTIONS)
        with using(backend):
            kernels.lamb(**arrays, **OPTIONS)
        for name, values in expected.items():
            assert_close(arrays[name], values, 1, f"{name}, {size}")
        frozen.assert_unchanged()


def test_same_bits_on_all_backends_and_for_any_threads(backend, set_threads, share_all):
    expected = arrays_of((3, BLOCK + 5), np.float32)
    set_threads(1)
    with using("numpy"):
        kernels.lamb(**expected, **OPTIONS)
    for n_threads in (1, 2, 3):
        set_threads(n_threads)
        arrays = arrays_of((3, BLOCK + 5), np.float32)
        with using(backend):
            kernels.lamb(**arrays, **OPTIONS)
        for name in NAMES:
            assert_same_bits(arrays[name], expected[name], f"{name}, {n_threads} threads")


def test_the_order_of_memory_is_that_of_the_sums():
    """Of a transposed array the bits are those of the array, and those of a strided one are of its copy."""
    arrays = arrays_of((300, 500), np.float32)
    across = {name: np.asfortranarray(array.T).T.copy().T for name, array in arrays.items()}
    assert all(array.flags.f_contiguous for array in across.values())
    straight = {name: array.T.copy() for name, array in across.items()}
    apart = {name: np.repeat(array, 2, axis=1)[:, ::2] for name, array in straight.items()}
    for each in (across, straight, apart):
        kernels.lamb(**each, **OPTIONS)
    for name in NAMES:
        assert_same_bits(across[name].T, straight[name], name)
        assert_same_bits(np.ascontiguousarray(apart[name]), straight[name], name)


def test_an_array_has_a_rate_of_its_own():
    """An array ten times as large moves ten times as far, for the same gradients."""
    small, large = np.array([3.0, 4.0]), np.array([30.0, 40.0])
    opt = fastopt.LAMB([small, large], lr=0.1)
    opt.step([np.array([1.0, -2.0])] * 2)
    np.testing.assert_allclose([30.0, 40.0] - large, 10 * ([3.0, 4.0] - small), rtol=1e-12)


@each_dtype
def test_norms_that_are_zero_or_not_finite(dtype):
    for param, grad in (([0, 0], [1, 2]), ([1, 2], [0, 0]), ([0, 0], [0, 0]), ([], [])):
        param, grad = np.array(param, dtype), np.array(grad, dtype)
        expected = oracle.lamb(param.astype(float), grad.astype(float), 0 * param, 0 * param, step=1, lr=0.5)["param"]
        kernels.lamb(param, grad, 0 * param, 0 * param, step=1, lr=0.5)
        np.testing.assert_allclose(param, expected, rtol=1e-5)
    for value in (np.nan, np.inf):
        param = np.array([3, 4, 5], dtype)
        kernels.lamb(param, np.array([1, value, 1], dtype), np.zeros_like(param), np.zeros_like(param), step=1, lr=0.5)
        assert np.isfinite(param).tolist() == [True, False, True]
        np.testing.assert_allclose(param[[0, 2]], [2.5, 4.5], rtol=1e-5)


def test_agrees_with_optax():
    jax = pytest.importorskip("jax", reason="compares with optax where it is installed")
    optax = pytest.importorskip("optax", reason="compares with optax where it is installed")
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    params = [rng.normal(size=(4, 3)), rng.normal(size=5)]
    theirs = [jax.numpy.array(param) for param in params]
    rule = optax.lamb(0.01, weight_decay=0.1)
    state, ours = rule.init(theirs), fastopt.LAMB(params, lr=0.01, weight_decay=0.1)
    update = jax.jit(rule.update)
    for _ in range(1000):
        grads = [rng.normal(size=param.shape) for param in params]
        updates, state = update(grads, state, theirs)
        theirs = optax.apply_updates(theirs, updates)
        ours.step(grads)
    for param, their in zip(params, theirs, strict=True):
        np.testing.assert_allclose(param, their, rtol=1e-9, atol=1e-12)
