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
    axis = Axis("weight decay λ", ticks=tuple((float(i), f"{d:g}") for i, d in enumerate(decays)), categories=True)

    def series(label, column, tone, offset, **where):
        part = rows(table, **where)
        place = np.searchsorted(decays, array(part, "weight_decay")) + offset
        return Series(label, place, np.abs(array(part, column)), "median", tone, axes(part))

    def by_activation(word, column, tone, first=-0.25):
        # minima on kinks beside those of smooth networks, many decades apart
        found = values(table, "activation")
        offsets = first + 0.12 * np.arange(len(found))
        return tuple(
            series(f"{word}, {name}", column, tone + i, offset, activation=name)
            for i, (name, offset) in enumerate(zip(found, offsets, strict=True))
        )

    orbit = (
        *by_activation("balance residual", "balance", 3),
        *by_activation("spread along orbits", "orbit_spread", 5, first=0.1),
    )
    parts = (
        *by_activation("|rescaling|", "rescaling_part", 1),
        series("|permutation|", "permutation_part", 0, 0.15),
        series("rest", "rest", 7, 0.25),
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
