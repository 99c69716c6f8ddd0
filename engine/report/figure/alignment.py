"""Barriers of the straight line between independent minima, before and after alignment, by depth and width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import UNITS, Axis, Chart, Panel, Series
from engine.report.select import array, axes, measured, rows, values

# the same tone in every figure
ALIGNMENTS = {"none": 5, "rescaling": 1, "permutation": 0, "both": 2}
WORDS = {
    "none": "not aligned",
    "rescaling": "rescaling",
    "permutation": "permutation",
    "both": "permutation and rescaling",
}


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """One panel per depth."""
    table = measured(rows(table, measure=None, relation=("independent", "permuted"), path="linear"), "barrier")
    depths, widths, there = values(table, "depth"), values(table, "width"), values(table, "alignment")
    if not there:
        return None
    shown = [name for name in ALIGNMENTS if name in there]
    panels = []
    for depth in depths:
        series = []
        for place, alignment in enumerate(shown):
            part = rows(table, depth=depth, alignment=alignment)
            # categories stand at 0, 1, …; alignments side by side
            step = 0.6 / max(len(shown) - 1, 1)
            offset = (place - (len(shown) - 1) / 2) * step
            x = [widths.index(width) + offset for width in array(part, "width")]
            by = axes(part, "relation", "split")
            series.append(
                Series(WORDS[alignment], np.array(x), array(part, "barrier"), "median", ALIGNMENTS[alignment], by)
            )
        panels.append(
            Panel(
                Axis(
                    "width (hidden units)",
                    ticks=tuple((float(i), str(width)) for i, width in enumerate(widths)),
                    categories=True,
                ),
                Axis(f"barrier ({UNITS[config['loss']]})", log=True),
                tuple(series),
                f"depth {depth}",
            )
        )
    relations = values(table, "relation")
    return Chart(
        name="alignment",
        title="Barrier of the straight line before and after alignment",
        caption="Barrier of the straight line between two minima, the second moved by a symmetry near the first "
        "beforehand. Marks: median over seeds and weight decays; bars: the middle half.",
        panels=tuple(panels),
        filters={
            "relation": "independent" if "independent" in relations else relations[0],
            "split": "train",
            "activation": values(table, "activation")[0],
            "skip": None,
            "weight_decay": None,
        },
    )
