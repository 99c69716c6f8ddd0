"""Fewer inputs with the same components: a network sees its data through the directions of its first layer alone.

Let no skip start at the inputs, so that ``W_1`` alone reads ``x``, and let ``(Q, Q')`` be orthogonal: then
``W_1 -> (W_1 Q, W_1 Q')`` is a rotation of the space of networks.

1. *Directions in which no sample lies* change no output: with ``Q`` a basis of the row space of ``x`` the minimum is a
   product of what ``W_1 Q`` and the other layers may be and of a vector space, ``W_1 Q'``, which is contractible.
2. *Of a linear network also those that the best map does not need.*  What its other layers do is one matrix ``B``, and
   ``U = W_1 x`` (samples in columns) is all it sees.  With ``V`` an orthonormal basis of the row space of the fitted
   targets ``Y X⁺ X`` the loss is a constant and ``‖Y V - B U V‖² + ‖B U V'‖²``, whose first part can be met by itself.
   So at the minimum the first part is least and ``B U V' = 0``, and with ``U V'`` also ``s U V'`` is there for every
   ``s``: letting ``s`` go to zero contracts the minimum to the networks with ``U V' = 0``, at every moment inside it.

Neither step makes or joins components, and what is left has as many inputs as ``x`` has rank, or of a linear network as
the fitted targets have, at most ``d_l``.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from engine.best_map import RANK
from engine.network.fully_connected import Network


def needed(network: Network, x: Tensor, y: Tensor) -> Tensor | None:
    """The directions of the inputs that the components depend on.

    Args:
        network: whose first layer reads them.
        x: ``(N, d_0)`` float64.
        y: ``(N, d_l)`` float64.

    Returns:
        ``K`` ``(k, d_0)``: the networks whose first layer is a matrix ``(d_1, k)`` times ``K`` have the components of
        all; None where there are no fewer of them than inputs, or as many as would make a skip start there.
    """
    if any(start == 0 for start, _ in network.skips):
        return None
    if network.activation == "linear":
        pseudo = torch.linalg.pinv(x, rtol=RANK)  # (d_0, N)
        left, values, _ = torch.linalg.svd(x @ (pseudo @ y), full_matrices=False)
        # inputs as large as they were
        directions = (pseudo @ left).mT * (torch.linalg.norm(x) / x.shape[1] ** 0.5)
    else:
        _, values, directions = torch.linalg.svd(x, full_matrices=False)
    directions = directions[values > RANK * values[0]]
    if not 0 < len(directions) < x.shape[1]:
        return None
    fewer = replace(network, widths=(len(directions), *network.widths[1:]))
    return directions if fewer.skips == network.skips else None
