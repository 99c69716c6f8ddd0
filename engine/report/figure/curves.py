"""Loss along the path for a few pairs: straight, after alignment, and along the symmetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import UNITS, Axis, Chart, Panel, Series
from engine.report.figure.alignment import ALIGNMENTS, WORDS
from engine.report.select import axes, measured, middle, rows, values

# the relations that come first, and what a panel calls them; others are twins under their own word
RELATIONS = {
    "rescaled": "rescaled twin",
    "permuted": "permuted twin",
    "transformed": "GL twin",
    "independent": "independent minima",
}
LISTS = ("t", "loss")
SYMMETRY_TONE = 3
SIZES = {"none": 3.2, "rescaling": 2.3, "permutation": 1.6, "both": 1.0}
PAIRS = 2  # of each kind in a cell that can be chosen
VALUES = 5  # of an axis that can be chosen


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """One panel per relation."""
    table = measured(rows(table, measure=None, split="train"), "t", "loss")
    if not table.num_rows:
        return None
    table = rows(table, seed=tuple(values(table, "seed")[:PAIRS]))
    # with a factor of 1 there are not two minima
    table = rows(table, rescaling=(None, *(factor for factor in values(table, "rescaling") if factor != 1)))
    if not table.num_rows:
        return None
    for axis in ("depth", "width", "activation", "skip", "weight_decay"):
        table = rows(table, **{axis: tuple(_spread(values(table, axis)))})
    panels = []
    others = {name: f"{name} twin" for name in values(table, "relation") if name not in RELATIONS}
    for relation, words in (RELATIONS | others).items():
        part = rows(table, relation=relation)
        if not part.num_rows:
            continue
        lines = [
            _line(
                f"after {WORDS[alignment]}" if alignment != "none" else "straight line",
                tone,
                rows(part, path="linear", alignment=alignment),
                size=SIZES[alignment],
            )
            for alignment, tone in ALIGNMENTS.items()
        ]
        for path in values(part, "path"):
            if path != "linear":
                lines.append(_line(f"{path} curve", SYMMETRY_TONE, rows(part, path=path), size=0.8, dashed=True))
        panels.append(
            Panel(
                Axis("position t on the path, from 0 to 1"),
                Axis(f"training loss ({UNITS[config['loss']]})", log=True),
                tuple(line for line in lines if len(line.x)),
                words,
            )
        )
    factors = values(table, "rescaling")
    return Chart(
        name="curves",
        title="Loss along the path between two minima",
        caption="One pair of each kind; a thinner line lies on a thicker one where the two agree. The straight line "
        "between twins rises; the symmetry's own curve, and the straight line after the right alignment, stay at the "
        "loss of the ends.",
        panels=tuple(panels),
        filters={
            "depth": middle(values(table, "depth")),
            "width": middle(values(table, "width")),
            "activation": values(table, "activation")[0],
            "skip": values(table, "skip")[0],
            "weight_decay": middle(values(table, "weight_decay")),
            "seed": values(table, "seed")[0],
            "rescaling": 10.0 if 10.0 in factors else middle(factors),
            "per_neuron": False if False in values(table, "per_neuron") else None,
        },
    )


def _line(label: str, tone: int, part: pa.Table, **style) -> Series:
    """The curves of some rows as one series, a NaN between two of them."""
    t = [np.array([*curve, np.nan]) for curve in part["t"].to_pylist()]
    loss = [np.array([*curve, np.nan]) for curve in part["loss"].to_pylist()]
    lengths = [len(curve) for curve in t]
    by = {axis: np.repeat(of, lengths) for axis, of in axes(part, "per_neuron").items()}
    empty = np.empty(0)
    return Series(label, np.concatenate([empty, *t]), np.concatenate([empty, *loss]), "line", tone, by, **style)


def _spread(found: list) -> list:
    """At most ``VALUES`` of them, the ends among them."""
    if len(found) <= VALUES:
        return found
    return [found[round(i * (len(found) - 1) / (VALUES - 1))] for i in range(VALUES)]
