"""Stacked training by autograd over the sum of the networks' losses, whose gradients are independent."""

from __future__ import annotations

import torch

from ..path_loss import blocks as losses
from .reference import batches, learning_rate_at


def gradients(parameters, layers, x, y, *, activation, skip, loss, weight_decay):
    """Losses ``(P,)`` without the penalty, gradients of each parameter stack with it, and their norms ``(P,)``."""
    with torch.enable_grad():
        leaves = [p.detach().requires_grad_() for p in parameters]
        weights, biases = leaves[:layers], leaves[layers:] or None
        (value,) = losses.curve_loss(
            [w[:, None] for w in weights],
            x,
            y,
            biases=None if biases is None else [b[:, None] for b in biases],
            activation=activation,
            skip=skip,
            losses=(loss,),
        )
        slopes = torch.autograd.grad(value.sum(), leaves)
    slopes = [g + _like(weight_decay, p) * p for g, p in zip(slopes, parameters, strict=True)]
    norm = torch.stack([g.flatten(1).square().sum(1) for g in slopes]).sum(0).sqrt()
    return value.detach()[:, 0], slopes, norm


def _like(values, parameter):
    return values.reshape(-1, *[1] * (parameter.dim() - 1))


def train(parameters, layers, x, y, *, optimizer, learning_rate, momentum, steps, batch_size, schedule, tolerance,
          seeds, **problem):  # fmt: skip
    """Train the stack; returns the parameters and the steps each network took."""
    taken = torch.zeros(parameters[0].shape[0], dtype=torch.int64, device=x.device)
    live = torch.ones_like(taken, dtype=torch.bool)
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    parameters = [p.detach().clone() for p in parameters]
    step = epoch = 0
    while step < steps and live.any():
        for batch in batches(x.shape[0], batch_size, epoch, seeds):
            if step == steps:
                break
            _, slopes, norm = gradients(parameters, layers, x[batch], y[batch], **problem)
            if batch_size is None:
                live = live & ~(norm <= tolerance)
                if not live.any():
                    break
            rate = _rate(learning_rate, step, steps, schedule)
            for p, g, m, v in zip(parameters, slopes, first, second, strict=True):
                if optimizer == "adam":
                    m.lerp_(g, 0.1)
                    v.mul_(0.999).addcmul_(g, g, value=0.001)
                    size = (v / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-8)
                    move = m / (1 - 0.9 ** (step + 1)) / size
                else:
                    m.mul_(momentum if step else 0.0).add_(g)
                    move = m
                p.copy_(torch.where(_like(live, p), p - _like(rate, p) * move, p))
            taken += live
            step += 1
        epoch += 1
    return parameters, taken


def _rate(learning_rate, step, steps, schedule):
    return learning_rate * learning_rate_at(step, steps, 1.0, schedule)
