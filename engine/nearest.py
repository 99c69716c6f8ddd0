"""The point of an orbit nearest to a given point, by Gauss-Newton steps in the group's Lie algebra."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.types import Weights

ROUNDS = 30  # at most; near the orbit, where distance times curvature is small, a few suffice
STEPS = (1.0, 0.5, 0.25, 0.0625, 2.0**-8)  # lengths tried; the longest that comes nearer is taken
RIDGE = 1e-12  # of the mean of the normal equations' diagonal: some directions may leave the point where it is
PROGRESS = 1e-10  # relative decrease of the distance below which the search ends


def nearest(group, start: Weights, target: Weights) -> tuple[Weights, Tensor]:
    """Walk on the orbit of ``start`` as near as possible to ``target``.

    The distance only ever falls, so what is found bounds the distance to the orbit from above; it is a local minimum.

    Args:
        group: a member of ``engine.symmetry`` with ``basis``, ``tangent`` and ``flow``.
        start: a stack ``(K, …)``, points whose orbits are searched.
        target: a stack ``(K, …)``.

    Returns:
        The points found, ``(K, …)``, and their distances ``(K,)``.
    """
    basis = group.basis(start)
    point, distance = start, start.distance(target)
    for _ in range(ROUNDS):
        tangents = _flat(group.tangent(basis, point.map(lambda p: p.unsqueeze(1))), 2)  # (K, D, n)
        residual = _flat(target.map(lambda a, b: a - b, point), 1)  # (K, n)
        gram = tangents @ tangents.mT  # (K, D, D)
        gram.diagonal(dim1=1, dim2=2).add_(RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1, keepdim=True))
        step = torch.linalg.solve(gram, tangents @ residual.unsqueeze(-1))[..., 0]  # (K, D)
        before, origin = distance, point
        for length in STEPS:
            direction = tuple(torch.tensordot(length * step, part, dims=1) for part in basis)
            moved = group.act(group.flow(direction), origin)
            reached = moved.distance(target)
            better = (reached < distance) & (distance == before)
            point = moved.map(lambda new, old, better=better: _choose(better, new, old), point)
            distance = torch.where(better, reached, distance)
        if not (distance < before * (1 - PROGRESS)).any():
            break
    return point, distance


def _flat(weights: Weights, batch: int) -> Tensor:
    return torch.cat([parameter.flatten(batch) for parameter in weights.parameters], dim=-1)


def _choose(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(better.reshape(-1, *[1] * (new.dim() - 1)), new, old)
