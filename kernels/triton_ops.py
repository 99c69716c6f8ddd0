"""Pieces that Triton kernels share: functions of small matrices held in registers, activations, losses of outputs.

A program holds one matrix ``(N, N)``, rows on axis 0, or a stack ``(B, N, N)``, rows on axis 1; ``AXIS`` says which.  A
number per matrix has shape ``()`` or ``(B,)``.  Matrices smaller than N are padded: what with is the caller's choice.
Axes are counted from the front: the interpreter reduces a negative axis wrongly.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .target import interpreting

INTERPRETED = tl.constexpr(interpreting())  # the interpreter multiplies bfloat16 wrongly: there operands are widened


@triton.jit
def larger(x, y):
    """The larger of two numbers, NaN if one is: ``tl.max`` drops NaN."""
    return tl.where((x >= y) | (x != x), x, y)


@triton.jit
def norm(x, AXIS: tl.constexpr):
    """Largest column sum of absolute values, NaN if there is one, per matrix."""
    return tl.reduce(tl.sum(tl.abs(x), AXIS), AXIS, larger)


@triton.jit
def spread(number, AXIS: tl.constexpr):
    """A number per matrix, in a shape that broadcasts over its entries."""
    if AXIS == 1:
        return number[:, None, None]
    else:
        return number


@triton.jit
def product_add(x, y, z, PRECISION: tl.constexpr):
    """``x @ y + z`` in the dtype of ``z``."""
    if INTERPRETED:
        x, y = x.to(z.dtype), y.to(z.dtype)
    return tl.dot(x, y, z, input_precision=PRECISION, out_dtype=z.dtype)


@triton.jit
def chained_add(x, y, z, PRECISION: tl.constexpr):
    """``x @ y + z`` among products that feed each other.

    Each in a loop of its own: those of one region share out rows alone to the warps, of which there may be more than
    rows, so that the same is computed twice and kept twice.  LLVM knows that a grid is not empty and unrolls the loop.
    """
    for _ in tl.range(0, tl.minimum(tl.num_programs(0), 1), num_stages=1):
        z = product_add(x, y, z, PRECISION)
    return z


@triton.jit
def chained(x, y, PRECISION: tl.constexpr):
    """``x @ y`` of square matrices, likewise."""
    return chained_add(x, y, tl.zeros(x.shape, x.dtype), PRECISION)


@triton.jit
def multiple(diagonal, number: tl.constexpr, DTYPE: tl.constexpr):
    """A multiple of the identity, from the mask of its diagonal: masks take fewer registers than a matrix.

    ``tl.where`` would round a plain number to float32.
    """
    return tl.where(diagonal, tl.full((), number, DTYPE), tl.full((), 0.0, DTYPE))


@triton.jit
def power_of_two(exponent, DTYPE: tl.constexpr):
    """``2 ** exponent``, exactly, where that is a normal number: ``tl.exp2`` is approximate."""
    if DTYPE == tl.float64:
        return ((exponent.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    else:
        return ((exponent.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def log2_above(x):
    """At least the binary logarithm of ``x >= 0``, by at most 0.0861, in float32; far below any at 0, above at inf.

    The bits of a floating-point number are its exponent and, where the logarithm has a curve, a straight line.
    """
    if x.dtype == tl.float64:
        high = (x.to(tl.int64, bitcast=True) >> 32).to(tl.int32)
        log = high.to(tl.float32) * 2.0**-20 - 1022.9139
    else:
        log = x.to(tl.int32, bitcast=True).to(tl.float32) * 2.0**-23 - 126.9139
    return tl.where(x == 0, -1e9, log)


@triton.jit
def tanh(z):
    """Hyperbolic tangent to rounding.

    Near 0, where ``1 - exp(-2|z|)`` cancels, the seventh convergent of Lambert's continued fraction
    (x / (1 + x² / (3 + x² / (5 + …)))), whose relative error at 0.35 is below 1e-17.
    """
    s = z * z
    near = z * (135135 + s * (17325 + s * (378 + s))) / (135135 + s * (62370 + s * (3150 + 28 * s)))
    e = tl.exp(-2 * tl.abs(z))
    far = (1 - e) / (1 + e)
    return tl.where(tl.abs(z) < 0.35, near, tl.where(z < 0, -far, far))


@triton.jit
def activate(z, NAME: tl.constexpr):
    """``σ(z)``; comparisons are written so that NaN stays NaN."""
    if NAME == "relu":
        return tl.where(z < 0, 0.0, z)
    elif NAME == "leaky_relu":
        return tl.where(z < 0, 0.01 * z, z)
    elif NAME == "relu_squared":
        z = tl.where(z < 0, 0.0, z)
        return z * z
    elif NAME == "tanh":
        return tanh(z)
    elif NAME == "sigmoid":
        return 1 / (1 + tl.exp(-z))
    elif NAME == "gelu":
        return 0.5 * z * (1 + tl.erf(z * 0.7071067811865476))
    else:
        tl.static_assert(NAME == "linear", "unknown activation")
        return z


@triton.jit
def bend(z, NAME: tl.constexpr):
    """``σ'(z)``, at a kink as PyTorch has it."""
    if NAME == "relu":
        return tl.where(z <= 0, 0.0, 1.0).to(z.dtype)
    elif NAME == "leaky_relu":
        return tl.where(z > 0, tl.full(z.shape, 1, z.dtype), tl.full(z.shape, 0.01, z.dtype))
    elif NAME == "relu_squared":
        return 2 * tl.where(z <= 0, 0.0, z)
    elif NAME == "tanh":
        a = tanh(z)
        return 1 - a * a
    elif NAME == "sigmoid":
        a = 1 / (1 + tl.exp(-z))
        return a * (1 - a)
    elif NAME == "gelu":
        return 0.5 * (1 + tl.erf(z * 0.7071067811865476)) + z * (0.3989422804014327 * tl.exp(-0.5 * z * z))
    else:
        tl.static_assert(NAME == "linear", "unknown activation")
        return tl.full(z.shape, 1, z.dtype)


@triton.jit
def no_outputs(ROWS: tl.constexpr, ACC: tl.constexpr):
    """State of ``ROWS`` samples of which no output was seen: what ``see_outputs`` updates and ``add_losses`` reads.

    Sum of squared errors; greatest output, its class, the sum of ``exp(output - greatest)``, the output of the label
    (an online logarithm of a sum of exponentials, so that classes can come in tiles); whether an output was NaN.
    """
    zero = tl.zeros((ROWS,), ACC)
    none = tl.zeros((ROWS,), tl.int32)
    return zero, zero + float("-inf"), none, zero, zero, none


@triton.jit
def see_outputs(
    z, column, label, target, classes, state, SQUARED: tl.constexpr, CROSS: tl.constexpr, ERROR: tl.constexpr
):
    """Take a tile of outputs ``z`` ``(ROWS, COLUMNS)`` into the state of its rows; tiles come from left to right.

    ``column`` are the columns' classes (those from ``classes`` on count for nothing), ``label`` and ``target`` what the
    rows should be, ``state`` as ``no_outputs`` makes it.
    """
    squares, best, first, total, own, nan = state
    if SQUARED:
        error = tl.where(column[None, :] < classes, z - target, 0.0)
        squares += tl.sum(error * error, 1)
    if CROSS or ERROR:
        z = tl.where(column[None, :] < classes, z, float("-inf"))  # padding may be NaN: 0 · inf
        nan = nan | tl.max((z != z).to(tl.int32), 1)  # before the maximum, which drops NaN
        top = tl.max(z, 1)
        if ERROR:
            where = tl.min(tl.where(z == top[:, None], column[None, :], classes), 1)
            first = tl.where(top > best, where, first)
        peak = tl.maximum(best, top)
        if CROSS:
            base = tl.where(peak == float("-inf"), 0.0, peak)
            total = total * tl.exp(best - base) + tl.sum(tl.exp(z - base[:, None]), 1)
            own += tl.sum(tl.where(column[None, :] == label[:, None], z, 0.0), 1)
        best = peak
    return squares, best, first, total, own, nan


@triton.jit
def add_losses(sums, state, label, counts, SQUARED: tl.constexpr, CROSS: tl.constexpr, ERROR: tl.constexpr):
    """Add the rows' losses, where ``counts``, to ``sums``: squared errors, cross entropies, wrong classes."""
    squared, cross, wrong = sums
    squares, best, first, total, own, nan = state
    if SQUARED:
        squared += tl.where(counts, squares, 0.0)
    if CROSS:
        base = tl.where(best == float("-inf"), 0.0, best)
        cross += tl.where(counts, tl.log(total) + base - own, 0.0)
    if ERROR:
        missed = tl.where(nan > 0, float("nan"), (first != label).to(wrong.dtype))
        wrong += tl.where(counts, missed, 0.0)
    return squared, cross, wrong


@triton.jit
def output_slopes(z, wanted, state, squared, crossed, SQUARED: tl.constexpr, CROSS: tl.constexpr):
    """Gradients by a tile of outputs of ``squared`` times their squared errors and ``crossed`` times cross entropies.

    ``wanted`` are the targets of both, ``state`` that of the rows once all outputs were seen.
    """
    _, best, _, total, _, _ = state
    slopes = tl.zeros(z.shape, z.dtype)
    if SQUARED:
        slopes += 2 * squared * (z - wanted)
    if CROSS:
        base = tl.where(best == float("-inf"), 0.0, best)
        slopes += crossed * (tl.exp(z - base[:, None]) / total[:, None] - wanted)
    return slopes
