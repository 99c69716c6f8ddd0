"""The matrix exponential and logarithm against PyTorch, SciPy and an eigendecomposition."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence

import scipy.linalg
import torch
from torch import Tensor

from .. import expm, logm
from ..expm import blocks
from . import Comparison, Provider

ORDERS, ALL_ORDERS = (8, 16, 32, 64), (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
KINDS = ("general", "positive definite", "near a half-turn")
SCIPY_SHARE = 20  # SciPy's loops are timed on one matrix in so many, and on two at least
FEW = 500  # matrices, at most, of what takes one after the other: SciPy, and on a GPU eigenvalues, a millisecond each


def _eigen_log(a: Tensor) -> Tensor:
    """The eigenvalue detour: inaccurate on matrices that are not normal, here only for its time."""
    values, vectors = torch.linalg.eig(a)
    return torch.linalg.solve(vectors, vectors * values.log()[..., None, :], left=False).real


def _eigen_log_symmetric(a: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(a)
    return (vectors * values.log()[..., None, :]) @ vectors.mT


def _difference(ours: Tensor, theirs: Tensor) -> float:
    norm = torch.linalg.matrix_norm
    return float((norm((ours - theirs).double()) / norm(theirs.double())).max())


def _expm(n: int, dtype: torch.dtype, batch: int, device: torch.device) -> Comparison:
    a = torch.randn(batch, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) / n**0.5
    a = a.to(device, dtype)
    few = a[: max(2, min(FEW, batch // SCIPY_SHARE))].cpu().numpy()
    norm = float(torch.linalg.matrix_norm(a.double(), 1).median())
    squarings = float(blocks.squarings(a[:100]).mean())
    return Comparison(
        {"function": "expm", "n": n, "dtype": str(dtype).removeprefix("torch."), "batch": batch, "input": "randn/√n"},
        (
            Provider("kernels", lambda: expm(a), batch),
            Provider("torch.linalg.matrix_exp", lambda: torch.linalg.matrix_exp(a), batch),
            Provider("scipy.linalg.expm", lambda: scipy.linalg.expm(few), len(few)),
        ),
        operations=(5 + squarings) * 2 * n**3,  # products of matrices; what else there is to do is not counted
        bytes=2 * n * n * a.element_size(),
        ceiling=str(dtype).removeprefix("torch."),
        verify=lambda: _difference(expm(a), torch.linalg.matrix_exp(a)),
        tolerance=1e3 * torch.finfo(dtype).eps * (1 + norm),
        notes={"norm": norm, "products": 5 + squarings},
    )


def _logm(n: int, kind: str, batch: int, device: torch.device) -> Comparison:
    draw = torch.Generator().manual_seed(n)
    a = torch.randn(batch, n, n, dtype=torch.float64, generator=draw) / n**0.5
    if kind == "general":
        a = torch.linalg.matrix_exp(a)
    elif kind == "positive definite":  # condition up to 1e4
        q = torch.linalg.qr(a).Q
        a = (q * 10 ** (4 * torch.rand(batch, 1, n, dtype=torch.float64, generator=draw) - 2)) @ q.mT
        a = (a + a.mT) / 2
    else:  # rotations whose largest angle is π - 1e-3: over the Schur form
        a = a - a.mT
        a = torch.linalg.matrix_exp(a * ((math.pi - 1e-3) / torch.linalg.matrix_norm(a, 2)[:, None, None]))
    a = a.to(device)
    few = a[: max(2, batch // (10 * SCIPY_SHARE))].cpu().numpy()
    some = a[:FEW] if device.type == "cuda" else a
    reference = _eigen_log_symmetric if kind == "positive definite" else _eigen_log
    return Comparison(
        {"function": "logm", "n": n, "dtype": "float64", "batch": batch, "input": kind},
        (
            Provider("kernels", lambda: logm(a, check=False), batch),
            Provider("torch.linalg.eig", lambda: _eigen_log(some), len(some)),
            Provider("scipy.linalg.logm", lambda: [scipy.linalg.logm(matrix) for matrix in few], len(few)),
        ),
        bytes=2 * n * n * 8,
        verify=lambda: _difference(logm(a)[: len(some)], reference(some)),
        tolerance=1e-8,
    )


def comparisons(
    full: bool, device: torch.device, *, orders: Sequence[int] = (), batch: int | None = None
) -> Iterator[Comparison]:
    """Make the suite.

    Args:
        full: more orders, larger batches, and matrices that take the logarithm's second way.
        device: of the matrices.
        orders: of the matrices, if not those of the goals.
        batch: matrices in a batch, if not those of the goals.

    Yields:
        Comparisons over sizes, data types and kinds of input.
    """
    warnings.filterwarnings("ignore", "logm result may be inaccurate")  # SciPy's own
    gpu = device.type == "cuda"
    orders = orders or (ALL_ORDERS if full else ORDERS)
    for dtype in (torch.float64, torch.float32):
        batches = (
            (batch,) if batch else (100_000,) if gpu else (1000, 10_000) if full or dtype.itemsize == 8 else (1000,)
        )
        for many in batches:
            for n in orders:
                yield _expm(n, dtype, many, device)
    for kind in KINDS if full else KINDS[:2]:
        for n in orders:
            yield _logm(n, kind, batch or (256_000 if gpu else 16_000 if full else 8000) // n, device)
