"""What weight decay does along rescaling orbits: the penalty's derivative, and the imbalance under gradient descent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import torch

from engine.seeding import seed_of
from engine.types import Weights

COLUMNS = {
    # derivative: of loss and penalty along the orbit of each unit; flow: of the imbalance over time
    "law": pa.string(),
    # |measured - closed form|, the largest of the units, over the sum of the sizes of what is summed
    "law_error": pa.float64(),
}
NOT_HOMOGENEOUS = "tanh in place of the homogeneous activation"
NOT_A_FLOW = "Adam in place of gradient descent"


@dataclass
class Config:
    """Options of ``measures=[balance_law]``."""

    # of gradient descent; the law is that of its limit 0
    learning_rate: float = 1e-3
    steps: int = 200

    def __post_init__(self):
        if not self.learning_rate > 0 or self.steps < 1:
            raise ValueError("measure.balance_law: learning_rate and steps, expected numbers above 0")


def of_block(study):
    """For each minimum's axes a random network, far from any minimum: two laws, each with its control."""
    group, network = study.symmetries["rescaling"], study.network
    if group.reason:
        return []
    minima, x = study.block.minima, study.data.train.x
    generators = [
        torch.Generator().manual_seed(seed_of(what="balance", sweep_seed=study.config.seed, **minimum.axes))
        for minimum in minima
    ]
    drawn = [network.random(generator) for generator in generators]
    start = drawn[0].map(lambda *parts: torch.cat(parts).to(x), *drawn[1:])
    decay = torch.tensor([minimum.weight_decay for minimum in minima]).to(x)
    laws = [
        ("derivative", None, _derivative(study, network, start, decay)),
        ("derivative", NOT_HOMOGENEOUS, _derivative(study, replace(network, activation="tanh"), start, decay)),
    ]
    if network.degree == 1:
        laws += [
            ("flow", None, _flow(study, start, decay, optimizer="sgd", momentum=0.0)),
            ("flow", NOT_A_FLOW, _flow(study, start, decay, optimizer="adam")),
        ]
    return [
        minimum.axes | {"split": "train", "law": law, "control": control, "law_error": error}
        for law, control, errors in laws
        for minimum, error in zip(minima, errors, strict=True)
    ]


def imbalance(network, weights: Weights) -> torch.Tensor:
    """``‖incoming‖² + b² - k ‖outgoing‖²`` of every free hidden unit, ``(K, D)``."""
    parts = []
    for layer in network.free:
        incoming = weights.layers[layer - 1].square().sum(-1)
        if weights.biases is not None:
            incoming = incoming + weights.biases[layer - 1].square()
        parts.append(incoming - network.degree * weights.layers[layer].square().sum(-2))
    return torch.cat(parts, dim=-1)


def _derivative(study, network, weights: Weights, decay) -> list[float]:
    """``d/ds (L + penalty)(exp(s e_j)·w) = λ (‖incoming_j‖² + b_j² - k ‖outgoing_j‖²)`` for every unit."""
    group = study.symmetries["rescaling"]
    leaves = weights.map(lambda p: p.clone().requires_grad_())
    loss = network.loss(leaves, study.data.train, (network.loss_name,))[0]
    penalty = 0.5 * decay * leaves.squared_norm()
    gradients = torch.autograd.grad((loss + penalty).sum(), leaves.parameters)
    tangents = group.tangent(group.basis(weights), weights.map(lambda p: p.unsqueeze(1))).parameters  # (K, D, …)
    terms = [(g.unsqueeze(1) * part).flatten(2) for g, part in zip(gradients, tangents, strict=True)]
    along, size = sum(term.sum(2) for term in terms), sum(term.abs().sum(2) for term in terms)
    exact = decay[:, None] * imbalance(study.network, weights)
    return ((along - exact).abs() / size).amax(1).tolist()


def _flow(study, weights: Weights, decay, **optimizer) -> list[float]:
    """Imbalance of all units together after a time ``t``, over ``e^{-2λt}`` times that at the start."""
    options, network = study.config.measure.balance_law, study.network
    trained = network.train(
        weights,
        study.data.train,
        learning_rate=options.learning_rate,
        steps=options.steps,
        weight_decay=decay,
        **optimizer,
    )
    before = imbalance(network, weights)
    after = imbalance(network, Weights(trained.weights, trained.biases))
    time = options.learning_rate * options.steps
    expected = torch.exp(-2 * decay * time)[:, None] * before
    return ((after - expected).abs().sum(1) / before.abs().sum(1)).tolist()
