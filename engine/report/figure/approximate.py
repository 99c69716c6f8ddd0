"""The data-dependent action: its change of the output, and its curve against the straight line (Prop. 6.1, Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """Fig. 3a on the left; Figs. 3b and c for two numbers of samples."""
    if "output_change" not in table.column_names:
        return None
    bound, growth = rows(table, part="bound"), rows(table, part="growth")
    if not bound.num_rows or not growth.num_rows:
        return None
    change = Axis("‖change of the output‖ / ‖output‖")
    marks = Series("random networks", array(bound, "samples"), array(bound, "output_change"), "points", 0, axes(bound))
    panels = [
        Panel(Axis("samples N"), change, (marks,), "random sizes (Fig. 3a)", guides=((1.0, "the bound of Prop. 6.1"),))
    ]
    for samples in values(growth, "samples"):
        part = rows(growth, samples=samples)
        norm, by = array(part, "direction_norm"), axes(part)
        series = (
            Series("straight line", norm, array(part, "line_change"), "trend", 5, by),
            Series("induced curve", norm, array(part, "induced_change"), "trend", 3, by),
        )
        hidden = values(part, "hidden")[0]
        title = f"{samples} samples, {hidden} hidden units"
        panels.append(Panel(Axis("spectral norm of log g", log=True), change, series, title))
    return Chart(
        name="approximate",
        title="The data-dependent action of two layers",
        caption="Left: random networks moved by a random g. Right: the largest change of the output on the induced "
        "curve and on the straight line with the same ends; lines and bands: median and middle half of all networks "
        "of the activation. With at most as many samples as hidden units the curve changes nothing.",
        panels=tuple(panels),
        filters={"activation": None},
    )
