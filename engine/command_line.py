"""From the command line to a sweep: every error a sentence, every exit code told."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from engine import config as configuration
from engine import help as words
from engine import manifest
from engine.interrupt import Interrupted, code_of
from engine.results import ResultsError

failed: list[int] = []  # exit codes of jobs of a multirun that failed, while the others go on


@hydra.main(version_base="1.3", config_path=str(configuration.CONF), config_name="config")
def job(cfg) -> None:
    """One job of a multirun, or the only one."""
    from engine.shard import OutOfMemory, execute

    try:
        checked = configuration.check(cfg, HydraConfig.get().overrides.task)
        directory = execute(checked)
        if not checked.dry:
            print(f"results: {directory}")
    except (configuration.ConfigError, ResultsError, OutOfMemory) as error:
        print(f"error: {error}", file=sys.stderr)
        failed.append(code_of(error))
    except Interrupted as stop:
        print(f"stopped by {stop}: what is finished is kept, resume={cfg.out} goes on", file=sys.stderr)
        if callable(signal.getsignal(stop.signum)):
            signal.raise_signal(stop.signum)  # Submitit's handler asks the scheduler to start the job again
        sys.exit(code_of(stop))


def main() -> None:
    """Check the command line, then let Hydra run it."""
    argv = sys.argv[1:]
    try:
        if configuration.asks_for_help(argv):
            print(words.text(configuration.chosen(argv)))
            sys.exit(0)
        jobs = configuration.check_command_line(argv)
        for checked in jobs:
            if not checked.dry:
                manifest.examine(Path(checked.out), checked)
    except configuration.NoSweep:
        print(words.listing(), file=sys.stderr)
        sys.exit(2)
    except (configuration.ConfigError, ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if jobs:
        # its default has the time in it: all jobs of a multirun share one
        sys.argv.append(configuration.as_option("out", jobs[0].out))
    configuration.register()
    try:
        job()
    except KeyboardInterrupt as error:
        directory = f"resume={jobs[0].out}" if jobs else "the same command"
        print(f"interrupted: what is finished is kept, {directory} goes on", file=sys.stderr)
        sys.exit(code_of(error))
    if jobs and not failed:
        shutil.rmtree(Path(jobs[0].out) / "jobs", ignore_errors=True)  # what Hydra and Submitit wrote for themselves
    sys.exit(max(failed, default=0))
