"""Launching the tile kernels: what they need beside the tensors, and their sums turned into losses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import errors, target
from ..threads import over_batch
from .blocks import scale
from .layout import TAIL, Layout, Samples, padded

NARROW_BYTES = 2**15  # of a layer's activations: two layers and some weights stay in the cache nearest to a core
WIDE_BYTES = 2**20  # of the first layer at the two ends of a line
PACKED_BYTES = 2**25  # of networks that are packed at once
WORK = 2**20  # multiplications worth handing to a thread


def unfit(x: Tensor) -> str | None:
    """Why the tile kernels cannot take these data, or None."""
    if x.dtype not in (torch.float32, torch.float64):
        return f"{x.dtype} has no tile kernels"
    return target.numba_missing()


class Problem:
    """Data, activation and losses as the kernels take them."""

    def __init__(self, widths, x: Tensor, y: Tensor, *, activation: str, skip: float, losses):
        self.layout = Layout.of(widths, skip, x.dtype)
        self.samples = Samples.of(x, y, widths[-1])
        self.losses, self.count = losses, x.shape[0]
        self.step = TAIL[1] * self.layout.lanes
        self.bytes = x.element_size()
        self.function = (errors.ACTIVATIONS.index(activation), float(skip), self._wanted())

    def _wanted(self) -> int:
        from . import tiles

        bit = {"cross_entropy": tiles.ENTROPY, "error_rate": tiles.ERROR}
        return sum({1 << bit.get(loss, tiles.SQUARED) for loss in self.losses})

    def at_once(self, budget: int, units: int) -> int:
        """Samples of so many units that take ``budget`` bytes, in whole tiles."""
        return min(self.samples.x.shape[1], padded(max(1, budget // (units * self.bytes)), self.step))

    @property
    def narrow(self) -> int:
        """Samples whose activations are held at once."""
        return self.at_once(NARROW_BYTES, max(self.layout.widths[1:]))

    @property
    def data(self) -> tuple[np.ndarray, ...]:
        """What every kernel takes."""
        s = self.samples
        return s.x, s.ones, s.targets, s.labels

    def chunk(self, points: int) -> int:
        """Entries of a batch, each of so many points, that are worth handing to a thread."""
        return max(1, WORK // (points * self.samples.x.shape[1] * self.layout.size))

    def values(self, sums: np.ndarray) -> list[Tensor]:
        """Losses from sums ``(..., SUMS)``, in the order they were asked for."""
        from . import tiles

        place = {"cross_entropy": tiles.ENTROPY, "error_rate": tiles.ERROR}
        outputs, dtype = self.layout.widths[-1], torch.from_numpy(self.samples.x).dtype
        return [
            torch.from_numpy(sums[..., place.get(loss, tiles.SQUARED)] * scale(loss, self.count, outputs)).to(dtype)
            for loss in self.losses
        ]


def widths_of(weights, x: Tensor) -> list[int]:
    """``[d_0, …, d_l]``."""
    return [x.shape[1], *(w.shape[-2] for w in weights)]


def pieces(count: int, numbers: int, itemsize: int):
    """Slices of ``range(count)`` whose networks, of so many numbers each, are packed at once."""
    size = max(1, PACKED_BYTES // (numbers * itemsize))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def part_of(layers, piece: slice):
    """The piece of each layer."""
    return None if layers is None else [layer[piece] for layer in layers]


def curve_loss(weights, x, y, *, biases, activation, skip, losses) -> list[Tensor]:
    """Losses ``(P, T)`` at explicit weights."""
    from . import tiles

    problem = Problem(widths_of(weights, x), x, y, activation=activation, skip=skip, losses=losses)
    layout, (pairs, points) = problem.layout, weights[0].shape[:2]
    sums = np.zeros((pairs, points, tiles.SUMS))
    for p in pieces(pairs, points * layout.size, x.element_size()):
        packed = layout.pack(part_of(weights, p), part_of(biases, p)).flatten(0, 1).numpy()
        out = sums[p].reshape(-1, tiles.SUMS)
        args = (out, packed, layout.table, layout.rows, problem.narrow, *problem.data, *problem.function)
        over_batch(tiles.network_sums, len(out), problem.chunk(1), *args)
    return problem.values(sums)


def path_loss(weights_a, weights_b, x, y, t, *, biases_a, biases_b, activation, skip, losses) -> list[Tensor]:
    """Losses ``(P, T)`` on straight lines at ``t`` ``(P, T)``."""
    from . import tiles

    problem = Problem(widths_of(weights_a, x), x, y, activation=activation, skip=skip, losses=losses)
    layout, (pairs, points) = problem.layout, t.shape
    sums = np.zeros((pairs, points, tiles.SUMS))
    parts = max(1, min(points, -(-4 * target.threads() // max(1, pairs))))
    wide = problem.at_once(WIDE_BYTES, 2 * layout.widths[1])
    for p in pieces(pairs, 2 * layout.size, x.element_size()):
        ends = [
            layout.pack(part_of(w, p), part_of(b, p)).numpy() for w, b in ((weights_a, biases_a), (weights_b, biases_b))
        ]
        scratch = (layout.table, layout.rows, problem.narrow, wide)
        args = (parts, sums[p], *ends, t[p].contiguous().numpy(), *scratch, *problem.data, *problem.function)
        over_batch(tiles.path_sums, (p.stop - p.start) * parts, problem.chunk(-(-points // parts)), *args)
    return problem.values(sums)
