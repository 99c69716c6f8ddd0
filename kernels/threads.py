"""A batch over all cores: the kernel runs on ranges of it, in threads that outlive the call.

Python's threads and not numba's ``prange``: kernels release the interpreter lock, nothing depends on which OpenMP is
installed, two callers may run at once, and a process forked after a call works (it makes its own threads).  What a
kernel writes for one entry must depend on that entry alone; then no result depends on the number of threads.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from . import target


class _Call:
    """One batch on its way: ranges are handed out until none is left."""

    def __init__(self, kernel: Callable, batch: int, chunk: int, args: tuple):
        self.kernel, self.batch, self.chunk, self.args = kernel, batch, chunk, args
        self.starts = itertools.count(0, chunk)
        self.failure: BaseException | None = None
        self.lock = threading.Lock()
        self.helpers, self.closed = 0, False
        self.last_left: SimpleQueue = SimpleQueue()

    def work(self) -> None:
        try:
            while self.failure is None and (start := next(self.starts)) < self.batch:
                self.kernel(start, min(start + self.chunk, self.batch), *self.args)
        except BaseException as failure:
            self.failure = failure

    def help(self) -> None:
        """Work on it from another thread, unless it is over before this one woke up."""
        with self.lock:
            if self.closed:
                return
            self.helpers += 1
        self.work()
        with self.lock:
            self.helpers -= 1
            if self.closed and self.helpers == 0:
                self.last_left.put(None)

    def wait(self) -> None:
        """Take no more helpers and wait for those that are at work."""
        with self.lock:
            self.closed = True
            busy = self.helpers > 0
        if busy:
            self.last_left.get()


class _Workers:
    """Threads that wait for calls."""

    def __init__(self):
        self.calls: SimpleQueue = SimpleQueue()
        self.count = 0
        self.lock = threading.Lock()

    def at_least(self, count: int) -> None:
        with self.lock:
            while self.count < count:
                threading.Thread(target=self._serve, name="kernels", daemon=True).start()
                self.count += 1

    def _serve(self) -> None:
        while True:
            self.calls.get().help()


_workers = _Workers()


def _forked() -> None:
    global _workers
    _workers = _Workers()  # threads do not survive a fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


WORK = 2**22  # multiplications from which on a batch is worth waking a thread for
SHARES = 8  # of a batch for each thread: enough that none waits long for the last


def share(batch: int, multiplications: int) -> int:
    """Entries of a batch to hand out at once, when each takes so many multiplications."""
    if batch * multiplications < WORK:
        return max(1, batch)
    return max(1, WORK // SHARES // multiplications, -(-batch // (SHARES * target.threads())))


def over_batch(kernel: Callable, batch: int, chunk: int, *args) -> None:
    """Run ``kernel(start, stop, *args)`` on ranges that cover ``range(batch)``.

    Args:
        kernel: a ``@kernel`` function; ranges may come in any order and at once.
        batch: number of entries.
        chunk: entries in a range; worth some 50 microseconds, what waking a thread takes.
        *args: passed on.
    """
    if batch <= chunk:
        if batch:
            kernel(0, batch, *args)
        return
    call = _Call(kernel, batch, chunk, args)
    helpers = min(target.threads(), -(-batch // chunk)) - 1
    workers = _workers
    workers.at_least(helpers)
    for _ in range(helpers):
        workers.calls.put(call)
    call.work()
    call.wait()
    if call.failure is not None:
        raise call.failure
