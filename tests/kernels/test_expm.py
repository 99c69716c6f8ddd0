"""The matrix exponential against SciPy and 50 digits, its curve, its derivatives."""

import functools

import fifty_digits
import numpy as np
import pytest
import scipy.linalg
import torch
from cases import EXPM, gaussian

import kernels

DTYPES = [torch.float64, torch.float32]
SMALL = [name for name, a in EXPM.items() if len(a) <= 16]


def error(given, exact):
    return np.linalg.norm(np.asarray(given, np.float64) - exact) / np.linalg.norm(exact)


@functools.cache
def exact(name, dtype):
    """To 50 digits, of the matrix as it is in this dtype."""
    return fifty_digits.expm(torch.tensor(EXPM[name], dtype=dtype).double().numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_hard_matrices(name, dtype):
    a = torch.tensor(EXPM[name], dtype=dtype)
    unit = torch.finfo(dtype).eps / 2
    theirs = error(scipy.linalg.expm(a.numpy()), exact(name, dtype))
    bound = 10 * theirs + 100 * unit * (1 + np.linalg.norm(a, 1))
    assert error(kernels.expm(a), exact(name, dtype)) <= bound, f"{name}, SciPy's error {theirs}"


def test_points_of_a_curve():
    a = torch.tensor(np.stack([gaussian(7, norm) for norm in (1e-8, 1.0, 300.0)]))
    t = torch.tensor([0.0, 1.0, 0.3, -2.0, 1e-9], dtype=torch.float64)
    curve = kernels.expm(a, t)
    assert (curve[:, 0] == torch.eye(7)).all()
    for k in range(5):
        torch.testing.assert_close(curve[:, k], kernels.expm(t[k] * a), rtol=1e-9, atol=1e-12)


def test_derivatives():
    a = torch.tensor(np.stack([gaussian(3), gaussian(3, 5.0)]), requires_grad=True)
    t = torch.tensor([0.0, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(kernels.expm, (a, t))
    assert torch.autograd.gradgradcheck(kernels.expm, (a, t))
