"""Curves near the data-dependent action (Prop. 6.1) against Bézier curves and the straight line, at equal cost.

Between two minima of a two-layer network the first layer runs on a learned quadratic Bézier curve; the last layer is
refitted at every point to the outputs on their chord, which is what the action does to it.  The Bézier curve learns a
control point for both layers.  Both are trained by Adam for the same number of multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import torch

from engine import pairs, walk
from engine.detect import detect
from engine.types import Weights

COLUMNS = {
    # over the chord of the end losses, over the loss of the zero network
    "line_barrier": pa.float64(),
    "bezier_barrier": pa.float64(),
    "refitted_barrier": pa.float64(),
    # of the training of each curve
    "bezier_multiplications": pa.float64(),
    "refitted_multiplications": pa.float64(),
}
CHORD = "the last layer stays on its chord"
RIDGE = 1e-10  # of the mean square of the features, so that units that agree do not make the refit singular


@dataclass
class Config:
    """Options of ``measures=[refitted]``."""

    # of Adam on the Bézier curve; the other has as many as cost the same
    steps: int = 240
    learning_rate: float = 0.02
    # points of a curve in each step, evenly spaced inside
    points: int = 9

    def __post_init__(self):
        if self.steps < 1 or self.points < 1 or not self.learning_rate > 0:
            raise ValueError("measure.refitted: steps, points and learning_rate, expected numbers above 0")


def of_found(study):
    """One row per pair of independent minima, the second moved near the first, and one with the chord's last layer."""
    network, options, x = study.network, study.config.measure.refitted, study.data.train.x
    chosen = pairs.enumerate_pairs(study.block, "independent")
    if network.depth != 2 or not chosen:
        return []
    stack = pairs.independent(chosen, study.found.weights)
    a, b = stack.a, detect(study.symmetries, stack.a, stack.b)
    inputs, hidden, outputs = network.widths
    samples, size = len(x), 3 * options.points  # forwards and backwards
    plain = size * samples * hidden * (inputs + outputs)
    refit = size * (samples * hidden * (inputs + hidden + 2 * outputs) + hidden**3)
    steps = max(1, options.steps * plain // refit)
    middle = a.map(lambda p, q: 0.5 * (p + q), b)
    bezier = _train(study, lambda bend, t: _bezier(a, bend, b, t), middle, options.steps)
    refitted = _train(study, lambda bend, t: _refitted(study, a, bend, b, t), middle, steps)
    t = torch.linspace(0, 1, 2 * study.config.sweep.points - 1, dtype=torch.float64).to(x)
    near = _refitted(study, a, refitted, b, t)
    chord = _bezier(a, middle, b, t)
    mixed = Weights((near.layers[0], chord.layers[1]), near.biases)
    line, plain_barrier, barrier, control = (
        _barriers(study, points, t) for points in (chord, _bezier(a, bezier, b, t), near, mixed)
    )
    rows = []
    for k, pair in enumerate(chosen):
        row = study.block.minima[pair.a].axes | {
            "seed_b": study.block.minima[pair.b].seed,
            "split": "train",
            "line_barrier": line[k],
            "bezier_barrier": plain_barrier[k],
            "refitted_barrier": barrier[k],
            "bezier_multiplications": float(options.steps * plain),
            "refitted_multiplications": float(steps * refit),
        }
        rows += [row, row | {"refitted_barrier": control[k], "control": CHORD}]
    return rows


def _train(study, curve, start: Weights, steps: int) -> Weights:
    """The bend at which the mean loss over the curve's points is least, by Adam; every pair as if it were alone."""
    options, network = study.config.measure.refitted, study.network
    t = torch.linspace(0, 1, options.points + 2, dtype=torch.float64).to(study.data.train.x)[1:-1]
    bend = start.map(lambda p: p.clone().requires_grad_())
    optimizer = torch.optim.Adam(bend.parameters, lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        network.curve_loss(curve(bend, t), study.data.train, (network.loss_name,))[0].mean(1).sum().backward()
        optimizer.step()
        schedule.step()
    return bend.map(lambda p: p.detach())


def _bezier(a: Weights, bend: Weights, b: Weights, t) -> Weights:
    """The quadratic Bézier curve with batch ``(K, T)``; a straight line where the bend is the middle."""

    def mix(p, q, r):
        s = t.reshape(-1, *[1] * (p.dim() - 1))
        return (1 - s) ** 2 * p.unsqueeze(1) + 2 * s * (1 - s) * q.unsqueeze(1) + s**2 * r.unsqueeze(1)

    return a.map(mix, bend, b)


def _refitted(study, a: Weights, bend: Weights, b: Weights, t) -> Weights:
    """The first layer of the Bézier curve, the last one refitted to the outputs on their chord; ends exact."""
    network, x = study.network, study.data.train.x
    curve = _bezier(a, bend, b, t)
    last_a, last_b = a.layers[1].unsqueeze(1), b.layers[1].unsqueeze(1)
    hidden_a, hidden_b = (network.layers(end, x)[1].unsqueeze(1) for end in (a, b))
    s = t.reshape(-1, 1, 1)
    outputs = (1 - s) * (hidden_a @ last_a.mT) + s * (hidden_b @ last_b.mT)
    refit = _solve(network.layers(curve, x)[1], outputs)
    # with fewer samples than units the ends are not what the refit gives: their differences fade in
    missing = (1 - s) * (last_a - _solve(hidden_a, hidden_a @ last_a.mT))
    missing = missing + s * (last_b - _solve(hidden_b, hidden_b @ last_b.mT))
    biases = curve.biases
    if biases is not None:
        r = t.reshape(-1, 1)
        biases = (biases[0], (1 - r) * a.biases[1].unsqueeze(1) + r * b.biases[1].unsqueeze(1))
    return Weights((curve.layers[0], refit + missing), biases)


def _solve(features, outputs):
    """The last layer ``(…, d_l, h)`` nearest to the outputs in least squares, with a ridge at the level of rounding."""
    gram = features.mT @ features
    ridge = RIDGE * gram.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    eye = torch.eye(gram.shape[-1]).to(gram)
    return torch.linalg.solve(gram + ridge * eye, features.mT @ outputs).mT


def _barriers(study, points: Weights, t) -> list[float]:
    """The largest rise over the chord of the end losses, over the loss of the zero network."""
    network, name = study.network, (study.network.loss_name,)
    with torch.no_grad():
        losses = network.curve_loss(points, study.data.train, name)[0].cpu().double().numpy()
        zero = float(network.loss(points[:1, 0].map(torch.zeros_like), study.data.train, name)[0])
    return [float(walk.excess(t.cpu().double().numpy(), loss).max()) / zero for loss in losses]
