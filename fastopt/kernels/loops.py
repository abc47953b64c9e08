"""The update rules: each formula stands here, and nowhere else.

A rule is a loop over elements and the function that makes its scalars. Both are plain Python without imports and types,
because four readers share them: Cython compiles them (``src/generate.py`` writes ``src/rules.pyx`` from this file),
Numba jits them, NumPy runs the loop with ``range(n)`` as one slice, which makes the body a formula over whole arrays,
and whoever wants to know what a rule does reads them.

**A loop** takes the number of elements, its arrays (parameter ``p``, gradient ``g``, states) and its scalars. It may
use ``+ - * /``, comparisons and the functions that every backend provides under one name:

- ``sqrt(x)``;
- ``clip(x, limit)``: `x` within plus and minus `limit`;
- ``maximum(a, b)``: the larger one;
- ``nonnegative(x)``: `x`, or 0 where it is negative;
- ``sign(x)``: -1, 0 or 1;
- ``where(condition, a, b)``: `a` where a comparison holds, else `b`; both are computed. They are arrays or scalars
  of the loop, not literals, and one of them is an array.

NaN stays NaN in all of them; it compares as false, so ``where(x < y, y, x)`` keeps it. IEEE 754 rounds each of these
operations in one way, so their order alone decides about the bits. Where NaN and infinity go is part of a rule, too:
``m += a * (g - m)`` makes NaN of an infinite average at the next step, ``m = b * m + a * g`` does not.

**The scalars** are computed in float64, once per call, from the hyper-parameters: those of the rule first, then
`grad_scale`, `clip_value` and the number of the `step`, counted from 1. Conventions (where epsilon sits, whether the
rate is inside the velocity) are choices of scalars, so one loop serves every library's. They are returned in the order
of the loop's arguments; the first three make the gradient ``clip(scale * grad, limit) + decay * param``, the fourth,
`keep`, is what decoupled weight decay leaves of the parameter. They may use ``sqrt``, ``exp``, ``log`` and those
functions of this file whose names begin with an underscore.
"""


def sgd_scalars(lr, weight_decay, decoupled, grad_scale, clip_value, step):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    return grad_scale, clip_value, decay, keep, lr


def sgd(n, p, g, scale, limit, decay, keep, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        p[i] = keep * p[i] - lr * grad


def momentum_scalars(
    lr, momentum, dampening, nesterov, lr_in_velocity, weight_decay, decoupled, grad_scale, clip_value, step
):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    if lr_in_velocity:
        if dampening:
            raise ValueError(f"dampening: expected 0 with lr_in_velocity, got {dampening!r}")
        # The buffer holds Keras' velocity u, which is added: p += u, or p += mu*u - lr*g.
        if nesterov:
            return grad_scale, clip_value, decay, keep, momentum, -lr, -momentum, lr
        return grad_scale, clip_value, decay, keep, momentum, -lr, -1.0, 0.0
    # The first buffer is the gradient itself, whatever the dampening.
    held = 0.0 if step == 1 else momentum
    share = 1.0 if step == 1 else 1.0 - dampening
    if nesterov:
        return grad_scale, clip_value, decay, keep, held, share, lr * momentum, lr
    return grad_scale, clip_value, decay, keep, held, share, lr, 0.0


def momentum(n, p, g, b, scale, limit, decay, keep, mu, a, c1, c2):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        b[i] = mu * b[i] + a * grad
        p[i] = keep * p[i] - (c1 * b[i] + c2 * grad)


def sign_sgd_scalars(lr, momentum, weight_decay, decoupled, grad_scale, clip_value, step):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    if momentum:
        raise ValueError(f"momentum: expected 0 without a momentum_buffer, got {momentum!r}")
    return grad_scale, clip_value, decay, keep, lr


def sign_sgd(n, p, g, scale, limit, decay, keep, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        p[i] = keep * p[i] - lr * sign(grad)


def signum_scalars(lr, momentum, weight_decay, decoupled, grad_scale, clip_value, step):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    return grad_scale, clip_value, decay, keep, momentum, 1.0 - momentum, lr


def signum(n, p, g, b, scale, limit, decay, keep, mu, a, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        b[i] = mu * b[i] + a * grad
        p[i] = keep * p[i] - lr * sign(b[i])


def adagrad_scalars(lr, lr_decay, eps, eps_in_sqrt, weight_decay, decoupled, grad_scale, clip_value, step):
    rate = lr / (1.0 + (step - 1) * lr_decay)
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - rate * weight_decay if decoupled else 1.0
    eps_in = eps if eps_in_sqrt else 0.0
    eps_out = 0.0 if eps_in_sqrt else eps
    return grad_scale, clip_value, decay, keep, rate, eps_in, eps_out


def adagrad(n, p, g, s, scale, limit, decay, keep, lr, eps_in, eps_out):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += grad * grad
        p[i] = keep * p[i] - lr * grad / (sqrt(s[i] + eps_in) + eps_out)


def ftrl_scalars(lr, l1, l2, l2_shrinkage, beta, weight_decay, grad_scale, clip_value, step):
    if not lr:
        raise ValueError(f"lr: expected a number > 0, got {lr!r}")
    keep = 1.0 - lr * weight_decay
    return grad_scale, clip_value, 2.0 * l2_shrinkage, keep, 1.0 / lr, l1, 2.0 * l2 + beta / lr


def ftrl(n, p, g, s, z, scale, limit, decay, keep, per_lr, l1, l2):
    for i in range(n):
        grad = clip(scale * g[i], limit)
        held = keep * p[i]
        before = sqrt(s[i])
        s[i] += grad * grad
        z[i] += grad + decay * held - per_lr * (sqrt(s[i]) - before) * held
        p[i] = (clip(z[i], l1) - z[i]) / (per_lr * sqrt(s[i]) + l2)


def rmsprop_scalars(
    lr, alpha, eps, eps_in_sqrt, momentum, lr_in_velocity, weight_decay, decoupled, grad_scale, clip_value, step
):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    if momentum:
        raise ValueError(f"momentum: expected 0 without a momentum_buffer, got {momentum!r}")
    eps_in = eps if eps_in_sqrt else 0.0
    eps_out = 0.0 if eps_in_sqrt else eps
    return grad_scale, clip_value, decay, keep, 1.0 - alpha, eps_in, eps_out, lr


def rmsprop(n, p, g, s, scale, limit, decay, keep, a, eps_in, eps_out, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        p[i] = keep * p[i] - lr * grad / (sqrt(s[i] + eps_in) + eps_out)


def rmsprop_centered(n, p, g, s, m, scale, limit, decay, keep, a, eps_in, eps_out, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        m[i] += a * (grad - m[i])
        # Rounding can make the variance slightly negative.
        p[i] = keep * p[i] - lr * grad / (sqrt(nonnegative(s[i] - m[i] * m[i]) + eps_in) + eps_out)


def rmsprop_momentum_scalars(
    lr, alpha, eps, eps_in_sqrt, momentum, lr_in_velocity, weight_decay, decoupled, grad_scale, clip_value, step
):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    eps_in = eps if eps_in_sqrt else 0.0
    eps_out = 0.0 if eps_in_sqrt else eps
    inside = lr if lr_in_velocity else 1.0
    outside = 1.0 if lr_in_velocity else lr
    return grad_scale, clip_value, decay, keep, 1.0 - alpha, eps_in, eps_out, momentum, inside, outside


def rmsprop_momentum(n, p, g, s, b, scale, limit, decay, keep, a, eps_in, eps_out, mu, k, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        b[i] = mu * b[i] + k * grad / (sqrt(s[i] + eps_in) + eps_out)
        p[i] = keep * p[i] - lr * b[i]


def rmsprop_centered_momentum(n, p, g, s, m, b, scale, limit, decay, keep, a, eps_in, eps_out, mu, k, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        m[i] += a * (grad - m[i])
        b[i] = mu * b[i] + k * grad / (sqrt(nonnegative(s[i] - m[i] * m[i]) + eps_in) + eps_out)
        p[i] = keep * p[i] - lr * b[i]


def adam_scalars(lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value, step):
    # With c = sqrt(1 - beta2**t), the update lr * m_hat / (sqrt(v_hat) + eps) is
    # lr * c / (1 - beta1**t) * m / (sqrt(v) + eps * c): the corrections go into the rate and epsilon.
    correction = sqrt(1.0 - beta2**step)
    rate = lr * correction / (1.0 - beta1**step)
    epsilon = eps if eps_hat else eps * correction
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    return grad_scale, clip_value, decay, keep, 1.0 - beta1, 1.0 - beta2, rate, epsilon


def adam(n, p, g, m, v, scale, limit, decay, keep, a1, a2, lr, eps):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        p[i] = keep * p[i] - lr * m[i] / (sqrt(v[i]) + eps)


def amsgrad(n, p, g, m, v, v_max, scale, limit, decay, keep, a1, a2, lr, eps):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        v_max[i] = maximum(v_max[i], v[i])
        p[i] = keep * p[i] - lr * m[i] / (sqrt(v_max[i]) + eps)


def adam_cautious(n, p, g, m, v, scale, limit, decay, keep, a1, a2, lr, eps):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        move = lr * m[i] / (sqrt(v[i]) + eps)
        p[i] = where(move * p[i] < 0, p[i], keep * p[i]) - move


def lion_scalars(lr, beta1, beta2, weight_decay, grad_scale, clip_value, step):
    return grad_scale, clip_value, 0.0, 1.0 - lr * weight_decay, beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr


def lion(n, p, g, m, scale, limit, decay, keep, b1, a1, b2, a2, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        p[i] = keep * p[i] - lr * sign(b1 * m[i] + a1 * grad)
        m[i] = b2 * m[i] + a2 * grad


def lion_cautious(n, p, g, m, scale, limit, decay, keep, b1, a1, b2, a2, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        move = lr * sign(b1 * m[i] + a1 * grad)
        p[i] = where(move * p[i] < 0, p[i], keep * p[i]) - move
        m[i] = b2 * m[i] + a2 * grad


def adamax_scalars(lr, beta1, beta2, eps, eps_outside, weight_decay, decoupled, grad_scale, clip_value, step):
    rate = lr / (1.0 - beta1**step)
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    eps_in = 0.0 if eps_outside else eps
    eps_out = eps if eps_outside else 0.0
    return grad_scale, clip_value, decay, keep, 1.0 - beta1, beta2, rate, eps_in, eps_out


def adamax(n, p, g, m, u, scale, limit, decay, keep, a1, b2, lr, eps_in, eps_out):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        u[i] = maximum(b2 * u[i], maximum(-grad, grad) + eps_in)
        p[i] = keep * p[i] - lr * m[i] / (u[i] + eps_out)


def nadam_scalars(lr, beta1, beta2, eps, momentum_decay, weight_decay, decoupled, grad_scale, clip_value, step):
    # The product of the momenta of all steps so far, until it is 0 beside the 1 that it is subtracted from.
    shrink = 0.96**momentum_decay
    product = 0.0 if beta1**step < 1e-17 else 1.0
    power = 1.0
    k = 0.0
    while k < step and product >= 1e-17:
        k += 1.0
        power *= shrink
        product *= beta1 * (1.0 - 0.5 * power)
    mu = beta1 * (1.0 - 0.5 * shrink**step)
    mu_next = beta1 * (1.0 - 0.5 * shrink ** (step + 1))
    # As in `adam_scalars`, the correction of the second moment goes into the rates and epsilon.
    correction = sqrt(1.0 - beta2**step)
    of_grad = lr * correction * (1.0 - mu) / (1.0 - product)
    of_average = lr * correction * mu_next / (1.0 - product * mu_next)
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    return grad_scale, clip_value, decay, keep, 1.0 - beta1, 1.0 - beta2, of_average, of_grad, eps * correction


def nadam(n, p, g, m, v, scale, limit, decay, keep, a1, a2, c1, c2, eps):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        p[i] = keep * p[i] - (c1 * m[i] + c2 * grad) / (sqrt(v[i]) + eps)


def radam_scalars(lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value, step):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    rate = lr / (1.0 - beta1**step)
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * beta2**step / (1.0 - beta2**step)
    if length <= 5.0:  # the variance cannot be told yet: the denominator is 1
        return grad_scale, clip_value, decay, keep, 1.0 - beta1, 1.0 - beta2, rate, 0.0, 1.0
    correction = sqrt(1.0 - beta2**step)
    shares = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
    rate *= correction * sqrt(shares)
    epsilon = eps if eps_hat else eps * correction
    return grad_scale, clip_value, decay, keep, 1.0 - beta1, 1.0 - beta2, rate, 1.0, epsilon


def radam(n, p, g, m, v, scale, limit, decay, keep, a1, a2, lr, w, eps):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        p[i] = keep * p[i] - lr * m[i] / (w * sqrt(v[i]) + eps)


def adadelta_scalars(lr, rho, eps, weight_decay, decoupled, grad_scale, clip_value, step):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    return grad_scale, clip_value, decay, keep, 1.0 - rho, eps, lr


def adadelta(n, p, g, s, d, scale, limit, decay, keep, a, eps, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        delta = sqrt(d[i] + eps) / sqrt(s[i] + eps) * grad
        d[i] += a * (delta * delta - d[i])
        p[i] = keep * p[i] - lr * delta


def ademamix_scalars(
    lr,
    beta1,
    beta2,
    beta3,
    mixing,
    mixing_warmup,
    beta3_warmup,
    eps,
    weight_decay,
    decoupled,
    grad_scale,
    clip_value,
    step,
):
    slow = beta3
    if step < beta3_warmup and beta3 > 0.0:
        # 1 / log(beta), about the number of steps that a gradient counts, goes in a straight line from beta1 to beta3.
        done = step / beta3_warmup
        first = (1.0 - done) / log(beta1) if beta1 > 0.0 else 0.0
        slow = exp(1.0 / (first + done / log(beta3)))
        slow = beta3 if slow > beta3 else slow
    weight = mixing * step / mixing_warmup if step < mixing_warmup else mixing
    # As in `adam_scalars`, the corrections go into the rates and epsilon.
    correction = sqrt(1.0 - beta2**step)
    rate = lr * correction / (1.0 - beta1**step)
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    a1, a2, a3 = 1.0 - beta1, 1.0 - beta2, 1.0 - slow
    return grad_scale, clip_value, decay, keep, a1, a2, a3, rate, lr * correction * weight, eps * correction


def ademamix(n, p, g, m, w, v, scale, limit, decay, keep, a1, a2, a3, c1, c2, eps):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        w[i] += a3 * (grad - w[i])
        v[i] += a2 * (grad * grad - v[i])
        p[i] = keep * p[i] - (c1 * m[i] + c2 * w[i]) / (sqrt(v[i]) + eps)


def adopt_scalars(lr, beta1, beta2, eps, clipped, weight_decay, decoupled, grad_scale, clip_value, step):
    decay = 0.0 if decoupled else weight_decay
    keep = 1.0 - lr * weight_decay if decoupled else 1.0
    if step == 1:  # the first gradient is where the second moment begins, and moves nothing
        return grad_scale, clip_value, decay, 1.0, 0.0, 1.0, eps, 0.0, 0.0
    most = (step - 1.0) ** 0.25 if clipped else 1e300 * 1e300
    return grad_scale, clip_value, decay, keep, 1.0 - beta1, 1.0 - beta2, eps, most, lr


def adopt(n, p, g, m, v, scale, limit, decay, keep, a1, a2, eps, most, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (clip(grad / maximum(sqrt(v[i]), eps), most) - m[i])
        v[i] += a2 * (grad * grad - v[i])
        p[i] = keep * p[i] - lr * m[i]


def _power_sum(n, s):
    # 1**s + 2**s + ... + n**s, s >= 0: sixteen terms, and the rest by the formula of Euler and Maclaurin.
    total = 0.0
    k = 0.0
    while k < n and k < 16.0:
        k += 1.0
        total += k**s
    if n > 16.0:
        total += (n ** (s + 1.0) - 16.0 ** (s + 1.0)) / (s + 1.0) + (n**s - 16.0**s) / 2.0
        slope = s / 12.0
        total += slope * (n ** (s - 1.0) - 16.0 ** (s - 1.0))
        slope *= -(s - 1.0) * (s - 2.0) / 60.0
        total += slope * (n ** (s - 3.0) - 16.0 ** (s - 3.0))
        slope *= -(s - 3.0) * (s - 4.0) / 42.0
        total += slope * (n ** (s - 5.0) - 16.0 ** (s - 5.0))
    return total


def _mean_share(step, warmup_steps, r, power):
    # The share of the newest point in a mean of all, weighted by step**r * min(1, step / warmup_steps)**power.
    if step <= warmup_steps:
        return step ** (r + power) / _power_sum(step, r + power)
    total = _power_sum(step, r)
    if warmup_steps > 0:
        total += _power_sum(warmup_steps, r + power) / warmup_steps**power - _power_sum(warmup_steps, r)
    return step**r / total


def schedule_free_sgd_scalars(
    lr, momentum, warmup_steps, r, weight_lr_power, weight_decay, grad_scale, clip_value, step
):
    if not momentum:
        raise ValueError(f"momentum: expected a number > 0, got {momentum!r}")
    rate = lr * step / warmup_steps if step < warmup_steps else lr
    average = _mean_share(step, warmup_steps, r, weight_lr_power)
    return grad_scale, clip_value, weight_decay, average, rate * (1.0 - momentum * (1.0 - average)), rate


def schedule_free_sgd(n, p, g, z, scale, limit, decay, k, share, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        p[i] += k * (z[i] - p[i]) - share * grad
        z[i] -= lr * grad


def schedule_free_adamw_scalars(
    lr, beta1, beta2, warmup_steps, r, weight_lr_power, eps, weight_decay, grad_scale, clip_value, step
):
    if not beta1:
        raise ValueError(f"beta1: expected a number > 0, got {beta1!r}")
    rate = lr * step / warmup_steps if step < warmup_steps else lr
    average = _mean_share(step, warmup_steps, r, weight_lr_power)
    correction = sqrt(1.0 - beta2**step)
    share = rate * (1.0 - beta1 * (1.0 - average))
    return grad_scale, clip_value, weight_decay, average, 1.0 - beta2, correction, eps * correction, share, rate


def schedule_free_adamw(n, p, g, v, z, scale, limit, decay, k, a2, r, eps, share, lr):
    for i in range(n):
        grad = clip(scale * g[i], limit)
        v[i] += a2 * (grad * grad - v[i])
        move = r * grad / (sqrt(v[i]) + eps) + decay * p[i]
        p[i] += k * (z[i] - p[i]) - share * move
        z[i] -= lr * move


def muon_scalars(
    lr,
    momentum,
    nesterov,
    ns_coefficient1,
    ns_coefficient2,
    ns_coefficient3,
    ns_steps,
    ns_eps,
    match_rms,
    weight_decay,
    grad_scale,
    clip_value,
    step,
):
    return grad_scale, clip_value, 1.0 - lr * weight_decay, 1.0 - momentum, lr


def muon(n, p, g, b, u, scale, limit, keep, a, lr):
    for i in range(n):
        b[i] += a * (clip(scale * g[i], limit) - b[i])
        p[i] = keep * p[i] - lr * u[i]  # u comes from the new b: fastopt/kernels/_layerwise.py


def rprop_scalars(eta_minus, eta_plus, step_size_min, step_size_max, grad_scale, clip_value, step):
    if step_size_min > step_size_max:
        raise ValueError(f"step_size_min: expected at most step_size_max, got {step_size_min!r} > {step_size_max!r}")
    # Of a gradient the sign alone counts: an infinite one, which times 0 is NaN, is cut to 1e38.
    return grad_scale, clip_value, 0.0, 1.0, 1.0, eta_minus, eta_plus, step_size_min, step_size_max, 1e38


def rprop(n, p, g, q, w, scale, limit, decay, keep, one, minus, plus, least, most, large):
    for i in range(n):
        grad = clip(clip(scale * g[i], limit) + decay * p[i], large)
        turn = grad * sign(q[i])
        zero = turn - turn  # NaN, if one of the two is
        size = w[i] * where(turn > 0, plus, where(turn < 0, minus, one + zero))
        # `maximum` would do for the bounds, too, but GCC 12 does not vectorize a loop with all of this and `maximum`.
        size = where(size < least, least, size)
        w[i] = where(size > most, most, size)
        q[i] = where(turn < 0, zero, grad + zero)
        p[i] = keep * p[i] - sign(q[i]) * w[i]
