"""The largest barrier within a ball of an orbit over its radius, by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, rows, values

LABELS = {"linear": "GL(h)", "orthogonal": "O(h)", "permutation": "S_h", "rescaling": "scales"}


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """One series per group."""
    if "orbit_barrier" not in table.column_names:
        return None
    table = rows(table, measure="orbit_barrier")
    series = []
    for tone, group in enumerate(values(table, "group")):
        part = rows(table, group=group)
        radius, barrier = array(part, "radius"), array(part, "orbit_barrier")
        compact = values(part, "kind") == ["compact"]
        series.append(Series(LABELS[group], radius, barrier, "trend", tone, axes(part), dashed=compact))
    if not series:
        return None
    x, y = Axis("radius of the ball / ‖w‖", log=True), Axis("largest barrier / loss of the zero network", log=True)
    return Chart(
        name="conditions",
        title="The largest barrier between points of one orbit",
        caption="Within a ball of radius R around 0. Lines and bands: median and middle half over minima. Dashed: "
        "compact groups, orthogonal matrices and permutations, which keep the norm, so that every ball that holds the "
        "minimum holds their orbit. GL and positive scales are not compact.",
        panels=(Panel(x, y, tuple(series)),),
        filters={"depth": None, "width": None},
    )
