"""From grid to blocks and shards."""

from types import SimpleNamespace

import pytest

from engine import plan

GRID = {
    "depth": [2, 3],
    "width": [4, 8],
    "activation": ["relu"],
    "skip": [0.0],
    "rescaling": [1.0, 10.0],
    "weight_decay": [0.0, 1e-3, 1e-2],
}


def blocks(seeds=5, size=64, **changed):
    return list(plan.blocks(SimpleNamespace(**(GRID | changed)), seeds, size))


@pytest.mark.parametrize("size", [1, 4, 5, 7, 10, 64])
def test_blocks_hold_every_cell_once(size):
    found = blocks(size=size)
    cells = [cell for block in found for cell in block.cells]
    assert len(cells) == len({tuple(cell.axes.values()) for cell in cells}) == 2 * 2 * 2 * 3 * 5
    assert max(len(block.minima) for block in found) <= size
    assert len({block.key for block in found}) == len(found)
    assert sum(map(len, found)) == len(cells)


def test_the_seeds_of_a_group_stay_together():
    for block in blocks(size=12):  # two groups of five fit, a third would be cut
        seeds = {}
        for minimum in block.minima:
            seeds.setdefault(minimum.weight_decay, []).append(minimum.seed)
        assert all(found == list(range(5)) for found in seeds.values())


def test_a_key_names_the_content():
    one, same = blocks(), blocks()
    assert [block.key for block in one] == [block.key for block in same]
    assert not {block.key for block in one} & {block.key for block in blocks(seeds=6)}
    # another width beside it does not change a block
    assert {block.key for block in blocks(width=[8])} < {block.key for block in one}


@pytest.mark.parametrize("shards", [1, 2, 7, 20])
def test_shards_share_all_the_work_evenly(shards):
    keys = [block.key for block in blocks(size=5)]
    shares = [plan.share(keys, shards, shard) for shard in range(shards)]
    assert set().union(*shares) == set(keys) and sum(map(len, shares)) == len(keys)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares == [plan.share(keys[::-1], shards, shard) for shard in range(shards)]
