"""Training of ``P`` networks of one shape at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import errors
from ..path_loss.cpu import unfit
from . import blocks, cpu, gpu

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Trained:
    """A stack of ``P`` trained networks and how each came to its end."""

    weights: tuple[Tensor, ...]  # (P, d_{i+1}, d_i)
    biases: tuple[Tensor, ...] | None  # (P, d_{i+1})
    loss: Tensor  # (P,), over all samples, without the penalty
    grad_norm: Tensor  # (P,), over all samples, with the penalty
    steps: Tensor  # (P,) int64, steps taken
    polished: Tensor  # (P,) int64, steps of the second-order finish
    reached: Tensor  # (P,) bool, grad_norm <= tolerance


def train(
    weights: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    *,
    biases: Sequence[Tensor] | None = None,
    activation: str = "relu",
    skip: float = 0.0,
    loss: str = "mse",
    optimizer: str = "adam",
    learning_rate: float | Tensor = 1e-2,
    momentum: float = 0.9,
    weight_decay: float | Tensor = 0.0,
    steps: int = 1000,
    batch_size: int | None = None,
    schedule: str = "constant",
    tolerance: float | Tensor = 0.0,
    seed: int | Tensor = 0,
    polish: bool = False,
) -> Trained:
    """Train a stack of networks to their minima, each as if it were alone.

    The penalty ``weight_decay / 2 * (Σ‖W_i‖² + ‖b_i‖²)`` is part of the function: its gradient is added.

    Args:
        weights: layer i ``(P, d_{i+1}, d_i)``, the starting points; not modified.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` or ``(N,)`` integer labels.
        biases: layer i ``(P, d_{i+1})``, or None.
        activation: a name of ``errors.ACTIVATIONS``.
        skip: ε of Zhao et al. 2025, section 4.3; 0 for none.
        loss: ``"mse"``, ``"sse"`` or ``"cross_entropy"``.
        optimizer: ``"adam"`` or ``"sgd"``.
        learning_rate: one number or ``(P,)``, the largest of the schedule.
        momentum: of SGD.
        weight_decay: λ, one number or ``(P,)``.
        steps: at most so many.
        batch_size: samples of one step; None for all.
        schedule: ``"constant"`` or ``"cosine"`` (half a cosine down to 0 over ``steps``).
        tolerance: one number or ``(P,)``: without batches a network stops once its gradient norm over all samples,
            penalty included, is at most this.
        seed: of the order of batches, one integer or ``(P,)`` int64.
        polish: go on from there by limited-memory BFGS over all samples, to a gradient near rounding where the function
            is smooth; at a kink of ReLUs it does not vanish.

    Returns:
        The trained stack.

    Raises:
        ValueError: names the argument, what was given and what is expected.
    """
    errors.check_choice("train", "activation", activation, errors.ACTIVATIONS)
    errors.check_choice("train", "loss", loss, ("mse", "sse", "cross_entropy"))
    errors.check_choice("train", "optimizer", optimizer, OPTIMIZERS)
    errors.check_choice("train", "schedule", schedule, SCHEDULES)
    widths = errors.check_chain("train", weights, biases, x)
    errors.check_targets("train", x, y, widths[-1], loss)
    if batch_size is not None and not 1 <= batch_size <= x.shape[0]:
        raise ValueError(f"train: batch_size={batch_size}, expected 1 … {x.shape[0]}, the number of samples")
    networks = weights[0].shape[0]

    def each(value):
        return torch.as_tensor(value, dtype=x.dtype, device=x.device).expand(networks)

    problem = {"activation": activation, "skip": skip, "loss": loss, "weight_decay": each(weight_decay)}
    tolerance = each(tolerance)
    run = gpu if x.is_cuda else blocks if unfit(x) else cpu
    weights, biases, taken = run.train(
        weights,
        biases,
        x,
        y,
        optimizer=optimizer,
        learning_rate=each(learning_rate),
        momentum=momentum,
        steps=steps,
        batch_size=batch_size,
        schedule=schedule,
        tolerance=tolerance,
        seeds=torch.as_tensor(seed, dtype=torch.int64, device="cpu").expand(networks),
        **problem,
    )
    polished = torch.zeros_like(taken)
    if polish:
        # captured steps are of no use to it
        weights, biases, polished = (cpu if run is cpu else blocks).polish(weights, biases, x, y, **problem)
    value, norm = run.measure(weights, biases, x, y, **problem)
    return Trained(
        weights=tuple(weights),
        biases=None if biases is None else tuple(biases),
        loss=value,
        grad_norm=norm,
        steps=taken,
        polished=polished,
        reached=norm <= tolerance,
    )
