"""The step is open: state from outside, groups that come later, and parameters in any structure."""

import copy
import pickle

import numpy as np
import pytest
from harness import assert_same_bits
from optimizer_harness import each_variant, random_arrays

import fastopt


def arrays_of(tree):
    """The arrays of a structure, by an own walk."""
    if isinstance(tree, dict):
        return [array for value in tree.values() for array in arrays_of(value)]
    if isinstance(tree, list | tuple):
        return [array for value in tree for array in arrays_of(value)]
    return [tree]


def test_names_of_nested_parameters_are_paths():
    opt = fastopt.Adam([(np.ones(2), np.ones(3)), {"scale": np.ones(1)}])
    assert opt.groups[0].names == ["0.0", "0.1", "1.scale"]
    opt = fastopt.Adam({"layers": [np.ones(2), {"w": np.ones(3)}]})
    assert opt.groups[0].names == ["layers.0", "layers.1.w"]


@pytest.mark.parametrize(
    ("grads", "error", "message"),
    [
        ([(np.ones(2), np.ones(3)), [np.ones(1)]], TypeError, r"grads\[1\]: expected a mapping of names to arrays"),
        ([(np.ones(2),), {"scale": np.ones(1)}], ValueError, r"grads\[0\]: expected 2 entries like params, got 1"),
        ([(np.ones(2), np.ones(3)), {"shift": np.ones(1)}], ValueError, r"grads\[1\]: .*missing \['scale'\]"),
        ([(np.ones(2), np.ones(4)), {"scale": np.ones(1)}], ValueError, r"grad\[0\]\[1\]: expected shape \(3,\)"),
        ([(np.ones(2), np.ones(3)), {"scale": None}], TypeError, r"grad\[1\]\['scale'\]: expected an array"),
        ([np.ones(2), np.ones(3)], TypeError, r"grads\[0\]: expected a list of arrays like params, got ndarray"),
    ],
)
def test_gradients_of_another_structure(grads, error, message):
    params = [(np.ones(2), np.ones(3)), {"scale": np.ones(1)}]
    opt = fastopt.SGD(params, lr=0.5)
    with pytest.raises(error, match=f"^{message}"):
        opt.step(grads)
    assert all((array == 1).all() for array in arrays_of(params))
    assert opt.steps == 0


def test_a_list_of_mappings_is_groups_only_if_all_are():
    params = [{"params": np.ones(2)}, {"lr": np.ones(3)}]
    opt = fastopt.SGD(params, lr=0.5)
    assert opt.groups[0].names == ["0.params", "1.lr"]
    opt.step([{"params": np.ones(2)}, {"lr": np.ones(3)}])
    assert (params[1]["lr"] == 0.5).all()


def test_generators_are_taken_once():
    arrays = [np.ones(2), np.ones(3)]
    opt = fastopt.SGD((array for array in arrays), lr=0.5)
    opt.step(np.ones(n) for n in (2, 3))
    opt.step({"a": np.ones(2), "b": np.ones(3)}.values())
    assert all((array == 0).all() for array in arrays)


@each_variant
def test_state_from_outside_goes_on_where_it_was(case):
    """To the bit, and without a copy."""
    params = random_arrays(np.float64, 1)
    first = getattr(fastopt, case.name)(params, **case.options)
    for step in range(3):
        first.step(random_arrays(np.float64, 10 + step))
    copied = [param.copy() for param in params]
    state = {name: [array.copy() for array in arrays] for name, arrays in first.groups[0].state.items()}
    second = getattr(fastopt, case.name)(copied, **case.options, state=state, steps=3)
    for opt in (first, second):
        opt.step(random_arrays(np.float64, 20))
    for one, other in zip(params, copied, strict=True):
        assert_same_bits(one, other)
    for name, arrays in state.items():
        for given, own, other in zip(arrays, second.groups[0].state[name], first.groups[0].state[name], strict=True):
            assert np.shares_memory(given, own)
            assert_same_bits(given, other)
    assert second.steps == 4


def test_state_of_groups_has_an_entry_per_group():
    given = {"exp_avg": [np.ones(2), [np.ones(3)]], "exp_avg_sq": [np.ones(2), [np.ones(3)]]}
    opt = fastopt.Adam([{"params": np.ones(2)}, {"params": [np.ones(3)]}], state=given, steps=1)
    assert opt.groups[1].state["exp_avg"][0] is given["exp_avg"][1][0]


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({"exp_avg": [np.ones(3)]}, ValueError, r"state: expected \['exp_avg', 'exp_avg_sq'\], got \['exp_avg'\]"),
        ({"exp_avg": [np.ones(3)], "exp_avg_sq": [np.ones(2)]}, ValueError, r"exp_avg_sq\[0\]: expected shape"),
        ({"exp_avg": [np.ones(3)], "exp_avg_sq": np.ones(3)}, TypeError, "exp_avg_sq: expected a list"),
        ({"exp_avg": [np.ones(3, "f")], "exp_avg_sq": [np.ones(3)]}, TypeError, r"exp_avg\[0\]: expected dtype"),
        ({"exp_avg": [(shared := np.ones(3))], "exp_avg_sq": [shared]}, ValueError, r"exp_avg_sq\[0\]: .*memory"),
        ([np.ones(3)], TypeError, "state: expected a mapping"),
    ],
)
def test_state_that_does_not_fit(state, error, message):
    with pytest.raises(error, match=f"^{message}"):
        fastopt.Adam([np.ones(3)], state=state)


@pytest.mark.parametrize("steps", [-1, 1.5, 2**63, "1"])
def test_steps_that_cannot_be(steps):
    with pytest.raises((TypeError, ValueError), match=r"^steps: expected an integer >= 0"):
        fastopt.SGD(np.ones(3), steps=steps)


@each_variant
def test_a_group_that_comes_later_begins_with_its_own_first_step(case):
    late, alone = np.linspace(1, 2, 5), np.linspace(1, 2, 5)
    opt = getattr(fastopt, case.name)([np.ones(3)], **case.options)
    opt.step([np.ones(3)])
    opt.add_group({"params": late})
    new = getattr(fastopt, case.name)(alone, **case.options)
    for step in range(3):
        grad = np.linspace(-1, 1, 5) + step
        opt.step([[np.ones(3)], grad])
        new.step(grad)
        if step == 1:
            saved = opt.state_dict()
    assert_same_bits(late, alone)
    assert opt.steps == 4
    twin = getattr(fastopt, case.name)([{"params": [np.ones(3)]}, {"params": np.ones(5)}], **case.options)
    twin.load_state_dict(saved)
    assert twin.groups[1].missed == opt.groups[1].missed == (1,) * len(opt.groups[1].params)


@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        ([np.ones(2)], TypeError, "group: expected a mapping with the key 'params'"),
        ({"lr": 0.1}, TypeError, "group: expected a mapping with the key 'params'"),
        ({"params": np.ones(2), "rate": 1}, TypeError, r"params\[1\]: expected hyper-parameters among"),
        ({"params": np.ones(2), "lr": -1}, ValueError, "lr: expected"),
        ({"params": []}, ValueError, r"params\[1\]: expected at least one array"),
        ({"params": np.ones(2, int)}, TypeError, r"params\[1\]: expected dtype float32 or float64"),
    ],
)
def test_a_group_that_does_not_fit(group, error, message):
    opt = fastopt.SGD([np.ones(3)], lr=0.5)
    with pytest.raises(error, match=f"^{message}"):
        opt.add_group(group)
    opt.step([np.ones(3)])
    assert len(opt.groups) == 1


def test_a_group_that_shares_memory_with_another():
    params = np.ones(4)
    opt = fastopt.SGD([params], lr=0.5)
    with pytest.raises(
        ValueError, match=r"params\[1\]: expected memory of its own, got memory shared with params\[0\]"
    ):
        opt.add_group({"params": params[2:]})


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda opt: pickle.loads(pickle.dumps(opt)),
}


@pytest.mark.parametrize("how", COPIES)
@each_variant
def test_a_copy_goes_on_with_parameters_of_its_own(case, how):
    params = random_arrays(np.float32, 1)
    opt = getattr(fastopt, case.name)([{"params": params[:1]}, {"params": params[1:], "lr": 0.05}], **case.options)
    grads = [random_arrays(np.float32, seed) for seed in range(3)]
    opt.step([grads[0][:1], grads[0][1:]])
    twin, copied = COPIES[how](opt), [param.copy() for param in params]
    twin.bind([copied[:1], {"params": copied[1:]}])
    for each in (opt, twin):
        each.step([grads[1][:1], grads[1][1:]])
    for one, other in zip(params, copied, strict=True):
        assert_same_bits(one, other)
    assert twin.groups[1].hyper_parameters() == opt.groups[1].hyper_parameters()
    assert twin.steps == 2


def test_a_schedule_is_copied_along():
    opt = fastopt.SGD(np.ones(3), lr=fastopt.schedules.ReduceOnPlateau(0.5, patience=0, factor=0.1))
    opt.step(np.ones(3))
    opt.schedule.update(1.0)
    opt.schedule.update(2.0)
    twin = copy.deepcopy(opt)
    twin.bind(np.ones(3))
    assert twin.lr == opt.lr == pytest.approx(0.05)
    assert twin.schedule is not opt.schedule


@pytest.mark.parametrize("use", [lambda opt: opt.step(np.ones(3)), lambda opt: opt.lr, lambda opt: opt.state_dict()])
def test_a_copy_without_parameters_says_so(use):
    opt = copy.deepcopy(fastopt.Adam(np.ones(3)))
    with pytest.raises(RuntimeError, match=r"^Adam: expected bind\(params\) first"):
        use(opt)
    assert "no parameters" in repr(opt)
    assert not hasattr(fastopt.Adam(np.ones(3)), "nonsense")


def test_parameters_that_a_copy_cannot_go_on_with():
    original = fastopt.Adam([np.ones(3)])
    opt = copy.deepcopy(original)
    with pytest.raises(ValueError, match=r"state 'exp_avg.0': expected shape \(2,\)"):
        opt.bind([np.ones(2)])
    with pytest.raises(RuntimeError, match="expected bind"):
        opt.step([np.ones(2)])
    opt.bind([np.ones(3)])
    for bound in (opt, original):
        with pytest.raises(RuntimeError, match=r"^bind: expected a copied"):
            bound.bind([np.ones(3)])
    grouped = copy.deepcopy(fastopt.SGD([{"params": np.ones(3)}]))
    with pytest.raises(ValueError, match=r"^params: expected a list with an entry for each of 1 groups"):
        grouped.bind(np.ones(3))
