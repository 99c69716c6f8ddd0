"""Walks on the minimum: steps along the tangent toward a goal, each projected back; then chords, halved until low."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.count.level_set import Damped, LevelSet

STEPS = 400  # at most
FIRST = 0.1  # the first step, as a share of the network's norm; then it follows what the chords allow
SMALLEST = 1e-5  # where shorter steps would be needed, the same share, a walk gives up
WINDOW = 20  # steps in which a walk must come nearer to its goal …
NEARER = 0.02  # … by this share of the distance
CORRECTIONS = 4  # Newton steps back to the minimum, all with the Jacobian at the step's beginning
DAMPING = 1e-10  # of the projection: the minimum may have singular points
COARSE = 1e3  # by how many times what is allowed the loss on a chord may exceed the least during the walk
LOW = 1e-3  # a point on the minimum exceeds the least loss by at most this share of what is allowed
HALVINGS = 20  # of a chord, at most
ASIDE = 0.3  # a midpoint is projected back by at most this share of the chord's length
CHORDS = 4096  # evaluated together


@dataclass(frozen=True)
class Walked:
    """A stack of walks, not yet certified."""

    at: Tensor  # (P, n), where they ended
    arrived: Tensor  # (P,) bool: at the goal itself
    points: list[Tensor]  # of each walk (steps + 1, n), from the start to the end


def walk(level: LevelSet, start: Tensor, goal: Tensor, allowed: float, metric: Tensor | None = None) -> Walked:
    """Follow the minimum from ``start`` as near to ``goal`` as it leads downhill in distance.

    Where a walk is caught depends on how distance is measured: what one metric holds apart another may not.

    Args:
        level: the minimum.
        start: ``(P, n)`` points on it.
        goal: ``(P, n)``, on it or not.
        allowed: by how much the loss on a certified path may exceed the least.
        metric: ``(P, n)``, positive: distance is that of the coordinates times it; None for 1.

    Returns:
        The walks.
    """
    metric = torch.ones_like(start) if metric is None else metric
    w, ceiling = start.clone(), level.least + COARSE * allowed
    arrived = torch.zeros(len(w), dtype=torch.bool, device=w.device)
    length = FIRST * (metric * w).norm(dim=1)
    before = torch.full_like(length, torch.inf)
    going = torch.arange(len(w), device=w.device)
    taken = [(going, start)]
    for step in range(STEPS):
        at, scale = w[going], metric[going]
        distance = (scale * (goal[going] - at)).norm(dim=1)
        stuck = length[going] < SMALLEST * (scale * at).norm(dim=1)
        if step % WINDOW == 0:
            stuck |= distance > (1 - NEARER) * before[going]
            before[going] = distance
        going, at, scale, distance = going[~stuck], at[~stuck], scale[~stuck], distance[~stuck]
        if not len(going):
            break
        toward, last = goal[going] - at, (distance <= length[going])[:, None]
        linear = Damped(level.linearise(at)[1] / scale[:, None], DAMPING)
        tangent = linear.tangent(scale * toward)
        move = tangent * (length[going] / tangent.norm(dim=1)).clamp(max=1)[:, None] / scale
        move = torch.where(last, toward, move)
        moved = at + move
        for _ in range(CORRECTIONS):
            moved = torch.where(last, moved, moved - linear.solve(level.residuals(moved)) / scale)
        good = _stays(level, at, moved, move, ASIDE, allowed) & (level.chord_loss(at, moved) <= ceiling)
        w[going[good]] = moved[good]
        length[going] = torch.where(good, 1.5, 0.5) * length[going]
        taken.append((going[good], moved[good]))
        there = good & last[:, 0]
        arrived[going[there]] = True
        going = going[~there]
    owners, points = (torch.cat(parts) for parts in zip(*taken, strict=True))
    order = owners.argsort(stable=True)
    return Walked(w, arrived, list(points[order].split(owners.bincount().tolist())))


def _stays(level: LevelSet, at: Tensor, moved: Tensor, move: Tensor, aside: float, allowed: float) -> Tensor:
    """Whether a corrected step ends on the minimum, near enough to be on the sheet it began on."""
    near = (moved - at - move).norm(dim=1) <= aside * move.norm(dim=1)
    return near & (level.loss(moved) <= level.least + LOW * allowed)


def certify(level: LevelSet, paths: list[Tensor], allowed: float) -> Tensor:
    """The largest loss on polygonal paths near the given points, inf where no low one was found.

    Chords on which the loss, bounded for the whole chord, exceeds the least by more than ``allowed`` are replaced by
    two, through their midpoint projected to the minimum.

    Args:
        level: the minimum.
        paths: points ``(k, n)`` of each path.
        allowed: by how much the loss may exceed the least.

    Returns:
        ``(len(paths),)``.
    """
    a, b = (torch.cat([path[part] for path in paths]) for part in (slice(None, -1), slice(1, None)))
    owner = torch.repeat_interleave(torch.tensor([len(path) - 1 for path in paths], device=a.device))
    top = torch.stack([level.loss(path).max() for path in paths])
    for _ in range(HALVINGS):
        if not len(a):
            return top
        chord = torch.cat([level.chord_loss(*part) for part in zip(a.split(CHORDS), b.split(CHORDS), strict=True)])
        low = chord <= level.least + allowed
        top.scatter_reduce_(0, owner[low], chord[low], "amax")
        a, b, owner = a[~low], b[~low], owner[~low]
        middle = torch.cat([project(level, part) for part in ((a + b) / 2).split(CHORDS)]) if len(a) else a
        half = (b - a) / 2
        lost = owner[~_stays(level, a, middle, half, ASIDE, allowed)]
        top[lost] = torch.inf
        keep = top[owner].isfinite()
        a, b, owner = (
            torch.cat([a, middle])[keep.repeat(2)],
            torch.cat([middle, b])[keep.repeat(2)],
            owner[keep].repeat(2),
        )
    top[owner] = torch.inf
    return top


def project(level: LevelSet, w: Tensor) -> Tensor:
    """Points on the minimum near ``w`` ``(P, n)``, by Newton's method; far from it they may miss it."""
    for _ in range(CORRECTIONS):
        residuals, jacobian = level.linearise(w)
        w = w - Damped(jacobian, DAMPING).solve(residuals)
    return w
