"""Exponentials too large for the registers of one program: orders up to 128, powers in global memory.

The method is that of ``gpu_registers`` at degree 18.  A program takes one matrix after the other and keeps its powers
in scratch memory of its own, which stays in the L2 cache.  Each product is accumulated whole, in registers, and only
then written, between barriers: the threads of a program see each other's writes to global memory after one.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import target
from ..spec import Launch
from ..triton_ops import larger, multiple, power_of_two
from .gpu_registers import eighteenth, multiples, ninth, reach, scale_down, squarings

ORDER = 128
BUFFERS = 7  # a, a², a³, a⁶, the two factors of a product, and what it becomes
ROWS = 16  # of a panel, in which sums of matrices are formed: whole ones would fill the registers
STEP = 16  # of the sum over k in a product


@triton.jit
def _multiply(x_ptr, y_ptr, out_ptr, n, N: tl.constexpr, STEP: tl.constexpr):
    """Write the product of two matrices that are zero outside ``(n, n)``; ``out`` may be one of them."""
    row, col, step = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :], tl.arange(0, STEP)
    tl.debug_barrier()  # the factors are written
    out = tl.zeros((N, N), tl.float64)
    for k in tl.range(0, n, STEP, num_stages=2):
        x = tl.load(x_ptr + row * N + (k + step[None, :]))
        y = tl.load(y_ptr + (k + step[:, None]) * N + col)
        out = tl.dot(x, y, out, out_dtype=tl.float64)
    tl.debug_barrier()  # and read
    tl.store(out_ptr + row * N + col, out)
    tl.debug_barrier()


@triton.jit
def _norm(ptr, stride, n, N: tl.constexpr, ROWS: tl.constexpr):
    """Largest column sum of a matrix ``(n, n)`` in memory, NaN if there is one."""
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    sums = tl.zeros((N,), tl.float64)
    for r in tl.range(0, n, ROWS, num_stages=1):
        inside = (r + row < n) & (col < n)
        sums += tl.sum(tl.abs(tl.load(ptr + (r + row) * stride + col, mask=inside, other=0.0).to(tl.float64)), 0)
    return tl.reduce(sums, 0, larger)


@triton.jit
def _load_powers(ptrs, N: tl.constexpr):
    """A panel of ``a``, ``a²``, ``a³``, ``a⁶``."""
    size: tl.constexpr = N * N
    return tl.load(ptrs), tl.load(ptrs + size), tl.load(ptrs + 2 * size), tl.load(ptrs + 3 * size)


@triton.jit(do_not_specialize=["batch", "points", "t_stride"])
def _expm_scratch_kernel(
    a_ptr,  # (batch, n, n)
    t_ptr,  # (1 or batch, points)
    out_ptr,  # (batch, points, n, n)
    scratch_ptr,  # (programs, BUFFERS, N, N) float64
    batch,
    points,
    t_stride,  # from matrix to matrix: 0 or points
    n,
    N: tl.constexpr,
    BUFFERS: tl.constexpr,
    ROWS: tl.constexpr,
    STEP: tl.constexpr,
):
    FLOAT32: tl.constexpr = a_ptr.dtype.element_ty == tl.float32
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    numbers = n.to(tl.int64) * n
    size_of: tl.constexpr = N * N
    a_buf = scratch_ptr + tl.program_id(0).to(tl.int64) * BUFFERS * size_of
    a2_buf, a3_buf, a6_buf = a_buf + size_of, a_buf + 2 * size_of, a_buf + 3 * size_of
    x_buf, y_buf, e_buf = a_buf + 4 * size_of, a_buf + 5 * size_of, a_buf + 6 * size_of
    for i in tl.range(tl.program_id(0), batch, tl.num_programs(0), num_stages=1, disable_licm=True):
        size = _norm(a_ptr + i * numbers, n, n, N, ROWS)
        down = scale_down(size, tl.float64)
        for r in tl.range(0, N, ROWS, num_stages=1):
            inside = (r + row < n) & (col < n)
            a = tl.load(a_ptr + i * numbers + (r + row) * n + col, mask=inside, other=0.0).to(tl.float64)
            tl.store(a_buf + (r + row) * N + col, a * power_of_two(-down, tl.float64))
        _multiply(a_buf, a_buf, a2_buf, n, N, STEP)
        _multiply(a2_buf, a_buf, a3_buf, n, N, STEP)
        _multiply(a3_buf, a3_buf, a6_buf, n, N, STEP)
        size2, size3 = _norm(a2_buf, N, n, N, ROWS), _norm(a3_buf, N, n, N, ROWS)
        alpha = reach(size, size2, size3, _norm(a6_buf, N, n, N, ROWS), down)

        for k in tl.range(0, points, num_stages=1, disable_licm=True):
            t = tl.load(t_ptr + i * t_stride + k).to(tl.float64)
            times = squarings(t, alpha, FLOAT32)
            c, c2, c3, c6 = multiples(t * power_of_two(down - times, tl.float64))
            for r in tl.range(0, N, ROWS, num_stages=1):
                place, eye = (r + row) * N + col, (r + row == col) & (col < n)
                a, a2, a3, a6 = _load_powers(a_buf + place, N)
                b1, b5, b4 = ninth(c, c2, c3, c6, a, a2, a3, a6, eye)
                tl.store(x_buf + place, b1)
                tl.store(y_buf + place, b5)
            _multiply(x_buf, y_buf, e_buf, n, N, STEP)
            for r in tl.range(0, N, ROWS, num_stages=1):
                place, eye = (r + row) * N + col, (r + row == col) & (col < n)
                a, a2, a3, a6 = _load_powers(a_buf + place, N)
                b1, b5, b4 = ninth(c, c2, c3, c6, a, a2, a3, a6, eye)
                b3, b2 = eighteenth(c, c2, c3, c6, a, a2, a3, a6, eye)
                a9 = tl.load(e_buf + place) + b4
                tl.store(x_buf + place, b3 + a9)
                tl.store(y_buf + place, a9)
            _multiply(x_buf, y_buf, e_buf, n, N, STEP)
            for r in tl.range(0, N, ROWS, num_stages=1):
                place, eye = (r + row) * N + col, (r + row == col) & (col < n)
                a, a2, a3, a6 = _load_powers(a_buf + place, N)
                b3, b2 = eighteenth(c, c2, c3, c6, a, a2, a3, a6, eye)
                e = tl.where(c == 0, multiple(eye, 1.0, tl.float64), tl.load(e_buf + place) + b2)
                tl.store(e_buf + place, e)
            for _ in tl.range(0, times, num_stages=1):
                _multiply(e_buf, e_buf, e_buf, n, N, STEP)
            tl.debug_barrier()
            for r in tl.range(0, N, ROWS, num_stages=1):
                e = tl.where(size < float("inf"), tl.load(e_buf + (r + row) * N + col), float("nan"))
                inside = (r + row < n) & (col < n)
                tl.store(out_ptr + (i * points + k) * numbers + (r + row) * n + col, e, mask=inside)


def launch(a: Tensor, t: Tensor, out: Tensor, gpu: target.Gpu) -> Launch:
    """The call that writes ``exp(t_k a)`` into ``out``.

    Args:
        a: ``(B, n, n)`` float32 or float64, n at most ``ORDER``.
        t: ``(1, T)`` or ``(B, T)`` like ``a``.
        out: ``(B, T, n, n)`` like ``a``.
        gpu: what it is for.

    Returns:
        The launch, not yet run.
    """
    batch, points, n = a.shape[0], t.shape[1], a.shape[-1]
    programs = min(batch, gpu.processors)
    return Launch(
        _expm_scratch_kernel,
        (programs,),
        {
            "a_ptr": a,
            "t_ptr": t,
            "out_ptr": out,
            "scratch_ptr": a.new_empty(programs, BUFFERS, ORDER, ORDER, dtype=torch.float64),
            "batch": batch,
            "points": points,
            "t_stride": 0 if t.shape[0] == 1 else points,
            "n": n,
        },
        {"N": ORDER, "BUFFERS": BUFFERS, "ROWS": ROWS, "STEP": STEP},
        num_warps=8,
    )
