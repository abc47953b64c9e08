"""The update rules in float64, as their papers write them: slow, whole arrays, no shared code.

Every function takes the arrays of one parameter and returns their new values in a dictionary; it
writes to none of them. Every class is an optimizer over a list of parameters made of these
functions. This module knows NumPy and nothing else: what it says must never come from the package.

References
----------
- Sutskever, Martens, Dahl, Hinton: "On the importance of initialization and momentum in deep
  learning", ICML 2013, equations 1-4, in the two forms of PyTorch and Keras.
- Duchi, Hazan, Singer: "Adaptive subgradient methods", JMLR 12, 2011, with the diagonal matrix.
- Tieleman, Hinton: "Lecture 6.5: RMSProp", Coursera, 2012; centered and with momentum after
  Graves: "Generating sequences with recurrent neural networks", 2013, equations 38-41.
- Kingma, Ba: "Adam", ICLR 2015, algorithm 1; `eps_hat` after the remark that ends section 2.
- Reddi, Kale, Kumar: "On the convergence of Adam and beyond", ICLR 2018, algorithm 2.
- Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
- Chen et al.: "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.
- Kingma, Ba: "Adam", algorithm 2 (Adamax), with epsilon as in PyTorch and as in Keras.
- Dozat: "Incorporating Nesterov momentum into Adam", 2016, algorithm 8, with PyTorch's schedule of the momentum.
- Liu et al.: "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2.
- Zeiler: "ADADELTA", 2012, algorithm 1.
- Igel, Huesken: "Improving the Rprop learning algorithm", 2000, iRprop-.
- Bernstein et al.: "signSGD", ICML 2018, algorithms 1 (one worker) and 2.
- McMahan et al.: "Ad click prediction", KDD 2013, algorithm 1, with the penalties of Keras.
- Pagliardini, Ablin, Grangier: "The AdEMAMix optimizer", ICLR 2025, algorithm 1 and equation 6.
- Taniguchi et al.: "ADOPT", NeurIPS 2024, algorithm 2.
- Defazio et al.: "The road less scheduled", NeurIPS 2024, equations 3-5 and algorithm 1.
- You et al.: "Large batch optimization for deep learning", ICLR 2020, algorithm 2.
- Chen et al.: "Cautious weight decay", 2025, algorithm 1.
- Jordan et al.: "Muon", 2024; Liu et al.: "Muon is scalable for LLM training", 2025.
"""

import numpy as np


def _gradient(param, grad, weight_decay, grad_scale, clip_value):
    """Scaled and clipped gradient, with that of the L2 penalty ``weight_decay / 2 * param**2``."""
    return np.clip(grad_scale * grad, -clip_value, clip_value) + weight_decay * param


def _decayed(param, lr, weight_decay, decoupled):
    """The parameter after decoupled decay, and what is left for the L2 penalty."""
    return (param - lr * weight_decay * param, 0.0) if decoupled else (param, weight_decay)


def _root(second_moment, eps, eps_in_sqrt):
    return np.sqrt(second_moment + eps) if eps_in_sqrt else np.sqrt(second_moment) + eps


def sgd(param, grad, *, lr, weight_decay=0.0, decoupled=False, grad_scale=1.0, clip_value=np.inf):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    return {"param": param - lr * g}


def momentum(
    param,
    grad,
    momentum_buffer,
    *,
    lr,
    momentum,
    dampening=0.0,
    nesterov=False,
    lr_in_velocity=False,
    first_step=False,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    if lr_in_velocity:
        velocity = momentum * momentum_buffer - lr * g
        move = momentum * velocity - lr * g if nesterov else velocity
        return {"param": param + move, "momentum_buffer": velocity}
    buffer = g if first_step else momentum * momentum_buffer + (1 - dampening) * g
    direction = g + momentum * buffer if nesterov else buffer
    return {"param": param - lr * direction, "momentum_buffer": buffer}


def adagrad(
    param,
    grad,
    sum,
    *,
    lr,
    eps=1e-10,
    eps_in_sqrt=False,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    total = sum + g**2
    return {"param": param - lr * g / _root(total, eps, eps_in_sqrt), "sum": total}


def rmsprop(
    param,
    grad,
    square_avg,
    momentum_buffer=None,
    grad_avg=None,
    *,
    lr,
    alpha=0.99,
    eps=1e-8,
    eps_in_sqrt=False,
    momentum=0.0,
    lr_in_velocity=False,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    new = {"square_avg": alpha * square_avg + (1 - alpha) * g**2}
    second_moment = new["square_avg"]
    if grad_avg is not None:
        new["grad_avg"] = alpha * grad_avg + (1 - alpha) * g
        second_moment = np.maximum(second_moment - new["grad_avg"] ** 2, 0)
    step = g / _root(second_moment, eps, eps_in_sqrt)
    if momentum_buffer is None:
        return {"param": param - lr * step, **new}
    if lr_in_velocity:
        new["momentum_buffer"] = momentum * momentum_buffer + lr * step
        return {"param": param - new["momentum_buffer"], **new}
    new["momentum_buffer"] = momentum * momentum_buffer + step
    return {"param": param - lr * new["momentum_buffer"], **new}


def adam(
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    max_exp_avg_sq=None,
    *,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    eps_hat=False,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    m = beta1 * exp_avg + (1 - beta1) * g
    v = beta2 * exp_avg_sq + (1 - beta2) * g**2
    new = {"exp_avg": m, "exp_avg_sq": v}
    if max_exp_avg_sq is not None:
        new["max_exp_avg_sq"] = v = np.maximum(max_exp_avg_sq, v)
    correction1 = 1 - beta1**step
    correction2 = 1 - beta2**step
    if eps_hat:
        move = lr * np.sqrt(correction2) / correction1 * m / (np.sqrt(v) + eps)
    else:
        m_hat, v_hat = m / correction1, v / correction2
        move = lr * m_hat / (np.sqrt(v_hat) + eps)
    return {"param": param - move, **new}


def _agreeing(direction, param, cautious):
    """1 where cautious decay applies: where the update and the parameter do not have different signs."""
    return np.where(np.sign(direction) * np.sign(param) < 0, 0.0, 1.0) if cautious else 1.0


def adamw(
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    max_exp_avg_sq=None,
    *,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    eps_hat=False,
    weight_decay=1e-2,
    cautious=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    """Decay apart from the gradient, at the same rate, beside Adam's step."""
    new = adam(
        param,
        grad,
        exp_avg,
        exp_avg_sq,
        max_exp_avg_sq,
        step=step,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        eps_hat=eps_hat,
        grad_scale=grad_scale,
        clip_value=clip_value,
    )
    new["param"] = new["param"] - lr * weight_decay * param * _agreeing(param - new["param"], param, cautious)
    return new


def lion(
    param,
    grad,
    exp_avg,
    *,
    lr=1e-4,
    beta1=0.9,
    beta2=0.99,
    weight_decay=0.0,
    cautious=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    g = np.clip(grad_scale * grad, -clip_value, clip_value)
    direction = np.sign(beta1 * exp_avg + (1 - beta1) * g)
    decay = weight_decay * param * _agreeing(direction, param, cautious)
    return {"param": param - lr * (direction + decay), "exp_avg": beta2 * exp_avg + (1 - beta2) * g}


def adamax(
    param,
    grad,
    exp_avg,
    exp_inf,
    *,
    step,
    lr=2e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    eps_outside=False,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    m = beta1 * exp_avg + (1 - beta1) * g
    u = np.maximum(beta2 * exp_inf, np.abs(g) + (0.0 if eps_outside else eps))
    move = lr / (1 - beta1**step) * m / (u + (eps if eps_outside else 0.0))
    return {"param": param - move, "exp_avg": m, "exp_inf": u}


def nadam(
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    *,
    step,
    lr=2e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    momentum_decay=4e-3,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    m = beta1 * exp_avg + (1 - beta1) * g
    v = beta2 * exp_avg_sq + (1 - beta2) * g**2
    mu, mu_next = beta1 * (1 - 0.5 * 0.96 ** (np.array([step, step + 1.0]) * momentum_decay))
    # The product of all mu; that of a hundred thousand is 0 for the betas of the tests.
    product = np.prod(beta1 * (1 - 0.5 * 0.96 ** (np.arange(1, min(step, 100_000) + 1) * momentum_decay)))
    average = mu_next / (1 - product * mu_next) * m + (1 - mu) / (1 - product) * g
    move = lr * average / (np.sqrt(v / (1 - beta2**step)) + eps)
    return {"param": param - move, "exp_avg": m, "exp_avg_sq": v}


def radam(
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    *,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    eps_hat=True,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    m = beta1 * exp_avg + (1 - beta1) * g
    v = beta2 * exp_avg_sq + (1 - beta2) * g**2
    new = {"exp_avg": m, "exp_avg_sq": v}
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)
    if rho <= 5:
        return {"param": param - lr * m_hat, **new}
    r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    if eps_hat:
        return {"param": param - lr * r * m_hat * np.sqrt(1 - beta2**step) / (np.sqrt(v) + eps), **new}
    return {"param": param - lr * r * m_hat / (np.sqrt(v_hat) + eps), **new}


def adadelta(
    param,
    grad,
    square_avg,
    acc_delta,
    *,
    lr=1.0,
    rho=0.9,
    eps=1e-6,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    s = rho * square_avg + (1 - rho) * g**2
    u = np.sqrt(acc_delta + eps) / np.sqrt(s + eps) * g
    return {"param": param - lr * u, "square_avg": s, "acc_delta": rho * acc_delta + (1 - rho) * u**2}


def sign_sgd(
    param,
    grad,
    momentum_buffer=None,
    *,
    lr,
    momentum=0.0,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    if momentum_buffer is None:
        return {"param": param - lr * np.sign(g)}
    buffer = momentum * momentum_buffer + (1 - momentum) * g
    return {"param": param - lr * np.sign(buffer), "momentum_buffer": buffer}


def ftrl(
    param,
    grad,
    accumulator,
    linear,
    *,
    lr=1e-3,
    l1=0.0,
    l2=0.0,
    l2_shrinkage=0.0,
    beta=0.0,
    weight_decay=0.0,
    grad_scale=1.0,
    clip_value=np.inf,
):
    """Per-coordinate FTRL-Proximal: the closed form of the minimum, element by element."""
    param = param - lr * weight_decay * param
    g = np.clip(grad_scale * grad, -clip_value, clip_value)
    n = accumulator + g**2
    sigma = (np.sqrt(n) - np.sqrt(accumulator)) / lr
    z = linear + g + 2 * l2_shrinkage * param - sigma * param
    at_rest = np.abs(z) <= l1
    new = -(z - np.sign(z) * l1) / ((beta + np.sqrt(n)) / lr + 2 * l2)
    return {"param": np.where(at_rest, 0.0, new), "accumulator": n, "linear": z}


def ademamix(
    param,
    grad,
    exp_avg,
    exp_avg_slow,
    exp_avg_sq,
    *,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    beta3=0.9999,
    mixing=5.0,
    mixing_warmup=0,
    beta3_warmup=0,
    eps=1e-8,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    alpha = min(step * mixing / mixing_warmup, mixing) if mixing_warmup else mixing
    if step < beta3_warmup:
        t, start, end = step / beta3_warmup, np.log(beta1), np.log(beta3)
        beta3 = min(np.exp(start * end / ((1 - t) * end + t * start)), beta3)
    m = beta1 * exp_avg + (1 - beta1) * g
    slow = beta3 * exp_avg_slow + (1 - beta3) * g
    v = beta2 * exp_avg_sq + (1 - beta2) * g**2
    move = lr * (m / (1 - beta1**step) + alpha * slow) / (np.sqrt(v / (1 - beta2**step)) + eps)
    return {"param": param - move, "exp_avg": m, "exp_avg_slow": slow, "exp_avg_sq": v}


def adopt(
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    *,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.9999,
    eps=1e-6,
    clipped=True,
    weight_decay=0.0,
    decoupled=False,
    grad_scale=1.0,
    clip_value=np.inf,
):
    if step == 1:
        g = _gradient(param, grad, 0.0 if decoupled else weight_decay, grad_scale, clip_value)
        return {"param": param, "exp_avg": exp_avg, "exp_avg_sq": g**2}
    param, weight_decay = _decayed(param, lr, weight_decay, decoupled)
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    normed = g / np.maximum(np.sqrt(exp_avg_sq), eps)
    if clipped:
        normed = np.clip(normed, -((step - 1) ** 0.25), (step - 1) ** 0.25)
    m = beta1 * exp_avg + (1 - beta1) * normed
    return {"param": param - lr * m, "exp_avg": m, "exp_avg_sq": beta2 * exp_avg_sq + (1 - beta2) * g**2}


def _schedule_free(param, direction, z, step, lr, inner, warmup_steps, r, power):
    """One step of y and z, through the mean x between them, whose weights are those of the rates of the warm-up."""
    steps = np.arange(max(1.0, step - 10_000_000), step + 1)  # more are not to be summed up, and then r is 0
    warmed = np.minimum(1, steps / max(warmup_steps, 1))
    weights = steps**r * warmed**power
    average = weights[-1] / (weights.sum() + (steps[0] - 1))
    lr = lr * warmed[-1]
    x = (param - (1 - inner) * z) / inner
    z = z - lr * direction
    x = (1 - average) * x + average * z
    return (1 - inner) * z + inner * x, z


def schedule_free_sgd(
    param,
    grad,
    z,
    *,
    step,
    lr=1.0,
    momentum=0.9,
    warmup_steps=0,
    r=0.0,
    weight_lr_power=2.0,
    weight_decay=0.0,
    grad_scale=1.0,
    clip_value=np.inf,
):
    g = _gradient(param, grad, weight_decay, grad_scale, clip_value)
    y, z = _schedule_free(param, g, z, step, lr, momentum, warmup_steps, r, weight_lr_power)
    return {"param": y, "z": z}


def schedule_free_adamw(
    param,
    grad,
    exp_avg_sq,
    z,
    *,
    step,
    lr=2.5e-3,
    beta1=0.9,
    beta2=0.999,
    warmup_steps=0,
    r=0.0,
    weight_lr_power=2.0,
    eps=1e-8,
    weight_decay=0.0,
    grad_scale=1.0,
    clip_value=np.inf,
):
    g = np.clip(grad_scale * grad, -clip_value, clip_value)
    v = beta2 * exp_avg_sq + (1 - beta2) * g**2
    direction = g / (np.sqrt(v / (1 - beta2**step)) + eps) + weight_decay * param
    y, z = _schedule_free(param, direction, z, step, lr, beta1, warmup_steps, r, weight_lr_power)
    return {"param": y, "exp_avg_sq": v, "z": z}


def lamb(
    param,
    grad,
    exp_avg,
    exp_avg_sq,
    *,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-6,
    weight_decay=0.0,
    grad_scale=1.0,
    clip_value=np.inf,
):
    g = np.clip(grad_scale * grad, -clip_value, clip_value)
    m = beta1 * exp_avg + (1 - beta1) * g
    v = beta2 * exp_avg_sq + (1 - beta2) * g**2
    u = m / (1 - beta1**step) / (np.sqrt(v / (1 - beta2**step)) + eps) + weight_decay * param
    norm, size = (np.sqrt((np.longdouble(array) ** 2).sum()) for array in (param, u))
    ratio = float(norm / size) if norm > 0 and size > 0 else 1.0
    return {"param": param - lr * ratio * u, "exp_avg": m, "exp_avg_sq": v}


def muon(
    param,
    grad,
    momentum_buffer,
    *,
    lr=1e-3,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    ns_steps=5,
    ns_eps=1e-7,
    match_rms=False,
    weight_decay=0.1,
    grad_scale=1.0,
    clip_value=np.inf,
):
    """Newton-Schulz steps act on each singular value by itself, so they are made on these."""
    g = np.clip(grad_scale * grad, -clip_value, clip_value)
    b = momentum * momentum_buffer + (1 - momentum) * g
    x = momentum * b + (1 - momentum) * g if nesterov else b
    left, values, right = np.linalg.svd(x, full_matrices=False)
    values = values / max(np.sqrt((values**2).sum()), ns_eps)
    a, b3, b5 = ns_coefficients
    for _ in range(ns_steps):
        values = a * values + b3 * values**3 + b5 * values**5
    rows, columns = param.shape
    size = 0.2 * np.sqrt(max(rows, columns)) if match_rms else np.sqrt(max(1, rows / max(columns, 1)))
    update = (left * values) @ right
    return {"param": param - lr * weight_decay * param - lr * size * update, "momentum_buffer": b}


def rprop(
    param,
    grad,
    prev,
    step_size,
    *,
    eta_minus=0.5,
    eta_plus=1.2,
    step_size_min=1e-6,
    step_size_max=50.0,
    grad_scale=1.0,
    clip_value=np.inf,
):
    g = np.clip(grad_scale * grad, -clip_value, clip_value)
    turn = np.sign(g) * np.sign(prev)
    size = np.select([turn > 0, turn < 0, turn == 0], [step_size * eta_plus, step_size * eta_minus, step_size], np.nan)
    size = np.clip(size, step_size_min, step_size_max)
    g = np.where(turn < 0, 0.0, np.clip(g, -1e38, 1e38))
    return {"param": param - np.sign(g) * size, "prev": g, "step_size": size}


# The name is an argument of SGD.
_momentum = momentum


def of_rows(rule, rows, arrays, **options):
    """`rule` on those rows of tables that the gradient has rows for, which are summed first; the rest as it is."""
    distinct = list(dict.fromkeys(map(int, rows)))
    grad = np.array([sum(g for row, g in zip(rows, arrays["grad"], strict=True) if row == d) for d in distinct])
    tables = {name: array for name, array in arrays.items() if name != "grad"}
    after = rule(grad=grad, **{name: table[distinct] for name, table in tables.items()}, **options)
    result = {name: table.copy() for name, table in tables.items()}
    for name, new in after.items():
        result[name][distinct] = new
    return result


def rowwise_adagrad(param, grad, sum, *, lr, eps=1e-10, grad_scale=1.0, clip_value=np.inf):
    """AdaGrad whose sum has a number for each row: the mean of the squares in the row."""
    g = _gradient(param, grad, 0.0, grad_scale, clip_value)
    means = [(row * row).mean() for row in g]
    sum = sum + np.array(means)
    return {
        "param": np.array([p - lr * r / (np.sqrt(s) + eps) for p, r, s in zip(param, g, sum, strict=True)]),
        "sum": sum,
    }


def _at(value, step):
    """Value of a hyper-parameter, or of a pair, that may be a schedule, `step` counted from 0."""
    if isinstance(value, tuple):
        return tuple(_at(one, step) for one in value)
    return value(step) if callable(value) else value


class _Optimizer:
    """States of each parameter, the number of steps done, and one rule for all of them."""

    def __init__(self, params, states):
        self.params = [np.array(p, np.float64) for p in params]
        self.states = [
            {name: p.copy() if start == "param" else np.full_like(p, start) for name, start in states.items()}
            for p in self.params
        ]
        self.steps = 0

    def step(self, grads, **options):
        hyper = self.hyper(self.steps, **{name: _at(value, self.steps) for name, value in self.options.items()})
        for i, grad in enumerate(grads):
            grad = np.asarray(grad, np.float64)
            new = self.rule(self.params[i], grad, **self.states[i], **options, **hyper)
            self.params[i] = new.pop("param")
            self.states[i] = new
        self.steps += 1


class SGD(_Optimizer):
    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0.0,
        dampening=0.0,
        nesterov=False,
        lr_in_velocity=False,
        weight_decay=0.0,
        decoupled=False,
    ):
        self.plain = not callable(momentum) and momentum == 0
        super().__init__(params, {} if self.plain else {"momentum_buffer": 0.0})
        self.rule = sgd if self.plain else _momentum
        self.options = {"lr": lr, "weight_decay": weight_decay, "decoupled": decoupled}
        if not self.plain:
            self.options |= {
                "momentum": momentum,
                "dampening": dampening,
                "nesterov": nesterov,
                "lr_in_velocity": lr_in_velocity,
            }

    def hyper(self, step, **values):
        return values if self.plain else values | {"first_step": step == 0}


class Adagrad(_Optimizer):
    rule = staticmethod(adagrad)

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0.0,
        eps=1e-10,
        eps_in_sqrt=False,
        initial_accumulator_value=0.0,
        weight_decay=0.0,
        decoupled=False,
    ):
        super().__init__(params, {"sum": initial_accumulator_value})
        self.options = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "eps_in_sqrt": eps_in_sqrt,
            "weight_decay": weight_decay,
            "decoupled": decoupled,
        }

    def hyper(self, step, lr, lr_decay, **values):
        return values | {"lr": lr / (1 + step * lr_decay)}


class RMSprop(_Optimizer):
    rule = staticmethod(rmsprop)

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        eps_in_sqrt=False,
        momentum=0.0,
        centered=False,
        lr_in_velocity=False,
        initial_accumulator_value=0.0,
        weight_decay=0.0,
        decoupled=False,
    ):
        states = {"square_avg": initial_accumulator_value}
        if callable(momentum) or momentum > 0:
            states["momentum_buffer"] = 0.0
        if centered:
            states["grad_avg"] = 0.0
        super().__init__(params, states)
        self.options = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "eps_in_sqrt": eps_in_sqrt,
            "momentum": momentum,
            "lr_in_velocity": lr_in_velocity,
            "weight_decay": weight_decay,
            "decoupled": decoupled,
        }

    def hyper(self, step, **values):
        return values


class Adam(_Optimizer):
    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        eps_hat=False,
        amsgrad=False,
        weight_decay=0.0,
        decoupled=False,
    ):
        states = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * amsgrad
        super().__init__(params, dict.fromkeys(states, 0.0))
        self.rule = adamw if decoupled else adam
        self.options = {"lr": lr, "betas": betas, "eps": eps, "eps_hat": eps_hat, "weight_decay": weight_decay}

    def hyper(self, step, betas, **values):
        return values | {"step": step + 1, "beta1": betas[0], "beta2": betas[1]}


class AdamW(Adam):
    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        eps_hat=False,
        amsgrad=False,
        weight_decay=1e-2,
        cautious=False,
    ):
        super().__init__(params, lr, betas, eps, eps_hat, amsgrad, weight_decay, decoupled=True)
        self.options |= {"cautious": cautious}


class Lion(_Optimizer):
    rule = staticmethod(lion)

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, cautious=False):
        super().__init__(params, {"exp_avg": 0.0})
        self.options = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "cautious": cautious}

    def hyper(self, step, betas, **values):
        return values | {"beta1": betas[0], "beta2": betas[1]}


class _Counted(_Optimizer):
    """Rules of two averages, which count their steps."""

    def hyper(self, step, betas, **values):
        return values | {"step": step + 1, "beta1": betas[0], "beta2": betas[1]}


class Adamax(_Counted):
    rule = staticmethod(adamax)

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, eps_outside=False, weight_decay=0.0, decoupled=False
    ):
        super().__init__(params, {"exp_avg": 0.0, "exp_inf": 0.0})
        self.options = {"lr": lr, "betas": betas, "eps": eps, "eps_outside": eps_outside}
        self.options |= {"weight_decay": weight_decay, "decoupled": decoupled}


class NAdam(_Counted):
    rule = staticmethod(nadam)

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, weight_decay=0.0, decoupled=False
    ):
        super().__init__(params, {"exp_avg": 0.0, "exp_avg_sq": 0.0})
        self.options = {"lr": lr, "betas": betas, "eps": eps, "momentum_decay": momentum_decay}
        self.options |= {"weight_decay": weight_decay, "decoupled": decoupled}


class RAdam(_Counted):
    rule = staticmethod(radam)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, eps_hat=True, weight_decay=0.0, decoupled=False):
        super().__init__(params, {"exp_avg": 0.0, "exp_avg_sq": 0.0})
        self.options = {"lr": lr, "betas": betas, "eps": eps, "eps_hat": eps_hat}
        self.options |= {"weight_decay": weight_decay, "decoupled": decoupled}


class Adadelta(_Optimizer):
    rule = staticmethod(adadelta)

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, decoupled=False):
        super().__init__(params, {"square_avg": 0.0, "acc_delta": 0.0})
        self.options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "decoupled": decoupled}

    def hyper(self, step, **values):
        return values


class SignSGD(_Optimizer):
    rule = staticmethod(sign_sgd)

    def __init__(self, params, lr=1e-4, momentum=0.0, weight_decay=0.0, decoupled=False):
        plain = not callable(momentum) and momentum == 0
        super().__init__(params, {} if plain else {"momentum_buffer": 0.0})
        self.options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "decoupled": decoupled}

    def hyper(self, step, **values):
        return values


class FTRL(_Optimizer):
    rule = staticmethod(ftrl)

    def __init__(
        self,
        params,
        lr=1e-3,
        l1=0.0,
        l2=0.0,
        l2_shrinkage=0.0,
        beta=0.0,
        initial_accumulator_value=0.1,
        weight_decay=0.0,
    ):
        super().__init__(params, {"accumulator": initial_accumulator_value, "linear": 0.0})
        self.options = {"lr": lr, "l1": l1, "l2": l2, "l2_shrinkage": l2_shrinkage, "beta": beta}
        self.options |= {"weight_decay": weight_decay}

    def hyper(self, step, **values):
        return values


class AdEMAMix(_Optimizer):
    rule = staticmethod(ademamix)

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999, 0.9999),
        mixing=5.0,
        mixing_warmup=0,
        beta3_warmup=0,
        eps=1e-8,
        weight_decay=0.0,
        decoupled=False,
    ):
        super().__init__(params, {"exp_avg": 0.0, "exp_avg_slow": 0.0, "exp_avg_sq": 0.0})
        self.options = {"lr": lr, "betas": betas, "mixing": mixing, "mixing_warmup": mixing_warmup, "eps": eps}
        self.options |= {"beta3_warmup": beta3_warmup, "weight_decay": weight_decay, "decoupled": decoupled}

    def hyper(self, step, betas, **values):
        return values | {"step": step + 1, "beta1": betas[0], "beta2": betas[1], "beta3": betas[2]}


class ADOPT(_Counted):
    rule = staticmethod(adopt)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.9999), eps=1e-6, clipped=True, weight_decay=0.0, decoupled=False):
        super().__init__(params, {"exp_avg": 0.0, "exp_avg_sq": 0.0})
        self.options = {"lr": lr, "betas": betas, "eps": eps, "clipped": clipped}
        self.options |= {"weight_decay": weight_decay, "decoupled": decoupled}


class LAMB(_Counted):
    rule = staticmethod(lamb)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
        super().__init__(params, {"exp_avg": 0.0, "exp_avg_sq": 0.0})
        self.options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}


class Muon(_Optimizer):
    """Matrices by Muon, the rest by AdamW."""

    def __init__(
        self,
        params,
        lr=1e-3,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=(3.4445, -4.775, 2.0315),
        ns_steps=5,
        ns_eps=1e-7,
        match_rms=True,
        betas=(0.9, 0.999),
        eps=1e-8,
    ):
        super().__init__(params, {})
        for param, states in zip(self.params, self.states, strict=True):
            names = ("momentum_buffer",) if param.ndim == 2 else ("exp_avg", "exp_avg_sq")
            states |= {name: np.zeros_like(param) for name in names}
        self.options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        self.options |= {"ns_coefficients": ns_coefficients, "ns_steps": ns_steps, "ns_eps": ns_eps}
        self.options |= {"match_rms": match_rms, "betas": betas, "eps": eps}

    def hyper(self, step, **values):
        return values | {"step": step + 1}

    @staticmethod
    def rule(param, grad, *, step, betas, eps, lr, weight_decay, grad_scale=1.0, clip_value=np.inf, **states_and_own):
        common = {"lr": lr, "weight_decay": weight_decay, "grad_scale": grad_scale, "clip_value": clip_value}
        if param.ndim == 2:
            return muon(param, grad, **states_and_own, **common)
        states = {name: states_and_own[name] for name in ("exp_avg", "exp_avg_sq")}
        return adamw(param, grad, **states, step=step, beta1=betas[0], beta2=betas[1], eps=eps, **common)


class ScheduleFreeSGD(_Optimizer):
    rule = staticmethod(schedule_free_sgd)

    def __init__(self, params, lr=1.0, momentum=0.9, weight_decay=0.0, warmup_steps=0, r=0.0, weight_lr_power=2.0):
        super().__init__(params, {"z": "param"})
        self.options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        self.options |= {"warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power}

    def hyper(self, step, **values):
        return values | {"step": step + 1}


class ScheduleFreeAdamW(_Counted):
    rule = staticmethod(schedule_free_adamw)

    def __init__(
        self,
        params,
        lr=2.5e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        warmup_steps=0,
        r=0.0,
        weight_lr_power=2.0,
    ):
        super().__init__(params, {"exp_avg_sq": 0.0, "z": "param"})
        self.options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self.options |= {"warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power}


class Rprop(_Optimizer):
    rule = staticmethod(rprop)

    def __init__(self, params, lr=1e-2, eta_minus=0.5, eta_plus=1.2, step_size_min=1e-6, step_size_max=50.0):
        super().__init__(params, {"prev": 0.0, "step_size": lr})
        self.options = {"eta_minus": eta_minus, "eta_plus": eta_plus}
        self.options |= {"step_size_min": step_size_min, "step_size_max": step_size_max}

    def hyper(self, step, **values):
        return values
