"""From the command line to a sweep: every error a sentence, every exit code told."""

from __future__ import annotations

import sys

import hydra

from engine import config as configuration
from engine import help as words
from engine.results import ResultsError

failed: list[int] = []  # exit codes of jobs of a multirun that failed, while the others go on


@hydra.main(version_base="1.3", config_path=str(configuration.CONF), config_name="config")
def job(cfg) -> None:
    """One job of a multirun, or the only one."""
    from engine.execution import execute

    try:
        checked = configuration.check(cfg)
        directory = execute(checked)
        if not checked.dry:
            print(f"results: {directory}")
    except (configuration.ConfigError, ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        failed.append(2)


def main() -> None:
    """Check the command line, then let Hydra run it."""
    argv = sys.argv[1:]
    try:
        if configuration.asks_for_help(argv):
            print(words.text(configuration.chosen(argv)))
            sys.exit(0)
        configuration.check_command_line(argv)
    except configuration.NoSweep:
        print(words.listing(), file=sys.stderr)
        sys.exit(2)
    except configuration.ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    configuration.register()
    try:
        job()
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept, resume=DIR goes on", file=sys.stderr)
        sys.exit(130)
    sys.exit(max(failed, default=0))
