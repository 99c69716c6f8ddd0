"""Reading the machine code of GPUs: resources, loops, and what bounds each loop.

The floor of a loop is a static bound: for each pipe of one of an NVIDIA SM's four sub-cores, the cycles that its
instructions need at the data sheet's rate.  Latency, bank conflicts, caches and occupancy only add to it, and rates may
not be reached.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass

TENSOR, FMA, F64 = "tensor", "fma", "f64"

# Floating-point operations of one sub-core in a cycle, multiply and add counted apart, and cycles of a warp's
# instruction: white papers of A100 (2020), H100 (2022) and B200 (2024), CUDA C++ programming guide, section 8.4.1.
TF32_RATE = {80: 256, 90: 512, 100: 1024}  # float16 and bfloat16 twice
DMMA_RATE = {80: 32, 90: 64, 100: 32}
F64_CYCLES = {80: 4, 90: 2, 100: 2}
FMA_CYCLES = {80: 2, 90: 1, 100: 1}
MUFU_CYCLES = 8
SHARED_CYCLES = 4  # for 4 bytes of each lane: the four sub-cores share 128 bytes a cycle

OLD_SHAPES = {"1688": (16, 8, 8), "16816": (16, 8, 16), "884": (8, 8, 4)}
PIPES = {
    TENSOR: ("HMMA", "DMMA", "HGMMA", "UTCHMMA"),
    F64: ("DFMA", "DADD", "DMUL", "DSETP"),
    FMA: ("FFMA", "FFMA2", "FADD", "FADD2", "FMUL", "FMUL2"),
    "shared": ("LDS", "STS", "LDSM", "STSM", "SHFL", "MOVM", "LDTM", "STTM"),
    "mufu": ("MUFU",),
    "stack": ("LDL", "STL"),
}
PIPE = {name: pipe for pipe, names in PIPES.items() for name in names}


@dataclass(frozen=True)
class Loop:
    """An innermost loop with arithmetic in it, or a whole kernel that has none."""

    instructions: int
    tensor_instructions: int
    stack_instructions: int  # reads and writes of spilled registers
    cycles: dict[str, float]  # by pipe
    repeats: int = 1  # how often arithmetic is done of which once is necessary

    @property
    def worker(self) -> str:
        """The pipe that does the arithmetic: tensor cores where they are used."""
        return max((TENSOR, FMA, F64), key=lambda pipe: (pipe == TENSOR and self.cycles[pipe] > 0, self.cycles[pipe]))

    @property
    def floor(self) -> float | None:
        """The arithmetic pipe's necessary cycles over the busiest pipe's: the best share of its peak, if known."""
        unknown = self.tensor_instructions and not self.cycles[TENSOR]
        return None if unknown else self.cycles[self.worker] / self.repeats / max(self.cycles.values())


@dataclass(frozen=True)
class Code:
    """What one kernel's machine code takes."""

    registers: int
    stack_bytes: int
    tensor_instructions: int
    loops: tuple[Loop, ...]  # none where they are not read: AMD

    @property
    def hot(self) -> Loop | None:
        """The loop with the most work for tensor cores, else the most arithmetic, else the longest."""
        order = [(loop.cycles[TENSOR], loop.cycles[loop.worker], loop.instructions) for loop in self.loops]
        return self.loops[order.index(max(order))] if order else None

    @property
    def loop_stack(self) -> int:
        """Reads and writes of the stack inside innermost loops that do arithmetic."""
        return sum(loop.stack_instructions for loop in self.loops)


def tensor_cycles(operation: str, arch: int, warps: int = 4) -> float:
    """Cycles of a sub-core's tensor core for one instruction and one of the program's warps, by its shape.

    A warp issues HMMA and DMMA for itself, four warps HGMMA together, one UTCHMMA for all ``warps`` of the program.
    """
    kind, *rest = operation.split(".")
    if kind not in ("HMMA", "DMMA", "HGMMA", "UTCHMMA") or not rest:
        return 0.0
    m, n, k = OLD_SHAPES.get(rest[0]) or tuple(map(int, rest[0].split("x")))
    sharing = {"HGMMA": 4, "UTCHMMA": warps}.get(kind, 1)
    rate = DMMA_RATE[arch] if kind == "DMMA" else TF32_RATE[arch] * (1 if "TF32" in operation else 2)
    return 2 * m * n * k / sharing / rate


def _shape(descriptor: int) -> str:
    """Shape and dtype in an instruction descriptor of UTCHMMA (PTX ISA 8.6, section on ``tcgen05`` descriptors)."""
    m, n, tf32 = (descriptor >> 24 & 31) * 16, (descriptor >> 17 & 63) * 8, descriptor >> 7 & 7 == 2
    return f"{m}x{n}x8.TF32" if tf32 else f"{m}x{n}x16"


def _shared_cycles(operation: str) -> float:
    """Cycles of the shared-memory pipe, from the width in the mnemonic."""
    words = {"64": 2, "128": 4, "2": 2, "4": 4, "x2": 2, "x4": 4}
    return SHARED_CYCLES * next((words[part] for part in operation.split(".")[1:] if part in words), 1)


def _loop(operations: list[str], arch: int, warps: int = 4, repeats: int = 1) -> Loop:
    pipes = Counter(PIPE.get(operation.split(".")[0], "other") for operation in operations)
    return Loop(
        instructions=len(operations),
        tensor_instructions=pipes[TENSOR],
        stack_instructions=pipes["stack"],
        cycles={
            TENSOR: sum(tensor_cycles(operation, arch, warps) for operation in operations),
            "issue": len(operations),
            "shared": sum(_shared_cycles(o) for o in operations if PIPE.get(o.split(".")[0]) == "shared"),
            F64: F64_CYCLES[arch] * pipes[F64],
            FMA: FMA_CYCLES[arch] * pipes[FMA],
            "mufu": MUFU_CYCLES * pipes["mufu"],
        },
        repeats=repeats,
    )


def parse(listing: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Operations of an ``nvdisasm -c`` listing, and the ranges of its innermost loops.

    UTCHMMA gets its shape as the others have it, from the constant that was last put in its descriptor's register.
    """
    operations, labels, jumps, ends, constants = [], {}, {}, set(), {}
    for line in listing.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label[1]] = len(operations)
        elif found := re.match(r"\s+(?:/\*\w+\*/)?\s*(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?);", line):
            condition, operation, operands = found.groups()
            if condition is None and operation in ("BRA", "EXIT"):
                ends.add(len(operations))
            if operation.startswith("BRA") and (goal := re.search(r"\.L_x_\d+", operands)):
                jumps[len(operations)] = goal[0]
            if constant := re.match(r"UMOV (UR\d+), (0x[0-9a-f]+)$", f"{operation} {operands.strip()}"):
                constants[constant[1]] = int(constant[2], 16)
            if (register := re.search(r"idesc\[(UR\d+)\]", operands)) and register[1] in constants:
                operation += "." + _shape(constants[register[1]])
            operations.append(operation)
    before = [[] for _ in operations]  # the places from which control comes
    for place in range(len(operations)):
        if place in jumps:
            before[labels[jumps[place]]].append(place)
        if place not in ends and place + 1 < len(operations):
            before[place + 1].append(place)
    loops = []
    for place, goal in jumps.items():
        start = labels[goal]
        if start < place and 0 not in _leading(before, place, start):
            loops.append((start, place + 1))
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return operations, inner


def _leading(before: list[list[int]], place: int, start: int) -> set[int]:
    """Places from which control gets to ``place`` without passing ``start``.

    The entry is among them where a jump back from ``place`` to ``start`` closes no loop: code for rare cases stands
    behind the rest of a kernel and jumps back into it.
    """
    found, waiting = {start}, [place]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += before[here]
    return found - {start} if start else found


def nvidia(cubin: bytes, arch: int, warps: int, repeats: int = 1) -> Code:
    """Read a compiled kernel of programs of so many warps, which repeat products, by the tools in Triton's wheel."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()

        def run(tool, *options):
            return subprocess.run([tool.path, *options, file.name], capture_output=True, text=True, check=True).stdout

        usage = re.search(r"REG:(\d+) STACK:(\d+)", run(knobs.nvidia.cuobjdump, "--dump-resource-usage"))
        operations, ranges = parse(run(knobs.nvidia.nvdisasm, "-c", "--no-dataflow"))
    whole = _loop(operations, arch, warps, repeats)
    loops = [_loop(operations[start:end], arch, warps, repeats) for start, end in ranges]
    loops = [loop for loop in loops if loop.tensor_instructions or loop.cycles[loop.worker]]
    return Code(int(usage[1]), int(usage[2]), whole.tensor_instructions, tuple(loops) or (whole,))


def amd(assembly: str) -> Code:
    """Read what LLVM writes beside a kernel's assembly."""
    number = dict(re.findall(r"\.(vgpr_count|private_segment_fixed_size):\s*(\d+)", assembly))
    tensor = len(re.findall(r"\bv_s?mfma", assembly))
    return Code(int(number["vgpr_count"]), int(number["private_segment_fixed_size"]), tensor, ())
