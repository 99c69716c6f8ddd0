"""Linear networks up to permutation: Prop. 5.2 of Zhao et al. 2025."""

from __future__ import annotations

import numpy as np

from engine.claim import at_most, claim, equal, numbers


@claim(
    "Prop. 5.2: from two units per layer on, any two minima lie in one component after suitable permutations",
    measure="permutation",
    control="one unit in every layer: there is nothing to permute",
)
def one_component(rows):
    """Share of pairs whose labels agree after the permutations."""
    return equal(1.0, np.mean(rows["together_permuted"].to_numpy()))


@claim(
    "Prop. 5.2: a curve in the minimum joins each of these pairs",
    measure="permutation",
    control="the straight line in place of the curve",
)
def joined(rows):
    """Largest loss on a curve over ‖Y‖²; infinite where a pair has none."""
    (loss,) = numbers(rows, "permuted_curve_loss")
    return at_most(0.0, np.max(np.where(np.isnan(loss), np.inf, loss)))


@claim(
    "Cor. 4.2: before, the pairs in one component are a share of 2^(1-l), as 2^(l-1) components are equally likely",
    measure="permutation",
    control="the second minimum permuted",
)
def before(rows):
    """Share of pairs whose labels agree, over the expected one; of the depths the one farthest from 1."""
    depth, together = numbers(rows, "depth", "together")
    ratios = [np.mean(together[depth == l]) / 2 ** (1 - l) for l in np.unique(depth)]
    return equal(1.0, max(ratios, key=lambda ratio: abs(ratio - 1)))
