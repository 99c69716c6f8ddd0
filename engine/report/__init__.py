"""Tables, figures and a page made from a results directory alone; no torch.

``python -m engine.report DIR`` makes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from engine import results
from engine.discovery import members

CLAIMS = "claims.json"
FIGURES = "figures"
PAGE = "report.html"


def report(directory: Path) -> tuple[pa.Table, list[Path]]:
    """Draw the figures, write the page and print the summary of a sweep.

    Args:
        directory: a results directory.

    Returns:
        Its rows, and the figures' files.
    """
    from engine.report import png, summary, terminal

    directory = Path(directory)
    manifest = results.read_manifest(directory)
    table = results.load(directory)
    config = manifest["config"]
    claims = read_claims(directory)
    charts = []
    for name in config["sweep"]["figures"]:
        chart = members("report.figure")[name].chart(table, config)
        if chart is not None:
            charts.append(chart)
    folder = directory / FIGURES
    folder.mkdir(exist_ok=True)
    figures = [png.draw(chart, folder / f"{chart.name}.png") for chart in charts]
    tables = summary.summaries(table, claims)
    terminal.show(summary.heading(table, config), tables)
    return table, figures


def read_claims(directory: Path) -> list[dict]:
    """What a sweep checked, as ``claims.json`` has it; empty where it checks nothing."""
    path = directory / CLAIMS
    return json.loads(path.read_text()) if path.is_file() else []
