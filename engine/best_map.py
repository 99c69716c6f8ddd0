"""The best map that a linear network can reach on any data (Trager, Kohn, Bruna 2020)."""

from __future__ import annotations

import torch

RANK = 1e-10  # singular values below this share of the largest count as zero


def best_map(x: torch.Tensor, y: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The map of rank at most ``rank`` that takes ``x`` ``(N, d_0)`` nearest to ``y`` ``(N, d_l)``, of smallest norm.

    Returns:
        ``[Y X⁺ X]_r X⁺`` ``(d_l, d_0)``, samples in columns, and an orthonormal basis ``(d_0, rank)`` of its row space,
        one vector where the map is zero.
    """
    pseudo = torch.linalg.pinv(x, rtol=RANK)  # (d_0, N)
    left, values, right = torch.linalg.svd((x @ (pseudo @ y)).mT, full_matrices=False)  # of the fitted Yᵀ (d_l, N)
    kept = int((values[:rank] > RANK * values[0]).sum())
    best = (left[:, :kept] * values[:kept]) @ right[:kept] @ pseudo.mT
    return best, torch.linalg.svd(best, full_matrices=False)[2][: max(kept, 1)].mT
