"""Rescaling barriers: Props. 5.3, 5.4 and 5.5 of Zhao et al. 2025, over trained and random networks."""

from __future__ import annotations

import numpy as np

from engine.claim import at_most, claim, equal, numbers
from engine.report.select import measured

DEGREE = {"linear": 1, "relu": 1, "leaky_relu": 1, "relu_squared": 2}  # k of σ(cz) = c^k σ(z), c > 0


@claim(
    "Prop. 5.3: on the straight line between rescaled minima the barrier is the closed form in the end's own outputs",
    control="one weight of the second end changed by one part in a hundred",
)
def closed_form(rows):
    """Largest difference of barrier and closed form, over the largest loss on the path."""
    barrier, predicted, top = numbers(rows, "barrier", "predicted", "loss_max")
    known = np.isfinite(predicted)
    return at_most(0.0, np.max(np.abs(barrier - predicted)[known] / top[known])) if known.any() else None


@claim(
    "Fig. 4: the same in random networks, five leaky-ReLU layers among them, up to a factor of 10 000",
    measure="growth",
    control="a permutation in place of the rescaling",
)
def random_networks(rows):
    """Largest relative difference of barrier and closed form."""
    m, barrier, predicted = numbers(measured(rows, "growth_barrier"), "rescaling", "growth_barrier", "growth_predicted")
    rises = m != 1
    return at_most(0.0, np.max(np.abs(barrier[rises] / predicted[rises] - 1))) if rises.any() else None


@claim(
    "Prop. 5.3: the barrier is unbounded: it grows as the 2k-th power of the factor m, k the activation's degree",
    measure="growth",
    column="growth_barrier",
    control="a permutation in place of the rescaling",
)
def growth_exponent(rows):
    """Slope of log barrier over log m between the two largest factors, over 2k; the one farthest from 1."""
    return _exponent(rows, "growth_barrier")


@claim(
    "Prop. 5.4: it stays unbounded, with the same exponent, after the best permutation of the last hidden layer",
    measure="last_permutation",
    column="permuted_barrier",
    control="the exception W_1 = (1, 2), W_2 = (1, -2), X = 1, whose swapped output vanishes",
)
def permutation_does_not_help(rows):
    """The growth exponent of the smallest barrier over all permutations, over 2k; the one farthest from 1."""
    return _exponent(rows, "permuted_barrier")


@claim(
    "Prop. 5.5: chords of {W_1 W_2 = A} leave it without bound: the midpoint's distance is the closed form",
    measure="chord",
    control="an orthogonal matrix, from a compact group, in place of the factor m",
)
def chord_leaves_the_set(rows):
    """Largest relative difference of the least distance found and the closed form."""
    distance, predicted = numbers(rows, "chord_distance", "chord_predicted")
    return at_most(0.0, np.max(np.abs(distance / predicted - 1)))


def _exponent(rows, column):
    """Slope of the log of a column over log m between the two largest factors, over 2k; the one farthest from 1.

    Networks that lack one of the two numbers are left out; None where there are no others.
    """
    m, barrier = numbers(rows, "rescaling", column)
    keys = np.array([f"{row}" for row in rows.select(["depth", "width", "activation", "seed"]).to_pylist()])
    degree = np.array([DEGREE[name] for name in rows["activation"].to_pylist()])
    ratios = []
    for key in np.unique(keys):
        group = keys == key
        order = np.argsort(m[group])[-2:]
        if np.isnan(barrier[group][order]).any():
            continue
        # a barrier of zero has no exponent: with the NaN no claim holds
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.diff(np.log(barrier[group][order])) / np.diff(np.log(m[group][order]))
        ratios.append(slope[0] / (2 * degree[group][0]))
    # the first NaN if there is one
    return equal(1.0, ratios[np.argmax(np.abs(np.array(ratios) - 1))]) if ratios else None
