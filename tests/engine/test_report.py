"""Summary tables, and the page in a browser."""

import io
import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import report_case
from rich.console import Console

from engine.report import report, summary, terminal
from engine.report.page import column, island

TABLE = pa.Table.from_pylist(report_case.rows(), schema=report_case.COLUMNS)


def cells(title, table=TABLE):
    found = next(made for made in summary.summaries(table) if made.title.startswith(title))
    return [dict(zip(found.head, row, strict=True)) for row in found.rows]


def test_summaries_hold_the_medians_and_the_worst_disagreement():
    told = cells("Rescaled twins")
    assert [(row["depth"], row["width"]) for row in told] == [("2", "8"), ("2", "16"), ("3", "8"), ("3", "16")]
    assert all(row["m=10"] == "0.082" and row["m=1"] == "0" for row in told)  # 0.02 · 9⁴ / 1600
    assert all(row["apart"] == "1.0e-13" for row in told)
    assert all(row["both"] == "0.04" and row["nothing"] == "1" for row in cells("Independent minima"))
    assert cells("Curves") == [{"pairs": "rescaled", "path": "symmetry", "number": "72", "change": "1.0e-17"}]
    assert cells("Rows without") == [{"rows": "24", "reason": "no symmetry relates the two minima"}]


def test_heading_counts_minima_once():
    told = summary.heading(TABLE, report_case.config())
    assert "24 minima of digits (median gradient norm 1.0e-05, 16 within the tolerance)" in told


def test_heading_tells_of_networks_whose_training_was_lost():
    lost = [
        row | {"grad_norm": float("nan"), "reached": False} if row["seed"] == 1 else row for row in report_case.rows()
    ]
    told = summary.heading(pa.Table.from_pylist(lost, schema=report_case.COLUMNS), report_case.config())
    assert "24 minima of digits (median gradient norm 1.0e-05, 8 within the tolerance, 8 lost)" in told


def test_tables_fit_eighty_columns_through_a_pipe_and_never_take_words_for_markup():
    hostile = pa.Table.from_pylist(report_case.rows(reason="[red]not[/red] \x1b[31m"), schema=report_case.COLUMNS)
    output = io.StringIO()
    terminal.show("heading", summary.summaries(hostile), Console(file=output, width=80))
    text = output.getvalue()
    assert "[red]not[/red]" in text and "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "5.3" in text or "0.082" in text


def test_a_report_is_made_without_torch(tmp_path):
    directory = report_case.write(tmp_path)
    program = (
        "import sys; from engine.report.__main__ import main; code = main(sys.argv[1:]);"
        "assert not {'torch', 'kernels', 'hydra', 'wandb'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Rescaled twins" in done.stdout
    assert (directory / "report.html").stat().st_size > 1_500_000
    assert sorted(path.name for path in (directory / "figures").iterdir()) == [
        "alignment.png",
        "curves.png",
        "growth.png",
    ]


def test_a_directory_without_results_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "engine.report", tmp_path / "absent"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("error:") and len(done.stderr.splitlines()) == 1


def test_an_empty_sweep_has_a_report(tmp_path):
    table, figures = report(report_case.write(tmp_path, made=[]))
    assert table.num_rows == 0 and figures == []


CLAIM = {
    "sweep": "barriers",
    "claim": "Prop. 5.3: the barrier is the closed form",
    "predicted": 0.0,
    "measured": 1.25e-13,
    "tolerance": 1e-9,
    "verdict": "holds",
    "control": "fails",
    "control_measured": 0.75,
}
HOSTILE = (
    "</script><script>document.title='taken'</script>"
    "<img src=x onerror=\"document.title='taken'\"> & \u2028 {{data}} ${1}"
)


def test_the_island_holds_no_end_of_a_script_and_no_nan():
    text = island([HOSTILE, {"x": column(np.array([1.0, math.nan, math.inf, 1 / 3]))}])
    assert "<" not in text and "NaN" not in text
    assert json.loads(text) == [HOSTILE, {"x": {"values": [1.0, None, None, 0.333333]}}]


def test_columns_of_few_values_are_coded():
    values = np.array(["a", "b"] * 10, dtype=object)
    assert column(values) == {"values": ["a", "b"], "codes": [0, 1] * 10}


def test_a_bound_is_told_as_one():
    bound = CLAIM | {"comparison": "≤", "predicted": 1.0, "measured": 0.25}
    (table,) = summary.claims_tables([bound])
    assert "predicted ≤ 1, measured 0.25" in table.rows[1][1]
    assert summary.prediction(CLAIM | {"comparison": "="}) == summary.prediction(CLAIM) == "0"
    assert summary.prediction(bound | {"predicted": 0.0}) == "0" and summary.prediction({"predicted": None}) == "–"


def test_a_claim_that_is_told_in_the_terminal_has_its_numbers(tmp_path, capsys):
    report(report_case.write(tmp_path, claims=[CLAIM]))
    told = " ".join(capsys.readouterr().out.split())
    assert "holds Prop. 5.3: the barrier is the closed form" in told
    assert "measured 1.25e-13, tolerance 1e-09; control: fails, 0.75" in told


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser):
    """Opens the report of a directory; whatever its script complains of fails the test."""
    errors = []
    context = browser.new_context()

    def open_report(directory):
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.on("request", lambda request: errors.append(request.url) if not request.url.startswith("file:") else None)
        page.goto((directory / "report.html").as_uri())
        page.wait_for_selector("body[data-ready='1']")
        return page

    yield open_report
    context.close()
    assert errors == []


def plotted(page, name):
    """What plotly drew of a figure: the traces with a legend entry, by name."""
    traces = page.evaluate(f"document.querySelector('#figure-{name} .plot').data")
    return {trace["name"]: trace for trace in traces if trace.get("showlegend")}


def test_the_page_tells_claims_and_its_filters_choose_what_is_summarised(opened, tmp_path):
    directory = report_case.write(tmp_path, claims=[CLAIM, CLAIM | {"verdict": "fails", "claim": "Open Question 2: x"}])
    report(directory)
    page = opened(directory)
    assert page.title() == "barriers"
    claims = page.locator(".claim")
    assert claims.nth(0).locator(".verdict").inner_text() == "holds"
    assert "Prop. 5.3: the barrier is the closed form" in claims.nth(0).inner_text()
    assert "measured 1.25e-13" in claims.nth(0).inner_text()
    assert claims.nth(1).locator(".verdict").get_attribute("class") == "verdict fails"

    # the browser's medians and quartiles are NumPy's
    shown = plotted(page, "growth")["depth 3"]
    assert shown["x"] == [10, 100]
    base = 0.01 * 99**4 / 160_000
    assert shown["y"][1] == pytest.approx(2 * base, rel=1e-5)
    low, high = np.quantile(np.repeat([1, 2, 3], 4), (0.25, 0.75)) * base
    assert shown["error_y"]["arrayminus"][1] == pytest.approx(2 * base - low, rel=1e-4, abs=1e-4)
    assert shown["error_y"]["array"][1] == pytest.approx(high - 2 * base, rel=1e-4, abs=1e-4)
    assert len(plotted(page, "curves")["straight line"]["x"]) == 4  # a pair's three points, and the break

    # another value of an axis, another curve
    before = plotted(page, "curves")["straight line"]["y"][1]
    page.select_option("#figure-curves select[data-axis='rescaling']", label="100")
    after = plotted(page, "curves")["straight line"]["y"][1]
    assert before == pytest.approx(0.01 + 0.01 * 9**4 / 1600, rel=1e-5)
    assert after == pytest.approx(0.01 + base, rel=1e-5)


def test_the_run_table_filters_sorts_and_turns_its_pages(opened, tmp_path):
    directory = report_case.write(tmp_path)
    report(directory)
    page = opened(directory)
    statistic, count = page.locator("#runs-statistic"), len(report_case.rows())
    assert statistic.inner_text().startswith(f"{count} of {count} rows; barrier: median ")
    page.select_option("#runs-filters select[data-axis='alignment']", label="both")
    page.select_option("#runs-filters select[data-axis='depth']", label="2")
    assert statistic.inner_text() == f"12 of {count} rows; barrier: median 0.04, smallest 0.02, largest 0.06"
    page.select_option("#runs-filters select[data-axis='depth']", label="all")
    assert page.locator("#runs-page").inner_text() == "page 1 of 2"
    page.click("#runs-on")
    assert page.locator("#runs-table tbody tr").count() == 4
    head = page.locator("#runs-table th", has_text="barrier").first
    head.click()
    head.click()
    page.click("#runs-back")
    assert "0.06" in page.locator("#runs-table tbody tr").first.inner_text()


def test_hostile_words_are_shown_and_do_nothing(opened, tmp_path):
    made = report_case.rows(activation=HOSTILE, reason=HOSTILE)
    claims = [dict.fromkeys(CLAIM, HOSTILE)]
    recorded = report_case.config(name="barriers")
    recorded["sweep"] |= {"about": HOSTILE, HOSTILE: HOSTILE}
    recorded["data"]["name"] = HOSTILE
    directory = report_case.write(
        tmp_path,
        made=made,
        claims=claims,
        config=recorded,
        commit=HOSTILE,
        command=[HOSTILE],
        versions={HOSTILE: HOSTILE},
    )
    report(directory)
    page = opened(directory)
    page.wait_for_timeout(100)
    assert page.title() == "barriers" and page.locator("img").count() == 0
    for place in (".about", ".claim", "#summary", "#runs-note", "#configuration", "#provenance"):
        assert "</script><script>document.title='taken'" in page.locator(place).first.inner_text(), place
    hover = plotted(page, "curves")["straight line"]["text"][0]  # in which plotly reads HTML
    assert "&lt;script&gt;" in hover and "<script" not in hover


def test_the_page_refers_to_nothing_outside_itself(tmp_path):
    directory = report_case.write(tmp_path)
    report(directory)
    text = (directory / "report.html").read_text()
    own = text.replace(re.search(r"<script>/\*\*\n\* plotly.js.*?</script>", text, re.S)[0], "")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//|@import|url\(""", own)
    assert "Licensed under the MIT license" in text


def test_a_report_of_sweeps_has_the_figures_of_each(tmp_path, capsys):
    for name in ("one", "two"):
        report_case.write(tmp_path / name, config=report_case.config(name))
    config = report_case.config("paper")
    config["sweep"] |= {"sweeps": ["one", "two"], "figures": []}
    report_case.write(tmp_path, made=[], claims=[CLAIM | {"sweep": "two"}], config=config)
    _, figures = report(tmp_path)
    assert {path.stem for path in figures} == {
        f"{a}-{b}" for a in ("one", "two") for b in ("growth", "curves", "alignment")
    }
    assert "paper: 2 sweeps, 1 claims, of which 1 hold" in " ".join(capsys.readouterr().out.split())
    text = (tmp_path / "report.html").read_text()
    assert "two: Barrier between rescaled minima" in text and CLAIM["claim"] in text
    assert '<a href="two/report.html">two</a>' in text
