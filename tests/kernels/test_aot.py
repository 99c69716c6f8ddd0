"""Compiling ahead of time: it must be what a launch compiles, and its report must see what does not fit."""

import struct

import pytest
import torch

triton = pytest.importorskip("triton")

from kernels import aot, machine_code, target  # noqa: E402
from kernels.expm import tables  # noqa: E402
from kernels.spec import Launch, Variant, aligned  # noqa: E402


@triton.jit(do_not_specialize=["m"])
def _kernel(x_ptr, y_ptr, z_ptr, n, one, m, big, N: triton.language.constexpr):
    pass


def test_a_launch_has_the_signature_that_triton_derives_from_its_arguments():
    """Against Triton's own binding of arguments, which needs no device."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import make_backend
    from triton.runtime.jit import create_function_from_signature

    arguments = {
        "x_ptr": aligned(torch.zeros(64, dtype=torch.float64)),
        "y_ptr": aligned(torch.zeros(64, dtype=torch.int32)[1:]),
        "z_ptr": None,
        "n": 48,
        "one": 1,
        "m": 16,
        "big": 2**31,
    }
    launch = Launch(_kernel, (1,), arguments, {"N": 32}, num_warps=4)
    types, constants, attributes = launch.signature()

    backend = make_backend(GPUTarget("cuda", 90, 32))
    bind = create_function_from_signature(_kernel.signature, _kernel.params, backend)
    bound, special, _ = bind(*arguments.values(), N=32)
    assert list(types.values()) == [kind for kind, _ in special]
    assert constants == {
        name: bound[name] for name, (kind, _) in zip(bound, special, strict=True) if kind == "constexpr"
    }
    parsed = [backend.parse_attr(key) if isinstance(key, str) else [] for _, key in special]
    assert attributes == {(place,): found for place, found in enumerate(parsed) if found}


LISTING = """
.L_x_0:
        /*0010*/                   LDS.128 R4, [R2] ;
        /*0018*/               @P2 BRA `(.L_x_2) ;
.L_x_1:
        /*0020*/                   DMMA.8x8x4 R8, R4, R6, R8 ;
        /*0030*/                   LDL R9, [R1] ;
        /*0040*/               @P0 BRA `(.L_x_1) ;
        /*0050*/                   FFMA R3, R3, R3, R3 ;
        /*0060*/              @!P1 BRA `(.L_x_0) ;
        /*0070*/                   EXIT ;
.L_x_2:
        /*0080*/                   SHFL R2, R2 ;
        /*0090*/                   BRA `(.L_x_1) ;
.L_x_3:
        /*00a0*/                   BRA `(.L_x_3);
"""  # from .L_x_2 on: code for a rare case, which jumps back and closes no loop; and what fills a kernel up


def test_innermost_loops_of_a_listing_are_found():
    operations, loops = machine_code.parse(LISTING)
    assert [operations[start:end] for start, end in loops] == [["DMMA.8x8x4", "LDL", "BRA"]]


@pytest.mark.parametrize(
    "operation, arch, cycles",
    [
        ("DMMA.8x8x4", 90, 8),  # 512 operations at 64 a cycle
        ("DMMA.8x8x4", 80, 16),
        ("HMMA.1688.F32.TF32", 80, 8),
        ("HMMA.16816.F32.BF16", 80, 8),
        ("HGMMA.64x64x8.F32.TF32", 90, 32),  # four sub-cores at once
        ("UTCHMMA.64x64x8.TF32", 100, 16),  # for all four warps of a program
        ("FFMA", 90, 0),
    ],
)
def test_cycles_of_tensor_cores(operation, arch, cycles):
    assert machine_code.tensor_cycles(operation, arch) == cycles


def loop(operations: list[str]) -> machine_code.Loop:
    return machine_code._loop(operations, 90)


def test_the_floor_is_the_share_of_the_busiest_pipe():
    assert loop(["DMMA.8x8x4"] * 4 + ["IADD3"] * 8).floor == 1
    assert loop(["DMMA.8x8x4"] + ["IADD3"] * 15).floor == 0.5  # 8 cycles of 16 that issue
    assert loop(["FFMA"] * 4 + ["LDS.128"]).floor == 0.25  # 16 cycles for 16 bytes of each lane
    assert loop(["UTCHMMA", "IADD3"]).floor is None  # no shape
    assert machine_code._loop(["DMMA.8x8x4"] * 4, 90, repeats=2).floor == 0.5  # half of the products, a second time


def test_a_descriptor_gives_the_shape_of_a_tensor_instruction():
    listing = "\n".join(
        f"        /*{i:04x}*/  {line} ;"
        for i, line in enumerate([
            "UMOV UR21, 0x4100910",  # 64 x 64, TF32
            "UTCHMMA tmem[UR23], gdesc[UR6], tmem[UR60], tmem[UR20], idesc[UR21], !UPT",
            "UMOV UR21, 0x4040490",  # 64 x 16, bfloat16
            "UTCHMMA tmem[UR23], gdesc[UR6], tmem[UR60], tmem[UR20], idesc[UR21], UPT",
        ])
    )
    assert machine_code.parse(listing)[0][1::2] == ["UTCHMMA.64x64x8.TF32", "UTCHMMA.64x16x16"]


@pytest.mark.parametrize(
    "stack, loop_stack, shared, word",
    [(256, 0, 232448, ""), (264, 0, 0, "bytes of stack"), (8, 1, 0, "in a loop"), (0, 0, 232449, "shared memory")],
)
def test_what_does_not_fit_fails_where_it_is_used_by_default(stack, loop_stack, shared, word):
    code = machine_code.Code(255, stack, 1, (loop(["DMMA.8x8x4"] + ["LDL"] * loop_stack),))
    for default in (True, False):
        job = aot.Job("kernel", Variant(torch.float64, {"n": 8}, default=default), target.GPUS["sm_90"])
        made = aot.Row(job, code, shared)
        assert made.failed == (bool(word) and default)
        assert word in str(made) and ("FAILS" in str(made)) == made.failed


def test_the_selection_of_ci_fits(capfd):
    """The command and its lines: two kernels, two targets, values that a launch needs."""
    select = ["expm n=8 points=1 sm_80", "logm n=8 sm_90"]
    status = aot.main([*(word for entry in select for word in ("--select", f"{entry} float64")), "--workers", "1"])
    lines = capfd.readouterr().out.splitlines()
    assert status == 0, lines
    found = [line for line in lines if not line.startswith("#")]
    assert len(found) == 4 and all("\t" not in line and "registers" in line and "floor" in line for line in found)
    assert not any(word in line for line in found for word in ("FAILS", "unknown", "tensor    0"))


def test_where_this_triton_does_not_fit_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(triton, "__version__", "3.6.0")
    assert "need Triton 3.8, this is 3.6.0" in target.triton_unfit(target.GPUS["sm_100"])
    assert {job.gpu.name for job in aot.jobs(False, [])} == {"sm_80", "sm_90"}
    monkeypatch.setattr(triton, "__version__", "3.10.1+git")
    assert {job.gpu.name for job in aot.jobs(False, [])} == {"sm_80", "sm_90", "sm_100"}
    old = target.Gpu("sm_75", "cuda", 75, 32, 64 * 1024, 72)
    assert "compute capability 8.0, sm_75 has less" in target.triton_unfit(old)


def test_coefficients_are_compiled_in_float64():
    """The interpreter cannot tell: compiled, a plain number in ``tl.where`` is rounded to float32."""
    spec = next(spec for spec in aot.specs() if spec.name == "expm")
    gpu = target.GPUS["sm_90"]
    ptx = aot.compiled(spec.launch(spec.variants[0], gpu), gpu).asm["ptx"].lower()
    for number in (*tables.B1, *tables.B2, *tables.B3, *tables.B4, *tables.B5):
        bits = struct.unpack("<Q", struct.pack("<d", number))[0]
        assert f"0d{bits:016x}" in ptx or str(bits) in ptx or f"0d{bits ^ 1 << 63:016x}" in ptx, number
