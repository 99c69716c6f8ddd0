"""Which options make two configurations different sweeps, and which directories take one."""

import functools
import json
from pathlib import Path

import pytest

from engine import config, manifest, results

OPTIONS = ["+sweep=barriers", "tracking=none", "out=here"]


@functools.cache
def recorded(*options):
    return config.recorded(config.read([*OPTIONS, *options]))


@pytest.mark.parametrize("same", ["out=there", "shards=3 shard=1", "device=cpu", "memory_gb=1", "dry=true"])
def test_where_and_how_it_runs_makes_no_other_sweep(same):
    assert not manifest.differences(recorded(*same.split()), recorded())


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("seed=1", "seed"),
        ("sweep.seeds=5", "sweep.seeds"),
        ("sweep.grid.width=[8]", "sweep.grid.width"),
        ("precision=float32", "precision"),
        ("minima.steps=7", "minima.steps"),
        ("data=teacher", "data.name"),
        ("symmetry.permutation.starts=2", "symmetry.permutation.starts"),
        ("measure.growth.factors=[2,9]", "measure.growth.factors"),
    ],
)
def test_what_rows_follow_from_does(other, name):
    assert name in manifest.differences(recorded(other), recorded())


def test_options_of_a_measure_that_is_not_used_do_not():
    ours, theirs = recorded("sweep.measures=[]", "measure.growth.factors=[2,9]"), recorded("sweep.measures=[]")
    assert not manifest.differences(ours, theirs)
    older = theirs | {"measure": {name: of for name, of in theirs["measure"].items() if name != "growth"}}
    assert not manifest.differences(ours, older)


def test_processes_that_open_a_directory_at_once(tmp_path, monkeypatch):
    listing = Path.iterdir

    def another_writes_its_manifest(directory):
        (directory / results.MANIFEST).write_text(json.dumps({"config": recorded()}))
        return listing(directory)

    monkeypatch.setattr(Path, "iterdir", another_writes_its_manifest)
    manifest.examine(tmp_path, config.read(OPTIONS))


def test_a_manifest_that_is_being_written_is_nothing_yet(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / ".manifest.json.17163-0bf892dd.tmp").write_text("{")
    manifest.examine(tmp_path, config.read(OPTIONS))
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(results.ResultsError, match=r"it has thesis\.tex"):
        manifest.examine(tmp_path, config.read(OPTIONS))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"confih": {}}'])
def test_a_damaged_manifest_is_said_to_be_one(content, tmp_path):
    (tmp_path / results.MANIFEST).write_text(content)
    with pytest.raises(results.ResultsError, match=r"manifest\.json: cannot be read"):
        manifest.examine(tmp_path, config.read(OPTIONS))
