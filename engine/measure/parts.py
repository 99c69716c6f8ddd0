"""The barrier between independent minima, split into what rescaling, then permutation, takes away, and a rest."""

from __future__ import annotations

import pyarrow as pa

from engine import align, pairs, walk
from engine.discovery import members

COLUMNS = {
    # barriers before alignment less that after rescaling, that less the one after both, and the one after both
    "rescaling_part": pa.float64(),
    "permutation_part": pa.float64(),
    "rest": pa.float64(),
    # root mean square of the logarithms of the factors between the two minima's balances, units by their size: one that
    # decay has removed is a point, and all factors lead to it
    "orbit_spread": pa.float64(),
    # whether the claims that need decay speak of the row
    "decayed": pa.bool_(),
}
UNDECAYED = "no weight decay"


def of_found(study):
    """One row per pair of independent minima, for those without decay a second one as control."""
    group, sweep, names = study.symmetries["rescaling"], study.config.sweep, (study.network.loss_name,)
    chosen = pairs.enumerate_pairs(study.block, "independent")
    if group.reason or not chosen:
        return []
    stack = pairs.independent(chosen, study.found.weights)
    barriers = []
    for kind in ("none", "rescaling", "both"):
        moved = stack.to_ends(stack.a, align.aligned(kind, study.symmetries, stack.a, stack.b))
        curve = members("path")["linear"].Path(study.network, moved)
        walked = walk.follow(curve, study.data, names, sweep.points, sweep.tolerance, None)
        losses = walked.losses["train"][names[0]]
        barriers.append([float(walk.excess(t, loss).max()) for t, loss in zip(walked.t, losses, strict=True)])
    sizes = [p.minimum(q) for p, q in zip(_sizes(stack.a), _sizes(stack.b), strict=True)]
    factors = [part.log().square() * size for part, size in zip(group.align(stack.a, stack.b), sizes, strict=True)]
    spread = (sum(part.sum(1) for part in factors) / sum(size.sum(1) for size in sizes)).sqrt().tolist()
    balance = members("measure")["minimum"].of_minima(study)["balance"]
    rows = []
    for pair, none, rescaled, both, log in zip(chosen, *barriers, spread, strict=True):
        minimum = study.block.minima[pair.a]
        row = minimum.axes | {
            "seed_b": study.block.minima[pair.b].seed,
            "split": "train",
            "rescaling_part": none - rescaled,
            "permutation_part": rescaled - both,
            "rest": both,
            "orbit_spread": log,
            "balance": max(balance[pair.a], balance[pair.b]),
            "decayed": minimum.weight_decay > 0,
        }
        rows.append(row)
        if minimum.weight_decay == 0:
            rows.append(row | {"decayed": True, "control": UNDECAYED})
    return rows


def _sizes(weights):
    """The squared norm of all weights of each unit ``(K, h)``, hidden layer by hidden layer."""
    squares, layers = [layer.square() for layer in weights.layers], range(len(weights.layers) - 1)
    return [squares[i].sum(-1) + squares[i + 1].sum(-2) for i in layers]
