"""Finding the symmetry that relates two networks: planted elements under noise, independent minima, unrelated pairs."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import torch

from engine import pairs
from engine.detect import detect, family, plant
from engine.seeding import seed_of
from engine.types import Weights

COLUMNS = {
    # planted: a minimum and its image under a random element, with noise; independent: minima of two seeds;
    # unrelated: two random networks, the null distribution
    "pair": pa.string(),
    "group": pa.string(),
    # Frobenius norm of the noise over that of the weights
    "noise": pa.float64(),
    # ‖a - g b‖ / ‖a‖ for the element found
    "weight_residual": pa.float64(),
    # ‖f_a - f_b‖ / ‖f_a‖ on the training data
    "output_residual": pa.float64(),
    # share of the unrelated pairs, and this one, that are as near
    "p_value": pa.float64(),
    # whether the residual is what undoing the planted element leaves
    "recovered": pa.bool_(),
    # GL and square layers: whether det g > 0 for the element found exactly where the signs of det W_i, i < l, agree
    "labels_agree": pa.bool_(),
}
UNRELATED = "unrelated random networks"
SHIFTED = "the labels of another pair"
FLOOR = 1e-6  # of the weights: a residual below it is an exact symmetry
SLACK = 1.5  # over what undoing the planted element leaves: the search is by layers, and not for the rescaling


@dataclass
class Config:
    """Options of ``measures=[detection]``."""

    noise: list[float] = field(default_factory=lambda: [0.0, 1e-3, 1e-2, 1e-1])
    # planted pairs per minimum and noise
    planted: int = 2
    # pairs of the null distribution
    unrelated: int = 39

    def __post_init__(self):
        if not all(0 <= noise < 1 for noise in self.noise):
            raise ValueError(f"measure.detection.noise={self.noise}, expected numbers from 0 to below 1")
        if self.planted < 1 or self.unrelated < 1:
            raise ValueError("measure.detection: planted and unrelated, expected at least 1")


def of_found(study):
    """Rows of every pair; unrelated ones once more as the control of each claim."""
    if not family(study.symmetries):
        return []
    architecture, options = study.block.architecture, study.config.measure.detection
    drawn = seed_of(what="detection", sweep_seed=study.config.seed, **vars(architecture))
    generator = torch.Generator().manual_seed(drawn)
    null = _judge(study, *_unrelated(study, options.unrelated, generator))
    residuals = torch.tensor([row["weight_residual"] for row in null])
    shared = {"group": "×".join(family(study.symmetries)), "split": "train"}

    def finish(row, others=residuals):
        count = int((others <= row["weight_residual"]).sum())
        return shared | row | _labels(row, row) | {"p_value": (1 + count) / (1 + len(others))}

    rows = []
    for k, row in enumerate(null):
        # each against the others
        whole = finish(row, torch.cat([residuals[:k], residuals[k + 1 :]]))
        whole |= vars(architecture) | {"seed": k, "pair": "unrelated", "noise": 0.0}
        whole["recovered"] = row["weight_residual"] <= FLOOR
        rows += [whole, *(whole | {"control": UNRELATED, "pair": pair} for pair in ("planted", "independent"))]
    for noise in options.noise:
        a, b, left, minima = _planted(study, noise, options.planted, generator)
        judged = _judge(study, a, b)
        for k, (row, minimum) in enumerate(zip(judged, minima, strict=True)):
            whole = finish(row) | minimum.axes | {"pair": "planted", "noise": noise}
            whole["recovered"] = row["weight_residual"] <= SLACK * left[k] + FLOOR
            rows += [whole, whole | _labels(row, judged[k - 1]) | {"control": SHIFTED}]
    chosen = pairs.enumerate_pairs(study.block, "independent")
    if chosen:
        stack = pairs.independent(chosen, study.found.weights)
        for row, pair in zip(_judge(study, stack.a, stack.b), chosen, strict=True):
            rows.append(
                finish(row)
                | study.block.minima[pair.a].axes
                | {"seed_b": study.block.minima[pair.b].seed, "pair": "independent", "relation": "independent"}
            )
    return rows


def _unrelated(study, count, generator) -> tuple[Weights, Weights]:
    drawn = [study.network.random(generator) for _ in range(2 * count)]
    stack = drawn[0].map(lambda *parts: torch.cat(parts).to(study.data.train.x), *drawn[1:])
    return stack[:count], stack[count:]


def _planted(study, noise, count, generator):
    """Each minimum ``count`` times, its images, what undoing the planted element leaves, and its axes."""
    minima, found = study.block.minima, study.found.weights
    index = torch.arange(len(minima)).repeat_interleave(count)
    images, left = zip(
        *(plant(study.symmetries, generator, noise, found[i : i + 1]) for i in index.tolist()), strict=True
    )
    b = images[0].map(lambda *parts: torch.cat(parts), *images[1:])
    return found[index], b, left, [minima[i] for i in index.tolist()]


def _judge(study, a: Weights, b: Weights) -> list[dict]:
    """What the element found leaves, pair by pair."""
    moved = detect(study.symmetries, a, b)
    x = study.data.train.x
    outputs = study.network.outputs(a, x), study.network.outputs(b, x)
    weight = (a.distance(moved) / a.squared_norm().sqrt()).tolist()
    output = (torch.linalg.matrix_norm(outputs[0] - outputs[1]) / torch.linalg.matrix_norm(outputs[0])).tolist()
    same = positive = [None] * len(a)
    if family(study.symmetries) == ("linear",) and len(set(study.network.widths[:-1])) == 1:
        signs = [torch.linalg.slogdet(torch.stack(stack.layers[:-1])).sign for stack in (a, b)]
        found = torch.linalg.slogdet(torch.stack(study.symmetries["linear"].align(a, b))).sign
        same, positive = (signs[0] == signs[1]).all(0).tolist(), (found > 0).all(0).tolist()
    names = ("weight_residual", "output_residual", "same", "positive")
    return [dict(zip(names, values, strict=True)) for values in zip(weight, output, same, positive, strict=True)]


def _labels(row, other):
    """Whether the determinant of a row's element and the labels of another's pair say the same; null without labels."""
    return {"labels_agree": None if row["same"] is None else row["positive"] == other["same"]}
