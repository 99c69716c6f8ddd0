"""The second-order finish: gradients near rounding where the function is smooth, each network by itself."""

import sys
from itertools import pairwise

import pytest
import torch

import kernels
from kernels.path_loss import reference
from kernels.train import polish

DECAY = 1e-2


def problem(widths, networks=3, samples=60):
    draw = torch.Generator().manual_seed(1)
    weights = [torch.randn(networks, o, i, generator=draw, dtype=torch.float64) / i**0.5 for i, o in pairwise(widths)]
    biases = [torch.randn(networks, o, generator=draw, dtype=torch.float64) / 10 for o in widths[1:]]
    x = torch.randn(samples, widths[0], generator=draw, dtype=torch.float64)
    return weights, biases, x, torch.randn(samples, widths[-1], generator=draw, dtype=torch.float64)


def gradient_norms(weights, biases, x, y, **options):
    """By autograd over the plain loop, the penalty included."""
    leaves = [p.detach().clone().requires_grad_() for p in (*weights, *biases)]
    value = reference.network_loss(leaves[: len(weights)], x, y, biases=leaves[len(weights) :], **options).sum()
    value = value + DECAY / 2 * sum(p.square().sum() for p in leaves)
    return sum(g.flatten(1).square().sum(1) for g in torch.autograd.grad(value, leaves)).sqrt()


@pytest.mark.parametrize("activation", ["linear", "tanh", "gelu"])
def test_gradients_come_near_rounding(activation):
    weights, biases, x, y = problem([4, 6, 2])
    options = {"biases": biases, "activation": activation, "weight_decay": DECAY, "steps": 200, "schedule": "cosine"}
    rough = kernels.train(weights, x, y, **options)
    done = kernels.train(weights, x, y, polish=True, tolerance=1e-12, **options)
    assert (rough.grad_norm > 1e-5).all() and (rough.polished == 0).all()
    assert (done.polished > 0).all() and done.reached.all()
    assert (gradient_norms(done.weights, done.biases, x, y, activation=activation) < 1e-12).all()


def test_linear_regression_ends_at_its_closed_form():
    (weights, *_), _, x, y = problem([4, 2])
    done = kernels.train([weights], x, y, weight_decay=DECAY, steps=0, polish=True)
    ridge = DECAY * y.numel() / 2 * torch.eye(4, dtype=torch.float64)
    exact = torch.linalg.solve(x.T @ x + ridge, x.T @ y).T
    torch.testing.assert_close(done.weights[0], exact.expand(3, -1, -1), rtol=0, atol=1e-13)


def test_at_kinks_the_function_falls_and_the_norm_is_reported(monkeypatch):
    monkeypatch.setattr(polish, "ROUNDS", 300)
    weights, biases, x, y = problem([4, 6, 2])
    options = {"biases": biases, "activation": "relu", "weight_decay": DECAY, "steps": 200, "schedule": "cosine"}
    rough = kernels.train(weights, x, y, **options)
    done = kernels.train(weights, x, y, polish=True, **options)

    def function(trained):
        return trained.loss + DECAY / 2 * sum(p.flatten(1).square().sum(1) for p in (*trained.weights, *trained.biases))

    assert (function(done) < function(rough)).all()
    expected = gradient_norms(done.weights, done.biases, x, y, activation="relu")
    torch.testing.assert_close(done.grad_norm, expected, rtol=1e-9, atol=1e-14)


def test_a_network_s_bits_do_not_depend_on_the_stack_and_one_without_a_value_stays():
    weights, biases, x, y = problem([4, 3, 2], networks=5)
    weights[0][2, 0, 0] = torch.nan
    options = {"activation": "tanh", "weight_decay": DECAY, "steps": 5, "polish": True}
    together = kernels.train(weights, x, y, biases=biases, **options)
    assert together.polished[2] == 0 and together.weights[0][2].isnan().any()
    for p in (0, 1, 3, 4):
        one = kernels.train([w[p : p + 1] for w in weights], x, y, biases=[b[p : p + 1] for b in biases], **options)
        assert together.polished[p] == one.polished[0] > 0
        assert all(torch.equal(ours[p], alone[0]) for ours, alone in zip(together.weights, one.weights, strict=True))


def test_the_pytorch_way_ends_at_the_same_minimum(monkeypatch):
    weights, biases, x, y = problem([4, 3, 2])
    options = {"biases": biases, "activation": "tanh", "weight_decay": DECAY, "steps": 100, "polish": True}
    ours = kernels.train(weights, x, y, **options)
    monkeypatch.setattr(sys.modules["kernels.train"], "unfit", lambda x: "no reason")
    plain = kernels.train(weights, x, y, **options)
    assert (plain.grad_norm < 1e-12).all()
    for a, b in zip((*ours.weights, *ours.biases), (*plain.weights, *plain.biases), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
