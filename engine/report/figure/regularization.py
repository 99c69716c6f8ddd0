"""Balance and the parts of the barrier between independent minima, over the weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import UNITS, Axis, Chart, Panel, Series
from engine.report.select import array, axes, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """Weight decays are categories: zero is among them."""
    if "rescaling_part" not in table.column_names:
        return None
    table = rows(table, measure="parts")
    decays = values(table, "weight_decay")
    if not decays:
        return None
    place = np.searchsorted(decays, array(table, "weight_decay")).astype(float)
    axis = Axis("weight decay λ", ticks=tuple((float(i), f"{d:g}") for i, d in enumerate(decays)), categories=True)

    def series(label, column, tone, offset=0.0):
        return Series(label, place + offset, np.abs(array(table, column)), "median", tone, axes(table))

    orbit = (series("balance residual", "balance", 3, -0.1), series("spread along orbits", "orbit_spread", 4, 0.1))
    parts = (
        series("|rescaling|", "rescaling_part", 1, -0.2),
        series("|permutation|", "permutation_part", 0),
        series("rest", "rest", 5, 0.2),
    )
    return Chart(
        name="regularization",
        title="Weight decay picks one point of every rescaling orbit",
        caption="Left: how far minima are from balance, and apart along their orbits (root mean square of log "
        "factors). Right: what rescaling, then permutation takes from the barrier between independent minima, and "
        "what is left. Marks: median over pairs; bars: the middle half.",
        panels=(
            Panel(axis, Axis("dimensionless", log=True), orbit, "along the orbits"),
            Panel(axis, Axis(f"part of the barrier ({UNITS[config['loss']]})", log=True), parts, "of the barrier"),
        ),
        filters={"depth": None, "width": None},
    )
