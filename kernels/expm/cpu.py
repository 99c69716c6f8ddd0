"""Launching the tile kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from ..threads import over_batch, share

PRODUCTS = 8  # of two matrices, what an exponential takes


def expm(a: Tensor, t: Tensor) -> Tensor:
    """Exponentials ``(B, T, n, n)`` for ``a`` ``(B, n, n)`` and ``t`` ``(1 or B, T)``, on the CPU."""
    from . import tiles

    n = a.shape[-1]
    out = torch.empty(a.shape[0] * t.shape[1], n, n, dtype=a.dtype)
    chunk = share(len(out), PRODUCTS * max(n, 8) ** 3)
    arrays = (tensor.detach().contiguous().numpy() for tensor in (a, t, out))
    over_batch(tiles.exponentials, len(out), chunk, *arrays)
    return out.unflatten(0, (a.shape[0], t.shape[1]))
