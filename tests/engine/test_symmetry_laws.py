"""The laws of a group action, run over every file of engine/symmetry; each with an input for which it must fail."""

from dataclasses import replace

import pytest
import torch
from stacks import readme_symmetry

from engine.discovery import members
from engine.network.fully_connected import Network
from engine.types import Weights

SYMMETRIES = {name: module.Group for name, module in members("symmetry").items()} | {"readme": readme_symmetry().Group}
# which network a symmetry is one of, with and without biases
NETWORKS = {
    "linear": Network((3, 4, 4, 2), "linear", 0.0, True, "mse"),
    "permutation": Network((3, 5, 4, 2), "gelu", 0.0, True, "mse"),
    "rescaling": Network((3, 5, 4, 2), "relu_squared", 0.0, True, "mse"),
    "sign": Network((3, 5, 4, 2), "tanh", 0.0, True, "mse"),
    "induced": Network((3, 6, 2), "sigmoid", 0.0, True, "mse"),
}
# of rounding: outputs are sums of some tens of products of numbers of order one
TOLERANCE = 1e-9


@pytest.fixture(params=[(name, bias) for name in SYMMETRIES for bias in (True, False)], ids=str)
def case(request):
    """A group, a network's weights, two elements, and data of fewer samples than hidden units."""
    name, bias = request.param
    group = SYMMETRIES[name]
    # of a symmetry that was added, the first network that has it
    network = NETWORKS.get(name) or next(network for network in NETWORKS.values() if group(network).reason is None)
    network = replace(network, bias=bias)
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(3, 3, generator=draw, dtype=torch.float64)
    group = group(network)
    group = group.on(x) if hasattr(group, "on") else group
    assert group.reason is None
    return group, network, network.random(draw), group.random(draw), group.random(draw), x


def near(a, b):
    return bool((a - b).abs().max() <= TOLERANCE * b.abs().max())


def same(a: Weights, b: Weights):
    return all(near(p, q) for p, q in zip(a.parameters, b.parameters, strict=True) if q.abs().max() > 0)


def test_the_action_leaves_the_outputs_as_they_are(case):
    group, network, weights, g, _, x = case
    moved = group.act(g, weights)
    assert not same(moved, weights)
    assert near(network.outputs(moved, x), network.outputs(weights, x))
    # the control: the same move of all layers but the last that it moves
    last = max(i for i, (p, q) in enumerate(zip(moved.layers, weights.layers, strict=True)) if not near(p, q))
    layers = [*moved.layers]
    layers[last] = weights.layers[last]
    broken = replace(moved, layers=tuple(layers))
    assert not near(network.outputs(broken, x), network.outputs(weights, x))


def test_composition_acts_as_one_after_the_other(case):
    group, _, weights, g, h, _ = case
    one_by_one = group.act(g, group.act(h, weights))
    assert same(group.act(group.compose(g, h), weights), one_by_one)
    assert not same(group.act(g, weights), one_by_one)


def test_the_inverse_undoes(case):
    group, network, weights, g, h, x = case
    # through data a last layer is the smallest of its kind only once it has been refitted
    start = group.act(group.compose(g, group.inverse(g)), weights)
    back = group.act(group.inverse(g), group.act(g, weights))
    assert same(back, start) and near(network.outputs(back, x), network.outputs(weights, x))
    assert not same(group.act(group.inverse(h), group.act(g, weights)), start)


def test_the_curve_runs_from_the_identity_to_the_element(case):
    group, _, weights, g, h, _ = case
    found = group.log(g)
    if found is None:
        pytest.skip("a discrete group has no curves")
    xi, reasons = found
    if reasons != [None]:
        pytest.skip(reasons[0])
    ends = group.exp(xi, torch.tensor([[0.0, 1.0]], dtype=torch.float64))
    start, end = (tuple(part[:, i] for part in ends) for i in (0, 1))
    assert same(group.act(end, weights), group.act(g, weights))
    assert same(group.act(start, weights), group.act(group.compose(g, group.inverse(g)), weights))
    assert not same(group.act(end, weights), group.act(h, weights))


def test_alignment_undoes_an_element(case):
    group, network, weights, g, _, x = case
    if not hasattr(group, "align"):
        pytest.skip("nothing aligns by it")
    start = group.act(group.compose(g, group.inverse(g)), weights)
    moved = group.act(g, start)
    back = group.act(group.align(start, moved), moved)
    # with fewer inputs than units GL is not determined by the first layer: compare what it maps
    if group.__module__.endswith(("linear", "induced")):
        assert near(back.layers[0], start.layers[0])
    else:
        assert same(back, start)
    assert near(network.outputs(moved, x), network.outputs(start, x))


def test_the_algebra_acts_as_the_derivative_of_the_flow(case):
    group, _, weights, *_ = case
    if not hasattr(group, "tangent"):
        pytest.skip("no Lie algebra")
    basis = group.basis(weights)
    step = 1e-5
    ahead, behind = (group.act(group.flow(tuple(s * part for part in basis)), weights) for s in (step, -step))
    difference = ahead.map(lambda p, q: (p - q) / (2 * step), behind)
    exact = group.tangent(basis, weights)
    for p, q in zip(difference.parameters, exact.parameters, strict=True):
        # a central difference is right to step² times the third derivative
        assert (p - q).abs().max() <= 1e-8 * max(1.0, float(q.abs().max()))
    assert max(float(q.abs().max()) for q in exact.parameters) > 0.1
