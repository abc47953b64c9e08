"""Layers, losses and initializers: values by hand and by loops, gradients by finite differences."""

import itertools
import math

import numpy as np
import pytest

import fastopt
from fastopt import nn

DTYPES = ["float32", "float64"]
BATCH, INPUTS, HIDDEN, OUTPUTS = 7, 4, 5, 3


def example(loss, batch=BATCH, outputs=OUTPUTS, seed=1):
    """Inputs and targets that suit the loss."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((batch, INPUTS))
    if isinstance(loss, nn.SoftmaxCrossEntropy):
        return X, rng.integers(0, outputs, batch)
    if isinstance(loss, nn.BinaryCrossEntropy):
        return X, rng.integers(0, 2, (batch, outputs)).astype(float)
    return X, rng.standard_normal((batch, outputs))


def numerical_gradient(net, X, y, eps=1e-6):
    """Central differences of the loss over every parameter, each with the same dropout masks."""
    state = net.rng.bit_generator.state
    slopes = np.empty_like(net.params)
    for i, value in enumerate(net.params.copy()):
        sides = []
        for sign in (1, -1):
            net.params[i] = value + sign * eps
            net.rng.bit_generator.state = state
            sides.append(net.loss_and_grad(X, y))
        net.params[i] = value
        slopes[i] = (sides[0] - sides[1]) / (2 * eps)
    net.rng.bit_generator.state = state
    return slopes


def assert_gradient_is_right(net, X, y):
    expected = numerical_gradient(net, X, y)
    net.grads[...] = np.nan  # written, not added to
    net.loss_and_grad(X, y)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(net.grads, expected, rtol=1e-6, atol=1e-8)


def dense(n_inputs, n_outputs, **settings):
    """A layer whose bias is not zero, where an L1 penalty has a kink."""
    return nn.Dense(n_inputs, n_outputs, bias_initializer=nn.Normal(0.5), **settings)


LOSSES = [
    nn.SoftmaxCrossEntropy(),
    nn.BinaryCrossEntropy(),
    nn.MeanSquaredError(),
    nn.MeanAbsoluteError(),
]
# Every pair of element-wise layers in a row: each writes into the memory of the one before unless
# that needs its output, and the last before the loss is followed by the loss's own overwriting.
ELEMENTWISE = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "dropout": lambda: nn.Dropout(0.4),
    "none": lambda: nn.Dropout(0.0),
}
PAIRS = list(itertools.product(ELEMENTWISE, repeat=2))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("batch", [1, 2, BATCH])
def test_gradient_of_every_loss(loss, batch):
    net = nn.Network([dense(INPUTS, HIDDEN), nn.Tanh(), dense(HIDDEN, OUTPUTS)], loss=loss, dtype="float64")
    assert_gradient_is_right(net, *example(loss, batch))


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_gradient_of_every_pair_of_layers(names):
    first, second = (ELEMENTWISE[name] for name in names)
    net = nn.Network(
        [dense(INPUTS, HIDDEN), first(), second(), dense(HIDDEN, OUTPUTS)],
        loss=nn.SoftmaxCrossEntropy(),
        dtype="float64",
    )
    assert_gradient_is_right(net, *example(net.loss))


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_gradient_when_no_dense_layer_follows(names, loss):
    first, second = (ELEMENTWISE[name] for name in names)
    net = nn.Network([dense(INPUTS, OUTPUTS), first(), second()], loss=loss, dtype="float64")
    assert_gradient_is_right(net, *example(loss))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradient_when_no_dense_layer_comes_before(name):
    net = nn.Network(
        [ELEMENTWISE[name](), nn.ReLU(), dense(INPUTS, OUTPUTS)],
        loss=nn.MeanSquaredError(),
        dtype="float64",
    )
    X, y = example(net.loss)
    before = X.copy()
    assert_gradient_is_right(net, X, y)
    net.predict(X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("penalty", ["weight_l1", "weight_l2", "bias_l1", "bias_l2"])
def test_gradient_of_every_penalty(penalty):
    net = nn.Network(
        [dense(INPUTS, HIDDEN, **{penalty: 0.3}), nn.Sigmoid(), dense(HIDDEN, OUTPUTS)],
        loss=nn.SoftmaxCrossEntropy(),
        dtype="float64",
    )
    assert_gradient_is_right(net, *example(net.loss))
    values = net.layers[0].weight if penalty.startswith("weight") else net.layers[0].bias
    power = 1 if penalty.endswith("l1") else 2
    expected = 0.3 * sum(abs(value) ** power for value in values.flat)
    assert net.penalty() == pytest.approx(expected, rel=1e-12)


def test_gradient_of_all_penalties_over_more_than_one_block():
    settings = {"weight_l1": 0.01, "weight_l2": 0.02, "bias_l1": 0.03, "bias_l2": 0.04}
    net = nn.Network([dense(INPUTS, 3000, **settings)], loss=nn.MeanSquaredError(), dtype="float64")
    X, y = example(net.loss, outputs=3000)
    net.loss_and_grad(X, y)
    layer = net.layers[0]
    with_penalties = net.grads.copy()
    layer.weight_l1 = layer.weight_l2 = layer.bias_l1 = layer.bias_l2 = 0.0
    net.loss_and_grad(X, y)
    expected = net.grads.copy()
    w, b = layer.weight, layer.bias
    expected[: w.size] += (0.01 * np.sign(w) + 0.04 * w).ravel()
    expected[w.size :] += 0.03 * np.sign(b) + 0.08 * b
    np.testing.assert_allclose(with_penalties, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_float32_gradients_agree_with_float64(dtype):
    nets = [
        nn.Network(
            [nn.Dense(INPUTS, 64, weight_l2=1e-3), nn.ReLU(), nn.Dropout(0.3), nn.Dense(64, 3)],
            loss=nn.SoftmaxCrossEntropy(),
            dtype=kind,
        )
        for kind in (dtype, "float64")
    ]
    X, y = example(nets[0].loss, 50)
    losses = [net.loss_and_grad(X, y) for net in nets]
    tolerance = 1e-6 if dtype == "float32" else 0
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)
    np.testing.assert_allclose(nets[0].grads, nets[1].grads, rtol=0, atol=tolerance)


# -- values ------------------------------------------------------------------------------------


def test_dense_layer_by_hand():
    net = nn.Network([nn.Dense(2, 2)], loss=nn.MeanSquaredError(), dtype="float64")
    net.layers[0].weight[...] = [[1, 2], [3, 4]]
    net.layers[0].bias[...] = [10, 20]
    np.testing.assert_array_equal(net.predict([[1, 1], [2, -1]]), [[14, 26], [9, 20]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU, lambda x: max(x, 0.0)),
        (nn.Tanh, math.tanh),
        (nn.Sigmoid, lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0),
    ],
)
def test_activations_over_their_range(layer, function, dtype):
    identity = nn.Dense(1, 1, initializer=nn.Constant(1))
    net = nn.Network([identity, layer()], loss=nn.MeanSquaredError(), dtype=dtype)
    x = np.array([-1000.0, -80.0, -20.0, -1.0, -0.0, 0.0, 0.5, 3.0, 80.0, 1000.0])
    expected = [[function(float(value))] for value in x]
    np.testing.assert_allclose(net.predict(x[:, None]), expected, rtol=2e-6, atol=1e-37)


@pytest.mark.parametrize("layer", [nn.ReLU, nn.Sigmoid, nn.Tanh])
def test_nan_is_not_hidden(layer):
    net = nn.Network([nn.Dense(1, 1), layer()], loss=nn.MeanSquaredError())
    assert np.isnan(net.predict([[np.nan]])).all()


@pytest.mark.parametrize("order", ["wide", "tall"])  # scores row after row, or column after column
def test_softmax_cross_entropy_by_loops(order):
    batch, classes = (3, 5) if order == "wide" else (50, 5)
    net = nn.Network(
        [dense(INPUTS, classes, initializer=nn.Normal(2.0))],
        loss=nn.SoftmaxCrossEntropy(),
        dtype="float64",
    )
    X, y = example(net.loss, batch, classes)
    scores = net.forward(X).copy()
    expected = 0.0
    probabilities = []
    for row, label in zip(scores.tolist(), y.tolist(), strict=True):
        exponentials = [math.exp(score) for score in row]
        probabilities.append([value / sum(exponentials) for value in exponentials])
        expected -= math.log(probabilities[-1][label]) / batch
    assert net.loss_and_grad(X, y) == pytest.approx(expected, rel=1e-12)
    assert net.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(net.predict(X), probabilities, rtol=1e-12)
    hits = [row.index(max(row)) == label for row, label in zip(probabilities, y, strict=True)]
    assert net.evaluate(X, y)["accuracy"] == sum(hits) / batch


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [nn.SoftmaxCrossEntropy(), nn.BinaryCrossEntropy()], ids=repr)
def test_cross_entropy_of_huge_scores_is_exact(loss, dtype):
    net = nn.Network([nn.Dense(1, 2)], loss=loss, dtype=dtype)
    net.layers[0].weight[...] = [[1e4, -1e4]]
    wrong, right = ([1], [0]) if isinstance(loss, nn.SoftmaxCrossEntropy) else ([[0, 1]], [[1, 0]])
    expected = 2e4 if isinstance(loss, nn.SoftmaxCrossEntropy) else 1e4
    assert net.loss_and_grad([[1.0]], wrong) == expected
    assert np.isfinite(net.grads).all()
    assert net.loss_and_grad([[1.0]], right) == 0
    assert not net.grads.any()


def test_binary_cross_entropy_by_loops():
    net = nn.Network([dense(INPUTS, 2)], loss=nn.BinaryCrossEntropy(), dtype="float64")
    X, y = example(net.loss, 9, 2)
    y[0] = 0.25  # a probability is a target too
    scores = net.forward(X).copy()
    p = [[1 / (1 + math.exp(-z)) for z in row] for row in scores]
    terms = [-(t * math.log(q) + (1 - t) * math.log(1 - q)) for q, t in zip(np.ravel(p), y.ravel(), strict=True)]
    result = net.evaluate(X, y)
    assert result["loss"] == pytest.approx(sum(terms) / len(terms), rel=1e-12)
    assert result["accuracy"] == np.mean((np.array(p) > 0.5) == (y > 0.5))
    np.testing.assert_allclose(net.predict(X), p, rtol=1e-12)


def test_regression_losses_and_accuracy_by_hand():
    X, y = [[0.0], [0.0]], np.array([1.0, -3.0])
    for loss, expected in ((nn.MeanSquaredError(), 5.0), (nn.MeanAbsoluteError(), 2.0)):
        metrics = {"accuracy": nn.RegressionAccuracy(1.5)}
        net = nn.Network([nn.Dense(1, 1)], loss=loss, metrics=metrics)
        assert net.evaluate(X, y) == {"loss": expected, "accuracy": 0.5}
        assert "accuracy" not in nn.Network([nn.Dense(1, 1)], loss=loss).evaluate(X, y)
    assert nn.RegressionAccuracy.of(y).precision == 2 / 250


def test_loss_of_the_best_constant_by_hand():
    third = math.log(3) / 3 + math.log(1.5) * 2 / 3  # entropy of shares 1/3 and 2/3
    labels = np.array([0, 0, 3, 3, 0, 0])
    for y in (labels, np.eye(4)[labels]):
        assert nn.SoftmaxCrossEntropy().constant(y) == pytest.approx(third)
    y = np.array([[0, 1], [1, 1], [0, 1]], "float32")
    assert nn.BinaryCrossEntropy().constant(y) == pytest.approx(third / 2)
    y = np.array([[0, 5], [0, 5], [3, 5]], "float32")
    assert nn.MeanSquaredError().constant(y) == pytest.approx((1 + 1 + 4) / 3 / 2)
    assert nn.MeanAbsoluteError().constant(y) == pytest.approx(3 / 3 / 2)
    assert nn.Loss().constant(y) == math.inf


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_no_constant_has_a_lower_loss(loss):
    """A layer that sees zeros alone is one: found by descent, it is as good as is said, and never better."""
    X, y = example(loss, batch=51)
    net = nn.Network([nn.Dense(INPUTS, OUTPUTS)], loss=loss, dtype="float64")
    opt = fastopt.SGD(net.params, lr=fastopt.schedules.InverseTimeDecay(3.0, 0.1))
    net.fit(0 * X, y, optimizer=opt, epochs=3000)
    constant = loss.constant(net.as_targets(y, len(y)))
    assert constant - 1e-12 <= net.evaluate(0 * X, y)["loss"] <= constant + 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_targets_far_from_zero_keep_their_variance(dtype):
    y = np.tile(np.array([[12344.75], [12346.75]], dtype), (100001, 1))
    assert nn.MeanSquaredError().constant(y) == 1.0


def test_one_hot_targets_are_labels():
    net = nn.Network([dense(INPUTS, 3)], loss=nn.SoftmaxCrossEntropy(), dtype="float64")
    X, y = example(net.loss)
    assert net.loss_and_grad(X, np.eye(3)[y]) == net.loss_and_grad(X, y.astype(np.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate, dtype):
    width = 300
    net = nn.Network(
        [nn.Dense(1, width, initializer=nn.Constant(1)), nn.Dropout(rate)],
        loss=nn.MeanSquaredError(),
        dtype=dtype,
    )
    y = net.forward(np.ones((1000, 1)), training=True)
    kept = y != 0
    n = kept.size
    assert abs(kept.mean() - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / n)
    rounding = 0 if rate == 0.5 else 2**-17 / (1 - rate)  # the rate counts in steps of 2^-16
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=rounding * 1.01 + 1e-6)
    # Neither rows, columns nor neighbours know of each other.
    for axis in (0, 1):
        spread = kept.mean(axis=axis).std()
        assert spread == pytest.approx(math.sqrt(rate * (1 - rate) / kept.shape[axis]), rel=0.2)
    neighbours = (kept[:, 1:] & kept[:, :-1]).mean()
    assert neighbours == pytest.approx((1 - rate) ** 2, abs=0.01)
    assert not np.array_equal(kept, net.forward(np.ones((1000, 1)), training=True) != 0)
    np.testing.assert_array_equal(net.predict(np.ones((3, 1))), np.ones((3, width)))


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        (nn.He(), math.sqrt(2 / 300)),
        (nn.He("uniform"), math.sqrt(2 / 300)),
        (nn.LeCun(), math.sqrt(1 / 300)),
        (nn.Glorot(), math.sqrt(2 / 500)),
        (nn.Glorot("normal"), math.sqrt(2 / 500)),
        (nn.Normal(), 0.01),
        (nn.Uniform(0.3), 0.3 / math.sqrt(3)),
        (nn.Zeros(), 0.0),
        (nn.Constant(0.5), 0.0),
    ],
    ids=repr,
)
def test_initializers_have_their_mean_and_spread(initializer, std):
    array = np.empty((300, 200), np.float32)
    initializer(array, np.random.default_rng(0))
    mean = 0.5 if isinstance(initializer, nn.Constant) else 0.0
    assert array.mean() == pytest.approx(mean, abs=5 * std / math.sqrt(array.size))
    assert array.std() == pytest.approx(std, rel=0.02)
    normal = isinstance(initializer, nn.Normal) or "normal" in repr(initializer)
    # A uniform distribution ends at sqrt(3) standard deviations; a normal one does not.
    assert (np.abs(array - mean).max() > 1.74 * std) == (normal and std > 0)


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Dense(2, 0), ValueError, "n_outputs: expected an integer >= 1, got 0"),
        (lambda: nn.Dense(-1, 3), ValueError, "n_inputs: expected an integer >= 1, got -1"),
        (lambda: nn.Dense(2.0, 3), TypeError, r"n_inputs: expected an integer >= 1, got 2\.0"),
        (lambda: nn.Dense(2, True), TypeError, "n_outputs: expected an integer >= 1, got True"),
        (lambda: nn.Dense(2, 3, weight_l2=-1), ValueError, "weight_l2: expected a finite number"),
        (lambda: nn.Dense(2, 3, bias_l1=math.nan), ValueError, "bias_l1: .* >= 0, got nan"),
        (lambda: nn.Dense(2, 3, bias_l2="1"), TypeError, "bias_l2: expected a finite number >= 0, got '1'"),
        (lambda: nn.Dense(2, 3, initializer="he"), TypeError, "initializer: expected a callable"),
        (lambda: nn.Dropout(1.0), ValueError, r"rate: expected a number in \[0, 1\), got 1.0"),
        (lambda: nn.Dropout(-0.1), ValueError, r"rate: expected a number in \[0, 1\), got -0.1"),
        (lambda: nn.Dropout(math.nan), ValueError, "rate: .* got nan"),
        (lambda: nn.Dropout("a"), TypeError, r"rate: expected a number in \[0, 1\), got 'a'"),
        (lambda: nn.Normal(-1.0), ValueError, "std: expected a finite number >= 0, got -1.0"),
        (lambda: nn.Uniform(math.inf), ValueError, "limit: expected a finite number"),
        (lambda: nn.He("gauss"), ValueError, "distribution: expected one of 'normal', 'uniform'"),
    ],
)
def test_bad_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("loss", "y", "error", "message"),
    [
        (LOSSES[0], [0, 3], ValueError, "y: expected labels from 0 to 2, got 3"),
        (LOSSES[0], [-1, 0], ValueError, "y: expected labels from 0 to 2, got -1"),
        (LOSSES[0], [0.0, 1.0], TypeError, "y: expected integer labels, got float64"),
        (LOSSES[0], [0], ValueError, "y: expected 2 rows, as many as inputs, got 1"),
        (LOSSES[0], 1, ValueError, r"y: expected labels of shape \(batch,\)"),
        (LOSSES[0], [[0], [1]], ValueError, r"one-hot rows of shape \(batch, 3\), got .*\(2, 1\)"),
        (LOSSES[0], [[1, 0, 0], [0.5, 0.5, 0]], ValueError, "one-hot rows, a single 1"),
        (LOSSES[0], [[1, 0, 0], [0, 0, 0]], ValueError, "one-hot rows, a single 1"),
        (LOSSES[0], [[1, 0, 0], [1, 1, 0]], ValueError, "one-hot rows, a single 1"),
        (LOSSES[1], [[0, 1, 2], [0, 0, 0]], ValueError, "y: expected values from 0 to 1, got 2"),
        (LOSSES[1], [[0, 1, math.nan], [0, 0, 0]], ValueError, "from 0 to 1, got nan"),
        (LOSSES[2], [1.0, 2.0], ValueError, r"y: expected shape \(batch, 3\), got \(2,\)"),
        (LOSSES[2], [["a"] * 3] * 2, TypeError, "y: expected an array of numbers, got <U1"),
        (LOSSES[0], [[1, 0, 0], [1]], TypeError, r"y: expected an array of numbers, got list \(.*inhomogeneous"),
        (LOSSES[1], None, TypeError, "y: expected an array of numbers, got NoneType"),
        (LOSSES[2], [[-1e39] * 3] * 2, ValueError, "y: expected numbers up to .*, too large for float32"),
    ],
)
def test_bad_targets_are_named(loss, y, error, message):
    net = nn.Network([nn.Dense(2, 3)], loss=loss)
    for call in (net.loss_and_grad, net.evaluate):
        with pytest.raises(error, match=message):
            call([[1.0, 2.0], [3.0, 4.0]], y)
