"""A sweep made of sweeps: each runs into its own directory inside one, and their claims stand together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import claim, manifest, plan, results
from engine.config import CARRIED, read


def parts(config) -> dict[str, Any]:
    """The configuration of each sweep by name: its own, at the same scale, with what is carried over."""
    carried = {name: getattr(config, name) for name in CARRIED}
    return {
        name: replace(
            read([f"+sweep={name}", f"sweep.scale={config.sweep.scale}"]), **carried, out=str(Path(config.out) / name)
        )
        for name in config.sweep.sweeps
    }


def run_series(config, execute) -> Path:
    """Run every sweep; one that is finished already is left as it is.

    Args:
        config: a checked configuration with ``sweep.sweeps``.
        execute: what runs one of them, or prints its plan.

    Returns:
        The results directory.
    """
    directory, chosen = Path(config.out), parts(config)
    if not config.dry:
        manifest.open_directory(directory, config, results.schema(), {"sweeps": config.sweep.sweeps})
    for name, part in chosen.items():
        print(f"\n{name}: {part.sweep.about}", flush=True)
        execute(part)
    if not config.dry and all(_complete(part) for part in chosen.values()):
        from engine.report import report

        claim.write(directory)
        report(directory)
    return directory


def _complete(config) -> bool:
    """Whether every block is there, whoever computed it."""
    keys = {block.key for block in plan.blocks(config.sweep.grid, config.sweep.seeds, config.block)}
    return keys <= results.stored(Path(config.out)).keys()
