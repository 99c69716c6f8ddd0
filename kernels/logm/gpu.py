"""Logarithms on GPUs, one launch a call: in registers up to n = 64, over global memory up to 128."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import target
from ..spec import Launch, Spec, Variant, aligned
from . import gpu_registers, gpu_scratch


def in_registers(n: int, gpu: target.Gpu) -> bool:
    """Does one program hold a matrix of order ``n``?  At 64 the code for sm_80 spills in a loop."""
    return n <= (32 if gpu.arch == 80 else gpu_registers.ORDER)


def logm(a: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms ``(B, n, n)`` of ``a`` ``(B, n, n)``, and which entries ``(B,)`` another route has to decide.

    Those that have none for certain are NaN, those left to decide too; all are left where n is above 128.
    """
    status = torch.full((a.shape[0],), gpu_registers.LEFT.value, dtype=torch.int32, device=a.device)
    out = torch.full_like(a, math.nan, memory_format=torch.contiguous_format)
    if out.numel() and a.shape[-1] <= gpu_scratch.ORDER:
        gpu = target.gpu(a.device)
        if in_registers(a.shape[-1], gpu):
            gpu_registers.launch(aligned(a), out, status, gpu)()
        else:
            wide = torch.empty_like(out, dtype=torch.float64)
            gpu_scratch.launch(aligned(a.double()), wide, status, gpu, a.dtype)()
            out.copy_(wide)
    return out, status == gpu_registers.LEFT.value


def _example(variant: Variant, gpu: target.Gpu) -> Launch:
    n = variant.sizes["n"]
    a = torch.empty(10_000, n, n, dtype=variant.dtype, device="meta")
    status = a.new_empty(len(a), dtype=torch.int32)
    if in_registers(n, gpu):
        return gpu_registers.launch(a, torch.empty_like(a), status, gpu)
    return gpu_scratch.launch(a.double(), torch.empty_like(a, dtype=torch.float64), status, gpu, a.dtype)


def _flops(variant: Variant) -> float:
    """Of one matrix of moderate size: 8 inverses and 70 products, as exponentials of norms from 1 to 6 take."""
    return (8 + 70) * 2 * variant.sizes["n"] ** 3


def _bytes(variant: Variant) -> float:
    """The matrix and its logarithm."""
    return 2 * variant.sizes["n"] ** 2 * variant.dtype.itemsize


SPECS = (
    Spec(
        "logm",
        tuple(
            Variant(dtype, {"n": n}, precision="float64")
            for dtype, sizes in ((torch.float64, (8, 16, 32, 64, 128)), (torch.float32, (8, 16, 32, 64)))
            for n in sizes  # at 128 all is float64
        ),
        _example,
        _flops,
        _bytes,
    ),
)
