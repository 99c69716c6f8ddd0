"""The results directory: parts, compacted files, and what is read back."""

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from small_sweep import BLOCKS, OPTIONS

import engine
from engine import compact, reading, results, status


@pytest.fixture
def copy(undisturbed, tmp_path):
    """A copy of it."""
    return shutil.copytree(undisturbed, tmp_path / "copy")


def parts(directory):
    return sorted((directory / "parts").glob("*.parquet"))


def test_rows_are_in_the_order_of_the_plan(undisturbed):
    table = engine.load(undisturbed)
    blocks = list(dict.fromkeys(zip(table["width"].to_pylist(), table["weight_decay"].to_pylist(), strict=True)))
    assert blocks == [(width, decay) for width in (3, 4, 5) for decay in (0, 1e-3, 1e-2)]


def test_chosen_columns(undisturbed):
    table = reading.load(undisturbed, ["barrier", "t", "width"])
    assert table.column_names == ["barrier", "t", "width"]
    assert table.equals(engine.load(undisturbed).select(table.column_names))
    with pytest.raises(results.ResultsError, match="no column 'barier'; its columns are depth, width"):
        reading.load(undisturbed, ["barier"])


@pytest.mark.parametrize("compacted", [False, True], ids=["parts", "compacted"])
def test_some_blocks(copy, compacted):
    plan = [json.loads(pq.read_schema(path).metadata[results.BLOCKS])[0] for path in parts(copy)]
    second, last = (next(entry["block"] for entry in plan if entry["index"] == index) for index in (1, BLOCKS - 1))
    if compacted:
        compact.compact(copy)
    table, some = engine.load(copy), pa.concat_tables(reading.batches(copy, ["width", "loss"], blocks={last, second}))
    of_block = [
        pc.and_(pc.equal(table["width"], width), pc.equal(table["weight_decay"], decay))
        for width, decay in ((3, 1e-3), (5, 1e-2))
    ]
    assert some.equals(table.filter(pc.or_(*of_block)).select(["width", "loss"]))


def test_without_journals_the_footers_tell_the_order(copy):
    table = engine.load(copy)
    shutil.rmtree(copy / "journal")
    assert engine.load(copy).equals(table)


def test_compacted_while_it_is_read(copy, monkeypatch):
    table = engine.load(copy)
    monkeypatch.setattr(reading, "STRETCH_BYTES", 1)
    batches = reading.batches(copy)
    begun = next(batches)
    compact.compact(copy)
    read = [begun, *batches]
    assert len(read) > 1 and begun.num_rows == table.num_rows // BLOCKS
    assert pa.concat_tables(read).equals(table)


def test_all_damaged_parts_are_told(copy, monkeypatch):
    monkeypatch.setattr(reading, "STRETCH_BYTES", 1)
    damaged = {parts(copy)[1], parts(copy)[7]}
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(results.DamagedParts, match="and 1 more") as error:
        engine.load(copy)
    assert error.value.paths.keys() == damaged


def test_parts_are_ordinary_parquet_files(undisturbed):
    table = pq.read_table(undisturbed / "parts")
    assert table.num_rows == reading.load(undisturbed, controls=True).num_rows


def test_compacted_rows_are_the_same_and_so_is_the_status(copy):
    table, before = engine.load(copy), status.read(copy)
    assert compact.compact(copy) == (BLOCKS, 1)
    (path,) = parts(copy)
    assert path.name.startswith("compacted-00000000-")
    assert engine.load(copy).equals(table)
    after = status.read(copy)
    assert (after.done, after.done_blocks, after.failed) == (before.done, before.done_blocks, before.failed)
    assert compact.compact(copy) == (0, 0) and parts(copy) == [path]


def test_a_compacted_sweep_is_finished(copy):
    compact.compact(copy)
    before = {path: path.stat().st_mtime_ns for path in parts(copy)}
    engine.run("barriers", [*OPTIONS, f"out={copy}"])
    assert {path: path.stat().st_mtime_ns for path in parts(copy)} == before


def test_compacted_while_it_runs(undisturbed, tmp_path):
    """Parts before, between and after compactions; several files."""
    whole = engine.load(undisturbed)
    for shard in (2, 0, 1):
        engine.run("barriers", [*OPTIONS, f"out={tmp_path}", "shards=3", f"shard={shard}"])
        if shard != 1:
            compact.compact(tmp_path)
    assert len(parts(tmp_path)) == 2 + 3
    assert engine.load(tmp_path).equals(whole)
    compact.compact(tmp_path)
    assert len(parts(tmp_path)) == 3 and engine.load(tmp_path).equals(whole)


def test_in_several_files_and_row_groups(copy, monkeypatch):
    table = engine.load(copy)
    monkeypatch.setattr(compact, "ROWS_OF_A_FILE", table.num_rows // 2)
    monkeypatch.setattr(compact, "BYTES_OF_A_GROUP", table.nbytes // 5)
    assert compact.compact(copy)[1] == 2
    assert engine.load(copy).equals(table)
    assert pq.ParquetFile(parts(copy)[0]).num_row_groups >= 2


def test_interrupted_between_writing_and_removing(copy, monkeypatch):
    table = engine.load(copy)
    with monkeypatch.context() as patch:
        patch.setattr(compact, "_remove_parts", lambda directory: None)
        compact.compact(copy)
    assert len(parts(copy)) == BLOCKS + 1
    assert engine.load(copy).equals(table)  # each row once
    assert compact.compact(copy) == (0, 0) and len(parts(copy)) == 1


def test_a_damaged_part_stops_the_compaction_and_nothing_is_removed(copy):
    path = parts(copy)[4]
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(results.DamagedParts, match=path.name):
        compact.compact(copy)
    assert len(parts(copy)) == BLOCKS and not list(copy.glob("parts/.*.tmp"))


def test_a_directory_that_became_read_only_is_not_compacted(copy, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    table = engine.load(copy)
    with monkeypatch.context() as patch:
        patch.setattr(compact, "_copy", refuse)
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(results.CannotWrite, match=r"cannot be written \(Read-only file system\); nothing is lost"):
            compact.compact(copy)
    assert engine.load(copy).equals(table)


def test_a_damaged_compacted_file_is_computed_anew(copy):
    table = engine.load(copy)
    compact.compact(copy)
    (path,) = parts(copy)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(results.DamagedParts, match=f"{path.name}: damaged"):
        engine.load(copy)
    engine.run("barriers", [*OPTIONS, f"out={copy}"])
    assert engine.load(copy).equals(table) and len(parts(copy)) == BLOCKS


def test_command_line_of_compaction(copy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compact", str(copy)])
    compact.main()
    assert capsys.readouterr().out == f"{BLOCKS} parts in 1 files\n"
    monkeypatch.setattr(sys, "argv", ["compact", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        compact.main()
    assert stopped.value.code == 2 and "no results directory" in capsys.readouterr().err


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    results.write_atomically(path, b"old")

    def fail(*args):
        raise OSError("disk on fire")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk on fire"):
        patch.setattr(os, "fsync", fail)
        results.write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["file"]
    results.write_atomically(path, b"newer", replace=False)
    assert path.read_bytes() == b"old"


def test_a_running_sweep_without_parts_has_columns(undisturbed, copy):
    for path in parts(copy):
        path.unlink()
    assert engine.load(copy).schema.equals(engine.load(undisturbed).schema)
    assert engine.load(copy).num_rows == 0 and isinstance(engine.load(copy), pa.Table)
