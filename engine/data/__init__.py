"""Data sets: one file each.

A member is a module with a dataclass ``Config`` whose fields are its options (``name`` is the file's), with the class
attribute ``has_teacher`` (the draw knows a network of zero loss) and two methods:

``shape(architecture)``
    A ``Shape``, without drawing anything; no torch needed.
``draw(architecture, seed, network)``
    A ``Data`` in float64 on the CPU, the same for the same arguments.

Arrays are samples-first; targets are floating ``(N, d_l)`` or integer labels ``(N,)`` from 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of a data set: features, outputs (classes, or the width of y), training and test samples."""

    inputs: int
    outputs: int
    train: int
    test: int
    classes: bool  # the targets are labels
