"""What this machine can do; the only file that asks.

CPU: whether numba can be used, how wide a vector register is and which tile of registers a product keeps its sums in.
GPU: whether Triton can be used, on a device or in its interpreter, and what the device offers.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import platform
from dataclasses import dataclass

import torch

log = logging.getLogger(__name__)


@functools.cache
def numba_missing() -> str | None:
    """Why numba's kernels cannot run here, or None where they can."""
    try:
        importlib.import_module("numba")
    except Exception as reason:  # numba refuses a numpy it does not know with errors of several kinds
        return f"numba cannot be imported ({type(reason).__name__}: {reason})"
    return None


@functools.cache
def say_once(message: str) -> None:
    """Log why something slower runs here, the first time."""
    log.info(message)


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


def whole_registers(count: int, dtype: torch.dtype) -> int:
    """The next number from ``count`` on that fills whole vector registers."""
    lanes = register_bytes() // dtype.itemsize
    return -(-count // lanes) * lanes


def product_tile() -> tuple[int, int]:
    """Rows and columns of registers that hold the sums of a matrix product.

    Two columns hide the latency of the multiply-adds behind each other; a broadcast number and the columns' operands
    need registers too, so 16 of 32 (AVX-512, ARM) or 8 of 16 (AVX, SSE) are left for sums: more spill.
    """
    return (8, 2) if _many_registers() else (4, 2)


def long_tile() -> int:
    """Columns of registers for sums of the same rows where these are long.

    Three need 11 loads for 24 multiply-adds, two 10 for 16: 1.08 times as fast.
    """
    return 3 if _many_registers() else 2


def _many_registers() -> bool:
    return register_bytes() == 64 or platform.machine().lower() in ("aarch64", "arm64")


def threads() -> int:
    """How many threads a kernel may use: as many as PyTorch."""
    return torch.get_num_threads()


@dataclass(frozen=True)
class Gpu:
    """What a launch of a Triton kernel has to know of the GPU it is for."""

    name: str  # sm_90, gfx942, interpreter
    backend: str  # cuda | hip, as Triton calls it
    arch: int | str  # 90 | gfx942
    warp: int  # threads
    shared_bytes: int  # the most that one program may take
    processors: int  # multiprocessors

    @property
    def fast_float64(self) -> bool:
        """Do its tensor cores multiply float64 at the rate of float32's ordinary multiply-adds, or nearly so?"""
        return self.arch in (80, 90, 100, "gfx90a", "gfx942")


# The most shared memory one program may take: CUDA C++ programming guide, table of compute capabilities (less the 1 kB
# a block of threads costs); AMD CDNA 3 ISA guide (LDS).  Processors: A100, H100/H200 SXM, B200, MI300X.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("sm_80", "cuda", 80, 32, 163 * 1024, 108),
        Gpu("sm_90", "cuda", 90, 32, 227 * 1024, 132),
        Gpu("sm_100", "cuda", 100, 32, 227 * 1024, 148),
        Gpu("gfx942", "hip", "gfx942", 64, 64 * 1024, 304),
    )
}


@functools.cache
def triton_missing() -> str | None:
    """Why Triton's kernels cannot be compiled here, or None where they can."""
    try:
        importlib.import_module("triton.language")
    except Exception as reason:  # a Triton that does not fit PyTorch or the platform fails with errors of several kinds
        return f"triton cannot be imported ({type(reason).__name__}: {reason})"
    return None


def interpreting() -> bool:
    """Do kernels run in Triton's interpreter, on CPU tensors (``TRITON_INTERPRET=1`` when Triton was imported)?"""
    if triton_missing() is not None:
        return False
    from triton import knobs

    return knobs.runtime.interpret


@functools.cache
def gpu_missing(device: torch.device) -> str | None:
    """Why Triton's kernels cannot run on tensors of ``device``, or None where they can."""
    if (reason := triton_missing()) is not None:
        return reason
    if device.type == "cpu" and interpreting():
        return None
    if device.type != "cuda":
        return f"Triton's kernels run on CUDA tensors, these are on {device.type}"
    return triton_unfit(gpu(device))


def triton_unfit(gpu: Gpu) -> str | None:
    """Why this Triton's kernels are not used on ``gpu``, or None where they are."""
    import triton

    if gpu.backend == "cuda" and gpu.arch < 80:
        return f"Triton's float64 products need compute capability 8.0, {gpu.name} has less"
    # before, what they are compiled to spills up to 20 kB a thread, and at n = 128 nothing is: no tensor cores
    if gpu.backend == "cuda" and gpu.arch >= 100 and triton_version() < (3, 8):
        return f"float64 products on {gpu.name} need Triton 3.8, this is {triton.__version__}"
    return None


def triton_version() -> tuple[int, ...]:
    """Major and minor number."""
    import triton

    return tuple(int(part) for part in triton.__version__.split(".")[:2])


@functools.cache
def gpu(device: torch.device) -> Gpu:
    """The GPU that runs kernels on tensors of ``device``; in the interpreter one that is treated as an H100."""
    if device.type == "cpu" and interpreting():
        return dataclasses.replace(GPUS["sm_90"], name="interpreter")
    made = torch.cuda.get_device_properties(device)
    if torch.version.hip is not None:
        arch = made.gcnArchName.split(":")[0]
        return Gpu(arch, "hip", arch, made.warp_size, 64 * 1024, made.multi_processor_count)
    arch = 10 * made.major + made.minor
    shared = made.shared_memory_per_block_optin
    return Gpu(f"sm_{arch}", "cuda", arch, made.warp_size, shared, made.multi_processor_count)


@functools.cache
def smallest_dot(gpu: Gpu, dtype: torch.dtype) -> int:
    """The smallest order of matrices that this Triton multiplies by ``tl.dot`` on ``gpu``; 16 before Triton 3.7."""
    if gpu.backend != "cuda":
        return 16
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.compiler import min_dot_size

    kind = {torch.float64: tl.float64, torch.float32: tl.float32}[dtype]
    return max(min_dot_size(GPUTarget("cuda", gpu.arch, gpu.warp))(kind, kind))
