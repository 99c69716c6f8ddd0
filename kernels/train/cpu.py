"""Launching the training kernel."""

from __future__ import annotations

import numpy as np
import torch

from ..path_loss.blocks import scale
from ..path_loss.cpu import Problem
from ..threads import over_batch
from .polish import finish
from .reference import batches, learning_rate_at

SPAN = 2**33  # multiplications of all networks in one call of the kernel: so often can it be interrupted


def measure(weights, biases, x, y, *, activation, skip, loss, weight_decay):
    """Losses ``(P,)`` without the penalty and norms ``(P,)`` of the gradients with it, over all samples."""
    from ..path_loss import backward, tiles
    from .tiles import add_penalty

    problem = Problem(weights, biases, x, y, activation=activation, skip=skip, losses=(loss,), keep=True)
    networks = problem.layout.pack(weights, biases).numpy()
    slopes, sums = np.zeros_like(networks), np.zeros((len(networks), tiles.SUMS))
    factors = np.tile(factors_of(loss, x.shape[0], problem), (len(networks), 1))
    over_batch(
        backward.network_slopes, len(networks), problem.chunk(3), slopes, sums, factors, networks, *problem.scratch,
        *problem.data, *problem.function,
    )  # fmt: skip
    squares = [add_penalty(s, n, d) for s, n, d in zip(slopes, networks, weight_decay.double().tolist(), strict=True)]
    (value,) = problem.values(sums)
    return value, torch.tensor(squares, dtype=torch.float64).sqrt().to(x.dtype)


def factors_of(loss, samples, problem) -> np.ndarray:
    """What the sums of squares and of entropies are multiplied with."""
    factor = scale(loss, samples, problem.layout.widths[-1])
    return np.array([0.0, factor] if loss == "cross_entropy" else [factor, 0.0])


def train(weights, biases, x, y, *, optimizer, learning_rate, momentum, steps, batch_size, schedule, tolerance, seeds,
          activation, skip, loss, weight_decay):  # fmt: skip
    """Train the stack; returns weights, biases and the steps each network took."""
    from . import tiles

    options = {"activation": activation, "skip": skip, "losses": (loss,)}
    problem = Problem(weights, biases, x, y, keep=True, whole=batch_size is not None, **options)
    layout, samples = problem.layout, batch_size or x.shape[0]
    packed = layout.pack(weights, biases)
    networks = packed.numpy()
    count = len(networks)
    first = np.zeros_like(networks)
    second = np.zeros_like(networks if optimizer == "adam" else networks[:, :0])
    taken, live = np.zeros(count, np.int64), np.ones(count, bool)
    rates = np.array([learning_rate_at(step, steps, 1.0, schedule) for step in range(steps)])
    distinct, order_of = np.unique(seeds.numpy(), return_inverse=True)
    per_network = [values.double().numpy() for values in (learning_rate, weight_decay, tolerance)]
    each = x.shape[0] // samples  # batches of an epoch
    span = max(1, SPAN // max(1, 3 * count * samples * layout.size))
    span = span if batch_size is None else -(-span // each) * each  # whole epochs
    for begin in range(0, steps, span):
        end = min(begin + span, steps)
        orders = np.zeros((1, 0, 1), np.int64)
        if batch_size is not None:
            epochs = range(begin // each, -(-end // each))
            drawn = [[batches(x.shape[0], batch_size, e, s) for e in epochs] for s in distinct.tolist()]
            orders = np.stack([np.stack([b.numpy() for epoch in one for b in epoch])[: end - begin] for one in drawn])
        over_batch(
            tiles.train, count, problem.chunk(3 * (end - begin)), networks, first, second, taken, live, rates,
            *per_network, ("adam", "sgd").index(optimizer), momentum, begin, end, orders, order_of,
            *problem.scratch, *problem.data, *problem.function[:2],
            *factors_of(loss, samples, problem),
        )  # fmt: skip
        if not live.any():
            break
    weights, biases_out = layout.views(packed)
    return weights, biases and biases_out, torch.from_numpy(taken)


def polish(weights, biases, x, y, *, activation, skip, loss, weight_decay):
    """Second-order finish; returns weights, biases and the steps each network took."""
    from ..path_loss import backward, tiles

    problem = Problem(weights, biases, x, y, activation=activation, skip=skip, losses=(loss,), keep=True)
    factors = factors_of(loss, x.shape[0], problem)

    def evaluate(networks, decay):
        slopes, sums = torch.zeros_like(networks), np.zeros((len(networks), tiles.SUMS))
        each = np.tile(factors, (len(networks), 1))
        args = (slopes.numpy(), sums, each, networks.numpy(), *problem.scratch, *problem.data, *problem.function)
        over_batch(backward.network_slopes, len(networks), problem.chunk(3), *args)
        value = torch.from_numpy(sums[:, : len(factors)] @ factors).to(x.dtype)
        return value + 0.5 * decay * networks.square().sum(1), slopes + decay[:, None] * networks

    networks, taken = finish(problem.layout.pack(weights, biases), weight_decay, evaluate)
    weights, biases_out = problem.layout.views(networks)
    return weights, biases and biases_out, taken
