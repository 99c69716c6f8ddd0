"""A sweep made of sweeps: their options are their own, their claims stand together."""

import json

import pytest

import engine
from engine import claim, config, plan, results, series

TINY = [
    "sweep.grid.depth=[2]",
    "sweep.grid.width=[4]",
    "sweep.grid.rescaling=[1,10]",
    "sweep.grid.weight_decay=[0]",
    "sweep.seeds=1",
    "sweep.relations=[rescaled]",
    "sweep.claims.growth_exponent.tolerance=0",
    "data=teacher",
    "minima.steps=1",
]


@pytest.fixture
def tiny(monkeypatch):
    read = config.read
    monkeypatch.setattr(series, "read", lambda overrides: read([*overrides, *TINY]))


def test_claims_of_all_sweeps_stand_together_and_one_that_fails_is_a_result(tmp_path, tiny):
    out = engine.run("paper", [f"out={tmp_path}", "tracking=none", "sweep.sweeps=[barriers]", "seed=3"])
    together = json.loads((out / claim.CLAIMS).read_text())
    assert together == json.loads((out / "barriers" / claim.CLAIMS).read_text())
    # at tolerance 0 the exponent of finite factors is not that of infinite ones
    verdicts = {entry["name"]: entry["verdict"] for entry in together}
    assert verdicts.pop("growth_exponent") == "fails" and set(verdicts.values()) == {"holds"}
    assert results.read_manifest(out / "barriers")["config"]["seed"] == 3


def test_a_finished_sweep_is_left_as_it_is(tmp_path, tiny):
    def parts():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}

    out = engine.run("paper", [f"out={tmp_path}", "tracking=none", "sweep.sweeps=[barriers]"])
    before, judged = parts(), (out / claim.CLAIMS).read_text()
    assert before
    engine.run("paper", [f"out={tmp_path}", "tracking=none", "sweep.sweeps=[barriers]"])
    assert parts() == before and (out / claim.CLAIMS).read_text() == judged


def test_options_of_the_single_sweeps_are_refused():
    with pytest.raises(config.ConfigError, match=r"minima.steps=3: sweep=paper runs the sweeps"):
        config.read(["+sweep=paper", "minima.steps=3"])
    with pytest.raises(config.ConfigError, match=r"sweep.sweeps=nowhere, expected one of"):
        config.read(["+sweep=paper", "sweep.sweeps=[nowhere]"])
    with pytest.raises(config.ConfigError, match=r"sweep.scale=ful, expected one of default, full"):
        config.read(["+sweep=paper", "sweep.scale=ful"])


def test_a_tolerance_must_belong_to_a_claim():
    with pytest.raises(config.ConfigError, match=r"sweep.claims.closed_from.*did you mean 'sweep.claims.closed_form'"):
        config.read(["+sweep=barriers", "+sweep.claims.closed_from={tolerance: 1, reason: none}"])
    with pytest.raises(config.ConfigError, match=r"gives no tolerance for growth_exponent"):
        config.read(["+sweep=barriers", "~sweep.claims.growth_exponent"])


def test_scale_chooses_between_two_sizes():
    grid = config.read(["+sweep=barriers", "sweep.scale=full", "sweep.seeds=${scale:2,9}"]).sweep
    assert grid.seeds == 9
    assert config.read(["+sweep=barriers", "sweep.seeds=${scale:2,9}"]).sweep.seeds == 2


@pytest.mark.parametrize("name", [name for name in config.sweeps() if name != "paper"])
def test_the_full_scale_of_every_sweep_is_a_larger_one(name):
    def cells(scale):
        read = config.read([f"+sweep={name}", f"sweep.scale={scale}"])
        return sum(map(len, plan.blocks(read.sweep.grid, read.sweep.seeds, read.block)))

    assert name in config.read(["+sweep=paper"]).sweep.sweeps
    assert cells("full") > cells("default")
