"""``python -m kernels.aot``: compile every Triton kernel without a GPU and print what its machine code takes.

One line a variant and target: registers of a thread, bytes of stack (spilled registers) and how often its loops touch
it, shared memory of a program, tensor-core instructions, and the static floor of the hot loop (``machine_code``): a
bound, not a measurement; a product that several warps compute counts once.  The variants are those that a launch
compiles, attributes of the arguments included.  The exit status is 1 if a variant that is used by default does not
compile, has more than 256 bytes of stack, any stack in a loop that does arithmetic, or more shared memory than the
target has, which the compiler does not check.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import machine_code, target
from .spec import Launch, Spec, Variant

STACK_BYTES = 256  # the most: registers that are spilled once, outside loops, cost little
NVIDIA = ("sm_80", "sm_90", "sm_100")


def specs() -> list[Spec]:
    """The specs of all kernels: ``SPECS`` of every ``gpu.py`` in a folder of this package."""
    folders = sorted(file.parent.name for file in Path(__file__).parent.glob("*/gpu.py"))
    return [spec for name in folders for spec in importlib.import_module(f"{__package__}.{name}.gpu").SPECS]


@dataclass(frozen=True)
class Job:
    """One variant of one kernel for one target."""

    kernel: str
    variant: Variant
    gpu: target.Gpu

    @property
    def name(self) -> str:
        """Kernel, sizes, dtype, precision and target: what ``--select`` searches."""
        sizes = [f"{key}={value}" for key, value in self.variant.sizes.items()]
        dtype = str(self.variant.dtype).removeprefix("torch.")
        return " ".join([self.kernel, *sizes, dtype, self.variant.precision, self.gpu.name])


@dataclass(frozen=True)
class Row:
    """What the machine code of one variant takes on one target, or why there is none."""

    job: Job
    code: machine_code.Code | None = None
    shared_bytes: int = 0
    error: str = ""

    @property
    def faults(self) -> list[str]:
        """Why it should not be used by default."""
        if self.code is None:
            return [self.error]
        return [
            *([f"more than {STACK_BYTES} bytes of stack"] if self.code.stack_bytes > STACK_BYTES else []),
            *(["stack in a loop"] if self.code.loop_stack else []),
            *(["more shared memory than the target has"] if self.shared_bytes > self.job.gpu.shared_bytes else []),
        ]

    @property
    def failed(self) -> bool:
        """Is it used by default all the same?  AMD's GPUs are compiled for, not tuned for."""
        return self.job.variant.default and self.job.gpu.name in NVIDIA and bool(self.faults)

    def __str__(self) -> str:
        parts = [f"{self.job.name:60s}"]
        if self.code is not None:
            loop = self.code.hot
            parts += [
                f"registers {self.code.registers:3d}",
                f"stack {self.code.stack_bytes:4d} ({self.code.loop_stack} in loops)",
                f"shared {self.shared_bytes:6d}",
                f"tensor {self.code.tensor_instructions:4d}",
                f"floor {loop.floor:.2f} of {loop.worker}" if loop and loop.floor is not None else "floor unknown",
            ]
        if self.faults:
            parts.append(f"{'FAILS' if self.failed else 'does not fit'}: {'; '.join(self.faults)}")
        return "  ".join(parts)


def compiled(launch: Launch, gpu: target.Gpu):
    """The kernel that a launch on ``gpu`` would run, as Triton compiles it."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source, of = ASTSource(launch.kernel, *launch.signature()), GPUTarget(gpu.backend, gpu.arch, gpu.warp)
    with triton.knobs.compilation.scope():
        triton.knobs.compilation.disable_line_info = True  # which nobody reads here, and takes a tenth of the time
        return triton.compile(source, target=of, options=launch.compiler_options)


def row(job: Job) -> Row:
    """Compile one variant for one target and read its machine code."""
    spec = next(spec for spec in specs() if spec.name == job.kernel)
    try:
        launch = spec.launch(job.variant, job.gpu)
        made = compiled(launch, job.gpu)
    except Exception as reason:  # the compiler's errors are of many kinds; each belongs in its line
        root = reason.__cause__ or reason  # Triton wraps what happened in the source around it
        lines = [line.strip() for line in str(root).splitlines() if line.strip("^ ")]
        return Row(job, error=f"{type(root).__name__}: {lines[-1] if lines else ''}")
    if job.gpu.backend == "cuda":
        code = machine_code.nvidia(made.asm["cubin"], job.gpu.arch, made.metadata.num_warps, launch.repeats)
    else:
        code = machine_code.amd(made.asm["amdgcn"])
    return Row(job, code, made.metadata.shared)


def jobs(everything: bool, select: list[str]) -> list[Job]:
    """What to compile: all variants or those used by default, with all the words of one entry of ``select`` each.

    None for GPUs on which this Triton's kernels are not used.
    """
    gpus = [gpu for gpu in target.GPUS.values() if everything or gpu.name in NVIDIA]
    gpus = [gpu for gpu in gpus if target.triton_unfit(gpu) is None]
    every = [Job(s.name, v, gpu) for s in specs() for v in s.variants if everything or v.default for gpu in gpus]
    return [job for job in every if not select or any(set(e.split()) <= set(job.name.split()) for e in select)]


def rows(work: list[Job], workers: int) -> Iterator[Row]:
    """Compile in so many processes.

    Yields:
        The rows in the order of ``work``, each as soon as it and those before it are there.
    """
    if workers <= 1 or len(work) <= 1:
        yield from map(row, work)
        return
    # spawned: a forked child of a process with PyTorch's threads may hang
    with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(row, work)


def main(arguments: list[str]) -> int:
    """The command line without its first word; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kernels.aot", description=__doc__.split("\n\n")[0])
    parser.add_argument("--all", action="store_true", help="every variant, and gfx942 too")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that compile")
    selecting = "only lines with all of these words, as 'expm n=32 sm_90'; may be repeated"
    parser.add_argument("--select", action="append", default=[], metavar="WORDS", help=selecting)
    options = parser.parse_args(arguments)
    if (missing := target.triton_missing()) is not None:
        parser.error(missing)
    if target.interpreting():
        parser.error("TRITON_INTERPRET is set, which leaves nothing to compile; unset it")
    import triton

    if not (work := jobs(options.all, options.select)):
        parser.error(f"no variant has the words {' or '.join(map(repr, options.select))}")
    print(f"# python -m kernels.aot {' '.join(arguments)}".rstrip() + f" (Triton {triton.__version__})")
    print("# static bounds, read from machine code; nothing here was measured; stack and shared in bytes", flush=True)
    for unfit in filter(None, map(target.triton_unfit, target.GPUS.values())):
        print(f"# not compiled, as kernels are not used there: {unfit}", flush=True)
    start, failed = time.monotonic(), 0
    for made in rows(work, options.workers):
        print(made, flush=True)
        failed += made.failed
    print(f"# {len(work)} lines, {failed} that fail and are used by default, {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
