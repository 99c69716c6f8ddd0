"""Small dense matrices in kernels: aligned scratch and the product, one tile of registers after the other.

A matrix of order ``n`` lies in scratch as ``padded_rows(n)`` rows of ``padded_columns(n, …)`` numbers, zero beyond
``n``, so that no loop has a remainder.
"""

from __future__ import annotations

import numpy as np

from .jit import inline
from .simd import COLS, LANES32, LANES64, ROWS, column, fma, row, store, tile


@inline
def padded_rows(n):
    """Rows of scratch for ``n``: a whole number of tiles."""
    return (n + ROWS - 1) // ROWS * ROWS


@inline
def padded_columns(n, like):
    """Columns of scratch for ``n``: a whole number of registers of the dtype of the array ``like``."""
    lanes = LANES64 if like.itemsize == 8 else LANES32
    return (n + lanes - 1) // lanes * lanes


@inline
def aligned(count, like):
    """Zeros of the dtype of the array ``like`` that begin a cache line: otherwise every other load straddles two."""
    spare = 64 // like.itemsize
    buffer = np.zeros(count + spare, like.dtype)
    skip = (-buffer.ctypes.data % 64) // like.itemsize
    return buffer[skip : skip + count]


@inline
def add_product(acc, A, B, i, j, depth):
    """Return acc + A[i : i + rows, :depth] @ B[:depth, j : j + cols * lanes], ``acc`` a tile of registers."""
    for k in range(depth):
        acc = fma(column(A, (i, k), acc), row(B, (k, j), acc), acc)
    return acc


@inline
def product(C, A, B, depth):
    """C = A[:, :depth] @ B[:depth]; the rows of ``C`` are whole tiles, its columns whole registers."""
    zero = C.dtype.type(0)
    lanes = LANES64 if C.itemsize == 8 else LANES32
    whole = C.shape[1] // (COLS * lanes) * (COLS * lanes)
    for i in range(0, C.shape[0], ROWS):
        for j in range(0, whole, COLS * lanes):
            store(C, (i, j), add_product(tile(zero, ROWS, COLS), A, B, i, j, depth))
        for j in range(whole, C.shape[1], lanes):
            store(C, (i, j), add_product(tile(zero, ROWS, 1), A, B, i, j, depth))
