"""Principal logarithms up to n = 64 by inverse scaling and squaring: one program holds a matrix, all in float64.

B matrices, n the order, N the order padded with zeros.  Square roots are taken until the matrix is near the identity,
then ``log x = 2 atanh((x - I)(x + I)⁻¹)``.  A root is a Denman–Beavers iteration in product form (Higham 2008,
*Functions of Matrices*, eq. (6.29)) with these changes:

1. Only ``x`` and the product ``m`` are kept, ``m → I``; the scaling by the determinant is a power of two.
2. Once ``m`` is within ``NEAR`` of the identity there are no more inverses: ``x m^(-1/2)`` by products.
3. The inverse is by Gauss–Jordan elimination in place, with pivots and without exchanges of rows.
4. Each root is squared and compared.  Where that shows more than rounding — turns by nearly π, ill-conditioned or
   graded matrices, those with no logarithm — the status says that another route has to decide.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import target
from ..spec import Launch
from ..triton_ops import chained, log2_above, multiple, norm, power_of_two

ORDER = 64  # of the largest matrix that one program can hold

# Status: a logarithm; none, as an entry is not finite; to be decided by another route.
DONE, REFUSED, LEFT = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)

NEAR = tl.constexpr(0.4)  # norm of m - I from which products alone converge, and of x - I at which roots end
LAST = tl.constexpr(2e-6)  # norm of m - I whose third power is below rounding
STEPS = tl.constexpr(25)  # of one root: the condition number 1e16 takes 12
ROOTS = tl.constexpr(60)
# Residual of a root, relative to its square, up to which the logarithm is as accurate as SciPy's or 1e-13, and
# float32's as accurate as its rounding: over random matrices of every kind in tests/cases.py the error was at most 400
# times the residual.
RESIDUAL64, RESIDUAL32 = tl.constexpr(5e-14), tl.constexpr(1e-10)
LN2 = tl.constexpr(math.log(2))


@triton.jit
def _inverse(m, n, N: tl.constexpr):
    """The inverse of the leading ``(n, n)`` of ``m``, and about log2 of the determinant's size.

    Step k solves for unknown k by the row of the largest pivot that is left and puts that equation in its place.
    """
    place = tl.arange(0, N)
    chosen, taken, used = place, place, place >= n  # the row that step k has taken, and the step that took row j
    log_det = tl.full((), 0.0, tl.float32)
    for k in tl.range(0, n, num_stages=1, disable_licm=N == 64):  # what it hoists is spilled
        column = tl.sum(tl.where(place[None, :] == k, m, 0.0), 1)
        j = tl.argmax(tl.where(used, -1.0, tl.abs(column)), 0)
        pivots = tl.sum(tl.where(place[:, None] == j, m, 0.0), 0)
        pivot = tl.sum(tl.where(place == k, pivots, 0.0), 0)
        pivots = tl.where(place == k, 1.0, pivots) * (1 / pivot)
        column = tl.where(place == j, 0.0, column)
        rest = tl.where(place[None, :] == k, 0.0, m) - column[:, None] * pivots[None, :]
        m = tl.where(place[:, None] == j, pivots[None, :], rest)
        chosen = tl.where(place == k, j, chosen)
        taken = tl.where(place == j, k, taken)
        used = used | (place == j)
        log_det += log2_above(tl.abs(pivot))
    m = tl.gather(m, tl.broadcast_to(chosen[:, None], (N, N)), 0)
    return tl.gather(m, tl.broadcast_to(taken[None, :], (N, N)), 1), log_det


@triton.jit
def determinant_scale(log_det, away, n):
    """The exponent of the power of two by which a step far from the identity is scaled."""
    scale = tl.where(away > 0.9, tl.floor(0.5 - log_det / (2 * n)), 0.0)
    return tl.minimum(tl.maximum(scale, -250.0), 250.0).to(tl.int32)


@triton.jit
def scale_exponent(size):
    """The exponent by which a matrix of norm ``size`` is brought out of the way of overflow.

    0 where nothing is in the way: near the identity nothing may be rounded.
    """
    far = (size < float("inf")) & ((size > 2.0**32) | (size < 2.0**-32))
    exponent = tl.where(far, tl.ceil(log2_above(size)), 0.0)
    return tl.minimum(tl.maximum(exponent, -1000.0), 1000.0).to(tl.int32)


@triton.jit
def _inverse_root(d, eye, PRECISION: tl.constexpr):
    """``(I + d)^(-1/2)`` up to the third power of ``d``."""
    return multiple(eye, 1.0, d.dtype) - d * 0.5 + chained(d, d, PRECISION) * 0.375


@triton.jit
def _root(x, eye, n, N: tl.constexpr, PRECISION: tl.constexpr):
    """The principal square root, or anything where the iteration does not converge."""
    m = x
    away = norm(m - multiple(eye, 1.0, x.dtype), 0)
    steps = 0
    while (away > LAST) & (steps < STEPS):
        if away > NEAR:
            inverse, log_det = _inverse(m, n, N)
            scale = determinant_scale(log_det, away, n)
            up, down = power_of_two(scale, x.dtype), power_of_two(-scale, x.dtype)
            x = chained(x, tl.where(eye, up * 0.5, 0.0) + inverse * (down * 0.5), PRECISION)
            m = multiple(eye, 0.5, x.dtype) + m * (up * up * 0.25) + inverse * (down * down * 0.25)
        else:
            p = _inverse_root(m - multiple(eye, 1.0, x.dtype), eye, PRECISION)
            x = chained(x, p, PRECISION)
            m = chained(m, chained(p, p, PRECISION), PRECISION)
        away = norm(m - multiple(eye, 1.0, x.dtype), 0)
        steps += 1
    return chained(x, _inverse_root(m - multiple(eye, 1.0, x.dtype), eye, PRECISION), PRECISION)


@triton.jit
def _near_log(x, eye, PRECISION: tl.constexpr):
    """The logarithm of a matrix within ``NEAR`` of the identity, to relative accuracy."""
    z = (x - multiple(eye, 1.0, x.dtype)) * 0.5
    # w = z (I + z)⁻¹, the inverse as (I - z)(I + z²)(I + z⁴)(I + z⁸)(I + z¹⁶)
    w = z - chained(z, z, PRECISION)
    power = z
    for _ in tl.range(0, 4, num_stages=1):
        power = chained(power, power, PRECISION)
        w += chained(w, power, PRECISION)
    # 2 w Σ v^j / (2j + 1), v = w², two terms at a time from j = 15 down
    v = chained(w, w, PRECISION)
    v2 = chained(v, v, PRECISION)
    total = multiple(eye, 2 / 29, x.dtype) + v * (2 / 31)
    odd = tl.full((), 27.0, x.dtype)
    for _ in tl.range(0, 7, num_stages=1):
        total = chained(total, v2, PRECISION)
        total += tl.where(eye, 2.0 / (odd - 2), 0.0) + v * (2.0 / odd)
        odd -= 4
    return chained(w, total, PRECISION)


@triton.jit
def _logm_kernel(
    a_ptr,  # (batch, n, n)
    out_ptr,  # (batch, n, n)
    status_ptr,  # (batch,)
    n,
    N: tl.constexpr,
):
    PRECISION: tl.constexpr = "ieee"
    RESIDUAL: tl.constexpr = RESIDUAL32 if a_ptr.dtype.element_ty == tl.float32 else RESIDUAL64
    matrix = tl.program_id(0).to(tl.int64)
    row, col = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    inside = (row < n) & (col < n)
    place = row * n + col
    a_ptr += matrix * n * n
    out_ptr += matrix * n * n
    eye = (row == col) & (row < n)

    x = tl.load(a_ptr + place, mask=inside, other=0.0).to(tl.float64)
    size = norm(x, 0)
    finite = size < float("inf")
    exponent = scale_exponent(size)
    x *= power_of_two(-exponent, tl.float64)

    good = finite
    roots = tl.full((), 0, tl.int32)
    while good & (norm(x - multiple(eye, 1.0, tl.float64), 0) > NEAR):
        root = _root(x, eye, n, N, PRECISION)
        missing = norm(chained(root, root, PRECISION) - x, 0)
        roots += 1
        good = (missing <= norm(x, 0) * RESIDUAL) & (roots < ROOTS)
        x = root
    log = _near_log(x, eye, PRECISION) * power_of_two(roots, tl.float64)
    log += tl.where(eye, exponent.to(tl.float64) * LN2, 0.0)
    good = good & (norm(log, 0) < float("inf"))
    tl.store(out_ptr + place, tl.where(good, log, float("nan")), mask=inside)
    tl.store(status_ptr + matrix, tl.where(good, DONE, tl.where(finite, LEFT, REFUSED)))


def launch(a: Tensor, out: Tensor, status: Tensor, gpu: target.Gpu) -> Launch:
    """The call that writes logarithms into ``out``, NaN where ``status`` is not ``DONE``.

    Args:
        a: ``(B, n, n)`` float32 or float64, n at most ``ORDER``.
        out: ``(B, n, n)`` like ``a``.
        status: ``(B,)`` int32.
        gpu: what it is for.

    Returns:
        The launch, not yet run.
    """
    batch, n = a.shape[0], a.shape[-1]
    order = max(triton.next_power_of_2(n), target.smallest_dot(gpu, torch.float64), 8)
    return Launch(
        _logm_kernel,
        (batch,),
        {"a_ptr": a, "out_ptr": out, "status_ptr": status, "n": n},
        {"N": order},
        num_warps={8: 1, 16: 1, 32: 4, 64: 8}[order],
        # ptxas would have a program of one warp spill in loops, so that more programs fit a processor
        options={"maxnreg": 255} if order <= 16 and gpu.backend == "cuda" else {},
    )
