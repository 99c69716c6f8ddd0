"""Launching the kernels: symmetric positive definite matrices first, which take a tenth of the time, then the rest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import target
from ..memory import empty, plain
from ..threads import over_batch, share

PRODUCTS = 60  # of two matrices, what a logarithm takes
PRODUCTS_SYMMETRIC = 10  # and one of a symmetric matrix
LARGEST_SYMMETRIC = 128  # order; eight larger matrices side by side leave the second cache


def logm(a: Tensor) -> Tensor:
    """Logarithms ``(B, n, n)`` in the dtype of ``a``, computed in float64, NaN where there is none."""
    wide = plain(a.double())
    out = empty(*a.shape, dtype=torch.float64)
    left = _symmetric(wide, out)
    if left is None or left.all():
        _general(wide, out)
    elif left.any():
        rest = wide[left]
        logs = torch.empty_like(rest)
        _general(rest, logs)
        out[left] = logs
    return out.to(a.dtype)


def _symmetric(a: Tensor, out: Tensor) -> Tensor | None:
    """Logarithms of the positive definite of ``a`` into ``out``, and what is left ``(B,)``; None where it is all."""
    n, numbers = a.shape[-1], a.numpy()
    if not 1 < n <= LARGEST_SYMMETRIC or not (numbers[:, 0, -1] == numbers[:, -1, 0]).any():
        return None
    from . import symmetric

    left = np.empty(len(a), np.bool_)
    chunk = -(-share(len(a), PRODUCTS_SYMMETRIC * max(n, 8) ** 3) // symmetric.GROUP) * symmetric.GROUP
    over_batch(symmetric.logarithms, len(a), chunk, numbers, out.numpy(), left)
    return torch.from_numpy(left)


def _general(a: Tensor, out: Tensor) -> None:
    """Logarithms of ``a`` ``(B, n, n)`` into ``out``, whatever they are."""
    from .. import lane_matrix
    from . import lanes, tiles

    n = a.shape[-1]
    chunk = share(len(a), PRODUCTS * max(n, 8) ** 3)
    kernel = tiles.logarithms
    if n <= lane_matrix.LARGEST:
        kernel, chunk = lanes.logarithms, target.whole_registers(chunk, out.dtype)
    over_batch(kernel, len(a) if n else 0, chunk, a.numpy(), out.numpy())
