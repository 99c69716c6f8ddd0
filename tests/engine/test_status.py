"""What ``python -m engine.status`` says of a sweep at every stage."""

import json
import os
import signal
import sys

import pytest
from small_sweep import OPTIONS, SWEEP, Engine

import engine
from engine import status


def run(capsys, monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", ["status", *map(str, argv)])
    code = 0
    try:
        status.main()
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_running_sweep_then_a_killed_one_then_a_finished_one(tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    process = Engine([*SWEEP, "minima.steps=300", f"out={out}", "shards=2", "shard=1"], tmp_path / "log")
    process.until(lambda: len(list(out.glob("parts/*.parquet"))) >= 2)
    os.kill(process.process.pid, signal.SIGSTOP)  # so that the numbers do not move
    now = status.read(out)
    assert (now.cells, now.blocks) == (36, 9)
    assert now.done == 4 * now.done_blocks >= 8 and now.running in (0, 4)
    assert now.left == 36 - now.done - now.running and now.rate > 0 and now.remaining_s > 0
    (shard,) = now.shards
    assert (shard.number, shard.of, shard.blocks) == (1, 2, 4)
    assert shard.done in (now.done_blocks - 1, now.done_blocks)  # the part is there before the journal says so
    assert shard.state == "running"
    process.process.kill()
    process.wait()
    now = status.read(out)
    assert now.running == 0 and now.rate == 0 and now.remaining_s is None and now.shards[0].state == "dead"
    assert "shard    1 of 2" in run(capsys, monkeypatch, out)[1]
    for shard in (0, 1):
        assert Engine([f"resume={out}", "shards=2", f"shard={shard}"], tmp_path / "log").wait()[0] == 0
    code, told, _ = run(capsys, monkeypatch, out, "--watch", "0.1")  # ends by itself
    assert code == 0 and "36 of 36 done (100%), 0 running, 0 left" in told
    assert "shard    0 of 2: 5/5 blocks, done\nshard    1 of 2: 4/4 blocks, done" in told


def test_reasons_are_counted_and_what_is_not_applicable_has_not_failed(tmp_path, monkeypatch):
    from engine.minima import trained

    find = trained.Config.find

    def lose_the_first(self, *args):
        found = find(self, *args)
        found.reasons[0] = "training diverged: lost on purpose"
        return found

    monkeypatch.setattr(trained.Config, "find", lose_the_first)
    engine.run("barriers", [*OPTIONS, f"out={tmp_path}", "sweep.grid.activation=[tanh]", "sweep.paths=[linear]"])
    now = status.read(tmp_path)
    assert now.done == 36 and set(now.failed) == {"training diverged: lost on purpose"}
    assert "failed" in status.describe(now) and "not applicable" not in status.describe(now)


def test_without_journals_the_parts_still_tell(tmp_path):
    engine.run("barriers", [*OPTIONS, f"out={tmp_path}"])
    before = status.read(tmp_path)
    for path in tmp_path.glob("journal/*"):
        path.unlink()
    after = status.read(tmp_path)
    assert (after.done, after.done_blocks, after.failed) == (before.done, before.done_blocks, before.failed)


def test_a_line_cut_off_in_the_middle_is_passed_over(tmp_path):
    engine.run("barriers", [*OPTIONS, f"out={tmp_path}", "shards=3", "shard=0"])
    (path,) = tmp_path.glob("journal/*")
    path.write_bytes(path.read_bytes()[:-30])
    assert status.read(tmp_path).done_blocks == 3
    assert status.read(tmp_path).shards[0].state == "running"  # its last word is lost, and this process is alive
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()[:-1]]
    assert events == ["start", *["begin", "end"] * 3]


def test_no_results_directory(tmp_path, capsys, monkeypatch):
    code, out, err = run(capsys, monkeypatch, tmp_path)
    assert (code, out) == (2, "") and err == f"error: {tmp_path}: no results directory (manifest.json is missing)\n"


@pytest.mark.parametrize("seconds, words", [(3, "3 s"), (125, "2 min 5 s"), (7260, "2 h 1 min")])
def test_durations(seconds, words):
    assert status._duration(seconds) == words
