"""Blocked PyTorch operations: what runs where no faster path does; also on CUDA.

The first layer's pre-activation is affine in ``t``, so on straight lines it is computed at the two ends only.  Pairs,
points and samples are walked in blocks: losses, and gradients by weights and ``t``, take ``SCRATCH`` bytes beside
inputs and results, or what one pair needs.  Where autograd records the operations it keeps what it needs of all blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .reference import ACTIVATION

SAMPLES = 512  # samples in a block: activations of a few networks stay in the cache, calls stay few
SCRATCH = 2**26  # bytes
LIVE = 6  # arrays as large as the widest layer's activations that are in use at once


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


def _activations(widths, samples: int) -> int:
    """Numbers that one network's activations take while its losses are computed."""
    return LIVE * min(samples, SAMPLES) * max(widths)


def evaluate(firsts, weights, biases, x, y, *, activation, skip, losses) -> list[Tensor]:
    """Sums of losses ``(B,)`` for each name in ``losses``; ``firsts(s)`` gives the samples' first pre-activation."""
    sums = [0.0 for _ in losses]
    for start in range(0, x.shape[0], SAMPLES):
        part = slice(start, start + SAMPLES)
        z = forward(firsts(part), x[part], weights, biases, activation, skip)
        sums = [total + loss_sums(z, y[part], loss) for total, loss in zip(sums, losses, strict=True)]
    return sums


def _joined(found, losses, samples: int, outputs: int) -> list[Tensor]:
    """Losses ``(P, T)`` from sums ``found[piece][point][loss]`` of pieces of the pairs."""
    pairs = [[torch.stack([sums[k] for sums in points], dim=1) for points in found] for k in range(len(losses))]
    return [torch.cat(sums) * scale(loss, samples, outputs) for loss, sums in zip(losses, pairs, strict=True)]


def curve_loss(weights, x, y, *, biases, activation, skip, losses) -> list[Tensor]:
    """Losses ``(P, T)`` at explicit weights, a point of some curves at a time."""
    (pairs, points), widths = weights[0].shape[:2], [w.shape[-2] for w in weights]

    def point(p, i):
        w, b = part_of(weights, (p, i)), part_of(biases, (p, i))

        def first(part):
            z = x[part] @ w[0].mT
            return z if b is None else z + b[0][:, None]

        return evaluate(first, w[1:], b and b[1:], x, y, activation=activation, skip=skip, losses=losses)

    if points == 0:
        return [weights[0].new_zeros(pairs, 0) for _ in losses]
    some = pieces(pairs, _activations(widths, len(x)), x.element_size(), SCRATCH)
    return _joined([[point(p, i) for i in range(points)] for p in some], losses, len(x), widths[-1])


def path_loss(weights_a, weights_b, x, y, t, *, biases_a, biases_b, activation, skip, losses) -> list[Tensor]:
    """Losses ``(P, T)`` on straight lines at ``t`` ``(P, T)``, a point of some lines at a time.

    The first layer at the ends is held for all samples, or as many as fit.
    """
    (pairs, points), widths = t.shape, [w.shape[-2] for w in weights_a]
    if points == 0:
        return [t.new_zeros(pairs, 0) for _ in losses]
    size, ends = x.element_size(), 4 * widths[0]  # two, and two more while biases are added
    held = min(len(x), max(SAMPLES, SCRATCH // (2 * ends * size)))  # samples, of one pair in half of the scratch
    mixed = 3 * sum(w.shape[-1] * w.shape[-2] for w in weights_a[1:])
    stretches = [slice(start, start + held) for start in range(0, len(x), held)]
    options = {"activation": activation, "skip": skip, "losses": losses}

    def lines(p):
        layers = [part_of(layers, p) for layers in (weights_a, weights_b, biases_a, biases_b)]
        found = [_on_lines(*layers, x[some], y[some], t[p], **options) for some in stretches]
        return [[sum(sums) for sums in zip(*point, strict=True)] for point in zip(*found, strict=True)]

    some = pieces(pairs, held * ends + mixed + _activations(widths, len(x)), size, SCRATCH)
    return _joined([lines(p) for p in some], losses, len(x), widths[-1])


def _on_lines(weights_a, weights_b, biases_a, biases_b, x, y, t, **options) -> list[list[Tensor]]:
    """Sums of losses ``(P,)`` of these samples at each point, for each loss."""
    first_a, first_b = x @ weights_a[0].mT, x @ weights_b[0].mT
    if biases_a is not None:
        first_a, first_b = first_a + biases_a[0][:, None], first_b + biases_b[0][:, None]

    def point(i):
        def mix(a, b):
            s = t[:, i].reshape(-1, *[1] * (a.dim() - 1))
            return (1 - s) * a + s * b

        weights = [mix(a, b) for a, b in zip(weights_a[1:], weights_b[1:], strict=True)]
        biases = None if biases_a is None else [mix(a, b) for a, b in zip(biases_a[1:], biases_b[1:], strict=True)]
        return evaluate(lambda part: mix(first_a[:, part], first_b[:, part]), weights, biases, x, y, **options)

    return [point(i) for i in range(t.shape[1])]


def curve_slopes(weights, biases, x, y, upstream, *, activation, skip, losses) -> list[Tensor]:
    """Gradients by weights and biases from those by the losses ``(P, T)``: a point of some curves at a time."""
    layers = (*weights, *(biases or ()))
    slopes = [torch.empty_like(layer) for layer in layers]
    for p in _pieces_of_slopes(weights, x):
        for i in range(weights[0].shape[1]):
            at = p, i
            part = _slopes(part_of(layers, at), len(weights), x, y, part_of(upstream, at), activation, skip, losses)
            for slope, found in zip(slopes, part, strict=True):
                slope[at] = found
    return slopes


def path_slopes(t, weights_a, weights_b, biases_a, biases_b, x, y, upstream, *, activation, skip, losses):
    """Gradients by ``t``, weights and biases of lines from those by the losses, like ``curve_slopes``."""
    ends = list(zip((*weights_a, *(biases_a or ())), (*weights_b, *(biases_b or ())), strict=True))
    slopes_t = torch.zeros(t.shape, dtype=t.dtype, device=t.device)
    slopes_a, slopes_b = ([torch.zeros_like(layer) for layer in layers] for layers in zip(*ends, strict=True))
    for p in _pieces_of_slopes(weights_a, x):
        some = [(a[p], b[p]) for a, b in ends]
        for i in range(t.shape[1]):
            s = [t[p, i].reshape(-1, *[1] * (a.dim() - 1)) for a, _ in some]
            at = [(1 - s) * a + s * b for s, (a, b) in zip(s, some, strict=True)]
            part = _slopes(at, len(weights_a), x, y, part_of(upstream, (p, i)), activation, skip, losses)
            for k, (slope, (a, b)) in enumerate(zip(part, some, strict=True)):
                slopes_a[k][p] += (1 - s[k]) * slope
                slopes_b[k][p] += s[k] * slope
                slopes_t[p, i] += (slope * (b - a)).flatten(1).sum(1)
    count = len(weights_a)
    parts = (slopes_a[:count], slopes_b[:count], slopes_a[count:], slopes_b[count:])
    return [slopes_t, *(slope for part in parts for slope in part)]


def _pieces_of_slopes(weights, x) -> list[slice]:
    """Pairs whose activations, derivatives and gradients at a point fit the scratch."""
    widths = [w.shape[-2] for w in weights]
    layers = 5 * sum(w.shape[-1] * w.shape[-2] for w in weights)  # mixed, a sum of gradients and its next term
    activations = LIVE * min(len(x), SAMPLES) * sum(widths)
    return pieces(weights[0].shape[0], layers + activations, x.element_size(), SCRATCH)


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
