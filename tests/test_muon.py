"""Muon: matrices, against the singular values that the oracle works on, and everything else by AdamW."""

import copy
import pickle

import numpy as np
import oracle
import pytest
from backends import using
from harness import DTYPES, LAYOUTS, Frozen, assert_close, assert_same_bits, each_dtype
from hypothesis import given
from hypothesis import strategies as st
from optimizer_harness import SHAPES, equal_states, random_arrays, saved

import fastopt
from fastopt import kernels

OPTIONS = (
    {},
    {"lr": 0.1, "momentum": 0.8, "nesterov": False, "match_rms": True, "weight_decay": 0.3},
    {"lr": 0.1, "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 7, "grad_scale": -0.5, "clip_value": 0.7},
    {"lr": 0.1, "ns_steps": 0, "ns_eps": 100.0},
    {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0},
)
CLASS_OPTIONS = (
    {},
    {"lr": 0.1, "momentum": 0.8, "nesterov": False, "match_rms": False, "weight_decay": 0.3},
    {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)},
)
each_options = pytest.mark.parametrize("options", OPTIONS, ids=str)
each_class_options = pytest.mark.parametrize("options", CLASS_OPTIONS, ids=str)

# A rounding grows by the slope of a Newton-Schulz step near 0, 3.4, at each of five steps.
MAGNIFIED = 500


def matrices(shape, dtype, seed=0):
    param, grad, momentum_buffer = random_arrays(dtype, seed, (shape,) * 3)
    return {"param": param, "grad": grad, "momentum_buffer": momentum_buffer}


@each_options
@each_dtype
def test_follows_the_oracle(backend, options, dtype):
    for shape in ((4, 6), (6, 4), (5, 5), (1, 7), (7, 1), (1, 1), (33, 20)):
        arrays = matrices(shape, dtype)
        frozen = Frozen(arrays["grad"])
        expected = {name: array.astype(np.float64) for name, array in arrays.items()}
        for step in range(3):
            grad = arrays["grad"] * dtype(1 + step)
            with using(backend):
                kernels.muon(arrays["param"], grad, arrays["momentum_buffer"], **options)
            expected = oracle.muon(**expected | {"grad": grad.astype(np.float64)}, **options)
        for name, values in expected.items():
            assert_close(arrays[name], values, 3 * MAGNIFIED, f"{name}, {shape}")
        frozen.assert_unchanged()


def test_worked_by_hand():
    """Of a matrix with one singular value that is not 0 the update is a polynomial of 1."""
    for dtype in DTYPES:
        param = np.array([[4.0, 0.0], [0.0, 2.0]], dtype)
        grad = np.array([[0.0, 0.0], [0.0, 8.0]], dtype)
        buffer = np.zeros((2, 2), dtype)
        # b = 0.5 * 8, u = 0.5 * 4 + 0.5 * 8; 1 after the division, and 2 - 1.5 + 0.75 = 1.25 after one step
        kernels.muon(
            param, grad, buffer, lr=0.5, momentum=0.5, ns_steps=1, ns_coefficients=(2, -1.5, 0.75), weight_decay=0.25
        )
        np.testing.assert_array_equal(buffer, [[0, 0], [0, 4]])
        # 4 - 0.5 * 0.25 * 4, and 2 - 0.125 * 2 - 0.5 * 1.25
        np.testing.assert_array_equal(param, [[3.5, 0], [0, 1.125]])


@each_dtype
def test_singular_values_are_brought_near_1(dtype):
    param, grad = random_arrays(dtype, 0, ((40, 60),) * 2)
    before = param.copy()
    kernels.muon(param, grad, np.zeros_like(param), lr=1.0, weight_decay=0.0)
    values = np.linalg.svd(before - param, compute_uv=False)
    assert values.min() > 0.5
    assert values.max() < 1.3


@each_dtype
def test_layouts_and_lists(backend, dtype):
    arrays = matrices((9, 6), dtype)
    expected = oracle.muon(**{name: array.astype(np.float64) for name, array in arrays.items()}, lr=0.1)
    with using(backend):
        for layout in LAYOUTS:
            placed = {name: layout.place(array) for name, array in arrays.items()}
            outside = [layout.outside(base) for _, base in placed.values()]
            views = {name: view for name, (view, _) in placed.items()}
            kernels.muon(**views, lr=0.1)
            for name, values in expected.items():
                assert_close(views[name], values, MAGNIFIED, f"{name}, {layout.name}")
            for (_, base), before in zip(placed.values(), outside, strict=True):
                assert_same_bits(layout.outside(base), before)
        one, two = matrices((9, 6), dtype), matrices((3, 8), dtype, 1)
        alone = [{name: array.copy() for name, array in each.items()} for each in (one, two)]
        kernels.muon(**{name: [one[name], two[name]] for name in one}, lr=0.1)
        for each, own in zip(alone, (one, two), strict=True):
            kernels.muon(**each, lr=0.1)
            for name, array in own.items():
                assert_same_bits(array, each[name], name)


def test_what_is_not_finite_reaches_its_own_matrix_only():
    for value in (np.nan, np.inf):
        one, two = matrices((4, 5), np.float64), matrices((4, 5), np.float64, 1)
        clean = two["param"].copy(), two["momentum_buffer"].copy()
        one["grad"][1, 2] = value
        kernels.muon(**{name: [one[name], two[name]] for name in one}, lr=0.1)
        kernels.muon(clean[0], two["grad"], clean[1], lr=0.1)
        assert not np.isfinite(one["param"]).any()
        assert_same_bits(two["param"], clean[0])


@each_dtype
def test_zeros_and_empty_matrices(dtype):
    for shape in ((3, 4), (0, 4), (4, 0), (0, 0)):
        param, zeros = np.ones(shape, dtype), np.zeros(shape, dtype)
        kernels.muon(param, zeros, zeros.copy(), lr=0.5, weight_decay=0.5)
        np.testing.assert_array_equal(param, np.full(shape, 0.75))


@pytest.mark.parametrize("cast", [np.float16, np.float32, np.float64])
def test_gradients_of_another_type(cast):
    arrays = matrices((5, 4), np.float32)
    arrays["grad"] = arrays["grad"].astype(cast)
    expected = {name: array.astype(np.float32) for name, array in arrays.items()}
    kernels.muon(**expected, lr=0.1)
    kernels.muon(**arrays, lr=0.1, cast_grads=True)
    assert_same_bits(arrays["param"], expected["param"])
    assert_same_bits(arrays["momentum_buffer"], expected["momentum_buffer"])


def test_refused():
    arrays = matrices((4, 5), np.float64)
    frozen = Frozen(*arrays.values())
    for shape in ((5,), (), (2, 3, 4)):
        with pytest.raises(ValueError, match=r"^param: expected a matrix, got shape"):
            kernels.muon(np.ones(shape), np.ones(shape), np.ones(shape))
    with pytest.raises(ValueError, match=r"^param\[1\]: expected a matrix, got shape \(3,\)"):
        kernels.muon(
            [arrays["param"], np.ones(3)], [arrays["grad"], np.ones(3)], [arrays["momentum_buffer"], np.ones(3)]
        )
    for coefficients in (1.0, (1.0, 2.0), "abc", None):
        with pytest.raises(TypeError, match=r"^ns_coefficient.*: expected"):
            kernels.muon(**arrays, ns_coefficients=coefficients)
    for options, message in (
        ({"ns_steps": 1.5}, "ns_steps: expected"),
        ({"ns_steps": -1}, "ns_steps: expected"),
        ({"ns_eps": np.nan}, "ns_eps: expected"),
        ({"ns_coefficients": (1.0, np.inf, 2.0)}, "ns_coefficient2: expected"),
        ({"momentum": 1.5}, "momentum: expected"),
        ({"match_rms": 1}, "match_rms: expected"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            kernels.muon(**arrays, **options)
    with pytest.raises(ValueError, match=r"^momentum_buffer: expected memory of its own"):
        kernels.muon(arrays["param"], arrays["grad"], arrays["param"])
    frozen.assert_unchanged()


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 1000),
    momentum=st.floats(0, 1),
    nesterov=st.booleans(),
    ns_steps=st.integers(0, 8),
    match_rms=st.booleans(),
    weight_decay=st.floats(0, 1),
)
def test_any_matrix_follows_the_oracle(shape, seed, **options):
    arrays = matrices(shape, np.float64, seed)
    expected = oracle.muon(**arrays, lr=0.5, **options)
    kernels.muon(**arrays, lr=0.5, **options)
    for name, values in expected.items():
        np.testing.assert_allclose(arrays[name], values, rtol=1e-9, atol=1e-9, err_msg=name)


# The optimizer.

STRUCTURES = {
    "list": list,
    "tuple": tuple,
    "mapping": lambda arrays: dict(zip("abcd", arrays, strict=True)),
    "nested": lambda arrays: {"layers": [(arrays[0], arrays[1])], "rest": {"scale": arrays[2], "table": arrays[3]}},
}


def follow(opt, params, exact, structure, steps=4):
    for step in range(1, steps + 1):
        grads = random_arrays(params[0].dtype, step)
        opt.step(structure(grads))
        if exact is not None:
            exact.step(grads)
            for actual, expected in zip(params, exact.params, strict=True):
                assert_close(actual, expected, step * MAGNIFIED)


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
@each_class_options
@each_dtype
def test_a_tree_is_split_by_shape(options, structure, dtype):
    params = random_arrays(dtype, 0)
    given = structure(params)
    opt = fastopt.Muon(given, **options)
    follow(opt, params, oracle.Muon(params, **options), structure)
    assert opt.params is given
    assert [group.rule.name for group in opt.groups] == ["muon", "adam"]
    assert [param.ndim == 2 for group in opt.groups for param in group.params] == [True, True, False, False]


@pytest.mark.parametrize("shapes", [SHAPES[:1], SHAPES[1:3]], ids=["matrices alone", "no matrix"])
def test_a_tree_of_one_kind(shapes):
    params = random_arrays(np.float64, 0, shapes)
    opt, exact = fastopt.Muon(params, lr=0.1), oracle.Muon(params, lr=0.1)
    for step in range(3):
        grads = random_arrays(np.float64, step + 1, shapes)
        opt.step(grads)
        exact.step(grads)
    for actual, expected in zip(params, exact.params, strict=True):
        assert_close(actual, expected, 3 * MAGNIFIED)
    assert len(opt.groups) == 1


def test_groups_say_themselves_what_is_a_matrix_of_muon():
    """One that is not, a rate of its own, and the same numbers as two optimizers."""
    head, hidden, bias = random_arrays(np.float64, 0, ((3, 4), (5, 4), (4,)))
    copies = [array.copy() for array in (head, hidden, bias)]
    opt = fastopt.Muon([{"params": [hidden]}, {"params": [head, bias], "adamw": True, "lr": 0.01}], lr=0.1)
    others = fastopt.Muon([copies[1]], lr=0.1), fastopt.AdamW([copies[0], copies[2]], lr=0.01, weight_decay=0.1)
    for step in range(3):
        grads = random_arrays(np.float64, step + 1, ((3, 4), (5, 4), (4,)))
        opt.step([[grads[1]], [grads[0], grads[2]]])
        others[0].step([grads[1]])
        others[1].step([grads[0], grads[2]])
    for one, two in zip((head, hidden, bias), copies, strict=True):
        assert_same_bits(one, two)
    opt.add_group({"params": [np.ones(2)], "adamw": True})
    opt.step([[grads[1]], [grads[0], grads[2]], [np.ones(2)]])
    assert opt.groups[2].params[0][0] < 1


def test_groups_that_do_not_fit():
    with pytest.raises(ValueError, match=r"^params\[0\]\[1\]: expected a matrix, got shape \(2,\)"):
        fastopt.Muon([{"params": [np.ones((2, 2)), np.ones(2)]}])
    opt = fastopt.Muon([{"params": [np.ones((2, 2))]}])
    with pytest.raises(ValueError, match=r"^params\[1\]\[0\]: expected a matrix, got shape \(2,\)"):
        opt.add_group({"params": [np.ones(2)]})
    assert len(opt.groups) == 1
    with pytest.raises(RuntimeError, match=r"^add_group: expected parameters that were given as groups, got a tree"):
        fastopt.Muon([np.ones((2, 2))]).add_group({"params": [np.ones((2, 2))]})
    with pytest.raises(ValueError, match=r"^params: expected at least one array, got none"):
        fastopt.Muon([])


@each_class_options
@each_dtype
def test_a_continued_run_equals_an_unbroken_one(options, dtype):
    params, others = random_arrays(dtype, 0), random_arrays(dtype, 0)
    opt, first = fastopt.Muon(params, **options), fastopt.Muon(others, **options)
    follow(opt, params, None, list)
    for step in (1, 2):
        first.step(random_arrays(dtype, step))
    second = fastopt.Muon(others, **options)
    second.load_state_dict(saved(first))
    for step in (3, 4):
        second.step(random_arrays(dtype, step))
    for one, two in zip(params, others, strict=True):
        assert_same_bits(one, two)
    assert equal_states(opt.state_dict(), second.state_dict())
    assert {name.partition(".")[2] for name in opt.state_dict() if "." in name} == {"0", "1", "2", "3"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))])
def test_a_copy_takes_parameters_in_the_structure_of_old(copied):
    params = random_arrays(np.float32, 0)
    opt = fastopt.Muon(params, lr=0.1)
    opt.step(random_arrays(np.float32, 1))
    others = [param.copy() for param in params]
    other = copied(opt)
    other.bind(others)
    for each in (opt, other):
        each.step(random_arrays(np.float32, 2))
    for one, two in zip(params, others, strict=True):
        assert_same_bits(one, two)


def test_options_of_a_step():
    params, others = random_arrays(np.float32, 0), random_arrays(np.float32, 0)
    opt, plain = fastopt.Muon(params, lr=0.1), fastopt.Muon(others, lr=0.1)
    grads = random_arrays(np.float32, 1)
    assert opt.step([grads[0], None, np.float32(np.nan), grads[3]], skip_none=True, skip_nonfinite=True) is False
    assert_same_bits(params[0], others[0])
    opt.step([grads[0], None, grads[2], None], skip_none=True)
    plain.step(grads)
    for i in (0, 2):
        assert_same_bits(params[i], others[i])
    for i in (1, 3):
        np.testing.assert_array_equal(params[i], random_arrays(np.float32, 0)[i])
    assert [group.missed for group in opt.groups] == [(0, 1), (1, 0)]
    opt.step([grad.astype(np.float64) for grad in grads], cast_grads=True)
    with pytest.raises(ValueError, match=r"^grads: expected the structure of params, got missing \['3'\]"):
        opt.step(grads[:3])
    assert opt.steps == 2


def test_what_is_bound_is_used_again():
    """The workspace of one step is that of the next, and other gradients are taken."""
    params = random_arrays(np.float32, 0)
    opt, exact = fastopt.Muon(params, lr=0.1), oracle.Muon(params, lr=0.1)
    opt.step(random_arrays(np.float32, 1))
    exact.step(random_arrays(np.float32, 1))
    plan = opt._plan
    for step in (2, 3):
        opt.step(random_arrays(np.float32, step))
        exact.step(random_arrays(np.float32, step))
        assert opt._plan is plan
    for actual, expected in zip(params, exact.params, strict=True):
        assert_close(actual, expected, 3 * MAGNIFIED)


def test_agrees_with_torch(monkeypatch):
    """As it is, to the rounding of bfloat16, in which it computes; kept from that, in float64."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("PyTorch has Muon from version 2.9 on")
    for exactly in (False, True):
        if exactly:
            monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
        for options in ({}, {"lr": 0.1, "momentum": 0.8, "nesterov": False, "weight_decay": 0.3, "ns_steps": 3}):
            params = random_arrays(np.float64, 0, ((4, 6), (7, 3)))
            tensors = [torch.tensor(param) for param in params]
            theirs = torch.optim.Muon(tensors, **options)
            ours = fastopt.Muon(params, match_rms=False, **options)
            for step in range(1, 1001 if exactly else 6):
                grads = random_arrays(np.float64, step, ((4, 6), (7, 3)))
                for tensor, grad in zip(tensors, grads, strict=True):
                    tensor.grad = torch.tensor(grad)
                theirs.step()
                ours.step(grads)
            for param, tensor in zip(params, tensors, strict=True):
                tolerance = 1e-9 if exactly else 0.02 * 5 * ours.lr
                np.testing.assert_allclose(param, tensor.numpy(), rtol=1e-9, atol=tolerance)
