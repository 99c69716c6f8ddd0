"""From minima to pairs: which two belong together, and what makes the second from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.seeding import seed_of
from engine.types import Block, Cell, Pair, Weights


@dataclass(frozen=True)
class Pairs:
    """A stack of pairs of one relation."""

    pairs: tuple[Pair, ...]
    a: Weights  # (K, …)
    b: Weights  # (K, …)
    group: Any = None  # the symmetry group with b = act(element, a), or None
    element: tuple[torch.Tensor, ...] | None = None

    def __len__(self) -> int:
        """K."""
        return len(self.pairs)

    def __getitem__(self, index) -> Pairs:
        """Some of the pairs: ``index`` is a slice or an index tensor."""
        chosen = self.pairs[index] if isinstance(index, slice) else tuple(self.pairs[i] for i in index.tolist())
        element = self.element and tuple(part[index] for part in self.element)
        return Pairs(chosen, self.a[index], self.b[index], self.group, element)

    def to_ends(self, a: Weights, b: Weights) -> Pairs:
        """The same pairs with other ends, no longer related by the element."""
        return Pairs(self.pairs, a, b)


def enumerate_pairs(block: Block, relation: str, per_neuron: bool | None = None) -> list[Pair]:
    """The pairs of one relation in a block, as indices into its stack of minima.

    ``rescaled``: each minimum with each factor, layer-wise or per neuron.  ``independent``: each minimum with the next
    seed of its group, the last with the first.  Other relations: each minimum once.
    """
    if relation == "rescaled":
        return [
            Pair(i, i, relation, rescaling, per_neuron)
            for i in range(len(block.minima))
            for rescaling in block.rescalings
        ]
    if relation != "independent":
        return [Pair(i, i, relation) for i in range(len(block.minima))]
    groups: dict[float, list[int]] = {}
    for i, minimum in enumerate(block.minima):
        groups.setdefault(minimum.weight_decay, []).append(i)
    rings = (zip(group, group[1:] + (group[:1] if len(group) > 2 else []), strict=False) for group in groups.values())
    return [Pair(a, b, relation) for ring in rings for a, b in ring]


def related(block: Block, pairs: Sequence[Pair], minima: Weights, group, seed: int) -> Pairs:
    """The stack of pairs whose second minimum the group's own element makes from the first.

    Each element has its generator, seeded by the sweep's seed, all axes and the relation.
    """

    def generator(pair: Pair) -> torch.Generator:
        minimum = block.minima[pair.a]
        axes = minimum.axes if pair.rescaling is None else Cell(minimum, pair.rescaling).axes
        drawn = seed_of(what="element", sweep_seed=seed, relation=pair.relation, per_neuron=pair.per_neuron, **axes)
        return torch.Generator().manual_seed(drawn)

    a = minima[torch.tensor([pair.a for pair in pairs])]
    elements = [group.related(pair, generator(pair)) for pair in pairs]
    element = tuple(
        torch.cat(parts).to(a.layers[0].device, None if not parts[0].is_floating_point() else a.layers[0].dtype)
        for parts in zip(*elements, strict=True)
    )
    return Pairs(tuple(pairs), a, group.act(element, a), group, element)


def independent(pairs: Sequence[Pair], minima: Weights) -> Pairs:
    """The stack of pairs of minima found separately."""
    return Pairs(
        tuple(pairs),
        minima[torch.tensor([pair.a for pair in pairs])],
        minima[torch.tensor([pair.b for pair in pairs])],
    )
