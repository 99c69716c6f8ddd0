"""The steps that a GPU replays, taken one operation at a time on a CPU, and captured where there is a device."""

from itertools import pairwise

import pytest
import torch

from kernels.train import gpu, reference

F64 = torch.float64


def problem(widths, networks, samples=50, labels=True):
    draw = torch.Generator().manual_seed(0)
    weights = [torch.randn(networks, o, i, generator=draw, dtype=F64) / i**0.5 for i, o in pairwise(widths)]
    biases = [torch.randn(networks, o, generator=draw, dtype=F64) / 10 for o in widths[1:]]
    x = torch.randn(samples, widths[0], generator=draw, dtype=F64)
    y = torch.randint(0, widths[-1], (samples,), generator=draw)
    return weights, biases, x, y if labels else torch.randn(samples, widths[-1], generator=draw, dtype=F64)


def train(weights, biases, x, y, *, steps, batch_size=None, tolerance=0.0, seeds=0, rate=0.01, device="cpu",
          capture=None, **options):  # fmt: skip
    """``gpu.train`` with numbers that are all networks' own, results on the CPU."""
    networks, like = len(weights[0]), {"dtype": x.dtype, "device": device}

    def each(value):
        return torch.as_tensor(value, **like).expand(networks)

    options = {"optimizer": "adam", "momentum": 0.9, "schedule": "cosine", "activation": "tanh", "skip": 0.5,
               "loss": "cross_entropy", **options}  # fmt: skip
    weights, biases, taken = gpu.train(
        [w.to(device) for w in weights], biases and [b.to(device) for b in biases], x.to(device), y.to(device),
        learning_rate=each(rate), weight_decay=each(0.02), tolerance=each(tolerance), steps=steps,
        batch_size=batch_size, seeds=torch.as_tensor(seeds).expand(networks), capture=capture, **options,
    )  # fmt: skip
    return [*map(torch.Tensor.cpu, weights)], biases and [*map(torch.Tensor.cpu, biases)], taken.cpu()


def measure(weights, biases, x, y):
    decay = torch.full((len(weights[0]),), 0.02, dtype=x.dtype)
    return gpu.measure(weights, biases, x, y, activation="tanh", skip=0.5, loss="cross_entropy", weight_decay=decay)


def assert_as_alone(trained, weights, biases, x, y, tolerance, seeds, rate=0.01, **options):
    for p in range(len(weights[0])):
        own = {"learning_rate": rate, "weight_decay": 0.02, "tolerance": tolerance[p], "seed": seeds[p]}
        options = {"activation": "tanh", "skip": 0.5, "schedule": "cosine", "loss": "cross_entropy", **options}
        expected, expected_biases, steps = reference.train(
            [w[p] for w in weights], x, y, biases=biases and [b[p] for b in biases], **own, **options
        )
        assert trained[2][p] == steps
        for ours, theirs in zip(trained[0] + (trained[1] or []), expected + (expected_biases or []), strict=True):
            torch.testing.assert_close(ours[p], theirs, rtol=1e-9, atol=1e-9)


TOLERANCE, SEEDS = [0.0, 0.3, 10.0, 0.1, 0.2], [0, 1, 0, 2, 3]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_every_network_takes_the_steps_it_would_take_alone(optimizer, loss, batch_size):
    """Also where they are not a multiple of the steps of a graph, or several epochs."""
    args = problem([5, 7, 7, 7, 3], 5)
    options = {"optimizer": optimizer, "loss": loss, "batch_size": batch_size, "steps": gpu.TOGETHER + 5,
               "rate": 1e-2 if optimizer == "adam" else 1e-4}  # fmt: skip
    trained = train(*args, tolerance=torch.tensor(TOLERANCE), seeds=torch.tensor(SEEDS), **options)
    assert_as_alone(trained, *args, TOLERANCE, SEEDS, **options)


def test_floating_targets_no_biases_and_one_layer():
    weights, _, x, y = problem([5, 3], 2, labels=False)
    options = {"loss": "mse", "skip": 0.0, "steps": 9}
    assert_as_alone(train(weights, None, x, y, **options), weights, None, x, y, [0.0] * 2, [0] * 2, **options)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_bits_depend_neither_on_the_stack_nor_on_when_others_finish(monkeypatch, batch_size):
    monkeypatch.setattr(gpu, "LARGEST", 2)
    weights, biases, x, y = problem([6, 10, 3], 7)
    steps = 3 * gpu.TOGETHER * gpu.GATHER
    limits = torch.tensor([0.0, 0.1, 10.0, 10.0, 0.07, 0.2, 0.0])
    together = train(weights, biases, x, y, steps=steps, tolerance=limits, batch_size=batch_size)
    for p in range(7):
        part = slice(p, p + 1)
        one = [[layer[part] for layer in layers] for layers in (weights, biases)]
        alone = train(*one, x, y, steps=steps, tolerance=limits[part], batch_size=batch_size)
        assert together[2][p] == alone[2][0]
        for ours, single in zip(measure(*together[:2], x, y), measure(*alone[:2], x, y), strict=True):
            assert ours[p] == single[0]
        for ours, single in zip(together[0] + together[1], alone[0] + alone[1], strict=True):
            assert torch.equal(ours[p], single[0])


def test_finished_networks_cost_no_steps(monkeypatch):
    monkeypatch.setattr(gpu, "LARGEST", 2)
    runs = []
    take_step = gpu.Problem.take_step
    monkeypatch.setattr(gpu.Problem, "take_step", lambda *args: (runs.append(1), take_step(*args)))
    args = problem([6, 10, 3], 8)
    span = gpu.TOGETHER * gpu.GATHER
    # one of each pair stops at once: two stacks hold the rest
    train(*args, steps=3 * span, tolerance=torch.tensor([10.0, 0.0] * 4))
    assert len(runs) == 4 * span + 2 * 2 * span
    runs.clear()
    train(*args, steps=3 * span, tolerance=10.0)
    assert len(runs) == 4 * span
    runs.clear()
    train(*args, steps=3 * span)
    assert len(runs) == 4 * 3 * span


def test_labels_may_be_any_integers():
    weights, biases, x, y = problem([5, 4, 3], 2)
    for loss in ("mse", "cross_entropy"):
        short, long = (train(weights, biases, x, labels, loss=loss, steps=3) for labels in (y.to(torch.uint8), y))
        assert all(map(torch.equal, short[0], long[0]))


def test_no_networks_at_all():
    args = problem([6, 10, 3], 0)
    assert train(*args, steps=3)[2].shape == measure(*args)[0].shape == (0,)


def test_the_size_of_a_stack_follows_from_the_problem_alone():
    def size(widths, samples):
        return gpu.stack_size([torch.empty(1, o, i, device="meta") for i, o in pairwise(widths)], samples)

    assert size([64, 32, 10], 1797) == 64
    assert size([64, 256, 256, 10], 1797) == 16
    assert size([64, 256, 256, 10], 10**6) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("networks", [1, 5, 200])
def test_captured_steps_are_those_taken_one_by_one(batch_size, networks):
    args = problem([5, 7, 7, 7, 3], networks)
    limits = torch.linspace(0.0, 0.3, networks)
    options = {"steps": 150, "tolerance": limits, "batch_size": batch_size, "device": "cuda"}
    captured, single = train(*args, **options), train(*args, capture=False, **options)
    assert torch.equal(captured[2], single[2])
    for ours, theirs in zip(captured[0] + captured[1], single[0] + single[1], strict=True):
        assert torch.equal(ours, theirs)
    if networks == 5:
        assert_as_alone(captured, *args, limits.tolist(), [0] * 5, steps=150, batch_size=batch_size)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
def test_steps_are_captured_on_the_device_of_the_data():
    args, options = problem([5, 7, 3], 3), {"steps": 40, "batch_size": 16}
    for ours, theirs in zip(*(train(*args, **options, device=f"cuda:{i}")[0] for i in (1, 0)), strict=True):
        torch.testing.assert_close(ours, theirs)
