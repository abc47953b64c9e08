"""`fastopt.compat.keras` against Keras itself, and `fastopt.compat.tf1` against its formulas."""

import copy
import inspect
import pickle
from contextlib import nullcontext

import numpy as np
import pytest

import fastopt
from fastopt.compat import keras as ours
from fastopt.compat import tf1

STEPS = 1000

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # in Keras

VARIANTS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"clipvalue": 0.5}),
    ("SGD", {"global_clipnorm": 2.0}),
    ("SGD", {"global_clipnorm": 1e9, "momentum": 0.5}),
    ("SGD", {"clipvalue": 0.0}),
    ("SGD", {"global_clipnorm": 0.0}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-3, "weight_decay": 0.05}),
    ("RMSprop", {}),
    ("RMSprop", {"rho": 0.99, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "clipvalue": 1.0}),
    ("RMSprop", {"centered": True, "epsilon": 1e-3}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "epsilon": 1e-2, "rho": 0.8}),
    ("Adam", {}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4, "amsgrad": True}),
    ("Adam", {"weight_decay": 0.1, "global_clipnorm": 0.5}),
    ("Adam", {"loss_scale_factor": 1024.0, "global_clipnorm": 2.0**-10}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.0, "clipvalue": 0.3, "loss_scale_factor": 4.0}),
    ("Adamax", {}),
    ("Adamax", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.8, "epsilon": 1e-3, "weight_decay": 0.1, "clipvalue": 0.5}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.8, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.95, "beta_2": 0.98, "weight_decay": 0.1}),
]
each_variant = pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=[f"{name}-{'-'.join(options)}" for name, options in VARIANTS]
)

SCHEDULES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.5}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "decay_rate": 0.9, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [100, 250], "values": [0.1, 0.05, 0.01]}),
    ("PiecewiseConstantDecay", {"boundaries": [0, 7], "values": [0.1, 0.2, 0.3]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 200}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "power": 2.0, "cycle": True}),
    ("PolynomialDecay", {"initial_learning_rate": 0.01, "decay_steps": 30, "end_learning_rate": 0.1, "power": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 150, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 150, "warmup_target": 0.1, "warmup_steps": 50}),
    ("CosineDecay", {"initial_learning_rate": 0.02, "decay_steps": 100, "warmup_target": 0.1, "alpha": 0.2}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 20}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 50, "t_mul": 1.0, "m_mul": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 31, "t_mul": 1.5, "alpha": 0.1}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 3.0, "m_mul": 0.8}),
]
each_schedule = pytest.mark.parametrize(
    ("name", "options"), SCHEDULES, ids=[f"{name}-{len(options)}-{i}" for i, (name, options) in enumerate(SCHEDULES)]
)


@pytest.fixture(scope="module")
def wide(keras):
    """Keras, which rounds rates to its floatx, in float64."""
    if keras.backend.backend() == "numpy":
        pytest.skip("Keras' backend numpy computes in float32")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    with pytest.importorskip("jax").enable_x64(True) if keras.backend.backend() == "jax" else nullcontext():
        yield keras
    keras.config.set_floatx(before)


def to_numpy(keras, value):
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)


def problem(seed):
    """Parameters of random shapes, and a gradient that draws them to zero, with noise of its own for each step."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 6, 2)
    params = [rng.normal(size=shape) for shape in ((rows, columns), (columns,), (1,))]
    noise = [rng.normal(size=(STEPS, *param.shape)) for param in params]
    return params, lambda params, step: [0.1 * p + n[step] for p, n in zip(params, noise, strict=True)]


def keras_steps(keras, optimizer, params, grads_of):
    """Parameters after each of Keras' steps, in a row."""
    variables = [keras.Variable(param, dtype="float64") for param in params]
    for step in range(STEPS):
        grads = grads_of([to_numpy(keras, variable) for variable in variables], step)
        optimizer.apply([keras.ops.convert_to_tensor(grad, "float64") for grad in grads], variables)
        yield np.concatenate([to_numpy(keras, variable).ravel() for variable in variables])


@each_variant
def test_thousand_steps_equal_keras(wide, name, options):
    params, grads_of = problem(len(str(options)))
    lr = 0.01 if name != "Lion" else 0.002
    rtol, atol = (1e-6, 1e-6) if "global_clipnorm" in options else (1e-9, 1e-12)  # Keras rounds the factor to float32
    theirs = getattr(wide.optimizers, name)(lr, **options)
    opt = getattr(ours, name)(params, learning_rate=lr, **options)
    for step, expected in enumerate(keras_steps(wide, theirs, [param.copy() for param in params], grads_of)):
        opt.step(grads_of(params, step))
        found = np.concatenate([param.ravel() for param in params])
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=f"step {step}")


@each_schedule
def test_schedules_equal_keras(wide, name, options):
    theirs, mine = (getattr(module.schedules, name)(**options) for module in (wide.optimizers, ours))
    for step in range(400):
        expected = float(to_numpy(wide, theirs(np.int64(step))))
        assert mine(step) == pytest.approx(expected, rel=1e-9, abs=1e-12), step


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_steps_with_a_schedule_equal_keras(wide, name):
    params, grads_of = problem(3)
    arguments = {"initial_learning_rate": 0.0, "decay_steps": 700, "warmup_target": 0.02, "warmup_steps": 100}
    theirs = getattr(wide.optimizers, name)(wide.optimizers.schedules.CosineDecay(**arguments))
    opt = getattr(ours, name)(params, ours.schedules.CosineDecay(**arguments))
    for step, expected in enumerate(keras_steps(wide, theirs, [param.copy() for param in params], grads_of)):
        opt.step(grads_of(params, step))
        found = np.concatenate([param.ravel() for param in params])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=f"step {step}")
    assert opt.iterations == STEPS
    assert opt.learning_rate == pytest.approx(float(to_numpy(wide, theirs.learning_rate)), abs=1e-12)


def classes(module):
    return [name for name in module.__all__ if inspect.isclass(getattr(module, name))]


@pytest.mark.parametrize("name", classes(ours))
def test_arguments_are_kerass(keras, name):
    theirs = inspect.signature(getattr(keras.optimizers, name)).parameters
    mine = list(inspect.signature(getattr(ours, name)).parameters.values())
    assert [mine[0].name, mine[-1].name] == ["params", "common"]
    own = [(p.name, p.default) for p in mine[1:-1]]
    assert own == [(p.name, p.default) for p in theirs.values()][: len(own)]
    common = set(theirs) - {name for name, _ in own} - {"kwargs"}
    assert common == set(ours.Common.__annotations__)
    for argument, (value, _) in ours._FIXED.items():
        assert theirs[argument].default == value


@pytest.mark.parametrize("name", ours.schedules.__all__)
def test_arguments_of_schedules_are_kerass(keras, name):
    theirs, mine = (
        [(p.name, p.default) for p in inspect.signature(getattr(module.schedules, name)).parameters.values()]
        for module in (keras.optimizers, ours)
    )
    assert mine == theirs


def test_every_optimizer_of_keras_is_here_or_refused(keras):
    base = keras.optimizers.Optimizer
    named = {name for name, value in vars(keras.optimizers).items() if inspect.isclass(value) and value is not base}
    assert named - {"OptimizerMap"} <= set(classes(ours)) | set(ours._REFUSED)


@pytest.mark.parametrize(("module", "name"), [(m, name) for m in (ours, tf1) for name in m._REFUSED])
def test_refused_optimizers_say_why(module, name):
    message = rf"^{module.__name__}: expected one of .*, since .*, got '{name}'$"
    with pytest.raises(AttributeError, match=message):
        getattr(module, name)


def test_unknown_names_are_unknown():
    with pytest.raises(AttributeError, match=r"^module 'fastopt.compat.keras' has no attribute 'Adamm'$"):
        ours.Adamm  # noqa: B018


REFUSED = [
    ("SGD", {"clipnorm": 1.0}, "clipnorm: expected None, since fastopt clips all gradients by one norm, .*, got 1.0"),
    ("SGD", {"use_ema": True}, "use_ema: expected False, since fastopt keeps no average of the .*, got True"),
    ("SGD", {"ema_momentum": 0.9}, "ema_momentum: expected 0.99, since fastopt keeps no average .*, got 0.9"),
    ("SGD", {"ema_overwrite_frequency": 5}, "ema_overwrite_frequency: expected None, since .*, got 5"),
    ("Adam", {"gradient_accumulation_steps": 4}, "gradient_accumulation_steps: expected None, since .*, got 4"),
    ("Adam", {"clipvalue": -1.0}, "clipvalue: expected a finite number >= 0, got -1.0"),
    ("Adam", {"clipvalue": 1.0, "global_clipnorm": 2.0}, "clipvalue: expected None beside global_clipnorm=2.0, got 1"),
    ("Adam", {"loss_scale_factor": 0.0}, "loss_scale_factor: expected a finite number > 0, got 0.0"),
    ("Adam", {"beta_1": 1.0}, r"beta_1: expected a number in \[0, 1\), got 1.0"),
    ("Adam", {"epsilon": -1.0}, "epsilon: expected a finite number >= 0, got -1.0"),
    ("Adam", {"amsgrad": 1}, "amsgrad: expected True or False, got 1"),
    ("RMSprop", {"rho": 1.0}, r"rho: expected a number in \[0, 1\), got 1.0"),
    ("AdamW", {"weight_decay": None}, "weight_decay: expected a finite number >= 0, got None"),
    ("Lion", {"learning_rate": -0.1}, "learning_rate: expected a finite number >= 0, got -0.1"),
    ("Lion", {"weight_decay": "0.1"}, "weight_decay: expected a finite number >= 0, got '0.1'"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{'-'.join(o)}" for n, o, _ in REFUSED])
def test_arguments_that_are_refused(name, options, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        getattr(ours, name)(np.ones(2), **options)


def test_arguments_that_keras_has_not():
    with pytest.raises(TypeError, match=r"^Adam: expected arguments of Keras, got \['clip_norm'\]"):
        ours.Adam(np.ones(2), clip_norm=1.0)


REFUSED_SCHEDULES = [
    ("ExponentialDecay", (0.1, 0, 0.5), "decay_steps: expected an integer >= 1, got 0"),
    ("ExponentialDecay", (0.1, 10.5, 0.5), "decay_steps: expected an integer >= 1, got 10.5"),
    ("ExponentialDecay", (0.1, 10, 1.5), r"decay_rate: expected a number .*1.*, got 1.5"),
    ("PiecewiseConstantDecay", ([1, 2], [0.1]), "values: expected 3, one more than there are boundaries, got 1"),
    ("PiecewiseConstantDecay", ([2, 1], [0.1] * 3), "boundaries: expected strictly increasing steps"),
    ("PolynomialDecay", (0.1, 10, -1.0), "end_learning_rate: expected a finite number >= 0, got -1.0"),
    ("InverseTimeDecay", (-0.1, 10, 1.0), "initial_learning_rate: expected a finite number >= 0, got -0.1"),
    ("CosineDecay", (0.2, 10, 0.0, "", 0.1), "initial_learning_rate: expected at most warmup_target = 0.1, got 0.2"),
    ("CosineDecay", (0.2, 10, 1.5), r"alpha: expected a number in \[0, 1\], got 1.5"),
    ("CosineDecayRestarts", (0.2, 10, 0.5), "t_mul: expected a finite number >= 1, got 0.5"),
    ("CosineDecayRestarts", (0.2, 10, 2.0, 2.0), "m_mul: expected a number .*, got 2.0"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED_SCHEDULES)
def test_schedules_that_are_refused(name, arguments, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        getattr(ours.schedules, name)(*arguments)


def test_steps_may_be_whole_floats():
    rate = ours.schedules.ExponentialDecay(0.1, 1e2, 0.5)
    assert rate.decay_steps == 100
    assert rate(100) == 0.05


def test_two_boundaries_within_a_step():
    rate = ours.schedules.PiecewiseConstantDecay([1.2, 1.5, 4], [0.1, 0.2, 0.3, 0.4])
    assert [rate(step) for step in range(6)] == [0.1, 0.1, 0.3, 0.3, 0.3, 0.4]


def test_schedules_are_copied_and_tell_their_cycles():
    rate = ours.schedules.CosineDecayRestarts(0.1, 10, t_mul=1.5)
    for other in (copy.deepcopy(rate), pickle.loads(pickle.dumps(rate))):
        assert other == rate
        assert other(17) == rate(17)
    assert rate.cyclic
    assert [step for step in range(60) if rate.ends_cycle(step)] == [9, 24, 47]
    assert not ours.schedules.CosineDecay(0.1, 10).cyclic


def test_copies_clip_as_before():
    weights = np.array([3.0, -4.0])
    opt = ours.Adam(weights, 0.1, global_clipnorm=1.0, loss_scale_factor=2.0, name="mine")
    opt.step(weights.copy())
    for make in (copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))):
        other = make(opt)
        copied = weights.copy()
        other.bind(copied)
        original = weights.copy()
        again = make(opt)
        again.bind(original)
        other.step(100 * weights)
        again.step(200 * weights)  # to the same norm
        assert (copied == original).all()
        assert (other.name, other.global_clipnorm, type(other)) == ("mine", 1.0, ours.Adam)


def test_learning_rate_is_set_under_keras_name():
    opt = ours.SGD([{"params": np.ones(2)}, {"params": np.ones(2), "lr": 0.5}], learning_rate=0.1)
    assert opt.learning_rate == 0.1
    opt.learning_rate = 0.25
    assert [group.lr for group in opt.groups] == [0.25, 0.25]
    assert opt.name == "sgd"


def test_groups_without_decay():
    weights, biases = np.ones(2), np.ones(2)
    opt = ours.AdamW([{"params": weights}, {"params": biases, "weight_decay": 0.0}], 0.1, weight_decay=0.5)
    opt.step([np.ones(2), np.ones(2)])
    np.testing.assert_allclose([weights[0], biases[0]], [0.85, 0.9], rtol=1e-6)


# TensorFlow 1's, from the formulas in the documentation of tf.train.


def tf1_gradient_descent(p, g, state, t, *, learning_rate):
    return p - learning_rate * g


def tf1_momentum(p, g, state, t, *, learning_rate, momentum, use_nesterov=False):
    state["b"] = momentum * state.get("b", 0.0) + g
    return p - learning_rate * (g + momentum * state["b"] if use_nesterov else state["b"])


def tf1_adagrad(p, g, state, t, *, learning_rate, initial_accumulator_value=0.1):
    state["s"] = state.get("s", initial_accumulator_value) + g * g
    return p - learning_rate * g / np.sqrt(state["s"])


def tf1_rmsprop(p, g, state, t, *, learning_rate, decay=0.9, momentum=0.0, epsilon=1e-10, centered=False):
    state["s"] = decay * state.get("s", np.ones_like(p)) + (1 - decay) * g * g
    state["a"] = decay * state.get("a", 0.0) + (1 - decay) * g
    denominator = state["s"] - state["a"] ** 2 if centered else state["s"]
    state["b"] = momentum * state.get("b", 0.0) + learning_rate * g / np.sqrt(denominator + epsilon)
    return p - state["b"]


def tf1_adam(p, g, state, t, *, learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
    state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * g * g
    rate = learning_rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return p - rate * state["m"] / (np.sqrt(state["v"]) + epsilon)


TF1 = [
    (tf1.GradientDescentOptimizer, tf1_gradient_descent, {"learning_rate": 0.01}),
    (tf1.MomentumOptimizer, tf1_momentum, {"learning_rate": 0.01, "momentum": 0.9}),
    (tf1.MomentumOptimizer, tf1_momentum, {"learning_rate": 0.01, "momentum": 0.8, "use_nesterov": True}),
    (tf1.MomentumOptimizer, tf1_momentum, {"learning_rate": 0.01, "momentum": 0.0, "use_nesterov": True}),
    (tf1.AdagradOptimizer, tf1_adagrad, {"learning_rate": 0.05}),
    (tf1.AdagradOptimizer, tf1_adagrad, {"learning_rate": 0.05, "initial_accumulator_value": 1.0}),
    (tf1.RMSPropOptimizer, tf1_rmsprop, {"learning_rate": 0.01}),
    (tf1.RMSPropOptimizer, tf1_rmsprop, {"learning_rate": 0.01, "momentum": 0.9, "decay": 0.99, "epsilon": 1e-3}),
    (tf1.RMSPropOptimizer, tf1_rmsprop, {"learning_rate": 0.01, "centered": True, "momentum": 0.5, "epsilon": 1e-3}),
    (tf1.AdamOptimizer, tf1_adam, {}),
    (tf1.AdamOptimizer, tf1_adam, {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3}),
]


@pytest.mark.parametrize(("cls", "formula", "options"), TF1)
def test_thousand_steps_equal_the_formulas_of_tensorflow_1(cls, formula, options):
    params, grads_of = problem(1)
    exact, states = [param.copy() for param in params], [{} for _ in params]
    opt = cls(params, **options)
    for step in range(STEPS):
        grads = grads_of(exact, step)
        opt.step(grads_of(params, step))
        exact = [formula(p, g, s, step + 1, **options) for p, g, s in zip(exact, grads, states, strict=True)]
        for found, expected in zip(params, exact, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=f"step {step}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tf1.AdamOptimizer(np.ones(2), use_locking=True), "use_locking: expected False, since .*, got True"),
        (lambda: tf1.AdamOptimizer(np.ones(2), beta1=1.0), r"beta1: expected a number in \[0, 1\), got 1.0"),
        (lambda: tf1.AdagradOptimizer(np.ones(2), 0.1, 0.0), "initial_accumulator_value: expected a number > 0, got 0"),
        (lambda: tf1.RMSPropOptimizer(np.ones(2), 0.1, centered=1), "centered: expected True or False, got 1"),
        (lambda: tf1.MomentumOptimizer(np.ones(2), 0.1, 1.5), r"momentum: expected a number in \[0, 1\], got 1.5"),
        (lambda: tf1.GradientDescentOptimizer(np.ones(2), -1.0), "learning_rate: expected a finite number >= 0"),
    ],
)
def test_arguments_of_tensorflow_1_that_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        make()


def test_they_are_optimizers_of_fastopt():
    for name in tf1.__all__:
        assert issubclass(getattr(tf1, name), fastopt.Optimizer)
    for name in classes(ours):
        assert issubclass(getattr(ours, name), getattr(fastopt, {"Nadam": "NAdam"}.get(name, name)))
