"""Gradients of path losses by Triton kernels against autograd: in the interpreter, and on a device."""

import dataclasses
import math
import random
import struct

import pytest
import torch

pytest.importorskip("triton")

from gpu_tasks import BF16, F16, F32, F64, data, exact_slopes, slopes_launches, stack, task

import kernels
from kernels import errors
from kernels.path_loss import gpu, gpu_slopes, gpu_tiled_slopes


def test_constants_of_float64_keep_their_bits():
    """A plain number may become float32 on its way: found in the machine's language, as no interpreter shows it."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    made = dataclasses.replace(task([4, 7, 7, 3], 2, 2), activation="gelu")
    (launch,) = slopes_launches(made)
    source = ASTSource(launch.kernel, *launch.signature())
    code = compile(source, target=GPUTarget("cuda", 90, 32), options=launch.compiler_options).asm["ptx"].upper()
    for number in (0.5**0.5, (2 * math.pi) ** -0.5):
        assert struct.pack(">d", number).hex().upper() in code, number


SLOPES = [
    *(([5, 7, 7, 3], activation, 0.0, True, False, F64) for activation in errors.ACTIVATIONS),
    ([5, 7, 3], "tanh", 0.5, True, False, F64),
    ([5, 5, 5, 5, 3], "tanh", 0.5, True, False, F64),
    ([5, 5, 5, 5, 5], "gelu", 0.5, False, False, F64),
    ([5, 6, 6, 6, 6, 6], "tanh", 0.5, False, True, F64),
    ([16, 16, 16, 10], "sigmoid", 0.0, True, True, F32),
    ([70, 20, 33, 3], "tanh", 0.0, True, False, F64),
    # layer by layer: one alone, more classes than a tile has, wide ones, those a skip ends at
    ([5, 3], "relu", 0.0, True, False, F64),
    ([5, 5, 5, 5, 40], "gelu", 0.5, True, True, F64),
    ([5, 5, 5, 5, 5, 40], "tanh", 0.5, False, False, F64),
    ([3, 70, 3], "sigmoid", 0.0, True, False, F32),
    ([70, 70, 70], "tanh", 0.5, False, False, F64),
    ([5, 9, 40], "relu_squared", 0.0, True, False, BF16),
    ([5, 9, 40], "relu", 0.0, True, True, BF16),
]


@pytest.mark.parametrize("widths, activation, skip, labels, curve, dtype", SLOPES, ids=str)
def test_gradients_by_the_kernels_are_those_of_pytorch(launched, widths, activation, skip, labels, curve, dtype):
    options = {"activation": activation, "skip": skip}
    options["losses"] = ["cross_entropy", "error_rate", "sse"] if labels else ["mse", "sse"]
    assert_slopes(launched, widths, curve, *data(70, widths, labels, dtype), **options)


@pytest.mark.slow  # python -m pytest -m slow -k random tests/kernels/test_path_loss_slopes_gpu.py
@pytest.mark.parametrize("seed", range(60))
def test_gradients_of_random_networks(launched, seed):
    draw = random.Random(seed)
    hidden, labels = draw.choice([[1, 7], [7, 16], [33], [70]]), draw.random() < 0.6
    widths = [draw.choice([1, 5, *hidden]), *(draw.choice(hidden) for _ in range(draw.randrange(5)))]
    widths.append(draw.choice([2, 5, 40, *hidden]) if labels else draw.choice([1, 5, *hidden]))
    activation = draw.choice(["linear", "tanh", "sigmoid", "gelu"])  # no kinks, where any gradient would do
    options = {"activation": activation, "skip": draw.choice([0.0, 0.5])}
    options["losses"] = draw.sample(errors.LOSSES if labels and widths[-1] > 1 else ["mse", "sse"], 2)
    x, y = data(draw.choice([1, 64, 71, 150]), widths, labels)
    assert_slopes(launched, widths, draw.random() < 0.5, x, y, **options)


def test_gradients_add_up_over_parts_of_the_samples(launched):
    """More of them than are taken at once."""
    assert gpu_tiled_slopes.ROWS < 550
    assert_slopes(launched, [3, 2], False, *data(550, [3, 2]), activation="relu", skip=0.0, losses=["sse"])


def test_small_gradients_do_not_vanish_in_float16(launched):
    """Those by outputs, of which one of 70 samples and 40 classes has about 1e-8, are below the smallest number."""
    options = {"activation": "tanh", "skip": 0.0, "losses": ["cross_entropy"], "factor": 1e-4}
    assert_slopes(launched, [5, 9, 40], False, *data(70, [5, 40], dtype=F16), **options)


def assert_slopes(launched, widths, curve, x, y, losses, factor=1.0, **options):
    """Gradients by all tensors against those of float64 by autograd."""
    dtype, draw = x.dtype, torch.Generator().manual_seed(0)
    upstream = [torch.randn(2, 2, generator=draw, dtype=F64).mul(factor).to(dtype) for _ in losses]
    if curve:
        tensors = stack((2, 2), widths, 0, dtype)
    else:
        (wa, ba), (wb, bb) = stack((2,), widths, 0, dtype), stack((2,), widths, 1, dtype)
        biases = (ba, bb) if y.dim() == 1 else (None, None)
        tensors = (torch.tensor([[0.3, 0.6], [0.0, 1.1]], dtype=dtype), wa, wb, *biases)
    name, arguments = "curve_slopes" if curve else "path_slopes", (*tensors, x, y, upstream)
    found = launched(getattr(gpu, name), *arguments, precision="3xtf32", losses=losses, **options)
    exact = exact_slopes(name, *arguments, losses=losses, **options)
    unit = {F64: 1e-12, F32: 1e-5, BF16: 2e-2, F16: 3e-2}[dtype]
    for mine, theirs in zip(found, exact, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine.double(), theirs, rtol=unit, atol=unit * theirs.abs().max().item())


@pytest.mark.parametrize("widths", [[64, 256, 256, 10], [7, 20000, 3], [7, 2000]], ids=str)
def test_gradients_of_wide_networks_take_all_items_and_samples_once_in_bounded_scratch(widths):
    made = task(widths, 1, 100)
    every = slopes_launches(made, 100)
    seen, kept = [], {id(z): z.nbytes for launch in every if (z := launch.arguments.get("z_ptr")) is not None}
    for launch in every:
        of, here = launch.arguments, launch.grid[0]
        if launch.kernel.__name__ == "outputs_kernel":
            rows = range(of["first"], of["first"] + of["left"])
            assert here <= len(of["z_ptr"]) and len(rows) <= of["room"] == of["z_ptr"].shape[1]
            seen += [(of["item_first"] + i, row) for i in range(here) for row in rows]
    assert sorted(seen) == [(item, row) for item in range(100) for row in range(1797)]
    assert len(kept) == len(widths) - 1 and sum(kept.values()) <= 21e6


@pytest.mark.parametrize("widths", [[64, 64, 64, 64], [7, 128, 300], [64, 256, 10]], ids=str)
def test_gradients_layer_by_layer_have_tiles_of_their_own(widths):
    """Whatever the losses' kernel holds: 64 inputs of a tile in three passes are more than an RTX has memory for."""
    for launch in slopes_launches(dataclasses.replace(task(widths, 1, 4, F32), skip=0.5)):
        assert launch.constants.get("BK", 16) == 16 and launch.constants.get("CP", 16) <= 32


@pytest.mark.parametrize("together", [1, 3, 5, 12])
def test_gradients_of_lines_add_up_over_parts_of_the_points(monkeypatch, together):
    """By numbers in place of the kernels': as many items at a time as there is room for."""
    (wa, _), (wb, _), (x, y) = stack((3,), [2, 2], 0), stack((3,), [2, 2], 1), data(4, [2, 2])
    t = torch.rand(3, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    made = dataclasses.replace(task([2, 2], 3, 4), weights=wa, weights_b=wb, x=x, y=y, t=t)
    by_items = torch.randn(12, 2, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    calls = []

    def add(_, slopes, factors, first):
        calls.append(len(slopes[0][0]))
        slopes[0][0].add_(by_items[first : first + len(slopes[0][0])])

    monkeypatch.setattr(gpu_slopes, "SCRATCH", 3 * together * gpu_slopes._size(made))
    monkeypatch.setattr(gpu_slopes, "_add", add)
    slopes_t, by_a, by_b = gpu_slopes.path_slopes(made, [torch.ones(3, 4, dtype=F64)])
    by_points = by_items.view(3, 4, 2, 2)
    torch.testing.assert_close(by_a, torch.einsum("pt,ptij->pij", 1 - t, by_points))
    torch.testing.assert_close(by_b, torch.einsum("pt,ptij->pij", t, by_points))
    torch.testing.assert_close(slopes_t, torch.einsum("ptij,pij->pt", by_points, wb[0] - wa[0]))
    assert sum(calls) == 12 and max(calls) <= together


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("widths", [[3, 5, 5, 3], [3, 5, 5, 40]], ids=str)
def test_derivatives_on_a_device(widths):
    x, y = (tensor.cuda() for tensor in data(9, widths))
    tensors = [tensor.cuda().requires_grad_() for seed in (0, 1) for tensor in stack((2,), widths, seed)[0]]
    t = torch.tensor([0.3, 0.6], dtype=F64, device="cuda", requires_grad=True)

    def value(t, *weights):
        return kernels.path_loss(weights[:3], weights[3:], x, y, t, activation="tanh", loss="cross_entropy")

    assert torch.autograd.gradcheck(value, [t, *tensors], fast_mode=True)
    assert torch.autograd.gradgradcheck(value, [t, *tensors], fast_mode=True)
