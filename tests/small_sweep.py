"""A sweep of nine blocks that takes a second, and the command line in processes that start at once.

The processes are forked from a server that has imported everything and computed nothing: imports take longer than the
sweep.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

ROOT = Path(__file__).parent.parent

OPTIONS = [
    "sweep.grid.depth=[2]",
    "sweep.grid.width=[3,4,5]",
    "sweep.grid.rescaling=[1,10]",
    "sweep.grid.weight_decay=[0,1e-3,1e-2]",
    "sweep.seeds=2",
    "sweep.measures=[]",
    "sweep.figures=[]",
    "block=2",
    "data=regression",
    "minima.steps=5",
    "tracking=none",
]
SWEEP = ["+sweep=barriers", *OPTIONS]
BLOCKS = 9

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.preloaded"])
_starting = threading.Lock()  # the working directory is that of all threads


def _main(argv, log, before, environment):
    from engine import command_line

    os.environ.update(environment)
    # as from a terminal: who runs the tests in the background of a shell has them inherit a SIGINT that is ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(log, "w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        sys.argv = ["engine", *argv]
        if before:
            before()
        command_line.main()


class Engine:
    """``python -m engine ARGV`` in a process of its own, what it prints in a file."""

    def __init__(self, argv, log, before=None, environment=None):
        """``before`` is called in the process first: a function of a test module that breaks something."""
        self.log = log
        with _starting:
            with contextlib.chdir(ROOT):  # where the server looks for the packages
                forkserver.ensure_running()
            self.process = _processes.Process(target=_main, args=(argv, str(log), before, environment or {}))
            self.process.start()

    def wait(self):
        """Its exit code, negative for the signal that killed it, and what it printed."""
        self.process.join(300)
        assert not self.process.is_alive(), self.log.read_text()
        return self.process.exitcode, self.log.read_text()

    def until(self, condition):
        """Wait for something it does."""
        end = time.monotonic() + 240
        while not condition():
            assert self.process.is_alive() and time.monotonic() < end, self.log.read_text()
            time.sleep(0.005)
