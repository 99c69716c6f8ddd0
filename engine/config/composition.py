"""From options, as on the command line, to what Hydra composes of them: nothing is checked yet but their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString, Sweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.config.errors import ConfigError, explain, first_lines, unknown_option
from engine.config.schema import CONF, register

CHECKED_JOBS = 32  # each takes a tenth of a second


def sweeps() -> dict[str, str]:
    """The named sweeps and what each is about."""
    found = {path.stem: OmegaConf.load(path) for path in sorted((CONF / "sweep").glob("*.yaml"))}
    return {name: str(OmegaConf.select(config, "sweep.about", default="")) for name, config in found.items()}


def parse(overrides: Sequence[str]) -> list:
    """The options as Hydra understands them.

    Raises:
        ConfigError: one cannot be read.
    """
    parser, parsed = OverridesParser.create(), []
    for given in overrides:
        try:
            parsed.append(parser.parse_override(given))
        except HydraException as error:
            why = first_lines(error).partition("\n")[0]
            raise ConfigError(f"{given}: cannot be read ({why}); expected NAME=VALUE, a list as NAME=[1,2]") from None
    return parsed


def expand(overrides, multirun: bool) -> Iterator[list[str]]:
    """The command lines of the jobs of a multirun; without sweeps the one that was given.

    Of a long multirun only the first and the last: its jobs differ in the numbers of their shares.

    Yields:
        Overrides of one job.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    # a cluster is a multirun without being told
    multirun = multirun or any(
        override.key_or_group == "cluster" or (override.key_or_group == "hydra.mode" and override.value() == "MULTIRUN")
        for override in overrides
    )
    if not multirun:
        yield [override.input_line for override in overrides]
        return
    jobs = [job for batch in BasicSweeper.split_arguments(overrides, max_batch_size=None) for job in batch]
    yield from jobs if len(jobs) <= CHECKED_JOBS else (jobs[0], jobs[-1])


def compose(overrides: Sequence[str], search: Sequence[str]):
    """The configuration of one job.

    Raises:
        ConfigError: it does not compose.
    """
    register()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        found = [f"hydra.searchpath=[{','.join(str(Path(path).resolve()) for path in search)}]"] if search else []
        parsed = parse(overrides)
        for o in parsed:
            if not (o.is_delete() or isinstance(o.value(), (str, list, Sweep, QuotedString))) and _chooses(o):
                raise ConfigError(f"{o.input_line}: expected the name of one of the files of {o.key_or_group}")
        added = any((o.is_add() or o.is_force_add()) and not _chooses(o) for o in parsed)
        try:
            # then Hydra takes no option that it does not know; composing takes a tenth of a second
            if not added and any(o.key_or_group == "sweep" for o in parsed):
                return hydra.compose("config", [*found, *overrides])
        except (HydraException, OmegaConfBaseException):
            pass  # what is wrong is told below
        try:
            base = hydra.compose("config", [*found, *(o.input_line for o in parsed if _chooses(o))])
            for override in parsed:
                if not _chooses(override) and not override.key_or_group.startswith("hydra."):
                    _check_known(override.key_or_group, base)
            return hydra.compose("config", [*found, *overrides])
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(explain(error)) from None


def _chooses(override: Any) -> bool:
    """Whether it names a file of a group, in a process that has Hydra initialized."""
    name = override.key_or_group
    # a dotted name is an option; to ask Hydra takes as long as to read a file
    return "/" in name or ("." not in name and bool(GlobalHydra.instance().config_loader().get_group_options(name)))


def _check_known(option: str, base: Any) -> None:
    node, walked = base, []
    for part in option.split("."):
        if node is None:
            raise ConfigError(f"{option} needs a sweep: add +sweep=NAME, one of {', '.join(sweeps())}")
        known = [str(key) for key in node] if OmegaConf.is_dict(node) else []
        if part not in known:
            raise ConfigError(unknown_option(option, ".".join(walked), part, known))
        walked.append(part)
        leaf = OmegaConf.is_missing(node, part) or OmegaConf.is_interpolation(node, part)
        node = None if leaf else OmegaConf.select(node, part)
