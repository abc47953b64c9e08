"""Arrays bound to rules: any layout in any ranges, arrays that change between steps, all groups in one step."""

import itertools
import math
import signal

import numpy as np
import pytest
from harness import DTYPES, LAYOUTS, PLACE_NAMES, PLACES, assert_same_bits, copies, each_dtype, in_threads, run_python
from optimizer_harness import build, random_arrays
from table import ONE_OPTIMIZER

import fastopt
from fastopt.kernels import _backend
from fastopt.kernels._step import bind
from fastopt.kernels.rules import PER_CALL, RULES

compiled_only = pytest.mark.skipif(
    _backend.active.name != "cython", reason="the other backends run ranges in Python, where anything may interrupt"
)

# One rule for each number of arrays, all with what every one of them takes.
BY_STREAMS = {len(rule.streams): rule for rule in RULES if "warmup_steps" not in rule.hyper_parameters}
VALUES = {"real": 0.25, "integer": 2, "boolean": False}
OWN_VALUES = {"momentum": 0.0, "clip_value": np.inf}

each_rule = pytest.mark.parametrize("rule", BY_STREAMS.values(), ids=lambda rule: rule.name)

# Up to five axes; rows around the 64 elements from which they need no copy, arrays around a chunk of 256, and bands of
# 16 rows of more than 256 columns.
SHAPES = ((1,), (63,), (64,), (600,), (9, 63), (9, 64), (3, 700), (700, 3), (2, 3, 65), (5, 2, 3, 7), (2, 3, 2, 2, 64))
BANDS = ((16, 256), (37, 300), (2, 17, 257), (300, 37))


def values_of(rule):
    names = (*rule.hyper_parameters, *PER_CALL)
    values = [max(VALUES[kind], low) if kind == "real" else VALUES[kind] for kind, low, _ in rule.ranges]
    return tuple(OWN_VALUES.get(name, value) for name, value in zip(names, values, strict=True))


def arrays_of(rule, shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.5, 2.0, shape).astype(dtype) for name in rule.streams}


def expected_of(rule, arrays):
    """The arrays after a step of NumPy over contiguous copies."""
    arrays = copies(arrays)
    with _backend.using("numpy"):
        loaded(rule, arrays).run()
    return arrays


def loaded(*parts):
    """Bound arrays, ready to run: of one rule, or of pairs of a rule and its arrays."""
    parts = parts if isinstance(parts[0], tuple) else (parts,)
    rules, streams = zip(*((rule, [[array] for array in arrays.values()]) for rule, arrays in parts), strict=True)
    bound = bind(rules, streams, [[""]] * len(parts))
    bound.load(tuple(values_of(rule) for rule, _ in parts))
    return bound


def run_in_ranges(bound, rng):
    """Run ranges that cut the elements anywhere, in any order."""
    cuts = [0, *np.unique(rng.integers(0, bound.size + 1, rng.integers(1, 8))).tolist(), bound.size]
    for start, stop in rng.permutation(list(itertools.pairwise(cuts))).tolist():
        bound.run_range(start, stop)


@each_rule
@each_dtype
def test_every_layout_in_ranges_cut_anywhere(rule, dtype):
    rng = np.random.default_rng(0)
    for shape in SHAPES + BANDS:
        start = arrays_of(rule, shape, dtype)
        expected = expected_of(rule, start)
        for layout in LAYOUTS:
            placed = {name: layout.place(array) for name, array in start.items()}
            run_in_ranges(loaded(rule, {name: view for name, (view, _) in placed.items()}), rng)
            for name, (view, base) in placed.items():
                assert_same_bits(view, expected[name], f"{name}, {layout.name}, shape {shape}")
                assert np.all(layout.outside(base) == 7.25), f"{name}, {layout.name}, shape {shape}"


@each_rule
@each_dtype
def test_arrays_in_layouts_of_their_own_in_ranges_cut_anywhere(rule, dtype):
    """Also misaligned ones."""
    rng = np.random.default_rng(1)
    for shape in SHAPES:
        start = arrays_of(rule, shape, dtype)
        expected = expected_of(rule, start)
        for _ in range(20):
            chosen = rng.integers(0, len(PLACES), len(start))
            # All alike but for one, as often as all by chance.
            chosen[: rng.integers(0, len(start))] = chosen[0]
            placed = {name: PLACES[i](array) for i, (name, array) in zip(chosen, start.items(), strict=True)}
            run_in_ranges(loaded(rule, placed), rng)
            for name, view in placed.items():
                assert_same_bits(view, expected[name], f"{name}, layouts {chosen}, shape {shape}")


@each_rule
@each_dtype
def test_one_or_two_arrays_in_another_layout_in_ranges_cut_anywhere(rule, dtype):
    """Those that are denser across the rows of the others, say."""
    rng = np.random.default_rng(3)
    for shape in BANDS:
        start = arrays_of(rule, shape, dtype)
        expected = expected_of(rule, start)
        for name, place in itertools.product(rule.streams, PLACES):
            others = {rng.choice(rule.streams): PLACES[rng.integers(len(PLACES))]} if rng.random() < 0.5 else {}
            chosen = dict.fromkeys(rule.streams, np.copy) | others | {name: place}
            placed = {stream: own(start[stream]) for stream, own in chosen.items()}
            run_in_ranges(loaded(rule, placed), rng)
            for stream, view in placed.items():
                assert_same_bits(view, expected[stream], f"{stream}, {name} as {place}, shape {shape}")


def test_many_axes():
    """As many as NumPy has; most of one element."""
    shape = (2, 3, *[1] * 28, 2, 2)
    rule = BY_STREAMS[3]
    start = arrays_of(rule, shape, np.float64)
    expected = expected_of(rule, start)
    for layout in [layout for layout in LAYOUTS if math.prod(layout.outer(shape)) < 1000]:
        placed = {name: layout.place(array)[0] for name, array in start.items()}
        loaded(rule, placed).run()
        for name, view in placed.items():
            assert_same_bits(view, expected[name], f"{name}, {layout.name}")


def test_parts_of_several_rules_dtypes_and_layouts_in_ranges_cut_anywhere():
    """Ranges cut across tensors and parts as if all lay end to end."""
    rng = np.random.default_rng(2)
    for _ in range(30):
        parts, expected = [], []
        for i, rule in enumerate(rng.permutation(list(BY_STREAMS.values()))):
            start = arrays_of(rule, SHAPES[rng.integers(len(SHAPES))], DTYPES[rng.integers(2)], seed=i)
            place = PLACES[rng.integers(len(PLACES))]
            parts.append((rule, {name: place(array) for name, array in start.items()}))
            expected.append(expected_of(rule, start))
        run_in_ranges(loaded(*parts), rng)
        for (rule, placed), arrays in zip(parts, expected, strict=True):
            for name, view in placed.items():
                assert_same_bits(view, arrays[name], f"{rule.name}, {name}")


@compiled_only
@pytest.mark.parametrize("length", [1, 63, 64, 511, 513, 5000])
def test_strided_arrays_shared_by_threads(length):
    counter = np.zeros(1, np.int64)
    for layout in LAYOUTS:
        parts, expected = [], []
        for i, (rule, shape) in enumerate(
            zip(BY_STREAMS.values(), ((9, 64), (3, 700), (30, 30), (5, 2, 7)), strict=True)
        ):
            start = arrays_of(rule, shape, DTYPES[i % 2], seed=i)
            parts.append((rule, {name: layout.place(array)[0] for name, array in start.items()}))
            expected.append(expected_of(rule, start))
        counter[0] = 0
        shared = loaded(*parts).share(length, counter)
        in_threads(shared.take, shared.take, shared.finish)
        assert counter == [1]
        for (rule, placed), arrays in zip(parts, expected, strict=True):
            for name, view in placed.items():
                assert_same_bits(view, arrays[name], f"{rule.name}, {name}, {layout.name}")


# Arrays that change between the steps of an optimizer.


def twins(place, shapes=((6, 70), (5, 8))):
    """Optimizers over equal parameters, in some layout and contiguous ones."""
    params = random_arrays(np.float64, 0, shapes)
    placed = [place(param) for param in params]
    return build(ONE_OPTIMIZER, placed), placed, build(ONE_OPTIMIZER, params), params


@pytest.mark.parametrize("place", PLACES, ids=PLACE_NAMES)
def test_gradients_of_another_layout_in_every_step(place):
    opt, placed, other, params = twins(place)
    for step, of_grads in enumerate(PLACES, start=1):
        grads = random_arrays(np.float64, step, [param.shape for param in params])
        opt.step([of_grads(grad) for grad in grads])
        other.step(grads)
        for one, two in zip(placed, params, strict=True):
            assert_same_bits(one, two, f"step {step}")


@pytest.mark.filterwarnings("ignore:Setting the (strides|shape):DeprecationWarning")
@pytest.mark.parametrize("name", ["param", *ONE_OPTIMIZER.states, "all"])
@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[3], LAYOUTS[5]], ids=lambda layout: layout.name)
def test_an_array_turned_in_place(name, layout):
    """The elements of a square matrix change their places; the next step takes them as they lie."""
    opt, (placed,), other, (param,) = twins(lambda values: layout.place(values)[0], [(9, 9)])
    (grad,) = random_arrays(np.float64, 1, [(9, 9)])
    for each in (opt, other):
        each.step([grad])
    arrays = {"param": placed} | {state: arrays[0] for state, arrays in opt.groups[0].state.items()}
    theirs = {"param": param} | {state: arrays[0] for state, arrays in other.groups[0].state.items()}
    for turned in arrays if name == "all" else [name]:
        arrays[turned].strides = arrays[turned].strides[::-1]
        theirs[turned][...] = theirs[turned].T.copy()
    for _ in range(2):
        for each in (opt, other):
            each.step([grad])
        for stream, array in arrays.items():
            assert_same_bits(array, theirs[stream], stream)


@pytest.mark.filterwarnings("ignore:Setting the (strides|shape):DeprecationWarning")
@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[2]], ids=lambda layout: layout.name)
def test_arrays_reshaped_in_place(layout):
    """All of a tensor go on in the new shape; one alone is refused."""
    opt, (placed,), other, (param,) = twins(lambda values: layout.place(values)[0], [(6, 70)])
    (grad,) = random_arrays(np.float64, 1, [(6, 70)])
    for each in (opt, other):
        each.step([grad])
    states = [arrays[0] for arrays in opt.groups[0].state.values()]
    before = placed.tobytes()
    placed.shape = (70, 6)
    for new_grad in (grad, grad.reshape(70, 6)):
        with pytest.raises(ValueError, match=r"expected shape \(70, 6\) like param.*, got \(6, 70\)"):
            opt.step([new_grad])
    assert (placed.tobytes(), opt.steps) == (before, 1)
    for state in states:
        state.shape = (70, 6)
    opt.step([grad.reshape(70, 6)])
    other.step([grad])
    assert_same_bits(placed.reshape(6, 70), param)


@pytest.mark.filterwarnings("ignore:Setting the (strides|shape):DeprecationWarning")
@pytest.mark.parametrize("strides", [(0, 8), (8, 8), (8, 16)])
def test_an_array_made_to_overlap_itself(strides):
    opt, (placed,), _, _ = twins(lambda values: np.repeat(values, 2, axis=1)[:, ::2], [(6, 7)])
    grad = np.ones((6, 7))
    opt.step([grad])
    placed.strides = strides
    before = placed.tobytes()
    with pytest.raises(ValueError, match=r"^param\[0\]: expected elements that share no memory"):
        opt.step([grad])
    assert (placed.tobytes(), opt.steps) == (before, 1)


# All groups in one step.


GROUPS = """
    import random
    import signal
    import time
    import numpy as np
    import fastopt
    from fastopt.kernels import _threads

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    fastopt.set_num_threads(threads)
    _threads.MIN_SIZE = min(_threads.MIN_SIZE, 4 * size)
    kinds = ("f8", 1), ("f4", 1), ("f8", 2), ("f4", 1)
    params = [np.zeros(size * stride, dtype)[::stride] for dtype, stride in kinds]
    grads = [np.ones(size, param.dtype) for param in params]
    opt = fastopt.SGD(
        [
            {"params": params[0], "lr": 0.5},
            {"params": [params[1]], "lr": lambda step: 0.25},
            {"params": [params[2]], "momentum": 1.0, "lr": 2.0**-10},
            {"params": [params[3]], "lr": 0.125},
        ]
    )
    random, interrupted, end = random.Random(0), 0, time.monotonic() + 60
    while interrupted < 300 and time.monotonic() < end:
        opt.steps = 0
        opt.groups[2].state["momentum_buffer"][0][...] = 0.0
        for param in params:
            param[...] = 0.0
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, longest))
            while True:
                opt.step([grads[0], [grads[1]], [grads[2]], [grads[3]]])
        except KeyboardInterrupt:
            interrupted += 1
        n = opt.steps
        # All sums are exact: with a momentum of 1 the buffer counts the steps.
        expected = -0.5 * n, -0.25 * n, -(2.0**-10) * n * (n + 1) / 2, -0.125 * n
        for i, (param, value) in enumerate(zip(params, expected)):
            assert (param == value).all(), (n, i, param, value)
        assert (opt.groups[2].state["momentum_buffer"][0] == n).all(), n
    print(interrupted)
"""


@compiled_only
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="interval timers are Unix calls")
@pytest.mark.parametrize(("size", "threads", "longest"), [(10, 1, 1e-3), (500_000, 1, 5e-3), (500_000, 2, 5e-3)])
def test_an_interrupt_leaves_all_groups_or_none_updated(size, threads, longest):
    """And counts the step that it let happen, or not."""
    code, out, err = run_python(f"size, threads, longest = {size}, {threads}, {longest}", GROUPS)
    assert (code, out) == (0, ["300"]), err


def test_the_counter_counts_what_the_arrays_saw():
    for size in (10, 9000):
        params = [np.zeros(size), np.zeros((size, 2))[:, 0]]
        opt = fastopt.SGD([{"params": param} for param in params], lr=0.5)
        for step in range(1, 4):
            opt.step([np.ones(size), np.ones(size)])
            assert opt.steps == step
            for param in params:
                assert (param == -0.5 * step).all()
