"""A results directory goes on where it was left, and no row depends on how the work was cut."""

import signal

import pytest
from small_sweep import BLOCKS, OPTIONS, SWEEP, Engine

import engine
from engine import results
from engine.config import ConfigError, read


def parts(directory):
    return sorted((directory / "parts").glob("*.parquet"))


def test_seven_shards_in_any_order_give_the_same_bits(tmp_path, whole):
    for shard in (5, 0, 3, 6, 1, 4, 2):
        assert engine.load(tmp_path).num_rows < whole.num_rows if shard != 5 else True
        engine.run("barriers", [*OPTIONS, f"out={tmp_path}", "shards=7", f"shard={shard}"])
    assert engine.load(tmp_path).equals(whole)
    assert len(parts(tmp_path)) == BLOCKS


def test_blocks_computed_in_another_order_and_company_give_the_same_bits(tmp_path, whole):
    engine.run("barriers", [*OPTIONS, f"out={tmp_path}"])
    for lost in parts(tmp_path)[::2]:
        lost.unlink()
    engine.run("barriers", [*OPTIONS, f"out={tmp_path}"])
    assert engine.load(tmp_path).equals(whole)


def test_killed_in_the_middle_and_resumed(tmp_path, whole):
    out = tmp_path / "out"
    first = Engine([*SWEEP, f"out={out}"], tmp_path / "log")
    first.until(lambda: len(parts(out)) >= 3)
    first.process.kill()
    assert first.wait()[0] == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in parts(out)}
    assert 3 <= len(kept) < BLOCKS
    running = engine.load(out)
    assert 0 < running.num_rows < whole.num_rows and running.schema.equals(whole.schema)

    code, told = Engine([f"resume={out}"], tmp_path / "log").wait()
    assert code == 0 and told.splitlines()[-1] == f"results: {out}"
    assert engine.load(out).equals(whole)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())  # not written again


def test_resume_takes_the_recorded_options_and_the_incidental_ones_of_the_line(tmp_path):
    engine.run("barriers", [*OPTIONS, f"out={tmp_path}", "seed=3", "shards=3", "shard=1"])
    config = read([f"resume={tmp_path}"])
    assert (config.seed, config.block, config.data.name, config.minima.steps) == (3, 2, "regression", 5)
    assert (config.out, config.shards, config.shard) == (str(tmp_path), 1, None)
    config = read([f"resume={tmp_path}", "shards=4", "shard=3", "device=cpu", "memory_gb=2"])
    assert (config.seed, config.shards, config.shard, config.device, config.memory_gb) == (3, 4, 3, "cpu", 2)


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (["seed=4"], ["seed cannot stand beside resume="]),
        (["+sweep=barriers"], ["sweep cannot stand beside resume="]),
        (["data=digits"], ["data cannot stand beside resume="]),
        (["out=elsewhere"], ["out=elsewhere", "the same directory or none"]),
        (["shards=2", "shard=2"], ["shard=2", "0 … 1"]),
    ],
    ids=lambda value: value[0],
)
def test_what_cannot_stand_beside_resume(undisturbed, beside, words):
    with pytest.raises(ConfigError) as error:
        read([f"resume={undisturbed}", *beside])
    assert all(word in str(error.value) for word in words)


def test_resume_of_what_is_no_results_directory(tmp_path):
    with pytest.raises(ConfigError, match=r"resume=.*nothing: no results directory \(manifest.json is missing\)"):
        read([f"resume={tmp_path / 'nothing'}"])
    assert not (tmp_path / "nothing").exists()


def test_another_sweep_is_refused_and_named(undisturbed):
    before = sorted(undisturbed.rglob("*"))
    with pytest.raises(results.ResultsError, match=r"another sweep \(minima.steps: 5 there, 6 here; seed: 0 there, 1"):
        engine.run("barriers", [*OPTIONS, f"out={undisturbed}", "seed=1", "minima.steps=6"])
    assert sorted(undisturbed.rglob("*")) == before


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(results.ResultsError, match=r"no results directory \(it has thesis.tex\)"):
        engine.run("barriers", [*OPTIONS, f"out={tmp_path}"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
