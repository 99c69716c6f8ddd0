"""Logarithms of symmetric positive definite matrices from their eigenvectors, side by side in the lanes of registers.

Householder's tridiagonal form ``A = Q T Qᵀ`` and the implicit QL iteration (Bowdler, Martin, Reinsch & Wilkinson 1968,
Numer. Math. 11), whose rounding errors are then corrected: with ``U`` the eigenvectors in rows, ``M = U A Uᵀ`` is
computed anew, and ``log A = Uᵀ log(M) U`` with ``log(M)`` to first order in what is beside the diagonal.

Each lane holds a matrix and its own place in the iteration: where a rotation belongs to other lanes, this one's is by 1
and 0.  A pack is ``(order, order * lanes)`` as in ``lane_matrix``; a group is ``PACKS`` of them.  While rotations pass
over ``U`` it is ``(order / WIDE, order, WIDE * lanes)``: columns that they pass over together lie together.
"""

from __future__ import annotations

import math

import numpy as np

from ..jit import inline, kernel, leaf, part
from ..lane_matrix import SIDE, TALL, WIDE, add_product, entries, gather, norms, packs, product, scatter, spare_entries
from ..simd import LANES64, block, fma, largest, row, store, tile
from ..tile_math import inverse_root64, log64
from ..tile_matrix import aligned
from .tiles import FAR

PACKS = 2  # iterated together: a rotation waits for the one before, and what waits here leaves room for another's
GROUP = PACKS * LANES64  # matrices
SWEEPS = 8  # whose rotations are applied at once, to columns that stay in the first cache
MOST = 30  # sweeps for each eigenvalue before giving up (LAPACK's dsteqr); two are usual
NEAR = 0.5  # ‖A - I‖ below which the eigenvectors are those of A - I, which is then exact
SMALL, LARGE = math.ldexp(1.0, -FAR), math.ldexp(1.0, FAR)
MEET = 1e-3  # of their sum, the difference of numbers below which the derivative between them does
LEAST = 2.0**-40  # of ‖A‖, the smallest eigenvalue for which the first order is enough
# of its neighbours, and of the matrix: what an entry beside the diagonal may be to count as zero
ROUNDING, NOTHING = 2.0**-53, 2.0**-100
TINY = 1e-300  # a square: what is rotated is nothing


@part
def tridiagonal(A, V, taus, S, D, E, n, at):
    """T into columns from ``at`` on of ``D`` and ``E``: the diagonal, and what is beside it.

    Row k of ``V`` and ``taus`` hold reflections ``H_k = I - tau v vᵀ`` with ``Q = H_0 H_1 …``, ``v`` zero up to k.
    ``A -= v qᵀ + q vᵀ`` and the product of the result with the next ``v`` are one pass.  ``A`` is lost, ``S``
    ``(3, order, lanes)`` scratch.
    """
    one, tall = tile(0.0, 1, 1), tile(0.0, SIDE, 1)
    order, v, q, Av = A.shape[0], S[0], S[1], S[2]
    for j in range(order):
        store(v, (j, 0), one)
        store(q, (j, 0), one)
    for k in range(n - 1):
        v_k, q_k, tail = row(v, (k, 0), one), row(q, (k, 0), one), one
        for j in range(k, n):
            number = row(A, (k, j * LANES64), one) - v_k * row(q, (j, 0), one) - q_k * row(v, (j, 0), one)
            store(A, (k, j * LANES64), number)
            if j > k + 1:
                tail = fma(number, number, tail)
        first = row(A, (k, (k + 1) * LANES64), one)
        reflects = tail > 0.0
        beside = np.where(reflects, -np.copysign(np.sqrt(fma(first, first, tail)), first), first)
        tau = np.where(reflects, (beside - first) / beside, 0.0)
        scale = np.where(reflects, 1.0 / (first - beside), 0.0)
        store(D, (n - 1 - k, at), row(A, (k, k * LANES64), one))
        store(E, (n - 2 - k, at), beside)
        store(taus, (k, 0), tau)
        w = V[k].reshape(order, LANES64)
        store(w, (k + 1, 0), one + 1.0)
        for j in range(k + 2, n):
            store(w, (j, 0), scale * row(A, (k, j * LANES64), one))
        for i in range((k + 1) // SIDE * SIDE, order, SIDE):  # rows before k + 1 are not needed any more
            v_i, q_i, sums = block(v, (i, 0), tall), block(q, (i, 0), tall), tall
            for j in range(k + 1, n):
                numbers = block(A, (i, j * LANES64), tall)
                numbers = numbers - v_i * row(q, (j, 0), one) - q_i * row(v, (j, 0), one)
                store(A, (i, j * LANES64), numbers)
                sums = fma(numbers, row(w, (j, 0), one), sums)
            store(Av, (i, 0), sums)
        dot = one
        for j in range(k + 1, n):
            dot = fma(row(Av, (j, 0), one), row(w, (j, 0), one), dot)
        half = 0.5 * tau * tau * dot
        for j in range(k + 1, n):
            store(v, (j, 0), row(w, (j, 0), one))
            store(q, (j, 0), tau * row(Av, (j, 0), one) - half * row(w, (j, 0), one))
    store(D, (0, at), row(A, (n - 1, (n - 1) * LANES64), one))


@part
def reflections(U, V, taus, R, n):
    """``Qᵀ`` into ``U``; ``R`` ``(SIDE, order * lanes)``, a few of its rows at a time, is scratch."""
    one, tall, wide = tile(0.0, 1, 1), tile(0.0, SIDE, 1), tile(0.0, 1, WIDE)
    for i in range(0, U.shape[1], SIDE):
        for j in range(0, R.shape[1], LANES64):
            store(R, (0, j), tall)
        for k in range(i, min(i + SIDE, n)):
            store(R, (k - i, k * LANES64), one + 1.0)
        for k in range(min(i + SIDE, n) - 2, -1, -1):
            v, dot = V[k].reshape(U.shape[1], LANES64), tall
            for j in range(k + 1, n):
                dot = fma(block(R, (0, j * LANES64), tall), row(v, (j, 0), one), dot)
            dot = dot * row(taus, (k, 0), one)
            for j in range(k + 1, n):
                store(R, (0, j * LANES64), block(R, (0, j * LANES64), tall) - dot * row(v, (j, 0), one))
        for j in range(U.shape[0]):
            for k in range(i, min(i + SIDE, n)):
                store(U, (j, n - 1 - k, 0), row(R, (k - i, j * WIDE * LANES64), wide))


@leaf
def split(D, E, n, low, nothing):
    """The first and the last row of each matrix's first part from ``low`` on that is not diagonal, and its shift."""
    zero = tile(0.0, 1, PACKS)
    begin, end, first, second, beside = zero + float(n), zero + float(n - 1), zero, zero, zero + 1.0
    for i in range(low, n - 1):
        here, d, below, e = float(i), row(D, (i, 0), zero), row(D, (i + 1, 0), zero), row(E, (i, 0), zero)
        limit = fma(abs(d) + abs(below), ROUNDING, nothing)
        zeros, begins = abs(e) <= limit, (abs(e) > limit) & (begin > here)
        store(E, (i, 0), np.where(zeros, 0.0, e))
        end = np.where(zeros & (begin < here) & (end > here), here, end)
        begin, beside = np.where(begins, here, begin), np.where(begins, e, beside)
        first, second = np.where(begins, d, first), np.where(begins, below, second)
    ratio = (second - first) / (2.0 * beside)
    return begin, end, first - beside / (ratio + np.copysign(np.sqrt(fma(ratio, ratio, 1.0)), ratio))


@leaf
def sweep(D, E, C, S, low, high, begin, end, shift):
    """A step of the iteration on rows ``low`` to ``high``; cosines and sines of its rotations into ``C`` and ``S``."""
    zero = tile(0.0, 1, PACKS)
    g, s, c, p = zero, zero, zero, zero
    below = row(D, (high, 0), zero)
    for i in range(high - 1, low - 1, -1):
        here, following = float(i), float(i + 1)
        d, e = row(D, (i, 0), zero), row(E, (i, 0), zero)
        starts, inside, ends = end == following, (begin <= here) & (end > here), begin == here
        g, p = np.where(starts, below - shift, g), np.where(starts, 0.0, p)
        s, c = np.where(starts, 1.0, s), np.where(starts, 1.0, c)
        f, b = s * e, c * e
        square = fma(f, f, g * g)
        turns, inverse = square > TINY, inverse_root64(np.maximum(square, TINY))
        s, c = np.where(turns, f * inverse, 0.0), np.where(turns, g * inverse, 1.0)
        store(E, (i + 1, 0), np.where(inside & (end > following), square * inverse, row(E, (i + 1, 0), zero)))
        g = below - p
        r = fma(d - g, s, 2.0 * c * b)
        p = s * r
        store(D, (i + 1, 0), np.where(inside, g + p, below))
        g = fma(c, r, -b)
        store(E, (i, 0), np.where(ends, g, e))
        below = np.where(ends, d - p, d)
        store(C, (i, 0), np.where(inside, c, 1.0))
        store(S, (i, 0), np.where(inside, s, 0.0))
    store(D, (low, 0), below)


@part
def iterate(D, E, C, S, bounds, sizes, n, low):
    """Up to ``SWEEPS`` steps on a group; how many there were, and the first row that is not diagonal in all matrices.

    ``D`` and ``E`` are ``(n or more, GROUP)``, ``C`` and ``S`` have such rows for every step, ``bounds`` its rows,
    ``sizes`` are norms.
    """
    limit = NOTHING * row(sizes, 0, tile(0.0, 1, PACKS))
    for k in range(SWEEPS):
        begin, end, shift = split(D, E, n, low, limit)
        low, high = int(-largest(-begin)), int(largest(np.where(begin < float(n), end, 0.0)))
        if low == n:
            return k, low
        sweep(D, E, C[k], S[k], low, high, begin, end, shift)
        bounds[k, 0], bounds[k, 1] = low, high
    return SWEEPS, low


@part
def rotate(U, C, S, bounds, steps, at):
    """Apply the rotations of so many steps, columns from ``at`` on of theirs, to the rows of ``U``."""
    one, wide = tile(0.0, 1, 1), tile(0.0, 1, WIDE)
    for j in range(U.shape[0]):
        for k in range(steps):
            low, high = bounds[k, 0], bounds[k, 1]
            below = row(U, (j, high, 0), wide)
            for i in range(high - 1, low - 1, -1):
                above, c, s = row(U, (j, i, 0), wide), row(C, (k, i, at), one), row(S, (k, i, at), one)
                store(U, (j, i + 1, 0), fma(above, s, below * c))
                below = fma(below, -s, above * c)
            store(U, (j, low, 0), below)


@part
def spread_out(F, T, U, n):
    """F = U in rows, and T = Fᵀ."""
    one, wide = tile(0.0, 1, 1), tile(0.0, 1, WIDE)
    for j in range(U.shape[0]):
        for i in range(n):
            store(F, (i, j * WIDE * LANES64), row(U, (j, i, 0), wide))
            for k in range(WIDE):
                store(T, (j * WIDE + k, i * LANES64), row(U, (j, i, k * LANES64), one))


@part
def symmetric_product(C, A, B, depth):
    """C = A[:, :depth] @ B[:depth] that is known to be symmetric: one triangle and its mirror image."""
    one, zero = tile(0.0, 1, 1), tile(0.0, TALL, WIDE)
    for j in range(0, C.shape[0], WIDE):
        for i in range(0, j + WIDE, TALL):
            store(C, (i, j * LANES64), add_product(zero, A, B, i, j * LANES64, depth))
    for i in range(C.shape[0]):
        for j in range(i):
            store(C, (i, j * LANES64), row(C, (j, i * LANES64), one))


@part
def logarithms_near_diagonal(M, logs, near, at, n):
    """log(M) in place of M to first order in what is beside the diagonal; the smallest number on that is returned.

    ``M_ij`` is multiplied by ``(log M_ii - log M_jj) / (M_ii - M_jj)``, where numbers meet by the derivative between
    them.  ``near`` has ones in columns from ``at`` on where M stands for I + M; ``logs`` is scratch.
    """
    one, least = tile(0.0, 1, 1), tile(math.inf, 1, 1)
    offset = row(near, at, one)
    for i in range(n):
        d = row(M, (i, i * LANES64), one)
        sum_ = 1.0 + d
        least = np.minimum(least, d + offset)
        store(logs, (i, 0), np.where(offset > 0.0, log64(sum_) + (d - (sum_ - 1.0)) / sum_, log64(d)))
    for i in range(n):
        d, log = row(M, (i, i * LANES64), one), row(logs, (i, 0), one)
        for j in range(i):
            other = row(M, (j, j * LANES64), one)
            apart, twice = d - other, d + other + 2.0 * offset
            meet = abs(apart) <= MEET * twice
            slope = np.where(meet, 2.0, log - row(logs, (j, 0), one)) / np.where(meet, twice, apart)
            number = slope * row(M, (j, i * LANES64), one)
            store(M, (i, j * LANES64), number)
            store(M, (j, i * LANES64), number)
    for i in range(n):
        store(M, (i, i * LANES64), row(logs, (i, 0), one))
    return least


@leaf
def is_symmetric(a, m):
    """Whether matrix ``m`` of a batch is its transpose, exactly."""
    for i in range(a.shape[1]):
        for j in range(i):
            if a[m, i, j] != a[m, j, i]:
                return False
    return True


@leaf
def subtract_identity_where_near(A, diagonal, n):
    """A - I in place of the matrices of a pack that are near I; a register of ones for these, ``diagonal`` scratch."""
    one = tile(0.0, 1, 1)
    for i in range(n):
        number = row(A, (i, i * LANES64), one)
        store(diagonal, (i, 0), number)
        store(A, (i, i * LANES64), number - 1.0)
    near = np.where(norms(A, n) < NEAR, 1.0, one)
    for i in range(n):
        store(A, (i, i * LANES64), np.where(near > 0.0, row(A, (i, i * LANES64), one), row(diagonal, (i, 0), one)))
    return near


@inline
def load(A, spare, group, at, diagonal, n):
    """A pack of a group, A - I for what is near I; norms and ones where that is so."""
    gather(A, entries(A, n, spare), group, at, GROUP, n)
    return norms(A, n), subtract_identity_where_near(A, diagonal, n)


@kernel
def logarithms(start, stop, a, out, left):
    """Entries ``start`` to ``stop`` of ``out``: logarithms of those of ``a`` that are symmetric; ``(B, n, n)`` float64.

    ``left`` ``(B,)`` bool: which are not, or not certain to be positive definite, or of unusual scale.
    """
    n, one = a.shape[1], tile(0.0, 1, 1)
    M, spare = packs(3 * PACKS + 1, n, a), spare_entries(n, a)
    order, T = M.shape[1], M[3 * PACKS]
    rotated = M[: 3 * PACKS].reshape(3 * PACKS, order // WIDE, order, WIDE * LANES64)
    group, members = aligned(GROUP * n * n, a).reshape(GROUP, n * n), np.empty(GROUP, np.int64)
    lines = aligned((4 + SIDE) * order * LANES64, a).reshape(4 + SIDE, order, LANES64)
    taus, vectors, R = lines[0], lines[1:4], lines[4:].reshape(SIDE, order * LANES64)
    D, E = aligned(2 * order * GROUP, a).reshape(2, order, GROUP)
    C, S = aligned(2 * SWEEPS * order * GROUP, a).reshape(2, SWEEPS, order, GROUP)
    near, usable, sizes = aligned(3 * GROUP, a).reshape(3, GROUP)
    bounds, count = np.empty((SWEEPS, 2), np.int64), 0
    for m in range(start, stop):
        left[m] = True
        if is_symmetric(a, m):
            members[count] = m
            for i in range(n):
                for j in range(n):
                    group[count, i * n + j] = a[m, i, j]
            count += 1
        if count == 0 or (count < GROUP and m + 1 < stop):
            continue
        E[:] = 0.0  # nothing to iterate where there is no matrix
        used = (count + LANES64 - 1) // LANES64
        for k in range(used):
            A, V, at = M[k], M[PACKS + k], k * LANES64
            size, close = load(A, spare, group, at, taus, n)
            store(sizes, at, size)
            store(near, at, close)
            tridiagonal(A, V, taus, vectors, D, E, n, at)
            reflections(rotated[2 * PACKS + k], V, taus, R, n)
        low, done = 0, 0
        while low < n and done < MOST * n:
            steps, low = iterate(D, E, C, S, bounds, sizes, n, low)
            for k in range(used):
                rotate(rotated[2 * PACKS + k], C, S, bounds, steps, k * LANES64)
            done += steps
        for k in range(used):
            A, F, X, at = M[k], M[PACKS + k], M[2 * PACKS + k], k * LANES64
            spread_out(F, T, rotated[2 * PACKS + k], n)
            load(A, spare, group, at, taus, n)
            product(X, A, T, n)
            symmetric_product(A, F, X, n)
            least, size = logarithms_near_diagonal(A, taus, near, at, n), row(sizes, at, one)
            fine = (least > LEAST * size) & (size > SMALL) & (size < LARGE)
            store(usable, at, np.where(fine, 1.0, one))
            product(X, T, A, n)
            symmetric_product(A, X, F, n)
            scatter(group, at, GROUP, A, entries(A, n, spare), n)
        for k in range(count):
            left[members[k]] = usable[k] == 0.0 or low < n
            if not left[members[k]]:
                for i in range(n):
                    for j in range(n):
                        out[members[k], i, j] = group[k, i * n + j]
        count = 0
