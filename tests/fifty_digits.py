"""The exponential and the principal logarithm of one matrix to 50 digits, by other algorithms than the kernels'.

Matrices are numpy arrays of mpmath's numbers: several times faster than mpmath's own matrices.
"""

from __future__ import annotations

import math

import numpy as np
from mpmath import mp, mpf

DIGITS = 50
GUARD = 20  # digits that may be lost on the way


def _exact(a: np.ndarray) -> np.ndarray:
    return np.array([mpf(float(x)) for x in a.flat], dtype=object).reshape(a.shape)


def _rounded(a: np.ndarray) -> np.ndarray:
    return a.astype(np.float64)


def _identity(n: int) -> np.ndarray:
    return _exact(np.eye(n))


def _norm(a: np.ndarray):
    return abs(a).sum(0).max()


def _inverse(a: np.ndarray):
    """The inverse and ``|det|``, by Gauss–Jordan elimination with pivoting."""
    n = len(a)
    m, det = np.hstack([a, _identity(n)]), mpf(1)
    for k in range(n):
        pivot = k + int(np.argmax(abs(m[k:, k])))
        m[[k, pivot]] = m[[pivot, k]]
        det = det * abs(m[k, k])
        m[k] = m[k] / m[k, k]
        others = np.arange(n) != k
        m[others] = m[others] - m[others, k : k + 1] * m[k]
    return m[:, n:], det


def expm(a: np.ndarray) -> np.ndarray:
    """Taylor series after scaling to norm 1/2."""
    size = np.linalg.norm(a, 1)
    with mp.workdps(DIGITS + GUARD + min(500, int(size))):
        squarings = max(0, math.ceil(math.log2(size + 1e-300)) + 1)
        m = _exact(a) / mpf(2) ** squarings
        total = term = _identity(len(a))
        k = 0
        while _norm(term) > mp.eps:
            k += 1
            term = (term @ m) / k
            total = total + term
        for _ in range(squarings):
            total = total @ total
        return _rounded(total)


def logm(a: np.ndarray) -> np.ndarray:
    """Square roots (Denman–Beavers, product form) and the series of 2 atanh((A-I)(A+I)⁻¹)."""
    with mp.workdps(DIGITS + GUARD):
        m, eye, roots = _exact(a), _identity(len(a)), 0
        while _norm(m - eye) > 0.5:
            m, roots = _root(m, eye), roots + 1
        w = (m - eye) @ _inverse(m + eye)[0]
        square, term, total, k = w @ w, w, w, 1
        while _norm(term) > mp.eps * _norm(w):
            k += 2
            term = term @ square
            total = total + term / k
        return _rounded(2 ** (roots + 1) * total)


def _root(a: np.ndarray, eye: np.ndarray) -> np.ndarray:
    x, m = a, a
    while (distance := _norm(m - eye)) > mpf(10) ** (-DIGITS / 2):  # the last step squares it
        inverse, det = _inverse(m)
        mu = det ** (-mpf(1) / (2 * len(a))) if distance > 0.5 else mpf(1)
        x = x @ (mu * eye + inverse / mu) / 2
        m = (2 * eye + mu**2 * m + inverse / mu**2) / 4
    return x @ (3 * eye - m) / 2
