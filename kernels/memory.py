"""Tensors that CPU kernels read and memory for their results."""

from __future__ import annotations

import contextlib
import math
import mmap
import weakref
from collections import deque

import numpy as np
import torch
from torch import Tensor

LARGE = 2**22  # bytes from which on a result has pages of its own
PAGE = 2**21  # bytes of a large page
LINE = 64  # bytes of a cache line
KEPT, MOST = 2, 2**29  # blocks that wait for another result, and the bytes of each

_waiting: deque[mmap.mmap] = deque(maxlen=KEPT)  # its methods are atomic: a tensor may be freed anywhere, by any thread


def plain(a: Tensor) -> Tensor:
    """The tensor as kernels read it: numbers in order, without strides, signs to flip or a gradient."""
    return a.detach().resolve_neg().contiguous()


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor on the CPU that begins a cache line.

    A large one lies in large pages, and in those of an earlier one that is no longer referred to.  PyTorch's would wait
    for 250 page faults a megabyte, of nearly a microsecond each: a fifth of the time of 3000 exponentials of order 64;
    new large pages, which the system fills with zeros, a tenth.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return torch.empty(shape, dtype=dtype)
    if not hasattr(mmap, "MADV_FREE") or not hasattr(mmap, "MADV_HUGEPAGE"):
        buffer = np.empty(size + LINE, np.uint8)
        skip = -buffer.ctypes.data % LINE
        return torch.from_numpy(buffer[skip : skip + size]).view(dtype).view(shape)
    block = _waiting_block(size) or _new_block(size)
    buffer = np.frombuffer(block, np.uint8, size)
    weakref.finalize(buffer, _give_back, block).atexit = False  # when the tensor's storage, which holds it, is freed
    return torch.from_numpy(buffer).view(dtype).view(shape)


def _new_block(size: int) -> mmap.mmap:
    block = mmap.mmap(-1, -(-size // PAGE) * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a system without large pages
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _waiting_block(size: int) -> mmap.mmap | None:
    """A block for so many bytes, no more than twice as large."""
    with contextlib.suppress(IndexError):  # another thread took the last
        for _ in range(len(_waiting)):
            block = _waiting.popleft()
            if size <= len(block) <= 2 * size + PAGE:
                return block
            _waiting.append(block)
    return None


def _give_back(block: mmap.mmap) -> None:
    """Keep it for another result; the system may take its pages meanwhile, and does before it runs out of memory."""
    if len(block) <= MOST:
        with contextlib.suppress(OSError):
            block.madvise(mmap.MADV_FREE)
            _waiting.append(block)
