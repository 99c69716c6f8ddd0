"""What alignment undoes: planted permutations and rescalings, alone and together."""

import pytest
import stacks
import torch

from engine import align


def moved(net, weights, *names, seed=3):
    """Images under random elements of each named group, one per network."""
    draw = torch.Generator().manual_seed(seed)
    for name in names:
        group = stacks.groups(net)[name]
        elements = [group.random(draw) for _ in range(len(weights))]
        weights = group.act(tuple(map(torch.cat, zip(*elements, strict=True))), weights)
    return weights


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (("permutation",), "permutation"),
        (("rescaling",), "rescaling"),
        (("rescaling", "permutation"), "both"),
        (("permutation", "rescaling"), "both"),
    ],
    ids=str,
)
@pytest.mark.parametrize("activation", ["relu", "relu_squared"])
def test_planted_elements_are_undone(activation, planted, kind, depth, bias):
    net = stacks.network(depth, 8, activation, bias=bias)
    a = stacks.stack(net, 4)
    b = moved(net, a, *planted)
    assert float(a.distance(b).min()) > 1
    found = align.aligned(kind, stacks.groups(net), a, b)
    assert float(a.distance(found).max()) < 1e-6


def test_one_alignment_alone_does_not_undo_both():
    net = stacks.network(3, 8, "relu")
    a = stacks.stack(net, 4)
    b = moved(net, a, "rescaling", "permutation")
    for kind in ("permutation", "rescaling"):
        assert float(a.distance(align.aligned(kind, stacks.groups(net), a, b)).min()) > 1e-2


@pytest.mark.parametrize("kind", ["permutation", "rescaling", "both"])
def test_alignment_never_changes_the_function(kind):
    net = stacks.network(4, 6, "leaky_relu")
    a, b = stacks.stack(net, 3, seed=0), stacks.stack(net, 3, seed=1)
    x = stacks.split(net).x
    aligned = align.aligned(kind, stacks.groups(net), a, b)
    torch.testing.assert_close(net.outputs(aligned, x), net.outputs(b, x), rtol=1e-10, atol=1e-11)
    assert not torch.equal(aligned.layers[0], b.layers[0])


def test_a_pair_is_aligned_as_if_it_were_alone():
    net = stacks.network(4, 6, "relu")
    a, b = stacks.stack(net, 5, seed=0), stacks.stack(net, 5, seed=1)
    whole = align.aligned("both", stacks.groups(net), a, b)
    alone = align.aligned("both", stacks.groups(net), a[2:3], b[2:3])
    torch.testing.assert_close(whole[2:3].layers[1], alone.layers[1], rtol=1e-12, atol=1e-14)


def test_where_an_alignment_does_not_apply():
    groups = stacks.groups(stacks.network(3, 6, "tanh"))
    assert align.reason("permutation", groups) is None
    assert "tanh is not positively homogeneous" in align.reason("rescaling", groups)
    assert "tanh is not positively homogeneous" in align.reason("both", groups)


def test_balanced_networks_satisfy_the_balance():
    """‖incoming‖² + b² = k ‖outgoing‖² at every unit (what weight decay asks of a critical point)."""
    for activation, k in (("relu", 1), ("relu_squared", 2)):
        net = stacks.network(4, 6, activation)
        group, weights = stacks.groups(net)["rescaling"], stacks.stack(net, 3)
        balanced = group.act(group.balance(weights), weights)
        for i in range(3):
            incoming = balanced.layers[i].square().sum(-1) + balanced.biases[i].square()
            torch.testing.assert_close(incoming, k * balanced.layers[i + 1].square().sum(-2), rtol=1e-10, atol=0)
        assert (balanced.squared_norm() < weights.squared_norm()).all()
