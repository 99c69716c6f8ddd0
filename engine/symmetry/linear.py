"""Invertible matrices between the layers of a linear network (Zhao et al. 2025, section 4.1)."""

from __future__ import annotations

import torch

import kernels
from engine.best_map import best_map
from engine.types import Pair, Split, Weights

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
        ``exp(tA) exp(tB)``.  With ``det g < 0`` there is none; where ``g`` is singular to rounding it is no element.
        """
        reasons: list[str | None] = [None] * g[0].shape[0]
        xi: list[torch.Tensor] = []
        for layer, matrix in enumerate(g, start=1):
            left = kernels.logm(matrix, check=False)
            right = torch.zeros_like(left)
            none = torch.nonzero(left.isnan().flatten(1).any(1)).ravel()
            values = torch.linalg.svdvals(matrix[none])
            regular = values[:, -1] > matrix.shape[-1] * torch.finfo(matrix.dtype).eps * values[:, 0]
            polar = regular & (torch.linalg.slogdet(matrix[none]).sign > 0)
            if polar.any():
                left, right = left.clone(), right.clone()
                left[none[polar]], right[none[polar]] = kernels.polar_log(matrix[none[polar]])
            xi += [left, right]
            for i, sound in zip(none[~polar].tolist(), regular[~polar].tolist(), strict=True):
                where = "det g < 0" if sound else "g is singular"
                reasons[i] = reasons[i] or f"{where} at hidden layer {layer}: no curve stays in the group"
        return tuple(xi), reasons

    def exp(self, xi, t):
        """Elements of the curve through the identity and ``g``."""

        def curve(generator):
            return kernels.expm(t[..., None, None] * generator.unsqueeze(-3))

        lefts, rights = xi[::2], xi[1::2]
        return tuple(curve(a) @ curve(b) if b.any() else curve(a) for a, b in zip(lefts, rights, strict=True))

    def velocity(self, xi, t):
        """``ω`` and ``ω'`` at ``t`` ``(K, T)``: ``γ' = ω·γ`` along the curve ``γ = exp(t ξ)·w``, one matrix per layer.

        ``ω = A + e^{tA} B e^{-tA}``.
        """
        omega, change = [], []
        for a, b in zip(xi[::2], xi[1::2], strict=True):
            a, b = a.unsqueeze(-3), b.unsqueeze(-3)
            forth, back = (kernels.expm(sign * t[..., None, None] * a) for sign in (1, -1))
            omega.append(a + forth @ b @ back)
            change.append(forth @ (a @ b - b @ a) @ back)
        return tuple(omega), tuple(change)

    def tangent(self, xi, weights: Weights) -> Weights:
        """``ξ·w``, the derivative of ``exp(t ξ)·w`` at 0: ``ξ_i W_i - W_i ξ_{i-1}``, ``ξ_i b_i``."""
        layers = [matrix @ layer for matrix, layer in zip(xi, weights.layers[:-1], strict=True)]
        layers.append(torch.zeros_like(weights.layers[-1]))
        for i, matrix in enumerate(xi, start=1):
            layers[i] = layers[i] - weights.layers[i] @ matrix
        if weights.biases is None:
            return Weights(tuple(layers))
        biases = [(matrix @ bias.unsqueeze(-1))[..., 0] for matrix, bias in zip(xi, weights.biases[:-1], strict=True)]
        last = weights.biases[-1]
        return Weights(tuple(layers), (*biases, last.new_zeros(*layers[0].shape[:-2], last.shape[-1])))

    def basis(self, weights: Weights):
        """A basis of the Lie algebra of the free layers, batch ``(D,)``."""
        widths = self.network.widths[1:-1]
        sizes = [width**2 if i in self.network.free else 0 for i, width in enumerate(widths, start=1)]
        eye = torch.eye(sum(sizes)).to(weights.layers[0])
        parts = zip(eye.split(sizes, dim=1), widths, strict=True)
        return tuple(
            part.reshape(-1, width, width) if part.shape[1] else eye.new_zeros(len(eye), width, width)
            for part, width in parts
        )

    def flow(self, xi):
        """The elements ``exp(ξ)``, one matrix per layer."""
        return tuple(kernels.expm(matrix) for matrix in xi)

    def align(self, a: Weights, b: Weights):
        """The element that takes the features of ``b`` to those of ``a``, by least squares on the incoming layers.

        From the first layer on: ``g_i = argmin ‖a_i - g b_i g_{i-1}⁻¹‖``; exact where ``b`` is a transformed ``a`` with
        incoming layers of full row rank.  What wider layers leave open is decided by the maps from there to the
        outputs, ``a_l ⋯ a_{i+1} g_i = b_l ⋯ b_{i+1}``, and where these do not either it stays as it is.
        """
        g, previous = [], None
        for i in range(self.network.depth - 1):
            layer_a, layer_b = a.layers[i], b.layers[i]
            if previous is not None:
                layer_b = torch.linalg.solve(previous, layer_b, left=False)
            matrix = torch.linalg.lstsq(layer_b.mT, layer_a.mT).solution.mT
            rows, columns = layer_a.shape[-2:]
            eye = torch.eye(rows, dtype=layer_a.dtype, device=layer_a.device).expand_as(matrix)
            if i + 1 not in self.network.free:
                matrix = eye
            elif rows > columns:
                out_a, out_b = (self._outgoing(weights, i) for weights in (a, b))
                missing = eye - layer_b @ torch.linalg.pinv(layer_b)
                matrix = matrix + (eye + torch.linalg.pinv(out_a) @ (out_b - out_a)) @ missing
            g.append(matrix)
            previous = matrix
        return tuple(g)

    def _outgoing(self, weights: Weights, i: int) -> torch.Tensor:
        """The map from hidden layer ``i + 1`` to the outputs, skips left out."""
        product = weights.layers[-1]
        for layer in weights.layers[-2:i:-1]:
            product = product @ layer
        return product


def has_labels(network) -> bool:
    """Do ``label``'s signs name the components of the network's minimum?  Not with skips or biases."""
    return network.activation == "linear" and not network.skips and not network.bias


def label(network, weights: Weights, split: Split) -> list[tuple[int, ...]]:
    """What names the component of each minimum of a linear network: ``sgn det(W_i ⋯ W_1 V)`` where ``d_i = r``.

    ``r`` is the least width and ``V`` a basis of the row space of the best reachable map.  Where all layers are square
    these are ``sgn det(W_i ⋯ W_1)``, as good as ``sgn det W_i`` (Cor. 4.2 of Zhao et al. 2025); where the map has a
    rank below ``r`` the minimum is connected (Trager, Kohn, Bruna 2020).

    Args:
        network: linear, without skips and biases.
        weights: ``(K, …)``, minima.
        split: the data they are minima on.

    Returns:
        For each minimum as many signs as there are hidden layers of the least width, 1 or -1.

    Raises:
        ValueError: the network is not one whose components have such labels.
    """
    if not has_labels(network):
        raise ValueError(
            f"label: the network has activation={network.activation}, skip={network.skip:g}, bias={network.bias}; "
            "expected a linear network without skip and biases"
        )
    rank = min(network.widths)
    y = split.targets(network.widths[-1])
    _, basis = best_map(split.x, y, rank)
    signs, product = [], basis.expand(len(weights), *basis.shape)
    for layer, width in zip(weights.layers[:-1], network.widths[1:-1], strict=True):
        product = layer @ product
        if width == rank == basis.shape[1]:
            signs.append(torch.linalg.slogdet(product).sign.int().tolist())
    return list(zip(*signs, strict=True)) if signs else [()] * len(weights)
