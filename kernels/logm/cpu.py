"""Launching the tile kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import target
from ..memory import empty
from ..threads import over_batch, share

PRODUCTS = 60  # of two matrices, what a logarithm takes


def logm(a: Tensor) -> Tensor:
    """Logarithms ``(B, n, n)`` in the dtype of ``a``, computed in float64, NaN where there is none."""
    from .. import lane_matrix
    from . import lanes, tiles

    n = a.shape[-1]
    out = empty(*a.shape, dtype=torch.float64)
    chunk = share(len(a), PRODUCTS * max(n, 8) ** 3)
    kernel = tiles.logarithms
    if n <= lane_matrix.LARGEST:
        kernel, chunk = lanes.logarithms, target.whole_registers(chunk, out.dtype)
    over_batch(kernel, len(a) if n else 0, chunk, a.detach().double().contiguous().numpy(), out.numpy())
    return out.to(a.dtype)
