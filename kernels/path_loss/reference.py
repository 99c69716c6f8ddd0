"""The loss of a network, one network and one layer at a time: the definition every fast path is compared with.

A network is ``a_0 = x``, ``z_i = W_i a_{i-1} + b_i``, ``a_i = σ(z_i)`` for hidden layers, output ``z_l``.  With
``skip = ε ≠ 0`` layers are taken two by two and ``ε a_{2j-2}`` is added to ``z_{2j}``, before the activation, wherever
the two widths agree (Zhao et al. 2025, section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATION = {
    "linear": lambda z: z,
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.01),
    "relu_squared": lambda z: F.relu(z) ** 2,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
}
# positively homogeneous ones: σ(cz) = c^k σ(z) for every c > 0
DEGREE = {"linear": 1, "relu": 1, "leaky_relu": 1, "relu_squared": 2}


def outputs(weights: Sequence[Tensor], biases: Sequence[Tensor] | None, x: Tensor, activation: str, skip: float):
    """Outputs ``(N, d_l)`` of one network: ``weights[i]`` ``(d_{i+1}, d_i)``, ``biases[i]`` ``(d_{i+1},)``."""
    a = x
    for i, weight in enumerate(weights):
        if i % 2 == 0:
            source = a
        z = F.linear(a, weight, None if biases is None else biases[i])
        if skip and i % 2 == 1 and source.shape == z.shape:
            z = z + skip * source
        a = ACTIVATION[activation](z) if i < len(weights) - 1 else z
    return a


def loss_of(z: Tensor, y: Tensor, loss: str) -> Tensor:
    """The loss, a scalar, of outputs ``z`` ``(N, C)`` against targets ``y`` ``(N, C)`` or labels ``(N,)``."""
    if loss == "cross_entropy":
        return F.cross_entropy(z, y)
    if loss == "error_rate":
        wrong = (z.argmax(1) != y).to(z.dtype).mean()
        return torch.where(z.isnan().any(), torch.full_like(wrong, torch.nan), wrong)
    target = y if y.is_floating_point() else F.one_hot(y, z.shape[1]).to(z.dtype)
    return F.mse_loss(z, target) if loss == "mse" else ((z - target) ** 2).sum()


def network_loss(weights, x, y, *, biases=None, activation="relu", skip=0.0, loss="mse") -> Tensor:
    """Losses ``(P,)`` of a stack, by a loop over its networks."""
    return torch.stack([
        loss_of(
            outputs([w[p] for w in weights], None if biases is None else [b[p] for b in biases], x, activation, skip),
            y,
            loss,
        )
        for p in range(weights[0].shape[0])
    ])


def curve_loss(weights, x, y, *, biases=None, activation="relu", skip=0.0, loss="mse") -> Tensor:
    """Losses ``(P, T)`` at explicit weights ``(P, T, d_{i+1}, d_i)``, by a loop over points."""
    options = {"activation": activation, "skip": skip, "loss": loss}
    return torch.stack(
        [
            network_loss(
                [w[:, i] for w in weights],
                x,
                y,
                biases=None if biases is None else [b[:, i] for b in biases],
                **options,
            )
            for i in range(weights[0].shape[1])
        ],
        dim=1,
    )


def path_loss(weights_a, weights_b, x, y, t, *, biases_a=None, biases_b=None, **options) -> Tensor:
    """Losses ``(P, T)`` on straight lines, at ``t`` ``(T,)`` or ``(P, T)``, by a loop over points."""
    pairs = weights_a[0].shape[0]
    t = t.expand(pairs, -1) if t.dim() == 1 else t

    def line(a, b):
        s = t.reshape(*t.shape, *[1] * (a.dim() - 1))
        return (1 - s) * a[:, None] + s * b[:, None]

    return curve_loss(
        [line(a, b) for a, b in zip(weights_a, weights_b, strict=True)],
        x,
        y,
        biases=None if biases_a is None else [line(a, b) for a, b in zip(biases_a, biases_b, strict=True)],
        **options,
    )


def rescaled(weights, logs, t, *, biases=None, activation="relu") -> tuple[list[Tensor], list[Tensor] | None]:
    """Points of curves of rescalings (Zhao et al. 2025, eq. (5) and section 5.2): explicit weights and biases.

    At ``t`` what comes into hidden unit ``h`` of layer ``i`` is multiplied with ``exp(t logs[i][h])``, what goes out
    with ``exp(-k t logs[i][h])``; ``k`` is the activation's degree.

    Args:
        weights: layer i ``(P, d_{i+1}, d_i)``.
        logs: hidden layer i ``(P, d_{i+1})``.
        t: ``(P, T)``.
        biases: layer i ``(P, d_{i+1})``, or None.
        activation: a name of ``DEGREE``.

    Returns:
        Layer i ``(P, T, d_{i+1}, d_i)`` and ``(P, T, d_{i+1})``, or None without biases.
    """
    points = [w[:, None].expand(-1, t.shape[1], -1, -1) for w in weights]
    shifts = None if biases is None else [b[:, None].expand(-1, t.shape[1], -1) for b in biases]
    for i, log in enumerate(logs):
        power = t[..., None] * log[:, None]
        points[i] = power.exp()[..., None] * points[i]
        points[i + 1] = points[i + 1] * (-DEGREE[activation] * power).exp()[..., None, :]
        if shifts is not None:
            shifts[i] = power.exp() * shifts[i]
    return points, shifts


def rescaling_loss(weights, logs, x, y, t, *, biases=None, activation="relu", **options) -> Tensor:
    """Losses ``(P, T)`` on curves of rescalings, at ``t`` ``(T,)`` or ``(P, T)``, by a loop over points."""
    t = t.expand(weights[0].shape[0], -1)
    points, shifts = rescaled(weights, logs, t, biases=biases, activation=activation)
    return curve_loss(points, x, y, biases=shifts, activation=activation, **options)
