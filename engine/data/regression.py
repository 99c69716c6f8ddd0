"""Gaussian ``X`` and ``Y`` of full rank (Zhao et al. 2025, section 4), by default square and as wide as the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from engine.data import Shape
from engine.types import Architecture, Data, Split


@dataclass
class Config:
    """Options of ``data=regression``."""

    has_teacher: ClassVar[bool] = False

    name: str = "regression"
    # training samples; null: the width, so that X and Y are square
    samples: int | None = None
    # features; null: the width
    inputs: int | None = None
    # targets; null: the width
    outputs: int | None = None
    # test samples, drawn from the same Gaussians
    test_samples: int = 0

    def __post_init__(self):
        for option in ("samples", "inputs", "outputs"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(f"data.{option}={value}, expected at least 1, or null for the network's width")
        if self.test_samples < 0:
            raise ValueError(f"data.test_samples={self.test_samples}, expected 0 or more")

    def shape(self, architecture: Architecture) -> Shape:
        """Null options filled in with the width."""
        inputs, outputs, samples = (
            architecture.width if given is None else given for given in (self.inputs, self.outputs, self.samples)
        )
        return Shape(inputs, outputs, samples, self.test_samples, classes=False)

    def draw(self, architecture: Architecture, seed: int, network) -> Data:
        """Independent standard normal entries, full rank with probability one."""
        shape, generator = self.shape(architecture), torch.Generator().manual_seed(seed)

        def split(samples):
            return Split(
                torch.randn(samples, shape.inputs, generator=generator, dtype=torch.float64),
                torch.randn(samples, shape.outputs, generator=generator, dtype=torch.float64),
            )

        return Data(split(shape.train), split(shape.test) if shape.test else None, shape.outputs)
