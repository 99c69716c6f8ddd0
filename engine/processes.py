"""The shards of one job: one after the other, or several at a time in processes of their own.

The processes share nothing but the results directory; each is told its configuration as JSON and leaves a log.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engine import config as configuration
from engine import memory, plan, results, status
from engine.ending import Interrupt, Unfinished
from engine.progress import Progress

LOGS = "logs"
POLL_S = 0.1
COUNT_EVERY_S = 2.0  # how often the journals are read for the display


class ShardsFailed(Unfinished):
    """Processes of this job that ended with an error, each with its sentence; the others are done."""

    def __init__(self, failed: dict[int, tuple[int, str]]):
        super().__init__("\nerror: ".join(f"shard {shard}: {words}" for shard, (_, words) in sorted(failed.items())))
        self.code = max(code for code, _ in failed.values())


def run_job(config, run_share: Callable[..., Path]) -> None:
    """Compute the shards that ``config.cluster`` gives to this job; those with nothing left are not started.

    Args:
        config: a checked configuration with a cluster.
        run_share: computes one shard in this process.

    Raises:
        ShardsFailed: some could not be finished.
    """
    devices = visible_devices() if config.device in ("auto", "cuda") else []
    keys = [block.key for block in plan.blocks(config.sweep.grid, config.sweep.seeds, config.block)]
    there = results.stored(Path(config.out)).keys()
    left = [n for n in config.cluster.shards_of_job() if plan.share(keys, config.cluster.shards, n) - there]
    if not left:
        return
    shards = [shard_of(config, number) for number in left]
    at_once = min(config.cluster.at_once or len(devices) or _without_gpu(config.cluster), len(shards))
    if at_once == 1:
        for shard in shards:
            run_share(shard, report=False)
        return
    if not devices:  # they share the memory of the machine
        share_gb = (config.memory_gb or memory.available_bytes(torch.device("cpu")) / 2**31) / at_once
        shards = [replace(shard, memory_gb=share_gb) for shard in shards]
    failed = _run_all(config, shards, at_once, devices)
    if failed:
        raise ShardsFailed(failed)


def shard_of(config, number: int) -> Any:
    """The configuration of one of the cluster's shards."""
    return replace(config, cluster=None, shards=config.cluster.shards, shard=number)


def visible_devices() -> list[str]:
    """The names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` has them."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is not None:
        return [name for name in names.split(",") if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]


def _without_gpu(cluster) -> int:
    """On one machine its cores are there for all shards; on a cluster a job has a few, for one."""
    return len(os.sched_getaffinity(0)) if cluster.name == "local" else 1


def _run_all(config, shards: list, at_once: int, devices: list[str]) -> dict[int, tuple[int, str]]:
    """Start processes as places become free; returns code and last words of those that failed, by shard."""
    directory = Path(config.out)
    waiting, free, failed = list(reversed(shards)), list(reversed(range(at_once))), {}
    running: dict[subprocess.Popen, tuple[int, int]] = {}
    counted = 0.0
    try:
        with Interrupt() as interrupt, Progress(total=0) as progress:
            while waiting or running:
                while waiting and free and interrupt.signum is None:
                    shard, place = waiting.pop(), free.pop()
                    running[_start(shard, at_once, devices[place % len(devices)] if devices else None)] = (
                        shard.shard,
                        place,
                    )
                for process in [process for process in running if process.poll() is not None]:
                    shard, place = running.pop(process)
                    free.append(place)
                    if process.returncode:
                        failed[shard] = (_code(process.returncode), _last_words(directory, shard, process.returncode))
                if interrupt.signum is not None:
                    for process in running:
                        process.terminate()  # each finishes its block first
                    for process in running:
                        process.wait()
                    interrupt.check()
                if time.monotonic() > counted + COUNT_EVERY_S and (directory / "manifest.json").exists():
                    counted = time.monotonic()
                    with contextlib.suppress(results.ResultsError):  # a damaged part is a matter of its shard's process
                        now = status.read(directory)
                        progress.show(now.done, now.cells, f"{len(running)} processes")
                time.sleep(POLL_S)
    finally:
        for process in running:
            process.kill()
            process.wait()
    return failed


def _start(shard, at_once: int, device: str | None) -> subprocess.Popen:
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // at_once)))
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    log = _log(Path(shard.out), shard.shard)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.processes"], stdin=subprocess.PIPE, stdout=file, stderr=file, env=environment
        )
    with process.stdin as stdin:
        stdin.write(json.dumps(configuration.recorded(shard)).encode())
    return process


def _log(directory: Path, shard: int) -> Path:
    return directory / LOGS / f"shard-{shard}.log"


def _code(returncode: int) -> int:
    return returncode if returncode > 0 else 128 - returncode


def _last_words(directory: Path, shard: int, returncode: int) -> str:
    """What the process said of its error, or what killed it."""
    log = _log(directory, shard)
    if returncode < 0:
        return f"killed by signal {-returncode}; what it finished is kept, resume={directory} goes on"
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if line.startswith(("error: ", "stopped by "))]
    return told[-1].removeprefix("error: ") if told else f"ended with code {returncode}, see {log}"


def main() -> None:
    """One shard, its configuration on standard input."""
    from engine.command_line import attempt
    from engine.shard import run_share

    config = configuration.restore(json.load(sys.stdin))
    sys.exit(attempt(lambda: run_share(config, report=False), config.out))


if __name__ == "__main__":
    main()
