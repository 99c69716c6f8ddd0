"""The triangular factor of data on a GPU, for squared losses of linear networks (``factor.py``)."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from ..errors import LABEL_LOSSES

REDUCTION = 4  # samples for each row of the factor from which on it is taken
_FACTORS = WeakIdKeyDictionary()  # of ``x``: of which ``y``, both versions, outputs, and the factor


Rows = tuple[Tensor, Tensor, Tensor]  # of x (R, d_0), of the ones that biases are multiplied with (R,), of y (R, d_l)


def factor(x: Tensor, y: Tensor, outputs: int, activation: str, losses: Sequence[str]) -> Rows | None:
    """The at most ``d_0 + 1 + d_l`` rows that take the place of the samples.

    Made once for each pair of tensors, and again only after one was written to.

    Args:
        x: ``(N, d_0)``.
        y: ``(N, d_l)``, or ``(N,)`` labels.
        outputs: ``d_l``.
        activation: only ``linear`` networks have such rows.
        losses: and only squared ones.

    Returns:
        None where there are none, where they would save little, and for data that are not finite.
    """
    if activation != "linear" or set(losses) & set(LABEL_LOSSES) or x.shape[0] < REDUCTION * (x.shape[1] + 1 + outputs):
        return None
    if x.is_inference() or y.is_inference():  # they have no versions
        return _factor(x, y, outputs)
    key = (x._version, y._version, outputs)
    known = _FACTORS.get(x)
    if known is None or known[0]() is not y or known[1] != key:
        known = _FACTORS[x] = (weakref.ref(y), key, _factor(x, y, outputs))
    return known[2]


def _factor(x: Tensor, y: Tensor, outputs: int) -> Rows | None:
    targets = y if y.is_floating_point() else torch.nn.functional.one_hot(y.long(), outputs)
    together = torch.cat([x.double(), x.new_ones(len(x), 1, dtype=torch.float64), targets.double()], dim=1)
    if not together.isfinite().all():
        return None
    rows = torch.linalg.qr(together, mode="r").R.to(x.dtype)
    x, ones, y = (part.contiguous() for part in rows.split([x.shape[1], 1, outputs], dim=1))
    return x, ones[:, 0], y
