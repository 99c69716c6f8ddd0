"""Exponentials on GPUs, one launch a call: in registers up to n = 64, over global memory up to 128, else by batches."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import target
from ..spec import Launch, Spec, Variant, aligned
from . import gpu_registers, gpu_scratch
from .blocks import expm as whole_batches


def launch(a: Tensor, t: Tensor, out: Tensor, gpu: target.Gpu, precision: str | None = None) -> Launch:
    """The call that writes ``exp(t_k a)`` into ``out``; arguments as in ``gpu_registers``, n at most 128."""
    if a.shape[-1] <= gpu_registers.ORDER:
        return gpu_registers.launch(a, t, out, gpu, precision)
    return gpu_scratch.launch(a, t, out, gpu)


def expm(a: Tensor, t: Tensor) -> Tensor:
    """Exponentials ``(B, T, n, n)`` for ``a`` ``(B, n, n)`` and ``t`` ``(1 or B, T)``."""
    if a.shape[-1] > gpu_scratch.ORDER:
        return whole_batches(a, t)
    out = a.new_empty(a.shape[0], t.shape[1], *a.shape[1:])
    if out.numel():
        launch(aligned(a), aligned(t), out, target.gpu(a.device))()
    return out


def _example(variant: Variant, gpu: target.Gpu) -> Launch:
    n, points = variant.sizes["n"], variant.sizes["points"]
    a = torch.empty(10_000, n, n, dtype=variant.dtype, device="meta")
    return launch(a, a.new_empty(1, points), a.new_empty(len(a), points, n, n), gpu, variant.precision)


def _flops(variant: Variant) -> float:
    """Of one matrix whose norm needs no squaring; each squaring adds a product."""
    return (3 + 2 * variant.sizes["points"]) * 2 * variant.sizes["n"] ** 3


def _bytes(variant: Variant) -> float:
    """The matrix and its exponentials."""
    return (1 + variant.sizes["points"]) * variant.sizes["n"] ** 2 * variant.dtype.itemsize


def _variants(dtype: torch.dtype, precision: str) -> list[Variant]:
    sizes = [{"n": n, "points": points} for points in (1, 25) for n in (8, 16, 32, 64)]
    return [Variant(dtype, size, default=precision == "float64", precision=precision) for size in sizes]


SPECS = (
    Spec(
        "expm",
        (
            *_variants(torch.float64, "float64"),
            *_variants(torch.float32, "float64"),
            *_variants(torch.float32, "ieee"),
            *_variants(torch.float32, "tf32x3"),
        ),
        _example,
        _flops,
        _bytes,
    ),
    Spec(
        "expm_scratch",
        tuple(Variant(dtype, {"n": 128, "points": 1}, precision="float64") for dtype in (torch.float64, torch.float32)),
        _example,
        _flops,
        _bytes,
    ),
)
