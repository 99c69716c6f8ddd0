"""What is recorded before a sweep begins, and whether a directory holds the sweep that is asked for."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine import results
from engine.config import INCIDENTAL, recorded

PACKAGES = ("isoloss", "torch", "triton", "numpy", "scipy", "numba", "scikit-learn", "hydra-core", "pyarrow", "wandb")


def open_directory(directory: Path, config, schema: pa.Schema) -> Path:
    """Make the results directory, or go on with one that holds the same sweep.

    Args:
        directory: where the results go.
        config: a checked configuration.
        schema: the columns of the rows.

    Returns:
        The directory.

    Raises:
        ResultsError: it holds another sweep, something else, or cannot be written.
    """
    plain = recorded(config)
    manifest = {
        "config": plain,
        "columns": {field.name: str(field.type) for field in schema},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {platform.system()}",
        "device": _device(config.device),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
        "command": sys.argv[1:],
    }
    if directory.is_dir() and any(directory.iterdir()) and not (directory / results.MANIFEST).exists():
        others = sorted(path.name for path in directory.iterdir() if path.name not in ("multirun.yaml", ".submitit"))
        if any(not name.startswith(".") for name in others):
            raise results.ResultsError(
                f"out={directory} exists and is no results directory (it has {others[0]}); expected a new or empty one"
            )
    try:
        there = results.write_manifest(directory, manifest)
    except OSError as error:
        raise results.ResultsError(f"out={directory} cannot be written: {error.strerror or error}") from None
    differing = differences(plain, there["config"])
    if differing:
        told = "; ".join(f"{name}: {theirs!r} there, {ours!r} here" for name, (ours, theirs) in differing.items())
        raise results.ResultsError(f"out={directory} holds another sweep ({told}); expected another directory")
    return directory


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Options that make two configurations different sweeps, by dotted name: our value and theirs."""

    def essential(plain):
        return results.flatten({name: value for name, value in plain.items() if name not in INCIDENTAL})

    ours, theirs = essential(ours), essential(theirs)
    return {
        name: (ours.get(name), theirs.get(name))
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
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
