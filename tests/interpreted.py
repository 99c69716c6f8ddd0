"""The process in which Triton's kernels are interpreted: in half the time, and with memory watched.

The interpreter reads and writes wherever it is told to.  Here an address is refused that is in no tensor whose address
was asked for, as a kernel's argument or for a table, and memory that nothing was written to is NaN.
"""

from __future__ import annotations

import numpy as np
import torch


def start() -> None:
    """What the process does first."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)  # which fills memory that is made with NaN
    _index_by_arrays()
    _prepare_the_language_once()
    _round_to_nearest()
    _watch_memory()


def call(function, *args, **kwargs):
    """``function`` of the arguments; its kernels may not use the memory of earlier calls."""
    _known.clear()
    return function(*args, **kwargs)


def _index_by_arrays() -> None:
    """Triton up to 3.6 makes a Python integer of an array of one number, which NumPy refuses from 2.4 on."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patched(tensor, *scope):
        patch(tensor, *scope)
        tensor.__index__ = lambda self: self.handle.data.item()

    interpreter._patch_lang_tensor = patched


def _prepare_the_language_once() -> None:
    """Triton does so whenever one of its functions calls another, though a launch has done it."""
    from triton.runtime import interpreter

    prepared = set()

    def call(function, *args, **kwargs):
        if function.fn.__module__ not in prepared:
            prepared.add(function.fn.__module__)
            interpreter._patch_lang(function.fn)
        return function.rewrite()(*args, **kwargs)

    interpreter.InterpretedFunction.__call__ = call


def _round_to_nearest() -> None:
    """Triton's interpreter cuts float32 off where bfloat16 ends; GPUs and PyTorch round."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder as Builder
    from triton.runtime.interpreter import TensorHandle

    cast = Builder.cast_impl

    def rounded(self, source, kind):
        if (source.dtype.scalar, kind.scalar) != (tl.float32, tl.bfloat16):
            return cast(self, source, kind)
        bits = torch.from_numpy(np.ascontiguousarray(source.data)).bfloat16().view(torch.int16)
        return TensorHandle(bits.numpy().view(np.uint16).reshape(source.data.shape), kind.scalar)

    Builder.cast_impl = rounded


_known: dict[int, int] = {}  # where tensors begin and, behind their last numbers, end
_sorted: list[np.ndarray] = []  # both, by where they begin, or nothing where that has changed


def _watch_memory() -> None:
    from triton.runtime.interpreter import InterpreterBuilder as Builder

    data_ptr, load, store = torch.Tensor.data_ptr, Builder.create_masked_load, Builder.create_masked_store

    def remember(tensor):
        begin = data_ptr(tensor)
        last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        end = begin + (last + 1) * tensor.element_size()
        if tensor.numel() and end > _known.get(begin, 0):
            _known[begin] = end
            _sorted.clear()
        return begin

    def checked_load(self, pointers, mask, *rest):
        _check(pointers, mask)
        return load(self, pointers, mask, *rest)

    def checked_store(self, pointers, value, mask, *rest):
        _check(pointers, mask)
        return store(self, pointers, value, mask, *rest)

    torch.Tensor.data_ptr = remember
    Builder.create_masked_load, Builder.create_masked_store = checked_load, checked_store


def _check(pointers, mask) -> None:
    places = pointers.data[np.broadcast_to(mask.data, pointers.data.shape)]
    if not _sorted:
        begins = sorted(_known)
        _sorted[:] = np.array(begins, np.uint64), np.maximum.accumulate([_known[b] for b in begins]).astype(np.uint64)
    begins, ends = _sorted
    if not places.size:
        return
    behind = places + np.uint64(pointers.get_element_ty().primitive_bitwidth // 8)
    of = np.searchsorted(begins, places.min(), "right")
    if of > 0 and behind.max() <= ends[of - 1]:
        return  # all in one tensor
    of = np.searchsorted(begins, places, "right")
    inside = (of > 0) & (behind <= ends[of - 1])
    if not inside.all():
        raise IndexError(f"{(~inside).sum()} of {places.size} addresses are in no tensor that the kernel was given")
