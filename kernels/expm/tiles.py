"""Exponentials on register tiles, one matrix after the other.

Everything of one matrix stays in the cache: its powers, the parts of the polynomial, the squarings.
"""

from __future__ import annotations

import math

import torch

from ..jit import inline, kernel
from ..simd import LANES32, LANES64, fma, row, store, tile
from ..tile_matrix import divide, get, norm, product, product_plus, put, scratch
from .tables import B1, B2, B3, B4, B5, LIMIT, REACH, SCALED, X1, X2, X3, X4, X5, X6, X7, Y2

# norms up to which degree 4 and degree 8 are used, and to which matrices are scaled for degree 18
NORMS64, NORMS32 = ((REACH[dtype][4], REACH[dtype][8], SCALED[dtype]) for dtype in (torch.float64, torch.float32))
LIMIT64, LIMIT32 = LIMIT[torch.float64], LIMIT[torch.float32]
STEP = 2  # registers at once in passes over whole matrices, whose rows are written one after the other


@inline
def log2_alpha(one, two, three, six):
    """The logarithm of α of ``blocks`` from the norms of A, A², A³ and A⁶."""
    low = max(math.log2(two) / 2, math.log2(three) / 3)
    return min(math.log2(one), min(low, (2 * math.log2(six) + 7 * low) / 19))


@inline
def doublings(excess, time, shift):
    """How often ``2^shift t A`` is halved; ``excess`` is how far A is beyond reach, as a power of two.

    A matrix that was scaled is halved at least as often, so that no coefficient overflows.
    """
    times = excess + shift + math.log2(abs(time))
    if shift:
        times = max(times, shift + math.frexp(time)[1])
    return math.ceil(times) if 0 < times < math.inf else 0


@inline
def _degree_4(X, I, A, A2, P, Q, n, c):
    """X = I + cA + c²A² (I/2 + cA/6 + c²A²/24)."""
    zero, c2 = tile(A.dtype.type(0), 1, STEP), c * c
    step = STEP * (LANES64 if A.itemsize == 8 else LANES32)
    for k in range(0, A.size, step):
        i, a, a2 = row(I, (0, k), zero), row(A, (0, k), zero), row(A2, (0, k), zero)
        store(P, (0, k), c2 * fma(a2, c2 / 24, fma(a, c / 6, 0.5 * i)))
        store(Q, (0, k), fma(a, c, i))
    product_plus(X, A2, P, Q, n)


@inline
def _degree_8(X, I, A, A2, P, Q, R, n, c):
    """X = I + cA + y2 c²A² + (x3 c²A² + A⁴)(x4 I + x5 cA + x6 c²A² + x7 A⁴), A⁴ = c²A² (x1 cA + x2 c²A²)."""
    zero, c2 = tile(A.dtype.type(0), 1, STEP), c * c
    step = STEP * (LANES64 if A.itemsize == 8 else LANES32)
    for k in range(0, A.size, step):
        a, a2 = row(A, (0, k), zero), row(A2, (0, k), zero)
        store(P, (0, k), c2 * fma(a2, X2 * c2, X1 * c * a))
    product(X, A2, P, n)
    for k in range(0, A.size, step):
        i, a, a2, a4 = row(I, (0, k), zero), row(A, (0, k), zero), row(A2, (0, k), zero), row(X, (0, k), zero)
        store(P, (0, k), fma(a2, X3 * c2, a4))
        store(Q, (0, k), fma(a4, X7, fma(a2, X6 * c2, fma(a, X5 * c, X4 * i))))
        store(R, (0, k), fma(a2, Y2 * c2, fma(a, c, i)))
    product_plus(X, P, Q, R, n)


@inline
def _degree_18(X, I, A, A2, A3, A6, P, Q, R, S, n, c):
    """X = B_2 + (B_3 + A⁹) A⁹, A⁹ = B_1 B_5 + B_4, each B_i a combination of I and powers of cA."""
    zero, c2, c3, c6 = tile(A.dtype.type(0), 1, STEP), c * c, c * c * c, c * c * c * c * c * c
    step = STEP * (LANES64 if A.itemsize == 8 else LANES32)
    for k in range(0, A.size, step):
        i, a, a2 = row(I, (0, k), zero), row(A, (0, k), zero), row(A2, (0, k), zero)
        a3, a6 = row(A3, (0, k), zero), row(A6, (0, k), zero)
        store(P, (0, k), fma(a3, B1[2] * c3, fma(a2, B1[1] * c2, B1[0] * c * a)))
        store(Q, (0, k), fma(a6, B5[2] * c6, fma(a3, B5[1] * c3, B5[0] * c2 * a2)))
        store(R, (0, k), fma(a6, B4[4] * c6, fma(a3, B4[3] * c3, fma(a2, B4[2] * c2, fma(a, B4[1] * c, B4[0] * i)))))
    product_plus(S, P, Q, R, n)
    for k in range(0, A.size, step):
        i, a, a2 = row(I, (0, k), zero), row(A, (0, k), zero), row(A2, (0, k), zero)
        a3, a6, a9 = row(A3, (0, k), zero), row(A6, (0, k), zero), row(S, (0, k), zero)
        b3 = fma(a6, B3[4] * c6, fma(a3, B3[3] * c3, fma(a2, B3[2] * c2, fma(a, B3[1] * c, B3[0] * i))))
        store(P, (0, k), b3 + a9)
        store(Q, (0, k), fma(a6, B2[3] * c6, fma(a3, B2[2] * c3, fma(a2, B2[1] * c2, B2[0] * c * a))))
    product_plus(X, P, S, Q, n)


@kernel
def exponentials(start, stop, a, t, out):
    """Entries ``start`` to ``stop`` of ``out`` ``(B * T, n, n)``: matrices and points, which run fastest.

    ``a`` is ``(B, n, n)``, ``t`` is ``(1 or B, T)``; all contiguous, one dtype.
    """
    n, points = a.shape[1], t.shape[1]
    norm_4, norm_8, norm_18 = NORMS64 if a.itemsize == 8 else NORMS32
    limit = LIMIT64 if a.itemsize == 8 else LIMIT32
    W = scratch(11, n, a)
    I, A, A2, A3, A6, P, Q, R, S, X, Y = W[0], W[1], W[2], W[3], W[4], W[5], W[6], W[7], W[8], W[9], W[10]
    for i in range(n):
        I[i, i] = 1
    now, powers, size, excess, shift = -1, 1, 0.0, 0.0, 0
    for entry in range(start, stop):
        m = entry // points
        time = float(t[m if t.shape[0] > 1 else 0, entry % points])
        if m != now:
            put(A, a, m)
            size = float(norm(A))
            now, powers, shift = m, 1, 0
            if limit < size < math.inf:
                product(A2, A, A, n)
                product(A3, A2, A, n)
                product(A6, A3, A3, n)
                if not norm(A6) < math.inf:  # scale first
                    shift = math.frexp(size)[1]
                    divide(A, shift)
                    size = float(norm(A))
        reach = math.ldexp(size * abs(time), shift)
        c, squarings = math.ldexp(time, shift), 0
        if powers == 1:
            powers = 2
            product(A2, A, A, n)
        if reach <= norm_4:
            _degree_4(X, I, A, A2, P, Q, n, c)
        elif reach <= norm_8:
            _degree_8(X, I, A, A2, P, Q, R, n, c)
        else:
            if powers == 2:
                powers = 6
                product(A3, A2, A, n)
                product(A6, A3, A3, n)
                excess = log2_alpha(size, float(norm(A2)), float(norm(A3)), float(norm(A6))) - math.log2(norm_18)
            squarings = doublings(excess, time, shift)
            c = math.ldexp(time, shift - squarings)
            _degree_18(X, I, A, A2, A3, A6, P, Q, R, S, n, c)
        for _ in range(squarings // 2):
            product(Y, X, X, n)
            product(X, Y, Y, n)
        if squarings % 2:
            product(Y, X, X, n)
            get(out, entry, Y)
        else:
            get(out, entry, X)
