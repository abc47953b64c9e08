"""The range test: rates, smoothing, end, what it suggests and verifies, and that it leaves no trace."""

import json
import math
import os
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastopt
from fastopt import nn
from fastopt.lr_finder import RangeTest, lr_find, lr_find_step, minimum, steepest, valley, verify
from fastopt.lr_finder._smoothing import smooth
from fastopt.nn.callbacks import LambdaCallback
from fastopt.schedules import CosineAnnealing, InverseTimeDecay, ReduceOnPlateau, Warmup


def data(n=60, dtype="float32"):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    return (rng.normal(size=(n, 4)) + 2 * np.eye(4)[y]).astype(dtype), y


def network(dtype="float32", dropout=0.2):
    layers = [nn.Dense(4, 8, weight_l2=1e-3), nn.ReLU(), nn.Dropout(dropout), nn.Dense(8, 3)]
    return nn.Network(layers, loss=nn.SoftmaxCrossEntropy(), dtype=dtype)


class Loop:
    """A training loop of somebody else's, whose losses are given."""

    def __init__(self, losses):
        self.losses = iter(losses)
        self.lrs = []
        self.state = "before"

    def step(self):
        self.state = "changed"
        return next(self.losses)

    def restore(self, saved):
        self.state = saved

    def find(self, **settings):
        calls = {"set_lr": self.lrs.append, "save": lambda: self.state, "restore": self.restore}
        return lr_find_step(self.step, **calls, **settings)


def fixed(losses, *, mode="exponential", lrs=None):
    n = len(losses)
    lrs = np.geomspace(1e-6, 1.0, n) if lrs is None else lrs
    return RangeTest(mode, n, False, tuple(map(float, lrs)), tuple(map(float, losses)))


# ---- rates, smoothing, end


def test_exponential_rates_by_hand():
    result = Loop([1.0] * 5).find(lr_min=1e-3, lr_max=10.0, steps=5)
    assert result.lrs == pytest.approx([1e-3, 1e-2, 1e-1, 1.0, 10.0], rel=1e-15)
    assert (result.lrs[0], result.lrs[-1]) == (1e-3, 10.0)


def test_linear_rates_by_hand():
    result = Loop([1.0] * 5).find(lr_min=0.25, lr_max=1.25, steps=5, mode="linear")
    assert result.lrs == (0.25, 0.5, 0.75, 1.0, 1.25)
    assert result.mode == "linear"


def test_each_step_is_done_with_its_rate():
    loop = Loop([1.0] * 7)
    assert loop.find(steps=7).lrs == tuple(loop.lrs)


def test_smoothing_by_hand():
    # Medians of five, mirrored at the ends: 1 1 2 2 4 | 3 2 2 ...; then means of three.
    losses = np.array([1.0, 2.0, 99.0, 3.0, 4.0, 5.0, 6.0])
    medians = np.array([2.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0])
    means = [2, 7 / 3, 3, 4, 14 / 3, 5, 5]
    assert smooth(losses, 3).tolist() == [1, 2, 3, 4, 4, 5, 6]  # medians of three alone
    np.testing.assert_array_equal(np.convolve(medians, np.ones(3) / 3, "valid").round(12), np.round(means[1:-1], 12))
    assert smooth(losses, 5) == pytest.approx(means, rel=1e-15)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(0, 10))
def test_smoothing_has_no_lag(losses, half):
    losses, width = np.array(losses), 2 * min(half, len(losses)) + 1
    np.testing.assert_allclose(smooth(losses[::-1], width), smooth(losses, width)[::-1], rtol=1e-12, atol=1e-9)


def test_smoothing_leaves_a_straight_line_as_it_is_away_from_the_ends():
    line = np.linspace(3.0, 1.0, 100)
    result = fixed(line)
    np.testing.assert_allclose(result.smoothed[6:-6], line[6:-6], rtol=1e-14)


def test_stops_when_the_loss_is_above_its_start_and_the_threshold():
    # Medians of the last five: 1, 0.75, 0.5, 0.75, 0.5, 0.5, 3, 3, 3, 6; four times the lowest is 2.
    losses = [1.0, 0.5, 0.4, 6.0, 0.4, 3.0, 6.0, 3.0, 6.0, 6.0]
    result = Loop(losses).find(steps=10)
    assert result.losses == tuple(losses[:7])
    assert result.diverged
    assert len(result.lrs) == len(result.smoothed) == 7
    assert Loop(losses).find(steps=11, early_stop_threshold=7.0).losses == tuple(losses)
    assert not Loop(losses).find(steps=10, early_stop_threshold=None).diverged
    # 0.3 is far above the lowest, 0.01, and no explosion: training began at 1.
    assert not Loop([1.0, *[0.01] * 10, *[0.3] * 10]).find(steps=21).diverged


def test_negative_losses_do_not_stop_by_their_sign():
    # Lowest -2: the threshold is -2 + 3 * 2 = 4.
    result = Loop([-1.0, *[-2.0] * 9, *[3.9] * 5, *[4.1] * 5]).find(steps=20)
    assert result.losses == (-1.0, *[-2.0] * 9, *[3.9] * 5, *[4.1] * 3)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("threshold", [4.0, None])
def test_stops_at_the_first_loss_that_is_not_finite(bad, threshold):
    loop = Loop([1.0, 0.9, bad, 1.0])
    result = loop.find(steps=20, early_stop_threshold=threshold)
    assert result.diverged
    assert len(result.losses) == 3
    assert result.smoothed == (1.0, 0.9, math.inf)
    assert result.phases == (result.lrs[1], result.lrs[2])
    assert loop.state == "before"
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_first_loss_that_is_not_finite_is_an_error(bad):
    loop = Loop([bad])
    with pytest.raises(FloatingPointError, match="before any update"):
        loop.find()
    assert loop.state == "before"


def test_progress_counts_the_steps():
    seen = []
    Loop([1.0] * 3).find(steps=3, progress=lambda *counts: seen.append(counts))
    assert seen == [(1, 3), (2, 3), (3, 3)]


# ---- rules


def test_steepest_by_hand():
    lrs = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    losses = [3.0, 2.9, 2.0, 0.5, 0.4, 5.0]
    # central differences -0.1, -0.5, -1.2, -0.8, 2.25, 4.6
    assert steepest(lrs, losses, skip_begin=0, skip_end=0) == 1e-2
    # forward differences per decade -0.1, -0.9, -1.5, -0.1, 4.6
    assert steepest(lrs, losses, skip_begin=0, skip_end=0, slope="log_lr") == 1e-2
    # per unit of rate the first piece, 0.1 in 0.0009, is the steepest
    assert steepest(lrs, losses, skip_begin=0, skip_end=0, slope="lr") == 1e-4
    assert steepest(lrs, losses, skip_begin=3, skip_end=1) == 1e-1


def test_steepest_differs_between_central_and_forward_differences():
    lrs, losses = [1.0, 2.0, 4.0, 8.0], [4.0, 3.5, 3.4, 2.0]
    # central, one-sided at the ends: -0.5, -0.3, -0.75, -1.4; forward: -0.5, -0.1, -1.4
    assert steepest(lrs, losses, skip_begin=0, skip_end=0) == 8.0
    assert steepest(lrs, losses, skip_begin=0, skip_end=0, slope="log_lr") == 4.0


@pytest.mark.parametrize("slope", ["step", "lr", "log_lr"])
@pytest.mark.parametrize("losses", [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [2.0]])
def test_nothing_is_steepest_without_a_fall(losses, slope):
    lrs = [0.1, 0.2, 0.3][: len(losses)]
    assert steepest(lrs, losses, skip_begin=0, skip_end=0, slope=slope) is None


def test_steepest_per_rate_agrees_with_the_gradient_of_torch():
    torch = pytest.importorskip("torch", reason="compares with torch.gradient, Lightning's choice")
    rng = np.random.default_rng(3)
    for _ in range(20):
        lrs = np.geomspace(1e-3, 10.0, 40)
        losses = rng.normal(size=40).cumsum()
        kept = slice(10, -1)
        coordinates = torch.tensor(lrs[kept])
        gradient = torch.gradient(torch.tensor(losses[kept]), spacing=[coordinates])[0]
        assert steepest(lrs, losses, slope="lr") == lrs[kept][int(gradient.argmin())]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([9, 8, 7, 6, 5, 4, 9], 3),  # 6 points fall, the last is point 5: 5 - 6 + 2 + 1 = 2
        ([5, 6, 7, 6, 5, 4, 3, 2, 1], 5),  # 7, the last is point 8: 8 - 7 + 2 + 1 = 4
        ([9, 8, 9, 7, 9, 6, 1, 1], 3),  # 5 with gaps, the last is point 6: 6 - 5 + 1 + 0 = 2
        ([3, 2, 1], 1),  # 3, the last is point 2: 2 - 3 + 1 + 0 = 0
        ([1, 2], None),
        ([2, 1], None),
        ([1, 2, 3, 4, 5], None),
        ([1, 1, 1, 1], None),
        ([], None),
    ],
)
def test_valley_by_hand(losses, expected):
    lrs = list(range(1, len(losses) + 1))
    assert valley(lrs, losses, skip_begin=0, skip_end=0) == expected


def longest_fall(losses):
    """Length and first end of the longest falling subsequence, by looking at all pairs."""
    lengths = []
    for i, loss in enumerate(losses):
        lengths.append(1 + max((lengths[j] for j in range(i) if losses[j] > loss), default=0))
    return max(lengths), lengths.index(max(lengths))


@given(st.lists(st.integers(0, 12), min_size=3, max_size=40))
def test_valley_is_fastais_share_of_the_longest_fall(losses):
    length, end = longest_fall(losses)
    lrs = np.geomspace(0.1, 3.0, len(losses))
    suggestion = valley(lrs, losses, skip_begin=0, skip_end=0)
    if length < 3:
        assert suggestion is None
    else:
        third = length / 3
        assert suggestion == lrs[end - length + int(third) + int(third / 2)]


def test_minimum_by_hand():
    lrs, losses = [0.5, 1.0, 2.0, 4.0, 8.0], [3.0, 2.0, 1.0, 1.0, 0.5]
    assert minimum(lrs, losses, skip_begin=0, skip_end=1) == 0.2  # the first of two equal ones
    assert minimum(lrs, losses, skip_begin=0, skip_end=0) == 0.8
    assert minimum(lrs, losses, skip_begin=2, skip_end=1) is None
    assert minimum(lrs, losses, skip_begin=9, skip_end=9) is None


@pytest.mark.parametrize("rule", [steepest, valley, minimum])
def test_rules_leave_out_what_is_not_finite(rule):
    lrs = np.geomspace(1e-3, 1.0, 12)
    losses = np.array([5.0, 4.9, 4.6, 4.0, 3.0, 2.5, 2.2, 2.1, 2.4, 3.0, np.inf, np.nan])
    kept = rule(lrs[:-2], losses[:-2], skip_begin=0, skip_end=0)
    assert kept is not None
    assert rule(lrs, losses, skip_begin=0, skip_end=0) == kept
    assert type(kept) is float


@pytest.mark.parametrize(
    ("lrs", "losses", "skip", "error", "message"),
    [
        ([1, 2, 3], [1, 2], 0, ValueError, "losses: expected 3"),
        ([1, 3, 2], [1, 2, 3], 0, ValueError, "lrs: expected ascending"),
        ([0, 1, 2], [1, 2, 3], 0, ValueError, "lrs: expected ascending"),
        ([1, math.nan, 2], [1, 2, 3], 0, ValueError, "lrs: expected ascending"),
        ([[1, 2]], [[1, 2]], 0, ValueError, "lrs: expected ascending"),
        ([1, 2, 3], [3, 2, 1], -1, ValueError, "skip_begin: expected an integer >= 0"),
        ([1, 2, 3], [3, 2, 1], 0.5, TypeError, "skip_begin: expected an integer >= 0"),
    ],
)
def test_rules_refuse_bad_points(lrs, losses, skip, error, message):
    for rule in (steepest, valley, minimum):
        with pytest.raises(error, match=message):
            rule(lrs, losses, skip_begin=skip)


def test_steepest_refuses_an_unknown_slope():
    with pytest.raises(ValueError, match="slope: expected one of 'step', 'lr', 'log_lr', got 'lg'"):
        steepest([1, 2], [2, 1], slope="lg")


# ---- the result


def curve(lowest=-1.0, *, steps=100, noise=0.0, seed=0):
    """Return rates 1e-5 to 10 and losses that fall from 2 to 0.4, at 10**lowest, over two decades, then explode."""
    x = np.linspace(-5, 1, steps)
    fall = np.clip((x - lowest + 2) / 2, 0, 1)
    losses = 2 - 1.6 * fall + 20 * np.maximum(0, x - lowest) ** 2
    return 10**x, losses + noise * np.random.default_rng(seed).normal(size=steps)


@pytest.mark.parametrize("steps", [30, 100, 1000])
@pytest.mark.parametrize("lowest", [-2.0, -1.0, 0.0])
def test_suggests_a_third_of_the_rate_with_the_lowest_loss(lowest, steps):
    lrs, losses = curve(lowest, steps=steps)
    result = fixed(losses, lrs=lrs)
    half_window = 0.12 + 6 / steps  # decades, of the averages: the rise, steeper than the fall, reaches as far back
    assert lowest - half_window < math.log10(3 * result.suggestion) < lowest + 6 / steps
    # A tenth of the fall is done a fifth of a decade behind its beginning.
    learns, harms = result.phases
    assert math.log10(learns) == pytest.approx(lowest - 1.8, abs=0.02 + 6 / steps)
    # It has lost a tenth, 0.16 = 20 d^2, at d = 0.09, which the window smears.
    assert lowest < math.log10(harms) < lowest + 0.09 + 12 / steps


@pytest.mark.parametrize("seed", range(10))
def test_suggestions_lie_where_a_noisy_loss_falls(seed):
    lrs, losses = curve(noise=0.2, seed=seed)
    result = fixed(losses, lrs=lrs)
    learns, _ = result.phases
    assert -3.5 < math.log10(learns) < -2
    assert math.log10(3 * result.suggestion) == pytest.approx(-1, abs=0.35)
    for rate in (result.suggestion, *result.suggestions.values()):
        assert rate is None or learns <= rate <= 0.15
    assert set(result.suggestions.values()) != {None}


def test_suggestions_of_other_libraries_by_hand():
    # In so short a test, smoothing is medians of three alone, which leave all points of a curve without peaks.
    falls = [2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.2, 0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.5]
    result = fixed([2.0] * 10 + falls + [5.0] * 3)
    lrs = result.lrs
    assert result.smoothed == result.losses
    assert result.phases == (lrs[12], lrs[24])  # below 1.85, above 0.65
    assert result.suggestion == lrs[21] / 3
    assert result.suggestions == {
        "steepest": lrs[16],  # the central difference is (0.9 - 1.5) / 2
        "valley": lrs[21 - 12 + 12 // 3 + 12 // 6],  # 12 points fall, one of 2.0 and 11 below, the last is 21
        "minimum/10": lrs[21] / 10,
    }


def test_a_rule_that_suggests_a_rate_at_which_the_loss_does_not_fall_yet_suggests_nothing():
    # A fall within half a decade: a tenth of the lowest is on the plateau.
    x = np.linspace(-5, 1, 100)
    result = fixed(np.where(x < -1.5, 2.0, np.where(x < -1, 2 - 3 * (x + 1.5), 9.0)), lrs=10**x)
    learns, _ = result.phases
    assert result.suggestions["minimum/10"] is None
    assert result.suggestion == learns > 10**-1.6


def test_a_second_fall_after_an_explosion_does_not_count():
    lrs, losses = curve()
    again = losses.copy()
    again[80:] = 0.1  # lower than before
    assert fixed(losses, lrs=lrs).suggestion == fixed(again, lrs=lrs).suggestion < 0.1
    assert fixed(again, lrs=lrs).suggestions["steepest"] < 0.1


def test_a_loss_that_never_rises_is_lowest_at_the_last_rate():
    result = fixed([2.0] * 20 + np.linspace(2, 1, 40).tolist())
    assert result.phases[1] is None
    assert 1 / 3 >= result.suggestion > 0.25


def test_phases_of_a_linear_test_that_falls_at_once():
    losses = [2.0, 1.5, 1.0, 0.6, *[0.5] * 30]
    result = fixed(losses, mode="linear", lrs=np.linspace(0.1, 1.0, 34))
    assert result.phases == (result.lrs[1], None)
    assert result.suggestion == result.lrs[1]


NOTHING = {"steepest": None, "valley": None, "minimum/10": None}


@pytest.mark.parametrize(
    ("losses", "harms"),
    [
        ([2.0] * 30, None),
        ([0.0] * 30, None),
        (np.random.default_rng(0).normal(2, 0.2, 100), None),
        (np.random.default_rng(1).normal(2, 0.2, 1000), None),
        ([2.0] * 20 + [2.1, 2.3, 3.0, 4.0], 21),  # above 2.2
        (np.linspace(1, 3, 40), 4),  # a tenth above 1.08, the mean of the first tenth
        ([2.0, 9.0], 1),
        ([2.0, math.inf], 1),
    ],
)
def test_nothing_is_suggested_for_a_loss_that_never_falls(losses, harms):
    result = fixed(losses)
    assert result.phases == (None, None if harms is None else result.lrs[harms])
    assert (result.suggestion, result.suggestions) == (None, NOTHING)


@pytest.mark.parametrize("n", [2, 3, 6, 12])
def test_short_tests_have_a_result(n):
    result = Loop([1.0 / (i + 1) for i in range(n)]).find(steps=n)
    assert result.lrs[1] <= result.suggestion <= result.lrs[-1]
    assert result.phases == (result.lrs[1], None)


def test_to_dict_is_json():
    result = Loop([2.0, 1.0, math.inf]).find(steps=30, lr_min=1e-3, lr_max=1.0)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["losses"] == [2.0, 1.0, None]
    assert told["smoothed"][-1] is None
    assert told["lrs"] == list(result.lrs)
    assert told["diverged"] is True
    assert told["suggestion"] == result.suggestion == result.lrs[1]
    assert told["suggestions"] == result.suggestions
    assert told["phases"] == {"learns": result.lrs[1], "harms": result.lrs[2]}


def test_the_result_is_frozen_comparable_and_short_in_print():
    result = fixed([3.0, 2.0, 1.0])
    with pytest.raises(AttributeError):
        result.steps = 4
    assert result == fixed([3.0, 2.0, 1.0])
    assert repr(result) == "RangeTest(mode='exponential', steps=3, diverged=False)"


def test_plot():
    pytest.importorskip("matplotlib", reason="draws with matplotlib")
    lrs, losses = curve()
    result = fixed([*losses, math.inf], lrs=[*lrs, 20.0])
    (ax,) = result.plot(title="Range test of a curve").axes
    assert ax.get_title(loc="left") == "Range test of a curve"
    assert f"recommended: {result.suggestion:.2g}" in [text.get_text() for text in ax.get_legend().texts]


# ---- no trace


def plateau():
    schedule = ReduceOnPlateau(0.05, patience=0)
    schedule.update(1.0)
    schedule.update(2.0)
    return schedule


def groups(net, **first):
    """Three groups with hyper-parameters of their own, over the layers' arrays."""
    dense0, dense1 = net.layers[0], net.layers[3]
    return [
        {"params": [dense0.weight, dense0.bias], **first},
        {"params": dense1.bias, "lr": 0.03},
        {"params": {"w": dense1.weight}, "lr": InverseTimeDecay(0.1, 0.1)},
    ]


#: A number, schedules (one within another) with and without state, and groups: what is put back differs.
OPTIMIZERS = {
    "number": lambda net: fastopt.Adam(net.params, amsgrad=True),
    "plateau": lambda net: fastopt.Adam(net.params, lr=Warmup(plateau(), 5)),
    "groups": lambda net: fastopt.Adam(groups(net, lr=CosineAnnealing(0.1, 50))),
    "groups-plateau": lambda net: fastopt.SGD(groups(net, lr=plateau()), momentum=0.9),
}


def bits(net, optimizer):
    """Everything that a range test could change, and which schedules are in place."""
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    state |= {f"optimizer.{key}": value for key, value in optimizer.state_dict().items()}
    state |= {"grads": net.grads}
    rates = [id(group.lr) if callable(group.lr) else group.lr for group in optimizer.groups]
    return {key: np.asarray(value).tobytes() for key, value in state.items()}, rates


def train(net, optimizer):
    net.fit(*data(), optimizer=optimizer, epochs=2, batch_size=16)


@pytest.fixture(params=sorted(OPTIMIZERS))
def make(request):
    """What makes a network in the middle of its training, and its optimizer."""

    def make():
        net = network()
        optimizer = OPTIMIZERS[request.param](net)
        train(net, optimizer)
        return net, optimizer

    return make


@pytest.mark.parametrize("lr_max", [1e-2, 1e4])
def test_network_and_optimizer_are_restored_to_the_bit(make, lr_max):
    net, optimizer = make()
    before = bits(net, optimizer)
    result = lr_find(net, optimizer, *data(), batch_size=16, steps=40, lr_max=lr_max)
    assert len(result.losses) > 5
    assert bits(net, optimizer) == before


def test_training_goes_on_as_if_there_had_been_no_test(make):
    tested, plain = make(), make()
    lr_find(*tested, *data(), batch_size=16, steps=30, seed=None)
    verify(*tested, *data(), 0.1, batch_size=16, steps=5, seed=None)
    train(*tested)
    train(*plain)
    assert bits(*tested)[0] == bits(*plain)[0]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("find", [lr_find, lambda *args, **settings: verify(*args, 0.1, **settings)])
def test_an_exception_restores_too(find, error):
    net = network()
    optimizer = OPTIMIZERS["groups-plateau"](net)
    train(net, optimizer)
    before = bits(net, optimizer)

    def progress(done, steps):
        if done == 7:
            assert bits(net, optimizer) != before
            raise error

    with pytest.raises(error):
        find(net, optimizer, *data(), batch_size=16, progress=progress)
    assert bits(net, optimizer) == before


main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals need the main thread"
)


@main_thread
def test_ctrl_c_lets_the_step_finish_and_restores():
    weights = np.ones(3)
    optimizer = fastopt.SGD(weights)
    finished = []

    def step():
        optimizer.step(weights.copy())
        if len(finished) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        finished.append(True)
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        lr_find_step(step, optimizer)
    assert len(finished) == 4
    assert (weights == 1).all()
    assert optimizer.steps == 0
    assert optimizer.lr == 1e-3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@main_thread
@pytest.mark.parametrize("find", [lr_find, lambda *args, **settings: verify(*args, 0.1, **settings)])
def test_ctrl_c_lets_the_update_of_a_network_finish_and_restores(find):
    net = network()
    optimizer = fastopt.Adam(net.params)
    before, seen = bits(net, optimizer), []

    def progress(done, steps):
        seen.append(done)
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        find(net, optimizer, *data(), progress=progress)
    assert seen == [1, 2, 3]
    assert bits(net, optimizer) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@main_thread
def test_a_second_ctrl_c_breaks_a_step_that_hangs_and_nothing_else():
    loop = Loop([])
    slept = []

    def hangs():
        loop.state = "changed"
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)
            slept.append(True)
        time.sleep(60)

    def restore(saved):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)
        loop.restore(saved)

    with pytest.raises(KeyboardInterrupt):
        lr_find_step(hangs, set_lr=loop.lrs.append, save=lambda: loop.state, restore=restore)
    assert len(slept) == 1
    assert loop.state == "before"


@main_thread
def test_another_handler_of_ctrl_c_is_left_alone():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        loop = Loop([1.0] * 3)
        loop.find(steps=3, progress=lambda *_: os.kill(os.getpid(), signal.SIGINT))
        assert len(seen) == 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_works_outside_the_main_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(Loop([1.0] * 3).find(steps=3)))
    thread.start()
    thread.join()
    assert results[0].losses == (1.0, 1.0, 1.0)


# ---- with the trainer


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_test_is_a_run_of_fit_with_the_rates_as_its_schedule(clip_norm, shuffle):
    X, y = data()
    settings = {"batch_size": 16, "shuffle": shuffle, "seed": 5, "clip_norm": clip_norm}
    net = network()
    result = lr_find(net, fastopt.Adam(net.params), X, y, steps=40, early_stop_threshold=None, **settings)
    twin, losses = network(), []
    note = LambdaCallback(on_batch_end=lambda run: losses.append(run.loss))
    schedule = fastopt.Adam(twin.params, lr=lambda step: result.lrs[step])
    twin.fit(X, y, optimizer=schedule, epochs=10, callbacks=[note], **settings)
    assert list(result.losses) == losses


def test_the_suggestion_trains():
    X, y = data()
    net = network(dropout=0.0)
    optimizer = fastopt.SGD(net.params, momentum=0.9)
    before = net.evaluate(X, y)["loss"]
    optimizer.lr = lr_find(net, optimizer, X, y, batch_size=16).suggestion
    net.fit(X, y, optimizer=optimizer, epochs=10, batch_size=16)
    assert net.evaluate(X, y)["loss"] < before / 3


def test_an_overflowing_gradient_ends_a_test_with_clipping():
    net = nn.Network([nn.Dense(1, 1), nn.Dense(1, 1)], loss=nn.MeanAbsoluteError(), dtype="float32")
    net.layers[0].weight[...], net.layers[1].weight[...] = 1e-38, 10.0  # predicts 30, with the gradient 10 * 3e38
    optimizer = fastopt.SGD(net.params)
    before = bits(net, optimizer)
    result = lr_find(net, optimizer, [[3e38]], [[0.0]], clip_norm=1.0)
    assert result.losses == pytest.approx((30.0,), rel=1e-6)
    assert result.diverged
    assert result.suggestion is None
    with pytest.raises(FloatingPointError, match=r"all trainings diverged, with rates from 9\.8e-06 on"):
        verify(net, optimizer, [[3e38]], [[0.0]], 1.0, clip_norm=1.0)
    assert bits(net, optimizer) == before


def test_a_first_loss_of_a_network_that_is_not_finite_is_an_error():
    X, y = data()
    net = network()
    net.params[...] = 1e30
    optimizer = fastopt.SGD(net.params)
    before = bits(net, optimizer)
    for find in (lr_find, lambda *args: verify(*args, 0.1)):
        with pytest.raises(FloatingPointError, match="before any update: check that data and weights are finite"):
            find(net, optimizer, X, y)
    assert bits(net, optimizer) == before


# ---- verification


def parabola():
    """Return a network with loss (w - 3)^2 + b^2: each update of SGD multiplies w - 3 and b by 1 - 2 lr."""
    X = np.array([[-1.0], [1.0]])
    net = nn.Network([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), dtype="float64")
    net.layers[0].weight[...], net.layers[0].bias[...] = 2.0, 0.0
    return net, fastopt.SGD(net.params, lr=0.3), X, 3 * X


@pytest.mark.parametrize(
    ("lr", "powers"),
    [
        (0.5, [-1, -0.5, 0, 0.5, 1]),
        (0.5 / 9, [-1, 0, 1, 1.5, 2, 2.5, 3]),
        (0.5 * 9, [-3, -2.5, -2, -1.5, -1, 0, 1]),
    ],
)
def test_verification_goes_on_until_the_best_rate_lies_between_others(lr, powers):
    best, losses = verify(*parabola(), lr, steps=20)
    assert list(losses) == pytest.approx([lr * 3.0**power for power in powers], rel=1e-15)
    assert best == pytest.approx(0.5)
    assert losses[best] < 1e-25
    assert all((loss < 1) == (rate < 1) for rate, loss in losses.items())


def test_verification_goes_down_from_rates_that_diverge():
    best, losses = verify(*parabola(), 0.5 * 81, steps=1100)  # 2^2200, the loss at rate 1.5, is not finite
    assert {rate for rate, loss in losses.items() if loss == math.inf} == {rate for rate in losses if rate > 1}
    assert len(losses) == 9
    assert best < 1


def test_verification_measures_the_end_of_each_training():
    # Losses (1 - 2 lr)^(2 i) of updates 0 ... 7; the last quarter are the last two.
    _, losses = verify(*parabola(), 0.3, steps=8)
    assert list(losses) == pytest.approx([0.1, 0.1 * 3**0.5, 0.3, 0.3 * 3**0.5, 0.9])
    for rate, loss in losses.items():
        shrinks = (1 - 2 * rate) ** 2
        assert loss == pytest.approx((shrinks**6 + shrinks**7) / 2)


def test_verification_of_a_loss_that_does_not_move_keeps_the_rate():
    net, optimizer, X, _ = parabola()
    net.params[...] = 0.0
    assert verify(net, optimizer, X, 0 * X, 0.01, steps=4)[0] == 0.01


def test_verification_prefers_the_lower_of_rates_that_do_as_well():
    # The bias b has to fit 0 and 2: the loss is 1 + (b - 1)^2, before update i = 0 ... 3 it is 1 + (1 - 2 lr)^(2 i).
    net, optimizer, X, _ = parabola()
    best, losses = verify(net, optimizer, 0 * X, np.array([[0.0], [2.0]]), 0.45, steps=4)
    expected = [1 + (1 - 2 * rate) ** 6 for rate in losses]
    assert list(losses.values()) == pytest.approx(expected)
    assert expected == pytest.approx([1.1176, 1.0122, 1.0000, 1.0305, 25.14], rel=1e-3)
    assert best == pytest.approx(0.45 / 3**0.5)  # a tenth of what was gained, 2 - 1, is 0.1


def test_verification_counts_its_updates():
    seen = []
    verify(*parabola(), 0.5 / 3, steps=5, progress=lambda *counts: seen.append(counts))
    assert seen == [(i + 1, 25 if i < 25 else 30) for i in range(30)]
    seen.clear()
    _, losses = verify(*parabola(), 0.1, steps=3, batch_size=1, progress=lambda *counts: seen.append(counts))
    assert len(seen) == 3 * len(losses)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr": 0.0}, ValueError, "lr: expected a finite number > 0, got 0.0"),
        ({"steps": 0}, ValueError, "steps: expected an integer >= 1, got 0"),
        ({"progress": 3}, TypeError, "progress: expected a function, got 3"),
        ({"optimizer": "adam"}, TypeError, "optimizer: expected one of fastopt, got 'adam'"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1, got 0"),
    ],
)
def test_settings_of_a_verification_out_of_range(settings, error, message):
    net, optimizer, X, y = parabola()
    with pytest.raises(error, match=message):
        verify(**{"net": net, "optimizer": optimizer, "X": X, "y": y, "lr": 0.1, **settings})
    assert optimizer.lr == 0.3


# ---- with somebody else's


def test_an_optimizer_with_gradients_of_ones_own():
    weights, bias = np.full(3, 2.0), np.ones(1)
    optimizer = fastopt.SGD({"w": weights, "b": bias}, lr=InverseTimeDecay(0.1, 0.5), momentum=0.9)
    optimizer.step({"w": weights.copy(), "b": bias.copy()})
    before = (weights.tobytes(), bias.tobytes(), optimizer.lr, optimizer.steps)
    schedule = optimizer.schedule
    counter = {"steps": 0}

    def step():
        counter["steps"] += 1
        loss = float(weights @ weights + bias @ bias)
        optimizer.step({"w": 2 * weights, "b": 2 * bias})
        return loss

    result = lr_find_step(
        step,
        optimizer,
        save=counter.copy,
        restore=counter.update,
        lr_min=1e-3,
        lr_max=1e3,
    )
    assert result.diverged
    assert min(result.losses) < result.losses[0] / 2
    assert (weights.tobytes(), bias.tobytes(), optimizer.lr, optimizer.steps) == before
    assert optimizer.schedule is schedule
    assert counter == {"steps": 0}


def test_a_loop_of_torch():
    torch = pytest.importorskip("torch", reason="is the somebody else")
    import copy

    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    X, y = (torch.tensor(a) for a in data())

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def set_lr(lr):
        for group in optimizer.param_groups:
            group["lr"] = lr

    def restore(saved):
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])

    before = model.weight.detach().clone()
    result = lr_find_step(
        step,
        set_lr=set_lr,
        save=lambda: copy.deepcopy((model.state_dict(), optimizer.state_dict())),
        restore=restore,
    )
    assert 1e-3 < result.suggestion < 10
    assert torch.equal(model.weight, before)
    assert optimizer.param_groups[0]["lr"] == 0.1


# ---- bad input


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr_min": 0.0}, ValueError, "lr_min: expected a finite number > 0, got 0.0"),
        ({"lr_max": math.inf}, ValueError, "lr_max: expected a finite number > 0, got inf"),
        ({"lr_min": math.nan}, ValueError, "lr_min: expected a finite number > 0, got nan"),
        ({"lr_min": "1"}, TypeError, "lr_min: expected a finite number > 0, got '1'"),
        ({"lr_min": 1.0, "lr_max": 1.0}, ValueError, "lr_min: expected less than lr_max = 1.0"),
        ({"steps": 1}, ValueError, "steps: expected an integer >= 2, got 1"),
        ({"steps": 10.0}, TypeError, "steps: expected an integer >= 2, got 10.0"),
        ({"mode": "log"}, ValueError, "mode: expected one of 'exponential', 'linear', got 'log'"),
        (
            {"early_stop_threshold": 1.0},
            ValueError,
            "early_stop_threshold: expected a finite number > 1",
        ),
        ({"progress": 3}, TypeError, "progress: expected a function, got 3"),
    ],
)
def test_settings_out_of_range(settings, error, message):
    loop = Loop([1.0] * 200)
    with pytest.raises(error, match=message):
        loop.find(**settings)
    net = network()
    with pytest.raises(error, match=message):
        lr_find(net, fastopt.SGD(net.params), *data(), **settings)
    assert loop.lrs == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1, got 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size: expected an integer >= 1, got 2.5"),
        ({"shuffle": "yes"}, TypeError, "shuffle: expected True or False, got 'yes'"),
        ({"seed": -1}, ValueError, "seed: expected an integer >= 0, got -1"),
        ({"clip_norm": 0}, ValueError, "clip_norm: expected a finite number > 0, got 0"),
        ({"X": np.ones((60, 3))}, ValueError, "X: expected shape"),
        ({"y": np.zeros(3, int)}, ValueError, "y: expected 60 rows"),
        (
            {"optimizer": fastopt.SGD(np.ones(3))},
            ValueError,
            "optimizer: expected one made for net",
        ),
        ({"optimizer": "adam"}, TypeError, "optimizer: expected one of fastopt, got 'adam'"),
    ],
)
def test_arguments_of_the_trainer_out_of_range(settings, error, message):
    net = network()
    X, y = data()
    arguments = {"optimizer": fastopt.SGD(net.params), "X": X, "y": y, **settings}
    with pytest.raises(error, match=message):
        lr_find(net, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": None}, "step: expected a function, got None"),
        ({"set_lr": 0.1}, "set_lr: expected a function, got 0.1"),
        ({"save": None}, "save, restore: expected both or neither"),
        ({"save": None, "restore": None}, "optimizer: expected one of fastopt, or set_lr"),
        ({"set_lr": None}, "optimizer: expected one of fastopt, or set_lr"),
        ({"optimizer": fastopt.SGD(np.ones(1))}, "set_lr: expected none beside an optimizer"),
        ({"optimizer": object()}, "optimizer: expected one of fastopt, got <object"),
    ],
)
def test_functions_that_do_not_fit(arguments, message):
    given = {"step": lambda: 1.0, "set_lr": print, "save": dict, "restore": print}
    with pytest.raises(TypeError, match=message):
        lr_find_step(**given | arguments)


@pytest.mark.parametrize("value", [None, "1.0", [1.0, 2.0], 1j])
def test_a_step_that_does_not_return_a_loss(value):
    loop = Loop([1.0, value])
    with pytest.raises(TypeError, match="step: expected it to return the loss, a number, got"):
        loop.find()
    assert loop.state == "before"


@pytest.mark.parametrize("value", [1, np.float32(1), np.array(1.0)])
def test_losses_of_any_numeric_type(value):
    losses = Loop([value] * 3).find(steps=3).losses
    assert losses == (1.0, 1.0, 1.0)
    assert all(type(loss) is float for loss in losses)
