"""The lowest paths found between trained minima, of one label and of different ones (Prop. 4.1, Cor. 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, measured, rows


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """By depth and width: explicit curves within a label, learned curves between labels."""
    table = rows(table, measure="components")
    if not table.num_rows:
        return None
    learned, polar = measured(table, "learned_loss"), measured(table, "polar_loss")
    if not learned.num_rows or not polar.num_rows:
        return None
    shapes = sorted({(row["depth"], row["width"]) for row in learned.select(["depth", "width"]).to_pylist()})

    def at(part, offset):
        keys = zip(array(part, "depth").tolist(), array(part, "width").tolist(), strict=True)
        return np.array([shapes.index(key) for key in keys], dtype=float) + offset

    def series(label, part, column, offset, tone, size=1.0):
        # squares of rounding: exact agreement has no place on a logarithmic axis
        loss = np.maximum(array(part, column), 1e-34)
        return Series(label, at(part, offset), loss, "points", tone, axes(part), size=size)

    drawn = (
        series("learned curve, different labels", learned, "learned_loss", -0.1, 1),
        series("least it must rise to", learned, "least_rise", 0.0, 7, size=1.5),
        series("explicit curve, one label", polar, "polar_loss", 0.1, 0),
    )
    ticks = tuple((float(i), f"{depth}×{width}") for i, (depth, width) in enumerate(shapes))
    panel = Panel(
        Axis("depth × width", ticks=ticks, categories=True),
        Axis("largest loss on the path / ‖Y‖²", log=True),
        drawn,
        guides=((1e-6, "what joins two minima"),),
    )
    return Chart(
        name="components",
        title="Paths between trained minima of linear networks",
        caption="Each mark is a pair of trained minima of a square linear network. Minima of one label: the largest "
        "loss on the closed-form curve of the general linear group. Different labels: that on the lower of two "
        "learned curves, and the least squared singular value of Y, below which no path between them stays.",
        panels=(panel,),
        filters={"depth": None, "width": None},
    )
