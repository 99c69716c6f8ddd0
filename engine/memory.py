"""How much fits: memory at hand decides the size of pieces, never what is computed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TypeVar

import torch

log = logging.getLogger(__name__)
Result = TypeVar("Result")


def available_bytes(device: torch.device) -> int:
    """Free memory of a device, of the machine for the CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was short, on a GPU or on the CPU."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def in_pieces(count: int, size: int, compute: Callable[[slice], Result]) -> list[Result]:
    """Apply ``compute`` to consecutive slices of ``range(count)``, smaller ones where memory runs out.

    Args:
        count: length of the whole.
        size: length of the first piece; halved at every out-of-memory error and kept.
        compute: what to do with a slice; repeated for the halves after an error.

    Returns:
        The results, in order.
    """
    results, start, size = [], 0, max(1, size)
    while start < count:
        piece = slice(start, min(start + size, count))
        try:
            results.append(compute(piece))
        except Exception as error:
            if not is_out_of_memory(error) or size == 1:
                raise
            size = max(1, min(size, count - start) // 2)
            log.warning("out of memory: going on in pieces of %d pairs", size)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        start = piece.stop
    return results


def pairs_at_once(study, pairs: int, points: int) -> int:
    """How many pairs' paths are evaluated together: as many as half of the free memory, or ``memory_gb``, holds."""
    config, x = study.config, study.data.train.x
    budget = available_bytes(x.device) // 2 if config.memory_gb is None else int(config.memory_gb * 2**30)
    return max(1, min(pairs, budget // bytes_of_a_pair(study.network, len(x), points, x.element_size())))


def bytes_of_a_pair(network, samples: int, points: int, size: int) -> int:
    """What walking one pair takes: its two ends, its explicit points, and a block of activations and outputs."""
    numbers = network.parameters * (4 + 2 * points) + 4 * min(samples, 512) * sum(network.widths) + 2 * samples
    return numbers * size
