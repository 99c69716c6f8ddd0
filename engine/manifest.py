"""What is recorded before a sweep begins, and whether a directory holds the sweep that is asked for."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine import results, turns
from engine.config import INCIDENTAL, recorded
from engine.measure import ALWAYS

PACKAGES = ("isoloss", "torch", "triton", "numpy", "scipy", "numba", "scikit-learn", "hydra-core", "pyarrow", "wandb")
OF_A_LAUNCH = ("jobs", "logs", turns.LAUNCH)  # what may be there before the manifest


def open_directory(directory: Path, config, schema: pa.Schema, plan: dict[str, int]) -> None:
    """Make the results directory, or go on with one that holds the same sweep.

    Args:
        directory: where the results go.
        config: a checked configuration.
        schema: the columns of the rows.
        plan: how many ``blocks`` and ``cells`` there will be.

    Raises:
        ResultsError: it holds another sweep, something else, or cannot be written.
    """
    examine(directory, config)
    manifest = {
        "config": recorded(config),
        "plan": plan,
        "columns": {field.name: str(field.type) for field in schema},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {platform.system()}",
        "device": _device(config.device),
        "versions": versions(),
        "commit": commit(),
        "command": sys.argv[1:],
    }
    try:
        results.write_manifest(directory, manifest)
    except OSError as error:
        raise results.ResultsError(f"out={directory} cannot be written: {error.strerror or error}") from None
    examine(directory, config)  # of several processes one wrote it


def examine(directory: Path, config) -> None:
    """Refuse a directory that cannot take the results of a sweep; nothing is written.

    Args:
        directory: where the results go; it need not exist.
        config: a checked configuration.

    Raises:
        ResultsError: it holds another sweep, something else, or cannot be written.
    """
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    # before the manifest is looked for: another process may write it now, and all it writes else comes after that
    names = _strange(directory) if there == directory and there.is_dir() else []
    if not there.is_dir() or not os.access(there, os.W_OK):
        what = "is no directory" if not there.is_dir() else "cannot be written"
        raise results.ResultsError(f"out={directory}: {there} {what}; expected a directory that can be written")
    if (directory / results.MANIFEST).exists():
        differing = differences(recorded(config), results.read_manifest(directory)["config"])
        if differing:
            told = "; ".join(f"{name}: {theirs!r} there, {ours!r} here" for name, (ours, theirs) in differing.items())
            raise results.ResultsError(f"out={directory} holds another sweep ({told}); expected another directory")
    elif names:
        raise results.ResultsError(
            f"out={directory} exists and is no results directory (it has {names[0]}); expected a new or empty one"
        )


def same_sweep(first, other) -> None:
    """Refuse two jobs of a multirun that are no shares of one sweep: they would write into one directory.

    Args:
        first: a checked configuration.
        other: another.

    Raises:
        ResultsError: they differ in what rows follow from.
    """
    for name, (ours, theirs) in differences(recorded(first), recorded(other)).items():
        raise results.ResultsError(
            f"-m: {name} is {ours!r} in one job and {theirs!r} in another, expected jobs that share one sweep and one "
            f"directory, as with 'shard=range(N)'; run different sweeps one after the other"
        )


def _strange(directory: Path) -> list[str]:
    """Names in a directory that nobody leaves there before the manifest; half written files are nothing yet."""
    names = sorted(path.name for path in directory.iterdir())
    return [name for name in names if name not in OF_A_LAUNCH and not results.is_temporary(name)]


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Options that make two configurations different sweeps, by dotted name: our value and theirs."""
    ours, theirs = _essential(ours), _essential(theirs)
    return {
        name: (ours.get(name), theirs.get(name))
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    }


def _essential(plain: dict[str, Any]) -> dict[str, Any]:
    """The options that rows follow from, by dotted name; those of paths and measures the sweep does not use are not."""
    # what members had for a family's member that is used stands there
    kept = {name: value for name, value in plain.items() if name not in (*INCIDENTAL, "members")}
    for family, used in (("path", plain["sweep"]["paths"]), ("measure", (*ALWAYS, *plain["sweep"]["measures"]))):
        kept[family] = {name: options for name, options in plain[family].items() if name in used}
    return results.flatten(kept)


def versions() -> dict[str, str]:
    """The packages that results may depend on, those that are installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def commit() -> str | None:
    """The commit of the checkout the engine runs from, marked where files differ from it; None in a wheel."""
    here = Path(__file__).resolve().parent

    def git(*words):
        return subprocess.run(
            ("git", "-C", here, *words), capture_output=True, text=True, timeout=10, check=True
        ).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()) != here.parent:
            return None
        changed = git("status", "--porcelain", "--untracked-files=no").strip()
        return git("rev-parse", "HEAD").strip() + (" with changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _device(name: str) -> str:
    import torch

    if name == "cpu" or not torch.cuda.is_available():
        return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return torch.cuda.get_device_name(None if name == "auto" else name)
