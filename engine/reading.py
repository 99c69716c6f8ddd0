"""The rows of a results directory in the order of the plan: all of them, or some blocks or columns; no torch."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine import journal, results

STRETCH_BYTES = 1 << 19  # parts that are read at a time: what they leave behind stays in a core's cache
READERS = 8  # threads at most: more only wait for the disk, and each holds what it has read


def load(directory: str | Path, columns: Sequence[str] | None = None, *, controls: bool = False) -> pa.Table:
    """All rows of a finished or running sweep, in the order of its plan.

    Args:
        directory: a results directory.
        columns: the columns to read; None for all.
        controls: also the rows in which something was altered so that a claim must fail.

    Returns:
        One row per cell, pair, path and split; empty, with its columns, where nothing is finished yet.

    Raises:
        results.ResultsError: there is no manifest, a column does not exist, or a part is damaged.
    """
    fields = results.read_schema(Path(directory))
    if columns is not None:
        for name in columns:
            if name not in fields.names:
                raise results.ResultsError(
                    f"{directory} has no column {name!r}; its columns are {', '.join(fields.names)}"
                )
        fields = pa.schema([fields.field(name) for name in columns])
    return pa.concat_tables([fields.empty_table(), *batches(Path(directory), columns, controls=controls)])


def batches(
    directory: Path,
    columns: Sequence[str] | None = None,
    *,
    controls: bool = False,
    blocks: Collection[str] | None = None,
) -> Iterator[pa.Table]:
    """The rows in the order of the plan, so many blocks at a time that a batch is a few megabytes.

    Args:
        directory: a results directory.
        columns: the columns to read; None for all.
        controls: also the rows of controls.
        blocks: the keys of the blocks to read; None for all.

    Yields:
        Tables of whole blocks.

    Raises:
        results.DamagedParts: all files that are.
    """
    names = results.read_schema(directory).names if columns is None else columns
    wanted = columns if columns is None or controls else {*columns, results.CONTROL}
    # the footers of a few blocks are less than all journals
    noted = {} if blocks else {end["block"]: end for process in journal.read(directory) for end in process.ends}
    last, damaged = -1, {}
    while True:
        try:
            for stretch, found in _in_order(_stretches(directory, noted, blocks, last), wanted):
                if isinstance(found, results.DamagedParts):
                    damaged |= found.paths
                elif not damaged:
                    found = found if controls else results.without_controls(found)
                    yield found.select(names).replace_schema_metadata(None)
                    last = stretch.last
            break
        except FileNotFoundError:
            continue  # compacted meanwhile
    if damaged:
        raise results.DamagedParts(damaged)


@dataclass
class _Stretch:
    """Blocks that follow each other in the plan and lie side by side: in parts, or in a group of a compacted file."""

    paths: list[Path]
    last: int  # the index of the last block
    bytes: int = 0  # of the parts
    footer: pq.FileMetaData | None = None  # of the compacted file
    group: int = 0
    start: int = 0  # rows of the group
    stop: int = 0

    @property
    def source(self) -> tuple[Path, int]:
        """What is read at once."""
        return self.paths[0], self.group


def _stretches(directory: Path, noted: Mapping[str, Any], blocks: Collection[str] | None, after: int) -> list[_Stretch]:
    """Where the blocks lie whose index is above ``after``, in the order of the plan.

    Raises:
        results.DamagedParts: a footer cannot be read, or does not fit its file.
    """
    places = {key: place for key, place in results.stored(directory).items() if blocks is None or key in blocks}
    told = {key: place.entry or noted.get(key) for key, place in places.items()}
    untold = [key for key, entry in told.items() if entry is None]
    told |= zip(untold, (of[0] for of in ahead(results.entries, [places[key].path for key in untold])), strict=True)
    footers = {path: _footer(path) for path in {place.path for place in places.values() if place.entry}}
    found: list[_Stretch] = []
    for key in sorted(places, key=lambda key: told[key]["index"]):
        path, index, before = places[key].path, told[key]["index"], found[-1] if found else None
        if index <= after:
            continue
        if path not in footers:
            size = told[key].get("bytes", STRETCH_BYTES)
            if before and before.footer is None and before.bytes + size <= STRETCH_BYTES:
                before.paths.append(path)
                before.bytes, before.last = before.bytes + size, index
            else:
                found.append(_Stretch([path], index, size))
        elif rows := told[key]["rows"]:
            footer, bounds = footers[path]
            group = bisect_right(bounds, places[key].start) - 1
            start = places[key].start - bounds[group]
            stop = start + rows
            if places[key].start + rows > bounds[min(group + 1, len(bounds) - 1)]:
                raise results.DamagedParts({path: ValueError("its footer lists other rows than it has")})
            if before and before.source == (path, group) and before.stop == start:
                before.stop, before.last = stop, index
            else:
                found.append(_Stretch([path], index, 0, footer, group, start, stop))
    return found


def _footer(path: Path) -> tuple[pq.FileMetaData, list[int]]:
    """The footer of a compacted file; where its row groups begin, and its end.  Every block lies in one of them."""
    with results.naming(path):
        footer = pq.read_metadata(path)
    rows = (footer.row_group(i).num_rows for i in range(footer.num_row_groups))
    return footer, list(accumulate(rows, initial=0))


def _in_order(stretches: list[_Stretch], columns: Collection[str] | None) -> Iterator[tuple[_Stretch, Any]]:
    """Read what is needed next, each part and each row group once.

    Yields:
        A stretch with its rows, or with ``DamagedParts``.
    """
    together: dict[tuple[Path, int], list[_Stretch]] = {}  # in the order in which they are needed first
    for stretch in stretches:
        together.setdefault(stretch.source, []).append(stretch)
    found = ahead(lambda of_it: _read(of_it, columns), together.values())
    read: dict[tuple[Path, int], deque] = {}
    for stretch in stretches:
        if stretch.source not in read:
            read[stretch.source] = deque(next(found))
        yield stretch, read[stretch.source].popleft()


def _read(stretches: list[_Stretch], columns: Collection[str] | None) -> list[pa.Table | results.DamagedParts]:
    """The rows of stretches that have one source; an error stands in their place."""
    if stretches[0].footer is None:
        return [_read_parts(stretches[0].paths, columns)]
    try:
        return _read_group(stretches, columns)
    except results.DamagedParts as error:
        return [error] * len(stretches)


def _read_parts(paths: list[Path], columns: Collection[str] | None) -> pa.Table | results.DamagedParts:
    tables, damaged = [], {}
    for path in paths:
        try:
            tables.append(results.read_part(path, columns))
        except results.DamagedParts as error:
            damaged |= error.paths
    # what reading a part leaves behind is twice its rows
    return results.DamagedParts(damaged) if damaged else pa.concat_tables(tables).combine_chunks()


def _read_group(stretches: list[_Stretch], columns: Collection[str] | None) -> list[pa.Table]:
    """The rows of stretches of a row group, which is read in steps as small as parts; the rest is not kept.

    Raises:
        results.DamagedParts: its bytes have changed.
    """
    (path, group), footer = stretches[0].source, stretches[0].footer
    whole = footer.row_group(group)
    chosen = {"row_groups": [group], "columns": columns and list(columns), "use_threads": False}
    kept, at = [[] for _ in stretches], 0
    with (
        results.naming(path),
        pq.ParquetFile(path, metadata=footer, page_checksum_verification=True, pre_buffer=False) as file,
    ):
        for step in file.iter_batches(max(1, STRETCH_BYTES * whole.num_rows // whole.total_byte_size), **chosen):
            for stretch, found in zip(stretches, kept, strict=True):
                start, stop = max(stretch.start - at, 0), min(stretch.stop - at, step.num_rows)
                if start < stop:
                    found.append(step.slice(start, stop - start))
            at += step.num_rows
        return [pa.Table.from_batches(found).combine_chunks() for found in kept]


def ahead(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """As ``map``, by threads that are no more than a few items ahead of whoever takes what comes.

    Yields:
        What the function gives for each item, in their order.
    """
    threads = min(len(os.sched_getaffinity(0)), READERS)
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
