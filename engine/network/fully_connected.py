"""Fully connected networks of any depth and width, with or without biases and skip connections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

import kernels
from engine.data import Shape
from engine.types import Architecture, Split, Weights
from kernels.path_loss.reference import ACTIVATION, DEGREE

# the standard deviation of initial weights is gain / sqrt(fan in), so that activations keep their size
GAIN = {"relu": math.sqrt(2), "leaky_relu": math.sqrt(2), "relu_squared": 0.8, "tanh": 5 / 3, "gelu": math.sqrt(2)}


@dataclass
class Config:
    """Options of ``network=fully_connected``."""

    name: str = "fully_connected"
    # every layer has a bias
    bias: bool = True

    def build(self, shape: Shape, architecture: Architecture, loss: str) -> Network:
        """The network of an architecture between the data's widths."""
        widths = (shape.inputs, *[architecture.width] * (architecture.depth - 1), shape.outputs)
        return Network(widths, architecture.activation, architecture.skip, self.bias, loss)


@dataclass(frozen=True)
class Network:
    """The function and the structure of a stack of networks; the stacks themselves are ``Weights``."""

    widths: tuple[int, ...]  # d_0 … d_l
    activation: str
    skip: float
    bias: bool
    loss_name: str

    @property
    def depth(self) -> int:
        """Weight layers ``l``; hidden layers are ``1 … l - 1``."""
        return len(self.widths) - 1

    @property
    def degree(self) -> int | None:
        """Degree ``k`` of positive homogeneity of the activation, None if it has none."""
        return DEGREE.get(self.activation)

    @cached_property
    def skips(self) -> tuple[tuple[int, int], ...]:
        """``(i, i + 2)`` where ``ε a_i`` is added to ``z_{i+2}``: two layers at a time, where the widths agree."""
        ends = range(0, self.depth - 1, 2) if self.skip else ()
        return tuple((i, i + 2) for i in ends if self.widths[i] == self.widths[i + 2])

    @property
    def reason(self) -> str | None:
        """Why the function is not what the options ask for, or None."""
        if self.skip and not self.skips:
            widths = ", ".join(map(str, self.widths))
            return (
                f"skip={self.skip:g} joins none of the layers 0, 2, 4, … of widths {widths}, no two in turn of "
                "equal width; expected other widths, a greater depth or skip=0"
            )
        return None

    @cached_property
    def free(self) -> tuple[int, ...]:
        """Hidden layers at which no skip starts or ends, so that a symmetry may act on their units alone."""
        tied = {end for skip in self.skips for end in skip}
        return tuple(i for i in range(1, self.depth) if i not in tied)

    @property
    def parameters(self) -> int:
        """Numbers in one network."""
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        return sum(inputs * outputs + self.bias * outputs for inputs, outputs in pairs)

    def random(self, generator: torch.Generator) -> Weights:
        """A stack of one network, float64: Gaussian weights that keep activations at their size, small biases."""

        def normal(*size, scale):
            return torch.randn(1, *size, generator=generator, dtype=torch.float64) * scale

        gain, layers = GAIN.get(self.activation, 1.0), range(self.depth)
        weights = tuple(
            normal(self.widths[i + 1], self.widths[i], scale=(gain if i else 1.0) / math.sqrt(self.widths[i]))
            for i in layers
        )
        return Weights(weights, tuple(normal(self.widths[i + 1], scale=0.1) for i in layers) if self.bias else None)

    def outputs(self, weights: Weights, x: Tensor) -> Tensor:
        """Outputs ``(*batch, N, d_l)`` at ``x`` ``(N, d_0)``."""
        return self.layers(weights, x)[-1]

    def layers(self, weights: Weights, x: Tensor) -> list[Tensor]:
        """Activations ``a_0 … a_{l-1}`` and outputs ``z_l``, each ``(*batch, N, d_i)``."""
        values = [x.expand(*weights.layers[0].shape[:-2], *x.shape)]
        for i, layer in enumerate(weights.layers, start=1):
            z = values[-1] @ layer.mT
            if weights.biases is not None:
                z = z + weights.biases[i - 1].unsqueeze(-2)
            if (i - 2, i) in self.skips:
                z = z + self.skip * values[i - 2]
            values.append(ACTIVATION[self.activation](z) if i < self.depth else z)
        return values

    def loss(self, weights: Weights, split: Split, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        """Losses ``(K,)`` of a stack, one tensor per name."""
        return kernels.network_loss(
            weights.layers, split.x, split.y, biases=weights.biases, loss=names, **self._function
        )

    def line_loss(self, a: Weights, b: Weights, split: Split, t: Tensor, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        """Losses ``(K, T)`` on straight lines from ``a`` to ``b`` at ``t`` ``(K, T)``, one tensor per name."""
        return kernels.path_loss(
            a.layers, b.layers, split.x, split.y, t, biases_a=a.biases, biases_b=b.biases, loss=names, **self._function
        )

    def rescaling_loss(
        self, start: Weights, logs: tuple[Tensor, ...], split: Split, t: Tensor, names: tuple[str, ...]
    ) -> tuple[Tensor, ...]:
        """Losses ``(K, T)`` where units of ``start`` are rescaled by ``exp(t logs)``, one tensor per name."""
        return kernels.rescaling_loss(
            start.layers, logs, split.x, split.y, t, biases=start.biases, loss=names, **self._function
        )

    def curve_loss(self, points: Weights, split: Split, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        """Losses ``(K, T)`` at the points of curves, a stack with batch ``(K, T)``, one tensor per name."""
        return kernels.curve_loss(points.layers, split.x, split.y, biases=points.biases, loss=names, **self._function)

    def train(self, start: Weights, split: Split, **options) -> kernels.Trained:
        """Train a stack; options as ``kernels.train``."""
        return kernels.train(
            start.layers, split.x, split.y, biases=start.biases, loss=self.loss_name, **self._function, **options
        )

    @property
    def _function(self) -> dict:
        return {"activation": self.activation, "skip": self.skip}
