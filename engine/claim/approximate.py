"""The data-dependent action on two layers with any activation: Prop. 6.1 and Fig. 3 of Zhao et al. 2025."""

from __future__ import annotations

import numpy as np

from engine.claim import at_least, at_most, claim, numbers, select

CONDITION = 1e6  # of σ(gVX), beyond which its rank is not clear in float64


@claim(
    "Prop. 6.1, Fig. 3a: the data-dependent action changes the output by at most the output's own norm",
    measure="approximate",
    control="the action of linear networks, U → U g⁻¹",
)
def bounded_change(rows):
    """The largest relative change over random networks."""
    rows = select(rows, part="bound")
    return at_most(1.0, numbers(rows, "output_change")[0].max()) if rows.num_rows else None


@claim(
    "Prop. 6.1: it does not change the output where σ(gVX) has full column rank (N ≤ h)",
    measure="approximate",
    control="twice as many samples as hidden units",
)
def exact_change(rows):
    """The largest relative change where the rank is clear."""
    change, condition = numbers(select(rows, part="exact"), "output_change", "features_condition")
    clear = condition <= CONDITION
    return at_most(0.0, change[clear].max()) if clear.any() else None


@claim(
    "Fig. 3b, c: the output changes less along the induced curve than on the straight line, for every g",
    measure="approximate",
    control="the last layer stays on its chord",
)
def below_the_line(rows):
    """Share of the curves with at most as many samples as hidden units that stay below the straight line."""
    rows = select(rows, part="growth")
    samples, hidden, curve, line = numbers(rows, "samples", "hidden", "induced_change", "line_change")
    few = samples <= hidden
    return at_least(1.0, np.mean(curve[few] <= line[few])) if few.any() else None
