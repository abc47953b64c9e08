"""What the optimizers refuse, and that nothing has been written or counted by then."""

import array

import numpy as np
import pytest
from harness import LAYOUTS, Frozen, assert_same_bits
from optimizer_harness import (
    STRUCTURES,
    build,
    each_case,
    equal_states,
    named,
    random_arrays,
    saved,
)
from table import BAD_OPTIMIZERS

import fastopt


@pytest.mark.parametrize(
    ("name", "options", "exception", "word"),
    [pytest.param(*bad, id=f"{bad[0]}-{bad[1]}".split(" object at")[0]) for bad in BAD_OPTIMIZERS],
)
def test_bad_options(name, options, exception, word):
    # Either of `betas` may be called by the name it has in the kernels.
    with pytest.raises(exception, match=rf"^{word.removesuffix('s')}.*: expected"):
        getattr(fastopt, name)(np.zeros(3), **options)


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


@each_case
@pytest.mark.parametrize("name", BAD_GRADS)
def test_bad_gradients_write_nothing_and_do_not_count(case, name):
    structure = next(one for one in STRUCTURES if one.name == name)
    params = random_arrays(np.float32, 0)
    opt = build(case, structure.params(params))
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
    other = build(case, structure.params(fresh))
    for each in (other, other, opt):
        seed = 2 if each is opt else each.steps + 1
        each.step(structure.grads(random_arrays(np.float32, seed)))
    for one, two in zip(params, fresh, strict=True):
        assert_same_bits(one, two)


@each_case
def test_gradients_in_the_parameters_memory_are_refused(case):
    """In the first step and in later ones, where most of what there is to check is known to be good."""
    memory = np.zeros(60, np.float32)
    params = [memory[:20].reshape(4, 5), memory[20:25], memory[25:55].reshape(5, 6)]
    opt = build(case, params)
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


@each_case
def test_gradients_may_change_their_layout_between_steps(case):
    params, others = ([array.copy() for array in random_arrays(np.float32, 0, [(6, 4), (5,)])] for _ in range(2))
    opt, other = build(case, params), build(case, others)
    for step, layout in enumerate(LAYOUTS * 2):
        grads = random_arrays(np.float32, step, [(6, 4), (5,)])
        opt.step(grads)
        other.step([layout.place(grad)[0] for grad in grads])
        for one, two in zip(params, others, strict=True):
            assert_same_bits(two, one, layout.name)


@each_case
def test_what_happens_to_the_parameters_between_steps_is_seen(case):
    """Memory that moved, and memory that may no longer be written."""
    (param,), (other,) = (random_arrays(np.float32, 0, [(6,)]) for _ in range(2))
    opt, exact = build(case, param), build(case, other)
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
