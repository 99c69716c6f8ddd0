"""Gradients of path losses on a GPU: the functions, some items at a time.

An item's gradient by its weights is theirs in size, so a line's points are added up part by part: beyond inputs and
outputs there is scratch of one size alone, in thirds: gradients, what becomes of them, and what their kernels keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..spec import Launch
from . import gpu_layers_slopes, gpu_tiled_slopes
from .blocks import scale
from .gpu_task import SCRATCH, Task

Slopes = list[tuple[Tensor, Tensor | None]]  # by weights (items, d_{i+1}, d_i) and biases (items, d_{i+1}) of a layer


def curve_slopes(task: Task, upstream: Sequence[Tensor]) -> list[Tensor]:
    """Gradients by weights and biases, from those by the losses ``(P, T)``."""
    factors, items = _factors(task, upstream), task.pairs * task.points
    found = room(task, items, task.x.dtype)
    if task.x.dtype == task.sum_dtype:
        _add(task, found, factors, 0)
    else:
        together = max(1, SCRATCH // 3 // _size(task))
        for first in range(0, items, together):
            part = room(task, min(together, items - first), task.sum_dtype)
            _add(task, part, factors, first)
            for mine, theirs in zip(_flat(part), _flat(found), strict=True):
                theirs[first : first + together] = mine
    return [slope.unflatten(0, (task.pairs, task.points)) for slope in _flat(found)]


def path_slopes(task: Task, upstream: Sequence[Tensor]) -> list[Tensor]:
    """Gradients by ``t``, weights and biases of lines, from those by the losses."""
    factors, points = _factors(task, upstream), task.points
    ends = [*zip(task.weights, task.weights_b, strict=True), *zip(task.biases or (), task.biases_b or (), strict=True)]
    found = [[torch.zeros_like(end) for end in both] for both in ends]
    t = task.t.expand(task.pairs, points)
    slopes_t = torch.zeros(t.shape, dtype=task.sum_dtype, device=t.device)
    together = max(1, SCRATCH // 3 // _size(task))
    pairs_here, points_here = max(1, together // max(1, points)), max(1, min(points, together))
    for pair in range(0, task.pairs, pairs_here):
        pairs = slice(pair, min(pair + pairs_here, task.pairs))
        sums = [[end[pairs].to(task.sum_dtype) for end in both] for both in found]  # parts of these, unless of 16 bits
        for point in range(0, points, points_here):
            part = slice(point, min(point + points_here, points))
            shape = (pairs.stop - pair, part.stop - point)
            slopes = room(task, shape[0] * shape[1], task.sum_dtype)
            _add(task, slopes, factors, pair * points + point)
            s = t[pairs, part, None].to(task.sum_dtype)
            for slope, (a, b), (by_a, by_b) in zip(_flat(slopes), ends, sums, strict=True):
                slope = slope.view(*shape, -1)
                by_a += ((1 - s) * slope).sum(1).view_as(by_a)
                by_b += (s * slope).sum(1).view_as(by_b)
                along = (b[pairs].to(s.dtype) - a[pairs].to(s.dtype)).flatten(1)
                slopes_t[pairs, part] += slope.mul_(along[:, None]).sum(2)
        for whole, both in zip(found, sums, strict=True) if task.x.dtype != task.sum_dtype else ():
            for mine, theirs in zip(whole, both, strict=True):
                mine[pairs] = theirs
    count = len(task.weights)
    return [slopes_t.to(t.dtype), *(by[k] for some in (found[:count], found[count:]) for k in (0, 1) for by in some)]


def launches(task: Task, slopes: Slopes, factors: Tensor, first: int) -> Iterator[Launch]:
    """What adds the gradients of items ``first`` … to ``slopes``, in order."""
    if len(slopes[0][0]) == 0:
        return iter(())
    if gpu_layers_slopes.fits(task):
        return iter((gpu_layers_slopes.launch(task, slopes, factors, first),))
    return gpu_tiled_slopes.launches(task, slopes, factors, first)


def _add(task: Task, slopes: Slopes, factors: Tensor, first: int) -> None:
    """Put the gradients of items ``first`` … in place of the zeros in ``slopes``.

    Between layers gradients are as short as the weights.  For 16 bits the losses are multiplied with about one, and the
    gradients afterwards: those of a mean over many samples are smaller than float16 holds.
    """
    half = task.x.dtype != task.sum_dtype
    if half:
        sizes = factors.abs().amax(0)
        sizes = torch.where(sizes > 0, sizes, 1.0)
        factors = factors / sizes
    for launch in launches(task, slopes, factors, first):
        launch()
    for slope in _flat(slopes) if half else ():
        slope *= sizes[first : first + len(slope)].view(-1, *[1] * (slope.dim() - 1))


def _factors(task: Task, upstream: Sequence[Tensor]) -> Tensor:
    """What sums of squared errors and of cross entropies are multiplied with, ``(2, P T)``."""
    factors = torch.zeros(2, task.pairs * task.points, dtype=task.sum_dtype, device=task.x.device)
    for loss, slope in zip(task.losses, upstream, strict=True):
        if loss != "error_rate":
            place = 1 if loss == "cross_entropy" else 0
            factors[place] += slope.flatten() * scale(loss, task.count, task.widths[-1])
    return factors


def _size(task: Task) -> int:
    """Bytes of the gradients of an item."""
    return sum(out * (into + 1) for into, out in pairwise(task.widths)) * task.sum_dtype.itemsize


def room(task: Task, items: int, dtype: torch.dtype) -> Slopes:
    """Zeros for the gradients of so many items."""
    like = {"dtype": dtype, "device": task.x.device}
    weights = [torch.zeros(items, out, into, **like) for into, out in pairwise(task.widths)]
    biases = [None if task.biases is None else torch.zeros(items, out, **like) for out in task.widths[1:]]
    return list(zip(weights, biases, strict=True))


def _flat(slopes: Slopes) -> list[Tensor]:
    """The gradients by all weights, then those by all biases."""
    return [layer for layers in zip(*slopes, strict=True) for layer in layers if layer is not None]
