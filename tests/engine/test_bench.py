"""The sweep and the same cells one by one in plain PyTorch find the same barriers."""

from dataclasses import replace

import engine
from engine import bench, config

OPTIONS = [
    "tracking=none", "sweep.grid.depth=[2,4]", "sweep.grid.width=[5]", "sweep.grid.rescaling=[1,10]",
    "sweep.grid.weight_decay=[1e-3]", "sweep.seeds=2", "sweep.measures=[]", "sweep.relations=[rescaled]",
    "minima.steps=40",
]  # fmt: skip


def test_cells_alone_in_plain_pytorch_have_the_sweeps_barriers(tmp_path):
    settings = config.read(["+sweep=barriers", *OPTIONS, f"out={tmp_path}"])
    table = engine.load(engine.run("barriers", [*OPTIONS, f"out={tmp_path}"]))
    chosen = bench.sample(settings)
    assert len(chosen) == 2
    for cell, count in chosen.values():
        barriers = bench.cell_alone(cell, settings)
        assert count == 4 and cell.rescaling == 10 and all(barrier > 1e-4 for barrier in barriers.values())
        assert bench.check(table, cell, barriers, settings.sweep.points) < 1e-9
        other = replace(cell, minimum=replace(cell.minimum, seed=1 - cell.minimum.seed))
        assert bench.check(table, other, barriers, settings.sweep.points) > 1e-3
