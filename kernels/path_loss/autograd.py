"""Derivatives of what the tile kernels compute: the backward pass evaluates the networks again."""

from __future__ import annotations

import torch


class Losses(torch.autograd.Function):
    """Losses as a function of tensors, differentiable; between the passes only the tensors are kept."""

    @staticmethod
    def forward(ctx, evaluate, slopes, plain, flat, *tensors):
        """Losses, one tensor each.

        Args:
            ctx: autograd's.
            evaluate: makes the list of losses from ``tensors``.
            slopes: makes the gradients by ``tensors`` from them and the gradients by the losses.
            plain: ``evaluate`` in PyTorch operations, from which second derivatives come.
            flat: for each loss whether it has no derivative.
            *tensors: weights and all else to differentiate by.

        Returns:
            The losses.
        """
        ctx.slopes, ctx.plain = slopes, plain
        ctx.save_for_backward(*tensors)
        values = tuple(evaluate(*tensors))
        ctx.mark_non_differentiable(*(value for value, none in zip(values, flat, strict=True) if none))
        return values

    @staticmethod
    def backward(ctx, *upstream):
        """Gradients by the tensors; with a graph of their own, if one is wanted, by way of PyTorch operations."""
        tensors = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return (None, None, None, None, *ctx.slopes(tensors, upstream))
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[4:]) if needed]
        pairs = [(v, u) for v, u in zip(ctx.plain(*tensors), upstream, strict=True) if v.requires_grad]
        values, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(values, [tensors[i] for i in wanted], weights, create_graph=True, allow_unused=True)
        slopes = [None] * len(tensors)
        for i, slope in zip(wanted, found, strict=True):
            slopes[i] = slope
        return (None, None, None, None, *slopes)
