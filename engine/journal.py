"""What each process of a sweep did, a line each: read for status and resume, never needed to read the results."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

JOURNAL = "journal"
ALIVE_EVERY_S = 5.0  # a sign of life: the file's time of modification


class Journal:
    """The lines of one process, from ``start`` to ``stop``; each is one append.

    A journal is a convenience: where it cannot be written the sweep goes on, and says so once.
    """

    def __init__(self, directory: Path, **what: Any):
        self.path = directory / JOURNAL / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self.broken = False
        self.ended = threading.Event()
        self._write("start", host=socket.gethostname(), pid=os.getpid(), **what)
        threading.Thread(target=self._live, daemon=True).start()

    def begin(self, key: str, cells: int) -> None:
        """A block is being computed."""
        self._write("begin", block=key, cells=cells)
        self.began = time.monotonic()

    def end(self, entry: dict[str, Any], size: int) -> None:
        """Its part, of ``size`` bytes, is written."""
        self._write("end", **entry, bytes=size, seconds=round(time.monotonic() - self.began, 3))

    def fail(self, key: str, cells: int, reason: str) -> None:
        """It could not be computed; the process goes on with the next."""
        self._write("fail", block=key, cells=cells, reason=reason)

    def stop(self, code: int, reason: str | None = None) -> None:
        """The process ends."""
        self.ended.set()
        self._write("stop", code=code, reason=reason)

    def _write(self, event: str, **what: Any) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **what}) + "\n"
        try:
            self.path.parent.mkdir(exist_ok=True)
            with open(self.path, "ab", buffering=0) as file:
                file.write(line.encode())
        except OSError as error:
            if not self.broken:
                log.warning("%s: cannot be written (%s); the sweep goes on", self.path, error.strerror)
            self.broken = True

    def _live(self) -> None:
        while not self.ended.wait(ALIVE_EVERY_S):
            try:
                os.utime(self.path)
            except OSError:
                return


@dataclass
class Process:
    """A journal, read."""

    start: dict[str, Any]
    alive_at: float  # the last sign of life, seconds since the epoch
    ends: list[dict[str, Any]] = field(default_factory=list)
    fails: list[dict[str, Any]] = field(default_factory=list)
    begin: dict[str, Any] | None = None  # the block that is being computed
    stop: dict[str, Any] | None = None


def read(directory: Path) -> Iterator[Process]:
    """The journals of a results directory; a line that was cut off in the middle is passed over.

    Yields:
        One process each, in the order of their names.
    """
    for path in sorted((directory / JOURNAL).glob("*.jsonl")):
        lines = _lines(path)
        if not lines or lines[0]["event"] != "start":
            continue
        process = Process(lines[0], path.stat().st_mtime)
        for line in lines[1:]:
            match line["event"]:
                case "begin":
                    process.begin = line
                case "end":
                    process.ends.append(line)
                    process.begin = None
                case "fail":
                    process.fails.append(line)
                    process.begin = None
                case "stop":
                    process.stop = line
        yield process


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return lines


def sizes(directory: Path) -> dict[str, int]:
    """Bytes of the parts by key of the block, as their writers noted them."""
    return {end["block"]: end["bytes"] for process in read(directory) for end in process.ends}
