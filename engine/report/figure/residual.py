"""Components of residual networks beside the steps they train and the gap they leave (Prop. 4.3, Open Question 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """Components by shape; steps and gap by components."""
    table = rows(table, measure="residual")
    if not table.num_rows:
        return None
    shapes = sorted(set(zip(array(table, "depth").tolist(), array(table, "width").tolist(), strict=True)))
    counted, steps, gap = [], [], []
    for tone, skip in enumerate(values(table, "skip")):
        part = rows(table, skip=skip)
        words, by = f"ε = {skip:g}" if skip else "no skip", axes(part)
        keys = zip(array(part, "depth").tolist(), array(part, "width").tolist(), strict=True)
        place = np.array([shapes.index(key) for key in keys], dtype=float)
        count = array(part, "components").astype(float)
        counted.append(Series(words, place, count, "median", tone, by, size=1.5 - 0.3 * tone))
        beside = count * 1.03**tone
        steps.append(Series(words, beside, array(part, "steps").astype(float), "median", tone, by))
        gap.append(Series(words, beside, array(part, "gap"), "median", tone, by))
    ticks = tuple((float(i), f"{depth} × {width}") for i, (depth, width) in enumerate(shapes))
    there = tuple((float(count), str(count)) for count in values(table, "components"))
    components = Axis("components of the minimum, counted", log=True, ticks=there)
    return Chart(
        name="residual",
        title="Components of linear networks with and without skips, and how they train",
        caption="Left: components of the minimum as the counter found them, by depth and width; networks of one shape "
        "have the same number of parameters. Middle and right, over that count: steps of gradient descent to a fixed "
        "loss, and test less training loss there; marks and bars are the median and the middle half of the seeds of "
        "all architectures with that count.",
        panels=(
            Panel(
                Axis("depth × width", ticks=ticks, categories=True),
                Axis("components of the minimum, counted"),
                tuple(counted),
            ),
            Panel(components, Axis("steps to a fixed loss", log=True), tuple(steps)),
            Panel(components, Axis("test less training loss / that of the zero network"), tuple(gap)),
        ),
        filters={"depth": None, "width": None},
    )
