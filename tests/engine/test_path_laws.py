"""The laws of paths, run over every file of engine/path; each with an input for which it must fail."""

import pytest
import torch

from engine.discovery import members
from engine.network.fully_connected import Network
from engine.pairs import Pairs
from engine.types import Pair, Split, Weights

NETWORKS = {  # by the symmetry that relates the two minima
    "linear": Network((3, 3, 3, 2), "linear", 0.0, True, "mse"),
    "rescaling": Network((3, 4, 4, 2), "relu_squared", 0.0, True, "mse"),
}
PAIRS = 3


@pytest.fixture(params=[(path, symmetry) for path in members("path") for symmetry in NETWORKS], ids=str)
def case(request):
    """A path of three pairs, the same with other second ends, and data."""
    name, symmetry = request.param
    network, draw = NETWORKS[symmetry], torch.Generator().manual_seed(5)
    group = members("symmetry")[symmetry].Group(network)
    drawn = [network.random(draw) for _ in range(2 * PAIRS)]
    stack = drawn[0].map(lambda *parts: torch.cat(parts), *drawn[1:])
    # exp of something small has a logarithm
    basis = group.basis(stack)
    element = group.flow(tuple(0.4 * torch.randn(PAIRS, *p.shape[1:], generator=draw).double() for p in basis))
    a, other = stack[:PAIRS], stack[PAIRS:]
    b = group.act(element, a)
    pairs = Pairs(tuple(Pair(i, i, group.relation) for i in range(PAIRS)), a, b, group, element)
    x = torch.randn(5, 3, generator=draw, dtype=torch.float64)
    split = Split(x, network.outputs(a[:1], x)[0])
    module = members("path")[name]
    # a few steps of learning are enough for its laws
    path = module.Path(network, pairs, module.Config(steps=3) if hasattr(module, "Config") else None)
    if hasattr(path, "learn"):
        path.learn(split)
    assert path.reasons == [None] * PAIRS
    return path, other, split


def near(a: Weights, b: Weights, tolerance=1e-12):
    return all(
        bool((p - q).abs().max() <= tolerance * max(1.0, float(q.abs().max())))
        for p, q in zip(a.parameters, b.parameters, strict=True)
    )


def grid(*t):
    return torch.tensor(t, dtype=torch.float64).expand(PAIRS, -1)


def test_the_ends_are_the_two_minima(case):
    path, other, _ = case
    points = path.points(grid(0.0, 1.0))
    assert points.layers[0].shape[:2] == (PAIRS, 2)
    assert near(points[:, 0], path.pairs.a) and near(points[:, 1], path.pairs.b)
    assert not near(points[:, 1], other)


def test_the_loss_is_that_of_the_points(case):
    path, _, split = case
    t, name = grid(0.0, 0.3, 0.7, 1.0), ("mse",)
    losses = path.loss(split, t, name)[0]
    for j in range(4):
        single = path.network.loss(path.points(t)[:, j], split, name)[0]
        assert torch.allclose(losses[:, j], single, rtol=1e-10, atol=1e-14)
    shifted = path.loss(split, 0.9 * t + 0.05, name)[0]
    if not torch.allclose(losses, losses[:, :1].expand_as(losses), atol=1e-12):
        assert not torch.allclose(losses, shifted, rtol=1e-6)


def test_a_stack_is_each_pair_alone(case):
    path, *_ = case
    t = grid(0.2, 0.9)
    whole = path.points(t)
    for i in range(PAIRS):
        alone = path.take(torch.tensor([i])).points(t[:1])
        assert near(alone, whole[i : i + 1])
        assert not near(alone, whole[(i + 1) % PAIRS : (i + 1) % PAIRS + 1])


def test_the_path_is_continuous(case):
    path, *_ = case
    t, step = grid(0.0, 0.25, 0.5, 0.75), 1e-6
    apart = path.points(t + step).distance(path.points(t))
    length = path.points(grid(*torch.linspace(0, 1, 65).tolist()))
    speed = (length[:, 1:].distance(length[:, :-1]) * 64).max()
    assert bool((apart <= 2 * step * speed).all()) and bool((apart > 0).all())


def test_closed_form_derivatives_are_those_of_the_points(case):
    path, *_ = case
    if not hasattr(path, "derivatives"):
        pytest.skip("no derivatives in closed form")
    t, step = grid(0.1, 0.6), 1e-4
    ahead, here, behind = (path.points(t + s) for s in (step, 0.0, -step))
    first, second = path.derivatives(t)
    # central differences are right to step² times higher derivatives, and to rounding over step²
    assert near(ahead.map(lambda p, q: (p - q) / (2 * step), behind), first, 1e-6)
    assert near(ahead.map(lambda p, q, r: (p - 2 * q + r) / step**2, here, behind), second, 1e-5)
    assert not near(first, second, 1e-3)
