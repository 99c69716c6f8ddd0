"""Pairs of minima of linear networks in one component, before and after permuting the second (Prop. 5.2)."""

from __future__ import annotations

import itertools

import pyarrow as pa
import torch

from engine.discovery import members
from engine.pairs import Pairs
from engine.symmetry.linear import has_labels, label
from engine.types import Pair

COLUMNS = {
    # whether the labels of the pair agree
    "together": pa.bool_(),
    "together_permuted": pa.bool_(),
    # the largest sse on the curve of the general linear group to the permuted minimum, over ‖Y‖²; null: no such curve
    "permuted_curve_loss": pa.float64(),
}
ONE_UNIT = "one unit in every layer: there is nothing to permute"
LINE = "the straight line in place of the curve"
PERMUTED = "the second minimum permuted"


def of_found(study):
    """A row for each pair of the block's minima, and its controls."""
    group, permutation = study.symmetries["linear"], study.symmetries["permutation"]
    network, split, minima = study.network, study.data.train, study.block.minima
    chosen = list(itertools.combinations(range(len(minima)), 2))
    if group.reason or not has_labels(network) or not chosen:
        return []
    first, second = (torch.tensor(ends) for ends in zip(*chosen, strict=True))
    a, b = study.found.weights[first], study.found.weights[second]
    best = permutation.act(permutation.align(a, b), b)
    moved = permutation.act(_mending(network, label(network, a, split), label(network, best, split), a), best)
    of_pair = tuple(Pair(*ends, "independent") for ends in chosen)
    stack = Pairs(of_pair, a, moved, group, group.align(moved, a))
    curve, line = (members("path")[name].Path(network, stack) for name in ("symmetry", "linear"))
    t = torch.linspace(0, 1, study.config.sweep.points).to(split.x).expand(len(stack), -1)
    zero = network.loss(a[:1].map(torch.zeros_like), split, ("sse",))[0]
    on_curve, on_line = ((path.loss(split, t, ("sse",))[0].amax(1) / zero).tolist() for path in (curve, line))
    labels = [label(network, weights, split) for weights in (a, b, moved)]
    rows = []
    for k, (i, j) in enumerate(chosen):
        before, after = labels[0][k] == labels[1][k], labels[0][k] == labels[2][k]
        row = minima[i].axes | {"seed_b": minima[j].seed, "relation": "independent", "split": "train"}
        row |= {"path": "symmetry", "alignment": "permutation", "together": before, "together_permuted": after}
        row |= {"permuted_curve_loss": None if curve.reasons[k] else on_curve[k], "reason": curve.reasons[k]}
        if network.widths[1] == 1:
            rows.append(row | {"control": ONE_UNIT})
        else:
            rows += [row, row | {"permuted_curve_loss": on_line[k], "control": LINE, "reason": None}]
            rows.append(row | {"together": after, "control": PERMUTED})
    return rows


def _mending(network, wanted, given, like):
    """For each pair a transposition of two units in every layer whose sign is not the wanted one, else nothing."""
    orders = []
    for layer, width in enumerate(network.widths[1:-1]):
        order = torch.arange(width).expand(len(wanted), -1).clone()
        wrong = [k for k in range(len(wanted)) if wanted[k][layer] != given[k][layer]]
        if width > 1:
            order[wrong, :2] = torch.tensor([1, 0])
        orders.append(order.to(like.layers[0].device))
    return tuple(orders)
