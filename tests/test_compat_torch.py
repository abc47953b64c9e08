"""`fastopt.compat.torch` against ``torch.optim``: the same parameters and state, whatever is done to the optimizer."""

import copy
import gc
import importlib.util
import inspect
import io
import pickle
import weakref
from functools import partial

import numpy as np
import oracle
import pytest
import table
from backends import using
from hypothesis import given
from hypothesis import strategies as st

import fastopt

torch = pytest.importorskip("torch", reason="the optimizers are PyTorch's")
from torch.optim import lr_scheduler  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402

from fastopt.compat import torch as ours  # noqa: E402

STEPS = 1000
SHAPES = [(3, 4), (5,), (), (0, 2)]
LATE = [(2, 1, 3)]
MATRICES = [(3, 4), (5, 2), (1, 3), (0, 2)]  # Muon's

VARIANTS = [
    ("SGD", {"lr": 0.01}),
    ("SGD", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.01, "momentum": 0.9}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "momentum": 0.8, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "foreach": True}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "fused": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adagrad", {"maximize": True, "fused": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True, "eps": 1e-3}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-3, "weight_decay": 0.1, "foreach": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"amsgrad": True, "fused": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.5, "amsgrad": True, "maximize": True}),
    ("AdamW", {"foreach": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"momentum_decay": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.1, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1, "foreach": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.7), "step_sizes": (1e-3, 1.0), "maximize": True}),
]
each_variant = pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=[f"{name}-{'-'.join(options)}" for name, options in VARIANTS]
)
OWN = [name for name in ours.__all__ if not hasattr(torch.optim, name)]
each_class = pytest.mark.parametrize("name", [name for name in ours.__all__ if name not in (*OWN, "Muon")])
each_own = pytest.mark.parametrize("name", OWN)
each_optimizer = pytest.mark.parametrize("name", ours.__all__)


def make_params(seed=0, shapes=SHAPES, dtype=torch.float64):
    made = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, dtype=dtype, generator=made)) for shape in shapes]


def set_grads(seed, *models, missing=0.0):
    """Give parameters gradients that draw them towards zero, with noise, and none to some of them."""
    rng = np.random.default_rng(seed)
    for same in zip(*models, strict=True):
        left_out, noise = rng.random() < missing, rng.normal(size=same[0].shape)
        for param in same:
            param.grad = None if left_out else torch.tensor(0.1 * param.detach().numpy() + noise, dtype=param.dtype)


def make_opt(name, params, **options):
    """One of our optimizers, ready for a step."""
    opt = getattr(ours, name)(params, **options)
    if name.startswith("ScheduleFree"):
        opt.train()
    return opt


def shapes_of(name):
    return MATRICES if name == "Muon" else SHAPES


def values(params):
    return np.concatenate([param.detach().reshape(-1).numpy() for param in params])


def assert_close(one, other):
    a, b = values(one), values(other)
    if not (abs(a - b) <= 1e-12 + 1e-9 * abs(b)).all():  # which takes a tenth of the time of:
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def assert_same_state(one, other):
    """State dicts have the same keys, types, dtypes and, nearly, values."""
    a, b = one.state_dict(), other.state_dict()
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for number, state in a["state"].items():
        assert state.keys() == b["state"][number].keys()
        for key, value in state.items():
            like = key != "mu_product"  # PyTorch loads it in the parameter's type
            torch.testing.assert_close(value, b["state"][number][key], rtol=1e-9, atol=1e-12, check_dtype=like)


def missing_of(name, options):
    """Share of gradients that are missing: PyTorch's fused SGD fails where parameters have their first one late."""
    return 0.0 if name == "SGD" and options.get("fused") else 0.2


@pytest.fixture
def alone(monkeypatch):
    """Without PyTorch's step: a test that uses it runs by the compiled rules alone, or fails."""
    for name in ours.__all__:
        monkeypatch.setattr(getattr(ours, name), "_torch_step", None)


@pytest.fixture
def wide_scalars():
    """What PyTorch keeps as a single number, NAdam's product above all, is float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@each_variant
def test_thousand_steps_equal_torchs(name, options, alone, wide_scalars):
    """With a schedule, gradients that are missing, parameters that come later, and state that changes sides."""
    mine, theirs = make_params(), make_params()
    late = [make_params(1, LATE), make_params(1, LATE)]
    opts = [getattr(ours, name)(mine, **options), getattr(torch.optim, name)(theirs, **options)]
    kinds = [type(opt) for opt in opts]
    schedules = [lr_scheduler.CosineAnnealingLR(opt, 400, eta_min=1e-4) for opt in opts]
    for step in range(STEPS):
        if step == 300:
            for opt, group, params in zip(opts, late, (mine, theirs), strict=True):
                opt.add_param_group({"params": group, "lr": 2e-3, "weight_decay": 0.02})
                params += group
                assert len(schedules[0].base_lrs) == 1  # the schedule goes on with the first group
        if step in (500, 700):  # the state of each goes on in the other
            states = [copy.deepcopy(opt.state_dict()) for opt in opts]
            groups = [
                [{"params": params[: len(SHAPES)]}, {"params": params[len(SHAPES) :]}] for params in (mine, theirs)
            ]
            opts = [kind(group, **options) for kind, group in zip(kinds, groups, strict=True)]
            for opt, state in zip(opts, reversed(states), strict=True):
                opt.load_state_dict(state)
        set_grads(step, mine, theirs, missing=missing_of(name, options) if step % 3 == 0 else 0)
        for opt, schedule in zip(opts, schedules, strict=True):
            opt.step()
            if step < 300:
                schedule.step()
        assert_close(mine, theirs)
    assert_same_state(*opts)


@each_variant
def test_first_steps_have_torchs_state(name, options, alone):
    opts = [getattr(module, name)(make_params(), **options) for module in (ours, torch.optim)]
    assert_same_state(*opts)
    for step in range(3):
        set_grads(step, *[opt.param_groups[0]["params"] for opt in opts], missing=missing_of(name, options))
        for opt in opts:
            opt.step()
        assert_same_state(*opts)


def in_torchs_words(options):
    """The options of one of `fastopt`'s optimizers for ours."""
    return {{"decoupled": "decoupled_weight_decay"}.get(key, key): value for key, value in options.items()}


OWN_CASES = [(case.name, case.options) for case in table.OPTIMIZERS if case.name in OWN]


@pytest.mark.parametrize(
    ("name", "options"), OWN_CASES, ids=[f"{name}-{'-'.join(options)}" for name, options in OWN_CASES]
)
def test_what_torch_has_not_equals_its_formula(name, options):
    params, steps = make_params(shapes=SHAPES[:3]), 300
    opt = make_opt(name, params, **in_torchs_words(options))
    expected = getattr(oracle, name)([param.detach().numpy() for param in params], **options)
    for step in range(steps):
        set_grads(step, params)
        expected.step([param.grad.numpy() for param in params])
        opt.step()
        assert_near(params, expected.params)
    for param, state in zip(params, expected.states, strict=True):
        own = opt.state[param]
        assert own.keys() - {"step"} == state.keys()
        assert own.get("step", torch.tensor(steps)).item() == steps
        for key, value in state.items():
            np.testing.assert_allclose(own[key].numpy(), value, rtol=1e-9, atol=1e-12)


def assert_near(params, arrays):
    np.testing.assert_allclose(values(params), np.concatenate([a.ravel() for a in arrays]), rtol=1e-9, atol=1e-12)


@each_optimizer
def test_float32_is_fastopts_to_the_bit(name, alone):
    """The same numbers as `fastopt`'s own optimizers give for arrays."""
    params = make_params(shapes=shapes_of(name), dtype=torch.float32)
    arrays = [param.detach().numpy().copy() for param in params]
    torchs = {"match_rms": False} if name == "Muon" else {}
    opt, own = make_opt(name, params, lr=0.01), getattr(fastopt, name)(arrays, lr=0.01, **torchs)
    for step in range(10):
        set_grads(step, params)
        opt.step()
        own.step([param.grad.numpy() for param in params])
        for param, array in zip(params, arrays, strict=True):
            np.testing.assert_array_equal(param.detach().numpy(), array)


@each_class
def test_signature_is_torchs(name):
    cls, theirs = getattr(ours, name), getattr(torch.optim, name)
    assert inspect.signature(cls) == inspect.signature(theirs)
    assert isinstance(cls(make_params()), theirs)


@each_optimizer
@pytest.mark.parametrize("copied", ["deepcopy", "pickle", "save"])
def test_copies_go_on(name, copied, wide_scalars):
    params = make_params(shapes=shapes_of(name))
    opt = make_opt(name, params, lr=0.01)
    set_grads(0, params)
    opt.step()
    if copied == "deepcopy":
        others, other = copy.deepcopy((params, opt))
    elif copied == "pickle":
        others, other = pickle.loads(pickle.dumps((params, opt)))
    else:
        file = io.BytesIO()
        torch.save(opt.state_dict(), file)
        file.seek(0)
        others = copy.deepcopy(params)
        other = getattr(ours, name)(others)
        other.load_state_dict(torch.load(file))
    for step in range(1, 4):
        set_grads(step, params, others)
        opt.step()
        other.step()
    np.testing.assert_array_equal(values(params), values(others))
    assert_same_state(opt, other)


def pairs(name, seed=0, **options):
    """The same parameters with the optimizers of both."""
    mine, theirs = make_params(seed), make_params(seed)
    return mine, theirs, getattr(ours, name)(mine, **options), getattr(torch.optim, name)(theirs, **options)


def step_both(step, mine, theirs, *opts, missing=0.0):
    set_grads(step, mine, theirs, missing=missing)
    for opt in opts:
        opt.step()
    assert_close(mine, theirs)


@each_class
def test_hyper_parameters_may_change_between_steps(name, wide_scalars):
    mine, theirs, *opts = pairs(name, lr=0.01)
    changes = [{"lr": 0.1}, {"weight_decay": 0.1}, {"maximize": True}, {"lr": torch.tensor(0.01, dtype=torch.float64)}]
    changes += {
        "SGD": [{"momentum": 0.9}, {"dampening": 0.5}, {"momentum": 0}, {"momentum": 1.5}, {"momentum": 0.5}],
        "Adam": [{"betas": (0.5, 0.9)}, {"eps": 0.1}, {"decoupled_weight_decay": True}, {"lr": -0.1}, {"lr": 0.1}],
        "RMSprop": [{"alpha": 0.5}, {"alpha": 1.0}, {"eps": 0.1}],
        "Adagrad": [{"lr_decay": 0.5}, {"eps": 0.1}],
        "Adadelta": [{"rho": 0.5}, {"eps": 0.1}],
        "NAdam": [{"eps": 0.1}],  # other betas would count for the steps before, too
        "Rprop": [{"etas": (0.25, 1.5)}, {"step_sizes": (0.0, 0.1)}],
    }.get(name, [{"betas": (0.5, 0.9)}])
    for number, change in enumerate(changes):
        for opt in opts:
            opt.param_groups[0].update(change)
        for step in range(2):
            step_both(10 * number + step, mine, theirs, *opts)
    assert_same_state(*opts)


SCHEDULES = [
    partial(lr_scheduler.LambdaLR, lr_lambda=lambda step: 0.9**step),
    partial(lr_scheduler.StepLR, step_size=3),
    partial(lr_scheduler.ConstantLR, total_iters=4),
    partial(lr_scheduler.ExponentialLR, gamma=0.9),
    partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=5),
    partial(lr_scheduler.CyclicLR, base_lr=1e-3, max_lr=1e-1, step_size_up=3),
    partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=20),
    partial(lr_scheduler.PolynomialLR, total_iters=10),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.func.__name__)
@pytest.mark.parametrize("rate", [0.01, torch.tensor(0.01, dtype=torch.float64)], ids=["float", "tensor"])
def test_schedules_of_torch(schedule, rate):
    """The cyclic ones change momentum or betas, too."""
    for name, options in (("SGD", {"momentum": 0.9}), ("AdamW", {})):
        mine, theirs = make_params(), make_params()
        opts = [
            getattr(module, name)(params, lr=copy.deepcopy(rate), **options)
            for module, params in ((ours, mine), (torch.optim, theirs))
        ]
        schedules = [schedule(opt) for opt in opts]
        for step in range(15):
            step_both(step, mine, theirs, *opts)
            for one in schedules:
                one.step()
        assert schedules[0].get_last_lr() == schedules[1].get_last_lr()


def test_plateau_schedule():
    mine, theirs, *opts = pairs("SGD", lr=0.1)
    schedules = [lr_scheduler.ReduceLROnPlateau(opt, patience=2) for opt in opts]
    for step in range(10):
        step_both(step, mine, theirs, *opts)
        for one in schedules:
            one.step(1.0)
    assert opts[0].param_groups[0]["lr"] == opts[1].param_groups[0]["lr"] < 0.1


def test_closure_runs_with_gradients_on():
    (param,) = make_params(shapes=[(3,)])
    opt = ours.SGD([param], lr=0.1)
    before = param.detach().clone()

    def closure():
        opt.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = opt.step(closure)
    assert loss.item() == (before**2).sum().item()
    torch.testing.assert_close(param.detach(), 0.8 * before)


@pytest.mark.parametrize("sparse", [False, True], ids=["own", "torchs"])
def test_hooks_run_once(sparse):
    """Also where PyTorch's own step takes part, and its class has hooks of its own around it."""
    torch.optim.SGD(make_params(), lr=0.1)  # which puts them there
    (param,) = make_params(shapes=[(3, 2)])
    opt, calls = ours.SGD([param], lr=0.1), []
    opt.register_step_pre_hook(lambda *_: calls.append("before"))
    opt.register_step_post_hook(lambda *_: calls.append("after"))
    everywhere = register_optimizer_step_post_hook(lambda *_: calls.append("global"))
    param.grad = torch.ones(3, 2, dtype=torch.float64)
    if sparse:
        param.grad = param.grad.to_sparse()
    before = param.detach().clone()
    try:
        opt.step()
    finally:
        everywhere.remove()
    assert calls == ["before", "after", "global"]
    torch.testing.assert_close(param.detach(), before - 0.1)


def mixed_params():
    """Parameters of which some are for rules and some for PyTorch: half precision, complex, of a subclass."""
    dtypes = [torch.float64, torch.bfloat16, torch.float32, torch.complex64, torch.float64]
    params = [torch.nn.Parameter(torch.full((2, 3), 0.5, dtype=dtype)) for dtype in dtypes]

    class Labelled(torch.Tensor):
        pass

    return [*params, torch.full((3,), 0.5).as_subclass(Labelled).requires_grad_()]


@each_class
def test_what_no_rule_takes_is_torchs(name):
    mine, theirs = mixed_params(), mixed_params()
    opts = [getattr(module, name)(params, lr=0.05) for module, params in ((ours, mine), (torch.optim, theirs))]
    for step in range(5):
        for param in (*mine, *theirs):
            param.grad = torch.full_like(param, 0.5 - step)
        for opt in opts:
            opt.step()
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.detach().as_subclass(torch.Tensor), other.detach().as_subclass(torch.Tensor))
    for one, other in zip(opts[0].state.values(), opts[1].state.values(), strict=False):
        assert one.keys() == other.keys()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients_come_and_go(name):
    mine, theirs = (make_params(shapes=[(4, 2), (3,)]) for _ in range(2))
    opts = [getattr(module, name)(params, lr=0.1) for module, params in ((ours, mine), (torch.optim, theirs))]
    for step in range(6):
        set_grads(step, mine, theirs)
        if step % 2:
            for params in (mine, theirs):
                params[0].grad = params[0].grad.to_sparse()
        for opt in opts:
            opt.step()
        assert_close(mine, theirs)


def test_nothing_moves_when_torch_refuses():
    """A sparse gradient for Adam."""
    params = make_params(shapes=[(3,), (4,)])
    opt, before = ours.Adam(params), [param.detach().clone() for param in params]
    set_grads(0, params)
    params[1].grad = params[1].grad.to_sparse()
    with pytest.raises(RuntimeError, match="Adam does not support sparse gradients"):
        opt.step()
    for param, old in zip(params, before, strict=True):
        assert torch.equal(param, old)
    params[1].grad = params[1].grad.to_dense()
    opt.step()
    assert [state["step"].item() for state in opt.state.values()] == [1, 1]


def test_first_momentum_is_the_gradient_after_a_refused_step():
    params = make_params(shapes=[(3,), (4,)])
    opt = ours.SGD([{"params": params[:1]}, {"params": params[1:]}], lr=0.1, momentum=0.9, dampening=0.5)
    set_grads(0, params)
    opt.param_groups[1]["lr"] = "fast"  # which PyTorch cannot use either
    with pytest.raises(TypeError):
        opt.step()
    opt.param_groups[1]["lr"] = 0.1
    other = copy.deepcopy(opt)
    for one in (opt, other):
        for param in one.param_groups[0]["params"]:
            param.grad = torch.ones_like(param)
        one.step()
        assert torch.equal(one.state[one.param_groups[0]["params"][0]]["momentum_buffer"], torch.ones(3).double())


@pytest.mark.parametrize("flag", ["differentiable", "capturable"])
def test_flags_that_are_torchs(flag):
    mine, theirs, *opts = pairs("Adam", lr=0.01)
    step_both(0, mine, theirs, *opts)
    set_grads(1, mine, theirs)
    errors = []
    for opt in opts:
        opt.param_groups[0][flag] = True
        try:
            opt.step()
        except (AssertionError, RuntimeError) as error:
            errors.append(str(error))
    assert len(errors) in (0, 2)
    assert errors[:1] == errors[1:]
    assert_close(mine, theirs)


def test_scaler_of_torch_skips_and_scales():
    for found_inf in (0.0, 1.0):
        mine, theirs, *opts = pairs("Adam", lr=0.01, fused=True)
        set_grads(0, mine, theirs)
        for opt in opts:
            opt.grad_scale, opt.found_inf = torch.tensor(4.0), torch.tensor(found_inf)
            opt.step()
        assert_close(mine, theirs)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # PyTorch's own
def test_compiled_steps_are_torchs():
    mine, theirs, *opts = pairs("Adam", lr=0.01)
    steps = [torch.compile(opt.step, backend="eager") for opt in opts]
    for number in range(3):
        set_grads(number, mine, theirs)
        for step in steps:
            step()
        assert_close(mine, theirs)
    assert_same_state(*opts)


# Memory that is another than before.


def swap_data(params, opt):
    params[0].data = params[0].data.clone()


def share_param(params, opt):
    params[0].data.share_memory_()


def swap_state(params, opt):
    opt.state[params[0]]["exp_avg"] = opt.state[params[0]]["exp_avg"].clone()


def swap_state_data(params, opt):
    opt.state[params[0]]["exp_avg"].data = opt.state[params[0]]["exp_avg"].data.clone()


def swap_dict(params, opt):
    opt.state[params[0]] = copy.deepcopy(opt.state[params[0]])


def drop_state(params, opt):
    del opt.state[params[0]]


def set_counter(params, opt):
    opt.state[params[0]]["step"].fill_(7)


def swap_counter(params, opt):
    opt.state[params[0]]["step"] = torch.tensor(5.0)


def share_state(params, opt):
    for state in opt.state.values():
        for value in state.values():
            value.share_memory_()


def transpose(params, opt):
    params[0].data = params[0].data.T.contiguous().T


def add_junk(params, opt):
    opt.state[params[0]]["note"] = "mine"


def drop_param(params, opt):
    opt.param_groups[0]["params"].pop(1)


def replace_param(params, opt):
    opt.param_groups[0]["params"][1] = params[1] = torch.nn.Parameter(params[1].detach() + 1)


def reload(params, opt):
    opt.load_state_dict(opt.state_dict())


@pytest.mark.parametrize(
    "change",
    [
        swap_data,
        share_param,
        swap_state,
        swap_state_data,
        swap_dict,
        drop_state,
        set_counter,
        swap_counter,
        share_state,
        transpose,
        add_junk,
        drop_param,
        replace_param,
        reload,
    ],
    ids=lambda change: change.__name__,
)
def test_changes_from_outside_are_noticed(change, alone):
    mine, theirs, *opts = pairs("Adam", lr=0.01)
    for step in range(2):
        step_both(step, mine, theirs, *opts)
    for params, opt in zip((mine, theirs), opts, strict=True):
        change(params, opt)
    for step in range(2, 5):
        step_both(step, mine, theirs, *opts)
    assert [sorted(state) for state in opts[0].state.values()] == [sorted(state) for state in opts[1].state.values()]
    steps = [[state["step"] for state in opt.state.values()] for opt in opts]
    assert steps[0] == steps[1]


@each_class
def test_memory_in_common_is_torchs(name):
    """Two parameters over the same memory: each is updated in its turn."""
    results = []
    for module in (ours, torch.optim):
        whole = torch.linspace(0, 1, 6, dtype=torch.float64)
        params = [whole[:4].requires_grad_(), whole.detach()[2:].requires_grad_()]
        opt = getattr(module, name)(params, lr=0.1)
        for step in range(3):
            for i, param in enumerate(params):
                param.grad = torch.full_like(param, 1.0 + step - 3 * i)
            opt.step()
        results.append(whole.detach().clone())
    torch.testing.assert_close(*results)


def test_gradient_that_is_the_parameter():
    results = []
    for module in (ours, torch.optim):
        (param,) = make_params(shapes=[(4,)])
        opt = module.SGD([param], lr=0.1)
        param.grad = param.data
        for _ in range(2):
            opt.step()
        results.append(param.detach())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "AdamW"])
def test_fused_takes_any_layout(name):
    """PyTorch's own fused steps do not; its plain ones are the measure."""
    results = []
    for module, options in ((ours, {"fused": True}), (torch.optim, {})):
        param = torch.linspace(0, 1, 20)[::2].requires_grad_()
        opt = getattr(module, name)([param], lr=0.1, **options)
        for step in range(3):
            param.grad = torch.linspace(-1, 1, 10) + step
            opt.step()
        results.append(param.detach())
    torch.testing.assert_close(*results)


def test_fused_momentum_may_begin_late():
    """PyTorch's own fused step fails; its plain one is the measure."""
    results = []
    for module, options in ((ours, {"fused": True}), (torch.optim, {})):
        params = make_params()
        opt = module.SGD(params, lr=0.1, momentum=0.9, dampening=0.5, **options)
        for step in range(4):
            set_grads(step, params, missing=0.4)
            opt.step()
        results.append(params)
    assert_close(*results)


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    layouts=st.tuples(st.booleans(), st.booleans()),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    name=st.sampled_from(["SGD", "Adagrad", "RMSprop", "Adam", "AdamW"]),
)
def test_any_shape_and_layout(shape, layouts, dtype, name):
    def laid_out(tensor, strided):
        return tensor.repeat_interleave(2, -1)[..., ::2] if strided and tensor.ndim else tensor

    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=shape), rng.normal(size=(3, *shape))
    results = []
    for module in (ours, torch.optim):
        param = laid_out(torch.tensor(start, dtype=dtype), layouts[0]).requires_grad_()
        opt = getattr(module, name)([param], lr=0.1)
        for grad in grads:
            param.grad = laid_out(torch.tensor(grad, dtype=dtype), layouts[1])
            opt.step()
        results.append(param.detach())
    torch.testing.assert_close(*results)


def test_other_backends(backend, alone):
    mine, theirs, *opts = pairs("Adam", lr=0.01)
    step_both(0, mine, theirs, *opts)
    with using(backend):
        step_both(1, mine, theirs, *opts)
    step_both(2, mine, theirs, *opts)


def test_autograd_notices_the_step():
    (param,) = make_params(shapes=[(3,)])
    opt = ours.SGD([param], lr=0.1)
    loss = (param**2).sum()
    param.grad = torch.ones_like(param)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.filterwarnings("ignore:Using backward")
def test_gradients_with_a_graph():
    mine, theirs, *opts = pairs("Adam", lr=0.01)
    for _ in range(3):
        for params, opt in zip((mine, theirs), opts, strict=True):
            opt.zero_grad()
            sum((param**3).sum() for param in params).backward(create_graph=True)
            opt.step()
        assert_close(mine, theirs)
        for param in (*mine, *theirs):
            param.grad = None


def test_gradients_are_let_go(alone):
    (param,) = make_params(shapes=[(3,)])
    opt = ours.Adam([param])
    for _ in range(2):
        param.grad = torch.ones_like(param)
        memory = weakref.ref(param.grad)
        opt.step()
        opt.zero_grad()
        assert memory() is None


def test_optimizers_are_let_go():
    gc.collect()
    gc.disable()
    try:
        (param,) = make_params(shapes=[(3,)])
        opt = ours.Adam([param])
        param.grad = torch.ones_like(param)
        opt.step()
        gone = weakref.ref(opt)
        del opt
        assert gone() is None
    finally:
        gc.enable()


def test_counter_ends_where_torchs_does():
    mine, theirs, *opts = pairs("Adam", lr=0.01)
    step_both(0, mine, theirs, *opts)
    for opt in opts:
        for state in opt.state.values():
            state["step"].fill_(2**24 - 2)
    for step in range(1, 5):
        step_both(step, mine, theirs, *opts)
    assert {state["step"].item() for opt in opts for state in opt.state.values()} == {2**24}


# Muon, whose products PyTorch rounds to bfloat16.

MUON_VARIANTS = [
    {},
    {"lr": 0.02, "momentum": 0.8, "nesterov": False, "weight_decay": 0.0},
    {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "eps": 1e-3},
    {"adjust_lr_fn": "original", "ns_coefficients": (2.0, -1.5, 0.5), "lr": torch.tensor(0.01, dtype=torch.float64)},
]
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch 2.9 has the first Muon")


@pytest.fixture
def unrounded(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def muon_pair(shapes=MATRICES, dtype=torch.float64, **options):
    models = [make_params(shapes=shapes, dtype=dtype) for _ in range(2)]
    return *models, *[
        module.Muon(params, **options) for module, params in zip((ours, torch.optim), models, strict=True)
    ]


@needs_muon
@pytest.mark.parametrize("options", MUON_VARIANTS, ids=lambda options: "-".join(options))
def test_muon_equals_torchs_without_its_rounding(options, unrounded, monkeypatch):
    """With a schedule, gradients that are missing, a group that is added, and state that changes sides."""
    mine, theirs, *opts = muon_pair(**options)
    monkeypatch.setattr(ours.Muon, "_torch_step", None)
    schedules = [lr_scheduler.CosineAnnealingLR(opt, 400, eta_min=1e-4) for opt in opts]
    for step in range(STEPS):
        if step == 300:
            for opt, params in zip(opts, (mine, theirs), strict=True):
                params += make_params(1, [(2, 3)])
                opt.add_param_group({"params": params[-1:], "weight_decay": 0.02})
        if step == 500:
            states = [copy.deepcopy(opt.state_dict()) for opt in opts]
            for opt, state in zip(opts, reversed(states), strict=True):
                opt.load_state_dict(state)
        step_both(step, mine, theirs, *opts, missing=0.2 if step % 3 == 0 else 0)
        if step < 300:
            for schedule in schedules:
                schedule.step()
    assert_same_state(*opts)


@needs_muon
@pytest.mark.parametrize("shape", [(32, 32), (64, 16), (16, 64)])
def test_muon_is_torchs_to_bfloat16(shape):
    mine, theirs, *opts = muon_pair([shape], torch.float32, lr=0.1, weight_decay=0.0)
    before = mine[0].detach().clone()
    for param in (*mine, *theirs):
        param.grad = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    for opt in opts:
        opt.step()
    updates = [(params[0].detach() - before) / 0.1 for params in (mine, theirs)]
    assert torch.linalg.matrix_norm(updates[0] - updates[1]) < 0.03 * torch.linalg.matrix_norm(updates[1])
    torch.testing.assert_close(opts[0].state[mine[0]], opts[1].state[theirs[0]])


@needs_muon
def test_muon_has_torchs_signature_and_errors():
    assert inspect.signature(ours.Muon) == inspect.signature(torch.optim.Muon)
    with pytest.raises(ValueError, match="only supports 2D parameters"):
        ours.Muon(make_params())
    for change in ({"adjust_lr_fn": "other"}, {"momentum": 1.5}):  # which PyTorch takes between steps
        mine, theirs, *opts = muon_pair()
        for opt in opts:
            opt.param_groups[0].update(change)
        step_both(0, mine, theirs, *opts)
    mine, theirs, *opts = muon_pair([(2, 3)])
    for opt in opts:
        opt.add_param_group({"params": make_params(shapes=[(3,)])})
        set_grads(0, opt.param_groups[1]["params"])
        with pytest.raises(ValueError, match="2D matrix"):
            opt.step()


@needs_muon
def test_muon_takes_gradients_that_move_and_what_is_not_contiguous(unrounded):
    mine, theirs, *opts = muon_pair([(4, 6)])
    for params in (mine, theirs):
        params[0].data = params[0].data.T.contiguous().T
    for step in range(4):
        set_grads(step, mine, theirs)
        for params in (mine, theirs):
            grad = params[0].grad
            params[0].grad = grad.T.contiguous().T if step % 2 else grad.repeat_interleave(2, -1)[:, ::2]
        for opt in opts:
            opt.step()
        assert_close(mine, theirs)


def test_without_torchs_muon_there_is_none(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    spec = importlib.util.spec_from_file_location("fastopt.compat.older_torch", ours.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not hasattr(module, "Muon")
    assert "Muon" not in module.__all__


# Schedule-Free, beside the package that has it.

FREE = [
    ("ScheduleFreeSGD", "SGDScheduleFree", {}),
    ("ScheduleFreeSGD", "SGDScheduleFree", {"lr": 0.1, "momentum": 0.6, "warmup_steps": 50, "weight_decay": 0.1}),
    ("ScheduleFreeSGD", "SGDScheduleFree", {"lr": 0.1, "warmup_steps": 40, "r": 0.75, "weight_lr_power": 1.0}),
    ("ScheduleFreeAdamW", "AdamWScheduleFree", {}),
    ("ScheduleFreeAdamW", "AdamWScheduleFree", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.3}),
    ("ScheduleFreeAdamW", "AdamWScheduleFree", {"lr": 0.1, "warmup_steps": 70, "r": 1.5, "foreach": False}),
]
each_free = pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])


@pytest.mark.parametrize(
    ("name", "theirs", "options"), FREE, ids=[f"{name}-{'-'.join(options)}" for name, _, options in FREE]
)
def test_schedule_free_equals_its_package(name, theirs, options):
    """With gradients that are missing, evaluations in between, and state that changes sides, in either mode."""
    package = pytest.importorskip("schedulefree", reason="what is compared with")
    kinds = [getattr(ours, name), getattr(package, theirs)]
    models = [make_params(), make_params()]
    opts = [kind(params, **options) for kind, params in zip(kinds, models, strict=True)]
    assert inspect.signature(kinds[0]).parameters.keys() == inspect.signature(kinds[1]).parameters.keys()
    assert opts[0].defaults == {"foreach": True, **opts[1].defaults}
    for step in range(STEPS):
        if step % 100 == 0:
            for opt in opts:
                opt.eval()
            assert_close(*models)
            if step in (300, 600):
                states = [copy.deepcopy(opt.state_dict()) for opt in opts]
                for opt, state in zip(opts, reversed(states), strict=True):
                    opt.load_state_dict(state)
            for opt in opts:
                opt.train()
        if step in (30, 750):
            states = [copy.deepcopy(opt.state_dict()) for opt in opts]
            for opt, state in zip(opts, reversed(states), strict=True):
                opt.load_state_dict(state)
        set_grads(step, *models, missing=0.2 if step % 3 == 0 else 0)
        for opt in opts:
            opt.step()
        assert_close(*models)
    group, other = (opt.state_dict()["param_groups"][0] for opt in opts)
    assert group.keys() == other.keys() - {"y_of"}
    for key, value in group.items():
        assert value == pytest.approx(other[key], rel=1e-9)
    assert {key for state in opts[0].state.values() for key in state} == {"z", "exp_avg_sq"} - (
        {"exp_avg_sq"} if name == "ScheduleFreeSGD" else set()
    )


@each_free
def test_schedule_free_follows_a_falling_rate(name):
    package = pytest.importorskip("schedulefree", reason="what is compared with")
    theirs = "".join(reversed(name.partition("ScheduleFree")))
    models = [make_params(), make_params()]
    opts = [
        kind(params, lr=0.1)
        for kind, params in zip((getattr(ours, name), getattr(package, theirs)), models, strict=True)
    ]
    schedules = [lr_scheduler.ExponentialLR(opt, 0.99) for opt in opts]
    for opt in opts:
        opt.train()
    for step in range(200):
        step_both(step, *models, *opts)
        for schedule in schedules:
            schedule.step()


@each_free
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_schedule_free_train_undoes_eval(name, dtype):
    params = make_params(dtype=dtype)
    opt = make_opt(name, params, lr=0.1)
    for step in range(20):
        set_grads(step, params)
        opt.step()
    before = values(params).copy()
    for _ in range(2):
        opt.eval()
        opt.eval()
    averages = values(params).copy()
    assert not np.array_equal(before, averages)
    with pytest.raises(RuntimeError, match=r"^step: expected an optimizer in train mode, got one in eval mode"):
        opt.step()
    opt.train()
    opt.train()
    np.testing.assert_array_equal(values(params), before)
    assert not any("y" in state for state in opt.state.values())


@each_free
def test_schedule_free_is_saved_in_either_mode(name):
    params = make_params()
    opt = make_opt(name, params, lr=0.1, warmup_steps=10)
    for step in range(5):
        set_grads(step, params)
        opt.step()
    opt.eval()
    others = copy.deepcopy(params)
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    other = getattr(ours, name)(others)
    other.load_state_dict(torch.load(file))
    assert [group["train_mode"] for group in other.param_groups] == [False]
    for one in (opt, other):
        one.train()
    for step in range(5, 10):
        set_grads(step, params, others)
        opt.step()
        other.step()
        np.testing.assert_array_equal(values(params), values(others))


@each_free
def test_schedule_free_groups_that_come_later_have_the_mode(name):
    params, late = make_params(), make_params(1, LATE)
    opt = getattr(ours, name)(params, lr=0.1)
    with pytest.raises(RuntimeError, match="train mode"):
        opt.step()
    opt.train()
    set_grads(0, params)
    opt.step()
    opt.add_param_group({"params": late, "lr": 0.2})
    before = values(params + late).copy()
    set_grads(1, params + late)
    opt.step()
    assert (values(params + late) != before).all()
    assert [group["k"] for group in opt.param_groups] == [2, 1]


# What PyTorch has not.


@each_own
def test_own_hooks_schedules_and_closures(name):
    (param,) = make_params(shapes=[(3,)])
    opt, calls = make_opt(name, [param], lr=0.1), []
    opt.register_step_pre_hook(lambda *_: calls.append("before"))
    opt.register_step_post_hook(lambda *_: calls.append("after"))
    schedule = lr_scheduler.StepLR(opt, 1, gamma=0.5)

    def closure():
        opt.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        losses = []
        for _ in range(4):
            losses.append(opt.step(closure).item())
            schedule.step()
    assert calls == ["before", "after"] * 4
    assert losses[-1] < losses[0]
    assert opt.param_groups[0]["lr"] == 0.1 / 16


@each_own
def test_own_state_is_resumed_to_the_bit(name):
    params = make_params()
    opt = make_opt(name, [{"params": params[:2]}, {"params": params[2:], "lr": 0.02}], lr=torch.tensor(0.01))
    for step in range(20):
        set_grads(step, params, missing=0.2)
        opt.step()
    others = copy.deepcopy(params)
    other = make_opt(name, [{"params": others[:2]}, {"params": others[2:]}])
    other.load_state_dict(copy.deepcopy(opt.state_dict()))
    for step in range(20, 40):
        set_grads(step, params, others, missing=0.2)
        opt.step()
        other.step()
        np.testing.assert_array_equal(values(params), values(others))


@each_own
def test_own_parameters_without_a_gradient_wait(name):
    """Each parameter is as if it were alone, and had its gradients one after the other."""
    if name.startswith("ScheduleFree"):
        pytest.skip("whose groups count the steps, see above")
    together, alone = make_params(), make_params()
    opt = make_opt(name, together, lr=0.01)
    opts = [make_opt(name, [param], lr=0.01) for param in alone]
    for step in range(30):
        set_grads(step, together, alone, missing=0.3)
        opt.step()
        for param, one in zip(alone, opts, strict=True):
            if param.grad is not None:
                one.step()
        np.testing.assert_array_equal(values(together), values(alone))


@each_own
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_own_rules_take_any_layout(name, dtype):
    models = []
    for strided in (False, True):
        made = torch.Generator().manual_seed(0)
        param = torch.randn(4, 6, dtype=dtype, generator=made)
        param = (param.repeat_interleave(2, -1)[:, ::2] if strided else param).requires_grad_()
        opt = make_opt(name, [param], lr=0.1)
        for _ in range(5):
            grad = torch.randn(4, 6, dtype=dtype, generator=made)
            param.grad = grad.T.contiguous().T if strided else grad
            opt.step()
        models.append(param.detach())
    torch.testing.assert_close(*models)


@each_own
def test_own_rules_maximize(name):
    if name.startswith("ScheduleFree"):
        assert "maximize" not in inspect.signature(getattr(ours, name)).parameters
        return
    one, other = make_params(), make_params()
    opts = [make_opt(name, one, lr=0.1, maximize=True), make_opt(name, other, lr=0.1)]
    for step in range(5):
        set_grads(step, one, other)
        for param in other:
            param.grad.neg_()
        for opt in opts:
            opt.step()
        np.testing.assert_array_equal(values(one), values(other))


@each_own
def test_own_rules_on_other_backends(name, backend):
    params, others = make_params(), make_params()
    opt, other = make_opt(name, params, lr=0.1), make_opt(name, others, lr=0.1)
    for step in range(3):
        set_grads(step, params, others)
        opt.step()
        with using(backend):
            other.step()
        np.testing.assert_array_equal(values(params), values(others))


REFUSED = [
    ("Lion", {"lr": -1.0}, ValueError, "lr: expected a finite number >= 0, got -1.0"),
    ("Lion", {"lr": torch.tensor(-1.0)}, ValueError, "lr: expected a finite number >= 0, got -1.0"),
    ("Lion", {"betas": (0.9, 1.0)}, ValueError, r"beta2: expected a number in \[0, 1\), got 1.0"),
    ("Lion", {"betas": 0.9}, TypeError, "betas: expected a pair of numbers, got 0.9"),
    ("Lion", {"weight_decay": "much"}, TypeError, "weight_decay: expected a finite number >= 0, got 'much'"),
    ("AdEMAMix", {"betas": (0.9, 0.9)}, TypeError, r"betas: expected three numbers, got \(0.9, 0.9\)"),
    (
        "AdEMAMix",
        {"mixing_warmup": 0.5},
        TypeError,
        r"mixing_warmup: expected an integer >= 0 and below 2\*\*63, got 0.5",
    ),
    ("SignSGD", {"momentum": 1.5}, ValueError, r"momentum: expected a number in \[0, 1\], got 1.5"),
    ("SignSGD", {"momentum": "much"}, TypeError, r"momentum: expected a number in \[0, 1\], got 'much'"),
    ("SignSGD", {"decoupled_weight_decay": 3}, TypeError, "decoupled: expected True or False, got 3"),
    ("FTRL", {"lr": 0.0}, ValueError, "lr: expected a number > 0, got 0.0"),
    (
        "FTRL",
        {"initial_accumulator_value": -0.1},
        ValueError,
        "initial_accumulator_value: expected a finite number >= 0, got -0.1",
    ),
    ("ADOPT", {"clipped": "yes"}, TypeError, "clipped: expected True or False, got 'yes'"),
    ("LAMB", {"eps": float("nan")}, ValueError, "eps: expected a finite number >= 0, got nan"),
    ("ScheduleFreeSGD", {"momentum": 0.0}, ValueError, "momentum: expected a number > 0, got 0.0"),
    ("ScheduleFreeAdamW", {"r": -1.0}, ValueError, r"r: expected a number in \[0, 5\], got -1.0"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), REFUSED)
def test_own_rules_refuse_hyper_parameters(name, options, error, message):
    cls = getattr(ours, name)
    with pytest.raises(error, match=f"^{message}$"):
        cls(make_params(), **options)
    opt = cls(make_params())
    with pytest.raises(error, match=f"^{message}$"):
        opt.add_param_group({"params": make_params(1), **options})
    assert len(opt.param_groups) == 1


@each_own
def test_own_rules_refuse_hyper_parameters_between_steps(name):
    params = make_params()
    opt = make_opt(name, params, lr=0.1)
    set_grads(0, params)
    opt.step()
    before = values(params).copy()
    opt.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"^lr: expected a finite number >= 0, got -1\.0$"):
        opt.step()
    np.testing.assert_array_equal(values(params), before)
    opt.param_groups[0]["lr"] = 0.1
    opt.step()


@each_own
@pytest.mark.parametrize(
    ("param", "grad", "found"),
    [
        (torch.zeros(3, dtype=torch.bfloat16), torch.ones(3, dtype=torch.bfloat16), "torch.bfloat16 on cpu"),
        (torch.zeros(3), torch.ones(3).to_sparse(), "a gradient of torch.float32 on cpu, torch.sparse_coo"),
        (torch.zeros(3, dtype=torch.complex64), torch.ones(3, dtype=torch.complex64), "torch.complex64 on cpu"),
    ],
    ids=["half", "sparse", "complex"],
)
def test_own_rules_refuse_tensors(name, param, grad, found):
    first = torch.nn.Parameter(torch.zeros(2))
    first.grad, param.grad = torch.ones(2), grad
    opt = make_opt(name, [first, param], lr=0.1)
    with pytest.raises(TypeError, match=rf"^params\[0\]\[1\]: expected parameter, .* got a Tensor of .*{found}"):
        opt.step()
    assert torch.equal(first, torch.zeros(2))
    assert not opt.state


@each_own
def test_own_rules_refuse_memory_in_common(name):
    whole = torch.zeros(5)
    params = [whole[:3], whole[2:]]
    for param in params:
        param.grad = torch.ones(3)
    with pytest.raises(ValueError, match="share"):
        make_opt(name, params).step()
