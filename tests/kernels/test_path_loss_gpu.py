"""The Triton kernels of path losses against the plain loop in float64: in the interpreter, and on a device."""

import dataclasses
import random
from itertools import islice

import pytest
import torch

pytest.importorskip("triton")

from gpu_tasks import BF16, F16, F32, F64, data, exact_slopes, in_dtype, launches, slopes_launches, stack, task

from kernels import errors
from kernels.path_loss import gpu, gpu_factor, reference


def times(points, dtype=F64):
    return torch.linspace(-0.1, 1, points, dtype=dtype) if points > 1 else torch.tensor([0.3], dtype=dtype)


def plain(dtype, call, *args, losses, **kwargs):
    """The plain loop, with all floating tensors in ``dtype``."""
    kwargs = {key: in_dtype(dtype, value) for key, value in kwargs.items()}
    return [call(*in_dtype(dtype, args), loss=loss, **kwargs) for loss in losses]


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
        "curve": draw.choice(["line", "line", "points", "rescaling"]),
        "dtype": draw.choice([F64, F64, F32]),
        "own_times": draw.random() < 0.3,
        "homogeneous": draw.choice([*reference.DEGREE]),
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
    if case["curve"] == "points":
        weights, biases = stack((2, points), widths, 0, dtype, case["bias"])
        assert_as_plain(launched, "curve_loss", (weights, x, y), biases=biases, **options)
        return
    (wa, ba), (wb, bb) = (stack((2,), widths, seed, dtype, case["bias"]) for seed in (0, 1))
    t = times(points, dtype)
    t = torch.stack([t, t / 2]) if case["own_times"] else t
    if case["curve"] == "line":
        assert_as_plain(launched, "path_loss", (wa, wb, x, y, t), biases_a=ba, biases_b=bb, **options)
    else:
        options["activation"] = case["homogeneous"]
        _, logs = stack((2,), widths[:-1], 2, dtype)
        assert_as_plain(launched, "rescaling_loss", (wa, logs, x, y, t), biases=ba, **options)


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
    _, logs = stack((1,), widths[:-1], 2, dtype)
    assert_as_plain(launched, "rescaling_loss", (wa, logs, x, y, times(2, dtype)), biases=ba, **options)


@pytest.mark.parametrize("widths", [[130, 7, 7, 3], [130, 70, 3]], ids=str)
def test_a_first_layer_of_many_inputs_is_shared_by_all_points(launched, widths):
    (wa, ba), (wb, bb) = stack((2,), widths, 0), stack((2,), widths, 1)
    x, y = data(20, widths)
    options = {"activation": "tanh", "skip": 0.0, "losses": ["cross_entropy"]}
    assert task(widths, 2, 8).keeps_ends and not task(widths, 2, 7).keeps_ends
    assert_as_plain(launched, "path_loss", (wa, wb, x, y, times(8)), biases_a=ba, biases_b=bb, **options)
    _, logs = stack((2,), widths[:-1], 2)
    options["activation"] = "relu_squared"
    assert_as_plain(launched, "rescaling_loss", (wa, logs, x, y, times(8)), biases=ba, **options)


KINDS = [  # of tasks that no variant of the ahead-of-time report is
    ([5, 7, 7, 3], F64, {"activation": "gelu", "skip": 0.5, "losses": errors.LOSSES}, "curve biases"),
    ([130, 7, 7, 3], F64, {"activation": "linear", "skip": 0.5, "losses": ["mse"]}, "biases factor"),
    ([130, 100, 130, 1], F32, {"activation": "linear", "skip": 0.5, "losses": ["mse"]}, "biases factor"),
    ([5, 100, 100, 1], F32, {"activation": "sigmoid", "losses": ["cross_entropy", "error_rate"]}, "curve biases"),
    ([5, 3], F32, {"losses": ["error_rate"]}, "curve biases"),
    ([5, 7, 70], BF16, {"activation": "tanh"}, "biases"),
    ([5, 7, 7, 70], F16, {"activation": "relu_squared", "skip": 0.5}, "curve"),
    ([1, 1, 1], F32, {"activation": "leaky_relu", "losses": ["sse"]}, "biases"),
    ([16, 64, 16], F64, {"skip": 0.5}, "biases"),
]


@pytest.mark.slow  # python -m pytest -m slow -k compiled tests/kernels/test_path_loss_gpu.py
@pytest.mark.parametrize("gpu_name, shared_bytes", [("sm_80", 99 * 1024), ("sm_90", 227 * 1024)])
@pytest.mark.parametrize("widths, dtype, options, kind", KINDS, ids=str)
def test_every_kind_of_task_is_compiled(widths, dtype, options, kind, gpu_name, shared_bytes):
    """Losses and gradients, and with the shared memory of a small GPU in what that has."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    made = task(widths, 4, 9, dtype, gpu_name=gpu_name)
    made = dataclasses.replace(made, **options, gpu=dataclasses.replace(made.gpu, shared_bytes=shared_bytes))
    if "biases" in kind:
        biases = [w[..., 0] for w in made.weights]
        made = dataclasses.replace(made, biases=biases, biases_b=biases)
    if "factor" in kind:
        made = dataclasses.replace(made, ones=made.x[:, 0], y=torch.empty(1797, widths[-1], dtype=dtype, device="meta"))
    if "curve" in kind:
        weights, biases = (
            [w[:, None].expand(-1, 9, *w.shape[1:]) for w in s or ()] for s in (made.weights, made.biases)
        )
        made = dataclasses.replace(made, weights=weights, biases=biases or None, weights_b=None, biases_b=None, t=None)
    sums = torch.empty(len(made.kept), made.shares, 36, dtype=made.sum_dtype, device="meta")
    every = [*made.launches(sums), *slopes_launches(made, 36)]
    for launch in {(launch.kernel.__name__, repr(launch.signature())): launch for launch in every}.values():
        source = ASTSource(launch.kernel, *launch.signature())
        gpu_target = GPUTarget("cuda", made.gpu.arch, 32)
        assert compile(source, target=gpu_target, options=launch.compiler_options).metadata.shared <= shared_bytes


def test_what_is_held_fits_the_gpu():
    """Shared memory of a program: 227 KB on an H100, 99 on an RTX 4090; AMD's have no products in three passes."""
    made = task([64, 128, 128, 10], 2, 2, F32, precision="tf32")
    small = dataclasses.replace(made, gpu=dataclasses.replace(made.gpu, name="sm_89", arch=89, shared_bytes=99 * 1024))
    assert not made.tiled and small.tiled
    assert task([4, 7, 3], 1, 1, F32).product == "tf32x3"
    assert task([4, 7, 3], 1, 1, F32, gpu_name="gfx942").product == "ieee"


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
    for mine, theirs in zip(slopes, exact_slopes("path_slopes", *tensors, **options), strict=True):
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
