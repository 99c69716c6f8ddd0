"""Growth of the rescaling barrier with the factor: random networks of a block's shape, on their own outputs.

Each layer of them is scaled so that its units keep their size on the data: with a degree of two, outputs would grow or
vanish doubly exponentially with the depth, and their squares leave what the precision holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pyarrow as pa
import torch

from engine import pairs, predict, walk
from engine.discovery import members
from engine.measure import SILENT, check_growth
from engine.network.fully_connected import DEGREE
from engine.seeding import seed_of
from engine.types import Data, Pair, Split, Weights
from kernels.path_loss.reference import ACTIVATION

COLUMNS = {
    "growth_barrier": pa.float64(),
    # the closed form at the same points
    "growth_predicted": pa.float64(),
}
PERMUTED = "a permutation in place of the rescaling"


@dataclass
class Config:
    """Options of ``measures=[growth]``."""

    # positively homogeneous
    activations: list[str] = field(default_factory=lambda: ["relu", "leaky_relu", "relu_squared"])
    # the two largest give the exponent
    factors: list[float] = field(default_factory=lambda: [1, 10, 100, 1000, 10000])
    # random networks of each activation
    networks: int = 2
    # of the block's inputs
    samples: int = 128

    def __post_init__(self):
        if unknown := [name for name in self.activations if name not in DEGREE]:
            raise ValueError(f"measure.growth.activations={unknown[0]}, expected some of {', '.join(DEGREE)}")
        for option in ("networks", "samples"):
            if getattr(self, option) < 1:
                raise ValueError(f"measure.growth.{option}={getattr(self, option)}, expected at least 1")
        check_growth("measure.growth.factors", self.factors)


def of_block(study):
    """One row per activation, network and factor, and the same with the rescaling replaced by a permutation."""
    options = study.config.measure.growth
    rows = []
    for activation in options.activations if study.network.depth > 1 else ():
        network = replace(study.network, activation=activation, skip=0.0)
        axes = vars(replace(study.block.architecture, activation=activation, skip=0.0))
        for seed in range(options.networks):
            drawn = seed_of(what="growth", sweep_seed=study.config.seed, seed=seed, **axes)
            rows += _of_network(study, network, torch.Generator().manual_seed(drawn), axes | {"seed": seed})
    return rows


def _of_network(study, network, generator, axes):
    """Every factor, then the control, for one network whose outputs are the targets."""
    options, sweep, inputs = study.config.measure.growth, study.config.sweep, study.data.train.x
    x = inputs[: options.samples]
    weights = _even(network, network.random(generator).map(lambda p: p.to(inputs)), x)
    *_, hidden, outputs = network.layers(weights, x)
    if not hidden.any():
        return [axes | {"split": "train", "reason": SILENT}]
    data = Data(Split(x, outputs[0]), None, network.widths[-1])
    rescaling, permutation = (members("symmetry")[name].Group(network) for name in ("rescaling", "permutation"))
    chosen = tuple(Pair(0, 0, "rescaled", m, False) for m in options.factors)
    a = weights.map(lambda p: p.expand(len(chosen), *p.shape[1:]))
    element = tuple(
        torch.cat(parts).to(inputs)
        for parts in zip(*(rescaling.related(pair, generator) for pair in chosen), strict=True)
    )
    rescaled = pairs.Pairs(chosen, a, rescaling.act(element, a), rescaling, element)
    order = tuple(part.to(inputs.device).expand(len(chosen), -1) for part in permutation.random(generator))
    permuted = rescaled.to_ends(a, permutation.act(order, a))
    closed_form = predict.line(network, rescaled)
    rows = []
    for control, stack in ((None, rescaled), (PERMUTED, permuted)):
        curve = members("path")["linear"].Path(network, stack)
        also = closed_form.maximiser()
        walked = walk.follow(curve, data, ("sse",), sweep.points, sweep.tolerance, also)
        found = members("measure")["barrier"].of_walk(walked, "train", "sse")
        for i, (pair, t, reason) in enumerate(zip(chosen, walked.t, found["reason"], strict=True)):
            rise = closed_form.rise(data.train, torch.tensor(t).to(inputs).expand(len(chosen), -1), "sse")[i]
            rows.append(
                axes
                | {"rescaling": pair.rescaling, "path": "linear", "split": "train", "control": control}
                | {"t": t, "loss": found["loss"][i], "growth_barrier": found["barrier"][i], "reason": reason}
                | {"growth_predicted": None if reason else float(rise.max())}
            )
    return rows


def _even(network, weights: Weights, x: torch.Tensor) -> Weights:
    """Each layer, its bias with it, over the largest of its ``z_i`` at ``x``; one that gives zeros stays."""
    layers, biases, a = [], [], x
    for i, layer in enumerate(weights.layers):
        bias = 0.0 if weights.biases is None else weights.biases[i].unsqueeze(-2)
        z = a @ layer.mT + bias
        size = z.abs().amax((-2, -1), keepdim=True)
        size = torch.where(size > 0, size, 1.0)
        layers.append(layer / size)
        biases.append((bias / size).squeeze(-2) if weights.biases else None)
        a = ACTIVATION[network.activation](z / size)
    return Weights(tuple(layers), weights.biases and tuple(biases))
