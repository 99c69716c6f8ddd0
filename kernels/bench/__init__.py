"""Timings side by side in one process: interleaved, medians and 20th/80th percentiles, against measured ceilings.

A suite is a module with ``comparisons(full, device)``, which yields ``Comparison``s.  ``python -m kernels.bench SUITE``
checks each for agreement of its providers, times it, prints one table and writes the record.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from .. import target

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_S = 2e-3  # a sample lasts at least so long, by repeating the call
# before each sample the same runs unsampled for so long: a core that was idle or at other work is slow at first
WARM_S = 2e-2
SLOW_S = 0.2  # what takes longer is not run twice before it is timed
SAMPLES = (3, 40)  # the fewest and the most samples of a provider
SIZE = {"cpu": 2048, "cuda": 8192}  # of the matrix product that measures a ceiling
# idle threads of OpenMP and of OpenBLAS (for 2^4 cycles in place of 2^26) wait without running
SLEEPING = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "4"}


@dataclass(frozen=True)
class Provider:
    """One way to compute it."""

    name: str
    run: Callable[[], object]
    items: int = 1  # that one call computes: times are given per item


@dataclass(frozen=True)
class Comparison:
    """Ways to compute the same, ours first."""

    shape: dict[str, object]  # the columns that say what is computed
    providers: Sequence[Provider]
    operations: float | None = None  # floating-point operations that one item needs
    bytes: float | None = None  # that one item must read and write
    ceiling: str | None = None  # the name of the rate that bounds it, a key of ``ceilings``
    # timed in turn with the others; its items are operations, at the rate of a ceiling
    yardstick: Provider | None = None
    verify: Callable[[], float] | None = None  # the largest relative difference between providers
    tolerance: float = 0.0
    seconds: float = 1.0  # all providers together, if their fewest samples allow
    notes: dict[str, object] = field(default_factory=dict)  # more columns of the record
    samples: dict[str, list[float]] | None = None  # seconds per item of each provider, where they were taken before


def idle_threads_sleep(module: str) -> None:
    """Start ``python -m MODULE`` again, and say so, unless idle threads leave the cores to those that are timed."""
    if any(os.environ.get(name) != value for name, value in SLEEPING.items()):
        print(
            "started again with", *(f"{name}={value}" for name, value in SLEEPING.items()), file=sys.stderr, flush=True
        )
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], {**os.environ, **SLEEPING})


CLOCKS = {"cpu": "wall clock", "cuda": "CUDA events"}


def sample(run: Callable[[], object], calls: int, device: torch.device) -> float:
    """Seconds a call of some in a row, by ``CLOCKS``.

    On a GPU from the first call's enqueuing, to a stream that is idle, to the end of the last one's work: not until the
    host has heard of it.
    """
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls
    with torch.cuda.device(device):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(calls):
            run()
        end.record()
        end.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def timed(providers: Sequence[Provider], seconds: float, device: torch.device) -> dict[str, list[float]]:
    """Seconds per item of every provider, sampled in turn so that all see the same disturbances, each warm.

    Args:
        providers: each is called before, which compiles what has to be.
        seconds: about how long it may take.
        device: where they work.

    Returns:
        A list of samples for each name.
    """
    first = {}
    for provider in providers:
        first[provider.name] = sample(provider.run, 1, device)
        if provider is providers[0] or first[provider.name] < SLOW_S:  # ours may have been compiling
            first[provider.name] = max(sample(provider.run, 1, device), 1e-7)
    calls = {name: max(1, round(SAMPLE_S / duration)) for name, duration in first.items()}
    warm = {name: int(WARM_S / duration) for name, duration in first.items()}
    a_round = sum((warm[name] + calls[name]) * duration for name, duration in first.items())
    samples: dict[str, list[float]] = {provider.name: [] for provider in providers}
    for _ in range(min(SAMPLES[1], max(SAMPLES[0], int(seconds / a_round)))):
        for provider in providers:
            if warm[provider.name]:
                sample(provider.run, warm[provider.name], device)
            duration = sample(provider.run, calls[provider.name], device)
            samples[provider.name].append(duration / provider.items)
    return samples


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which ``share`` of them lie, interpolated."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def ceilings(device: torch.device) -> dict[str, float]:
    """The rates of this machine, measured now: what a fraction is a fraction of.

    Args:
        device: whose.

    Returns:
        ``float32`` and ``float64``: operations a second of PyTorch's product of square matrices of order ``SIZE``; on a
        GPU ``3xtf32``: a third of those in TF32; ``bytes``: read and written a second by a copy of 256 MB; on a CPU
        with numba ``…_tiles``: operations a second of this package's own products at n = 64, on all threads at once,
        which PyTorch's product may not reach.
    """
    rates = {"float64": _product_rate(device, torch.float64), "float32": _product_rate(device, torch.float32)}
    if device.type == "cuda":
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        rates["3xtf32"] = _product_rate(device, torch.float32) / 3
        torch.set_float32_matmul_precision(before)
    source = torch.zeros(2**25, dtype=torch.float64, device=device)
    sink = torch.empty_like(source)
    [samples] = timed([Provider("copy", lambda: sink.copy_(source))], 0.5, device).values()
    rates["bytes"] = 2 * source.numel() * 8 / statistics.median(samples)
    for dtype in (torch.float64, torch.float32):
        if (product := yardstick(device, dtype)) is not None:
            [samples] = timed([product], 0.3, device).values()
            rates[str(dtype).removeprefix("torch.") + "_tiles"] = 1 / min(samples)
    return rates


def _product_rate(device: torch.device, dtype: torch.dtype) -> float:
    size = SIZE[device.type]
    a, b = torch.randn(2, size, size, dtype=dtype, device=device)
    out = torch.empty_like(a)
    [samples] = timed([Provider("product", lambda: torch.mm(a, b, out=out))], 1.5, device).values()
    return 2 * size**3 / min(samples)


def ceiling(device: torch.device, dtype: torch.dtype) -> str:
    """The rate that bounds networks' products by default."""
    three = device.type == "cuda" and dtype == torch.float32
    return "3xtf32" if three else str(dtype).removeprefix("torch.")


def yardstick(device: torch.device, dtype: torch.dtype) -> Provider | None:
    """This package's own products on all threads of a CPU with numba."""
    if device.type != "cpu" or target.numba_missing() is not None:
        return None
    from .product import on_all_threads

    return Provider("product", *on_all_threads(dtype))


def rows(comparison: Comparison, rates: dict[str, float], device: torch.device) -> list[dict]:
    """One row for each provider of a comparison, timed now.

    Args:
        comparison: what to time.
        rates: of ``ceilings``.
        device: of both.

    Returns:
        Rows with the comparison's shape, times in microseconds per item, ``ratio`` (a provider's time over ours, the
        median over rounds), and where operations are given ``gflops`` and shares of the ceilings: ``share_tiles`` of
        the yardstick's rate in the same rounds, where there is one.

    Raises:
        ArithmeticError: the providers disagree: nothing wrong is timed.
    """
    if comparison.verify is not None and not (off := comparison.verify()) <= comparison.tolerance:
        raise ArithmeticError(f"{comparison.shape}: providers differ by {off:.1e}, expected {comparison.tolerance:.0e}")
    ours, *theirs = comparison.providers
    standard = [comparison.yardstick] if comparison.yardstick else []
    samples = comparison.samples or timed([ours, *standard, *theirs], comparison.seconds, device)
    units = samples.pop(comparison.yardstick.name) if standard else []
    ours = samples[ours.name]
    found = []
    for name, times in samples.items():
        median = statistics.median(times)
        row = {
            **comparison.shape,
            "provider": name,
            "median_us": 1e6 * median,
            "p20_us": 1e6 * percentile(times, 0.2),
            "p80_us": 1e6 * percentile(times, 0.8),
            "samples": len(times),
            "ratio": statistics.median([theirs / our for theirs, our in zip(times, ours, strict=True)]),
            **comparison.notes,
        }
        if comparison.operations:
            row["gflops"] = comparison.operations / median / 1e9
            for ceiling in (comparison.ceiling, f"{comparison.ceiling}_tiles"):
                if ceiling in rates:
                    row["share" if ceiling == comparison.ceiling else "share_tiles"] = (
                        comparison.operations / median / rates[ceiling]
                    )
        if standard:
            shares = (comparison.operations * unit / time for unit, time in zip(units, times, strict=True))
            row["share_tiles"] = statistics.median(shares)
        if comparison.bytes:
            row["gbytes"] = comparison.bytes / median / 1e9
            row["share_bytes"] = comparison.bytes / median / rates["bytes"]
        found.append(row)
    return found


def table(records: Sequence[dict]) -> str:
    """The rows as aligned text: every column that any of them has, not cut at any width."""
    columns = list(dict.fromkeys(column for record in records for column in record))

    def cell(value) -> str:
        return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)

    cells = [columns, *([cell(record.get(column)) for column in columns] for record in records)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    words = [all(isinstance(record.get(column, ""), str) for record in records) for column in columns]

    def line(texts) -> str:
        fields = zip(texts, widths, words, strict=True)
        return "  ".join(text.ljust(width) if word else text.rjust(width) for text, width, word in fields).rstrip()

    return "\n".join(map(line, cells))


def device_name(device: torch.device) -> str:
    """What the record is named after: the GPU, or the CPU and its number of threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {target.threads()} threads"


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def circumstances(device: torch.device) -> dict:
    """Machine, versions, commit and date of a record."""
    versions = {"python": platform.python_version()}
    for package in ("torch", "triton", "numba", "numpy", "scipy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return {
        "command": shlex.join(["python", "-m", "kernels.bench", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": None if changed is None else bool(changed),
        "device": device_name(device),
        "clock": CLOCKS[device.type],
        "threads": target.threads(),
        "environment": {name: os.environ.get(name) for name in SLEEPING},
        "versions": versions,
    }


def write(suite: str, device: torch.device, record: dict, folder: Path) -> Path:
    """Write ``SUITE_DEVICE_YYYY-MM.json`` into ``folder``, in place of one of the same name."""
    words = "".join(c if c.isalnum() else " " for c in record["device"].lower().replace("(r)", "").replace("(tm)", ""))
    path = folder / f"{suite}_{'-'.join(words.split())}_{record['date'][:7]}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path


def run(suite: str, comparisons: Iterable[Comparison], device: torch.device, folder: Path) -> Iterator[str]:
    """Time the comparisons of a suite one after the other and write the record.

    Args:
        suite: its name.
        comparisons: what to time.
        device: where.
        folder: for the record.

    Yields:
        Lines to print: the circumstances, progress, the table, the record's path.
    """
    record: dict = circumstances(device)
    settings = ", ".join(f"{name}={value}" for name, value in record["environment"].items())
    yield f"{suite} on {record['device']}, {record['clock']}, {settings}"
    rates = record["ceilings"] = ceilings(device)
    yield "measured now: " + ", ".join(f"{name} {rate / 1e9:.3g} G/s" for name, rate in rates.items())
    results: list[dict] = record.setdefault("rows", [])
    for comparison in comparisons:
        found = rows(comparison, rates, device)
        results += found
        shape = " ".join(map(str, comparison.shape.values()))
        yield f"{shape}: " + ", ".join(f"{row['provider']} {row['median_us']:.3g} µs" for row in found)
    yield table(results)
    yield f"record: {write(suite, device, record, folder)}"
