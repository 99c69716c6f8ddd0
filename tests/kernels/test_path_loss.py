"""Losses on paths against the plain loop of ``kernels.path_loss.reference``, values and derivatives."""

import pytest
import torch
from losses import close, data, peak_bytes, stack

import kernels
from kernels import errors
from kernels.path_loss import blocks, cpu, reference

MULTI = ("mse", "error_rate", "cross_entropy", "sse")


@pytest.mark.parametrize("widths", [[5, 3], [5, 7, 3], [4, 4, 4, 4, 3], [4, 4, 4]], ids=str)
@pytest.mark.parametrize("activation", errors.ACTIVATIONS)
def test_path_loss_equals_the_plain_loop(widths, activation):
    (wa, ba), (wb, bb) = stack(3, widths, 0), stack(3, widths, 1)
    x, y = data(601, widths)
    t = torch.linspace(-0.1, 1, 4, dtype=torch.float64)
    options = {"biases_a": ba, "biases_b": bb, "activation": activation, "skip": 0.5}
    ours = kernels.path_loss(wa, wb, x, y, t, loss=MULTI, **options)
    for loss, values in zip(MULTI, ours, strict=True):
        close(values, reference.path_loss(wa, wb, x, y, t, loss=loss, **options), 1e-13)
        alone = kernels.path_loss(wa, wb, x, y, t, loss=loss, **options)
        assert torch.equal(values, alone) or activation == "linear"  # alone, squares take fewer operations
        close(values, alone, 1e-13)


@pytest.mark.parametrize("width", [1, 7, 16, 33, 64, 100, 257])
@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_widths_depths_and_numbers_of_samples(width, depth, dtype):
    """Against float64 with the errors that PyTorch makes in the same dtype for a measure."""
    widths = [9, *[width] * (depth - 1), 11]
    samples = {1: 1, 7: 31, 257: 97}.get(width, 130)
    (wa, _), (wb, _) = stack(2, widths, 0, dtype), stack(2, widths, 1, dtype)
    x, y = data(samples, widths, dtype=dtype, labels=depth == 3)
    t = torch.tensor([[0.0, 0.3, 1.0], [1.0, 0.5, 0.25]], dtype=dtype)  # of each pair its own
    loss = "cross_entropy" if depth == 3 else "mse"
    doubles = [[w.double() for w in weights] for weights in (wa, wb)]
    y64 = y if depth == 3 else y.double()
    exact = reference.path_loss(*doubles, x.double(), y64, t.double(), loss=loss)
    plain = reference.path_loss(wa, wb, x, y, t, loss=loss)
    ours = kernels.path_loss(wa, wb, x, y, t, loss=loss)
    allowed = 3 * (plain.double() - exact).abs().max() + 8 * torch.finfo(dtype).eps * exact.abs()
    assert ((ours.double() - exact).abs() <= allowed).all()
    ends = kernels.network_loss(wa, x, y, loss=loss), kernels.network_loss(wb, x, y, loss=loss)
    close(torch.stack([ours[0, 0], ours[0, 2], ours[1, 0]]), torch.stack([ends[0][0], ends[1][0], ends[1][1]]),
          8 * torch.finfo(dtype).eps)  # fmt: skip


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_squared_losses_of_linear_networks_do_not_cost_more_with_more_samples(biased, labels):
    """At random networks and at a minimum of zero loss, where products of the data with themselves would lose it."""
    widths = [5, 4, 5, 3]
    weights, biases = stack(2, widths, 0)
    biases = biases if biased else None
    x, y = data(3000, widths, labels=labels)
    options = {"biases": biases, "activation": "linear", "skip": 0.5}
    problem = cpu.Problem(weights, biases, x, y, activation="linear", skip=0.5, losses=("mse",))
    assert problem.reduced and problem.samples.x.shape[1] < 64
    for loss in ("mse", "sse"):
        close(kernels.network_loss(weights, x, y, loss=loss, **options),
              reference.network_loss(weights, x, y, loss=loss, **options), 1e-13)  # fmt: skip
    goal = reference.outputs([w[0] for w in weights], biases and [b[0] for b in biases], x, "linear", 0.5)
    zero, other = kernels.network_loss(weights, x, goal, loss="sse", **options).tolist()
    assert zero < 1e-26 * goal.square().sum() < other


def test_curves_take_any_strides_and_floating_targets():
    widths = [6, 5, 4]
    weights, biases = stack(6, widths, 0)
    weights = [w.unflatten(0, (2, 3)).mT.contiguous().mT for w in weights]
    biases = [b[:1].expand(6, -1).unflatten(0, (2, 3)) for b in biases]
    x, y = data(70, widths, labels=False)
    before = [w.clone() for w in weights]
    ours = kernels.curve_loss(weights, x, y, biases=biases, activation="tanh")
    close(ours, reference.curve_loss(weights, x, y, biases=biases, activation="tanh"), 1e-13)
    assert all(torch.equal(w, b) for w, b in zip(weights, before, strict=True))


def test_networks_are_read_where_they_lie():
    """Ends that take turns in memory, numbers whose signs are flipped when they are read."""
    widths = [6, 17, 4]
    (wa, ba), (wb, bb) = stack(3, widths, 0), stack(3, widths, 1)
    x, y = data(70, widths)
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    expected = reference.path_loss(wa, wb, x, y, t, biases_a=ba, biases_b=bb)
    both = torch.stack([wb[0], wa[0]], dim=-1)
    wa[0], wb[0] = both[..., 1], both[..., 0]
    wa[1] = torch.complex(torch.zeros_like(wa[1]), -wa[1]).conj().imag
    assert wa[1].is_neg()
    close(kernels.path_loss(wa, wb, x, y, t, biases_a=ba, biases_b=bb), expected, 1e-13)


def test_whatever_is_negated_when_it_is_read_counts_so():
    """Weights in gradients, inputs, targets and points whose signs are flipped when they are read."""
    widths = [6, 5, 4]
    (wa, _), (wb, _) = stack(3, widths, 0), stack(3, widths, 1)
    x, y = data(70, widths, labels=False)
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)

    def loss_and_slopes(flip):
        ends = [flip(w).requires_grad_() for w in (*wa, *wb)]
        loss = kernels.path_loss(ends[:2], ends[2:], flip(x), flip(y), flip(t), activation="tanh")
        return loss, *torch.autograd.grad(loss, ends, flip(torch.ones_like(loss)))

    for flipped, plain in zip(
        loss_and_slopes(lambda w: torch._neg_view(-w)), loss_and_slopes(torch.clone), strict=True
    ):
        assert torch.equal(flipped, plain)


def test_empty_stacks_and_paths_without_points():
    weights, biases = stack(0, [3, 4, 2], 0)
    x, y = data(5, [3, 2])
    assert kernels.network_loss(weights, x, y, biases=biases).shape == (0,)
    weights, _ = stack(2, [3, 4, 2], 0)
    assert kernels.path_loss(weights, weights, x, y, x.new_zeros(0)).shape == (2, 0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 1e200])
@pytest.mark.parametrize("activation", errors.ACTIVATIONS)
def test_non_finite_weights_give_what_the_plain_loop_gives_for_that_pair_alone(bad, activation):
    widths = [5, 6, 6, 3]
    (wa, ba), (wb, bb) = stack(4, widths, 0), stack(4, widths, 1)
    x, y = data(40, widths)
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    options = {"biases_a": ba, "biases_b": bb, "activation": activation}
    clean = [kernels.path_loss(wa, wb, x, y, t, loss=loss, **options) for loss in MULTI]
    wb[0][1, 2, 3] = wb[1][2, 0, 1] = bb[2][3, 0] = bad
    for place, loss in enumerate(MULTI):
        ours = kernels.path_loss(wa, wb, x, y, t, loss=loss, **options)
        close(ours, reference.path_loss(wa, wb, x, y, t, loss=loss, **options), 1e-12)
        assert torch.equal(ours[0], clean[place][0])


def test_a_pair_s_bits_do_not_depend_on_the_stack_or_on_threads():
    widths = [8, 12, 5]
    (wa, ba), (wb, bb) = stack(9, widths, 0), stack(9, widths, 1)
    x, y = data(300, widths)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    together = kernels.path_loss(wa, wb, x, y, t, biases_a=ba, biases_b=bb)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        assert torch.equal(together, kernels.path_loss(wa, wb, x, y, t, biases_a=ba, biases_b=bb))
    finally:
        torch.set_num_threads(before)
    for p in range(9):
        one = slice(p, p + 1)
        ends = [[layer[one] for layer in layers] for layers in (wa, wb, ba, bb)]
        alone = kernels.path_loss(*ends[:2], x, y, t[3:5], biases_a=ends[2], biases_b=ends[3])
        assert torch.equal(together[one, 3:5], alone)


@pytest.mark.parametrize("activation", errors.ACTIVATIONS)
@pytest.mark.parametrize("loss", ["mse", "sse", "cross_entropy"])
def test_first_and_second_derivatives(activation, loss):
    widths = [3, 3, 3, 3, 2]
    (wa, ba), (wb, bb) = stack(2, widths, 0), stack(2, widths, 1)
    x, y = data(9, widths)
    t = torch.tensor([[0.3, 0.6], [0.1, 1.0]], dtype=torch.float64)
    tensors = [t, *wa, *wb, *ba, *bb]
    for tensor in tensors:
        tensor.requires_grad_()

    def value(t, *rest):
        layers = [rest[i : i + 4] for i in range(0, 16, 4)]
        options = {"biases_a": layers[2], "biases_b": layers[3], "activation": activation, "skip": 0.5}
        return kernels.path_loss(layers[0], layers[1], x, y, t, loss=loss, **options)

    assert torch.autograd.gradcheck(value, tensors, fast_mode=True)
    if activation in ("tanh", "sigmoid", "gelu"):
        assert torch.autograd.gradgradcheck(value, tensors, fast_mode=True)


@pytest.mark.parametrize("biased", [True, False])
def test_first_and_second_derivatives_by_the_data_and_by_some_tensors_alone(monkeypatch, biased):
    """Of networks one by one and three samples at a time."""
    monkeypatch.setattr(blocks, "SAMPLES", 3)
    monkeypatch.setattr(blocks, "SCRATCH", 1)
    widths = [3, 4, 4, 2]
    (wa, ba), (wb, bb) = stack(2, widths, 0), stack(2, widths, 1)
    x, y = data(7, widths, labels=False)
    t = torch.tensor([0.3, 0.6], dtype=torch.float64, requires_grad=True)
    tensors = [x.requires_grad_(), y.requires_grad_(), wa[1].requires_grad_()]

    def value(x, y, w):
        options = {"biases_a": ba, "biases_b": bb} if biased else {}
        return kernels.path_loss([wa[0], w, wa[2]], wb, x, y, t, activation="tanh", **options)

    assert torch.autograd.gradcheck(value, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(value, tensors, fast_mode=True)

    def mixed(first, second):
        (slope,) = torch.autograd.grad(value(*tensors).sum(), first, create_graph=True)
        return torch.autograd.grad(slope.sum(), second)[0].sum()

    close(mixed(t, wa[1]), mixed(wa[1], t), 1e-11)  # where the first gradient does not need the other tensor


@pytest.mark.parametrize("biased", [True, False])
def test_gradients_of_curves_of_several_losses_at_once(biased):
    widths = [7, 17, 17, 5]
    weights, biases = stack(6, widths, 0)
    leaves = [w.unflatten(0, (2, 3)).requires_grad_() for w in (*weights, *(biases if biased else ()))]
    x, y = data(150, widths)
    slopes = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def gradients(curve_loss, **options):
        values = curve_loss(leaves[:3], x, y, biases=leaves[3:] or None, activation="relu", skip=0.5, **options)
        together = sum((v * s).sum() for v, s in zip(values, slopes, strict=True))
        return torch.autograd.grad(together, leaves)

    names = ("cross_entropy", "error_rate", "sse")
    for ours, plain in zip(gradients(kernels.curve_loss, loss=names), gradients(blocks.curve_loss, losses=names),
                           strict=True):  # fmt: skip
        close(ours, plain, 1e-11, 1e-12)


@pytest.mark.parametrize("activation, loss", [("linear", "mse"), ("relu", "cross_entropy")])
def test_a_loss_evaluated_with_its_gradients_is_the_loss_without(activation, loss):
    weights, biases = stack(6, [4, 6, 6, 3], 0)
    weights[1][2] = torch.inf  # of one point; on the triangular factor, where the loss is squared
    leaves = [w.unflatten(0, (2, 3)).requires_grad_() for w in (*weights, *biases)]
    x, y = data(150, [4, 6, 6, 3])
    options = {"biases": leaves[3:], "activation": activation, "loss": loss}
    with torch.no_grad():
        alone = kernels.curve_loss(leaves[:3], x, y, **options)
    close(kernels.curve_loss(leaves[:3], x, y, **options), alone, 1e-13)
    assert alone.isfinite().sum() == 5


@pytest.mark.parametrize(
    "threads, pairs, parts", [(1, 1, 1), (2, 1, 2), (2, 4, 1), (2, 3, 2), (8, 3, 8), (8, 5, 7), (7, 0, 1)]
)
def test_few_lines_are_parted_among_the_threads(monkeypatch, threads, pairs, parts):
    monkeypatch.setattr(cpu.target, "threads", lambda: threads)
    assert cpu.parts_of(pairs) == parts


def test_very_wide_layers_go_to_a_library(monkeypatch):
    monkeypatch.setattr(cpu, "WIDEST", 6)
    monkeypatch.setattr(cpu, "curve_loss", lambda *args, **options: pytest.fail("on tiles"))
    weights, biases = stack(2, [4, 7, 7, 3], 0)
    x, y = data(20, [4, 3])
    close(
        kernels.network_loss(weights, x, y, biases=biases), reference.network_loss(weights, x, y, biases=biases), 1e-13
    )
    monkeypatch.undo()
    assert cpu.too_wide(weights) is None and cpu.too_wide([weights[0], weights[1].new_zeros(1, 1024, 800)]) is not None


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_operations_of_a_library_take_bounded_scratch(monkeypatch, loss):
    """Whatever the number of pairs, points and samples; and give the same in blocks as at once: derivatives too."""
    widths, pairs, points, bound = [6, 20, 20, 5], 12, 2, 2**19
    (wa, ba), (wb, bb) = stack(pairs, widths, 0), stack(pairs, widths, 1)
    x, y = data(300, widths)
    t = torch.rand(pairs, points, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    curve = [torch.lerp(a[:, None], b[:, None], t.reshape(pairs, points, *[1] * (a.dim() - 1)))
             for a, b in zip((*wa, *ba), (*wb, *bb), strict=True)]  # fmt: skip
    options = {"activation": "gelu", "skip": 0.5, "losses": (loss, "error_rate")}

    def lines(x, t, *ends):
        wa, wb, ba, bb = (ends[i : i + 3] for i in range(0, 12, 3))
        return blocks.path_loss(wa, wb, x, y, t, biases_a=ba, biases_b=bb, **options)

    def curves(x, *layers):
        return blocks.curve_loss(layers[:3], x, y, biases=layers[3:], **options)

    ways = [
        lambda of=of, tensors=tensors, order=order: derivatives(of, tensors, order)
        for of, tensors in ((lines, [x, t, *wa, *wb, *ba, *bb]), (curves, [x, *curve]))
        for order in range(3)
    ]
    at_once = [way() for way in ways]
    together = [peak_bytes(way) for way in ways]
    monkeypatch.setattr(blocks, "SAMPLES", 64)
    monkeypatch.setattr(blocks, "SCRATCH", bound)
    for way, expected, most in zip(ways, at_once, together, strict=True):
        found = []
        taken = peak_bytes(lambda way=way, found=found: found.extend(way()))
        assert taken <= bound + 2 * sum(value.nbytes for value in expected) < most, (taken, most)
        for mine, theirs in zip(found, expected, strict=True):
            close(mine, theirs, 1e-11, 1e-12)


def derivatives(losses, tensors, order):
    """The losses, gradients of the first one's sum, or those of the sum of their squares."""
    tensors = [tensor.detach().requires_grad_(order > 0) for tensor in tensors]
    values = losses(*tensors)
    for again in range(order):
        total = sum((value**2).sum() for value in values) if again else values[0].sum()
        values = torch.autograd.grad(total, tensors, create_graph=again + 1 < order)
    return values


def test_wrong_arguments_are_named():
    weights, _ = stack(2, [5, 4, 3], 0)
    x, y = data(6, [5, 3])
    t = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"weights_b\[1\] has shape \(2, 3, 5\), expected \(2, 3, 4\)"):
        kernels.path_loss(weights, [weights[0], weights[1].new_zeros(2, 3, 5)], x, y, t)
    with pytest.raises(ValueError, match=r"weights\[1\] has shape \(2, 3, 5\) but layer 0 gives 4 features"):
        kernels.network_loss([weights[0], weights[1].new_zeros(2, 3, 5)], x, y)
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        kernels.network_loss(weights, x, y, activation="rellu")
    with pytest.raises(ValueError, match="labels run from 0 to 3, expected 0 … 2"):
        kernels.network_loss(weights, x, torch.arange(6) % 4)
    with pytest.raises(ValueError, match=r"t has shape \(3, 2\), expected \(T,\) or \(2, T\)"):
        kernels.path_loss(weights, weights, x, y, t.new_zeros(3, 2))
