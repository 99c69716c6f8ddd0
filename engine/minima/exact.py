"""Zero-loss or best minima in closed form: linear networks on any data, every network on its teacher's data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from engine.best_map import RANK, best_map
from engine.minima import Found
from engine.types import Block, Data, Weights


@dataclass
class Config:
    """Options of ``minima=exact``."""

    name: str = "exact"
    # largest gradient norm that counts as a minimum, for the column `reached`
    tolerance: float = 1e-6

    def reason(self, network, data, weight_decay: float) -> str | None:
        """Only teachers and linear networks without skip have known minima, and those without a penalty."""
        why = None
        if weight_decay:
            why = f"sweep.grid.weight_decay={weight_decay:g} adds a penalty, with which no minimum has a closed form"
        elif not data.has_teacher and (network.activation != "linear" or network.skips):
            why = "minima in closed form are known for data=teacher and for linear networks without skip only"
        elif not data.has_teacher and network.loss_name == "cross_entropy":
            why = "the cross entropy of a linear network has no minimum in closed form"
        return why and f"{why}; minima=trained finds others"

    def find(self, network, block: Block, data: Data, generators, symmetries) -> Found:
        """One draw per minimum; the gradient is measured, not assumed."""
        if data.teacher is not None:
            stacks = [_orbit_point(data.teacher, generator, symmetries) for generator in generators]
        else:
            stacks = [_linear_minimum(network, data, generator) for generator in generators]
        first, *rest = stacks
        weights = first.map(lambda *stack: torch.cat(stack).to(data.train.x), *rest)
        # no step: only the loss and the gradient at these weights
        at = network.train(weights, data.train, steps=0, tolerance=self.tolerance)
        return Found(weights, at.grad_norm, at.steps, at.reached, [None] * len(weights))


def _orbit_point(teacher: Weights, generator: torch.Generator, symmetries) -> Weights:
    """A random element of every symmetry group of the network, one after the other."""
    point = teacher.map(lambda parameter: parameter.cpu().double())
    for group in symmetries.values():
        if group.reason is None:
            point = group.act(group.random(generator), point)
    return point


def _linear_minimum(network, data: Data, generator: torch.Generator) -> Weights:
    """A minimum of ``‖Y - W_l … W_1 X‖``: Prop. 4.1 of Zhao et al. 2025, for any widths and data.

    The best reachable map ``[Y X⁺ X]_r X⁺`` is of rank at most ``r = min d_i`` (Trager, Kohn, Bruna 2020).  With ``V``
    a basis of its row space, ``W_1 = A Vᵀ`` and ``W_2 … W_{l-1}`` are well-conditioned random matrices and
    ``W_l = W̄ V (W_{l-1} ⋯ A)⁺``.  With biases the same holds after centring, the last bias takes up the rest.
    """
    x, y = data.train.x.cpu().double(), data.train.targets(data.outputs).cpu().double()
    mean_x, mean_y = (x.mean(0), y.mean(0)) if network.bias else (torch.zeros_like(x[0]), torch.zeros_like(y[0]))
    best, basis = best_map(x - mean_x, y - mean_y, min(network.widths))
    layers, product = [], basis.mT
    for inputs, outputs in zip(network.widths[:-2], network.widths[1:-1], strict=True):
        if layers:
            layers.append(_well_conditioned(outputs, inputs, generator))
        else:
            layers.append(_well_conditioned(outputs, basis.shape[1], generator) @ basis.mT)
        product = layers[-1] @ (product if len(layers) > 1 else torch.eye(inputs, dtype=torch.float64))
    layers.append(best @ basis @ torch.linalg.pinv(product @ basis, rtol=RANK) if layers else best)
    biases = None
    if network.bias:
        hidden = [0.1 * torch.randn(width, generator=generator, dtype=torch.float64) for width in network.widths[1:-1]]
        at = mean_x
        for layer, bias in zip(layers[:-1], hidden, strict=True):
            at = layer @ at + bias
        biases = (*(bias[None] for bias in hidden), (mean_y - layers[-1] @ at)[None])
    return Weights(tuple(layer[None] for layer in layers), biases)


def _well_conditioned(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """A Gaussian matrix's singular vectors with singular values log-uniform in [1/2, 2], scaled to keep activations."""
    matrix = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = 2 ** (2 * torch.rand(left.shape[1], generator=generator, dtype=torch.float64) - 1)
    return (left * values) @ right * math.sqrt(max(1.0, rows / columns))
