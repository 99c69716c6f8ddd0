"""Finding the members of a family (data, network, minima, …) by the files in its folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def members(family: str) -> dict[str, ModuleType]:
    """The modules of ``engine/FAMILY/`` by name, in alphabetical order."""
    package = importlib.import_module(f"engine.{family}")
    names = sorted(entry.name for entry in pkgutil.iter_modules(package.__path__))
    return {name: importlib.import_module(f"engine.{family}.{name}") for name in names}
