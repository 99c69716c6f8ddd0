"""Training on register tiles: each network runs through its steps alone, its numbers and the optimizer's in the cache.

A network that has stopped costs nothing, and none changes a bit of another.
"""

from __future__ import annotations

import numpy as np

from ..jit import kernel, part
from ..path_loss.backward import NO_LOSSES, add_slopes, turn, workspace
from ..path_loss.layout import PAIR
from ..path_loss.pack import scratch
from ..path_loss.tiles import SUMS
from ..simd import fma, row, store, tile, total
from ..tile_matrix import lanes_of

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma & Ba (2015), algorithm 1


@part
def add_penalty(slopes, network, decay):
    """Add decay · network to its gradient; returns the sum of the squares."""
    like = tile(slopes.dtype.type(0), 1, 1)
    squares, scale = like, slopes.dtype.type(decay)
    for k in range(0, slopes.shape[0], lanes_of(slopes)):
        slope = fma(row(network, k, like), scale, row(slopes, k, like))
        store(slopes, k, slope)
        squares = fma(slope, slope, squares)
    return total(squares)


@part
def adam(network, slopes, first, second, rate, step):
    """One step of Adam (Kingma & Ba 2015), number ``step`` from 1 on, with torch.optim's order of operations."""
    number = slopes.dtype.type
    like = tile(number(0), 1, 1)
    size, root = number(rate / (1.0 - BETA1**step)), number(np.sqrt(1.0 - BETA2**step))
    for k in range(0, slopes.shape[0], lanes_of(slopes)):
        slope = row(slopes, k, like)
        mean, square = row(first, k, like), row(second, k, like)
        mean = mean + (1.0 - BETA1) * (slope - mean)
        square = square * BETA2 + (1.0 - BETA2) * slope * slope
        store(first, k, mean)
        store(second, k, square)
        store(network, k, row(network, k, like) - size * (mean / (np.sqrt(square) / root + EPSILON)))


@part
def descend(network, slopes, first, rate, momentum):
    """One step of gradient descent with momentum."""
    number = slopes.dtype.type
    like = tile(number(0), 1, 1)
    size, keep = number(rate), number(momentum)
    for k in range(0, slopes.shape[0], lanes_of(slopes)):
        move = row(first, k, like) * keep + row(slopes, k, like)
        store(first, k, move)
        store(network, k, row(network, k, like) - size * move)


@part
def gather(order, x, x_rows, ones, targets, labels, some, some_rows, some_ones, some_targets, some_labels):
    """The samples of a batch from those of all, as the tile kernels take them."""
    like = tile(x.dtype.type(0), 1, 1)
    for s in range(order.shape[0]):
        sample = order[s]
        for j in range(0, x_rows.shape[1], lanes_of(x)):
            store(some_rows, (s, j), row(x_rows, (sample, j), like))
        for r in range(targets.shape[0]):
            some_targets[r, s] = targets[r, sample]
        some_labels[s] = labels[sample]
        some_ones[s] = ones[sample]
    turn(some, some_rows, some_rows.shape[0], some_rows.shape[1])


@kernel
def train(start, stop, networks, first, second, taken, live, rates, learning_rate, decay, tolerance, optimizer,
          momentum, begin, end, orders, order_of, table, rows, narrow, x, x_rows, ones, targets, labels, activation,
          skip, squared, entropy):  # fmt: skip
    """Take the networks ``(P, size)`` that are ``live`` from step ``begin`` to ``end`` of their schedule.

    ``orders`` ``(S, end - begin, batch)`` has the samples of each step, network ``p`` takes ``orders[order_of[p]]``;
    without steps in it every step takes all samples, and a network whose gradient is within its tolerance stops.
    """
    values, kept, deltas, turned = workspace(rows, narrow, table, networks)
    slopes, nothing = scratch(1, networks.shape[1], networks)[0], np.zeros(SUMS)
    batches, batch = orders.shape[1] > 0, x.shape[1]
    some, some_rows, some_ones, some_targets, some_labels = x, x_rows, ones, targets, labels
    if batches:
        unit = PAIR * lanes_of(x)
        batch = (orders.shape[2] + unit - 1) // unit * unit
        some, some_rows = scratch(x_rows.shape[1], batch, x), scratch(batch, x_rows.shape[1], x)
        some_targets, some_labels = scratch(targets.shape[0], batch, x), scratch(1, batch, x)[0]
        some_ones = scratch(1, batch, x)[0]
        some_rows[:], some_targets[:], some_ones[:], some_labels[:] = 0.0, 0.0, 0.0, -1.0
    for p in range(start, stop):
        for step in range(begin, end):
            if not live[p]:
                break
            if batches:
                order = orders[order_of[p], step - begin]
                gather(order, x, x_rows, ones, targets, labels, some, some_rows, some_ones, some_targets, some_labels)
            slopes[:] = 0.0
            for at in range(0, batch, narrow):
                add_slopes(slopes, nothing, networks[p], table, values, kept, deltas, turned, some, some_rows,
                           some_ones, some_targets, some_labels, at, min(narrow, batch - at), activation, skip,
                           NO_LOSSES, squared, entropy)  # fmt: skip
            norm = np.sqrt(add_penalty(slopes, networks[p], decay[p]))
            if not batches and norm <= tolerance[p]:
                live[p] = False
                break
            rate = learning_rate[p] * rates[step]
            if optimizer == 0:
                adam(networks[p], slopes, first[p], second[p], rate, step + 1)
            else:
                descend(networks[p], slopes, first[p], rate, momentum)
            taken[p] += 1
