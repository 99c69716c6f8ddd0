"""What this machine can do; the only file that asks.

CPU: whether numba can be used, how wide a vector register is and which tile of registers a product keeps its sums in.
"""

from __future__ import annotations

import functools
import importlib
import platform

import torch


@functools.cache
def numba_missing() -> str | None:
    """Why numba's kernels cannot run here, or None where they can."""
    try:
        importlib.import_module("numba")
    except Exception as reason:  # numba refuses a numpy it does not know with errors of several kinds
        return f"numba cannot be imported ({type(reason).__name__}: {reason})"
    return None


@functools.cache
def cpu_features() -> frozenset[str]:
    """The instruction sets that numba compiles for: those of this CPU, or of ``NUMBA_CPU_FEATURES``."""
    import numba
    from llvmlite.binding import get_host_cpu_features

    flags = numba.config.CPU_FEATURES
    if flags is None:
        flags = "" if numba.config.CPU_NAME == "generic" else get_host_cpu_features().flatten()
    return frozenset(flag[1:] for flag in flags.split(",") if flag.startswith("+"))


def register_bytes() -> int:
    """Width of a vector register."""
    features = cpu_features()
    return 64 if "avx512f" in features else 32 if "avx" in features else 16


def product_tile() -> tuple[int, int]:
    """Rows and columns of registers that hold the sums of a matrix product.

    Two columns hide the latency of the multiply-adds behind each other; a broadcast number and the columns' operands
    need registers too, so 16 of 32 (AVX-512, ARM) or 8 of 16 (AVX, SSE) are left for sums: more spill.
    """
    many = register_bytes() == 64 or platform.machine().lower() in ("aarch64", "arm64")
    return (8, 2) if many else (4, 2)


def threads() -> int:
    """How many threads a kernel may use: as many as PyTorch."""
    return torch.get_num_threads()
