"""Gradients of another type than their parameter's, gradients that are missing, and a step number for each tensor."""

import itertools
import tracemalloc

import numpy as np
import pytest
from backends import using
from harness import DTYPES, LAYOUTS, assert_same_bits, each_number_of_arrays, each_variant, listed, update
from hypothesis import given
from hypothesis import strategies as st
from optimizer_harness import build, equal_states, random_arrays, saved
from optimizer_harness import each_variant as each_optimizer

import fastopt
from fastopt import kernels

ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 arrays are those of ml_dtypes")

OTHER_DTYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)


@each_number_of_arrays
def test_converted_gradients_give_the_bits_of_copies(backend, case):
    for dtype, other, layout in itertools.product(DTYPES, OTHER_DTYPES, LAYOUTS):
        arrays, plain = case.arrays((7, 300), dtype), case.arrays((7, 300), dtype)
        grad = plain["grad"].astype(other)
        arrays["grad"], _ = layout.place(grad)
        plain["grad"] = grad.astype(dtype)
        with using(backend):
            update(case, arrays, cast_grads=True)
            update(case, plain)
        for name in (*case.states, "param"):
            assert_same_bits(arrays[name], plain[name], f"{name}, {other.__name__}, {layout.name}")


@each_variant
def test_converted_gradients_in_parts_of_threads(set_threads, share_all, case):
    set_threads(3)
    for dtype, other in itertools.product(DTYPES, OTHER_DTYPES):
        arrays, plain = (listed(case.arrays((700,), dtype), case.arrays((5, 33), dtype)) for _ in range(2))
        grads = [grad.astype(other) for grad in plain["grad"]]
        plain["grad"] = [grad.astype(dtype) for grad in grads]
        update(case, arrays | {"grad": grads}, cast_grads=True)
        update(case, plain)
        for name in (*case.states, "param"):
            for one, two in zip(arrays[name], plain[name], strict=True):
                assert_same_bits(one, two, name)
    assert len(share_all) > 0


@pytest.mark.parametrize("other", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_of_16_bits(backend, other, dtype):
    grad = np.arange(2**16, dtype=np.uint16).view(other)
    with np.errstate(invalid="ignore"):
        expected = -grad.astype(dtype)
        tiny = np.abs(grad.astype(np.float32)) < np.finfo(np.float32).tiny  # subnormal ones count as 0
    param = np.zeros(2**16, dtype)
    with using(backend):
        kernels.sgd(param, grad, lr=1.0, cast_grads=True)
    assert np.array_equal(param[~tiny], expected[~tiny], equal_nan=True)
    assert (np.abs(param[tiny]) < np.finfo(np.float32).tiny).all()


def test_float64_gradients_beyond_float32_are_infinite(backend):
    param = np.zeros(3, np.float32)
    with using(backend):
        kernels.sgd(param, np.array([1e300, -1e300, np.nan]), lr=1.0, cast_grads=True)
    assert np.array_equal(param, np.array([-np.inf, np.inf, np.nan], np.float32), equal_nan=True)


def test_converting_takes_no_memory_of_the_gradients_size(backend):
    param, grad = np.zeros(1_000_000, np.float32), np.ones(1_000_000)
    with using(backend):
        kernels.sgd(param, grad, lr=1.0, cast_grads=True)
        tracemalloc.start()
        kernels.sgd(param, grad, lr=1.0, cast_grads=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (param == -2).all()
    assert peak < param.nbytes / 4


@each_optimizer
def test_optimizers_convert_gradients(case):
    params, copied = random_arrays(np.float32, 1), random_arrays(np.float32, 1)
    opt, other = build(case, params), build(case, copied)
    for step, dtype in enumerate((np.float64, np.float16, np.float16, np.float32)):
        grads = random_arrays(dtype, 10 + step)
        opt.step(grads, cast_grads=True)
        other.step([grad.astype(np.float32) for grad in grads])
    for one, two in zip(params, copied, strict=True):
        assert_same_bits(one, two)


@pytest.mark.parametrize(
    ("grad", "options", "error", "message"),
    [
        (
            np.ones(3),
            {},
            TypeError,
            r"expected dtype float32 like param.*, got float64 \(cast_grads=True converts it\)",
        ),
        (np.ones(3, np.float16), {}, TypeError, r"expected dtype float32 .* got float16 \(cast_grads=True"),
        (np.ones(3, ml_dtypes.bfloat16), {}, TypeError, r"expected dtype float32 .* got bfloat16 \(cast_grads=True"),
        (np.ones(3, int), {}, TypeError, r"expected dtype float32 .* got int64$"),
        (np.ones(3, int), {"cast_grads": True}, TypeError, "expected dtype float64, .*, bfloat16, got int64"),
        (np.ones(3, ">f8"), {"cast_grads": True}, TypeError, "expected dtype .*, got float64 of foreign byte order"),
        (np.ones(4), {"cast_grads": True}, ValueError, r"expected shape \(3,\)"),
    ],
)
def test_gradients_that_cannot_be_converted(grad, options, error, message):
    param = np.ones(3, np.float32)
    with pytest.raises(error, match=f"^grad: {message}"):
        kernels.sgd(param, grad, lr=1.0, **options)
    opt = fastopt.SGD([param], lr=1.0)
    with pytest.raises(error, match=rf"^grad\[0\]: {message}"):
        opt.step([grad], **options)
    assert (param == 1).all()
    assert opt.steps == 0


@pytest.mark.parametrize("name", ["cast_grads", "skip_none"])
@pytest.mark.parametrize("value", [0, None, "yes", 1.0])
def test_switches_are_booleans(name, value):
    param = np.ones(3)
    with pytest.raises(TypeError, match=f"^{name}: expected True or False"):
        fastopt.SGD(param, lr=1.0).step(np.ones(3), **{name: value})
    if name == "cast_grads":
        with pytest.raises(TypeError, match=r"^cast_grads: expected True or False"):
            kernels.sgd(param, np.ones(3), lr=1.0, cast_grads=value)
    assert (param == 1).all()


def test_parameters_of_16_bits_are_refused_by_name():
    with pytest.raises(TypeError, match=r"^param: expected dtype float32 or float64, got bfloat16"):
        kernels.sgd(np.ones(3, ml_dtypes.bfloat16), np.ones(3), lr=1.0, cast_grads=True)


# A step number for each tensor.


@pytest.mark.parametrize("function", [kernels.adam, kernels.adamw])
@pytest.mark.parametrize("steps", [[3, 1, 250], (3, 1, 250), np.array([3, 1, 250])])
def test_a_step_number_for_each_tensor(backend, function, steps):
    arrays = [random_arrays(np.float64, seed, ((4, 5), (3,), (70,))) for seed in range(4)]
    arrays[3] = [np.abs(array) for array in arrays[3]]
    copied = [[array.copy() for array in stream] for stream in arrays]
    with using(backend):
        function(*arrays, step=steps, lr=0.1)
        for tensor, step in zip(zip(*copied, strict=True), steps, strict=True):
            function(*tensor, step=int(step), lr=0.1)
    for one, two in zip(arrays, copied, strict=True):
        for a, b in zip(one, two, strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ([1, 2, 3], ValueError, "step: expected 2 numbers like param, got 3"),
        ([], ValueError, "step: expected 2 numbers like param, got 0"),
        ([1, 0], ValueError, "step: expected an integer >= 1"),
        ([1, 1.5], TypeError, "step: expected an integer >= 1"),
    ],
)
def test_step_numbers_that_do_not_fit(step, error, message):
    arrays = [[np.ones(2), np.ones(3)] for _ in range(4)]
    with pytest.raises(error, match=f"^{message}"):
        kernels.adam(*arrays, step=step)
    assert all((array == 1).all() for stream in arrays for array in stream)


def test_step_numbers_of_a_single_tensor():
    with pytest.raises(TypeError, match=r"^step: expected an integer >= 1"):
        kernels.adam(np.ones(2), np.ones(2), np.zeros(2), np.zeros(2), step=[1])


# Gradients that are missing.


@each_optimizer
@given(missing=st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=6))
def test_parameters_without_gradients_miss_the_step(case, missing):
    """Each is as an optimizer of its own leaves it that steps where there is a gradient."""
    together = random_arrays(np.float64, 1)
    alone = [param.copy() for param in together]
    opt, others = build(case, together), [build(case, param) for param in alone]
    for step, away in enumerate(missing):
        grads = random_arrays(np.float64, 10 + step)
        opt.step([None if i in away else grad for i, grad in enumerate(grads)], skip_none=True)
        for i, (other, grad) in enumerate(zip(others, grads, strict=True)):
            if i not in away:
                other.step(grad)
    assert opt.steps == len(missing)
    for i, (one, two) in enumerate(zip(together, alone, strict=True)):
        assert_same_bits(one, two, f"parameter {i}")
        for name, arrays in opt.groups[0].state.items():
            assert_same_bits(arrays[i], others[i].groups[0].state[name][0], f"{name} of parameter {i}")
        assert opt.groups[0].missed[i] == opt.steps - others[i].steps


@each_optimizer
def test_what_was_missed_is_saved(case):
    params = random_arrays(np.float64, 1)
    opt = build(case, params)
    for step in range(5):
        grads = random_arrays(np.float64, 10 + step)
        opt.step([grads[0], grads[1] if step % 2 else None, None, grads[3]], skip_none=True)
    copied = [param.copy() for param in params]
    twin = build(case, copied)
    twin.load_state_dict(saved(opt))
    assert equal_states(twin.state_dict(), opt.state_dict())
    assert twin.groups[0].missed == opt.groups[0].missed == (0, 3, 5, 0)
    grads = random_arrays(np.float64, 20)
    for each in (opt, twin):
        each.step(grads)
    for one, two in zip(params, copied, strict=True):
        assert_same_bits(one, two)


def test_groups_and_trees_with_missing_gradients():
    params = [{"params": [np.ones(2), np.ones(3)]}, {"params": {"a": np.ones(2)}, "lr": 0.5}]
    opt = fastopt.SGD(params, lr=0.25)
    opt.step([[None, np.ones(3)], {"a": None}], skip_none=True)
    opt.step([[None, None], {"a": np.ones(2)}], skip_none=True)
    opt.step([[None, None], {"a": None}], skip_none=True)
    assert [group.missed for group in opt.groups] == [(3, 2), (2,)]
    assert [array[0] for array in (*params[0]["params"], params[1]["params"]["a"])] == [1.0, 0.75, 0.5]
    assert opt.steps == 3


def test_steps_that_fail_are_not_missed():
    params = [np.ones(2), np.ones(3)]
    opt = fastopt.Adam(params)
    opt.step([np.ones(2), None], skip_none=True)
    with pytest.raises(ValueError, match=r"^grad\[0\]: expected shape"):
        opt.step([np.ones(4), None], skip_none=True)
    with pytest.raises(TypeError, match=r"^grad\[1\]: expected an array, got None \(skip_none=True leaves"):
        opt.step([np.ones(2), None])
    for grads in ([np.ones(2)], [np.ones(2), None, np.ones(2)]):
        with pytest.raises(ValueError, match=r"^grads: expected 2 arrays like params"):
            opt.step(grads, skip_none=True)
    assert opt.steps == 1
    assert opt.groups[0].missed == (0, 1)
    opt.steps = 0
    assert opt.groups[0].missed == (0, 0)


def test_an_interrupt_behind_the_kernels_does_not_tear_the_numbers(monkeypatch):
    opt = fastopt.Adam([np.ones(2), np.ones(3)])
    run = fastopt.optimizers.run

    def interrupted(bound, counter):
        run(bound, counter)
        raise KeyboardInterrupt

    monkeypatch.setattr(fastopt.optimizers, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opt.step([np.ones(2), None], skip_none=True)
    assert (opt.steps, opt.groups[0].missed) == (1, (0, 1))

    def early(bound, counter):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastopt.optimizers, "run", early)
    with pytest.raises(KeyboardInterrupt):
        opt.step([None, np.ones(3)], skip_none=True)
    assert (opt.steps, opt.groups[0].missed) == (1, (0, 1))
