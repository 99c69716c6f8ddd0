"""How far a sweep is: ``python -m engine.status DIR [--watch [SECONDS]]``.

Read from the names of the parts and the journals of the processes, never from the rows: a million cells take a second.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine import journal, results

SILENT_S = 60.0  # without a sign of life for so long, a process on another machine counts as dead
SHOWN_SHARDS = 20


@dataclass
class Shard:
    """What the latest process of a share is at."""

    number: int
    of: int
    blocks: int
    done: int
    state: str  # running, done, stopped, dead
    reason: str | None = None  # why it stopped
    rate: float = 0.0  # cells per second while it computed


@dataclass
class Status:
    """A sweep's progress; counts are cells unless they say otherwise."""

    cells: int
    blocks: int
    done: int = 0
    done_blocks: int = 0
    running: int = 0
    # done, but without a number: how many minima or paths, by reason
    failed: dict[str, int] = field(default_factory=dict)
    shards: list[Shard] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Neither done nor being computed."""
        return self.cells - self.done - self.running

    @property
    def rate(self) -> float:
        """Cells per second of all processes at work."""
        return sum(shard.rate for shard in self.shards if shard.state == "running")

    @property
    def remaining_s(self) -> float | None:
        """Estimated from the rate; None where nothing is at work or nothing is known yet."""
        return (self.cells - self.done) / self.rate if self.rate else None


def read(directory: str | Path) -> Status:
    """The status of a results directory.

    Args:
        directory: of one sweep.

    Returns:
        What is done, running, failed and left.

    Raises:
        ResultsError: it is no results directory.
    """
    directory = Path(directory)
    planned = results.read_manifest(directory)["plan"]
    places, processes = results.stored(directory), list(journal.read(directory))
    known = {end["block"]: end for process in processes for end in process.ends}
    status, failed = Status(planned["cells"], planned["blocks"], done_blocks=len(places)), Counter()
    for key, place in places.items():
        entry = place.entry or known.get(key) or results.entries(place.path)[0]
        status.done += entry["cells"]
        failed.update(entry["failed"])
    at_work = {}
    for process in processes:
        if process.begin and state_of(process) == "running" and process.begin["block"] not in places:
            at_work[process.begin["block"]] = process.begin["cells"]
        for fail in process.fails:
            if fail["block"] not in places:
                failed[fail["reason"]] += fail["cells"]
    status.running = sum(at_work.values())
    status.failed = dict(failed.most_common())
    status.shards = _shards(processes)
    return status


def state_of(process: journal.Process) -> str:
    """``running``, ``done``, ``stopped`` by an error or a signal, or ``dead`` without a word."""
    if process.stop is not None:
        return "stopped" if process.stop["code"] else "done"
    if process.start["host"] == socket.gethostname():
        return "running" if _alive(process.start["pid"]) else "dead"
    # the clock of the file system and ours may differ: a sign of life from the future is one
    return "running" if time.time() - process.alive_at < SILENT_S else "dead"


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _shards(processes: list[journal.Process]) -> list[Shard]:
    """The latest process of each share, in the order of their numbers; of several ways to cut, the latest."""
    latest = {}
    # a line that was written later stands for later work, whatever the clocks said
    for process in sorted(processes, key=lambda process: process.alive_at):
        if process.ends or process.fails or process.start["blocks"] != process.start["done"]:
            latest[process.start["shards"], process.start["shard"]] = process
    newest = max((process.alive_at, cut) for (cut, _), process in latest.items())[1] if latest else 0
    found = []
    for (of, number), process in sorted(latest.items()):
        if of != newest:
            continue
        busy = sum(end["seconds"] for end in process.ends)
        found.append(
            Shard(
                number,
                of,
                process.start["blocks"],
                process.start["done"] + len(process.ends),
                state_of(process),
                process.stop and process.stop["reason"],
                sum(end["cells"] for end in process.ends) / busy if busy else 0.0,
            )
        )
    return found


def describe(status: Status) -> str:
    """The status in words."""
    share = status.done / status.cells if status.cells else 1.0
    lines = [
        f"cells    {status.done} of {status.cells} done ({share:.0%}), {status.running} running, {status.left} left",
        f"blocks   {status.done_blocks} of {status.blocks}",
    ]
    if status.rate:
        end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + status.remaining_s))
        lines.append(f"rate     {status.rate:.3g} cells/s, {_duration(status.remaining_s)} left, until {end}")
    for reason, count in status.failed.items():
        lines.append(f"failed   {count}: {reason}")
    order = ("stopped", "dead", "running", "done")
    shards = sorted(status.shards, key=lambda shard: (order.index(shard.state), shard.number))
    for shard in shards[:SHOWN_SHARDS]:
        why = f": {shard.reason.splitlines()[0]}" if shard.reason else ""
        lines.append(f"shard    {shard.number} of {shard.of}: {shard.done}/{shard.blocks} blocks, {shard.state}{why}")
    if rest := Counter(shard.state for shard in shards[SHOWN_SHARDS:]):
        lines.append("shards   and " + ", ".join(f"{count} {state}" for state, count in rest.items()))
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def of_all(directory: Path) -> dict[str, Status | None]:
    """The status of a sweep under an empty name, or of each sweep of a series, None where it has not begun.

    Args:
        directory: a results directory.

    Returns:
        Statuses by the sweep's name.

    Raises:
        ResultsError: it is no results directory.
    """
    sweeps = results.read_manifest(directory)["plan"].get("sweeps")
    if sweeps is None:
        return {"": read(directory)}
    return {name: read(directory / name) if (directory / name / results.MANIFEST).exists() else None for name in sweeps}


def is_complete(found: Mapping[str, Status | None]) -> bool:
    """Whether every part is there."""
    return all(status is not None and status.done_blocks == status.blocks for status in found.values())


def describe_all(found: Mapping[str, Status | None]) -> str:
    """Statuses in words, under the names of their sweeps."""
    words = (
        (f"{name}\n" if name else "") + ("has not begun" if status is None else describe(status))
        for name, status in found.items()
    )
    return "\n".join(words)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.status", description="How far a sweep is.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="a results directory")
    parser.add_argument("--watch", nargs="?", type=float, const=5.0, metavar="SECONDS", help="until all is done")
    options = parser.parse_args()
    try:
        while True:
            found = of_all(options.directory)
            if options.watch is not None and sys.stdout.isatty():
                print("\033[H\033[2J", end="")
            print(describe_all(found), flush=True)
            if options.watch is None or is_complete(found):
                return
            time.sleep(options.watch)
    except results.ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
