"""``python -m engine.record DIR [SWEEPS]``: a finished sweep as a folder of ``sweeps/``, to be read without the engine.

``sweeps/NAME/`` gets ``README.md`` with what was claimed, predicted and measured, by which command at which commit,
``claims.json``, ``results.csv`` with every row, those of controls too, and the figures.  Of the columns lists are left
out, and those with one value in all rows, which the README tells; numbers have four digits.  The words under "What it
shows" are the author's: they stay when the folder is made anew.  ``sweeps/README.md`` gets a line per claim.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine import claim, reading, results
from engine.report.summary import missing, prediction, words
from engine.results import ResultsError

SHOWS, INDEX = "## What it shows", "## Results"


def record(directory: Path, sweeps: Path) -> list[Path]:
    """Write the folder of a sweep, or of each sweep of a series, and the index.

    Args:
        directory: a results directory.
        sweeps: where the folders are.

    Returns:
        The folders.

    Raises:
        ResultsError: the code that computed the results was not committed.
    """
    manifest = results.read_manifest(directory)
    if names := manifest["config"]["sweep"]["sweeps"]:
        return [folder for name in names for folder in record(directory / name, sweeps)]
    commit = manifest["commit"]
    if not commit or commit.endswith("changes"):
        raise ResultsError(f"{directory}: computed at commit {commit}, expected a commit without changes")
    folder = sweeps / manifest["config"]["sweep"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    judged = claim.write(directory)
    results.write_atomically(folder / claim.CLAIMS, json.dumps(judged, indent=2, ensure_ascii=False).encode() + b"\n")
    table = reading.load(directory, results.scalar_columns(directory), controls=True)
    everywhere = _write_csv(table, folder / "results.csv")
    figures = sorted((directory / "figures").glob("*.png"))
    for figure in figures:
        shutil.copyfile(figure, folder / figure.name)
    readme = folder / "README.md"
    shows = _section(readme.read_text(), SHOWS) if readme.exists() else f"{SHOWS}\n"
    readme.write_text(_readme(manifest, judged, [figure.name for figure in figures], everywhere) + shows)
    _index(sweeps)
    return [folder]


def _readme(
    manifest: Mapping[str, Any],
    judged: Sequence[Mapping[str, Any]],
    figures: Sequence[str],
    everywhere: Mapping[str, str],
) -> str:
    sweep = manifest["config"]["sweep"]
    lines = [f"# {sweep['name']}: {sweep['about']}", ""]
    for entry in judged:
        lines += [
            f"- **{entry['verdict']}**: {entry['claim']}. Predicted {prediction(entry)}, measured "
            f"{words(entry['measured'])}, tolerance {entry['tolerance']:g} ({entry['reason']}). Control, "
            f"{entry['altered']}: {entry['control']}, {words(entry['control_measured'])}{missing(entry)}."
        ]
    versions = ", ".join(
        f"{name} {manifest['versions'][name]}" for name in ("torch", "numpy") if name in manifest["versions"]
    )
    same = ", ".join(f"{name} {value}" for name, value in everywhere.items())
    lines += [
        "",
        f"    {' '.join(['python -m engine', *_command(manifest)])}",
        "",
        f"Commit {manifest['commit']}; {manifest['device']}; Python {manifest['python']}, {versions}; "
        f"{sweep['seeds']} seeds; {manifest['created']}. Every row is in [results.csv](results.csv)"
        f"{f' (in all of them: {same})' if same else ''}, the verdicts are in [claims.json](claims.json).",
        "",
    ]
    lines += [f"![{Path(name).stem}]({name})\n" for name in figures]
    return "\n".join(lines) + "\n"


def _command(manifest: Mapping[str, Any]) -> list[str]:
    """The sweep's own command: what computed it, less where it was put."""
    sweep = manifest["config"]["sweep"]
    options = [f"+sweep={sweep['name']}"]
    return options if sweep["scale"] == "default" else [*options, f"sweep.scale={sweep['scale']}"]


def _write_csv(table: pa.Table, path: Path) -> dict[str, str]:
    """Write the columns that vary, null as an empty cell; returns the value of those that have one, null in none."""
    columns = {name: [_cell(value) for value in table[name].to_pylist()] for name in table.column_names}
    varied = {name: cells for name, cells in columns.items() if len(set(cells)) > 1}
    lines = [",".join(varied), *(",".join(row) for row in zip(*varied.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return {name: cells[0] for name, cells in columns.items() if name not in varied and any(cells)}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\n]', text) else text


def _index(sweeps: Path) -> None:
    """The table of all recorded claims, in the place of the one in ``sweeps/README.md``."""
    lines = [INDEX, "", "| sweep | claim | predicted | measured | verdict | control |", "|---|---|---|---|---|---|"]
    for path in sorted(sweeps.glob(f"*/{claim.CLAIMS}")):
        for entry in json.loads(path.read_text()):
            name, sentence = entry["sweep"], entry["claim"].replace("|", "\\|")
            numbers = f"{prediction(entry)} | {words(entry['measured'])}"
            control = f"{entry['control']}, {words(entry['control_measured'])}"
            lines.append(f"| [{name}]({name}/README.md) | {sentence} | {numbers} | {entry['verdict']} | {control} |")
    readme = sweeps / "README.md"
    text = readme.read_text() if readme.exists() else "# Recorded sweeps\n\n"
    old = _section(text, INDEX)
    new = "\n".join(lines) + "\n"
    readme.write_text(text.replace(old, new + ("\n" if text.partition(old)[2] else "")) if old else f"{text}{new}")


def _section(text: str, head: str) -> str:
    """From a heading to the next of its level, or the end; empty where there is none."""
    found = re.search(rf"^{re.escape(head)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group() if found else ""


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: python -m engine.record DIR [SWEEPS]")
    try:
        for made in record(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "sweeps")):
            print(made)
    except ResultsError as error:
        sys.exit(f"error: {error}")
