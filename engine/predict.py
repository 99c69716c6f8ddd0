"""Closed forms of Zhao et al. 2025, one function per proposition.

Those for rescaled minima (Prop. 5.3 and its generalisations) use the outputs of end ``a`` alone: nothing here evaluates
a path.  On the straight line from ``w`` to its rescaled twin, the output less the output bias and the last skip term is
the original one, ``f``, times

    s(t) = ((1-t) + t m)^k ((1-t) + t m^-k)

and everything is written in ``e = s - 1``, so that nothing cancels at ``m`` near 1 or at a minimum of loss zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.types import Split, Weights, not_applicable


def excess(t: Tensor, m: Tensor, k: int) -> Tensor:
    """``s(t) - 1``, expanded so that it is relatively accurate for every ``m > 0``; ``t`` and ``m`` broadcast.

    Raises:
        ValueError: ``k`` is neither 1 nor 2.
    """
    d = m - 1
    if k == 1:
        return t * (1 - t) * d**2 / m
    if k == 2:
        return t * (1 - t) * d**2 * (3 + 2 * d * (1 + t) + t * d**2) / m**2
    raise ValueError(f"excess: k={k}, expected 1 or 2, the degrees of the activations there are")


def maximiser(m: Tensor, k: int) -> Tensor:
    """The ``t`` in (0, 1) at which ``s`` is greatest, in the limit 1/2 at ``m = 1``, where ``s`` is constant.

    ``t* = -(k(m-1) + q) / ((k+1) q (m-1))`` with ``q = m^-k - 1``.
    """
    # k = 2: q = -d(2+d)/m² with d = m - 1, and both factors d cancel
    return torch.full_like(m, 0.5) if k == 1 else (1 + 2 * m) / (3 * (1 + m))


@dataclass(frozen=True)
class Line:
    """The closed form on the straight lines of a stack of rescaled pairs.

    ``factors`` ``(K, h)``: the factor of each unit of the last hidden layer.
    """

    network: object
    weights: Weights
    factors: Tensor

    def maximiser(self) -> Tensor | None:
        """Where the loss may be greatest, ``(K, 1)``; None where every unit has a factor of its own."""
        uniform = bool((self.factors == self.factors[:, :1]).all())
        return maximiser(self.factors[:, :1], self.network.degree) if uniform else None

    def rise(self, split: Split, t: Tensor, name: str) -> Tensor:
        """Loss at ``t`` ``(K, T)`` less the loss at end ``a``, ``(K, T)``."""
        *_, hidden, outputs = self.network.layers(self.weights, split.x)  # (K, N, h), (K, N, C)
        last = self.weights.layers[-1]
        e = excess(t[..., None], self.factors[:, None], self.network.degree)  # (K, T, h)
        if name == "cross_entropy":
            return _cross_entropy_rise(hidden, outputs, last, e, split.y)
        y = split.targets(outputs.shape[-1])
        scale = 1 / outputs[0].numel() if name == "mse" else 1.0
        residual = y - outputs
        if self.maximiser() is not None:
            # ‖Y - s f‖² - ‖Y - f‖² = e² ‖f‖² - 2 e ⟨r, f⟩
            f = hidden @ last.mT
            e = e[..., 0]
            return scale * (e**2 * f.square().sum((1, 2))[:, None] - 2 * e * (residual * f).sum((1, 2))[:, None])
        # the same with one s_i per unit: eᵀ G e - 2 e·R, G = (W_lᵀ W_l) ∘ (σᵀ σ), R_i = ⟨r, w_i σ_i⟩
        gram = (last.mT @ last) * (hidden.mT @ hidden)
        along = ((residual @ last) * hidden).sum(1)
        return scale * (((e @ gram) * e).sum(-1) - 2 * (e @ along[..., None])[..., 0])


def _cross_entropy_rise(hidden: Tensor, outputs: Tensor, last: Tensor, e: Tensor, y: Tensor) -> Tensor:
    """``L(z + Σ_i e_i w_i σ_i) - L(z)``, one point at a time."""

    def loss(z):
        own = z.gather(-1, y.expand(z.shape[:-1])[..., None])[..., 0]
        return (z.logsumexp(-1) - own).mean(-1)

    at = loss(outputs)
    points = [loss(outputs + (hidden * e[:, i, None]) @ last.mT) - at for i in range(e.shape[1])]
    return torch.stack(points, dim=1)


def line(network, pairs) -> Line | None:
    """The closed form for a stack of rescaled pairs, or None where none is known.

    It needs the last hidden layer alone to be rescaled, without a skip between the last two layers.
    """
    if pairs.group is None or pairs.group.relation != "rescaled" or network.depth - 1 not in network.free:
        return None
    others = pairs.element[:-1]
    if any(bool((factors != 1).any()) for factors in others):
        return None
    return Line(network, pairs.a, pairs.element[-1])


def permuted_growth(last: Tensor, hidden: Tensor, orders: Tensor, k: int) -> Tensor:
    """Prop. 5.4: limit of ``barrier / m^2k``, ``m → ∞``, with the last hidden layer rescaled by ``m`` and permuted.

    On the line the hidden activations become ``(t m)^k P σ(Z)`` while the last layer is ``(1 - t) W_l``, so the loss
    grows as ``max_t ((1 - t) t^k)² ‖W_l P σ(Z)‖²``, unless ``W_l P σ(Z) = 0``.

    Args:
        last: ``W_l`` ``(d_l, h)``.
        hidden: ``σ(Z)ᵀ`` ``(N, h)``.
        orders: permutations ``(P, h)``, unit ``j`` of the moved network is unit ``orders[p, j]``.
        k: degree of the activation.

    Returns:
        ``(P,)``, for the squared Frobenius norm as loss.
    """
    top = 1 / (k + 1) * (k / (k + 1)) ** k
    return top**2 * (hidden[:, orders].transpose(0, 1) @ last.mT).square().sum((1, 2))


def chord_distance(m: Tensor, singular_values: Tensor) -> Tensor:
    """Prop. 5.5: distance of a chord's midpoint from ``{(W_1, W_2) : W_1 W_2 = A}``.

    With ``A = P Σ Qᵀ``, ``S = P Σ^½`` and ``R = Σ^½ Qᵀ`` the chord runs from ``(S/m, m R)`` to ``(m S, R/m)``; its
    midpoint is ``c = (m + 1/m)/2`` times the balanced factors ``(S, R)``.  For ``X Y = A`` with ``X`` in the range of
    ``P`` and ``Y`` in that of ``Q``,

        ‖X - cS‖² + ‖Y - cR‖² = ‖PᵀX + (YQ)ᵀ - cΣ^½‖² + (c² - 2) ‖A‖_*

    and for ``c ≥ 2`` a diagonal real ``PᵀX`` makes the square vanish: the distance is unbounded in ``m``.

    Args:
        m: factors, at least 2 + √3.
        singular_values: of ``A``, the ones that are not zero.

    Returns:
        The distances, shape of ``m``.
    """
    c = (m + 1 / m) / 2
    return ((c**2 - 2) * singular_values.sum()).sqrt()


def curvature(first: Weights, second: Weights) -> Tensor:
    """Curvature of a curve from its derivatives, the κ of Thm. 6.2; in the form that does not cancel.

    ``κ = ‖γ'' - (⟨γ', γ''⟩ / ‖γ'‖²) γ'‖ / ‖γ'‖²``, of the shape of the batch.
    """
    batch = first.layers[0].dim() - 2
    speed = first.squared_norm()
    products = zip(first.parameters, second.parameters, strict=True)
    along = sum((p * q).flatten(batch).sum(-1) for p, q in products) / speed
    normal = second.map(lambda q, p: q - along.reshape(*along.shape, *[1] * (p.dim() - batch)) * p, first)
    return normal.squared_norm().sqrt() / speed


def sagitta(kappa: float, chord: float, arc: float) -> tuple[float | None, str | None]:
    """Thm. 6.2: how far points of a chord can be from a curve of curvature at most ``kappa`` with the same ends.

    ``d = (κℓ²/4) / (1 + sqrt(1 - (κℓ/2)²))``, ``ℓ`` the chord's length; for the short arc alone.

    Returns:
        The bound and None, or None and why the theorem does not apply.
    """
    if kappa * chord > 2:
        return None, not_applicable("Thm. 6.2 speaks of short arcs, κℓ is above 2")
    if kappa * arc > math.pi:
        return None, not_applicable("Thm. 6.2 speaks of short arcs, this one is longer than π/κ")
    return kappa * chord**2 / 4 / (1 + math.sqrt(1 - (kappa * chord / 2) ** 2)), None
