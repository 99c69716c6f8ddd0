"""The rate of this package's own matrix product: a ceiling for kernels made of it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from .. import target
from ..jit import kernel
from ..threads import SHARES, over_batch
from ..tile_matrix import aligned, product

N, ITEMS = 64, 200
OPERATIONS = 2 * N**3 * ITEMS  # of an entry


@kernel
def _products(start, stop, n, count, like):
    A, B, C = aligned(n * n, like).reshape(n, n), aligned(n * n, like).reshape(n, n), aligned(n * n, like).reshape(n, n)
    for _ in range((stop - start) * count):
        product(C, A, B, n)


def on_all_threads(dtype: torch.dtype) -> tuple[Callable[[], None], int]:
    """A call that multiplies matrices of order ``N``, all in the cache, on all threads at once; its operations."""
    like, entries = torch.empty(0, dtype=dtype).numpy(), SHARES * target.threads()
    call = functools.partial(over_batch, _products, entries, 1, np.int64(N), np.int64(ITEMS), like)
    return call, entries * OPERATIONS
