"""Components of residual networks: Prop. 4.3 of Zhao et al. 2025, carried on to wider and deeper ones.

For depth 3 and square data of full rank the minimum is ``W_3 = Y X⁻¹ (W_2 W_1 + ε)⁻¹`` over all ``W_1, W_2`` with
``det(W_2 W_1 + ε) ≠ 0``.  From width 2 on either sign of it is met by a product ``W_2 W_1`` of any determinant, also
zero, so that two components are expected where four are without a skip.
"""

from __future__ import annotations

import numpy as np

from engine.claim import above, claim, equal, numbers, select

BOOTSTRAPS = 1000
SEED = 0  # of the bootstrap
NO_SKIP = "the network without its skip, the prediction with it"
DRAWN = "counts drawn at random"


@claim(
    "Prop. 4.3: of scalars in three layers the minimum has 4 components without a skip and 3 with one",
    measure="residual",
    control=NO_SKIP,
)
def scalars(rows):
    """The count that is farthest from what is predicted."""
    rows = select(rows, depth=3, width=1)
    return _farthest(rows, with_skip=3)


@claim(
    "Prop. 4.3 carried on: of wider layers, again three, it has 4 components without a skip and 2 with one",
    measure="residual",
    control=NO_SKIP,
)
def wider(rows):
    """The count that is farthest from what is predicted."""
    rows = select(rows, depth=3)
    return _farthest(rows.filter(rows["width"].to_numpy() > 1), with_skip=2)


@claim(
    "Open Question 1, hypothesis: of networks with equal depth and width those with more components take more steps",
    measure="residual",
    control=DRAWN,
)
def more_steps(rows):
    """Lower end of the 95 % interval of the rank correlation of components and steps to a fixed loss."""
    return _correlated(rows, "steps")


@claim(
    "Open Question 1, hypothesis: of networks with equal depth and width those with more components generalise worse",
    measure="residual",
    control=DRAWN,
)
def wider_gap(rows):
    """Lower end of the 95 % interval of the rank correlation of components and the gap of test and training loss."""
    return _correlated(rows, "gap")


def _farthest(rows, with_skip):
    if not rows.num_rows:
        return None
    skip, count = numbers(rows, "skip", "components")
    predicted = np.where(skip == 0, 4, with_skip)
    worst = np.argmax(np.abs(count - predicted))
    return equal(predicted[worst], count[worst])


def _correlated(rows, column):
    interval = rank_correlation(rows, column)
    return None if interval is None else above(0.0, interval[1])


def rank_correlation(rows, column):
    """Spearman's ρ of components and a quantity over architectures, each beside networks of equal shape.

    Depth and width fix the number of parameters; a skip changes the count and not the number.  The quantity is its mean
    over seeds less that of the networks of equal shape; for the interval shapes and seeds are drawn anew.

    Returns:
        ρ and the ends of its 95 % interval, or None: fewer than three architectures, or counts that do not differ.
    """
    from scipy.stats import spearmanr

    depth, width, skip, seed, count, value = numbers(rows, "depth", "width", "skip", "seed", "components", column)
    seeds = np.unique(seed)
    architectures = sorted(set(zip(depth, width, skip, strict=True)))
    places = [(depth == l) & (width == h) & (skip == e) for l, h, e in architectures]
    # (architectures, seeds); what was not reached is left out
    table = np.full((len(architectures), len(seeds)), np.nan)
    for k, place in enumerate(places):
        table[k, np.searchsorted(seeds, seed[place])] = value[place]
    counts = np.log([count[place][0] for place in places])
    shapes = np.array([[a[:2] == b[:2] for b in architectures] for a in architectures], dtype=float)
    within = np.eye(len(architectures)) - shapes / shapes.sum(1)
    if np.ptp(within @ counts) < 1e-9:
        return None
    groups = [np.flatnonzero(row) for row in np.unique(shapes, axis=0) > 0]

    def correlation(chosen, members):
        mean = np.nanmean(table[:, chosen], axis=1)
        pairs = np.stack([(within @ counts).round(9), within @ mean / (shapes @ np.abs(mean))])[:, members]
        # networks that all have as many components as their like say nothing
        return spearmanr(*pairs).statistic if np.ptp(pairs, axis=1).all() else 0.0

    generator, drawn = np.random.default_rng(SEED), []
    for _ in range(BOOTSTRAPS):
        again = generator.integers(len(groups), size=len(groups))
        drawn.append(
            correlation(generator.integers(len(seeds), size=len(seeds)), np.concatenate([groups[g] for g in again]))
        )
    whole = correlation(np.arange(len(seeds)), np.arange(len(architectures)))
    return whole, *np.quantile(drawn, [0.025, 0.975])
