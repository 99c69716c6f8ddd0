"""Launching the tile kernel."""

from __future__ import annotations

from torch import Tensor

from .. import target
from ..memory import empty, plain
from ..threads import over_batch, share

PRODUCTS = 8  # of two matrices, what an exponential takes


def expm(a: Tensor, t: Tensor) -> Tensor:
    """Exponentials ``(B, T, n, n)`` for ``a`` ``(B, n, n)`` and ``t`` ``(1 or B, T)``, on the CPU."""
    from .. import lane_matrix
    from . import lanes, tiles

    (batch, n, _), points = a.shape, t.shape[1]
    out = empty(batch, points, n, n, dtype=a.dtype)
    chunk = share(batch * points, PRODUCTS * max(n, 8) ** 3)
    arrays = (
        plain(a).numpy(),
        plain(t).numpy(),
        out.numpy().reshape(batch * points, n, n),
    )
    if n <= lane_matrix.LARGEST and points == 1:
        over_batch(lanes.exponentials, batch, target.whole_registers(chunk, a.dtype), *arrays)
    else:  # the points of a matrix follow each other and share its powers
        over_batch(tiles.exponentials, batch * points, chunk, *arrays)
    return out
