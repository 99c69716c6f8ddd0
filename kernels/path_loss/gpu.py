"""Losses along paths on a GPU: the functions, and what is compiled ahead of time.

Sums over shares of the samples are added in order: the same call gives the same bits, and so does a pair whatever is
evaluated beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import islice, pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import target
from ..spec import Launch, Spec, Variant, aligned
from ..target import Gpu
from . import autograd, gpu_layers_slopes, gpu_slopes, gpu_tiled_slopes
from .blocks import scale
from .gpu_factor import factor
from .gpu_layers import layers_kernel
from .gpu_task import SUMS, Task, constant
from .gpu_tiled import ends_kernel, mix_kernel, tiled_kernel


def run(task: Task) -> list[Tensor]:
    """Evaluate; losses ``(P, T)``, one tensor a name in ``losses``."""
    values = [task.x.new_empty(task.pairs, task.points) for _ in task.losses]
    if task.pairs * task.points == 0:
        return values
    sums = task.scratch(len(task.kept), task.shares, task.pairs * task.points, dtype=task.sum_dtype)
    for launch in task.launches(sums):
        launch()
    for loss, value in zip(task.losses, values, strict=True):
        _add(sums[task.kept.index(SUMS[loss])], scale(loss, task.count, task.widths[-1]), value)()
    return values


def _values(make, tensors, **options) -> list[Tensor]:
    """Losses of the task that ``make`` makes; of the samples themselves where those of their factor are not finite.

    Zeros of the factor times infinity are not what samples give.
    """
    task = make(*tensors, **options)
    values = run(task)
    if task.rows_of is None:
        return values
    lost = (~torch.stack(values).isfinite()).any(2).any(0).nonzero()[:, 0]
    if len(lost):
        *stacks, x, y = tensors
        some = [s[lost] if isinstance(s, Tensor) else s and [layer[lost] for layer in s] for s in stacks]
        for value, again in zip(values, run(make(*some, x, y, whole=True, **options)), strict=True):
            value[lost] = again
    return values


def path_loss(weights_a, weights_b, x, y, t, *, precision, **options):
    """Losses ``(P, T)`` on straight lines at ``t`` ``(T,)`` or ``(P, T)``, one tensor a name in ``losses``."""
    t = t.expand(weights_a[0].shape[0], -1)

    def evaluate(*tensors, **options):
        return _values(_line, tensors, precision=precision, **options)

    slopes = functools.partial(path_slopes, precision=precision)
    return autograd.path_loss(evaluate, slopes, weights_a, weights_b, x, y, t, **options)


def path_slopes(t, weights_a, weights_b, biases_a, biases_b, x, y, upstream, *, precision, **options) -> list[Tensor]:
    """Gradients by ``t``, weights and biases from those by the losses ``(P, T)``."""
    tensors = (t, weights_a, weights_b, biases_a, biases_b, x, y)
    return gpu_slopes.path_slopes(_line(*tensors, precision=precision, **options), upstream)


def curve_loss(weights, x, y, *, biases, precision, **options):
    """Losses ``(P, T)`` at explicit weights ``(P, T, d_{i+1}, d_i)``, one tensor a name in ``losses``."""

    def evaluate(*tensors, **options):
        return _values(_curve, tensors, precision=precision, **options)

    slopes = functools.partial(curve_slopes, precision=precision)
    return autograd.curve_loss(evaluate, slopes, weights, x, y, biases=biases, **options)


def curve_slopes(weights, biases, x, y, upstream, *, precision, **options) -> list[Tensor]:
    """Gradients by weights and biases from those by the losses ``(P, T)``."""
    return gpu_slopes.curve_slopes(_curve(weights, biases, x, y, precision=precision, **options), upstream)


def rescaling_loss(weights, logs, x, y, t, *, biases, precision, **options):
    """Losses ``(P, T)`` on curves of rescalings at ``t`` ``(T,)`` or ``(P, T)``, one tensor a name in ``losses``."""
    t = t.expand(weights[0].shape[0], -1)

    def evaluate(*tensors, **options):
        return _values(_rescaling, tensors, precision=precision, **options)

    slopes = functools.partial(curve_slopes, precision=precision)
    return autograd.rescaling_loss(evaluate, slopes, weights, logs, x, y, t, biases=biases, **options)


def _line(t, weights_a, weights_b, biases_a, biases_b, x, y, **options) -> Task:
    return _task_of((weights_a, biases_a, weights_b, biases_b), x, y, aligned(t), **options)


def _curve(weights, biases, x, y, **options) -> Task:
    return _task_of((weights, biases, None, None), x, y, None, **options)


def _rescaling(t, weights, logs, biases, x, y, **options) -> Task:
    logs = [aligned(log) for log in logs]
    return _task_of((weights, biases, None, None), x, y, aligned(t), logs=logs, **options)


def _task_of(layers, x, y, t, *, whole: bool = False, **options) -> Task:
    """The task on all samples if they are to be ``whole``, else on the rows of their factor where these do."""
    rows = None if whole else factor(x, y, layers[0][-1].shape[-2], options["activation"], options["losses"])
    rows_of = rows and x.shape[0]
    x, ones, y = rows or (x, None, y if y.is_floating_point() else y.long())
    stacks = (part and [aligned(layer) for layer in part] for part in layers)
    return Task(*stacks, aligned(x), aligned(y), t, gpu=target.gpu(x.device), rows_of=rows_of, ones=ones, **options)


@triton.jit(do_not_specialize=["items", "shares"])
def _add_kernel(sums_ptr, scale_ptr, out_ptr, items, shares, BLOCK: tl.constexpr):
    """``out = scale Σ sums``, ``sums`` ``(shares, items)``, from the first share to the last."""
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = item < items
    at = sums_ptr + item
    total = tl.load(at, mask, other=0.0)
    for _ in tl.range(1, shares):
        at += items
        total += tl.load(at, mask, other=0.0)
    total *= tl.load(scale_ptr).to(total.dtype)
    tl.store(out_ptr + item, total.to(out_ptr.dtype.element_ty), mask)


def _add(sums: Tensor, factor: float, value: Tensor, block: int = 256) -> Launch:
    """``value`` becomes the sums over shares, times a factor."""
    shares, items = sums.shape
    scale_ptr = constant((factor,), torch.float64, sums.device)
    arguments = {"sums_ptr": aligned(sums), "scale_ptr": scale_ptr, "out_ptr": value, "items": items, "shares": shares}
    return Launch(_add_kernel, (triton.cdiv(items, block),), arguments, {"BLOCK": block}, num_warps=4)


SAMPLES, POINTS = 1797, 25  # of the variants that are compiled ahead of time: they stand for any


def _task(variant: Variant, gpu: Gpu, rescaled: bool) -> Task:
    sizes = variant.sizes
    widths = [sizes["inputs"], *[sizes["width"]] * (sizes["depth"] - 1), 10]
    like = {"dtype": variant.dtype, "device": "meta"}
    weights = [torch.empty(64, out, into, **like) for into, out in pairwise(widths)]
    biases = [torch.empty(64, out, **like) for out in widths[1:]]
    x, y = torch.empty(SAMPLES, widths[0], **like), torch.empty(SAMPLES, dtype=torch.int64, device="meta")
    precision = {"tf32x3": "3xtf32"}.get(variant.precision, variant.precision)
    data, options = (x, y, torch.empty(POINTS, **like)), ("relu", 0.0, ("cross_entropy",), precision, gpu)
    if rescaled:
        return Task(weights, biases, None, None, *data, *options, logs=biases[:-1])
    return Task(weights, biases, weights, biases, *data, *options)


def _spec(name: str, kernel, variants: Sequence[Variant]) -> Spec:
    rescaled = name.startswith("rescaling")

    def launch(variant: Variant, gpu: Gpu) -> Launch:
        task = _task(variant, gpu, rescaled)
        items, like = task.pairs * task.points, {"dtype": task.sum_dtype, "device": "meta"}
        if "slopes" in name:
            factors, room = torch.empty(2, items, **like), gpu_slopes.room(task, items, task.sum_dtype)
            launches = gpu_slopes.launches(task, room, factors, 0)
        else:
            launches = task.launches(torch.empty(1, task.shares, items, **like))
        found = [launch for launch in islice(launches, 9) if launch.kernel is kernel]
        return found[len(found) // 2]  # where layers have launches of their own that of a hidden one

    def flops(variant: Variant) -> float:
        return _flops(variant) * (3 if "slopes" in name else 1)

    def read(variant: Variant) -> float:
        return _bytes(variant) * (1 if rescaled else 2)

    return Spec(name, tuple(variants), launch, flops, read)


def _flops(variant: Variant) -> float:
    """Of one pair and point, when the first layer is shared by many points."""
    hidden = variant.sizes["width"]
    return 2 * SAMPLES * hidden * (hidden * (variant.sizes["depth"] - 2) + 10)


def _bytes(variant: Variant) -> float:
    """Of one pair and point: the weights of one end; data and what points share stay in the cache."""
    hidden, inputs = variant.sizes["width"], variant.sizes["inputs"]
    layers = [inputs * hidden, *[hidden * hidden] * (variant.sizes["depth"] - 2), hidden * 10]
    return sum(layers) * variant.dtype.itemsize


def _variants(widths, dtype, precision="ieee", inputs=64, default=True) -> list[Variant]:
    return [Variant(dtype, {"inputs": inputs, "width": w, "depth": 3}, default, precision) for w in widths]


F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
SPECS = (
    _spec(
        "path_loss",
        layers_kernel,
        [
            *_variants((7, 16, 32, 33, 64), F32, "tf32x3"),
            *_variants((7, 16, 32, 33, 64), F64),
            *_variants((64,), F32, "tf32x3", inputs=784),
            *_variants((16, 32, 64, 128), F32, "ieee", default=False),
            *_variants((16, 32, 64, 128), F32, "tf32", default=False),
            *_variants((16, 32, 64, 128), BF16, default=False),
        ],
    ),
    _spec(
        "path_loss_tiled",
        tiled_kernel,
        [
            *_variants((100, 128, 256), F32, "tf32x3"),
            *_variants((100, 128, 256), F64),
            *_variants((256,), F32, "tf32x3", inputs=784),
            *_variants((256,), F32, "ieee", default=False),
            *_variants((256,), F32, "tf32", default=False),
            *_variants((256,), BF16, default=False),
        ],
    ),
    _spec(
        "rescaling_loss",
        layers_kernel,
        [
            *_variants((16, 33, 64), F32, "tf32x3"),
            *_variants((16, 33, 64), F64),
            *_variants((64,), F32, "tf32x3", inputs=784),
        ],
    ),
    _spec(
        "rescaling_loss_tiled",
        tiled_kernel,
        [*_variants((256,), F32, "tf32x3"), *_variants((256,), F64), *_variants((256,), F32, "tf32x3", inputs=784)],
    ),
    _spec("rescaling_loss_mix", mix_kernel, [*_variants((256,), F32, "tf32x3"), *_variants((256,), F64)]),
    _spec(
        "path_loss_slopes",
        gpu_layers_slopes.slopes_kernel,
        [
            *_variants((7, 16, 32, 33, 64), F32, "tf32x3"),
            *_variants((7, 16, 32, 33, 64), F64),
            *_variants((16, 32), F32, "ieee", default=False),
            *_variants((16, 32, 64), F32, "tf32", default=False),
        ],
    ),
    *(
        _spec(
            f"path_loss_slopes_{name}",
            kernel,
            [
                *_variants((256,) if name == "outputs" else (100, 256), F32, "tf32x3"),
                *_variants((256,), F64),
                *_variants((256,), BF16, default=False),
            ],
        )
        for name, kernel in gpu_tiled_slopes.KERNELS.items()
    ),
    _spec("path_loss_mix", mix_kernel, [*_variants((256,), F32, "tf32x3"), *_variants((256,), F64)]),
    _spec(
        "path_loss_ends",
        ends_kernel,
        [*_variants((16, 256), F32, "tf32x3", inputs=784), *_variants((16, 256), F64, inputs=784)],
    ),
)
