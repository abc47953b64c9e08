"""The optimizers of ``optax.contrib`` by name; see `fastopt.compat.optax`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastopt._checks import boolean, integer
from fastopt._groups import is_grouped
from fastopt._trees import Tree, named, taken_once
from fastopt.compat._arguments import expect, number, refuse, split, two_averages
from fastopt.compat.optax._masks import Mask, choices, masked
from fastopt.kernels.rules import CHECKS
from fastopt.optimizers import ADOPT, AdEMAMix, Muon, Schedule, ScheduleFreeAdamW, ScheduleFreeSGD

__all__ = ["ademamix", "adopt", "muon", "schedule_free_adamw", "schedule_free_sgd"]

Number = float | Schedule


# optax.contrib's other functions, and why they are not here.
_REFUSED = {
    "differentially_private_aggregate": "fastopt adds no noise to gradients",
    "dpsgd": "fastopt adds no noise to gradients",
    "reduce_on_plateau": "fastopt.schedules.ReduceOnPlateau is a learning_rate",
    "schedule_free": "fastopt has it for two rules, schedule_free_sgd and schedule_free_adamw",
    "schedule_free_eval_params": "opt.eval() and opt.averaged() put these parameters in place",
} | dict.fromkeys(
    [
        *("acprop", "cocob", "dadapt_adamw", "dog", "dowg", "galore", "madgrad", "mechanize", "momo", "momo_adam"),
        *("prodigy", "sam", "simplified_ademamix", "sophia"),
    ],
    "fastopt has no such rule",
)


def __getattr__(name: str) -> Any:
    """Say why an optimizer of optax.contrib is missing."""
    refuse(__name__, __all__, _REFUSED, name)


def ademamix(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    b3: Number = 0.9999,
    alpha: Number = 5.0,
    eps: Number = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: None = None,
    weight_decay: Number = 0.0,
    mask: Mask = None,
) -> AdEMAMix:
    """AdEMAMix: Adam with a second, slow average of the gradient, for trainings of very many steps.

    The formula is in `fastopt.kernels.ademamix`; weight decay is decoupled.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    b1, b2, b3 : float or schedule
        Shares of the fast average, of the squares and of the slow average that are kept, in [0, 1).
    alpha : float or schedule
        Weight of the slow average, finite, >= 0.
    eps : float or schedule
        Finite, >= 0.
    eps_root : float
        0: fastopt's AdEMAMix adds no epsilon under the root.
    mu_dtype : None
        The averages have the dtype of their parameter.
    weight_decay, mask
        As in `fastopt.compat.optax.adamw`.

    Returns
    -------
    AdEMAMix
        A `fastopt.AdEMAMix`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.contrib.ademamix``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat.optax import contrib
    >>> weights = np.array([1.0, -2.0])
    >>> contrib.ademamix(weights, learning_rate=0.1).step(2 * weights)
    >>> weights.round(3)
    array([ 0.9, -1.9])
    """
    expect("eps_root", eps_root, 0.0, "fastopt's AdEMAMix adds epsilon outside the root")
    expect("mu_dtype", mu_dtype, None, "the averages have the dtype of their parameter")
    settings = two_averages(learning_rate, b1=b1, b2=b2, eps=eps)
    settings["betas"] += (number("beta3", "b3", b3),)
    settings["mixing"] = number("mixing", "alpha", alpha)
    decay = number("weight_decay", "weight_decay", weight_decay)
    return masked(AdEMAMix, params, mask, weight_decay=decay, decoupled=True, **settings)


def adopt(
    params: Any,
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.9999,
    eps: Number = 1e-6,
    mu_dtype: None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: None = None,
) -> ADOPT:
    """ADOPT: Adam that divides by the second moment of the steps before, so that it converges with any `b2`.

    The first step moves nothing. The formula is in `fastopt.kernels.adopt`.

    Parameters
    ----------
    params, learning_rate, mu_dtype
        As in `ademamix`.
    b1, b2 : float or schedule
        Shares of the averages that are kept, in [0, 1).
    eps : float or schedule
        Smallest root that a gradient is divided by, finite, >= 0.
    nesterov : bool
        False: fastopt's ADOPT has no Nesterov momentum.
    use_clipping : bool
        Whether to bound the quotient by the fourth root of the number of steps done.
    clip_value_fn : None
        optax's default; fastopt's ADOPT has no other bound than the fourth root.

    Returns
    -------
    ADOPT
        A `fastopt.ADOPT`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.contrib.adopt``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat.optax import contrib
    >>> weights = np.array([1.0, -2.0])
    >>> opt = contrib.adopt(weights, learning_rate=0.1)
    >>> for _ in range(3):
    ...     opt.step(2 * weights)
    >>> weights.round(3)
    array([ 0.971, -1.971])
    """
    expect("mu_dtype", mu_dtype, None, "the averages have the dtype of their parameter")
    expect("nesterov", boolean("nesterov", nesterov), False, "fastopt's ADOPT has no Nesterov momentum")
    expect("clip_value_fn", clip_value_fn, None, "fastopt's ADOPT clips by the fourth root of the number of steps")
    settings = two_averages(learning_rate, b1=b1, b2=b2, eps=eps)
    return ADOPT(params, clipped=boolean("use_clipping", use_clipping), **settings)


@dataclass(frozen=True)
class _Corrected:
    """The momentum with which fastopt's look ahead is optax's, whose average and gradient are bias-corrected apart."""

    beta: float

    def __call__(self, step: int) -> float:
        return self.beta * (1 - self.beta ** (step + 1)) / (1 - self.beta ** (step + 2))


def muon(
    params: Any,
    learning_rate: Number,
    ns_coeffs: tuple[float, float, float] | str = (3.4445, -4.775, 2.0315),
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    weight_decay: Number = 0.0,
    weight_decay_mask: Mask = None,
    mu_dtype: None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    adam_b1: Number = 0.9,
    adam_b2: Number = 0.999,
    adam_eps_root: float = 0.0,
    adam_weight_decay: Number = 0.0,
    adam_learning_rate: Number | None = None,
    muon_weight_dimension_numbers: None = None,
    consistent_rms: float | None = None,
) -> Muon:
    """Muon for matrices: momentum whose singular values are all brought near 1; AdamW for everything else.

    Two of optax's defaults cannot be followed: `consistent_rms` has to be 0.2, and `nesterov` False unless all
    parameters are matrices. optax adds `eps` to the norm that it divides a matrix by, which is here the smallest norm:
    updates differ by `eps` over the norm of the momentum, and not at all where it is 0.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, updated in place. Arrays of two axes are matrices, in groups those without
        ``"adamw": True``.
    learning_rate : float or schedule
        Learning rate, finite, >= 0, or a callable of the number of steps done.
    ns_coeffs : three of float, or "standard"
        Coefficients of the Newton-Schulz steps, the same for all.
    ns_steps : int
        Number of Newton-Schulz steps, at least 0.
    beta : float
        Share of the momentum that is kept, in [0, 1).
    eps : float
        Smallest norm of a matrix, and AdamW's epsilon; finite, >= 0.
    weight_decay, adam_weight_decay : float or schedule
        Decoupled weight decay of the matrices, and of the rest.
    weight_decay_mask : tree of bool, or callable, optional
        Which of the matrices decay; as `mask` in `fastopt.compat.optax.adamw`.
    mu_dtype : None
        The averages have the dtype of their parameter.
    nesterov : bool
        Look ahead along the momentum, of matrices alone: fastopt's AdamW has no Nesterov momentum. The momentum of the
        optimizer is a schedule then, by which the bias is corrected as in optax.
    adaptive : bool
        False: fastopt's Muon does not scale by the dual norm.
    preconditioning : str
        "frobenius": fastopt's Muon divides by no other norm.
    adam_b1, adam_b2 : float or schedule
        AdamW's shares of the moments that are kept, in [0, 1).
    adam_eps_root : float
        0: fastopt's AdamW adds no epsilon under the root.
    adam_learning_rate : float or schedule, optional
        AdamW's learning rate, by default `learning_rate`; setting ``opt.lr`` sets both.
    muon_weight_dimension_numbers : None
        Arrays of two axes are matrices; a group with ``"adamw": True`` is AdamW's.
    consistent_rms : float
        0.2. The default of optax, None, scales by the root of columns over rows, fastopt's Muon as PyTorch by that of
        rows over columns.

    Returns
    -------
    Muon
        A `fastopt.Muon`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.contrib.muon``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat.optax import contrib
    >>> params = {"weight": np.eye(2), "bias": np.zeros(2)}
    >>> opt = contrib.muon(params, 0.1, nesterov=False, consistent_rms=0.2)
    >>> opt.step({"weight": np.diag([2.0, 1.0]), "bias": np.ones(2)})
    >>> params["weight"].round(2), params["bias"].round(2)
    (array([[0.98, 0.  ],
           [0.  , 0.97]]), array([-0.1, -0.1]))
    """
    expect("mu_dtype", mu_dtype, None, "the averages have the dtype of their parameter")
    expect("adaptive", boolean("adaptive", adaptive), False, "fastopt's Muon does not scale by the dual norm")
    expect("preconditioning", preconditioning, "frobenius", "fastopt's Muon divides by no other norm")
    expect("adam_eps_root", adam_eps_root, 0.0, "fastopt's AdamW adds epsilon outside the root")
    dimensions = muon_weight_dimension_numbers
    expect("muon_weight_dimension_numbers", dimensions, None, "fastopt's Muon takes arrays of two axes as matrices")
    expect("consistent_rms", consistent_rms, 0.2, "fastopt's Muon scales by it, or by sqrt(max(1, rows / columns))")
    standard = (3.4445, -4.775, 2.0315)
    coefficients = standard if isinstance(ns_coeffs, str) and ns_coeffs == "standard" else ns_coeffs
    if isinstance(coefficients, str) or np.shape(coefficients) != (3,):
        raise ValueError(f"ns_coeffs: expected three numbers, since fastopt's steps are alike, got {ns_coeffs!r}")
    share = CHECKS["beta1"]("beta", beta)
    settings = two_averages(learning_rate, adam_b1=adam_b1, adam_b2=adam_b2, eps=eps)
    of_adamw = {"adamw": True, "weight_decay": number("weight_decay", "adam_weight_decay", adam_weight_decay)}
    if adam_learning_rate is not None:
        of_adamw["lr"] = number("lr", "adam_learning_rate", adam_learning_rate)
    params = taken_once(params)
    if is_grouped(params):
        expect("weight_decay_mask", weight_decay_mask, None, "groups have a weight_decay of their own")
        groups = [{**of_adamw, **group} if group.get("adamw") else group for group in params]
    else:
        leaves = named(Tree(params, "params"), "params")
        decays = [True] * len(leaves) if weight_decay_mask is None else choices(params, weight_decay_mask)
        kinds = [2 if np.ndim(leaf) != 2 else not own for leaf, own in zip(leaves.values(), decays, strict=True)]
        groups = split(leaves, kinds, [{}, {"weight_decay": 0.0}, of_adamw])
    if boolean("nesterov", nesterov) and any(group.get("adamw") for group in groups):
        expect("nesterov", True, False, "fastopt's AdamW, for all that is no matrix, has no Nesterov momentum")
    opt = Muon(
        groups,
        weight_decay=number("weight_decay", "weight_decay", weight_decay),
        momentum=_Corrected(float(share)) if nesterov else share,
        nesterov=nesterov,
        ns_coefficients=coefficients,
        ns_steps=ns_steps,
        ns_eps=CHECKS["ns_eps"]("eps", eps),
        **settings,
    )
    opt.params, opt._split = params, not is_grouped(params)
    return opt


@dataclass(frozen=True)
class _Warmup:
    """The rate whose share in the warm-up is optax's, which is a step behind fastopt's."""

    rate: float
    steps: int

    def __call__(self, step: int) -> float:
        return self.rate * min(step, self.steps) / min(step + 1, self.steps)


def _warmed_up(learning_rate: Any, warmup_steps: int | None) -> dict[str, Any]:
    """Return rate and warm-up of a Schedule-Free rule."""
    if callable(learning_rate):
        raise TypeError(
            "learning_rate: expected a number, since the weights of fastopt's mean follow the warm-up alone, "
            f"got {learning_rate!r}"
        )
    rate = float(CHECKS["lr"]("learning_rate", learning_rate))
    if warmup_steps is None:
        return {"lr": rate}
    steps = integer(1)("warmup_steps", warmup_steps)
    return {"lr": _Warmup(rate, steps), "warmup_steps": steps}


_NO_DTYPE = "the point that descends has the dtype of its parameter"


def schedule_free_sgd(
    params: Any,
    learning_rate: float = 1.0,
    warmup_steps: int | None = None,
    b1: Number = 0.9,
    weight_decay: Number | None = None,
    weight_lr_power: float = 2.0,
    state_dtype: None = None,
) -> ScheduleFreeSGD:
    """Schedule-Free SGD: gradient descent with an average in the place of a falling rate.

    Between steps the parameters are where gradients are taken. ``opt.eval()`` puts what is
    ``schedule_free_eval_params`` in optax into their place, ``opt.train()`` puts them back; ``with opt.averaged():``
    does both.

    Parameters
    ----------
    params : array, tree of arrays, or list of groups
        float32 or float64, any shape, updated in place.
    learning_rate : float
        Learning rate, finite, >= 0. A schedule, which in optax the weights of the mean would follow, is refused.
    warmup_steps : int, optional
        Steps in which the rate grows from zero, at least 1. As in optax the first of them has rate zero, and the mean's
        weights are a step ahead.
    b1 : float or schedule
        Where gradients are taken between the point that descends and the mean, in (0, 1].
    weight_decay : float or schedule, optional
        L2 penalty in the gradient, finite, >= 0.
    weight_lr_power : float
        Exponent of the growing rate in the weights of the mean, in [0, 5].
    state_dtype : None
        The point that descends has the dtype of its parameter.

    Returns
    -------
    ScheduleFreeSGD
        A `fastopt.ScheduleFreeSGD`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.contrib.schedule_free_sgd``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat.optax import contrib
    >>> weights = np.array([1.0, -2.0])
    >>> opt = contrib.schedule_free_sgd(weights, learning_rate=0.1)
    >>> for _ in range(3):
    ...     opt.step(2 * weights)
    >>> with opt.averaged():
    ...     print(weights.round(4))
    [ 0.6459 -1.2917]
    """
    expect("state_dtype", state_dtype, None, _NO_DTYPE)
    return ScheduleFreeSGD(
        params,
        **_warmed_up(learning_rate, warmup_steps),
        momentum=number("momentum", "b1", b1, positive=True),
        weight_decay=0.0 if weight_decay is None else number("weight_decay", "weight_decay", weight_decay),
        weight_lr_power=weight_lr_power,
    )


def schedule_free_adamw(
    params: Any,
    learning_rate: float = 0.0025,
    warmup_steps: int | None = None,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    weight_lr_power: float = 2.0,
    state_dtype: None = None,
) -> ScheduleFreeAdamW:
    """Schedule-Free AdamW: an average in the place of momentum and of a falling rate.

    Parameters
    ----------
    params, learning_rate, warmup_steps, weight_lr_power, state_dtype
        As in `schedule_free_sgd`, and so is the evaluation.
    b1 : float or schedule
        Where gradients are taken between the point that descends and the mean, in (0, 1).
    b2 : float or schedule
        Share of the second moment that is kept, in [0, 1).
    eps : float or schedule
        Finite, >= 0.
    weight_decay : float or schedule
        Share of a parameter that goes at rate 1, finite, >= 0; it does not enter the moment.

    Returns
    -------
    ScheduleFreeAdamW
        A `fastopt.ScheduleFreeAdamW`.

    Raises
    ------
    TypeError, ValueError
        A parameter or argument does not fit; the message names it.

    References
    ----------
    ``optax.contrib.schedule_free_adamw``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastopt.compat.optax import contrib
    >>> weights = np.array([1.0, -2.0])
    >>> opt = contrib.schedule_free_adamw(weights, learning_rate=0.1)
    >>> opt.step(2 * weights)
    >>> opt.eval()
    >>> weights.round(4)
    array([ 0.9, -1.9])
    """
    expect("state_dtype", state_dtype, None, _NO_DTYPE)
    inner = number("beta1", "b1", b1, positive=True)
    rate = _warmed_up(learning_rate, warmup_steps)
    return ScheduleFreeAdamW(
        params,
        **two_averages(rate["lr"], b1=inner, b2=b2, eps=eps) | rate,
        weight_decay=number("weight_decay", "weight_decay", weight_decay),
        weight_lr_power=weight_lr_power,
    )
