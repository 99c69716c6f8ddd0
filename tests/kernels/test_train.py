"""Stacked training against ``torch.optim`` on one network at a time."""

import sys
from itertools import pairwise

import pytest
import torch

import kernels
from kernels.train import reference

LOSSES = ("mse", "sse", "cross_entropy")


def problem(widths, samples=50, networks=3, seed=0, dtype=torch.float64, labels=True):
    draw = torch.Generator().manual_seed(seed)
    weights = [torch.randn(networks, o, i, generator=draw, dtype=dtype) / i**0.5 for i, o in pairwise(widths)]
    biases = [torch.randn(networks, o, generator=draw, dtype=dtype) / 10 for o in widths[1:]]
    x = torch.randn(samples, widths[0], generator=draw, dtype=dtype)
    y = torch.randint(0, widths[-1], (samples,), generator=draw)
    return weights, biases, x, y if labels else torch.randn(samples, widths[-1], generator=draw, dtype=dtype)


def alone(weights, biases, x, y, p, **options):
    """Network ``p`` trained by the reference."""
    each = {name: value[p].item() if torch.is_tensor(value) else value for name, value in options.items()}
    return reference.train([w[p] for w in weights], x, y, biases=biases and [b[p] for b in biases], **each)


def same(trained, weights, biases, x, y, rtol=1e-9, **options):
    for p in range(weights[0].shape[0]):
        expected, expected_biases, steps = alone(weights, biases, x, y, p, **options)
        assert trained.steps[p] == steps
        for ours, theirs in zip(trained.weights, expected, strict=True):
            torch.testing.assert_close(ours[p], theirs, rtol=rtol, atol=rtol)
        for ours, theirs in zip(trained.biases or (), expected_biases or (), strict=True):
            torch.testing.assert_close(ours[p], theirs, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("activation", kernels.errors.ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_every_step_is_that_of_a_loop_over_one_network(activation, loss, optimizer):
    weights, biases, x, y = problem([5, 7, 7, 7, 3])
    weights = [0.5 * w for w in weights]  # the squares of squares stay small
    options = {"activation": activation, "loss": loss, "optimizer": optimizer, "skip": 0.5, "weight_decay": 1e-2,
               "learning_rate": 1e-2 if optimizer == "adam" else 1e-4, "schedule": "cosine", "steps": 12}  # fmt: skip
    same(kernels.train(weights, x, y, biases=biases, **options), weights, biases, x, y, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("biased", [True, False])
def test_batches_of_each_network_s_own_seed_rate_and_decay(dtype, biased):
    weights, biases, x, y = problem([9, 17, 4], samples=103, dtype=dtype)
    biases = biases if biased else None
    options = {"batch_size": 20, "steps": 23, "seed": torch.tensor([3, 8, 3]), "loss": "cross_entropy"}
    options |= {"learning_rate": torch.tensor([1e-2, 3e-3, 1e-2]), "weight_decay": torch.tensor([0, 1e-2, 0.1])}
    trained = kernels.train(weights, x, y, biases=biases, **options)
    same(trained, weights, biases, x, y, rtol=1e-9 if dtype == torch.float64 else 2e-4, **options)
    again = kernels.train(weights, x, y, biases=biases, **{**options, "seed": torch.tensor([3, 9, 3])})
    for ours, other in zip(trained.weights, again.weights, strict=True):
        torch.testing.assert_close(ours[::2], other[::2], rtol=0, atol=0)
        assert not torch.equal(ours[1], other[1])


def test_floating_targets_and_stops():
    weights, biases, x, y = problem([4, 6, 2], labels=False, networks=4)
    options = {"tolerance": torch.tensor([0.05, 0.5, 0.1, 0.0]), "steps": 300, "weight_decay": 0.1}
    trained = kernels.train(weights, x, y, biases=biases, **options)
    same(trained, weights, biases, x, y, **options)
    assert trained.reached.tolist() == [True, True, True, False]
    assert len(set(trained.steps.tolist())) > 2 and trained.steps[3] == 300
    assert (trained.grad_norm[:3] <= options["tolerance"][:3]).all()


@pytest.mark.parametrize("batch_size", [None, 16])
def test_a_network_s_bits_do_not_depend_on_the_stack_or_on_threads(batch_size):
    weights, biases, x, y = problem([6, 10, 3], networks=7)
    options = {"steps": 40, "batch_size": batch_size, "tolerance": 0.1, "activation": "tanh"}
    together = kernels.train(weights, x, y, biases=biases, **options)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        threads = kernels.train(weights, x, y, biases=biases, **options)
    finally:
        torch.set_num_threads(before)
    for p in range(7):
        one = kernels.train([w[p : p + 1] for w in weights], x, y, biases=[b[p : p + 1] for b in biases], **options)
        for ours, single, other in zip(together.weights, one.weights, threads.weights, strict=True):
            assert torch.equal(ours[p], single[0]) and torch.equal(ours[p], other[p])
        assert together.loss[p] == one.loss[0] and together.grad_norm[p] == one.grad_norm[0]


@pytest.mark.parametrize("batch_size", [None, 16])
def test_the_pytorch_way_takes_the_same_steps(monkeypatch, batch_size):
    """What runs on CUDA and without numba."""
    weights, biases, x, y = problem([6, 10, 3], networks=4)
    options = {"steps": 30, "batch_size": batch_size, "seed": torch.tensor([0, 1, 0, 2]), "tolerance": 0.2}
    monkeypatch.setattr(sys.modules["kernels.train"], "unfit", lambda x: "no reason")
    trained = kernels.train(weights, x, y, biases=biases, **options)
    same(trained, weights, biases, x, y, **options)


def test_the_order_of_batches_is_the_same_everywhere():
    first = torch.cat(reference.batches(10, 3, epoch=1, seed=5))
    assert first.tolist() == [8, 2, 7, 9, 1, 6, 3, 0, 5]
