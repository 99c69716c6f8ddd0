"""What goes wrong while a sweep runs: no finished row is lost, none is twice, none is wrong, and a sentence says what.

After each fault the sweep is resumed, and its table is that of an undisturbed run.
"""

import json
import os
import random
import resource
import signal
import subprocess
import time

import pytest
from small_sweep import BLOCKS, OPTIONS, SWEEP, Engine

import engine
from engine import results, status


@pytest.fixture
def out(tmp_path):
    """Where the sweep goes, beside the log."""
    return tmp_path / "out"


def parts(directory):
    return sorted((directory / "parts").glob("*.parquet"))


def resumed(out):
    """The table after resuming; nothing is left lying about."""
    engine.run("barriers", [*OPTIONS, f"out={out}"])
    assert len(parts(out)) == BLOCKS
    return engine.load(out)


def test_twenty_kills_at_random_moments(out, tmp_path):
    # about two blocks of 54 between kills: also on a machine four times as fast not all are done before the last
    small = [*OPTIONS, "block=1", "sweep.seeds=6", "sweep.relations=[rescaled]", "sweep.alignments=[none]"]
    draw, kept = random.Random(7), {}
    for _ in range(20):
        process = Engine(["+sweep=barriers", *small, f"out={out}"], tmp_path / "log")
        enough = len(kept) + draw.choice((0, 0, 1, 2))
        process.until(lambda enough=enough: len(parts(out)) >= enough and (out / "manifest.json").exists())
        time.sleep(draw.random() * 0.03)
        process.process.kill()
        assert process.wait()[0] == -signal.SIGKILL
        engine.load(out)  # what is there is sound at any moment
        now = {path: path.stat().st_mtime_ns for path in parts(out)}
        assert now.items() >= kept.items()  # no finished part is lost or written again
        kept = now
    assert 0 < len(kept) < 54
    engine.run("barriers", [*small, f"out={out}"])
    undisturbed = engine.run("barriers", [*small, f"out={tmp_path / 'undisturbed'}"])
    assert engine.load(out).equals(engine.load(undisturbed))
    assert len(parts(out)) == 54


def limit_file_size():
    """The disk is full: no file of this process may grow beyond 8 kB (a part has more, a manifest less)."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def test_no_room_for_a_part(out, tmp_path, whole):
    engine.run("barriers", [*OPTIONS, f"out={out}", "shards=3", "shard=0"])
    kept = len(parts(out))
    code, told = Engine([*SWEEP, f"out={out}"], tmp_path / "log", before=limit_file_size).wait()
    assert code == 1
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert "cannot be written (File too large)" in line and f"resume={out} goes on" in line
    assert len(parts(out)) == kept and not list(out.glob("parts/.*"))
    assert resumed(out).equals(whole)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")
def test_disk_full(out, tmp_path, whole):
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", out], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        code, told = Engine([*SWEEP, f"out={out}"], tmp_path / "log").wait()
        assert code == 1 and "cannot be written (No space left on device)" in told and "Traceback" not in told
        assert 0 < len(parts(out)) < BLOCKS
        engine.load(out)
        subprocess.run(["mount", "-o", "remount,size=16m", out], check=True)
        assert resumed(out).equals(whole)
    finally:
        subprocess.run(["umount", out], check=True)


def test_read_only_directory(out, tmp_path):
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", out], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        code, told = Engine([*SWEEP, f"out={out}/deep"], tmp_path / "log").wait()
        assert code == 2
        assert told == f"error: out={out}/deep: {out} cannot be written; expected a directory that can be written\n"
    finally:
        subprocess.run(["umount", out], check=True)


def damage_end(content):
    return content[: len(content) * 2 // 3]


def damage_bits(content):
    changed = bytearray(content)
    for place in range(1000, 1100, 7):
        changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("damage", [damage_end, damage_bits, lambda content: b""], ids=["cut", "flipped", "empty"])
def test_a_damaged_part_is_named_and_computed_anew(out, whole, damage, caplog):
    engine.run("barriers", [*OPTIONS, f"out={out}"])
    path = parts(out)[4]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(results.DamagedParts, match=f"{path.name}: damaged .*resume={out} computes the rows anew"):
        engine.load(out)
    assert resumed(out).equals(whole)
    assert "damaged and computed anew" in caplog.text


def test_out_of_memory_while_paths_are_walked(out, whole, monkeypatch, caplog):
    """An allocator that gives no more than a few pairs their room: smaller pieces, the same bits."""
    import torch

    from engine import walk

    follow, sizes = walk.follow, []

    def limited(path, *args):
        sizes.append(len(path.pairs))
        if len(path.pairs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return follow(path, *args)

    monkeypatch.setattr(walk, "follow", limited)
    engine.run("barriers", [*OPTIONS, f"out={out}"])
    assert max(sizes) > 1 and "out of memory: going on in pieces of 1 pairs" in caplog.text
    assert engine.load(out).equals(whole)


def test_out_of_memory_in_training_leaves_the_other_blocks(out, tmp_path, whole, monkeypatch):
    from engine.ending import Unfinished
    from engine.minima import trained

    find = trained.Config.find

    def limited(self, network, block, *args):
        if block.architecture.width == 5:
            raise MemoryError
        return find(self, network, block, *args)

    with monkeypatch.context() as patch, pytest.raises(Unfinished) as error:
        patch.setattr(trained.Config, "find", limited)
        engine.run("barriers", [*OPTIONS, f"out={out}"])
    assert "3 of 9 blocks did not fit into memory (out of memory: depth 2, width 5" in str(error.value)
    now = status.read(out)
    assert now.done_blocks == 6 and now.failed == {"out of memory: depth 2, width 5, relu, 2 minima": 12}
    assert resumed(out).equals(whole)


def test_nan_in_one_network_leaves_its_neighbours(out, whole, monkeypatch):
    """One network of a stack diverges: its rows say so, every other row has the same bits."""
    import torch

    from engine.network import fully_connected

    draw, calls = fully_connected.Network.random, []

    def poisoned(self, generator, *args):
        weights = draw(self, generator, *args)
        calls.append(None)
        return weights.map(lambda p: torch.full_like(p, float("nan"))) if len(calls) == 3 else weights

    monkeypatch.setattr(fully_connected.Network, "random", poisoned)
    engine.run("barriers", [*OPTIONS, f"out={out}"])
    table = engine.load(out).to_pylist()
    of_it = [row["width"] == 3 and row["weight_decay"] == 1e-3 and 0 in (row["seed"], row["seed_b"]) for row in table]
    lost = [row for row, mine in zip(table, of_it, strict=True) if mine]
    assert lost and all(row["reason"] and row["barrier"] is None for row in lost)
    assert "the training did not stay finite" in {row["reason"] for row in lost}
    others = [(row, good) for row, good, mine in zip(table, whole.to_pylist(), of_it, strict=True) if not mine]
    assert all(row == good for row, good in others)


def clock_set_back():
    """What this process calls now is an hour ago."""
    now = time.time
    time.time = lambda: now() - 3600


def test_clock_set_back(out, tmp_path, whole):
    engine.run("barriers", [*OPTIONS, f"out={out}", "shards=2", "shard=1"])
    future = time.time() + 3600
    for path in (*parts(out), *out.glob("journal/*")):
        os.utime(path, (future, future))
    code, told = Engine([*SWEEP, f"out={out}", "shards=2", "shard=0"], tmp_path / "log", before=clock_set_back).wait()
    assert code == 0, told
    assert engine.load(out).equals(whole)
    now = status.read(out)
    assert now.left == 0 and all(shard.rate >= 0 for shard in now.shards)


@pytest.mark.parametrize(
    ("signum", "code", "words"),
    [
        (signal.SIGTERM, 143, "stopped by SIGTERM: what is finished is kept, resume={out} goes on"),
        (signal.SIGINT, 130, "interrupted: what is finished is kept, resume={out} goes on"),
    ],
)
def test_signals(out, tmp_path, whole, signum, code, words):
    process = Engine([*SWEEP, "minima.steps=100", f"out={out}"], tmp_path / "log")
    process.until(lambda: len(parts(out)) >= 2)
    os.kill(process.process.pid, signum)
    found, told = process.wait()
    assert found == code and words.format(out=out) in told.splitlines() and "Traceback" not in told, told
    (path,) = out.glob("journal/*")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert events[-1]["event"] == "stop" and events[-1]["code"] == code
    begun, ended = ([e["block"] for e in events if e["event"] == name] for name in ("begin", "end"))
    assert len(parts(out)) < BLOCKS
    if signum == signal.SIGTERM:  # heard between blocks: what was begun is finished
        assert begun == ended and len(ended) == len(parts(out))
    assert Engine([f"resume={out}"], tmp_path / "log").wait()[0] == 0
    assert len(parts(out)) == BLOCKS


def test_a_block_that_takes_too_long_is_left(monkeypatch):
    from engine.ending import Interrupt, Interrupted, code_of

    with pytest.raises(Interrupted) as stopped, Interrupt(grace_s=0.05):
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(5)
    assert code_of(stopped.value) == 128 + signal.SIGUSR2
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL  # as before


def test_a_journal_that_cannot_be_written_does_not_stop_the_sweep(out, whole, caplog):
    engine.run("barriers", [*OPTIONS, f"out={out}", "shards=9", "shard=0"])
    for path in out.glob("journal/*"):
        path.unlink()
    (out / "journal").rmdir()
    (out / "journal").write_text("")  # a file where a folder should be
    engine.run("barriers", [*OPTIONS, f"out={out}"])
    assert engine.load(out).equals(whole)
    assert caplog.text.count("cannot be written") == 1
