"""A minimum that training lost is a row with its reason, whatever is measured, and takes nothing else with it."""

import json
from dataclasses import replace

import pyarrow.compute as pc
import pytest
import torch

import engine
from engine import claim
from engine.discovery import members
from engine.minima.trained import Config as Trained

OF_FOUND = sorted(name for name, member in members("measure").items() if hasattr(member, "of_found"))
LOST = "the training did not stay finite"
OPTIONS = [
    "sweep.grid.depth=[2]",
    "sweep.grid.width=[2]",
    "sweep.grid.rescaling=[10]",
    "sweep.grid.weight_decay=[0]",
    "sweep.grid.activation=[linear]",
    "sweep.relations=[]",
    "sweep.seeds=4",
    "minima.steps=20",
    "data=regression",
    "network.bias=false",
    "measure.components.learned=1",
    "measure.orbit_barrier.tries=1",
    "measure.refitted.steps=20",
    "measure.detection.planted=1",
    "loss=sse",
    "tracking=none",
]


@pytest.fixture
def lose(monkeypatch):
    """Training ends as NaN for networks with these seeds."""

    def poison(*seeds):
        find = Trained.find

        def poisoned(self, network, block, *rest):
            found = find(self, network, block, *rest)
            lost = torch.tensor([minimum.seed in seeds for minimum in block.minima])
            weights = found.weights.map(lambda p: p.where(~lost.reshape(-1, *[1] * (p.dim() - 1)), torch.nan))
            return replace(found, weights=weights, reasons=[LOST if gone else None for gone in lost.tolist()])

        monkeypatch.setattr(Trained, "find", poisoned)

    return poison


@pytest.mark.parametrize("measure", OF_FOUND)
@pytest.mark.parametrize("seeds", [(1,), (0, 1, 2), (0, 1, 2, 3)], ids=["one", "all but one", "all"])
def test_a_lost_minimum_is_a_row_with_its_reason(measure, seeds, lose, tmp_path):
    lose(*seeds)
    table = engine.load(engine.run("barriers", [*OPTIONS, f"sweep.measures=[{measure}]", f"out={tmp_path}"]))
    rows = table.filter(pc.equal(table["measure"], measure))
    lost = rows.filter(pc.equal(rows["reason"], LOST))
    assert set(lost["seed"].to_pylist()) == set(seeds)
    told = [row for row in rows.to_pylist() if not row["reason"] and row.get("pair") != "unrelated"]
    assert not set(seeds) & {row["seed"] for row in told}
    assert not set(seeds) & {row["seed_b"] for row in told}


def test_claims_say_how_many_rows_have_no_number(lose, tmp_path, capsys):
    """And rest on the others."""
    lose(1)
    grid = ["sweep.grid.activation=[relu]", "sweep.relations=[rescaled]", "sweep.measures=[disturbed]"]
    engine.run("barriers", [*OPTIONS, *grid, f"out={tmp_path}"])
    judged = {entry["name"]: entry for entry in json.loads((tmp_path / claim.CLAIMS).read_text())}
    assert judged["closed_form"]["verdict"] == "holds"
    rows = engine.load(tmp_path).filter(pc.equal(engine.load(tmp_path)["reason"], LOST))
    told = f"{rows.filter(pc.is_null(rows['measure'])).num_rows}: {LOST}"
    assert judged["closed_form"]["without_number"] == told
    assert f"rows without a number: {told}" in " ".join(capsys.readouterr().out.split())
    assert judged["chord_leaves_the_set"]["without_number"] is None
