"""Register tiles against numpy, value by value, on this CPU and on the same CPU taken for one with AVX2 only."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core.errors import TypingError

from kernels import target
from kernels.jit import inline, kernel
from kernels.simd import (
    LANES32,
    LANES64,
    bits,
    block,
    column,
    fetch,
    fma,
    largest,
    over_rows,
    places,
    row,
    spread,
    store,
    tile,
    total,
    transpose,
)

AVX2 = {
    "NUMBA_CPU_NAME": "x86-64-v3",
    "NUMBA_CPU_FEATURES": "+sse,+sse2,+ssse3,+sse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+f16c",
}
LANES = {np.dtype(np.float32): LANES32, np.dtype(np.float64): LANES64}
DTYPES = [np.float32, np.float64]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-310, -1e-42, 1e-40, 3e38, -7.0, 0.1, 1e5]


def special(dtype, count, rng):
    """Ordinary and special values in random order, so that every pair of them meets somewhere."""
    with np.errstate(over="ignore"):
        pool = np.concatenate([np.array(SPECIAL), rng.standard_normal(len(SPECIAL))]).astype(dtype)
    return rng.choice(pool, count)


@kernel
def operators(x, y, z, out):
    """Every elementwise operation of 2 x 1 tiles."""
    a = block(x, (0, 0), tile(x.dtype.type(0), 2, 1))
    b, c = block(y, (0, 0), a), block(z, (0, 0), a)
    store(out[0], (0, 0), a + b)
    store(out[1], (0, 0), a - b)
    store(out[2], (0, 0), a * b)
    store(out[3], (0, 0), a / b)
    store(out[4], (0, 0), np.maximum(a, b))
    store(out[5], (0, 0), np.minimum(a, b))
    store(out[6], (0, 0), np.where(a < b, a, c))
    store(out[7], (0, 0), np.where(a != b, a, c))
    store(out[8], (0, 0), np.where(a == b, a, c))
    store(out[9], (0, 0), np.where(a >= b, 1.0 + 0.0 * c, 0.0 * c))
    store(out[10], (0, 0), abs(a))
    store(out[11], (0, 0), np.sqrt(a))
    store(out[12], (0, 0), np.floor(a))
    store(out[13], (0, 0), -a)
    store(out[14], (0, 0), np.copysign(a, b))
    store(out[15], (0, 0), bits((bits(a) >> 1) ^ (bits(b) << 2)))
    store(out[16], (0, 0), bits((bits(a) & bits(b)) | (bits(c) - 3 * bits(b))))
    store(out[17], (0, 0), fma(a, b, c))


def numpy_operators(a, b, c):
    """The same in numpy."""
    integer = np.dtype(f"i{a.itemsize}")
    i, j, k = a.view(integer), b.view(integer), c.view(integer)
    with np.errstate(all="ignore"):
        return [
            *(a + b, a - b, a * b, a / b, np.maximum(a, b), np.minimum(a, b)),
            *(np.where(a < b, a, c), np.where(a != b, a, c), np.where(a == b, a, c)),
            *(np.where(a >= b, 1 + 0 * c, 0 * c), abs(a), np.sqrt(a), np.floor(a), -a, np.copysign(a, b)),
            *(((i >> 1) ^ (j << 2)).view(a.dtype), ((i & j) | (k - 3 * j)).view(a.dtype)),
        ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_elementwise_operations_are_numpys(dtype):
    rng = np.random.default_rng(0)
    shape = (2, LANES[np.dtype(dtype)])
    for _ in range(50):
        x, y, z = (special(dtype, shape, rng) for _ in range(3))
        out = np.full((18, *shape), 99, dtype)
        operators(x, y, z, out)
        for place, expected in enumerate(numpy_operators(x, y, z)):
            np.testing.assert_array_equal(out[place], expected, err_msg=f"operation {place} of {x}, {y}, {z}")
        with np.errstate(all="ignore"):
            exact = x.astype(np.longdouble) * y + z
            np.testing.assert_allclose(out[17], exact.astype(dtype), rtol=4 * np.finfo(dtype).eps, atol=1e-30)


@inline
def outer(x, y, like):
    """Broadcasting: a column of numbers times a row of registers, less a plain number."""
    return column(x, (0, 0), like) * row(y, (0, 0), like) - 0.5


@kernel
def reductions(x, out, sums):
    """Loads of every kind, the reductions and the rows of a 3 x 2 tile, one spread over others."""
    zero = tile(x.dtype.type(0), 3, 2)
    values = block(x, (1, 1), zero)  # not aligned, not at the corner
    store(out, (0, 0), over_rows(np.add, values))
    store(out, (1, 0), over_rows(np.maximum, values))
    store(out, (2, 0), over_rows(np.minimum, values))
    store(out, (3, 0), places(values))
    store(out, (4, 0), outer(x, x, zero))
    store(out, (7, 0), spread(column(x, (0, 0), tile(x.dtype.type(0), 1, 1)), tile(x.dtype.type(0), 2, 2)))
    sums[0], sums[1], sums[2] = total(values), largest(values), len(values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loads_and_reductions(dtype):
    rng = np.random.default_rng(1)
    wide = 2 * LANES[np.dtype(dtype)]
    x = rng.standard_normal((5, wide + 3)).astype(dtype)
    out, sums = np.full((11, wide + 1), 99, dtype), np.zeros(3, dtype)
    reductions(x, out, sums)
    values = x[1:4, 1 : 1 + wide]
    np.testing.assert_allclose(out[0, :wide], values.sum(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out[1, :wide], values.max(0))
    np.testing.assert_array_equal(out[2, :wide], values.min(0))
    np.testing.assert_array_equal(out[3, :wide], np.arange(wide))
    np.testing.assert_array_equal(out[4:7, :wide], x[:3, :1] * x[:1, :wide] - dtype(0.5))
    np.testing.assert_array_equal(out[7:9, :wide], np.full((2, wide), x[0, 0]))
    np.testing.assert_allclose(sums, [values.sum(), values.max(), 3], rtol=1e-5, atol=1e-6)
    assert (out[9:] == 99).all() and (out[:, wide:] == 99).all()  # nothing beyond the tile is written
    x[2, 3] = np.nan
    reductions(x, out, sums)
    assert np.isnan(sums[:2]).all() and np.isnan(out[:3, 2]).all()


@kernel
def transposed(x, out):
    transpose(out, (2, 1), x, (1, 3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_square_of_registers_is_transposed_and_nothing_else_is_written(dtype):
    lanes = LANES[np.dtype(dtype)]
    x = np.random.default_rng(2).standard_normal((lanes + 2, lanes + 5)).astype(dtype)
    out = np.full((lanes + 4, lanes + 3), 99, dtype)
    transposed(x, out)
    expected = np.full_like(out, 99)
    expected[2 : 2 + lanes, 1 : 1 + lanes] = x[1 : 1 + lanes, 3 : 3 + lanes].T
    np.testing.assert_array_equal(out, expected)


@kernel
def fetched(x, i):
    fetch(x, (i, 0), tile(x.dtype.type(0), 2, 2))


def test_what_is_fetched_need_not_be_there():
    x = np.ones((2, 2 * LANES64))
    for i in (0, 2**40, -(2**40)):
        fetched(x, i)
    assert (x == 1).all()


def test_a_tile_needs_constant_sizes():
    @kernel
    def computed(x, n):
        store(x, (0, 0), tile(0.0, n, 1))

    with pytest.raises(TypingError, match="rows and cols must be numbers or global names"):
        computed(np.zeros((4, LANES64)), 4)


def test_register_and_tile_follow_the_cpu():
    assert target.register_bytes() == 4 * LANES32 == 8 * LANES64
    rows, cols = target.product_tile()
    assert rows * cols <= (16 if target.register_bytes() == 64 else 8) or "avx" not in target.cpu_features()
    if "NUMBA_CPU_FEATURES" in os.environ:  # the run as another CPU
        assert (target.register_bytes(), rows, cols) == (32, 4, 2)


@pytest.mark.skipif("NUMBA_CPU_FEATURES" in os.environ, reason="this is the run as another CPU")
@pytest.mark.skipif("avx2" not in target.cpu_features(), reason="needs AVX2")
def test_all_of_it_as_avx2():
    """The same files, compiled for 32-byte registers and the smaller tile."""
    files = [os.path.join(os.path.dirname(__file__), name) for name in ("test_simd.py", "test_tile_math.py")]
    environment = {**os.environ, **AVX2, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "pytest", "-n", "0", *files]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


@pytest.mark.slow  # compiles for two minutes: python -m pytest -m slow tests/kernels/test_simd.py
@pytest.mark.skipif("avx2" not in target.cpu_features(), reason="needs AVX2")
def test_matrix_functions_as_avx2(tmp_path):
    files = [os.path.join(os.path.dirname(__file__), name) for name in ("test_expm.py", "test_logm.py")]
    environment = {**os.environ, **AVX2, "PYTHONPATH": os.getcwd(), "NUMBA_CACHE_DIR": str(tmp_path)}
    selection = "hard or order or logarithm or entries or curve or inverse or root"
    command = [sys.executable, "-m", "pytest", "-q", "-k", selection, *files]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
