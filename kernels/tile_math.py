"""``np.exp`` and ``np.log`` of register tiles inside kernels, in plain numba code.

Reduction to an interval around 0 and a truncated series there; errors below 1 ulp (tests/kernels/test_tile_math.py).
Rounding to an integer is done by adding 1.5 · 2^(mantissa bits): the low bits of the sum hold the integer, so that no
conversion between floats and 64-bit integers is needed, which AVX2 lacks.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from .jit import inline
from .simd import Tile, bits, fma

LOG2E = math.log2(math.e)
EXP32 = tuple(1 / math.factorial(k) for k in range(7, 1, -1))  # Taylor, |r| <= log(2)/2: next term 5e-9
EXP64 = tuple(1 / math.factorial(k) for k in range(13, 1, -1))  # next term 4e-18
LOG32 = tuple(2 / (2 * k + 1) for k in range(4, 0, -1))  # (2 atanh(s) - 2 s) / s in s², s² <= 0.0295
LOG64 = tuple(2 / (2 * k + 1) for k in range(11, 0, -1))
# log(2) in two parts (Cody & Waite 1980): the first has so few bits that its products with exponents are exact
LN2_HI32, LN2_LO32 = 0.693359375, math.log(2) - 0.693359375
LN2_HI64, LN2_LO64 = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")
MAGIC32, MAGIC64 = 1.5 * 2.0**23, 1.5 * 2.0**52
MAGIC32_BITS, MAGIC64_BITS = int(np.float32(MAGIC32).view(np.int32)), int(np.float64(MAGIC64).view(np.int64))
TINY32, TINY64 = float(np.finfo(np.float32).tiny), float(np.finfo(np.float64).tiny)
SQRT_HALF32 = int(np.float32(math.sqrt(0.5)).view(np.int32))
SQRT_HALF64 = int(np.float64(math.sqrt(0.5)).view(np.int64))


@inline
def polynomial(x, coefficients):
    """Horner's rule, the leading coefficient first; a tuple of constants unrolls."""
    value = fma(x, coefficients[0], coefficients[1])
    for c in coefficients[2:]:
        value = fma(value, x, c)
    return value


@inline
def exp32(x):
    """e^x of float32."""
    x = np.minimum(np.maximum(x, -104.0), 89.0)  # beyond: 0 and inf
    shifted = fma(x, LOG2E, MAGIC32)
    k = shifted - MAGIC32
    r = fma(k, -LN2_LO32, fma(k, -LN2_HI32, x))
    e = fma(r * r, polynomial(r, EXP32), r) + 1.0
    n = bits(shifted) - MAGIC32_BITS
    half = n >> 1  # in two factors, so that 2^n may be subnormal or overflow
    return e * bits((half + 127) << 23) * bits((n - half + 127) << 23)


@inline
def exp64(x):
    """e^x of float64."""
    x = np.minimum(np.maximum(x, -746.0), 710.0)
    shifted = fma(x, LOG2E, MAGIC64)
    k = shifted - MAGIC64
    r = fma(k, -LN2_LO64, fma(k, -LN2_HI64, x))
    e = fma(r * r, polynomial(r, EXP64), r) + 1.0
    n = bits(shifted) - MAGIC64_BITS
    half = n >> 1
    return e * bits((half + 1023) << 52) * bits((n - half + 1023) << 52)


@inline
def log32(x):
    """The natural logarithm of float32."""
    tiny = x < TINY32
    y = np.where(tiny, x * 2.0**25, x)
    e = (bits(y) - SQRT_HALF32) >> 23  # y = m 2^e, sqrt(1/2) <= m < sqrt(2)
    f = bits(bits(y) - (e << 23)) - 1.0
    k = bits(e + MAGIC32_BITS) - MAGIC32
    k = np.where(tiny, k - 25.0, k)
    s = f / (f + 2.0)
    z = s * s
    h = 0.5 * f * f
    value = fma(k, LN2_HI32, f - (h - fma(s, fma(z, polynomial(z, LOG32), h), k * LN2_LO32)))
    value = np.where(x < np.inf, value, x)  # also NaN
    return np.where(x > 0.0, value, np.where(x == 0.0, x * 0.0 - np.inf, x * np.nan))


@inline
def log64(x):
    """The natural logarithm of float64."""
    tiny = x < TINY64
    y = np.where(tiny, x * 2.0**54, x)
    e = (bits(y) - SQRT_HALF64) >> 52
    f = bits(bits(y) - (e << 52)) - 1.0
    k = bits(e + MAGIC64_BITS) - MAGIC64
    k = np.where(tiny, k - 54.0, k)
    s = f / (f + 2.0)
    z = s * s
    h = 0.5 * f * f
    value = fma(k, LN2_HI64, f - (h - fma(s, fma(z, polynomial(z, LOG64), h), k * LN2_LO64)))
    value = np.where(x < np.inf, value, x)
    return np.where(x > 0.0, value, np.where(x == 0.0, x * 0.0 - np.inf, x * np.nan))


def _on_tiles(function, single, double):
    @overload(function, jit_options={"forceinline": True})
    def choose(x):
        if isinstance(x, Tile):
            return (lambda x: single(x)) if x.dtype == types.float32 else (lambda x: double(x))
        return None


_on_tiles(np.exp, exp32, exp64)
_on_tiles(np.log, log32, log64)
