"""Inverses of small matrices on register tiles: Gauss–Jordan elimination in place, by blocks where that pays."""

from __future__ import annotations

import math

import numpy as np

from ..jit import inline, leaf, part
from ..simd import LANES64, ROWS, block, column, places, row, store, tile
from ..tile_matrix import aligned, product, product_plus

BLOCK = 8  # columns eliminated at once; orders are multiples of it
WIDE = BLOCK // LANES64  # registers in a row of a block
BY_BLOCKS = 24  # the order from which blocks pay
HUGE = 1e200


@leaf
def _eliminate(A, n, k, line):
    """Gauss–Jordan step with the pivot ``A[k, k]``; ``line`` is a row of scratch."""
    inverse = 1.0 / A[k, k]
    one = tile(0.0, 1, 1)
    for j in range(0, n, LANES64):
        pivot = places(one) == float(k - j)
        store(line, (0, j), np.where(pivot, inverse, row(A, (k, j), one) * inverse))
    for i in range(0, n, ROWS):
        factors = column(A, (i, k), tile(0.0, ROWS, 1))
        for j in range(0, n, LANES64):
            pivot = places(one) == float(k - j)
            rest = np.where(pivot, 0.0, block(A, (i, j), factors))
            store(A, (i, j), rest - factors * row(line, (0, j), one))
    for j in range(0, n, LANES64):
        store(A, (k, j), row(line, (0, j), one))


@leaf
def _swap_rows(A, n, i, k):
    one = tile(0.0, 1, 1)
    for j in range(0, n, LANES64):
        upper, lower = row(A, (i, j), one), row(A, (k, j), one)
        store(A, (i, j), lower)
        store(A, (k, j), upper)


@leaf
def _largest_below(A, n, k, column_):
    """The row, from ``k`` on, of the largest number in a column; the first NaN never wins."""
    where, most = k, abs(A[k, column_])
    for i in range(k + 1, n):
        size = abs(A[i, column_])
        if size > most:
            where, most = i, size
    return where


@leaf
def _factor_panel(A, P, n, start, order):
    """Pivots of ``A[start:, start : start + BLOCK]`` by elimination in the copy ``P``; rows of ``A`` are swapped."""
    one = tile(0.0, 1, WIDE)
    for i in range(start, n):
        store(P, (i, 0), row(A, (i, start), one))
    for c in range(BLOCK):
        k = start + c
        where = _largest_below(P, n, k, c)
        order[k] = where
        if where != k:
            _swap_rows(P, BLOCK, k, where)
            _swap_rows(A, n, k, where)
        pivot, inverse = row(P, (k, 0), one), 1.0 / P[k, c]
        for i in range(k + 1, n):
            store(P, (i, 0), row(P, (i, 0), one) - (P[i, c] * inverse) * pivot)


@inline
def spare(n):
    """Scratch for ``invert``."""
    return aligned((3 * n + 3 * BLOCK) * n, np.empty(0)).reshape(3 * n + 3 * BLOCK, n)


@part
def invert(A, S, order, pivoting):
    """Replace ``A`` ``(n, n)`` by its inverse; returns log |det A|, or 0 without pivoting.

    ``n`` is a multiple of ``BLOCK``; ``S`` is of ``spare``; ``order`` ``(n,)`` int64 is scratch too.
    """
    n = A.shape[0]
    size, exponent = 1.0, 0.0
    line, D = S[0:1], S[BLOCK : 2 * BLOCK].reshape(-1)[: BLOCK * BLOCK].reshape(BLOCK, BLOCK)
    if n < BY_BLOCKS:
        for k in range(n):
            if pivoting:
                where = _largest_below(A, n, k, k)
                order[k] = where
                if where != k:
                    _swap_rows(A, n, k, where)
                size *= abs(A[k, k])
                if not 1 / HUGE < size < HUGE:
                    exponent, size = exponent + math.log(size), 1.0
            _eliminate(A, n, k, line)
    else:
        R = S[2 * BLOCK : 3 * BLOCK]
        F = S[3 * BLOCK : 3 * BLOCK + n].reshape(-1)[: n * BLOCK].reshape(n, BLOCK)
        P = S[3 * BLOCK + n : 3 * BLOCK + 2 * n].reshape(-1)[: n * BLOCK].reshape(n, BLOCK)
        wide = tile(0.0, 1, WIDE)
        for start in range(0, n, BLOCK):
            if pivoting:
                _factor_panel(A, P, n, start, order)
                for k in range(start, start + BLOCK):
                    size *= abs(P[k, k - start])
                    if not 1 / HUGE < size < HUGE:
                        exponent, size = exponent + math.log(size), 1.0
            for i in range(BLOCK):
                store(D, (i, 0), row(A, (start + i, start), wide))
            for k in range(BLOCK):
                _eliminate(D, BLOCK, k, line)
            product(R, D, A[start : start + BLOCK], D.shape[0])  # no constant: it would compile another product
            for i in range(BLOCK):
                store(R, (i, start), row(D, (i, 0), wide))
            for i in range(n):
                store(F, (i, 0), -row(A, (i, start), wide))
                store(A, (i, start), wide)
            product_plus(A, F, R, A, F.shape[1])
            for i in range(BLOCK):
                for j in range(0, n, LANES64):
                    store(A, (start + i, j), row(R, (i, j), tile(0.0, 1, 1)))
    if not pivoting:
        return 0.0
    for k in range(n - 1, -1, -1):
        where = order[k]
        if where != k:
            for i in range(n):
                A[i, k], A[i, where] = A[i, where], A[i, k]
    return exponent + math.log(size)
