"""The series of the logarithm in Y = B + B⁻¹ - 2I, and how far it reaches.

With B = exp(X): B - B⁻¹ = 2 sinh X and Y = 4 sinh²(X/2), so X = (B - B⁻¹) Σ_k c_k Yᵏ with
c_k = (-1)ᵏ (k!)² / (2 (2k+1)!), the series of asinh(s) / (s sqrt(1 + s²)) in s² = Y/4 (Gradshteyn & Ryzhik 1.515).
"""

from __future__ import annotations

import math

SERIES = tuple((-1) ** k * math.factorial(k) ** 2 / (2 * math.factorial(2 * k + 1)) for k in range(26))

# (‖Y‖, q, r): up to this norm the first term left out of a polynomial of degree q r is below u = 2⁻⁵³, relatively.
DEGREES = ((0.1, 3, 3), (0.48, 4, 4), (1.0, 5, 5))
