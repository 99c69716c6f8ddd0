"""Curves for networks without a known continuous symmetry: Open Question 3 of Zhao et al. 2025."""

from __future__ import annotations

import numpy as np

from engine.claim import at_least, claim, numbers


@claim(
    "Open Question 3, hypothesis: at equal cost curves near the data-dependent action rise no higher than Bézier ones",
    measure="refitted",
    control="the last layer stays on its chord",
)
def below_bezier(rows):
    """Share of the pairs whose refitted curve has no higher barrier; of the activation where it is smallest.

    Where neither curve rises above its ends both barriers are zero: such a pair counts.
    """
    return _share(rows, "bezier_barrier")


@claim(
    "Open Question 3, hypothesis: curves near the data-dependent action rise no higher than the aligned straight line",
    measure="refitted",
    control="the last layer stays on its chord",
)
def below_line(rows):
    """The same against the straight line."""
    return _share(rows, "line_barrier")


def _share(rows, other):
    if not rows.num_rows:
        return None
    refitted, against = numbers(rows, "refitted_barrier", other)
    activation = np.array(rows["activation"].to_pylist())
    # more often than not
    return at_least(0.5, min(np.mean((refitted <= against)[activation == name]) for name in np.unique(activation)))
