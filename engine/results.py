"""The results directory: a manifest, and one Parquet part per block, written whole or not at all; no torch."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MANIFEST = "manifest.json"
PARTS = "parts"

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
REASON = {"reason": pa.string()}


class ResultsError(Exception):
    """A results directory that cannot be used as asked; one sentence."""


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
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def schema(*measured: Mapping[str, pa.DataType]) -> pa.Schema:
    """The columns of a sweep's rows: axes, pair and path, what was measured, and the reason of what was not."""
    columns = dict(BASE_COLUMNS)
    for more in measured:
        columns |= more
    return pa.schema(list((columns | REASON).items()))


def part_path(directory: Path, key: str) -> Path:
    """Where the part of a block lies."""
    return directory / PARTS / f"{key}.parquet"


def write_part(directory: Path, key: str, index: int, table: pa.Table) -> None:
    """Store the rows of a finished block; ``index`` is its place in the plan."""
    buffer = pa.BufferOutputStream()
    marked = table.replace_schema_metadata({b"isoloss.block": key.encode(), b"isoloss.index": str(index).encode()})
    pq.write_table(marked, buffer, compression="zstd", write_page_checksum=True)
    write_atomically(part_path(directory, key), buffer.getvalue().to_pybytes())


def read_part(path: Path) -> pa.Table:
    """The rows of a part, its checksums verified.

    Raises:
        ResultsError: the file is cut short or damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise ResultsError(f"{path}: the part is damaged ({first}); run again with resume to compute it anew") from None


def finished(directory: Path, keys: Iterable[str]) -> tuple[set[str], set[str]]:
    """Of the blocks named, those whose part is sound, and those whose part is damaged."""
    present = [key for key in keys if part_path(directory, key).is_file()]

    def sound(key):
        try:
            read_part(part_path(directory, key))
        except ResultsError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        verdicts = dict(zip(present, pool.map(sound, present), strict=True))
    return {key for key, good in verdicts.items() if good}, {key for key, good in verdicts.items() if not good}


def load(directory: str | Path, *, controls: bool = False) -> pa.Table:
    """All rows of a finished or running sweep, in the order of its plan.

    Args:
        directory: a results directory.
        controls: also the rows in which something was altered so that a claim must fail.

    Returns:
        One row per cell, pair, path and split; empty, with its columns, where nothing is finished yet.

    Raises:
        ResultsError: there is no manifest, or a part is damaged.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    paths = sorted((directory / PARTS).glob("*.parquet")) if (directory / PARTS).is_dir() else []
    with ThreadPoolExecutor() as pool:
        tables = list(pool.map(read_part, paths))
    tables.sort(key=lambda table: int(table.schema.metadata[b"isoloss.index"]))
    empty = pa.schema([(name, _type(text)) for name, text in manifest["columns"].items()]).empty_table()
    table = pa.concat_tables([empty, *(table.replace_schema_metadata(None) for table in tables)]).combine_chunks()
    return table if controls else without_controls(table)


def without_controls(table: pa.Table) -> pa.Table:
    """The rows that belong to no control."""
    return table.filter(pc.is_null(table["control"]))


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
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ResultsError(f"{directory}: no results directory ({MANIFEST} is missing)") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error})") from None


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
