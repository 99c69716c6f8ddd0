"""Losses on curves of rescalings against the plain loop of ``kernels.path_loss.reference``, values and derivatives."""

import pytest
import torch
from losses import close, data, peak_bytes, stack

import kernels
from kernels.path_loss import blocks, reference

LOSSES = ("mse", "error_rate", "cross_entropy", "sse")


def curves(pairs, widths, dtype=torch.float64, biased=True):
    """Networks, their biases, and logarithms of what their hidden units are multiplied with."""
    weights, biases = stack(pairs, widths, 0, dtype)
    _, logs = stack(pairs, widths[:-1], 1, dtype)
    return weights, biases if biased else None, [4 * log for log in logs]


@pytest.mark.parametrize("widths", [[5, 3], [5, 7, 3], [4, 4, 4, 4, 3], [9, 33, 17, 11]], ids=str)
@pytest.mark.parametrize("activation", [*reference.DEGREE])
@pytest.mark.parametrize("biased", [True, False])
def test_rescaling_loss_equals_the_plain_loop(widths, activation, biased):
    weights, biases, logs = curves(3, widths, biased=biased)
    x, y = data(601, widths)
    t = torch.linspace(-0.2, 1, 5, dtype=torch.float64) * torch.tensor([[1.0], [0.5], [2.0]])
    options = {"biases": biases, "activation": activation, "skip": 0.5}
    for name, ours in zip(LOSSES, kernels.rescaling_loss(weights, logs, x, y, t, loss=LOSSES, **options), strict=True):
        close(ours, reference.rescaling_loss(weights, logs, x, y, t, loss=name, **options), 1e-12)
    plain = blocks.rescaling_loss(weights, logs, x, y, t, losses=LOSSES, **options)
    for name, theirs in zip(LOSSES, plain, strict=True):
        close(theirs, reference.rescaling_loss(weights, logs, x, y, t, loss=name, **options), 1e-12)


@pytest.mark.parametrize("widths", [[64, 64, 64, 10], [7, 130, 3]], ids=str)
def test_single_precision_makes_the_errors_of_pytorch(widths):
    weights, biases, logs = curves(2, widths, torch.float32)
    x, y = data(130, widths, dtype=torch.float32)
    t = torch.tensor([0.0, 0.4, 1.0])
    layers = [[layer.double() for layer in layers] for layers in (weights, logs, biases)]
    exact = reference.rescaling_loss(*layers[:2], x.double(), y, t.double(), biases=layers[2], loss="cross_entropy")
    plain = reference.rescaling_loss(weights, logs, x, y, t, biases=biases, loss="cross_entropy")
    ours = kernels.rescaling_loss(weights, logs, x, y, t, biases=biases, loss="cross_entropy")
    allowed = 3 * (plain.double() - exact).abs().max() + 8 * torch.finfo(torch.float32).eps * exact.abs()
    assert ((ours.double() - exact).abs() <= allowed).all()


@pytest.mark.parametrize("activation", [*reference.DEGREE])
def test_the_loss_stays_as_it_is_without_skips_and_only_then(activation):
    """Zhao et al. 2025, section 5.2: rescaling is a symmetry; a skip from or to rescaled units breaks it."""
    widths = [6, 6, 6, 6, 3]
    weights, biases, logs = curves(3, widths)
    x, y = data(50, widths)
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    options = {"biases": biases, "activation": activation}
    start = kernels.network_loss(weights, x, y, **options)
    along = kernels.rescaling_loss(weights, logs, x, y, t, **options)
    close(along, start[:, None].expand_as(along), 1e-12)
    skipped = kernels.rescaling_loss(weights, logs, x, y, t, skip=0.5, **options)
    assert ((skipped - skipped[:, :1]).abs()[:, 1:] > 1e-3).all()


@pytest.mark.parametrize(
    "activation, loss", [("linear", "mse"), ("leaky_relu", "cross_entropy"), ("relu_squared", "sse")]
)
def test_first_and_second_derivatives(activation, loss):
    widths = [3, 3, 4, 2]
    weights, biases, logs = curves(2, widths)
    x, y = data(9, widths)
    t = torch.tensor([[0.3, 0.6], [0.1, 1.0]], dtype=torch.float64)
    tensors = [t, *weights, *logs, *biases]
    for tensor in tensors:
        tensor.requires_grad_()

    def value(t, *rest):
        options = {"biases": rest[5:], "activation": activation, "loss": loss}
        return kernels.rescaling_loss(rest[:3], rest[3:5], x, y, t, skip=0.5, **options)

    assert torch.autograd.gradcheck(value, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(value, tensors, fast_mode=True)


def test_weights_of_the_points_are_never_made(monkeypatch):
    """Whatever their number; gradients make those of some points, in bounded scratch, and are the same for it."""
    widths, pairs, points, bound = [6, 40, 40, 5], 8, 60, 2**19
    weights, biases, logs = curves(pairs, widths)
    x, y = data(40, widths)
    t = torch.rand(pairs, points, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    explicit = points * sum(w.nbytes for w in weights)
    assert peak_bytes(lambda: kernels.rescaling_loss(weights, logs, x, y, t, biases=biases)) < 2**15 < explicit / 100

    def gradients():
        leaves = [layer.clone().requires_grad_() for layer in (t, *weights, *logs, *biases)]
        loss = kernels.rescaling_loss(leaves[1:4], leaves[4:6], x, y, leaves[0], biases=leaves[6:])
        return torch.autograd.grad(loss.square().sum(), leaves)

    at_once = gradients()
    monkeypatch.setattr(blocks, "SCRATCH", bound)
    found = []
    assert peak_bytes(lambda: found.extend(gradients())) < 3 * bound < explicit
    for mine, theirs in zip(found, at_once, strict=True):
        close(mine, theirs, 1e-11, 1e-12)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e200])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_non_finite_weights_give_what_the_plain_loop_gives_for_that_pair_alone(bad, activation):
    widths = [5, 6, 6, 3]
    weights, biases, logs = curves(4, widths)
    x, y = data(400, widths)
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    options = {"biases": biases, "activation": activation}
    clean = kernels.rescaling_loss(weights, logs, x, y, t, **options)
    weights[0][1, 2, 3] = weights[1][2, 0, 1] = biases[2][3, 0] = bad
    ours = kernels.rescaling_loss(weights, logs, x, y, t, **options)
    close(ours, reference.rescaling_loss(weights, logs, x, y, t, **options), 1e-12)
    assert torch.equal(ours[0], clean[0])


def test_a_factor_that_overflows_leaves_no_number():
    widths = [5, 6, 6, 3]
    weights, biases, logs = curves(3, widths)
    x, y = data(40, widths)
    logs[0][1, 2], logs[1][2, 4] = 800.0, 800.0
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    start = kernels.network_loss(weights, x, y, biases=biases)
    ours = kernels.rescaling_loss(weights, logs, x, y, t, biases=biases)
    close(ours[:, 0], start, 1e-13)
    assert ours[:, 1].isfinite().tolist() == [True, False, False]


def test_empty_stacks_and_curves_without_points():
    weights, biases, logs = curves(2, [3, 4, 2])
    x, y = data(5, [3, 2])
    assert kernels.rescaling_loss(weights, logs, x, y, x.new_zeros(0), biases=biases).shape == (2, 0)
    none = [[layer[:0] for layer in layers] for layers in (weights, logs)]
    assert kernels.rescaling_loss(*none, x, y, x.new_zeros(4)).shape == (0, 4)


def test_wrong_arguments_are_named():
    weights, _, logs = curves(2, [5, 4, 3])
    x, y = data(6, [5, 3])
    t = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(
        ValueError, match=r"logs\[0\] has shape \(2, 3\), expected \(2, 4\), the hidden units of layer 0"
    ):
        kernels.rescaling_loss(weights, [logs[0][:, :3]], x, y, t)
    with pytest.raises(ValueError, match="logs has 2 layers, expected 1, one per hidden layer"):
        kernels.rescaling_loss(weights, logs * 2, x, y, t)
    with pytest.raises(
        ValueError, match="activation='tanh' is not positively homogeneous, expected one of linear, relu"
    ):
        kernels.rescaling_loss(weights, logs, x, y, t, activation="tanh")
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        kernels.rescaling_loss(weights, logs, x, y, t, activation="rellu")
    with pytest.raises(ValueError, match=r"t has shape \(3, 2\), expected \(T,\) or \(2, T\)"):
        kernels.rescaling_loss(weights, logs, x, y, t.new_zeros(3, 2))
