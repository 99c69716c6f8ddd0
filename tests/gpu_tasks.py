"""Networks, data and tasks for the tests of path losses on GPUs."""

from itertools import pairwise

import torch

from kernels import target
from kernels.path_loss import blocks, gpu, gpu_slopes

F64, F32, BF16, F16 = torch.float64, torch.float32, torch.bfloat16, torch.float16


def stack(batch, widths, seed, dtype=F64, bias=True):
    draw = torch.Generator().manual_seed(seed)
    weights = [torch.randn(*batch, o, i, generator=draw, dtype=F64).div(i**0.5).to(dtype) for i, o in pairwise(widths)]
    biases = [torch.randn(*batch, o, generator=draw, dtype=F64).to(dtype) for o in widths[1:]]
    return weights, biases if bias else None


def data(samples, widths, labels=True, dtype=F64, seed=2):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, widths[0], generator=draw, dtype=F64).to(dtype)
    if labels:
        return x, torch.randint(0, widths[-1], (samples,), generator=draw)
    return x, torch.randn(samples, widths[-1], generator=draw, dtype=F64).to(dtype)


def in_dtype(dtype, value):
    """``value`` with all its floating tensors in ``dtype``, through lists."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return [in_dtype(dtype, v) for v in value] if isinstance(value, list | tuple) else value


def exact_slopes(name, *arguments, **options):
    """What ``gpu.path_slopes`` or ``gpu.curve_slopes`` gives, by autograd in float64."""
    *stacks, x, y, upstream = in_dtype(F64, arguments)
    stacks = [leaves_of(part) for part in stacks]
    if name == "path_slopes":
        t, weights_a, weights_b, biases_a, biases_b = stacks
        biases = {"biases_a": biases_a, "biases_b": biases_b}
        values = blocks.path_loss(weights_a, weights_b, x, y, t, **biases, **options)
    else:
        weights, biases = stacks
        values = blocks.curve_loss(weights, x, y, biases=biases, **options)
    leaves = [leaf for part in stacks for leaf in ([part] if isinstance(part, torch.Tensor) else part or ())]
    values, upstream = zip(*[(v, u) for v, u in zip(values, upstream, strict=True) if v.requires_grad], strict=True)
    return torch.autograd.grad(values, leaves, upstream)


def leaves_of(part):
    if isinstance(part, list):
        return [leaves_of(layer) for layer in part]
    return part if part is None else part.detach().requires_grad_()


def task(widths, pairs, points, dtype=F64, device="meta", gpu_name="sm_90", precision="3xtf32"):
    """Straight lines between networks that have no numbers."""
    layers = [torch.empty(pairs, o, i, dtype=dtype, device=device) for i, o in pairwise(widths)]
    x, t = (torch.empty(*shape, dtype=dtype, device=device) for shape in ((1797, widths[0]), (points,)))
    y = torch.empty(1797, dtype=torch.int64, device=device)
    options = ("relu", 0.0, ["cross_entropy"], precision, target.GPUS[gpu_name])
    return gpu.Task(layers, None, layers, None, x, y, t, *options)


def launches(made):
    """Of its losses."""
    return made.launches(torch.empty(len(made.kept), made.shares, made.pairs * made.points, device="meta"))


def slopes_launches(made, items=4):
    """Of the gradients of its first items."""
    factors = torch.empty(2, items, dtype=made.sum_dtype, device="meta")
    return list(gpu_slopes.launches(made, gpu_slopes.room(made, items, made.sum_dtype), factors, 0))
