"""Weight decay breaks the rescaling symmetry: what becomes of the orbits of Prop. 5.3 (Zhao et al. 2025)."""

from __future__ import annotations

import numpy as np

from engine.claim import at_most, claim, numbers, select

UNDECAYED = "no weight decay"
SMOOTH, KINKED = ("linear", "relu_squared"), ("relu", "leaky_relu")


@claim(
    "Prop. 5.3 with weight decay λ: loss and penalty change by λ(‖in‖² + b² - k ‖out‖²) along a unit's orbit",
    measure="balance_law",
    control="tanh in place of the homogeneous activation",
)
def derivative_is_imbalance(rows):
    """The largest relative error."""
    return at_most(0.0, numbers(select(rows, law="derivative"), "law_error")[0].max())


@claim(
    "Prop. 5.3 with weight decay λ: gradient descent shrinks the imbalance ‖in‖² + b² - ‖out‖² as exp(-2λt)",
    measure="balance_law",
    control="Adam in place of gradient descent",
)
def flow_shrinks_imbalance(rows):
    """The largest relative error."""
    return at_most(0.0, numbers(select(rows, law="flow"), "law_error")[0].max())


@claim(
    "Prop. 5.3 with weight decay λ: minima trained with any λ > 0 are balanced, one point of each orbit",
    measure="parts",
    control=UNDECAYED,
)
def minima_are_balanced(rows):
    """The largest balance residual of networks without kinks, whose gradient vanishes at a minimum."""
    return _balance(select(rows, activation=SMOOTH))


@claim(
    "Prop. 5.3 with weight decay λ: ReLU minima, which lie on kinks, are as balanced as training leaves them there",
    measure="parts",
    control=UNDECAYED,
)
def minima_on_kinks_are_balanced(rows):
    """The largest balance residual of networks with kinks."""
    return _balance(select(rows, activation=KINKED))


@claim(
    "Prop. 5.3 with weight decay λ: between independent minima no part of the barrier is due to rescaling",
    measure="parts",
    control=UNDECAYED,
)
def no_rescaling_part(rows):
    """The largest part due to rescaling, over the whole barrier."""
    rows = select(rows, decayed=True)
    part, permutation, rest = numbers(rows, "rescaling_part", "permutation_part", "rest")
    whole = part + permutation + rest
    there = whole != 0  # what is no barrier has no parts
    return at_most(0.0, np.max(np.abs(part[there]) / whole[there])) if there.any() else None


def _balance(rows):
    rows = select(rows, decayed=True)
    return at_most(0.0, numbers(rows, "balance")[0].max()) if rows.num_rows else None
