"""Learned Bézier curves (Garipov et al. 2018): smooth, within the convex hull of their control points."""

from __future__ import annotations

import math

import torch

from engine.learned import Config as Config
from engine.learned import LearnedCurve


class Path(LearnedCurve):
    """``Σ_k C(n, k) t^k (1-t)^{n-k} θ_k`` with ``n - 1`` bends."""

    def coefficients(self, t):
        """Bernstein polynomials ``(*t.shape, n + 1)``."""
        n = self.options.bends + 1
        terms = [math.comb(n, k) * t**k * (1 - t) ** (n - k) for k in range(n + 1)]
        return torch.stack(terms, dim=-1)
