"""Claims are judged from rows alone: each holds on tiny inputs, its control fails, disturbed rows turn the verdict."""

import itertools
import json
import subprocess
import sys

import pyarrow as pa
import pytest

import engine
from engine import claim, reading, results
from engine.discovery import members
from engine.measure import SILENT
from engine.report.select import rows as select

# small enough for seconds, and every claim still applies
TINY = {
    "barriers": [
        "sweep.grid.depth=[2]",
        "sweep.grid.width=[3,4]",
        "sweep.grid.rescaling=[1,10]",
        "sweep.grid.weight_decay=[0]",
        "sweep.seeds=2",
        "minima.steps=5",
        "data=teacher",
    ],
    "approximate": [
        "sweep.grid.width=[12]",
        "measure.approximate.networks=20",
        "measure.approximate.largest=12",
        "measure.approximate.growth_networks=4",
    ],
    "curvature": ["sweep.grid.depth=[2]", "sweep.grid.width=[1,2]", "sweep.seeds=4"],
    "regularization": [
        "sweep.grid.width=[3]",
        "sweep.grid.weight_decay=[0.0,3e-2]",
        "sweep.seeds=2",
        "sweep.alignments=[none]",
        "data.samples=16",
        "minima.steps=1000",
        "measure.balance_law.steps=50",
    ],
    "detection": [
        "sweep.grid.activation=[linear,tanh]",
        "sweep.seeds=3",
        "minima.steps=300",
        "measure.detection.planted=1",
        "measure.counter_check.samples=6",
    ],
    "conditions": ["sweep.grid.width=[3]", "sweep.seeds=1", "measure.orbit_barrier.radii=[64,256]"],
    "nonlinear": ["sweep.grid.width=[6]", "sweep.grid.activation=[tanh]", "sweep.seeds=2", "minima.steps=300"],
    "components": ["sweep.grid.depth=[2]", "sweep.grid.width=[2]", "sweep.seeds=8", "measure.components.learned=3"],
    "residual": [
        "sweep.grid.depth=[3,4]",
        "sweep.grid.width=[1,2]",
        "sweep.grid.skip=[0,1]",
        "sweep.seeds=2",
        "measure.residual.draws=1",
        "measure.residual.samples=40",
    ],
    "permutation": ["sweep.grid.depth=[2]", "sweep.grid.width=[1,3]", "sweep.seeds=16"],
    "curves": ["sweep.grid.depth=[2,3]", "sweep.grid.width=[2]", "sweep.seeds=1"],
}
GROWING = itertools.count(1)
# a column of the claim's own rows and what is done to it, to turn the verdict
DISTURBED = {
    ("approximate", "bounded_change"): ("output_change", lambda value: value + 1),
    ("approximate", "exact_change"): ("output_change", lambda value: value + 1e-8),
    ("approximate", "below_the_line"): ("induced_change", lambda value: value + 1),
    ("curvature", "chord_within_sagitta"): ("distance_measured", lambda value: 100 * value),
    ("curvature", "loss_within_bound"): ("lipschitz", lambda value: value / 100),
    ("regularization", "derivative_is_imbalance"): ("law_error", lambda value: value + 1e-8),
    ("regularization", "flow_shrinks_imbalance"): ("law_error", lambda value: value + 1e-2),
    ("regularization", "minima_are_balanced"): ("balance", lambda value: value + 1e-8),
    ("regularization", "minima_on_kinks_are_balanced"): ("balance", lambda value: value + 0.1),
    ("regularization", "no_rescaling_part"): ("rescaling_part", lambda value: value + 1),
    ("detection", "planted_is_found"): ("recovered", lambda value: False),
    ("detection", "independent_minima_are_near"): ("p_value", lambda value: 1.0),
    ("detection", "counter_agrees_with_element"): ("counter_agrees", lambda value: False),
    ("detection", "determinant_agrees_with_label"): ("labels_agree", lambda value: False),
    ("conditions", "grows_on_non_compact_orbits"): ("radius", lambda value: value**0.5),
    ("conditions", "bounded_on_compact_orbits"): (
        "orbit_barrier",
        lambda value: value * (1 + 1e-6 * next(GROWING)),
    ),
    ("nonlinear", "below_bezier"): ("refitted_barrier", lambda value: value + 1),
    ("nonlinear", "below_line"): ("refitted_barrier", lambda value: value + 1),
    ("components", "all_labels"): ("labels", lambda value: 2 * value),
    ("components", "paths_agree"): ("same_component", lambda value: not value),
    ("components", "joined"): ("polar_loss", lambda value: value + 1e-8),
    ("components", "apart"): ("learned_loss", lambda value: value / 2),
    ("permutation", "one_component"): ("together_permuted", lambda value: False),
    ("permutation", "joined"): ("permuted_curve_loss", lambda value: value + 1e-8),
    ("permutation", "before"): ("together", lambda value: True),
    ("residual", "scalars"): ("components", lambda value: value + 1),
    ("residual", "wider"): ("components", lambda value: value + 1),
    ("residual", "four_layers"): ("orientation", lambda value: -value),
    ("curves", "principal"): ("curve_residual", lambda value: value + 1e-8),
    ("curves", "polar"): ("end_error", lambda value: value + 1e-8),
    ("curves", "joined_by_label"): ("labels_agree", lambda value: True),
    ("barriers", "closed_form"): ("barrier", lambda value: value * 1.001),
    ("barriers", "random_networks"): ("growth_barrier", lambda value: value * (1 + 1e-8)),
    ("barriers", "permutation_does_not_help"): ("permuted_barrier", lambda value: value**1.1),
    ("barriers", "chord_leaves_the_set"): ("chord_distance", lambda value: value * (1 + 1e-8)),
    ("barriers", "growth_exponent"): ("rescaling", lambda value: value**1.1),
}
# hypotheses on an open question, which so few networks do not decide: test_residual judges rows made up to do so
OPEN = {("residual", "more_steps"), ("residual", "wider_gap")}


@pytest.fixture(scope="module", params=list(TINY))
def directory(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    return engine.run(request.param, [*TINY[request.param], f"out={out}", "tracking=none"])


def test_every_claim_holds_and_its_control_fails(directory):
    judged = json.loads((directory / claim.CLAIMS).read_text())
    assert judged
    for entry in judged:
        assert entry["control"] == "fails", entry
        assert entry["verdict"] == "holds" or (entry["sweep"], entry["name"]) in OPEN, entry
        assert entry["measured"] is not None and entry["reason"]
        assert entry["claim"].startswith((
            "Prop. ",
            "Fig. ",
            "Eq. ",
            "Thm. ",
            "Cor. ",
            "Open Question ",
            "Next check ",
            "Section ",
        )), entry["claim"]


def test_a_disturbed_measurement_turns_the_verdict(directory):
    table = reading.load(directory, controls=True)
    sweep = results.read_manifest(directory)["config"]["sweep"]
    for name, made in claim.of_sweep(sweep["name"]).items():
        if (sweep["name"], name) in OPEN:
            continue
        column, change = DISTURBED[sweep["name"], name]
        place = table.schema.get_field_index(column)
        changed = [None if value is None else change(value) for value in table[column].to_pylist()]
        disturbed = table.set_column(
            place, table.schema.field(place), pa.array(changed, table.schema.field(place).type)
        )
        tolerance = sweep["claims"][name]["tolerance"]
        assert made.judge(table, tolerance)["verdict"] == "holds"
        assert made.judge(disturbed, tolerance)["verdict"] == "fails", name


def test_claims_do_not_apply_where_there_are_no_rows(directory):
    table = reading.load(directory)[:0]
    for made in claim.of_sweep(results.read_manifest(directory)["config"]["sweep"]["name"]).values():
        entry = made.judge(table, 1.0)
        assert (entry["verdict"], entry["control"]) == ("not applicable", "not applicable")
        assert entry["measured"] is None


def test_every_file_of_claims_has_a_tiny_sweep_here():
    assert set(TINY) == set(members("claim"))


def test_claims_are_judged_without_torch(directory):
    program = (
        f"import sys; from engine import claim; print(len(claim.judge({str(directory)!r}))); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (claim.equal(1.0, 1.05), "holds"),
        (claim.equal(1.0, 0.85), "fails"),
        (claim.at_most(1.0, 0.2), "holds"),
        (claim.at_most(1.0, 1.2), "fails"),
        (claim.at_least(1.0, 7.0), "holds"),
        (claim.at_least(1.0, 0.8), "fails"),
        (claim.equal(1.0, float("nan")), "fails"),
        (claim.at_least(1.0, float("nan")), "fails"),
        (None, "not applicable"),
    ],
)
def test_verdicts(finding, expected):
    assert claim.verdict(finding, 0.1) == expected


@pytest.mark.parametrize(
    ("finding", "holds"),
    [
        (claim.equal(1.0, 1.0), True),
        (claim.equal(1.0, 1.1), False),
        (claim.at_most(1.0, 0.2), True),
        (claim.at_most(1.0, 1.1), False),
        (claim.at_least(1.0, 1.0), True),
        (claim.at_least(1.0, 0.9), False),
        (claim.above(0.0, 1e-300), True),
        (claim.above(0.0, 0.0), False),
        (claim.above(0.0, float("nan")), False),
    ],
)
def test_how_measured_stands_to_predicted(finding, holds):
    assert claim.verdict(finding, 0.0) == ("holds" if holds else "fails")


def test_a_tolerance_below_what_the_precision_tells_apart_judges_nothing(tmp_path):
    # of eight layers, where squares of squares would overflow, and of one unit, which may not respond to any sample
    small = ["sweep.grid.depth=[8]", "sweep.grid.width=[1,4]", "sweep.relations=[rescaled]", "sweep.figures=[]"]
    given = [*TINY["barriers"], *small, "precision=float32", f"out={tmp_path}", "tracking=none"]
    judged = {entry["name"]: entry for entry in claim.judge(engine.run("barriers", given))}
    rounding = judged["closed_form"]
    assert rounding["verdict"] == rounding["control"] == "not applicable"
    assert "float32" in rounding["reason"]
    assert rounding["measured"] > rounding["tolerance"]
    exponent = judged["growth_exponent"]
    assert (exponent["verdict"], exponent["control"], exponent["without_number"]) == ("holds", "fails", None)
    rows = select(reading.load(tmp_path), measure="growth")
    silent = select(rows, growth_barrier=None)
    assert set(silent["reason"].to_pylist()) == {SILENT} and set(silent["width"].to_pylist()) == {1}
    assert set(rows["activation"].to_pylist()) == {"relu", "leaky_relu", "relu_squared"}
