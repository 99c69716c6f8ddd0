"""Memory of losses on straight lines beyond inputs and outputs: one call on many pairs and points, at every width."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import torch

from . import Comparison, Provider, ceiling, sample
from .paths import MANY, Case, operations, shape

PAIRS, DEPTH, WIDTHS = 1024, 3, (16, 64, 128, 256)


def peak(width: int, depth: int, dtype: str) -> tuple[float, float]:
    """MB of one call in this process, beyond what it held before, and seconds: by Linux's high-water mark."""
    case = Case(width, depth, PAIRS, MANY, getattr(torch, dtype), torch.device("cpu"))
    network = Case(width, depth, 1, 2, getattr(torch, dtype), torch.device("cpu"))
    network.kernels()  # compiles

    def status(field: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))

    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = status("VmRSS")
    seconds = sample(case.kernels, 1, case.x.device)
    return status("VmHWM") - before, seconds


def _device_peak(case: Case) -> tuple[float, float]:
    """MB of one call on a GPU, beyond what it held before, and seconds."""
    case.kernels()  # compiles
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    seconds = sample(case.kernels, 1, case.x.device)
    return (torch.cuda.max_memory_allocated() - before) / 1e6, seconds


def _memory(width, depth, dtype, device) -> Comparison:
    """Of the one call whose memory is measured, in a process of its own on a CPU: larger widths take a minute."""
    case = Case(width, depth, PAIRS, MANY, dtype, device)
    name = str(dtype).removeprefix("torch.")
    code = f"import json; from kernels.bench.memory import peak; print(json.dumps(peak({width}, {depth}, {name!r})))"
    if device.type == "cuda":
        peak_mb, seconds = _device_peak(case)
    else:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peak_mb, seconds = json.loads(done.stdout.splitlines()[-1])
    return Comparison(
        shape(width, depth, PAIRS, MANY, dtype),
        [Provider("kernels", case.kernels, PAIRS)],
        operations=operations(case.widths, MANY),
        ceiling=ceiling(device, dtype),
        notes={"peak_mb": peak_mb},
        samples={"kernels": [seconds / PAIRS]},
    )


def comparisons(full: bool, device: torch.device) -> Iterator[Comparison]:
    """Make the suite; on two cores it takes two minutes.

    Args:
        full: float64 too.
        device: of the networks.

    Yields:
        Comparisons of one provider with ``peak_mb``.
    """
    for dtype in (torch.float32, torch.float64) if full else (torch.float32,):
        for width in WIDTHS:
            yield _memory(width, DEPTH, dtype, device)
