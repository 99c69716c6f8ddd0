"""Derivatives of what kernels compute.

The backward pass evaluates the networks again.  One loss of explicit weights, whose gradients take no more memory than
they do, is evaluated together with them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import blocks
from .recompute import recorded
from .reference import rescaled


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
        return (None, None, None, None, *_by_plain(ctx.plain, tensors, ctx.needs_input_grad[4:], upstream))


class LossWithSlopes(torch.autograd.Function):
    """One loss ``(P, T)`` of explicit weights and its gradients from one evaluation: each point's loss is its own."""

    @staticmethod
    def forward(ctx, evaluate, plain, *tensors):
        """The loss.

        Args:
            ctx: autograd's.
            evaluate: makes the loss and its gradients by ``tensors`` from them.
            plain: makes a list of the loss in PyTorch operations, from which second derivatives come.
            *tensors: weights and all else to differentiate by, ``(P, T, ...)``.

        Returns:
            The loss.
        """
        ctx.plain, ctx.count = plain, len(tensors)
        value, slopes = evaluate(*tensors)
        ctx.save_for_backward(*tensors, *slopes)
        return value

    @staticmethod
    def backward(ctx, upstream):
        """Gradients by the tensors, as ``Losses.backward``."""
        tensors, slopes = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        if torch.is_grad_enabled():
            return (None, None, *_by_plain(ctx.plain, tensors, ctx.needs_input_grad[2:], (upstream,)))
        shape = upstream.shape
        return (None, None, *(upstream.reshape(*shape, *[1] * (s.dim() - len(shape))) * s for s in slopes))


def _by_plain(plain, tensors, needed, upstream) -> list[Tensor | None]:
    """Gradients with a graph of their own, by way of PyTorch operations."""
    wanted = [i for i, need in enumerate(needed) if need]
    pairs = [(v, u) for v, u in zip(plain(*tensors), upstream, strict=True) if v.requires_grad]
    values, weights = zip(*pairs, strict=True)
    found = torch.autograd.grad(values, [tensors[i] for i in wanted], weights, create_graph=True, allow_unused=True)
    slopes = [None] * len(tensors)
    for i, slope in zip(wanted, found, strict=True):
        slopes[i] = slope
    return slopes


def curve_loss(evaluate, slopes, weights, x, y, *, biases, together=None, **options) -> list[Tensor]:
    """Losses ``(P, T)`` at explicit weights, with derivatives where they are wanted.

    Args:
        evaluate: makes them from ``weights, biases, x, y``.
        slopes: makes gradients by weights and biases from the same and the gradients by the losses.
        weights: layer i ``(P, T, d_{i+1}, d_i)``.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` or ``(N,)`` labels.
        biases: layer i ``(P, T, d_{i+1})``, or None.
        together: makes one smooth loss and its gradients by weights and biases at once, or None.
        **options: for all of them.

    Returns:
        A tensor for each loss.
    """
    layers = len(weights)

    def split(tensors):
        return tensors[:layers], tensors[layers:] or None

    def plain(*tensors):
        weights, biases = split(tensors)
        return blocks.curve_loss(weights, x, y, biases=biases, **options)

    tensors, losses = (*weights, *(biases or ())), options["losses"]
    if together is not None and len(losses) == 1 and losses[0] != "error_rate" and recorded(*tensors):
        return [LossWithSlopes.apply(lambda *tensors: together(*split(tensors), x, y, **options), plain, *tensors)]
    return _differentiable(
        lambda *tensors: evaluate(*split(tensors), x, y, **options),
        lambda tensors, upstream: slopes(*split(tensors), x, y, upstream, **options),
        plain,
        losses,
        tensors,
    )


def path_loss(evaluate, slopes, weights_a, weights_b, x, y, t, *, biases_a, biases_b, **options) -> list[Tensor]:
    """Losses ``(P, T)`` on straight lines, with derivatives where they are wanted.

    Args:
        evaluate: makes them from ``t, weights_a, weights_b, biases_a, biases_b, x, y``.
        slopes: makes gradients by ``t``, weights and biases from the same and the gradients by the losses.
        weights_a: layer i ``(P, d_{i+1}, d_i)``.
        weights_b: the same shapes.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` or ``(N,)`` labels.
        t: ``(P, T)``.
        biases_a: layer i ``(P, d_{i+1})``, or None.
        biases_b: the same shapes.
        **options: for all of them.

    Returns:
        A tensor for each loss.
    """
    layers, biased = len(weights_a), biases_a is not None

    def split(tensors):
        t, *ends = tensors
        ends = [ends[i : i + layers] for i in range(0, len(ends), layers)]
        return t, *ends, *(() if biased else (None, None))

    def plain(*tensors):
        t, weights_a, weights_b, biases_a, biases_b = split(tensors)
        return blocks.path_loss(weights_a, weights_b, x, y, t, biases_a=biases_a, biases_b=biases_b, **options)

    return _differentiable(
        lambda *tensors: evaluate(*split(tensors), x, y, **options),
        lambda tensors, upstream: slopes(*split(tensors), x, y, upstream, **options),
        plain,
        options["losses"],
        (t, *weights_a, *weights_b, *(biases_a or ()), *(biases_b or ())),
    )


def rescaling_loss(evaluate, curve_slopes, weights, logs, x, y, t, *, biases, **options) -> list[Tensor]:
    """Losses ``(P, T)`` on curves of rescalings, with derivatives where they are wanted.

    Args:
        evaluate: makes them from ``t, weights, logs, biases, x, y``.
        curve_slopes: makes gradients at explicit weights, as the ``slopes`` of ``curve_loss``.
        weights: layer i ``(P, d_{i+1}, d_i)``.
        logs: hidden layer i ``(P, d_{i+1})``.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` or ``(N,)`` labels.
        t: ``(P, T)``.
        biases: layer i ``(P, d_{i+1})``, or None.
        **options: for all of them.

    Returns:
        A tensor for each loss.
    """
    layers, hidden = len(weights), len(logs)

    def split(tensors):
        t, *rest = tensors
        return t, rest[:layers], rest[layers : layers + hidden], rest[layers + hidden :] or None

    def plain(*tensors):
        t, weights, logs, biases = split(tensors)
        return blocks.rescaling_loss(weights, logs, x, y, t, biases=biases, **options)

    def points(tensors):
        t, weights, logs, biases = split(tensors)
        weights, biases = rescaled(weights, logs, t, biases=biases, activation=options["activation"])
        return *weights, *(biases or ())

    def slopes_at(points, upstream):
        return curve_slopes(points[:layers], points[layers:] or None, x, y, upstream, **options)

    return _differentiable(
        lambda *tensors: evaluate(*split(tensors), x, y, **options),
        lambda tensors, upstream: _by_points(points, slopes_at, tensors, upstream),
        plain,
        options["losses"],
        (t, *weights, *logs, *(biases or ())),
    )


def _by_points(points, slopes_at, tensors, upstream) -> list[Tensor]:
    """Gradients by ``t`` and what else ``points(tensors)`` are made of, through those by some points at a time."""
    t, *layers = tensors
    found = [torch.zeros_like(tensor, memory_format=torch.contiguous_format) for tensor in tensors]
    numbers = 4 * sum(layer[0].numel() for layer in layers)  # of a point: itself, its gradient, and on the way to it
    for p in blocks.pieces(t.shape[0], numbers, t.element_size(), blocks.SCRATCH):
        some = [layer[p].detach().requires_grad_() for layer in layers]
        for i in blocks.pieces(t.shape[1], numbers * len(t[p]), t.element_size(), blocks.SCRATCH):
            leaves = [t[p, i].detach().requires_grad_(), *some]
            with torch.enable_grad():
                made = points(leaves)
            slopes = slopes_at([point.detach() for point in made], [u[p, i] for u in upstream])
            parts = torch.autograd.grad(made, leaves, slopes)
            found[0][p, i] = parts[0]
            for slope, part in zip(found[1:], parts[1:], strict=True):
                slope[p] += part
    return found


def _differentiable(evaluate, slopes, plain, losses, tensors) -> list[Tensor]:
    if not recorded(*tensors):
        return evaluate(*tensors)
    return list(Losses.apply(evaluate, slopes, plain, [loss == "error_rate" for loss in losses], *tensors))
