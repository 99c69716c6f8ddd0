"""A configuration as plain values, in the manifest of a results directory, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine import results
from engine.config.errors import ConfigError, explain
from engine.config.schema import CHOSEN, INCIDENTAL, root_schema
from engine.discovery import members


def recorded(config) -> dict[str, Any]:
    """The configuration as plain values, for the manifest and for W&B."""
    return OmegaConf.to_container(OmegaConf.structured(config), resolve=True)


def merged(plain: Mapping[str, Any]) -> Any:
    """What ``recorded`` gave, back in the schema.

    Raises:
        ConfigError: it was written by another version of the schema.
    """
    base = OmegaConf.structured(root_schema())
    try:
        for family in CHOSEN:
            base[family] = OmegaConf.structured(members(family)[plain[family]["name"]].Config)
        return OmegaConf.merge(base, OmegaConf.create(dict(plain)))
    except (OmegaConfBaseException, KeyError) as error:
        raise ConfigError(f"the recorded configuration does not fit this version: {explain(error)}") from None


def resumed(cfg, overrides) -> Any:
    """The configuration recorded in a results directory, with the incidental options of this command line.

    Raises:
        ConfigError: there is no such directory, or an option beside it would make another sweep.
    """
    directory = Path(cfg.resume)
    try:
        recorded_there = results.read_manifest(directory)["config"]
    except results.ResultsError as error:
        raise ConfigError(f"resume={directory}: {error}") from None
    names = [override.key_or_group for override in overrides if not override.key_or_group.startswith("hydra")]
    for name in names:
        if name.partition(".")[0] not in INCIDENTAL:
            raise ConfigError(
                f"{name} cannot stand beside resume={directory}, which goes on with the options recorded there; "
                f"what can is {', '.join(INCIDENTAL)}"
            )
    if "out" in names and Path(cfg.out).resolve() != directory.resolve():
        raise ConfigError(f"out={cfg.out} beside resume={directory}, expected the same directory or none")
    there = merged(recorded_there)
    OmegaConf.update(there, "out", str(directory))
    # which shares are computed and how is this command line's own affair
    for name in ("resume", "shards", "shard", "cluster", "dry"):
        there[name] = cfg[name]
    for name in names:
        root = name.partition(".")[0]
        if name == root or "tracking" in names:  # a family's member was chosen: all of its options are this line's
            there[root] = cfg[root] if root != "out" else str(directory)
        else:
            OmegaConf.update(there, name, OmegaConf.select(cfg, name))
    return there
