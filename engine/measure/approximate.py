"""How far the data-dependent action of Prop. 6.1 changes outputs, and its curve against the straight line (Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pyarrow as pa
import torch

import kernels
from engine.discovery import members
from engine.seeding import seed_of
from engine.types import Weights
from kernels.errors import ACTIVATIONS

COLUMNS = {
    # bound, exact or growth (Fig. 3a; its exact case; Figs. 3b, c)
    "part": pa.string(),
    "samples": pa.int64(),
    "hidden": pa.int64(),
    # of σ(gVX), the largest singular value over the smallest of min(N, h)
    "features_condition": pa.float64(),
    # ‖Uσ(VX) - U'σ(gVX)‖ / ‖Uσ(VX)‖
    "output_change": pa.float64(),
    # spectral norm of log g
    "direction_norm": pa.float64(),
    # the largest change of the output, relative, on the induced curve and on the straight line with the same ends
    "induced_change": pa.float64(),
    "line_change": pa.float64(),
}
LINEAR = "the action of linear networks, U → U g⁻¹"
CHORD = "the last layer stays on its chord"
MORE_SAMPLES = "twice as many samples as hidden units"


@dataclass
class Config:
    """Options of ``measures=[approximate]``."""

    # random networks of each activation, with dimensions from 2 to `largest`
    networks: int = 100
    largest: int = 100
    activations: list[str] = field(default_factory=lambda: ["sigmoid"])
    # spectral norms of log g, for networks of the block's width
    growth: list[float] = field(default_factory=lambda: [0.1, 0.3, 1.0, 2.0])
    growth_networks: int = 5
    growth_activations: list[str] = field(default_factory=lambda: ["leaky_relu", "relu", "tanh", "sigmoid", "gelu"])
    growth_samples: list[int] = field(default_factory=lambda: [8, 64])

    def __post_init__(self):
        for name in (*self.activations, *self.growth_activations):
            if name not in ACTIVATIONS:
                raise ValueError(f"measure.approximate: activation {name}, expected one of {', '.join(ACTIVATIONS)}")
        if min(self.networks, self.growth_networks, *self.growth_samples) < 1:
            raise ValueError("measure.approximate: networks, growth_networks and growth_samples, expected at least 1")
        if self.largest < 2:
            raise ValueError(f"measure.approximate.largest={self.largest}, expected at least 2")


def of_block(study):
    """Networks without biases, in float64 whatever the sweep's precision."""
    axes, options = vars(study.block.architecture), study.config.measure.approximate
    seed = seed_of(what="approximate", sweep_seed=study.config.seed, **axes)
    generator = torch.Generator().manual_seed(seed)
    rows = [
        axes | {"activation": activation, "seed": i} | row
        for activation in options.activations
        for i in range(options.networks)
        for row in _sizes(study.network, activation, options.largest, generator)
    ]
    return rows + [
        axes | {"activation": activation, "path": "induced", "split": "train"} | row
        for activation in options.growth_activations
        for samples in options.growth_samples
        for row in _growth(study.network, activation, samples, options, generator)
    ]


def _normal(generator, *size):
    return torch.randn(*size, generator=generator, dtype=torch.float64)


def _sizes(network, activation, largest, generator):
    """One network of random dimensions, one with fewer samples than units, and the controls of both.

    Yields:
        Rows without their axes.
    """
    inputs, hidden, outputs, samples = torch.randint(2, largest + 1, (4,), generator=generator).tolist()
    few = min(inputs, hidden, samples)
    for part, count, control in (
        ("bound", samples, None),
        ("bound", samples, LINEAR),
        ("exact", few, None),
        ("exact", 2 * hidden, MORE_SAMPLES),
    ):
        at = replace(network, widths=(inputs, hidden, outputs), activation=activation, bias=False, skip=0.0)
        weights, g, x = at.random(generator), _normal(generator, 1, hidden, hidden), _normal(generator, count, inputs)
        group = members("symmetry")["induced"].Group(at, None, x)
        g = g / hidden**0.5
        moved = group.act((g,), weights)
        if control == LINEAR:
            moved = replace(moved, layers=(moved.layers[0], torch.linalg.solve(g, weights.layers[1], left=False)))
        before, after = at.outputs(weights, x), at.outputs(moved, x)
        yield {
            "part": part,
            "control": control,
            "samples": count,
            "hidden": hidden,
            "features_condition": float(torch.linalg.cond(at.layers(moved, x)[1][0])) if part == "exact" else None,
            "output_change": float(torch.linalg.norm(before - after) / torch.linalg.norm(before)),
        }


def _growth(network, activation, samples, options, generator):
    """Networks of the block's width and half as many inputs, moved by ``g = exp(ξ)`` of growing norm.

    Yields:
        Rows without their axes.
    """
    hidden = network.widths[1]
    at = replace(network, widths=(max(1, hidden // 2), hidden, 4), activation=activation, bias=False, skip=0.0)
    count = options.growth_networks
    x = _normal(generator, samples, at.widths[0])
    drawn = [at.random(generator) for _ in range(count)]
    weights = drawn[0].map(lambda *parts: torch.cat(parts), *drawn[1:])
    target = at.outputs(weights, x)
    group = members("symmetry")["induced"].Group(at, None, x)
    direction = _normal(generator, count, hidden, hidden)
    direction = direction / torch.linalg.matrix_norm(direction, 2)[:, None, None]
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    start = weights.map(lambda p: p.unsqueeze(1).expand(-1, len(t), *p.shape[1:]))
    s = t[:, None, None]
    for norm in options.growth:
        curve = group.act((kernels.expm(s * norm * direction.unsqueeze(1)),), start)
        end = curve[:, -1]
        line = weights.map(lambda a, b: (1 - s) * a.unsqueeze(1) + s * b.unsqueeze(1), end)
        chord = Weights((curve.layers[0], line.layers[1]))
        # U → U σσ⁺, before the curve: the features are those of the start
        first = weights.map(lambda a, b: (1 - s) * a.unsqueeze(1) + s * b.unsqueeze(1), curve[:, 0])
        changes = [_change(at, stack, x, target) for stack in (curve, first, line, chord)]
        conditions = torch.linalg.cond(at.layers(end, x)[1]).tolist()
        for i in range(count):
            row = {"seed": i, "part": "growth", "samples": samples, "hidden": hidden, "direction_norm": norm}
            row |= {"features_condition": conditions[i], "line_change": changes[2][i]}
            yield row | {"induced_change": max(changes[0][i], changes[1][i])}
            yield row | {"induced_change": changes[3][i], "control": CHORD}


def _change(network, stack: Weights, x, target) -> list[float]:
    """Largest relative change of the output along each curve of a stack with batch ``(K, T)``."""
    difference = network.outputs(stack, x) - target.unsqueeze(1)
    return (torch.linalg.matrix_norm(difference).amax(1) / torch.linalg.matrix_norm(target)).tolist()
