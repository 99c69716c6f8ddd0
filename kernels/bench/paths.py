"""Losses on straight lines against the ways there are: loss-landscapes, loops, vmap, stacked products.

Inputs 64, 10 classes, cross entropy, 1797 samples (the digits' shape); times are those of one pair of networks.
"""

from __future__ import annotations

import copy
import functools
import importlib
from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import path_loss
from . import Comparison, Provider, ceiling, yardstick

INPUTS, CLASSES, SAMPLES = 64, 10, 1797
BLOCK = 512  # samples of a stacked product: smaller blocks lose to the overhead of calls
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}  # relative to the loss
POINTS, MANY = 25, 101


class Case:
    """Pairs of random networks and data, and every way to the losses between them, each for some of the pairs."""

    def __init__(self, width: int, depth: int, pairs: int, points: int, dtype: torch.dtype, device: torch.device):
        draw = torch.Generator().manual_seed(width + depth)
        self.widths = [INPUTS, *[width] * (depth - 1), CLASSES]

        def layers(*shape, scale):
            return (torch.randn(2, pairs, *shape, generator=draw, dtype=torch.float64) * scale).to(device, dtype)

        self.weights = [layers(o, i, scale=(2 / i) ** 0.5) for i, o in pairwise(self.widths)]
        self.biases = [layers(o, scale=0.1) for o in self.widths[1:]]
        self.x = torch.rand(SAMPLES, INPUTS, generator=draw).to(device, dtype)
        self.y = torch.randint(0, CLASSES, (SAMPLES,), generator=draw).to(device)
        self.t = torch.linspace(0, 1, points, dtype=torch.float64).to(device, dtype)
        self.ends = [[layer[end] for layer in layers] for layers in (self.weights, self.biases) for end in (0, 1)]
        self.models = [[self._model(end, p) for p in range(min(pairs, 2))] for end in (0, 1)]

    def _model(self, end: int, pair: int) -> nn.Sequential:
        linear = [nn.Linear(i, o, device=self.x.device, dtype=self.x.dtype) for i, o in pairwise(self.widths)]
        with torch.no_grad():
            for module, weight, bias in zip(linear, self.weights, self.biases, strict=True):
                module.weight.copy_(weight[end, pair])
                module.bias.copy_(bias[end, pair])
        return nn.Sequential(*[part for module in linear for part in (module, nn.ReLU())][:-1])

    def kernels(self) -> Tensor:
        """Ours, all pairs."""
        a, b, bias_a, bias_b = self.ends
        return path_loss(a, b, self.x, self.y, self.t, biases_a=bias_a, biases_b=bias_b, loss="cross_entropy")

    def loss_landscapes(self, pairs: int) -> Tensor:
        """The package, on copies: it overwrites the model at the start.  Its points are ``1/T, 2/T, … 1``."""
        package = importlib.import_module("loss_landscapes")
        metric = package.metrics.Loss(F.cross_entropy, self.x, self.y)
        steps = len(self.t)
        lines = [
            package.linear_interpolation(self.models[0][p], self.models[1][p], metric, steps, deepcopy_model=True)
            for p in range(pairs)
        ]
        return torch.stack([torch.from_numpy(line) for line in lines])

    @torch.no_grad()
    def loop(self, pairs: int) -> Tensor:
        """A model, its state overwritten at every point."""
        model, values = copy.deepcopy(self.models[0][0]), []
        for p in range(pairs):
            a, b = (self.models[end][p].state_dict() for end in (0, 1))
            for t in self.t.tolist():
                model.load_state_dict({name: torch.lerp(a[name], b[name], t) for name in a})
                values.append(F.cross_entropy(model(self.x), self.y))
        return torch.stack(values).unflatten(0, (pairs, -1))

    @functools.cached_property
    def _captured_point(self):
        """A CUDA graph of one point of the loop, and the tensors it reads and writes: ends, ``t``, loss."""
        model = copy.deepcopy(self.models[0][0]).requires_grad_(False)
        ends = [[torch.empty_like(p) for p in model.parameters()] for _ in range(2)]
        t, value = self.t[:1].clone(), self.t[0].clone()

        def point():
            for p, a, b in zip(model.parameters(), *ends, strict=True):
                torch.lerp(a, b, t, out=p)
            value.copy_(F.cross_entropy(model(self.x), self.y))

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            point()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            point()
        return graph, ends, t, value

    @torch.no_grad()
    def captured(self, pairs: int) -> Tensor:
        """The loop, one point captured as a CUDA graph and replayed for the others."""
        graph, ends, t, value = self._captured_point
        values = self.t.new_empty(pairs, len(self.t))
        for p in range(pairs):
            for end, model in zip(ends, self.models, strict=True):
                for mine, theirs in zip(end, model[p].parameters(), strict=True):
                    mine.copy_(theirs)
            for k in range(len(self.t)):
                t.copy_(self.t[k : k + 1])
                graph.replay()
                values[p, k] = value
        return values

    @torch.no_grad()
    def vmap(self, pairs: int) -> Tensor:
        """``torch.func``: one call for all points of a pair."""
        model = self.models[0][0]

        def loss(state):
            return F.cross_entropy(torch.func.functional_call(model, state, (self.x,)), self.y)

        values = []
        for p in range(pairs):
            a, b = (self.models[end][p].state_dict() for end in (0, 1))
            t = self.t.reshape(-1, 1, 1)
            values.append(
                torch.func.vmap(loss)({
                    name: torch.lerp(a[name], b[name], t if a[name].dim() == 2 else t[:, :, 0]) for name in a
                })
            )
        return torch.stack(values)

    @torch.no_grad()
    def stacked(self, pairs: int) -> Tensor:
        """Stacked products over the points of a pair, blocks of samples, the first layer at the ends only."""
        values = []
        for p in range(pairs):
            t = self.t.reshape(-1, 1, 1)
            weights = [torch.lerp(w[0, p], w[1, p], t).mT for w in self.weights[1:]]
            biases = [torch.lerp(b[0, p], b[1, p], t[:, :, 0])[:, None] for b in self.biases[1:]]
            total = torch.zeros_like(self.t)
            for x, y in zip(self.x.split(BLOCK), self.y.split(BLOCK), strict=True):
                ends = [torch.addmm(self.biases[0][end, p], x, self.weights[0][end, p].mT) for end in (0, 1)]
                z = torch.lerp(*ends, t)
                for weight, bias in zip(weights, biases, strict=True):
                    z = torch.baddbmm(bias, z.relu_(), weight)
                total += (z.logsumexp(-1) - z.gather(-1, y.expand(len(t), -1)[..., None])[..., 0]).sum(1)
            values.append(total / SAMPLES)
        return torch.stack(values)

    def difference(self, providers) -> float:
        """The largest relative difference of the first two pairs' losses; the package has points of its own."""
        ours = self.kernels()[:2]
        worst = 0.0
        for name, way in providers.items():
            theirs = way(len(ours))
            mine = ours
            if name == "loss-landscapes":
                t, self.t = self.t, torch.arange(1, len(self.t) + 1).to(self.t) / len(self.t)
                mine, self.t = self.kernels()[:2], t
            worst = max(worst, float(((mine - theirs.to(mine)) / mine).abs().max()))
        return worst


def operations(widths: list[int], points: int) -> float:
    """Those that the losses on one line need: the first layer at two ends, the others at every point."""
    later = sum(2 * i * o for i, o in pairwise(widths[1:]))
    return SAMPLES * (points * later + 2 * 2 * widths[0] * widths[1])


def _line(width, depth, pairs, points, dtype, device) -> Comparison:
    case = Case(width, depth, pairs, points, dtype, device)
    ways = {"loss-landscapes": case.loss_landscapes, "loop": case.loop, "vmap": case.vmap, "bmm": case.stacked}
    if device.type == "cuda":
        ways["captured loop"] = case.captured
    some = min(pairs, 2)
    return Comparison(
        shape(width, depth, pairs, points, dtype),
        [
            Provider("kernels", case.kernels, pairs),
            *(Provider(n, functools.partial(f, some), some) for n, f in ways.items()),
        ],
        operations=operations(case.widths, points),
        ceiling=ceiling(device, dtype),
        yardstick=yardstick(device, dtype),
        verify=lambda: case.difference(ways),
        tolerance=TOLERANCE[dtype],
        seconds=2.0,
    )


def shape(width, depth, pairs, points, dtype) -> dict[str, object]:
    """The columns that say what is computed."""
    name = str(dtype).removeprefix("torch.")
    return {"width": width, "depth": depth, "pairs": pairs, "points": points, "dtype": name}


def comparisons(full: bool, device: torch.device) -> Iterator[Comparison]:
    """Make the suite.

    Args:
        full: more points, depths and float64.
        device: of the networks.

    Yields:
        Comparisons over widths and depths.
    """
    pairs = {16: 64, 64: 16, 128: 8, 256: 4} if device.type == "cpu" else dict.fromkeys((16, 64, 128, 256), 1024)
    cases = [(16, 2), (16, 3), (64, 3), (128, 3), (256, 3)]
    for width, depth in [*cases, *([(64, 2), (64, 5), (128, 5), (256, 5)] if full else ())]:
        yield _line(width, depth, pairs[width], POINTS, torch.float32, device)
    if full:
        for width, depth in cases:
            yield _line(width, depth, pairs[width], MANY, torch.float32, device)
            yield _line(width, depth, pairs[width], POINTS, torch.float64, device)
