"""What kernels read of networks and data: layers by a table, weights at a point, samples and what is wanted of them.

Sizes: ``N`` samples, ``P`` pairs, ``T`` points, an item is a (pair, point).  Layers are data, so that one compilation
serves every depth and nothing is packed.
"""

from __future__ import annotations

import triton
import triton.language as tl

# What the table says of a layer: addresses of its weights and biases at both ends (or all points, and 0), inputs,
# outputs, and where `gpu_tiled` keeps its interpolated weights.  On curves of rescalings the other end's are addresses
# of the logarithms of what inputs and outputs are multiplied with, 0 where nothing is.
FIELDS = tl.constexpr(7)


@triton.jit
def place(item, points, t_ptr, t_stride, CURVE: tl.constexpr, ACC: tl.constexpr):
    """An item's pair, what its weights are stored by, and its point of a ``CURVE``: a line, rescaling, or points."""
    pair = item // points
    if CURVE == "points":
        return pair, item, tl.zeros((), ACC)
    else:
        return pair, pair, tl.load(t_ptr + pair * t_stride + item % points).to(ACC)


@triton.jit
def mixed(a, b, offset, mask, t, LINE: tl.constexpr, MASKED: tl.constexpr, ACC: tl.constexpr):
    """``(1 - t) a + t b`` of the reference, rounding included up to one fused operation, or ``a`` alone."""
    if MASKED:
        w = tl.load(a + offset, mask, other=0.0).to(ACC)
        if LINE:
            w = (1 - t) * w + t * tl.load(b + offset, mask, other=0.0).to(ACC)
    else:
        w = tl.load(a + offset).to(ACC)
        if LINE:
            w = (1 - t) * w + t * tl.load(b + offset).to(ACC)
    return w


@triton.jit
def size(table, layer, field: tl.constexpr):
    """A layer's inputs or outputs."""
    return tl.load(table + layer * FIELDS + field).to(tl.int32)


@triton.jit
def pointer(table, layer, field, DT: tl.constexpr):
    """Where a layer's weights or biases begin."""
    return tl.multiple_of(tl.load(table + layer * FIELDS + field).to(tl.pointer_type(DT)), 16)


@triton.jit
def factors(table, layer, field, of, unit, units, t, DT: tl.constexpr, ACC: tl.constexpr):
    """What a layer's inputs (field 1) or outputs (3) are multiplied with at a point of a curve of rescalings."""
    at = pointer(table, layer, field, DT) + of * units
    count = tl.where(tl.load(table + layer * FIELDS + field) != 0, units, 0)
    return tl.exp(t * tl.load(at + unit, unit < count, other=0.0).to(ACC))


@triton.jit
def ends_of(ends_ptr, pair, start, samples, width, CURVE: tl.constexpr):
    """Where a pair's first pre-activations from sample ``start`` on lie: at both ends of a line, else at the first."""
    ends: tl.constexpr = 2 if CURVE == "line" else 1
    a = ends_ptr + (pair * ends * samples + start) * width
    return a, a + samples.to(tl.int64) * width


@triton.jit
def rescaled(z, table, layer, of, column, units, t, CURVE: tl.constexpr, DT: tl.constexpr, ACC: tl.constexpr):
    """Sums ``column`` of a layer at a point of a curve of rescalings: what multiplies rows of weights multiplies them.

    ``weights`` are multiplied by columns alone, so that less is held while they are loaded.
    """
    if CURVE == "rescaling":
        factor = factors(table, layer, 3, of, column, units, t, DT, ACC)
        # infinite weights would make sums infinite or NaN, not 0 whatever their sign
        z *= tl.where(factor < float("inf"), factor, float("nan"))[None, :]
    return z


@triton.jit
def add_bias(z, table, layer, of, out, column, ones, t, BIASED: tl.constexpr, CURVE: tl.constexpr, DT: tl.constexpr,
             ACC: tl.constexpr):  # fmt: skip
    """``z`` and a layer's biases at ``column``, as many times as ``ones`` says."""
    if BIASED:
        a, b = pointer(table, layer, 2, DT) + of * out, pointer(table, layer, 3, DT) + of * out
        z += ones * mixed(a, b, column, column < out, t, CURVE == "line", True, ACC)[None, :]
    return z


@triton.jit
def weights(table, layer, of, into, out, row, column, t, CURVE: tl.constexpr, MASKED: tl.constexpr, DT: tl.constexpr,
            ACC: tl.constexpr):  # fmt: skip
    """Tile of a layer's weights: outputs ``row`` by inputs ``column``; see ``rescaled``."""
    start = of * out * into
    a, b = pointer(table, layer, 0, DT) + start, pointer(table, layer, 1, DT) + start
    offset = row[:, None] * into + column[None, :]
    mask = (row[:, None] < out) & (column[None, :] < into)
    w = mixed(a, b, offset, mask, t, CURVE == "line", MASKED, ACC)
    if CURVE == "rescaling":
        w *= factors(table, layer, 1, of, column, into, t, DT, ACC)[None, :]
    return w.to(DT)


@triton.jit
def rows(x, row, left, column, width, MASKED: tl.constexpr):
    """Rows of ``x`` ``(…, width)``; 0 from row ``left`` on."""
    mask = row[:, None] < left
    if MASKED:
        mask = mask & (column[None, :] < width)
    return tl.load(x + row[:, None] * width + column[None, :], mask, other=0.0)


@triton.jit
def ones_of(ones_ptr, start, row, left, ACC: tl.constexpr):
    """How many times a row counts the biases: once where it is a sample, in rows of a factor as their column says."""
    if ones_ptr is None:
        return tl.full((1, 1), 1, ACC)
    else:
        return tl.load(ones_ptr + start + row, row < left, other=0.0).to(ACC)[:, None]


@triton.jit
def labels_of(y_ptr, start, row, left, LABELS: tl.constexpr):
    """Classes of samples, 0 where there are none."""
    if LABELS:
        return tl.load(y_ptr + start + row, row < left, other=0)
    else:
        return tl.zeros(row.shape, tl.int64)


@triton.jit
def wanted_of(y_ptr, start, row, left, column, label, classes, LABELS: tl.constexpr, ACC: tl.constexpr):
    """What outputs ``column`` should be: the samples' targets, or one-hot vectors of their labels."""
    if LABELS:
        return (column[None, :] == label[:, None]).to(ACC)
    else:
        return rows(y_ptr + start * classes, row, left, column, classes, True).to(ACC)
