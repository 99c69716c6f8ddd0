"""Pieces of Triton kernels, each against plain PyTorch."""

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

import interpreted
import triton_laws


def test_a_norm_keeps_nan_and_infinity(launched):
    """``tl.max``, which it is made without, drops NaN."""
    x = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[1, 3, 5] = float("nan")
    x[2, 0, 0] = float("-inf")
    out = launched(triton_laws.norms, x)
    torch.testing.assert_close(out, torch.linalg.matrix_norm(x, 1), equal_nan=True, rtol=1e-15, atol=0)
    assert out[1].isnan() and out[2] == float("inf")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_powers_of_two_are_exact_and_logarithms_from_above(launched, dtype):
    most = 1022 if dtype == torch.float64 else 126
    exponents = torch.linspace(-most, most, 64).round().int()
    mantissas = 1 + torch.rand(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.ldexp(mantissas, exponents).to(dtype)
    logs, made = launched(triton_laws.powers, x, exponents)
    assert (made == torch.ldexp(torch.ones(64, dtype=dtype), exponents)).all()
    excess = logs.double() - torch.log2(x.double())
    assert excess.min() >= 0 - most * 2**-23 and excess.max() <= 0.0862 + most * 2**-23
    ends = torch.tensor([0.0, float("inf")] * 32, dtype=dtype)
    logs, _ = launched(triton_laws.powers, ends, exponents)
    assert (logs[0::2] < 1 - most).all() and (logs[1::2] > most).all()


def test_a_multiple_of_the_identity_is_not_rounded_to_float32(launched):
    number = 0.1 + 1e-12
    out = launched(triton_laws.identity_times, number, torch.zeros(16, 16, dtype=torch.float64))
    assert (out.numpy() == number * np.eye(16)).all()


def test_the_interpreter_of_these_tests_refuses_addresses_out_of_bounds(interpreter):
    x = torch.zeros(1, 8, 8, dtype=torch.float64)
    assert interpreter.submit(interpreted.call, triton_laws.norms, x).result() == 0
    with pytest.raises(Exception, match="192 of 256 addresses are in no tensor"):
        interpreter.submit(interpreted.call, triton_laws.norms, x.expand(4, 8, 8)).result()
