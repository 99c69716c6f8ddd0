"""Small dense matrices side by side in kernels: each lane of a register belongs to a matrix of its own.

A pack, as many matrices of order ``n`` as a register has lanes, lies in scratch as one matrix of registers,
``(order, order * lanes)`` with entry (i, j) of all of them at ``[i, j * lanes]``; ``order`` is ``n`` in whole tiles,
zero beyond ``n``.  No sum runs over lanes and nothing is padded to a register.  What each matrix decides for itself is
a mask: no lane ever sees another's numbers, so that a matrix has the same bits in every company.
"""

from __future__ import annotations

import numpy as np

from .jit import inline, leaf, part
from .simd import COLS, ROWS, block, fetch, fma, row, store, tile, total, transpose
from .tile_matrix import aligned, lanes_of

LARGEST = 12  # order: beyond, packs leave the cache nearest to a core, and rows fill registers by themselves
TALL, WIDE = ROWS // 2, COLS * 2  # the tile of registers of a product
SIDE = max(TALL, WIDE)


@inline
def packs(count, n, like):
    """``count`` packs of zeros of order ``n``, ``(count, order, order * lanes)``."""
    order = (n + SIDE - 1) // SIDE * SIDE
    return aligned(count * order * order * lanes_of(like), like).reshape(count, order, order * lanes_of(like))


@inline
def entries(A, n, spare):
    """A register for each entry of a pack, where it is transposed: itself where ``n`` is whole tiles."""
    return A.reshape(n * n, lanes_of(A)) if A.shape[0] == n else spare


@inline
def spare_entries(n, like):
    """Scratch for ``entries``."""
    return aligned(n * n * lanes_of(like), like).reshape(n * n, lanes_of(like))


@part
def gather(A, spare, a, m, stop, n):
    """Load matrices from ``m`` on of ``a`` ``(B, n * n)``; lanes that are left over repeat the last before ``stop``."""
    lanes, one = lanes_of(a), tile(a.dtype.type(0), 1, 1)
    if m + lanes <= stop and lanes <= n * n:
        for e in range(0, n * n, lanes):
            first = min(e, n * n - lanes)
            transpose(spare, (first, 0), a, (m, first))
    else:
        for e in range(n * n):
            for lane in range(lanes):
                spare[e, lane] = a[min(m + lane, stop - 1), e]
    if A.shape[0] > n:
        for i in range(n):
            for j in range(n):
                store(A, (i, j * lanes), row(spare, (i * n + j, 0), one))


@part
def scatter(a, m, stop, A, spare, n):
    """Store a pack as matrices ``m`` and following of ``a`` ``(B, n * n)``, those before ``stop``."""
    lanes, one = lanes_of(a), tile(a.dtype.type(0), 1, 1)
    if A.shape[0] > n:
        for i in range(n):
            for j in range(n):
                store(spare, (i * n + j, 0), row(A, (i, j * lanes), one))
    if m + lanes <= stop and lanes <= n * n:
        for e in range(0, n * n, lanes):
            first = min(e, n * n - lanes)
            transpose(a, (m, first), spare, (first, 0))
    else:
        for e in range(n * n):
            for lane in range(stop - m if stop - m < lanes else lanes):
                a[m + lane, e] = spare[e, lane]


@leaf
def some(ones):
    """Whether a register of ones and zeros has a one."""
    return total(ones) > 0.0


@leaf
def add_product(acc, A, B, i, j, depth):
    """Return acc + A[i : i + TALL, :depth] @ B[:depth, j : j + WIDE], a register for each entry."""
    tall, lanes = tile(A.dtype.type(0), TALL, 1), lanes_of(A)
    for k in range(depth):
        acc = fma(block(A, (i, k * lanes), tall), row(B, (k, j), acc), acc)
    return acc


@part
def product(C, A, B, depth):
    """C = A[:, :depth] @ B[:depth]."""
    zero = tile(C.dtype.type(0), TALL, WIDE)
    for i in range(0, C.shape[0], TALL):
        for j in range(0, C.shape[1], WIDE * lanes_of(C)):
            store(C, (i, j), add_product(zero, A, B, i, j, depth))


@part
def product_plus(C, A, B, D, depth):
    """C = A[:, :depth] @ B[:depth] + D; ``D`` may be ``C``."""
    zero = tile(C.dtype.type(0), TALL, WIDE)
    for i in range(0, C.shape[0], TALL):
        for j in range(0, C.shape[1], WIDE * lanes_of(C)):
            store(C, (i, j), add_product(block(D, (i, j), zero), A, B, i, j, depth))


@leaf
def add_rows(C, i, A, B, depth, ahead):
    """C[i : i + len(A)] += A[:, :depth] @ B[:depth]; fetches the same rows of ``ahead``."""
    zero = tile(C.dtype.type(0), TALL, WIDE)
    for k in range(0, A.shape[0], TALL):
        for j in range(0, C.shape[1], WIDE * lanes_of(C)):
            fetch(ahead, (i + k, j), zero)
            store(C, (i + k, j), add_product(block(C, (i + k, j), zero), A, B, k, j, depth))


@leaf
def lift(A, i, j, count, number):
    """Add a number, or one for each matrix, to ``count`` entries from (i, j) on, along the diagonal."""
    one, lanes = tile(A.dtype.type(0), 1, 1), lanes_of(A)
    for k in range(count):
        at = (i + k, (j + k) * lanes)
        store(A, at, row(A, at, one) + number)


@leaf
def square_where(C, A, depth, mask):
    """C = A[:, :depth] @ A[:depth] where the mask is set, A elsewhere."""
    zero = tile(C.dtype.type(0), TALL, WIDE)
    for i in range(0, C.shape[0], TALL):
        for j in range(0, C.shape[1], WIDE * lanes_of(C)):
            store(C, (i, j), np.where(mask, add_product(zero, A, A, i, j, depth), block(A, (i, j), zero)))


@leaf
def take_where(A, B, mask):
    """Replace ``A`` by ``B`` where the mask is set."""
    zero = tile(A.dtype.type(0), 1, WIDE)
    for k in range(0, A.size, WIDE * lanes_of(A)):
        store(A, (0, k), np.where(mask, row(B, (0, k), zero), row(A, (0, k), zero)))


@leaf
def norms(A, n):
    """The largest sum of a column of |A| of each matrix, NaN where any of its numbers is."""
    lanes, most = lanes_of(A), tile(A.dtype.type(0), 1, 1)
    for j in range(0, n * lanes, lanes):
        sums = abs(row(A, (0, j), most))
        for i in range(1, n):
            sums = sums + abs(row(A, (i, j), most))
        most = np.maximum(most, sums)
    return most
