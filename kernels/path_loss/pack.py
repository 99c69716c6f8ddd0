"""Networks and data as callers have them, brought into the order in which the tile kernels take them.

Networks are read where they lie, by the thread that evaluates them: one thread would pack them while the others wait.
"""

from __future__ import annotations

import numpy as np

from ..jit import inline, kernel, leaf, part
from ..simd import row, store, tile, transpose
from ..tile_matrix import lanes_of
from .layout import ABSENT, BEGIN, BIASES, COLUMN, INPUTS, LINE, OUTPUTS, POINT, ROW, ROWS, STRIDE, WEIGHTS


@inline
def scratch(rows, columns, like):
    """An uninitialised array that begins a cache line: otherwise every other load straddles two."""
    spare = 64 // like.itemsize
    buffer = np.empty(rows * columns + spare, like.dtype)
    skip = (-buffer.ctypes.data % 64) // like.itemsize
    return buffer[skip : skip + rows * columns].reshape(rows, columns)


@leaf
def weights_of(network, entry):
    """A layer's weights ``(rows, stride)`` and biases ``(rows,)``; ``entry`` is its row of the layout's table."""
    rows, stride, begin = entry[ROWS], entry[STRIDE], entry[WEIGHTS]
    weights = network[begin : begin + rows * stride].reshape(rows, stride)
    return weights, network[entry[BIASES] : entry[BIASES] + rows]


@leaf
def copy(out, numbers, begin, step, count):
    """Set out[k] = numbers[begin + k step] for the first ``count``."""
    like, lanes = tile(out.dtype.type(0), 1, 1), lanes_of(out)
    whole = count // lanes * lanes if step == 1 else 0
    for k in range(0, whole, lanes):
        store(out, k, row(numbers, begin + k, like))
    for k in range(whole, count):
        out[k] = numbers[begin + k * step]


@part
def gather(network, numbers, places, table, line, point):
    """Copy a network of a stack into ``network``, with zeros for padding.

    ``numbers`` is memory, and ``places`` says where in it each layer's weights and biases lie (``layout.places``).
    """
    for k in range(0, network.shape[0], lanes_of(network)):
        store(network, k, tile(network.dtype.type(0), 1, 1))
    for i in range(table.shape[0]):
        weights, biases = weights_of(network, table[i])
        at = places[i, 0]
        if at[BEGIN] != ABSENT:
            begin = at[BEGIN] + line * at[LINE] + point * at[POINT]
            for r in range(table[i, OUTPUTS]):
                copy(weights[r], numbers, begin + r * at[ROW], at[COLUMN], table[i, INPUTS])
        at = places[i, 1]
        if at[BEGIN] != ABSENT:
            copy(biases, numbers, at[BEGIN] + line * at[LINE] + point * at[POINT], at[ROW], table[i, OUTPUTS])


@kernel
def turn_rows(out, values, order, some):
    """Set out[i, s] = values[order[s], i] and columns left over to zero.

    The rows of ``out`` are whole registers; ``some`` takes those of as many samples, zero beyond the last unit.
    """
    lanes, samples = lanes_of(out), order.shape[0]
    for j in range(0, out.shape[1], lanes):
        for s in range(j, min(j + lanes, samples)):
            copy(some[s - j], values[order[s]], 0, 1, values.shape[1])
        for i in range(0, out.shape[0], lanes):
            transpose(out, (i, j), some, (0, i))
    for i in range(out.shape[0]):
        for j in range(samples, out.shape[1]):
            out[i, j] = 0
