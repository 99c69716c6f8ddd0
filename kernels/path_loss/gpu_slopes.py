"""Gradients of path losses by the weights of narrow networks: forwards as ``gpu_layers``, then back layer by layer.

One program takes all samples of one item, block by block, and adds to the item's gradients in order: no two programs
write to the same place, and the same call gives the same bits.  Between the passes over a block its pre-activations
``(layers - 1, BN, H)`` are kept in a scratch of the program's own, which stays in L2.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..triton_ops import activate, bend, product_add
from .gpu_layers import bias, hidden_layers, mixed, pointer, rows, size, weights


@triton.jit
def _add(at, offset, mask, value):
    tl.store(at + offset, tl.load(at + offset, mask, other=0.0) + value, mask)


@triton.jit
def _add_slopes(slopes_ptr, layer, local, into, out, row, column, dz, a, BIASED: tl.constexpr, PRECISION: tl.constexpr,
                DT: tl.constexpr):  # fmt: skip
    """Add to an item's gradients by outputs ``row`` and inputs ``column`` of a layer."""
    w = tl.multiple_of(tl.load(slopes_ptr + layer * 2).to(tl.pointer_type(DT)), 16) + local * out * into
    offset, mask = row[:, None] * into + column[None, :], (row[:, None] < out) & (column[None, :] < into)
    zero = tl.zeros((dz.shape[1], a.shape[1]), dz.dtype)
    _add(w, offset, mask, product_add(tl.trans(dz.to(DT)), a, zero, PRECISION).to(DT))


@triton.jit
def _add_bias_slopes(slopes_ptr, layer, local, out, row, dz, DT: tl.constexpr):
    b = tl.multiple_of(tl.load(slopes_ptr + layer * 2 + 1).to(tl.pointer_type(DT)), 16) + local * out
    _add(b, row, row < out, tl.sum(dz, 0).to(DT))


@triton.jit
def _back(table_ptr, layer, of, into, out, row, column, dz, t, LINE: tl.constexpr, PRECISION: tl.constexpr,
          DT: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Gradients by what goes into a layer, from those by what comes out of it."""
    start = of * out * into
    a, b = pointer(table_ptr, layer, 0, DT) + start, pointer(table_ptr, layer, 1, DT) + start
    mask = (row[:, None] < out) & (column[None, :] < into)
    w = mixed(a, b, row[:, None] * into + column[None, :], mask, t, LINE, True, ACC).to(DT)
    return product_add(dz.to(DT), w, tl.zeros((dz.shape[0], column.shape[0]), ACC), PRECISION)


@triton.jit(do_not_specialize=["item_first", "items_here", "items", "points", "t_stride", "samples", "layers"])
def slopes_kernel(
    table_ptr,  # (layers, FIELDS) int64
    slopes_ptr,  # (layers, 2) int64: addresses of gradients by weights and biases, (items_here, …), to be added to
    x_ptr,  # (N, d_0)
    y_ptr,  # (N, C), or (N,) int64 labels
    t_ptr,  # (T,) or (P, T)
    skip_ptr,  # (1,) float64
    factors_ptr,  # (2, items): what the sums of squared errors and of cross entropies are multiplied with
    kept_ptr,  # (programs, layers - 1, BN, H)
    item_first,
    items_here,
    items,
    points,
    t_stride,
    samples,
    layers,
    H: tl.constexpr,
    CP: tl.constexpr,
    BK: tl.constexpr,
    BN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    LINE: tl.constexpr,
    BIASED: tl.constexpr,
    SKIP: tl.constexpr,
    SKIP_LAST: tl.constexpr,
    MASKED: tl.constexpr,
    LABELS: tl.constexpr,
    SQUARED: tl.constexpr,
    CROSS: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
):
    """Gradients of items ``item_first`` … of networks of two layers or more, whose classes are one tile."""
    DT: tl.constexpr = x_ptr.dtype.element_ty
    skip = tl.load(skip_ptr).to(ACC)
    inputs = size(table_ptr, 0, 4)
    width = size(table_ptr, 0, 5)
    classes = size(table_ptr, layers - 1, 5)
    rn = tl.arange(0, BN)
    rh = tl.arange(0, H)
    rk = tl.arange(0, BK)
    rc = tl.arange(0, CP)
    tile = rn[:, None] * H + rh[None, :]
    kept = kept_ptr + tl.program_id(0).to(tl.int64) * (layers - 1) * BN * H
    last = layers - 1
    for work in tl.range(tl.program_id(0), items_here, tl.num_programs(0), num_stages=1):
        local = work + tl.zeros((), tl.int64)
        item = item_first + local
        pair = item // points
        of = pair if LINE else item
        t = tl.load(t_ptr + pair * t_stride + item % points).to(ACC) if LINE else tl.zeros((), ACC)
        squared = tl.load(factors_ptr + item)
        crossed = tl.load(factors_ptr + items + item)
        for block in tl.range(0, tl.cdiv(samples, BN), num_stages=1, disable_licm=True):
            start = block * BN + tl.zeros((), tl.int64)
            left = (samples - start).to(tl.int32)
            x = x_ptr + start * inputs
            a, source = hidden_layers(
                table_ptr, x, x_ptr, x_ptr, kept, left, of, t, skip, layers, H, BK, BN, ACTIVATION, LINE, BIASED, False,
                SKIP, MASKED, True, PRECISION, DT, ACC,
            )  # fmt: skip
            into = size(table_ptr, last, 4)
            w = weights(table_ptr, last, of, into, classes, rc, rh, t, LINE, True, DT, ACC)
            f = product_add(a, w, tl.zeros((BN, CP), ACC), PRECISION)
            f += bias(table_ptr, last, of, classes, rc, t, BIASED, LINE, DT, ACC)[None, :]
            if SKIP_LAST:
                f += skip * source.to(ACC)
            if LABELS:
                label = tl.load(y_ptr + start + rn, rn < left, other=0)
                wanted = (rc[None, :] == label[:, None]).to(ACC)
            else:
                wanted = rows(y_ptr + start * classes, rn, left, rc, classes, True).to(ACC)
            df = tl.zeros((BN, CP), ACC)
            if SQUARED:
                df += 2 * squared * (f - wanted)
            if CROSS:
                g = tl.where(rc[None, :] < classes, f, float("-inf"))
                g = tl.exp(g - tl.max(g, 1)[:, None])
                df += crossed * (g / tl.sum(g, 1)[:, None] - wanted)
            df = tl.where((rn[:, None] < left) & (rc[None, :] < classes), df, 0.0)
            _add_slopes(slopes_ptr, last, local, into, classes, rc, rh, df, a, BIASED, PRECISION, DT)
            if BIASED:
                _add_bias_slopes(slopes_ptr, last, local, classes, rc, df, DT)
            da = _back(table_ptr, last, of, into, classes, rc, rh, df, t, LINE, PRECISION, DT, ACC)
            skipped = tl.zeros((BN, H), ACC)  # gradient by a source, that takes the way around the layer before
            if SKIP_LAST:
                skipped = skip * df
            tl.debug_barrier()  # what `hidden_layers` stored is read by other threads
            for back in tl.range(2, layers, num_stages=1):
                layer = layers - back
                into = size(table_ptr, layer, 4)
                out = size(table_ptr, layer, 5)
                z = tl.load(kept + layer * BN * H + tile)
                dz = tl.where(rh[None, :] < out, da * bend(z, ACTIVATION), 0.0)
                before = activate(tl.load(kept + (layer - 1) * BN * H + tile), ACTIVATION)
                before = tl.where(rh[None, :] < into, before, 0.0).to(DT)
                _add_slopes(slopes_ptr, layer, local, into, out, rh, rh, dz, before, BIASED, PRECISION, DT)
                if BIASED:
                    _add_bias_slopes(slopes_ptr, layer, local, out, rh, dz, DT)
                da = _back(table_ptr, layer, of, into, out, rh, rh, dz, t, LINE, PRECISION, DT, ACC)
                if SKIP:
                    odd = layer % 2 == 1
                    da = tl.where(odd, da, da + skipped)
                    skipped = tl.where(odd & (size(table_ptr, layer - 1, 4) == out), skip * dz, 0.0)
            dz = tl.where(rh[None, :] < width, da * bend(tl.load(kept + tile), ACTIVATION), 0.0)
            if BIASED:
                _add_bias_slopes(slopes_ptr, 0, local, width, rh, dz, DT)
            for k in tl.range(0, inputs, BK, num_stages=1):
                samples_of = rows(x, rn, left, k + rk, inputs, True)
                _add_slopes(slopes_ptr, 0, local, inputs, width, rh, k + rk, dz, samples_of, BIASED, PRECISION, DT)
            tl.debug_barrier()  # the next block stores what this one reads
