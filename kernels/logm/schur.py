"""Real Schur forms and square roots of quasi-triangular matrices, for matrices near which there is no logarithm.

LAPACK is called by the address that SciPy gives out.  Kernels know it by a name that every process binds to the address
it has there, so that their machine code can be kept on disk.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import binding
from numba import types
from numba.extending import get_cython_function_address

from ..jit import inline, kernel

binding.add_symbol("isoloss_dgees", get_cython_function_address("scipy.linalg.cython_lapack", "dgees"))
_dgees = types.ExternalFunction("isoloss_dgees", types.void(*[types.voidptr] * 15))
WORK = 40  # numbers of work space per row: more than LAPACK's block size


@inline
def real_schur(form, basis):
    """Replace ``form`` ``(n, n)`` by its real Schur form ``basis.T @ form @ basis``; whether the iteration converged.

    Both have columns first: ``form[j, i]`` is the number in row i, column j.
    """
    n = form.shape[0]
    flags = np.array([ord("V"), ord("N")], np.uint8)
    sizes = np.array([n, WORK * n, 0, 0], np.int32)  # order, work space, eigenvalues selected, what went wrong
    real, imaginary, work, none = np.empty(n), np.empty(n), np.empty(WORK * n), np.empty(1, np.int32)
    _dgees(
        flags[0:].ctypes, flags[1:].ctypes, none.ctypes, sizes[0:].ctypes, form.ctypes, sizes[0:].ctypes,
        sizes[2:].ctypes, real.ctypes, imaginary.ctypes, basis.ctypes, sizes[0:].ctypes, work.ctypes,
        sizes[1:].ctypes, none.ctypes, sizes[3:].ctypes,
    )  # fmt: skip
    return sizes[3] == 0


@inline
def _solve(K, size):
    """Solve the system ``K[:size, :size] x = K[:size, 4]`` in place of the last column, by elimination with pivots."""
    for k in range(size):
        where = k
        for i in range(k + 1, size):
            if abs(K[i, k]) > abs(K[where, k]):
                where = i
        for j in range(5):
            K[k, j], K[where, j] = K[where, j], K[k, j]
        for i in range(size):
            if i != k:
                factor = K[i, k] / K[k, k]
                for j in range(5):
                    K[i, j] -= factor * K[k, j]
    for k in range(size):
        K[k, 4] /= K[k, k]


@inline
def _root_of_block(R, T, i, size):
    """The principal root of the block of ``T`` at ``i``, where one of size 2 has complex eigenvalues."""
    if size == 1:
        R[i, i] = math.sqrt(T[i, i])
        return
    middle, half = (T[i, i] + T[i + 1, i + 1]) / 2, (T[i, i] - T[i + 1, i + 1]) / 2
    imaginary = math.sqrt(max(-T[i, i + 1] * T[i + 1, i] - half * half, 0.0))
    length = math.hypot(middle, imaginary)
    alpha = math.sqrt((middle + length) / 2) if middle > 0 else imaginary / math.sqrt(2 * (length - middle))
    R[i, i], R[i + 1, i + 1] = alpha + half / (2 * alpha), alpha - half / (2 * alpha)
    R[i, i + 1], R[i + 1, i] = T[i, i + 1] / (2 * alpha), T[i + 1, i] / (2 * alpha)


@kernel
def quasi_root(R, T, sizes):
    """Principal square root of an upper quasi-triangular matrix ``(n, n)`` (Higham 1987, Linear Algebra Appl. 88).

    ``sizes[i]`` is the size, 1 or 2, of the diagonal block that begins at ``i``, 0 inside one.
    """
    n = sizes.shape[0]
    K = np.zeros((4, 5))
    for j in range(n):
        q = sizes[j]
        if q == 0:
            continue
        _root_of_block(R, T, j, q)
        for i in range(j - 1, -1, -1):
            p = sizes[i]
            if p == 0:
                continue
            # R_ii X + X R_jj = T_ij - Σ_k R_ik R_kj, an equation for each number of X
            for x in range(p):
                for y in range(q):
                    total = T[i + x, j + y]
                    for k in range(i + p, j):
                        total -= R[i + x, k] * R[k, j + y]
                    line = x * q + y
                    for z in range(p * q):
                        K[line, z] = 0.0
                    for z in range(p):
                        K[line, z * q + y] += R[i + x, i + z]
                    for z in range(q):
                        K[line, x * q + z] += R[j + z, j + y]
                    K[line, 4] = total
            _solve(K, p * q)
            for x in range(p):
                for y in range(q):
                    R[i + x, j + y] = K[x * q + y, 4]
