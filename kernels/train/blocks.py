"""Stacked training by autograd over the sum of the networks' losses, whose gradients are independent."""

from __future__ import annotations

import torch

from ..path_loss import blocks as losses
from .polish import finish
from .reference import batches, learning_rate_at


def slopes(value, parameters, weight_decay):
    """Losses ``(P,)`` without the penalty, gradients of each parameter stack with it, and their norms ``(P,)``.

    ``value`` gives the losses from the parameters; a network's depends on its own alone.
    """
    with torch.enable_grad():
        leaves = [p.detach().requires_grad_() for p in parameters]
        losses = value(leaves)
        found = torch.autograd.grad(losses.sum(), leaves)
    found = [g + _like(weight_decay, p) * p for g, p in zip(found, parameters, strict=True)]
    norm = torch.stack([g.flatten(1).square().sum(1) for g in found]).sum(0).sqrt()
    return losses.detach(), found, norm


def advance(parameters, gradients, first, second, going, rate, debias, *, optimizer, momentum):
    """One step, in place, of the networks that are ``going`` at ``rate`` ``(P,)``.

    Args:
        parameters: stacks ``(P, …)``.
        gradients: of the same shapes.
        first: running means (Adam) or momenta (SGD) of the gradients.
        second: running means of their squares (Adam).
        going: ``(P,)`` bool.
        rate: learning rates ``(P,)``.
        debias: what Adam divides the running means by: ``1 - 0.9 ** step`` and the root of ``1 - 0.999 ** step``,
            ``step`` counted from 1.
        optimizer: ``"adam"`` or ``"sgd"``.
        momentum: of SGD.
    """
    for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
        if optimizer == "adam":
            m.lerp_(g, 0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            move = m / debias[0] / (v.sqrt() / debias[1]).add_(1e-8)
        else:
            move = m.mul_(momentum).add_(g)
        p.copy_(torch.where(_like(going, p), p - _like(rate, p) * move, p))


def debias_at(step: int) -> tuple[float, float]:
    """Adam's divisors in step ``0 …``."""
    return 1 - 0.9 ** (step + 1), (1 - 0.999 ** (step + 1)) ** 0.5


def gradients(parameters, layers, x, y, *, activation, skip, loss, weight_decay):
    """Losses, gradients and norms, as ``slopes`` gives them, of networks over ``x``, ``y``."""

    def value(leaves):
        weights, biases = leaves[:layers], leaves[layers:] or None
        (values,) = losses.curve_loss(
            [w[:, None] for w in weights],
            x,
            y,
            biases=None if biases is None else [b[:, None] for b in biases],
            activation=activation,
            skip=skip,
            losses=(loss,),
        )
        return values[:, 0]

    return slopes(value, parameters, weight_decay)


def _like(values, parameter):
    return values.reshape(-1, *[1] * (parameter.dim() - 1))


def train(weights, biases, x, y, *, optimizer, learning_rate, momentum, steps, batch_size, schedule, tolerance, seeds,
          **problem):  # fmt: skip
    """Train the stack; returns weights, biases and the steps each network took."""
    layers, parameters = len(weights), [p.detach().clone() for p in (*weights, *(biases or []))]
    taken = torch.zeros(parameters[0].shape[0], dtype=torch.int64, device=x.device)
    live = torch.ones_like(taken, dtype=torch.bool)
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    for step in range(steps):
        found, norm = _step_gradients(parameters, layers, x, y, step, batch_size, seeds, **problem)
        if batch_size is None:
            live = live & ~(norm <= tolerance)
            if not live.any():
                break
        rate = learning_rate * learning_rate_at(step, steps, 1.0, schedule)
        advance(parameters, found, first, second, live, rate, debias_at(step), optimizer=optimizer, momentum=momentum)
        taken += live
    return parameters[:layers], biases and parameters[layers:], taken


def _step_gradients(parameters, layers, x, y, step, batch_size, seeds, *, weight_decay, **problem):
    """Gradients of each parameter stack and their norms in a step; networks of one seed share its batches."""
    if batch_size is None:
        return gradients(parameters, layers, x, y, weight_decay=weight_decay, **problem)[1:]
    slopes = [torch.empty_like(p) for p in parameters]
    norm = x.new_empty(len(seeds))
    epoch, place = divmod(step, x.shape[0] // batch_size)
    for seed in seeds.unique().tolist():
        mine = (seeds == seed).nonzero()[:, 0].to(x.device)
        batch = batches(x.shape[0], batch_size, epoch, seed)[place].to(x.device)
        _, some, norm[mine] = gradients(
            [p[mine] for p in parameters], layers, x[batch], y[batch], weight_decay=weight_decay[mine], **problem
        )
        for slope, part in zip(slopes, some, strict=True):
            slope[mine] = part
    return slopes, norm


def measure(weights, biases, x, y, **problem):
    """Losses ``(P,)`` without the penalty and norms ``(P,)`` of the gradients with it, over all samples."""
    value, _, norm = gradients([*weights, *(biases or [])], len(weights), x, y, **problem)
    return value, norm


def polish(weights, biases, x, y, *, weight_decay, **problem):
    """Second-order finish; returns weights, biases and the steps each network took."""
    parameters = [*weights, *(biases or [])]
    shapes = [p.shape[1:] for p in parameters]
    sizes = [shape.numel() for shape in shapes]

    def parts(networks):
        return [part.unflatten(1, s) for part, s in zip(networks.split(sizes, dim=1), shapes, strict=True)]

    def evaluate(networks, decay):
        value, found, _ = gradients(parts(networks), len(weights), x, y, weight_decay=decay, **problem)
        return value + 0.5 * decay * networks.square().sum(1), torch.cat([g.flatten(1) for g in found], dim=1)

    networks, taken = finish(torch.cat([p.flatten(1) for p in parameters], dim=1), weight_decay, evaluate)
    done = parts(networks)
    return done[: len(weights)], biases and done[len(weights) :], taken
