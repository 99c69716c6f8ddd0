"""Exponentials of batches of small real matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import errors, target
from . import blocks, cpu


def expm(a: Tensor, t: Tensor | None = None) -> Tensor:
    """Exponentials of a batch of small real matrices, or points of the one-parameter subgroups they generate.

    Scaling and squaring with a Taylor polynomial of degree 4, 8 or 18, chosen per matrix; the points of one subgroup
    share the powers of its generator.

    Args:
        a: ``(..., n, n)`` float32 or float64, any device and strides; not modified.
        t: ``(T,)`` like ``a``, dimensionless; None means the single point 1.

    Returns:
        ``(..., n, n)``, or ``(..., T, n, n)`` with ``t``, dtype and device of ``a``; exactly the identity at ``t = 0``;
        differentiable in both, backwards and forwards, any number of times.  An entry that overflows or is not finite
        is inf or NaN, alone.

    Raises:
        ValueError: ``t`` has not one axis, or another dtype or device than ``a``.

    Accuracy:
        Relative error at most 10 times SciPy's + 100 u (1 + ‖a‖₁), u the unit roundoff (tests/kernels/test_expm.py).

    Source:
        Bader, Blanes, Casas (2019), Mathematics 7(12), 1174; derivative: Higham (2008),
        *Functions of Matrices*, Thm. 3.6.
    """
    errors.check_square("expm", "a", a)
    if t is None:
        times = a.new_ones(1, 1)
    else:
        errors.check_floating("expm", "t", t, a.dtype, a.device, "a")
        if t.dim() != 1:
            raise ValueError(f"expm: t has shape {tuple(t.shape)}, expected (T,)")
        times = t[None]
    n = a.shape[-1]
    out = exponentials(a.reshape(math.prod(a.shape[:-2]), n, n), times)
    return out.reshape(a.shape if t is None else (*a.shape[:-2], *out.shape[1:]))


def watched(*tensors: Tensor) -> bool:
    """Whether PyTorch has to see the operation: without, a call is spared the 20 microseconds that it takes to look."""
    return (
        any(tensor.requires_grad or type(tensor) is not Tensor for tensor in tensors)
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()  # as autograd.Function itself asks
        or torch.autograd.forward_ad._current_level >= 0  # a dual tensor needs no requires_grad
    )


def exponentials(a: Tensor, t: Tensor) -> Tensor:
    """``expm`` of ``a`` ``(B, n, n)`` at ``t`` ``(1 or B, T)``, ``(B, T, n, n)``."""
    if not watched(a, t):
        return _run(a, t)
    return (ExpmBackwards if torch.compiler.is_compiling() else Expm).apply(a, t)


def _run(a: Tensor, t: Tensor) -> Tensor:
    """Exponentials ``(B, T, n, n)`` for ``a`` ``(B, n, n)`` and ``t`` ``(1, T)`` or ``(B, T)``."""
    if target.gpu_missing(a.device) is None:
        from . import gpu

        return gpu.expm(a, t)
    if a.device.type == "cpu":
        if (reason := target.numba_missing()) is None:
            return cpu.expm(a, t)
        target.say_once(f"expm: PyTorch in place of the tile kernels: {reason}")
    return blocks.expm(a, t)


_kernel = torch.library.custom_op("isoloss::expm", _run, mutates_args=())


@_kernel.register_fake
def _(a, t):
    return a.new_empty(a.shape[0], t.shape[1], *a.shape[1:])


@_kernel.register_vmap
def _(info, in_dims, a, t):
    """Both batch axes in one; ``t`` stays shared where it is."""
    size = info.batch_size
    a = a.movedim(in_dims[0], 0) if in_dims[0] is not None else a.expand(size, *a.shape)
    if in_dims[1] is not None:
        t = t.movedim(in_dims[1], 0).expand(size, a.shape[1], -1).reshape(size * a.shape[1], -1)
    elif t.shape[0] > 1:
        t = t.repeat(size, 1)
    return _kernel(a.flatten(0, 1), t).unflatten(0, (size, a.shape[1])), 0


class ExpmBackwards(torch.autograd.Function):
    """``(B, n, n), (1 or B, T) -> (B, T, n, n)``, differentiable backwards."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a, t):
        """Run the kernel."""
        return _kernel(a, t)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the derivatives are made of."""
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, grad):
        """``Σ_k t_k L(t_k aᵀ, grad_k)`` and ``⟨grad_k, a exp(t_k a)⟩``."""
        a, t, out = ctx.saved_tensors
        grad_a = grad_t = None
        if ctx.needs_input_grad[0]:
            times = t.expand(out.shape[:2])[..., None, None]
            points = times * a.mT[:, None]
            grad_a = (times * frechet(points.flatten(0, 1), grad.flatten(0, 1)).view_as(out)).sum(1)
        if ctx.needs_input_grad[1]:
            grad_t = (grad * (a[:, None] @ out)).sum((-1, -2))
            grad_t = grad_t.sum(0, keepdim=True) if t.shape[0] == 1 else grad_t
        return grad_a, grad_t


class Expm(ExpmBackwards):
    """Differentiable forwards too, which ``torch.compile`` refuses to trace."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what the derivatives are made of."""
        ExpmBackwards.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def jvp(ctx, move_a, move_t):
        """``t_k L(t_k a, move_a) + move_t_k a exp(t_k a)``."""
        a, t, out = ctx.saved_tensors
        moved = torch.zeros_like(out)
        times = t.expand(out.shape[:2])[..., None, None]
        if move_a is not None:
            points, moves = times * a[:, None], times * move_a[:, None]
            moved = moved + frechet(points.flatten(0, 1), moves.flatten(0, 1)).view_as(out)
        if move_t is not None:
            moved = moved + move_t[..., None, None] * (a[:, None] @ out)
        return moved


def augmented(a: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
    """``[[a, c e], [0, a]]`` ``(B, 2n, 2n)`` and ``c`` ``(B, 1, 1)``, a power of two: ``c e`` no larger than ``a``.

    A function of this matrix holds ``c`` times its Fréchet derivative at ``a`` in the direction ``e`` in the upper
    right block, whatever ``c``, which is a constant to autograd.
    """
    n = a.shape[-1]
    with torch.no_grad():
        size = torch.linalg.matrix_norm(e, 1)[:, None, None]
        room = torch.linalg.matrix_norm(a, 1)[:, None, None].clamp(max=1.0)
        usable = (size > 0) & size.isfinite() & (room > 0) & room.isfinite()
        exponent = torch.frexp(room).exponent - torch.frexp(size).exponent
        c = torch.where(usable, torch.ldexp(torch.ones_like(size), exponent), torch.ones_like(size))
    top, bottom = torch.cat([a, c * e], -1), torch.cat([torch.zeros_like(a), a], -1)
    return torch.cat([top, bottom], -2).reshape(-1, 2 * n, 2 * n), c


def frechet(a: Tensor, e: Tensor) -> Tensor:
    """Fréchet derivatives ``(B, n, n)`` of the exponential at ``a`` in the directions ``e``, both ``(B, n, n)``."""
    n = a.shape[-1]
    block, c = augmented(a, e)
    return exponentials(block, a.new_ones(1, 1))[:, 0, :n, n:] / c
