"""Share of pairs of minima in one component, before and after permuting units (Prop. 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import INK, Axis, Chart, Panel, Series
from engine.report.select import array, measured, rows, values

KINDS = {"together": ("before", 5), "together_permuted": ("after suitable permutations", 0)}


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """Over the width, a panel for each depth."""
    table = measured(rows(table, measure="permutation"), "together")
    if not table.num_rows:
        return None
    widths, panels = values(table, "width"), []
    for depth in values(table, "depth"):
        part = rows(table, depth=depth)
        series = [
            Series(words, np.arange(len(widths), dtype=float), _shares(part, widths, column), "points", tone, size=1.6)
            for column, (words, tone) in KINDS.items()
        ]
        expected = np.full(len(widths), 2.0 ** (1 - depth))
        series.append(
            Series("2^(1-l), Cor. 4.2", np.arange(len(widths), dtype=float), expected, "line", INK, dashed=True)
        )
        ticks = tuple((float(i), str(width)) for i, width in enumerate(widths))
        panels.append(
            Panel(
                Axis("width (hidden units)", ticks=ticks, categories=True),
                Axis("share of pairs in one component"),
                tuple(series),
                f"depth {depth}",
            )
        )
    return Chart(
        name="permutation",
        title="Pairs of minima in one component before and after permuting units",
        caption="Share of all pairs of independent minima of linear networks whose labels agree: before, and after the "
        "second was permuted by weight matching and, where a label still differed, one transposition in a layer. "
        "Networks of one unit per layer, where there is nothing to permute, are the control and not shown.",
        panels=tuple(panels),
    )


def _shares(table: pa.Table, widths: list, column: str) -> np.ndarray:
    return np.array([np.mean(array(rows(table, width=width), column)) for width in widths])
