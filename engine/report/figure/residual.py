"""Components of residual networks beside the steps they train and the gap they leave (Prop. 4.3, Open Question 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, axes, measured, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """Components by shape; steps and gap beside those of equal shape, over how many more components there are."""
    if "draw" not in table.column_names:
        return None
    table = measured(rows(table, measure="residual"), "components")
    if not table.num_rows:
        return None
    depth, width, draw = (array(table, name) for name in ("depth", "width", "draw"))
    skip, count = array(table, "skip"), array(table, "components").astype(float)
    shapes = sorted(set(zip(depth.tolist(), width.tolist(), strict=True)))
    place = np.array([shapes.index(key) for key in zip(depth.tolist(), width.tolist(), strict=True)], dtype=float)
    # a seed that did not arrive took more steps than any
    steps, gaps = (array(table, name).astype(float) for name in ("steps", "gap"))
    steps = np.where(np.isnan(steps), np.inf, steps)
    more, slower, wider = (np.full(len(count), np.nan) for _ in range(3))
    for shape, drawn in set(zip(place.tolist(), draw.tolist(), strict=True)):
        alike = (place == shape) & (draw == drawn)
        each = [alike & (skip == value) for value in np.unique(skip[alike])]
        middle = [np.median(steps[one]) for one in each], [_median(gaps[one]) for one in each]
        more[alike] = count[alike] / np.exp(np.mean([np.log(count[one][0]) for one in each]))
        for one, pace, gap in zip(each, *middle, strict=True):
            first = np.flatnonzero(one)[0]  # a mark for each architecture and draw
            slower[first] = pace / np.mean(middle[0]) if np.isfinite(np.mean(middle[0])) else np.nan
            wider[first] = gap - np.mean(middle[1])
    panels = [[], [], []]
    for tone, value in enumerate(values(table, "skip")):
        one, words = skip == value, f"ε = {value:g}" if value else "no skip"
        by = {name: column[one] for name, column in axes(table, "draw").items()}
        panels[0].append(Series(words, place[one] + 0.2 * (tone - 1), count[one], "points", tone, by))
        for panel, column in zip(panels[1:], (slower, wider), strict=True):
            panel.append(Series(words, more[one] * 1.02 ** (tone - 1), column[one], "points", tone, by))
    ticks = tuple((float(i), f"{depth}×{width}") for i, (depth, width) in enumerate(shapes))
    beside = Axis("components / geometric mean of equal shape", log=True, ticks=((0.5, "½"), (1.0, "1"), (2.0, "2")))
    return Chart(
        name="residual",
        title="Components of linear networks with and without skips, and how they train",
        caption="Left: components of the minimum as the counter found them, by depth × width, on each draw of the "
        "data; networks of one shape have the same number of parameters. Middle and right, a mark for each "
        "architecture and draw: steps of gradient descent to a fixed loss, and test less training loss there, medians "
        "over seeds beside the means of the networks of equal shape, over how many times their components there are.",
        panels=(
            Panel(
                Axis("depth × width", ticks=ticks, categories=True),
                Axis("components of the minimum, counted"),
                tuple(panels[0]),
            ),
            Panel(beside, Axis("steps / mean of equal shape"), tuple(panels[1]), guides=((1.0, "as the others"),)),
            Panel(beside, Axis("gap / loss of the zero network, less the mean"), tuple(panels[2])),
        ),
        filters={"depth": None, "width": None},
    )


def _median(found: np.ndarray) -> float:
    """That of the numbers there are, NaN where there are none."""
    return float(np.median(found[~np.isnan(found)])) if not np.isnan(found).all() else np.nan
