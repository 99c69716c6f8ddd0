"""What the nearest symmetry leaves of the difference of two networks: planted, independent and unrelated pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.report.chart import Axis, Chart, Panel, Series
from engine.report.select import array, rows, values


def chart(table: pa.Table, config: Mapping[str, Any]) -> Chart | None:
    """One panel for weights and one for outputs; categories of pairs side by side by activation."""
    if "weight_residual" not in table.column_names:
        return None
    table = rows(table, measure="detection")
    noises = values(rows(table, pair="planted"), "noise")
    if not noises:
        return None
    kinds = [("planted", noise, f"{noise:g}") for noise in noises if noise > 0]
    kinds += [("independent", None, "seeds"), ("unrelated", 0.0, "null")]
    ticks = tuple((float(i), words) for i, (_, _, words) in enumerate(kinds))
    panels = []
    for column, words in (("weight_residual", "weights"), ("output_residual", "outputs")):
        series = []
        activations = values(table, "activation")
        for tone, activation in enumerate(activations):
            x, y, by = [], [], []
            for i, (pair, noise, _) in enumerate(kinds):
                part = rows(table, activation=activation, pair=pair, noise=noise)
                offset = 0.6 * (tone / max(len(activations) - 1, 1) - 0.5)
                x.append(np.full(part.num_rows, i + offset))
                y.append(array(part, column))
                by.append(array(part, "width"))
            by = {"width": np.concatenate(by)}
            series.append(Series(activation, np.concatenate(x), np.concatenate(y), "median", tone, by))
        axis = Axis("pairs: planted noise, seeds, unrelated", ticks=ticks, categories=True)
        panels.append(Panel(axis, Axis(f"relative residual of {words}", log=True), tuple(series), words))
    return Chart(
        name="detection",
        title="What remains between two networks after the nearest symmetry",
        caption="Planted: a minimum and its image under a random element of the family's whole group, with noise of "
        "that share of the norm. Marks: median; bars: the middle half.",
        panels=tuple(panels),
        filters={"width": None},
    )
