"""Losses of stacks of networks: at a point, on straight lines, on any curve."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import errors, target
from . import blocks, cpu
from .reference import DEGREE

log = logging.getLogger(__name__)


@functools.cache
def _say_once(reason: str) -> None:
    log.info("path_loss: PyTorch in place of compiled kernels: %s", reason)


def _implementation(name: str, precision: str | None, weights: Sequence[Tensor], x: Tensor, y: Tensor):
    """The function ``name`` that evaluates these networks on these data."""
    precision = precision or errors.PRECISIONS[0]
    errors.check_choice(name, "precision", precision, errors.PRECISIONS)
    if torch.is_grad_enabled() and (x.requires_grad or y.requires_grad):
        return getattr(blocks, name)
    reason = target.gpu_missing(x.device) if x.is_cuda else cpu.unfit(x) or cpu.too_wide(weights)
    if reason:
        _say_once(reason)
        return getattr(blocks, name)
    if x.is_cuda:
        from . import gpu  # needs Triton

        return functools.partial(getattr(gpu, name), precision=precision)
    return getattr(cpu, name)


def _names(where: str, loss: str | Sequence[str]) -> tuple[str, ...]:
    names = (loss,) if isinstance(loss, str) else tuple(loss)
    for name in names:
        errors.check_choice(where, "loss", name, errors.LOSSES)
    return names


def _checked(where, weights, biases, x, y, activation, losses, names=("weights", "biases"), axes=1) -> None:
    errors.check_choice(where, "activation", activation, errors.ACTIVATIONS)
    widths = errors.check_chain(where, weights, biases, x, names=names, axes=axes)
    for loss in losses:
        errors.check_targets(where, x, y, widths[-1], loss)


def curve_loss(
    weights: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    *,
    biases: Sequence[Tensor] | None = None,
    activation: str = "relu",
    skip: float = 0.0,
    loss: str | Sequence[str] = "mse",
    precision: str | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """Loss at every point of ``P`` curves given by explicit weights.

    Args:
        weights: layer i ``(P, T, d_{i+1}, d_i)``, floating, any device; not modified.
        x: ``(N, d_0)``, dtype and device of the weights.
        y: ``(N, d_l)`` like ``x``, or ``(N,)`` integer labels.
        biases: layer i ``(P, T, d_{i+1})``, or None.
        activation: a name of ``errors.ACTIVATIONS``; hidden layers only.
        skip: ε of Zhao et al. 2025, section 4.3; 0 for none.
        loss: a name of ``errors.LOSSES``, or several: then a tuple is returned, from one pass over the data.
        precision: what a GPU does to float32: ``"3xtf32"`` (default), ``"ieee"`` or ``"tf32"``; CPUs ignore it.

    Returns:
        ``(P, T)``, dtype and device of the weights; differentiable.
    """
    losses = _names("curve_loss", loss)
    _checked("curve_loss", weights, biases, x, y, activation, losses, axes=2)
    values = _implementation("curve_loss", precision, weights, x, y)(
        weights, x, y, biases=biases, activation=activation, skip=skip, losses=losses
    )
    return values[0] if isinstance(loss, str) else tuple(values)


def network_loss(
    weights: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    *,
    biases: Sequence[Tensor] | None = None,
    activation: str = "relu",
    skip: float = 0.0,
    loss: str | Sequence[str] = "mse",
    precision: str | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """Loss of each of ``P`` networks: ``curve_loss`` with one point each.

    Args:
        weights: layer i ``(P, d_{i+1}, d_i)``.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` or ``(N,)`` integer labels.
        biases: layer i ``(P, d_{i+1})``, or None.
        activation: as in ``curve_loss``.
        skip: as in ``curve_loss``.
        loss: as in ``curve_loss``.
        precision: as in ``curve_loss``.

    Returns:
        ``(P,)``, dtype and device of the weights; differentiable.
    """
    losses = _names("network_loss", loss)
    _checked("network_loss", weights, biases, x, y, activation, losses)
    values = _implementation("curve_loss", precision, weights, x, y)(
        [w[:, None] for w in weights],
        x,
        y,
        biases=None if biases is None else [b[:, None] for b in biases],
        activation=activation,
        skip=skip,
        losses=losses,
    )
    values = [value[:, 0] for value in values]
    return values[0] if isinstance(loss, str) else tuple(values)


def path_loss(
    weights_a: Sequence[Tensor],
    weights_b: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    t: Tensor,
    *,
    biases_a: Sequence[Tensor] | None = None,
    biases_b: Sequence[Tensor] | None = None,
    activation: str = "relu",
    skip: float = 0.0,
    loss: str | Sequence[str] = "mse",
    precision: str | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """Loss on the straight lines ``(1 - t) a + t b`` between ``P`` pairs of networks.

    Args:
        weights_a: layer i ``(P, d_{i+1}, d_i)``, the ends at ``t = 0``.
        weights_b: the same shapes, the ends at ``t = 1``.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` or ``(N,)`` integer labels.
        t: ``(T,)`` for all pairs or ``(P, T)``, dimensionless, any real numbers.
        biases_a: layer i ``(P, d_{i+1})``, or None.
        biases_b: the same shapes.
        activation: as in ``curve_loss``.
        skip: as in ``curve_loss``.
        loss: as in ``curve_loss``.
        precision: as in ``curve_loss``.

    Returns:
        ``(P, T)``, dtype and device of the weights; differentiable in the weights and in ``t``.

    Raises:
        ValueError: shapes that do not fit; names the argument, the layer and both shapes.
    """
    losses = _names("path_loss", loss)
    _checked("path_loss", weights_a, biases_a, x, y, activation, losses, names=("weights_a", "biases_a"))
    errors.check_same_shapes("path_loss", "weights_a", weights_a, "weights_b", weights_b)
    errors.check_same_shapes("path_loss", "biases_a", biases_a, "biases_b", biases_b)
    values = _implementation("path_loss", precision, weights_a, x, y)(
        weights_a,
        weights_b,
        x,
        y,
        _points("path_loss", t, weights_a[0]),
        biases_a=biases_a,
        biases_b=biases_b,
        activation=activation,
        skip=skip,
        losses=losses,
    )
    return values[0] if isinstance(loss, str) else tuple(values)


def rescaling_loss(
    weights: Sequence[Tensor],
    logs: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    t: Tensor,
    *,
    biases: Sequence[Tensor] | None = None,
    activation: str = "relu",
    skip: float = 0.0,
    loss: str | Sequence[str] = "mse",
    precision: str | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """Loss along ``P`` curves of per-neuron rescalings (Zhao et al. 2025, eq. (5) and section 5.2) at ``T`` points.

    At ``t`` what comes into hidden unit ``h`` of layer ``i``, its bias too, is multiplied with ``exp(t logs[i][h])``
    and what goes out with ``exp(-k t logs[i][h])``, where ``σ(cz) = c^k σ(z)`` for ``c > 0``.  The weights of the
    points are never made.  A factor that overflows makes the loss NaN or infinite.

    Args:
        weights: layer i ``(P, d_{i+1}, d_i)``, floating, any device; not modified.
        logs: hidden layer i ``(P, d_{i+1})``, one fewer than the weights.
        x: ``(N, d_0)``.
        y: ``(N, d_l)`` or ``(N,)`` integer labels.
        t: ``(T,)``, or ``(P, T)`` for points of each curve's own.
        biases: layer i ``(P, d_{i+1})``, or None.
        activation: a positively homogeneous one, of ``reference.DEGREE``; hidden layers only.
        skip: as in ``curve_loss``.
        loss: as in ``curve_loss``.
        precision: as in ``curve_loss``.

    Returns:
        ``(P, T)``, dtype and device of the weights; differentiable in the weights, in ``logs`` and in ``t``.

    Raises:
        ValueError: shapes that do not fit, or an activation that is not homogeneous; names the argument.
    """
    where = "rescaling_loss"
    losses = _names(where, loss)
    _checked(where, weights, biases, x, y, activation, losses)
    errors.check_homogeneous(where, activation, tuple(DEGREE))
    errors.check_units(where, "logs", logs, weights)
    values = _implementation(where, precision, weights, x, y)(
        weights,
        logs,
        x,
        y,
        _points(where, t, weights[0]),
        biases=biases,
        activation=activation,
        skip=skip,
        losses=losses,
    )
    return values[0] if isinstance(loss, str) else tuple(values)


def _points(where: str, t: Tensor, like: Tensor) -> Tensor:
    """``t`` as ``(P, T)``.

    Raises:
        ValueError: another shape, dtype or device.
    """
    errors.check_floating(where, "t", t, like.dtype, like.device)
    pairs = like.shape[0]
    if t.dim() not in (1, 2) or (t.dim() == 2 and t.shape[0] != pairs):
        raise ValueError(f"{where}: t has shape {tuple(t.shape)}, expected (T,) or ({pairs}, T)")
    return t.expand(pairs, -1)
