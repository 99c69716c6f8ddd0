"""Exponentials of small matrices, as many side by side as a register has lanes.

The algorithm is that of ``tiles``, its choices made for each lane: a degree is computed where any matrix of a pack asks
for it, and taken by those that do.
"""

from __future__ import annotations

import math

import numpy as np

from ..jit import inline, kernel, leaf
from ..lane_matrix import (
    add_rows,
    entries,
    gather,
    lift,
    norms,
    packs,
    product,
    product_plus,
    scatter,
    some,
    spare_entries,
    square_where,
    take_where,
)
from ..simd import row, store, tile
from ..tile_math import power_of_two
from ..tile_matrix import aligned, lanes_of
from .polynomials import LIMIT32, LIMIT64, NORMS32, NORMS64, degree_4, degree_8, degree_18, log_alpha
from .tiles import LOG2E
from .tiles import exponentials as one_after_the_other


@leaf
def doublings(log_reach):
    """How often a matrix is halved whose α is ``e^log_reach`` times what the polynomial reaches; not if not finite."""
    times = -np.floor(-LOG2E * log_reach)
    return np.where((times > 0.0) & (times < np.inf), times, 0.0)


@inline
def _here(A, a, m):
    """The matrices of ``a`` ``(B, n, n)`` from ``m`` on as one of the size of the pack ``A``, if there are so many."""
    n, stop = a.shape[1], m + lanes_of(a)
    return a[m:stop].reshape(A.shape) if A.shape[0] == n and stop <= a.shape[0] else A


@kernel
def exponentials(start, stop, a, t, out):
    """Entries ``start`` to ``stop`` of ``out``, ``a`` and ``out`` ``(B, n, n)``, ``t`` ``(1 or B, 1)``, contiguous."""
    n, lanes = a.shape[1], lanes_of(a)
    norm_4, norm_8, norm_18 = NORMS64 if a.itemsize == 8 else NORMS32
    limit = LIMIT64 if a.itemsize == 8 else LIMIT32
    W, spare, numbers = packs(8, n, a), spare_entries(n, a), aligned(lanes, a)
    A, A2, A3, A6, P, Q, R, X = W[0], W[1], W[2], W[3], W[4], W[5], W[6], W[7]
    zero = tile(a.dtype.type(0), 1, 1)
    matrices, results = a.reshape(a.shape[0], n * n), out.reshape(out.shape[0], n * n)
    for m in range(start, stop, lanes):
        gather(A, entries(A, n, spare), matrices, m, stop, n)
        for lane in range(lanes):
            numbers[lane] = t[min(m + lane, stop - 1) if t.shape[0] > 1 else 0, 0]
        size, time = norms(A, n), row(numbers, 0, zero)
        reach = size * abs(time)
        low, lower = np.where(reach <= norm_4, 1.0, zero), np.where(reach <= norm_8, 1.0, zero)
        middle, high = lower - low, 1.0 - lower
        product(A2, A, A, n)
        if some(high):
            product(A3, A2, A, n)
            product(A6, A3, A3, n)
            log = log_alpha(norms(A2, n), norms(A3, n), norms(A6, n)) + np.log(abs(time))
            squarings = high * doublings(log - math.log(norm_18))
            c = time * power_of_two(-squarings)
            target, ahead = _here(A, out, m), _here(A, a, m + lanes)
            degree_18(add_rows, lift, X, A, A2, A3, A6, P, Q, R, n, c, target, ahead)
            while some(squarings):
                square_where(Q, X, n, squarings > 0.0)
                X, Q, squarings = Q, X, np.maximum(squarings - 1.0, 0.0)
        if some(middle):
            degree_8(product, product_plus, lift, A6, A, A2, P, Q, R, n, time)
            take_where(X, A6, middle > 0.0)
        if some(low):
            degree_4(product_plus, lift, A6, A, A2, P, Q, n, time)
            take_where(X, A6, low > 0.0)
        scatter(results, m, stop, X, entries(X, n, spare), n)
        store(numbers, 0, np.maximum(size, reach))
        for entry in range(m, min(m + lanes, stop)):
            if limit < numbers[entry - m] < math.inf:  # powers may overflow
                one_after_the_other(entry, entry + 1, a, t, out)
