"""Functions of register tiles within units in the last place of 50-digit values, and numpy's special values."""

import mpmath
import numpy as np
import pytest

from kernels import tile_math
from kernels.jit import kernel
from kernels.simd import LANES32, LANES64, row, store, tile

LANES = {np.float32: LANES32, np.float64: LANES64}
DTYPES = [np.float32, np.float64]


@kernel
def exp_and_log(x, exp, log):
    """Of a multiple of the lanes."""
    like = tile(x.dtype.type(0), 1, 1)
    for j in range(0, x.shape[0], LANES32):  # the larger of the two counts of lanes
        for k in range(j, j + LANES32, LANES64 if x.itemsize == 8 else LANES32):
            store(exp, k, np.exp(row(x, k, like)))
            store(log, k, np.log(row(x, k, like)))


def values(x):
    padded = np.concatenate([x, np.ones(-len(x) % LANES32, x.dtype)])
    exp, log = np.empty_like(padded), np.empty_like(padded)
    exp_and_log(padded, exp, log)
    return exp[: len(x)], log[: len(x)]


@kernel
def curves(x, out):
    """Tanh, erf and the sigmoid of a multiple of the lanes."""
    like = tile(x.dtype.type(0), 1, 1)
    for k in range(0, x.shape[0], LANES64 if x.itemsize == 8 else LANES32):
        store(out[0], k, np.tanh(row(x, k, like)))
        store(out[1], k, tile_math.erf(row(x, k, like)))
        store(out[2], k, tile_math.sigmoid(row(x, k, like)))


def ulps(given, exact, dtype):
    """Errors in units in the last place of the exact value."""
    with mpmath.workdps(50):
        place = [np.spacing(max(abs(dtype(e)), np.finfo(dtype).tiny)) for e in exact]
        return max(abs((mpmath.mpf(float(g)) - e) / float(p)) for g, e, p in zip(given, exact, place, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_within_one_unit_in_the_last_place(dtype):
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    low, high = np.log(float(info.tiny)), np.log(float(info.max))
    x = np.concatenate([rng.uniform(low, high, 700), rng.normal(size=300), 1e-3 * rng.normal(size=100)]).astype(dtype)
    with mpmath.workdps(50):
        assert ulps(values(x)[0], [mpmath.exp(float(v)) for v in x], dtype) < 1
        y = np.exp(rng.uniform(low, high, 700)).astype(dtype)
        y = np.concatenate([y, (1 + 1e-2 * rng.normal(size=300)).astype(dtype), np.abs(x[-100:])])
        assert ulps(values(y)[1], [mpmath.log(float(v)) for v in y], dtype) < 1


@kernel
def powers(x, out):
    """``add_exp`` and ``power_of_two`` of a multiple of the lanes."""
    like = tile(x.dtype.type(0), 1, 1)
    for k in range(0, x.shape[0], LANES64 if x.itemsize == 8 else LANES32):
        store(out[0], k, tile_math.add_exp(like, row(x, k, like)))
        store(out[1], k, tile_math.power_of_two(row(x, k, like)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponentials_beside_one_are_exact_to_half_a_step_of_one(dtype):
    rng = np.random.default_rng(2)
    strange = np.array([0x7FC00000, 0xFFC00000, 0x7FC00001, 0x7FFFFFFF], np.uint32).view(np.float32).astype(dtype)
    x = np.concatenate([-rng.uniform(0, 2, 480), -rng.exponential(20, 480), [0.0, -0.0, -1e3, -1e30, -np.inf] * 12])
    x = np.concatenate([x, np.full(4, np.nan)]).astype(dtype)
    x[-4:] = strange
    both = np.empty((2, len(x)), dtype)
    powers(x, both)
    out = both[0]
    exact = np.exp(x[:-4].astype(np.longdouble))
    assert np.abs(out[:-4] - exact).max() < 0.8 * np.finfo(dtype).eps
    assert (out[x == 0] == 1).all()
    assert np.isnan(out[-4:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_are_numpys(dtype):
    info = np.finfo(dtype)
    ends = [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, -1.0, info.max, -info.max, info.tiny, info.smallest_subnormal]
    edge = float(np.log(info.smallest_subnormal))
    x = np.array([*ends, edge + 0.1, edge - 1, -1e4, 1e4, float(np.log(info.max)) + 0.1], dtype)
    with np.errstate(all="ignore"):
        for given, expected in zip(values(x), (np.exp(x), np.log(x)), strict=True):
            normal = np.abs(expected) >= info.tiny
            np.testing.assert_array_equal(np.isnan(given), np.isnan(expected))
            np.testing.assert_allclose(given[normal], expected[normal], rtol=2 * info.eps)
            few = ~normal & ~np.isnan(expected)  # zeros and subnormal numbers, exact to one step
            np.testing.assert_allclose(given[few], expected[few], rtol=0, atol=info.smallest_subnormal)


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_within_three_units_in_the_last_place(dtype):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-12, 12, 480), rng.normal(size=480), 1e-3 * rng.normal(size=64)]).astype(dtype)
    out = np.empty((3, len(x)), dtype)
    curves(x, out)
    with mpmath.workdps(50):
        exact = [mpmath.mpf(float(v)) for v in x]
        assert ulps(out[0], [mpmath.tanh(v) for v in exact], dtype) < 3
        assert ulps(out[1], [mpmath.erf(v) for v in exact], dtype) < 3
        assert ulps(out[2], [1 / (1 + mpmath.exp(-v)) for v in exact], dtype) < 3
    ends = np.zeros(LANES32, dtype)
    ends[:5] = -np.inf, np.inf, np.nan, -0.0, 300
    out = np.empty((3, len(ends)), dtype)
    curves(ends, out)
    np.testing.assert_array_equal(out[:, :5], [[-1, 1, np.nan, 0, 1], [-1, 1, np.nan, 0, 1], [0, 1, np.nan, 0.5, 1]])
    assert np.signbit(out[:2, 3]).all()


def test_the_coefficients_of_erfc_are_its_chebyshev_interpolation():
    """At Chebyshev nodes of [-1, 1] in v = 14.4 / (x + 3) - 2.6; the polynomials agree with e^(x²) erfc(x) there."""
    with mpmath.workdps(50):
        for v in (mpmath.cos(mpmath.pi * (k + 0.5) / 40) for k in range(40)):
            x = mpmath.mpf("14.4") / (v + mpmath.mpf("2.6")) - 3
            exact = mpmath.exp(x * x) * mpmath.erfc(x)
            assert (
                abs(mpmath.polyval(tile_math.ERFC64, v) - exact) < 5e-17
            )  # half units in the last place of the coefficients
            assert abs(mpmath.polyval(tile_math.ERFC32, v) - exact) < 1e-8


@kernel
def inverse_roots(x, out):
    for k in range(0, x.shape[0], LANES64):
        store(out, k, tile_math.inverse_root64(row(x, k, tile(0.0, 1, 1))))


def test_inverse_roots_within_two_units_in_the_last_place():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(1, 4, 960), np.exp(rng.uniform(-700, 700, 64))])
    out = np.empty_like(x)
    inverse_roots(x, out)
    with mpmath.workdps(50):
        assert ulps(out, [1 / mpmath.sqrt(float(v)) for v in x], np.float64) < 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_two_are_exact(dtype):
    limits = np.finfo(dtype)
    x = np.arange(limits.minexp, limits.maxexp)
    x = np.concatenate([x, np.zeros(-len(x) % LANES32)]).astype(dtype)
    both = np.empty((2, len(x)), dtype)
    powers(x, both)
    out = both[1]
    np.testing.assert_array_equal(out, np.ldexp(dtype(1), x.astype(int)))
