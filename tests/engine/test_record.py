"""A finished sweep as a folder of sweeps/: what computed it is named, and the author's words stay."""

import csv
import json

import pytest

import engine
from engine import claim, manifest, reading, record, results

TINY = ["sweep.grid.width=[2]", "sweep.grid.depth=[2]", "sweep.seeds=1", "tracking=none"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A sweep computed by what is committed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "commit", lambda: "0123abcd")
        return engine.run("curves", [*TINY, f"out={tmp_path_factory.mktemp('out')}"])


def test_a_record_names_its_commit_and_keeps_the_authors_words(out, tmp_path):
    (folder,) = record.record(out, tmp_path / "sweeps")
    readme = (folder / "README.md").read_text()
    judged = json.loads((folder / claim.CLAIMS).read_text())
    assert "0123abcd" in readme and "python -m engine +sweep=curves" in readme
    assert all(entry["claim"] in readme and entry["altered"] in readme for entry in judged)
    with open(folder / "results.csv") as file:
        rows = list(csv.DictReader(file))
    table = reading.load(out, controls=True)
    assert len(rows) == table.num_rows > engine.load(out).num_rows
    for row, value in zip(rows, table["curve_residual"].to_pylist(), strict=True):
        assert (row["curve_residual"] == "") == (value is None)
        assert value is None or abs(float(row["curve_residual"]) - value) <= 5e-4 * value
    # a column of one value is told once
    assert "width" not in rows[0] and "(in all of them: depth 2, width 2, " in readme
    assert {"condition", "curve", "control"} <= set(rows[0]) <= set(results.scalar_columns(out))
    (folder / "README.md").write_text(f"{readme}\nThe curve stays.\n")
    (tmp_path / "sweeps/README.md").write_text(
        "# Sweeps\n\nWhat they are.\n\n## Results\n\noutdated\n\n## Scale\n\nLarge.\n"
    )
    record.record(out, tmp_path / "sweeps")
    assert (folder / "README.md").read_text() == f"{readme}\nThe curve stays.\n"
    index = (tmp_path / "sweeps/README.md").read_text()
    assert index.startswith("# Sweeps\n\nWhat they are.\n\n## Results\n") and index.endswith("\n\n## Scale\n\nLarge.\n")
    assert "outdated" not in index and index.count("[curves](curves/README.md)") == len(judged)


def test_what_was_not_committed_is_not_recorded(out, tmp_path, monkeypatch):
    told = results.read_manifest(out) | {"commit": "0123abcd with changes"}
    monkeypatch.setattr(results, "read_manifest", lambda directory: told)
    with pytest.raises(results.ResultsError, match="expected a commit without changes"):
        record.record(out, tmp_path / "sweeps")
    assert not (tmp_path / "sweeps").exists()
