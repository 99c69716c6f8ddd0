"""Paths between the two minima of a pair: one file each.

A member is a module with a class ``Path(network, pairs, options)`` for a whole stack of pairs and these members:

``reasons``
    For each pair None, or why there is no such path.
``points(t)``
    The stack at ``t`` ``(K, T)``, batch ``(K, T)``; ``points`` at 0 and 1 are the two minima.
``learn(split)``
    Make of the training data what the path needs of them; most need nothing.
``loss(split, t, names)``
    Losses ``(K, T)``, one tensor per name; by default those of ``points``, through ``kernels.curve_loss``.
``take(index)``
    The same path for some of the pairs.
``refine``
    Whether the maximum is searched for between the coarse points.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from engine.types import Split, Weights


class Curve:
    """A path given by explicit points; subclasses define ``points``."""

    refine = True

    def __init__(self, network, pairs, options=None):
        self.network, self.pairs = network, pairs
        self.reasons: list[str | None] = [None] * len(pairs)

    def points(self, t: Tensor) -> Weights:
        """The stack with batch ``(K, T)`` at ``t`` ``(K, T)``."""
        raise NotImplementedError

    def learn(self, split: Split) -> None:
        """Nothing to learn."""

    def loss(self, split: Split, t: Tensor, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        """Losses ``(K, T)`` at ``t`` ``(K, T)``, one tensor per name."""
        return self.network.curve_loss(self.points(t), split, names)

    def take(self, index: Tensor) -> Curve:
        """The same path for some of the pairs; a subclass with more that belongs to each pair takes that too."""
        taken = copy(self)
        taken.pairs, taken.reasons = self.pairs[index], [self.reasons[i] for i in index.tolist()]
        return taken
