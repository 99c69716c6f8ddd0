"""Curves between minima that need no walk: along the family's continuous symmetry, and learned ones.

Both are made as points on the minimum, to be certified like any path (``engine.count.walk.certify``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.count.level_set import LevelSet
from engine.count.walk import LOW, project
from engine.discovery import members
from engine.learned import Config as Learned
from engine.pairs import Pairs
from engine.types import Pair

POINTS = 17  # of a curve, its ends among them; the chords between them are halved where they need to be
BEZIER = Learned(bends=3, steps=100)  # a third to all of the pairs of one component; one bend joins fewer


def symmetry(level: LevelSet, a: Tensor, b: Tensor, allowed: float) -> tuple[Tensor, Tensor]:
    """Curves ``exp(t log g)·a`` of the elements that bring ``a`` near ``b``, then straight to ``b``.

    Linear networks have invertible matrices and positively homogeneous ones rescalings, of the hidden layers at which
    no skip ends; there is no curve where a matrix has a negative determinant.

    Args:
        level: the minimum.
        a: ``(K, n)`` points on it.
        b: ``(K, n)`` points on it.
        allowed: by how much the loss on the last, straight part may exceed the least.

    Returns:
        Which pairs have such a curve, ``(J,)`` int64, and its points ``(J, POINTS + 1, n)``.
    """
    none = torch.empty(0, dtype=torch.int64, device=a.device)
    groups = (members("symmetry")[name].Group(level.network) for name in ("linear", "rescaling"))
    group = next((group for group in groups if group.reason is None), None)
    if group is None:
        return none, torch.stack([a, b], dim=1)[none]
    ends = _pairs(level, a, b)
    ends = Pairs(ends.pairs, ends.a, ends.b, group, group.align(ends.b, ends.a))
    path = members("path")["symmetry"].Path(level.network, ends)
    there = torch.tensor([k for k, reason in enumerate(path.reasons) if reason is None], dtype=torch.int64)
    if not len(there):
        return none, torch.stack([a, b], dim=1)[none]
    there = there.to(a.device)
    points = torch.cat([_points(path.take(there)), b[there].unsqueeze(1)], dim=1)
    low = level.chord_loss(points[:, -2], points[:, -1]) <= level.least + allowed
    low &= points.flatten(1).isfinite().all(1)
    return there[low], points[low]


def learned(level: LevelSet, a: Tensor, b: Tensor, allowed: float) -> tuple[Tensor, Tensor]:
    """Bézier curves moved down the loss, their points then brought back onto the minimum.

    Args:
        level: the minimum.
        a: ``(K, n)`` points on it.
        b: ``(K, n)`` points on it.
        allowed: by how much the loss on a path may exceed the least.

    Returns:
        Of which pairs the points came to lie on the minimum, ``(J,)`` int64, and these points ``(J, POINTS, n)``.
    """
    path = members("path")["bezier"].Path(level.network, _pairs(level, a, b), BEZIER)
    path.learn(level.split)
    points = _points(path)
    points[:, 1:-1] = project(level, points[:, 1:-1].flatten(0, 1)).unflatten(0, (len(a), -1))
    top = level.loss(points.flatten(0, 1)).unflatten(0, (len(a), -1)).amax(1)
    there = torch.nonzero(top <= level.least + LOW * allowed).ravel()
    return there, points[there]


def _pairs(level: LevelSet, a: Tensor, b: Tensor) -> Pairs:
    return Pairs(tuple(Pair(k, k, "independent") for k in range(len(a))), level.stack(a), level.stack(b))


def _points(path) -> Tensor:
    """Points of paths as flat vectors ``(K, POINTS, n)``."""
    t = torch.linspace(0, 1, POINTS, dtype=torch.float64).to(path.pairs.a.layers[0])
    return torch.cat([part.flatten(2) for part in path.points(t.expand(len(path.pairs), -1)).layers], dim=2)
