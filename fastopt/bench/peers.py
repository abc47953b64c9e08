"""The contenders: fastopt, NumPy, and the peers that are installed here.

Each takes a `Problem` and returns the `Step` to time, or None where it does not offer the rule. What
a library allows to be shared is shared: torch works in the memory of the same arrays.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastopt._extras import require
from fastopt.bench import limit
from fastopt.bench.problem import Problem, Step
from fastopt.bench.rules import ALPHA, BETA1, BETA2, EPS, LR, MOMENTUM, WEIGHT_DECAY
from fastopt.kernels import _backend

LIMIT = "memory limit"

#: Makes a step from what a question has set up; None where the contender does not take part.
Maker = Callable[[Any], Step | None]


@dataclass(frozen=True)
class Contender:
    """Somebody who can do the step.

    Attributes
    ----------
    make : callable
        The step for a `Problem`, or None.
    needs : str or None
        Module that has to be installed.
    threaded : bool
        Whether it can use more than one thread.
    single : bool
        Whether it can be held to one thread.
    """

    make: Maker
    needs: str | None = None
    threaded: bool = False
    single: bool = True

    def installed(self) -> bool:
        """Whether what it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def fastopt(problem: Problem) -> Step:
    """One call of `fastopt.kernels`, on the backend that is active."""
    return Step(problem.rule.fastopt(*problem.arguments))


def fastopt_backend(problem: Problem, name: str, isa: str | None = None) -> Step | None:
    """One call of `fastopt.kernels` on the backend `name`, if available."""
    try:
        _backend.load(name, isa)
    except ImportError:
        return None
    return Step(problem.rule.fastopt(*problem.arguments), around=partial(_backend.using, name, isa))


def textbook(problem: Problem) -> Step | None:
    """Return the formula in NumPy, array by array."""
    return _array_by_array(problem.rule.textbook, problem.streams)


def out(problem: Problem) -> Step | None:
    """Return the formula in NumPy without temporaries, array by array."""
    scratch = [problem.cut(np.empty_like(problem.flat[0])) for _ in range(2)]
    return _array_by_array(problem.rule.out, [*problem.streams, *scratch])


def _array_by_array(function: Callable[..., None] | None, streams: list[list[Any]]) -> Step | None:
    if function is None:
        return None
    tensors = list(zip(*streams, strict=True))
    if len(tensors) == 1:
        return Step(partial(function, *tensors[0]))

    def run() -> None:
        for tensor in tensors:
            function(*tensor)

    return Step(run)


def torch_fused(problem: Problem) -> Step | None:
    """PyTorch's fused kernels, called directly."""
    torch = _require("torch")
    p, g, *states = [[torch.from_numpy(array) for array in stream] for stream in problem.streams]
    steps = [torch.tensor(1.0) for _ in p]
    adam = {"lr": LR, "beta1": BETA1, "beta2": BETA2, "eps": EPS, "maximize": False}
    sgd = {
        "lr": LR, "weight_decay": 0.0, "dampening": 0.0, "nesterov": False, "maximize": False,
        "is_first_step": False,
    }  # fmt: skip
    calls: dict[str, Callable[[], Any]] = {
        "sgd": lambda: torch._fused_sgd_(p, g, [], momentum=0.0, **sgd),
        "momentum": lambda: torch._fused_sgd_(p, g, states[0], momentum=MOMENTUM, **sgd),
        "adagrad": lambda: torch._fused_adagrad_(
            p, g, states[0], steps, lr=LR, lr_decay=0.0, weight_decay=0.0, eps=EPS, maximize=False
        ),
        "adam": lambda: torch._fused_adam_(p, g, *states, [], steps, amsgrad=False, weight_decay=0.0, **adam),
        "adamw": lambda: torch._fused_adamw_(
            p, g, *states, [], steps, amsgrad=False, weight_decay=WEIGHT_DECAY, **adam
        ),
        "amsgrad": lambda: torch._fused_adam_(p, g, *states, steps, amsgrad=True, weight_decay=0.0, **adam),
    }
    call = calls.get(problem.rule.name)
    return None if call is None else Step(call)


def torch_optim(problem: Problem) -> Step | None:
    """``torch.optim``'s ``step()``, fused where PyTorch has the rule fused."""
    torch = _require("torch")
    optim = torch.optim
    makers: dict[str, Callable[[Any], Any]] = {
        "sgd": partial(optim.SGD, lr=LR, fused=True),
        "momentum": partial(optim.SGD, lr=LR, momentum=MOMENTUM, fused=True),
        "adagrad": partial(optim.Adagrad, lr=LR, eps=EPS, fused=True),
        "rmsprop": partial(optim.RMSprop, lr=LR, alpha=ALPHA, eps=EPS),
        "rmsprop_momentum": partial(optim.RMSprop, lr=LR, alpha=ALPHA, eps=EPS, momentum=MOMENTUM),
        "rmsprop_centered": partial(optim.RMSprop, lr=LR, alpha=ALPHA, eps=EPS, centered=True),
        "adam": partial(optim.Adam, lr=LR, betas=(BETA1, BETA2), eps=EPS, fused=True),
        "adamw": partial(optim.AdamW, lr=LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=WEIGHT_DECAY, fused=True),
        "amsgrad": partial(optim.Adam, lr=LR, betas=(BETA1, BETA2), eps=EPS, amsgrad=True, fused=True),
        "adamax": partial(optim.Adamax, lr=LR, betas=(BETA1, BETA2), eps=EPS),
        "nadam": partial(optim.NAdam, lr=LR, betas=(BETA1, BETA2), eps=EPS),
        "radam": partial(optim.RAdam, lr=LR, betas=(BETA1, BETA2), eps=EPS),
        "adadelta": partial(optim.Adadelta, lr=LR, eps=EPS),
        "rprop": partial(optim.Rprop, lr=LR),
    }
    if problem.rule.name not in makers:
        return None
    tensors = [[torch.from_numpy(array) for array in stream] for stream in problem.streams]
    params = [torch.nn.Parameter(tensor) for tensor in tensors[0]]
    optimizer = makers[problem.rule.name](params)
    for i, param in enumerate(params):
        param.grad = tensors[1][i]
        state = {name: stream[i] for name, stream in zip(problem.rule.states, tensors[2:], strict=True)}
        optimizer.state[param] = {"step": torch.tensor(0.0), "mu_product": torch.tensor(1.0), **state}
    return Step(optimizer.step)


def optax(problem: Problem) -> Step | None:
    """Return an optax transformation, jitted, with parameters and state donated."""
    jax, optax = _require("jax"), _require("optax")
    if problem.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    known: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {
        "sgd": (partial(optax.sgd, LR), {}),
        "momentum": (partial(optax.sgd, LR, momentum=MOMENTUM), {"momentum_buffer": "trace"}),
        "adagrad": (partial(optax.adagrad, LR, eps=EPS), {"sum": "sum_of_squares"}),
        "rmsprop": (
            partial(optax.rmsprop, LR, decay=ALPHA, eps=EPS, eps_in_sqrt=False),
            {"square_avg": "nu"},
        ),
        "rmsprop_centered": (
            partial(optax.rmsprop, LR, decay=ALPHA, eps=EPS, eps_in_sqrt=False, centered=True),
            {"square_avg": "nu", "grad_avg": "mu"},
        ),
        "adam": (
            partial(optax.adam, LR, b1=BETA1, b2=BETA2, eps=EPS),
            {"exp_avg": "mu", "exp_avg_sq": "nu"},
        ),
        "adamw": (
            partial(optax.adamw, LR, b1=BETA1, b2=BETA2, eps=EPS, weight_decay=WEIGHT_DECAY),
            {"exp_avg": "mu", "exp_avg_sq": "nu"},
        ),
    }
    if problem.rule.name not in known:
        return None
    maker, names = known[problem.rule.name]
    transformation = maker()
    p, g, *states = [[jax.numpy.array(array) for array in stream] for stream in problem.streams]
    initial = {names[key]: value for key, value in zip(problem.rule.states, states, strict=True)}
    state = optax.tree_utils.tree_set(transformation.init(p), **initial)

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(p: Any, state: Any, g: Any) -> Any:
        changes, state = transformation.update(g, state, p)
        return optax.apply_updates(p, changes), state

    held = [p, state]

    def run() -> Any:
        held[:] = update(*held, g)
        jax.block_until_ready(held)
        return held[0]

    return Step(run, close=held.clear)


def thinc(problem: Problem, beta1: float = 1.0, beta2: float = 1.0) -> Step | None:
    """Return thinc's Adam in Cython.

    It clears the gradient after use, so that further steps would let its averages decay into
    denormals. With both betas 1 the same arithmetic leaves them as they are.
    """
    if problem.rule.name != "adam" or problem.dtype != "float32":
        return None
    ops = _require("thinc.backends").NumpyOps()
    p, g, m, v = [[array.reshape(-1) for array in stream] for stream in problem.streams]
    tensors = list(zip(p, [grad.copy() for grad in g], m, v, strict=True))

    def run() -> None:
        for tensor in tensors:
            ops.adam(*tensor, beta1, beta2, EPS, LR)

    return Step(run)


def sklearn(problem: Problem) -> Step | None:
    """Return the optimizers of scikit-learn's MLPs."""
    optimizers = _require("sklearn.neural_network._stochastic_optimizers")
    p, g, *states = problem.streams
    if problem.rule.name == "momentum":
        optimizer = optimizers.SGDOptimizer(p, LR, momentum=MOMENTUM, nesterov=False)
        optimizer.velocities = [-LR * buffer for buffer in states[0]]
    elif problem.rule.name == "adam":
        optimizer = optimizers.AdamOptimizer(p, LR, BETA1, BETA2, EPS)
        optimizer.ms, optimizer.vs = [[array.copy() for array in state] for state in states]
    else:
        return None
    return Step(partial(optimizer.update_params, p, g))


_NUMEXPR: Mapping[str, tuple[tuple[str, str], ...]] = {
    "momentum": (("b", "mu * b + g"), ("p", "p - lr * b")),
    "adagrad": (("s", "s + g * g"), ("p", "p - lr * g / (sqrt(s) + eps)")),
    "rmsprop": (("s", "s + a * (g * g - s)"), ("p", "p - lr * g / (sqrt(s) + eps)")),
    "adam": (
        ("m", "m + a1 * (g - m)"),
        ("v", "v + a2 * (g * g - v)"),
        ("p", "p - lr / a1 * m / (sqrt(v / a2) + eps)"),
    ),
}


def numexpr(problem: Problem) -> Step | None:
    """One numexpr expression an array that is written."""
    if problem.rule.name not in _NUMEXPR:
        return None
    evaluate = _require("numexpr").evaluate
    expressions = _NUMEXPR[problem.rule.name]
    names = ["p", "g", *(target for target, _ in expressions[:-1])]
    real = np.dtype(problem.dtype).type
    scalars = {
        "lr": LR, "mu": MOMENTUM, "a": 1 - ALPHA, "a1": 1 - BETA1, "a2": 1 - BETA2, "eps": EPS,
    }  # fmt: skip
    constants = {name: real(value) for name, value in scalars.items()}
    spaces = [constants | dict(zip(names, tensor, strict=True)) for tensor in zip(*problem.streams, strict=True)]

    def run() -> None:
        for space in spaces:
            for target, expression in expressions:
                evaluate(expression, space, {}, out=space[target])

    return Step(run)


def _require(module: str) -> Any:
    return require(module, extra="bench", what="this contender")


#: Everybody, in the order of the columns; the first is what the others are compared with.
CONTENDERS: dict[str, Contender] = {
    "fastopt": Contender(fastopt, threaded=True),
    "NumPy": Contender(textbook),
    "NumPy out=": Contender(out),
    "torch fused": Contender(torch_fused, "torch", threaded=True),
    "torch.optim": Contender(torch_optim, "torch", threaded=True),
    # JAX takes the number of its threads from the machine, once.
    "optax": Contender(optax, "optax", threaded=True, single=False),
    "thinc": Contender(thinc, "thinc"),
    "scikit-learn": Contender(sklearn, "sklearn"),
    "numexpr": Contender(numexpr, "numexpr", threaded=True),
    LIMIT: Contender(limit.make, threaded=True),
}

#: fastopt's backends beside each other.
BACKENDS: dict[str, Contender] = {
    "fastopt": CONTENDERS["fastopt"],
    "NumPy": CONTENDERS["NumPy"],
    "NumPy out=": CONTENDERS["NumPy out="],
    "fastopt numba": Contender(partial(fastopt_backend, name="numba"), "numba", threaded=True),
    "fastopt numpy": Contender(partial(fastopt_backend, name="numpy"), threaded=True),
    LIMIT: CONTENDERS[LIMIT],
}
