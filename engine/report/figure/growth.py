"""Barrier of the straight line between rescaled minima over the factor, measured on predicted (Prop. 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import INK, UNITS, Axis, Chart, Panel, Series
from engine.report.select import array, axes, measured, rows, values

UNIT_ROUNDOFF = 2.0**-53  # of float64


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """By depth; beside it how far measured and predicted are apart."""
    table = rows(table, measure=None, relation="rescaled", path="linear", alignment="none")
    table = measured(table, "barrier", "predicted")
    depths = values(table, "depth")
    growth, difference = [], []
    for tone, depth in enumerate(depths):
        part = rows(table, depth=depth)
        m, barrier, predicted = (array(part, name) for name in ("rescaling", "barrier", "predicted"))
        by = axes(part, "per_neuron", "split")
        keep = predicted > 0
        kept = {axis: of[keep] for axis, of in by.items()}
        growth.append(Series("closed form", m[keep], predicted[keep], "trend", INK, kept, size=0.7))
        growth.append(
            Series(
                f"depth {depth}", m[keep], barrier[keep], "median", tone, kept, size=1 + 0.5 * (len(depths) - 1 - tone)
            )
        )
        # side by side: here, other than on the line, nothing is read off x
        beside = m * 1.2 ** (tone - (len(depths) - 1) / 2)
        apart = np.abs(barrier - predicted) / array(part, "loss_max")
        keep = keep & (apart > 0)
        kept = {axis: of[keep] for axis, of in by.items()}
        difference.append(Series(f"depth {depth}", beside[keep], apart[keep], "points", tone, kept))
    if not any(len(series.x) for series in growth):
        return None
    ticks = tuple((m, f"{m:g}") for m in values(table, "rescaling"))
    factor = Axis("rescaling factor m (dimensionless)", log=True, ticks=ticks if len(ticks) <= 7 else ())
    return Chart(
        name="growth",
        title="Barrier between rescaled minima over the factor, measured on predicted",
        caption="Barrier of the straight line from each minimum to its twin with the last two layers rescaled by m and "
        "1/mᵏ. Marks and bars: median and middle half of what was measured, one point per minimum; lines and bands: "
        "the same of the closed form (Prop. 5.3), which uses the outputs of the first minimum alone. Right: the "
        "distance of the two for each pair, over the largest loss of its path. Factors whose predicted barrier is 0 "
        "(m = 1) and exact agreement have no place on a logarithmic axis.",
        panels=(
            Panel(
                factor,
                Axis(f"barrier ({UNITS[config['loss']]})", log=True),
                tuple(growth),
                "measured (marks) on the closed form (line)",
            ),
            Panel(
                factor,
                Axis("|measured − predicted| / largest loss", log=True),
                tuple(difference),
                "how far the two are apart",
                guides=((UNIT_ROUNDOFF, "unit roundoff of float64"),),
            ),
        ),
        filters={
            "per_neuron": False if False in values(table, "per_neuron") else None,
            "split": "train",
            "activation": values(table, "activation")[0],
            "skip": None,
            "width": None,
            "weight_decay": None,
        },
    )
