"""From a configuration to Parquet rows."""

import pyarrow.compute as pc

import engine

TINY = [
    "sweep.grid.depth=[2]",
    "sweep.grid.width=[6]",
    "sweep.grid.rescaling=[1,10]",
    "sweep.grid.weight_decay=[1e-3]",
    "sweep.seeds=2",
    "minima.steps=20",
    "tracking=none",
]


def test_barriers_of_rescaled_minima_are_the_closed_form(tmp_path):
    directory = engine.run("barriers", [*TINY, f"out={tmp_path}"])
    table = engine.load(directory)
    rows = table.filter(pc.is_valid(table["predicted"])).to_pylist()
    assert len(rows) == 2 * 2 * 2 * 2  # seeds, factors, layer-wise and per neuron, splits
    for row in rows:
        assert abs(row["barrier"] - row["predicted"]) <= 1e-12 * row["loss_max"]
    assert any(row["barrier"] > 0.1 for row in rows)
