"""Imported by the server from which the tests' processes are forked: all that a sweep imports, and nothing computed."""

import gc
import importlib

from numba.core.registry import cpu_target

from engine.discovery import members

for name in (
    "engine.command_line",
    "engine.report.page",
    "engine.shard",
    "kernels.path_loss.tiles",
    "kernels.train.tiles",
    "pyarrow.dataset",
):
    importlib.import_module(name)
for family in ("claim", "data", "measure", "minima", "network", "path", "report.figure", "symmetry", "tracking"):
    members(family)
for context in (cpu_target.typing_context, cpu_target.target_context):
    context.refresh()  # numba imports the rest of itself
gc.freeze()  # in forked processes nobody looks for garbage among it
