"""Blocked PyTorch operations: what runs where no faster path does; also on CUDA.

The first layer's pre-activation is affine in ``t``, so on straight lines it is computed at the two ends only.  Pairs,
points and samples are walked in blocks: losses, and derivatives of any order by whatever is asked for, take ``SCRATCH``
bytes beside inputs and results, or what one pair needs.  For derivatives every block is evaluated again.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .recompute import recomputed, recorded
from .reference import ACTIVATION, rescaled

SAMPLES = 512  # samples in a block: activations of a few networks stay in the cache, calls stay few
SCRATCH = 2**26  # bytes
LIVE = 6  # arrays as large as the widest layer's activations that are in use at once
RECORDED = 8  # arrays as large as all activations, and all weights, of a block whose second derivatives are computed


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


def pieces(count: int, numbers: int, itemsize: int, budget: int) -> list[slice]:
    """Parts of ``range(count)`` of as many networks, of so many numbers each, as fit a budget of bytes; never none."""
    size = max(1, budget // (numbers * itemsize))
    return [slice(start, min(start + size, count)) for start in range(0, max(1, count), size)]


def part_of(layers, piece):
    """The piece of each layer."""
    return None if layers is None else [layer[piece] for layer in layers]


def _joined(found, losses, samples: int, outputs: int) -> list[Tensor]:
    """Losses ``(P, T)`` from sums ``found[piece][point][loss]`` of pieces of the pairs."""
    pairs = [[torch.stack([sums[k] for sums in points], dim=1) for points in found] for k in range(len(losses))]
    values = [torch.cat(sums) * scale(loss, samples, outputs) for loss, sums in zip(losses, pairs, strict=True)]
    return [value.detach() if loss == "error_rate" else value for loss, value in zip(losses, values, strict=True)]


def curve_loss(weights, x, y, *, biases, **options) -> list[Tensor]:
    """Losses ``(P, T)`` at explicit weights, a point of some curves at a time."""
    sums = functools.partial(_sums, len(weights), **options)
    return _by_blocks(sums, [*weights, *(biases or ())], [], x, y, weights, options["losses"])


def path_loss(weights_a, weights_b, x, y, t, *, biases_a, biases_b, **options) -> list[Tensor]:
    """Losses ``(P, T)`` on straight lines at ``t`` ``(P, T)``, a point of some lines at a time.

    The first layer at the ends is held for all samples, or as many as fit; not for derivatives.
    """
    ends = *weights_a, *(biases_a or ()), *weights_b, *(biases_b or ())
    if recorded(t, *ends, x, y):
        sums = functools.partial(_line_sums, len(weights_a), **options)
        return _by_blocks(sums, [t], ends, x, y, weights_a, options["losses"])
    (pairs, points), widths, losses = t.shape, [w.shape[-2] for w in weights_a], options["losses"]
    if points == 0:
        return [t.new_zeros(pairs, 0) for _ in losses]
    size, first = x.element_size(), 4 * widths[0]  # two, and two more while biases are added
    held = min(len(x), max(SAMPLES, SCRATCH // (2 * first * size)))  # samples, of one pair in half of the scratch
    mixed = 3 * sum(w.shape[-1] * w.shape[-2] for w in weights_a[1:])
    stretches = [slice(start, start + held) for start in range(0, len(x), held)]

    def lines(p):
        layers = [part_of(layers, p) for layers in (weights_a, weights_b, biases_a, biases_b)]
        found = [_on_lines(*layers, x[some], y[some], t[p], **options) for some in stretches]
        return [[sum(sums) for sums in zip(*point, strict=True)] for point in zip(*found, strict=True)]

    activations = LIVE * min(len(x), SAMPLES) * max(widths)
    some = pieces(pairs, held * first + mixed + activations, size, SCRATCH)
    return _joined([lines(p) for p in some], losses, len(x), widths[-1])


def rescaling_loss(weights, logs, x, y, t, *, biases, **options) -> list[Tensor]:
    """Losses ``(P, T)`` on curves of rescalings at ``t`` ``(P, T)``, a point of some curves at a time."""
    sums = functools.partial(_rescaled_sums, len(weights), **options)
    return _by_blocks(sums, [t], [*weights, *(biases or ()), *logs], x, y, weights, options["losses"])


def _mix(s: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The points ``s`` ``(P,)`` of lines between ``a`` and ``b`` ``(P, ...)``."""
    s = s.reshape(-1, *[1] * (a.dim() - 1))
    return (1 - s) * a + s * b


def _on_lines(weights_a, weights_b, biases_a, biases_b, x, y, t, *, activation, skip, losses) -> list[list[Tensor]]:
    """Sums of losses ``(P,)`` of these samples at each point, for each loss."""
    first_a, first_b = x @ weights_a[0].mT, x @ weights_b[0].mT
    if biases_a is not None:
        first_a, first_b = first_a + biases_a[0][:, None], first_b + biases_b[0][:, None]

    def point(s):
        weights = [_mix(s, a, b) for a, b in zip(weights_a[1:], weights_b[1:], strict=True)]
        biases = biases_a and [_mix(s, a, b) for a, b in zip(biases_a[1:], biases_b[1:], strict=True)]
        sums = [0.0 for _ in losses]
        for start in range(0, x.shape[0], SAMPLES):
            part = slice(start, start + SAMPLES)
            z = forward(_mix(s, first_a[:, part], first_b[:, part]), x[part], weights, biases, activation, skip)
            sums = [total + loss_sums(z, y[part], loss) for total, loss in zip(sums, losses, strict=True)]
        return sums

    return [point(s) for s in t.unbind(1)]


def _sums(layers: int, x: Tensor, y: Tensor, *network: Tensor, activation, skip, losses) -> tuple[Tensor, ...]:
    """Sums ``(P,)`` of each loss over some samples, of networks: weights of so many layers, then biases if any."""
    weights, biases = network[:layers], network[layers:]
    first = x @ weights[0].mT
    if biases:
        first = first + biases[0][:, None]
    z = forward(first, x, weights[1:], biases[1:] or None, activation, skip)
    return tuple(loss_sums(z, y, loss) for loss in losses)


def _line_sums(layers: int, x: Tensor, y: Tensor, s: Tensor, *ends: Tensor, **options) -> tuple[Tensor, ...]:
    """The same at the points ``s`` ``(P,)`` of lines between networks."""
    a, b = ends[: len(ends) // 2], ends[len(ends) // 2 :]
    return _sums(layers, x, y, *(_mix(s, *both) for both in zip(a, b, strict=True)), **options)


def _rescaled_sums(layers: int, x, y, s: Tensor, *tensors: Tensor, activation, **options) -> tuple[Tensor, ...]:
    """The same at the points ``s`` ``(P,)`` of curves of rescalings: networks, and logarithms of their units."""
    weights, rest = tensors[:layers], tensors[layers:]
    biases, logs = rest[: len(rest) - layers + 1], rest[len(rest) - layers + 1 :]
    made = rescaled(weights, logs, s[:, None], biases=biases or None, activation=activation)
    network = (layer[:, 0] for part in made for layer in part or ())
    return _sums(layers, x, y, *network, activation=activation, **options)


def _by_blocks(sums, points, ends, x, y, weights, losses) -> list[Tensor]:
    """Losses ``(P, T)`` from ``sums`` of blocks of samples, of a point of some pairs.

    What they take of a pair changes from point to point, ``points`` ``(P, T, ...)``, or not, ``ends`` ``(P, ...)``.
    """
    (pairs, count), widths = points[0].shape[:2], [w.shape[-2] for w in weights]
    if count == 0:
        return [x.new_zeros(pairs, 0) for _ in losses]
    layers = sum(w.shape[-1] * w.shape[-2] for w in weights)
    numbers = LIVE * min(len(x), SAMPLES) * max(widths) + (3 * layers if ends else 0)
    if recorded(*points, *ends, x, y):
        numbers = RECORDED * (layers + min(len(x), SAMPLES) * (x.shape[1] + sum(widths)))
    sizes = [p.stop - p.start for p in pieces(pairs, numbers, x.element_size(), SCRATCH)]
    samples = list(zip(x.split(SAMPLES), y.split(SAMPLES), strict=True))

    def some(piece):
        along, fixed = piece[: len(points)], piece[len(points) :]
        return [
            [sum(each) for each in zip(*(recomputed(sums, *block, *at, *fixed) for block in samples), strict=True)]
            for at in zip(*(tensor.unbind(1) for tensor in along), strict=True)
        ]

    found = [some(piece) for piece in zip(*(tensor.split(sizes) for tensor in (*points, *ends)), strict=True)]
    return _joined(found, losses, len(x), widths[-1])
