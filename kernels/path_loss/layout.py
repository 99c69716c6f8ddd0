"""How networks and data lie in memory for the tile kernels: units in rows, samples in lanes.

A network is one row of numbers: for each layer its weights, row by row, then its biases.  Rows of weights are padded
with zeros to whole registers, and the units of a layer to whole tiles, so that no loop has a remainder; kernels find
their way by ``table``, so that one compilation serves every depth and width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .. import target
from ..memory import plain

# Columns of ``Layout.table``, one row per layer
INPUTS, OUTPUTS = 0, 1  # units
ROWS = 2  # outputs padded to whole tiles
WEIGHTS, STRIDE, BIASES = 3, 4, 5  # where they begin in a network, and numbers in a row of weights
FROM, TO = 6, 7  # first rows of the layer's inputs and outputs in scratch
SOURCE = 8  # first row of what a skip adds to the outputs; NO_SKIP, or FROM_DATA where that is x
COLUMNS = 9
NO_SKIP, FROM_DATA = -1, -2
# Columns of ``places``: where a layer begins and the steps along its axes; biases have no columns
BEGIN, LINE, POINT, ROW, COLUMN = range(5)
ABSENT = -1  # as BEGIN: there are none
TAIL_ROWS = 2  # of the tiles that take the units left over by whole tiles
PAIR = 2  # registers: samples come in pairs of them
ALONE = 2**20  # numbers that one thread copies sooner than PyTorch, which wakes another for 2^15, has begun


def padded(count: int, unit: int) -> int:
    """The next multiple of ``unit``."""
    return -(-count // unit) * unit


@dataclass(frozen=True)
class Layout:
    """Places of a network's numbers, and of its activations in scratch."""

    widths: tuple[int, ...]  # d_0 … d_l
    skip: bool
    lanes: int  # numbers in a register
    keep: bool = False  # activations of all layers stay in scratch; otherwise those of three

    @staticmethod
    def of(widths, skip: float, dtype: torch.dtype, keep: bool = False) -> Layout:
        """The layout for a dtype on this CPU."""
        return _layout(tuple(widths), skip != 0, target.register_bytes() // dtype.itemsize, keep)

    @cached_property
    def table(self) -> np.ndarray:
        """``(l, COLUMNS)`` int64."""
        table = np.zeros((len(self.widths) - 1, COLUMNS), np.int64)
        begin = first = 0
        for i, (inputs, outputs) in enumerate(pairwise(self.widths)):
            rows, stride = padded(outputs, TAIL_ROWS), padded(inputs, self.lanes)
            skips = self.skip and i % 2 == 1 and self.widths[i - 1] == outputs
            source = NO_SKIP if not skips else FROM_DATA if i == 1 else table[i - 2, TO]
            to = first if self.keep else self._height * (i % 3)
            table[i] = (
                *(inputs, outputs, rows, begin, stride, begin + rows * stride),
                *(table[i - 1, TO] if i else 0, to, source),
            )
            begin += rows * stride + padded(rows, self.lanes)
            first += padded(outputs, max(self.lanes, TAIL_ROWS))
        return table

    @property
    def _height(self) -> int:
        """Rows for the activations of the widest layer: whole squares of registers, which are transposed."""
        return padded(max(self.widths[1:]), max(self.lanes, TAIL_ROWS))

    @cached_property
    def rows(self) -> int:
        """Rows of scratch for activations."""
        last = self.table[-1]
        return int(last[TO]) + padded(self.widths[-1], max(self.lanes, TAIL_ROWS)) if self.keep else 3 * self._height

    @cached_property
    def size(self) -> int:
        """Numbers in a network: whole cache lines."""
        last = self.table[-1]
        return int(last[BIASES]) + padded(int(last[ROWS]), self.lanes)

    def pack(self, weights, biases) -> Tensor:
        """Networks ``(*batch, size)`` from layers ``(*batch, d_{i+1}, d_i)`` and ``(*batch, d_{i+1})`` or None."""
        weights, biases = readable(weights), readable(biases)
        batch = weights[0].shape[:-2]
        packed = torch.from_numpy(np.zeros((*batch, self.size), weights[0].numpy().dtype))
        packed_weights, packed_biases = self.views(packed)
        for view, layer in zip(packed_weights, weights, strict=True):
            _copy(view, layer)
        for view, layer in zip(packed_biases, biases or (), strict=False):
            _copy(view, layer)
        return packed

    def views(self, packed: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The layers' weights and biases inside packed networks."""
        weights, biases = [], []
        for inputs, outputs, rows, begin, stride, bias, *_ in self.table.tolist():
            block = packed[..., begin : begin + rows * stride].unflatten(-1, (rows, stride))
            weights.append(block[..., :outputs, :inputs])
            biases.append(packed[..., bias : bias + outputs])
        return weights, biases


def places(*stacks) -> tuple[np.ndarray, np.ndarray]:
    """Where stacks of networks lie in memory, so that kernels read them there.

    Args:
        *stacks: weights ``(P, d_{i+1}, d_i)`` or ``(P, T, d_{i+1}, d_i)`` and biases without the last axis, of any
            strides; None, or too few, where there are none.  What is returned does not keep them alive.

    Returns:
        Numbers from the first one in memory on, and ``(stacks, l, 2, 5)``: for each layer's weights and for its biases
        the place of their first among these numbers, and the steps along the axes.
    """
    first = min((layer for stack in stacks for part in stack for layer in part or ()), key=Tensor.data_ptr)
    start, size = first.data_ptr(), first.element_size()

    def place(part, i, kind):
        if part is None or i >= len(part):
            return ABSENT, 0, 0, 0, 0
        layer = part[i]
        line, *steps = layer.stride()
        point = () if layer.dim() + kind == 4 else (0,)
        return (layer.data_ptr() - start) // size, line, *point, *steps, *(0,) * kind

    count = len(stacks[0][0])
    table = [[[place(part, i, kind) for kind, part in enumerate(stack)] for i in range(count)] for stack in stacks]
    return first.detach().as_strided((min(1, first.numel()),), (1,)).numpy(), np.array(table, np.int64)


def readable(layers):
    """The layers, copied where their numbers cannot be read where they lie."""
    if layers is None:
        return None
    return [w.clone() if w.is_neg() or w.data_ptr() % w.element_size() else w for w in layers]


@dataclass(frozen=True)
class Samples:
    """Data for the tile kernels; sample ``s`` is column ``s``, columns beyond the last are padding."""

    x: np.ndarray  # (d_0 padded, n)
    ones: np.ndarray  # (n,) what biases are multiplied with: 1, or 0 where there are none; 0 in padding
    targets: np.ndarray  # (C, n), labels as one-hot vectors; (0, n) where nothing asks for them
    labels: np.ndarray  # (n,) classes, 0 where there are none, -1 in padding

    @staticmethod
    def of(x: Tensor, y: Tensor, outputs: int, biased: bool, reduced: bool = False, rising: bool = False,
           targeted: bool = True) -> Samples:  # fmt: skip
        """From ``x`` ``(N, d_0)``, ``y`` ``(N, C)`` or labels ``(N,)``, for networks with biases or without.

        ``reduced`` data are the rows of their triangular factor, with the same squared losses of linear networks;
        ``rising`` ones are sorted by their labels; without ``targeted`` labels make no targets.
        """
        from .pack import turn_rows

        x, y = plain(x), plain(y)
        biases, targets = None, y
        if not y.is_floating_point():
            targets = torch.nn.functional.one_hot(y.long(), outputs).to(x.dtype) if targeted else x[:, :0]
        if reduced:
            x, biases, targets = _triangular(x, torch.full_like(x[:, :1], biased), targets)
        values = x.contiguous().numpy()
        (count, units), dtype = values.shape, values.dtype
        lanes = target.register_bytes() // dtype.itemsize
        n = padded(count, PAIR * lanes)
        order, ones, labels = np.arange(count), np.zeros(n, dtype), np.full(n, -1, dtype)
        ones[:count] = biased if biases is None else biases[:, 0].numpy()
        if rising:  # of few classes in small integers: those are sorted without comparisons
            order = np.argsort(y.numpy().astype(np.min_scalar_type(outputs)), kind="stable")
        labels[:count] = 0 if reduced or y.is_floating_point() else y.numpy()[order]

        def columns(values, rows):
            turned = np.empty((padded(rows, lanes), n), dtype)
            turn_rows(turned, values, order, np.zeros((lanes, len(turned)), dtype))
            return turned[:rows]

        goals = columns(targets.contiguous().numpy(), outputs) if targets.shape[1] else np.empty((0, n), dtype)
        return Samples(columns(values, padded(units, TAIL_ROWS)), ones, goals, labels)

    @cached_property
    def x_rows(self) -> np.ndarray:
        """``x`` with samples in rows, ``(n, d_0 padded to whole registers)``."""
        units, n = self.x.shape
        lanes = target.register_bytes() // self.x.itemsize
        return _wide(torch.from_numpy(self.x.T), n, padded(units, lanes))


@lru_cache(maxsize=64)
def _layout(*options) -> Layout:
    """One for all calls: its table takes as long to make as to pack some networks."""
    return Layout(*options)


def _wide(values: Tensor, rows: int, columns: int, fill: float = 0.0) -> np.ndarray:
    """``values`` in the corner of a larger matrix."""
    wide = np.full((rows, columns), fill, values.numpy().dtype)
    _copy(torch.from_numpy(wide)[: values.shape[0], : values.shape[1]], values)
    return wide


def _copy(to: Tensor, values: Tensor) -> None:
    if values.numel() < ALONE:
        to.numpy()[...] = values.numpy()
    else:
        to.copy_(values)


def _triangular(*parts: Tensor) -> tuple[Tensor, ...]:
    """The parts' columns in the triangular factor of all of them together."""
    from .factor import triangulate

    together = torch.cat(parts, dim=1)
    samples, count = together.shape
    factor = _wide(together.mT, count, padded(samples, target.register_bytes() // together.itemsize))
    triangulate(factor)
    return torch.from_numpy(factor)[:, :count].mT.split([part.shape[1] for part in parts], dim=1)
