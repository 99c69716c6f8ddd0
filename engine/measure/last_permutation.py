"""Rescaling barriers after the best permutation of the last hidden layer, found by trying them all (Prop. 5.4)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pyarrow as pa
import torch

from engine import pairs, predict, walk
from engine.discovery import members
from engine.measure import SILENT, check_growth
from engine.network.fully_connected import DEGREE
from engine.seeding import seed_of
from engine.types import Data, Pair, Split, Weights

COLUMNS = {
    # the smallest over all permutations
    "permuted_barrier": pa.float64(),
    # the limit of barrier / m^2k for the permutation at which it is smallest
    "permuted_growth": pa.float64(),
}
EXCEPTION = "the exception W_1 = (1, 2), W_2 = (1, -2), X = 1, whose swapped output vanishes"


@dataclass
class Config:
    """Options of ``measures=[last_permutation]``."""

    # hidden units; all permutations of them are tried
    width: int = 4
    # the two largest give the exponent
    factors: list[float] = field(default_factory=lambda: [100, 1000, 10000])
    samples: int = 32

    def __post_init__(self):
        if not 2 <= self.width <= 7:
            raise ValueError(f"measure.last_permutation.width={self.width}, expected 2 … 7")
        if self.samples < 1:
            raise ValueError(f"measure.last_permutation.samples={self.samples}, expected at least 1")
        check_growth("measure.last_permutation.factors", self.factors)


def of_block(study):
    """A random ReLU network of the block's depth on its own outputs, and the paper's exception."""
    options, network, axes = study.config.measure.last_permutation, study.network, study.block.architecture
    if network.depth < 2:
        return []
    widths = (network.widths[0], *[options.width] * (network.depth - 1), network.widths[-1])
    network = replace(network, widths=widths, activation="relu", skip=0.0)
    axes = replace(axes, width=options.width, activation="relu", skip=0.0)
    drawn = seed_of(what="last_permutation", sweep_seed=study.config.seed, like=vars(study.block.architecture))
    x = study.data.train.x[: options.samples]
    weights = network.random(torch.Generator().manual_seed(drawn)).map(lambda p: p.to(x))
    # blocks of several widths give networks of the same: their seeds tell them apart
    axes = vars(axes) | {"seed": drawn}
    rows = _rows(study, network, weights, x, axes, None)
    exception = replace(network, widths=(1, 2, 1), bias=False)
    numbers = Weights((torch.tensor([[[1.0], [2.0]]]).to(x), torch.tensor([[[1.0, -2.0]]]).to(x)))
    return rows + _rows(study, exception, numbers, x.new_ones(1, 1), axes | {"depth": 2, "width": 2}, EXCEPTION)


def _rows(study, network, weights, x, axes, control):
    sweep, factors = study.config.sweep, study.config.measure.last_permutation.factors
    *_, hidden, outputs = network.layers(weights, x)
    if not hidden.any():
        return [axes | {"split": "train", "reason": SILENT, "control": control}]
    data = Data(Split(x, outputs[0]), None, network.widths[-1])
    orders = torch.tensor(list(itertools.permutations(range(network.widths[-2]))), device=x.device)
    a = weights.map(lambda p: p.expand(len(orders), *p.shape[1:]))
    rescaling, permutation = (members("symmetry")[name].Group(network) for name in ("rescaling", "permutation"))
    same = tuple(torch.arange(h, device=x.device).expand(len(orders), -1) for h in network.widths[1:-2])
    permuted = permutation.act((*same, orders), a)
    growth = predict.permuted_growth(weights.layers[-1][0], hidden[0], orders, DEGREE[network.activation])
    rows = []
    for m in factors:
        pair = Pair(0, 0, "rescaled", m, False)
        element = tuple(part.to(x) for part in rescaling.related(pair, None))
        stack = pairs.Pairs((pair,) * len(orders), a, rescaling.act(element, permuted))
        curve = members("path")["linear"].Path(network, stack)
        walked = walk.follow(curve, data, ("sse",), sweep.points, sweep.tolerance, None)
        found = members("measure")["barrier"].of_walk(walked, "train", "sse")
        row = axes | {"rescaling": m, "path": "linear", "alignment": "permutation", "split": "train"}
        row |= {"control": control, "reason": next(filter(None, found["reason"]), None)}
        if row["reason"] is None:
            best = min(range(len(orders)), key=found["barrier"].__getitem__)
            row |= {"permuted_barrier": found["barrier"][best], "permuted_growth": float(growth[best])}
        rows.append(row)
    return rows
