"""Losses of fully connected networks on register tiles: samples in lanes, one network and a few samples at a time.

Activations of a block of samples stay in the cache.  On a straight line the first layer's pre-activation is computed at
the two ends only, and the weights of the other layers once per point.  What is computed for one network depends on that
network, the data and the widths alone: not on the stack, and not on the number of threads.
"""

from __future__ import annotations

import numpy as np

from .. import errors
from ..jit import kernel, leaf, part
from ..simd import COLS, LONG, block, column, fma, row, spread, store, tile, total
from ..simd import ROWS as TILE_ROWS
from ..tile_math import add_exp, erf, sigmoid
from ..tile_matrix import add_product, lanes_of
from .layout import BIASES, FROM_DATA, INPUTS, NO_SKIP, OUTPUTS, ROWS, SOURCE, TAIL_ROWS, TO, WEIGHTS
from .pack import gather, scratch, weights_of

# typed: numba would compile another copy of a function for each plain number that is written where it is called
LINEAR, RELU, LEAKY_RELU, RELU_SQUARED, TANH, SIGMOID, GELU = map(np.int64, range(len(errors.ACTIVATIONS)))
FIRST, SECOND = map(np.int64, range(2))  # column, layer
# sums of losses over samples, from which all of ``errors.LOSSES`` follow, and their bits in ``wanted``
SQUARED, ENTROPY, ERROR = range(3)
SUMS = 3
RISING = 3  # the bit that says that samples are sorted by their labels
TAIL_COLS = 2 * LONG
SLOPE = 0.01  # of leaky ReLU
SQRT_HALF = 0.5**0.5
LOG_FACTORS = 4  # whose product has one logarithm; it is finite up to 2^31 classes


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
def mix_rows(mixture, begin, end, j, like, activation):
    """Set rows of ``out`` to activation(s a + t b), but for what ``bend`` does, at columns from ``j`` on.

    ``mixture`` is ``(out, a, b, s, t, factors)``, the columns are as many as those of ``like``.  Where there are
    factors, one a row, ``out`` is activation(factors a).
    """
    out, a, b, s, t, factors = mixture
    if factors.shape[0]:
        for i in range(begin, end):
            store(out, (i, j), bent(row(a, (i, j), like) * factors[i], activation))
        return
    for i in range(begin, end):
        z = fma(row(b, (i, j), like), t, row(a, (i, j), like) * s)
        store(out, (i, j), bent(z, activation))


@part
def mix(mixture, samples, activation):
    """``mix_rows`` for all rows of ``out``."""
    out = mixture[0]
    for j in range(0, samples, COLS * lanes_of(out)):
        mix_rows(mixture, 0, out.shape[0], j, tile(out.dtype.type(0), 1, COLS), activation)


@leaf
def layer_tile(zero, i, j, out, weights, biases, depth, inputs, start, ones, at, source, source_at, skip, activation,
               ahead, height, bend_ahead):  # fmt: skip
    """One tile of a layer, and its share of the ``height`` rows of ``ahead``.

    A core takes these up while it multiplies: it need not wait for the memory they come from.
    """
    rows = weights.shape[0]
    mix_rows(ahead, i * height // rows, (i + len(zero)) * height // rows, j, zero, bend_ahead)
    sums = spread(column(biases, i, zero), zero)
    if ones.shape[0]:
        sums = sums * row(ones, at + j, zero)
    if skip != 0.0:
        sums = fma(block(source, (i, source_at + j), zero), skip, sums)
    store(out, (i, j), bent(add_product(sums, weights, inputs, i, start + j, depth), activation))


@part
def layers(values, kept, network, table, begin, end, inputs, start, x, ones, at, activation, skip, samples, ahead):
    """Activations of layers ``begin`` to ``end``, and the outputs, in ``values``.

    ``inputs`` of the first of them begin at column ``start``, ``x`` and ``ones`` at ``at``; biases are multiplied with
    ``ones``, where there are any.  Beside that layer the mixture ``ahead`` is made.
    """
    number, height = values.dtype.type, ahead[0].shape[0]
    for i in range(begin, end):
        entry = table[i]
        kind = activation if i < table.shape[0] - 1 else LINEAR
        weights, biases = weights_of(network, entry)
        out = values[entry[TO] :]
        source, source_at, scale = inputs, start, skip
        if entry[SOURCE] == NO_SKIP:
            scale = 0.0
        elif entry[SOURCE] == FROM_DATA:
            source, source_at = x, at
        else:
            source, source_at = values[entry[SOURCE] :], FIRST
        rest = (weights, biases, entry[INPUTS], inputs, start, ones, at, source, source_at, number(scale), kind)
        over_tiles(layer_tile, weights.shape[0], samples, out, (*rest, ahead, height, activation))
        activate(out, kept[entry[TO] :], entry[OUTPUTS], samples, kind)
        inputs, start, height = out, FIRST, 0


@leaf
def no_mixture(like):
    """One without rows."""
    one = like.dtype.type(1)
    return like[:0], like, like, one, one, like[0, :0]


@leaf
def run_first(out, network, table, x, ones, at, samples):
    """Pre-activations of the first layer for samples from ``at`` on."""
    layers(out, out[:0], network, table, FIRST, SECOND, x, at, x, ones, at, LINEAR, 0.0, samples, no_mixture(out))


@leaf
def run_network(values, kept, network, table, x, ones, at, activation, skip, samples):
    """Activations of all layers, and the outputs, in ``values``, for samples from ``at`` on."""
    count = table.shape[0]
    layers(values, kept, network, table, FIRST, count, x, at, x, ones, at, activation, skip, samples,
           no_mixture(values))  # fmt: skip


@part
def interpolate(out, a, b, s, t, begin):
    """Set out = s a + t b from number ``begin`` on, the beginning of a layer."""
    like = tile(out.dtype.type(0), 1, 1)
    for k in range(begin, out.shape[0], lanes_of(out)):
        store(out, k, fma(row(b, k, like), t, row(a, k, like) * s))


@part
def rescale(out, a, logs, t, degree, table):
    """Set ``out`` to ``a`` at ``t`` on its curve of rescalings, but for the first layer, whose factors are its biases.

    ``logs`` is a network too, with the logarithm of each unit's factor for its bias; their activation has ``degree``.
    """
    like, shrink = tile(out.dtype.type(0), 1, 1), -degree * t
    for i in range(table.shape[0]):
        weights, biases = weights_of(out, table[i])
        weights_a, biases_a = weights_of(a, table[i])
        _, rows = weights_of(logs, table[i])
        for k in range(0, len(rows), lanes_of(out)):
            store(biases, k, np.exp(row(rows, k, like) * t))
        if i == 0:  # all of its sums will be multiplied: NaN is what infinite weights of both signs make of them
            for r in range(len(biases)):
                biases[r] = biases[r] if biases[r] < np.inf else np.nan
            continue
        _, columns = weights_of(logs, table[i - 1])
        for j in range(0, weights.shape[1], lanes_of(out)):
            factors = np.exp(row(columns, j, like) * shrink)
            for r in range(len(biases)):
                store(weights, (r, j), row(weights_a, (r, j), like) * factors * biases[r])
        for k in range(0, len(biases), lanes_of(out)):
            store(biases, k, row(biases, k, like) * row(biases_a, k, like))


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
def entropies(z, labels, at, classes, samples, rising):
    """The sum of cross entropies; where labels are ``rising``, few registers hold more than one."""
    zero = tile(z.dtype.type(0), 1, COLS)
    one, step = zero + 1.0, COLS * lanes_of(z)
    sums, product = zero, one
    for j in range(0, samples, step):
        label, top = row(labels, at + j, zero), row(z, (0, j), zero)
        for r in range(1, classes):
            logit = row(z, (r, j), zero)
            top = np.where(logit > top, logit, top)
        first, last = 0, classes - 1
        if rising:
            first = int(labels[at + j])
            last = int(labels[at + j + step - 1]) if labels[at + j + step - 1] >= 0.0 else last
        own, odds = row(z, (first, j), zero), zero
        for r in range(first + 1, last + 1):
            own = np.where(label == r, row(z, (r, j), zero), own)
        for r in range(classes):
            odds = add_exp(odds, row(z, (r, j), zero) - top)  # NaN where any output is
        sums += valid(label, top - own)
        product *= np.where(label >= 0.0, odds, one)
        if j // step % LOG_FACTORS == LOG_FACTORS - 1:
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
        sums[ENTROPY] += entropies(z, labels, at, outputs, samples, wanted & (1 << RISING))
    if wanted & (1 << ERROR):
        sums[ERROR] += mistakes(z, labels, at, outputs, samples)


@part
def add_line(out, a, b, t, degree, ends, mixed, networks, values, table, narrow, x, ones, targets, labels, activation,
             skip, wanted):  # fmt: skip
    """Add sums of losses on the line from ``a`` to ``b`` to ``out`` ``(T, SUMS)`` at ``t`` ``(T,)``.

    With a ``degree`` the path is a curve of rescalings of ``a``, and ``b`` the logarithms (see ``rescale``).

    ``narrow`` samples have their activations in ``values`` at once; as many such blocks as go into ``ends`` their first
    layer at the ends, and as many points as go into ``networks`` their weights.  ``mixed`` takes the activations of the
    first layer at a point and, while the second layer is computed, at the next one.
    """
    count, outputs, units, one = table.shape[0], table[-1], table[0, OUTPUTS], a.dtype.type(1)
    hidden, nothing = count > 1, values[:0]
    kind = activation if hidden else LINEAR
    wide, group = ends.shape[0] * narrow, networks.shape[0]
    scales = slice(table[0, BIASES], table[0, BIASES] + (units if degree != 0 else 0))  # what ``rescale`` leaves there
    for begin in range(0, x.shape[1], wide):
        end = min(begin + wide, x.shape[1])
        for at in range(begin, end, narrow):
            few, held = min(narrow, end - at), ends[(at - begin) // narrow]
            run_first(held[0], a, table, x, ones, at, few)
            if degree == 0:
                run_first(held[1], b, table, x, ones, at, few)
        for some in range(0, t.shape[0], group):
            points = range(some, min(some + group, t.shape[0]))
            for i in points:
                if degree != 0:
                    rescale(networks[i - some], a, b, t[i], degree, table)
                elif hidden:
                    interpolate(networks[i - some], a, b, one - t[i], t[i], table[1, WEIGHTS])
            for at in range(begin, end, narrow):
                few, held = min(narrow, end - at), ends[(at - begin) // narrow]
                for i in points:
                    first, z, network = mixed[i % 2, :units], mixed[i % 2], networks[i - some]
                    if i == some or not hidden:
                        mix((first, held[0], held[1], one - t[i], t[i], network[scales]), few, kind)
                    activate(first, nothing, units, few, kind)
                    if hidden:
                        z, then = values[outputs[TO] :], min(i + 1, points.stop - 1)
                        ahead = mixed[then % 2, : units if then > i else 0]
                        factors = networks[then - some, scales]
                        layers(values, nothing, network, table, SECOND, count, first, FIRST, x, ones, at, activation,
                               skip, few, (ahead, held[0], held[1], one - t[then], t[then], factors))  # fmt: skip
                    add_losses(out[i], z, targets, labels, at, outputs[OUTPUTS], few, wanted)


@kernel
def path_sums(start, stop, parts, out, numbers, places, t, degree, size, table, rows, narrow, blocks, group, x, ones,
              targets, labels, activation, skip, wanted):  # fmt: skip
    """Add sums of losses on paths to ``out`` ``(P, T, SUMS)`` at ``t`` ``(P, T)``; ``gather`` finds the ends.

    Entry ``parts * p + i`` of the batch is the ``i``-th part of the points of pair ``p``; see ``add_line``.
    """
    points, height, columns = t.shape[1], table[0, ROWS], narrow + lanes_of(x)  # no power of two: rows share cache sets
    held = scratch(2 * blocks * height, columns, x).reshape(blocks, 2, height, columns)
    mixed = scratch(2 * height, columns, x).reshape(2, height, columns)
    networks, values = scratch(group + 2, size, x), scratch(rows, columns, x)
    a, b = networks[group], networks[group + 1]
    for entry in range(start, stop):
        p, part = entry // parts, entry % parts
        of = slice(part * points // parts, (part + 1) * points // parts)
        gather(a, numbers, places[0], table, p, FIRST)
        gather(b, numbers, places[1], table, p, FIRST)
        add_line(out[p, of], a, b, t[p, of], degree, held, mixed, networks[:group], values, table, narrow, x, ones,
                 targets, labels, activation, skip, wanted)  # fmt: skip


@part
def add_network(sums, network, values, table, narrow, x, ones, targets, labels, activation, skip, wanted):
    """Add sums of losses of a network to ``sums`` ``(SUMS,)``, ``narrow`` samples at once."""
    outputs = table[-1]
    for at in range(0, x.shape[1], narrow):
        few = min(narrow, x.shape[1] - at)
        run_network(values, values[:0], network, table, x, ones, at, activation, skip, few)
        add_losses(sums, values[outputs[TO] :], targets, labels, at, outputs[OUTPUTS], few, wanted)


@kernel
def network_sums(start, stop, points, out, numbers, places, size, table, rows, narrow, x, ones, targets, labels,
                 activation, skip, wanted):  # fmt: skip
    """Sums of losses of networks in ``out`` ``(P * points, SUMS)``; ``gather`` finds their numbers."""
    values, network = scratch(rows, narrow + lanes_of(x), x), scratch(1, size, x)[0]
    for entry in range(start, stop):
        gather(network, numbers, places, table, entry // points, entry % points)
        add_network(out[entry], network, values, table, narrow, x, ones, targets, labels, activation, skip,
                    wanted)  # fmt: skip
