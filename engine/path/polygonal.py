"""Learned polygonal chains (Garipov et al. 2018): straight from each control point to the next."""

from __future__ import annotations

import torch

from engine.learned import Config as Config
from engine.learned import LearnedCurve


class Path(LearnedCurve):
    """Control point ``k`` of ``n + 1`` is met at ``t = k / n``."""

    def coefficients(self, t):
        """Hat functions ``(*t.shape, n + 1)``."""
        n = self.options.bends + 1
        corners = torch.arange(n + 1, dtype=t.dtype, device=t.device)
        return (1 - (n * t.unsqueeze(-1) - corners).abs()).clamp(min=0)
