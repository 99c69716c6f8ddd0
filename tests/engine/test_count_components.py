"""The component counter finds the known counts and is told none of them."""

import math

import pytest
import torch

import engine
from engine.count import draw, inputs, sample, unseen
from engine.count.draw import minima
from engine.count.join import MEANS
from engine.count.level_set import Damped, LevelSet
from engine.count.walk import certify, walk
from engine.network.fully_connected import Network
from engine.symmetry import linear
from engine.types import Split

SKIP = 1.0


def data(widths, seed, samples=None):
    generator = torch.Generator().manual_seed(seed)
    samples = samples or widths[0]
    return tuple(
        torch.randn(samples, width, generator=generator, dtype=torch.float64) for width in widths[:: len(widths) - 1]
    )


def check(found, x, y, count):
    samples = len(found.group)
    assert found.count == count == len(set(found.group.tolist()))
    assert found.group.shape == (samples,)
    for join in found.joins:
        assert found.group[join.a] == found.group[join.b]
        assert join.loss_max <= found.loss_min + 1e-6 * y.square().sum()
        assert join.how in (*MEANS, "detour")
        assert found.tried["walk" if join.how == "detour" else join.how] > 0
    # the joins are enough to grow the components, and the walks between those left apart were tried
    assert len({frozenset((join.a, join.b)) for join in found.joins}) >= samples - count
    assert found.attempts.shape == (count, count)
    assert all(found.attempts[a, b] >= 24 for a in range(count) for b in range(count) if a != b)
    assert 0 < found.missed < 1


@pytest.mark.parametrize(
    ("widths", "count"),
    [
        ([1, 1, 1], 2),  # 2^(l-1), Cor. 4.2 of Zhao et al. 2025
        ([2, 2, 2], 2),
        ([3, 3, 3], 2),
        ([2, 2, 2, 2], 4),
        ([4, 4, 4, 4], 4),
        ([3, 2, 2, 3], 4),  # 2^b, Trager et al. 2020: two layers as narrow as the rank
        ([2, 3, 2, 2], 2),  # one of two
        ([2, 3, 2], 1),  # none
    ],
    ids=str,
)
def test_linear_networks_have_two_components_per_narrowest_layer(widths, count, monkeypatch):
    """The groups are those of the signs of determinants, where all have one; no label is read."""
    monkeypatch.setattr(linear, "label", lambda *args: pytest.fail("the counter read a label"))
    x, y = data(widths, seed=3)
    found = engine.count_components(widths, x, y, samples=48, seed=1)
    check(found, x, y, count)
    if len(set(widths)) == 1:
        signs = [torch.linalg.slogdet(layer).sign.int().tolist() for layer in found.weights.layers[:-1]]
        signs = list(zip(*signs, strict=True))
        assert len(set(zip(signs, found.group.tolist(), strict=True))) == len(set(signs)) == count


@pytest.mark.parametrize("seed", range(2))
def test_a_skip_joins_two_of_four_components_of_scalars(seed):  # Prop. 4.3
    x, y = data([1, 1, 1, 1], seed)
    check(engine.count_components([1, 1, 1, 1], x, y, skip=SKIP, seed=seed), x, y, 3)
    check(engine.count_components([1, 1, 1, 1], x, y, seed=seed), x, y, 4)


def of_two_skips(w):
    """Which of 9 components of five scalar layers with two skips: ``W_2 W_1 > -1``, or below with either sign; twice.

    ``W_5 (W_4 W_3 + 1) (W_2 W_1 + 1) x = y`` has a solution ``W_5`` wherever no factor vanishes.
    """
    return [torch.where(b * a > -1, 0, a.sign()).int().tolist() for a, b in (w[:, :2].T, w[:, 2:4].T)]


def test_rare_components_are_met():
    """Four of these nine hold one minimum in a hundred or fewer."""
    x, y = data([1] * 6, seed=0)
    found = engine.count_components([1] * 6, x, y, skip=SKIP)
    check(found, x, y, 9)
    signs = zip(*of_two_skips(torch.cat([layer.flatten(1) for layer in found.weights.layers], dim=1)), strict=True)
    assert len({(*pair, group) for pair, group in zip(signs, found.group.tolist(), strict=True)}) == 9


def test_what_was_missed_lies_below_the_bound():
    """Over samples of few minima, with components that are told apart by their formula: too high in at most 5 %."""
    level = LevelSet.of(Network((1,) * 6, "linear", SKIP, False, "sse"), *data([1] * 6, seed=0))

    def components(w):
        return list(zip(*of_two_skips(w), strict=True))

    all_of_them = components(minima(level, 1500, torch.Generator().manual_seed(1))[1])
    failures, far, plain = 0, 0, 0
    for seed in range(20):
        _, w, *_ = sample(level, 16, seed)
        met = components(w)
        missed = sum(component not in met for component in all_of_them) / len(all_of_them)
        failures += missed > unseen(met, 0.95)
        far += len(set(met[:6]))
        plain += len(set(met[6:12]))
    assert failures <= 0.05 * 20
    assert far > 1.3 * plain


@pytest.mark.parametrize("means", [("symmetry",), ("walk",), ("line", "learned")], ids=str)
def test_each_means_joins_within_components_alone(means):
    x, y = data([3, 3, 3], seed=3)
    found = engine.count_components([3, 3, 3], x, y, samples=24, seed=1, means=means)
    signs = torch.linalg.slogdet(found.weights.layers[0]).sign.int().tolist()
    assert len(set(zip(signs, found.group.tolist(), strict=True))) == found.count
    assert {join.how for join in found.joins} <= {*means, "detour"} and set(found.tried) == set(means)
    # learned curves are found between some of the pairs only
    assert found.count == 2 if "learned" not in means else 2 <= found.count < 24


@pytest.mark.parametrize(
    ("widths", "activation", "count"), [([2, 2, 1], "relu", 2), ([3, 3, 2], "relu", 6), ([2, 2, 2], "tanh", 8)], ids=str
)
def test_units_that_data_determine_are_permuted_and_flipped(widths, activation, count):
    """On enough outputs of such a network its symmetry is all there is: rescalings join, orders and signs do not."""
    network = Network(tuple(widths), activation, 0.0, False, "sse")
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(24, widths[0], generator=generator, dtype=torch.float64)
    y = network.outputs(network.random(generator), x)[0]
    found = engine.count_components(widths, x, y, activation=activation, samples=32)
    check(found, x, y, count)
    assert ("symmetry" in {join.how for join in found.joins}) == (activation == "relu")


def test_many_samples_of_higher_dimension_leave_loss_and_the_counts_stay(monkeypatch):
    """More samples than features, outputs of low rank: the least loss is not zero (Trager et al. 2020).

    That the second singular value is near the first takes no more steps.
    """
    x, y = data([4, 1, 3, 2], seed=2, samples=30)
    fitted = x @ torch.linalg.pinv(x) @ y
    left, _, right = torch.linalg.svd(fitted, full_matrices=False)
    values = torch.tensor([2.0, 1.998], dtype=torch.float64)
    y = y - fitted + (left * values) @ right
    monkeypatch.setattr(draw, "ITERATIONS", 200)
    found = engine.count_components([4, 1, 3, 2], x, y, samples=32)
    check(found, x, y, 2)
    lost = float(values[1] ** 2 + (y - x @ torch.linalg.pinv(x) @ y).square().sum())
    assert found.loss_min == pytest.approx(lost, rel=1e-9)
    (loss,) = Network((4, 1, 3, 2), "linear", 0.0, False, "sse").loss(found.weights, Split(x, y), ("sse",))
    assert loss.tolist() == pytest.approx([lost] * 32, rel=1e-9)


def test_targets_of_low_rank_join_what_square_layers_hold_apart():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    y = torch.outer(*torch.randn(2, 3, generator=generator, dtype=torch.float64))
    check(engine.count_components([3, 3, 3], x, y, samples=32), x, y, 1)


def test_a_nonlinear_network_with_more_units_than_samples_is_connected():
    x, y = data([2, 6, 1], seed=1, samples=3)
    check(engine.count_components([2, 6, 1], x, y, activation="tanh", samples=16), x, y, 1)


def test_the_same_seed_gives_the_same_result():
    x, y = data([2, 2, 2], seed=0)
    first, again = (engine.count_components([2, 2, 2], x, y, samples=16, seed=4) for _ in range(2))
    assert first.joins == again.joins
    assert torch.equal(first.weights.layers[0], again.weights.layers[0])


def test_a_path_through_a_thin_barrier_is_not_certified():
    """The chord from W_1 = 1e-3 to -1e-3 is low at both ends and at most points between them."""
    x, y = data([1, 1, 1], seed=0)
    level = LevelSet.of(Network((1, 1, 1), "linear", 0.0, False, "sse"), x, y)
    product = float(y / x)
    ends = torch.tensor([[1e-3, product * 1e3], [-1e-3, -product * 1e3]], dtype=torch.float64)
    assert level.loss(ends).max() < 1e-20
    allowed = 1e-6 * level.scale
    assert certify(level, [ends], allowed).isinf().all()
    along = torch.stack([ends[0], ends[0] * torch.tensor([1.2, 1 / 1.2], dtype=torch.float64)])
    assert certify(level, [along], allowed) <= allowed


def test_chords_are_bounded_between_their_nodes():
    """The bound holds on 4096 points of chords whose loss swings."""
    x, y = data([3, 3, 3, 3], seed=0)
    network = Network((3, 3, 3, 3), "linear", SKIP, False, "sse")
    level = LevelSet.of(network, x, y)
    a, b = (
        torch.randn(20, level.size, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in (0, 1)
    )
    t = torch.linspace(0, 1, 4096, dtype=torch.float64).expand(20, -1)
    (loss,) = network.line_loss(level.stack(a), level.stack(b), level.split, t, ("sse",))
    bound = level.chord_loss(a, b)
    assert (loss.max(1).values <= bound).all()
    assert (bound <= 1.5 * loss.max(1).values).all()


@pytest.mark.parametrize("activation", ["linear", "tanh", "relu_squared"])
def test_the_jacobian_is_the_derivative(activation):
    x, y = data([3, 4, 2, 4, 3, 2], seed=0, samples=5)
    level = LevelSet.of(Network((3, 4, 2, 4, 3, 2), activation, SKIP, False, "sse"), x, y)
    w = torch.randn(2, level.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    residuals, jacobian = level.linearise(w)
    assert torch.equal(residuals, level.residuals(w))
    for i in range(2):
        wanted = torch.autograd.functional.jacobian(lambda v: level.residuals(v[None])[0], w[i])
        assert torch.allclose(jacobian[i], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_damped_steps_solve_the_normal_equations(shape):
    jacobian = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    right = torch.randn(2, shape[0], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = Damped(jacobian, 1e-14).solve(right)
    assert torch.allclose(step, (torch.linalg.pinv(jacobian) @ right[..., None])[..., 0], rtol=1e-9)


def test_a_walk_ends_at_a_barrier_and_on_the_minimum():
    x, y = data([1, 1, 1], seed=0)
    level = LevelSet.of(Network((1, 1, 1), "linear", 0.0, False, "sse"), x, y)
    root = math.sqrt(abs(float(y / x)))
    sign = math.copysign(1.0, float(y / x))
    start = torch.tensor([[root, sign * root]] * 2, dtype=torch.float64)
    goal = torch.stack([-start[0], torch.tensor([3 * root, sign * root / 3], dtype=torch.float64)])
    walked = walk(level, start, goal, 1e-6 * level.scale)
    assert walked.arrived.tolist() == [False, True]
    assert (walked.at[0] * start[0] > 0).all()
    assert all(level.loss(points).max() <= 1e-9 * level.scale for points in walked.points)


def test_the_share_that_was_missed_is_bounded_with_the_confidence_asked_for():
    """Groups of very different size, many of them rare: the bound fails in at most 5 % of samples."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.5, 0.2, 0.1] + [0.2 / 40] * 40, dtype=torch.float64)
    failures = 0
    for _ in range(400):
        group = torch.multinomial(shares, 64, replacement=True, generator=generator).tolist()
        missed = float(sum(share for k, share in enumerate(shares.tolist()) if k not in group))
        failures += missed > unseen(group, 0.95)
    assert failures <= 0.05 * 400
    assert unseen([0] * 64, 0.95) == pytest.approx(1 - 0.05 ** (1 / 32), rel=1e-9)
    assert unseen([0], 0.95) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "mse"}, "loss='mse' is unknown, expected one of sse"),
        ({"activation": "rleu"}, "Did you mean 'relu'"),
        ({"means": ["line", "wlak"]}, "means='wlak' is unknown, expected one of line, symmetry, walk, learned"),
        ({"samples": 0}, "samples=0, expected at least 1"),
        ({"widths": [2, 2, 3]}, r"y has shape \(2, 2\), expected \(2, 3\)"),
        ({"widths": [3, 2, 2]}, r"x has shape \(2, 2\), expected \(N, 3\)"),
        ({"widths": [2]}, r"widths=\[2\], expected d_0 … d_l"),
        ({"y": torch.zeros(2, 2)}, "y is zero"),
        ({"x": torch.full((2, 2), torch.nan)}, "not finite"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    x, y = data([2, 2, 2], seed=0)
    with pytest.raises(ValueError, match=message):
        engine.count_components(**({"widths": [2, 2, 2], "x": x, "y": y} | arguments))


@pytest.mark.slow  # 1640 fits
def test_a_minimum_that_is_never_reached_is_said():
    """Two ReLU units on twelve random samples: starting points end in many different local minima."""
    x, y = data([2, 2, 1], seed=0, samples=12)
    with pytest.raises(ValueError, match="of 1640 random starting points reached the least loss"):
        engine.count_components([2, 2, 1], x, y, activation="relu", samples=64)


@pytest.mark.slow  # python -m pytest -m slow tests/engine/test_count_components.py: two minutes
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_square_networks_over_seeds_and_data(width, depth, seed):
    widths = [width] * (depth + 1)
    x, y = data(widths, seed=100 + seed)
    assert engine.count_components(widths, x, y, seed=seed).count == 2 ** (depth - 1)


@pytest.mark.parametrize(
    ("widths", "activation", "skip", "count"),
    [
        ([6, 2, 2], "linear", 0.0, 2),
        ([5, 1, 1, 2], "linear", 0.0, 4),
        ([5, 2, 1, 2, 1, 2], "linear", 1.0, 4),  # W_5 of either sign, and W_4 W_3 above or below -1
        ([5, 2, 1], "relu", 0.0, None),
    ],
    ids=str,
)
def test_inputs_that_no_component_depends_on_change_no_count(monkeypatch, widths, activation, skip, count):
    """Against the search among networks with all of them; the minima are those of the networks asked for."""
    generator = torch.Generator().manual_seed(4)
    network = Network(tuple(widths), activation, skip, False, "sse")
    x = torch.randn(12, widths[0], generator=generator, dtype=torch.float64)
    x[:, -1] = x[:, 0] - x[:, 1]
    y = network.outputs(network.random(generator), x)[0]
    if activation == "linear":
        y = y + 0.3 * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    directions = inputs.needed(network, x, y)
    assert len(directions) == (widths[-1] if activation == "linear" else 4)
    options = {"activation": activation, "skip": skip, "samples": 24, "attempts": 6}
    found = engine.count_components(widths, x, y, **options)
    monkeypatch.setattr(inputs, "needed", lambda *args: None)
    plain = engine.count_components(widths, x, y, **options)
    assert found.count == plain.count == (count or plain.count) and found.count > 1
    assert found.loss_min == pytest.approx(plain.loss_min, rel=1e-9, abs=1e-20)
    assert [layer.shape[1:] for layer in found.weights.layers] == [layer.shape[1:] for layer in plain.weights.layers]
    loss = network.loss(found.weights, Split(x, y), ("sse",))[0]
    torch.testing.assert_close(
        loss, torch.full_like(loss, plain.loss_min), rtol=1e-9, atol=1e-12 * float(y.square().sum())
    )


def test_all_inputs_are_needed_where_a_skip_starts_at_them_or_the_targets_span_them():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(9, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    assert inputs.needed(Network((3, 3, 3), "linear", 0.0, False, "sse"), x, y) is None
    assert len(inputs.needed(Network((3, 3, 1), "linear", 0.0, False, "sse"), x, y[:, :1])) == 1
    assert inputs.needed(Network((3, 2, 3, 1), "linear", 1.0, False, "sse"), x, y[:, :1]) is None
    # of one input a skip would start, where of three there is none
    assert inputs.needed(Network((3, 1, 1, 1, 1), "linear", 1.0, False, "sse"), x, y[:, :1]) is None
    assert inputs.needed(Network((3, 2, 1), "linear", 0.0, False, "sse"), x, torch.zeros(9, 1).double()) is None
