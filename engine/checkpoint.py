"""The user's own networks: from an ``nn.Module`` or a checkpoint file to the engine's stack of one.

What is read is held against the module's own outputs before it is used: a structure that was misunderstood is refused,
never measured.
"""

from __future__ import annotations

import copy
import operator
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.network.fully_connected import Network
from engine.types import Weights
from kernels.errors import ACTIVATIONS, check_choice

AGREEMENT = 1e-4  # relative difference of outputs, float32 rounding over any depth, beyond which a reading is refused
STATE = "a state dictionary saved by torch.save(model.state_dict(), …)"
_F = torch.nn.functional
FUNCTIONS = {
    torch.relu: "relu", _F.relu: "relu", "relu": "relu", "relu_": "relu",
    torch.tanh: "tanh", _F.tanh: "tanh", "tanh": "tanh",
    torch.sigmoid: "sigmoid", _F.sigmoid: "sigmoid", "sigmoid": "sigmoid",
    _F.gelu: "gelu", _F.leaky_relu: "leaky_relu",
}  # fmt: skip
MODULES = {nn.ReLU: "relu", nn.LeakyReLU: "leaky_relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.GELU: "gelu"}
# these change nothing in a network that is evaluated on rows of features
NOTHING = (nn.Flatten, nn.Identity, nn.Dropout)
RESHAPES = (torch.flatten, "flatten", "view", "reshape", "size", getattr, operator.getitem, _F.dropout, "contiguous")


def from_module(module: nn.Module, x: Tensor, loss: str = "mse") -> tuple[Network, Weights]:
    """Read a chain of linear layers and one kind of activation.

    Args:
        module: any module whose forward is such a chain, with or without flattening and dropout.
        x: ``(N, features)`` inputs on which the reading is checked.
        loss: for the network's ``loss_name``.

    Returns:
        The network, and its weights as a float64 stack of one.

    Raises:
        ValueError: the module is something else; names the part that does not fit.
    """
    name = type(module).__name__
    if isinstance(module, nn.Linear):
        module = nn.Sequential(module)  # the tracer does not look at the module itself
    try:
        graph = torch.fx.symbolic_trace(module)
    except Exception as error:  # control flow on values, C extensions: whatever the tracer stumbles over
        raise ValueError(f"{name} cannot be traced by torch.fx ({error}); expected a chain of linear layers") from None
    parts, layers, activations = dict(graph.named_modules()), [], []
    for node in graph.graph.nodes:
        what, at = (parts[node.target], node.target) if node.op == "call_module" else (node.target, node.name)
        if isinstance(what, nn.Linear):
            if len(layers) != len(activations):
                activations.append("linear")
            layers.append(what)
        elif (activation := _activation(what, node, f"{name}.{at}")) is not None:
            if len(layers) != len(activations) + 1:
                raise ValueError(f"{name}.{at} does not stand behind a linear layer; expected one activation each")
            activations.append(activation)
        elif node.op not in ("placeholder", "output") and not isinstance(what, NOTHING) and what not in RESHAPES:
            told = what if isinstance(what, str) else getattr(what, "__name__", type(what).__name__)
            known = ", ".join(kind.__name__ for kind in (nn.Linear, *MODULES))
            raise ValueError(f"{name}.{at} ({told}) cannot be read; expected {known}, flattening and dropout")
    hidden = set(activations[: len(layers) - 1])
    if not layers or len(activations) >= len(layers) or len(hidden) > 1:
        found = f"{len(layers)} linear layers with activations {', '.join(activations) or 'none'}"
        raise ValueError(
            f"{name}: {found}; expected one kind of activation between linear layers and none behind the last"
        )
    activation = hidden.pop() if hidden else "linear"
    network, weights = _network(name, [(part.weight, part.bias) for part in layers], activation, loss)
    _agree(name, network, weights, module, x)
    return network, weights


def _activation(what, node, where: str) -> str | None:
    if isinstance(what, nn.LeakyReLU) and what.negative_slope != 0.01:
        raise ValueError(f"{where} has slope {what.negative_slope}, expected 0.01, that of leaky_relu here")
    if isinstance(what, nn.GELU) and what.approximate != "none":
        raise ValueError(f"{where} has approximate={what.approximate!r}, expected 'none', the exact one")
    if isinstance(what, nn.Module):
        return MODULES.get(type(what))
    return FUNCTIONS.get(what) if node.op in ("call_function", "call_method") else None


def _agree(name: str, network: Network, weights: Weights, module: nn.Module, x: Tensor) -> None:
    """Refuse a reading that gives other outputs than the module.

    Raises:
        ValueError: it does, or ``x`` is not what it reads.
    """
    if x.shape[1] != network.widths[0]:
        raise ValueError(f"x has {x.shape[1]} features, {name} reads {network.widths[0]}")
    parameter, training = next(module.parameters()), module.training
    if parameter.dtype in (torch.float16, torch.bfloat16):  # their own rounding would hide a difference
        module = copy.deepcopy(module).float()
    module.eval()
    with torch.no_grad():
        theirs = module(x.to(parameter.device, next(module.parameters()).dtype)).double().cpu()
    module.train(training)
    ours = network.outputs(weights, x.cpu().double())[0]
    if theirs.shape != ours.shape or not float((theirs - ours).abs().max()) <= AGREEMENT * float(ours.abs().max()):
        raise ValueError(
            f"{name} computes something else than its linear layers and activations say; it cannot be read"
        )


def from_state(state: Mapping[str, Tensor], activation: str, where: str, loss: str = "mse") -> tuple[Network, Weights]:
    """Read a state dictionary: two-axis ``….weight`` entries are the layers, in their order, ``….bias`` beside them.

    Raises:
        ValueError: the entries do not chain; names the entry and its shape.
    """
    check_choice(where, "activation", activation, ACTIVATIONS)
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}
    names = [key for key in tensors if key.endswith("weight")]
    odd = [key for key in names if tensors[key].dim() != 2 or 0 in tensors[key].shape]
    if odd or not names:
        found = f"{odd[0]} has shape {tuple(tensors[odd[0]].shape)}" if odd else "no weights"
        raise ValueError(f"{where}: {found}; expected linear layers' weights (d_out, d_in) only")
    layers = [(tensors[key], tensors.get(key.removesuffix("weight") + "bias")) for key in names]
    for key, parameter in zip(names, layers, strict=True):
        _check_layer(where, key, *parameter)
    for before, after, (left, _), (right, _) in zip(names, names[1:], layers, layers[1:], strict=False):
        if right.shape[1] != left.shape[0]:
            raise ValueError(
                f"{where}: {after} has shape {tuple(right.shape)} but {before} gives {left.shape[0]} features; "
                f"expected ({right.shape[0]}, {left.shape[0]})"
            )
    return _network(where, layers, activation, loss)


def _check_layer(where: str, key: str, weight: Tensor, bias: Tensor | None) -> None:
    """Refuse what is no matrix or vector of real numbers.

    Raises:
        ValueError: a parameter is sparse, quantized or complex, or the bias has another length than the layer.
    """
    for name, value in ((key, weight), (key.removesuffix("weight") + "bias", bias)):
        if value is not None and (value.layout != torch.strided or value.is_quantized or value.is_complex()):
            kind = str(value.dtype if value.layout == torch.strided else value.layout).removeprefix("torch.")
            raise ValueError(f"{where}: {name} is {kind}, expected real numbers, each of them stored")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"{where}: the bias of {key} has shape {tuple(bias.shape)}, expected {tuple(weight.shape[:1])}"
        )


def from_file(path: str | Path, activation: str, loss: str = "mse") -> tuple[Network, Weights]:
    """Read a checkpoint saved by ``torch.save``; only tensors and plain containers are loaded, never code.

    Raises:
        ValueError: it is no such file, or holds more than weights.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected {STATE}")
    try:
        with warnings.catch_warnings(action="ignore"):  # the sentence below says it
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling, zip and OS errors alike
        raise ValueError(f"{path}: {_found(error)}; expected {STATE}") from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping):
        raise ValueError(f"{path}: holds a {type(state).__name__}, expected {STATE}")
    return from_state(state, activation, str(path), loss)


def _found(error: Exception) -> str:
    """What is in a file that is not tensors in plain containers, from torch's words about it."""
    if match := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
        return f"holds a pickled {match.group(1)}"
    if "TorchScript" in str(error):
        return "holds a TorchScript program"
    if isinstance(error, PermissionError):
        return "cannot be read"
    return "is damaged or not of torch.save"


def _network(where: str, layers, activation: str, loss: str) -> tuple[Network, Weights]:
    for i, parameters in enumerate(layers, start=1):
        bad = sum(int((~parameter.isfinite()).sum()) for parameter in parameters if parameter is not None)
        if bad:
            raise ValueError(f"{where}: {bad} weights of layer {i} are NaN or infinite, expected finite numbers")
    weights = tuple(weight.detach().cpu().double()[None] for weight, _ in layers)
    with_bias = any(bias is not None for _, bias in layers)
    biases = tuple(
        (torch.zeros(weight.shape[0]) if bias is None else bias.detach().cpu()).double()[None]
        for weight, bias in layers
    )
    widths = (layers[0][0].shape[1], *(weight.shape[0] for weight, _ in layers))
    return Network(widths, activation, 0.0, with_bias, loss), Weights(weights, biases if with_bias else None)
