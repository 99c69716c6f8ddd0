"""The principal logarithm: hard matrices, matrices that have none, derivatives."""

import warnings

import fifty_digits
import numpy as np
import pytest
import scipy.linalg
import torch
from cases import LOGM, NO_LOG, gaussian

import kernels

SMALL = [name for name, a in LOGM.items() if len(a) <= 9]


def error(given, exact):
    return np.linalg.norm(given - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize("name", SMALL)
def test_hard_matrices(name):
    exact = fifty_digits.logm(LOGM[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = error(scipy.linalg.logm(LOGM[name]), exact)
    ours = error(kernels.logm(torch.tensor(LOGM[name])).numpy(), exact)
    assert ours <= 10 * theirs + 1e-13, f"{name}, SciPy's error {theirs}"


@pytest.mark.parametrize("name", sorted(LOGM.keys() - SMALL))
def test_the_exponential_of_the_logarithm(name):
    a = torch.tensor(LOGM[name])
    back = kernels.expm(kernels.logm(a))
    assert error(back.numpy(), LOGM[name]) <= 1e-13, name


@pytest.mark.parametrize("name", NO_LOG)
def test_no_principal_logarithm(name):
    a = torch.tensor(NO_LOG[name])
    good = torch.eye(len(a), dtype=a.dtype)
    with pytest.raises(kernels.NoPrincipalLogarithm, match="1 of 4 matrices, at \\(1, 0\\)") as caught:
        kernels.logm(torch.stack([good, 2 * good, a, good]).unflatten(0, (2, 2)))
    assert caught.value.indices.tolist() == [[1, 0]]
    out = kernels.logm(torch.stack([good, a]), check=False)
    assert (out[0] == 0).all() and out[1].isnan().all()


def test_derivatives():
    a = kernels.expm(torch.tensor(np.stack([gaussian(3), gaussian(3, 2.0)]))).requires_grad_()
    assert torch.autograd.gradcheck(kernels.logm, (a,))
    assert torch.autograd.gradgradcheck(kernels.logm, (a,))
