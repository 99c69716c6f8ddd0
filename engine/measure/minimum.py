"""How well a minimum was reached, and how far its layers are from the balance that weight decay asks for."""

from __future__ import annotations

import pyarrow as pa
import torch

COLUMNS = {
    # Frobenius distance between the two minima, after the alignment
    "distance": pa.float64(),
    # of the first minimum, over the training set, the penalty included
    "grad_norm": pa.float64(),
    "balance": pa.float64(),
    "reached": pa.bool_(),
    "steps": pa.int64(),
}


def of_track(study, track, split):
    """The distance of the ends."""
    return {"distance": track.pairs.a.distance(track.pairs.b).tolist()}


def of_minima(study):
    """What training reports, and the balance residual."""
    found = study.found
    return {
        "grad_norm": found.grad_norm.tolist(),
        "reached": found.reached.tolist(),
        "steps": found.steps.tolist(),
        "balance": balance_residual(study.network, found.weights),
    }


def balance_residual(network, weights) -> list[float | None]:
    """``Σ |in - k out| / Σ (in + k out)`` over the units of each free hidden layer, the largest of the layers.

    ``in = ‖incoming‖² + b²`` and ``out = ‖outgoing‖²`` of a unit; at a critical point with weight decay ``in = k out``
    (the derivative of the penalty along the rescaling orbit is zero).  In [0, 1]; None without rescaling symmetry.
    """
    k = network.degree
    if k is None or not network.free:
        return [None] * len(weights)
    residuals = []
    for layer in network.free:
        incoming = weights.layers[layer - 1].square().sum(-1)
        if weights.biases is not None:
            incoming = incoming + weights.biases[layer - 1].square()
        outgoing = k * weights.layers[layer].square().sum(-2)
        residuals.append((incoming - outgoing).abs().sum(-1) / (incoming + outgoing).sum(-1))
    return torch.stack(residuals).max(dim=0).values.tolist()
