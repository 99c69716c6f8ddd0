"""Curves inside the minimum of linear networks: eq. (5) of Zhao et al. 2025 and its polar form."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from engine.claim import at_most, claim, equal, numbers, select
from engine.report.select import measured

BROKEN = "g acts on all layers but the last"


@claim(
    "Eq. (5): the loss stays zero along exp(t log g)·w, and the curve ends in g·w",
    measure="curve",
    control=BROKEN,
)
def principal(rows):
    """Largest residual on a curve or distance of its end, both relative, where the principal logarithm is real."""
    return _residual(select(rows, curve="principal"))


@claim(
    "Section 4.1: where g has no principal logarithm but det g > 0, the polar form's curve does the same",
    measure="curve",
    control=BROKEN,
)
def polar(rows):
    """The same where the curve is ``exp(t log Q) exp(t log P)``."""
    return _residual(select(rows, curve="polar"))


@claim(
    "Cor. 4.2: two minima are joined by a closed-form curve exactly where the signs of their determinants agree",
    measure="curve",
    control="the labels of another pair",
)
def joined_by_label(rows):
    """Share of pairs in which the curve's existence and the labels say the same."""
    joined = pc.is_valid(rows["curve"]).to_numpy()
    return equal(1.0, np.mean(joined == rows["labels_agree"].to_numpy()))


def _residual(rows):
    rows = measured(rows, "curve_residual")
    if not rows.num_rows:
        return None
    residual, end, condition = numbers(rows, "curve_residual", "end_error", "condition")
    # a layer between two g's meets condition² u: from 1000 on more than 1e-10
    return at_most(0.0, np.max(np.maximum(residual, end) / np.maximum(1, condition / 1000) ** 2))
