"""The configuration: its schema, found in the families' files, and its checking before anything is done.

``schema`` says what there is, ``composition`` reads options with Hydra, ``plain`` writes them to a manifest and reads
them back, ``checks`` looks at every value, ``errors`` has the sentences.  Besides the command line only these know
Hydra and OmegaConf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from engine.config.checks import check
from engine.config.composition import compose, expand, parse, sweeps
from engine.config.errors import ConfigError, NoSweep
from engine.config.plain import merged, recorded
from engine.config.schema import CARRIED, CHOSEN, CONF, INCIDENTAL, OPTIONS, Options, Sweep, register

__all__ = [
    "CARRIED", "CHOSEN", "CONF", "INCIDENTAL", "OPTIONS", "ConfigError", "NoSweep", "Options", "Sweep", "as_option",
    "asks_for_help", "check", "check_command_line", "chosen", "read", "recorded", "register", "restore", "sweeps",
]  # fmt: skip


def read(overrides: Sequence[str]) -> Any:
    """The checked configuration of one job, from options as on the command line.

    Args:
        overrides: ``"+sweep=barriers"``, ``"seed=1"``, …

    Returns:
        An instance of the root schema.

    Raises:
        ConfigError: an option is unknown or has a value that cannot be.
    """
    return check(compose(overrides, []), overrides)


def check_command_line(argv: Sequence[str]) -> list[Any]:
    """Compose and check everything a command line asks for, before Hydra makes a directory or starts a job.

    Args:
        argv: arguments without the program's name.

    Returns:
        The configuration of each job; none where Hydra is asked for something else.

    Raises:
        ConfigError: an option is unknown or has a value that cannot be; one message for the user.
    """
    args = get_args_parser().parse_args(list(argv))
    if args.hydra_help or args.shell_completion or args.cfg or args.info:
        return []
    search = [args.config_dir] if args.config_dir else []
    return [check(compose(overrides, search), overrides) for overrides in expand(parse(args.overrides), args.multirun)]


def chosen(argv: Sequence[str]) -> Any:
    """The configuration a command line composes to, unchecked; None where it names no sweep.

    Raises:
        ConfigError: it does not compose.
    """
    cfg = compose([override.input_line for override in parse(get_args_parser().parse_args(list(argv)).overrides)], [])
    return None if cfg.sweep is None else OmegaConf.to_object(cfg)


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether ``--help`` or ``-h`` is among the arguments."""
    return get_args_parser().parse_args(list(argv)).help


def as_option(name: str, value: Any) -> str:
    """``NAME=VALUE`` as the command line reads it, whatever characters are in the value."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


def restore(plain: Mapping[str, Any]) -> Any:
    """The typed configuration from what ``recorded`` gave.

    Raises:
        ConfigError: it was written by another version of the schema.
    """
    return check(merged(plain), [])
