"""The largest barrier within a ball of an orbit over its radius, by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, rows, values

LABELS = {"linear": "GL(h)", "orthogonal": "O(h)", "permutation": "permutations", "rescaling": "positive scales"}


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """A panel per activation, a series per group, and the power that the hypothesis says."""
    if "orbit_barrier" not in table.column_names:
        return None
    table = rows(table, measure="orbit_barrier")
    panels = []
    x, y = Axis("radius of the ball / ‖w‖", log=True), Axis("largest barrier / loss of the zero network", log=True)
    for activation in values(table, "activation"):
        found, series = rows(table, activation=activation), []
        for group in values(found, "group"):
            part = rows(found, group=group)
            radius, barrier = array(part, "radius"), array(part, "orbit_barrier")
            compact = values(part, "kind") == ["compact"]
            tone = list(LABELS).index(group)
            series.append(Series(LABELS[group], radius, barrier, "trend", tone, axes(part), dashed=compact))
            if not compact:
                series += _power(part, radius, barrier)
        panels.append(Panel(x, y, tuple(series), activation))
    if not panels:
        return None
    return Chart(
        name="conditions",
        title="The largest barrier between points of one orbit",
        caption="Within a ball of radius R around 0. Lines and bands: median and middle half over minima. Dashed: "
        "compact groups, orthogonal matrices and permutations, which keep the norm, so that every ball that holds the "
        "minimum holds their orbit. GL and positive scales are not compact; thin: the power R^2l, l layers, through "
        "their median at the largest radius.",
        panels=tuple(panels),
        filters={"depth": None, "width": None},
    )


def _power(part: pa.Table, radius: np.ndarray, barrier: np.ndarray) -> list[Series]:
    """For each depth ``R^2l`` through the median at the largest radius."""
    lines, depths = [], array(part, "depth")
    for depth in np.unique(depths):
        at = np.unique(radius[depths == depth])
        top = np.median(barrier[(depths == depth) & (radius == at[-1])])
        by = {"depth": np.full(len(at), depth)}
        lines.append(Series("R^2l", at, top * (at / at[-1]) ** (2 * depth), "line", 7, by, size=0.5))
    return lines
