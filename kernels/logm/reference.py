"""The real principal logarithm of one matrix after the other through its Schur form: the definition, in float64.

A complex Schur form, square roots of the triangle until it is near the identity, Gauss–Legendre quadrature of
``log(I + E) = ∫₀¹ E (I + xE)⁻¹ dx`` there (Dieci, Morini, Papini 1996, SIMAX 17(3)).  ``E`` is carried from root to
root by ``sqrt(I + E) - I = E (sqrt(I + E) + I)⁻¹``, so that nothing cancels and a matrix near the identity has a
logarithm to relative accuracy.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

NEAR = 0.25  # ‖E‖ at which roots end: the quadrature's error is then below (NEAR/4)^(2 NODES)
NODES = 8
ROOTS = 1100  # more than any double needs


def eigenvalue_on_axis(form: np.ndarray, tolerance: float) -> bool:
    """Whether a real Schur form ``(n, n)`` has an eigenvalue on the closed negative real axis.

    Or would have after a change of its numbers by ``tolerance``: ``n u ‖form‖`` where it comes from rounded operations,
    0 for a triangular matrix, whose eigenvalues are its diagonal.
    """
    i = 0
    while i < len(form):
        pair = i + 1 < len(form) and form[i + 1, i] != 0
        if form[i, i] <= tolerance and not (pair and min(abs(form[i, i + 1]), abs(form[i + 1, i])) > tolerance):
            return True
        i += 2 if pair else 1
    return False


def root(form: np.ndarray) -> np.ndarray:
    """Principal square root of an upper triangular matrix (Björck & Hammarling 1983), column by column."""
    r = np.zeros_like(form)
    for j in range(len(form)):
        r[j, j] = np.sqrt(form[j, j])
        for i in range(j - 1, -1, -1):
            r[i, j] = (form[i, j] - r[i, i + 1 : j] @ r[i + 1 : j, j]) / (r[i, i] + r[j, j])
    return r


def principal_log(a: np.ndarray) -> np.ndarray | None:
    """The logarithm of one matrix ``(n, n)``, or None where it has none."""
    if not np.isfinite(a).all():
        return None
    eye = np.eye(len(a))
    scale = np.abs(a).max(initial=0.0)
    if scale == 0:
        return None if len(a) else a
    # scaled by a power of two where that keeps everything in range; the form of A - I where that is small
    exponent = 0 if 2.0**-32 < scale < 2.0**32 else int(np.frexp(scale)[1])
    a = np.ldexp(a, -exponent)
    near = np.linalg.norm(a - eye, 1) < 0.5
    form, basis = scipy.linalg.schur(a - eye if near else a, output="real")
    triangular = not (np.tril(a, -1).any() and np.triu(a, 1).any())
    tolerance = 0.0 if triangular else len(a) * np.finfo(np.float64).eps * np.linalg.norm(form)
    if not near and eigenvalue_on_axis(form, tolerance):
        return None
    form, basis = scipy.linalg.rsf2csf(form, basis)
    e = form if near else form - eye
    roots = 0
    while np.linalg.norm(e, 1) > NEAR and roots < ROOTS:
        r = root(e + eye if roots or near else form)
        e = scipy.linalg.solve_triangular((r + eye).T, e.T, lower=True).T
        roots += 1
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    log = sum(
        w / 2 * scipy.linalg.solve_triangular(eye + (x + 1) / 2 * e, e) for x, w in zip(nodes, weights, strict=True)
    )
    with np.errstate(over="ignore", invalid="ignore"):
        log = 2.0**roots * log
        if not near:
            np.fill_diagonal(log, np.log(form.diagonal()))  # exact, whatever the roots lost
        log = (basis @ log @ basis.conj().T).real + exponent * np.log(2) * eye
    return log if np.isfinite(log).all() else None


def logm(a: np.ndarray) -> np.ndarray:
    """Logarithms of ``(B, n, n)``, NaN where there is none."""
    logs = (principal_log(matrix) for matrix in np.asarray(a, np.float64))
    nothing = np.full(a.shape[1:], np.nan)
    return np.array([nothing if log is None else log for log in logs]).reshape(a.shape)


def rotation_log(q: np.ndarray) -> np.ndarray:
    """A skew logarithm of an orthogonal matrix ``(n, n)`` of determinant 1, eigenvalues -1 taken in pairs."""
    form, basis = scipy.linalg.schur(q, output="real")
    angles = np.zeros_like(form)
    alone = []  # eigenvalues -1, an even number
    i = 0
    while i < len(q):
        if i + 1 < len(q) and form[i + 1, i] != 0:
            angle = np.arctan2((form[i + 1, i] - form[i, i + 1]) / 2, (form[i, i] + form[i + 1, i + 1]) / 2)
            angles[i + 1, i], angles[i, i + 1] = angle, -angle
            i += 2
        else:
            alone += [i] if form[i, i] < 0 else []
            i += 1
    for i, j in zip(alone[::2], alone[1::2], strict=True):
        angles[j, i], angles[i, j] = np.pi, -np.pi
    log = basis @ angles @ basis.T
    return (log - log.T) / 2


def polar_log(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``log Q`` and ``log P`` with ``g = Q P`` for ``(B, n, n)``, NaN where ``det g > 0`` does not hold.

    Of a matrix that is singular to rounding the determinant of ``Q``, too, must come out as 1.
    """
    log_q, log_p = np.full(g.shape, np.nan), np.full(g.shape, np.nan)
    for b, matrix in enumerate(np.asarray(g, np.float64) if g.size else ()):
        if np.isfinite(matrix).all() and np.linalg.slogdet(matrix)[0] > 0:
            left, s, right = np.linalg.svd(matrix)
            if s[-1] > 0 and np.linalg.slogdet(left @ right)[0] > 0:
                log_q[b] = rotation_log(left @ right)
                log_p[b] = (right.T * np.log(s)) @ right
    return log_q, log_p
