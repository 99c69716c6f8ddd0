"""Choosing minima that lie far from each other, so that small components are met."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.count.level_set import LevelSet
from engine.count.walk import walk


def far_apart(level: LevelSet, minima: Tensor, count: int, allowed: float) -> Tensor:
    """Choose minima one by one, each as far as possible from those before; the first comes first.

    Distance is that between where they end when they walk toward the origin: there a component has shrunk to the points
    of it that are nearest to the origin, and one that holds few directions stands as far off as a large one.

    Args:
        level: the minimum.
        minima: ``(P, n)`` points on it.
        count: how many to choose, at most ``P``.
        allowed: by how much the loss on a certified path may exceed the least.

    Returns:
        Indices ``(count,)``.
    """
    if not count:
        return torch.empty(0, dtype=torch.int64)
    ends = walk(level, minima, torch.zeros_like(minima), allowed).at
    chosen, distance = torch.zeros(count, dtype=torch.int64), torch.full((len(minima),), torch.inf).to(ends)
    for k in range(1, count):
        distance = torch.minimum(distance, (ends - ends[chosen[k - 1]]).norm(dim=1))
        chosen[k] = distance.argmax()
    return chosen
