"""The results directory: a manifest, and one Parquet part per block, written whole or not at all; no torch."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.types import AXES, NOT_APPLICABLE

MANIFEST = "manifest.json"
PARTS = "parts"
SUFFIX = ".parquet"
BLOCKS = b"isoloss.blocks"  # in the footer of a file: what is known of its blocks, in the order of their rows
COMPACTED = "compacted-"  # how the names of files with many blocks begin; those of parts are hexadecimal

BASE_COLUMNS = {
    "depth": pa.int64(),
    "width": pa.int64(),
    "activation": pa.string(),
    "skip": pa.float64(),
    "rescaling": pa.float64(),  # null where the relation has no factor
    "weight_decay": pa.float64(),
    "seed": pa.int64(),
    "seed_b": pa.int64(),
    "relation": pa.string(),
    "per_neuron": pa.bool_(),
    "path": pa.string(),
    "alignment": pa.string(),
    "split": pa.string(),
    "measure": pa.string(),  # that made the row; null for the sweep's own pairs
    "control": pa.string(),  # what was altered so that a claim must fail; null in all other rows
}
CONTROL = "control"
REASON = {"reason": pa.string()}


class ResultsError(Exception):
    """A results directory that cannot be used as asked; one sentence."""

    code = 2  # of the process that ends with it


class CannotWrite(ResultsError):
    """A results directory that could be written and no longer can: nothing was asked wrongly."""

    code = 1


class DamagedParts(ResultsError):
    """Files of a results directory that are cut short, or whose checksums do not fit."""

    def __init__(self, paths: Mapping[Path, Exception]):
        first, error = next(iter(sorted(paths.items())))
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        told = next(iter(str(error).splitlines()), type(error).__name__)
        super().__init__(f"{first}{more}: damaged ({told}); resume={first.parent.parent} computes the rows anew")
        self.paths = dict(paths)


def write_atomically(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file that is either absent, the old one or the whole new one, whatever happens.

    Args:
        path: the file; its directory is made.
        content: all of it.
        replace: if false, a file that is there already stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name that starts with a dot and ends otherwise than the parts is seen by nobody
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def is_temporary(name: str) -> bool:
    """Whether ``write_atomically`` gave a file this name: of a process at work, or of one that was killed."""
    return name.startswith(".") and name.endswith(".tmp")


def sync(directory: Path) -> None:
    """Have the names in a directory on the disk, not only the files."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def schema(*measured: Mapping[str, pa.DataType]) -> pa.Schema:
    """The columns of a sweep's rows: axes, pair and path, what was measured, and the reason of what was not."""
    columns = dict(BASE_COLUMNS)
    for more in measured:
        columns |= more
    return pa.schema(list((columns | REASON).items()))


def part_path(directory: Path, key: str) -> Path:
    """Where the part of a block lies."""
    return directory / PARTS / f"{key}{SUFFIX}"


def entry(key: str, index: int, cells: int, table: pa.Table) -> dict[str, Any]:
    """What is worth knowing of a finished block without reading its rows; kept in the footer of its part.

    Args:
        key: the block's.
        index: its place in the plan.
        cells: how many it has.
        table: its rows.

    Returns:
        Plain values by name.
    """
    return {"block": key, "index": index, "cells": cells, "rows": table.num_rows, "failed": failures(table)}


def failures(table: pa.Table) -> dict[str, int]:
    """How many minima, paths or cells have no number, by reason."""
    axes = [*AXES, "reason"]
    return by_reason(without_number(table).select(axes).group_by(axes).aggregate([]))


def without_number(table: pa.Table) -> pa.Table:
    """The rows that say why they have no number; what is not applicable has none to lose."""
    return table.filter(_failed(table))


def with_number(table: pa.Table) -> pa.Table:
    """All other rows."""
    return table.filter(pc.invert(_failed(table)))


def _failed(table: pa.Table):
    reasons = table["reason"]
    return pc.and_kleene(pc.is_valid(reasons), pc.invert(pc.starts_with(reasons, NOT_APPLICABLE)))


def by_reason(table: pa.Table) -> dict[str, int]:
    """How many rows have each reason."""
    return {str(count["values"]): count["counts"].as_py() for count in pc.value_counts(table["reason"])}


def write_part(directory: Path, entry: Mapping[str, Any], table: pa.Table) -> int:
    """Store the rows of a finished block.

    Args:
        directory: the results directory.
        entry: what ``entry`` gives for it.
        table: its rows.

    Returns:
        The length of the file in bytes.

    Raises:
        CannotWrite: the disk is full, or the directory cannot be written any more.
    """
    buffer = pa.BufferOutputStream()
    # ten thousand parts are read by what they have besides bytes, for each column: no dictionaries, no schema beside
    # Parquet's own, and no zstd, which takes longer to set up than to run
    bare = {"use_dictionary": False, "write_statistics": False, "store_schema": False, "compression": "lz4"}
    with pq.ParquetWriter(buffer, table.schema, **bare, write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({BLOCKS: json.dumps([entry])})
    content = buffer.getvalue()
    try:
        write_atomically(part_path(directory, entry["block"]), content)
    except OSError as error:
        raise CannotWrite(
            f"{directory}: the part of block {entry['block'][:8]} cannot be written ({error.strerror or error}); "
            f"what is finished is kept, and resume={directory} goes on"
        ) from None
    return content.size


def without_controls(table: pa.Table) -> pa.Table:
    """The rows that belong to no control."""
    control = table[CONTROL]
    return table if control.null_count == len(control) else table.filter(pc.is_null(control))


@dataclass(frozen=True)
class Place:
    """Where the rows of a block lie."""

    path: Path
    entry: dict[str, Any] | None = None  # None for a part of its own, where the file says it
    start: int = 0  # its first row


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever cannot be read in a file is damage to it, unless the file is gone, compacted meanwhile.

    Raises:
        FileNotFoundError: it is.
        DamagedParts: in place of whatever else was raised.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedParts({path: error}) from None


def entries(path: Path) -> list[dict[str, Any]]:
    """The blocks of a part or a compacted file, from its footer alone.

    Raises:
        FileNotFoundError: it is gone, compacted meanwhile.
        DamagedParts: the footer cannot be read.
    """
    with naming(path):
        return json.loads(pq.read_schema(path).metadata[BLOCKS])


def stored(directory: Path) -> dict[str, Place]:
    """The blocks whose rows are there, by key; parts are found by name, blocks of a compacted file in its footer.

    A block that lies in a compacted file and, after an interruption, still as a part is found in the first.

    Raises:
        DamagedParts: the footer of a compacted file cannot be read.
    """
    places: dict[str, Place] = {}
    compacted = []
    try:
        names = os.listdir(directory / PARTS)
    except FileNotFoundError:
        return {}
    for name in names:
        if name.startswith(".") or not name.endswith(SUFFIX):
            continue
        path = directory / PARTS / name
        if name.startswith(COMPACTED):
            compacted.append(path)
        else:
            places[name.removesuffix(SUFFIX)] = Place(path)
    try:
        for path in sorted(compacted):
            start = 0
            for entry in entries(path):
                places[entry["block"]] = Place(path, entry, start)
                start += entry["rows"]
    except FileNotFoundError:
        return stored(directory)  # another process has set it aside
    return places


class _Whole(pq.ParquetFile):
    """A part of which all columns are read: pyarrow need not list them by name, a tenth of the time for a part."""

    def _build_nested_paths(self) -> dict[str, list[int]]:
        return {}


def read_part(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """The rows of a part, its checksums verified; one thread.

    Raises:
        FileNotFoundError: it is gone, compacted meanwhile.
        DamagedParts: the file is cut short or its bytes have changed.
    """
    with naming(path):
        options = {"page_checksum_verification": True, "pre_buffer": False}
        if columns:
            with pq.ParquetFile(path, **options) as file:
                return file.read(columns=list(columns), use_threads=False)
        with open(path, "rb", buffering=0) as file:
            content = file.read()  # all columns at once: the reader would ask the file system for each of them
        with _Whole(pa.BufferReader(content), **options) as file:
            return file.read(use_threads=False)


def finished(directory: Path, keys: Collection[str], sizes: Mapping[str, int]) -> tuple[set[str], set[Path]]:
    """Which blocks need not be computed again.

    A part as long as its journal says was written whole and is not read: flipped bits are found when its rows are.

    Args:
        directory: the results directory.
        keys: of the blocks in question.
        sizes: bytes of the parts, as their writers noted them; parts that are not listed are read.

    Returns:
        The keys of the blocks that are there, and the files that are damaged.
    """
    places = {key: place for key, place in stored(directory).items() if key in keys}
    doubtful = [
        (key, place.path)
        for key, place in places.items()
        if place.entry is None and os.stat(place.path).st_size != sizes.get(key)
    ]

    def damaged(entry):
        try:
            read_part(entry[1])
        except DamagedParts:
            return True
        return False

    with ThreadPoolExecutor() as pool:
        bad = {entry for entry, is_bad in zip(doubtful, pool.map(damaged, doubtful), strict=True) if is_bad}
    return places.keys() - {key for key, _ in bad}, {path for _, path in bad}


def set_aside(path: Path) -> None:
    """Take a damaged file out of the results, under a name that nobody reads."""
    with contextlib.suppress(FileNotFoundError):  # another process found it too
        path.replace(path.with_name(f".{path.name}.damaged"))


def _type(text: str) -> pa.DataType:
    if text.startswith("list<"):
        return pa.list_(_type(text.removeprefix("list<").removesuffix(">").split(": ")[1]))
    return pa.type_for_alias(text)


def read_manifest(directory: Path) -> dict[str, Any]:
    """What was recorded before the sweep began.

    Raises:
        ResultsError: there is none, or it is damaged.
    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise ResultsError(f"{directory}: no results directory ({MANIFEST} is missing)") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error})") from None
    if not isinstance(manifest, dict) or "config" not in manifest:
        raise ResultsError(f"{path}: cannot be read (there is no configuration in it)")
    return manifest


def read_schema(directory: Path) -> pa.Schema:
    """The columns of a sweep's rows, as they were recorded."""
    known = read_manifest(directory)["columns"]
    return pa.schema([(name, _type(text)) for name, text in known.items()])


def scalar_columns(directory: Path) -> list[str]:
    """The columns that are no lists: without the curves a row has a tenth of its size."""
    return [field.name for field in read_schema(directory) if not pa.types.is_list(field.type)]


def write_manifest(directory: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest unless there is one, and return the one that is there: of several processes one writes."""
    write_atomically(directory / MANIFEST, json.dumps(manifest, indent=2).encode(), replace=False)
    return read_manifest(directory)


def flatten(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Dotted names of the leaves."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{at}{key}.")
        else:
            flat[f"{at}{key}"] = value
    return flat
