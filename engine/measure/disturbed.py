"""The control of rescaled pairs: their second end altered, so that it is no rescaled twin of the first."""

from __future__ import annotations

from dataclasses import replace

from engine import pairs, predict, walk
from engine.discovery import members
from engine.measure import Track
from engine.rows import rows_of_track

COLUMNS: dict = {}
ALTERED = "one weight of the second end changed by one part in a hundred"


def of_found(study):
    """The rows that the layer-wise rescaled pairs would have, at each block's largest factor."""
    group = study.symmetries["rescaling"]
    if group.reason:
        return []
    chosen = [
        pair
        for pair in pairs.enumerate_pairs(study.block, "rescaled", False)
        if pair.rescaling == max(study.block.rescalings)
    ]
    stack = disturb(pairs.related(study.block, chosen, study.found.weights, group, study.config.seed))
    sweep, names = study.config.sweep, (study.network.loss_name,)
    curve = members("path")["linear"].Path(study.network, stack)
    track = Track(
        stack,
        "linear",
        "none",
        walk.follow(curve, study.data, names, sweep.points, sweep.tolerance, None),
        predict.line(study.network, stack),
    )
    rows = rows_of_track(study, track, "train", control=ALTERED)
    return [row | study.block.minima[pair.a].axes for row, pair in zip(rows, chosen, strict=True)]


def disturb(stack: pairs.Pairs) -> pairs.Pairs:
    """The same pairs, the largest weight of the last layer of each second end made larger by one part in a hundred."""
    last = stack.b.layers[-1].clone()
    flat = last.flatten(1)
    largest = flat.abs().argmax(1, keepdim=True)
    flat.scatter_(1, largest, 1.01 * flat.gather(1, largest))
    return replace(stack, b=replace(stack.b, layers=(*stack.b.layers[:-1], last)))
