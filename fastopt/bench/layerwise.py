"""LAMB and Muon, whose updates depend on whole arrays: against the libraries that have them."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import fastopt
from fastopt._extras import require
from fastopt._typing import Array
from fastopt.bench.peers import Maker
from fastopt.bench.problem import Step
from fastopt.bench.questions import Level, Question
from fastopt.bench.rules import LR

Matrix = tuple[Array, Array]  # parameter and gradient

_SHAPES: dict[Level, tuple[tuple[int, int], ...]] = {
    "quick": ((784, 512),),
    "default": ((784, 512), (2048, 2048)),
    "full": ((64, 64), (784, 512), (2048, 2048), (4096, 1024)),
}


def _matrix(shape: tuple[int, int]) -> Matrix:
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape).astype("f"), rng.standard_normal(shape).astype("f")


def _ours(matrix: Matrix, name: str) -> Step:
    param, grad = matrix
    opt = getattr(fastopt, name)([param], lr=LR)
    return Step(lambda: opt.step([grad]))


def _torch_muon(matrix: Matrix) -> Step | None:
    torch = require("torch", extra="bench", what="this contender")
    if not hasattr(torch.optim, "Muon"):  # before version 2.9
        return None
    param, grad = (torch.from_numpy(array.copy()) for array in matrix)
    tensor = torch.nn.Parameter(param)
    tensor.grad = grad
    return Step(torch.optim.Muon([tensor], lr=LR).step)


def _optax(matrix: Matrix, name: str) -> Step:
    jax, optax = (require(module, extra="bench", what="this contender") for module in ("jax", "optax"))
    rules: dict[str, Callable[..., Any]] = {"LAMB": optax.lamb, "Muon": optax.contrib.muon}
    rule = rules[name](LR)
    param, grad = (jax.numpy.array(array) for array in matrix)

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(param: Any, state: Any) -> Any:
        changes, state = rule.update(grad, state, param)
        return optax.apply_updates(param, changes), state

    held = [param, rule.init(param)]

    def run() -> None:
        held[:] = update(*held)
        jax.block_until_ready(held)

    return Step(run, close=held.clear)


def layerwise(level: Level, threads: int) -> Iterator[Question]:
    """LAMB and Muon, with norms and products of matrices: what they cost beside a rule that goes element by element."""
    for name in ("LAMB", "Muon"):
        makers: dict[str, Maker] = {"fastopt": partial(_ours, name=name), "fastopt AdamW": partial(_ours, name="AdamW")}
        if name == "Muon" and find_spec("torch"):
            makers["torch.optim"] = _torch_muon
        if find_spec("optax"):
            makers["optax"] = partial(_optax, name=name)
        for shape in _SHAPES[level]:
            elements = shape[0] * shape[1]
            yield Question(
                "layerwise",
                f"{name}, float32, threads as by default",
                f"{shape[0]} x {shape[1]}",
                partial(_matrix, shape),
                makers,
                None,
                elements,
                bytes=elements * 4 * 40,
            )
