"""Whether the component counter, not told of the symmetry, joins the minima that the element found would join."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import torch

from engine.count import count_components
from engine.count.join import UNAWARE
from engine.discovery import members
from engine.seeding import seed_of

COLUMNS = {
    # whether det g > 0 at every layer for the element found exactly where the counter has one component for both ends
    "counter_agrees": pa.bool_(),
}
SHIFTED = "the components of another pair"


@dataclass
class Config:
    """Options of ``measures=[counter_check]``."""

    # all widths of a linear network of the block's depth, and the samples of square Gaussian data
    width: int = 2
    # minima that the counter draws
    samples: int = 12

    def __post_init__(self):
        if self.width < 1 or self.samples < 3:
            raise ValueError("measure.counter_check: width and samples, expected at least 1 and 3")


def of_block(study):
    """One row per pair of consecutive minima of the counter, and one with the next pair's components."""
    options, architecture = study.config.measure.counter_check, study.block.architecture
    if architecture.activation != "linear" or architecture.skip or architecture.depth < 2:
        return []
    axes = vars(replace(architecture, width=options.width))
    seed = seed_of(what="counter_check", sweep_seed=study.config.seed, **axes)
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(options.width, options.width, generator=generator, dtype=torch.float64) for _ in range(2))
    widths = (options.width,) * (architecture.depth + 1)
    found = count_components(widths, x, y, samples=options.samples, seed=study.config.seed, means=UNAWARE)
    network = replace(study.network, widths=widths, bias=False, skip=0.0)
    a, b = found.weights, found.weights.map(lambda p: p.roll(-1, 0))
    element = members("symmetry")["linear"].Group(network).align(a, b)
    positive = (torch.linalg.slogdet(torch.stack(element)).sign > 0).all(0)
    joined = found.group == found.group.roll(-1)
    rows = []
    for k, (own, other) in enumerate(zip(positive == joined, positive == joined.roll(-1), strict=True)):
        row = axes | {"seed": k, "seed_b": (k + 1) % options.samples, "relation": "independent"}
        rows += [row | {"counter_agrees": bool(own)}, row | {"counter_agrees": bool(other), "control": SHIFTED}]
    return rows
