"""Curvature of the minimum and linear mode connectivity: Thm. 6.2 of Zhao et al. 2025."""

from __future__ import annotations

import numpy as np

from engine.claim import at_most, claim, numbers


@claim(
    "Thm. 6.2: the chord of a short curve in the minimum, of curvature at most κ, stays within the sagitta of it",
    measure="curvature",
    control="the smallest curvature of the curve in place of the largest",
)
def chord_within_sagitta(rows):
    """The largest measured distance over its bound, where the theorem applies."""
    distance, bound = numbers(rows, "distance_measured", "distance_bound")
    applies = np.isfinite(bound)
    return at_most(1.0, np.max(distance[applies] / bound[applies])) if applies.any() else None


@claim(
    "Thm. 6.2: the loss on the chord rises by at most a Lipschitz constant times the sagitta",
    measure="curvature",
    control="the gradient at the minimum in place of a Lipschitz constant",
)
def loss_within_bound(rows):
    """The largest rise of the loss over its bound, where the theorem applies."""
    rise, lipschitz, bound = numbers(rows, "loss_rise", "lipschitz", "distance_bound")
    applies = np.isfinite(bound)
    # a bound of zero is missed by any rise
    limit = np.maximum(lipschitz * bound, 1e-300)
    return at_most(1.0, np.max(rise[applies] / limit[applies])) if applies.any() else None
