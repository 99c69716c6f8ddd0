"""Ways to come by the minima of a block: one file each.

A member is a module with a dataclass ``Config`` and these methods:

``reason(network, data, weight_decay)``
    Why there are no such minima with these options of data and this penalty, or None.
``find(network, block, data, generators, symmetries)``
    A ``Found`` stack, one network per minimum of the block; ``generators`` holds one generator for each of them and
    ``symmetries`` the groups of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.types import Weights


@dataclass(frozen=True)
class Found:
    """A stack of minima and how well each was reached."""

    weights: Weights
    grad_norm: Tensor  # (P,), of the loss with the penalty, over the training set
    steps: Tensor  # (P,) int64 training steps taken
    reached: Tensor  # (P,) bool: the gradient norm is within the tolerance asked for
    reasons: list[str | None]  # why a minimum is unusable, or None

    def take(self, index: list[int]) -> Found:
        """Some of them."""
        at = torch.tensor(index, dtype=torch.int64)
        reasons = [self.reasons[i] for i in index]
        return Found(self.weights[at], self.grad_norm[at], self.steps[at], self.reached[at], reasons)
