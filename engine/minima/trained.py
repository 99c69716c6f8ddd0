"""Minima by training all networks of a block at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.minima import Found
from engine.types import Block, Data, Weights
from kernels.train import OPTIMIZERS, SCHEDULES


@dataclass
class Config:
    """Options of ``minima=trained``."""

    name: str = "trained"
    # adam or sgd
    optimizer: str = "adam"
    # the largest of the schedule
    learning_rate: float = 0.02
    # of sgd
    momentum: float = 0.9
    # at most so many
    steps: int = 600
    # samples of one step; null: all
    batch_size: int | None = None
    # constant or cosine
    schedule: str = "cosine"
    # a network stops when its gradient norm, penalty included, is at most this
    tolerance: float = 1e-4
    # go on by a second-order method to a gradient near rounding; at kinks of ReLUs it does not vanish
    polish: bool = False

    def __post_init__(self):
        for option, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, option) not in choices:
                raise ValueError(f"minima.{option}={getattr(self, option)}, expected one of {', '.join(choices)}")
        if not self.learning_rate > 0:
            raise ValueError(f"minima.learning_rate={self.learning_rate}, expected a number above 0")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"minima.momentum={self.momentum}, expected a number from 0 to below 1")
        if self.steps < 0:
            raise ValueError(f"minima.steps={self.steps}, expected 0 or more")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"minima.batch_size={self.batch_size}, expected at least 1, or null for all samples")
        if self.tolerance < 0:
            raise ValueError(f"minima.tolerance={self.tolerance}, expected 0 or more")

    def reason(self, network, data, weight_decay: float) -> None:
        """Any network can be trained."""
        return

    def find(self, network, block: Block, data: Data, generators, symmetries) -> Found:
        """Train from Gaussian starting points, each drawn by its minimum's own generator."""
        x = data.train.x
        first, *rest = [network.random(generator) for generator in generators]
        start = first.map(lambda *stack: torch.cat(stack).to(x.device, x.dtype), *rest)
        trained = network.train(
            start,
            data.train,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=torch.tensor([minimum.weight_decay for minimum in block.minima], dtype=torch.float64),
            steps=self.steps,
            batch_size=self.batch_size,
            schedule=self.schedule,
            tolerance=self.tolerance,
            polish=self.polish,
        )
        finite = trained.loss.isfinite() & trained.grad_norm.isfinite()
        return Found(
            Weights(trained.weights, trained.biases),
            trained.grad_norm,
            trained.steps + trained.polished,
            trained.reached,
            [None if good else "the training did not stay finite" for good in finite.tolist()],
        )
