"""What the optimizers refuse, and that nothing has been written or counted by then."""

import array

import numpy as np
import pytest
from harness import LAYOUTS, Frozen, assert_same_bits
from optimizer_harness import (
    STRUCTURES,
    build,
    each_variant,
    equal_states,
    named,
    random_arrays,
    saved,
    set_hyper_parameter,
)
from table import HYPER_PARAMETERS, ONE_OPTIMIZER, OPTIMIZER_VARIANTS, refused

import fastopt


def having(name):
    """The variants that have a hyper-parameter."""
    return [case for case in OPTIMIZER_VARIANTS if name in (*case.numbers, *case.switches)]


@pytest.mark.parametrize("name", [name for name in HYPER_PARAMETERS if having(name)])
def test_bad_hyper_parameter(name):
    """In the constructor, where the message names it, and later, where the old value stays."""
    for case in having(name):
        params = random_arrays(np.float32, 0)
        opt = build(case, params)
        before, rule = opt.groups[0].hyper_parameters(), opt.groups[0].rule
        for value, exception in refused(name):
            with pytest.raises(exception, match=f"^{name}: expected"):
                getattr(fastopt, case.name)(params, **case.options_with(name, value))
            with pytest.raises(exception, match=f"^{name}: expected"):
                set_hyper_parameter(opt.groups[0], name, value)
            assert opt.groups[0].hyper_parameters() == before
            assert opt.groups[0].rule is rule


def made(case, name, value):
    """A group of an optimizer that was made with another value of a hyper-parameter."""
    return getattr(fastopt, case.name)(np.zeros(3), **case.options_with(name, value)).groups[0]


def refusal(call, *arguments):
    """What a call says against its arguments, or None."""
    try:
        call(*arguments)
    except (AttributeError, TypeError, ValueError) as error:
        return str(error)
    return None


@each_variant
def test_what_is_set_is_what_the_constructor_takes(case):
    """Each number by itself; what does not go together with the others is refused, and the old value stays."""
    for name in case.numbers:
        for value in HYPER_PARAMETERS[name][0]:
            group = build(case, np.zeros(3)).groups[0]
            before, reason = group.hyper_parameters(), refusal(made, case, name, value)
            if name in group.rule.states.values() and value != before[name]:
                reason = f"{name}: expected to stay {before[name]!r}, since the state was made with it"
            assert refusal(set_hyper_parameter, group, name, value) == reason
            after = before if reason else made(case, name, value).hyper_parameters()
            assert group.hyper_parameters() == after


@each_variant
def test_switches_are_set_where_the_states_stay_the_same(case):
    for name in case.switches:
        group = build(case, np.zeros(3)).groups[0]
        old = getattr(group, name)
        reason = refusal(made, case, name, not old)
        if reason is None and made(case, name, not old).rule is not group.rule:
            reason = f"{name}: expected to stay {old}, since the state was made with it"
        assert refusal(setattr, group, name, not old) == reason
        assert getattr(group, name) is (old if reason else not old)


@pytest.mark.parametrize("pair", [(0.9,), (0.9, 0.9, 0.9), 0.9, "ab", None, {0.9: 0, 0.8: 1}, lambda step: (0.9, 0.9)])
def test_a_pair_is_two_numbers(pair):
    opt = fastopt.Adam(np.zeros(3))
    for attempt in (lambda: fastopt.Adam(np.zeros(3), betas=pair), lambda: setattr(opt.groups[0], "betas", pair)):
        with pytest.raises(TypeError, match=r"^betas: expected a pair of numbers, got"):
            attempt()
    assert opt.groups[0].betas == (0.9, 0.999)


def test_the_start_of_a_state_is_no_schedule():
    with pytest.raises(TypeError, match=r"^initial_accumulator_value: expected a finite number >= 0, got"):
        fastopt.Adagrad(np.zeros(3), initial_accumulator_value=lambda step: 0.1)


@each_variant
def test_the_mapping_of_states_stays(case):
    """Assigning to it would have no effect on a step; the arrays themselves may be written to."""
    opt = build(case, [np.zeros(3)])
    for name in (*case.states, "another"):
        with pytest.raises(TypeError, match="does not support item assignment"):
            opt.groups[0].state[name] = (np.ones(3),)
    with pytest.raises(AttributeError, match=r"^state: expected a hyper-parameter, one of"):
        opt.groups[0].state = {}
    assert set(opt.groups[0].state) == set(case.states)


BAD_GRADS = {
    "list": [
        (lambda g: g[:-1], "expected"),
        (lambda g: [*g, g[0]], "expected"),
        (lambda g: [*g[:-1], None], r"grad\[3\]"),
        (lambda g: [None, *g[1:]], r"grad\[0\]"),
        (lambda g: [g[0].T, *g[1:]], r"grad\[0\].*\(4, 5\).*\(5, 4\)"),
        (lambda g: [*g[:-1], g[-1].astype("f8")], r"grad\[3\].*float32.*float64"),
        (lambda g: [*g[:-1], g[-1].tolist()], r"grad\[3\]"),
        (lambda g: g[0], "grad"),
        (named, "grad"),
        (lambda g: None, "grad"),
    ],
    "mapping": [
        (lambda g: {k: v for k, v in g.items() if k != "table"}, "table"),
        (lambda g: g | {"surplus": np.ones(3, "f4")}, "surplus"),
        (lambda g: {("tabel" if k == "table" else k): v for k, v in g.items()}, "table|tabel"),
        (lambda g: g | {"table": None}, "grad.*table"),
        (lambda g: g | {"table": g["table"][:-1]}, r"grad.*table.*\(33, 3\).*\(32, 3\)"),
        (lambda g: list(g.values()), "grad"),
        (lambda g: None, "grad"),
    ],
    "groups": [
        (lambda g: g[:-1], "expected"),
        (lambda g: [*g, g[0]], "expected"),
        (lambda g: [g[0], g[1][:-1]], "expected"),
        (lambda g: [g[0], (*g[1][:-1], None)], "grad"),
        (lambda g: [g[0], None], "grad"),
        (lambda g: [g[1], g[0]], "grad"),
        (lambda g: [*g[0], *g[1]], "grad"),
    ],
}


@pytest.mark.parametrize("name", BAD_GRADS)
def test_bad_gradients_write_nothing_and_do_not_count(name):
    structure = next(one for one in STRUCTURES if one.name == name)
    params = random_arrays(np.float32, 0)
    opt = build(ONE_OPTIMIZER, structure.params(params))
    opt.step(structure.grads(random_arrays(np.float32, 1)))
    for spoil, words in BAD_GRADS[name]:
        before, state = Frozen(*params), saved(opt)
        with pytest.raises((TypeError, ValueError, KeyError), match=words):
            opt.step(spoil(structure.grads(random_arrays(np.float32, 2))))
        before.assert_unchanged()
        assert equal_states(saved(opt), state)
        assert opt.steps == 1
    with pytest.raises(ValueError, match="grad_scale"):
        opt.step(structure.grads(random_arrays(np.float32, 2)), grad_scale=np.nan)
    before.assert_unchanged()
    assert opt.steps == 1
    # The next good step is what it would have been without any of this.
    fresh = random_arrays(np.float32, 0)
    other = build(ONE_OPTIMIZER, structure.params(fresh))
    for each in (other, other, opt):
        seed = 2 if each is opt else each.steps + 1
        each.step(structure.grads(random_arrays(np.float32, seed)))
    for one, two in zip(params, fresh, strict=True):
        assert_same_bits(one, two)


def test_gradients_in_the_parameters_memory_are_refused():
    """In the first step and in later ones, where most of what there is to check is known to be good."""
    memory = np.zeros(60, np.float32)
    params = [memory[:20].reshape(4, 5), memory[20:25], memory[25:55].reshape(5, 6)]
    opt = build(ONE_OPTIMIZER, params)
    good = random_arrays(np.float32, 1, [param.shape for param in params])
    for steps in (0, 1, 2):
        for grads in (
            params,
            [good[0], good[1], memory[26:56].reshape(5, 6)],
            [good[0], memory[18:23], good[2]],
            [memory[40:].reshape(4, 5), good[1], good[2]],
        ):
            before = Frozen(memory)
            with pytest.raises(ValueError, match=r"memory|overlap"):
                opt.step(grads)
            before.assert_unchanged()
            assert opt.steps == steps
        opt.step(good)
    states = [array for group in opt.groups for arrays in group.state.values() for array in arrays[:1]]
    for state in states:
        before = Frozen(memory)
        with pytest.raises(ValueError, match=r"memory|overlap"):
            opt.step([state, good[1], good[2]])
        before.assert_unchanged()
    opt.step([good[0], memory[55:], good[2]])


def test_gradients_may_change_their_layout_between_steps():
    params, others = ([array.copy() for array in random_arrays(np.float32, 0, [(6, 4), (5,)])] for _ in range(2))
    opt, other = build(ONE_OPTIMIZER, params), build(ONE_OPTIMIZER, others)
    for step, layout in enumerate(LAYOUTS * 2):
        grads = random_arrays(np.float32, step, [(6, 4), (5,)])
        opt.step(grads)
        other.step([layout.place(grad)[0] for grad in grads])
        for one, two in zip(params, others, strict=True):
            assert_same_bits(two, one, layout.name)


def test_what_happens_to_the_parameters_between_steps_is_seen():
    """Memory that moved, and memory that may no longer be written."""
    (param,), (other,) = (random_arrays(np.float32, 0, [(6,)]) for _ in range(2))
    opt, exact = build(ONE_OPTIMIZER, param), build(ONE_OPTIMIZER, other)
    (grad,) = random_arrays(np.float32, 1, [(6,)])
    opt.step(grad)
    exact.step(grad)
    values, address = param.copy(), param.ctypes.data
    param.resize(1_000_000, refcheck=False)
    taken = [np.empty(6, np.float32) for _ in range(1000)]  # so that its old memory is not found again
    param.resize(6, refcheck=False)
    param[...] = values
    assert param.ctypes.data != address
    assert taken
    for each in (opt, exact):
        each.step(grad)
    assert_same_bits(param, other)
    param.flags.writeable = False
    before = Frozen(param)
    with pytest.raises(ValueError, match="writ"):
        opt.step(grad)
    before.assert_unchanged()
    assert opt.steps == 2


def read_only(values):
    values = np.asarray(values)
    values.flags.writeable = False
    return values


@pytest.mark.parametrize(
    ("params", "exception", "words"),
    [
        (np.zeros(3, np.float16), TypeError, "float32 or float64.*float16"),
        (np.zeros(3, int), TypeError, "float32 or float64.*int"),
        (np.zeros(3, ">f8"), TypeError, "float32 or float64"),
        (read_only(np.zeros(3)), ValueError, "writ"),
        ([np.zeros(3), read_only(np.zeros(3))], ValueError, r"\[1\].*writ"),
        ({"a": np.zeros(3), "b": np.zeros(3, int)}, TypeError, r"b.*int"),
        ([1.0, 2.0], TypeError, r"\[0\].*float"),
        ([[1.0, 2.0], [3.0]], TypeError, r"\[0\]\[0\].*float"),
        ([np.zeros(3), None], TypeError, r"\[1\].*None"),
        (3.0, TypeError, "float"),
        (None, TypeError, "None"),
        ("text", TypeError, "str"),
        (b"12345678", (TypeError, ValueError), "param"),
        (bytearray(8), TypeError, "uint8|bytearray"),
        (memoryview(bytes(8)).cast("d"), ValueError, "writ"),
        (array.array("i", [1, 2]), TypeError, "int32"),
        ({1, 2}, TypeError, "set"),
    ],
)
def test_parameters_that_are_refused(params, exception, words):
    with pytest.raises(exception, match=words):
        fastopt.Adam(params)


def test_arrays_that_would_have_to_be_copied_are_refused():
    """What an object computes when asked for an array is not the object's memory."""

    class Computed:
        def __array__(self, dtype=None, copy=None):
            return np.zeros(3)

    with pytest.raises(TypeError, match="Computed"):
        fastopt.SGD(Computed())
    with pytest.raises(TypeError, match=r"\[1\].*Computed"):
        fastopt.SGD([np.zeros(3), Computed()])


def test_parameters_that_share_memory_are_refused():
    memory = np.zeros(8)
    for params in ([memory, memory], [memory[:5], memory[4:]], {"a": memory, "b": memory[::-1]}):
        with pytest.raises(ValueError, match=r"memory|overlap"):
            fastopt.SGD(params, lr=0.1).step(
                {k: np.ones(v.shape) for k, v in params.items()}
                if isinstance(params, dict)
                else [np.ones(p.shape) for p in params]
            )
    assert not memory.any()
