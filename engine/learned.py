"""Curves with control points between two minima, moved by gradient descent until the loss along the curve is low.

Garipov, Izmailov, Podoprikhin, Vetrov, Wilson (2018), Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs.
The curves of a whole stack of pairs are learned together; each is as if it were alone, as all see the same points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.path import Curve
from engine.types import Split, Weights

DECAY = (0.9, 0.999)  # Adam's
ROUNDING = 1e-12  # added to Adam's step size, relative to gradients of order one in float64


@dataclass
class Config:
    """Options of a learned curve."""

    # control points between the two minima
    bends: int = 1
    # of Adam, its learning rate falling to zero as half a cosine
    steps: int = 200
    # the largest, as a share of the root mean square of the pair's weights
    learning_rate: float = 0.03
    # of the curve, one in each of as many equal parts of [0, 1], drawn anew at each step
    points: int = 12

    def __post_init__(self):
        for option, least in (("bends", 1), ("steps", 0), ("points", 1)):
            if getattr(self, option) < least:
                raise ValueError(f"learned curve: {option}={getattr(self, option)}, expected at least {least}")
        if not self.learning_rate > 0:
            raise ValueError(f"learned curve: learning_rate={self.learning_rate}, expected a number above 0")


class LearnedCurve(Curve):
    """Curves ``Σ c_k(t) θ_k`` with ``θ_0`` and the last ``θ`` the two minima; subclasses say what ``c`` is."""

    def __init__(self, network, pairs, options: Config | None = None):
        super().__init__(network, pairs)
        self.options = options or Config()
        parts = torch.linspace(0, 1, self.options.bends + 2, dtype=torch.float64)[1:-1].to(pairs.a.layers[0])

        def between(a, b):
            s = parts.reshape(-1, *[1] * (a.dim() - 1))
            return (1 - s) * a.unsqueeze(1) + s * b.unsqueeze(1)

        # inner control points, (K, bends, …), evenly spaced on the straight line until they are learned
        self.control = pairs.a.map(between, pairs.b)

    def coefficients(self, t: Tensor) -> Tensor:
        """``c(t)`` of every control point, the minima among them: ``(*t.shape, bends + 2)``, a row sums to 1."""
        raise NotImplementedError

    def points(self, t: Tensor) -> Weights:
        """The stack with batch ``(K, T)`` at ``t`` ``(K, T)``."""
        return self._points(t, self.control)

    def _points(self, t: Tensor, control: Weights) -> Weights:
        coefficients = self.coefficients(t)

        def mix(a, inner, b):
            theta = torch.cat([a.unsqueeze(1), inner, b.unsqueeze(1)], dim=1)
            return (coefficients @ theta.flatten(2)).unflatten(2, a.shape[1:])

        return self.pairs.a.map(mix, control, self.pairs.b)

    def learn(self, split: Split) -> None:
        """Move the control points down the mean of the loss over the curve."""
        options, (k, like) = self.options, (len(self.pairs), self.pairs.a.layers[0])
        # drawn alike for every pair, so that a curve depends on its pair alone
        generator = torch.Generator().manual_seed(0)
        size = sum(w.squared_norm() for w in (self.pairs.a, self.pairs.b)) / (2 * self.network.parameters)
        control = list(self.control.parameters)
        first, second = ([torch.zeros_like(p) for p in control] for _ in range(2))
        for step in range(options.steps):
            within = torch.rand(options.points, generator=generator, dtype=torch.float64)
            t = ((torch.arange(options.points) + within) / options.points).to(like).expand(k, -1)
            slopes = self._slopes(split, t, control)
            rate = options.learning_rate * size.sqrt() * 0.5 * (1 + math.cos(math.pi * step / options.steps))
            for p, g, m, v in zip(control, slopes, first, second, strict=True):
                m.lerp_(g, 1 - DECAY[0])
                v.lerp_(g.square(), 1 - DECAY[1])
                scale = (v / (1 - DECAY[1] ** (step + 1))).sqrt_().add_(ROUNDING)
                p.sub_(rate.reshape(-1, *[1] * (p.dim() - 1)) * m / (1 - DECAY[0] ** (step + 1)) / scale)
        self.control = self._control(control)

    def _slopes(self, split: Split, t: Tensor, control: list[Tensor]) -> tuple[Tensor, ...]:
        """Gradients of the curves' mean losses; those of different pairs are independent."""
        with torch.enable_grad():
            leaves = [p.detach().requires_grad_() for p in control]
            (loss,) = self.network.curve_loss(self._points(t, self._control(leaves)), split, (self.network.loss_name,))
            return torch.autograd.grad(loss.mean(1).sum(), leaves)

    def _control(self, parameters: list[Tensor]) -> Weights:
        layers = self.network.depth
        return Weights(tuple(parameters[:layers]), tuple(parameters[layers:]) or None)

    def take(self, index: Tensor) -> LearnedCurve:
        """The same path for some of the pairs."""
        taken = super().take(index)
        taken.control = self.control[index]
        return taken
