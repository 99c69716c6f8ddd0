"""No tracking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Config:
    """Options of ``tracking=none``."""

    name: str = "none"

    def start(self, config, directory) -> Config:
        """The tracker is the configuration itself: there is nothing to keep."""
        return self

    def block(self, block, table) -> None:
        """Nothing."""

    def finish(self, table, figures) -> None:
        """Nothing."""
