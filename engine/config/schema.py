"""What can be configured: every option with its default and, in the comment above it, its meaning.

The members of the families are found in their folders; ``engine.help`` prints the comments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from engine.cluster import Cluster
from engine.discovery import members

HERE = Path(__file__).resolve().parents[1]
# in a checkout beside the package, in a wheel inside it
CONF = next(path for path in (HERE.parent / "conf", HERE / "conf") if (path / "config.yaml").is_file())

CHOSEN = ("data", "network", "minima", "tracking")  # families of which a sweep uses one member
OPTIONS = ("symmetry", "path", "measure")  # families whose members have options of their own
# what a sweep made of sweeps hands on to each of them
CARRIED = ("seed", "block", "precision", "device", "memory_gb", "shards", "shard", "cluster", "tracking", "dry")
# two configurations that agree in all else are the same sweep
INCIDENTAL = ("out", "resume", "shards", "shard", "tracking", "cluster", "device", "dry", "memory_gb")


@dataclass
class Grid:
    """The axes; every combination of their values, with every seed, is a cell."""

    # weight layers
    depth: list[int] = field(default_factory=lambda: [2])
    # units of each hidden layer
    width: list[int] = field(default_factory=lambda: [16])
    # of hidden units: linear, relu, leaky_relu, relu_squared, tanh, sigmoid, gelu
    activation: list[str] = field(default_factory=lambda: ["relu"])
    # ε of the skip connection over two layers; 0: none
    skip: list[float] = field(default_factory=lambda: [0.0])
    # factor m between two minima related by rescaling
    rescaling: list[float] = field(default_factory=lambda: [1.0])
    # λ of the penalty λ/2 (Σ‖W_i‖² + ‖b_i‖²)
    weight_decay: list[float] = field(default_factory=lambda: [0.0])


@dataclass
class Tolerance:
    """By how much a claim may be missed, and why that much."""

    tolerance: float = MISSING
    reason: str = MISSING


@dataclass
class Sweep:
    """A named sweep: what is varied, related, walked and measured."""

    name: str = MISSING
    # one line for the list of sweeps
    about: str = ""
    grid: Grid = field(default_factory=Grid)
    # minima of each kind
    seeds: int = 4
    # how the second minimum of a pair comes about: rescaled, permuted, flipped, transformed, independent
    relations: list[str] = field(default_factory=lambda: ["rescaled"])
    # members of path, see below
    paths: list[str] = field(default_factory=lambda: ["linear"])
    # of the second minimum, before the straight line is taken: none, permutation, rescaling, both
    alignments: list[str] = field(default_factory=lambda: ["none"])
    # members of measure besides those of every sweep, see below
    measures: list[str] = field(default_factory=list)
    # members of report.figure, drawn when all is done
    figures: list[str] = field(default_factory=list)
    # coarse points of a path, its ends among them
    points: int = 21
    # a path is refined until its barrier is known to this share
    tolerance: float = 1e-3
    # the tolerance of each claim of engine/claim/NAME.py
    claims: dict[str, Tolerance] = field(default_factory=dict)
    # default, or full for a GPU: ${scale:A,B} in a sweep's file is A or B
    scale: str = "default"
    # other sweeps, each run into a directory of its own inside this one's
    sweeps: list[str] = field(default_factory=list)


def _options_of(family: str) -> Any:
    """A dataclass with a field for each member that has options."""
    found = {name: module.Config for name, module in members(family).items() if hasattr(module, "Config")}
    return make_dataclass(family, [(name, cls, field(default_factory=cls)) for name, cls in found.items()])


@dataclass
class Options:
    """What every sweep has, besides the members chosen from the families."""

    sweep: Sweep | None = None
    # what a sweep's file sets of one member of a family, as FAMILY.MEMBER.OPTION: its default where it is the one used
    members: dict[str, Any] = field(default_factory=dict)
    # mse, sse or cross_entropy
    loss: str = "mse"
    # float64 or float32
    precision: str = "float64"
    # the sweep's own: of data, minima and what relates them
    seed: int = 0
    # the most minima that are found together
    block: int = 64
    # auto, cpu, cuda or cuda:N
    device: str = "auto"
    # memory for the paths of a block; null: half of what is free
    memory_gb: float | None = None
    # the results directory; by default outputs/NAME/DATE_TIME
    out: str = MISSING
    # a results directory to go on with
    resume: str | None = None
    # the work is dealt to so many processes, of which this is number `shard`
    shards: int = 1
    # which share this process computes, from 0
    shard: int | None = None
    # shards on several processes or machines: +cluster=local, +cluster=slurm
    cluster: Cluster | None = None
    # print the plan and stop
    dry: bool = False


def root_schema() -> type:
    """The dataclass of a whole configuration."""
    families: list[tuple] = [
        *((family, Any, MISSING) for family in CHOSEN),
        *((family, cls, field(default_factory=cls)) for family, cls in ((f, _options_of(f)) for f in OPTIONS)),
    ]
    return make_dataclass("Config", families, bases=(Options,))


def register() -> None:
    """Make the schema and the members of the families known to Hydra."""
    OmegaConf.register_new_resolver("least", min, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=root_schema())
    for family in CHOSEN:
        for name in members(family):
            store.store(group=family, name=name, node=_member(family, name))
    OmegaConf.register_new_resolver("scale", _at_scale, replace=True)


@cache
def _member(family: str, name: str) -> Any:
    """A member's options, each by default what ``members`` has for it; where that has nothing, the dataclass's own."""
    node = OmegaConf.structured(members(family)[name].Config)
    for option, default in _defaults(family, name).items():
        node[option] = f"${{oc.select:members.{family}.{name}.{option},{json.dumps(default)}}}"
    return node


@cache
def _defaults(family: str, name: str) -> dict[str, Any]:
    options = OmegaConf.structured(members(family)[name].Config)
    return {option: default for option, default in options.items() if option != "name"}


def of_members() -> dict[str, Any]:
    """What ``members`` may have: the options of each member by family and name, with their defaults."""
    return {family: {name: _defaults(family, name) for name in members(family)} for family in CHOSEN}


def _at_scale(default: Any, full: Any, *, _root_: Any) -> Any:
    return full if _root_.sweep.scale == "full" else default
