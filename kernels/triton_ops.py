"""Pieces that Triton kernels share: functions of small matrices held in registers.

A program holds one matrix ``(N, N)``, rows on axis 0, or a stack ``(B, N, N)``, rows on axis 1; ``AXIS`` says which.  A
number per matrix has shape ``()`` or ``(B,)``.  Matrices smaller than N are padded: what with is the caller's choice.
Axes are counted from the front: the interpreter reduces a negative axis wrongly.
"""

from __future__ import annotations

import triton
import triton.language as tl


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
def product(x, y, PRECISION: tl.constexpr):
    """Matrix products in the operands' dtype."""
    return tl.dot(x, y, input_precision=PRECISION, out_dtype=x.dtype)


@triton.jit
def product_add(x, y, z, PRECISION: tl.constexpr):
    """``x @ y + z`` in the operands' dtype."""
    return tl.dot(x, y, z, input_precision=PRECISION, out_dtype=x.dtype)


@triton.jit
def power_of_two(exponent, DTYPE: tl.constexpr):
    """``2 ** exponent``, exactly, where that is a normal number: ``tl.exp2`` is approximate."""
    if DTYPE == tl.float64:
        return ((exponent.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    else:
        return ((exponent.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def log2(x):
    """Binary logarithm of ``x >= 0`` to float32's accuracy, for all exponents; at most the smallest exponent at 0."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
        exponent = (bits >> 52) - 1023
        mantissa = ((bits & 0xFFFFFFFFFFFFF) | (1023 << 52)).to(tl.float64, bitcast=True)
        return exponent.to(tl.float32) + tl.log2(mantissa.to(tl.float32))
    else:
        bits = x.to(tl.int32, bitcast=True)
        exponent = (bits >> 23) - 127
        return exponent.to(tl.float32) + tl.log2(((bits & 0x7FFFFF) | (127 << 23)).to(tl.float32, bitcast=True))
