"""The largest barrier between points of one orbit within a ball, over its radius; compact and non-compact groups."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import torch

from engine import walk
from engine.discovery import members
from engine.pairs import Pairs
from engine.seeding import seed_of
from engine.types import Pair, Weights

COLUMNS = {
    # non-compact or compact; a control's rows are those of the other kind
    "kind": pa.string(),
    "group": pa.string(),
    # of the ball, over the norm of the minimum
    "radius": pa.float64(),
    # the largest found, over the loss of the zero network
    "orbit_barrier": pa.float64(),
}
COMPACT = "a compact group"
NON_COMPACT = "a non-compact group"
HALVINGS = 30  # of the interval in which a one-parameter subgroup meets the sphere


@dataclass
class Config:
    """Options of ``measures=[orbit_barrier]``."""

    # of the balls, over the norm of the minimum
    radii: list[float] = field(default_factory=lambda: [1.1, 2.0, 8.0, 32.0, 128.0, 512.0])
    # one-parameter subgroups, or random pairs of elements, that are tried
    tries: int = 8

    def __post_init__(self):
        if len(set(self.radii)) < 2 or min(self.radii) <= 1:
            raise ValueError(f"measure.orbit_barrier.radii={self.radii}, expected two or more, all above 1")
        if self.tries < 1:
            raise ValueError(f"measure.orbit_barrier.tries={self.tries}, expected at least 1")


def of_found(study):
    """For each minimum and radius one row per group, and the same as control of the claim about the other kind."""
    options, symmetries = study.config.measure.orbit_barrier, study.symmetries
    flowing = next((name for name in ("linear", "rescaling") if symmetries[name].reason is None), None)
    if flowing is None:
        return []
    rows = []
    for i, minimum in enumerate(study.block.minima):
        drawn = seed_of(what="orbit_barrier", sweep_seed=study.config.seed, **minimum.axes)
        generator, a = torch.Generator().manual_seed(drawn), study.found.weights[i : i + 1]
        # the ball holds the whole orbit of a group that keeps the norm
        compact = _barrier(study, *_rotated(study, flowing, a, options.tries, generator))
        directions = _directions(symmetries[flowing], a, options.tries, generator)
        for radius in options.radii:
            found = _barrier(study, *_stretched(symmetries[flowing], a, directions, radius))
            for kind, group, barrier, other in (
                ("non-compact", flowing, found, NON_COMPACT),
                ("compact", "orthogonal" if flowing == "linear" else "permutation", compact, COMPACT),
            ):
                row = minimum.axes | {"split": "train", "path": "linear", "kind": kind, "group": group}
                row |= {"radius": radius, "orbit_barrier": barrier}
                swapped = "compact" if kind == "non-compact" else "non-compact"
                rows += [row, row | {"kind": swapped, "control": other}]
    return rows


def _directions(group, a: Weights, tries, generator):
    """Elements of the Lie algebra, batch ``(tries,)``: random ones, the first the same factor for all units."""
    parts = []
    for part in group.basis(a):
        direction = torch.randn(tries, *part.shape[1:], generator=generator, dtype=torch.float64).to(part)
        direction[0] = torch.eye(part.shape[-1]).to(part) if part.dim() == 3 else 1.0
        parts.append(direction)
    return tuple(parts)


def _stretched(group, a: Weights, directions, radius) -> tuple[Weights, Weights]:
    """Where the subgroups of the directions leave the ball, forwards and backwards: the norm is convex along them."""
    tries = len(directions[0])
    start = a.map(lambda p: p.expand(tries, *p.shape[1:]))
    limit = radius * a.squared_norm().sqrt()

    def point(s):
        return group.act(group.flow(tuple(s.reshape(-1, *[1] * (part.dim() - 1)) * part for part in directions)), start)

    ends = []
    for sign in (1.0, -1.0):
        outside = torch.full((tries,), 0.5).to(limit)
        while bool((inside := point(sign * outside).squared_norm().sqrt() < limit).any()):
            outside = torch.where(inside, 2 * outside, outside)
        low, high = torch.zeros_like(outside), outside
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            inside = point(sign * middle).squared_norm().sqrt() <= limit
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        ends.append(point(sign * low))
    return ends[1], ends[0]


def _rotated(study, flowing, a: Weights, tries, generator) -> tuple[Weights, Weights]:
    """Pairs of images under elements that keep the norm: orthogonal matrices or permutations."""
    group = study.symmetries["linear" if flowing == "linear" else "permutation"]
    ends = []
    for _ in range(2):
        elements = []
        for _ in range(tries):
            element = group.random(generator)
            elements.append(tuple(torch.linalg.qr(part)[0] for part in element) if flowing == "linear" else element)
        element = tuple(torch.cat(parts).to(a.layers[0].device) for parts in zip(*elements, strict=True))
        if flowing == "linear":
            element = tuple(part.to(a.layers[0]) for part in element)
        ends.append(group.act(element, a.map(lambda p: p.expand(tries, *p.shape[1:]))))
    return ends[0], ends[1]


def _barrier(study, a: Weights, b: Weights) -> float:
    """The largest barrier of the straight lines, over the loss of the zero network."""
    sweep, network = study.config.sweep, study.network
    stack = Pairs(tuple(Pair(0, 0, "transformed") for _ in range(len(a))), a, b)
    curve = members("path")["linear"].Path(network, stack)
    walked = walk.follow(curve, study.data, ("sse",), sweep.points, sweep.tolerance, None)
    zero = network.loss(a[:1].map(torch.zeros_like), study.data.train, ("sse",))[0]
    losses = walked.losses["train"]["sse"]
    return max(float(walk.excess(t, loss).max()) for t, loss in zip(walked.t, losses, strict=True)) / float(zero)
