"""Curvature of symmetry curves, and how far their chords leave the minimum: both sides of Thm. 6.2."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pyarrow as pa
import torch

from engine import predict
from engine.discovery import members
from engine.nearest import nearest
from engine.pairs import Pairs
from engine.seeding import seed_of
from engine.types import Pair

COLUMNS = {
    # Frobenius norm of log g
    "log_norm": pa.float64(),
    # the largest along the curve
    "curvature": pa.float64(),
    "arc_length": pa.float64(),
    "chord_length": pa.float64(),
    # the sagitta, null where the theorem does not apply: then `reason` says why
    "distance_bound": pa.float64(),
    # of the chord's points from the orbit of the minimum, the largest; found by optimisation
    "distance_measured": pa.float64(),
    # the largest gradient norm between the chord and the points found
    "lipschitz": pa.float64(),
    # the largest loss on the chord less that of the minimum
    "loss_rise": pa.float64(),
}
FLATTEST = "the smallest curvature of the curve in place of the largest"
NO_GRADIENT = "the gradient at the minimum in place of a Lipschitz constant"


@dataclass
class Config:
    """Options of ``measures=[curvature]``."""

    # Frobenius norms of log g
    norms: list[float] = field(default_factory=lambda: [0.1, 0.3, 1.0, 3.0])
    # points of the curve at which its curvature is computed
    curve_points: int = 257
    # points of the chord whose distance is measured
    chord_points: int = 7

    def __post_init__(self):
        if not all(norm > 0 for norm in self.norms):
            raise ValueError(f"measure.curvature.norms={self.norms}, expected numbers above 0")
        if self.curve_points < 3 or self.chord_points < 1:
            raise ValueError("measure.curvature: curve_points and chord_points, expected at least 3 and 1")


def of_found(study):
    """For each minimum and norm one row and those of two controls; linear networks by GL, others by rescaling."""
    groups = [study.symmetries[name] for name in ("linear", "rescaling") if study.symmetries[name].reason is None]
    if not groups:
        return []
    group, options, x = groups[0], study.config.measure.curvature, study.data.train.x
    axes, chosen, elements, norms = [], [], [], []
    for i, minimum in enumerate(study.block.minima):
        drawn = seed_of(what="curvature", sweep_seed=study.config.seed, **minimum.axes)
        generator = torch.Generator().manual_seed(drawn)
        shapes = [part.shape[1:] for part in group.basis(study.found.weights)]
        direction = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        length = math.sqrt(sum(float(part.square().sum()) for part in direction))
        for norm in options.norms:
            axes.append(minimum.axes)
            chosen.append(Pair(i, i, group.relation))
            norms.append(norm)
            elements.append(group.flow(tuple(norm / length * part[None].to(x) for part in direction)))
    element = tuple(torch.cat(parts) for parts in zip(*elements, strict=True))
    a = study.found.weights[torch.tensor([pair.a for pair in chosen])]
    stack = Pairs(tuple(chosen), a, group.act(element, a), group, element)
    curve = members("path")["symmetry"].Path(study.network, stack)
    columns = _along(curve, options) | _chord(study, curve, options)
    rows = []
    for k, at in enumerate(axes):
        at = at | {"relation": group.relation, "path": "linear", "split": "train", "log_norm": norms[k]}
        if curve.reasons[k]:
            rows.append(at | {"reason": curve.reasons[k]})
            continue
        row = at | {name: values[k] for name, values in columns.items() if name in COLUMNS}
        rows.append(row | _bound(row, row["curvature"]))
        rows.append(row | _bound(row, columns["flattest"][k]) | {"control": FLATTEST})
        rows.append(row | _bound(row, row["curvature"]) | {"control": NO_GRADIENT, "lipschitz": columns["flat"][k]})
    return rows


def _bound(row, kappa):
    """The theorem's bound, or why there is none."""
    bound, reason = predict.sagitta(kappa, row["chord_length"], row["arc_length"])
    return {"curvature": kappa, "distance_bound": bound, "reason": reason}


def _along(curve, options):
    """Largest and smallest curvature and the arc length of each curve, from closed-form derivatives."""
    pairs = len(curve.pairs)
    t = torch.linspace(0, 1, options.curve_points, dtype=torch.float64).to(curve.pairs.a.layers[0]).expand(pairs, -1)
    first, second = curve.derivatives(t)
    kappa = predict.curvature(first, second)
    return {
        "curvature": kappa.amax(1).tolist(),
        "flattest": kappa.amin(1).tolist(),
        "arc_length": torch.trapezoid(first.squared_norm().sqrt(), t, dim=1).tolist(),
        "chord_length": curve.pairs.a.distance(curve.pairs.b).tolist(),
    }


def _chord(study, curve, options):
    """Distances of chord points from the orbit, and losses and gradients between."""
    pairs, count = len(curve.pairs), options.chord_points
    split, x = study.data.train, study.data.train.x
    t = torch.linspace(0, 1, options.curve_points, dtype=torch.float64).to(x).expand(pairs, -1)
    points = curve.points(t)
    s = torch.linspace(0, 1, count + 2, dtype=torch.float64).to(x)[1:-1].expand(pairs, -1)
    chord = members("path")["linear"].Path(study.network, curve.pairs).points(s)
    # the search starts from the nearest point of the curve
    apart = [chord[:, i].map(lambda p: p.unsqueeze(1)).distance(points) for i in range(count)]
    closest = torch.stack(apart, dim=1).argmin(2)  # (K, S)
    each = torch.arange(pairs, device=x.device)[:, None]
    flat = points[each, closest].map(lambda p: p.flatten(0, 1)), chord.map(lambda p: p.flatten(0, 1))
    found, distance = nearest(curve.pairs.group, *flat)
    # the segments from the minimum to the chord, five points each
    gradients = []
    for u in torch.linspace(0, 1, 5, dtype=torch.float64).tolist():
        between = found.map(lambda a, b, u=u: (1 - u) * a + u * b, flat[1])
        gradients.append(study.network.train(between, split, steps=0).grad_norm.reshape(pairs, count).amax(1))
    name = (study.network.loss_name,)
    rise = study.network.curve_loss(chord, split, name)[0].amax(1) - study.network.loss(curve.pairs.a, split, name)[0]
    return {
        "distance_measured": distance.reshape(pairs, count).amax(1).tolist(),
        "lipschitz": torch.stack(gradients).amax(0).tolist(),
        "flat": gradients[0].tolist(),
        "loss_rise": rise.tolist(),
    }
