"""Taylor polynomials of the exponential in few products, and how far each reaches.

Bader, Blanes, Casas (2019), *Computing the matrix exponential with an optimized Taylor polynomial approximation*,
Mathematics 7(12), 1174: degrees 4, 8 and 18 in 2, 3 and 5 products.  Recomputed by ``tests/kernels/test_expm.py``.
"""

from __future__ import annotations

import math

import torch

# Degree 4: I + A + A² (I/2 + A/6 + A²/24).
# Degree 8, eq. (12): A⁴ = A² (x1 A + x2 A²);  I + A + y2 A² + (x3 A² + A⁴)(x4 I + x5 A + x6 A² + x7 A⁴).
_S = math.sqrt(177)
_X3 = 2 / 3
X1, X2, X3 = _X3 * (1 + _S) / 88, _X3 * (1 + _S) / 352, _X3
X4, X5 = (29 * _S - 271) / (315 * _X3), 11 * (_S - 1) / (1260 * _X3)
X6, X7 = 11 * (_S - 9) / (5040 * _X3), (89 - _S) / (5040 * _X3**2)
Y2 = (857 - 58 * _S) / 630

# Degree 18, eqs. (16) to (18): B_i = Σ_j b_ij (I, A, A², A³, A⁶)_j;  A⁹ = B_1 B_5 + B_4;  B_2 + (B_3 + A⁹) A⁹.
# Table 3 of the paper, but for the entries that are zero.
B1 = (-1.00365581030144618291e-01, -8.02924648241156932449e-03, -8.92138498045729985177e-04)  # A, A², A³
B2 = (3.97849749499645077844e-01, 1.36783778460411720168, 4.98289622525382669416e-01, -6.37898194594723280150e-04)
B3 = (
    -1.09676396052962061844e01,  # of I
    1.68015813878906206114,
    5.71779846478865511061e-02,
    -6.98210122488052056106e-03,
    3.34975017086070470649e-05,
)
B4 = (
    -9.04316832390810593223e-02,
    -6.76404519071381882256e-02,
    6.75961301770459654925e-02,
    2.95552570429315521194e-02,
    -1.39180257516060693404e-05,
)
B5 = (-9.23364619367118555360e-02, -1.69364939002081722752e-02, -1.40086798182036094347e-05)  # A², A³, A⁶

# The largest ‖A‖ for which the polynomial is the exponential of A + E with ‖E‖ at most u ‖A‖: Tables 1 and 2.
REACH = {
    torch.float64: {4: 3.40e-4, 8: 4.99e-2, 18: 1.09},
    torch.float32: {4: 5.12e-2, 8: 5.80e-1, 18: 3.01},
}

# The norm to which matrices are scaled for degree 18.  In float32 short of its reach: at norm 3 the series of a
# negative number cancels to e⁻⁶, a 400th, of its terms.
SCALED = {torch.float64: REACH[torch.float64][18], torch.float32: 1.9}

# A norm whose sixth power is in range: beyond, powers may overflow, and the matrix is scaled before.
LIMIT = {torch.float64: 2.0**160, torch.float32: 2.0**14}
