"""A sweep made of sweeps: their options are their own, their claims stand together."""

import json
import signal
import time
from pathlib import Path

import pytest
from small_sweep import OPTIONS, Engine

import engine
from engine import claim, config, journal, plan, processes, results, series

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
read = config.read


@pytest.fixture
def tiny(monkeypatch):
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


FOUR = ["sweep.grid.width=[3,4,5,6]", "sweep.seeds=1"]
SMALL = {
    "permutation": ["sweep.grid.depth=[2]", "sweep.grid.width=[1,2]", "sweep.seeds=2", "sweep.figures=[]"],
    # twelve blocks, six to each process; the other options are those of the series
    "barriers": [*(o for o in OPTIONS if o not in ("tracking=none", "block=2")), *FOUR],
}


def small_sweeps():
    """Two sweeps of the series, each of a second."""
    series.read = lambda overrides: read([*overrides, *SMALL[overrides[0].removeprefix("+sweep=")]])


def small_sweeps_and_a_kill():
    """As well, and the second process of barriers is killed as soon as it computes."""
    small_sweeps()
    start = processes._start

    def killing(shard, *args):
        process = start(shard, *args)
        if (shard.sweep.name, shard.shard) == ("barriers", 1):
            while not any(of.start["pid"] == process.pid and of.begin for of in journal.read(Path(shard.out))):
                time.sleep(0.005)
            process.kill()
        return process

    processes._start = killing


def test_over_several_processes_and_after_one_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(series, "read", series.read)  # as it was, afterwards
    small_sweeps()
    options = ["tracking=none", "sweep.sweeps=[permutation,barriers]", "block=1"]
    whole, out = engine.run("paper", [*options, f"out={tmp_path / 'whole'}"]), tmp_path / "out"

    def launch(before):
        command = ["-m", "+sweep=paper", *options, "+cluster=local", "cluster.shards=2", f"out={out}"]
        return Engine(command, tmp_path / "log", before=before).wait()

    def started(name):
        return [of.start["shard"] for of in journal.read(out / name) if of.start["shards"] == 2]

    code, told = launch(small_sweeps_and_a_kill)
    assert code == 128 + signal.SIGKILL and "error: shard 1: killed by signal 9" in told and "Traceback" not in told
    assert engine.load(out / "permutation").equals(engine.load(whole / "permutation"))
    assert engine.load(out / "barriers").num_rows < engine.load(whole / "barriers").num_rows
    code, told = launch(small_sweeps)
    assert code == 0 and told.splitlines()[-1] == f"results: {out}", told
    for name in ("permutation", "barriers"):
        assert engine.load(out / name).equals(engine.load(whole / name))
    assert (out / claim.CLAIMS).read_text() == (whole / claim.CLAIMS).read_text()
    assert (out / "report.html").exists() and not (out / "jobs").exists()
    # what was finished did not start again
    assert sorted(started("permutation")) == [0, 1] and sorted(started("barriers")) == [0, 1, 1]


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


@pytest.fixture(scope="module")
def in_series():
    return config.read(["+sweep=paper"]).sweep.sweeps


@pytest.mark.parametrize("name", [name for name in config.sweeps() if name != "paper"])
def test_the_full_scale_of_every_sweep_is_a_larger_one(name, in_series):
    def cells(scale):
        read = config.read([f"+sweep={name}", f"sweep.scale={scale}"])
        return sum(map(len, plan.blocks(read.sweep.grid, read.sweep.seeds, read.block)))

    assert name in in_series
    assert cells("full") > cells("default")
