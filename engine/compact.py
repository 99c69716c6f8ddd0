"""Many parts become a few files: ``python -m engine.compact DIR``.

A directory of ten thousand small files is slow to list, to copy and to load.  A compacted file holds the rows of many
blocks in the order of the plan and lists them in its footer; nothing is lost at any moment, and a sweep may be running.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine import journal, reading, results
from engine.seeding import digest

ROWS_OF_A_FILE = 1 << 20
BYTES_OF_A_GROUP = 1 << 24  # in memory: what is read at a time


def compact(directory: str | Path) -> tuple[int, int]:
    """Write the rows of all parts into files of about a million rows, then remove the parts.

    Args:
        directory: a results directory.

    Returns:
        How many parts were there, and into how many files they went.

    Raises:
        ResultsError: it is no results directory, or a part is damaged; then nothing is removed.
        CannotWrite: there is no room for the new file.
    """
    directory = Path(directory)
    results.read_manifest(directory)
    known = {end["block"]: end for process in journal.read(directory) for end in process.ends}
    parts = [
        (_entry(known.get(key), place.path), place.path)
        for key, place in results.stored(directory).items()
        if place.entry is None
    ]
    parts.sort(key=lambda part: part[0]["index"])
    files = 0
    for batch in _batches(parts):
        _write(directory, batch)
        files += 1
    _remove_parts(directory)
    return len(parts), files


def _entry(noted: dict[str, Any] | None, path: Path) -> dict[str, Any]:
    names = ("block", "index", "cells", "rows", "failed")
    return {name: noted[name] for name in names} if noted else results.entries(path)[0]


def _batches(parts: list) -> Iterator[list]:
    batch, rows = [], 0
    for entry, path in parts:
        batch.append((entry, path))
        rows += entry["rows"]
        if rows >= ROWS_OF_A_FILE:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _write(directory: Path, batch: list) -> None:
    """One file, whole or not at all.

    Raises:
        ResultsError: a part is damaged or gone.
        CannotWrite: there is no room.
    """
    entries = [entry for entry, _ in batch]
    name = f"{results.COMPACTED}{entries[0]['index']:08d}-{digest(blocks=[e['block'] for e in entries])[:12]}"
    path = directory / results.PARTS / f"{name}{results.SUFFIX}"
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            _copy(entries, [part for _, part in batch], file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise results.ResultsError(f"{directory}: a part is gone, as if another compaction were at work") from None
        raise results.CannotWrite(f"{path}: cannot be written ({error.strerror or error}); nothing is lost") from None
    finally:
        with contextlib.suppress(OSError):  # there is none, or nothing can be written here
            temporary.unlink()
    results.sync(path.parent)


def _copy(entries: list[dict[str, Any]], paths: list[Path], file) -> None:
    """The rows of the parts, a group at a time.

    Raises:
        DamagedParts: a part does not have the rows that were noted.
    """
    schema = pq.read_schema(paths[0]).with_metadata({results.BLOCKS: json.dumps(entries)})
    strings = [field.name for field in schema if pa.types.is_string(field.type)]  # words that repeat are written once
    options = {"compression": "zstd", "use_dictionary": strings, "write_page_checksum": True}
    with pq.ParquetWriter(file, schema, **options) as writer:
        waiting, size = [], 0
        for entry, path, table in zip(entries, paths, reading.ahead(results.read_part, paths), strict=True):
            if table.num_rows != entry["rows"]:
                raise results.DamagedParts({path: ValueError(f"{table.num_rows} rows, expected {entry['rows']}")})
            waiting.append(table)
            size += table.nbytes
            if size >= BYTES_OF_A_GROUP or path == paths[-1]:
                group = pa.concat_tables(waiting)
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
                waiting, size = [], 0


def _remove_parts(directory: Path) -> None:
    """The parts whose blocks lie in a compacted file, those that an interrupted compaction left among them."""
    for key, place in results.stored(directory).items():
        if place.entry is not None:
            with contextlib.suppress(FileNotFoundError):
                results.part_path(directory, key).unlink()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.compact", description="Many parts become a few files.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="a results directory")
    try:
        parts, files = compact(parser.parse_args().directory)
    except results.ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    print(f"{parts} parts in {files} files")


if __name__ == "__main__":
    main()
