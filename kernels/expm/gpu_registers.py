"""Exponentials up to n = 64: a program holds a matrix, or a few small ones, from the norm to the last squaring.

B matrices, T points, n the order, N the order padded with zeros: the exponential of the padding is the identity and is
not stored.  The method is that of ``blocks``; several matrices in a program all take degree 18, so that none of them
depends on its neighbours.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import target
from ..spec import Launch
from ..triton_ops import chained, chained_add, log2_above, multiple, norm, power_of_two, spread
from . import tables

B1, B2, B3, B4, B5 = (tl.constexpr(row) for row in (tables.B1, tables.B2, tables.B3, tables.B4, tables.B5))
X1, X2, X3, X4 = (tl.constexpr(x) for x in (tables.X1, tables.X2, tables.X3, tables.X4))
X5, X6, X7, Y2 = (tl.constexpr(x) for x in (tables.X5, tables.X6, tables.X7, tables.Y2))
REACH64, REACH32 = (tl.constexpr(tuple(tables.REACH[dtype].values())) for dtype in (torch.float64, torch.float32))
LOG_REACH64, LOG_REACH32 = (tl.constexpr(math.log2(tables.REACH[d][18])) for d in (torch.float64, torch.float32))

ORDER = 64  # of the largest matrix that one program can hold


@triton.jit
def _taylor4(a, eye, PRECISION: tl.constexpr):
    a2 = chained(a, a, PRECISION)
    return chained_add(
        a2, multiple(eye, 0.5, a.dtype) + a * (1 / 6) + a2 * (1 / 24), multiple(eye, 1.0, a.dtype) + a, PRECISION
    )


@triton.jit
def _taylor8(a, eye, PRECISION: tl.constexpr):
    a2 = chained(a, a, PRECISION)
    a4 = chained(a2, a * X1 + a2 * X2, PRECISION)
    return chained_add(
        a2 * X3 + a4,
        multiple(eye, X4, a.dtype) + a * X5 + a2 * X6 + a4 * X7,
        multiple(eye, 1.0, a.dtype) + a + a2 * Y2,
        PRECISION,
    )


@triton.jit
def multiples(c):
    """``c``, ``c²``, ``c³``, ``c⁶``, finite: one that overflows meets a power of the matrix that is zero."""
    most: tl.constexpr = 1e300 if c.dtype == tl.float64 else 1e36
    c2 = tl.minimum(c * c, most)
    c3 = tl.minimum(tl.maximum(c2 * c, -most), most)
    return c, c2, c3, tl.minimum(c3 * c3, most)


@triton.jit
def ninth(c, c2, c3, c6, a, a2, a3, a6, eye):
    """``B_1``, ``B_5``, ``B_4`` of ``A⁹ = B_1 B_5 + B_4`` at ``c a``, from the powers of ``a``."""
    b1 = a * (B1[0] * c) + a2 * (B1[1] * c2) + a3 * (B1[2] * c3)
    b5 = a2 * (B5[0] * c2) + a3 * (B5[1] * c3) + a6 * (B5[2] * c6)
    b4 = multiple(eye, B4[0], a.dtype) + a * (B4[1] * c) + a2 * (B4[2] * c2) + a3 * (B4[3] * c3) + a6 * (B4[4] * c6)
    return b1, b5, b4


@triton.jit
def eighteenth(c, c2, c3, c6, a, a2, a3, a6, eye):
    """``B_3``, ``B_2`` of ``(B_3 + A⁹) A⁹ + B_2`` at ``c a``, from the powers of ``a``."""
    b3 = multiple(eye, B3[0], a.dtype) + a * (B3[1] * c) + a2 * (B3[2] * c2) + a3 * (B3[3] * c3) + a6 * (B3[4] * c6)
    b2 = a * (B2[0] * c) + a2 * (B2[1] * c2) + a3 * (B2[2] * c3) + a6 * (B2[3] * c6)
    return b3, b2


@triton.jit
def _taylor18(c, a, a2, a3, a6, eye, PRECISION: tl.constexpr):
    """The polynomial at ``c a``, from the powers of ``a``."""
    c, c2, c3, c6 = multiples(c)
    b1, b5, b4 = ninth(c, c2, c3, c6, a, a2, a3, a6, eye)
    a9 = chained_add(b1, b5, b4, PRECISION)
    b3, b2 = eighteenth(c, c2, c3, c6, a, a2, a3, a6, eye)
    return chained_add(b3 + a9, a9, b2, PRECISION)


@triton.jit
def scale_down(size, DTYPE: tl.constexpr):
    """The exponent of the power of two by which a matrix of norm ``size`` is divided, so that no power overflows."""
    size = tl.where(size < float("inf"), size, 0.0)
    return tl.minimum(tl.maximum(tl.ceil(log2_above(size)), 0), 1020 if DTYPE == tl.float64 else 124).to(tl.int32)


@triton.jit
def reach(size, size2, size3, size6, down):
    """log2 of what may stand for the norm of a matrix in powers above 18 (``blocks``), inf or NaN if its norm is.

    ``size`` is its norm, the others those of its powers after a division by two to the power of ``down``.
    """
    two_three = tl.maximum(log2_above(size2) / 2, log2_above(size3) / 3)
    alpha = tl.minimum(two_three, (log2_above(size6) * 2 + two_three * 7) / 19)
    return tl.minimum(log2_above(size), alpha + down)


@triton.jit
def squarings(t, alpha, FLOAT32: tl.constexpr):
    """How often the polynomial at ``t`` times a matrix of this ``reach`` is squared; FLOAT32: to float32's accuracy."""
    times = tl.ceil(log2_above(tl.abs(t)) + alpha - (LOG_REACH32 if FLOAT32 else LOG_REACH64)).to(tl.int32)
    return tl.minimum(tl.maximum(times, 0), 1000 if t.dtype == tl.float64 else 100)  # more would overflow


@triton.jit
def _square(e, times, AXIS: tl.constexpr, PRECISION: tl.constexpr):
    """``e`` squared again and again, each matrix its own number of times."""
    if AXIS == 0:
        for _ in tl.range(0, times, num_stages=1):
            e = chained(e, e, PRECISION)
    else:
        for i in tl.range(0, tl.max(times, 0), num_stages=1):
            e = tl.where(spread(i < times, AXIS), chained(e, e, PRECISION), e)
    return e


@triton.jit
def like_products(a, a2, usable):
    """``a`` in the registers where ``a2`` has its entries, or anything unless ``usable``.

    Read from memory, it would be moved there again for each of its multiples in a sum.
    """
    return tl.where(usable, a, a2)


@triton.jit
def _powers(a, size, AXIS: tl.constexpr, PRECISION: tl.constexpr):
    """``scale_down`` and ``reach`` of a matrix of norm ``size``, and it and its powers after the division."""
    down = scale_down(size, a.dtype)
    a *= spread(power_of_two(-down, a.dtype), AXIS)
    a2 = chained(a, a, PRECISION)
    a3 = chained(a2, a, PRECISION)
    a6 = chained(a3, a3, PRECISION)
    a = like_products(a, a2, spread(size, AXIS) < float("inf"))
    return down, reach(size, norm(a2, AXIS), norm(a3, AXIS), norm(a6, AXIS), down), a, a2, a3, a6


@triton.jit
def _point(t, down, alpha, a, a2, a3, a6, eye, AXIS: tl.constexpr, PRECISION: tl.constexpr, FLOAT32: tl.constexpr):
    """The exponential at ``t`` times the matrix whose powers these are."""
    times = squarings(t, alpha, FLOAT32)
    c = spread(t * power_of_two(down - times, a.dtype), AXIS)
    e = tl.where(c == 0, multiple(eye, 1.0, a.dtype), _taylor18(c, a, a2, a3, a6, eye, PRECISION))
    return _square(e, times, AXIS, PRECISION)


@triton.jit(do_not_specialize=["batch", "points", "t_stride", "chunk"])
def _expm_kernel(
    a_ptr,  # (batch, n, n)
    t_ptr,  # (1 or batch, points)
    out_ptr,  # (batch, points, n, n)
    batch,
    points,
    t_stride,  # from matrix to matrix: 0 or points
    chunk,  # points of a program
    n,
    N: tl.constexpr,
    B: tl.constexpr,
    DEGREES: tl.constexpr,  # one point of one matrix, of a degree by its norm
    COMPUTE: tl.constexpr,  # dtype
    PRECISION: tl.constexpr,
):
    AXIS: tl.constexpr = 0 if B == 1 else 1
    FLOAT32: tl.constexpr = a_ptr.dtype.element_ty == tl.float32

    matrix = tl.program_id(0).to(tl.int64) * B
    if B == 1:
        row, col = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
        inside = (row < n) & (col < n)
        t_row = t_ptr + matrix * t_stride
        eye = row == col
    else:
        stack = matrix + tl.arange(0, B)
        matrix = stack[:, None, None]
        row, col = tl.arange(0, N)[None, :, None], tl.arange(0, N)[None, None, :]
        inside = (row < n) & (col < n) & (matrix < batch)
        t_row = t_ptr + tl.minimum(stack, batch - 1) * t_stride
        eye = (row == col) & (matrix >= 0)
    place = row * n + col
    a = tl.load(a_ptr + matrix * n * n + place, mask=inside, other=0.0).to(COMPUTE)

    size = norm(a, AXIS)
    if DEGREES:
        t = tl.load(t_row).to(COMPUTE)
        x = size * tl.abs(t)
        if x <= (REACH32[0] if FLOAT32 else REACH64[0]):
            e = _taylor4(a * t, eye, PRECISION)
        elif x <= (REACH32[1] if FLOAT32 else REACH64[1]):
            e = _taylor8(a * t, eye, PRECISION)
        else:
            down, alpha, a, a2, a3, a6 = _powers(a, size, AXIS, PRECISION)
            e = _point(t, down, alpha, a, a2, a3, a6, eye, AXIS, PRECISION, FLOAT32)
        tl.store(out_ptr + matrix * n * n + place, tl.where(size < float("inf"), e, float("nan")), mask=inside)
    else:
        usable = spread(size, AXIS) < float("inf")
        down, alpha, a, a2, a3, a6 = _powers(a, size, AXIS, PRECISION)
        start = tl.program_id(1) * chunk
        # the matrix is read again for each point, from a cache: at n = 64 registers hold its powers only
        for k in tl.range(start, tl.minimum(start + chunk, points), num_stages=1, disable_licm=True):
            a = tl.load(a_ptr + matrix * n * n + place, mask=inside, other=0.0).to(COMPUTE)
            a = like_products(a * spread(power_of_two(-down, COMPUTE), AXIS), a2, usable)
            t = tl.load(t_row + k).to(COMPUTE)
            e = _point(t, down, alpha, a, a2, a3, a6, eye, AXIS, PRECISION, FLOAT32)
            e = tl.where(usable, e, float("nan"))
            tl.store(out_ptr + (matrix * points + k) * n * n + place, e, mask=inside)


def launch(a: Tensor, t: Tensor, out: Tensor, gpu: target.Gpu, precision: str | None = None) -> Launch:
    """The call that writes ``exp(t_k a)`` into ``out``.

    Args:
        a: ``(B, n, n)`` float32 or float64, n at most ``ORDER``.
        t: ``(1, T)`` or ``(B, T)`` like ``a``.
        out: ``(B, T, n, n)`` like ``a``.
        gpu: what it is for.
        precision: of products of float32: ``"float64"``, ``"ieee"`` or ``"tf32x3"``.  None is float64 where tensor
            cores have it, as fast as any exact float32 and with fewer instructions around it, else IEEE.

    Returns:
        The launch, not yet run.
    """
    batch, points, n = a.shape[0], t.shape[1], a.shape[-1]
    if precision is None:
        precision = "float64" if gpu.fast_float64 else "ieee"
    compute = torch.float64 if precision == "float64" else a.dtype
    order = max(triton.next_power_of_2(n), target.smallest_dot(gpu, compute), 8)
    stack = 8 if order == 8 else 1
    programs = triton.cdiv(batch, stack)
    # the powers are computed once a program: as few as keep eight busy on each processor
    chunk = max(triton.cdiv(programs * points, 8 * gpu.processors), triton.cdiv(points, 65535))
    chunk = min(chunk, points)
    return Launch(
        _expm_kernel,
        (programs, triton.cdiv(points, chunk)),
        {
            "a_ptr": a,
            "t_ptr": t,
            "out_ptr": out,
            "batch": batch,
            "points": points,
            "t_stride": 0 if t.shape[0] == 1 else points,
            "chunk": chunk,
            "n": n,
        },
        {
            "N": order,
            "B": stack,
            "DEGREES": points == 1 and stack == 1,
            "COMPUTE": tl.float64 if compute == torch.float64 else tl.float32,
            "PRECISION": precision if compute == torch.float32 else "ieee",
        },
        num_warps={8: 4, 16: 1, 32: 4, 64: 8 if compute == torch.float64 else 16}[order],
    )
