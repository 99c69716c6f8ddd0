"""A sweep engine for mode connectivity through parameter-space symmetry.

``run`` does what the command line does, ``load`` reads what it wrote.  Importing this package imports neither torch nor
the kernels: they come with the first call that needs them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class _Package(ModuleType):
    """Importing the submodule ``engine.run`` must not put the module in the place of the public function ``run``."""

    def __setattr__(self, name, value):
        if not (isinstance(value, ModuleType) and callable(getattr(self, name, None))):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def run(sweep: str, overrides: Sequence[str] = ()) -> Path:
    """Run a named sweep, as ``python -m engine +sweep=NAME`` does.

    Args:
        sweep: its name, a file of ``conf/sweep/``.
        overrides: options as on the command line, ``"sweep.grid.width=[16,32]"``.

    Returns:
        The results directory.
    """
    from engine import config
    from engine.execution import execute

    return execute(config.read([f"+sweep={sweep}", *overrides]))


def load(directory: str | Path) -> pa.Table:
    """All rows of a finished or running sweep but those of controls, in the order of its plan.

    Args:
        directory: a results directory.

    Returns:
        One row per cell, pair, path and split.
    """
    from engine import results

    return results.load(directory)
