"""The closed forms of Zhao et al. 2025, section 5.2, against measured losses and against the paper's numbers."""

import pytest
import stacks
import torch

from engine import predict, walk
from engine.path.linear import Path
from engine.types import Data

FACTORS = (1e-3, 0.5, 1.0, 2.0, 10.0, 1000.0)


def measured_and_predicted(net, pairs, split):
    """Excess over end a along the straight line, as the kernels and as the closed form give it: t, two (K, T)."""
    line = predict.line(net, pairs)
    t = torch.linspace(0, 1, 11, dtype=torch.float64).expand(len(pairs), -1)
    if line.maximiser() is not None:
        t = torch.cat([t, line.maximiser()], dim=1)
    (loss,) = Path(net, pairs).loss(split, t, (net.loss_name,))
    return t, loss - loss[:, :1], line.rise(split, t, net.loss_name), loss


@pytest.mark.parametrize("per_neuron", [False, True], ids=["layer", "neuron"])
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
@pytest.mark.parametrize("activation", ["linear", "relu", "leaky_relu", "relu_squared"])
@pytest.mark.parametrize("depth", [2, 4])
def test_measured_is_predicted_to_rounding(depth, activation, loss, bias, per_neuron):
    net = stacks.network(depth, 5, activation, bias=bias, loss=loss)
    pairs = stacks.related(net, stacks.stack(net, 3), "rescaling", FACTORS, per_neuron)
    _, measured, predicted, values = measured_and_predicted(net, pairs, stacks.split(net))
    torch.testing.assert_close(measured, predicted, rtol=1e-11, atol=1e-13 * float(values.max()))
    assert float(predicted.max()) > 50  # the barrier is really there


@pytest.mark.parametrize("activation", ["relu", "relu_squared"])
def test_a_disturbed_end_moves_what_is_measured_and_leaves_what_is_predicted(activation):
    net = stacks.network(3, 5, activation, loss="mse")
    pairs = stacks.related(net, stacks.stack(net, 2), "rescaling", (10.0,))
    split = stacks.split(net)
    walked = [walk.follow(Path(net, pairs), Data(split, None, 3), ("mse",), 11, 1e-3, None)]
    predicted = [predict.line(net, pairs).rise(split, torch.full((2, 1), 0.5, dtype=torch.float64), "mse")]
    pairs.b.layers[1][0, 2, 1] += 0.3
    walked.append(walk.follow(Path(net, pairs), Data(split, None, 3), ("mse",), 11, 1e-3, None))
    predicted.append(predict.line(net, pairs).rise(split, torch.full((2, 1), 0.5, dtype=torch.float64), "mse"))
    assert torch.equal(*predicted)
    barrier = [
        [walk.excess(t, loss).max() for t, loss in zip(w.t, w.losses["train"]["mse"], strict=True)] for w in walked
    ]
    assert abs(barrier[1][0] - barrier[0][0]) > 1e-4 * barrier[0][0]
    assert barrier[1][1] == barrier[0][1]


def test_the_papers_numbers_at_the_midpoint():
    """Loss over ‖Y‖² at a zero-loss minimum, k = 1: 0, 0.015625, 4.1006, 600.4, 62250 for m = 1 … 1000."""
    m = torch.tensor([1.0, 2, 10, 100, 1000], dtype=torch.float64)
    half = torch.full_like(m, 0.5)
    expected = [(1 - 0.25 * (1 + 1 / x) * (1 + x)) ** 2 for x in m.tolist()]
    got = predict.excess(half, m, 1) ** 2
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)
    assert [float(f"{value:.5g}") for value in got[1:].tolist()] == [0.015625, 4.1006, 600.37, 62250]


def test_the_growth_is_that_of_the_theorem():
    """m²/16 at the midpoint for k = 1; (4/27)² m⁴ near t = 2/3 for k = 2, in the limit of large m."""
    m = torch.tensor([1e6], dtype=torch.float64)
    for k, limit in ((1, 1 / 16), (2, (4 / 27) ** 2)):
        peak = predict.excess(predict.maximiser(m, k), m, k) ** 2
        assert float(peak / m ** (2 * k)) == pytest.approx(limit, rel=1e-4)


@pytest.mark.parametrize("k", [1, 2])
def test_the_maximiser_maximises(k):
    m = torch.tensor([1e-3, 0.3, 0.999, 1.001, 7.0, 1e3], dtype=torch.float64)
    at = predict.maximiser(m, k)
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    assert (predict.excess(at, m, k) >= predict.excess(t[:, None], m, k).max(0).values * (1 - 1e-12)).all()
    assert ((at > 0) & (at < 1)).all()


@pytest.mark.parametrize("k", [1, 2])
def test_nothing_cancels_near_one(k):
    """s - 1 = k(k+1)/2 t(1-t) d² to first order in d = m - 1, to full relative accuracy."""
    d = 1e-9
    value = predict.excess(torch.tensor(0.25, dtype=torch.float64), torch.tensor(1 + d, dtype=torch.float64), k)
    exact_d = (1 + d) - 1
    assert float(value) == pytest.approx(k * (k + 1) / 2 * 0.1875 * exact_d**2, rel=1e-7)


def test_no_closed_form_where_none_holds():
    tied = stacks.network(3, 5, skip=0.5, inputs=5)  # the last hidden layer ends a skip
    assert predict.line(tied, stacks.related(tied, stacks.stack(tied, 1), "rescaling")) is None
    net = stacks.network(3, 5)
    assert predict.line(net, stacks.related(net, stacks.stack(net, 1), "permutation")) is None
