"""A sweep engine for mode connectivity through parameter-space symmetry.

``run`` does what the command line does, ``load`` reads what it wrote.  Importing this package imports neither torch nor
the kernels: they come with the first call that needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.comparison import Comparison
    from engine.count import Components


def run(sweep: str, overrides: Sequence[str] = ()) -> Path:
    """Run a named sweep, as ``python -m engine +sweep=NAME`` does.

    Args:
        sweep: its name, a file of ``conf/sweep/``.
        overrides: options as on the command line, ``"sweep.grid.width=[16,32]"``.

    Returns:
        The results directory.
    """
    from engine import config
    from engine.shard import execute

    return execute(config.read([f"+sweep={sweep}", *overrides]))


def load(directory: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a finished or running sweep but those of controls, in the order of its plan.

    Args:
        directory: a results directory.
        columns: those to read; None for all.

    Returns:
        One row per cell, pair, path and split.
    """
    from engine import reading

    return reading.load(directory, columns)


def compare(model_a: Any, model_b: Any, x: Any, y: Any, **options: Any) -> Comparison:
    """What stands between two trained networks of one architecture, and how much of it is symmetry.

    Args:
        model_a: an ``nn.Module`` of linear layers and activations, or a checkpoint's path (then with ``activation``).
        model_b: the same architecture.
        x: ``(N, features)``, tensor or array.
        y: ``(N,)`` integer labels or ``(N, outputs)`` targets.
        **options: see ``engine.comparison.compare``.

    Returns:
        Rows for the straight line before and after each alignment; printed, a table and a sentence.
    """
    from engine.comparison import compare as compared

    return compared(model_a, model_b, x, y, **options)


def count_components(widths: Sequence[int], x: Any, y: Any, **options: Any) -> Components:
    """Count the connected components of the minimum of a small network, without knowing what to expect.

    Args:
        widths: ``d_0 … d_l``; there are no biases.
        x: ``(N, d_0)`` tensor.
        y: ``(N, d_l)`` targets or ``(N,)`` integer labels.
        **options: ``activation="linear"``, ``skip=0.0``, ``samples=64``, ``seed=0``, …; see
            ``engine.count.count_components``.

    Returns:
        The components met, how they were joined, and a bound of the share of minima in others.
    """
    from engine.count import count_components as counted

    return counted(widths, x, y, **options)
