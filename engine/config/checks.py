"""Every value of a configuration, before anything is done with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.align import ALIGNMENTS
from engine.claim import of_sweep
from engine.config.composition import compose, parse, sweeps
from engine.config.errors import ConfigError, NoSweep, explain, unknown_choice, unknown_option
from engine.config.plain import recorded, resumed
from engine.config.schema import CARRIED, INCIDENTAL, of_members, root_schema
from engine.discovery import members
from engine.results import flatten
from engine.tracking.wandb.account import KEY, without_key
from kernels.errors import ACTIVATIONS

LOSSES = ("mse", "sse", "cross_entropy")
PRECISIONS = ("float64", "float32")
SCALES = ("default", "full")


def check(cfg, overrides: Sequence[str]) -> Any:
    """The typed configuration, every value checked; with ``resume`` the recorded one.

    Args:
        cfg: a composed configuration, as Hydra passes it.
        overrides: the options it was composed from.

    Returns:
        An instance of the root schema whose members are instances of their own dataclasses.

    Raises:
        NoSweep: nothing says which sweep to run.
        ConfigError: names the option, what was given and what is expected.
    """
    if cfg.resume is not None:
        cfg = resumed(cfg, parse(overrides))
    if cfg.sweep is None:
        raise NoSweep(f"no sweep is named: add +sweep=NAME, one of {', '.join(sweeps())}")
    plain = OmegaConf.to_container(cfg, resolve=False)
    known = OmegaConf.to_container(OmegaConf.structured(root_schema()), resolve=False)
    _check_keys(plain, known | {"members": of_members()})
    _check_secrets(plain)
    try:
        config = OmegaConf.to_object(cfg)
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error)) from None
    _check_finite(dataclasses.asdict(config))
    for name, value, choices in (
        ("loss", config.loss, LOSSES),
        ("precision", config.precision, PRECISIONS),
    ):
        _one_of(name, value, choices)
    for name, value, least in (("block", config.block, 1), ("shards", config.shards, 1), ("seed", config.seed, 0)):
        _at_least(name, value, least)
    _check_shard(config)
    if config.memory_gb is not None and not config.memory_gb > 0:
        raise ConfigError(f"memory_gb={config.memory_gb}, expected a number above 0")
    _check_device(config.device)
    if not config.sweep.sweeps and any(given.partition("=")[0] == "sweep.sweeps" for given in overrides):
        raise ConfigError("sweep.sweeps=[], expected at least one of the sweeps")
    _check_sweep(config)
    return config


def relations() -> tuple[str, ...]:
    """How the second minimum of a pair may come about: by an element of a symmetry, or by another seed."""
    words = (module.Group.relation for module in members("symmetry").values())
    return (*(word for word in words if word), "independent")


def _check_keys(given: Mapping, known: Mapping, at: str = "") -> None:
    for key, value in given.items():
        if key not in known:
            raise ConfigError(unknown_option(f"{at}{key}", at.rstrip("."), str(key), [str(k) for k in known]))
        if isinstance(known[key], Mapping) and known[key]:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{at}{key}={value}, expected some of its options: {', '.join(known[key])}")
            _check_keys(value, known[key], f"{at}{key}.")


def _check_secrets(plain: Mapping) -> None:
    for name, value in flatten(plain).items():
        if without_key(str(value)) != str(value):
            raise ConfigError(f"{name} has the API key of {KEY} in it, and options are recorded; expected one without")


def _check_finite(plain: Mapping) -> None:
    for name, value in flatten(plain).items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigError(
                    f"{name}={value}, expected {'finite numbers' if number is not value else 'a finite number'}"
                )


def _one_of(option: str, given: Any, choices: Sequence[str]) -> None:
    if given not in choices:
        raise ConfigError(unknown_choice(option, given, choices))


def _at_least(option: str, given: int, least: int) -> None:
    if given < least:
        raise ConfigError(f"{option}={given}, expected at least {least}")


def _check_shard(config) -> None:
    if config.cluster is not None:
        if config.shards > 1 or config.shard is not None:
            raise ConfigError("shards and shard cannot stand beside +cluster, expected cluster.shards=N")
        jobs = min(config.cluster.shards, config.cluster.jobs)
        if not 0 <= config.cluster.job < jobs:
            raise ConfigError(f"cluster.job={config.cluster.job}, expected 0 … {jobs - 1}")
        return
    if config.shard is None and config.shards > 1:
        raise ConfigError(
            f"shards={config.shards} needs shard=0 … {config.shards - 1} for one of them, "
            f"or -m 'shard=range({config.shards})' for all"
        )
    if config.shard is not None and not 0 <= config.shard < config.shards:
        raise ConfigError(f"shard={config.shard} with shards={config.shards}, expected 0 … {config.shards - 1}")


def _check_device(device: str) -> None:
    import torch

    kind, _, index = device.partition(":")
    _one_of("device", kind, ("auto", "cpu", "cuda"))
    if kind == "cuda":
        count = torch.cuda.device_count()
        if count == 0:
            raise ConfigError(f"device={device}, but PyTorch sees no CUDA device here; expected cpu or auto")
        if index and not (index.isdigit() and int(index) < count):
            raise ConfigError(f"device={device}, expected cuda:0 … cuda:{count - 1}")
    elif index:
        raise ConfigError(f"device={device}, expected {kind}")


def _check_sweep(config) -> None:
    sweep, grid = config.sweep, config.sweep.grid
    for axis, values in vars(grid).items():
        option = f"sweep.grid.{axis}"
        if not values:
            raise ConfigError(f"{option}=[], expected at least one value")
        if len(set(values)) < len(values):
            raise ConfigError(f"{option}={values}, expected each value once")
    for axis in ("depth", "width"):
        for value in getattr(grid, axis):
            _at_least(f"sweep.grid.{axis}", value, 1)
    for value in grid.activation:
        _one_of("sweep.grid.activation", value, ACTIVATIONS)
    for axis, least, words in (
        ("rescaling", 0, "above 0"),
        ("weight_decay", -1, "0 or above"),
        ("skip", -math.inf, ""),
    ):
        for value in getattr(grid, axis):
            if not math.isfinite(value) or not value > least or (axis == "weight_decay" and value < 0):
                raise ConfigError(f"sweep.grid.{axis}={value}, expected a finite number {words}".rstrip())
    _one_of("sweep.scale", sweep.scale, SCALES)
    if sweep.sweeps:
        _check_series(config)
        return
    _check_claims(sweep)
    for option, values, choices in (
        ("relations", sweep.relations, relations()),
        ("paths", sweep.paths, tuple(members("path"))),
        ("alignments", sweep.alignments, ALIGNMENTS),
        ("measures", sweep.measures, tuple(members("measure"))),
        ("figures", sweep.figures, tuple(members("report.figure"))),
    ):
        for value in values:
            _one_of(f"sweep.{option}", value, choices)
        if len(set(values)) < len(values):
            raise ConfigError(f"sweep.{option}={values}, expected each value once")
    _at_least("sweep.seeds", sweep.seeds, 1)
    _at_least("sweep.points", sweep.points, 3)
    if not 0 < sweep.tolerance < 1:
        raise ConfigError(f"sweep.tolerance={sweep.tolerance}, expected a number between 0 and 1")
    _check_function(config)


def _check_claims(sweep) -> None:
    made, option = of_sweep(sweep.name), "sweep.claims"
    if sweep.claims and not made:
        raise ConfigError(f"{option} gives tolerances, but no file engine/claim/{sweep.name}.py makes claims of them")
    for name in sweep.claims:
        if name not in made:
            raise ConfigError(unknown_option(f"{option}.{name}", option, name, list(made)))
    if missing := [name for name in made if name not in sweep.claims]:
        raise ConfigError(f"{option} gives no tolerance for {', '.join(missing)} of engine/claim/{sweep.name}.py")
    for name, given in sweep.claims.items():
        if not given.tolerance >= 0:
            raise ConfigError(f"{option}.{name}.tolerance={given.tolerance}, expected a number from 0")


def _check_series(config) -> None:
    """What may stand beside a sweep made of sweeps.

    Raises:
        ConfigError: an option that is not handed on to the sweeps.
    """
    name, known = config.sweep.name, sweeps()
    for given in config.sweep.sweeps:
        _one_of("sweep.sweeps", given, [other for other in known if other != name])
    alone = recorded(OmegaConf.to_object(compose([f"+sweep={name}"], [])))
    free = (*CARRIED, *INCIDENTAL, "sweep.scale", "sweep.sweeps")
    for option, value in flatten(recorded(config)).items():
        if (
            not any(option == one or option.startswith(f"{one}.") for one in free)
            and flatten(alone).get(option) != value
        ):
            raise ConfigError(
                f"{option}={value}: sweep={name} runs the sweeps {', '.join(config.sweep.sweeps)}, each with its own "
                f"options; expected one of {', '.join(sorted(set(free)))} beside it"
            )


def _check_function(config) -> None:
    """What data, network, loss and minima must agree on; reads the user's files.

    Raises:
        ConfigError: names the options that do not go together.
    """
    from engine.plan import blocks

    try:
        for block in blocks(config.sweep.grid, 1, 1):
            shape = config.data.shape(block.architecture)
            if shape.train < 1:
                share = getattr(config.data, "test_share", 0)
                raise ConfigError(f"data.test_share={share} leaves none of {shape.test} samples to train on; give less")
            network = config.network.build(shape, block.architecture, config.loss)
            if network.reason:
                raise ConfigError(f"sweep.grid: {network.reason}")
            if config.loss == "cross_entropy" and not shape.classes:
                raise ConfigError(f"loss=cross_entropy needs class labels, data={config.data.name} has real targets")
            if reason := config.minima.reason(network, config.data, block.minima[0].weight_decay):
                raise ConfigError(f"minima={config.minima.name}: {reason}")
            batch = getattr(config.minima, "batch_size", None)
            if batch is not None and batch > shape.train:
                raise ConfigError(f"minima.batch_size={batch}, expected at most {shape.train}, the training samples")
    except ValueError as error:
        raise ConfigError(str(error)) from None
