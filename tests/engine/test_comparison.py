"""Two networks of the user's own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stacks
import torch
from torch import nn

import engine
from engine import checkpoint, comparison
from engine.network.fully_connected import Network
from engine.types import Weights

ROOT = str(Path(__file__).resolve().parents[2])


class Functional(nn.Module):
    """As people write them: layers as attributes, activations as functions."""

    def __init__(self, act):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 7), nn.Linear(7, 6, bias=False), nn.Linear(6, 3)
        self.act = act

    def forward(self, x):
        x = torch.flatten(x, 1)
        return self.three(self.act(self.two(self.act(self.one(x)))))


def sequential(kind=nn.ReLU, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(4, 9), kind(), nn.Dropout(0.5), nn.Linear(9, 9), kind(), nn.Linear(9, 3)
    )


def data(samples=80):
    draw = torch.Generator().manual_seed(5)
    return torch.randn(samples, 4, generator=draw), torch.randint(0, 3, (samples,), generator=draw)


MODULES = [
    sequential(), sequential(nn.Tanh), sequential(nn.GELU), sequential(nn.LeakyReLU), sequential(nn.Identity),
    Functional(torch.relu), Functional(nn.functional.gelu), Functional(lambda z: z.sigmoid()), nn.Linear(4, 3),
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_a_module_is_read_as_the_function_it_is(module):
    x, _ = data()
    module = module.double().eval()
    network, weights = checkpoint.from_module(module, x)
    torch.testing.assert_close(network.outputs(weights, x.double())[0], module(x.double()), rtol=1e-12, atol=1e-13)


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return 2 * self.layer(x)


class Shared(nn.Module):
    """A residual sum hidden in a reshape the tracer lets pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x).view(2, -1).flip(0).view(-1, 4)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Doubled(), ["Doubled", "mul"]),
        (Shared(), ["Shared", "flip"]),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), ["BatchNorm1d", "expected Linear, ReLU"]),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)), ["relu, tanh", "one"]),
        (nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(0.2), nn.Linear(3, 3)), ["Sequential.1", "slope 0.2"]),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), ["none behind the last"]),
        (nn.Sequential(nn.Flatten()), ["0 linear layers"]),
    ],
    ids=["product", "flip", "norm", "mixed", "slope", "end", "nothing"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(module, words):
    with pytest.raises(ValueError, match=r"expected|cannot be read") as refused:
        checkpoint.from_module(module, data()[0])
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_to_its_last_bit(dtype):
    """The rounding of the module's own arithmetic says nothing of how it was read."""
    module = nn.Sequential(nn.Linear(4, 30), nn.GELU(), nn.Linear(30, 3)).to(dtype)
    network, weights = checkpoint.from_module(module, data()[0])
    assert network.activation == "gelu" and next(module.parameters()).dtype == dtype
    assert torch.equal(weights.layers[0][0], module[0].weight.double())


def test_weights_that_are_not_finite_are_refused_by_layer():
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
    module[2].bias.data[1] = torch.inf
    with pytest.raises(ValueError, match="Sequential: 1 weights of layer 2 are NaN or infinite"):
        checkpoint.from_module(module, data()[0])
    with pytest.raises(ValueError, match=r"a\.pt: 1 weights of layer 2"):
        checkpoint.from_state(module.state_dict(), "relu", "a.pt")


def as_module(network: Network, weights: Weights) -> nn.Module:
    parts = []
    for layer, bias in zip(weights.layers, weights.biases, strict=True):
        part = nn.Linear(layer.shape[-1], layer.shape[-2]).double()
        part.weight.data, part.bias.data = layer[0].clone(), bias[0].clone()
        parts += [part, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


@pytest.fixture
def twins():
    """Two networks that are one up to a permutation and a rescaling, and data on which they are right."""
    net = stacks.network(3, 8, "relu")
    a, groups, draw = stacks.stack(net, 1), stacks.groups(net), torch.Generator().manual_seed(2)
    b = a
    for name in ("permutation", "rescaling"):
        b = groups[name].act(groups[name].random(draw), b)
    x, _ = data()
    return as_module(net, a), as_module(net, b), x, net.outputs(a, x.double())[0].argmax(1)


def test_a_hidden_symmetry_is_found_and_said(twins):
    found = engine.compare(*twins)
    assert found["none"]["barrier"] > 0.05 and found["none"]["error_rate"].max() > 0
    assert found["both"]["barrier"] < 1e-9 and found["both"]["distance"] < 1e-6
    assert "the same up to permutation and rescaling" in str(found)


def test_unrelated_networks_keep_a_barrier():
    x, y = data()
    found = engine.compare(sequential(seed=0), sequential(seed=1), x.numpy(), y.numpy())
    assert [row["alignment"] for row in found.rows] == ["none", "permutation", "rescaling", "both"]
    assert found["both"]["distance"] > 0.1 * found.norm
    loss = nn.functional.cross_entropy(sequential(seed=0).eval()(x), y).detach()
    assert found["none"]["loss_a"] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("curve", ["bezier", "polygonal"])
def test_a_learned_curve_goes_below_the_line_between_the_two_as_they_are(curve, twins):
    found = engine.compare(*twins, curve=curve, bends=2, steps=60)
    line, row = found["none"], found.curve
    assert (row["path"], row["alignment"], row["distance"]) == (curve, "none", line["distance"])
    assert (row["loss_a"], row["loss_b"]) == pytest.approx((line["loss_a"], line["loss_b"]), rel=1e-12)
    assert row["barrier"] < 0.5 * line["barrier"] and len(found.lines) == 4
    assert f"On a {curve} curve" in str(found) and engine.compare(*twins).curve is None


def test_alignments_that_do_not_apply_are_named():
    found = engine.compare(sequential(nn.Tanh, 0), sequential(nn.Tanh, 1), *data())
    assert list(found.reasons) == ["rescaling", "both"] and "tanh" in str(found)
    found = engine.compare(MODULES[-1], nn.Linear(4, 3), *data())
    assert list(found.reasons) == ["permutation", "rescaling", "both"]
    assert "has no barrier; they are" in found.verdict  # a convex loss, and nothing to align


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_b": nn.Linear(4, 3)}, ["(4, 9, 9, 3)", "(4, 3)"]),
        ({"x": data()[0][:, :3]}, ["3 features"]),
        ({"x": data()[0] * float("nan")}, ["x", "NaN"]),
        ({"model_a": "missing.pt"}, ["missing.pt", "activation"]),
        ({"y": data()[1] + 5}, ["labels run from 5 to 7"]),
        ({"loss": "error_rate"}, ["loss=error_rate", "mse, sse, cross_entropy"]),
        ({"curve": "spline"}, ["curve=spline", "bezier, polygonal"]),
        ({"curve": "bezier", "bends": 0}, ["bends=0", "at least 1"]),
    ],
    ids=["architecture", "features", "nan", "activation", "labels", "loss", "curve", "bends"],
)
def test_what_does_not_fit_is_said(change, words):
    x, y = data()
    given = {"model_a": sequential(), "model_b": sequential(seed=1), "x": x, "y": y} | change
    with pytest.raises((ValueError, RuntimeError)) as refused:
        engine.compare(given.pop("model_a"), given.pop("model_b"), **given)
    for word in words:
        assert word in str(refused.value)


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    x, y = data()
    for name, seed in (("a", 0), ("b", 1)):
        torch.save({"state_dict": sequential(seed=seed).state_dict()}, tmp_path / f"{name}.pt")
    np.savez(tmp_path / "d.npz", x=x.numpy(), y=y.numpy())

    options = ["--data", "d.npz", "--activation", "relu"]
    command = [sys.executable, "-m", "engine.comparison", "a.pt", "b.pt", *options]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    good = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert good.returncode == 0 and "permutation" in good.stdout and "barrier" in good.stdout
    monkeypatch.chdir(tmp_path)
    assert comparison.main(["a.pt", "c.pt", *options]) == 2
    words = "c.pt: no such file, expected a state dictionary saved by torch.save(model.state_dict(), …)"
    assert capsys.readouterr().err == f"error: {words}\n"


STATE = sequential().state_dict()


@pytest.mark.parametrize(
    ("saved", "found"),
    [
        (sequential(), "holds a pickled torch.nn.modules.container.Sequential; expected a state dictionary saved by"),
        (b"", "is damaged or not of torch.save; expected a state dictionary saved by torch.save(model.state_dict()"),
        ([torch.ones(2, 2)], "holds a list, expected a state dictionary saved by torch.save(model.state_dict(), …)"),
        ({1: torch.ones(2, 2)}, "no weights; expected linear layers' weights (d_out, d_in) only"),
        ({"1.weight": torch.ones(0, 4)}, "1.weight has shape (0, 4); expected linear layers' weights (d_out, d_in)"),
        (STATE | {"4.weight": STATE["4.weight"].to_sparse()}, "4.weight is sparse_coo, expected real numbers"),
        (STATE | {"4.bias": STATE["4.bias"] + 1j}, "4.bias is complex64, expected real numbers"),
        (STATE | {"4.bias": torch.ones(2)}, "the bias of 4.weight has shape (2,), expected (9,)"),
    ],
    ids=["module", "empty", "list", "numbers", "width", "sparse", "complex", "bias"],
)
def test_a_checkpoint_that_is_no_state_dictionary(saved, found, tmp_path):
    """What is no tensor is not run, and the sentence is one."""
    path = tmp_path / "a.pt"
    path.write_bytes(saved) if isinstance(saved, bytes) else torch.save(saved, path)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {found}")) as refused:
        checkpoint.from_file(path, "relu")
    assert str(refused.value).isprintable()
