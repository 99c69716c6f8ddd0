"""The data-dependent action on two layers with any activation (Zhao et al. 2025, Prop. 6.1): approximate in general.

``(V, b, U) → (g V, g b, U σ(Z) σ(g Z)⁺)`` with ``Z = V X + b``.  The output changes by at most its own norm; it
does not change, and this is a group's action, where ``σ(g Z)`` has full column rank, which needs ``N ≤ h``.
"""

from __future__ import annotations

import torch

import kernels
from engine.types import Pair, Weights

RANK = 1e-12  # singular values of σ(gZ) below this share of the largest count as zero


class Group:
    """Invertible matrices at the hidden layer of a two-layer network; ``on(x)`` binds the data they act through."""

    relation = None
    reason: str | None

    def __init__(self, network, options=None, x: torch.Tensor | None = None):
        self.network, self.x = network, x
        self.reason = "acts through the data: bind them with on(x)" if x is None else None
        if network.depth != 2:
            self.reason = f"acts on two layers, the network has {network.depth}"

    def on(self, x: torch.Tensor) -> Group:
        """The group that acts through ``x`` ``(N, d_0)``."""
        return Group(self.network, None, x)

    def random(self, generator: torch.Generator):
        """``exp(ξ)`` with a Gaussian ``ξ`` of spectral norm about one."""
        h = self.network.widths[1]
        return (kernels.expm(torch.randn(1, h, h, generator=generator, dtype=torch.float64) / (2 * h**0.5)),)

    def related(self, pair: Pair, generator: torch.Generator):
        """A random element."""
        return self.random(generator)

    def act(self, g, weights: Weights) -> Weights:
        """``V → g V``, ``b → g b``, and ``U`` refitted to the output it gave."""
        (matrix,) = g
        first, last = weights.layers
        biases = weights.biases
        if biases is not None:
            biases = ((matrix @ biases[0].unsqueeze(-1)).squeeze(-1), biases[1])
        moved = Weights((matrix @ first, last), biases)
        before, after = (self.network.layers(stack, self.x)[1] for stack in (weights, moved))
        return Weights((moved.layers[0], refit(before @ last.mT, after)), biases)

    def compose(self, g, h):
        """Matrix products."""
        return (g[0] @ h[0],)

    def inverse(self, g):
        """Matrix inverses."""
        return (torch.linalg.inv(g[0]),)

    def log(self, g):
        """The principal logarithm."""
        xi = kernels.logm(g[0], check=False)
        none = xi.isnan().flatten(1).any(1).tolist()
        return (xi,), ["g has no principal logarithm" if missing else None for missing in none]

    def exp(self, xi, t):
        """``exp(t ξ)``."""
        return (kernels.expm(t[..., None, None] * xi[0].unsqueeze(-3)),)

    def align(self, a: Weights, b: Weights):
        """The element that takes the first layer of ``b`` to that of ``a``, by least squares."""
        return (torch.linalg.lstsq(b.layers[0].mT, a.layers[0].mT).solution.mT,)


def refit(outputs: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The smallest last layer ``(*batch, d_l, h)`` that gives, in least squares, the outputs on the features.

    ``outputs`` ``(*batch, N, d_l)``, ``features`` ``(*batch, N, h)``.
    """
    return (torch.linalg.pinv(features, rtol=RANK) @ outputs).mT
