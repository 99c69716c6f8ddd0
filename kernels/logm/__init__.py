"""Real principal logarithms of batches of small matrices, and logarithms of polar factors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import errors, target
from ..expm import augmented, expm, frechet, watched
from . import cpu, reference


def logm(a: Tensor, *, check: bool = True) -> Tensor:
    """Real principal logarithms of a batch of small matrices: ``exp(log a) = a``, eigenvalues' angles below π.

    Args:
        a: ``(..., n, n)`` float32 or float64, any device and strides; not modified.
        check: refuse entries that have no principal logarithm; synchronises a GPU.

    Returns:
        ``(..., n, n)``, dtype and device of ``a``; with ``check=False`` NaN in exactly the entries that have no
        principal logarithm: an eigenvalue is zero or on the negative real axis, or would be after a change of ``a``
        by some ``n u ‖a‖``; differentiable backwards and forwards, any number of times.

    Raises:
        NoPrincipalLogarithm: with ``check``; ``.indices`` ``(K, batch axes)`` names all entries that have none.

    Accuracy:
        Error at most 10 times SciPy's + 1e-13 (tests/kernels/test_logm.py); float32 is computed in float64.

    Source:
        kernels/logm/README.md; derivative: Higham (2008), *Functions of Matrices*, Thm. 3.6.
    """
    errors.check_square("logm", "a", a)
    return logarithms(a, check)


def polar_log(g: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the polar factors of ``g = Q P``: both real for every ``g`` of positive determinant.

    ``g = exp(log_q) exp(log_p)``, also where ``g`` has no principal logarithm: planes that ``Q`` turns by π are taken
    in pairs of eigenvalues -1.

    Args:
        g: ``(..., n, n)`` float32 or float64, any device and strides; not modified.

    Returns:
        ``log_q`` skew and ``log_p`` symmetric, each ``(..., n, n)``, dtype and device of ``g``; differentiable, with
        NaN for the derivative of ``log_q`` where ``Q`` has an eigenvalue -1.

    Raises:
        NoPrincipalLogarithm: ``det g > 0`` does not hold somewhere; ``.indices`` ``(K, batch axes)`` names the entries.

    Source:
        Zhao et al. (2025), section 5.1: a curve in the group for every element of positive determinant.
    """
    errors.check_square("polar_log", "g", g)
    return PolarLog.apply(g)


def _stack(a: Tensor) -> Tensor:
    """``(B, n, n)``."""
    return a.reshape(math.prod(a.shape[:-2]), *a.shape[-2:])


def logarithms(a: Tensor, check: bool) -> Tensor:
    """``logm`` without the checks of its argument."""
    if not watched(a):
        return _checked(a, check)
    return (LogmBackwards if torch.compiler.is_compiling() else Logm).apply(a, check)


def _checked(a: Tensor, check: bool) -> Tensor:
    """NaN or, with ``check``, an error where there is no principal logarithm."""
    out = _run(_stack(a.detach())).reshape(a.shape)
    if check:
        errors.refuse_entries(
            "logm",
            out.isnan().flatten(-2).any(-1),
            "no real principal logarithm: an eigenvalue is zero or on the negative real axis, or an entry is not "
            "finite",
            "with check=False these are NaN, and polar_log has real logarithms wherever the determinant is positive",
        )
    return out


def _run(a: Tensor) -> Tensor:
    """Logarithms ``(B, n, n)``, NaN where there is none: in one pass where the device allows, the rest on the CPU."""
    if target.gpu_missing(a.device) is not None:
        return _run_on_cpu(a)
    from . import gpu

    out, left = gpu.logm(a)  # left (B,) bool: what it cannot finish accurately
    if left.any():
        out[left] = _run_on_cpu(a[left])
    return out


def _run_on_cpu(a: Tensor) -> Tensor:
    if (reason := target.numba_missing()) is None:
        return cpu.logm(a.cpu()).to(a.device)
    target.say_once(f"logm: one matrix after the other in place of the tile kernels: {reason}")
    return torch.as_tensor(reference.logm(a.cpu().numpy())).to(a)


_logm_kernel = torch.library.custom_op("isoloss::logm", _checked, mutates_args=())


@_logm_kernel.register_fake
def _(a, check):
    return torch.empty_like(a, memory_format=torch.contiguous_format)


@_logm_kernel.register_vmap
def _(info, in_dims, a, check):
    return _logm_kernel(a.movedim(in_dims[0], 0), check), 0


class LogmBackwards(torch.autograd.Function):
    """``(..., n, n)`` and whether to check, to ``(..., n, n)``, differentiable backwards."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a, check):
        """Run the kernel."""
        return _logm_kernel(a, check)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the derivative is made of."""
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, grad):
        """``L(aᵀ, grad)``."""
        (a,) = ctx.saved_tensors
        return _frechet(a.mT, grad), None


class Logm(LogmBackwards):
    """Differentiable forwards too, which ``torch.compile`` refuses to trace."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the derivatives are made of."""
        LogmBackwards.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def jvp(ctx, move, _):
        """``L(a, move)``."""
        (a,) = ctx.saved_tensors
        return _frechet(a, move)


def _frechet(a: Tensor, e: Tensor) -> Tensor:
    """Fréchet derivatives ``(..., n, n)`` of the logarithm at ``a`` in the directions ``e``."""
    n = a.shape[-1]
    block, c = augmented(_stack(a), _stack(e))
    return (logarithms(block, False)[:, :n, n:] / c).reshape(a.shape)


@torch.library.custom_op("isoloss::polar_log", mutates_args=())
def _polar_log_kernel(g: Tensor) -> tuple[Tensor, Tensor]:
    """An error where ``det g > 0`` does not hold."""
    logs = [
        torch.as_tensor(log).to(g).reshape(g.shape) for log in reference.polar_log(_stack(g.detach()).cpu().numpy())
    ]
    errors.refuse_entries(
        "polar_log",
        logs[0].isnan().flatten(-2).any(-1),
        "no logarithm of the orthogonal factor: the determinant is not positive, or an entry is not finite",
        "no curve in the group leads from the identity to them",
    )
    return logs[0], logs[1]


@_polar_log_kernel.register_fake
def _(g):
    empty = torch.empty_like(g, memory_format=torch.contiguous_format)
    return empty, empty.clone()


@_polar_log_kernel.register_vmap
def _(info, in_dims, g):
    return _polar_log_kernel(g.movedim(in_dims[0], 0)), (0, 0)


class PolarLog(torch.autograd.Function):
    """``(..., n, n)`` to two of the same shape."""

    generate_vmap_rule = True

    @staticmethod
    def forward(g):
        """Run the kernel."""
        return _polar_log_kernel(g)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the derivatives are made of."""
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx, grad_q, grad_p):
        """Of ``log_p = log(gᵀg)/2`` and ``log_q = log(g exp(-log_p))``, each by its adjoint."""
        g, log_p = ctx.saved_tensors
        inverse = expm(-log_p)
        q_adjoint = _frechet((g @ inverse).mT, grad_q)
        p_adjoint = grad_p - frechet(_stack(-log_p), _stack(g.mT @ q_adjoint)).reshape(g.shape)
        square_adjoint = _frechet(g.mT @ g, p_adjoint) / 2
        return q_adjoint @ inverse + g @ (square_adjoint + square_adjoint.mT)
