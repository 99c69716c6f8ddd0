"""Every argument check of the kernels, each message written once.

A message says where, what was given, what is expected: ``path_loss: weights_b[1] has shape (3, 5, 4), expected …``.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

ACTIVATIONS = ("linear", "relu", "leaky_relu", "relu_squared", "tanh", "sigmoid", "gelu")
LOSSES = ("mse", "sse", "cross_entropy", "error_rate")
PRECISIONS = ("3xtf32", "ieee", "tf32")  # of float32 on a GPU; the first is the default
LABEL_LOSSES = ("cross_entropy", "error_rate")


class NoPrincipalLogarithm(ValueError):
    """Some matrices of a batch have no real principal logarithm.

    Attributes:
        indices: ``(K, batch axes)`` int64, the entries that have none.
    """

    def __init__(self, message: str, indices: Tensor):
        super().__init__(message)
        self.indices = indices

    def __reduce__(self):
        return type(self), (self.args[0], self.indices)


def refuse_entries(where: str, none: Tensor, why: str, instead: str) -> None:
    """Raise if any entry of ``none`` ``(*batch,)`` bool is set.

    Raises:
        NoPrincipalLogarithm: names the first entries.
    """
    if not none.any():
        return
    indices = torch.nonzero(none)
    named = ", ".join(str(tuple(index)) for index in indices[:5].tolist()) + (", …" if len(indices) > 5 else "")
    which = f"{len(indices)} of {none.numel()} matrices, at {named}, have" if none.dim() else "the matrix has"
    raise NoPrincipalLogarithm(f"{where}: {which} {why}; {instead}", indices)


def check_square(where: str, name: str, a: Tensor) -> None:
    """Refuse what is not a batch of square matrices in float32 or float64.

    Raises:
        TypeError: no tensor, or another dtype.
        ValueError: not square.
    """
    if not isinstance(a, Tensor):
        raise TypeError(f"{where}: {name} is a {type(a).__name__}, expected a tensor")
    if a.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{where}: {name} is {a.dtype}, expected torch.float32 or torch.float64")
    if a.dim() < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"{where}: {name} has shape {tuple(a.shape)}, expected (..., n, n)")


def check_choice(where: str, option: str, given: object, choices: Sequence[str]) -> None:
    """Refuse a name that is not among ``choices``.

    Raises:
        ValueError: names the option, the nearest choice and all choices.
    """
    if given not in choices:
        near = get_close_matches(str(given), choices, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{where}: {option}={given!r} is unknown, expected one of {', '.join(choices)}.{hint}")


def check_floating(
    where: str, name: str, tensor: Tensor, dtype: torch.dtype, device: torch.device, other: str = "the first weight"
) -> None:
    """Refuse a tensor whose dtype or device differs from that of the argument ``other``.

    Raises:
        TypeError: ``tensor`` is no tensor.
        ValueError: names the argument, what it has and what is expected.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{where}: {name} is a {type(tensor).__name__}, expected a tensor")
    if tensor.dtype != dtype or tensor.device != device:
        raise ValueError(
            f"{where}: {name} is {tensor.dtype} on {tensor.device}, expected {dtype} on {device} as {other}"
        )


def check_chain(
    where: str,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor] | None,
    x: Tensor,
    *,
    names: tuple[str, str] = ("weights", "biases"),
    axes: int = 1,
) -> list[int]:
    """Check that the layers of a stack of networks fit each other and the data.

    Args:
        where: the public function, for the message.
        weights: layer i ``(*batch, d_{i+1}, d_i)``; ``batch`` has ``axes`` axes, the same for all layers.
        biases: layer i ``(*batch, d_{i+1})``, or None.
        x: ``(N, d_0)``.
        names: what the caller calls its weights and biases.
        axes: 1 for ``(P,)``, 2 for ``(P, T)``.

    Returns:
        The widths ``[d_0, …, d_l]``.

    Raises:
        TypeError: an argument is no tensor, or not floating.
        ValueError: names the layer and both shapes.
    """
    weight, bias = names
    if len(weights) == 0:
        raise ValueError(f"{where}: {weight} is empty, expected one tensor per layer")
    first = weights[0]
    if not isinstance(first, Tensor):
        raise TypeError(f"{where}: {weight}[0] is a {type(first).__name__}, expected a tensor")
    if not first.is_floating_point():
        raise TypeError(f"{where}: {weight}[0] is {first.dtype}, expected a floating dtype")
    check_floating(where, "x", x, first.dtype, first.device)
    if x.dim() != 2:
        raise ValueError(f"{where}: x has shape {tuple(x.shape)}, expected (N, d_0)")
    if x.shape[0] == 0:
        raise ValueError(f"{where}: x has shape {tuple(x.shape)}, expected at least one sample")
    if first.dim() != axes + 2:
        form = "(P, d_1, d_0)" if axes == 1 else "(P, T, d_1, d_0)"
        raise ValueError(f"{where}: {weight}[0] has shape {tuple(first.shape)}, expected {form}")
    batch = tuple(first.shape[:axes])
    widths = [x.shape[1]]
    for i, layer in enumerate(weights):
        check_floating(where, f"{weight}[{i}]", layer, first.dtype, first.device)
        given = tuple(layer.shape)
        if len(given) != axes + 2 or given[:axes] != batch or given[-1] != widths[-1]:
            out = given[-2] if len(given) == axes + 2 else f"d_{i + 1}"
            source = "x gives" if i == 0 else f"layer {i - 1} gives"
            wanted = ", ".join(map(str, (*batch, out, widths[-1])))
            raise ValueError(
                f"{where}: {weight}[{i}] has shape {given} but {source} {widths[-1]} features; expected ({wanted})"
            )
        widths.append(given[-2])
    if biases is not None:
        if len(biases) != len(weights):
            raise ValueError(f"{where}: {bias} has {len(biases)} layers, expected {len(weights)} as {weight}")
        for i, layer in enumerate(biases):
            check_floating(where, f"{bias}[{i}]", layer, first.dtype, first.device)
            wanted = (*batch, widths[i + 1])
            if tuple(layer.shape) != wanted:
                raise ValueError(f"{where}: {bias}[{i}] has shape {tuple(layer.shape)}, expected {wanted}")
    return widths


def check_same_shapes(where: str, name_a: str, a: Sequence[Tensor] | None, name_b: str, b: Sequence[Tensor] | None):
    """Refuse two lists of layers that differ in number, shape, dtype or device.

    Raises:
        ValueError: names the layer and both shapes.
    """
    if (a is None) != (b is None):
        given, missing = (name_a, name_b) if b is None else (name_b, name_a)
        raise ValueError(f"{where}: {given} was given without {missing}, expected both or neither")
    if a is None or b is None:
        return
    if len(a) != len(b):
        raise ValueError(f"{where}: {name_b} has {len(b)} layers, expected {len(a)} as {name_a}")
    for i, (left, right) in enumerate(zip(a, b, strict=True)):
        check_floating(where, f"{name_b}[{i}]", right, left.dtype, left.device)
        if left.shape != right.shape:
            raise ValueError(
                f"{where}: {name_b}[{i}] has shape {tuple(right.shape)}, expected {tuple(left.shape)} as {name_a}[{i}]"
            )


def check_units(where: str, name: str, layers: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    """Refuse what is not one number for each hidden unit, ``(P, d_{i+1})`` for layer i of the weights but the last.

    Raises:
        ValueError: names the layer and both shapes.
    """
    if len(layers) != len(weights) - 1:
        raise ValueError(f"{where}: {name} has {len(layers)} layers, expected {len(weights) - 1}, one per hidden layer")
    for i, (layer, weight) in enumerate(zip(layers, weights, strict=False)):
        check_floating(where, f"{name}[{i}]", layer, weight.dtype, weight.device)
        if layer.shape != weight.shape[:-1]:
            given, wanted = tuple(layer.shape), tuple(weight.shape[:-1])
            raise ValueError(
                f"{where}: {name}[{i}] has shape {given}, expected {wanted}, the hidden units of layer {i}"
            )


def check_homogeneous(where: str, activation: str, homogeneous: Sequence[str]) -> None:
    """Refuse an activation of which rescaling is no symmetry.

    Raises:
        ValueError: names those that are allowed.
    """
    if activation not in homogeneous:
        names = ", ".join(homogeneous)
        raise ValueError(f"{where}: activation={activation!r} is not positively homogeneous, expected one of {names}")


def check_targets(where: str, x: Tensor, y: Tensor, outputs: int, loss: str) -> None:
    """Check that targets fit the data, the last layer and the loss.

    Args:
        where: the public function, for the message.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` floating, or ``(N,)`` integer class labels.
        outputs: ``d_l``.
        loss: a name of ``LOSSES``.

    Raises:
        TypeError: ``y`` is no tensor.
        ValueError: names what was given and what is expected.
    """
    if not isinstance(y, Tensor):
        raise TypeError(f"{where}: y is a {type(y).__name__}, expected a tensor")
    if y.device != x.device:
        raise ValueError(f"{where}: y is on {y.device}, expected {x.device} as x")
    samples = x.shape[0]
    if y.is_floating_point():
        if loss in LABEL_LOSSES:
            raise ValueError(f"{where}: loss={loss!r} needs integer labels of shape (N,), y is {y.dtype}")
        if y.dtype != x.dtype:
            raise ValueError(f"{where}: y is {y.dtype}, expected {x.dtype} as x, or integer labels")
        if tuple(y.shape) != (samples, outputs):
            raise ValueError(f"{where}: y has shape {tuple(y.shape)}, expected {(samples, outputs)}")
        return
    if y.dtype == torch.bool or y.is_complex():
        raise ValueError(f"{where}: y is {y.dtype}, expected floating targets or integer labels")
    if tuple(y.shape) != (samples,):
        raise ValueError(f"{where}: integer y has shape {tuple(y.shape)}, expected ({samples},)")
    _check_labels(where, y, outputs)


_RANGES = WeakIdKeyDictionary()  # of label tensors: their version when it was read, least and greatest label


def _remembered_range(y: Tensor) -> tuple[int, int]:
    """Least and greatest label, read once for each tensor and again only after it was written to."""
    version = None if y.is_inference() else y._version
    known = _RANGES.get(y)
    if known is None or version is None or known[0] != version:
        known = _RANGES[y] = (version, int(y.min()), int(y.max()))
    return known[1:]


def _check_labels(where: str, y: Tensor, classes: int) -> None:
    # a GPU would be waited for at every call; on a CPU a view of a NumPy array changes without a new version
    low, high = _remembered_range(y) if y.is_cuda else (int(y.min()), int(y.max()))
    if low < 0 or high >= classes:
        raise ValueError(
            f"{where}: labels run from {low} to {high}, expected 0 … {classes - 1}, the last layer's width"
        )
