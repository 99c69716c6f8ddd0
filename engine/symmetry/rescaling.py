"""Positive rescaling of hidden units, for positively homogeneous activations (Zhao et al. 2025, section 5.2).

An element is one positive factor per hidden unit: ``c`` multiplies what comes into the unit, ``c^{-k}`` what goes out.
"""

from __future__ import annotations

import torch

from engine.types import Pair, Weights

SWEEPS = 200  # of balancing, each exact for one layer; a few suffice but for badly scaled deep networks
RESIDUAL = 1e-14  # largest relative step, in log c, at which balancing stops


class Group:
    """The group of positive diagonal matrices at each free hidden layer."""

    relation = "rescaled"
    reason: str | None

    def __init__(self, network, options=None):
        self.network = network
        self.reason = None
        if network.depth < 2:
            self.reason = "no hidden layer to rescale at depth 1"
        elif network.degree is None:
            self.reason = f"{network.activation} is not positively homogeneous"
        elif not network.free:
            self.reason = "a skip connection starts or ends at every hidden layer"

    def related(self, pair: Pair, generator: torch.Generator):
        """The last free hidden layer by ``m``, or its units by ``m^u``, ``u`` uniform on [-1, 1]."""
        layer = self.network.free[-1]
        g = list(self._ones())
        if pair.per_neuron:
            u = 2 * torch.rand(g[layer - 1].shape, generator=generator, dtype=torch.float64) - 1
            g[layer - 1] = pair.rescaling**u
        else:
            g[layer - 1] = torch.full_like(g[layer - 1], pair.rescaling)
        return tuple(g)

    def random(self, generator: torch.Generator):
        """Factors log-uniform between 1/4 and 4 at every free hidden layer."""
        g = list(self._ones())
        for layer in self.network.free:
            g[layer - 1] = 4 ** (2 * torch.rand(g[layer - 1].shape, generator=generator, dtype=torch.float64) - 1)
        return tuple(g)

    def _ones(self):
        return tuple(torch.ones(1, width, dtype=torch.float64) for width in self.network.widths[1:-1])

    def act(self, g, weights: Weights) -> Weights:
        """``W_i → C_i W_i C_{i-1}^{-k}``, ``b_i → C_i b_i``."""
        k = self.network.degree
        layers, biases = list(weights.layers), list(weights.biases or ())
        for i, c in enumerate(g):
            layers[i] = c.unsqueeze(-1) * layers[i]
            layers[i + 1] = layers[i + 1] * c.unsqueeze(-2) ** -k
            if biases:
                biases[i] = c * biases[i]
        return Weights(tuple(layers), tuple(biases) or None)

    def compose(self, g, h):
        """The group is commutative."""
        return tuple(a * b for a, b in zip(g, h, strict=True))

    def inverse(self, g):
        """Reciprocal factors."""
        return tuple(1 / c for c in g)

    def log(self, g):
        """Logarithms of the factors; every element has them."""
        return tuple(c.log() for c in g), [None] * g[0].shape[0]

    def exp(self, xi, t):
        """``c^t``."""
        return tuple((t.unsqueeze(-1) * x.unsqueeze(-2)).exp() for x in xi)

    def curve_loss(self, xi, weights: Weights, split, t, names):
        """Losses ``(K, T)`` of ``exp(t ξ)·w`` at ``t`` ``(K, T)``, one tensor per name."""
        return self.network.rescaling_loss(weights, xi, split, t, names)

    def velocity(self, xi, t):
        """``ω`` and ``ω'`` at ``t`` ``(K, T)``: ``γ' = ω·γ`` along the curve; the group commutes, so ``ω = ξ``."""
        omega = tuple(x.unsqueeze(-2).expand(*t.shape, -1) for x in xi)
        return omega, tuple(torch.zeros_like(x) for x in omega)

    def tangent(self, xi, weights: Weights) -> Weights:
        """``ξ·w``, the derivative of ``exp(t ξ)·w`` at 0: rows times ``ξ_i``, columns times ``-k ξ_{i-1}``."""
        layers = [x.unsqueeze(-1) * layer for x, layer in zip(xi, weights.layers[:-1], strict=True)]
        layers.append(torch.zeros_like(weights.layers[-1]))
        for i, x in enumerate(xi, start=1):
            layers[i] = layers[i] - self.network.degree * weights.layers[i] * x.unsqueeze(-2)
        if weights.biases is None:
            return Weights(tuple(layers))
        biases = [x * bias for x, bias in zip(xi, weights.biases[:-1], strict=True)]
        last = weights.biases[-1]
        return Weights(tuple(layers), (*biases, last.new_zeros(*layers[0].shape[:-2], last.shape[-1])))

    def basis(self, weights: Weights):
        """A basis of the Lie algebra of the free layers, batch ``(D,)``."""
        sizes = [width if i in self.network.free else 0 for i, width in enumerate(self.network.widths[1:-1], start=1)]
        eye = torch.eye(sum(sizes)).to(weights.layers[0])
        parts = zip(eye.split(sizes, dim=1), self.network.widths[1:-1], strict=True)
        return tuple(part if part.shape[1] else eye.new_zeros(len(eye), width) for part, width in parts)

    def flow(self, xi):
        """The elements ``exp(ξ)``."""
        return tuple(x.exp() for x in xi)

    def balance(self, weights: Weights):
        """The element after which ``‖incoming‖² + b² = k ‖outgoing‖²`` at every free unit.

        It leads to the point of smallest norm on the orbit, which is unique: the squared norm is convex in ``log c``.
        Layers are balanced in turn, each exactly, until no factor moves.  A unit without incoming or without outgoing
        weights has no such point and is left alone.
        """
        k, squares = self.network.degree, [layer.square() for layer in weights.layers]
        shifts = [b.square() for b in weights.biases] if weights.biases else [0.0] * len(squares)
        g = [torch.ones_like(layer[..., 0]) for layer in squares[:-1]]
        for _ in range(SWEEPS):
            step = 0.0
            for layer in self.network.free:
                i = layer - 1
                incoming = squares[i].sum(-1) + shifts[i]
                outgoing = squares[i + 1].sum(-2)
                c = (k * outgoing / incoming) ** (1 / (2 * k + 2))
                c = torch.where((incoming > 0) & (outgoing > 0), c, torch.ones_like(c))
                g[i] = g[i] * c
                squares[i] = squares[i] * c.unsqueeze(-1) ** 2
                shifts[i] = shifts[i] * c**2
                squares[i + 1] = squares[i + 1] * c.unsqueeze(-2) ** (-2 * k)
                step = max(step, float(c.log().abs().max()))
            if step <= RESIDUAL:
                break
        return tuple(g)

    def align(self, a: Weights, b: Weights):
        """The element that takes ``b`` to its balanced form, then as far from it as ``a`` is: undoes any rescaling."""
        return self.compose(self.inverse(self.balance(a)), self.balance(b))
