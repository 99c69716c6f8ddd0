"""Loss along eq. (5), or its polar form, and on the straight line, over the length and the condition of g."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pyarrow as pa
import torch

import kernels
from engine.discovery import members
from engine.pairs import Pairs
from engine.seeding import seed_of
from engine.symmetry.linear import has_labels, label
from engine.types import Pair, not_applicable

COLUMNS = {
    # how g was drawn
    "element": pa.string(),
    # principal: exp(t log g); polar: exp(t log Q) exp(t log P); null: there is neither
    "curve": pa.string(),
    # Frobenius norm of the logarithms, all layers
    "log_norm": pa.float64(),
    # of g, 2-norm, the largest of the layers
    "condition": pa.float64(),
    # square root of the largest loss over that of the zero network: along the curve, null where it is not zero at its
    # start either, and on the straight line
    "curve_residual": pa.float64(),
    "line_residual": pa.float64(),
    # of the curve's end from g·w, over the norm of g·w
    "end_error": pa.float64(),
    # whether the signs that name the component are the same at both ends
    "labels_agree": pa.bool_(),
}
BROKEN = "g acts on all layers but the last"
SHIFTED = "the labels of another pair"
NO_LOGARITHM = "no real logarithm"
ZERO = 1e-9  # a minimum whose residual is larger has a loss, and on no curve can it stay zero


@dataclass
class Config:
    """Options of ``measures=[curve]``."""

    # Frobenius norms of log g at each layer
    norms: list[float] = field(default_factory=lambda: [0.1, 1.0, 3.0])
    # condition numbers of g at each layer
    conditions: list[float] = field(default_factory=lambda: [10.0, 1e3, 1e5])

    def __post_init__(self):
        if not all(norm > 0 for norm in self.norms):
            raise ValueError(f"measure.curve.norms={self.norms}, expected numbers above 0")
        if not all(condition >= 1 for condition in self.conditions):
            raise ValueError(f"measure.curve.conditions={self.conditions}, expected numbers from 1")


def of_found(study):
    """For each minimum one row per kind of element, one without the action on the last layer, one with other labels."""
    group = study.symmetries["linear"]
    if group.reason or not has_labels(study.network):
        return []
    axes, kinds, elements = [], [], []
    for i, minimum in enumerate(study.block.minima):
        drawn = seed_of(what="curve", sweep_seed=study.config.seed, **minimum.axes)
        generator = torch.Generator().manual_seed(drawn)
        for kind, element in _elements(study, generator):
            axes.append((i, minimum.axes))
            kinds.append(kind)
            elements.append(element)
    element = tuple(torch.stack(parts).to(study.data.train.x) for parts in zip(*elements, strict=True))
    a = study.found.weights[torch.tensor([i for i, _ in axes])]
    stack = Pairs(tuple(Pair(i, i, "transformed") for i, _ in axes), a, group.act(element, a), group, element)
    path = members("path")["symmetry"].Path(study.network, stack)
    t = torch.linspace(0, 1, study.config.sweep.points, dtype=torch.float64).to(study.data.train.x)
    t = t.expand(len(stack), -1)
    points = path.points(t)
    zero = a[:1].map(torch.zeros_like)
    scale = study.network.loss(zero, study.data.train, ("sse",))[0]

    def residual(curve):
        return (study.network.curve_loss(curve, study.data.train, ("sse",))[0].amax(1) / scale).sqrt().tolist()

    start = (study.network.loss(a, study.data.train, ("sse",))[0] / scale).sqrt().tolist()
    unmoved = a.layers[-1].unsqueeze(1).expand_as(points.layers[-1])
    line = members("path")["linear"].Path(study.network, stack)
    labels = [label(study.network, end, study.data.train) for end in (stack.a, stack.b)]
    columns = {
        "log_norm": sum(part.square().sum((1, 2)) for part in path.direction).sqrt().tolist(),
        "condition": torch.stack([torch.linalg.cond(part) for part in element]).amax(0).tolist(),
        "curve_residual": residual(points),
        "line_residual": (line.loss(study.data.train, t, ("sse",))[0].amax(1) / scale).sqrt().tolist(),
        "end_error": (points[:, -1].distance(stack.b) / stack.b.squared_norm().sqrt()).tolist(),
        "labels_agree": [a == b for a, b in zip(*labels, strict=True)],
    }
    broken = residual(replace(points, layers=(*points.layers[:-1], unmoved)))
    polar = torch.stack([part.flatten(1).any(1) for part in path.direction[1::2]]).any(0).tolist()
    rows = []
    for k, (_, at) in enumerate(axes):
        row = at | {"path": "symmetry", "split": "train", "element": kinds[k], "reason": path.reasons[k]}
        row |= {name: values[k] for name, values in columns.items()}
        if path.reasons[k]:
            row |= dict.fromkeys(("log_norm", "curve_residual", "end_error"))
        elif start[k] > ZERO:
            why = f"the minimum's loss is {start[k] ** 2:.3g} of the zero network's, not zero"
            row |= {
                "curve": "polar" if polar[k] else "principal",
                "curve_residual": None,
                "reason": not_applicable(why),
            }
        else:
            row["curve"] = "polar" if polar[k] else "principal"
            rows.append(row | {"curve_residual": broken[k], "control": BROKEN})
        other = columns["labels_agree"][k - 1]
        rows += [row, row | {"labels_agree": other, "control": SHIFTED}]
    return rows


def _elements(study, generator):
    """Elements with a logarithm of given length, of given condition, without a real logarithm, and reversing one layer.

    Yields:
        What it is and one matrix per hidden layer.
    """
    options, widths = study.config.measure.curve, study.network.widths[1:-1]

    def normal(n):
        return torch.randn(n, n, generator=generator, dtype=torch.float64)

    def orthogonal(n):
        q = torch.linalg.qr(normal(n))[0]
        q[:, 0] *= torch.linalg.slogdet(q).sign
        return q

    for norm in options.norms:
        directions = [normal(n) for n in widths]
        yield f"log norm {norm:g}", [kernels.expm(norm * xi / torch.linalg.norm(xi)) for xi in directions]
    for condition in options.conditions:
        spread = [condition ** (torch.linspace(-0.5, 0.5, n, dtype=torch.float64)) for n in widths]
        turned = [(orthogonal(n), orthogonal(n)) for n in widths]
        yield f"condition {condition:g}", [(u * s) @ v for (u, v), s in zip(turned, spread, strict=True)]
    if min(widths) > 1:
        values = [torch.tensor([-1.0, -2.0] + [1.0] * (n - 2), dtype=torch.float64) for n in widths]
        bases = [orthogonal(n) + 0.1 * normal(n) for n in widths]
        yield NO_LOGARITHM, [(s * v) @ torch.linalg.inv(s) for s, v in zip(bases, values, strict=True)]
    reversing = [orthogonal(n) for n in widths]
    reversing[0][0] *= -1
    yield "det g < 0", reversing
