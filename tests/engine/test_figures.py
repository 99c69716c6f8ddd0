"""What the figures of the barriers sweep show, and that both renderers are given it."""

import numpy as np
import pyarrow as pa
import pytest
import report_case

from engine import config
from engine.discovery import members
from engine.report import png
from engine.report.chart import MARKS, Axis, Chart, Panel, Series
from engine.report.select import rows

TABLE = pa.Table.from_pylist(report_case.rows(), schema=report_case.COLUMNS)
FIGURES = members("report.figure")


def chart(name):
    return FIGURES[name].chart(TABLE, report_case.config())


def labelled(panel, label):
    return next(series for series in panel.series if series.label == label)


def test_growth_shows_measured_medians_on_the_closed_form():
    measured = labelled(chart("growth").shown().panels[0], "depth 3")
    m, (low, median, high) = measured.quartiles()
    assert m.tolist() == [10.0, 100.0]  # m = 1 has no place on a logarithmic axis
    assert median == pytest.approx(0.02 * (m - 1) ** 4 / (16 * m**2))
    assert (low < median).all() and (median < high).all()
    apart = labelled(chart("growth").panels[1], "depth 3")
    assert apart.y == pytest.approx(1e-13 * np.ones(len(apart.y)), rel=0.4)


def test_curves_keep_every_point_and_break_between_pairs():
    rescaled, independent = chart("curves").shown().panels
    line = labelled(rescaled, "straight line")
    assert np.isnan(line.y).sum() == 1  # one pair, and a break behind it
    assert line.y[:3] == pytest.approx([0.01, 0.01 + 0.01 * 9**4 / 1600, 0.01])
    assert {series.label for series in independent.series} == {
        "straight line",
        "after rescaling",
        "after permutation",
        "after permutation and rescaling",
    }
    everything = labelled(chart("curves").panels[0], "straight line")
    assert np.isnan(everything.y).sum() == 2 * 2 * 2 * 2 * 2  # depths, widths, decays, seeds, factors but 1


def test_alignment_shows_median_and_spread_by_depth_and_width():
    shown = chart("alignment").shown()
    assert [panel.title for panel in shown.panels] == ["depth 2", "depth 3"]
    for label, barrier in (("not aligned", 0.5), ("permutation and rescaling", 0.02)):
        x, quartiles = labelled(shown.panels[1], label).quartiles()
        assert len(x) == 2 and np.round(x).tolist() == [0, 1]
        assert quartiles == pytest.approx(np.array([[1.0], [2.0], [3.0]]) * barrier * np.ones(2), rel=0.26)
        assert quartiles[1] == pytest.approx(2 * barrier * np.ones(2))


def test_a_filter_chooses_the_points_that_are_summarised():
    series = labelled(chart("growth").panels[0], "depth 2")
    one = series.where({"width": 8, "weight_decay": 0.0})
    assert len(one.x) * 4 == len(series.x)
    assert len(series.where({"width": 7}).x) == 0
    assert len(series.where({"width": None, "absent": 1}).x) == len(series.x)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_nothing_is_none(name):
    assert FIGURES[name].chart(TABLE.slice(0, 0), report_case.config()) is None
    assert FIGURES[name].chart(rows(TABLE, path="symmetry", relation="independent"), report_case.config()) is None


@pytest.mark.parametrize("name", ["growth", "curves", "alignment"])
def test_a_figure_is_drawn_with_names_and_units(name, tmp_path):
    made = chart(name)
    for panel in made.panels:
        assert "(" in panel.x.title or "from 0 to 1" in panel.x.title
        assert panel.y.title
    assert set(made.filters) and all(any(axis in series.by for series in made.series()) for axis in made.filters)
    path = png.draw(made, tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_hostile_words_and_every_mark_are_drawn_as_they_are(tmp_path):
    words = "$\\frac{1}{$ <b>&amp; ☃"
    x = np.array([1.0, 1.0, 10.0, 10.0])
    for log in (False, True):
        axis = Axis(words, log=log)
        series = tuple(Series(words, x, np.array([1.0, 2.0, 0.0, np.nan]), mark) for mark in MARKS)
        made = Chart("x", words, words, (Panel(axis, axis, series, words, ((1.5, words),)),))
        png.draw(made, tmp_path / "figure.png")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mark", MARKS)
def test_a_panel_of_zeros_shares_the_logarithmic_axis_of_its_neighbour(mark, tmp_path):
    axis, x = Axis("m (1)", log=True), np.array([1.0, 10.0])
    panels = tuple(Panel(axis, axis, (Series("s", x, y, mark),)) for y in (0 * x, x))
    png.draw(Chart("x", "x", "x", panels), tmp_path / "figure.png")


def test_logarithmic_ticks_are_plain_letters():
    assert [png.power_of_ten(10.0**n) for n in (-17, -3, -1, 0, 3, 4)] == ["10⁻¹⁷", "10⁻³", "0.1", "1", "1000", "10⁴"]


@pytest.mark.parametrize("name", config.sweeps())
def test_every_sweep_names_figures_that_there_are(name):
    sweep = config.read([f"+sweep={name}"]).sweep
    assert set(sweep.figures) <= FIGURES.keys()
    assert sweep.figures or sweep.sweeps
