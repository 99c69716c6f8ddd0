"""Tables, figures and a page made from a results directory alone; no torch.

``python -m engine.report DIR`` makes them anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from engine import results
from engine.discovery import members
from engine.report.chart import Chart

CLAIMS = "claims.json"
FIGURES = "figures"
PAGE = "report.html"


def report(directory: Path) -> tuple[pa.Table, list[Path]]:
    """Draw the figures, write the page and print the summary of a sweep, or of a sweep made of sweeps.

    Args:
        directory: a results directory.

    Returns:
        Its rows, and the figures' files.
    """
    from engine.report import page, png, summary, terminal

    directory = Path(directory)
    manifest = results.read_manifest(directory)
    config = manifest["config"]
    claims = read_claims(directory)
    table = results.load(directory)
    if parts := config["sweep"].get("sweeps"):
        drawn = [
            replace(chart, name=f"{name}-{chart.name}", title=f"{name}: {chart.title}")
            for name in parts
            for chart in charts(results.load(directory / name), directory / name)
        ]
        heading, tables = summary.heading_of_series(config, claims), []
    else:
        drawn = charts(table, directory)
        heading, tables = summary.heading(table, config), summary.summaries(table)
    (directory / FIGURES).mkdir(exist_ok=True)
    figures = [png.draw(chart, directory / FIGURES / f"{chart.name}.png") for chart in drawn]
    text = page.page(manifest, heading, claims, drawn, tables, None if parts else table)
    results.write_atomically(directory / PAGE, text.encode())
    terminal.show(f"{config['sweep']['name']}: {heading}", [*summary.claims_tables(claims), *tables])
    return table, figures


def charts(table: pa.Table, directory: Path) -> list[Chart]:
    """The figures a sweep asks for, of those that its rows have something for."""
    config = results.read_manifest(directory)["config"]
    made = (members("report.figure")[name].chart(table, config) for name in config["sweep"]["figures"])
    return [chart for chart in made if chart is not None]


def read_claims(directory: Path) -> list[dict]:
    """What a sweep checked, as ``claims.json`` has it; empty where it checks nothing."""
    path = directory / CLAIMS
    return json.loads(path.read_text()) if path.is_file() else []
