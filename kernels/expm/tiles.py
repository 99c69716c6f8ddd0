"""Exponentials on register tiles, one matrix after the other.

Everything of one matrix stays in the cache: its powers, the parts of the polynomial, the squarings.
"""

from __future__ import annotations

import math

from ..jit import kernel, leaf, part
from ..simd import ROWS
from ..tile_matrix import add_rows, divide, get, lift, norm, product, product_plus, put, scratch
from .polynomials import LIMIT32, LIMIT64, NORMS32, NORMS64, degree_4, degree_8, degree_18, log_alpha

LOG2E = math.log2(math.e)


@leaf
def doublings(excess, time, shift):
    """How often ``2^shift t A`` is halved; ``excess`` is how far A is beyond reach, as a power of two.

    A matrix that was scaled is halved at least as often, so that no coefficient overflows.
    """
    times = excess + shift + math.log2(abs(time))
    if shift:
        times = max(times, shift + math.frexp(time)[1])
    return math.ceil(times) if 0 < times < math.inf else 0


@part
def _exponentials(start, stop, a, t, out, W):
    """``exponentials`` with scratch."""
    n, points = a.shape[1], t.shape[1]
    norm_4, norm_8, norm_18 = NORMS64 if a.itemsize == 8 else NORMS32
    limit = LIMIT64 if a.itemsize == 8 else LIMIT32
    A2, A3, A6, P, Q, R, Z = W[0], W[1], W[2], W[3], W[4], W[5], W[6]
    A, whole = W[7], W.shape[1] == n and W.shape[2] == n
    height = ROWS if n > 16 else P.shape[0]  # of what is combined at once; all where it fits the first cache
    now, powers, size, excess, shift = -1, 1, 0.0, 0.0, 0
    for entry in range(start, stop):
        m = entry // points
        time = float(t[m if t.shape[0] > 1 else 0, entry % points])
        if m != now:
            A = a[m] if whole else W[7]
            if not whole:
                put(A, a, m)
            size = float(norm(A))
            now, powers, shift = m, 1, 0
            if limit < size < math.inf:
                product(A2, A, A, n)
                product(A3, A2, A, n)
                product(A6, A3, A3, n)
                if not norm(A6) < math.inf:  # scale first
                    A, shift = W[7], math.frexp(size)[1]
                    put(A, a, m)
                    divide(A, shift)
                    size = float(norm(A))
        X = out[entry] if whole else Z
        reach = math.ldexp(size * abs(time), shift)
        c = math.ldexp(time, shift)
        if powers == 1:
            powers = 2
            product(A2, A, A, n)
        if reach <= norm_4:
            degree_4(product_plus, lift, X, A, A2, P, Q, n, c)
        elif reach <= norm_8:
            degree_8(product, product_plus, lift, X, A, A2, P, Q, R, n, c)
        else:
            if powers == 2:
                powers = 6
                product(A3, A2, A, n)
                product(A6, A3, A3, n)
                log = log_alpha(float(norm(A2)), float(norm(A3)), float(norm(A6)))
                excess = log * LOG2E - math.log2(norm_18)
            squarings = doublings(excess, time, shift)
            c = math.ldexp(time, shift - squarings)
            Y = Q
            if squarings % 2:  # so that the last is X
                X, Y = Y, X
            degree_18(add_rows, lift, X, A, A2, A3, A6, P[:height], Q, R, n, c, out[entry], a[min(m + 1, len(a) - 1)])
            for _ in range(squarings):
                product(Y, X, X, n)
                X, Y = Y, X
        if not whole:
            get(out, entry, X)


@kernel
def exponentials(start, stop, a, t, out):
    """Entries ``start`` to ``stop`` of ``out`` ``(B * T, n, n)``: matrices and points, which run fastest.

    ``a`` is ``(B, n, n)``, ``t`` is ``(1 or B, T)``; all contiguous, one dtype.  A matrix that is whole tiles is read
    and written where it lies, others in scratch.
    """
    W = scratch(8, a.shape[1], a)
    _exponentials(start, stop, a, t, out, W)
