"""Small networks, data and pairs for the engine's tests."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import torch

from engine import pairs
from engine.discovery import members
from engine.network.fully_connected import Network
from engine.types import Architecture, Block, Minimum, Split, Weights

F64 = torch.float64


def readme_symmetry() -> ModuleType:
    """The README's example of a symmetry that is added, as a module."""
    module = ModuleType("engine.symmetry.shifted")
    exec(readme_symmetry_source(), module.__dict__)
    return module


def readme_symmetry_source() -> str:
    """Its file."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class Group" in block)


def network(depth=3, width=5, activation="relu", skip=0.0, bias=True, loss="mse", inputs=4, outputs=3) -> Network:
    return Network((inputs, *[width] * (depth - 1), outputs), activation, skip, bias, loss)


def groups(net: Network) -> dict:
    return {name: module.Group(net, None) for name, module in members("symmetry").items()}


def stack(net: Network, count: int, seed: int = 0) -> Weights:
    draw = torch.Generator().manual_seed(seed)
    first, *rest = [net.random(draw) for _ in range(count)]
    return first.map(lambda *parts: torch.cat(parts), *rest)


def split(net: Network, samples: int = 50, seed: int = 1, labels: bool = True) -> Split:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, net.widths[0], generator=draw, dtype=F64)
    if labels:
        return Split(x, torch.randint(0, net.widths[-1], (samples,), generator=draw))
    return Split(x, torch.randn(samples, net.widths[-1], generator=draw, dtype=F64))


def block(net: Network, count: int, rescalings=(10.0,)) -> Block:
    architecture = Architecture(net.depth, net.widths[1] if net.depth > 1 else 1, net.activation, net.skip)
    return Block("test", architecture, tuple(Minimum(architecture, 0.0, i) for i in range(count)), tuple(rescalings))


def related(net: Network, minima: Weights, group: str, rescalings=(10.0,), per_neuron=None) -> pairs.Pairs:
    """Pairs of each minimum with its image under the group's own element."""
    at = block(net, len(minima), rescalings)
    chosen = pairs.enumerate_pairs(at, groups(net)[group].relation, per_neuron)
    return pairs.related(at, chosen, minima, groups(net)[group], seed=0)
