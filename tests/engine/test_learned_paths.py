"""Learned curves: exact ends, each pair as if alone, lower than the line, and stopped by what separates components."""

import pytest
import torch

import engine
from engine.discovery import members
from engine.learned import Config
from engine.network.fully_connected import Network
from engine.pairs import Pairs
from engine.types import Pair, Split, Weights

KINDS = ("bezier", "polygonal")


def pairs(network, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ends = [[network.random(generator) for _ in range(count)] for _ in "ab"]
    a, b = (first.map(lambda *stack: torch.cat(stack), *rest) for first, *rest in ends)
    return Pairs(tuple(Pair(i, i, "independent") for i in range(count)), a, b)


def data(network, seed=0, samples=7):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, network.widths[0], generator=generator, dtype=torch.float64)
    return Split(x, network.outputs(network.random(generator), x)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bends", [1, 3])
def test_ends_are_exact_and_curves_are_lower_than_lines(kind, bends):
    network = Network((3, 6, 2), "tanh", 0.0, True, "mse")
    stack, split = pairs(network, 4), data(network)
    t = torch.linspace(0, 1, 33, dtype=torch.float64).expand(4, -1)
    curve = members("path")[kind].Path(network, stack, Config(bends=bends, steps=60))
    line = members("path")["linear"].Path(network, stack).points(t)
    before = curve.points(t)
    assert all(torch.allclose(p, q, atol=1e-12) for p, q in zip(before.parameters, line.parameters, strict=True))
    (high,) = curve.loss(split, t, ("mse",))
    curve.learn(split)
    learned = curve.points(t)
    for end, at in ((stack.a, 0), (stack.b, -1)):
        assert all(torch.equal(p[:, at], q) for p, q in zip(learned.parameters, end.parameters, strict=True))
    (low,) = curve.loss(split, t, ("mse",))
    assert (low.mean(1) < 0.9 * high.mean(1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_learned_as_if_it_were_alone(kind):
    network = Network((3, 5, 2), "relu", 0.0, False, "mse")
    stack, split = pairs(network, 3), data(network)
    options = Config(steps=20)
    together = members("path")[kind].Path(network, stack, options)
    together.learn(split)
    t = torch.tensor([[0.3, 0.5]], dtype=torch.float64)
    for i in range(3):
        alone = members("path")[kind].Path(network, stack[torch.tensor([i])], options)
        alone.learn(split)
        taken = together.take(torch.tensor([i])).points(t)
        assert all(
            torch.allclose(p, q, rtol=1e-9) for p, q in zip(taken.parameters, alone.points(t).parameters, strict=True)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_bend_finds_the_valley_and_none_crosses_a_determinant(kind):
    """Scalars ``w_2 w_1 = 1``: a curve between two positive points becomes low, one to a negative point cannot.

    Any path from ``(w_1, w_2)`` to ``(-w_1, -w_2)`` meets ``w_2 w_1 = 0``, where the loss is 1.
    """
    network = Network((1, 1, 1), "linear", 0.0, False, "sse")
    split = Split(torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))

    def stack(*values):
        return Weights(tuple(torch.tensor([[[v]] for v in layer], dtype=torch.float64) for layer in values))

    ends = Pairs(
        (Pair(0, 0, "independent"),) * 2, stack([3.0, 3.0], [1 / 3, 1 / 3]), stack([1 / 3, -3.0], [3.0, -1 / 3])
    )
    curve = members("path")[kind].Path(network, ends, Config(bends=2, steps=400))
    t = torch.linspace(0, 1, 257, dtype=torch.float64).expand(2, -1)
    straight = curve.loss(split, t, ("sse",))[0].max(1).values
    curve.learn(split)
    low, stopped = curve.loss(split, t, ("sse",))[0].max(1).values.tolist()
    assert low < 0.02 * straight[0]
    assert stopped >= 1 - 1e-3


def test_polygonal_chains_pass_through_their_control_points():
    network = Network((2, 3, 1), "linear", 0.0, True, "mse")
    curve = members("path")["polygonal"].Path(network, pairs(network, 2), Config(bends=2, steps=5))
    curve.learn(data(network))
    met = curve.points(torch.tensor([[1 / 3, 2 / 3]] * 2, dtype=torch.float64))
    assert all(torch.allclose(p, q, atol=1e-12) for p, q in zip(met.parameters, curve.control.parameters, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_walks_learned_curves(kind, tmp_path):
    options = ["sweep.grid.depth=[2]", "sweep.grid.width=[6]", "sweep.grid.weight_decay=[0]", "sweep.seeds=2"]
    options += [
        "sweep.relations=[independent]",
        f"sweep.paths=[linear,{kind}]",
        f"path.{kind}.steps=30",
        "minima.steps=30",
    ]
    options += ["sweep.measures=[]", "sweep.claims={}", "sweep.figures=[]", "sweep.alignments=[none]"]
    directory = engine.run("barriers", [*options, f"out={tmp_path}", "tracking=none"])
    rows = {row["path"]: row for row in engine.load(directory).to_pylist() if row["split"] == "train"}
    assert rows[kind]["loss_a"] == rows["linear"]["loss_a"]
    # between its ends: minima this close to their start differ more than the path rises
    inner = {path: torch.tensor(rows[path]["loss"][1:-1]).mean() for path in (kind, "linear")}
    assert inner[kind] < inner["linear"]


@pytest.mark.parametrize("option", ["bends", "points"])
def test_bad_options_are_named(option):
    with pytest.raises(ValueError, match=f"{option}=0, expected at least 1"):
        Config(**{option: 0})
