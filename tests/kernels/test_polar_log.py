"""Logarithms of polar factors, also where there is no principal logarithm."""

import numpy as np
import pytest
import torch
from cases import NO_LOG, gaussian, orthogonal, rotation, spd

import kernels

ELEMENTS = {
    "two-negative": NO_LOG["two-negative"],
    "double-negative": NO_LOG["double-negative"],
    "minus-identity": NO_LOG["minus-identity"],
    "half-turn": NO_LOG["half-turn"] @ spd(6, 10.0),
    "near-half-turn": rotation(7, 1e-9) @ spd(7, 10.0),
    "rotation": orthogonal(5),
    "positive": spd(8, 1e6),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_factors(name):
    g = torch.tensor(ELEMENTS[name])
    log_q, log_p = kernels.polar_log(g)
    assert (log_q == -log_q.mT).all()
    torch.testing.assert_close(log_p, log_p.mT, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(kernels.expm(log_q) @ kernels.expm(log_p), g, rtol=0, atol=3e-14 * float(g.norm()))


def test_a_negative_determinant_is_refused():
    good = torch.eye(3, dtype=torch.float64)
    with pytest.raises(kernels.NoPrincipalLogarithm, match="determinant is not positive") as caught:
        kernels.polar_log(torch.stack([good, -good]))
    assert caught.value.indices.tolist() == [[1]]


def test_matrices_that_are_singular_to_rounding_have_factors_or_are_refused():
    draw = np.random.default_rng(3)
    for _ in range(200):
        n = int(draw.integers(2, 6))
        g = torch.tensor(draw.normal(size=(n, n - 1)) @ draw.normal(size=(n - 1, n)))
        try:
            log_q, log_p = kernels.polar_log(g)
        except kernels.NoPrincipalLogarithm:
            continue
        error = kernels.expm(log_q) @ kernels.expm(log_p) - g
        assert error.norm() <= 1e-12 * g.norm()


def test_derivatives():
    g = kernels.expm(torch.tensor(np.stack([gaussian(3), gaussian(3, 2.0)]))).requires_grad_()
    assert torch.autograd.gradcheck(kernels.polar_log, (g,))
    assert torch.autograd.gradgradcheck(kernels.polar_log, (g,))


def test_matrices_of_order_zero():
    assert [log.shape for log in kernels.polar_log(torch.empty(2, 0, 0))] == [(2, 0, 0)] * 2
