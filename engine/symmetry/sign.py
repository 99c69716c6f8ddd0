"""Sign flips of hidden units, for odd activations: ``σ(-z) = -σ(z)``.

An element is one sign per hidden unit; it multiplies what comes into the unit and what goes out.
"""

from __future__ import annotations

import torch

from engine.types import Pair, Weights

ODD = ("tanh",)  # linear networks have all of GL, of which flips are a part


class Group:
    """The group of diagonal matrices of ±1 at each free hidden layer."""

    relation = "flipped"
    reason: str | None

    def __init__(self, network, options=None):
        self.network = network
        self.reason = None
        if network.depth < 2:
            self.reason = "no hidden unit to flip at depth 1"
        elif network.activation not in ODD:
            self.reason = f"{network.activation} has no sign flips of its own"
        elif not network.free:
            self.reason = "a skip connection starts or ends at every hidden layer"

    def random(self, generator: torch.Generator):
        """Independent fair signs at every free hidden layer."""
        return tuple(
            2.0 * torch.randint(2, (1, width), generator=generator).double() - 1 if i in self.network.free
            else torch.ones(1, width, dtype=torch.float64)
            for i, width in enumerate(self.network.widths[1:-1], start=1)
        )  # fmt: skip

    def related(self, pair: Pair, generator: torch.Generator):
        """A random element."""
        return self.random(generator)

    def act(self, g, weights: Weights) -> Weights:
        """``W_i → S_i W_i S_{i-1}``, ``b_i → S_i b_i``."""
        layers, biases = list(weights.layers), list(weights.biases or ())
        for i, signs in enumerate(g):
            layers[i] = signs.unsqueeze(-1) * layers[i]
            layers[i + 1] = layers[i + 1] * signs.unsqueeze(-2)
            if biases:
                biases[i] = signs * biases[i]
        return Weights(tuple(layers), tuple(biases) or None)

    def compose(self, g, h):
        """The group is commutative."""
        return tuple(a * b for a, b in zip(g, h, strict=True))

    def inverse(self, g):
        """Every element undoes itself."""
        return g

    def log(self, g):
        """None: the group is discrete."""
        return None

    def align(self, a: Weights, b: Weights):
        """The signs that bring each unit's weights of ``b`` to those of ``a``, from the first layer on.

        A layer's signs are judged by its incoming weights, whose columns carry the signs found before.
        """
        g, previous = [], None
        for i in range(self.network.depth - 1):
            incoming = b.layers[i] if previous is None else b.layers[i] * previous.unsqueeze(-2)
            agreement = (a.layers[i] * incoming).sum(-1)
            if a.biases is not None:
                agreement = agreement + a.biases[i] * b.biases[i]
            signs = torch.where(agreement < 0, -1.0, 1.0).to(agreement)
            g.append(signs if i + 1 in self.network.free else torch.ones_like(signs))
            previous = g[-1]
        return tuple(g)
