"""Minima: exact ones have no loss and no gradient, trained ones say how far they came."""

import pytest
import stacks
import torch

from engine.data import regression, teacher
from engine.minima import exact, trained
from engine.types import Architecture, Data, Split


def find(config, net, data, count, seed=0):
    generators = [torch.Generator().manual_seed(seed + i) for i in range(count)]
    return config.find(net, stacks.block(net, count), data, generators, stacks.groups(net))


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("shape", [(2, 4, 4, 4, 4), (3, 4, 4, 4, 4), (4, 3, 5, 6, 4), (3, 5, 2, 30, 4)], ids=str)
def test_exact_minima_of_linear_networks(shape, bias):
    """Prop. 4.1 for square layers; [Y X⁺ X]_r X⁺ of Trager, Kohn, Bruna 2020 for any."""
    depth, inputs, width, samples, outputs = shape
    net = stacks.network(depth, width, "linear", bias=bias, loss="sse", inputs=inputs, outputs=outputs)
    config = regression.Config(samples=samples, inputs=inputs, outputs=outputs)
    data = config.draw(Architecture(depth, width, "linear", 0.0), 0, net)
    found = find(exact.Config(), net, data, 5)
    (loss,) = net.loss(found.weights, data.train, ("sse",))
    x, y = data.train.x, data.train.y
    if bias:
        x, y = x - x.mean(0), y - y.mean(0)
    fitted = x @ torch.linalg.pinv(x) @ y
    best = torch.linalg.svdvals(fitted)[min(net.widths) :].square().sum() + (y - fitted).square().sum()  # Eckart-Young
    torch.testing.assert_close(loss, best.expand(5), rtol=1e-9, atol=1e-20 * float(y.square().sum()))
    assert found.grad_norm.max() < 1e-9 * float(y.square().sum())
    assert not torch.equal(found.weights.layers[0][0], found.weights.layers[0][1])


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear", "relu_squared"])
def test_exact_minima_of_teacher_data_lie_on_the_teachers_orbit(activation):
    net = stacks.network(3, 6, activation, inputs=16, outputs=4)
    data = teacher.Config(samples=40).draw(Architecture(3, 6, activation, 0.0), 0, net)
    found = find(exact.Config(), net, data, 4)
    (loss,) = net.loss(found.weights, data.train, ("mse",))
    assert float(loss.max()) < 1e-24
    assert float(found.weights.distance(data.teacher).min()) > 0.1  # and are not the teacher itself


def test_what_has_no_closed_form_is_refused():
    net = stacks.network(3, 6, "relu")
    assert "data=teacher" in exact.Config().reason(net, regression.Config(), 0.0)
    assert exact.Config().reason(stacks.network(3, 6, "linear"), regression.Config(), 0.0) is None
    assert exact.Config().reason(net, teacher.Config(), 0.0) is None
    assert "weight_decay=0.1" in exact.Config().reason(net, teacher.Config(), 0.1)


def test_trained_minima_say_how_far_they_came():
    net = stacks.network(2, 8, "tanh", inputs=4, outputs=3)
    split = stacks.split(net, 60, labels=False)
    near = find(trained.Config(steps=400, learning_rate=0.02), net, Data(split, None, 3), 3)
    far = find(trained.Config(steps=5, learning_rate=0.02), net, Data(split, None, 3), 3)
    (loss_near,), (loss_far,) = (net.loss(found.weights, split, ("mse",)) for found in (near, far))
    assert (loss_near < 0.8 * loss_far).all() and (near.grad_norm < 0.3 * far.grad_norm).all()
    assert far.steps.tolist() == [5, 5, 5] and not far.reached.any()
    slopes = torch.autograd.functional.jacobian(
        lambda *parameters: net.loss(type(near.weights)(parameters[:2], parameters[2:]), split, ("mse",))[0].sum(),
        near.weights.parameters,
    )
    norm = torch.stack([slope.flatten(1).square().sum(1) for slope in slopes]).sum(0).sqrt()
    torch.testing.assert_close(near.grad_norm, norm)  # λ = 0: no penalty


def test_a_training_that_diverges_is_recorded_with_its_reason():
    net = stacks.network(3, 6, "relu_squared")
    split = stacks.split(net)
    wild = Split(split.x * 1e80, split.y)
    found = find(trained.Config(steps=3, optimizer="sgd", learning_rate=1e3), net, Data(wild, None, 3), 2)
    assert found.reasons == ["the training did not stay finite"] * 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"optimizer": "lbfgs"}, "adam, sgd"),
        ({"learning_rate": 0}, "above 0"),
        ({"momentum": 1.0}, "below 1"),
        ({"steps": -1}, "0 or more"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_options_out_of_range(options, word):
    with pytest.raises(ValueError, match=word):
        trained.Config(**options)
