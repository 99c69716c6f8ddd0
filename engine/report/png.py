"""Charts as PNG files, drawn with matplotlib."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from engine.report.chart import INK, TONES, Chart, Panel, Series
from engine.results import write_atomically

INK_COLOR, FAINT = TONES[INK], "#dfe3e8"
PANEL_INCHES = (3.6, 3.3)
DPI = 160
LETTERS_PER_INCH = 15
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK_COLOR,
    "axes.labelcolor": INK_COLOR,
    "axes.edgecolor": "#9aa5b1",
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "legend.frameon": False,
    "text.parse_math": False,
}


def draw(chart: Chart, path: Path) -> Path:
    """Draw what the chart's filters choose at first.

    Args:
        chart: the figure.
        path: the PNG file.

    Returns:
        The same path.
    """
    import matplotlib

    # neither the user's settings nor a display have a say
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chart = chart.shown()
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        width, height = PANEL_INCHES
        figure = Figure(figsize=(max(2, len(chart.panels)) * width, height + 0.9), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        same = len({panel.y.title for panel in chart.panels}) == 1
        axes = figure.subplots(1, len(chart.panels), squeeze=False, sharey=same)[0]
        # before anything is drawn: panels that share an axis share its scale
        for ax, panel in zip(axes, chart.panels, strict=True):
            _set_scales(ax, panel)
        for i, (ax, panel) in enumerate(zip(axes, chart.panels, strict=True)):
            _draw_panel(ax, panel, label_y=not (same and i))
        figure.suptitle(chart.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        entries = {}
        for ax in axes:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                entries.setdefault(label, handle)
        if len(entries) > 1:
            # as many side by side as fit, each as wide as the longest, in letters
            fit = int(figure.get_figwidth() * LETTERS_PER_INCH / (max(map(len, entries)) + 6))
            columns = max(1, min(len(entries), fit))
            legend = figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)
            for handle in legend.legend_handles:
                handle.set_alpha(1)
        drawn = io.BytesIO()
        figure.savefig(drawn, metadata={"Software": "isoloss"})
    write_atomically(path, drawn.getvalue())  # of several processes that end together each draws it
    return path


def _set_scales(ax, panel: Panel) -> None:
    for axis, setting in (("x", panel.x), ("y", panel.y)):
        # a logarithmic axis of nothing positive has no ticks; points without a height are not drawn
        drawn = (getattr(series, axis)[np.isfinite(series.y)] for series in panel.series)
        if setting.log and any((place > 0).any() for place in drawn):
            getattr(ax, f"set_{axis}scale")("log")
            own = getattr(ax, f"{axis}axis")
            own.set_major_formatter(lambda value, _: power_of_ten(value))
            own.set_minor_formatter(lambda value, _: "")


def _draw_panel(ax, panel: Panel, label_y: bool) -> None:
    for axis, setting in (("x", panel.x), ("y", panel.y)):
        if axis == "x" or label_y:
            getattr(ax, f"set_{axis}label")(setting.title)
        if setting.ticks:
            positions, words = zip(*setting.ticks, strict=True)
            getattr(ax, f"set_{axis}ticks")(positions, words)
            if setting.categories:
                getattr(ax, f"set_{axis}lim")(positions[0] - 0.5, positions[-1] + 0.5)
        if setting.limits:
            getattr(ax, f"set_{axis}lim")(setting.limits)
    ax.set_title(panel.title)
    for series in panel.series:
        if np.isfinite(series.y).any():
            _draw_series(ax, series)
    for height, words in panel.guides:
        ax.axhline(height, color=INK_COLOR, linewidth=0.8, linestyle=(0, (4, 3)), label=words)


def power_of_ten(value: float) -> str:
    """The tick of a logarithmic axis in plain letters: 0.01 and 100 as they are, smaller and larger ones as 10ⁿ."""
    exponent = round(np.log10(value))
    if -2 <= exponent <= 3:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _draw_series(ax, series: Series) -> None:
    color, style = TONES[series.tone % len(TONES)], "--" if series.dashed else "-"
    if series.mark == "points":
        ax.plot(
            series.x,
            series.y,
            "o",
            color=color,
            markersize=3 * series.size,
            alpha=0.45,
            markeredgewidth=0,
            label=series.label,
        )
    elif series.mark == "line":
        ax.plot(series.x, series.y, style, color=color, linewidth=1.4 * series.size, label=series.label)
    else:
        x, (low, median, high) = series.quartiles()
        if series.mark == "trend":
            ax.plot(x, median, style, color=color, linewidth=1.4 * series.size, label=series.label)
            if ax.get_yscale() == "linear" or (high > 0).any():
                ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        else:
            ax.errorbar(
                x, median, (median - low, high - median), fmt="o", color=color, markersize=4.5 * series.size,
                elinewidth=1.3, markeredgecolor="white", markeredgewidth=0.6, capsize=0, label=series.label, zorder=3,
            )  # fmt: skip
