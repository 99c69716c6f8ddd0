"""Barriers of the straight line, of Bézier curves and of curves near the data-dependent action, by activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, rows, values

FLOOR = 1e-5  # where a barrier of zero is drawn
PATHS = (("line_barrier", "straight line", 5), ("bezier_barrier", "Bézier", 0), ("refitted_barrier", "near action", 3))


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """Activations are categories."""
    if "refitted_barrier" not in table.column_names:
        return None
    table = rows(table, measure="refitted")
    activations = values(table, "activation")
    if not activations:
        return None
    place = np.array([activations.index(name) for name in array(table, "activation")], dtype=float)
    series = tuple(
        Series(label, place + 0.2 * (i - 1), np.maximum(array(table, column), FLOOR), "median", tone, axes(table))
        for i, (column, label, tone) in enumerate(PATHS)
    )
    ticks = tuple((float(i), name) for i, name in enumerate(activations))
    panel = Panel(
        Axis("activation", ticks=ticks, categories=True), Axis("barrier / loss of the zero network", log=True), series
    )
    return Chart(
        name="nonlinear",
        title="Curves between independent minima at equal cost",
        caption="The second minimum is first moved near the first by the family's symmetries. Both curves are trained "
        f"for the same number of multiplications. A barrier of zero stands at {FLOOR:g}. Marks: median; bars: the "
        "middle half.",
        panels=(panel,),
        filters={"width": None},
    )
