"""The Triton kernel of the logarithm against SciPy and 50 digits: in the interpreter, and on a device."""

import warnings

import fifty_digits
import numpy as np
import pytest
import scipy.linalg
import torch
from cases import LOGM, NO_LOG, gaussian, rotation, spd

pytest.importorskip("triton")

import triton_laws

from kernels.logm import gpu

# What the kernel leaves to another route: it may not be wrong, and where it would be, it has to see that.
LEFT = {
    *(f"rotation-{gap:g}" for gap in (1e-2, 1e-3, 1e-4, 1e-6)),
    *("rotation-odd", "rotation-scaled", "spd-1e+06", "spd-1e+10", "hilbert", "non-normal", "frank"),
    *("graded", "graded-lower", "graded-wide"),
}
ORDINARY = ["rotation-1", "near-defective-full", "grcar", "exponential", "spd-100", "huge", "near-identity-1e-08"]
SLOW = pytest.mark.slow
SMALL = [name for name, a in LOGM.items() if len(a) <= 9]


def error(given, exact):
    return np.linalg.norm(np.asarray(given, np.float64) - exact) / np.linalg.norm(exact)


def assert_accurate(given, name):
    exact = fifty_digits.logm(LOGM[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = error(scipy.linalg.logm(LOGM[name]), exact)
    assert error(given, exact) <= 10 * theirs + 1e-13, f"{name}, SciPy's error {theirs}"


@pytest.mark.parametrize(
    "name", [*ORDINARY, *(pytest.param(name, marks=SLOW) for name in SMALL if name not in ORDINARY)]
)
def test_hard_matrices(launched, name):
    """With ``-m slow`` all of ``cases.LOGM`` up to n = 9, a minute in the interpreter."""
    out, left = launched(gpu.logm, torch.tensor(LOGM[name])[None])
    assert left.tolist() == [name in LEFT]
    if left:
        assert out.isnan().all()
    else:
        assert_accurate(out[0], name)


@pytest.mark.parametrize("name", NO_LOG)
def test_no_principal_logarithm(launched, name):
    """Never a plausible matrix: NaN, for certain where an entry is not finite, else left to decide."""
    a = torch.tensor(NO_LOG[name])
    out, left = launched(gpu.logm, torch.stack([a, torch.eye(len(a), dtype=a.dtype)]))
    assert out[0].isnan().all() and (out[1] == 0).all()
    assert left.tolist() == [bool(a.isfinite().all()), False]


def test_no_matrix_knows_its_neighbours(launched):
    a = torch.tensor(np.stack([scipy.linalg.expm(gaussian(5)), rotation(5, 1e-5), np.eye(5), 1e9 * spd(5, 10.0)]))
    a[2, 1, 1] = torch.nan
    together, left = launched(gpu.logm, a)
    assert left.tolist() == [False, True, False, False]
    alone = torch.cat([launched(gpu.logm, matrix[None])[0] for matrix in a])
    assert torch.equal(together.nan_to_num(7.0), alone.nan_to_num(7.0))


@pytest.mark.parametrize("n", [1, 2, 16, pytest.param(33, marks=SLOW), pytest.param(64, marks=SLOW)])
def test_the_exponential_of_the_logarithm(launched, n):
    a = torch.tensor(scipy.linalg.expm(gaussian(n, 2.0)))[None]
    out, left = launched(gpu.logm, a)
    assert not left.any()
    assert error(scipy.linalg.expm(out[0].numpy()), a[0].numpy()) <= 1e-13
    out, left = launched(gpu.logm, a.float())
    assert not left.any() and out.dtype == torch.float32
    assert error(out[0], scipy.linalg.logm(a[0].float().double().numpy())) <= 1e-7


@pytest.mark.parametrize("n", [3, pytest.param(66, marks=SLOW)])
def test_matrices_in_memory(launched, n):
    """The kernel for larger matrices, at a size that the interpreter can do."""
    ordinary = [scipy.linalg.expm(gaussian(n, norm)) for norm in (1e-9, 2.0)]
    a = torch.tensor(np.stack([ordinary[0], rotation(n, 1e-5), ordinary[1], -np.eye(n), np.full((n, n), np.inf)]))
    out, status = launched(triton_laws.logm_in_memory, a)
    assert status.tolist() == [0, 2, 0, 2, 1]
    assert out[[1, 3, 4]].isnan().all()
    for k, norm in ((0, 1e-9), (2, 2.0)):
        assert error(out[k], gaussian(n, norm)) <= 1e-13 + 1e-15 / norm  # the exponential is rounded beside I


def test_sizes_beyond_memory_are_left(launched):
    out, left = launched(gpu.logm, torch.eye(129)[None])
    assert left.all() and out.isnan().all()
    assert launched(gpu.logm, torch.ones(0, 3, 3))[0].shape == (0, 3, 3)
