"""Components of residual networks: Prop. 4.3 of Zhao et al. 2025, carried on to wider and deeper ones.

For depth 3 and square data of full rank the minimum is ``W_3 = Y X⁻¹ (W_2 W_1 + ε)⁻¹`` over all ``W_1, W_2`` with
``det(W_2 W_1 + ε) ≠ 0``.  From width 2 on either sign of it is met by a product ``W_2 W_1`` of any determinant, also
zero, so that two components are expected where four are without a skip.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from engine.claim import above, claim, equal, numbers, select
from engine.report.select import measured

BOOTSTRAPS = 1000
SEED = 0  # of the bootstrap
NO_SKIP = "the network without its skip, the prediction with it"
DRAWN = "counts drawn at random"


@claim(
    "Prop. 4.3: of scalars in three layers the minimum has 4 components without a skip and 3 with one",
    measure="residual",
    column="components",
    control=NO_SKIP,
)
def scalars(rows):
    """The count that is farthest from what is predicted."""
    rows = measured(select(rows, depth=3, width=1), "components")
    return _farthest(rows, with_skip=3)


@claim(
    "Prop. 4.3 carried on: of wider layers, again three, it has 4 components without a skip and 2 with one",
    measure="residual",
    column="components",
    control=NO_SKIP,
)
def wider(rows):
    """The count that is farthest from what is predicted."""
    rows = measured(select(rows, depth=3), "components")
    return _farthest(rows.filter(rows["width"].to_numpy() > 1), with_skip=2)


@claim(
    "Prop. 4.3 carried on: of four scalar layers it has 8 components without skips and 5 or 4 with two of them, as the "
    "best map is positive or negative",
    measure="residual",
    column="components",
    control=NO_SKIP,
)
def four_layers(rows):
    """The count that is farthest from what is predicted."""
    rows = measured(select(rows, depth=4, width=1), "components")
    return _farthest(rows, with_skip=np.where(numbers(rows, "orientation")[0] > 0, 5, 4))


@claim(
    "Open Question 1, hypothesis: of networks with equal depth and width those with more components take more steps",
    measure="residual",
    column="steps",
    control=DRAWN,
)
def more_steps(rows):
    """Lower end of the 95 % interval of the rank correlation of components and steps to a fixed loss."""
    return _correlated(rows, "steps")


@claim(
    "Open Question 1, hypothesis: of networks with equal depth and width those with more components generalise worse",
    measure="residual",
    column="gap",
    control=DRAWN,
)
def wider_gap(rows):
    """Lower end of the 95 % interval of the rank correlation of components and the gap of test and training loss."""
    return _correlated(rows, "gap")


def _farthest(rows, with_skip):
    if not rows.num_rows or rows["orientation"].null_count:  # what is predicted speaks of square maps
        return None
    skip, count = numbers(rows, "skip", "components")
    predicted = np.where(skip == 0, 2 ** (numbers(rows, "depth")[0] - 1), with_skip)
    worst = np.argmax(np.abs(count - predicted))
    return equal(predicted[worst], count[worst])


def _correlated(rows, column):
    interval = rank_correlation(rows, column)
    if interval is None:
        return None
    architectures, draws, seeds = (
        len(set(zip(*numbers(rows, *names), strict=True)))
        for names in (("depth", "width", "skip"), ("draw",), ("seed",))
    )
    over = f"{architectures} architectures, {seeds} seeds on {draws} draw{'s' * (draws > 1)} of the data"
    return replace(above(0.0, interval[1]), over=over)


def rank_correlation(rows, column):
    """Spearman's ρ of components and a quantity over architectures and draws of the data.

    Depth and width fix the number of parameters; a skip changes the count and not the number.  The logarithm of the
    count is taken less its mean over the networks of equal shape on the same draw, and the quantity, its median over
    seeds, as the rank among these networks.  A seed that did not arrive took more steps than any.  For the interval
    shapes, draws and seeds are drawn anew, independently of each other.

    Returns:
        ρ and the ends of its 95 % interval, or None: counts that do not differ, or no seed with a number.
    """
    rows = measured(rows, "components")
    if rows[column].null_count == rows.num_rows:
        return None
    depth, width, skip, draw, seed, count, value = numbers(
        rows, "depth", "width", "skip", "draw", "seed", "components", column
    )
    architectures = sorted(set(zip(depth, width, skip, strict=True)))
    draws, seeds = np.unique(draw), np.unique(seed)
    table = np.full((len(architectures), len(draws), len(seeds)), np.nan)
    counts = np.zeros(table.shape[:2])
    place = [architectures.index(key) for key in zip(depth, width, skip, strict=True)], np.searchsorted(draws, draw)
    counts[place] = np.log(count)
    table[(*place, np.searchsorted(seeds, seed))] = (
        np.where(np.isnan(value), np.inf, value) if column == "steps" else value
    )
    alike = np.array([[a[:2] == b[:2] for b in architectures] for a in architectures])
    beside = (counts - alike @ counts / alike.sum(1, keepdims=True)).round(9)
    if not beside.any():
        return None
    groups = [np.flatnonzero(row) for row in np.unique(alike, axis=0)]

    def correlation(of_groups, of_draws, of_seeds):
        middle = np.nanmedian(table[:, :, of_seeds], axis=2)
        order = (middle[:, None] > middle).astype(int) - (middle[:, None] < middle)  # (A, A, draws)
        rank = (order * alike[:, :, None]).sum(1)
        chosen = np.ix_(np.concatenate([groups[g] for g in of_groups]), of_draws)
        return _spearman(beside[chosen].ravel(), rank[chosen].ravel())

    generator = np.random.default_rng(SEED)
    sizes = len(groups), len(draws), len(seeds)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # no median where no seed has a number
        drawn = [correlation(*(generator.integers(size, size=size) for size in sizes)) for _ in range(BOOTSTRAPS)]
        whole = correlation(*map(np.arange, sizes))
    return whole, *np.quantile(drawn, [0.025, 0.975])


def _spearman(x, y):
    """The correlation of ranks; 0 where one of the two does not vary, which says nothing."""
    from scipy.stats import rankdata

    if len(x) < 2 or not (np.ptp(x) and np.ptp(y)):
        return 0.0
    return np.corrcoef(rankdata(x), rankdata(y))[0, 1]
