"""`fastopt.compat.optax` against optax itself: the same parameters after every step, for every option."""

import copy
import inspect
from operator import attrgetter
from types import FunctionType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastopt
from fastopt.compat import optax as ours

STEPS = 1000

MUON = {"eps": 0.0, "nesterov": False, "consistent_rms": 0.2}  # what fastopt's can follow; optax adds eps to the norm

# With optax's arguments beside the learning rate; a mask in the structure of the parameters, or a prefix of it.
VARIANTS = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.8, "nesterov": True}),
    ("sgd", {"momentum": 0.0, "nesterov": True}),
    ("sgd", {"momentum": None, "nesterov": True}),
    ("adagrad", {}),
    ("adagrad", {"initial_accumulator_value": 0.0, "eps": 1e-3}),
    ("adagrad", {"initial_accumulator_value": 0.5, "eps": 0.0}),
    ("rmsprop", {}),
    ("rmsprop", {"decay": 0.99, "eps": 1e-3, "initial_scale": 1.0}),
    ("rmsprop", {"eps_in_sqrt": False}),
    ("rmsprop", {"momentum": 0.9}),
    ("rmsprop", {"momentum": 0.0, "nesterov": True}),
    ("rmsprop", {"nesterov": True}),
    ("rmsprop", {"centered": True, "eps": 1e-3}),
    ("rmsprop", {"centered": True, "eps": 1e-2, "eps_in_sqrt": False, "initial_scale": 0.5}),
    ("rmsprop", {"centered": True, "momentum": 0.5, "eps": 1e-3, "decay": 0.8}),
    ("adam", {}),
    ("adam", {"b1": 0.8, "b2": 0.9, "eps": 1e-4}),
    ("adam", {"b1": 0.0, "b2": 0.99, "eps": 1e-4, "eps_root": 0.0, "mu_dtype": None, "nesterov": False}),
    ("adamw", {}),
    ("adamw", {"weight_decay": 0.1, "mask": {"layers": [True, False], "scale": False, "none": True}}),
    ("adamw", {"weight_decay": 0.1, "mask": {"layers": True, "scale": False, "none": True}, "b1": 0.8}),
    ("adamw", {"weight_decay": 0.1, "mask": {"layers": False, "scale": False, "none": False}}),
    ("lion", {}),
    ("lion", {"b1": 0.95, "b2": 0.98, "weight_decay": 0.1}),
    ("lion", {"weight_decay": 0.1, "mask": {"layers": [False, True], "scale": True, "none": False}}),
    ("adamax", {}),
    ("adamax", {"b1": 0.8, "b2": 0.9, "eps": 1e-3}),
    ("adamaxw", {"weight_decay": 0.1, "mask": {"layers": [True, False], "scale": False, "none": True}}),
    ("radam", {}),
    ("radam", {"b1": 0.8, "b2": 0.9, "eps": 1e-3}),
    ("adadelta", {}),
    ("adadelta", {"rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("signum", {}),
    ("signum", {"beta": 0.5}),
    ("signum", {"beta": 0.0}),
    ("sign_sgd", {}),
    ("lamb", {}),
    ("lamb", {"b1": 0.8, "b2": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("lamb", {"weight_decay": 0.1, "mask": {"layers": [True, False], "scale": False, "none": True}}),
    ("contrib.ademamix", {}),
    ("contrib.ademamix", {"b1": 0.8, "b2": 0.9, "b3": 0.99, "alpha": 2.0, "eps": 1e-3, "weight_decay": 0.1}),
    ("contrib.ademamix", {"weight_decay": 0.1, "mask": {"layers": [True, False], "scale": False, "none": True}}),
    ("contrib.adopt", {}),
    ("contrib.adopt", {"b1": 0.8, "b2": 0.9, "eps": 1e-3, "use_clipping": False}),
    ("contrib.muon", MUON),
    ("contrib.muon", {**MUON, "ns_coeffs": "standard", "weight_decay": 0.1, "adam_weight_decay": 0.2}),
    ("contrib.muon", {**MUON, "ns_coeffs": (2.0, -1.5, 0.5), "ns_steps": 3, "beta": 0.8, "adam_b1": 0.8}),
    ("contrib.muon", {**MUON, "adam_b2": 0.9, "adam_learning_rate": 0.02}),
]
NAMES = [*(name for name in ours.__all__ if name != "contrib"), *(f"contrib.{name}" for name in ours.contrib.__all__)]
each_variant = pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=[f"{name}-{'-'.join(options)}" for name, options in VARIANTS]
)


@pytest.fixture
def optax():
    """optax, with JAX in float64."""
    jax = pytest.importorskip("jax", reason="optax computes with JAX")
    optax = pytest.importorskip("optax")
    with jax.enable_x64(True):
        yield optax


def make_params(seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 6, 2)
    shapes = {"layers": [(rows, columns), (columns,)], "scale": (), "none": (0, rows)}
    return {
        "layers": [rng.normal(size=shape) for shape in shapes["layers"]],
        "scale": np.array(rng.normal()),
        "none": np.zeros(shapes["none"]),
    }


def leaves(tree):
    return [*tree["layers"], tree["scale"], tree["none"]]


def like(params, values):
    return {"layers": values[:2], "scale": values[2], "none": values[3]}


def joined(params):
    return np.concatenate([np.ravel(leaf) for leaf in leaves(params)])


def make_noise(params, steps=STEPS):
    rng = np.random.default_rng(1)
    return like(params, [rng.normal(size=(steps, *leaf.shape)) for leaf in leaves(params)])


def steps_of_optax(transformation, params, noise):
    """Parameters after each step, one row for each, where gradients draw them towards zero, with noise."""
    import jax
    import optax

    def step(carry, noise):
        params, state = carry
        grads = jax.tree.map(lambda p, n: 0.1 * p + n, params, noise)
        updates, state = transformation.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = jax.tree.map(jax.numpy.array, params)
    _, all_params = jax.jit(lambda: jax.lax.scan(step, (start, transformation.init(start)), noise))()
    return np.concatenate([np.reshape(leaf, (len(leaf), leaf[0].size)) for leaf in leaves(all_params)], axis=1)


def assert_same_steps(opt, params, noise, expected):
    """The same with fastopt's optimizer, compared after each step."""
    assert np.isfinite(expected).all()
    for step, row in enumerate(expected):
        grads = [0.1 * p + n[step] for p, n in zip(leaves(params), leaves(noise), strict=True)]
        opt.step(like(params, grads))
        found = joined(params)
        if not (abs(found - row) <= 1e-12 + 1e-9 * abs(row)).all():  # faster than:
            np.testing.assert_allclose(found, row, rtol=1e-9, atol=1e-12, err_msg=f"step {step}")


def in_both(schedule):
    """A schedule for fastopt, and for optax as a table: optax's own are computed in float32."""
    import jax

    values = jax.numpy.array([schedule(step) for step in range(STEPS)])
    return schedule, lambda count: values[count]


@each_variant
@pytest.mark.parametrize("scheduled", [False, True])
def test_thousand_steps_equal_optaxs(optax, name, options, scheduled):
    params = make_params(len(str(options)))
    noise = make_noise(params)
    mine, theirs = in_both(lambda step: 0.02 / (1 + 0.01 * step)) if scheduled else (0.01, 0.01)
    expected = steps_of_optax(attrgetter(name)(optax)(theirs, **options), params, noise)
    assert_same_steps(attrgetter(name)(ours)(params, mine, **options), params, noise, expected)


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_mask_may_be_a_function_and_weight_decay_a_schedule(optax, name):
    import jax

    params = make_params()
    noise = make_noise(params)
    mine, theirs = in_both(lambda step: 0.5 * max(0.0, 1 - step / 600))
    options = {"mask": lambda params: jax.tree.map(lambda leaf: leaf.ndim != 1, params)}
    expected = steps_of_optax(attrgetter(name)(optax)(0.01, weight_decay=theirs, **options), params, noise)
    assert_same_steps(attrgetter(name)(ours)(params, 0.01, weight_decay=mine, **options), params, noise, expected)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("sgd", "momentum"),
        ("rmsprop", "decay"),
        ("rmsprop", "momentum"),
        ("adam", "b1"),
        ("adam", "b2"),
        ("adam", "eps"),
    ],
)
def test_other_numbers_may_be_schedules(optax, name, option):
    """With optax: under `inject_hyperparams`."""
    params = make_params()
    noise = make_noise(params)
    mine, theirs = in_both(lambda step: 0.5 + 0.4 * min(1.0, step / 500))
    injected = optax.inject_hyperparams(attrgetter(name)(optax))(learning_rate=0.01, **{option: theirs})
    expected = steps_of_optax(injected, params, noise)
    assert_same_steps(attrgetter(name)(ours)(params, 0.01, **{option: mine}), params, noise, expected)


@pytest.mark.parametrize("name", [name for name in NAMES if "schedule_free" not in name])
def test_schedules_of_fastopt(optax, name):
    options = MUON if name.endswith("muon") else {}
    params = make_params()
    noise = make_noise(params)
    rate, theirs = in_both(fastopt.schedules.CosineAnnealing(lr=0.02, T_max=STEPS))
    expected = steps_of_optax(attrgetter(name)(optax)(theirs, **options), params, noise)
    wrong = copy.deepcopy(params)
    late = attrgetter(name)(ours)(wrong, lambda step: rate(step + 1), **options)
    with pytest.raises(AssertionError):  # the comparison would notice a rate that is one step late
        assert_same_steps(late, wrong, noise, expected)
    assert_same_steps(attrgetter(name)(ours)(params, rate, **options), params, noise, expected)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_optaxs(optax, name):
    theirs = list(inspect.signature(attrgetter(name)(optax)).parameters.values())
    mine = list(inspect.signature(attrgetter(name)(ours)).parameters.values())
    assert mine[0].name == "params"
    assert [(p.name, p.kind) for p in mine[1:]] == [(p.name, p.kind) for p in theirs]
    for own, other in zip(mine[1:], theirs, strict=True):
        if own.name == "clip_value_fn":
            assert (own.default, other.default(16.0)) == (None, 2.0)
        else:
            assert own.default == other.default


def test_every_optimizer_of_optax_is_here_or_refused(optax):
    def is_alias(value):
        return isinstance(value, FunctionType) and value.__module__.endswith("alias")

    named = {name for name, value in vars(optax).items() if is_alias(value)}
    refused = set()
    for name in named:
        try:
            getattr(ours, name)
        except AttributeError:
            refused.add(name)
    assert named - refused == {*ours.__all__} - {"contrib"}
    assert refused - {"nadam", "nadamw"} == {*ours._REFUSED} - {"nadam", "nadamw"}  # partial functions in optax


def test_every_optimizer_of_optax_contrib_is_here_or_refused(optax):
    others = {"hutchinson_estimator_diag_hessian", "normalize", "split_real_and_imaginary"}  # parts of optimizers
    named = {name for name, value in vars(optax.contrib).items() if isinstance(value, FunctionType)}
    named = {name for name in named if not name.startswith("scale_by_")} - others
    assert named == {*ours.contrib.__all__} | {*ours.contrib._REFUSED}


@pytest.mark.parametrize(("module", "name"), [(m, name) for m in (ours, ours.contrib) for name in sorted(m._REFUSED)])
def test_refused_optimizers_say_why(module, name):
    message = rf"^{module.__name__}: expected one of a.*, s.*, since (fastopt|optax|opt.eval).*, got '{name}'$"
    with pytest.raises(AttributeError, match=message):
        getattr(module, name)


def test_unknown_names_are_unknown():
    with pytest.raises(AttributeError, match=r"^module 'fastopt.compat.optax' has no attribute 'adamm'$"):
        ours.adamm  # noqa: B018


@pytest.mark.parametrize("beta", [0.0, 0.8, 0.95])
def test_muon_looks_ahead_as_optax(optax, beta):
    """In optax the bias of average and gradient is corrected apart."""
    import jax

    options = {"beta": beta, "eps": 0.0, "consistent_rms": 0.2, "weight_decay": 0.1}
    params = make_params()
    noise = make_noise(params)
    matrix, noise = params["layers"][0], noise["layers"][0]
    theirs = optax.contrib.muon(0.01, **options)
    update = jax.jit(theirs.update)
    opt = ours.contrib.muon(matrix, 0.01, **options)
    expected = matrix.copy()
    state = theirs.init(expected)
    for own in noise[:200]:
        opt.step(0.1 * matrix + own)
        updates, state = update(0.1 * expected + own, state, expected)
        expected = np.asarray(optax.apply_updates(expected, updates))
        np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-12)


def test_muon_differs_by_eps(optax):
    params = make_params()
    noise = make_noise(params, 100)
    options = {"nesterov": False, "consistent_rms": 0.2}
    expected = steps_of_optax(optax.contrib.muon(0.01, **options), params, noise)
    opt = ours.contrib.muon(params, 0.01, **options)
    for step in range(100):
        grads = [0.1 * p + n[step] for p, n in zip(leaves(params), leaves(noise), strict=True)]
        opt.step(like(params, grads))
    assert 1e-14 < abs(joined(params) - expected[-1]).max() < 1e-7


def test_muon_without_decay_of_some(optax):
    start = [np.random.default_rng(0).normal(size=(3, 4)) for _ in range(2)] + [np.ones(3)]
    params = dict(zip("abc", start, strict=True))
    options = {**MUON, "weight_decay": 0.1, "weight_decay_mask": {"a": True, "b": False, "c": False}}
    opt = ours.contrib.muon(params, 0.1, **options)
    assert [(group.names, group.weight_decay) for group in opt.groups] == [(["a"], 0.1), (["b"], 0.0), (["c"], 0.0)]
    theirs = optax.contrib.muon(0.1, **options)
    expected = {name: param.copy() for name, param in params.items()}
    updates, _ = theirs.update(expected, theirs.init(expected), expected)
    opt.step({name: param.copy() for name, param in params.items()})
    for name, update in updates.items():
        np.testing.assert_allclose(params[name], expected[name] + np.asarray(update), rtol=1e-9)


def test_muon_of_groups():
    groups = [{"params": np.eye(2)}, {"params": np.eye(2), "adamw": True}]
    opt = ours.contrib.muon(groups, 0.1, **MUON, adam_weight_decay=0.5, adam_learning_rate=0.2)
    opt.step([np.eye(2), np.eye(2)])
    assert [(group.lr, group.weight_decay) for group in opt.groups] == [(0.1, 0.0), (0.2, 0.5)]
    other = copy.deepcopy(opt)
    other.bind([np.eye(2), np.eye(2)])
    assert other.steps == 1


# With a warm-up the rates are optax's own, which it computes in float32.
SCHEDULE_FREE = [
    ("schedule_free_sgd", {"learning_rate": 0.1}),
    ("schedule_free_sgd", {"learning_rate": 0.1, "b1": 1.0, "weight_decay": 0.1}),
    ("schedule_free_sgd", {"learning_rate": 2.0**-3, "warmup_steps": 128, "b1": 0.8, "weight_lr_power": 1.0}),
    ("schedule_free_adamw", {}),
    ("schedule_free_adamw", {"learning_rate": 0.01, "b1": 0.8, "b2": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("schedule_free_adamw", {"learning_rate": 2.0**-7, "warmup_steps": 128, "weight_lr_power": 0.0}),
    ("schedule_free_adamw", {"learning_rate": 2.0**-7, "warmup_steps": 1}),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULE_FREE)
def test_schedule_free_steps_and_means_equal_optaxs(optax, name, options):
    import jax

    params = make_params()
    noise = make_noise(params)
    theirs = getattr(optax.contrib, name)(**options)
    opt = getattr(ours.contrib, name)(params, **options)
    expected = jax.tree.map(jax.numpy.array, params)
    state = theirs.init(expected)
    update = jax.jit(theirs.update)
    for step in range(STEPS):
        grads = [0.1 * p + n[step] for p, n in zip(leaves(params), leaves(noise), strict=True)]
        opt.step(like(params, grads))
        updates, state = update(
            jax.tree.map(lambda p, n, step=step: 0.1 * p + n[step], expected, noise), state, expected
        )
        expected = optax.apply_updates(expected, updates)
        np.testing.assert_allclose(joined(params), joined(expected), rtol=1e-9, atol=1e-12, err_msg=f"step {step}")
        if step % 100 == 0:
            mean = optax.contrib.schedule_free_eval_params(state, expected)
            with opt.averaged():
                np.testing.assert_allclose(joined(params), joined(mean), rtol=1e-9, atol=1e-12, err_msg=f"step {step}")


@pytest.mark.parametrize("of_mu", [False, True])
@pytest.mark.parametrize("of_nu", [False, True])
@pytest.mark.parametrize("eps_hat", [False, True])
def test_amsgrad_is_another_rule(optax, of_mu, of_nu, eps_hat):
    """What the refusal says is true: no setting of fastopt's gives optax's steps."""
    params = make_params()
    noise = make_noise(params, 50)
    theirs = optax.amsgrad(0.01, bias_correction_mu=of_mu, bias_correction_nu=of_nu)
    expected = steps_of_optax(theirs, params, noise)
    opt = fastopt.Adam(params, lr=0.01, amsgrad=True, eps_hat=eps_hat)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_steps(opt, params, noise, expected)


def test_float32_rounds_the_bias_correction_once(optax):
    """What differs in float32: optax computes ``1 - b2**step`` in float32, fastopt in float64."""
    import jax

    grads = np.full(3, 0.5, np.float32)
    param = np.zeros(3, np.float32)
    ours.adam(param, 1.0).step(grads)
    with jax.enable_x64(False):
        theirs = optax.adam(1.0)
        updates, _ = theirs.update(grads, theirs.init(np.zeros(3, np.float32)))
    exact = -1 / (1 + 1e-8 / 0.5)
    assert (abs(param - exact) < 1e-7).all()
    assert (abs(np.asarray(updates) - exact) > 1e-6).all()


def test_jitted_gradients_of_numpy_parameters(optax):
    """As the page shows it, over memory that JAX reads without a copy."""
    import jax

    def aligned(values):
        memory = np.empty(values.nbytes + 64, np.uint8)
        start = -memory.ctypes.data % 64
        array = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
        array[...] = values
        return array

    rng = np.random.default_rng(0)
    X = rng.normal(size=(32, 4))
    start = {"w": rng.normal(size=(4, 3)), "b": np.zeros(3)}
    params = {name: aligned(value) for name, value in start.items()}
    grad = jax.jit(jax.grad(lambda params: ((X @ params["w"] + params["b"] - 1) ** 2).mean()))
    opt = ours.adamw(params, 0.01, mask={"w": True, "b": False})
    theirs = optax.adamw(0.01, mask={"w": True, "b": False})
    expected, state = {name: jax.numpy.array(value) for name, value in start.items()}, theirs.init(start)
    for _ in range(100):
        opt.step(jax.block_until_ready(grad(params)))
        updates, state = theirs.update(grad(expected), state, expected)
        expected = optax.apply_updates(expected, updates)
        for name, param in params.items():
            np.testing.assert_allclose(param, expected[name], rtol=1e-9)


# Masks.


def masked(params=None, mask=None, **options):
    params = {"w": np.ones((2, 2)), "b": np.ones(2)} if params is None else params
    return ours.adamw(params, 0.1, weight_decay=0.5, mask={"w": True, "b": False} if mask is None else mask, **options)


def test_masked_parameters_are_a_group():
    opt = masked()
    assert isinstance(opt, fastopt.AdamW)
    assert [(group.names, group.weight_decay) for group in opt.groups] == [(["w"], 0.5), (["b"], 0.0)]


@pytest.mark.parametrize("mask", [True, False, {"w": True, "b": True}, {"w": False, "b": False}, lambda params: True])
def test_masks_that_are_alike_need_no_groups(mask):
    opt = masked(mask=mask)
    assert type(opt) is fastopt.AdamW
    decays = mask["w"] if isinstance(mask, dict) else bool(mask)
    assert [group.weight_decay for group in opt.groups] == [0.5 if decays else 0.0]


def test_state_of_a_masked_optimizer_has_the_usual_names():
    params = [np.ones(2), {"x": np.ones(3), "y": np.ones(1)}]
    plain, opt = fastopt.AdamW(params), masked(params, [True, {"x": False, "y": True}])
    state, own = plain.state_dict(), opt.state_dict()
    assert state.keys() == own.keys() - {"lr.1"}


def test_masked_optimizers_are_copied():
    params = {"w": np.ones((2, 2)), "b": np.ones(2)}
    opt = masked(params)
    grads = {"b": np.ones(2), "w": np.ones((2, 2))}
    opt.step(grads)
    other = copy.deepcopy(opt)
    own = {name: param.copy() for name, param in params.items()}
    other.bind(own)
    for one in (opt, other):
        one.step(grads, grad_scale=0.5)
    for name, param in params.items():
        np.testing.assert_array_equal(param, own[name])


trees = st.recursive(
    st.just("leaf"),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
    max_leaves=6,
)


@given(tree=trees, data=st.data())
def test_any_tree_and_mask(tree, data):
    """Each parameter decays as the mask above it says."""

    def build(node, above):
        here = data.draw(st.booleans()) if above is None and (node == "leaf" or data.draw(st.booleans())) else None
        choice = here if above is None else above
        if node == "leaf":
            param = np.ones(2)
            checks.append((param, choice))
            return param, choice, np.zeros(2)
        items = node.items() if isinstance(node, dict) else enumerate(node)
        built = [(key, *build(child, choice)) for key, child in items]
        parts = [{key: own[i] for key, *own in built} for i in range(3)]
        if not isinstance(node, dict):
            parts = [list(part.values()) for part in parts]
        if here is not None:
            parts[1] = here
        return tuple(parts)

    checks = []
    params, mask, grads = build(tree, None)
    opt = ours.lion(params, 0.1, weight_decay=0.5, mask=mask)
    opt.step(grads)
    for param, decays in checks:
        np.testing.assert_allclose(param, 0.95 if decays else 1.0)


# What is refused.

REFUSED = [
    (ours.sgd, {"accumulator_dtype": "bfloat16"}, "accumulator_dtype: expected None, since .*, got 'bfloat16'"),
    (ours.sgd, {"momentum": 1.5}, r"momentum: expected a number in \[0, 1\], got 1.5"),
    (ours.sgd, {"learning_rate": -0.1}, "learning_rate: expected a finite number >= 0, got -0.1"),
    (ours.sgd, {"learning_rate": None}, "learning_rate: expected a finite number >= 0, got None"),
    (ours.sgd, {"nesterov": 1}, "nesterov: expected True or False, got 1"),
    (ours.adagrad, {"eps": 0.0, "initial_accumulator_value": 0}, "eps: expected a number > 0 with .*=0, got 0.0"),
    (ours.adagrad, {"initial_accumulator_value": -1.0}, "initial_accumulator_value: .* >= 0, got -1.0"),
    (ours.rmsprop, {"decay": 1.0}, r"decay: expected a number in \[0, 1\), got 1.0"),
    (ours.rmsprop, {"initial_scale": -1.0}, "initial_scale: expected a finite number >= 0, got -1.0"),
    (
        ours.rmsprop,
        {"momentum": 0.9, "nesterov": True},
        "nesterov: expected False, since fastopt's RMSprop has no Nesterov momentum, got True",
    ),
    (
        ours.rmsprop,
        {"bias_correction": True},
        "bias_correction: expected False, since fastopt's RMSprop has none, got True",
    ),
    (ours.rmsprop, {"bias_correction": None}, "bias_correction: expected True or False, got None"),
    (ours.adam, {"b1": 1.0}, r"b1: expected a number in \[0, 1\), got 1.0"),
    (ours.adam, {"b2": -0.5}, r"b2: expected a number in \[0, 1\), got -0.5"),
    (ours.adam, {"eps": -1e-8}, "eps: expected a finite number >= 0, got -1e-08"),
    (
        ours.adam,
        {"eps_root": 1e-8},
        "eps_root: expected 0.0, since fastopt's Adam adds epsilon outside the root, got 1e-08",
    ),
    (ours.adam, {"eps_root": lambda step: 0.0}, "eps_root: expected 0.0, since .*, got <function .*>"),
    (ours.adam, {"mu_dtype": np.float32}, "mu_dtype: expected None, since the moments .*, got <class 'numpy.float32'>"),
    (
        ours.adam,
        {"nesterov": True},
        "nesterov: expected False, since fastopt's Adam has no Nesterov momentum, got True",
    ),
    (ours.adamw, {"nesterov": True}, "nesterov: expected False, since .*, got True"),
    (ours.adamw, {"weight_decay": -0.1}, "weight_decay: expected a finite number >= 0, got -0.1"),
    (ours.adamw, {"mask": {"w": 1, "b": False}}, r"mask\['w'\]: expected True or False, got 1"),
    (
        ours.adamw,
        {"mask": {"w": True}},
        r"mask: expected the structure of params, or .*, got none for \[\"params\['b'\]\"\] and unknown \[\]",
    ),
    (
        ours.adamw,
        {"mask": {"w": True, "b": [True, False]}},
        r"mask: .* none for \[\"params\['b'\]\"\] and unknown \[\"mask\['b'\]\[0\]\", \"mask\['b'\]\[1\]\"\]",
    ),
    (ours.lion, {"mask": None, "mu_dtype": "float32"}, "mu_dtype: expected None, since the average .*, got 'float32'"),
    (ours.lion, {"b1": 2.0}, r"b1: expected a number in \[0, 1\), got 2.0"),
    (ours.signum, {"beta": 1.5}, r"beta: expected a number in \[0, 1\], got 1.5"),
    (ours.signum, {"accumulator_dtype": "float64"}, "accumulator_dtype: expected None, since .*, got 'float64'"),
    (ours.lamb, {"eps_root": 1e-8}, "eps_root: expected 0.0, since fastopt's LAMB adds .*, got 1e-08"),
    (ours.contrib.ademamix, {"b3": 1.0}, r"b3: expected a number in \[0, 1\), got 1.0"),
    (ours.contrib.ademamix, {"alpha": -1.0}, "alpha: expected a finite number >= 0, got -1.0"),
    (ours.contrib.ademamix, {"eps_root": 1.0}, "eps_root: expected 0.0, since fastopt's AdEMAMix .*, got 1.0"),
    (ours.contrib.ademamix, {"mu_dtype": "float32"}, "mu_dtype: expected None, since .*, got 'float32'"),
    (ours.contrib.adopt, {"nesterov": True}, "nesterov: expected False, since fastopt's ADOPT .*, got True"),
    (ours.contrib.adopt, {"clip_value_fn": abs}, "clip_value_fn: expected None, since .*, got <built-in function abs>"),
    (ours.contrib.muon, {}, "consistent_rms: expected 0.2, since fastopt's Muon scales by it, .*, got None"),
    (ours.contrib.muon, MUON | {"nesterov": True}, "nesterov: expected False, since fastopt's AdamW, .*, got True"),
    (ours.contrib.muon, MUON | {"adaptive": True}, "adaptive: expected False, since fastopt's Muon .*, got True"),
    (ours.contrib.muon, MUON | {"preconditioning": "aol"}, "preconditioning: expected 'frobenius', .*, got 'aol'"),
    (ours.contrib.muon, MUON | {"ns_coeffs": "dion"}, "ns_coeffs: expected three numbers, since .*, got 'dion'"),
    (ours.contrib.muon, MUON | {"ns_coeffs": ((1, 2, 3),)}, r"ns_coeffs: expected three .*, got \(\(1, 2, 3\),\)"),
    (ours.contrib.muon, MUON | {"beta": 1.0}, r"beta: expected a number in \[0, 1\), got 1.0"),
    (
        ours.contrib.muon,
        MUON | {"muon_weight_dimension_numbers": {"w": None}},
        r"muon_weight_dimension_numbers: expected None, since .*, got {'w': None}",
    ),
    (ours.contrib.schedule_free_sgd, {"b1": 0.0}, "b1: expected a number > 0, got 0.0"),
    (ours.contrib.schedule_free_sgd, {"warmup_steps": 0}, "warmup_steps: expected an integer >= 1, got 0"),
    (
        ours.contrib.schedule_free_adamw,
        {"learning_rate": abs},
        "learning_rate: expected a number, .*, got <built.*",
    ),
    (
        ours.contrib.schedule_free_adamw,
        {"state_dtype": "float32"},
        "state_dtype: expected None, .*, got 'float32'",
    ),
]


@pytest.mark.parametrize(
    ("make", "options", "message"),
    REFUSED,
    ids=[f"{make.__name__}-{'-'.join(options)}" for make, options, _ in REFUSED],
)
def test_arguments_that_are_refused(make, options, message):
    params = {"w": np.ones((2, 2)), "b": np.ones(2)}
    with pytest.raises((TypeError, ValueError), match=f"^{message}$"):
        make(params, **{"learning_rate": 0.1} | options)


def test_zero_eps_of_adagrad_would_differ(optax):
    """The refusal's reason: where sum, gradient and eps are zero, optax stays and the formula is 0 / 0."""
    theirs = optax.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0)
    updates, _ = theirs.update(np.zeros(2), theirs.init(np.zeros(2)))
    assert (np.asarray(updates) == 0).all()
    param = np.zeros(2)
    fastopt.Adagrad(param, eps=0.0, eps_in_sqrt=True).step(np.zeros(2))
    assert np.isnan(param).all()


def test_masks_of_groups_are_refused():
    groups = [{"params": [np.ones(2)], "weight_decay": 0.1}, {"params": [np.ones(2)]}]
    with pytest.raises(ValueError, match=r"^mask: expected None with groups of parameters, .*, got \[True, False\]$"):
        masked(groups, [True, False])


def test_names_that_would_be_one_are_refused():
    params = {"a": {"b": np.ones(2)}, "a.b": np.ones(2)}
    with pytest.raises(ValueError, match=r"^params: expected distinct names, got \['a.b'\]$"):
        masked(params, {"a": True, "a.b": False})


def test_gradients_of_another_structure_are_refused():
    opt = masked()
    message = r"^grads: expected the structure of params, got missing \['b'\] and unknown \['c'\]$"
    with pytest.raises(ValueError, match=message):
        opt.step({"w": np.ones((2, 2)), "c": np.ones(2)})
    assert opt.steps == 0
    with pytest.raises(ValueError, match=r"^grad\[1\]\['b'\]: expected shape \(2,\)"):
        opt.step({"w": np.ones((2, 2)), "b": np.ones(3)})


def test_arrays_of_jax_cannot_be_updated(optax):
    import jax

    with pytest.raises(ValueError, match=r"^params\['w'\]: expected a writable array, got a read-only one$"):
        ours.adam({"w": jax.numpy.ones(2)}, 0.1)


def test_a_copy_takes_parameters_in_the_structure_of_old():
    params = {"w": np.eye(2), "b": np.ones(2)}
    opt = ours.adamw(params, 0.1, weight_decay=0.5, mask={"w": True, "b": False})
    opt.step({"w": np.eye(2), "b": np.ones(2)})
    others = {name: array.copy() for name, array in params.items()}
    other = copy.deepcopy(opt)
    other.bind(others)
    for each in (opt, other):
        each.step({"w": np.eye(2), "b": np.ones(2)})
    for name, array in params.items():
        np.testing.assert_array_equal(others[name], array)
    with pytest.raises(ValueError, match=r"^params: expected the structure of params, got missing \['b'\]"):
        copy.deepcopy(opt).bind({"w": np.eye(2)})
