"""Launching the tile kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import target
from ..threads import over_batch, share

PRODUCTS = 8  # of two matrices, what an exponential takes


def expm(a: Tensor, t: Tensor) -> Tensor:
    """Exponentials ``(B, T, n, n)`` for ``a`` ``(B, n, n)`` and ``t`` ``(1 or B, T)``, on the CPU."""
    from .. import lane_matrix
    from . import lanes, tiles

    n = a.shape[-1]
    out = torch.empty(a.shape[0] * t.shape[1], n, n, dtype=a.dtype)
    chunk = share(len(out), PRODUCTS * max(n, 8) ** 3)
    arrays = (tensor.detach().contiguous().numpy() for tensor in (a, t, out))
    if n <= lane_matrix.LARGEST and t.shape[1] == 1:
        over_batch(lanes.exponentials, len(out), target.whole_registers(chunk, a.dtype), *arrays)
    else:  # the points of a matrix follow each other and share its powers
        over_batch(tiles.exponentials, len(out), chunk, *arrays)
    return out.unflatten(0, (a.shape[0], t.shape[1]))
