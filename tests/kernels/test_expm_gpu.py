"""The Triton kernel of the exponential against SciPy and 50 digits: in the interpreter, and on a device."""

import fifty_digits
import numpy as np
import pytest
import scipy.linalg
import torch
from cases import EXPM, gaussian

pytest.importorskip("triton")

import triton_laws

from kernels.expm import gpu

DTYPES = [torch.float64, torch.float32]
ONE = torch.ones(1, 1)


def error(given, exact):
    return np.abs(np.asarray(given, np.float64) - exact).max() / np.abs(exact).max()  # no squares that overflow


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [name for name, a in EXPM.items() if len(a) <= 16])
def test_hard_matrices(launched, name, dtype):
    a = torch.tensor(EXPM[name], dtype=dtype)
    exact = fifty_digits.expm(a.double().numpy())
    theirs = error(scipy.linalg.expm(a.numpy()), exact)
    bound = 10 * theirs + 100 * torch.finfo(dtype).eps / 2 * (1 + np.linalg.norm(a, 1))
    ours = error(launched(gpu.expm, a[None], ONE.to(dtype))[0, 0], exact)
    assert ours <= bound, f"{name}, SciPy's error {theirs}"


NORMS = [1e-8, 1e-3, 0.04, 0.5, 1.0, 30.0, 1e3]


@pytest.mark.parametrize(
    "n, norm",
    [
        *((n, norm) for n in (1, 2, 7, 8, 9, 16, 33) for norm in NORMS),
        *((64, 30.0), (65, 1.0), (129, 1.0)),
        *(pytest.param(n, norm, marks=pytest.mark.slow) for n in (64, 65, 128) for norm in NORMS),
    ],
)
def test_sizes_and_norms(launched, n, norm):
    """On both sides of every degree's reach, with and without padding, several matrices a program and one."""
    a = torch.tensor(np.stack([gaussian(n, norm, name) for name in "ab"]))
    for dtype, unit in zip(DTYPES, (2**-53, 2**-24), strict=True):
        given = a.to(dtype)
        made = launched(gpu.expm, given, ONE.to(dtype))[:, 0]
        for ours, matrix in zip(made, given.double().numpy(), strict=True):
            exact = scipy.linalg.expm(matrix)
            if 0 < np.abs(exact).max() < torch.finfo(dtype).max:  # neither underflow nor overflow nor NaN
                assert error(ours, exact) <= 100 * unit * (1 + norm)


@pytest.mark.parametrize("n", [5, 12, pytest.param(66, marks=pytest.mark.slow)])
def test_no_matrix_knows_its_neighbours(launched, n):
    """One that needs scaling, one that overflows, NaN and infinity beside ordinary ones: the same bits as alone."""
    a = torch.tensor(np.stack([gaussian(n, norm) for norm in (1.0, 1e-9, 200.0, 0.03, 1.0, 1.0, 5.0, 1.0, 2.0, 1.0)]))
    a[5, 0, 1], a[7, 2, 2], a[8] = torch.nan, torch.inf, 1e4 * torch.eye(n)
    together = launched(gpu.expm, a, ONE.double())
    alone = torch.cat([launched(gpu.expm, matrix[None], ONE.double()) for matrix in a])
    assert torch.equal(together.nan_to_num(7.0), alone.nan_to_num(7.0))
    assert together[5].isnan().all() and together[7].isnan().all() and not together[8].isfinite().all()
    assert together[[0, 1, 2, 3, 4, 6, 9]].isfinite().all()


@pytest.mark.parametrize("n", [4, 16, pytest.param(100, marks=pytest.mark.slow)])
def test_points_of_a_curve(launched, n):
    a = torch.tensor(np.stack([gaussian(n, norm) for norm in (1e-8, 1.0, 300.0)]))
    t = torch.tensor([[0.0, 1.0, 0.3, -0.5, 1e-9]], dtype=torch.float64)
    curve = launched(gpu.expm, a, t)
    assert (curve[:, 0] == torch.eye(n)).all()
    for k in range(1, 5):
        separate = launched(gpu.expm, t[0, k] * a, ONE.double())[:, 0]
        gaps = torch.linalg.matrix_norm(curve[:, k] - separate) / torch.linalg.matrix_norm(separate)
        assert (gaps <= 100 * 2**-53 * (1 + torch.linalg.matrix_norm(t[0, k] * a, 1))).all()
    # times of their own for each matrix, the same as shared ones
    own = launched(gpu.expm, a, t.expand(3, -1) * torch.tensor([[1.0], [1.0], [0.5]], dtype=torch.float64))
    assert torch.equal(own[:2], curve[:2])
    assert torch.equal(own[2, 1], launched(gpu.expm, a[2:], torch.tensor([[0.5, 0.5]]).double())[0, 0])


def test_nilpotent_matrices_of_any_size(launched):
    """``exp(N) = I + N``: neither overflow nor scaling may lose it."""
    a = torch.zeros(5, 3, 3, dtype=torch.float64)
    a[:, 0, 2] = torch.tensor([1e-300, 1.0, 1e100, 1e200, 1e300], dtype=torch.float64)
    made = launched(gpu.expm, a, ONE.double())[:, 0]
    torch.testing.assert_close(made, torch.eye(3, dtype=torch.float64) + a, rtol=1e-15, atol=0)


def test_strides_and_alignment(launched):
    a = torch.tensor(np.stack([gaussian(6, 2.0, f"{k}") for k in range(4)]))
    wanted = launched(gpu.expm, a, ONE.double())
    shifted = torch.cat([torch.zeros(1).double(), a.flatten()])[1:].view_as(a)  # 8 bytes beyond a boundary
    assert torch.equal(launched(gpu.expm, shifted, ONE.double()), wanted)
    assert torch.equal(launched(gpu.expm, a.mT.contiguous().mT, ONE.double()), wanted)
    assert launched(gpu.expm, a[:0], ONE.double()).shape == (0, 1, 6, 6)


@pytest.mark.parametrize("n", [3, 8, 11, 67])
def test_nothing_is_written_outside(launched, n):
    a = torch.tensor(np.stack([gaussian(n, 1.0, f"{k}") for k in range(3)]))
    t = torch.tensor([[0.5, 1.0]], dtype=torch.float64)
    out, kept = launched(triton_laws.guarded_expm, a, t, -123.0)
    assert kept and (out != -123.0).all()
