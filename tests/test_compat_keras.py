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
    ("Ftrl", {}),
    ("Ftrl", {"l1_regularization_strength": 0.5, "l2_regularization_strength": 0.1, "beta": 1.0, "clipvalue": 0.5}),
    ("Ftrl", {"initial_accumulator_value": 0.0, "l2_shrinkage_regularization_strength": 0.1, "weight_decay": 0.1}),
    ("Lamb", {}),
    ("Lamb", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "clipvalue": 0.5}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "warmup_steps": 128, "clipvalue": 0.5}),
    ("Muon", {}),
    ("Muon", {"momentum": 0.8, "nesterov": False, "weight_decay": 0.1, "clipvalue": 0.5}),
    ("Muon", {"muon_a": 2.0, "muon_b": -1.5, "muon_c": 0.5, "ns_steps": 3, "epsilon": 1e-3}),
    ("Muon", {"adam_beta_1": 0.8, "adam_beta_2": 0.9, "adam_weight_decay": None}),
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


def problem(seed, shape=None):
    """Parameters of random shapes, and a gradient that draws them to zero, with noise of its own for each step."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 6, 2) if shape is None else shape
    params = [rng.normal(size=shape) for shape in ((rows, columns), (columns,), (1,))]
    noise = [rng.normal(size=(STEPS, *param.shape)) for param in params]
    return params, lambda params, step: [0.1 * p + n[step] for p, n in zip(params, noise, strict=True)]


def kerass(keras, name):
    """A class of Keras, without what it rounds and overwrites."""
    cls = getattr(keras.optimizers, name)

    class Muon(cls):
        def zeropower_via_newtonschulz5(self, x, steps):
            """From a norm in float64, and without the 1e-7 that Keras adds to it."""
            own = cls.zeropower_via_newtonschulz5
            with pytest.MonkeyPatch.context() as patch:
                norm = keras.ops.sqrt(keras.ops.sum(x * x)) - 1e-7
                patch.setattr(own.__globals__["ops"], "norm", lambda *args, **options: norm)
                return own(self, x, steps)

    class ScheduleFreeAdamW(cls):
        def assign_sub(self, variable, value):
            """Leave the memory of the old value as it is."""
            if keras.backend.backend() == "torch":
                variable._value = type(variable._value)(variable._value.detach().clone(), requires_grad=False)
            super().assign_sub(variable, value)

    return {"Muon": Muon, "ScheduleFreeAdamW": ScheduleFreeAdamW}.get(name, cls)


def keras_steps(keras, optimizer, params, grads_of):
    """Parameters after each of Keras' steps, in a row."""
    variables = [keras.Variable(param, dtype="float64") for param in params]
    for step in range(STEPS):
        grads = grads_of([to_numpy(keras, variable) for variable in variables], step)
        optimizer.apply([keras.ops.convert_to_tensor(grad, "float64") for grad in grads], variables)
        yield np.concatenate([to_numpy(keras, variable).ravel() for variable in variables])


@each_variant
def test_thousand_steps_equal_keras(wide, name, options):
    # Keras on PyTorch rounds to float32: the root of the longer side, and t / warmup_steps.
    params, grads_of = problem(len(str(options)), (4, 3) if name == "Muon" else None)
    lr = 0.01 if name != "Lion" else 0.002
    rtol, atol = (1e-6, 1e-6) if "global_clipnorm" in options else (1e-9, 1e-12)  # Keras rounds the factor to float32
    theirs = kerass(wide, name)(lr, **options)
    opt = getattr(ours, name)(params, learning_rate=lr, **options)
    for step, expected in enumerate(keras_steps(wide, theirs, [param.copy() for param in params], grads_of)):
        opt.step(grads_of(params, step))
        found = np.concatenate([param.ravel() for param in params])
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=f"step {step}")


def distance(wide, theirs, opt, params, grads_of, steps):
    """How far apart the parameters are after some steps."""
    expected = keras_steps(wide, theirs, [param.copy() for param in params], grads_of)
    for step in range(steps):
        opt.step(grads_of(params, step))
        row = next(expected)
    return abs(np.concatenate([param.ravel() for param in params]) - row).max()


def test_muon_differs_by_an_epsilon(wide):
    """Keras adds 1e-7 to the norm, in float32."""
    params, grads_of = problem(1)
    opt = ours.Muon(params, 0.01)
    assert 1e-12 < distance(wide, wide.optimizers.Muon(0.01), opt, params, grads_of, 100) < 1e-6


def test_schedule_free_of_keras_on_torch_is_overwritten(wide):
    if wide.backend.backend() != "torch":
        pytest.skip("on PyTorch alone")
    params, grads_of = problem(1)
    opt = ours.ScheduleFreeAdamW(params, 0.01)
    assert distance(wide, wide.optimizers.ScheduleFreeAdamW(0.01), opt, params, grads_of, 20) > 1e-4


@pytest.mark.parametrize("name", ["Lamb", "ScheduleFreeAdamW"])
def test_weight_decay_that_is_refused_is_another(wide, name):
    """What the refusals say is true: fastopt's decay gives other steps."""
    params, grads_of = problem(1)
    opt = getattr(ours, name)(params, 0.01)
    opt.groups[0].weight_decay = 0.1
    assert distance(wide, kerass(wide, name)(0.01, weight_decay=0.1), opt, params, grads_of, 20) > 1e-6


def test_muon_chooses_matrices_as_keras(wide):
    rng = np.random.default_rng(0)
    names = ["encoder/token_Embedding/table", "hidden/kernel", "hidden/bias", "head_1/kernel", "conv/kernel"]
    shapes = [(7, 3), (3, 4), (4,), (4, 2), (2, 3, 4)]
    start = [rng.normal(size=shape) for shape in shapes]
    variables = [wide.Variable(p, dtype="float64", name=n.replace("/", "_")) for p, n in zip(start, names, strict=True)]
    options = {"exclude_layers": [r"head_\d"]}
    theirs = kerass(wide, "Muon")(0.01, **options)
    tree = {}
    for name, param in zip(names, start, strict=True):
        *heads, last = name.split("/")
        inner = tree
        for head in heads:
            inner = inner.setdefault(head, {})
        inner[last] = param
    opt = ours.Muon(tree, 0.01, **options)
    assert [group.names for group in opt.groups] == [
        ["hidden.kernel"],
        ["encoder.token_Embedding.table", "hidden.bias", "head_1.kernel", "conv.kernel"],
    ]
    for _ in range(50):
        noise = [rng.normal(size=shape) for shape in shapes]
        theirs.apply([wide.ops.convert_to_tensor(grad, "float64") for grad in noise], variables)
        grads = dict(zip(names, noise, strict=True))
        opt.step(
            {
                "encoder": {"token_Embedding": {"table": grads[names[0]]}},
                "hidden": {"kernel": grads[names[1]], "bias": grads[names[2]]},
                "head_1": {"kernel": grads[names[3]]},
                "conv": {"kernel": grads[names[4]]},
            }
        )
    for param, variable in zip(start, variables, strict=True):
        np.testing.assert_allclose(param, to_numpy(wide, variable), rtol=1e-9, atol=1e-12)


def test_muon_of_groups():
    def make():
        return [np.ones((2, 2)), np.ones((2, 2)), np.ones(2), np.ones(2)]

    hidden, output, bias, late = make()
    opt = ours.Muon([{"params": hidden}, {"params": [output, bias], "adamw": True}], 0.1, adam_weight_decay=0.5)
    opt.add_group({"params": late, "adamw": True})
    grads = [np.eye(2), [np.ones((2, 2)), np.ones(2)], np.ones(2)]
    opt.step(grads)
    assert [group.weight_decay for group in opt.groups] == [0.004, 0.5, 0.5]
    np.testing.assert_allclose([*output.ravel(), *bias, *late], 0.85, rtol=1e-5)
    with pytest.raises(ValueError, match=r"^exclude_layers: expected None, since groups have the key 'adamw', got"):
        ours.Muon([{"params": np.ones((2, 2))}], exclude_layers=["out"])


def test_muon_is_copied():
    params = [np.eye(2), np.ones(2)]
    opt = ours.Muon(params, 0.1, clipvalue=0.5)
    grads = [np.diag([2.0, 1.0]), np.ones(2)]
    opt.step(grads)
    other, own = copy.deepcopy(opt), [param.copy() for param in params]
    other.bind(own)
    for one in (opt, other):
        one.step(grads)
    assert all((param == copied).all() for param, copied in zip(params, own, strict=True))
    assert (other.clipvalue, type(other)) == (0.5, ours.Muon)


def test_mean_of_schedule_free_is_put_in_place(wide):
    params, grads_of = problem(2)
    opt = ours.ScheduleFreeAdamW(params, 0.01, warmup_steps=16)
    theirs = kerass(wide, "ScheduleFreeAdamW")(0.01, warmup_steps=16)
    variables = [wide.Variable(param, dtype="float64") for param in params]
    points = []
    for step in range(30):
        grads = grads_of(params, step)
        theirs.apply([wide.ops.convert_to_tensor(grad, "float64") for grad in grads], variables)
        opt.step(grads)
        points.append([to_numpy(wide, z) for z in theirs._momentums])
    with opt.averaged():
        for param, *own in zip(params, *points, strict=True):
            np.testing.assert_allclose(param, np.mean(own, axis=0), rtol=1e-9)
    with pytest.raises(RuntimeError, match=r"^step: expected the parameters in place"), opt.averaged():
        opt.step(grads)


@each_schedule
def test_schedules_equal_keras(wide, name, options):
    theirs, mine = (getattr(module.schedules, name)(**options) for module in (wide.optimizers, ours))
    for step in range(400):
        expected = float(to_numpy(wide, theirs(np.int64(step))))
        assert mine(step) == pytest.approx(expected, rel=1e-9, abs=1e-12), step


@pytest.mark.parametrize("name", ["SGD", "Adam", "Lamb", "ScheduleFreeAdamW"])
def test_steps_with_a_schedule_equal_keras(wide, name):
    params, grads_of = problem(3)
    arguments = {"initial_learning_rate": 0.0, "decay_steps": 700, "warmup_target": 0.02, "warmup_steps": 100}
    theirs = kerass(wide, name)(wide.optimizers.schedules.CosineDecay(**arguments))
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
    own = {p.name: p.default for p in mine[1:-1]}
    assert own.items() <= {p.name: p.default for p in theirs.values()}.items()
    positional = [p.name for p in mine[1:-1] if p.kind is not p.KEYWORD_ONLY]
    assert positional == [*theirs][: len(positional)]
    common = set(theirs) - set(own) - {"kwargs"}
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
    ("Ftrl", {"learning_rate": 0.0}, "learning_rate: expected a number > 0, got 0.0"),
    ("Ftrl", {"learning_rate_power": -1.0}, "learning_rate_power: expected -0.5, since fastopt's FTRL .*, got -1.0"),
    ("Ftrl", {"l1_regularization_strength": -1.0}, "l1_regularization_strength: expected a finite number >= 0, got -1"),
    ("Lamb", {"weight_decay": 0.1}, "weight_decay: expected None, since fastopt's LAMB has the decay in .*, got 0.1"),
    ("ScheduleFreeAdamW", {"weight_decay": 0.1}, "weight_decay: expected None, since fastopt's .*, got 0.1"),
    ("ScheduleFreeAdamW", {"beta_1": 0.0}, "beta_1: expected a number > 0, got 0.0"),
    ("Muon", {"momentum": 1.0}, r"momentum: expected a number in \[0, 1\), got 1.0"),
    ("Muon", {"momentum": lambda step: 0.9}, r"momentum: expected a number in \[0, 1\), got <function"),
    ("Muon", {"adam_lr_ratio": 0.1}, "adam_lr_ratio: expected 1, since rates of their own are for groups, got 0.1"),
    ("Muon", {"rms_rate": None}, "rms_rate: expected 0.2, since fastopt's Muon has 0.2, .*, got None"),
    ("Muon", {"adam_weight_decay": -1}, "adam_weight_decay: expected a finite number >= 0, got -1"),
    ("Muon", {"exclude_embeddings": 1}, "exclude_embeddings: expected True or False, got 1"),
    ("Muon", {"exclude_layers": "output"}, "exclude_layers: expected a sequence of str, got 'output'"),
    (
        "Muon",
        {"exclude_layers": ["out"]},
        r"exclude_layers: expected expressions that are in one of \[''\], got \['out'\]",
    ),
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


def tf1_ftrl(p, g, state, t, *, learning_rate, l1_regularization_strength=0.0, l2_regularization_strength=0.0, **rest):
    before = state.get("s", rest.get("initial_accumulator_value", 0.1))
    state["s"] = before + g * g
    shrunk = g + 2 * rest.get("l2_shrinkage_regularization_strength", 0.0) * p
    state["z"] = state.get("z", 0.0) + shrunk - (np.sqrt(state["s"]) - np.sqrt(before)) / learning_rate * p
    denominator = (rest.get("beta", 0.0) + np.sqrt(state["s"])) / learning_rate + 2 * l2_regularization_strength
    moved = (np.sign(state["z"]) * l1_regularization_strength - state["z"]) / denominator
    return np.where(abs(state["z"]) > l1_regularization_strength, moved, 0.0)


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
    (tf1.FtrlOptimizer, tf1_ftrl, {"learning_rate": 0.05}),
    (tf1.FtrlOptimizer, tf1_ftrl, {"learning_rate": 0.05, "l1_regularization_strength": 2.0, "beta": 1.0}),
    (
        tf1.FtrlOptimizer,
        tf1_ftrl,
        {
            "learning_rate": 0.05,
            "l2_regularization_strength": 0.1,
            "l2_shrinkage_regularization_strength": 0.1,
            "initial_accumulator_value": 1.0,
        },
    ),
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
        (lambda: tf1.FtrlOptimizer(np.ones(2), 0.0), "learning_rate: expected a number > 0, got 0.0"),
        (lambda: tf1.FtrlOptimizer(np.ones(2), 0.1, -0.6), "learning_rate_power: expected -0.5, since .*, got -0.6"),
    ],
)
def test_arguments_of_tensorflow_1_that_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        make()


FASTOPTS = {"Nadam": "NAdam", "Ftrl": "FTRL", "Lamb": "LAMB"}


def test_they_are_optimizers_of_fastopt():
    for name in tf1.__all__:
        assert issubclass(getattr(tf1, name), fastopt.Optimizer)
    for name in classes(ours):
        assert issubclass(getattr(ours, name), getattr(fastopt, FASTOPTS.get(name, name)))
