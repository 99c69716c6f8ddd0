"""Labels of components: constant along curves of the group, turned by a determinant, none where there is one class."""

import pytest
import torch

from engine.count.draw import minima
from engine.count.level_set import LevelSet
from engine.network.fully_connected import Network
from engine.symmetry.linear import Group, label
from engine.types import Split


def drawn(widths, samples, count=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    network = Network(tuple(widths), "linear", 0.0, False, "sse")
    x, y = (torch.randn(samples, width, generator=generator, dtype=torch.float64) for width in (widths[0], widths[-1]))
    reached, w, _ = minima(LevelSet.of(network, x, y), count, generator)
    return network, reached.stack(w), Split(x, y), generator


@pytest.mark.parametrize(("widths", "samples"), [([3, 3, 3, 3], 3), ([4, 2, 3, 2, 5], 40)], ids=str)
def test_a_label_is_constant_along_curves_and_turned_by_reflections(widths, samples):
    network, weights, split, generator = drawn(widths, samples, count=24)
    group = Group(network)
    elements = [group.random(generator) for _ in range(len(weights))]
    g = tuple(torch.cat(parts) for parts in zip(*elements, strict=True))
    before, after = label(network, weights, split), label(network, group.act(g, weights), split)
    narrow = [i for i, width in enumerate(widths[1:-1]) if width == min(widths)]
    flips = torch.stack([torch.linalg.slogdet(g[i]).sign for i in narrow], 1).int().tolist()
    assert after == [tuple(a * b for a, b in zip(*pair, strict=True)) for pair in zip(before, flips, strict=True)]
    assert before != after
    xi, reasons = group.log(g)
    assert sum(reason is None for reason in reasons) >= 1
    middle = group.exp(xi, torch.full((len(weights), 1), 0.5, dtype=torch.float64))
    halfway = label(network, group.act(tuple(part[:, 0] for part in middle), weights), split)
    for i, reason in enumerate(reasons):
        assert reason or halfway[i] == before[i] == after[i]


def test_square_labels_are_the_signs_of_determinants():
    network, weights, split, _ = drawn([2, 2, 2, 2], 2, count=12)
    signs = torch.stack([torch.linalg.slogdet(layer).sign for layer in weights.layers[:-1]], 1)
    # V turns all of a network's signs or none
    named = torch.tensor(label(network, weights, split), dtype=torch.float64)
    partial = signs.cumprod(1)
    assert torch.equal(named * named[:1], partial * partial[:1])


def test_targets_of_low_rank_leave_no_label():
    network, weights, split, generator = drawn([3, 3, 3], 3)
    y = torch.outer(*torch.randn(2, 3, generator=generator, dtype=torch.float64))
    assert label(network, weights, Split(split.x, y)) == [()] * 6


@pytest.mark.parametrize(
    ("activation", "skip", "bias"), [("relu", 0.0, False), ("linear", 1.0, False), ("linear", 0.0, True)]
)
def test_other_networks_have_no_labels(activation, skip, bias):
    _, weights, split, _ = drawn([2, 2, 2], 2)
    with pytest.raises(ValueError, match="expected a linear network without skip and biases"):
        label(Network((2, 2, 2), activation, skip, bias, "sse"), weights, split)


def test_wide_layers_are_aligned_by_what_they_map_to():
    """Two minima of full rank lie on one orbit; the first layer alone does not say what becomes of all units."""
    network, weights, *_ = drawn([2, 5, 2], 2)
    group, other = Group(network), weights[torch.arange(len(weights)).roll(1)]
    back = group.act(group.align(weights, other), other)
    assert float(back.distance(weights).max()) <= 1e-9 * float(weights.squared_norm().max())


def test_a_singular_matrix_has_no_curve():
    """Of rank two but for rounding, which decides the sign of its determinant."""
    network, _, _, generator = drawn([3, 3, 3], 3)
    left, right = (torch.randn(40, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    reasons = Group(network).log((left @ right.mT,))[1]
    assert "g is singular at hidden layer 1: no curve stays in the group" in reasons
    assert all(reason is None or reason.startswith("g is singular") for reason in reasons)
