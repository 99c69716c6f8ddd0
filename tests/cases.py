"""Named hard matrices for tests of matrix functions, each with where it comes from; float64, seeded."""

from __future__ import annotations

import zlib

import numpy as np
import scipy.linalg
import scipy.stats


def generator(name: str) -> np.random.Generator:
    """A generator of its own for every name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def gaussian(n: int, norm: float | None = None, name: str = "gaussian") -> np.ndarray:
    """Independent normal entries of variance 1/n, scaled to a 1-norm where one is given."""
    a = generator(f"{name}{n}").standard_normal((n, n)) / np.sqrt(n)
    return a if norm is None else a * (norm / np.linalg.norm(a, 1))


def orthogonal(n: int, name: str = "orthogonal") -> np.ndarray:
    """A rotation, uniformly distributed."""
    return (
        scipy.stats.special_ortho_group.rvs(n, random_state=zlib.crc32(f"{name}{n}".encode())) if n > 1 else np.eye(1)
    )


def jordan(n: int, eigenvalue: float, above: float = 1.0) -> np.ndarray:
    """A Jordan block."""
    return eigenvalue * np.eye(n) + above * np.eye(n, k=1)


def grcar(n: int) -> np.ndarray:
    """Grcar (1989), *Operator coefficient methods for linear equations*: sensitive eigenvalues."""
    return np.triu(np.tril(np.ones((n, n)), 3)) - np.eye(n, k=-1)


def frank(n: int) -> np.ndarray:
    """Frank (1958), J. SIAM 6(4): positive eigenvalues in pairs λ, 1/λ, the small ones ill-conditioned."""
    i, j = np.indices((n, n))
    return np.where(j >= i - 1, n - np.maximum(i, j), 0.0)


def spd(n: int, condition: float) -> np.ndarray:
    """Symmetric positive definite with eigenvalues spread evenly in their logarithms."""
    q = orthogonal(n, "spd")
    values = np.logspace(-np.log10(condition) / 2, np.log10(condition) / 2, n)
    a = (q * values) @ q.T
    return (a + a.T) / 2


def rotation(n: int, gap: float) -> np.ndarray:
    """Orthogonal, its planes turned by angles up to π - ``gap``."""
    angles = np.pi - gap * np.arange(1, n // 2 + 1)
    blocks = [[[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]] for t in angles] + [[[1.0]]] * (n % 2)
    q = orthogonal(n, "rotation")
    return q @ scipy.linalg.block_diag(*blocks) @ q.T


def similar(blocks: np.ndarray, condition: float = 3.0, name: str = "similar") -> np.ndarray:
    """``S B S⁻¹`` for a random ``S`` of the condition number given."""
    n = len(blocks)
    s = orthogonal(n, name) @ np.diag(np.geomspace(1, condition, n)) @ orthogonal(n, name + "'")
    return s @ blocks @ np.linalg.inv(s)


def graded(n: int, ratio: float = 1e3) -> np.ndarray:
    """Triangular, positive diagonal, off-diagonal entries far larger than it."""
    return np.diag(np.linspace(1, 2, n)) + ratio * np.triu(generator(f"graded{n}").standard_normal((n, n)), 1)


# Matrices whose exponential is hard.
EXPM = {
    # Ward (1977), SIAM J. Numer. Anal. 14(4), examples 1 to 3
    "ward-1": np.array([[4.0, 2, 0], [1, 4, 1], [1, 1, 4]]),
    "ward-2": np.array([
        [29.87942128909879, 0.7815750847907159, -2.289519314033932],
        [0.7815750847907159, 25.72656945571064, 8.680737820540137],
        [-2.289519314033932, 8.680737820540137, 34.39400925519054],
    ]),
    "ward-3": np.array([[-131.0, 19, 18], [-390, 56, 54], [-387, 57, 52]]),
    # Moler & Van Loan (2003), SIAM Review 45(1), sections 3 and 4
    "moler-van-loan": np.array([[-49.0, 24], [-64, 31]]),
    # Dieci & Papini (2000), Linear Algebra Appl. 308: overscaled by the norm
    "dieci-papini": np.array([[1.0, 1e6], [0, -1.0]]),
    "dieci-papini-full": np.array([[-1.0, 1e3], [1e-3, -1.0]]),
    # Al-Mohy & Higham (2009), SIMAX 31(3), section 1
    "al-mohy-higham": np.array([[1.0, 1e4], [0, -1.0]]),
    "nilpotent": np.triu(np.full((7, 7), 3.0), 1),
    "jordan": jordan(8, 1.0),
    "jordan-negative": jordan(8, -20.0),
    "jordan-steep": jordan(16, -0.5, 30.0),
    "skew": gaussian(16, 20.0) - gaussian(16, 20.0).T,
    "zero": np.zeros((5, 5)),
    "triangular": np.triu(gaussian(12, 5.0, "triangular")),
    "triangular-steep": np.diag(-np.arange(9.0)) + np.triu(np.full((9, 9), 10.0), 1),
    "lower": np.tril(gaussian(9, 30.0, "lower")),
    "grcar": grcar(33),
    "frank": frank(8),
    "negative-definite": -spd(9, 1e4),
    "stochastic": (lambda p: p / p.sum(1, keepdims=True) - np.eye(10))(generator("stochastic").random((10, 10))),
}

# Matrices that have a principal logarithm, and it is hard.
LOGM = {
    **{f"rotation-{gap:g}": rotation(6, gap) for gap in (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6)},
    "rotation-odd": rotation(7, 1e-6),
    "rotation-32": rotation(32, 1e-4),
    "rotation-scaled": 37.0 * rotation(8, 1e-5),
    **{f"spd-{condition:g}": spd(8, condition) for condition in (1e2, 1e6, 1e10)},
    "spd-32": spd(32, 1e10),
    "hilbert": scipy.linalg.hilbert(6),
    # Kågström (1977), and Davies & Higham (2003), SIMAX 25(2): nearly defective
    "near-defective": np.array([[1.0, 1, 0], [0, 1 + 1e-7, 1], [0, 0, 1 + 2e-7]]),
    "near-defective-full": similar(jordan(6, 2.0) + np.diag(1e-9 * np.arange(6)), name="near-defective"),
    "jordan": jordan(8, 0.3),
    "grcar": grcar(8),
    "grcar-33": grcar(33),
    "frank": frank(8),
    "graded": graded(6),
    "graded-lower": graded(6).T.copy(),
    "graded-wide": graded(5, 1e6),
    # Dieci & Papini (2000), Numer. Algorithms 24
    "dieci-papini": np.array([[1.0, 1e6], [0, 2.0]]),
    "exponential": scipy.linalg.expm(gaussian(9)),
    "exponential-64": scipy.linalg.expm(gaussian(64)),
    "non-normal": similar(np.diag(np.linspace(0.1, 4, 8)), 1e4, "non-normal"),
    "complex-pairs": similar(scipy.linalg.block_diag(rotation(4, 0.05), 3 * rotation(4, 0.5)), 10.0, "pairs"),
    **{f"near-identity-{size:g}": np.eye(6) + gaussian(6, size, "near-identity") for size in (1e-3, 1e-8, 1e-14)},
    "huge": 1e150 * scipy.linalg.expm(gaussian(6)),
    "tiny": 1e-150 * scipy.linalg.expm(gaussian(6)),
    "scales": np.diag([1e-8, 1.0, 1e8]),
}

# Matrices that have no principal logarithm.
NO_LOG = {
    "negative": similar(np.diag([-1.0, 2, 3, 4]), name="negative"),
    "two-negative": similar(np.diag([-1.0, -2, 3, 4]), name="two-negative"),
    "double-negative": similar(np.diag([-1.0, -1, 3, 4]), name="double-negative"),
    "minus-identity": -np.eye(4),
    "half-turn": rotation(6, 0.0),
    "defective-negative": scipy.linalg.block_diag(jordan(2, -1.0), jordan(2, 2.0)),
    "defective-negative-full": similar(scipy.linalg.block_diag(jordan(2, -1.0), np.diag([2.0, 5.0])), name="defective"),
    "singular": np.array([[1.0, 2], [2, 4]]),
    "singular-full": similar(np.diag([0.0, 1, 2, 3, 4]), name="singular"),
    "nilpotent": np.eye(4, k=1),
    "zero": np.zeros((3, 3)),
    "nan": np.array([[1.0, np.nan], [0, 1.0]]),
    "infinite": np.array([[1.0, np.inf], [0, 1.0]]),
}
