"""How a process ends: by a signal, heard between blocks after what is being computed is written, or unfinished."""

from __future__ import annotations

import signal
import threading

GRACE_S = 30.0  # what schedulers leave between asking and killing; the signal of a time-out comes earlier still
# SIGUSR2 comes from SLURM before a time-out or a preemption, SIGTERM from whoever ends a process in good order
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR2") if hasattr(signal, name))


class Unfinished(Exception):
    """Blocks were left undone for a reason that a user can do something about; one sentence."""

    code = 1


class Interrupted(BaseException):
    """A signal asked the process to end; no ``except Exception`` may hold it up."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupt:
    """While it is entered, a signal is noted and ``check`` raises; after ``grace_s`` it is raised wherever one is.

    The handlers that were there before are back afterwards, so that who catches ``Interrupted`` can raise the signal
    again for them: Submitit's asks the scheduler to start the job once more.  Outside the main thread nothing is heard.
    """

    def __init__(self, grace_s: float = GRACE_S):
        self.grace_s, self.signum = grace_s, None

    def __enter__(self) -> Interrupt:
        """Listen."""
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {signum: signal.signal(signum, self._note) for signum in SIGNALS}
            self.before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._late)
        return self

    def __exit__(self, *error) -> None:
        """Listen no more."""
        if self.before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def check(self) -> None:
        """Nothing, unless a signal came.

        Raises:
            Interrupted: it did.
        """
        if self.signum is not None:
            raise Interrupted(self.signum)

    def _note(self, signum, frame) -> None:
        if self.signum is None:
            self.signum = signum
            signal.setitimer(signal.ITIMER_REAL, self.grace_s)

    def _late(self, signum, frame) -> None:
        self.check()


def code_of(error: BaseException) -> int:
    """The exit code of a process that ends with an error: 128 and the signal's number, or the error's own, or 1."""
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return 128 + error.signum if isinstance(error, Interrupted) else getattr(error, "code", 1)
