"""Fused losses of narrow networks: one program takes blocks of samples through all layers of one network.

Sizes as in ``gpu_network``; ``BN`` samples of a block, ``H`` the widest hidden layer and ``CP`` classes of a tile, both
padded, ``BK`` inputs of a tile.

The activations of a block, ``(BN, H)``, stay in registers.  Weights are read by every block anew, interpolated as they
come: hoisting them out of the loop over blocks, or loading them ahead, is what spills, so both are switched off.
Layers are a run-time loop over their table.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..triton_ops import activate, add_losses, no_outputs, product_add, see_outputs
from .gpu_network import add_bias, ends_of, labels_of, mixed, ones_of, place, rescaled, rows, size, wanted_of, weights


@triton.jit
def hidden_layers(table_ptr, x, a, b, kept, left, ones, of, t, skip, layers, H: tl.constexpr, BK: tl.constexpr,
                  BN: tl.constexpr, ACTIVATION: tl.constexpr, CURVE: tl.constexpr, BIASED: tl.constexpr,
                  ENDS: tl.constexpr, SKIP: tl.constexpr, MASKED: tl.constexpr, KEEP: tl.constexpr,
                  PRECISION: tl.constexpr, DT: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """What goes into the last layer, ``(BN, H)``, and what a skip would add to its outputs.

    The first pre-activation comes from the ``left`` samples at ``x``, or if ENDS from those at ``a`` and ``b``; all
    pre-activations go to ``kept``, ``(layers - 1, BN, H)``, if KEEP.
    """
    inputs = size(table_ptr, 0, 4)
    width = size(table_ptr, 0, 5)
    rn = tl.arange(0, BN)
    rh = tl.arange(0, H)
    rk = tl.arange(0, BK)
    tile = rn[:, None] * H + rh[None, :]
    if ENDS:
        z = mixed(a, b, tile, rn[:, None] < left, t, CURVE == "line", True, ACC)
    else:
        z = tl.zeros((BN, H), ACC)
        for k in tl.range(0, inputs, BK, num_stages=1):
            w = weights(table_ptr, 0, of, inputs, width, rh, k + rk, t, CURVE, MASKED, DT, ACC)
            z = product_add(rows(x, rn, left, k + rk, inputs, MASKED), tl.trans(w), z, PRECISION)
        z = add_bias(z, table_ptr, 0, of, width, rh, ones, t, BIASED, CURVE, DT, ACC)
    z = rescaled(z, table_ptr, 0, of, rh, width, t, CURVE, DT, ACC)
    if KEEP:
        tl.store(kept + tile, z)
    h = activate(z, ACTIVATION)
    if MASKED:  # what a padded column makes of an infinite row would come back as NaN
        h = tl.where(rh[None, :] < width, h, 0.0)
    h = h.to(DT)
    source = tl.zeros((BN, H), DT)
    if SKIP:
        source = rows(x, rn, left, rh, inputs, True)
    before = inputs
    for layer in tl.range(1, layers - 1, num_stages=1):
        into = size(table_ptr, layer, 4)
        out = size(table_ptr, layer, 5)
        if not MASKED:
            into = H
            out = H
        w = weights(table_ptr, layer, of, into, out, rh, rh, t, CURVE, MASKED, DT, ACC)
        z = product_add(h, tl.trans(w), tl.zeros((BN, H), ACC), PRECISION)
        z = add_bias(z, table_ptr, layer, of, out, rh, ones, t, BIASED, CURVE, DT, ACC)
        z = rescaled(z, table_ptr, layer, of, rh, out, t, CURVE, DT, ACC)
        if SKIP:
            z = tl.where((layer % 2 == 1) & (before == out), z + skip * source.to(ACC), z)
            source = tl.where(layer % 2 == 0, h, source)
            before = into
        if KEEP:
            tl.store(kept + layer * BN * H + tile, z)
        h = activate(z, ACTIVATION)
        if MASKED:
            h = tl.where(rh[None, :] < out, h, 0.0)
        h = h.to(DT)
    return h, source


@triton.jit
def store_sums(sums_ptr, sums, share, shares, item, items, SQUARED: tl.constexpr, CROSS: tl.constexpr,
               ERROR: tl.constexpr):  # fmt: skip
    """Store those sums that are asked for, in this order, to ``(…, shares, items)``."""
    at = sums_ptr + share * items + item
    step = shares.to(tl.int64) * items
    if SQUARED:
        tl.store(at, tl.sum(sums[0], 0))
        at += step
    if CROSS:
        tl.store(at, tl.sum(sums[1], 0))
        at += step
    if ERROR:
        tl.store(at, tl.sum(sums[2], 0))


@triton.jit(
    do_not_specialize=["item_first", "items", "points", "t_stride", "pair_first", "samples", "blocks", "layers"]
)
def layers_kernel(
    table_ptr,  # (layers, FIELDS) int64
    x_ptr,  # (N, d_0)
    ones_ptr,  # (N,) what biases are multiplied with, or None for 1
    y_ptr,  # (N, C), or (N,) int64 labels
    t_ptr,  # (T,) or (P, T)
    skip_ptr,  # (1,) float64
    ends_ptr,  # (pairs, ends, N, H): the first pre-activation at the ends, read if ENDS
    sums_ptr,  # (…, shares, items): of SQUARED errors, CROSS entropies, wrong classes (ERROR), those that are kept
    item_first,
    items,
    points,
    t_stride,
    pair_first,  # of those in ends_ptr
    samples,
    blocks,  # blocks of samples a program takes
    layers,
    H: tl.constexpr,
    CP: tl.constexpr,
    BK: tl.constexpr,
    BN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    CURVE: tl.constexpr,
    BIASED: tl.constexpr,
    ENDS: tl.constexpr,
    SINGLE: tl.constexpr,
    SKIP: tl.constexpr,
    SKIP_LAST: tl.constexpr,
    MASKED: tl.constexpr,
    LABELS: tl.constexpr,
    SQUARED: tl.constexpr,
    CROSS: tl.constexpr,
    ERROR: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
):
    """Sums over a share of the samples of the losses of one item."""
    DT: tl.constexpr = x_ptr.dtype.element_ty
    item = item_first + tl.program_id(0).to(tl.int64)
    share = tl.program_id(1).to(tl.int64)
    pair, of, t = place(item, points, t_ptr, t_stride, CURVE, ACC)
    skip = tl.load(skip_ptr).to(ACC)
    inputs = size(table_ptr, 0, 4)
    classes = size(table_ptr, layers - 1, 5)
    rn = tl.arange(0, BN)
    rh = tl.arange(0, H)
    rk = tl.arange(0, BK)
    rc = tl.arange(0, CP)
    zero = tl.zeros((BN,), ACC)
    sums = (zero, zero, zero)
    last = tl.minimum((share + 1) * blocks, tl.cdiv(samples, BN))
    for block in tl.range(share * blocks, last, disable_licm=True, num_stages=1):
        start = block * BN
        left = (samples - start).to(tl.int32)
        x = x_ptr + start * inputs
        ones = ones_of(ones_ptr, start, rn, left, ACC)
        h = tl.zeros((BN, H), DT)
        source = tl.zeros((BN, H), DT)
        if not SINGLE:
            a = ends_ptr
            b = ends_ptr
            if ENDS:
                a, b = ends_of(ends_ptr, pair - pair_first, start, samples, H, CURVE)
            h, source = hidden_layers(
                table_ptr, x, a, b, x_ptr, left, ones, of, t, skip, layers, H, BK, BN, ACTIVATION, CURVE, BIASED, ENDS,
                SKIP, MASKED, False, PRECISION, DT, ACC,
            )  # fmt: skip
        label = labels_of(y_ptr, start, rn, left, LABELS)
        state = no_outputs(BN, ACC)
        for c in tl.range(0, classes, CP, num_stages=1):
            column = c + rc
            if SINGLE:
                f = tl.zeros((BN, CP), ACC)
                for k in tl.range(0, inputs, BK, num_stages=1):
                    a = rows(x, rn, left, k + rk, inputs, True)
                    v = weights(table_ptr, 0, of, inputs, classes, column, k + rk, t, CURVE, True, DT, ACC)
                    f = product_add(a, tl.trans(v), f, PRECISION)
            else:
                into = size(table_ptr, layers - 1, 4)
                v = weights(table_ptr, layers - 1, of, into, classes, column, rh, t, CURVE, True, DT, ACC)
                f = product_add(h, tl.trans(v), tl.zeros((BN, CP), ACC), PRECISION)
            f = add_bias(f, table_ptr, layers - 1, of, classes, column, ones, t, BIASED, CURVE, DT, ACC)
            if SKIP_LAST:
                f += skip * source.to(ACC)
            wanted = zero[:, None]
            if SQUARED:
                wanted = wanted_of(y_ptr, start, rn, left, column, label, classes, LABELS, ACC)
            state = see_outputs(f, column, label, wanted, classes, state, SQUARED, CROSS, ERROR)
        sums = add_losses(sums, state, label, rn < left, SQUARED, CROSS, ERROR)
    store_sums(sums_ptr, sums, share, tl.num_programs(1), item, items, SQUARED, CROSS, ERROR)
