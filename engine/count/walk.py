"""Walks on the minimum: steps along the tangent toward a goal, projected back, each taken only on a low chord."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.count.level_set import Damped, LevelSet

STEPS = 600  # at most
FIRST = 0.05  # the first step, as a share of the network's norm; then it follows what the chords allow
SMALLEST = 1e-6  # where shorter steps would be needed, the same share, a walk gives up
WINDOW = 30  # steps in which a walk must come nearer to its goal …
NEARER = 0.02  # … by this share of the distance
CORRECTIONS = 3  # Newton steps back to the minimum, all with the Jacobian at the step's beginning
DAMPING = 1e-10  # of the projection: the minimum may have singular points
LOW = 1e-3  # a point of a walk exceeds the least loss by at most this share of what a chord may


@dataclass(frozen=True)
class Walked:
    """Where a stack of walks ended."""

    at: Tensor  # (P, n)
    arrived: Tensor  # (P,) bool: the last chord ended in the goal itself
    loss_max: Tensor  # (P,), the largest loss on the way


def walk(level: LevelSet, start: Tensor, goal: Tensor, allowed: float) -> Walked:
    """Follow the minimum from ``start`` as near to ``goal`` as it leads downhill in distance.

    Each point is joined to the next by a chord whose loss exceeds the least by at most ``allowed``, so the way that was
    walked is a path of low loss, whatever became of the walk.

    Args:
        level: the minimum.
        start: ``(P, n)`` points on it.
        goal: ``(P, n)``, on it or not.
        allowed: by how much the loss on a chord may exceed the least.

    Returns:
        The ends.
    """
    w, ceiling = start.clone(), level.least + allowed
    loss_max = level.loss(w)
    arrived = torch.zeros(len(w), dtype=torch.bool, device=w.device)
    length = FIRST * w.norm(dim=1)
    before = torch.full_like(length, torch.inf)
    going = torch.arange(len(w), device=w.device)
    for step in range(STEPS):
        at, toward = w[going], goal[going] - w[going]
        distance = toward.norm(dim=1)
        stuck = length[going] < SMALLEST * at.norm(dim=1)
        if step % WINDOW == 0:
            stuck |= distance > (1 - NEARER) * before[going]
            before[going] = distance
        going, at, toward, distance = going[~stuck], at[~stuck], toward[~stuck], distance[~stuck]
        if not len(going):
            break
        linear = Damped(level.linearise(at)[1], DAMPING)
        tangent = linear.tangent(toward)
        last = distance <= length[going]
        move = torch.where(last[:, None], toward, tangent * (length[going] / tangent.norm(dim=1)).clamp(max=1)[:, None])
        moved = at + move
        for _ in range(CORRECTIONS):
            moved = torch.where(last[:, None], moved, moved - linear.solve(level.residuals(moved)))
        chord = level.chord_loss(at, moved)
        good = (chord <= ceiling) & (level.loss(moved) <= level.least + LOW * allowed)
        # a correction as long as the step may have left the sheet of the minimum that the step was on
        good &= (moved - at - move).norm(dim=1) <= 0.5 * move.norm(dim=1)
        here = going[good]
        w[here], loss_max[here] = moved[good], torch.maximum(loss_max[here], chord[good])
        length[going] = torch.where(good, 1.5, 0.5) * length[going]
        arrived[going[good & last]] = True
        going = going[~(good & last)]
    return Walked(w, arrived, loss_max)
