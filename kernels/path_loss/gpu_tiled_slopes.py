"""Gradients of path losses of wide networks: some items and samples at a time, layer by layer, in tiles.

``forward_kernel`` makes the pre-activations ``(items, room, d_{i+1})`` of a layer, ``outputs_kernel`` puts gradients in
place of the last ones.  Then, from the last layer down, ``weights_kernel`` adds to the gradients by a layer's weights
and ``back_kernel`` puts gradients in place of the pre-activations before it.  No two programs write to the same place.

Weights are interpolated as they are read.  ``BO`` inputs or outputs of a tile; other sizes as in ``gpu_network``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import triton
import triton.language as tl
from torch import Tensor

from ..spec import Launch
from ..triton_ops import activate, bend, no_outputs, output_slopes, product_add, see_outputs
from .gpu_network import add_bias, labels_of, ones_of, place, rows, wanted_of, weights
from .gpu_task import SCRATCH, TILES, TL, Task

ROWS = 512  # samples at once: the fewer, the more items, whose gradients are independent


@triton.jit
def _inputs(x_ptr, before_ptr, local, first, room, row, left, column, into, ACTIVATION: tl.constexpr, DT: tl.constexpr):
    """What goes into a layer: samples, or activations of the layer before."""
    if before_ptr is None:
        return rows(x_ptr + first * into, row, left, column, into, True)
    else:
        z = rows(before_ptr + local * room * into, row, left, column, into, True)
        return activate(z, ACTIVATION).to(DT)


@triton.jit(do_not_specialize=["item_first", "points", "t_stride", "first", "left", "room", "layer"])
def forward_kernel(
    table_ptr,  # (layers, FIELDS) int64
    x_ptr,  # (N, d_0)
    ones_ptr,  # (N,) what biases are multiplied with, or None for 1
    t_ptr,  # (T,) or (P, T)
    skip_ptr,  # (1,) float64
    before_ptr,  # (items, room, into): pre-activations of the layer before, or None for samples
    source_ptr,  # (items, room, out): those of the layer that skips to this one, or None for samples, read if SKIP
    z_ptr,  # (items, room, out)
    item_first,
    points,
    t_stride,
    first,  # sample
    left,  # samples from there on
    room,
    layer,
    into,
    out,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BO: tl.constexpr,
    ACTIVATION: tl.constexpr,
    CURVE: tl.constexpr,
    BIASED: tl.constexpr,
    SKIP: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
):
    """Pre-activations of a layer: one program a tile."""
    DT: tl.constexpr = x_ptr.dtype.element_ty
    local = tl.program_id(0).to(tl.int64)
    _, of, t = place(item_first + local, points, t_ptr, t_stride, CURVE, ACC)
    row = tl.program_id(1) * BN + tl.arange(0, BN)
    column = tl.program_id(2) * BO + tl.arange(0, BO)
    first = first + tl.zeros((), tl.int64)
    z = tl.zeros((BN, BO), ACC)
    for k in tl.range(0, into, BK):
        rk = k + tl.arange(0, BK)
        a = _inputs(x_ptr, before_ptr, local, first, room, row, left, rk, into, ACTIVATION, DT)
        w = weights(table_ptr, layer, of, into, out, column, rk, t, CURVE, True, DT, ACC)
        z = product_add(a, tl.trans(w), z, PRECISION)
    ones = ones_of(ones_ptr, first, row, left, ACC)
    z = add_bias(z, table_ptr, layer, of, out, column, ones, t, BIASED, CURVE, DT, ACC)
    if SKIP:
        source = _inputs(x_ptr, source_ptr, local, first, room, row, left, column, out, ACTIVATION, DT)
        z += tl.load(skip_ptr).to(ACC) * source.to(ACC)
    at = z_ptr + local * room * out + row[:, None] * out + column[None, :]
    tl.store(at, z, (row[:, None] < left) & (column[None, :] < out))


@triton.jit(do_not_specialize=["item_first", "items", "first", "left", "room"])
def outputs_kernel(
    z_ptr,  # (items, room, C): outputs, then gradients by them
    y_ptr,  # (N, C), or (N,) int64 labels
    factors_ptr,  # (2, items): what the sums of squared errors and of cross entropies are multiplied with
    item_first,
    items,
    first,
    left,
    room,
    classes,
    BN: tl.constexpr,
    CP: tl.constexpr,
    LABELS: tl.constexpr,
    SQUARED: tl.constexpr,
    CROSS: tl.constexpr,
    ACC: tl.constexpr,
):
    """Gradients by outputs in place of these."""
    local = tl.program_id(0).to(tl.int64)
    factor_ptr = factors_ptr + item_first + local
    squared, crossed = tl.load(factor_ptr), tl.load(factor_ptr + items)
    row = tl.program_id(1) * BN + tl.arange(0, BN)
    first = first + tl.zeros((), tl.int64)
    z_ptr += local * room * classes
    label = labels_of(y_ptr, first, row, left, LABELS)
    state = no_outputs(BN, ACC)
    if CROSS:
        for c in tl.range(0, classes, CP, num_stages=1):
            column = c + tl.arange(0, CP)
            z = rows(z_ptr, row, left, column, classes, True)
            state = see_outputs(z, column, label, z, classes, state, False, True, False)
        tl.debug_barrier()  # all threads have read what others write
    for c in tl.range(0, classes, CP, num_stages=1):
        column = c + tl.arange(0, CP)
        z = rows(z_ptr, row, left, column, classes, True)
        wanted = wanted_of(y_ptr, first, row, left, column, label, classes, LABELS, ACC)
        dz = output_slopes(z, wanted, state, squared, crossed, SQUARED, CROSS)
        at = z_ptr + row[:, None] * classes + column[None, :]
        tl.store(at, dz, (row[:, None] < left) & (column[None, :] < classes))


@triton.jit(do_not_specialize=["slope_first", "first", "left", "room"])
def weights_kernel(
    x_ptr,  # (N, d_0)
    ones_ptr,  # (N,), or None for 1
    before_ptr,  # (items, room, into), or None
    dz_ptr,  # (items, room, out)
    weight_slopes_ptr,  # (…, out, into), to be added to from `slope_first` on
    bias_slopes_ptr,  # (…, out), or None
    slope_first,
    first,
    left,
    room,
    into,
    out,
    BK: tl.constexpr,  # samples
    BO: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
):
    """Gradients by a layer's weights and biases: one program a tile, all samples in order."""
    DT: tl.constexpr = x_ptr.dtype.element_ty
    local = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * BO + tl.arange(0, BO)
    column = tl.program_id(2) * BO + tl.arange(0, BO)
    first = first + tl.zeros((), tl.int64)
    by_weights = tl.zeros((BO, BO), ACC)
    by_biases = tl.zeros((BO,), ACC)
    for k in tl.range(0, left, BK):
        rk = k + tl.arange(0, BK)
        dz = rows(dz_ptr + local * room * out, rk, left, row, out, True)
        a = _inputs(x_ptr, before_ptr, local, first, room, rk, left, column, into, ACTIVATION, DT)
        by_weights = product_add(tl.trans(dz.to(DT)), a, by_weights, PRECISION)
        if bias_slopes_ptr is not None:
            by_biases += tl.sum(dz * ones_of(ones_ptr, first, rk, left, ACC), 0)
    at = weight_slopes_ptr + (slope_first + local) * out * into + row[:, None] * into + column[None, :]
    mask = (row[:, None] < out) & (column[None, :] < into)
    tl.store(at, tl.load(at, mask, other=0.0) + by_weights, mask)
    if bias_slopes_ptr is not None:
        at = bias_slopes_ptr + (slope_first + local) * out + row
        mask = row < tl.where(tl.program_id(2) == 0, out, 0)  # once
        tl.store(at, tl.load(at, mask, other=0.0) + by_biases, mask)


@triton.jit(do_not_specialize=["item_first", "points", "t_stride", "left", "room", "layer"])
def back_kernel(
    table_ptr,
    t_ptr,
    skip_ptr,
    dz_ptr,  # (items, room, out): gradients by the pre-activations of a layer
    later_ptr,  # (items, room, into): by those of the layer after it, to which its inputs skip, or None
    z_ptr,  # (items, room, into): pre-activations of the layer before, then gradients by them
    item_first,
    points,
    t_stride,
    left,
    room,
    layer,
    into,
    out,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BO: tl.constexpr,
    DT: tl.constexpr,
    ACTIVATION: tl.constexpr,
    CURVE: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
):
    """Gradients by the pre-activations of the layer before, in place of these."""
    local = tl.program_id(0).to(tl.int64)
    _, of, t = place(item_first + local, points, t_ptr, t_stride, CURVE, ACC)
    row = tl.program_id(1) * BN + tl.arange(0, BN)
    column = tl.program_id(2) * BO + tl.arange(0, BO)
    da = tl.zeros((BN, BO), ACC)
    for k in tl.range(0, out, BK):
        rk = k + tl.arange(0, BK)
        dz = rows(dz_ptr + local * room * out, row, left, rk, out, True).to(DT)
        w = weights(table_ptr, layer, of, into, out, rk, column, t, CURVE, True, DT, ACC)
        da = product_add(dz, w, da, PRECISION)
    start = local * room * into
    if later_ptr is not None:
        da += tl.load(skip_ptr).to(ACC) * rows(later_ptr + start, row, left, column, into, True)
    z = rows(z_ptr + start, row, left, column, into, True)
    at = z_ptr + start + row[:, None] * into + column[None, :]
    tl.store(at, da * bend(z, ACTIVATION), (row[:, None] < left) & (column[None, :] < into))


KERNELS = {"forward": forward_kernel, "outputs": outputs_kernel, "weights": weights_kernel, "back": back_kernel}


def launches(
    task: Task, slopes: Sequence[tuple[Tensor, Tensor | None]], factors: Tensor, first: int
) -> Iterator[Launch]:
    """Add gradients by weights and biases of items ``first`` … to ``slopes``.

    Args:
        task: what was evaluated.
        slopes: layer by layer, ``(items here, d_{i+1}, d_i)`` and ``(items here, d_{i+1})``, in ``task.sum_dtype``.
        factors: ``(2, P T)``, what sums of squared errors and of cross entropies are multiplied with.
        first: the item of the first gradient.

    Yields:
        The launches; they share scratch, so that each must run before the next.
    """
    here, samples, block = len(slopes[0][0]), task.x.shape[0], TILES[task.arithmetic].samples
    fitting = SCRATCH // 3 // (sum(task.widths[1:]) * task.sum_dtype.itemsize)  # rows of all layers
    room = min(samples, ROWS, max(block, fitting // block * block))
    together = max(1, min(here, fitting // room))
    kept = [task.scratch(together, room, width, dtype=task.sum_dtype) for width in task.widths[1:]]
    for item in range(0, here, together):
        for sample in range(0, samples, room):
            numbers = {"item_first": first + item, "slope_first": item, "first": sample, "room": room}
            numbers |= {"left": min(room, samples - sample), "factors_ptr": factors}
            yield from _part(task, slopes, kept, min(together, here - item), task.arguments | numbers)


def _part(task: Task, slopes, kept, items: int, arguments) -> Iterator[Launch]:
    """So many items and the samples that ``arguments`` name.

    Yields:
        The launches, in order.
    """
    plan, layers = TILES[task.arithmetic], len(kept)
    sizes = {"BN": plan.samples, "BK": plan.inputs, "BO": plan.outputs, "CP": min(task.classes, 32)}
    constants = task.constants | sizes | {"PRECISION": task.product, "DT": TL[task.x.dtype]}
    row_tiles = triton.cdiv(arguments["left"], plan.samples)

    def launch(kernel, *tiles, skip=False, **given):
        known = arguments | constants | given | {"SKIP": skip}
        constexpr = {name: known[name] for name in kernel.arg_names if name in constants}
        others = {name: known[name] for name in kernel.arg_names if name not in constexpr}
        return Launch(kernel, (items, *tiles), others, constexpr, plan.warps, plan.stages)

    def of(layer):
        into, out = task.widths[layer : layer + 2]
        return {"layer": layer, "into": into, "out": out, "before_ptr": kept[layer - 1] if layer else None}

    tiles = [triton.cdiv(width, plan.outputs) for width in task.widths]
    for layer in range(layers):
        source = kept[layer - 2] if layer > 1 else None
        given = {"source_ptr": source, "z_ptr": kept[layer], "skip": task.skips_to(layer)}
        yield launch(forward_kernel, row_tiles, tiles[layer + 1], **of(layer), **given)
    yield launch(outputs_kernel, row_tiles, z_ptr=kept[-1], classes=task.widths[-1])
    for layer in reversed(range(layers)):
        by_weights, by_biases = slopes[layer]
        given = {"dz_ptr": kept[layer], "weight_slopes_ptr": by_weights, "bias_slopes_ptr": by_biases}
        yield launch(weights_kernel, tiles[layer + 1], tiles[layer], **of(layer), **given)
        if layer:
            later = kept[layer + 1] if task.skips_to(layer + 1) else None
            given = {"dz_ptr": kept[layer], "later_ptr": later, "z_ptr": kept[layer - 1]}
            yield launch(back_kernel, row_tiles, tiles[layer], **of(layer), **given)
