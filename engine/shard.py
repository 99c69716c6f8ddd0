"""One process's share of a sweep: what is there already stays, the rest is computed and written block by block."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from engine import claim, estimate, journal, manifest, memory, plan, processes, results, series, turns
from engine.ending import Interrupt, Unfinished, code_of
from engine.execution import columns, compute, words
from engine.progress import Progress
from engine.tracking.wandb.account import without_key
from engine.types import Block

log = logging.getLogger(__name__)


def execute(config) -> Path:
    """Run what a checked configuration asks for, or print its plan; returns the results directory."""
    if config.sweep.sweeps:
        return series.run_series(config, execute)
    if config.dry:
        print(estimate.describe(config, _device(config)))
        return Path(config.out)
    if config.cluster is None:
        return run_share(config)
    processes.run_job(config, run_share)
    return conclude(config)


def conclude(config) -> Path:
    """Report on a sweep that was dealt to several processes, if all of it is there."""
    if config.sweep.sweeps:
        return series.run_series(replace(config, cluster=None), execute)
    left = {block.key for block in _blocks(config)} - results.stored(Path(config.out)).keys()
    if not left:
        return run_share(replace(config, cluster=None, shards=1, shard=None))
    print(f"{len(left)} blocks are left to other jobs; whoever finishes the last one makes the report")
    return Path(config.out)


def run_share(config, *, report: bool = True) -> Path:
    """Run one shard of a sweep, or all of it; what is finished already is left as it is.

    Args:
        config: a checked configuration.
        report: whether to report on the whole if all of it is there in the end.

    Returns:
        The results directory.

    Raises:
        results.ResultsError: the directory holds another sweep, or cannot be used.
    """
    cells = {block.key: len(block) for block in _blocks(config)}  # in the order of the plan
    directory = Path(config.out)
    manifest.open_directory(directory, config, columns(config), {"blocks": len(cells), "cells": sum(cells.values())})
    mine = plan.share(list(cells), config.shards, config.shard or 0)
    done = _sound(directory, mine)
    tracker = config.tracking.start(config, directory)
    notes = journal.Journal(
        directory,
        shards=config.shards,
        shard=config.shard or 0,
        blocks=len(mine),
        cells=sum(cells[key] for key in mine),
        done=len(done),
        gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    try:
        with Interrupt() as interrupt, Progress(total=sum(cells[key] for key in mine)) as progress:
            progress.advance(sum(cells[key] for key in done))
            todo = mine - done
            while True:
                _compute_all(config, directory, todo, tracker, notes, progress, interrupt)
                progress.hide()
                todo = _finish(directory, set(cells), tracker) if report else set()
                if not todo:
                    break
                log.warning("%d blocks are damaged and computed anew", len(todo))
    except BaseException as error:
        notes.stop(code_of(error), without_key(str(error) or type(error).__name__))
        raise
    if not report:
        tracker.finish(None, [])
    notes.stop(0)
    return directory


def _sound(directory: Path, keys: set[str]) -> set[str]:
    """Which of the blocks are there; damaged files are set aside."""
    sizes = journal.sizes(directory)
    while True:
        done, damaged = _looked_at(directory, keys, sizes)
        if not damaged:
            return done
        with turns.taken(directory / turns.REPORT):  # not while somebody reports on the whole, or has mended it
            for path in sorted(_looked_at(directory, keys, sizes)[1]):
                log.warning("%s is damaged and computed anew", path)
                results.set_aside(path)


def _looked_at(directory: Path, keys: set[str], sizes: dict[str, int]) -> tuple[set[str], Collection[Path]]:
    """Blocks that are there, and damaged files."""
    while True:
        try:
            return results.finished(directory, keys, sizes)
        except results.DamagedParts as error:
            return set(), error.paths
        except FileNotFoundError:
            continue  # compacted or set aside meanwhile


def _compute_all(config, directory: Path, todo: set[str], tracker, notes, progress, interrupt) -> None:
    """Compute blocks and write their parts; a signal is heard between two of them.

    Raises:
        Unfinished: some did not fit; the others are done.
    """
    device, failed = _device(config), []
    for index, block in enumerate(_blocks(config)):
        if block.key not in todo:
            continue
        interrupt.check()
        if not results.part_path(directory, block.key).exists():  # another process was given the same shard
            notes.begin(block.key, len(block))
            try:
                table = compute(block, config, device, progress)
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                failed.append(f"out of memory: {words(block)}, {len(block.minima)} minima")
                notes.fail(block.key, len(block), failed[-1])
                log.warning("block %s: %s", block.key[:8], failed[-1])
                continue
            entry = results.entry(block.key, index, len(block), table)
            notes.end(entry, results.write_part(directory, entry, table))
            tracker.block(block, results.without_controls(table))
            log.info("block %s: %d minima, %d rows", block.key[:8], len(block.minima), table.num_rows)
        progress.advance(len(block))
    if failed:
        raise Unfinished(
            f"{len(failed)} of {len(todo)} blocks did not fit into memory ({failed[0]}); the others are done. "
            f"resume={directory} tries them again: on a larger device, or with nothing else on this one"
        )


def _finish(directory: Path, keys: set[str], tracker) -> set[str]:
    """Report on the whole sweep once every part is there, whoever wrote the last one.

    Returns:
        Blocks that turned out to be damaged when everything was read, and have to be computed anew.
    """
    from engine.report import report

    table, figures = None, []
    # one at a time, or one would read what another sets aside, and write the last report without it
    with turns.taken(directory / turns.REPORT):
        try:
            if left := keys - results.stored(directory).keys():
                print(f"{len(left)} blocks are left to other shards; whoever finishes the last one makes the report")
            else:
                claim.write(directory)
                table, figures = report(directory)
        except results.DamagedParts as error:
            for path in error.paths:
                results.set_aside(path)
            return keys - results.stored(directory).keys()
    tracker.finish(table, figures)
    return set()


def _blocks(config) -> Iterator[Block]:
    return plan.blocks(config.sweep.grid, config.sweep.seeds, config.block)


def _device(config) -> torch.device:
    """The device of this process: of several GPUs that it sees, each shard takes another."""
    if config.device != "auto":
        return torch.device(config.device)
    count = torch.cuda.device_count()
    return torch.device("cuda", (config.shard or 0) % count) if count else torch.device("cpu")
