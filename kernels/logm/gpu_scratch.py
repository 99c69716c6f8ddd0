"""Logarithms too large for the registers of one program: orders up to 128, matrices in global memory.

The method is that of ``gpu_registers``; a program takes one matrix after the other (``triton_memory``).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import target
from ..spec import Launch
from ..triton_memory import ORDER, ROWS, combine, deliver, fetch, multiply, norm_in_batch, norm_of
from ..triton_ops import log2_above, power_of_two
from .gpu_registers import (
    DONE,
    LAST,
    LEFT,
    LN2,
    NEAR,
    REFUSED,
    RESIDUAL32,
    RESIDUAL64,
    ROOTS,
    STEPS,
    determinant_scale,
    scale_exponent,
)

BUFFERS = 5


@triton.jit
def _inverse(m_ptr, out_ptr, spare_ptr, taken_ptr, n, N: tl.constexpr):
    """The inverse into ``out``, and about log2 of the determinant's size: as in ``gpu_registers``."""
    place = tl.arange(0, N)
    row, col = tl.arange(0, ROWS)[:, None], place[None, :]
    combine(spare_ptr, 0.0, m_ptr, 1.0, m_ptr, 0.0, n, N)
    chosen, used = place, place >= n
    log_det = tl.full((), 0.0, tl.float32)
    for k in tl.range(0, n, num_stages=1, disable_licm=True):
        tl.debug_barrier()
        j = tl.argmax(tl.where(used, -1.0, tl.abs(tl.load(spare_ptr + place * N + k))), 0)
        pivot = tl.load(spare_ptr + j * N + k)
        pivots = tl.where(place == k, 1.0, tl.load(spare_ptr + j * N + place)) / pivot
        tl.store(taken_ptr + j, k)
        chosen = tl.where(place == k, j, chosen)
        used = used | (place == j)
        log_det += log2_above(tl.abs(pivot))
        tl.debug_barrier()
        for r in tl.range(0, n, ROWS, num_stages=1):
            ptrs = spare_ptr + (r + row) * N
            column = tl.where(r + row == j, 0.0, tl.load(ptrs + k))
            rest = tl.where(col == k, 0.0, tl.load(ptrs + col)) - column * pivots[None, :]
            tl.store(ptrs + col, tl.where(r + row == j, pivots[None, :], rest))
    tl.debug_barrier()
    for r in tl.range(0, N, ROWS, num_stages=1):
        taken = tl.load(taken_ptr + r + row, mask=r + row < n, other=0)
        taken = tl.where(r + row < n, taken, r + row)
        tl.store(out_ptr + taken * N + chosen[None, :], tl.load(spare_ptr + (r + row) * N + col))
    return log_det


@triton.jit
def _inverse_root(m_ptr, out_ptr, spare_ptr, n, N: tl.constexpr):
    """``m^(-1/2)`` up to the third power of ``d = m - I``, as ``I - d/2 + 3 d²/8``."""
    combine(out_ptr, -1.0, m_ptr, 1.0, m_ptr, 0.0, n, N)
    multiply(out_ptr, out_ptr, spare_ptr, n, N)
    combine(out_ptr, 1.0, out_ptr, -0.5, spare_ptr, 0.375, n, N)


@triton.jit
def _root(x, m, p, spare, taken, n, N: tl.constexpr):
    """The principal square root in place of ``x``, or anything where the iteration does not converge."""
    combine(m, 0.0, x, 1.0, x, 0.0, n, N)
    away = norm_of(-1.0, m, 1.0, m, 0.0, n, N)
    steps = 0
    while (away > LAST) & (steps < STEPS):
        if away > NEAR:
            scale = determinant_scale(_inverse(m, p, spare, taken, n, N), away, n)
            up, down = power_of_two(scale, tl.float64), power_of_two(-scale, tl.float64)
            combine(spare, up * 0.5, p, down * 0.5, p, 0.0, n, N)
            multiply(x, spare, x, n, N)
            combine(m, 0.5, m, up * up * 0.25, p, down * down * 0.25, n, N)
        else:
            _inverse_root(m, p, spare, n, N)
            multiply(x, p, x, n, N)
            multiply(p, p, spare, n, N)
            multiply(m, spare, m, n, N)
        away = norm_of(-1.0, m, 1.0, m, 0.0, n, N)
        steps += 1
    _inverse_root(m, p, spare, n, N)
    multiply(x, p, x, n, N)


@triton.jit
def _near_log(x, w, power, total, spare, n, N: tl.constexpr):
    """The logarithm in place of ``x``, within ``NEAR`` of the identity, to relative accuracy."""
    combine(x, -0.5, x, 0.5, x, 0.0, n, N)
    multiply(x, x, power, n, N)
    combine(w, 0.0, x, 1.0, power, -1.0, n, N)
    for _ in tl.range(0, 4, num_stages=1):
        multiply(w, power, spare, n, N)
        combine(w, 0.0, w, 1.0, spare, 1.0, n, N)
        multiply(power, power, power, n, N)
    multiply(w, w, x, n, N)
    multiply(x, x, power, n, N)
    combine(total, 2 / 29, x, 2 / 31, x, 0.0, n, N)
    odd = tl.full((), 27.0, tl.float64)
    for _ in tl.range(0, 7, num_stages=1):
        multiply(total, power, total, n, N)
        combine(total, 2 / (odd - 2), total, 1.0, x, 2 / odd, n, N)
        odd -= 4
    multiply(w, total, x, n, N)


@triton.jit(do_not_specialize=["batch", "single"])
def _logm_scratch_kernel(
    a_ptr,  # (batch, n, n) float64
    out_ptr,  # (batch, n, n) float64
    status_ptr,  # (batch,)
    scratch_ptr,  # (programs, BUFFERS, N, N) float64
    taken_ptr,  # (programs, N) int32
    batch,
    n,
    single,  # 1 where the accuracy of float32 is enough
    N: tl.constexpr,
    BUFFERS: tl.constexpr,
):
    residual = tl.where(single == 1, RESIDUAL32, RESIDUAL64)
    numbers = n.to(tl.int64) * n
    x = scratch_ptr + tl.program_id(0).to(tl.int64) * BUFFERS * N * N
    m, p, spare, before = x + N * N, x + 2 * N * N, x + 3 * N * N, x + 4 * N * N
    for i in tl.range(tl.program_id(0), batch, tl.num_programs(0), num_stages=1, disable_licm=True):
        size = norm_in_batch(a_ptr + i * numbers, n, N)
        finite = size < float("inf")
        exponent = scale_exponent(size)
        fetch(x, a_ptr + i * numbers, power_of_two(-exponent, tl.float64), n, N)
        good = finite
        roots = tl.full((), 0, tl.int32)
        while good & (norm_of(-1.0, x, 1.0, x, 0.0, n, N) > NEAR):
            combine(before, 0.0, x, 1.0, x, 0.0, n, N)
            _root(x, m, p, spare, taken_ptr + tl.program_id(0) * N, n, N)
            multiply(x, x, spare, n, N)
            bound = norm_of(0.0, before, 1.0, before, 0.0, n, N) * residual
            roots += 1
            good = (norm_of(0.0, spare, 1.0, before, -1.0, n, N) <= bound) & (roots < ROOTS)
        _near_log(x, m, p, spare, before, n, N)
        factor, shift = power_of_two(roots, tl.float64), exponent.to(tl.float64) * LN2
        good = good & (norm_of(shift, x, factor, x, 0.0, n, N) < float("inf"))
        deliver(out_ptr + i * numbers, shift, x, factor, good, n, N)
        tl.store(status_ptr + i, tl.where(good, DONE, tl.where(finite, LEFT, REFUSED)))


def launch(a: Tensor, out: Tensor, status: Tensor, gpu: target.Gpu, accuracy: torch.dtype = torch.float64) -> Launch:
    """The call that writes logarithms into ``out``, NaN where ``status`` is not ``DONE``.

    Args:
        a: ``(B, n, n)`` float64, n at most ``ORDER``.
        out: ``(B, n, n)`` float64.
        status: ``(B,)`` int32.
        gpu: what it is for.
        accuracy: the dtype whose rounding the result may have.

    Returns:
        The launch, not yet run.
    """
    batch, n = a.shape[0], a.shape[-1]
    order = 64 if n <= 64 else ORDER
    programs = min(batch, gpu.processors)
    return Launch(
        _logm_scratch_kernel,
        (programs,),
        {
            "a_ptr": a,
            "out_ptr": out,
            "status_ptr": status,
            "scratch_ptr": a.new_empty(programs, BUFFERS, order, order),
            "taken_ptr": a.new_empty(programs, order, dtype=torch.int32),
            "batch": batch,
            "n": n,
            "single": int(accuracy == torch.float32),
        },
        {"N": order, "BUFFERS": BUFFERS},
        num_warps=8,
    )
