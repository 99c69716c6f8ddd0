"""Tables, figures and a page made from a results directory alone; no torch.

``python -m engine.report DIR`` makes them anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from engine import reading, results
from engine.discovery import members
from engine.report.chart import Chart

CLAIMS = "claims.json"
FIGURES = "figures"
PAGE = "report.html"
# beyond so many cells a table with the curves of all would not fit: their figure is drawn from some of the blocks
MANY_CELLS = 100_000
SOME_BLOCKS = 32


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
    if parts := config["sweep"].get("sweeps"):
        table = reading.load(directory)
        drawn = [
            replace(chart, name=f"{name}-{chart.name}", title=f"{name}: {chart.title}")
            for name in parts
            for chart in charts(directory / name, rows_of(directory / name))
        ]
        heading, tables = summary.heading_of_series(config, claims), []
    else:
        table = rows_of(directory)
        drawn = charts(directory, table)
        heading, tables = summary.heading(table, config), summary.summaries(table)
    (directory / FIGURES).mkdir(exist_ok=True)
    figures = [png.draw(chart, directory / FIGURES / f"{chart.name}.png") for chart in drawn]
    text = page.page(manifest, heading, claims, drawn, tables, None if parts else table)
    results.write_atomically(directory / PAGE, text.encode())
    terminal.show(f"{config['sweep']['name']}: {heading}", [*summary.claims_tables(claims), *tables])
    return table, figures


def rows_of(directory: Path) -> pa.Table:
    """All rows of a sweep; of one with very many cells without the columns that are lists."""
    manifest = results.read_manifest(directory)
    if manifest.get("plan", {}).get("cells", 0) <= MANY_CELLS:
        return reading.load(directory)
    return reading.load(directory, results.scalar_columns(directory))


def some_rows(directory: Path) -> pa.Table:
    """The rows of some blocks, all columns."""
    # in the order of their keys, which are hashes, the first few are from everywhere
    chosen = set(sorted(results.stored(directory))[:SOME_BLOCKS])
    return pa.concat_tables([results.read_schema(directory).empty_table(), *reading.batches(directory, blocks=chosen)])


def charts(directory: Path, table: pa.Table) -> list[Chart]:
    """The figures a sweep asks for, of those that its rows have something for.

    Args:
        directory: its results directory.
        table: its rows, with or without the columns that are lists.

    Returns:
        Their descriptions.
    """
    config = results.read_manifest(directory)["config"]
    whole = {name for name in table.column_names if pa.types.is_list(table.schema.field(name).type)}
    made = []
    for name in config["sweep"]["figures"]:
        figure = members("report.figure")[name]
        needs = set(getattr(figure, "LISTS", ()))
        made.append(figure.chart(table if needs <= whole else some_rows(directory), config))
    return [chart for chart in made if chart is not None]


def read_claims(directory: Path) -> list[dict]:
    """What a sweep checked, as ``claims.json`` has it; empty where it checks nothing."""
    path = directory / CLAIMS
    return json.loads(path.read_text()) if path.is_file() else []
