"""The lowest paths found between trained minima, of one label and of different ones (Prop. 4.1, Cor. 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, measured, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """By width: explicit curves within a label, learned curves between labels."""
    table = rows(table, measure="components")
    if not table.num_rows:
        return None
    learned, polar = measured(table, "learned_loss"), measured(table, "polar_loss")
    if not learned.num_rows or not polar.num_rows:
        return None
    widths = values(table, "width")

    def at(part):
        return np.array([widths.index(width) for width in array(part, "width")], dtype=float)

    # squares of rounding: exact agreement has no place on a logarithmic axis
    drawn = np.maximum(array(polar, "polar_loss"), 1e-34)
    series = (
        Series(
            "learned curve, different labels", at(learned), array(learned, "learned_loss"), "points", 1, axes(learned)
        ),
        Series(
            "least it must rise to", at(learned), array(learned, "least_rise"), "points", 7, axes(learned), size=1.5
        ),
        Series("explicit curve, one label", at(polar), drawn, "points", 0, axes(polar)),
    )
    ticks = tuple((float(i), str(width)) for i, width in enumerate(widths))
    panel = Panel(
        Axis("width (hidden units)", ticks=ticks, categories=True),
        Axis("largest loss on the path / ‖Y‖²", log=True),
        series,
        guides=((1e-6, "what joins two minima"),),
    )
    return Chart(
        name="components",
        title="Paths between trained minima of linear networks",
        caption="Each mark is a pair of trained minima of a square linear network. Minima of one label: the largest "
        "loss on the closed-form curve of the general linear group. Different labels: that on the lower of two "
        "learned curves, and the least squared singular value of Y, below which no path between them stays.",
        panels=(panel,),
        filters={"depth": None},
    )
