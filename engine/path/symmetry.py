"""The curve of the pair's own symmetry, ``exp(t log g) · a`` (Zhao et al. 2025, eq. (5)): the loss stays as it is."""

from __future__ import annotations

from engine.path import Curve
from engine.types import not_applicable


class Path(Curve):
    """Symmetry curves of pairs whose second minimum is ``g · a``."""

    refine = False

    def __init__(self, network, pairs, options=None):
        super().__init__(network, pairs)
        self.direction = ()
        if pairs.group is None:
            self.reasons = [not_applicable("no symmetry relates the two minima")] * len(pairs)
            return
        found = pairs.group.log(pairs.element)
        if found is None:
            self.reasons = [not_applicable("the symmetry group is discrete: it has no curves")] * len(pairs)
        else:
            self.direction, reasons = found
            self.reasons = [reason and not_applicable(reason) for reason in reasons]

    def points(self, t):
        """The stack with batch ``(K, T)`` at ``t`` ``(K, T)``."""
        start = self.pairs.a.map(lambda p: p.unsqueeze(1).expand(-1, t.shape[1], *p.shape[1:]))
        return self.pairs.group.act(self.pairs.group.exp(self.direction, t), start)

    def loss(self, split, t, names):
        """Losses ``(K, T)`` at ``t`` ``(K, T)``, one tensor per name; of some groups without making the points."""
        group = self.pairs.group
        if hasattr(group, "curve_loss"):
            return group.curve_loss(self.direction, self.pairs.a, split, t, names)
        return super().loss(split, t, names)

    def derivatives(self, t):
        """``γ'`` and ``γ''`` at ``t`` ``(K, T)``, in closed form: ``γ' = ω·γ``, ``γ'' = ω·(ω·γ) + ω'·γ``."""
        group, points = self.pairs.group, self.points(t)
        omega, change = group.velocity(self.direction, t)
        first = group.tangent(omega, points)
        second = group.tangent(omega, first).map(lambda p, q: p + q, group.tangent(change, points))
        return first, second

    def take(self, index):
        """The same path for some of the pairs."""
        taken = super().take(index)
        taken.direction = tuple(part[index] for part in self.direction)
        return taken
