"""Permutation of hidden units, a symmetry of every network with a pointwise activation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from engine.types import Pair, Weights

SWEEPS = 100  # of coordinate descent; the objective grows strictly, so it ends by itself, usually within ten

THREADED = 128  # units from which an assignment takes long enough, half a millisecond, to be worth a thread


@dataclass
class Config:
    """Options of weight matching."""

    # starting points of the coordinate descent, for networks with more than one hidden layer
    starts: int = 5

    def __post_init__(self):
        if self.starts < 1:
            raise ValueError(f"symmetry.permutation.starts={self.starts}, expected at least 1")


class Group:
    """The product of the symmetric groups of the free hidden layers.

    An element is one row of indices per hidden layer: unit ``j`` of the moved network is unit ``g[j]`` of the old one.
    """

    relation = "permuted"
    reason: str | None

    def __init__(self, network, options: Config | None = None):
        self.network = network
        self.options = options or Config()
        self.reason = None
        if network.depth < 2:
            self.reason = "no hidden layer to permute at depth 1"
        elif not network.free:
            self.reason = "a skip connection starts or ends at every hidden layer"

    def random(self, generator: torch.Generator):
        """A uniform permutation of every free hidden layer."""
        return tuple(
            torch.randperm(width, generator=generator)[None] if i in self.network.free else torch.arange(width)[None]
            for i, width in enumerate(self.network.widths[1:-1], start=1)
        )

    def related(self, pair: Pair, generator: torch.Generator):
        """A random element."""
        return self.random(generator)

    def act(self, g, weights: Weights) -> Weights:
        """Rows of the incoming layer and bias, and columns of the outgoing layer, taken in the order ``g``."""
        layers, biases = list(weights.layers), list(weights.biases or ())
        for i, order in enumerate(g):
            layers[i] = layers[i].gather(-2, order.unsqueeze(-1).expand_as(layers[i]))
            layers[i + 1] = layers[i + 1].gather(-1, order.unsqueeze(-2).expand_as(layers[i + 1]))
            if biases:
                biases[i] = biases[i].gather(-1, order)
        return Weights(tuple(layers), tuple(biases) or None)

    def compose(self, g, h):
        """First ``h``, then ``g``."""
        return tuple(b.gather(-1, a) for a, b in zip(g, h, strict=True))

    def inverse(self, g):
        """Inverse permutations."""
        return tuple(order.argsort(-1) for order in g)

    def log(self, g):
        """None: the group is discrete."""
        return None

    def align(self, a: Weights, b: Weights):
        """Weight matching (Ainsworth, Hayase, Srinivasa 2023): the best of several coordinate descents on ``⟨a, g b⟩``.

        With one hidden layer the assignment problem is solved exactly, so one start is enough.
        """
        starts = self.options.starts if len(self.network.free) > 1 else 1
        # the starts are drawn alike for every pair, so that an alignment depends on its pair alone
        generator = torch.Generator().manual_seed(0)
        best, score = None, None
        for start in range(starts):
            g = tuple(
                torch.arange(width)[None] if start == 0 or i not in self.network.free
                else torch.randperm(width, generator=generator)[None]
                for i, width in enumerate(self.network.widths[1:-1], start=1)
            )  # fmt: skip
            g, value = self._descend(a, b, tuple(order.expand(len(a), -1).to(a.layers[0].device) for order in g))
            if best is None:
                best, score = g, value
            else:
                better = value > score
                best = tuple(torch.where(better[:, None], new, old) for new, old in zip(g, best, strict=True))
                score = torch.where(better, value, score)
        return best

    def _descend(self, a: Weights, b: Weights, g):
        """Solve for one layer after the other until nothing moves; returns the element and ``⟨a, g b⟩``."""
        g = list(g)
        value = self._agreement(a, self.act(g, b))
        for _ in range(SWEEPS):
            for layer in self.network.free:
                i = layer - 1
                g[i] = torch.arange(g[i].shape[-1], device=g[i].device).expand_as(g[i])
                moved = self.act(g, b)  # all other layers permuted
                gain = a.layers[i] @ moved.layers[i].mT + a.layers[i + 1].mT @ moved.layers[i + 1]
                if a.biases is not None:
                    gain = gain + a.biases[i].unsqueeze(-1) * moved.biases[i].unsqueeze(-2)
                g[i] = _assign(gain)
            old, value = value, self._agreement(a, self.act(g, b))
            if not (value > old + 1e-12 * old.abs()).any():
                break
        return tuple(g), value

    def _agreement(self, a: Weights, b: Weights):
        return sum((p * q).flatten(1).sum(1) for p, q in zip(a.parameters, b.parameters, strict=True))


def _assign(gain: torch.Tensor) -> torch.Tensor:
    """For each matrix ``(K, h, h)`` the column assigned to each row so that the sum is largest.

    A matrix with entries that are not finite keeps the identity: its losses are not finite either and say so.
    """
    matrices = gain.detach().cpu().numpy()

    def solve(matrix):
        if not np.isfinite(matrix).all():
            return np.arange(len(matrix))
        return linear_sum_assignment(matrix, maximize=True)[1]

    if matrices.shape[-1] < THREADED:
        columns = [solve(matrix) for matrix in matrices]
    else:
        with ThreadPoolExecutor() as pool:
            columns = list(pool.map(solve, matrices))
    return torch.from_numpy(np.stack(columns)).to(gain.device)
