"""Principal logarithms of small matrices, as many side by side as a register has lanes.

The algorithm is that of ``tiles``.  What is true of some matrices is a register of ones and zeros; one that has arrived
where others still move is held there by factors 1 and 0.  What is rare, another scale or the way over a Schur form, is
left to ``tiles``, one matrix after the other.
"""

from __future__ import annotations

import math

import numpy as np

from ..jit import kernel, leaf
from ..lane_matrix import (
    WIDE,
    entries,
    gather,
    norms,
    packs,
    product,
    product_plus,
    scatter,
    some,
    spare_entries,
    take_where,
)
from ..simd import LANES64, fma, row, store, tile
from ..tile_math import exp64, log64
from ..tile_matrix import aligned
from .passes import combine, combine_three, copy, last_of_root, last_of_series
from .tables import DEGREES
from .tiles import CLOSE, CONDITION, FAR, NEAR, PIVOTING, ROOTS, STEPS, TURNED
from .tiles import logarithms as one_after_the_other

REACH, POWERS, GROUPS = DEGREES[-1]
SMALL, LARGE = math.ldexp(1.0, -FAR), math.ldexp(1.0, FAR)


@leaf
def unless(mask, given):
    """``given``, a register of ones and zeros, and 0 where the mask is set."""
    return np.where(mask, 0.0, given)


@leaf
def _swap_rows(A, k, n, where):
    """Exchange row ``k`` with row ``where``, a register of numbers from ``k`` on."""
    one = tile(0.0, 1, WIDE)
    for j in range(0, A.shape[1], WIDE * LANES64):
        upper = row(A, (k, j), one)
        chosen = upper
        for i in range(k + 1, n):
            lower, here = row(A, (i, j), one), where == float(i)
            chosen = np.where(here, lower, chosen)
            store(A, (i, j), np.where(here, upper, lower))
        store(A, (k, j), chosen)


@leaf
def _swap_columns(A, k, n, where):
    zero = tile(0.0, 1, 1)
    for i in range(n):
        left = row(A, (i, k * LANES64), zero)
        chosen = left
        for j in range(k + 1, n):
            right, here = row(A, (i, j * LANES64), zero), where == float(j)
            chosen = np.where(here, right, chosen)
            store(A, (i, j * LANES64), np.where(here, left, right))
        store(A, (i, k * LANES64), chosen)


@leaf
def _eliminate(A, k, n, inverse):
    """Gauss–Jordan step in place; ``inverse`` is that of the pivots ``A[k, k]``."""
    zero, one = tile(0.0, 1, 1), tile(0.0, 1, WIDE)
    store(A, (k, k * LANES64), zero + 1.0)
    for j in range(0, A.shape[1], WIDE * LANES64):
        store(A, (k, j), row(A, (k, j), one) * inverse)
    for i in range(n):
        if i != k:
            factor = -row(A, (i, k * LANES64), zero)
            store(A, (i, k * LANES64), zero)
            for j in range(0, A.shape[1], WIDE * LANES64):
                store(A, (i, j), fma(row(A, (k, j), one), factor, row(A, (i, j), one)))


@leaf
def invert(A, pivots, n, pivoting):
    """Replace a pack by its inverses; returns ``|det A|`` of each matrix.

    Those that are ``pivoting`` exchange rows first, which ``pivots`` ``(n, lanes)`` remembers.
    """
    zero = tile(0.0, 1, 1)
    size, any_pivots = zero + 1.0, some(pivoting)
    for k in range(n):
        if any_pivots:
            where, most = zero + float(k), abs(row(A, (k, k * LANES64), zero))
            for i in range(k + 1, n):
                candidate = pivoting * abs(row(A, (i, k * LANES64), zero))
                where = np.where(candidate > most, float(i), where)
                most = np.where(candidate > most, candidate, most)
            store(pivots, (k, 0), where)
            if some(where - float(k)):
                _swap_rows(A, k, n, where)
        pivot = row(A, (k, k * LANES64), zero)
        size = size * abs(pivot)
        _eliminate(A, k, n, 1.0 / pivot)
    if any_pivots:
        for k in range(n - 1, -1, -1):
            where = row(pivots, (k, 0), zero)
            if some(where - float(k)):
                _swap_columns(A, k, n, where)
    return size


@leaf
def root(A, I, W, pivots, n, active):
    """Replace ``A`` by its square root; returns those of the ``active`` matrices whose iteration loses no digits."""
    X, M, N, U, T = W[0], W[1], W[2], W[3], W[4]
    copy(X, A)
    copy(M, A)
    combine(T, 1.0, M, -1.0, I)
    distance = norms(T, n)
    for step in range(STEPS):
        moving = unless(distance < CLOSE, active)
        if not some(moving):
            break
        copy(N, M)
        far = unless(distance < PIVOTING, moving)
        determinant = invert(N, pivots, n, far)
        turned = norms(N, n)
        if step == 0:
            turned = turned * norms(M, n) * (TURNED / CONDITION)
        kept = np.where(turned < TURNED, moving, 0.0)
        active = active - (moving - kept)
        mu = np.where(far > 0.0, exp64(log64(determinant) * (-0.5 / n)), 1.0)
        moves = kept > 0.0
        half = np.where(moves, 0.5, 0.0 * mu)
        combine_three(M, np.where(moves, 0.25 * mu * mu, 1.0), M, np.where(moves, 0.25 / (mu * mu), 0.0), N, half, I)
        combine(U, np.where(moves, 0.5 / mu, 0.0), N, np.where(moves, 0.5 * mu, 1.0), I)
        product(T, X, U, n)
        X, T = T, X
        combine(U, 1.0, M, -1.0, I)
        distance = norms(U, n)
    last_of_root(product, product_plus, A, X, M, I, N, T, U, n)
    return np.where(distance < CLOSE, active, 0.0)


@leaf
def series(E, I, W, pivots, n, active):
    """The logarithm of I + E into ``W[0]``; returns those of the ``active`` matrices that the series reaches."""
    L, D, Y = W[0], W[1], W[2]
    size = norms(E, n)
    near = np.where(size < NEAR, active, 0.0)
    if some(near):
        combine(L, 1.0, E, 1.0, I)
        invert(L, pivots, n, unless(size < PIVOTING, near))
        product(D, E, L, n)  # I - B⁻¹
        combine(Y, 1.0, E, -1.0, D)
        combine(D, 1.0, E, 1.0, D)
        near = np.where(norms(Y, n) <= REACH, near, 0.0)
        if some(near):
            product(W[3], Y, Y, n)
            last_of_series(product, product_plus, W, I, n, POWERS, GROUPS)
    return near


@kernel
def logarithms(start, stop, a, out):
    """Entries ``start`` to ``stop`` of ``out``: logarithms of ``a``, NaN where there is none; ``(B, n, n)`` float64."""
    n, zero = a.shape[1], tile(0.0, 1, 1)
    matrices, spare = packs(13, n, a), spare_entries(n, a)
    W, A, E, I, R = matrices[:9], matrices[9], matrices[10], matrices[11], matrices[12]
    pivots, numbers = aligned(n * LANES64, a).reshape(n, LANES64), aligned(LANES64, a)
    for i in range(n):
        store(I, (i, i * LANES64), zero + 1.0)
    sources, results = a.reshape(a.shape[0], n * n), out.reshape(out.shape[0], n * n)
    for m in range(start, stop, LANES64):
        gather(A, entries(A, n, spare), sources, m, stop, n)
        size = norms(A, n)
        active = np.where(size > SMALL, np.where(size < LARGE, 1.0, zero), 0.0)
        finished = zero
        for roots in range(ROOTS):
            combine(E, 1.0, A, -1.0, I)
            reached = series(E, I, W, pivots, n, active)
            combine(W[0], 2.0**roots, W[0], 0.0, I)
            take_where(R, W[0], reached > 0.0)
            finished, active = finished + reached, active - reached
            if not some(active):
                break
            active = root(A, I, W, pivots, n, active)
        scatter(results, m, stop, R, entries(R, n, spare), n)
        store(numbers, 0, finished)
        for entry in range(m, min(m + LANES64, stop)):
            if numbers[entry - m] == 0.0:
                one_after_the_other(entry, entry + 1, a, out)
