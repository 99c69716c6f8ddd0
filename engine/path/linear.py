"""The straight line ``(1 - t) a + t b``."""

from __future__ import annotations

from engine.path import Curve


class Path(Curve):
    """Straight lines, evaluated by the fused kernel without making their points."""

    def points(self, t):
        """The stack with batch ``(K, T)`` at ``t`` ``(K, T)``."""

        def mix(a, b):
            s = t.reshape(*t.shape, *[1] * (a.dim() - 1))
            return (1 - s) * a.unsqueeze(1) + s * b.unsqueeze(1)

        return self.pairs.a.map(mix, self.pairs.b)

    def loss(self, split, t, names):
        """Losses ``(K, T)`` at ``t`` ``(K, T)``, one tensor per name."""
        return self.network.line_loss(self.pairs.a, self.pairs.b, split, t, names)
