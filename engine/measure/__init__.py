"""Measured quantities: one file each.

A member is a module with ``COLUMNS``, the pyarrow type of each column it fills, and any of these functions:

``of_track(study, track, split)``
    For one path of a stack of pairs on one data split: a list with one value per pair for each column.
``of_minima(study)``
    For the minima of a block: a list with one value per minimum for each column, repeated in the rows of its pairs.
``of_block(study)``
    Rows of its own, as dictionaries, one per cell or per whatever is measured.  In the column ``control`` they may say
    what was altered so that a claim must fail (``engine.claim``): such rows are for that alone, ``engine.load`` leaves
    them out.
``of_found(study)``
    The same about the minima, where the study holds one or more of them and those alone that were found: the others
    are rows with their reason already.

A value that could not be computed is None, and the row's ``reason`` says why; it is never a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.types import not_applicable

if TYPE_CHECKING:
    from engine.minima import Found
    from engine.pairs import Pairs
    from engine.types import Block, Data
    from engine.walk import Walk

ALWAYS = ("barrier", "predicted", "minimum")  # the measures of every sweep; a sweep adds its own
# of random networks whose last hidden layer is to be rescaled
SILENT = not_applicable("no unit of the random network's last hidden layer responds to the data")


def check_growth(option: str, factors: Sequence[float]) -> None:
    """Refuse factors between whose two largest no growth is seen.

    Raises:
        ValueError: names the option and what it was given.
    """
    if min(factors, default=0) <= 0 or len({m for m in factors if m > 1}) < 2:
        raise ValueError(f"{option}={factors}, expected two or more above 1, and all above 0")


@dataclass(frozen=True)
class Study:
    """A block with its data and minima."""

    block: Block
    network: Any  # a member of engine.network
    data: Data
    found: Found
    symmetries: Mapping[str, Any]  # groups of the network by name
    config: Any

    def without_lost(self) -> Study:
        """The same with those minima alone that were found."""
        if not any(self.found.reasons):
            return self
        sound = [i for i, reason in enumerate(self.found.reasons) if reason is None]
        block = replace(self.block, minima=tuple(self.block.minima[i] for i in sound))
        return replace(self, block=block, found=self.found.take(sound))

    def lost(self) -> list[dict[str, Any]]:
        """A row for each of the others."""
        return [
            minimum.axes | {"split": "train", "reason": reason}
            for minimum, reason in zip(self.block.minima, self.found.reasons, strict=True)
            if reason
        ]


@dataclass(frozen=True)
class Track:
    """One kind of path, walked for a stack of pairs."""

    pairs: Pairs
    path: str
    alignment: str
    walk: Walk
    closed_form: Any = None  # predict.Line where it holds
