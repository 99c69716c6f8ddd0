"""Memory for the results of CPU kernels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGE = 2**22  # bytes from which on NumPy asks the system for large pages
LINE = 64  # bytes of a cache line


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor on the CPU that begins a cache line.

    A large one is NumPy's, which asks for large pages (``madvise``).  PyTorch does not, and waits for 250 page faults a
    megabyte, of nearly a microsecond each: a fifth of the time of 3000 exponentials of order 64.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return torch.empty(shape, dtype=dtype)
    buffer = np.empty(size + LINE, np.uint8)
    skip = -buffer.ctypes.data % LINE
    return torch.from_numpy(buffer[skip : skip + size]).view(dtype).view(shape)
