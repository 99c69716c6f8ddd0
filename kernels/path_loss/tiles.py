"""Losses of fully connected networks on register tiles: samples in lanes, one network and a few samples at a time.

Activations of a block of samples stay in the cache.  On a straight line the first layer's pre-activation is computed at
the two ends only, and the weights of the other layers once per point.  What is computed for one network depends on that
network, the data and the widths alone: not on the stack, and not on the number of threads.
"""

from __future__ import annotations

import numpy as np

from .. import errors
from ..jit import inline, kernel, leaf, part
from ..simd import COLS, LONG, block, column, fma, row, store, tile, total
from ..simd import ROWS as TILE_ROWS
from ..tile_math import erf, exp_beside_one, sigmoid
from ..tile_matrix import add_product, lanes_of
from .layout import BIASES, FROM, FROM_DATA, INPUTS, NO_SKIP, OUTPUTS, ROWS, SOURCE, STRIDE, TAIL_ROWS, TO, WEIGHTS

# typed: numba would compile another copy of a function for each plain number that is written where it is called
LINEAR, RELU, LEAKY_RELU, RELU_SQUARED, TANH, SIGMOID, GELU = map(np.int64, range(len(errors.ACTIVATIONS)))
FIRST = np.int64(0)  # column
# sums of losses over samples, from which all of ``errors.LOSSES`` follow, and their bits in ``wanted``
SQUARED, ENTROPY, ERROR = range(3)
SUMS = 3
TAIL_COLS = 2 * LONG
SLOPE = 0.01  # of leaky ReLU
SQRT_HALF = 0.5**0.5
LOG_FACTORS = 4  # whose product has one logarithm; it is finite up to 2^31 classes


@inline
def scratch(rows, columns, like):
    """An uninitialised array that begins a cache line: otherwise every other load straddles two."""
    spare = 64 // like.itemsize
    buffer = np.empty(rows * columns + spare, like.dtype)
    skip = (-buffer.ctypes.data % 64) // like.itemsize
    return buffer[skip : skip + rows * columns].reshape(rows, columns)


@leaf
def bent(z, activation):
    """The activations that are cheap enough to be applied to a tile of sums; others leave it as it is."""
    if activation == RELU:
        return np.where(0.0 > z, 0.0, z)  # NaN stays NaN
    if activation == LEAKY_RELU:
        return np.where(z > 0.0, z, SLOPE * z)
    if activation == RELU_SQUARED:
        positive = np.where(0.0 > z, 0.0, z)
        return positive * positive
    return z


@part
def bend(values, kept, rows, samples, activation):
    """The other activations, in place, a register at a time; ``kept``, where it has rows, takes what gelu bends."""
    like = tile(values.dtype.type(0), 1, 1)
    for i in range(rows):
        for j in range(0, samples, lanes_of(values)):
            z = row(values, (i, j), like)
            if activation == TANH:
                store(values, (i, j), np.tanh(z))
            elif activation == SIGMOID:
                store(values, (i, j), sigmoid(z))
            else:
                store(values, (i, j), 0.5 * z * (1.0 + erf(SQRT_HALF * z)))
                if kept.shape[0]:
                    store(kept, (i, j), z)


@leaf
def activate(values, kept, rows, samples, activation):
    """What ``bent`` has left to do."""
    if activation >= TANH:
        bend(values, kept, rows, samples, activation)


@leaf
def over_tiles(make_tile, rows, samples, out, rest):
    """Call ``make_tile(like, i, j, out, *rest)`` for tiles ``like`` that cover the rows and samples of ``out``.

    Rows left over by whole tiles come in tiles of their own.  Registers come in pairs; any number of them is covered by
    threes and at most two twos, or by sixes and at most two twos.
    """
    lanes, number = lanes_of(out), out.dtype.type
    whole = rows // TILE_ROWS * TILE_ROWS
    long, short = tile(number(0), TILE_ROWS, LONG), tile(number(0), TILE_ROWS, COLS)
    left, few_left = tile(number(0), TAIL_ROWS, TAIL_COLS), tile(number(0), TAIL_ROWS, COLS)
    twos = samples - (-(samples // lanes) % LONG) * COLS * lanes
    for j in range(0, twos, LONG * lanes):
        for i in range(0, whole, TILE_ROWS):
            make_tile(long, i, j, out, *rest)
    for j in range(twos, samples, COLS * lanes):
        for i in range(0, whole, TILE_ROWS):
            make_tile(short, i, j, out, *rest)
    twos = samples // (TAIL_COLS * lanes) * (TAIL_COLS * lanes)
    for i in range(whole, rows, TAIL_ROWS):
        for j in range(0, twos, TAIL_COLS * lanes):
            make_tile(left, i, j, out, *rest)
        for j in range(twos, samples, COLS * lanes):
            make_tile(few_left, i, j, out, *rest)


@leaf
def layer_tile(zero, i, j, out, weights, biases, depth, inputs, start, ones, at, source, source_at, skip, activation):
    """One tile of ``layer``."""
    sums = column(biases, i, zero) * row(ones, at + j, zero)
    if skip != 0.0:
        sums = fma(block(source, (i, source_at + j), zero), skip, sums)
    store(out, (i, j), bent(add_product(sums, weights, inputs, i, start + j, depth), activation))


@part
def layer(out, weights, biases, depth, inputs, start, ones, at, source, source_at, skip, activation, samples):
    """Set out = activation(weights @ inputs + biases * ones + skip * source), but for those that ``bend`` applies.

    ``inputs``, ``ones`` and ``source`` begin at columns ``start``, ``at`` and ``source_at``.
    """
    rest = (weights, biases, depth, inputs, start, ones, at, source, source_at, out.dtype.type(skip), activation)
    over_tiles(layer_tile, weights.shape[0], samples, out, rest)


@leaf
def weights_of(network, entry):
    """A layer's weights ``(rows, stride)`` and biases ``(rows,)``; ``entry`` is its row of the layout's table."""
    rows, stride, begin = entry[ROWS], entry[STRIDE], entry[WEIGHTS]
    weights = network[begin : begin + rows * stride].reshape(rows, stride)
    return weights, network[entry[BIASES] : entry[BIASES] + rows]


@part
def first_layer(out, kept, network, entry, x, at, ones, activation, samples):
    """Activations of the first hidden layer from column ``at`` of ``x`` on."""
    weights, biases = weights_of(network, entry)
    layer(out, weights, biases, entry[INPUTS], x, at, ones, at, x, at, 0.0, activation, samples)
    activate(out, kept, entry[OUTPUTS], samples, activation)


@part
def later_layers(values, kept, network, table, x, at, ones, activation, skip, samples):
    """Activations of all layers but the first, and the outputs, in ``values``; ``x`` and ``ones`` from ``at`` on."""
    for i in range(1, table.shape[0]):
        entry = table[i]
        kind = activation if i < table.shape[0] - 1 else LINEAR
        weights, biases = weights_of(network, entry)
        inputs, out = values[entry[FROM] :], values[entry[TO] :]
        source, source_at, scale = inputs, 0, skip
        if entry[SOURCE] == NO_SKIP:
            scale = 0.0
        elif entry[SOURCE] == FROM_DATA:
            source, source_at = x, at
        else:
            source = values[entry[SOURCE] :]
        layer(out, weights, biases, entry[INPUTS], inputs, FIRST, ones, at, source, source_at, scale, kind, samples)
        activate(out, kept[entry[TO] :], entry[OUTPUTS], samples, kind)


@part
def mix(out, kept, a, b, s, t, rows, samples, activation):
    """Set out = activation(s a + t b)."""
    like = tile(out.dtype.type(0), 1, COLS)
    for i in range(rows):
        for j in range(0, samples, COLS * lanes_of(out)):
            z = row(a, (i, j), like) * s + row(b, (i, j), like) * t
            store(out, (i, j), bent(z, activation))
    activate(out, kept, rows, samples, activation)


@part
def interpolate(out, a, b, s, t, begin):
    """Set out = s a + t b from number ``begin`` on, the beginning of a layer."""
    like = tile(out.dtype.type(0), 1, 1)
    for k in range(begin, out.shape[0], lanes_of(out)):
        store(out, k, row(a, k, like) * s + row(b, k, like) * t)


@leaf
def valid(labels, values):
    """Values of samples, 0 in padding."""
    return np.where(labels >= 0.0, values, 0.0)


@leaf
def squares(z, targets, labels, at, outputs, samples):
    """The sum of squared residuals."""
    zero = tile(z.dtype.type(0), 1, COLS)
    sums = zero
    for j in range(0, samples, COLS * lanes_of(z)):
        square = zero
        for r in range(outputs):
            residual = row(z, (r, j), zero) - row(targets, (r, at + j), zero)
            square = fma(residual, residual, square)
        sums += valid(row(labels, at + j, zero), square)
    return total(sums)


@leaf
def entropies(z, labels, at, classes, samples):
    """The sum of cross entropies."""
    zero = tile(z.dtype.type(0), 1, COLS)
    one = zero + 1.0
    sums, product = zero, one
    for j in range(0, samples, COLS * lanes_of(z)):
        label, top = row(labels, at + j, zero), row(z, (0, j), zero)
        own, odds = top, zero
        for r in range(1, classes):
            logit = row(z, (r, j), zero)
            own = np.where(label == r, logit, own)
            top = np.where(logit > top, logit, top)
        for r in range(classes):
            odds += exp_beside_one(row(z, (r, j), zero) - top)  # NaN where any output is
        sums += valid(label, top - own)
        product *= np.where(label >= 0.0, odds, one)
        if j // (COLS * lanes_of(z)) % LOG_FACTORS == LOG_FACTORS - 1:
            sums += np.log(product)
            product = one
    return total(sums + np.log(product))


@leaf
def mistakes(z, labels, at, classes, samples):
    """How many samples have their largest output elsewhere than at their label, NaN where an output is."""
    zero = tile(z.dtype.type(0), 1, COLS)
    sums = zero
    for j in range(0, samples, COLS * lanes_of(z)):
        label, top = row(labels, at + j, zero), row(z, (0, j), zero)
        choice, strange = zero, top
        for r in range(1, classes):
            logit = row(z, (r, j), zero)
            choice = np.where(logit > top, r, choice)  # the first of the largest, as argmax
            top = np.where(logit > top, logit, top)
            strange = np.where(logit == logit, strange, logit)
        wrong = np.where(choice == label, zero, 1.0)
        sums += valid(label, np.where(strange == strange, wrong, strange))
    return total(sums)


@part
def add_losses(sums, z, targets, labels, at, outputs, samples, wanted):
    """Add the samples' losses to ``sums``: outputs ``z`` against ``targets`` and ``labels`` from column ``at`` on."""
    if wanted & (1 << SQUARED):
        sums[SQUARED] += squares(z, targets, labels, at, outputs, samples)
    if wanted & (1 << ENTROPY):
        sums[ENTROPY] += entropies(z, labels, at, outputs, samples)
    if wanted & (1 << ERROR):
        sums[ERROR] += mistakes(z, labels, at, outputs, samples)


@part
def add_line(out, a, b, t, ends, networks, values, nothing, table, narrow, x, ones, targets, labels, activation, skip,
             wanted):  # fmt: skip
    """Add sums of losses on the line from ``a`` to ``b`` to ``out`` ``(T, SUMS)`` at ``t`` ``(T,)``.

    ``narrow`` samples have their activations in ``values`` at once; as many such blocks as go into ``ends`` their first
    layer at the ends, and as many points as go into ``networks`` their weights.
    """
    first, outputs, one = table[0], table[-1], a.dtype.type(1)
    hidden = table.shape[0] > 1
    kind = activation if hidden else LINEAR
    wide, group = ends.shape[0] * narrow, networks.shape[0]
    for begin in range(0, x.shape[1], wide):
        end = min(begin + wide, x.shape[1])
        for at in range(begin, end, narrow):
            few, held = min(narrow, end - at), ends[(at - begin) // narrow]
            first_layer(held[0], nothing, a, first, x, at, ones, LINEAR, few)
            first_layer(held[1], nothing, b, first, x, at, ones, LINEAR, few)
        for some in range(0, t.shape[0], group):
            points = range(some, min(some + group, t.shape[0]))
            if hidden:
                for i in points:
                    interpolate(networks[i - some], a, b, one - t[i], t[i], table[1, WEIGHTS])
            for at in range(begin, end, narrow):
                few, held = min(narrow, end - at), ends[(at - begin) // narrow]
                for i in points:
                    mix(values[first[TO] :], nothing, held[0], held[1], one - t[i], t[i], first[OUTPUTS], few, kind)
                    later_layers(values, nothing, networks[i - some], table, x, at, ones, activation, skip, few)
                    add_losses(out[i], values[outputs[TO] :], targets, labels, at, outputs[OUTPUTS], few, wanted)


@kernel
def path_sums(start, stop, parts, out, a, b, t, table, rows, narrow, blocks, group, x, ones, targets, labels,
              activation, skip, wanted):  # fmt: skip
    """Add sums of losses on straight lines from ``a`` to ``b`` to ``out`` ``(P, T, SUMS)`` at ``t`` ``(P, T)``.

    Entry ``parts * p + i`` of the batch is the ``i``-th part of the points of pair ``p``; see ``add_line``.
    """
    points, height, columns = t.shape[1], table[0, ROWS], narrow + lanes_of(a)  # no power of two: rows share cache sets
    ends = scratch(2 * blocks * height, columns, a).reshape(blocks, 2, height, columns)
    networks, values = scratch(group, a.shape[1], a), scratch(rows, columns, a)
    for entry in range(start, stop):
        p, part = entry // parts, entry % parts
        of = slice(part * points // parts, (part + 1) * points // parts)
        add_line(out[p, of], a[p], b[p], t[p, of], ends, networks, values, values[:0], table, narrow, x, ones, targets,
                 labels, activation, skip, wanted)  # fmt: skip


@part
def add_network(sums, network, values, nothing, table, narrow, x, ones, targets, labels, activation, skip, wanted):
    """Add sums of losses of a network to ``sums`` ``(SUMS,)``, ``narrow`` samples at once."""
    first, outputs = table[0], table[-1]
    kind = activation if table.shape[0] > 1 else LINEAR
    for at in range(0, x.shape[1], narrow):
        few = min(narrow, x.shape[1] - at)
        first_layer(values[first[TO] :], nothing, network, first, x, at, ones, kind, few)
        later_layers(values, nothing, network, table, x, at, ones, activation, skip, few)
        add_losses(sums, values[outputs[TO] :], targets, labels, at, outputs[OUTPUTS], few, wanted)


@kernel
def network_sums(start, stop, out, networks, table, rows, narrow, x, ones, targets, labels, activation, skip, wanted):
    """Sums of losses of networks ``(P, size)`` in ``out`` ``(P, SUMS)``."""
    values = scratch(rows, narrow + lanes_of(networks), networks)
    for p in range(start, stop):
        add_network(out[p], networks[p], values, values[:0], table, narrow, x, ones, targets, labels, activation, skip,
                    wanted)  # fmt: skip
