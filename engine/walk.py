"""Walking a path: losses at a coarse grid of points, then at more points around the maximum until it is known.

Every pair is refined by itself, from its own values alone: its points do not depend on what is computed beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.types import Data

ROUNDS = 8  # of refinement at most; each narrows the bracket of a smooth maximum by four or more


@dataclass(frozen=True)
class Walk:
    """What was measured along the paths of a stack of pairs; each entry of a list belongs to one pair."""

    t: list[np.ndarray]  # increasing, from 0 to 1
    losses: dict[str, dict[str, list[np.ndarray]]]  # by split, then by name


def excess(t: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Loss over the chord of the end losses (Entezari et al. 2022)."""
    return loss - ((1 - t) * loss[0] + t * loss[-1])


def peak(t: np.ndarray, values: np.ndarray) -> tuple[int, float, float]:
    """The largest value and how much higher the curve may rise beside it.

    Args:
        t: increasing points, at least two.
        values: finite values at the points.

    Returns:
        Index of the largest value, the vertex ``t`` and the height above that value of the parabola through it and its
        neighbours (the first or last three points at an end); height 0 where the parabola has no maximum between them.
    """
    i = int(np.argmax(values))
    if len(t) < 3:
        return i, float(t[i]), 0.0
    middle = min(max(i, 1), len(t) - 2)
    left, mid, right = t[middle - 1 : middle + 2]
    # divided differences of the parabola
    first = (values[middle] - values[middle - 1]) / (mid - left)
    second = ((values[middle + 1] - values[middle]) / (right - mid) - first) / (right - left)
    if not second < 0:
        return i, float(t[i]), 0.0
    vertex = 0.5 * (left + mid) - first / (2 * second)
    if not left < vertex < right:
        return i, float(t[i]), 0.0
    height = values[middle - 1] + first * (vertex - left) + second * (vertex - left) * (vertex - mid)
    return i, float(vertex), max(0.0, float(height - values[i]))


def tolerance_of(t: np.ndarray, loss: np.ndarray) -> float:
    """How far the largest measured excess may lie below the path's: the parabola's rise, and rounding of the losses."""
    if not np.isfinite(loss).all():
        return float("nan")
    return peak(t, excess(t, loss))[2] + 4 * np.finfo(np.float64).eps * float(np.abs(loss).max())


def follow(path, data: Data, names: tuple[str, ...], points: int, tolerance: float, also: torch.Tensor | None) -> Walk:
    """Evaluate the paths of a stack.

    Args:
        path: a member of ``engine.path``.
        data: the splits to evaluate; the training split decides where to refine.
        names: losses; the first decides where to refine.
        points: coarse points, evenly spaced, the ends among them.
        tolerance: refine until the maximum is known to this share of the excess.
        also: ``(K, A)`` further points, or None.

    Returns:
        The walk of every pair.
    """
    pairs = len(path.pairs)
    t = torch.linspace(0, 1, points, dtype=torch.float64).expand(pairs, -1)
    if also is not None:
        t = torch.cat([t, also.to(t)], dim=1)
    walk = _evaluate(path, data, t, names)
    wanted = range(pairs) if path.refine else ()
    for _ in range(ROUNDS):
        more = {i: new for i in wanted if len(new := _new_points(walk, i, names[0], tolerance))}
        if not more:
            break
        wanted = list(more)
        # three points each; a shorter list repeats its last, which is dropped again below
        t = torch.tensor([(new * 3)[:3] for new in more.values()], dtype=torch.float64)
        found = _evaluate(path.take(torch.tensor(wanted)), data, t, names)
        for place, i in enumerate(wanted):
            _merge(walk, i, found, place)
    return walk


def _evaluate(path, data: Data, t: torch.Tensor, names: tuple[str, ...]) -> Walk:
    """Losses at ``t`` ``(K, T)``, each pair's in order of ``t``, each point once."""
    t = t.to(data.train.x)  # in float32 the points are those that were used
    points = t.cpu().double().numpy()
    keep = [np.unique(row, return_index=True)[1] for row in points]
    losses = {}
    for split, part in data.splits.items():
        values = [value.detach().cpu().double().numpy() for value in path.loss(part, t, names)]
        losses[split] = {
            name: [row[kept] for row, kept in zip(rows, keep, strict=True)]
            for name, rows in zip(names, values, strict=True)
        }
    return Walk([row[kept] for row, kept in zip(points, keep, strict=True)], losses)


def _new_points(walk: Walk, i: int, name: str, tolerance: float) -> list[float]:
    """Where to look next for the maximum of pair ``i``; empty when it is known well enough."""
    t, loss = walk.t[i], walk.losses["train"][name][i]
    if not np.isfinite(loss).all():
        return []
    values = excess(t, loss)
    top, vertex, rise = peak(t, values)
    if rise <= tolerance * abs(values[top]) + 4 * np.finfo(np.float64).eps * np.abs(loss).max():
        return []
    around = t[max(top - 1, 0) : top + 2]
    candidates = [vertex, *(0.5 * (around[1:] + around[:-1]))]
    return sorted({c for c in candidates if np.abs(t - c).min() > 1e-9})


def _merge(walk: Walk, i: int, found: Walk, place: int) -> None:
    both = np.concatenate([walk.t[i], found.t[place]])
    order = np.unique(both, return_index=True)[1]
    walk.t[i] = both[order]
    for split, names in walk.losses.items():
        for name, curves in names.items():
            curves[i] = np.concatenate([curves[i], found.losses[split][name][place]])[order]
