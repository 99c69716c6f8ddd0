"""The minimum of a small network as the set ``{w : f(w) = F}``: its residuals, their derivatives, chords beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.best_map import RANK
from engine.network.fully_connected import Network
from engine.types import Split, Weights
from kernels.path_loss.reference import ACTIVATION

# nodes of a chord, as a multiple of the degree of the loss along it
NODES = 2
# |p| on [0, 1] of a polynomial of degree n is at most its largest value at N > n Chebyshev nodes over cos(πn / 2N)
# (Ehlich & Zeller 1964, Math. Z. 86, 41-44)
BETWEEN_NODES = 1 / math.cos(math.pi / (2 * NODES))
TIE = 1e-6  # singular values that differ by at most this share of the largest may be equal


@dataclass(frozen=True)
class LevelSet:
    """Networks of one shape as flat vectors ``(P, n)`` without biases, float64, and what they are held to.

    ``N`` samples give ``m = N d_l`` residuals.
    """

    network: Network
    split: Split  # x (N, d_0), y (N, d_l)
    target: Tensor  # (N, d_l), F: the outputs at the minimum, y where they fit it
    constant: float  # a part of the loss that no network changes
    least: float = 0.0  # the loss at the minimum

    @classmethod
    def of(cls, network: Network, x: Tensor, y: Tensor) -> LevelSet:
        """The set of networks that fit ``y`` ``(N, d_l)``.

        A linear network lets samples be mixed: by the orthogonal ``Q`` of ``x = Q R`` they become at most ``d_0`` with
        inputs that are not zero, and what the others lose is a constant.  Without skips what it gives at its minimum is
        known (Eckart & Young 1936), and it is held to that: where ``y`` is out of reach, so that residuals stay, the
        Gauss-Newton method takes the more steps the nearer two singular values are.
        """
        constant = 0.0
        if network.activation == "linear" and len(x) > x.shape[1]:
            q, r = torch.linalg.qr(x)
            constant = float((y - q @ (q.mT @ y)).square().sum())
            x, y = r, q.mT @ y
        target, least = y, constant
        if network.activation == "linear" and not network.skips:
            best = _best_outputs(x, y, min(network.widths))
            lost = float((y - best).square().sum()) if best is not None else 0.0
            if lost > (RANK * float(y.norm())) ** 2:
                target, least = best, constant + lost
        return cls(network, Split(x, y), target, constant, least)

    def held_to(self, target: Tensor, least: float) -> LevelSet:
        """The same networks and data, held to other outputs."""
        return replace(self, target=target, least=least)

    @property
    def size(self) -> int:
        """``n``, numbers in one network."""
        return self.network.parameters

    @property
    def scale(self) -> float:
        """``‖Y‖²``."""
        return float(self.split.y.square().sum()) + self.constant

    def stack(self, w: Tensor) -> Weights:
        """Flat vectors as layers."""
        widths = self.network.widths
        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        parts = w.split([rows * columns for rows, columns in shapes], dim=-1)
        return Weights(tuple(part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)))

    def outputs(self, w: Tensor) -> Tensor:
        """``(P, N, d_l)``."""
        return self.network.outputs(self.stack(w), self.split.x)

    def loss(self, w: Tensor) -> Tensor:
        """Sums of squared errors ``(P,)``."""
        return self.network.loss(self.stack(w), self.split, ("sse",))[0] + self.constant

    def residuals(self, w: Tensor) -> Tensor:
        """``(P, m)``: outputs less what they are held to."""
        return (self.outputs(w) - self.target).flatten(1)

    def chord_loss(self, a: Tensor, b: Tensor) -> Tensor:
        """The largest loss ``(P,)`` on the straight lines from ``a`` to ``b``.

        Along a line the loss of a linear network is a polynomial of degree ``2l`` and what is returned is an upper
        bound; of other networks the loss is seen at as many points, and what may lie between them allowed for alike.
        """
        nodes = NODES * 2 * self.network.depth
        t = (1 - torch.cos(torch.pi * (torch.arange(nodes, dtype=a.dtype, device=a.device) + 0.5) / nodes)) / 2
        t = torch.cat([t, t.new_tensor([0.0, 1.0])]).expand(len(a), -1)
        (values,) = self.network.line_loss(self.stack(a), self.stack(b), self.split, t, ("sse",))
        return self.least + BETWEEN_NODES * (values + (self.constant - self.least)).abs().max(1).values

    def linearise(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals ``(P, m)`` and their Jacobian ``(P, m, n)``."""
        network, layers = self.network, self.stack(w).layers
        activations, slopes = [self.split.x.expand(len(w), *self.split.x.shape)], []
        for i, layer in enumerate(layers, start=1):
            z = activations[-1] @ layer.mT
            if (i - 2, i) in network.skips:
                z = z + network.skip * activations[i - 2]
            if i < network.depth:
                value, slope = _with_slope(z, network.activation)
                activations.append(value)
                slopes.append(slope)
        # dz_l / dz_i, (P, N, d_l, d_i), from the last layer to the first
        back = {network.depth: torch.eye(z.shape[-1], dtype=w.dtype, device=w.device).expand(*z.shape, -1)}
        blocks = []
        for i in range(network.depth, 0, -1):
            blocks.append((back[i].unsqueeze(-1) * activations[i - 1][:, :, None, None]).flatten(3))
            if i > 1:
                into = back[i] @ layers[i - 1].unsqueeze(1)
                if (i - 1, i + 1) in network.skips:
                    into = into + network.skip * back[i + 1]
                back[i - 1] = into * slopes[i - 2].unsqueeze(2)
        return (z - self.target).flatten(1), torch.cat(blocks[::-1], dim=3).flatten(1, 2)


def _best_outputs(x: Tensor, y: Tensor, rank: int) -> Tensor | None:
    """Of all linear maps of at most this rank the outputs nearest to ``y``; None where several are as near."""
    left, values, right = torch.linalg.svd(x @ (torch.linalg.pinv(x, rtol=RANK) @ y), full_matrices=False)
    if len(values) > rank and values[rank - 1] - values[rank] <= TIE * values[0]:
        return None
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def _with_slope(z: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    """``σ(z)`` and ``σ'(z)``."""
    if activation == "linear":
        return z, torch.ones_like(z)
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        value = ACTIVATION[activation](leaf)
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


class Damped:
    """``(Jᵀ J + μ)⁻¹ Jᵀ`` of a stack of Jacobians, from the smaller of ``J Jᵀ + μ`` and ``Jᵀ J + μ``."""

    def __init__(self, jacobian: Tensor, damping: Tensor | float):
        """``jacobian`` ``(P, m, n)``; ``damping`` ``(P,)``, as a share of its mean squared singular value."""
        self.jacobian = jacobian
        self.few = jacobian.shape[1] <= jacobian.shape[2]
        gram = jacobian @ jacobian.mT if self.few else jacobian.mT @ jacobian
        mean = gram.diagonal(dim1=1, dim2=2).mean(1)
        gram.diagonal(dim1=1, dim2=2).add_((damping * mean + torch.finfo(mean.dtype).tiny)[:, None])
        self.factor, _ = torch.linalg.cholesky_ex(gram)

    def solve(self, right: Tensor) -> Tensor:
        """The least step ``(P, n)`` that changes the outputs by ``right`` ``(P, m)``."""
        right = right.unsqueeze(-1)
        if self.few:
            return (self.jacobian.mT @ torch.cholesky_solve(right, self.factor)).squeeze(-1)
        return torch.cholesky_solve(self.jacobian.mT @ right, self.factor).squeeze(-1)

    def tangent(self, direction: Tensor) -> Tensor:
        """``direction`` ``(P, n)`` less what would change the outputs."""
        return direction - self.solve((self.jacobian @ direction.unsqueeze(-1)).squeeze(-1))
