"""Losses of wide networks: the same walk through the layers as ``gpu_layers``, in tiles of inputs and outputs.

``mix_kernel`` interpolates the weights of some items beforehand, padded to whole tiles, and for three-pass float32
splits them into what TF32 holds and the rest.  ``tiled_kernel`` keeps the activations of its block of samples in two
buffers ``(BN, width)`` of its own, which stay in L2: as many programs as there are buffers take the work in turns.
``ends_kernel`` computes first pre-activations at the ends of a curve, for all points, where inputs are many.

Code size depends neither on width nor on depth.  ``BO`` outputs of a tile; other sizes as in ``gpu_layers``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..triton_ops import activate, add_losses, no_outputs, product_add, see_outputs
from .gpu_layers import store_sums
from .gpu_network import (
    FIELDS,
    add_bias,
    ends_of,
    labels_of,
    mixed,
    ones_of,
    place,
    pointer,
    rescaled,
    rows,
    size,
    wanted_of,
    weights,
)


@triton.jit
def _split(x):
    """``x`` as a number of TF32's eleven bits and the rest, exactly."""
    high = (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
    return high, x - high


@triton.jit(do_not_specialize=["layer", "item_first", "points", "t_stride", "item_size"])
def mix_kernel(
    table_ptr,  # (layers, FIELDS) int64
    t_ptr,
    mixed_ptr,  # (items, item_size): of a layer, from where the table says, (out padded, into padded), THREE: twice
    layer,
    item_first,
    points,
    t_stride,
    item_size,
    BK: tl.constexpr,
    BO: tl.constexpr,
    CURVE: tl.constexpr,
    THREE: tl.constexpr,
    ACC: tl.constexpr,
):
    """Weights of a layer at items ``item_first`` …: one program a tile; see ``gpu_network.rescaled``."""
    DT: tl.constexpr = mixed_ptr.dtype.element_ty
    local = tl.program_id(2).to(tl.int64)
    row = tl.program_id(0) * BO + tl.arange(0, BO)
    column = tl.program_id(1) * BK + tl.arange(0, BK)
    _, of, t = place(item_first + local, points, t_ptr, t_stride, CURVE, ACC)
    into = size(table_ptr, layer, 4)
    out = size(table_ptr, layer, 5)
    w = weights(table_ptr, layer, of, into, out, row, column, t, CURVE, True, DT, ACC)
    start = tl.load(table_ptr + layer * FIELDS + 6)
    padded = tl.num_programs(1) * BK
    at = mixed_ptr + local * item_size + start + row[:, None] * padded + column[None, :]
    if THREE:
        high, low = _split(w)
        tl.store(at, high)
        tl.store(at + tl.num_programs(0) * BO * padded, low)
    else:
        tl.store(at, w)


@triton.jit
def _skipped(x, inputs, row, left, before, at, layer, column):
    """What a skip adds to outputs ``column`` of ``layer``: what went into the layer before, as wide as they are."""
    return rows(x, row, left, column, inputs, True) if layer == 1 else tl.load(before + at)


@triton.jit
def _tile(a_ptr, a_stride, row, w_ptr, column, into, out, BN: tl.constexpr, BK: tl.constexpr, COLUMNS: tl.constexpr,
          MASKED: tl.constexpr, THREE: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Outputs ``column`` of a layer, ``(BN, COLUMNS)``: rows of ``a`` by weights that ``mix_kernel`` left at ``w_ptr``.

    Three passes add the small products apart, so that an infinite number, whose rest is NaN, stays one: where their sum
    is NaN, the large product says what the whole is.
    """
    padded = tl.cdiv(into, BK) * BK
    low = tl.cdiv(out, COLUMNS).to(tl.int64) * COLUMNS * padded
    rk = tl.arange(0, BK)
    a_at = a_ptr + row[:, None] * a_stride + rk[None, :]
    w_at = w_ptr + column[None, :] * padded + rk[:, None]
    total = tl.zeros((BN, COLUMNS), ACC)
    small = tl.zeros((BN, COLUMNS), ACC)
    for k in tl.range(0, into, BK):
        a = tl.load(a_at + k, (k + rk)[None, :] < into, other=0.0) if MASKED else tl.load(a_at + k)
        w = tl.load(w_at + k)
        if THREE:
            high, rest = _split(a)
            small = product_add(rest, w, small, PRECISION)
            small = product_add(high, tl.load(w_at + low + k), small, PRECISION)
            total = product_add(high, w, total, PRECISION)
        else:
            total = product_add(a, w, total, PRECISION)
    if THREE:
        total += tl.where(small == small, small, 0.0)
    return total


@triton.jit(do_not_specialize=["item_first", "items_here", "items", "points", "t_stride", "pair_first", "samples",
                               "blocks", "shares", "layers"])  # fmt: skip
def tiled_kernel(
    table_ptr,  # (layers, FIELDS) int64
    x_ptr,  # (N, d_0)
    ones_ptr,  # (N,) what biases are multiplied with, or None for 1
    y_ptr,  # (N, C), or (N,) int64 labels
    t_ptr,  # (T,) or (P, T)
    skip_ptr,  # (1,) float64
    ends_ptr,  # (pairs, ends, N, width): the first pre-activation at the ends, read if ENDS
    mixed_ptr,  # (items_here, item_size), as mix_kernel leaves it
    buffer_ptr,  # (programs, 2, BN, width)
    sums_ptr,  # (…, shares, items)
    item_first,
    items_here,
    items,
    points,
    t_stride,
    pair_first,  # of those in ends_ptr
    samples,
    blocks,  # of samples, in a share
    shares,
    layers,
    item_size,
    width,  # of the widest hidden layer, padded to a multiple of BO
    CP: tl.constexpr,
    BK: tl.constexpr,
    BO: tl.constexpr,
    BN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    CURVE: tl.constexpr,
    BIASED: tl.constexpr,
    ENDS: tl.constexpr,
    SINGLE: tl.constexpr,
    SKIP: tl.constexpr,
    MASKED: tl.constexpr,  # d_0 is no multiple of BK
    LABELS: tl.constexpr,
    SQUARED: tl.constexpr,
    CROSS: tl.constexpr,
    ERROR: tl.constexpr,
    THREE: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
):
    """Sums over shares of the samples of the losses of some items; to the same places as ``layers_kernel``'s."""
    DT: tl.constexpr = x_ptr.dtype.element_ty
    skip = tl.load(skip_ptr).to(ACC)
    inputs = size(table_ptr, 0, 4)
    classes = size(table_ptr, layers - 1, 5)
    rn = tl.arange(0, BN)
    ro = tl.arange(0, BO)
    rc = tl.arange(0, CP)
    buffer = buffer_ptr + tl.program_id(0).to(tl.int64) * 2 * BN * width
    for work in tl.range(tl.program_id(0), items_here * shares, tl.num_programs(0), num_stages=1):
        local = (work // shares).to(tl.int64)
        share = (work % shares).to(tl.int64)
        item = item_first + local
        pair, of, t = place(item, points, t_ptr, t_stride, CURVE, ACC)
        w_ptr = mixed_ptr + local * item_size
        zero = tl.zeros((BN,), ACC)
        sums = (zero, zero, zero)
        last = tl.minimum((share + 1) * blocks, tl.cdiv(samples, BN))
        for block in tl.range(share * blocks, last, num_stages=1):
            start = block * BN
            left = (samples - start).to(tl.int32)
            here = tl.minimum(rn, left - 1)  # rows beyond the last sample repeat it and count for nothing
            x = x_ptr + start * inputs
            ones = ones_of(ones_ptr, start, rn, left, ACC)
            if not SINGLE:
                out = size(table_ptr, 0, 5)
                for j in tl.range(0, out, BO, num_stages=1):
                    column = j + ro
                    if ENDS:
                        a, b = ends_of(ends_ptr, pair - pair_first, start, samples, width, CURVE)
                        at = here[:, None] * width + column[None, :]
                        z = mixed(a, b, at, True, t, CURVE == "line", False, ACC)
                    else:
                        z = _tile(
                            x, inputs, here, w_ptr, column, inputs, out, BN, BK, BO, MASKED, THREE, PRECISION, ACC
                        )
                        z = add_bias(z, table_ptr, 0, of, out, column, ones, t, BIASED, CURVE, DT, ACC)
                    z = rescaled(z, table_ptr, 0, of, column, out, t, CURVE, DT, ACC)
                    h = tl.where(column[None, :] < out, activate(z, ACTIVATION), 0.0)
                    tl.store(buffer + rn[:, None] * width + column[None, :], h.to(DT))
                tl.debug_barrier()
            for layer in tl.range(1, layers - 1, num_stages=1):
                into = size(table_ptr, layer, 4)
                out = size(table_ptr, layer, 5)
                skipped = (layer % 2 == 1) & (size(table_ptr, layer - 1, 4) == out)
                source = buffer + (layer + 1) % 2 * BN * width
                target = buffer + layer % 2 * BN * width
                for j in tl.range(0, out, BO, num_stages=1):
                    column = j + ro
                    w = w_ptr + tl.load(table_ptr + layer * FIELDS + 6)
                    z = _tile(source, width, rn, w, column, into, out, BN, BK, BO, False, THREE, PRECISION, ACC)
                    z = add_bias(z, table_ptr, layer, of, out, column, ones, t, BIASED, CURVE, DT, ACC)
                    z = rescaled(z, table_ptr, layer, of, column, out, t, CURVE, DT, ACC)
                    at = rn[:, None] * width + column[None, :]
                    if SKIP and skipped:
                        z += skip * _skipped(x, inputs, rn, left, target, at, layer, column).to(ACC)
                    h = tl.where(column[None, :] < out, activate(z, ACTIVATION), 0.0)
                    tl.store(target + at, h.to(DT))
                tl.debug_barrier()
            into = size(table_ptr, layers - 1, 4)
            skipped = (layers % 2 == 0) & (size(table_ptr, tl.maximum(layers - 2, 0), 4) == classes)
            w = w_ptr + tl.load(table_ptr + (layers - 1) * FIELDS + 6)
            source = buffer + layers % 2 * BN * width
            before = buffer + (layers + 1) % 2 * BN * width
            label = labels_of(y_ptr, start, rn, left, LABELS)
            state = no_outputs(BN, ACC)
            for c in tl.range(0, classes, CP, num_stages=1):
                column = c + rc
                if SINGLE:
                    f = _tile(x, inputs, here, w, column, into, classes, BN, BK, CP, MASKED, THREE, PRECISION, ACC)
                else:
                    f = _tile(source, width, rn, w, column, into, classes, BN, BK, CP, False, THREE, PRECISION, ACC)
                f = add_bias(f, table_ptr, layers - 1, of, classes, column, ones, t, BIASED, CURVE, DT, ACC)
                if SKIP and skipped:
                    at = rn[:, None] * width + column[None, :]
                    f += skip * _skipped(x, inputs, rn, left, before, at, layers - 1, column).to(ACC)
                wanted = zero[:, None]
                if SQUARED:
                    wanted = wanted_of(y_ptr, start, rn, left, column, label, classes, LABELS, ACC)
                state = see_outputs(f, column, label, wanted, classes, state, SQUARED, CROSS, ERROR)
            tl.debug_barrier()
            sums = add_losses(sums, state, label, rn < left, SQUARED, CROSS, ERROR)
        store_sums(sums_ptr, sums, share, shares, item, items, SQUARED, CROSS, ERROR)


@triton.jit(do_not_specialize=["pair_first", "samples"])
def ends_kernel(
    table_ptr,
    x_ptr,  # (N, d_0)
    ones_ptr,
    ends_ptr,  # (pairs, ENDS, N, width)
    pair_first,
    samples,
    width,
    BK: tl.constexpr,
    BO: tl.constexpr,
    BN: tl.constexpr,
    ENDS: tl.constexpr,
    BIASED: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
):
    """First pre-activations of pairs ``pair_first`` … at the ends of their curves; 0 in the padding."""
    DT: tl.constexpr = x_ptr.dtype.element_ty
    end = tl.program_id(0) % ENDS
    local = (tl.program_id(0) // ENDS).to(tl.int64)
    inputs = size(table_ptr, 0, 4)
    out = size(table_ptr, 0, 5)
    rn = tl.arange(0, BN)
    rk = tl.arange(0, BK)
    column = tl.program_id(2) * BO + tl.arange(0, BO)
    start = tl.program_id(1).to(tl.int64) * BN
    left = (samples - start).to(tl.int32)
    w_ptr = pointer(table_ptr, 0, end, DT) + (pair_first + local) * out * inputs
    z = tl.zeros((BN, BO), ACC)
    for k in tl.range(0, inputs, BK):
        mask = (column[:, None] < out) & ((k + rk)[None, :] < inputs)
        w = tl.load(w_ptr + column[:, None] * inputs + (k + rk)[None, :], mask, other=0.0)
        z = product_add(rows(x_ptr + start * inputs, rn, left, k + rk, inputs, True), tl.trans(w), z, PRECISION)
    if BIASED:
        b_ptr = pointer(table_ptr, 0, 2 + end, DT) + (pair_first + local) * out
        ones = ones_of(ones_ptr, start, rn, left, ACC)
        z += ones * tl.load(b_ptr + column, column < out, other=0.0).to(ACC)[None, :]
    at = ends_ptr + ((local * ENDS + end) * samples + start) * width + rn[:, None] * width + column[None, :]
    tl.store(at, z, rn[:, None] < left)
