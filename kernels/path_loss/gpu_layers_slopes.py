"""Gradients of path losses by the weights of narrow networks: forwards as ``gpu_layers``, then back layer by layer.

One program takes all samples of one item, block by block, and adds to the item's gradients in order: no two programs
write to the same place, and the same call gives the same bits.  Between the passes over a block its pre-activations
``(layers - 1, BN, H)`` are kept in a scratch of the program's own, which stays in L2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..spec import Launch
from ..triton_ops import activate, bend, chained_add, no_outputs, output_slopes, see_outputs
from .gpu_layers import hidden_layers
from .gpu_network import add_bias, labels_of, ones_of, place, rows, size, wanted_of, weights
from .gpu_task import SCRATCH, Task, constant

# Samples of a block and warps, as ``gpu_task.LAYERS`` has them; what is missing goes in tiles.
SLOPES = {
    "tf32x3": {16: (64, 4), 32: (64, 8), 64: (32, 8)},
    "ieee": {16: (64, 4), 32: (32, 8)},
    "tf32": {16: (64, 4), 32: (64, 4), 64: (64, 8)},
    "float64": {16: (64, 4), 32: (64, 8), 64: (64, 8)},
    "half": {},
}


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
    _add(w, offset, mask, chained_add(tl.trans(dz.to(DT)), a, zero, PRECISION).to(DT))


@triton.jit
def _add_bias_slopes(slopes_ptr, layer, local, out, row, dz, ones, DT: tl.constexpr):
    b = tl.multiple_of(tl.load(slopes_ptr + layer * 2 + 1).to(tl.pointer_type(DT)), 16) + local * out
    _add(b, row, row < out, tl.sum(dz * ones, 0).to(DT))


@triton.jit
def _back(table_ptr, layer, of, into, out, row, column, dz, t, CURVE: tl.constexpr, PRECISION: tl.constexpr,
          DT: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Gradients by what goes into a layer, from those by what comes out of it."""
    w = weights(table_ptr, layer, of, into, out, row, column, t, CURVE, True, DT, ACC)
    return chained_add(dz.to(DT), w, tl.zeros((dz.shape[0], column.shape[0]), ACC), PRECISION)


@triton.jit(do_not_specialize=["item_first", "items_here", "items", "points", "t_stride", "samples", "layers"])
def slopes_kernel(
    table_ptr,  # (layers, FIELDS) int64
    slopes_ptr,  # (layers, 2) int64: addresses of gradients by weights and biases, (items_here, …), to be added to
    x_ptr,  # (N, d_0)
    ones_ptr,  # (N,) what biases are multiplied with, or None for 1
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
    CURVE: tl.constexpr,
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
        _, of, t = place(item, points, t_ptr, t_stride, CURVE, ACC)
        squared = tl.load(factors_ptr + item)
        crossed = tl.load(factors_ptr + items + item)
        for block in tl.range(0, tl.cdiv(samples, BN), num_stages=1, disable_licm=True):
            start = block * BN + tl.zeros((), tl.int64)
            left = (samples - start).to(tl.int32)
            x = x_ptr + start * inputs
            ones = ones_of(ones_ptr, start, rn, left, ACC)
            a, source = hidden_layers(
                table_ptr, x, x_ptr, x_ptr, kept, left, ones, of, t, skip, layers, H, BK, BN, ACTIVATION, CURVE, BIASED,
                False, SKIP, MASKED, True, PRECISION, DT, ACC,
            )  # fmt: skip
            into = size(table_ptr, last, 4)
            w = weights(table_ptr, last, of, into, classes, rc, rh, t, CURVE, True, DT, ACC)
            f = chained_add(a, tl.trans(w), tl.zeros((BN, CP), ACC), PRECISION)
            f = add_bias(f, table_ptr, last, of, classes, rc, ones, t, BIASED, CURVE, DT, ACC)
            if SKIP_LAST:
                f += skip * source.to(ACC)
            label = labels_of(y_ptr, start, rn, left, LABELS)
            wanted = wanted_of(y_ptr, start, rn, left, rc, label, classes, LABELS, ACC)
            state = see_outputs(f, rc, label, wanted, classes, no_outputs(BN, ACC), False, CROSS, False)
            df = output_slopes(f, wanted, state, squared, crossed, SQUARED, CROSS)
            df = tl.where((rn[:, None] < left) & (rc[None, :] < classes), df, 0.0)
            _add_slopes(slopes_ptr, last, local, into, classes, rc, rh, df, a, BIASED, PRECISION, DT)
            if BIASED:
                _add_bias_slopes(slopes_ptr, last, local, classes, rc, df, ones, DT)
            da = _back(table_ptr, last, of, into, classes, rc, rh, df, t, CURVE, PRECISION, DT, ACC)
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
                    _add_bias_slopes(slopes_ptr, layer, local, out, rh, dz, ones, DT)
                da = _back(table_ptr, layer, of, into, out, rh, rh, dz, t, CURVE, PRECISION, DT, ACC)
                if SKIP:
                    odd = layer % 2 == 1
                    da = tl.where(odd, da, da + skipped)
                    skipped = tl.where(odd & (size(table_ptr, layer - 1, 4) == out), skip * dz, 0.0)
            dz = tl.where(rh[None, :] < width, da * bend(tl.load(kept + tile), ACTIVATION), 0.0)
            if BIASED:
                _add_bias_slopes(slopes_ptr, 0, local, width, rh, dz, ones, DT)
            for k in tl.range(0, inputs, BK, num_stages=1):
                samples_of = rows(x, rn, left, k + rk, inputs, True)
                _add_slopes(slopes_ptr, 0, local, inputs, width, rh, k + rk, dz, samples_of, BIASED, PRECISION, DT)
            tl.debug_barrier()  # the next block stores what this one reads


def fits(task: Task) -> bool:
    """Can the kernel do it: layers are two or more and held, and classes one tile?"""
    whole = task.widths[-1] <= task.classes
    return whole and not task.tiled and not task.single and task.plan.outputs in SLOPES[task.arithmetic]


def launch(task: Task, slopes: Sequence[tuple[Tensor, Tensor | None]], factors: Tensor, first: int) -> Launch:
    """Add gradients by weights and biases of items ``first`` … to ``slopes``.

    Args:
        task: what was evaluated.
        slopes: layer by layer, ``(items here, d_{i+1}, d_i)`` and ``(items here, d_{i+1})``.
        factors: ``(2, P T)``, what sums of squared errors and of cross entropies are multiplied with.
        first: the item of the first gradient.
    """
    samples, warps = SLOPES[task.arithmetic][task.plan.outputs]
    here, inner = len(slopes[0][0]), len(task.weights) - 1
    one = inner * samples * task.plan.outputs * task.sum_dtype.itemsize
    programs = max(1, min(here, 4 * task.gpu.processors, SCRATCH // 3 // one))
    addresses = tuple(0 if s is None else s.data_ptr() for layer in slopes for s in layer)
    arguments = task.arguments | {
        "slopes_ptr": constant(addresses, torch.int64, task.x.device),
        "factors_ptr": factors,
        "kept_ptr": task.scratch(programs, inner, samples, task.plan.outputs, dtype=task.sum_dtype),
        "item_first": first,
        "items_here": here,
    }
    constants = task.constants | task.held | {"BN": samples}
    return Launch(slopes_kernel, (programs,), arguments, constants, warps)
