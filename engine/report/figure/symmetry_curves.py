"""How far the loss rises along symmetry curves and on straight lines, over the condition of the element (Eq. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, measured, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """By condition, and by the length of the logarithm."""
    if "curve_residual" not in table.column_names:
        return None
    table = measured(rows(table, measure="curve"), "curve_residual", "line_residual")
    if not table.num_rows:
        return None
    panels = []
    for column, words in (("condition", "condition number of g"), ("log_norm", "‖log g‖, Frobenius, all layers")):
        series = [
            Series(f"{kind} curve", array(part, column), array(part, "curve_residual"), "points", tone, axes(part))
            for tone, kind in enumerate(values(table, "curve"))
            for part in [rows(table, curve=kind)]
        ]
        line = array(table, "line_residual")
        series.append(Series("straight line", array(table, column), line, "points", 5, axes(table)))
        panels.append(Panel(Axis(words, log=True), Axis("root of the largest loss / ‖Y‖", log=True), tuple(series)))
    return Chart(
        name="symmetry_curves",
        title="Loss along exp(t log g)·w, its polar form, and the straight line",
        caption="Each mark is a pair of minima w and g·w of a linear network. On the curves the loss is zero but for "
        "rounding, which the condition of g multiplies; on the straight line it is not.",
        panels=tuple(panels),
        filters={"depth": None, "width": None},
    )
