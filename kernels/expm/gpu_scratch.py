"""Exponentials too large for the registers of one program: orders up to 128, powers in global memory.

The method is that of ``gpu_registers`` at degree 18.  A program takes one matrix after the other and keeps its powers
in scratch memory of its own (``triton_memory``).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import target
from ..spec import Launch
from ..triton_memory import ORDER, ROWS, deliver, fetch, multiply, norm_in_batch, norm_of
from ..triton_ops import multiple, power_of_two
from .gpu_registers import eighteenth, multiples, ninth, reach, scale_down, squarings

BUFFERS = 7  # a, a², a³, a⁶, the two factors of a product, and what it becomes


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
):
    FLOAT32: tl.constexpr = a_ptr.dtype.element_ty == tl.float32
    row, col = tl.arange(0, ROWS)[:, None], tl.arange(0, N)[None, :]
    numbers = n.to(tl.int64) * n
    size_of: tl.constexpr = N * N
    a_buf = scratch_ptr + tl.program_id(0).to(tl.int64) * BUFFERS * size_of
    a2_buf, a3_buf, a6_buf = a_buf + size_of, a_buf + 2 * size_of, a_buf + 3 * size_of
    x_buf, y_buf, e_buf = a_buf + 4 * size_of, a_buf + 5 * size_of, a_buf + 6 * size_of
    for i in tl.range(tl.program_id(0), batch, tl.num_programs(0), num_stages=1, disable_licm=True):
        size = norm_in_batch(a_ptr + i * numbers, n, N)
        down = scale_down(size, tl.float64)
        fetch(a_buf, a_ptr + i * numbers, power_of_two(-down, tl.float64), n, N)
        multiply(a_buf, a_buf, a2_buf, n, N)
        multiply(a2_buf, a_buf, a3_buf, n, N)
        multiply(a3_buf, a3_buf, a6_buf, n, N)
        size2 = norm_of(0.0, a2_buf, 1.0, a2_buf, 0.0, n, N)
        size3 = norm_of(0.0, a3_buf, 1.0, a3_buf, 0.0, n, N)
        alpha = reach(size, size2, size3, norm_of(0.0, a6_buf, 1.0, a6_buf, 0.0, n, N), down)

        for k in tl.range(0, points, num_stages=1, disable_licm=True):
            t = tl.load(t_ptr + i * t_stride + k).to(tl.float64)
            times = squarings(t, alpha, FLOAT32)
            c, c2, c3, c6 = multiples(t * power_of_two(down - times, tl.float64))
            tl.debug_barrier()
            for r in tl.range(0, N, ROWS, num_stages=1):
                place, eye = (r + row) * N + col, (r + row == col) & (col < n)
                a, a2, a3, a6 = _load_powers(a_buf + place, N)
                b1, b5, b4 = ninth(c, c2, c3, c6, a, a2, a3, a6, eye)
                tl.store(x_buf + place, b1)
                tl.store(y_buf + place, b5)
            multiply(x_buf, y_buf, e_buf, n, N)
            tl.debug_barrier()
            for r in tl.range(0, N, ROWS, num_stages=1):
                place, eye = (r + row) * N + col, (r + row == col) & (col < n)
                a, a2, a3, a6 = _load_powers(a_buf + place, N)
                b1, b5, b4 = ninth(c, c2, c3, c6, a, a2, a3, a6, eye)
                b3, b2 = eighteenth(c, c2, c3, c6, a, a2, a3, a6, eye)
                a9 = tl.load(e_buf + place) + b4
                tl.store(x_buf + place, b3 + a9)
                tl.store(y_buf + place, a9)
            multiply(x_buf, y_buf, e_buf, n, N)
            tl.debug_barrier()
            for r in tl.range(0, N, ROWS, num_stages=1):
                place, eye = (r + row) * N + col, (r + row == col) & (col < n)
                a, a2, a3, a6 = _load_powers(a_buf + place, N)
                b3, b2 = eighteenth(c, c2, c3, c6, a, a2, a3, a6, eye)
                e = tl.where(c == 0, multiple(eye, 1.0, tl.float64), tl.load(e_buf + place) + b2)
                tl.store(e_buf + place, e)
            for _ in tl.range(0, times, num_stages=1):
                multiply(e_buf, e_buf, e_buf, n, N)
            good = size < float("inf")
            deliver(out_ptr + (i * points + k) * numbers, 0.0, e_buf, 1.0, good, n, N)


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
        {"N": ORDER, "BUFFERS": BUFFERS},
        num_warps=8,
    )
