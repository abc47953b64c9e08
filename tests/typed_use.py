"""The public interface as a program with types uses it; mypy --strict and pyright check it, nothing runs it."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastopt
from fastopt import kernels, nn, schedules


def use() -> None:
    weights: NDArray[np.float32] = np.zeros((3, 4), np.float32)
    bias = np.zeros(4)
    grads: list[NDArray[Any]] = [np.ones_like(weights), np.ones_like(bias)]

    exp_avg, exp_avg_sq = ([np.zeros_like(g) for g in grads] for _ in range(2))

    kernels.sgd(weights, grads[0], lr=0.1)
    kernels.adam([weights, bias], grads, exp_avg, exp_avg_sq, step=1, lr=1e-3, eps_hat=True)
    norm, grad_scale = kernels.clip_grad_norm(grads, max_norm=1.0)
    assert_type(norm, float)
    assert_type(kernels.clip_grad_norm({"bias": bias}, 1.0), kernels.Clipping)

    opt = fastopt.Adam([weights, bias], lr=schedules.Warmup(schedules.CosineAnnealing(1e-3, T_max=100), warmup_steps=5))
    assert_type(opt.steps, int)
    assert_type(opt.lr, float)
    opt.step(grads, grad_scale=grad_scale)
    opt.lr = 0.1
    opt.lr = lambda step: 0.1 / (1 + step)
    opt.lr = fastopt.schedules.Constant(0.1)
    opt.load_state_dict(opt.state_dict())

    optimizers: list[fastopt.Optimizer] = [
        fastopt.SGD({"bias": bias}, momentum=0.9, nesterov=True),
        fastopt.Adagrad(bias, lr_decay=1e-3),
        fastopt.RMSprop([{"params": [weights], "lr": 0.1}, {"params": [bias]}], centered=True),
        fastopt.AdamW((weights, bias), betas=(0.9, 0.95), weight_decay=0.1),
    ]
    assert_type(optimizers[0].steps, int)

    fastopt.set_num_threads(2)
    assert_type(fastopt.get_num_threads(), int)
    fastopt.show_config()
    assert fastopt.show_config("dicts")["backend"]

    net = nn.Network(
        [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3)], loss=nn.SoftmaxCrossEntropy(), dtype="float32", seed=0
    )
    history = net.fit(weights[:, :2], np.array([0, 1, 2]), optimizer=fastopt.SGD(net.params), epochs=1)
    averaged: fastopt.EMA = fastopt.EMA(fastopt.SGD(net.params), decay=0.9)
    net.fit(weights[:, :2], np.array([0, 1, 2]), optimizer=averaged, epochs=1)
    assert_type(averaged.lr, float)
    assert_type(net.loss_and_grad(weights[:, :2], np.array([0, 1, 2])), float)
    assert history["loss"]
