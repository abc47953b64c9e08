"""The network: its flat arrays, its buffers, its state, and what it says about wrong input."""

import copy
import io
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastopt import nn

DTYPES = ["float32", "float64"]


def spiral_net(dtype="float32", seed=0, **settings):
    layers = [nn.Dense(2, 16, **settings), nn.ReLU(), nn.Dropout(0.2), nn.Dense(16, 3)]
    return nn.Network(layers, loss=nn.SoftmaxCrossEntropy(), dtype=dtype, seed=seed)


def batch(n=20, width=2, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, width)), rng.integers(0, classes, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_and_gradients_are_views_of_two_flat_arrays(dtype):
    net = spiral_net(dtype)
    assert net.params.size == net.grads.size == 2 * 16 + 16 + 16 * 3 + 3
    assert net.params.dtype == net.grads.dtype == dtype
    assert net.params.ctypes.data % 64 == net.grads.ctypes.data % 64 == 0
    named = net.named_params()
    assert list(named) == ["dense0.weight", "dense0.bias", "dense1.weight", "dense1.bias"]
    net.params[...] = np.arange(net.params.size)
    net.grads[...] = -net.params
    flat = np.concatenate([view.ravel() for view in named.values()])
    np.testing.assert_array_equal(flat, net.params)
    for i, layer in ((0, net.layers[0]), (1, net.layers[3])):
        assert layer.weight is named[f"dense{i}.weight"]
        assert layer.bias is named[f"dense{i}.bias"]
        np.testing.assert_array_equal(layer.weight_grad, -layer.weight)
        np.testing.assert_array_equal(layer.bias_grad, -layer.bias)
        assert np.shares_memory(layer.weight_grad, net.grads)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_descent_lowers_the_loss(dtype):
    X, y = batch(200)
    y = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 0] > 1)
    net = spiral_net(dtype, weight_l2=1e-4)
    first = net.evaluate(X, y)
    for _ in range(300):
        net.loss_and_grad(X, y)
        net.params -= 0.3 * net.grads
    last = net.evaluate(X, y)
    assert last["loss"] < 0.5 * first["loss"]
    assert last["accuracy"] > 0.85 > first["accuracy"]


def test_same_seed_same_network_same_run():
    X, y = batch()

    def run(seed):
        net = spiral_net(seed=seed)
        losses = []
        for _ in range(5):
            losses.append(net.loss_and_grad(X, y))
            net.params -= net.grads
        return losses, net.params

    (losses, params), (again, params_again), (other, _) = run(3), run(3), run(4)
    assert losses == again
    assert params.tobytes() == params_again.tobytes()
    assert losses != other
    assert spiral_net(seed=None).params.tobytes() != spiral_net(seed=None).params.tobytes()


def test_both_data_types_start_from_the_same_weights():
    single, double = spiral_net("float32"), spiral_net("float64")
    np.testing.assert_array_equal(single.params, double.params.astype(np.float32))


# -- buffers -----------------------------------------------------------------------------------


ACTIVATIONS = [[nn.ReLU, lambda: nn.Dropout(0.5)], [nn.Sigmoid], [nn.Tanh], [nn.Sigmoid, nn.ReLU]]
LOSSES = [
    nn.SoftmaxCrossEntropy(),
    nn.BinaryCrossEntropy(),
    nn.MeanSquaredError(),
    nn.MeanAbsoluteError(),
]


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_step_allocates_nothing_of_layer_size(loss, activations):
    rows, width = 128, 1024
    penalties = {"weight_l1": 1e-3, "weight_l2": 1e-3, "bias_l1": 1e-3, "bias_l2": 1e-3}
    net = nn.Network(
        [
            nn.Dense(width, width, **penalties),
            *[make() for make in activations],
            nn.Dense(width, width),
        ],
        loss=loss,
    )
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, width), dtype=np.float32)
    y = rng.random((rows, width), dtype=np.float32)
    if isinstance(loss, nn.SoftmaxCrossEntropy):
        y = rng.integers(0, width, rows)
    for _ in range(2):
        net.loss_and_grad(X, y)
    tracemalloc.start()
    try:
        net.loss_and_grad(X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The least of the arrays, a layer's mask of one byte a value, takes 131 072 bytes.
    assert peak < 100_000


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6), training=st.booleans())
def test_results_do_not_depend_on_the_batches_before(sizes, training):
    net = spiral_net("float64")
    for n in sizes:
        X, y = batch(n, seed=n)
        net.evaluate(X, y) if training else net.loss_and_grad(X, y)
        fresh = spiral_net("float64")
        state = net.state_dict()
        fresh.load_state_dict(state)
        assert net.loss_and_grad(X, y) == fresh.loss_and_grad(X, y)
        assert net.grads.tobytes() == fresh.grads.tobytes()
        assert net.predict(X).tobytes() == fresh.predict(X).tobytes()


def test_scores_are_the_callers_own():
    net = spiral_net()
    X, _ = batch(50)
    first = net.forward(X)
    values = first.copy()
    net.forward(-X)
    net.loss_and_grad(-X, batch(50)[1])
    np.testing.assert_array_equal(first, values)


def test_input_and_targets_are_not_written_or_copied():
    for loss in LOSSES:
        net = nn.Network([nn.Dropout(0.5), nn.ReLU(), nn.Dense(3, 3)], loss=loss)
        X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
        y = np.array([0, 1, 2, 0, 1, 2]) if loss == LOSSES[0] else np.eye(6, 3, dtype=np.float32)
        before = X.tobytes(), y.tobytes()
        X.flags.writeable = y.flags.writeable = False
        assert net.as_inputs(X) is X
        assert net.as_targets(y, 6) is y
        net.loss_and_grad(X, y)
        net.evaluate(X, y)
        net.predict(X)
        assert (X.tobytes(), y.tobytes()) == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_and_number_type_of_input(dtype):
    net = spiral_net(dtype)
    state = net.state_dict()
    X = np.arange(24).reshape(12, 2) % 5
    y = np.arange(12) % 3
    expected = net.loss_and_grad(X.astype(dtype), y)
    wide = np.zeros((24, 4), dtype)
    wide[::2, ::2] = X
    for same in (X, X.tolist(), X.astype(np.uint8), np.asfortranarray(X, dtype), wide[::2, ::2]):
        net.load_state_dict(state)
        assert net.loss_and_grad(same, y.astype(np.int16)) == pytest.approx(expected, rel=1e-6)


# -- evaluation --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("batch_size", [1, 7, 25, 26])
def test_evaluation_in_batches_is_that_of_the_whole(loss, batch_size):
    net = nn.Network([nn.Dense(2, 8), nn.Tanh(), nn.Dense(8, 3)], loss=loss, dtype="float64")
    X, y = batch(25)
    if not isinstance(loss, nn.SoftmaxCrossEntropy):
        y = np.eye(3)[y]
    whole, parts = net.evaluate(X, y), net.evaluate(X, y, batch_size=batch_size)
    assert parts == pytest.approx(whole, rel=1e-12)
    predicted = net.predict(X, batch_size=batch_size)
    np.testing.assert_allclose(predicted, net.predict(X), rtol=1e-12)
    assert predicted.base is None
    assert whole["loss"] == pytest.approx(net.loss_and_grad(X, y), rel=1e-12)


def test_metrics_of_a_training_batch():
    def rows(scores, y):
        return float(len(scores))

    net = nn.Network(
        [nn.Dense(2, 3)],
        loss=nn.SoftmaxCrossEntropy(),
        metrics={"accuracy": nn.categorical_accuracy, "rows": rows},
    )
    X, y = batch(10)
    measured = {}
    net.loss_and_grad(X, y, metrics=measured)
    accuracy = np.mean(net.predict(X).argmax(1) == y)
    assert measured == {"accuracy": pytest.approx(accuracy), "rows": 10.0}
    assert net.evaluate(X, y, batch_size=5)["rows"] == 5.0


def test_evaluation_has_no_penalty_and_no_dropout():
    X, y = batch(30)
    net = spiral_net("float64", weight_l2=10.0)
    plain = spiral_net("float64")
    assert net.evaluate(X, y) == plain.evaluate(X, y)
    assert net.evaluate(X, y) == net.evaluate(X, y)
    assert net.loss_and_grad(X, y) == pytest.approx(plain.loss_and_grad(X, y) + net.penalty())


# -- state -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_state_goes_through_a_file_without_pickle(dtype):
    X, y = batch()
    net = spiral_net(dtype)
    net.rng.random(3, dtype=np.float32)  # leaves half a word in the generator
    net.loss_and_grad(X, y)
    file = io.BytesIO()
    np.savez(file, **net.state_dict())
    other = spiral_net(dtype, seed=9)
    file.seek(0)
    with np.load(file, allow_pickle=False) as saved:
        other.load_state_dict(saved)
    assert other.params.tobytes() == net.params.tobytes()
    assert other.loss_and_grad(X, y) == net.loss_and_grad(X, y)
    assert other.grads.tobytes() == net.grads.tobytes()
    assert other.rng.random(dtype=np.float32) == net.rng.random(dtype=np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("dense1.bias"), "missing dense1.bias"),
        (lambda state: state.pop("rng"), "missing rng"),
        (lambda state: state.update(extra=np.zeros(2)), "unknown extra"),
        (lambda state: state["rng"].fill(2**64 - 1), r"state\['rng'\]: expected the state of an SFC64 generator"),
        (
            lambda state: state.update({"dense1.bias": np.zeros(4, np.float32)}),
            r"state\['dense1.bias'\]: expected shape \(3,\) and float32, got \(4,\) and float32",
        ),
        (
            lambda state: state.update({"dense0.weight": np.zeros((2, 16))}),
            r"state\['dense0.weight'\]: expected shape \(2, 16\) and float32, got .* float64",
        ),
    ],
)
def test_state_that_does_not_fit_changes_nothing(change, message):
    net, other = spiral_net(), spiral_net(seed=1)
    state = other.state_dict()
    change(state)
    before = net.state_dict()
    with pytest.raises(ValueError, match=message):
        net.load_state_dict(state)
    after = net.state_dict()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    with pytest.raises(TypeError, match="state: expected a mapping"):
        net.load_state_dict([1, 2])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_whole_and_apart(duplicate):
    X, y = batch()
    net = spiral_net(weight_l2=0.1)
    net.loss_and_grad(X, y)
    other = duplicate(net)
    assert repr(other) == repr(net)
    assert not np.shares_memory(other.params, net.params)
    assert np.shares_memory(other.layers[0].weight, other.params)
    assert other.loss_and_grad(X, y) == net.loss_and_grad(X, y)
    other.params[...] = 0
    assert net.params.any()


# -- construction ------------------------------------------------------------------------------


def test_repr_shows_the_architecture():
    assert repr(spiral_net()) == (
        "Network(2-16-3: Dense, ReLU(), Dropout(0.2), Dense; SoftmaxCrossEntropy; 99 parameters, float32)"
    )
    for layer in (nn.Dense(2, 3), nn.Dense(4, 5, initializer=nn.Glorot(), bias_l1=0.5)):
        assert repr(eval(repr(layer), vars(nn))) == repr(layer)


def test_a_layer_of_ones_own():
    class Scale(nn.Layer):
        """Multiply by one number that is learned."""

        def __init__(self, width):
            self.n_inputs = self.n_outputs = width

        def connect(self, n_inputs, dtype, rng, in_place):
            self._rng = rng

        def parameter_shapes(self):
            return {"factor": (1,)}

        def bind(self, params, grads):
            self.factor, self.factor_grad = params["factor"], grads["factor"]
            self.factor[...] = 2

        def allocate(self, batch, training, first, last):
            pass

        def forward(self, x, training):
            return x * self.factor

        def backward(self, x, y, delta):
            self.factor_grad[0] = (x * delta).sum()
            return delta * self.factor

    net = nn.Network([nn.Dense(2, 3), nn.ReLU(), Scale(3), Scale(3)], loss=nn.MeanSquaredError(), dtype="float64")
    X, _ = batch()
    y = np.ones((20, 3))
    net.loss_and_grad(X, y)
    gradient = net.grads.copy()
    for i, value in enumerate(net.params.copy()):
        sides = []
        for step in (1e-6, -1e-6):
            net.params[i] = value + step
            sides.append(net.loss_and_grad(X, y))
        net.params[i] = value
        assert gradient[i] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6, abs=1e-8)
    assert list(net.named_params())[2:] == ["scale0.factor", "scale1.factor"]


def test_layers_of_a_failed_network_can_be_used_again():
    first = nn.Dense(2, 3)
    with pytest.raises(ValueError, match="expected 3 inputs"):
        nn.Network([first, nn.Dense(4, 3)], loss=nn.SoftmaxCrossEntropy())
    nn.Network([first, nn.Dense(3, 3)], loss=nn.SoftmaxCrossEntropy())


def in_use():
    layer = nn.Dense(2, 3)
    nn.Network([layer], loss=nn.SoftmaxCrossEntropy())
    return [layer]


twice = nn.ReLU()


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([], ValueError, "layers: expected at least one layer with parameters"),
        ([nn.ReLU()], ValueError, "layers: expected at least one layer with parameters"),
        (nn.Dense(2, 3), TypeError, "layers: expected a list of layers, got Dense"),
        ([nn.Dense(2, 3), nn.ReLU], TypeError, r"layers\[1\]: expected a layer such as"),
        (
            [nn.Dense(2, 64), nn.ReLU(), nn.Dense(32, 3)],
            ValueError,
            r"layers\[2\] \(Dense\(32, 3\)\): expected 64 inputs, .* got n_inputs=32",
        ),
        ([nn.Dense(2, 3), twice, twice], ValueError, r"layers\[2\]: .* a network already"),
        (in_use(), ValueError, r"layers\[0\]: Dense\(2, 3\) belongs to a network already"),
        ([nn.Dense(2, 1)], ValueError, "at least 2 outputs for SoftmaxCrossEntropy, got 1"),
    ],
)
def test_layers_that_do_not_fit(layers, error, message):
    with pytest.raises(error, match=message):
        nn.Network(layers, loss=nn.SoftmaxCrossEntropy())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"loss": "mse"}, TypeError, "loss: expected a Loss such as .* got 'mse'"),
        ({"loss": nn.MeanSquaredError}, TypeError, "loss: expected a Loss"),
        ({"dtype": "float16"}, ValueError, "dtype: expected float32 or float64, got 'float16'"),
        ({"dtype": "bogus"}, ValueError, "dtype: expected float32 or float64, got 'bogus'"),
        ({"metrics": {"loss": np.mean}}, ValueError, r"metrics: expected names other than 'loss'.* got 'loss'"),
        ({"metrics": {"lr": np.mean}}, ValueError, "metrics: .* got 'lr'"),
        ({"metrics": {"val_a": np.mean}}, ValueError, "metrics: .* got 'val_a'"),
        ({"metrics": {"a": 1}}, TypeError, r"metrics\['a'\]: expected a callable, got 1"),
    ],
)
def test_bad_network_settings_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        nn.Network([nn.Dense(2, 3)], **{"loss": nn.SoftmaxCrossEntropy(), **settings})


class Array:
    """Named like the arrays of dask and awkward, and as unwilling as theirs may be."""

    __module__ = "dask.array.core"

    def __array__(self, *args, **keywords):
        raise RuntimeError("no array today")


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros(2), ValueError, r"X: expected shape \(batch, 2\), got \(2,\)"),
        (np.zeros((4, 3)), ValueError, r"X: expected shape \(batch, 2\), got \(4, 3\)"),
        (np.zeros((2, 2, 2)), ValueError, r"X: expected shape \(batch, 2\), got \(2, 2, 2\)"),
        (np.zeros((0, 2)), ValueError, "X: expected at least one row"),
        ([["a", "b"]], TypeError, "X: expected an array of numbers, got <U1"),
        ([[1j, 2]], TypeError, "X: expected an array of numbers, got complex128"),
        (None, TypeError, "X: expected an array of numbers, got NoneType$"),
        ([[None, 1]], TypeError, "X: expected an array of numbers, got list of objects"),
        ([[1], [2, 3]], TypeError, r"X: expected an array of numbers, got list \(.*inhomogeneous"),
        (Array(), TypeError, r"X: expected an array of numbers, got dask\.Array \(no array today\)"),
        (np.array([[np.inf, -1e39]]), ValueError, r"X: expected numbers up to 3\.4e\+38, got 1e\+39, too large for fl"),
    ],
)
def test_bad_inputs_are_named(X, error, message):
    net = spiral_net()
    for call in (net.forward, net.predict, lambda X: net.loss_and_grad(X, [0]), net.as_inputs):
        with pytest.raises(error, match=message):
            call(X)
    with pytest.raises(error, match=message.replace("X:", "data:")):
        net.as_inputs(X, "data")


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_bad_batch_size_is_named(size, error):
    net = spiral_net()
    X, y = batch()
    for call in (net.predict, lambda X, batch_size: net.evaluate(X, y, batch_size)):
        with pytest.raises(error, match="batch_size: expected an integer"):
            call(X, batch_size=size)


def test_a_failed_call_leaves_the_network_working():
    net = spiral_net("float64")
    X, y = batch()
    expected = net.evaluate(X, y)
    for bad in (X[:, :1], X[:0]):
        with pytest.raises(ValueError, match="X: "):
            net.loss_and_grad(bad, y)
    with pytest.raises(ValueError, match="labels from 0 to 2"):
        net.loss_and_grad(X, y + 1)
    assert net.evaluate(X, y) == expected


# -- against PyTorch ---------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_and_gradients_agree_with_pytorch(loss):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    peer_loss = {
        "SoftmaxCrossEntropy": torch.nn.CrossEntropyLoss,
        "BinaryCrossEntropy": torch.nn.BCEWithLogitsLoss,
        "MeanSquaredError": torch.nn.MSELoss,
        "MeanAbsoluteError": torch.nn.L1Loss,
    }[type(loss).__name__]()
    layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 8), nn.Sigmoid(), nn.Dense(8, 3), nn.Tanh()]
    peer_layers = []
    for layer in layers:
        if isinstance(layer, nn.Dense):
            peer_layers.append(torch.nn.Linear(layer.n_inputs, layer.n_outputs))
        else:
            peer_layers.append(getattr(torch.nn, type(layer).__name__)())
    net = nn.Network(layers, loss=loss, dtype="float64")
    peer = torch.nn.Sequential(*peer_layers).double()
    dense = [layer for layer in layers if isinstance(layer, nn.Dense)]
    linear = [layer for layer in peer_layers if isinstance(layer, torch.nn.Linear)]
    for ours, theirs in zip(dense, linear, strict=True):
        theirs.weight.data[...] = torch.from_numpy(ours.weight.T.copy())
        theirs.bias.data[...] = torch.from_numpy(ours.bias)
    X, y = batch()
    if not isinstance(loss, nn.SoftmaxCrossEntropy):
        y = np.eye(3)[y]
    value = peer_loss(peer(torch.from_numpy(X)), torch.from_numpy(y))
    value.backward()
    assert net.loss_and_grad(X, y) == pytest.approx(value.item(), rel=1e-12)
    for ours, theirs in zip(dense, linear, strict=True):
        np.testing.assert_allclose(ours.weight_grad.T, theirs.weight.grad, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(ours.bias_grad, theirs.bias.grad, rtol=1e-9, atol=1e-14)
