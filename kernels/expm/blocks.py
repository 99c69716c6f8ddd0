"""Exponentials by PyTorch operations on whole batches: what runs where no faster path does, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from . import tables

NUMBERS = 2**18  # in a block of matrices: its dozen scratch arrays stay in a cache or cost little memory


def _norm(a: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(a, 1)


def _powers(a: Tensor):
    """``A²``, ``A³``, ``A⁶`` and α, with ``‖Aᵏ‖ ≤ αᵏ`` for every k > 18: what ``‖A‖`` may be replaced by.

    Every such k is 6q + r with r among 0, 2, 3, 4, 5, 7, and 12 + 7 leaves most to the smaller powers; compare
    Al-Mohy & Higham (2009), SIMAX 31(3), Thm. 4.2.
    """
    a2 = a @ a
    a3 = a2 @ a
    a6 = a3 @ a3
    two_three = torch.maximum(_norm(a2) ** (1 / 2), _norm(a3) ** (1 / 3))
    six = _norm(a6) ** (1 / 6)
    # no larger than two_three, as ‖A⁶‖ ≤ ‖A²‖³, and so no larger than ‖A‖
    return a2, a3, a6, six ** (12 / 19) * two_three ** (7 / 19)


def squarings(a: Tensor) -> Tensor:
    """How often each matrix of ``(B, n, n)`` is halved, and its exponential squared."""
    return (_powers(a)[3] / tables.SCALED[a.dtype]).log2().ceil().clamp(min=0)


def _taylor(c: Tensor, a, a2, a3, a6) -> Tensor:
    """The polynomial of degree 18 at ``c A``, ``c`` ``(B, T, 1, 1)`` and the powers of ``A`` ``(B, 1, n, n)``."""
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    c2, c3 = c * c, c * c * c
    p1, p2, p3, p6 = c * a, c2 * a2, c3 * a3, c3 * c3 * a6
    b1 = sum(b * p for b, p in zip(tables.B1, (p1, p2, p3), strict=True))
    b2 = sum(b * p for b, p in zip(tables.B2, (p1, p2, p3, p6), strict=True))
    b3 = sum(b * p for b, p in zip(tables.B3, (eye, p1, p2, p3, p6), strict=True))
    b4 = sum(b * p for b, p in zip(tables.B4, (eye, p1, p2, p3, p6), strict=True))
    b5 = sum(b * p for b, p in zip(tables.B5, (p2, p3, p6), strict=True))
    a9 = b1 @ b5 + b4
    return torch.where(c == 0, eye, b2 + (b3 + a9) @ a9)


def _block(a: Tensor, t: Tensor) -> Tensor:
    powers = _powers(a)
    overflow = ~powers[2].isfinite().all(-1).all(-1) & a.isfinite().all(-1).all(-1)
    shift = torch.where(overflow, torch.frexp(_norm(a)).exponent.to(a), 0.0)
    if overflow.any():  # scale first
        a = torch.ldexp(a, -shift[:, None, None])
        powers = _powers(a)
    a2, a3, a6, alpha = powers
    shift = shift[:, None]
    s = (alpha / tables.SCALED[a.dtype]).log2()[:, None] + t.abs().log2() + shift
    s = torch.where(shift > 0, s.maximum(shift + torch.frexp(t).exponent), s).ceil().clamp(min=0.0)
    s = torch.where(s.isfinite(), s, 0.0)  # not finite comes out as it is
    c = torch.ldexp(t.expand(s.shape), shift - s)
    out = _taylor(c[..., None, None], *(p[:, None] for p in (a, a2, a3, a6)))
    while (more := s > 0).any():
        part = out[more]
        out[more] = part @ part
        s = s - 1
    return out


def expm(a: Tensor, t: Tensor) -> Tensor:
    """Exponentials ``(B, T, n, n)`` for ``a`` ``(B, n, n)`` and ``t`` ``(1 or B, T)``."""
    out = a.new_empty(a.shape[0], t.shape[1], *a.shape[1:])
    chunk = max(1, NUMBERS // max(1, out[0].numel() if len(out) else 1))
    for start in range(0, a.shape[0], chunk):
        part = slice(start, start + chunk)
        out[part] = _block(a[part], t if t.shape[0] == 1 else t[part])
    return out
