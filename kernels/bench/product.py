"""The rate of this package's own matrix product: a ceiling for kernels made of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..jit import kernel
from ..tile_matrix import aligned, product

N, ITEMS = 64, 200
OPERATIONS = 2 * N**3


@kernel
def _products(n, count, like):
    A, B, C = aligned(n * n, like).reshape(n, n), aligned(n * n, like).reshape(n, n), aligned(n * n, like).reshape(n, n)
    for _ in range(count):
        product(C, A, B, n)


def one_core(dtype: torch.dtype) -> Callable[[], None]:
    """A call that takes ``ITEMS`` products of order ``N``, all in the cache, on the calling thread."""
    like = torch.empty(0, dtype=dtype).numpy()
    return lambda: _products(np.int64(N), np.int64(ITEMS), like)
