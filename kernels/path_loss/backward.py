"""Gradients of losses with respect to a network's numbers, on register tiles.

The forward pass is repeated with the activations of all layers kept for a few samples at a time; gradients add up over
these blocks.  A gradient of weights is a product over samples, so the inputs of each layer are transposed to have units
in lanes; for the first layer the data come that way.
"""

from __future__ import annotations

import numpy as np

from ..jit import inline, kernel, leaf, part
from ..simd import COLS, block, column, fma, row, store, tile, total, transpose
from ..simd import ROWS as TILE_ROWS
from ..tile_math import erf
from .layout import FROM, INPUTS, OUTPUTS, ROWS, SOURCE, TAIL_ROWS, TO
from .pack import scratch, weights_of
from .tiles import (
    ENTROPY,
    FIRST,
    GELU,
    LEAKY_RELU,
    RELU,
    RELU_SQUARED,
    SIGMOID,
    SLOPE,
    SQRT_HALF,
    SQUARED,
    SUMS,
    TANH,
    add_losses,
    interpolate,
    lanes_of,
    over_tiles,
    run_network,
    valid,
)

NO_LOSSES = np.int64(0)  # as ``wanted``
DENSITY = (2 * np.pi) ** -0.5  # of the standard normal distribution at 0


@part
def output_deltas(deltas, z, targets, labels, at, classes, samples, squared, entropy):
    """Derivatives by the outputs ``z`` of ``squared`` · squared residuals + ``entropy`` · cross entropies."""
    zero, number = tile(z.dtype.type(0), 1, 1), z.dtype.type
    for j in range(0, samples, lanes_of(z)):
        label, top, odds = row(labels, at + j, zero), row(z, (0, j), zero), zero
        if entropy != 0.0:
            for r in range(1, classes):
                top = np.maximum(top, row(z, (r, j), zero))
            for r in range(classes):
                power = np.exp(row(z, (r, j), zero) - top)
                odds += power
                store(deltas, (r, j), power)
        for r in range(classes):
            goal = row(targets, (r, at + j), zero)
            delta = zero
            if squared != 0.0:
                delta = number(2.0 * squared) * (row(z, (r, j), zero) - goal)
            if entropy != 0.0:
                delta += number(entropy) * (row(deltas, (r, j), zero) / odds - goal)
            store(deltas, (r, j), valid(label, delta))


@leaf
def sloped(deltas, values, activation):
    """Times the activation's derivative, where it follows from the activations ``values``."""
    if activation == RELU:
        return np.where(values <= 0.0, 0.0, deltas)  # at 0 it is 0, as PyTorch has it
    if activation == LEAKY_RELU:
        return np.where(values > 0.0, deltas, SLOPE * deltas)
    if activation == RELU_SQUARED:
        return deltas * (2.0 * np.sqrt(values))
    if activation == TANH:
        return deltas * (1.0 - values * values)
    if activation == SIGMOID:
        return deltas * (values * (1.0 - values))
    return deltas


@leaf
def pull_tile(like, i, j, out, weights, deltas, depth, later, skip, values, activation):
    """One tile of ``pull``."""
    sums = 0.0 * like
    if skip != 0.0:
        sums = sums + block(later, (i, j), like) * skip
    for k in range(depth):
        sums = fma(column(weights.T, (i, k), like), row(deltas, (k, j), like), sums)
    store(out, (i, j), sloped(sums, block(values, (i, j), like), activation))


@part
def pull(out, weights, deltas, depth, later, skip, values, kept, rows, samples, activation):
    """Set out = (weights.T @ deltas + skip * later) * activation's derivative at ``values``, or ``kept`` of gelu."""
    over_tiles(pull_tile, rows, samples, out, (weights, deltas, depth, later, out.dtype.type(skip), values, activation))
    one, lanes = tile(out.dtype.type(0), 1, 1), lanes_of(out)
    if activation == GELU:
        for i in range(rows):
            for j in range(0, samples, lanes):
                z = row(kept, (i, j), one)
                density = DENSITY * np.exp(-0.5 * z * z)
                slope = fma(z, density, 0.5 * (1.0 + erf(SQRT_HALF * z)))
                store(out, (i, j), row(out, (i, j), one) * slope)


@leaf
def slope_tile(like, i, j, slopes, deltas, inputs, start, samples):
    """One tile of ``add_weight_slopes``."""
    sums = block(slopes, (i, j), like)
    for s in range(samples):
        sums = fma(column(deltas, (i, s), like), row(inputs, (start + s, j), like), sums)
    store(slopes, (i, j), sums)


@leaf
def slope_rows(wide, one, i, slopes, rest):
    """A row of tiles of ``add_weight_slopes``."""
    lanes = lanes_of(slopes)
    whole = slopes.shape[1] // (COLS * lanes) * (COLS * lanes)
    for j in range(0, whole, COLS * lanes):
        slope_tile(wide, i, j, slopes, *rest)
    for j in range(whole, slopes.shape[1], lanes):
        slope_tile(one, i, j, slopes, *rest)


@part
def add_weight_slopes(slopes, deltas, inputs, start, samples):
    """Add deltas @ inputs to ``slopes``; ``inputs`` has samples in rows, from row ``start`` on."""
    number, rows = slopes.dtype.type, slopes.shape[0]
    whole = rows // TILE_ROWS * TILE_ROWS
    rest = (deltas, inputs, start, samples)
    for i in range(0, whole, TILE_ROWS):
        slope_rows(tile(number(0), TILE_ROWS, COLS), tile(number(0), TILE_ROWS, 1), i, slopes, rest)
    for i in range(whole, rows, TAIL_ROWS):
        slope_rows(tile(number(0), TAIL_ROWS, COLS), tile(number(0), TAIL_ROWS, 1), i, slopes, rest)


@part
def add_bias_slopes(slopes, deltas, rows, ones, at, samples):
    """Add the sums over samples of deltas · ones to ``slopes``."""
    zero = tile(slopes.dtype.type(0), 1, 1)
    for r in range(rows):
        sums = zero
        for j in range(0, samples, lanes_of(slopes)):
            sums = fma(row(deltas, (r, j), zero), row(ones, at + j, zero), sums)
        slopes[r] += total(sums)


@part
def turn(out, values, units, samples):
    """Set out[s, i] = values[i, s]; ``values`` has rows for whole registers, those beyond ``units`` are zero."""
    lanes = lanes_of(out)
    for i in range(0, units, lanes):
        for j in range(0, samples, lanes):
            transpose(out, (j, i), values, (i, j))


@inline
def workspace(rows, narrow, table, like):
    """Scratch of ``add_slopes``: activations, what gelu bends, deltas, transposed inputs; padding stays zero."""
    lanes = lanes_of(like)
    widest = 0
    for i in range(1, table.shape[0]):
        widest = max(widest, table[i, INPUTS])
    values = scratch(3 * rows, narrow + lanes, like)  # not a power of two: rows would share the cache's sets
    turned = scratch(narrow, (widest + lanes - 1) // lanes * lanes + lanes, like)
    values[:] = 0.0
    return values[:rows], values[rows : 2 * rows], values[2 * rows :], turned


@part
def add_slopes(slopes, sums, network, table, values, kept, deltas, turned, x, x_rows, ones, targets, labels, at,
               samples, activation, skip, wanted, squared, entropy):  # fmt: skip
    """Add to ``slopes`` the gradient of ``squared`` · squared residuals + ``entropy`` · cross entropies.

    The sums run over some samples from ``at`` on; their losses are added to ``sums``.  ``x_rows`` has the data of ``x``
    with samples in rows.
    """
    layers = table.shape[0]
    outputs = table[-1]
    run_network(values, kept, network, table, x, ones, at, activation, skip, samples)
    z = values[outputs[TO] :]
    if wanted:
        add_losses(sums, z, targets, labels, at, outputs[OUTPUTS], samples, wanted)
    output_deltas(deltas[outputs[TO] :], z, targets, labels, at, outputs[OUTPUTS], samples, squared, entropy)
    for i in range(layers - 1, -1, -1):
        entry = table[i]
        weights, _ = weights_of(network, entry)
        weight_slopes, bias_slopes = weights_of(slopes, entry)
        mine = deltas[entry[TO] :]
        add_bias_slopes(bias_slopes, mine, entry[OUTPUTS], ones, at, samples)
        if i == 0:
            add_weight_slopes(weight_slopes, mine, x_rows, at, samples)
            break
        inputs = values[entry[FROM] :]
        later, scale = mine, 0.0
        if i < layers - 1 and table[i + 1, SOURCE] == entry[FROM]:
            later, scale = deltas[table[i + 1, TO] :], skip
        turn(turned, inputs, entry[INPUTS], samples)
        add_weight_slopes(weight_slopes, mine, turned, FIRST, samples)
        below, before = deltas[entry[FROM] :], table[i - 1]
        pull(below, weights, mine, entry[OUTPUTS], later, scale, inputs, kept[entry[FROM] :], before[ROWS], samples,
             activation)  # fmt: skip


@kernel
def network_slopes(start, stop, slopes, sums, factors, networks, table, rows, narrow, x, x_rows, ones, targets, labels,
                   activation, skip, wanted):  # fmt: skip
    """Gradients ``(P, size)``, zero before, of ``factors`` ``(P, 2)`` · sums of losses, and the sums ``(P, SUMS)``."""
    values, kept, deltas, turned = workspace(rows, narrow, table, networks)
    for p in range(start, stop):
        for at in range(0, x.shape[1], narrow):
            add_slopes(slopes[p], sums[p], networks[p], table, values, kept, deltas, turned, x, x_rows, ones, targets,
                       labels, at, min(narrow, x.shape[1] - at), activation, skip, wanted, factors[p, SQUARED],
                       factors[p, ENTROPY])  # fmt: skip


@kernel
def path_slopes(start, stop, slopes_a, slopes_b, slopes_t, factors, a, b, t, table, rows, narrow, x, x_rows, ones,
                targets, labels, activation, skip):  # fmt: skip
    """Gradients ``(P, size)`` by the ends, zero before, and ``(P, T)`` by ``t`` of ``factors`` ``(P, T, 2)`` · sums."""
    values, kept, deltas, turned = workspace(rows, narrow, table, a)
    point = scratch(2, a.shape[1], a)
    network, slopes, nothing = point[0], point[1], np.zeros(SUMS)
    for p in range(start, stop):
        for i in range(t.shape[1]):
            s = a.dtype.type(1) - t[p, i]
            interpolate(network, a[p], b[p], s, t[p, i], 0)
            slopes[:] = 0.0
            for at in range(0, x.shape[1], narrow):
                add_slopes(slopes, nothing, network, table, values, kept, deltas, turned, x, x_rows, ones, targets,
                           labels, at, min(narrow, x.shape[1] - at), activation, skip, NO_LOSSES,
                           factors[p, i, SQUARED], factors[p, i, ENTROPY])  # fmt: skip
            along = 0.0
            for k in range(slopes.shape[0]):
                slopes_a[p, k] += s * slopes[k]
                slopes_b[p, k] += t[p, i] * slopes[k]
                along += slopes[k] * (b[p, k] - a[p, k])
            slopes_t[p, i] = along
