"""How far chords leave the set ``{(W_1, W_2) : W_1 W_2 = A}``, an attention head's ``W_Q W_Kᵀ`` (Prop. 5.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from scipy.optimize import minimize

from engine import predict
from engine.seeding import seed_of

COLUMNS = {
    # of the midpoint from the set, the least that was found
    "chord_distance": pa.float64(),
    "chord_predicted": pa.float64(),
}
ORTHOGONAL = "an orthogonal matrix, from a compact group, in place of the factor m"


@dataclass
class Config:
    """Options of ``measures=[chord]``."""

    # rows and columns of A, and its rank, the inner dimension
    size: int = 6
    rank: int = 2
    # from 2 + √3 the distance is known
    factors: list[float] = field(default_factory=lambda: [10, 100, 1000])
    # random starting points of the search beside the balanced one
    starts: int = 4

    def __post_init__(self):
        if not 1 <= self.rank <= self.size:
            raise ValueError(f"measure.chord.rank={self.rank}, expected 1 … {self.size}, measure.chord.size")
        if self.starts < 0:
            raise ValueError(f"measure.chord.starts={self.starts}, expected 0 or more")
        if not all(m >= 2 + 3**0.5 for m in self.factors):
            raise ValueError(f"measure.chord.factors={self.factors}, expected numbers from 2 + √3 = 3.7321")


def of_block(study):
    """A random matrix per block, in double precision whatever the sweep's: the search needs it."""
    options, axes = study.config.measure.chord, vars(study.block.architecture)
    draw = np.random.default_rng(seed_of(what="chord", sweep_seed=study.config.seed, **axes))
    p, q = (np.linalg.qr(draw.standard_normal((options.size, options.rank)))[0] for _ in range(2))
    values = draw.uniform(0.5, 2, options.rank)
    left, right = p * np.sqrt(values), np.sqrt(values)[:, None] * q.T
    turn = np.linalg.qr(draw.standard_normal((options.rank, options.rank)))[0]
    rows = []
    for m in options.factors:
        predicted = float(predict.chord_distance(torch.tensor(m, dtype=torch.float64), torch.tensor(values)))
        scaled = (m + 1 / m) / 2
        for control, middle in (
            (None, (scaled * left, scaled * right)),
            (ORTHOGONAL, (0.5 * (left + left @ turn), 0.5 * (right + turn.T @ right))),
        ):
            distance = _distance(left, right, middle, options.starts, draw)
            rows.append(
                axes
                | {"rescaling": m, "path": "linear", "control": control}
                | {"chord_distance": distance, "chord_predicted": predicted}
            )
    return rows


def _distance(left, right, point, starts, draw) -> float:
    """From ``point`` to ``{(left g, g⁻¹ right)}``, all factorisations of inner dimension rank A, by BFGS over ``g``."""
    n = left.shape[1]
    scale = np.sqrt(sum(np.square(part).sum() for part in point))

    def objective(flat):
        g = flat.reshape(n, n)
        inverse = np.linalg.inv(g)
        first, second = left @ g - point[0], inverse @ right - point[1]
        gradient = left.T @ first - inverse.T @ (second @ right.T) @ inverse.T
        return 0.5 * (np.square(first).sum() + np.square(second).sum()) / scale**2, gradient.ravel() / scale**2

    # far from the set the nearest point lies along one factor or the other
    guesses = [np.eye(n) * factor for factor in (1.0, scale, 1 / scale)]
    guesses += [np.linalg.qr(draw.standard_normal((n, n)))[0] for _ in range(starts)]
    best = min(minimize(objective, g.ravel(), jac=True, method="BFGS", options={"gtol": 1e-12}).fun for g in guesses)
    return scale * np.sqrt(2 * best)
