"""The Triton kernels of path losses against the plain loop in float64: in the interpreter, and on a device."""

import dataclasses
import math
import random
import struct
from itertools import islice, pairwise

import pytest
import torch

pytest.importorskip("triton")

import kernels
from kernels import errors, target
from kernels.path_loss import autograd, blocks, gpu, gpu_factor, gpu_slopes, gpu_tiled_slopes, reference

F64, F32, BF16, F16 = torch.float64, torch.float32, torch.bfloat16, torch.float16


def stack(batch, widths, seed, dtype=F64, bias=True):
    draw = torch.Generator().manual_seed(seed)
    weights = [torch.randn(*batch, o, i, generator=draw, dtype=F64).div(i**0.5).to(dtype) for i, o in pairwise(widths)]
    biases = [torch.randn(*batch, o, generator=draw, dtype=F64).to(dtype) for o in widths[1:]]
    return weights, biases if bias else None


def data(samples, widths, labels=True, dtype=F64, seed=2):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, widths[0], generator=draw, dtype=F64).to(dtype)
    if labels:
        return x, torch.randint(0, widths[-1], (samples,), generator=draw)
    return x, torch.randn(samples, widths[-1], generator=draw, dtype=F64).to(dtype)


def times(points, dtype=F64):
    return torch.linspace(-0.1, 1, points, dtype=dtype) if points > 1 else torch.tensor([0.3], dtype=dtype)


def plain(dtype, call, *args, losses, **kwargs):
    """The plain loop, with all floating tensors in ``dtype``."""
    kwargs = {key: in_dtype(dtype, value) for key, value in kwargs.items()}
    return [call(*in_dtype(dtype, args), loss=loss, **kwargs) for loss in losses]


def in_dtype(dtype, value):
    """``value`` with all its floating tensors in ``dtype``, through lists."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return [in_dtype(dtype, v) for v in value] if isinstance(value, list | tuple) else value


def assert_as_plain(launched, function, args, losses, precision="3xtf32", **options):
    """At most 8 times the plain loop's own error in the same dtype, and some roundings of each layer."""
    values = launched(getattr(gpu, function), *args, losses=losses, precision=precision, **options)
    exact = plain(F64, getattr(reference, function), *args, losses=losses, **options)
    dtype = args[0][0].dtype
    rounded = plain(dtype, getattr(reference, function), *args, losses=losses, **options)
    # the plain loop in float64 is both: its own error is not seen, and grows with the layers
    layers = len(args[0]) if dtype == F64 else 1
    units = {F64: 16 * 2**-52, F32: 16 * 2**-23, BF16: 2 * 2**-8}[dtype] * layers
    for loss, ours, wanted, theirs in zip(losses, values, exact, rounded, strict=True):
        assert ours.dtype == dtype and ours.shape == wanted.shape
        size = wanted.abs().clamp_min(1.0)
        excess = (ours.double() - wanted).abs() - 8 * (theirs.double() - wanted).abs() - units * size
        assert excess.max() <= 0, (loss, ours, wanted)


def drawn(seed):
    """A network, its data and how it is evaluated, at random."""
    draw = random.Random(seed)
    hidden = draw.choice([[1, 7], [7, 16], [16], [33], [64], [100], [257]])
    depth = draw.choice([1, 2, 3, 4, 6] if hidden[-1] < 64 else [2, 3])
    skip = draw.choice([0.0, 0.0, 0.7])
    width = draw.choice(hidden)
    widths = [draw.choice([3, 16, width]), *(width if skip else draw.choice(hidden) for _ in range(depth - 1))]
    widths.append(draw.choice([1, 3, 10, width, 17]))
    labels = draw.random() < 0.6 and widths[-1] > 1
    losses = draw.sample(errors.LOSSES, 2) if labels else ["mse", "sse"]
    return {
        "widths": widths,
        "skip": skip,
        "activation": draw.choice(errors.ACTIVATIONS),
        "labels": labels,
        "losses": losses,
        "bias": draw.random() < 0.7,
        "samples": draw.choice([1, 64, 71, 150]),
        "points": draw.choice([1, 3]),
        "curve": draw.random() < 0.3,
        "dtype": draw.choice([F64, F64, F32]),
        "own_times": draw.random() < 0.3,
    }


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_equal_the_plain_loop(launched, seed):
    assert_drawn(launched, drawn(seed))


@pytest.mark.slow  # python -m pytest -m slow tests/kernels/test_path_loss_gpu.py
@pytest.mark.parametrize("seed", range(8, 100))
def test_more_random_networks_equal_the_plain_loop(launched, seed):
    assert_drawn(launched, drawn(seed))


def assert_drawn(launched, case):
    widths, dtype, points = case["widths"], case["dtype"], case["points"]
    x, y = data(case["samples"], widths, case["labels"], dtype)
    options = {"activation": case["activation"], "skip": case["skip"], "losses": case["losses"]}
    if case["curve"]:
        weights, biases = stack((2, points), widths, 0, dtype, case["bias"])
        assert_as_plain(launched, "curve_loss", (weights, x, y), biases=biases, **options)
    else:
        (wa, ba), (wb, bb) = (stack((2,), widths, seed, dtype, case["bias"]) for seed in (0, 1))
        t = times(points, dtype)
        t = torch.stack([t, t / 2]) if case["own_times"] else t
        assert_as_plain(launched, "path_loss", (wa, wb, x, y, t), biases_a=ba, biases_b=bb, **options)


@pytest.mark.parametrize(
    "widths, dtype, precision",
    [
        ([5, 3], F32, "3xtf32"),
        ([64, 64, 64, 10], F32, "3xtf32"),  # nothing is padded
        ([64, 64, 64, 10], F32, "ieee"),
        ([6, 64, 64, 64], F64, "3xtf32"),  # a skip onto the last layer
        ([5, 9, 5], F64, "3xtf32"),  # the skip of x itself
        ([5, 70, 5], F32, "3xtf32"),  # the same, in tiles
        ([5, 70, 70, 70, 70], F32, "3xtf32"),
        ([5, 130, 70], F64, "3xtf32"),
        ([4, 7, 40], F64, "3xtf32"),  # classes in tiles
        ([7, 20, 20, 5], BF16, "3xtf32"),
        ([7, 257, 5], BF16, "3xtf32"),
    ],
    ids=str,
)
def test_each_kind_of_tile_equals_the_plain_loop(launched, widths, dtype, precision):
    (wa, ba), (wb, bb) = stack((1,), widths, 0, dtype), stack((1,), widths, 1, dtype)
    x, y = data(70, widths, dtype=dtype)
    options = {"activation": "leaky_relu", "skip": 0.5, "losses": ["sse", "cross_entropy"], "precision": precision}
    assert_as_plain(launched, "path_loss", (wa, wb, x, y, times(2, dtype)), biases_a=ba, biases_b=bb, **options)


@pytest.mark.parametrize("widths", [[130, 7, 7, 3], [130, 70, 3]], ids=str)
def test_a_first_layer_of_many_inputs_is_shared_by_all_points(launched, widths):
    (wa, ba), (wb, bb) = stack((2,), widths, 0), stack((2,), widths, 1)
    x, y = data(20, widths)
    options = {"activation": "tanh", "skip": 0.0, "losses": ["cross_entropy"]}
    assert task(widths, 2, 8).keeps_ends and not task(widths, 2, 7).keeps_ends
    assert_as_plain(launched, "path_loss", (wa, wb, x, y, times(8)), biases_a=ba, biases_b=bb, **options)


def task(widths, pairs, points, dtype=F64, device="meta", gpu_name="sm_90", precision="3xtf32"):
    """Straight lines between networks that have no numbers."""
    layers = [torch.empty(pairs, o, i, dtype=dtype, device=device) for i, o in pairwise(widths)]
    x, t = (torch.empty(*shape, dtype=dtype, device=device) for shape in ((1797, widths[0]), (points,)))
    y = torch.empty(1797, dtype=torch.int64, device=device)
    options = ("relu", 0.0, ["cross_entropy"], precision, target.GPUS[gpu_name])
    return gpu.Task(layers, None, layers, None, x, y, t, *options)


def test_what_is_held_fits_the_gpu():
    """Shared memory of a program: 227 KB on an H100, 99 on an RTX 4090; AMD's have no products in three passes."""
    for dtype, precision in ((F64, "ieee"), (F32, "tf32")):
        made = task([64, 128, 128, 10], 2, 2, dtype, precision=precision)
        small = dataclasses.replace(
            made, gpu=dataclasses.replace(made.gpu, name="sm_89", arch=89, shared_bytes=99 * 1024)
        )
        assert not made.tiled and small.tiled
    assert task([4, 7, 3], 1, 1, F32).product == "tf32x3"
    assert task([4, 7, 3], 1, 1, F32, gpu_name="gfx942").product == "ieee"


def launches(made):
    return made.launches(torch.empty(1, made.shares, made.pairs * made.points, device="meta"))


@pytest.mark.parametrize("labels", [True, False])
def test_squared_losses_of_linear_networks_do_not_cost_more_with_more_samples(launched, labels):
    widths, options = [5, 7, 7, 3], {"activation": "linear", "losses": ["mse", "sse"], "skip": 0.5}
    (wa, ba), (wb, bb), (x, y) = stack((3,), widths, 0), stack((3,), widths, 1), data(90, widths, labels)
    ba, bb = (ba, bb) if labels else (None, None)  # multiplied with the factor's column for the ones
    wb[1][1, 0, 0] = torch.inf  # its zeros in the factor would be NaN: the pair goes back to the samples
    t = times(2)
    assert_as_plain_where_finite(launched, (wa, wb, x, y, t), biases_a=ba, biases_b=bb, **options)

    upstream = [torch.randn(3, 2, generator=torch.Generator().manual_seed(i), dtype=F64) for i in range(2)]
    tensors = (t.expand(3, -1), wa, [w.nan_to_num(posinf=1.0) for w in wb], ba, bb, x, y, upstream)
    slopes = launched(gpu.path_slopes, *tensors, precision="ieee", **options)
    for mine, theirs in zip(slopes, blocks.path_slopes(*tensors, **options), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11 * theirs.abs().max().item())

    found = gpu_factor.factor(x, y, 3, "linear", ["mse"])
    assert [tuple(rows.shape) for rows in found] == [(9, 5), (9,), (9, 3)]
    assert gpu_factor.factor(x, y, 3, "linear", ["mse"]) is found
    x.mul_(2)
    torch.testing.assert_close(gpu_factor.factor(x, y, 3, "linear", ["mse"])[0].abs(), 2 * found[0].abs())
    x[0, 0] = torch.nan
    assert gpu_factor.factor(x, y, 3, "linear", ["mse"]) is None
    assert gpu_factor.factor(x, y, 3, "relu", ["mse"]) is None


def assert_as_plain_where_finite(launched, args, losses, **options):
    values = launched(gpu.path_loss, *args, losses=losses, precision="ieee", **options)
    for loss, ours in zip(losses, values, strict=True):
        wanted = reference.path_loss(*args, loss=loss, **options)
        assert not wanted.isfinite().all()
        torch.testing.assert_close(ours, wanted, rtol=1e-11, atol=0, equal_nan=True)


@pytest.mark.parametrize("width", [16, 64, 128, 256, 700])
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("inputs", [64, 784])
def test_scratch_stays_below_64_megabytes(width, dtype, inputs):
    made = task([inputs, width, width, 10], 1024, 101, dtype)
    for launch in islice(launches(made), 10):  # later ones share what these have
        scratch = [launch.arguments.get(name) for name in ("ends_ptr", "mixed_ptr", "buffer_ptr")]
        assert sum(s.nbytes for s in scratch if s is not None) <= 64e6


@pytest.mark.parametrize("width, dtype", [(7, F64), (7, F32), (70, F32)])
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_non_finite_weights_give_what_the_plain_loop_gives_for_that_pair_alone(launched, width, dtype, poison):
    widths = [4, width, width, 3] if width == 7 else [4, width, 3]
    (wa, ba), (wb, bb) = stack((2,), widths, 0, dtype), stack((2,), widths, 1, dtype)
    x, y = data(10, widths, dtype=dtype)
    t = torch.tensor([0.0, 0.4], dtype=dtype)
    losses = ["mse", "cross_entropy", "error_rate"]
    for activation in ("relu", "sigmoid") if width == 7 else ("relu",):
        options = {"activation": activation, "skip": 0.0}
        call = {"biases_a": ba, "biases_b": bb, "losses": losses, "precision": "3xtf32", **options}
        clean = launched(gpu.path_loss, wa, wb, x, y, t, **call)
        for layer in (0, 1):
            poisoned = [w.clone() for w in wb]
            poisoned[layer][1, 2, 0] = poison
            ours = launched(gpu.path_loss, wa, poisoned, x, y, t, **call)
            theirs = plain(dtype, reference.path_loss, wa, poisoned, x, y, t, losses=losses, biases_a=ba, biases_b=bb,
                           **options)  # fmt: skip
            for mine, wanted, before in zip(ours, theirs, clean, strict=True):
                torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5, equal_nan=True)
                assert torch.equal(mine[0], before[0])


@pytest.mark.parametrize("width", [7, 70])
def test_bits_depend_on_nothing_beside_a_pair(launched, width):
    widths = [4, width, 3]
    (wa, ba), (wb, bb) = stack((2,), widths, 0, F32), stack((2,), widths, 1, F32)
    x, y = data(70, widths, dtype=F32)  # two blocks
    options = {"activation": "relu", "skip": 0.0, "losses": ["cross_entropy"], "precision": "3xtf32"}

    def value(pair, t):
        ends = [[layer[pair] for layer in layers] for layers in (wa, wb, ba, bb)]
        (found,) = launched(gpu.path_loss, *ends[:2], x, y, t, biases_a=ends[2], biases_b=ends[3], **options)
        return found

    t = torch.tensor([0.0, 0.3, 1.0])
    whole = value(slice(None), t)
    assert torch.equal(whole, value(slice(None), t))
    assert torch.equal(whole[1:2], value(slice(1, 2), t))
    assert torch.equal(whole[:, 1:2], value(slice(None), t[1:2]))
    # and at an end of the line they are the end's own
    (ends,) = launched(gpu.curve_loss, [w[:, None] for w in wa], x, y, biases=[b[:, None] for b in ba], **options)
    assert torch.equal(whole[:, :1], ends)


def test_the_range_of_labels_is_read_again_only_after_a_change():
    y = torch.tensor([0, 3, 1])
    assert errors._remembered_range(y) == (0, 3)
    y.numpy()[0] = 7  # unseen
    assert errors._remembered_range(y) == (0, 3)
    y[1] = -2
    assert errors._remembered_range(y) == (-2, 7)
    assert errors._remembered_range(torch.tensor([5])) == (5, 5)


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


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("losses", [("cross_entropy", "error_rate", "sse"), ("error_rate",)], ids=str)
def test_gradients_recomputed_block_by_block_are_those_of_the_whole(monkeypatch, biased, losses):
    """The backward pass of what no kernel has gradients for."""
    monkeypatch.setattr(blocks, "SAMPLES", 7)
    widths = [4, 6, 6, 3]
    (wa, ba), (wb, bb) = stack((2,), widths, 0, bias=biased), stack((2,), widths, 1, bias=biased)
    x, y = data(20, widths)
    t = torch.tensor([[0.3, 0.6, 0.1], [0.0, 1.0, 0.2]], dtype=F64)
    upstream = [torch.randn(2, 3, generator=torch.Generator().manual_seed(i), dtype=F64) for i in range(3)]
    options = {"activation": "tanh", "skip": 0.5, "losses": losses}
    tensors = (t, *wa, *wb, *(ba or ()), *(bb or ()))
    for tensor in tensors:
        tensor.requires_grad_()

    def value(t, weights_a, weights_b, biases_a, biases_b, x, y, **options):
        return blocks.path_loss(weights_a, weights_b, x, y, t, biases_a=biases_a, biases_b=biases_b, **options)

    def gradients(values):
        total = sum((v * u).sum() for v, u in zip(values, upstream, strict=False) if v.requires_grad)
        return torch.autograd.grad(total, tensors) if torch.is_tensor(total) else [torch.zeros_like(s) for s in tensors]

    whole = gradients(value(t, wa, wb, ba, bb, x, y, **options))
    ours = autograd.path_loss(value, blocks.path_slopes, wa, wb, x, y, t, biases_a=ba, biases_b=bb, **options)
    for mine, theirs in zip(gradients(ours), whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-13)

    lines = [
        (1 - t[:, :, None, None]) * a[:, None] + t[:, :, None, None] * b[:, None] for a, b in zip(wa, wb, strict=True)
    ]
    tensors = [line.detach().requires_grad_() for line in lines]
    whole = gradients(blocks.curve_loss(tensors, x, y, biases=None, **options))
    ours = autograd.curve_loss(
        lambda weights, biases, x, y, **options: blocks.curve_loss(weights, x, y, biases=biases, **options),
        blocks.curve_slopes, tensors, x, y, biases=None, **options,
    )  # fmt: skip
    for mine, theirs in zip(gradients(ours), whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-13)


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
    ([70, 70, 70], "tanh", 0.5, False, False, F32),
    ([5, 9, 40], "relu_squared", 0.0, True, False, BF16),
    ([5, 9, 40], "relu", 0.0, True, True, BF16),
]


@pytest.mark.parametrize("widths, activation, skip, labels, curve, dtype", SLOPES, ids=str)
def test_gradients_by_the_kernels_are_those_of_pytorch(launched, widths, activation, skip, labels, curve, dtype):
    options = {"activation": activation, "skip": skip}
    options["losses"] = ["cross_entropy", "error_rate", "sse"] if labels else ["mse", "sse"]
    assert_slopes(launched, widths, curve, *data(70, widths, labels, dtype), **options)


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
    exact = getattr(blocks, name)(*in_dtype(F64, arguments), losses=losses, **options)
    unit = {F64: 1e-12, F32: 1e-5, BF16: 2e-2, F16: 3e-2}[dtype]
    for mine, theirs in zip(found, exact, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine.double(), theirs, rtol=unit, atol=unit * theirs.abs().max().item())


def slopes_launches(made, items=4, dtype=F64):
    room, factors = gpu_slopes.room(made, items, dtype), torch.empty(2, items, dtype=dtype, device="meta")
    return list(gpu_slopes.launches(made, room, factors, 0))


@pytest.mark.parametrize("widths", [[64, 256, 256, 10], [784, 3000, 10], [7, 2000]], ids=str)
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
    for launch in slopes_launches(dataclasses.replace(task(widths, 1, 4, F32), skip=0.5), dtype=F32):
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


@pytest.mark.parametrize("widths", [[64, 64, 10], [784, 64, 64, 10], [64, 256, 256, 10], [784, 256, 256, 10]], ids=str)
def test_the_parts_of_a_task_cover_it_once(widths):
    made, seen, first = task(widths, 40, 101, F32), [], 0
    for launch in launches(made):
        of = launch.arguments
        if launch.kernel.__name__ == "ends_kernel":
            first, pairs = of["pair_first"], launch.grid[0] // 2
            assert pairs <= len(of["ends_ptr"])
        elif launch.kernel.__name__ in ("layers_kernel", "tiled_kernel"):
            seen += range(of["item_first"], of["item_first"] + of.get("items_here", launch.grid[0]))
            assert of["pair_first"] == first
    assert seen == list(range(40 * 101))
    assert made.keeps_ends == (widths[0] == 784)
