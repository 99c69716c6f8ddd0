"""What a Triton kernel is to those who launch it, compile it ahead of time, and measure it.

A ``gpu.py`` reads: kernel, the launch as a function of tensors and GPU, ``SPECS``.  ``Launch`` is one call of a kernel;
the public function runs it, ``aot`` asks it what Triton will compile for it, so both see the same machine code.
``Spec`` lists a kernel's variants with the work they do.  A launch without a GPU has tensors on the ``meta`` device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .target import Gpu

TYPES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.uint8: "u8",
    torch.bool: "i1",
}
ALIGNED = 16  # bytes, or the factor of an integer, on which Triton specialises


def aligned(tensor: Tensor) -> Tensor:
    """``tensor`` as a kernel takes it: contiguous and on a 16-byte boundary, copied only where it is not.

    A pointer that is not aligned would have Triton compile another, slower variant.
    """
    tensor = tensor.contiguous()
    return tensor if tensor.device.type == "meta" or tensor.data_ptr() % ALIGNED == 0 else tensor.clone()


@dataclass(frozen=True)
class Launch:
    """One call of a Triton kernel.

    ``arguments`` are those given at run time: tensors that ``aligned`` has seen, integers, or None for a tensor that is
    left out.  Numbers go in tensors: Triton rounds a Python float to float32.
    """

    kernel: object  # triton.JITFunction
    grid: tuple[int, ...]
    arguments: Mapping[str, Tensor | int | None]
    constants: Mapping[str, object]  # constexpr
    num_warps: int
    num_stages: int = 1  # deeper pipelines cost registers: a kernel that wants one says so
    options: Mapping[str, object] = field(default_factory=dict)  # other options of the compiler
    repeats: int = 1  # how often a program's warps compute one product, of which one is necessary

    @property
    def compiler_options(self) -> dict[str, object]:
        """Options of the compiler; multiply-adds are fused (Triton 3.10 no longer does so by itself)."""
        return {"num_warps": self.num_warps, "num_stages": self.num_stages, "enable_fp_fusion": True, **self.options}

    def __call__(self) -> None:
        """Enqueue the kernel on the current stream of the tensors' device; returns at once."""
        device = next(value.device for value in self.arguments.values() if isinstance(value, Tensor))
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            self.kernel[self.grid](**self.arguments, **self.constants, **self.compiler_options)

    def signature(self) -> tuple[dict[str, str], dict[str, object], dict[tuple[int], list]]:
        """What Triton derives from the arguments of this launch and compiles for.

        Returns:
            The type of each argument, the values of those that are constants, and the attributes by position: pointers
            and integers that are multiples of 16 are known to be, an integer 1 is a constant, unless the kernel says
            ``do_not_specialize``.
        """
        types, constants, attributes = {}, {}, {}
        values = {**self.arguments, **self.constants}
        for place, parameter in enumerate(self.kernel.params):
            name, value, watched = parameter.name, values[parameter.name], not parameter.do_not_specialize
            if isinstance(value, Tensor):
                types[name], multiple = "*" + TYPES[value.dtype], True
            elif parameter.is_constexpr or value is None or (watched and value == 1):
                types[name], constants[name], multiple = "constexpr", value, False
            else:
                types[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
                multiple = value % ALIGNED == 0
            if watched and multiple:
                attributes[place,] = [["tt.divisibility", ALIGNED]]
        return types, constants, attributes


@dataclass(frozen=True)
class Variant:
    """One of the machine codes of a kernel."""

    dtype: torch.dtype
    sizes: Mapping[str, int]  # what its launch depends on, as {"n": 32}; printed as it stands
    default: bool = True  # used where the caller chooses nothing: ``aot`` compiles it without ``--all``
    precision: str = "ieee"  # of products: "ieee", "tf32x3" or "tf32"


@dataclass(frozen=True)
class Spec:
    """A kernel, its variants and the work they do."""

    name: str
    variants: tuple[Variant, ...]
    launch: Callable[[Variant, Gpu], Launch]  # with tensors on the meta device
    flops: Callable[[Variant], float]  # that are necessary, for one matrix, or one pair and point
    bytes: Callable[[Variant], float]  # read and written in global memory, for the same
