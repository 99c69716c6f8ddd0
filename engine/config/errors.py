"""What is said of a configuration that cannot be run: a sentence that names the option and the valid choices."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from engine.config.schema import CHOSEN


class ConfigError(Exception):
    """A configuration that cannot be run; its message names the option and the valid choices."""


class NoSweep(ConfigError):
    """Nothing says which sweep to run."""


def unknown_option(option: str, at: str, part: str, known: Sequence[str]) -> str:
    """One sentence about a key that does not exist."""
    near = difflib.get_close_matches(part, known, 1)
    prefix = f"{at}." if at else ""
    hint = f"; did you mean '{prefix}{near[0]}'?" if near else ""
    place = f"of {at}" if at else "there are"
    listed = f" The options {place}: {', '.join(sorted(known))}." if known else f" {at} has no options."
    return f"unknown option '{option}'{hint}{'' if hint else '.'}{listed}"


def unknown_choice(option: str, given: Any, choices: Sequence[str]) -> str:
    """One sentence about a value that is not among the choices."""
    near = difflib.get_close_matches(str(given), choices, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{option}={given}, expected one of {', '.join(choices)}.{hint}"


def explain(error: Exception) -> str:
    """Hydra's and OmegaConf's messages in a line or a few."""
    missing, options = getattr(error, "missing_cfg_file", None), getattr(error, "options", None)
    if missing == "hydra/launcher/submitit_slurm":
        return "cluster=slurm needs the package hydra-submitit-launcher: pip install 'isoloss[cluster]'"
    if missing and options:
        family, _, name = missing.rpartition("/")
        return unknown_choice(f"{'+' if family == 'sweep' else ''}{family}", name, options)
    text = first_lines(error)
    if match := re.search(r"In 'sweep/(\w+)': ConfigKeyError .*Key '(\w+)' not in", text, re.DOTALL):
        sweep, option = match.groups()
        return (
            f"+sweep={sweep} sets the option '{option}', which the member chosen of {', '.join(CHOSEN)} does not have; "
            f"in sweep/{sweep}.yaml it belongs under members, as FAMILY.MEMBER.{option}"
        )
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    if cause is not None and first_lines(cause) not in text:
        text = f"{text}: {first_lines(cause)}"
    full_key = getattr(error, "full_key", None)
    text = text.replace("is not a ListConfig, list or tuple.", "is no list; expected values in brackets: [1,2]")
    return f"{full_key}: {text}" if full_key and full_key not in text else text


def first_lines(error: Exception) -> str:
    """What an error says, without the names of classes that Hydra adds."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return "\n  ".join(kept[:20])
