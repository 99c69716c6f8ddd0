"""From the command line to a sweep: every error a sentence, every exit code told."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from engine import config as configuration
from engine import help as words
from engine import manifest, status, turns
from engine.ending import Interrupted, Unfinished, code_of
from engine.results import MANIFEST, ResultsError
from engine.tracking.wandb.account import without_key

JOBS = "jobs"  # hydra.sweep.dir in conf/config.yaml
SHOWN_ERRORS = 3
failed: list[int] = []  # exit codes of jobs of a multirun that failed, while the others go on


def run_job(cfg) -> None:
    """One job of a multirun, or the only one."""
    from engine.shard import execute

    def run():
        checked = configuration.check(cfg, HydraConfig.get().overrides.task)
        directory = execute(checked)
        if not checked.dry:
            print(f"results: {directory}")

    if code := attempt(run, cfg.out):
        failed.append(code)


job = hydra.main(version_base="1.3", config_path=str(configuration.CONF), config_name="config")(run_job)


def attempt(run: Callable[[], object], out: str) -> int:
    """Run something, and say an error that a user can do something about in a sentence.

    Args:
        run: what to do.
        out: the results directory, for the sentence.

    Returns:
        The exit code; a process that was told to end does so here.
    """
    try:
        run()
    except (configuration.ConfigError, ResultsError, Unfinished) as error:
        print(f"error: {without_key(str(error))}", file=sys.stderr)
        return code_of(error)
    except Interrupted as stop:
        print(f"stopped by {stop}: what is finished is kept, resume={out} goes on", file=sys.stderr)
        if callable(signal.getsignal(stop.signum)):
            signal.raise_signal(stop.signum)  # Submitit's handler asks the scheduler to start the job again
        sys.exit(code_of(stop))
    return 0


def launch(config) -> int:
    """Give the jobs of a cluster to its scheduler, wait for them, and see in the parts what became of them.

    The scheduler's word is not enough: a task that ended with an error reads COMPLETED there, one that was killed and
    started again by hand reads FAILED.

    Args:
        config: the checked configuration of one of the jobs.

    Returns:
        The exit code.
    """
    from engine.shard import conclude, execute

    if config.dry:  # the plan is told here, and nothing is started
        return attempt(lambda: execute(config), config.out)
    if shutil.which("sbatch") is None:
        print("error: cluster=slurm needs the command sbatch, which is not on this machine's PATH", file=sys.stderr)
        return 2
    os.environ["HYDRA_FULL_ERROR"] = "1"  # its errors come here instead of filling the terminal
    print(f"{config.cluster.started()} jobs; how far they are says: python -m engine.status {config.out}", flush=True)
    begun, said = time.time(), None
    try:
        job()
    except Exception as error:  # whatever Submitit or the scheduler did not like
        # of a job without a result Submitit says in the first line which, in the second in what state it is
        said = " ".join(str(error).splitlines()[:2]) or type(error).__name__
    if not (Path(config.out) / MANIFEST).exists():
        print(f"error: no job began: {said}", file=sys.stderr)
        return 1
    found = status.of_all(Path(config.out))
    if not status.is_complete(found):
        errors = _errors(Path(config.out), begun) or [said or "no job says why"]
        for error in errors[:SHOWN_ERRORS]:
            print(f"error: blocks are missing: {error}", file=sys.stderr)
        print(status.describe_all(found), file=sys.stderr)
        print(f"the same command again goes on, or resume={config.out} on this machine", file=sys.stderr)
        return 1
    if code := attempt(lambda: conclude(config), config.out):
        return code
    print(f"results: {config.out}")
    return 0


def _errors(directory: Path, begun: float) -> list[str]:
    """What the jobs of a launch said of their errors, each once: their exit codes do not come here."""
    said = {}
    for path in sorted((directory / JOBS).rglob("*.out")):
        if path.stat().st_mtime >= begun:
            lines = path.read_text(errors="replace").splitlines()
            said |= {line.removeprefix("error: "): None for line in lines if line.startswith("error: ")}
    return list(said)


def _remove_launch(directory: Path) -> None:
    """Take away what Hydra and Submitit wrote for themselves, pickles among it, once nobody can need it any more.

    A process that has begun to launch holds the lock until its jobs have ended: then it is left to that one.  What a
    scheduler starts later than all this, of a launch whose process was killed, fails and has nothing left to do.
    """
    if not directory.exists():
        return
    with turns.taken(directory / turns.LAUNCH, wait=False) as alone:
        begun = (directory / MANIFEST).exists()
        if not alone or (begun and not status.is_complete(status.of_all(directory))):
            return  # others may be at work, started by a scheduler that looks there
        shutil.rmtree(directory / JOBS, ignore_errors=True)
        if not begun:
            (directory / turns.LAUNCH).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                directory.rmdir()  # where nothing else came to be


def main() -> None:
    """Check the command line, then let Hydra run it."""
    argv = sys.argv[1:]
    try:
        if configuration.asks_for_help(argv):
            print(words.text(configuration.chosen(argv)))
            sys.exit(0)
        jobs = configuration.check_command_line(argv)
        for checked in jobs:
            manifest.same_sweep(jobs[0], checked)
            if not checked.dry:
                manifest.examine(Path(checked.out), checked)
    except configuration.NoSweep:
        print(words.listing(), file=sys.stderr)
        sys.exit(2)
    except (configuration.ConfigError, ResultsError) as error:
        print(f"error: {without_key(str(error))}", file=sys.stderr)
        sys.exit(2)
    if jobs:
        # its default has the time in it: all jobs of a multirun share one
        sys.argv.append(configuration.as_option("out", jobs[0].out))
    configuration.register()
    if not jobs:
        job()
        sys.exit(0)
    directory = Path(jobs[0].out)
    scheduled = jobs[0].cluster is not None and jobs[0].cluster.name == "slurm"
    try:
        # a plan leaves nothing
        turn = contextlib.nullcontext() if jobs[0].dry else turns.taken(directory / turns.LAUNCH, shared=True)
        with turn:
            code = launch(jobs[0]) if scheduled else _run()
    except KeyboardInterrupt as error:
        if scheduled:
            print("interrupted: the jobs go on without this process; scancel ends them", file=sys.stderr)
            sys.exit(code_of(error))
        print(f"interrupted: what is finished is kept, resume={directory} goes on", file=sys.stderr)
        code = code_of(error)
    if code == 0 or not (directory / MANIFEST).exists():
        _remove_launch(directory)
    sys.exit(code)


def _run() -> int:
    """All jobs in this process; the exit code of the worst."""
    job()
    return max(failed, default=0)
