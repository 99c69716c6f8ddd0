"""The triangular factor of data: all that squared losses of linear networks depend on.

The residuals of a linear network are ``[X 1 Y] v`` with ``v`` made of its weights; their norm is that of ``R v``,
``[X 1 Y] = Q R``.  Rows of ``R`` take the place of samples, so that the cost no longer grows with their number.
Products ``[X 1 Y]ᵀ [X 1 Y]`` would do the same but lose zero-loss minima to cancellation.
"""

from __future__ import annotations

import numpy as np

from ..jit import kernel, leaf
from ..simd import fma, row, store, tile, total
from .tiles import lanes_of


@leaf
def _dot(like, a, b):
    sums = like
    for s in range(0, a.shape[0], lanes_of(a)):
        sums = fma(row(a, s, like), row(b, s, like), sums)
    return total(sums)


@kernel
def triangulate(columns):
    """Householder reflections (Golub & Van Loan 2013, algorithm 5.2.1) on data, one of whose columns is a row here.

    Afterwards the first numbers of the rows are the columns of ``R``, and the others are zero.  In one thread: the bits
    do not depend on a library or on threads.
    """
    count, n = columns.shape
    like = tile(columns.dtype.type(0), 1, 1)
    mirror = np.zeros(n, columns.dtype)
    for k in range(count):
        mirror[:] = columns[k]
        mirror[:k] = 0.0
        norm = np.sqrt(_dot(like, mirror, mirror))
        columns[k, k:] = 0.0
        if norm == 0.0:
            continue
        first = mirror[k]
        columns[k, k] = -norm if first > 0.0 else norm
        mirror[k] = first - columns[k, k]
        scale = columns.dtype.type(1) / (norm * (norm + abs(first)))
        for j in range(k + 1, count):
            share = scale * _dot(like, mirror, columns[j])
            for s in range(0, n, lanes_of(columns)):
                store(columns[j], s, row(columns[j], s, like) - row(mirror, s, like) * share)
