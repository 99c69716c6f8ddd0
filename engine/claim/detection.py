"""Finding symmetries between two networks, the paper's practical next step (Zhao et al. 2025)."""

from __future__ import annotations

import numpy as np

from engine.claim import at_least, at_most, claim, equal, numbers, select

UNRELATED = "unrelated random networks"


@claim(
    "Next check 1: an element of the family's whole group, planted under noise of up to a tenth, is found",
    measure="detection",
    control=UNRELATED,
)
def planted_is_found(rows):
    """Share of the planted pairs in which the element found leaves no more than the planted one does."""
    rows = select(rows, pair="planted")
    return at_least(1.0, np.mean(numbers(rows, "recovered")[0])) if rows.num_rows else None


@claim(
    "Next check 1, hypothesis: minima of independent seeds are nearer to one orbit than unrelated networks, p < 0.05",
    measure="detection",
    control=UNRELATED,
)
def independent_minima_are_near(rows):
    """The median over pairs of the share of unrelated pairs that are as near."""
    rows = select(rows, pair="independent")
    return at_most(0.05, np.median(numbers(rows, "p_value")[0])) if rows.num_rows else None


@claim(
    "Cor. 4.2: the element found has a positive determinant exactly where the labels of the two minima agree",
    measure="detection",
    control="the labels of another pair",
)
def determinant_agrees_with_label(rows):
    """Share of the pairs in which both say the same."""
    agree = numbers(rows, "labels_agree")[0]
    known = np.isfinite(agree)
    return equal(1.0, agree[known].mean()) if known.any() else None


@claim(
    "Cor. 4.2: it has one exactly where the counter, told of no symmetry and no label, finds one component",
    measure="counter_check",
    control="the components of another pair",
)
def counter_agrees_with_element(rows):
    """Share of the pairs in which both say the same."""
    return equal(1.0, numbers(rows, "counter_agrees")[0].mean())
