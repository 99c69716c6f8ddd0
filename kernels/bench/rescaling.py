"""Losses on curves of rescalings against making their points: the kernel's own, and the usual loop.

Inputs 64, 10 classes, cross entropy, 1797 samples, as in ``paths``; times are those of one pair of networks.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import curve_loss, rescaling_loss
from ..path_loss.reference import rescaled
from . import Comparison, Provider, ceiling, yardstick
from .paths import INPUTS, POINTS, SAMPLES, TOLERANCE, Case, operations, shape


class Curves(Case):
    """Networks, factors between 1/4 and 4 for their hidden units, and every way to the losses along the curves."""

    def __init__(self, width: int, depth: int, pairs: int, points: int, dtype: torch.dtype, device: torch.device):
        super().__init__(width, depth, pairs, points, dtype, device)
        draw = torch.Generator().manual_seed(width)
        factors = [4 ** (2 * torch.rand(pairs, w, generator=draw) - 1) for w in self.widths[1:-1]]
        self.logs = [factor.log().to(device, dtype) for factor in factors]
        self.layers, self.shifts = ([layer[0] for layer in layers] for layers in (self.weights, self.biases))

    def kernels(self) -> Tensor:
        """Ours, all pairs."""
        return rescaling_loss(self.layers, self.logs, self.x, self.y, self.t, biases=self.shifts, loss="cross_entropy")

    def _made(self, pairs: int) -> tuple[list[Tensor], list[Tensor]]:
        layers, logs, shifts = ([layer[:pairs] for layer in part] for part in (self.layers, self.logs, self.shifts))
        return rescaled(layers, logs, self.t.expand(pairs, -1), biases=shifts)

    def explicit(self) -> Tensor:
        """Ours at explicit weights, all pairs."""
        weights, biases = self._made(len(self.layers[0]))
        return curve_loss(weights, self.x, self.y, biases=biases, loss="cross_entropy")

    @torch.no_grad()
    def loop(self, pairs: int) -> Tensor:
        """A model, its state overwritten at every point."""
        model, (weights, biases), values = copy.deepcopy(self.models[0][0]), self._made(pairs), []
        names = list(model.state_dict())
        for p in range(pairs):
            for k in range(len(self.t)):
                layers = [part[p, k] for both in zip(weights, biases, strict=True) for part in both]
                model.load_state_dict(dict(zip(names, layers, strict=True)))
                values.append(F.cross_entropy(model(self.x), self.y))
        return torch.stack(values).unflatten(0, (pairs, -1))

    def difference(self, providers) -> float:
        """The largest relative difference of the first pairs' losses."""
        ours = self.kernels()
        differences = (((ours[: len(theirs)] - theirs) / theirs).abs().max() for theirs in (p() for p in providers))
        return max(map(float, differences))


def _curves(width: int, pairs: int, dtype: torch.dtype, device: torch.device) -> Comparison:
    case, some = Curves(width, 3, pairs, POINTS, dtype, device), min(pairs, 2)
    loop = functools.partial(case.loop, some)
    # the first layer of one network is needed, that of the other end of a line is not
    needed = operations(case.widths, POINTS) - 2 * SAMPLES * INPUTS * width
    return Comparison(
        shape(width, 3, pairs, POINTS, dtype),
        [
            Provider("kernels", case.kernels, pairs),
            Provider("explicit", case.explicit, pairs),
            Provider("loop", loop, some),
        ],
        operations=needed,
        ceiling=ceiling(device, dtype),
        yardstick=yardstick(device, dtype),
        verify=lambda: case.difference([case.explicit, loop]),
        tolerance=TOLERANCE[dtype],
        seconds=2.0,
    )


def comparisons(full: bool, device: torch.device) -> Iterator[Comparison]:
    """Make the suite.

    Args:
        full: float64 too.
        device: of the networks.

    Yields:
        Comparisons over widths.
    """
    for width, pairs in {16: 64, 64: 16, 128: 8, 256: 4}.items():
        for dtype in (torch.float32, torch.float64) if full else (torch.float32,):
            yield _curves(width, pairs if device.type == "cpu" else 1024, dtype, device)
