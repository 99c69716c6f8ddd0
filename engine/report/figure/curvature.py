"""Distance of chords from the minimum against the bound of Thm. 6.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import INK, Axis, Chart, Panel, Series
from engine.report.select import array, axes, measured, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """Measured over promised, for the distance and for the loss."""
    if "distance_bound" not in table.column_names:
        return None
    table = measured(rows(table, measure="curvature"), "distance_bound", "distance_measured")
    if not table.num_rows:
        return None
    panels = []
    for title, unit in (("distance of the chord", "Frobenius norm"), ("rise of the loss on it", "loss")):
        series, reach = [], []
        for tone, activation in enumerate(values(table, "activation")):
            part = rows(table, activation=activation)
            bound, found = array(part, "distance_bound"), array(part, "distance_measured")
            if unit == "loss":
                bound, found = bound * array(part, "lipschitz"), array(part, "loss_rise")
            keep = (bound > 0) & (found > 0)
            by = {axis: of[keep] for axis, of in axes(part, "log_norm").items()}
            series.append(Series(activation, bound[keep], found[keep], "points", tone, by))
            reach += [*bound[keep]]
        ends = np.array([min(reach), max(reach)])
        series.append(Series("the bound", ends, ends, "line", INK, dashed=True))
        axis = (Axis(f"bound ({unit})", log=True), Axis(f"measured ({unit})", log=True))
        panels.append(Panel(*axis, tuple(series), title))
    return Chart(
        name="curvature",
        title="Chords of curves in the minimum: measured against Thm. 6.2",
        caption="Each mark is a pair joined by a symmetry curve of known curvature. Left: the largest distance of the "
        "chord from the minimum, found by optimisation, over the sagitta. Right: the largest rise of the loss over a "
        "Lipschitz constant times the sagitta. Pairs to which the theorem does not apply are left out.",
        panels=tuple(panels),
        filters={"depth": None, "width": None, "log_norm": None},
    )
