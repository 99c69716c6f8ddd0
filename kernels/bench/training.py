"""Training of many networks of one shape against a loop: 64-32-10 on the digits, times of a step of one network."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from ..train import train
from ..train.reference import batches
from . import Comparison, Provider

NETWORKS = 256
TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-9}  # of parameters after some steps, relative to the largest


class Case:
    """A stack of networks, the digits, and three ways to take some steps from the same starting points."""

    def __init__(self, widths, batch_size, optimizer, dtype, device, networks):
        images, labels = load_digits(return_X_y=True)
        self.x = torch.tensor(images / 16).to(device, dtype)
        self.y = torch.tensor(labels).to(device)
        draw = torch.Generator().manual_seed(0)

        def layers(*shape, scale):
            return (torch.randn(networks, *shape, generator=draw, dtype=torch.float64) * scale).to(device, dtype)

        self.weights = [layers(o, i, scale=i**-0.5) for i, o in pairwise(widths)]
        self.biases = [layers(o, scale=0.1) for o in widths[1:]]
        self.widths, self.batch_size, self.optimizer = widths, batch_size, optimizer
        self.rate = 1e-3 if optimizer == "adam" else 0.1

    def _order(self, steps: int) -> list[Tensor]:
        each = 1 if self.batch_size is None else len(self.x) // self.batch_size
        epochs = [batches(len(self.x), self.batch_size, epoch, 0) for epoch in range(-(-steps // each))]
        return [batch for epoch in epochs for batch in epoch][:steps]

    def kernels(self, steps: int, networks: int) -> list[Tensor]:
        """Ours."""
        some = [[layer[:networks] for layer in layers] for layers in (self.weights, self.biases)]
        options = {"batch_size": self.batch_size, "optimizer": self.optimizer, "learning_rate": self.rate}
        done = train(some[0], self.x, self.y, biases=some[1], loss="cross_entropy", steps=steps, **options)
        return [*done.weights, *done.biases]

    def loop(self, steps: int, networks: int) -> list[Tensor]:
        """``torch.optim`` on one network after the other."""
        return [torch.stack(stack) for stack in zip(*(self._alone(steps, p) for p in range(networks)), strict=True)]

    def _alone(self, steps: int, p: int) -> list[Tensor]:
        linear = [nn.Linear(i, o, device=self.x.device, dtype=self.x.dtype) for i, o in pairwise(self.widths)]
        with torch.no_grad():
            for module, weight, bias in zip(linear, self.weights, self.biases, strict=True):
                module.weight.copy_(weight[p])
                module.bias.copy_(bias[p])
        model = nn.Sequential(*[part for module in linear for part in (module, nn.ReLU())][:-1])
        stepper = self._stepper(model.parameters())
        for batch in self._order(steps):
            x, y = (self.x, self.y) if self.batch_size is None else (self.x[batch], self.y[batch])
            stepper.zero_grad()
            F.cross_entropy(model(x), y).backward()
            stepper.step()
        return [m.weight.detach() for m in linear] + [m.bias.detach() for m in linear]

    def _stepper(self, parameters):
        if self.optimizer == "adam":
            return torch.optim.Adam(parameters, self.rate)
        return torch.optim.SGD(parameters, self.rate, momentum=0.9)

    def stacked(self, steps: int, networks: int) -> list[Tensor]:
        """Autograd over stacked products."""
        weights = [w[:networks].clone().requires_grad_() for w in self.weights]
        biases = [b[:networks].clone().requires_grad_() for b in self.biases]
        stepper = self._stepper([*weights, *biases])
        for batch in self._order(steps):
            x, y = (self.x, self.y) if self.batch_size is None else (self.x[batch], self.y[batch])
            z = x.expand(networks, *x.shape)
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                z = torch.baddbmm(bias[:, None], z.relu() if i else z, weight.mT)
            stepper.zero_grad()
            (F.cross_entropy(z.flatten(0, 1), y.repeat(networks), reduction="sum") / len(y)).backward()
            stepper.step()
        return [p.detach() for p in (*weights, *biases)]

    def difference(self) -> float:
        """The largest difference of the parameters of two networks after five steps."""
        ours, *others = (way(5, 2) for way in (self.kernels, self.loop, self.stacked))
        pairs = [pair for other in others for pair in zip(ours, other, strict=True)]
        return max(float((mine - theirs).abs().max() / theirs.abs().max()) for mine, theirs in pairs)


def operations(widths: list[int], samples: int) -> float:
    """Those that one step of one network needs: no derivative by the data."""
    products = [2 * i * o for i, o in pairwise(widths)]
    return samples * (3 * sum(products) - products[0])


def _training(widths, batch_size, optimizer, dtype, device, networks=NETWORKS) -> Comparison:
    case = Case(widths, batch_size, optimizer, dtype, device, networks)
    samples = batch_size or len(case.x)
    # 20 epochs of ours, so that what surrounds the steps (the gradient over all samples at the end) weighs as little as
    # in a training; of the others as many as time allows
    steps, few = 20 * (len(case.x) // samples), 2 * (len(case.x) // samples)
    name = str(dtype).removeprefix("torch.")
    return Comparison(
        {"widths": "-".join(map(str, widths)), "networks": networks, "batch": samples, "optimizer": optimizer,
         "dtype": name},
        [
            Provider("kernels", lambda: case.kernels(steps, networks), steps * networks),
            Provider("loop", lambda: case.loop(5 * few, 2), 5 * few * 2),
            Provider("stacked autograd", lambda: case.stacked(few, networks), few * networks),
        ],
        operations=operations(widths, samples),
        ceiling=name,
        verify=case.difference,
        tolerance=TOLERANCE[dtype],
        seconds=3.0,
    )  # fmt: skip


def comparisons(full: bool, device: torch.device, *, networks: int = NETWORKS) -> Iterator[Comparison]:
    """Make the suite.

    Args:
        full: both optimizers, more widths and float64.
        device: of the networks.
        networks: in the stack.

    Yields:
        Comparisons of full batches and batches of 128.
    """
    cases = [([64, 32, 10], "adam", torch.float32)]
    if full:
        cases += [([64, 32, 10], "sgd", torch.float32), ([64, 32, 10], "adam", torch.float64)]
        cases += [([64, 16, 10], "adam", torch.float32), ([64, 128, 128, 10], "adam", torch.float32)]
    for widths, optimizer, dtype in cases:
        for batch_size in (None, 128):
            yield _training(widths, batch_size, optimizer, dtype, device, networks)
