"""Weights & Biases: the cells as they come, the curves, the table and the figures at the end.

The sweep never calls W&B itself.  A process of its own does (``python -m engine.tracking.wandb``): it is told over a
pipe which blocks are finished, and reads their parts.  So importing and starting W&B costs the sweep nothing, and
whatever W&B does, ask, fail, hang or be killed, ends with that process: the sweep says so once and goes on.  When the
sweep is killed the pipe closes, and the process ends the run with what was finished.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline")
RUNS = ("sweep", "cell")


@dataclass
class Config:
    """Options of ``tracking=wandb``."""

    name: str = "wandb"
    project: str = "isoloss"
    # null: the account's own
    entity: str | None = None
    # auto: what WANDB_MODE says, else online where there is an account's key, else offline
    mode: str = "auto"
    # sweep: one run with the cells as its steps; cell: a run for each cell, its axes as configuration
    runs: str = "sweep"
    # a W&B that gives no sign of life for so long is given up
    patience_s: float = 30.0

    def __post_init__(self):
        for option, choices in (("mode", MODES), ("runs", RUNS)):
            if getattr(self, option) not in choices:
                raise ValueError(f"tracking.{option}={getattr(self, option)}, expected one of {', '.join(choices)}")
        if not self.patience_s > 0:
            raise ValueError(f"tracking.patience_s={self.patience_s}, expected a number above 0")

    def start(self, config, directory: Path) -> Tracker:
        """Start the process that tracks; it takes its time while the sweep computes."""
        return Tracker(self, Path(directory).resolve(), config.shard)


class Heard:
    """What the process has said, gathered by a thread that keeps nothing else of the tracker alive."""

    def __init__(self, stream):
        self.at, self.words = time.monotonic(), {}
        self.thread = threading.Thread(target=self._listen, args=(stream,), daemon=True)
        self.thread.start()

    def _listen(self, stream) -> None:
        for line in stream:
            self.at = time.monotonic()
            self.words |= json.loads(line)


class Tracker:
    """The sweep's end of the pipe; no call of it waits, but ``finish``, and that not longer than the patience."""

    def __init__(self, options: Config, directory: Path, shard: int | None):
        self.options, self.directory = options, directory
        self.unsent = b""
        self.lost = False
        self.process = subprocess.Popen(
            (sys.executable, "-m", __name__),
            # -m puts the working directory first in the path: the one that holds this package
            cwd=Path(__file__).resolve().parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard is the sweep's alone
        )
        os.set_blocking(self.process.stdin.fileno(), False)
        self.heard = Heard(self.process.stdout)
        self._send(directory=str(directory), shard=shard, options=asdict(options))

    def block(self, block, table) -> None:
        """Pass on that a block is finished."""
        self._send(block=block.key)

    def finish(self, table, figures) -> None:
        """Have the table and the figures tracked, where the sweep is whole, and the run ended."""
        self._send(whole=table is not None, figures=[str(path) for path in figures])
        self.heard.at = time.monotonic()
        while self.heard.thread.is_alive() and not self.lost:
            self.heard.thread.join(0.02)
            self._send()
            if time.monotonic() - self.heard.at > self.options.patience_s:
                self._give_up(f"no answer for {self.options.patience_s:g} s")
        if self.lost:
            return
        if "done" not in self.heard.words:
            self._give_up(self._why())
            return
        self.process.stdin.close()
        self.process.wait()
        print(f"tracking: {self.heard.words['done']}")

    def _send(self, **message) -> None:
        """Write what the pipe takes; the rest waits for the next call."""
        if self.lost:
            return
        if message:
            self.unsent += json.dumps(message).encode() + b"\n"
        try:
            while self.unsent:
                self.unsent = self.unsent[os.write(self.process.stdin.fileno(), self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.heard.thread.join(1)
            if "done" not in self.heard.words:
                self._give_up(self._why())

    def _why(self) -> str:
        return self.heard.words.get("error", "its process was ended from outside")

    def _give_up(self, reason: str) -> None:
        self.lost = True
        with contextlib.suppress(OSError):
            # wandb-core has a session of its own, and would stay for ever if it is stopped
            for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        log.warning(
            "W&B is given up (%s); the sweep goes on and keeps its results. "
            "To upload what W&B had taken: python -m engine.sync --online %s",
            reason,
            self.directory,
        )
