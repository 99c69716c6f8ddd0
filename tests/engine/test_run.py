"""From a configuration to Parquet rows."""

import math

import numpy as np
import pyarrow.compute as pc
import pytest
from stacks import readme_symmetry_source

import engine
import engine.symmetry
from engine import discovery

TINY = [
    "sweep.grid.depth=[2]",
    "sweep.grid.width=[6]",
    "sweep.grid.rescaling=[1,10]",
    "sweep.grid.weight_decay=[1e-3]",
    "sweep.seeds=2",
    "sweep.measures=[]",
    "minima.steps=20",
    "tracking=none",
]


def rows(tmp_path, *options, **wanted):
    """Rows of the tiny sweep with further options whose columns have the wanted values."""
    tmp_path = tmp_path / "out"
    table = engine.load(engine.run("barriers", [*TINY, *options, f"out={tmp_path}"]))
    for column, value in wanted.items():
        table = table.filter(pc.equal(table[column], value))
    return table.to_pylist()


def test_barriers_of_rescaled_minima_are_the_closed_form(tmp_path):
    found = rows(tmp_path)
    predicted = [row for row in found if row["predicted"] is not None]
    assert len(predicted) == 2 * 2 * 2 * 2  # seeds, factors, layer-wise and per neuron, splits
    for row in predicted:
        assert abs(row["barrier"] - row["predicted"]) <= 1e-12 * row["loss_max"]
    assert any(row["barrier"] > 0.1 for row in predicted)
    assert all(row["relation"] == "rescaled" and row["path"] == "linear" for row in predicted)
    # two paths and three alignments, a row for each split; where no curve relates the two minima one row says so:
    # 8 rescaled, 2 permuted and 1 independent pairs
    assert len(found) == 8 * 5 * 2 + (2 + 1) * (4 * 2 + 1)
    assert all((row["barrier"] is None) == (row["reason"] is not None) for row in found)


def test_a_row_holds_its_curve_and_what_follows_from_it(tmp_path):
    for row in rows(tmp_path, path="linear"):
        t, loss = np.array(row["t"]), np.array(row["loss"])
        assert t[0] == 0 and t[-1] == 1 and (np.diff(t) > 0).all() and len(t) == len(loss) >= 21
        assert row["loss_max"] == loss.max() and row["t_max"] == t[loss.argmax()]
        assert row["barrier"] == (loss - ((1 - t) * loss[0] + t * loss[-1])).max()
        assert row["barrier_mean"] == pytest.approx(loss.max() - (loss[0] + loss[-1]) / 2, rel=1e-15, abs=1e-15)
        assert len(row["error_rate"]) == len(t) and all(0 <= rate <= 1 for rate in row["error_rate"])
        assert 0 <= row["barrier_tolerance"] <= 1e-3 * row["barrier"] + 1e-12


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "relu_squared"])
def test_the_loss_is_constant_on_symmetry_curves_and_not_on_the_line(tmp_path, activation):
    found = rows(tmp_path, f"sweep.grid.activation=[{activation}]", "sweep.relations=[rescaled]", rescaling=10.0)
    curves = [row for row in found if row["path"] == "symmetry"]
    lines = [row for row in found if row["path"] == "linear" and row["alignment"] == "none"]
    assert len(curves) == len(lines) == 2 * 2 * 2
    assert all(row["deviation"] <= 1e-13 * row["loss_a"] for row in curves)
    assert all(row["deviation"] >= 1e-3 * row["loss_a"] for row in lines)


@pytest.mark.parametrize("alignment", ["rescaling", "both"])
def test_alignment_removes_the_barrier_of_a_rescaling(tmp_path, alignment):
    found = rows(tmp_path, "sweep.relations=[rescaled]", rescaling=10.0)
    aligned = [row for row in found if row["alignment"] == alignment]
    assert aligned and all(row["barrier"] <= 1e-12 and row["distance"] <= 1e-6 for row in aligned)
    assert all(row["distance"] > 1 for row in found if row["alignment"] == "none" and not row["per_neuron"])


def test_what_is_no_symmetry_of_a_cell_is_one_row_with_its_reason(tmp_path):
    found = rows(tmp_path, "sweep.grid.activation=[tanh]")
    rescaled = [row for row in found if row["relation"] == "rescaled"]
    assert len(rescaled) == 2 * 2  # one per cell
    for row in rescaled:
        assert row["reason"] == "not applicable: tanh is not positively homogeneous"
        assert row["barrier"] is None and row["predicted"] is None
    permuted = [row for row in found if row["relation"] == "permuted" and row["path"] == "linear"]
    assert any(row["reason"] is None and row["barrier"] > 0 for row in permuted)


@pytest.mark.parametrize("relation", ["rescaled", "permuted"])
def test_only_layers_inside_one_skip_are_moved(tmp_path, relation):
    """Depth 5, ε ≠ 0: the skip joins hidden layers 2 and 4, which are tied."""
    options = ["sweep.grid.depth=[5]", "sweep.grid.skip=[0.5]", f"sweep.relations=[{relation}]"]
    found = rows(tmp_path, *options, split="train")
    ends = [row for row in found if row["path"] == "linear" and row["alignment"] == "none"]
    assert ends and all(row["reason"] is None for row in ends)
    assert all(abs(row["loss_a"] - row["loss_b"]) <= 1e-12 * row["loss_a"] for row in ends)
    assert any(row["distance"] > 0.1 for row in ends)


@pytest.mark.parametrize("bias", ["true", "false"])
def test_cross_entropy_has_its_closed_form_too(tmp_path, bias):
    found = rows(tmp_path, "loss=cross_entropy", "sweep.relations=[rescaled]", f"network.bias={bias}", rescaling=10.0)
    predicted = [row for row in found if row["predicted"] is not None]
    assert len(predicted) == 2 * 2 * 2
    for row in predicted:
        assert abs(row["barrier"] - row["predicted"]) <= 1e-12 * row["loss_max"]


def test_single_precision_is_single_precision(tmp_path):
    found = rows(tmp_path, "precision=float32", "sweep.relations=[rescaled]", rescaling=10.0, alignment="none")
    for row in found:
        if row["predicted"] is not None:
            error = abs(row["barrier"] - row["predicted"])
            assert error <= 1e-4 * row["loss_max"]
            assert np.float32(row["loss_a"]) == row["loss_a"]


def test_a_minimum_that_was_not_found_is_a_row_with_its_reason(tmp_path):
    options = ["minima.optimizer=sgd", "minima.learning_rate=1e6", "sweep.grid.activation=[relu_squared]"]
    found = rows(tmp_path, *options, "sweep.relations=[rescaled]")
    assert found
    for row in found:
        assert row["reason"] == "the training did not stay finite"
        assert row["barrier"] is None
        assert row["loss_a"] is None or not math.isfinite(row["loss_a"])


def test_cells_of_another_sweep_find_the_same_minima(tmp_path):
    """Minima are seeded by what they are: a sweep over other factors and widths finds the same ones."""
    one = rows(tmp_path / "1", "sweep.relations=[rescaled]", rescaling=10.0, alignment="none", path="linear")
    two = rows(
        tmp_path / "2", "sweep.relations=[rescaled]", "sweep.grid.rescaling=[10,50]", "sweep.grid.width=[6,7]",
        rescaling=10.0, alignment="none", path="linear", width=6,
    )  # fmt: skip
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert a["seed"] == b["seed"] and a["loss_a"] == pytest.approx(b["loss_a"], rel=1e-9)
        assert a["barrier"] == pytest.approx(b["barrier"], rel=1e-9)


def test_units_with_flipped_signs_are_another_minimum_of_an_odd_network(tmp_path):
    flipped = ["sweep.relations=[flipped]", "sweep.grid.activation=[tanh,relu]", "sweep.figures=[curves]"]
    found = rows(tmp_path, *flipped, "sweep.paths=[linear]", "sweep.alignments=[none]")
    of_tanh = [row for row in found if row["activation"] == "tanh"]
    assert len(of_tanh) == 2 * 2  # seeds, splits
    assert all(row["loss_b"] == pytest.approx(row["loss_a"], rel=1e-12) for row in of_tanh)
    assert max(row["barrier"] for row in of_tanh) > 1e-2
    assert {row["reason"] for row in found if row["activation"] == "relu"} == {
        "not applicable: relu has no sign flips of its own"
    }


def test_a_symmetry_of_one_s_own_is_one_new_file(tmp_path, monkeypatch):
    (tmp_path / "shifted.py").write_text(readme_symmetry_source())
    monkeypatch.setattr(engine.symmetry, "__path__", [*engine.symmetry.__path__, str(tmp_path)])
    discovery.members.cache_clear()
    try:
        found = rows(
            tmp_path, "minima.steps=300", "sweep.relations=[shifted]", "sweep.paths=[linear]", "sweep.alignments=[none]"
        )
        assert [row["loss_b"] for row in found] == pytest.approx([row["loss_a"] for row in found], rel=1e-12)
        assert len(found) == 2 * 2 and {row["relation"] for row in found} == {"shifted"}
        assert max(row["barrier"] for row in found) > 1e-3
    finally:
        discovery.members.cache_clear()
