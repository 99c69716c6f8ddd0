"""Launching the tile kernels: what they need beside the tensors, and their sums turned into losses."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from .. import errors, target
from ..memory import plain
from ..threads import over_batch
from . import autograd
from .blocks import part_of, pieces, scale
from .layout import PAIR, Layout, Samples, padded, places, readable
from .reference import DEGREE

NARROW_BYTES = 2**13  # of a layer's activations: two layers and the first at two ends stay in the cache next to a core
KEPT_BYTES = 2**19  # of the activations and derivatives of all layers
KEPT_SAMPLES = 288  # more are no use
WIDE_BYTES = 2**20  # of the first layer at the two ends of a line
GROUP_BYTES = 2**19  # of networks on a line
PACKED_BYTES = 2**25  # of networks that are packed at once
DTYPES = (torch.float32, torch.float64)
# units of two layers in a row: their weights no longer fit the caches; 1.1 times as fast at 512, 0.8 at 1024
WIDEST = 768
REDUCTION = 4  # samples for each row of their triangular factor from which on it is taken
LONG_SAMPLES = 6  # registers: whole tiles of all shapes
WORK = 2**20  # multiplications worth handing to a thread


def unfit(x: Tensor) -> str | None:
    """Why the tile kernels cannot take these data, or None."""
    if x.dtype not in DTYPES:
        return f"{x.dtype} has no tile kernels"
    return target.numba_missing()


def too_wide(weights) -> str | None:
    """Why a library's products are faster for these networks, or None."""
    square = max((min(w.shape[-2:]) for w in weights[1:]), default=0)
    return f"products of layers of {square} units are a library's" if square > WIDEST else None


class Problem:
    """Data, activation and losses as the kernels take them; with ``keep`` for gradients, ``whole`` not reduced."""

    def __init__(self, weights, biases, x, y, *, activation, skip, losses, keep: bool = False, whole: bool = False):
        widths = [x.shape[1], *(w.shape[-2] for w in weights)]
        self.layout = Layout.of(widths, skip, x.dtype, keep)
        squared = activation == "linear" and not set(losses) & set(errors.LABEL_LOSSES)
        fewer = REDUCTION * (widths[0] + 1 + widths[-1]) <= x.shape[0]
        self.reduced = not whole and squared and fewer and bool(x.isfinite().all()) and bool(y.isfinite().all())
        self.losses, self.count = losses, x.shape[0]
        # training names its samples by their place
        self.rising = not (keep or self.reduced or y.is_floating_point())
        targeted = keep or not set(losses) <= set(errors.LABEL_LOSSES)
        self.samples = Samples.of(x, y, widths[-1], biases is not None, self.reduced, self.rising, targeted)
        self.step = PAIR * self.layout.lanes
        self.dtype, self.bytes = x.dtype, x.element_size()
        self.function = (errors.ACTIVATIONS.index(activation), float(skip), self._wanted())

    def _wanted(self) -> int:
        from . import tiles

        bit = {"cross_entropy": tiles.ENTROPY, "error_rate": tiles.ERROR}
        bits = {bit.get(loss, tiles.SQUARED) for loss in self.losses} | ({tiles.RISING} if self.rising else set())
        return sum(1 << bit for bit in bits)

    def at_once(self, budget: int, units: int) -> int:
        """Samples of so many units that take ``budget`` bytes, in whole tiles."""
        return min(self.samples.x.shape[1], padded(max(1, budget // (units * self.bytes)), self.step))

    @property
    def narrow(self) -> int:
        """Samples whose activations are held at once."""
        if self.layout.keep:
            return min(self.at_once(KEPT_BYTES, 2 * self.layout.rows), padded(KEPT_SAMPLES, self.step))
        unit = LONG_SAMPLES * self.layout.lanes
        return min(self.samples.x.shape[1], self.times(unit * max(self.layout.widths[1:]), NARROW_BYTES) * unit)

    def times(self, numbers: int, budget: int) -> int:
        """How many times so many numbers go into a budget of bytes; at least once."""
        return max(1, budget // (numbers * self.bytes))

    @property
    def line(self) -> tuple[int, int]:
        """Blocks of samples whose first layer is held at the two ends of a line, and points whose weights are."""
        blocks = -(-self.samples.x.shape[1] // self.narrow)
        held = self.times(2 * self.layout.widths[1] * self.narrow, WIDE_BYTES)
        return min(blocks, held), self.times(self.layout.size, GROUP_BYTES)

    @property
    def scratch(self) -> tuple:
        """How the kernels lay out networks and activations."""
        return self.layout.table, self.layout.rows, self.narrow

    @property
    def data(self) -> tuple[np.ndarray, ...]:
        """The samples; kernels for gradients also take them in rows.

        Without gradients biases may count in padding too: no number for each sample where it would be 1.
        """
        s = self.samples
        if self.layout.keep:
            return s.x, s.x_rows, s.ones, s.targets, s.labels
        return s.x, s.ones if self.reduced else s.ones[:0], s.targets, s.labels

    def chunk(self, points: int) -> int:
        """Entries of a batch, each of so many points, that are worth handing to a thread."""
        return max(1, WORK // (max(1, points) * self.samples.x.shape[1] * self.layout.size))

    def values(self, sums: np.ndarray) -> list[Tensor]:
        """Losses from sums ``(..., SUMS)``, in the order they were asked for."""
        from . import tiles

        place = {"cross_entropy": tiles.ENTROPY, "error_rate": tiles.ERROR}
        outputs = self.layout.widths[-1]
        return [
            torch.from_numpy(sums[..., place.get(loss, tiles.SQUARED)] * scale(loss, self.count, outputs)).to(
                self.dtype
            )
            for loss in self.losses
        ]

    def factors(self, upstream) -> np.ndarray:
        """What sums of squares and of entropies are multiplied with, ``(*batch, 2)``, from gradients by the losses."""
        from . import tiles

        factors = np.zeros((*upstream[0].shape, 2))
        for loss, slope in zip(self.losses, upstream, strict=True):
            if loss != "error_rate":
                place = tiles.ENTROPY if loss == "cross_entropy" else tiles.SQUARED
                factors[..., place] += plain(slope.double()).numpy() * scale(loss, self.count, self.layout.widths[-1])
        return factors


def parts_of(pairs: int) -> int:
    """In how many parts the points of each line are handed out: all threads have as many, or many more than one.

    Each part computes the first layer at the ends anew.
    """
    threads = target.threads()
    return next(k for k in itertools.count(1) if pairs * k % threads == 0 or pairs * k >= 4 * threads)


def curve_loss(weights, x, y, *, biases, **options) -> list[Tensor]:
    """Losses ``(P, T)`` at explicit weights."""
    ways = {"biases": biases, "together": _curve_value_and_slopes}
    return autograd.curve_loss(_curve_values, _curve_slopes, weights, x, y, **ways, **options)


def _where_lost(problem: Problem, sums: np.ndarray, values: list[Tensor], whole) -> list[Tensor]:
    """Replace what is not finite by ``whole(pairs)``: zeros of the factor times infinity are not what samples give."""
    if not problem.reduced:
        return values
    lost = torch.from_numpy(~np.isfinite(sums).all(axis=(1, 2))).nonzero()[:, 0]
    if len(lost):
        for value, again in zip(values, whole(lost), strict=True):
            value[lost] = again
    return values


def _curve_values(weights, biases, x, y, **options) -> list[Tensor]:
    from . import tiles

    problem = Problem(weights, biases, x, y, **options)
    pairs, points = weights[0].shape[:2]
    sums = np.zeros((pairs, points, tiles.SUMS))
    stack = readable(weights), readable(biases)
    numbers, table = places(stack)
    args = (points, sums.reshape(-1, tiles.SUMS), numbers, table[0], problem.layout.size, *problem.scratch)
    over_batch(tiles.network_sums, pairs * points, problem.chunk(1), *args, *problem.data, *problem.function)

    def whole(pairs):
        return _curve_values(part_of(weights, pairs), part_of(biases, pairs), x, y, whole=True, **options)

    return _where_lost(problem, sums, problem.values(sums), whole)


def _curve_slopes(weights, biases, x, y, upstream, **options) -> list[Tensor]:
    problem = Problem(weights, biases, x, y, keep=True, **options)
    _, slopes = _curve_sums_and_slopes(problem, weights, biases, problem.factors(upstream), wanted=0)
    return slopes


def _curve_value_and_slopes(weights, biases, x, y, **options) -> tuple[Tensor, list[Tensor]]:
    """One loss, and its gradients by each point's weights and biases."""
    problem = Problem(weights, biases, x, y, keep=True, **options)
    factors = problem.factors([x.new_ones(()).expand(weights[0].shape[:2])])
    sums, slopes = _curve_sums_and_slopes(problem, weights, biases, factors, problem.function[2])

    def whole(pairs):
        return _curve_values(part_of(weights, pairs), part_of(biases, pairs), x, y, whole=True, **options)

    (value,) = _where_lost(problem, sums, problem.values(sums), whole)
    return value, slopes


def _curve_sums_and_slopes(problem: Problem, weights, biases, factors, wanted: int) -> tuple[np.ndarray, list[Tensor]]:
    """Sums ``(P, T, SUMS)`` of the losses that are ``wanted``; gradients of ``factors`` times sums."""
    from . import backward, tiles

    layout, (pairs, points) = problem.layout, weights[0].shape[:2]
    slopes, sums = weights[0].new_zeros(pairs, points, layout.size), np.zeros((pairs, points, tiles.SUMS))
    for p in pieces(pairs, points * layout.size, problem.bytes, PACKED_BYTES):
        packed = layout.pack(part_of(weights, p), part_of(biases, p)).flatten(0, 1).numpy()
        out = (slopes[p].flatten(0, 1).numpy(), sums[p].reshape(-1, tiles.SUMS), factors[p].reshape(-1, 2))
        args = (*out, packed, *problem.scratch, *problem.data, *problem.function[:2], wanted)
        over_batch(backward.network_slopes, len(packed), problem.chunk(3), *args)
    weight_slopes, bias_slopes = layout.views(slopes)
    return sums, [*weight_slopes, *(bias_slopes if biases else ())]


def path_loss(weights_a, weights_b, x, y, t, *, biases_a, biases_b, **options) -> list[Tensor]:
    """Losses ``(P, T)`` on straight lines at ``t`` ``(P, T)``."""
    ends = {"biases_a": biases_a, "biases_b": biases_b}
    return autograd.path_loss(_path_values, _path_slopes, weights_a, weights_b, x, y, t, **ends, **options)


def _path_values(t, weights_a, weights_b, biases_a, biases_b, x, y, **options) -> list[Tensor]:
    return _between((weights_a, biases_a), (weights_b, biases_b), t, 0, x, y, **options)


def _between(a, b, t, degree: int, x, y, **options) -> list[Tensor]:
    """Losses on lines from ``a`` to ``b``, or if there is a ``degree`` on curves of rescalings by what ``b`` says."""
    from . import tiles

    problem = Problem(*a, x, y, **options)
    pairs, points = t.shape
    sums = np.zeros((pairs, points, tiles.SUMS))
    parts = min(max(1, points), parts_of(pairs))
    stacks = [tuple(map(readable, stack)) for stack in (a, b)]
    path = (*places(*stacks), plain(t).numpy(), problem.samples.x.dtype.type(degree))
    args = (parts, sums, *path, problem.layout.size, *problem.scratch, *problem.line)
    chunk = problem.chunk(-(-points // parts))
    over_batch(tiles.path_sums, pairs * parts, chunk, *args, *problem.data, *problem.function)

    def whole(pairs):
        some = [tuple(part_of(layers, pairs) for layers in stack) for stack in (a, b)]
        return _between(*some, t[pairs], degree, x, y, whole=True, **options)

    return _where_lost(problem, sums, problem.values(sums), whole)


def _path_slopes(t, weights_a, weights_b, biases_a, biases_b, x, y, upstream, **options) -> list[Tensor]:
    from . import backward

    problem = Problem(weights_a, biases_a, x, y, keep=True, **options)
    layout, factors = problem.layout, problem.factors(upstream)
    slopes_a, slopes_b = (x.new_zeros(len(t), layout.size) for _ in range(2))
    slopes_t = torch.zeros_like(t, memory_format=torch.contiguous_format)
    for p in pieces(len(t), 2 * layout.size, problem.bytes, PACKED_BYTES):
        a = layout.pack(part_of(weights_a, p), part_of(biases_a, p)).numpy()
        b = layout.pack(part_of(weights_b, p), part_of(biases_b, p)).numpy()
        out = (slopes_a[p].numpy(), slopes_b[p].numpy(), slopes_t[p].numpy(), factors[p])
        args = (*out, a, b, plain(t[p]).numpy(), *problem.scratch, *problem.data, *problem.function[:2])
        over_batch(backward.path_slopes, len(a), problem.chunk(3 * t.shape[1]), *args)
    (a, bias_a), (b, bias_b) = layout.views(slopes_a), layout.views(slopes_b)
    return [slopes_t, *a, *b, *((*bias_a, *bias_b) if biases_a else ())]


def rescaling_loss(weights, logs, x, y, t, *, biases, **options) -> list[Tensor]:
    """Losses ``(P, T)`` on curves of rescalings at ``t`` ``(P, T)``."""

    def values(t, weights, logs, biases, x, y, activation, **options):
        a, b = (weights, biases), (None, logs)
        return _between(a, b, t, DEGREE[activation], x, y, activation=activation, **options)

    return autograd.rescaling_loss(values, _curve_slopes, weights, logs, x, y, t, biases=biases, **options)
