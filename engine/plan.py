"""From a grid to cells, blocks and shards; no torch, and a million cells take seconds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from engine.seeding import digest
from engine.types import Architecture, Block, Minimum


def blocks(grid, seeds: int, size: int) -> Iterator[Block]:
    """The blocks of a sweep in a fixed order: one architecture after the other, at most ``size`` minima each.

    The seeds of one weight decay stay together: a new block begins where they would not fit whole.  Only a group larger
    than a block is cut.

    Args:
        grid: axis values, attributes ``depth``, ``width``, ``activation``, ``skip``, ``rescaling``, ``weight_decay``.
        seeds: minima of each kind, seeds ``0 … seeds - 1``.
        size: the most minima of one block.

    Yields:
        Blocks; no two share a cell, together they hold every cell.
    """
    rescalings = tuple(grid.rescaling)
    for values in itertools.product(grid.depth, grid.width, grid.activation, grid.skip):
        architecture = Architecture(*values)
        minima: list[Minimum] = []
        for decay in grid.weight_decay:
            if minima and len(minima) + seeds > size:
                yield _block(architecture, minima, rescalings)
                minima = []
            for seed in range(seeds):
                if len(minima) == size:
                    yield _block(architecture, minima, rescalings)
                    minima = []
                minima.append(Minimum(architecture, decay, seed))
        yield _block(architecture, minima, rescalings)


def _block(architecture: Architecture, minima: list[Minimum], rescalings: tuple[float, ...]) -> Block:
    key = digest(
        architecture=vars(architecture),
        minima=[(minimum.weight_decay, minimum.seed) for minimum in minima],
        rescalings=rescalings,
    )
    return Block(key, architecture, tuple(minima), rescalings)


def share(keys: list[str], shards: int, shard: int) -> set[str]:
    """The keys dealt to one shard: every ``shards``-th in the order of the keys; shares differ by at most one."""
    return set(sorted(keys)[shard::shards])
