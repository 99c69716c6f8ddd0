"""Functions whose derivatives, of any order, keep nothing but what they are functions of.

``torch.utils.checkpoint`` does so for first derivatives; where these are recorded to be differentiated again, it keeps
all that they were computed with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor


def recomputed(function: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
    """What ``function`` makes of the tensors; for derivatives it is evaluated again.

    Args:
        function: makes a tuple of tensors from tensors; what it depends on beside them has no derivative.
        *tensors: any shapes and dtypes.

    Returns:
        The tuple; differentiable any number of times.
    """
    return _Recomputed.apply(function, *tensors) if recorded(*tensors) else function(*tensors)


def recorded(*tensors: Tensor) -> bool:
    """Whether autograd records what is done with the tensors."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, *tensors):
        ctx.function = function
        ctx.save_for_backward(*tensors)
        return function(*tensors)

    @staticmethod
    def backward(ctx, *upstream):
        needed = ctx.needs_input_grad[1:]
        found = iter(recomputed(functools.partial(_gradients, ctx.function, needed), *ctx.saved_tensors, *upstream))
        return None, *(next(found) if need else None for need in needed)


def _gradients(function, needed: tuple[bool, ...], *inputs: Tensor) -> tuple[Tensor, ...]:
    """Gradients by the tensors ``needed``; ``inputs`` are all tensors, and gradients by what ``function`` makes."""
    record, tensors, upstream = torch.is_grad_enabled(), inputs[: len(needed)], inputs[len(needed) :]
    with torch.enable_grad():
        leaves = [
            a.detach().requires_grad_() if need and not (record and a.requires_grad) else a
            for a, need in zip(tensors, needed, strict=True)
        ]
        made = [(value, u) for value, u in zip(function(*leaves), upstream, strict=True) if value.requires_grad]
    wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if need]
    if not made:
        return tuple(torch.zeros_like(leaf) for leaf in wanted)
    values, upstream = zip(*made, strict=True)
    return torch.autograd.grad(values, wanted, upstream, create_graph=record, materialize_grads=True)
