"""What a figure shows, described once: ``png`` draws it with matplotlib, the page with plotly; no torch.

A description holds the points themselves with their axis values, and names the summary (``median``) that a renderer
takes, so that a filter in the page summarises anew what it lets through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

# distinguishable without red or green cones, calm on white; series with one tone belong together in every panel
TONES = ("#2f6690", "#d97b29", "#4b9b7a", "#a8456d", "#7768ae", "#8a8d93", "#c2a33a", "#1f2933")
INK = 7  # the tone of what is not one of several
MARKS = ("points", "line", "median", "trend")
# the unit of a loss, and so of a barrier
UNITS = {"mse": "mean squared error", "sse": "sum of squared errors", "cross_entropy": "cross-entropy, nats"}


@dataclass(frozen=True)
class Axis:
    """An axis: its title is the quantity and its unit."""

    title: str
    log: bool = False
    # positions and words, for categories at 0, 1, … or where a scale's own ticks would say less
    ticks: tuple[tuple[float, str], ...] = ()
    categories: bool = False
    # from, to; None: as far as the points go
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Series:
    """Points of one colour and one entry of the legend.

    Marks: ``points``, each of them; ``line``, joined in their order, broken where y is NaN; ``median``, at each x the
    median and a bar over the middle half; ``trend``, the medians joined and a band over the middle halves.
    """

    label: str
    x: np.ndarray  # (n,) float64
    y: np.ndarray  # (n,) float64
    mark: str = "points"
    tone: int = 0
    # (n,) each: axis values of the points, by name; filters choose by them and hovering shows them
    by: Mapping[str, np.ndarray] = field(default_factory=dict)
    dashed: bool = False
    # of lines and marks, over the usual: a series that others may cover is drawn first and larger
    size: float = 1.0

    def where(self, chosen: Mapping[str, Any]) -> Series:
        """The points whose axis values are the chosen ones; a value None chooses all, as does an axis they lack.

        They keep no axis values.
        """
        keep = np.ones(len(self.x), dtype=bool)
        for axis, value in chosen.items():
            if value is not None and axis in self.by:
                keep &= self.by[axis] == value
        return replace(self, x=self.x[keep], y=self.y[keep], by={})

    def quartiles(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct x ``(g,)`` in ascending order, and ``(3, g)`` the quartiles of the finite y at each."""
        finite = np.isfinite(self.y)
        x, y = self.x[finite], self.y[finite]
        at = np.unique(x)
        return at, np.array([np.quantile(y[x == value], (0.25, 0.5, 0.75)) for value in at]).reshape(-1, 3).T


@dataclass(frozen=True)
class Panel:
    """One pair of axes and what is drawn in it."""

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    title: str = ""
    # heights of horizontal lines to compare with, and their words
    guides: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Chart:
    """A figure: panels side by side."""

    name: str
    title: str
    # what is seen, in a sentence or two, with what is not shown and why
    caption: str
    panels: tuple[Panel, ...]
    # axes the page can filter by, and the value chosen at first, as in the PNG; None: all
    filters: Mapping[str, Any] = field(default_factory=dict)

    def series(self) -> Iterator[Series]:
        """All series of all panels."""
        return (series for panel in self.panels for series in panel.series)

    def shown(self) -> Chart:
        """The chart with the points that the filters choose at first."""
        panels = (
            replace(panel, series=tuple(series.where(self.filters) for series in panel.series)) for panel in self.panels
        )
        return replace(self, panels=tuple(panels))
