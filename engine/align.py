"""Bringing the second minimum of a pair near the first by a symmetry, before the straight line is taken."""

from __future__ import annotations

from engine.types import Weights

ALIGNMENTS = ("none", "permutation", "rescaling", "both")


def reason(kind: str, symmetries) -> str | None:
    """Why an alignment does not apply to a network, or None."""
    wanted = {"none": (), "both": ("rescaling", "permutation")}.get(kind, (kind,))
    return next((symmetries[name].reason for name in wanted if symmetries[name].reason), None)


def aligned(kind: str, symmetries, a: Weights, b: Weights) -> Weights:
    """``b`` moved by the symmetry element that brings it near ``a``; the same function.

    ``both`` alternates rescaling and permutation.  It does so in the balanced form of ``a`` and ``b``, the point of
    least norm on each rescaling orbit: balancing commutes with permutations, so one round of each is the fixed point.
    """
    if kind == "none":
        return b
    if kind != "both":
        return symmetries[kind].act(symmetries[kind].align(a, b), b)
    rescaling, permutation = symmetries["rescaling"], symmetries["permutation"]
    to_balance = rescaling.balance(a)
    balanced = rescaling.act(rescaling.balance(b), b)
    match = permutation.align(rescaling.act(to_balance, a), balanced)
    return rescaling.act(rescaling.inverse(to_balance), permutation.act(match, balanced))
