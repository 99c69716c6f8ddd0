"""The page: one file with everything in it, made from the results alone; no torch, no network.

Claims and tables are plain HTML; the figures and the run table are drawn in the browser from a data island, the
figures by plotly, which is shipped with its licence beside this file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from engine.report.chart import TONES, Chart, Series
from engine.report.select import scalars
from engine.report.summary import Table, missing, prediction, words
from engine.results import BASE_COLUMNS, flatten

POINTS = 80_000  # of a figure, and
ROWS = 20_000  # of the run table, that a browser is given
VERDICTS = {"holds": "holds", "fails": "fails"}  # others are neither
FIRST = ("barrier", "predicted", "loss_max")  # after the axes; the very first is summarised above the run table


def page(
    manifest: Mapping[str, Any],
    heading: str,
    claims: Sequence[Mapping[str, Any]],
    charts: Sequence[Chart],
    tables: Sequence[Table],
    rows: pa.Table | None = None,
) -> str:
    """The text of ``report.html``.

    Args:
        manifest: what was recorded before the sweep.
        heading: what was measured, in a sentence.
        claims: the entries of ``claims.json``.
        charts: the figures.
        tables: the summaries.
        rows: the sweep's rows, or None where it has none of its own.

    Returns:
        An HTML document without references to anything outside it.
    """
    sweep = manifest["config"]["sweep"]
    data = {"charts": [_chart(chart) for chart in charts], "runs": None if rows is None else _runs(rows)}
    sections = {
        "claims": _section("claims", "Claims", _claims(claims, sweep.get("sweeps") or ())) if claims else "",
        "tables": _section("summary", "Summary", _tables(tables)) if tables else "",
        "configuration": _section("configuration", "Configuration", _pairs(flatten(manifest["config"]))),
        "provenance": _section("provenance", "Provenance", _pairs(_provenance(manifest))),
    }
    names = {
        "Claims": claims,
        "Figures": charts,
        "Summary": tables,
        "Runs": rows is not None,
        "Configuration": True,
        "Provenance": True,
    }
    parts = sections | {
        "title": escape(str(sweep["name"])),
        "about": escape(str(sweep.get("about", ""))),
        "heading": escape(heading),
        "nav": " ".join(f'<a href="#{name.lower()}">{name}</a>' for name, there in names.items() if there),
        "style": _file("page.css"),
        "script": _file("page.js"),
        "plotly": _file("plotly-cartesian.min.js"),
        "data": island(data),
    }
    # one pass, so that no part is read for the names of others
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("page.html"))


def island(data: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element, and what is not finite is null."""
    return json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{content}</section>'


def _claims(claims: Iterable[Mapping[str, Any]], parts: Sequence[str]) -> str:
    """The claims, under the name of their sweep; that of a part leads to the part's own page."""
    made, sweep = [], None
    for claim in claims:
        if claim.get("sweep") != sweep:
            sweep = claim.get("sweep")
            name = escape(str(sweep))
            linked = f'<a href="{quote(sweep)}/report.html">{name}</a>' if sweep in parts else name
            made.append(f'<p class="sweep">{linked}</p>')
        verdict = str(claim.get("verdict"))
        told = [f"predicted {prediction(claim)}"]
        told += [f"{name} {words(claim.get(name))}" for name in ("measured", "tolerance")]
        if claim.get("reason"):
            told[-1] += f" ({claim['reason']})"
        altered = f" ({claim['altered']})" if claim.get("altered") else ""
        told.append(
            f"control{altered}: {claim.get('control')}, measured {words(claim.get('control_measured'))}{missing(claim)}"
        )
        made.append(
            f'<div class="claim"><p class="verdict {VERDICTS.get(verdict, "unsure")}">{escape(verdict)}</p>'
            f'<p>{escape(str(claim.get("claim")))}</p><p class="numbers">{escape("; ".join(told))}</p></div>'
        )
    return "".join(made)


def _tables(tables: Iterable[Table]) -> str:
    made = "".join(f"<div>{_table(table)}</div>" for table in tables)
    return f'<div id="tables-of-summary">{made}</div>'


def _table(table: Table) -> str:
    # a column of numbers is read along its last digit
    numbers = [all(_is_number(row[j]) for row in table.rows) for j in range(len(table.head))]
    marks = [' class="number"' if is_number else ' class="words"' for is_number in numbers]
    head = "".join(f"<th{mark}>{escape(name)}</th>" for mark, name in zip(marks, table.head, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{mark}>{escape(cell)}</td>' for mark, cell in zip(marks, row, strict=True))}</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<h3>{escape(table.title)}</h3>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'
    )


def _is_number(cell: str) -> bool:
    try:
        return cell == "–" or math.isfinite(float(cell))
    except ValueError:
        return False


def _provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: manifest.get(name) for name in ("commit", "command", "created", "device", "machine", "python")}
    known["command"] = " ".join(["python -m engine", *(manifest.get("command") or [])])
    return known | dict(manifest.get("versions", {}))


def _pairs(pairs: Mapping[str, Any]) -> str:
    shown = (
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs.items() if value is not None
    )
    return f'<dl class="pairs">{"".join(shown)}</dl>'


def _chart(chart: Chart) -> dict[str, Any]:
    count = sum(len(series.x) for series in chart.series())
    every = max(1, -(-count // POINTS))
    return {
        "name": chart.name,
        "title": chart.title,
        "caption": chart.caption,
        "filters": {name: _plain(value) for name, value in chart.filters.items()},
        "thinned": every,
        "panels": [
            {
                "title": panel.title,
                "x": vars(panel.x),
                "y": vars(panel.y),
                "guides": panel.guides,
                "series": [_series(series, every) for series in panel.series],
            }
            for panel in chart.panels
        ],
    }


def _series(series: Series, every: int) -> dict[str, Any]:
    chosen = np.arange(len(series.x)) % every == 0
    if series.mark == "line":  # whole curves, each with the break that ends it
        ended = np.isnan(series.y)
        chosen = (np.cumsum(ended) - ended) % every == 0
    return {
        "label": series.label,
        "mark": series.mark,
        "color": TONES[series.tone % len(TONES)],
        "dashed": series.dashed,
        "size": series.size,
        "x": column(series.x[chosen]),
        "y": column(series.y[chosen]),
        "by": {axis: column(values[chosen]) for axis, values in series.by.items()},
    }


def _runs(rows: pa.Table) -> dict[str, Any]:
    """The rows without their curves, of very many every k-th; a column of one value is told in a note."""
    table = scalars(rows)
    every = max(1, -(-table.num_rows // ROWS))
    if every > 1:
        table = table.take(pa.array(np.arange(0, table.num_rows, every)))
    columns = {field.name: table[field.name].to_numpy(zero_copy_only=False) for field in table.schema}
    distinct = {name: table[name].unique().to_pylist() for name in columns}
    everywhere = [f"{name} {found[0]}" for name, found in distinct.items() if len(found) == 1 and found[0] is not None]
    varied = [name for name, found in distinct.items() if len(found) > 1]
    axes = [name for name in BASE_COLUMNS if name in varied]
    first = [*axes, *(name for name in FIRST if name in varied)]
    names = [*first, *(name for name in varied if name not in first)]
    notes = (
        f"Here one of every {every} of {rows.num_rows} rows." if every > 1 else "",
        f"Everywhere: {', '.join(everywhere)}." if everywhere else "",
        "A click on a column's name sorts. The whole, with its curves: engine.load(DIR) in Python.",
    )
    return {
        "names": names,
        "columns": [column(columns[name]) for name in names],
        "axes": axes,
        "statistic": FIRST[0],
        "note": " ".join(note for note in notes if note),
    }


def column(values: np.ndarray) -> dict[str, list]:
    """An array for the data island: as it is, or as codes where few values repeat."""
    listed = [_plain(value) for value in values.tolist()]
    distinct = list(dict.fromkeys(listed))
    if 4 * len(distinct) < len(listed):
        code = {value: i for i, value in enumerate(distinct)}
        return {"values": distinct, "codes": [code[value] for value in listed]}
    return {"values": listed}


def _plain(value: Any) -> Any:
    """A value as JSON has it: six digits of a number, null for what is not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
