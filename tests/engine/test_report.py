"""Summary tables, and the page in a browser."""

import io
import subprocess
import sys

import pyarrow as pa
import report_case
from rich.console import Console

from engine.report import report, summary, terminal

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
    assert "24 minima of digits (16 within the gradient tolerance)" in summary.heading(TABLE, report_case.config())


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
