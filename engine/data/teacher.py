"""Targets from a random network of each architecture, one per sweep: an exact zero-loss minimum is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from engine.data import Shape
from engine.types import Architecture, Data, Split


@dataclass
class Config:
    """Options of ``data=teacher``."""

    has_teacher: ClassVar[bool] = True

    name: str = "teacher"
    # training samples
    samples: int = 512
    # features
    inputs: int = 16
    # targets
    outputs: int = 4
    # test samples, with targets from the same network
    test_samples: int = 128

    def __post_init__(self):
        for option, least in (("samples", 1), ("inputs", 1), ("outputs", 1), ("test_samples", 0)):
            if getattr(self, option) < least:
                raise ValueError(f"data.{option}={getattr(self, option)}, expected at least {least}")

    def shape(self, architecture: Architecture) -> Shape:
        """The sizes, the same for every architecture."""
        return Shape(self.inputs, self.outputs, self.samples, self.test_samples, classes=False)

    def draw(self, architecture: Architecture, seed: int, network) -> Data:
        """Gaussian inputs and the outputs of one network with Gaussian weights and biases."""
        generator = torch.Generator().manual_seed(seed)
        teacher = network.random(generator)
        x = torch.randn(self.samples + self.test_samples, self.inputs, generator=generator, dtype=torch.float64)
        y = network.outputs(teacher, x)[0]
        train, test = slice(0, self.samples), slice(self.samples, None)
        held_out = Split(x[test], y[test]) if self.test_samples else None
        return Data(Split(x[train], y[train]), held_out, self.outputs, teacher)
