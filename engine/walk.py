"""Walking a path: losses at a coarse grid of points, then at more points wherever a higher maximum may be.

Every pair is refined by itself, from its own values alone: its points do not depend on what is computed beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.types import Data

ROUNDS, PER_ROUND = 16, 4  # of refinement at most, and points that each adds; intervals beside a maximum are halved
# the largest curvature between two points, over what those around show: a parabola that bends four times as much as the
# points of a tent reaches its tip
SAFETY = 4.0


@dataclass(frozen=True)
class Walk:
    """What was measured along the paths of a stack of pairs; each entry of a list belongs to one pair."""

    t: list[np.ndarray]  # increasing, from 0 to 1
    losses: dict[str, dict[str, list[np.ndarray]]]  # by split, then by name


def excess(t: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Loss over the chord of the end losses (Entezari et al. 2022)."""
    return loss - ((1 - t) * loss[0] + t * loss[-1])


def heights(t: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How high a curve may be between its points, as far as these show how it bends.

    Args:
        t: increasing points, at least two.
        values: finite values at the points.

    Returns:
        For each interval the height of the parabola through its ends that bends ``SAFETY`` times as much downwards as
        any three consecutive points do, one of which at least is an end.
    """
    widths, steps = np.diff(t), np.diff(values)
    bends = np.zeros(len(t) + 2)  # of three points, at the middle one; nothing is known at the ends
    bends[2:-2] = np.maximum(0.0, -2 * np.diff(steps / widths) / (t[2:] - t[:-2]))
    near = np.maximum.reduce([bends[k : len(bends) - 3 + k] for k in range(4)])
    rise = 0.5 * SAFETY * near * widths**2  # the parabola is values + s steps + s (1 - s) rise, 0 <= s <= 1
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = values[:-1] + 0.25 * (rise + steps) * (1 + steps / rise)
    return np.where(rise > np.abs(steps), inside, np.maximum(values[:-1], values[1:]))


def tolerance_of(t: np.ndarray, loss: np.ndarray) -> float:
    """How far the largest measured excess may lie below the path's: by ``heights``, and rounding of the losses.

    An estimate, no bound: of a peak that is narrower than the points lie apart they may show nothing.
    """
    if not np.isfinite(loss).all():
        return float("nan")
    values = excess(t, loss)
    return float(heights(t, values).max() - values.max()) + _rounding(loss, np.finfo(np.float64).eps)


def _rounding(loss: np.ndarray, eps: float) -> float:
    return 4 * eps * float(np.abs(loss).max())


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
    wanted, eps = range(pairs) if path.refine else (), torch.finfo(data.train.x.dtype).eps
    for _ in range(ROUNDS):
        more = {i: new for i in wanted if len(new := _new_points(walk, i, names[0], tolerance, eps))}
        if not more:
            break
        wanted = list(more)
        # as many points each; a shorter list is repeated, which is dropped again below
        t = torch.tensor([(new * PER_ROUND)[:PER_ROUND] for new in more.values()], dtype=torch.float64)
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


def _new_points(walk: Walk, i: int, name: str, tolerance: float, eps: float) -> list[float]:
    """Where to look next for the maximum of pair ``i``: in the middle of the intervals that may hold a higher one."""
    t, loss = walk.t[i], walk.losses["train"][name][i]
    if not np.isfinite(loss).all():
        return []
    values = excess(t, loss)
    known = tolerance * abs(values.max()) + SAFETY * _rounding(loss, eps)
    over = heights(t, values) - values.max() - known
    worst = [k for k in np.argsort(-over, kind="stable")[:PER_ROUND] if over[k] > 0 and t[k + 1] - t[k] > 2e-9]
    return sorted(0.5 * (t[k] + t[k + 1]) for k in worst)


def _merge(walk: Walk, i: int, found: Walk, place: int) -> None:
    both = np.concatenate([walk.t[i], found.t[place]])
    order = np.unique(both, return_index=True)[1]
    walk.t[i] = both[order]
    for split, names in walk.losses.items():
        for name, curves in names.items():
            curves[i] = np.concatenate([curves[i], found.losses[split][name][place]])[order]
