"""The configuration: its schema, found in the families' files, and its checking before anything is done.

Besides ``__main__`` the only file that knows Hydra and OmegaConf.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine import results
from engine.align import ALIGNMENTS
from engine.claim import of_sweep
from engine.cluster import Cluster
from engine.discovery import members
from engine.results import flatten
from kernels.errors import ACTIVATIONS

HERE = Path(__file__).resolve().parent
# in a checkout beside the package, in a wheel inside it
CONF = next(path for path in (HERE.parent / "conf", HERE / "conf") if (path / "config.yaml").is_file())

CHOSEN = ("data", "network", "minima", "tracking")  # families of which a sweep uses one member
OPTIONS = ("symmetry", "path", "measure")  # families whose members have options of their own
LOSSES = ("mse", "sse", "cross_entropy")
PRECISIONS = ("float64", "float32")
RELATIONS = ("rescaled", "permuted", "transformed", "independent")
# what a sweep made of sweeps hands on to each of them
CARRIED = ("seed", "block", "precision", "device", "memory_gb", "shards", "shard", "cluster", "tracking", "dry")
SCALES = ("default", "full")
# two configurations that agree in all else are the same sweep
INCIDENTAL = ("out", "resume", "shards", "shard", "tracking", "cluster", "device", "dry", "memory_gb")
CHECKED_JOBS = 32  # each takes a tenth of a second


class ConfigError(Exception):
    """A configuration that cannot be run; its message names the option and the valid choices."""


class NoSweep(ConfigError):
    """Nothing says which sweep to run."""


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
    # how the second minimum of a pair comes about: rescaled, permuted, transformed, independent
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
        for name, module in members(family).items():
            store.store(group=family, name=name, node=module.Config)
    OmegaConf.register_new_resolver("scale", _at_scale, replace=True)


def _at_scale(default: Any, full: Any, *, _root_: Any) -> Any:
    return full if _root_.sweep.scale == "full" else default


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
    return [
        check(_compose(overrides, search), overrides) for overrides in _expand(_parse(args.overrides), args.multirun)
    ]


def as_option(name: str, value: Any) -> str:
    """``NAME=VALUE`` as the command line reads it, whatever characters are in the value."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether ``--help`` or ``-h`` is among the arguments."""
    return get_args_parser().parse_args(list(argv)).help


def chosen(argv: Sequence[str]) -> Any:
    """The configuration a command line composes to, unchecked; None where it names no sweep.

    Raises:
        ConfigError: it does not compose.
    """
    cfg = _compose([override.input_line for override in _parse(get_args_parser().parse_args(list(argv)).overrides)], [])
    return None if cfg.sweep is None else OmegaConf.to_object(cfg)


def _parse(overrides: Sequence[str]) -> list:
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(f"the command line cannot be read: {_first_lines(error)}") from None


def read(overrides: Sequence[str]) -> Any:
    """The checked configuration of one job, from options as on the command line.

    Args:
        overrides: ``"+sweep=barriers"``, ``"seed=1"``, …

    Returns:
        An instance of the root schema.

    Raises:
        ConfigError: an option is unknown or has a value that cannot be.
    """
    return check(_compose(overrides, []), overrides)


def _expand(overrides, multirun: bool) -> Iterator[list[str]]:
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


def _compose(overrides: Sequence[str], search: Sequence[str]):
    """The configuration of one job.

    Raises:
        ConfigError: it does not compose.
    """
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = [f"hydra.searchpath=[{','.join(str(Path(path).resolve()) for path in search)}]"] if search else []
        groups = GlobalHydra.instance().config_loader().get_group_options
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        choosing = [o.input_line for o in parsed if "/" in o.key_or_group or groups(o.key_or_group)]
        try:
            base = compose("config", [*found, *choosing])
            for override in parsed:
                if override.input_line not in choosing and not override.key_or_group.startswith("hydra."):
                    _check_known(override.key_or_group, base)
            return compose("config", [*found, *overrides])
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(error)) from None


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


def unknown_option(option: str, at: str, part: str, known: Sequence[str]) -> str:
    """One sentence about a key that does not exist."""
    near = difflib.get_close_matches(part, known, 1)
    prefix = f"{at}." if at else ""
    hint = f"; did you mean '{prefix}{near[0]}'?" if near else ""
    place = f"of {at}" if at else "there are"
    listed = f" The options {place}: {', '.join(sorted(known))}." if known else f" {at} has no options."
    return f"unknown option '{option}'{hint}{'' if hint else '.'}{listed}"


def _explain(error: Exception) -> str:
    """Hydra's and OmegaConf's messages in a line or a few."""
    missing, options = getattr(error, "missing_cfg_file", None), getattr(error, "options", None)
    if missing == "hydra/launcher/submitit_slurm":
        return "cluster=slurm needs the package hydra-submitit-launcher: pip install 'isoloss[cluster]'"
    if missing and options:
        family, _, name = missing.rpartition("/")
        return unknown_choice(f"{'+' if family == 'sweep' else ''}{family}", name, options)
    text = _first_lines(error)
    if match := re.search(r"In 'sweep/(\w+)': ConfigKeyError .*Key '(\w+)' not in", text, re.DOTALL):
        sweep, option = match.groups()
        return (
            f"+sweep={sweep} sets the option '{option}' of a member that was replaced by another; leave "
            f"{', '.join(CHOSEN)} as the sweep has them (--cfg job shows it)"
        )
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    if cause is not None and _first_lines(cause) not in text:
        text = f"{text}: {_first_lines(cause)}"
    full_key = getattr(error, "full_key", None)
    text = text.replace("is not a ListConfig, list or tuple.", "is no list; expected values in brackets: [1,2]")
    return f"{full_key}: {text}" if full_key and full_key not in text else text


def unknown_choice(option: str, given: Any, choices: Sequence[str]) -> str:
    """One sentence about a value that is not among the choices."""
    near = difflib.get_close_matches(str(given), choices, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{option}={given}, expected one of {', '.join(choices)}.{hint}"


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return "\n  ".join(kept[:20])


def sweeps() -> dict[str, str]:
    """The named sweeps and what each is about."""
    found = {path.stem: OmegaConf.load(path) for path in sorted((CONF / "sweep").glob("*.yaml"))}
    return {name: str(OmegaConf.select(config, "sweep.about", default="")) for name, config in found.items()}


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
        cfg = _resumed(cfg, _parse(overrides))
    if cfg.sweep is None:
        raise NoSweep(f"no sweep is named: add +sweep=NAME, one of {', '.join(sweeps())}")
    plain = OmegaConf.to_container(cfg, resolve=False)
    _check_keys(plain, OmegaConf.to_container(OmegaConf.structured(root_schema()), resolve=False))
    try:
        config = OmegaConf.to_object(cfg)
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_explain(error)) from None
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
    _check_sweep(config)
    return config


def _check_keys(given: Mapping, known: Mapping, at: str = "") -> None:
    for key, value in given.items():
        if key not in known:
            raise ConfigError(unknown_option(f"{at}{key}", at.rstrip("."), str(key), [str(k) for k in known]))
        if isinstance(value, Mapping) and isinstance(known[key], Mapping):
            _check_keys(value, known[key], f"{at}{key}.")


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
        ("relations", sweep.relations, RELATIONS),
        ("paths", sweep.paths, tuple(members("path"))),
        ("alignments", sweep.alignments, ALIGNMENTS),
        ("measures", sweep.measures, tuple(members("measure"))),
        ("figures", sweep.figures, tuple(members("report.figure"))),
    ):
        for value in values:
            _one_of(f"sweep.{option}", value, choices)
    _at_least("sweep.seeds", sweep.seeds, 1)
    _at_least("sweep.points", sweep.points, 3)
    if not 0 < sweep.tolerance < 1:
        raise ConfigError(f"sweep.tolerance={sweep.tolerance}, expected a number between 0 and 1")
    _check_function(config)


def _check_claims(sweep) -> None:
    made, option = of_sweep(sweep.name), "sweep.claims"
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
    alone = recorded(OmegaConf.to_object(_compose([f"+sweep={name}"], [])))
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
            network = config.network.build(shape, block.architecture, config.loss)
            if config.loss == "cross_entropy" and not shape.classes:
                raise ConfigError(f"loss=cross_entropy needs class labels, data={config.data.name} has real targets")
            if reason := config.minima.reason(network, config.data):
                raise ConfigError(f"minima={config.minima.name}: {reason}")
            batch = getattr(config.minima, "batch_size", None)
            if batch is not None and batch > shape.train:
                raise ConfigError(f"minima.batch_size={batch}, expected at most {shape.train}, the training samples")
    except ValueError as error:
        raise ConfigError(str(error)) from None


def recorded(config) -> dict[str, Any]:
    """The configuration as plain values, for the manifest and for W&B."""
    return OmegaConf.to_container(OmegaConf.structured(config), resolve=True)


def _resumed(cfg, overrides) -> Any:
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
    merged = _merged(recorded_there)
    OmegaConf.update(merged, "out", str(directory))
    # which shares are computed and how is this command line's own affair
    for name in ("resume", "shards", "shard", "cluster", "dry"):
        merged[name] = cfg[name]
    for name in names:
        root = name.partition(".")[0]
        if name == root or "tracking" in names:  # a family's member was chosen: all of its options are this line's
            merged[root] = cfg[root] if root != "out" else str(directory)
        else:
            OmegaConf.update(merged, name, OmegaConf.select(cfg, name))
    return merged


def _merged(plain: Mapping[str, Any]) -> Any:
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
        raise ConfigError(f"the recorded configuration does not fit this version: {_explain(error)}") from None


def restore(plain: Mapping[str, Any]) -> Any:
    """The typed configuration from what ``recorded`` gave.

    Raises:
        ConfigError: it was written by another version of the schema.
    """
    return check(_merged(plain), [])
