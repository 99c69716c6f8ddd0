"""A live bar on a terminal, a line every ten seconds elsewhere; always on standard error."""

from __future__ import annotations

import logging
import threading
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

CONSOLE = Console(stderr=True)
LINE_EVERY_S = 10.0


class ConsoleHandler(logging.Handler):
    """Log records printed above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; logging must never end what it tells of.

        A signal's handler may log in the middle of an import that printing needs.
        """
        try:
            CONSOLE.print(self.format(record), markup=False, highlight=False, soft_wrap=True)
        except Exception:
            self.handleError(record)


class Progress:
    """Cells done of ``total``, and what is being done."""

    def __init__(self, total: int):
        self.total, self.done, self.what = total, 0, "starting"
        self.bar, self.stop, self.hidden = None, threading.Event(), False
        if CONSOLE.is_terminal:
            self.bar = Bar(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("cells"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=CONSOLE,
                transient=True,
                redirect_stdout=False,  # to standard error, where the bar is
            )
            self.task = self.bar.add_task(self.what, total=total)

    def __enter__(self) -> Progress:
        """Start to show."""
        self.started = time.monotonic()
        if self.bar:
            self.bar.start()
        else:
            threading.Thread(target=self._lines, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        """Clear away."""
        self.stop.set()
        if error[0] is None or self.bar:
            self.hide()

    def hide(self) -> None:
        """Clear away what would come between the lines of a report, until something is done again."""
        if self.bar:
            self.bar.stop()
        elif not self.hidden:
            self._line()
        self.hidden = True

    def stage(self, what: str) -> None:
        """Say what is being done."""
        self.what = what
        if self.bar:
            if self.hidden:
                self.bar.start()
            self.bar.update(self.task, description=what)
        self.hidden = False

    def advance(self, cells: int) -> None:
        """Count finished cells."""
        self.done += cells
        if self.bar:
            self.bar.update(self.task, completed=self.done)

    def show(self, done: int, total: int, what: str) -> None:
        """Say how far something is that others count."""
        self.done, self.total, self.what = done, total, what
        if self.bar:
            self.bar.update(self.task, completed=done, total=total, description=what)

    def _lines(self) -> None:
        while not self.stop.wait(LINE_EVERY_S):
            if not self.hidden:
                self._line()

    def _line(self) -> None:
        seconds = time.monotonic() - self.started
        CONSOLE.print(f"{self.done}/{self.total} cells, {seconds:.0f} s: {self.what}", highlight=False, soft_wrap=True)
