"""Blocked PyTorch operations: what runs where no faster path does; also on CUDA.

The first layer's pre-activation is affine in ``t``, so on straight lines it is computed at the two ends only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .reference import ACTIVATION

SAMPLES = 512  # samples in a block: activations of a few networks stay in the cache, calls stay few


def loss_sums(z: Tensor, y: Tensor, loss: str) -> Tensor:
    """Sums over samples ``(...)`` of the loss of outputs ``(..., N, C)`` in a block."""
    if not y.is_floating_point():
        y = y.long()  # of labels PyTorch takes no other
    if loss == "cross_entropy":
        own = z.gather(-1, y.expand(z.shape[:-1])[..., None])[..., 0]
        return (z.logsumexp(-1) - own).sum(-1)
    if loss == "error_rate":
        wrong = (z.argmax(-1) != y).to(z.dtype)
        return torch.where(z.isnan().any(-1), torch.full_like(wrong, torch.nan), wrong).sum(-1)
    target = y if y.is_floating_point() else torch.nn.functional.one_hot(y, z.shape[-1]).to(z.dtype)
    return ((z - target) ** 2).sum((-1, -2))


def scale(loss: str, samples: int, outputs: int) -> float:
    """What the sum over samples and outputs is multiplied with."""
    return {"mse": 1 / (samples * outputs), "sse": 1.0}.get(loss, 1 / samples)


def forward(first: Tensor, x: Tensor, weights, biases, activation: str, skip: float) -> Tensor:
    """Outputs ``(B, N, C)`` from the first pre-activations ``(B, N, d_1)`` and the layers from the second on.

    ``x`` is ``(N, d_0)``, or ``(B, N, d_0)`` where each network has samples of its own.
    """
    z, source = first, x.expand(*first.shape[:-1], x.shape[-1])
    for i, weight in enumerate(weights, start=1):
        a = ACTIVATION[activation](z)
        if i % 2 == 0:
            source = a
        z = a @ weight.mT if biases is None else torch.baddbmm(biases[i - 1][:, None], a, weight.mT)
        if skip and i % 2 == 1 and source.shape == z.shape:
            z = z + skip * source
    return z


def evaluate(firsts, weights, biases, x, y, *, activation, skip, losses) -> list[Tensor]:
    """Losses ``(B,)`` for each name in ``losses``; ``firsts(s)`` gives the samples' first pre-activation."""
    sums = [0.0 for _ in losses]
    for start in range(0, x.shape[0], SAMPLES):
        part = slice(start, start + SAMPLES)
        z = forward(firsts(part), x[part], weights, biases, activation, skip)
        sums = [total + loss_sums(z, y[part], loss) for total, loss in zip(sums, losses, strict=True)]
    return [total * scale(loss, x.shape[0], z.shape[-1]) for total, loss in zip(sums, losses, strict=True)]


def curve_loss(weights, x, y, *, biases, activation, skip, losses) -> list[Tensor]:
    """Losses ``(P, T)`` at explicit weights, one point of the curve at a time."""

    def point(i):
        w, b = [layer[:, i] for layer in weights], None if biases is None else [layer[:, i] for layer in biases]

        def first(part):
            z = x[part] @ w[0].mT
            return z if b is None else z + b[0][:, None]

        rest = None if b is None else b[1:]
        return evaluate(first, w[1:], rest, x, y, activation=activation, skip=skip, losses=losses)

    points = [point(i) for i in range(weights[0].shape[1])]
    return [torch.stack([values[k] for values in points], dim=1) for k in range(len(losses))]


def path_loss(weights_a, weights_b, x, y, t, *, biases_a, biases_b, activation, skip, losses) -> list[Tensor]:
    """Losses ``(P, T)`` on straight lines at ``t`` ``(P, T)``, one point at a time, the first layer at the ends."""
    first_a, first_b = x @ weights_a[0].mT, x @ weights_b[0].mT
    if biases_a is not None:
        first_a, first_b = first_a + biases_a[0][:, None], first_b + biases_b[0][:, None]

    def point(i):
        def mix(a, b):
            s = t[:, i].reshape(-1, *[1] * (a.dim() - 1))
            return (1 - s) * a + s * b

        weights = [mix(a, b) for a, b in zip(weights_a[1:], weights_b[1:], strict=True)]
        biases = None if biases_a is None else [mix(a, b) for a, b in zip(biases_a[1:], biases_b[1:], strict=True)]

        def first(part):
            return mix(first_a[:, part], first_b[:, part])

        return evaluate(first, weights, biases, x, y, activation=activation, skip=skip, losses=losses)

    points = [point(i) for i in range(t.shape[1])]
    return [torch.stack([values[k] for values in points], dim=1) for k in range(len(losses))]


def curve_slopes(weights, biases, x, y, upstream, *, activation, skip, losses) -> list[Tensor]:
    """Gradients by weights and biases from those by the losses ``(P, T)``: a point and a block of samples at a time."""
    layers = (*weights, *(biases or ()))
    slopes = [torch.empty_like(layer) for layer in layers]
    for i in range(weights[0].shape[1]):
        at = [layer[:, i] for layer in layers]
        found = _slopes(at, len(weights), x, y, [u[:, i] for u in upstream], activation, skip, losses)
        for slope, part in zip(slopes, found, strict=True):
            slope[:, i] = part
    return slopes


def path_slopes(t, weights_a, weights_b, biases_a, biases_b, x, y, upstream, *, activation, skip, losses):
    """Gradients by ``t``, weights and biases of lines from those by the losses, like ``curve_slopes``."""
    ends = list(zip((*weights_a, *(biases_a or ())), (*weights_b, *(biases_b or ())), strict=True))
    slopes_t = torch.zeros(t.shape, dtype=t.dtype, device=t.device)
    slopes_a, slopes_b = ([torch.zeros_like(layer) for layer in layers] for layers in zip(*ends, strict=True))
    for i in range(t.shape[1]):
        s = [t[:, i].reshape(-1, *[1] * (a.dim() - 1)) for a, _ in ends]
        at = [(1 - s) * a + s * b for s, (a, b) in zip(s, ends, strict=True)]
        found = _slopes(at, len(weights_a), x, y, [u[:, i] for u in upstream], activation, skip, losses)
        for k, (slope, (a, b)) in enumerate(zip(found, ends, strict=True)):
            slopes_a[k] += (1 - s[k]) * slope
            slopes_b[k] += s[k] * slope
            slopes_t[:, i] += (slope * (b - a)).flatten(1).sum(1)
    count = len(weights_a)
    parts = (slopes_a[:count], slopes_b[:count], slopes_a[count:], slopes_b[count:])
    return [slopes_t, *(slope for part in parts for slope in part)]


def _slopes(layers, count: int, x, y, upstream, activation, skip, losses) -> list[Tensor]:
    """Gradients of stacks of ``P`` networks, ``count`` weights and then biases, from those by their losses ``(P,)``."""
    leaves = [layer.detach().requires_grad_() for layer in layers]
    weights, biases = leaves[:count], leaves[count:]
    slopes = [torch.zeros_like(leaf) for leaf in leaves]
    smooth = [(loss, u) for loss, u in zip(losses, upstream, strict=True) if loss != "error_rate"]
    for start in range(0, x.shape[0], SAMPLES) if smooth else ():
        part = slice(start, start + SAMPLES)
        with torch.enable_grad():
            first = x[part] @ weights[0].mT
            if biases:
                first = first + biases[0][:, None]
            z = forward(first, x[part], weights[1:], biases[1:] or None, activation, skip)
            factors = [u * scale(loss, x.shape[0], z.shape[-1]) for loss, u in smooth]
            total = sum((loss_sums(z, y[part], loss) * f).sum() for (loss, _), f in zip(smooth, factors, strict=True))
        for slope, found in zip(slopes, torch.autograd.grad(total, leaves), strict=True):
            slope += found
    return slopes
