"""Principal logarithms on register tiles, one matrix after the other; README.md has the derivation."""

from __future__ import annotations

import math

import numpy as np

from ..jit import inline, kernel, leaf, part
from ..simd import LANES64, ROWS, block, largest, over_rows, tile
from ..tile_matrix import aligned, divide, norm, product, product_plus
from .inverse import BLOCK, invert, spare
from .passes import combine, combine_three, copy, last_of_root, last_of_series
from .reference import eigenvalue_on_axis
from .schur import quasi_root, real_schur
from .tables import DEGREES

on_axis = inline(eigenvalue_on_axis)

PIVOTING = 0.9  # ‖M - I‖ from which an inverse needs pivots and a step is scaled by the determinant
CLOSE, CLOSER = 6e-4, 1e-8  # ‖M - I‖ at which a polynomial of degree 4 or 1 ends an iteration
# Where an iteration loses digits: the condition of a matrix, and ‖M⁻¹‖ after a step, which is 1 / cos²(θ/2) for an
# eigenvalue of angle θ.  Beyond, the matrix takes the way over its Schur form.
CONDITION, TURNED = 1e6, 300.0
STEPS, ROOTS, MOST_ROOTS = 30, 60, 1100  # the last: of a Schur form, more than any double needs
NEAR = 1.05  # ‖E‖ up to which the series of log(I + E) is tried
FAR = 40  # exponents of norms beyond which a matrix is scaled first
FEW, SOME, MANY = DEGREES


@leaf
def _distance(A, B):
    """The 1-norm of A - B."""
    most = tile(0.0, 1, 1)
    for j in range(0, A.shape[1], LANES64):
        sums = tile(0.0, ROWS, 1)
        for i in range(0, A.shape[0], ROWS):
            sums = sums + abs(block(A, (i, j), sums) - block(B, (i, j), sums))
        most = np.maximum(most, over_rows(np.add, sums))
    return largest(most)


@part
def root(A, I, W, S, order, n):
    """Replace ``A`` by its square root; False where the iteration would lose digits, and ``A`` is as it was.

    The product form of the Denman–Beavers iteration (Cheng, Higham, Kenney, Laub 2001, SIMAX 22(4)), which tracks
    M → I beside X → A^(1/2) M^(1/2), scaled by the determinant while far from the end, its last steps replaced by a
    polynomial in M - I.  ``n`` is the order before padding.
    """
    X, M, N, U, T = W[0], W[1], W[2], W[3], W[4]
    copy(X, A)
    copy(M, A)
    distance = _distance(M, I)
    for step in range(STEPS):
        if distance < CLOSE:
            break
        copy(N, M)
        far = not distance < PIVOTING
        log_det = invert(N, S, order, far)
        turned = norm(N)
        if step == 0:
            turned = turned * norm(M) * (TURNED / CONDITION)
        if not turned < TURNED:
            return False
        mu = math.exp(-log_det / (2 * n)) if far else 1.0
        combine_three(M, 0.25 * mu * mu, M, 0.25 / (mu * mu), N, 0.5, I)
        combine(U, 0.5 / mu, N, 0.5 * mu, I)
        product(T, X, U, A.shape[0])
        X, T = T, X
        distance = _distance(M, I)
    if not distance < CLOSE:
        return False
    if distance < CLOSER:
        combine(U, -0.5, M, 1.5, I)
        product(A, X, U, A.shape[0])
    else:
        last_of_root(product, product_plus, A, X, M, I, N, T, U, A.shape[0])
    return True


@part
def series(E, I, W, S, order):
    """The logarithm of I + E into ``W[0]``; False where its series does not reach (tables.py)."""
    L, D, Y = W[0], W[1], W[2]
    size = norm(E)
    if not size < NEAR:
        return False
    combine(L, 1.0, E, 1.0, I)
    invert(L, S, order, not size < PIVOTING)
    product(D, E, L, E.shape[0])  # I - B⁻¹
    combine(Y, 1.0, E, -1.0, D)
    combine(D, 1.0, E, 1.0, D)
    size = norm(Y)
    if not size <= MANY[0]:
        return False
    product(W[3], Y, Y, E.shape[0])
    size = min(size, math.sqrt(norm(W[3])))
    _, powers, groups = FEW if size <= FEW[0] else SOME if size <= SOME[0] else MANY
    last_of_series(product, product_plus, W, I, E.shape[0], powers, groups)
    return True


@kernel
def through_schur_form(a, A, E, I, W, S, order, shift):
    """The logarithm of ``2^-shift a`` into ``W[0]``, by roots of its real Schur form; whether there is one.

    From root to root E = A - I is carried by sqrt(I + E) - I = E (sqrt(I + E) + I)⁻¹, so that nothing cancels.
    """
    n, order_ = a.shape[0], A.shape[0]
    form, basis = np.empty((n, n)), np.empty((n, n))
    lower = upper = True  # triangular: then nothing is rounded
    for i in range(n):
        for j in range(n):
            form[j, i] = math.ldexp(a[i, j], -shift)
            lower = lower and (j <= i or a[i, j] == 0.0)
            upper = upper and (j >= i or a[i, j] == 0.0)
    if not real_schur(form, basis):
        return False
    squares = 0.0
    copy(A, I)
    for i in range(n):
        for j in range(n):
            A[i, j] = form[j, i]
            squares += A[i, j] ** 2
    if on_axis(form.T, 0.0 if lower or upper else n * 2.0**-52 * math.sqrt(squares)):
        return False
    sizes, diagonal = np.ones(n, np.int64), np.empty(n)
    for i in range(n):
        diagonal[i] = A[i, i]
        if i + 1 < n and A[i + 1, i] != 0.0:
            sizes[i], sizes[i + 1] = 2, 0
    combine(E, 1.0, A, -1.0, I)
    roots = 0
    while not series(E, I, W, S, order):
        if roots == MOST_ROOTS:
            return False
        R = W[0]
        copy(R, I)
        quasi_root(R, A, sizes)
        combine(R, 1.0, R, 1.0, I)
        invert(R, S, order, n > 0)  # always: a constant would compile another function
        copy(A, E)
        product(E, A, R, order_)
        combine(A, 1.0, E, 1.0, I)
        roots += 1
    L, Z, T = W[0], W[1], W[2]
    for i in range(order_):
        for j in range(order_):
            L[i, j] = math.ldexp(L[i, j], roots) if i < n and j < n else 0.0
            Z[i, j] = T[i, j] = 0.0
    for i in range(n):
        if sizes[i] == 1:
            L[i, i] = math.log(diagonal[i])  # exact, whatever the roots lost
        for j in range(n):
            Z[i, j] = basis[j, i]
            T[i, j] = basis[i, j]
    product(A, Z, L, order_)
    product(L, A, T, order_)
    return True


@kernel
def logarithms(start, stop, a, out):
    """Entries ``start`` to ``stop`` of ``out``: logarithms of ``a``, NaN where there is none; ``(B, n, n)`` float64."""
    n = a.shape[1]
    order_ = (n + BLOCK - 1) // BLOCK * BLOCK
    matrices = aligned(12 * order_ * order_, a).reshape(12, order_, order_)
    W, A, E, I = matrices[:9], matrices[9], matrices[10], matrices[11]
    S, order = spare(order_), np.empty(order_, np.int64)
    for i in range(order_):
        I[i, i] = 1.0
    for m in range(start, stop):
        # padded by a multiple of the identity whose size is the matrix's own
        for i in range(order_):
            for j in range(order_):
                A[i, j] = a[m, i, j] if i < n and j < n else 0.0
        size = norm(A)
        found, roots, shift = 0.0 < size < math.inf, 0, 0
        if found:
            exponent = math.frexp(size)[1]
            if abs(exponent) > FAR:
                shift = exponent
                divide(A, shift)
                exponent = 0
            for i in range(n, order_):
                A[i, i] = math.ldexp(1.0, exponent - 1) if abs(exponent) > 3 else 1.0
            while True:
                combine(E, 1.0, A, -1.0, I)
                if series(E, I, W, S, order):
                    break
                if roots == ROOTS or not root(A, I, W, S, order, n):
                    roots = 0
                    found = through_schur_form(a[m], A, E, I, W, S, order, shift)
                    break
                roots += 1
        L, factor, offset = W[0], 2.0**roots, shift * math.log(2.0)
        for i in range(n):
            for j in range(n):
                out[m, i, j] = factor * L[i, j] + (offset if i == j else 0.0) if found else math.nan
