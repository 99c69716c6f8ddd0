"""Training one network alone with ``torch.optim``: the definition the stacked training is compared with."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from ..path_loss.reference import loss_of, outputs


def learning_rate_at(step: int, steps: int, peak: float, schedule: str) -> float:
    """Learning rate of step ``0 … steps - 1``: ``peak`` throughout, or half a cosine from ``peak`` to 0."""
    return peak if schedule == "constant" else peak * 0.5 * (1 + math.cos(math.pi * step / steps))


def _mixed(seed: int, epoch: int) -> int:
    """A number below 2⁶³ for a pair of integers, the same on every machine."""
    digest = hashlib.blake2b(f"{seed} {epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def batches(samples: int, batch_size: int | None, epoch: int, seed: int) -> list[Tensor]:
    """Index sets of the batches of one epoch; with batches, an order drawn from ``(seed, epoch)``, the rest dropped."""
    if batch_size is None:
        return [torch.arange(samples)]
    draw = torch.Generator().manual_seed(_mixed(seed, epoch))
    order = torch.randperm(samples, generator=draw)
    return list(order[: samples // batch_size * batch_size].split(batch_size))


def train(
    weights,
    x,
    y,
    *,
    biases=None,
    activation="relu",
    skip=0.0,
    loss="mse",
    optimizer="adam",
    learning_rate=1e-2,
    momentum=0.9,
    weight_decay=0.0,
    steps=1000,
    batch_size=None,
    schedule="constant",
    tolerance=0.0,
    seed=0,
):
    """Train one network, ``weights[i]`` ``(d_{i+1}, d_i)``; returns weights, biases and the steps taken."""
    weights = [w.detach().clone().requires_grad_() for w in weights]
    biases = None if biases is None else [b.detach().clone().requires_grad_() for b in biases]
    parameters = [*weights, *(biases or [])]
    if optimizer == "adam":
        stepper = torch.optim.Adam(parameters, learning_rate, weight_decay=weight_decay)
    else:
        stepper = torch.optim.SGD(parameters, learning_rate, momentum=momentum, weight_decay=weight_decay)
    step = epoch = 0
    while step < steps:
        for batch in batches(x.shape[0], batch_size, epoch, seed):
            if step == steps:
                break
            stepper.zero_grad()
            loss_of(outputs(weights, biases, x[batch], activation, skip), y[batch], loss).backward()
            norm = torch.cat([(p.grad + weight_decay * p.detach()).ravel() for p in parameters]).norm()
            if batch_size is None and norm <= tolerance:
                return [w.detach() for w in weights], biases and [b.detach() for b in biases], step
            for group in stepper.param_groups:
                group["lr"] = learning_rate_at(step, steps, learning_rate, schedule)
            stepper.step()
            step += 1
        epoch += 1
    return [w.detach() for w in weights], biases and [b.detach() for b in biases], step
