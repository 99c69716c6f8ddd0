"""Invertible matrices between the layers of a linear network (Zhao et al. 2025, section 4.1)."""

from __future__ import annotations

import torch

import kernels
from engine.types import Pair, Weights

STRETCH = 2.0  # singular values of a random element lie between 1/STRETCH and STRETCH


class Group:
    """The product of the general linear groups of the free hidden layers; an element is a matrix per hidden layer."""

    relation = "transformed"
    reason: str | None

    def __init__(self, network, options=None):
        self.network = network
        self.reason = None
        if network.depth < 2:
            self.reason = "no hidden layer to transform at depth 1"
        elif network.activation != "linear":
            self.reason = f"{network.activation} does not commute with invertible matrices"
        elif not network.free:
            self.reason = "a skip connection starts or ends at every hidden layer"

    def random(self, generator: torch.Generator):
        """Orthogonal matrices times moderate scales, either sign of the determinant."""

        def element(width):
            left, right = (
                torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0]
                for _ in range(2)
            )
            scales = STRETCH ** (2 * torch.rand(width, generator=generator, dtype=torch.float64) - 1)
            flip = torch.where(torch.rand(1, generator=generator, dtype=torch.float64) < 0.5, -1.0, 1.0)
            scales[:1] = scales[:1] * flip
            return (left * scales) @ right

        return tuple(
            (element(width) if i in self.network.free else torch.eye(width, dtype=torch.float64))[None]
            for i, width in enumerate(self.network.widths[1:-1], start=1)
        )

    def related(self, pair: Pair, generator: torch.Generator):
        """A random element."""
        return self.random(generator)

    def act(self, g, weights: Weights) -> Weights:
        """``W_i → g_i W_i g_{i-1}⁻¹``, ``b_i → g_i b_i``."""
        layers, biases = list(weights.layers), list(weights.biases or ())
        for i, matrix in enumerate(g):
            layers[i] = matrix @ layers[i]
            layers[i + 1] = torch.linalg.solve(matrix, layers[i + 1], left=False)
            if biases:
                biases[i] = (matrix @ biases[i].unsqueeze(-1)).squeeze(-1)
        return Weights(tuple(layers), tuple(biases) or None)

    def compose(self, g, h):
        """Matrix products."""
        return tuple(a @ b for a, b in zip(g, h, strict=True))

    def inverse(self, g):
        """Matrix inverses."""
        return tuple(torch.linalg.inv(matrix) for matrix in g)

    def log(self, g):
        """``A, B`` for each layer with ``g = exp(A) exp(B)``.

        These are the principal logarithm and 0 where there is one, else the logarithms of the polar form; the curve is
        ``exp(tA) exp(tB)``.  With ``det g < 0`` there is none.
        """
        reasons: list[str | None] = [None] * g[0].shape[0]
        xi: list[torch.Tensor] = []
        for layer, matrix in enumerate(g, start=1):
            left = kernels.logm(matrix, check=False)
            right = torch.zeros_like(left)
            none = left.isnan().flatten(1).any(1)
            positive = torch.linalg.slogdet(matrix).sign > 0
            polar = none & positive
            if polar.any():
                left, right = left.clone(), right.clone()
                left[polar], right[polar] = kernels.polar_log(matrix[polar])
            xi += [left, right]
            for i in torch.nonzero(none & ~positive).ravel().tolist():
                reasons[i] = reasons[i] or f"det g < 0 at hidden layer {layer}: no curve stays in the group"
        return tuple(xi), reasons

    def exp(self, xi, t):
        """Elements of the curve through the identity and ``g``."""

        def curve(generator):
            return kernels.expm(t[..., None, None] * generator.unsqueeze(-3))

        lefts, rights = xi[::2], xi[1::2]
        return tuple(curve(a) @ curve(b) if b.any() else curve(a) for a, b in zip(lefts, rights, strict=True))

    def align(self, a: Weights, b: Weights):
        """The element that takes the features of ``b`` to those of ``a``, by least squares on the incoming layers.

        From the first layer on: ``g_i = argmin ‖a_i - g b_i g_{i-1}⁻¹‖``; exact where ``b`` is a transformed ``a`` with
        incoming layers of full row rank.
        """
        g, previous = [], None
        for i in range(self.network.depth - 1):
            layer_a, layer_b = a.layers[i], b.layers[i]
            if previous is not None:
                layer_b = torch.linalg.solve(previous, layer_b, left=False)
            matrix = torch.linalg.lstsq(layer_b.mT, layer_a.mT).solution.mT
            if i + 1 not in self.network.free:
                matrix = torch.eye(layer_a.shape[-2], dtype=layer_a.dtype, device=layer_a.device).expand_as(matrix)
            g.append(matrix)
            previous = matrix
        return tuple(g)
