"""The nearest element of the whole symmetry group of a network's family between two networks of one shape.

Linear networks have GL; homogeneous activations permutations and rescalings; odd ones permutations and sign flips; all
others permutations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment

from engine import align
from engine.nearest import nearest
from engine.types import Weights

SWEEPS = 20  # of signed matching over the hidden layers; with one layer the second changes nothing


def family(symmetries: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups whose product is the family's, as names of ``engine.symmetry``; empty where there is none."""
    there = [name for name, group in symmetries.items() if group.reason is None]
    if "linear" in there:
        return ("linear",)
    return tuple(name for name in ("permutation", "rescaling", "sign") if name in there)


def plant(symmetries: Mapping[str, Any], generator: torch.Generator, noise: float, a: Weights) -> tuple[Weights, float]:
    """A network moved by a random element of each group of the family, and Gaussian noise.

    Args:
        symmetries: the groups of the network.
        generator: of elements and noise.
        noise: Frobenius norm of the noise over that of the moved network.
        a: a stack of one network.

    Returns:
        The image, and what of it remains when the element, but not the noise, is undone, over the norm of ``a``.
    """
    where, moved, chosen = a.layers[0], a, []
    for name in family(symmetries):
        group = symmetries[name]
        element = tuple(
            part.to(where) if part.is_floating_point() else part.to(where.device) for part in group.random(generator)
        )
        moved = group.act(element, moved)
        chosen.append((group, element))
    shift = moved.map(lambda p: torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p))
    size = float(noise * (moved.squared_norm() / shift.squared_norm()).sqrt())
    image = back = moved.map(lambda p, s: p + size * s, shift)
    for group, element in reversed(chosen):
        back = group.act(group.inverse(element), back)
    return image, float(a.distance(back) / a.squared_norm().sqrt())


def detect(symmetries: Mapping[str, Any], a: Weights, b: Weights) -> Weights:
    """``b`` moved by the element of the family's group that brings it nearest to ``a``, as far as the search finds it.

    Args:
        symmetries: the groups of the network.
        a: a stack ``(K, …)``.
        b: a stack ``(K, …)``.

    Returns:
        The moved stack; the same functions as ``b``.
    """
    names = family(symmetries)
    if names == ("linear",):
        group = symmetries["linear"]
        return nearest(group, group.act(group.align(a, b), b), a)[0]
    if "sign" in names:
        return _signed(symmetries, a, b)
    if "rescaling" in names:
        return align.aligned("both", symmetries, a, b)
    return align.aligned("permutation", symmetries, a, b) if names else b


def _signed(symmetries, a: Weights, b: Weights) -> Weights:
    """Weight matching up to signs: each hidden layer in turn by the assignment of largest ``Σ |⟨unit, unit⟩|``."""
    permutation, sign = symmetries["permutation"], symmetries["sign"]
    widths, where = permutation.network.widths[1:-1], a.layers[0]
    for _ in range(SWEEPS):
        moved = False
        for layer in permutation.network.free:
            i = layer - 1
            gain = a.layers[i] @ b.layers[i].mT + a.layers[i + 1].mT @ b.layers[i + 1]
            if a.biases is not None:
                gain = gain + a.biases[i].unsqueeze(-1) * b.biases[i].unsqueeze(-2)
            columns = [linear_sum_assignment(matrix.abs().cpu().numpy(), maximize=True)[1] for matrix in gain]
            orders = [torch.arange(width, device=where.device).expand(len(a), -1) for width in widths]
            orders[i] = torch.stack([torch.from_numpy(found) for found in columns]).to(where.device)
            signs = [torch.ones(len(a), width).to(where) for width in widths]
            agreement = gain.gather(-1, orders[i].unsqueeze(-1))[..., 0]
            signs[i] = torch.where(agreement < 0, -1.0, 1.0).to(where)
            b = sign.act(tuple(signs), permutation.act(tuple(orders), b))
            identity = torch.arange(widths[i], device=where.device)
            moved = moved or bool((orders[i] != identity).any()) or bool((signs[i] < 0).any())
        if not moved:
            break
    return b
