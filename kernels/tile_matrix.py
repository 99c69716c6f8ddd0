"""Small dense matrices in kernels: aligned scratch and the product, one tile of registers after the other.

A matrix of order ``n`` lies in scratch as ``padded_rows(n)`` rows of ``padded_columns(n, …)`` numbers, zero beyond
``n``, so that no loop has a remainder.
"""

from __future__ import annotations

import numpy as np

from .jit import inline, leaf, part
from .simd import COLS, LANES32, LANES64, ROWS, block, column, fetch, fma, largest, over_rows, row, store, tile

LOW, WIDE = ROWS // 2, COLS * 2  # for rows in whole tiles of it: 8 loads for 16 multiply-adds in place of 10


@leaf
def lanes_of(array):
    """Numbers in a register of the array's dtype."""
    return LANES64 if array.itemsize == 8 else LANES32


@leaf
def padded_rows(n):
    """Rows of scratch for ``n``: a whole number of tiles."""
    return (n + ROWS - 1) // ROWS * ROWS


@leaf
def padded_columns(n, like):
    """Columns of scratch for ``n``: a whole number of registers of the dtype of the array ``like``."""
    lanes = lanes_of(like)
    return (n + lanes - 1) // lanes * lanes


@inline
def aligned(count, like):
    """Zeros of the dtype of the array ``like`` that begin a cache line: otherwise every other load straddles two."""
    spare = 64 // like.itemsize
    buffer = np.zeros(count + spare, like.dtype)
    skip = (-buffer.ctypes.data % 64) // like.itemsize
    return buffer[skip : skip + count]


@leaf
def add_product(acc, A, B, i, j, depth):
    """Return acc + A[i : i + rows, :depth] @ B[:depth, j : j + cols * lanes], ``acc`` a tile of registers."""
    for k in range(depth):
        acc = fma(column(A, (i, k), acc), row(B, (k, j), acc), acc)
    return acc


@inline
def scratch(count, n, like):
    """``count`` zero matrices for order ``n``, ``(count, padded rows, padded columns)``."""
    rows, columns = padded_rows(n), padded_columns(n, like)
    return aligned(count * rows * columns, like).reshape(count, rows, columns)


@leaf
def _multiply(start, D, C, i, A, rows, B, depth):
    """C[i : i + rows] = ``start`` of D + A[:rows, :depth] @ B[:depth]."""
    zero, one, wide = (
        tile(C.dtype.type(0), ROWS, COLS),
        tile(C.dtype.type(0), ROWS, 1),
        tile(C.dtype.type(0), LOW, WIDE),
    )
    lanes = lanes_of(C)
    if C.shape[1] % (WIDE * lanes) == 0:
        for k in range(0, rows, LOW):
            for j in range(0, C.shape[1], WIDE * lanes):
                store(C, (i + k, j), add_product(start(D, (i + k, j), wide), A, B, k, j, depth))
        return
    whole = C.shape[1] // (COLS * lanes) * (COLS * lanes)
    for k in range(0, rows, ROWS):
        for j in range(0, whole, COLS * lanes):
            store(C, (i + k, j), add_product(start(D, (i + k, j), zero), A, B, k, j, depth))
        for j in range(whole, C.shape[1], lanes):
            store(C, (i + k, j), add_product(start(D, (i + k, j), one), A, B, k, j, depth))


@leaf
def _nothing(D, at, zero):
    return zero


@leaf
def _what_is_there(D, at, zero):
    return block(D, at, zero)


@leaf
def _what_is_there_fetching(D, at, zero):
    fetch(D[1], at, zero)
    return block(D[0], at, zero)


@part
def product(C, A, B, depth):
    """C = A[:, :depth] @ B[:depth]; the rows of ``C`` are whole tiles, its columns whole registers."""
    _multiply(_nothing, C, C, 0, A, C.shape[0], B, depth)


@part
def product_plus(C, A, B, D, depth):
    """C = A[:, :depth] @ B[:depth] + D, sizes as in ``product``; ``D`` may be ``C``."""
    _multiply(_what_is_there, D, C, 0, A, C.shape[0], B, depth)


@leaf
def add_rows(C, i, A, B, depth, ahead):
    """C[i : i + len(A)] += A[:, :depth] @ B[:depth], sizes as in ``product``; fetches the same rows of ``ahead``."""
    _multiply(_what_is_there_fetching, (C, ahead), C, i, A, A.shape[0], B, depth)


@leaf
def lift(A, i, j, count, number):
    """Add a number to ``count`` entries of ``A`` from (i, j) on, along the diagonal."""
    for k in range(count):
        A[i + k, j + k] += number


@leaf
def norm(A):
    """The largest sum of a column of |A|, NaN where any number is; sizes as in ``product``."""
    zero = A.dtype.type(0)
    lanes = lanes_of(A)
    most = tile(zero, 1, 1)
    for j in range(0, A.shape[1], lanes):
        sums = tile(zero, ROWS, 1)
        for i in range(0, A.shape[0], ROWS):
            sums = sums + abs(block(A, (i, j), sums))
        most = np.maximum(most, over_rows(np.add, sums))
    return largest(most)


@leaf
def divide(A, exponent):
    """A = A / 2^exponent, in two steps, each of which is in range."""
    half = exponent // 2
    first, second = A.dtype.type(2.0**-half), A.dtype.type(2.0 ** (half - exponent))
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            A[i, j] = A[i, j] * first * second


@leaf
def put(A, source, m):
    """Copy matrix ``m`` of a batch into scratch; what lies beyond it stays as it is."""
    n = source.shape[1]
    lanes = lanes_of(A)
    whole = n // lanes * lanes
    for i in range(n):
        for j in range(0, whole, lanes):
            store(A, (i, j), row(source, (m, i, j), tile(A.dtype.type(0), 1, 1)))
        for j in range(whole, n):
            A[i, j] = source[m, i, j]


@leaf
def get(target, m, A):
    """Copy a matrix out of scratch, to ``m`` of a batch."""
    n = target.shape[1]
    lanes = lanes_of(A)
    whole = n // lanes * lanes
    for i in range(n):
        for j in range(0, whole, lanes):
            store(target, (m, i, j), row(A, (i, j), tile(A.dtype.type(0), 1, 1)))
        for j in range(whole, n):
            target[m, i, j] = A[i, j]
