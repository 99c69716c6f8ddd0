"""A sweep of a million cells, simulated: ``python -m engine.bench_results [--parts N] [--record FILE]``.

The rows are random numbers in the columns of a real sweep, one row a cell with its curves, in parts of a hundred cells.
What is timed is the engine's own code on them, each step in a process of its own, whose largest memory is told with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

POINTS = 21
MINIMA, FACTORS = 20, 5  # of a block: a hundred cells
BLOCKS_OF_AN_ARCHITECTURE = 100


def configuration(directory: Path, parts: int):
    """The configuration of a sweep of so many blocks of a hundred cells."""
    from engine import config

    architectures = -(-parts // BLOCKS_OF_AN_ARCHITECTURE)
    seeds = MINIMA * min(parts, BLOCKS_OF_AN_ARCHITECTURE)
    return config.read([
        "+sweep=barriers",
        "data=regression",
        "sweep.grid.depth=[2]",
        f"sweep.grid.width=[{','.join(map(str, range(2, 2 + architectures)))}]",
        "sweep.grid.weight_decay=[0]",
        "sweep.grid.rescaling=[1,2,10,100,1000]",
        f"sweep.seeds={seeds}",
        f"block={MINIMA}",
        "sweep.relations=[rescaled]",
        "sweep.paths=[linear]",
        "tracking=none",
        config.as_option("out", directory),
    ])


def plan(directory: Path, parts: int) -> dict:
    """From the grid to the keys of all blocks."""
    from engine import plan

    config = configuration(directory, parts)
    cells = {block.key: len(block) for block in plan.blocks(config.sweep.grid, config.sweep.seeds, config.block)}
    return {"cells": sum(cells.values())}


def write(directory: Path, parts: int) -> dict:
    """Simulated rows for every block, as the engine writes them."""
    import numpy as np
    import pyarrow as pa

    from engine import journal, manifest, plan, results
    from engine.execution import columns

    config = configuration(directory, parts)
    schema = columns(config)
    blocks = list(plan.blocks(config.sweep.grid, config.sweep.seeds, config.block))
    counts = {"blocks": len(blocks), "cells": sum(map(len, blocks))}
    manifest.open_directory(directory, config, schema, counts)
    notes = journal.Journal(directory, shards=1, shard=0, blocks=len(blocks), cells=counts["cells"], done=0)
    offsets = pa.array(np.arange(0, POINTS * (MINIMA * FACTORS + 1), POINTS), pa.int32())

    def column(field, cells, random):
        if field.name in (axes := cells[0].axes):
            return pa.array([cell.axes[field.name] for cell in cells], axes and field.type)
        if field.name in ("reason", "error_rate", results.CONTROL):  # as of a regression in which all went well
            return pa.nulls(len(cells), field.type)
        if pa.types.is_list(field.type):
            values = pa.array(random.random(len(cells) * POINTS), pa.float64())
            return pa.ListArray.from_arrays(offsets, values).cast(field.type)
        if pa.types.is_floating(field.type):
            return pa.array(random.random(len(cells)), field.type)
        if pa.types.is_string(field.type):
            constant = {"relation": "rescaled", "path": "linear", "alignment": "none", "split": "train"}
            return pa.array([constant.get(field.name)] * len(cells), field.type)
        return pa.nulls(len(cells), field.type)

    def one(entry):
        index, block = entry
        random, cells = np.random.default_rng(index), list(block.cells)
        table = pa.table([column(field, cells, random) for field in schema], schema=schema)
        noted = results.entry(block.key, index, len(block), table)
        return noted, results.write_part(directory, noted, table)

    with ThreadPoolExecutor(8) as pool:  # the time is that of the disk, which waits for every part
        for block, (noted, size) in zip(blocks, pool.map(one, enumerate(blocks)), strict=True):
            notes.begin(block.key, len(block))
            notes.end(noted, size)
    notes.stop(0)
    return {"parts": len(blocks)}


def load(directory: Path, parts: int) -> dict:
    """All rows in memory, checksums verified, in the order of the plan."""
    from engine import reading

    table = reading.load(directory)
    return {"rows": table.num_rows, "bytes": table.nbytes}


def load_columns(directory: Path, parts: int) -> dict:
    """Three columns of all rows."""
    from engine import reading

    return {"bytes": reading.load(directory, ["width", "rescaling", "barrier"]).nbytes}


def status(directory: Path, parts: int) -> dict:
    """What ``python -m engine.status`` says."""
    from engine import status

    now = status.read(directory)
    return {"done": now.done}


def resume(directory: Path, parts: int) -> dict:
    """What a process does before it computes: the plan, the manifest, and which blocks are there."""
    from engine import journal, plan, results

    config = configuration(directory, parts)
    keys = {block.key for block in plan.blocks(config.sweep.grid, config.sweep.seeds, config.block)}
    done, damaged = results.finished(directory, keys, journal.sizes(directory))
    return {"left": len(keys - done), "damaged": len(damaged)}


def report(directory: Path, parts: int) -> dict:
    """Claims, figures, tables and page of the whole."""
    from engine import claim
    from engine.report import report

    claim.write(directory)
    return {"figures": len(report(directory)[1])}


def compact(directory: Path, parts: int) -> dict:
    """All parts into a few files."""
    from engine import compact

    return {"files": compact.compact(directory)[1]}


STEPS: tuple[tuple[str, Callable], ...] = (
    ("plan", plan),
    ("write", write),
    ("load", load),
    ("load_columns", load_columns),
    ("status", status),
    ("resume", resume),
    ("report", report),
    ("compact", compact),
    ("load_compacted", load),
    ("status_compacted", status),
    ("resume_compacted", resume),
)


def run_step(name: str, directory: Path, parts: int) -> None:
    """One step in this process; its time without the imports that every process has."""
    from engine import results  # noqa: F401

    began, busy = time.perf_counter(), time.process_time()
    found = dict(STEPS)[name](directory, parts)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {"step": name, "seconds": round(seconds, 3), "cpu_seconds": round(time.process_time() - busy, 3)}
    print(json.dumps(told | {"peak_bytes": peak, **found}))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.bench_results", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=10_000, help="blocks of a hundred cells (10000)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what was measured to FILE")
    parser.add_argument("--directory", type=Path, help="where; a temporary one by default")
    parser.add_argument("--step", choices=[name for name, _ in STEPS], help="one step, in this process")
    options = parser.parse_args()
    if options.step:
        run_step(options.step, options.directory, options.parts)
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory, found = options.directory or Path(temporary) / "sweep", []
        for name, _ in STEPS:
            command = [sys.executable, "-m", "engine.bench_results", "--step", name]
            command += ["--parts", str(options.parts), "--directory", str(directory)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                sys.exit(1)
            found.append(json.loads(done.stdout.splitlines()[-1]))
            rest = {key: value for key, value in found[-1].items() if key not in ("step", "seconds", "peak_bytes")}
            print(f"{name:17} {found[-1]['seconds']:8.2f} s {found[-1]['peak_bytes'] / 1e9:6.2f} GB  {rest}")
    if options.record:
        from engine import manifest

        record = {
            "what": "a simulated results directory",
            "command": f"python -m engine.bench_results --parts {options.parts}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()} {platform.system()}, {len(os.sched_getaffinity(0))} cores",
            "load_average": os.getloadavg(),  # the times are those of a machine with so much else to do
            "python": platform.python_version(),
            "versions": manifest.versions(),
            "commit": manifest.commit(),
            "steps": found,
        }
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
