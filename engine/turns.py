"""Whose turn it is among the processes of a results directory: what may not happen at the same time.

Locks of whole files, gone with the process that holds them.  Where a file system has none nobody waits, and two
processes may meet: then a report can lack rows until the next one, or a launch has to be repeated; no row is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

LAUNCH = ".launch.lock"  # shared while processes may need what Hydra and Submitit wrote; alone who takes it away
REPORT = ".report.lock"  # who reports on the whole, or takes a damaged part out of it


@contextlib.contextmanager
def taken(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold a lock.

    Args:
        path: its file, which is made.
        shared: with others who share it.
        wait: for those who hold it; otherwise it may not be had.

    Yields:
        Whether it is held.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    with contextlib.ExitStack() as stack:
        yield _lock(path, how, stack)


def _lock(path: Path, how: int, stack: contextlib.ExitStack) -> bool:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return True  # nor a directory: whoever writes there says so
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            stack.callback(os.close, file)
            fcntl.flock(file, how)
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return True
        except FileNotFoundError:
            pass
        except BlockingIOError:
            return False
        except OSError:
            return True  # there are no locks here
        # who had it has removed it with the directory
