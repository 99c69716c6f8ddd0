"""Minima of a small network from random starting points, by the Levenberg-Marquardt method on a whole stack."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from engine.count.level_set import Damped, LevelSet

SPREAD = 8.0  # a layer's scale is drawn log-uniform between 1/SPREAD and SPREAD times what keeps activations
ITERATIONS = 3000  # of Levenberg-Marquardt; 20 or so where the targets are met, many more where residuals stay
AT_LEAST = 1e-7  # a minimum's loss exceeds the least that was met by at most this share of ‖Y‖²
AGREE = 1e-3  # outputs that differ by at most this share of ‖Y‖ are the same
ROUNDS = 5  # stacks of starting points at most


class TooFewMinima(ValueError):
    """Random starting points lead to the least loss too seldom to sample the minimum by them."""


def minima(
    level: LevelSet, samples: int, generator: torch.Generator, enough: int | None = None
) -> tuple[LevelSet, Tensor, int]:
    """Draw stacks of starting points until enough of them have led to the least loss.

    Args:
        level: the networks, held to the targets.
        samples: minima wanted, and starting points of a stack.
        generator: of the starting points, on the CPU.
        enough: minima that will do; None for all that are wanted.

    Returns:
        The set that was reached, the minima ``(P, n)`` on it, ``enough <= P <= samples``, in the order they were drawn,
        and the number of starting points they took.

    Raises:
        TooFewMinima: too few starting points led to the least loss.
    """
    enough = enough or samples
    found = torch.empty(0, level.size, dtype=torch.float64, device=level.split.x.device)
    for _ in range(ROUNDS):
        found = torch.cat([found, fit(level, _starts(level, samples, generator))])
        good, least = _lowest(level, found)
        if len(good) >= enough:
            chosen = good[:samples]
            reached = _reached(level, found[chosen], least)
            return reached, fit(reached, found[chosen]), int(chosen[-1]) + 1
    raise TooFewMinima(
        f"count_components: {len(good)} of {len(found)} random starting points reached the least loss "
        f"{least:.3g}, expected {enough}; ask for fewer samples or for another network"
    )


def polish(level: LevelSet, w: Tensor) -> tuple[LevelSet, Tensor, list[int]]:
    """Bring networks near a minimum onto it.

    Args:
        level: the networks, held to the targets.
        w: ``(P, n)``.

    Returns:
        The set that was reached, the minima on it, and which of the networks they come from: those that led to the
        least loss among them.
    """
    w = fit(level, w)
    good, least = _lowest(level, w)
    reached = _reached(level, w[good], least)
    return reached, fit(reached, w[good]), good.tolist()


def _lowest(level: LevelSet, w: Tensor) -> tuple[Tensor, float]:
    """Which networks have the least loss of all, but for rounding, and that loss."""
    loss = level.loss(w)
    least = torch.where(loss.isfinite(), loss, torch.inf).min()
    return torch.nonzero(loss <= least + AT_LEAST * level.scale).ravel(), float(least)


def _starts(level: LevelSet, count: int, generator: torch.Generator) -> Tensor:
    """Gaussian weights, each layer at a scale of its own: components that hold few directions are met too."""
    fan_in = torch.tensor(level.network.widths[:-1], dtype=torch.float64).rsqrt()
    weights = torch.randn(count, level.size, generator=generator, dtype=torch.float64).to(level.split.x.device)
    return weights * layer_scales(level, count, SPREAD, generator, fan_in)


def layer_scales(level: LevelSet, count: int, spread: float, generator: torch.Generator, mean=1.0) -> Tensor:
    """One factor for all weights of a layer, log-uniform within ``spread`` of ``mean``, for each of ``count`` networks.

    Returns:
        ``(count, n)`` on the device of the data.
    """
    widths = level.network.widths
    sizes = torch.tensor([a * b for a, b in itertools.pairwise(widths)])
    scales = spread ** (2 * torch.rand(count, len(sizes), generator=generator, dtype=torch.float64) - 1) * mean
    return scales.repeat_interleave(sizes, dim=1).to(level.split.x.device)


def fit(level: LevelSet, start: Tensor) -> Tensor:
    """Networks ``(P, n)`` with least squared residuals near those of ``start``."""
    w, damping = start.clone(), torch.full_like(start[:, 0], 1e-2)
    going = torch.arange(len(w), device=w.device)
    size = float(level.target.square().sum())
    for _ in range(ITERATIONS):
        residuals, jacobian = level.linearise(w[going])
        loss = residuals.square().sum(1)
        slope = (jacobian.mT @ residuals.unsqueeze(-1)).flatten(1).norm(dim=1)
        # at rounding: of the residuals, of their product with the Jacobian, or where no step helps any more
        flat = slope <= 1e-14 * math.sqrt(size) * jacobian.flatten(1).norm(dim=1)
        keep = ~((loss <= 1e-26 * size) | flat | (damping[going] > 1e8))
        going = going[keep]
        if not len(going):
            break
        step = Damped(jacobian[keep], damping[going]).solve(residuals[keep])
        moved = w[going] - step
        better = level.residuals(moved).square().sum(1) < loss[keep]
        w[going[better]] = moved[better]
        damping[going] = torch.where(better, damping[going] * 0.2, damping[going] * 5).clamp(min=1e-14)
    return w


def _reached(level: LevelSet, w: Tensor, least: float) -> LevelSet:
    """The set that minima lie on: the outputs they share if they do, else all networks of the least loss."""
    outputs = level.outputs(w)
    apart = AGREE * math.sqrt(level.scale)
    if (outputs - level.target).flatten(1).norm(dim=1).max() <= apart:
        return level
    best = outputs[int(level.loss(w).argmin())]
    if (outputs - best).flatten(1).norm(dim=1).max() <= apart:
        return level.held_to(best, least)
    return level.held_to(level.target, least)
