"""The polynomials of the exponential, for one matrix in rows of registers or for a pack of them side by side.

``times`` and ``times_plus`` are the products of the layout, of ``tile_matrix`` or of ``lane_matrix``; ``c`` is what
``A`` is multiplied with, a number, or a register of them, one for each matrix.
"""

from __future__ import annotations

import numpy as np
import torch

from ..jit import leaf
from ..simd import fma, row, store, tile
from ..tile_matrix import lanes_of
from .tables import B1, B2, B3, B4, B5, LIMIT, REACH, SCALED, X1, X2, X3, X4, X5, X6, X7, Y2

# norms up to which degree 4 and degree 8 are used, and to which matrices are scaled for degree 18
NORMS64, NORMS32 = ((REACH[dtype][4], REACH[dtype][8], SCALED[dtype]) for dtype in (torch.float64, torch.float32))
LIMIT64, LIMIT32 = LIMIT[torch.float64], LIMIT[torch.float32]
STEP = 2  # registers at once in passes over whole matrices, whose rows are written one after the other


@leaf
def log_alpha(two, three, six):
    """The logarithm of α (README.md) from the norms of A², A³ and A⁶."""
    beta = np.maximum(np.log(two) / 2, np.log(three) / 3)
    return (2 * np.log(six) + 7 * beta) / 19


@leaf
def degree_4(times_plus, lift, X, A, A2, P, Q, n, c):
    """X = I + cA + c²A² (I/2 + cA/6 + c²A²/24)."""
    zero, c2 = tile(A.dtype.type(0), 1, STEP), c * c
    step = STEP * lanes_of(A)
    for k in range(0, A.size, step):
        a, a2 = row(A, (0, k), zero), row(A2, (0, k), zero)
        store(P, (0, k), c2 * fma(a2, c2 / 24, c / 6 * a))
        store(Q, (0, k), c * a)
    lift(P, 0, 0, n, 0.5 * c2)
    lift(Q, 0, 0, n, 1.0)
    times_plus(X, A2, P, Q, n)


@leaf
def degree_8(times, times_plus, lift, X, A, A2, P, Q, R, n, c):
    """X = I + cA + y2 c²A² + (x3 c²A² + A⁴)(x4 I + x5 cA + x6 c²A² + x7 A⁴), A⁴ = c²A² (x1 cA + x2 c²A²)."""
    zero, c2 = tile(A.dtype.type(0), 1, STEP), c * c
    step = STEP * lanes_of(A)
    for k in range(0, A.size, step):
        a, a2 = row(A, (0, k), zero), row(A2, (0, k), zero)
        store(P, (0, k), c2 * fma(a2, X2 * c2, X1 * c * a))
    times(X, A2, P, n)
    for k in range(0, A.size, step):
        a, a2, a4 = row(A, (0, k), zero), row(A2, (0, k), zero), row(X, (0, k), zero)
        store(P, (0, k), fma(a2, X3 * c2, a4))
        store(Q, (0, k), fma(a4, X7, fma(a2, X6 * c2, X5 * c * a)))
        store(R, (0, k), fma(a2, Y2 * c2, c * a))
    lift(Q, 0, 0, n, X4)
    lift(R, 0, 0, n, 1.0)
    times_plus(X, P, Q, R, n)


@leaf
def degree_18(add_rows, lift, X, A, A2, A3, A6, L, Q, R, n, c, target, ahead):
    """X = B_2 + (B_3 + A⁹) A⁹, A⁹ = B_1 B_5 + B_4, each B_i a combination of I and powers of cA.

    What the product of a row of tiles needs is combined just before it, the left factor in ``L``, as high as a tile, so
    that little is written and read again.  ``X`` may be ``Q``.  ``target`` and ``ahead``, of its size, are fetched.
    """
    zero, c2, c3, c6 = tile(A.dtype.type(0), 1, STEP), c * c, c * c * c, c * c * c * c * c * c
    step, height = STEP * lanes_of(A), L.shape[0]
    for k in range(0, A.size, step):
        a2, a3, a6 = row(A2, (0, k), zero), row(A3, (0, k), zero), row(A6, (0, k), zero)
        store(Q, (0, k), fma(a6, B5[2] * c6, fma(a3, B5[1] * c3, B5[0] * c2 * a2)))
    for i in range(0, A.shape[0], height):
        for k in range(0, L.size, step):
            a, a2 = row(A, (i, k), zero), row(A2, (i, k), zero)
            a3, a6 = row(A3, (i, k), zero), row(A6, (i, k), zero)
            store(L, (0, k), fma(a3, B1[2] * c3, fma(a2, B1[1] * c2, B1[0] * c * a)))
            store(R, (i, k), fma(a6, B4[4] * c6, fma(a3, B4[3] * c3, fma(a2, B4[2] * c2, B4[1] * c * a))))
        add_rows(R, i, L, Q, n, target)
        lift(R, i, i, min(height, n - i), B4[0])  # last: a register is not read again right after one of its numbers
    for i in range(0, A.shape[0], height):
        for k in range(0, L.size, step):
            a, a2 = row(A, (i, k), zero), row(A2, (i, k), zero)
            a3, a6, a9 = row(A3, (i, k), zero), row(A6, (i, k), zero), row(R, (i, k), zero)
            store(L, (0, k), fma(a6, B3[4] * c6, fma(a3, B3[3] * c3, fma(a2, B3[2] * c2, fma(a, B3[1] * c, a9)))))
            store(X, (i, k), fma(a6, B2[3] * c6, fma(a3, B2[2] * c3, fma(a2, B2[1] * c2, B2[0] * c * a))))
        lift(L, 0, i, min(height, n - i), B3[0])
        add_rows(X, i, L, R, n, ahead)
