"""Functions that the process of the interpreter imports: kernels that expose what Triton kernels share."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from kernels.expm import gpu as expm_gpu
from kernels.logm import gpu_scratch
from kernels.spec import aligned
from kernels.target import gpu
from kernels.triton_ops import log2_above, multiple, norm, power_of_two


@triton.jit
def _norms_kernel(x_ptr, out_ptr, B: tl.constexpr, N: tl.constexpr):
    stack, row, col = tl.arange(0, B)[:, None, None], tl.arange(0, N)[None, :, None], tl.arange(0, N)[None, None, :]
    tl.store(out_ptr + tl.arange(0, B), norm(tl.load(x_ptr + (stack * N + row) * N + col), 1))


def norms(x):
    """Norms ``(B,)`` of ``(B, N, N)``."""
    out = x.new_empty(len(x))
    _norms_kernel[(1,)](x, out, B=len(x), N=x.shape[-1])
    return out


@triton.jit
def _powers_kernel(x_ptr, exponent_ptr, log_ptr, power_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    x = tl.load(x_ptr + i)
    tl.store(log_ptr + i, log2_above(x))
    tl.store(power_ptr + i, power_of_two(tl.load(exponent_ptr + i), x.dtype))


def powers(x, exponents):
    """``log2_above`` of ``x`` and ``power_of_two`` of integers, both ``(N,)``."""
    logs, made = torch.empty(len(x), dtype=torch.float32, device=x.device), torch.empty_like(x)
    _powers_kernel[(1,)](x, exponents, logs, made, N=len(x))
    return logs, made


@triton.jit
def _multiple_kernel(out_ptr, N: tl.constexpr, NUMBER: tl.constexpr):
    row, col = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    tl.store(out_ptr + row * N + col, multiple(row == col, NUMBER, tl.float64))


def identity_times(number, like):
    """``number`` times the identity, shaped like a float64 matrix."""
    out = torch.empty_like(like)
    _multiple_kernel[(1,)](out, N=len(out), NUMBER=number)
    return out


def guarded_expm(a, t, sentinel):
    """Exponentials, and whether all numbers before and behind them kept the value that they had."""
    size = a.shape[0] * t.shape[1] * a.shape[1] * a.shape[2]
    room = torch.full((size + 1024,), sentinel, dtype=a.dtype, device=a.device)
    out = room[512 : 512 + size].view(a.shape[0], t.shape[1], *a.shape[1:])
    expm_gpu.launch(aligned(a), aligned(t), out, gpu(a.device))()
    return out, bool((room[:512] == sentinel).all() and (room[512 + size :] == sentinel).all())


def logm_in_memory(a):
    """Logarithms and status by the kernel for larger matrices, for float64 of any size up to its own."""
    out, status = torch.empty_like(a), torch.full((len(a),), -1, dtype=torch.int32, device=a.device)
    gpu_scratch.launch(aligned(a), out, status, gpu(a.device))()
    return out, status
