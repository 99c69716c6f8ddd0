"""The exponential of one matrix after the other by SciPy: the definition every fast path is compared with."""

from __future__ import annotations

import numpy as np
import scipy.linalg


def expm(a: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Exponentials ``(B, T, n, n)`` of ``t_k a``, for ``a`` ``(B, n, n)`` and ``t`` ``(T,)``, in float64."""
    a, t = np.asarray(a, np.float64), np.asarray(t, np.float64)
    out = np.empty((a.shape[0], t.shape[0], *a.shape[1:]))
    for b, k in np.ndindex(out.shape[:2]):
        out[b, k] = scipy.linalg.expm(t[k] * a[b])
    return out
