"""Scikit-learn's handwritten digits: 1797 real images of 8 × 8 pixels, ten classes, shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from engine.data import Shape
from engine.types import Architecture, Data, Split

SAMPLES, PIXELS, CLASSES = 1797, 64, 10


@dataclass
class Config:
    """Options of ``data=digits``."""

    has_teacher: ClassVar[bool] = False

    name: str = "digits"
    # share of the samples kept for testing
    test_share: float = 0.2

    def __post_init__(self):
        if not 0 <= self.test_share < 1:
            raise ValueError(f"data.test_share={self.test_share}, expected a number from 0 to below 1")

    def shape(self, architecture: Architecture) -> Shape:
        """The sizes, the same for every architecture."""
        test = round(SAMPLES * self.test_share)
        return Shape(PIXELS, CLASSES, SAMPLES - test, test, classes=True)

    def draw(self, architecture: Architecture, seed: int, network) -> Data:
        """Pixels less the training mean over one common scale, so that dead border pixels stay zero."""
        from sklearn.datasets import load_digits  # a second to import

        pixels, labels = load_digits(return_X_y=True)
        order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(seed))
        x, y = torch.from_numpy(pixels)[order], torch.from_numpy(labels).long()[order]
        test = self.shape(architecture).test
        x = x - x[test:].mean(0)
        x = x / x[test:].std()
        return Data(Split(x[test:], y[test:]), Split(x[:test], y[:test]) if test else None, CLASSES)
