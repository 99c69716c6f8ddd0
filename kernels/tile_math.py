"""``np.exp``, ``np.log``, ``np.tanh``, ``erf`` and more of register tiles inside kernels, in plain numba code.

Reduction to an interval around 0 and a truncated series there; errors below 1 ulp of ``exp`` and ``log`` and below 3 of
the others (tests/kernels/test_tile_math.py).
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
# 2^f, |f| <= 1/2: 1 + f times (2^f - 1) / f interpolated at Chebyshev's points; off by 7e-9 and 2e-17 as rounded
EXP2_32 = (
    0.0001545316294512069, 0.0013390863364671234, 0.009618082557277852, 0.05550357114219078,
    0.24022650760568126, 0.6931471880262288, 1.0,
)  # fmt: skip
EXP2_64 = (
    4.4549605981865186e-10, 7.072585949269223e-09, 1.0178062445845774e-07, 1.321544258792169e-06,
    1.525273382983612e-05, 0.0001540353044173605, 0.0013333558146416936, 0.009618129107606888,
    0.0555041086648216, 0.24022650695910097, 0.6931471805599453, 1.0,
)  # fmt: skip
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

# half the bits of x, negated, are those of x^(-1/2) but for this number and 3.5 % (Lomont 2003, for 64 bits)
INVERSE_ROOT64 = 0x5FE6EB50C7B537A9

ERF32, ERF64 = (
    tuple((-1) ** k * 2 / (math.sqrt(math.pi) * math.factorial(k) * (2 * k + 1)) for k in range(last, -1, -1))
    for last in (10, 18)  # Taylor of erf(x) / x in x², |x| <= 1: next terms 1e-9 and 2e-19
)
# e^(x²) erfc(x) on [1, 6] as a polynomial in 14.4 / (x + 3) - 2.6, in [-1, 1]: the first terms of its Chebyshev
# interpolation; those left out are below 4e-9 and 1e-18
ERFC32 = (
    -2.415798235233524e-06, 1.8485698092263192e-05, 0.0003315967333037406, 0.0024799825623631477,
    0.012713149189949036, 0.04969831183552742, 0.15436117351055145, 0.20798330008983612,
)  # fmt: skip
ERFC64 = (
    6.0857915906870915e-12, -6.047405945991704e-12, -2.571511429603255e-10, 2.6381508985080735e-10,
    1.1339538061744706e-08, 4.526700764248741e-09, -5.541274478467714e-07, -2.4255574719050315e-06,
    1.9563583246137112e-05, 0.0003316029605764125, 0.002479314697078186, 0.012713147695692198,
    0.04969844540339464, 0.15436117429436919, 0.20798329133342885,
)  # fmt: skip


@inline
def polynomial(x, coefficients):
    """Horner's rule, the leading coefficient first; a tuple of constants unrolls."""
    value = fma(x, coefficients[0], coefficients[1])
    for c in coefficients[2:]:
        value = fma(value, x, c)
    return value


@inline
def reduced32(x):
    """Numbers m and n, n an integer, with e^x = 2^n (1 + m) and |m| <= 0.42; float32."""
    shifted = fma(x, LOG2E, MAGIC32)
    k = shifted - MAGIC32
    r = fma(k, -LN2_LO32, fma(k, -LN2_HI32, x))
    return fma(r * r, polynomial(r, EXP32), r), bits(shifted) - MAGIC32_BITS


@inline
def exp32(x):
    """e^x of float32."""
    m, n = reduced32(np.minimum(np.maximum(x, -104.0), 89.0))  # beyond: 0 and inf
    half = n >> 1  # in two factors, so that 2^n may be subnormal or overflow
    return (m + 1.0) * bits((half + 127) << 23) * bits((n - half + 127) << 23)


@inline
def tanh32(x):
    """Hyperbolic tangent of float32, as (e^2|x| - 1) / (e^2|x| + 1) without the cancellation near 0."""
    m, n = reduced32(np.minimum(2.0 * abs(x), 44.0))
    scale = bits((n + 127) << 23)
    p = fma(scale, m, scale - 1.0)
    return np.copysign(p / (p + 2.0), x)


@inline
def erf32(x):
    """The error function of float32."""
    y = np.minimum(abs(x), 6.0)
    far = 1.0 - np.exp(-y * y) * polynomial(14.4 / (y + 3.0) - 2.6, ERFC32)
    return np.where(y < 1.0, x * polynomial(x * x, ERF32), np.copysign(far, x))


@inline
def reduced64(x):
    """Numbers m and n, n an integer, with e^x = 2^n (1 + m) and |m| <= 0.42; float64."""
    shifted = fma(x, LOG2E, MAGIC64)
    k = shifted - MAGIC64
    r = fma(k, -LN2_LO64, fma(k, -LN2_HI64, x))
    return fma(r * r, polynomial(r, EXP64), r), bits(shifted) - MAGIC64_BITS


@inline
def exp64(x):
    """e^x of float64."""
    m, n = reduced64(np.minimum(np.maximum(x, -746.0), 710.0))  # beyond: 0 and inf
    half = n >> 1  # in two factors, so that 2^n may be subnormal or overflow
    return (m + 1.0) * bits((half + 1023) << 52) * bits((n - half + 1023) << 52)


@inline
def tanh64(x):
    """Hyperbolic tangent of float64, as (e^2|x| - 1) / (e^2|x| + 1) without the cancellation near 0."""
    m, n = reduced64(np.minimum(2.0 * abs(x), 44.0))
    scale = bits((n + 1023) << 52)
    p = fma(scale, m, scale - 1.0)
    return np.copysign(p / (p + 2.0), x)


@inline
def erf64(x):
    """The error function of float64."""
    y = np.minimum(abs(x), 6.0)
    far = 1.0 - np.exp(-y * y) * polynomial(14.4 / (y + 3.0) - 2.6, ERFC64)
    return np.where(y < 1.0, x * polynomial(x * x, ERF64), np.copysign(far, x))


@inline
def add_exp32(total, x):
    """Return total + e^x of x <= 0 with the absolute error that rounding leaves in 1 + e^x; float32."""
    y = np.maximum(x, -87.0)  # from here on 2^n is no subnormal number
    shifted = fma(y, LOG2E, MAGIC32 + 127.0)
    n = shifted - (MAGIC32 + 127.0)
    return fma(polynomial(fma(y, LOG2E, -n), EXP2_32), bits(bits(shifted) << 23), total)


@inline
def add_exp64(total, x):
    """Return total + e^x of x <= 0 with the absolute error that rounding leaves in 1 + e^x; float64."""
    y = np.maximum(x, -708.0)
    shifted = fma(y, LOG2E, MAGIC64 + 1023.0)
    n = shifted - (MAGIC64 + 1023.0)
    return fma(polynomial(fma(y, LOG2E, -n), EXP2_64), bits(bits(shifted) << 52), total)


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


@inline
def inverse_root64(x):
    """x^(-1/2) of float64 > 0 that are no subnormal numbers, to 2 ulp: without the divider, for which others may wait.

    Steps by the series of (1 - h)^(-1/2), h = 1 - x y²: from 0.07 to 8e-7 to 0.
    """
    y = bits(INVERSE_ROOT64 - (bits(x) >> 1))
    h = fma(x * y, -y, 1.0)
    y = fma(y * h, fma(h, fma(h, fma(h, 35 / 128, 5 / 16), 3 / 8), 1 / 2), y)
    h = fma(x * y, -y, 1.0)
    return fma(y * h, fma(h, 3 / 8, 1 / 2), y)


@inline
def power32(x):
    """2^x of integers in float32."""
    return bits((bits(x + MAGIC32) - (MAGIC32_BITS - 127)) << 23)


@inline
def power64(x):
    """2^x of integers in float64."""
    return bits((bits(x + MAGIC64) - (MAGIC64_BITS - 1023)) << 52)


def power_of_two(x):
    """2^x exactly, of tiles of integers within the range of normal exponents."""


def add_exp(total, x):
    """Return total + e^x of x <= 0, of tiles in kernels, where the total is 1 or more: less work than ``np.exp``."""


def erf(x):
    """The error function, of tiles in kernels."""


@inline
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def _on_tiles(function, single, double):
    @overload(function, jit_options={"forceinline": True})
    def choose(x):
        if isinstance(x, Tile):
            return (lambda x: single(x)) if x.dtype == types.float32 else (lambda x: double(x))
        return None


@overload(add_exp, jit_options={"forceinline": True})
def _add_exp(total, x):
    if isinstance(x, Tile):
        single = x.dtype == types.float32
        return (lambda total, x: add_exp32(total, x)) if single else (lambda total, x: add_exp64(total, x))
    return None


_on_tiles(np.exp, exp32, exp64)
_on_tiles(np.log, log32, log64)
_on_tiles(np.tanh, tanh32, tanh64)
_on_tiles(erf, erf32, erf64)
_on_tiles(power_of_two, power32, power64)
