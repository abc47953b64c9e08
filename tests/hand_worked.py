"""Updates worked out by hand: rule, arrays, options, and the arrays afterwards."""

# Every number below follows from the formula in the comment by mental arithmetic.
HAND_WORKED = [
    # 3 - 0.5 * 4
    ("sgd", {"param": 3, "grad": 4}, {"lr": 0.5}, {"param": 1}),
    # g = 2 * 4 + 0.5 * 6 = 11; 6 - 0.1 * 11
    (
        "sgd",
        {"param": 6, "grad": 4},
        {"lr": 0.1, "grad_scale": 2, "weight_decay": 0.5},
        {"param": 4.9},
    ),
    # b = 0.5 * 4 + 3 = 5; 1 - 0.1 * 5
    (
        "momentum",
        {"param": 1, "grad": 3, "momentum_buffer": 4},
        {"lr": 0.1, "momentum": 0.5},
        {"param": 0.5, "momentum_buffer": 5},
    ),
    # b = 0.5 * 4 + 0.75 * 4 = 5; 1 - 0.1 * 5
    (
        "momentum",
        {"param": 1, "grad": 4, "momentum_buffer": 4},
        {"lr": 0.1, "momentum": 0.5, "dampening": 0.25},
        {"param": 0.5, "momentum_buffer": 5},
    ),
    # b = 5; 1 - 0.1 * (3 + 0.5 * 5)
    (
        "momentum",
        {"param": 1, "grad": 3, "momentum_buffer": 4},
        {"lr": 0.1, "momentum": 0.5, "nesterov": True},
        {"param": 0.45, "momentum_buffer": 5},
    ),
    # b = g whatever the buffer and the dampening; 1 - 0.1 * 3
    (
        "momentum",
        {"param": 1, "grad": 3, "momentum_buffer": 4},
        {"lr": 0.1, "momentum": 0.5, "dampening": 0.25, "first_step": True},
        {"param": 0.7, "momentum_buffer": 3},
    ),
    # u = 0.5 * 4 - 0.1 * 10 = 1; 1 + 1
    (
        "momentum",
        {"param": 1, "grad": 10, "momentum_buffer": 4},
        {"lr": 0.1, "momentum": 0.5, "lr_in_velocity": True},
        {"param": 2, "momentum_buffer": 1},
    ),
    # u = 1; 1 + 0.5 * 1 - 0.1 * 10
    (
        "momentum",
        {"param": 1, "grad": 10, "momentum_buffer": 4},
        {"lr": 0.1, "momentum": 0.5, "lr_in_velocity": True, "nesterov": True},
        {"param": 0.5, "momentum_buffer": 1},
    ),
    # s = 9 + 16 = 25; 1 - 0.1 * 4 / (5 + 3)
    (
        "adagrad",
        {"param": 1, "grad": 4, "sum": 9},
        {"lr": 0.1, "eps": 3},
        {"param": 0.95, "sum": 25},
    ),
    # s = 17 + 16 = 33; 1 - 0.1 * 4 / sqrt(33 + 31)
    (
        "adagrad",
        {"param": 1, "grad": 4, "sum": 17},
        {"lr": 0.1, "eps": 31, "eps_in_sqrt": True},
        {"param": 0.95, "sum": 33},
    ),
    # s = 0.75 * 28 + 0.25 * 16 = 25; 1 - 0.1 * 4 / (5 + 3)
    (
        "rmsprop",
        {"param": 1, "grad": 4, "square_avg": 28},
        {"lr": 0.1, "alpha": 0.75, "eps": 3},
        {"param": 0.95, "square_avg": 25},
    ),
    # s = 25; 1 - 0.1 * 4 / sqrt(25 + 39)
    (
        "rmsprop",
        {"param": 1, "grad": 4, "square_avg": 28},
        {"lr": 0.1, "alpha": 0.75, "eps": 39, "eps_in_sqrt": True},
        {"param": 0.95, "square_avg": 25},
    ),
    # s = 25, a = 0.75 * 4 + 0.25 * 0 = 3, root = 4; g = 0: only the momentum moves
    (
        "rmsprop",
        {"param": 1, "grad": 0, "square_avg": 25 / 0.75, "grad_avg": 4, "momentum_buffer": 4},
        {"lr": 0.1, "alpha": 0.75, "eps": 0, "momentum": 0.5},
        {"param": 0.8, "square_avg": 25, "grad_avg": 3, "momentum_buffer": 2},
    ),
    # s = 0.5 * 48 + 0.5 * 4 = 26, a = 0.5 * 0 + 0.5 * 2 = 1, root = 5; b = 0.5 + 2 / 5
    (
        "rmsprop",
        {"param": 1, "grad": 2, "square_avg": 48, "grad_avg": 0, "momentum_buffer": 1},
        {"lr": 0.1, "alpha": 0.5, "eps": 0, "momentum": 0.5},
        {"param": 0.91, "square_avg": 26, "grad_avg": 1, "momentum_buffer": 0.9},
    ),
    # b = 0.5 * 1 + 0.1 * 2 / 5
    (
        "rmsprop",
        {"param": 1, "grad": 2, "square_avg": 48, "grad_avg": 0, "momentum_buffer": 1},
        {"lr": 0.1, "alpha": 0.5, "eps": 0, "momentum": 0.5, "lr_in_velocity": True},
        {"param": 0.46, "square_avg": 26, "grad_avg": 1, "momentum_buffer": 0.54},
    ),
    # m^ = 4, v^ = 16 at the first step, whatever the betas; 1 - 0.1 * 4 / (4 + 1)
    (
        "adam",
        {"param": 1, "grad": 4, "exp_avg": 0, "exp_avg_sq": 0},
        {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 1},
        {"param": 0.92, "exp_avg": 1, "exp_avg_sq": 4},
    ),
    # rate = 0.1 * 0.5 / 0.25 = 0.2; 1 - 0.2 * 1 / (2 + 3)
    (
        "adam",
        {"param": 1, "grad": 4, "exp_avg": 0, "exp_avg_sq": 0},
        {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 3, "eps_hat": True},
        {"param": 0.96, "exp_avg": 1, "exp_avg_sq": 4},
    ),
    # step 2, betas 0.5: corrections 0.75; m = 3, v = 12, m^ = 4, v^ = 16; 1 - 0.1 * 4 / (4 + 1)
    (
        "adam",
        {"param": 1, "grad": 4, "exp_avg": 2, "exp_avg_sq": 8},
        {"step": 2, "lr": 0.1, "beta1": 0.5, "beta2": 0.5, "eps": 1},
        {"param": 0.92, "exp_avg": 3, "exp_avg_sq": 12},
    ),
    # AMSGrad: the largest v so far is 27, v^ = 36; 1 - 0.1 * 4 / (6 + 2)
    (
        "adam",
        {"param": 1, "grad": 4, "exp_avg": 2, "exp_avg_sq": 8, "max_exp_avg_sq": 27},
        {"step": 2, "lr": 0.1, "beta1": 0.5, "beta2": 0.5, "eps": 2},
        {"param": 0.95, "exp_avg": 3, "exp_avg_sq": 12, "max_exp_avg_sq": 27},
    ),
    # L2: g = 2 + 0.5 * 4 = 4 goes through the moments; 4 - 0.1 * 4 / (4 + 1)
    (
        "adam",
        {"param": 4, "grad": 2, "exp_avg": 0, "exp_avg_sq": 0},
        {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 1, "weight_decay": 0.5},
        {"param": 3.92, "exp_avg": 1, "exp_avg_sq": 4},
    ),
    # decoupled: 4 * (1 - 0.1 * 0.5) = 3.8, the moments see g = 4 alone; 3.8 - 0.1 * 4 / (4 + 1)
    (
        "adamw",
        {"param": 4, "grad": 4, "exp_avg": 0, "exp_avg_sq": 0},
        {"step": 1, "lr": 0.1, "beta1": 0.75, "beta2": 0.75, "eps": 1, "weight_decay": 0.5},
        {"param": 3.72, "exp_avg": 1, "exp_avg_sq": 4},
    ),
]
