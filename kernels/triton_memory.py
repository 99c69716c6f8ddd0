"""Pieces that Triton kernels share: matrices in global memory, of a program of its own, for orders up to ``ORDER``.

A matrix is ``(N, N)`` float64, zero outside ``(n, n)``, in scratch memory that stays in the L2 cache.  A product is
accumulated whole, in registers; sums are formed in panels of rows, as whole matrices would fill the registers.  Each
function waits for all threads of the program before it reads: after a barrier they see each other's writes to memory.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_ops import larger

ORDER = 128  # of the largest matrix whose product fits the registers of a program with 8 warps
ROWS = tl.constexpr(16)  # of a panel
STEP = tl.constexpr(16)  # of the sum over k in a product


@triton.jit
def multiply(x_ptr, y_ptr, out_ptr, n, N: tl.constexpr):
    """``out = x y``; ``out`` may be one of the factors."""
    row, col, step = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :], tl.arange(0, STEP)
    tl.debug_barrier()  # the factors are written
    out = tl.zeros((N, N), tl.float64)
    for k in tl.range(0, n, STEP, num_stages=2):
        x = tl.load(x_ptr + row * N + (k + step[None, :]))
        y = tl.load(y_ptr + (k + step[:, None]) * N + col)
        out = tl.dot(x, y, out, out_dtype=tl.float64)
    tl.debug_barrier()  # and read
    tl.store(out_ptr + row * N + col, out)


@triton.jit
def combine(out_ptr, one, x_ptr, of_x, y_ptr, of_y, n, N: tl.constexpr):
    """``out = one I + of_x x + of_y y``; ``out`` may be one of them."""
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    tl.debug_barrier()
    for r in tl.range(0, N, ROWS, num_stages=1):
        place, eye = (r + row) * N + col, (r + row == col) & (col < n)
        total = tl.load(x_ptr + place) * of_x + tl.load(y_ptr + place) * of_y + eye.to(tl.float64) * one
        tl.store(out_ptr + place, total)


@triton.jit
def norm_of(one, x_ptr, of_x, y_ptr, of_y, n, N: tl.constexpr):
    """Norm of ``one I + of_x x + of_y y``, NaN if it has one."""
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    tl.debug_barrier()
    sums = tl.zeros((N,), tl.float64)
    for r in tl.range(0, n, ROWS, num_stages=1):
        place, eye = (r + row) * N + col, (r + row == col) & (col < n)
        total = tl.load(x_ptr + place) * of_x + tl.load(y_ptr + place) * of_y + eye.to(tl.float64) * one
        sums += tl.sum(tl.abs(total), 0)
    return tl.reduce(sums, 0, larger)


@triton.jit
def norm_in_batch(ptr, n, N: tl.constexpr):
    """Norm of a matrix ``(n, n)`` of a batch, float32 or float64, NaN if it has one."""
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    sums = tl.zeros((N,), tl.float64)
    for r in tl.range(0, n, ROWS, num_stages=1):
        inside = (r + row < n) & (col < n)
        sums += tl.sum(tl.abs(tl.load(ptr + (r + row) * n + col, mask=inside, other=0.0).to(tl.float64)), 0)
    return tl.reduce(sums, 0, larger)


@triton.jit
def fetch(out_ptr, ptr, factor, n, N: tl.constexpr):
    """A matrix ``(n, n)`` of a batch, times ``factor``, into scratch memory."""
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    tl.debug_barrier()
    for r in tl.range(0, N, ROWS, num_stages=1):
        inside = (r + row < n) & (col < n)
        x = tl.load(ptr + (r + row) * n + col, mask=inside, other=0.0).to(tl.float64)
        tl.store(out_ptr + (r + row) * N + col, x * factor)


@triton.jit
def deliver(ptr, one, x_ptr, of_x, good, n, N: tl.constexpr):
    """``one I + of_x x`` into a batch, NaN unless ``good``."""
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    tl.debug_barrier()
    for r in tl.range(0, N, ROWS, num_stages=1):
        inside, eye = (r + row < n) & (col < n), (r + row == col) & (col < n)
        total = tl.load(x_ptr + (r + row) * N + col) * of_x + eye.to(tl.float64) * one
        tl.store(ptr + (r + row) * n + col, tl.where(good, total, float("nan")), mask=inside)
