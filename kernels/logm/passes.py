"""Passes over whole matrices and polynomials of them, for one matrix in rows of registers or for a pack.

``times`` and ``times_plus`` are the products of the layout, of ``tile_matrix`` or of ``lane_matrix``; a factor is a
number, or a register of them, one for each matrix.
"""

from __future__ import annotations

from ..jit import leaf
from ..simd import LANES64, fma, row, store, tile
from .tables import SERIES

STEP = 2  # registers at once


@leaf
def combine(C, a, A, b, B):
    """C = aA + bB."""
    zero = tile(0.0, 1, STEP)
    for k in range(0, C.size, STEP * LANES64):
        store(C, (0, k), fma(row(B, (0, k), zero), b, a * row(A, (0, k), zero)))


@leaf
def combine_three(D, a, A, b, B, c, C):
    """D = aA + bB + cC."""
    zero = tile(0.0, 1, STEP)
    for k in range(0, D.size, STEP * LANES64):
        store(D, (0, k), fma(row(C, (0, k), zero), c, fma(row(B, (0, k), zero), b, a * row(A, (0, k), zero))))


@leaf
def copy(B, A):
    """B = A."""
    zero = tile(0.0, 1, STEP)
    for k in range(0, B.size, STEP * LANES64):
        store(B, (0, k), row(A, (0, k), zero))


@leaf
def last_of_root(times, times_plus, A, X, M, I, N, T, U, depth):
    """A = X M^(-1/2) for M near I, by (1 + e)^(-1/2) = 1 - e/2 + 3e²/8 - 5e³/16 + 35e⁴/128; all others are scratch."""
    combine(M, 1.0, M, -1.0, I)
    times(N, M, M, depth)
    combine(U, -0.5, M, 1.0, I)
    combine_three(T, 3 / 8, I, -5 / 16, M, 35 / 128, N)
    times_plus(U, N, T, U, depth)
    times(A, X, U, depth)


@leaf
def last_of_series(times, times_plus, W, I, depth, powers, groups):
    """W[0] = W[1] Σ c_k W[2]ᵏ, coefficients of ``tables``, in groups of powers (Paterson & Stockmeyer 1973).

    ``W[3]`` is the square of ``W[2]``, all up to ``W[8]`` scratch.
    """
    for k in range(3, powers + 1):
        times(W[k + 1], W[k], W[2], depth)
    P, Q, zero = W[7], W[8], tile(0.0, 1, STEP)
    for group in range(groups - 1, -1, -1):
        first, last = group * powers, powers + (group == groups - 1)
        for k in range(0, I.size, STEP * LANES64):
            value = SERIES[first] * row(I, (0, k), zero)
            for i in range(1, last):
                value = fma(row(W, (i + 1, 0, k), zero), SERIES[first + i], value)
            store(Q, (0, k), value)
        if group < groups - 1:
            times_plus(Q, P, W[powers + 1], Q, depth)
        P, Q = Q, P
    times(W[0], W[1], P, depth)
