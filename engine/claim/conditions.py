"""When linear mode connectivity holds: compactness and norms, Open Question 2 of Zhao et al. 2025."""

from __future__ import annotations

import numpy as np

from engine.claim import at_most, claim, equal, numbers, select


@claim(
    "Open Question 2, hypothesis: on a non-compact orbit the largest barrier within a ball of radius R grows as R^2l",
    measure="orbit_barrier",
    control="a compact group",
)
def grows_on_non_compact_orbits(rows):
    """The growth exponent between the two largest radii over 2l, l layers; the one farthest from 1."""
    rows = select(rows, kind="non-compact")
    if not rows.num_rows:
        return None
    depth = numbers(rows, "depth")[0]
    found = [exponent / (2 * depth[group][0]) for group, exponent in _exponents(rows)]
    return equal(1.0, max(found, key=lambda ratio: abs(ratio - 1)))


@claim(
    "Open Question 2, hypothesis: on a compact orbit the barrier is bounded, whatever the radius",
    measure="orbit_barrier",
    control="a non-compact group",
)
def bounded_on_compact_orbits(rows):
    """The largest growth exponent between the two largest radii."""
    rows = select(rows, kind="compact")
    return at_most(0.0, max(exponent for _, exponent in _exponents(rows))) if rows.num_rows else None


def _exponents(rows):
    """The slope of log barrier over log radius, for each minimum and group.

    Yields:
        Places of the rows and the slope.
    """
    radius, barrier = numbers(rows, "radius", "orbit_barrier")
    axes = ["depth", "width", "activation", "weight_decay", "seed", "group"]
    keys = np.array([f"{row}" for row in rows.select(axes).to_pylist()])
    for key in np.unique(keys):
        group = np.flatnonzero(keys == key)
        ends = group[np.argsort(radius[group])[-2:]]
        # barriers that are equal do not grow, also where there is none
        grown = 0.0 if len(set(barrier[ends])) == 1 else np.diff(np.log(barrier[ends]))[0]
        yield group, float(grown / np.diff(np.log(radius[ends]))[0])
