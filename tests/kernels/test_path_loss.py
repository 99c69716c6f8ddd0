"""Losses on paths against the plain loop of ``kernels.path_loss.reference``."""

from itertools import pairwise

import pytest
import torch

import kernels
from kernels import errors
from kernels.path_loss import reference


def stack(networks, widths, seed, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    weights = [torch.randn(networks, o, i, generator=draw, dtype=dtype) for i, o in pairwise(widths)]
    return weights, [torch.randn(networks, o, generator=draw, dtype=dtype) for o in widths[1:]]


@pytest.mark.parametrize("widths", [[5, 3], [5, 7, 3], [4, 4, 4, 4, 3], [4, 4, 4]], ids=str)
@pytest.mark.parametrize("activation", errors.ACTIVATIONS)
@pytest.mark.parametrize("loss", errors.LOSSES)
def test_path_loss_equals_the_plain_loop(widths, activation, loss):
    (wa, ba), (wb, bb) = stack(3, widths, 0), stack(3, widths, 1)
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(601, widths[0], generator=draw, dtype=torch.float64)
    y = torch.randint(0, widths[-1], (601,), generator=draw)
    t = torch.linspace(-0.1, 1, 4, dtype=torch.float64)
    options = {"biases_a": ba, "biases_b": bb, "activation": activation, "skip": 0.5, "loss": loss}
    ours = kernels.path_loss(wa, wb, x, y, t, **options)
    torch.testing.assert_close(ours, reference.path_loss(wa, wb, x, y, t, **options), rtol=1e-12, atol=1e-13)
