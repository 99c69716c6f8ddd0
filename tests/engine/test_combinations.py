"""Options that no sweep combines by itself: each of these once ended in a traceback."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest

import engine
from engine import claim
from engine.count.draw import TooFewMinima
from engine.measure import residual

TINY = ["sweep.grid.depth=[2]", "sweep.grid.rescaling=[1]", "sweep.grid.weight_decay=[0]", "sweep.seeds=3"]
PLAIN = ["sweep.paths=[linear]", "sweep.measures=[]", "tracking=none"]
LINEAR = [*TINY, "sweep.relations=[]", "sweep.grid.activation=[linear]", "sweep.grid.width=[2]", "tracking=none"]


@pytest.fixture
def run(tmp_path):
    def rows(sweep, *options):
        return engine.load(engine.run(sweep, [*options, f"out={tmp_path / 'out'}"]))

    rows.claims = tmp_path / "out" / claim.CLAIMS
    return rows


def test_curves_of_minima_that_are_one_and_the_same(run):
    """A factor of 1 alone: there is nothing to draw between a minimum and itself."""
    table = run("barriers", *TINY, *PLAIN, "sweep.relations=[rescaled]", "minima.steps=2", "data=teacher")
    assert set(table["barrier"].to_pylist()) and max(table["barrier"].to_pylist()) <= 1e-14


def test_components_in_single_precision(run):
    """Minima that were trained in float32 are brought onto the minimum in float64."""
    options = ("sweep.measures=[components]", "precision=float32", "data=regression", "network.bias=false", "loss=sse")
    table = run("barriers", *LINEAR, *options, "minima.steps=200", "measure.components.learned=1")
    polar = [value for value in table["polar_loss"].to_pylist() if value is not None]
    assert polar and max(polar) <= 1e-20


def test_components_of_minima_on_labels(run):
    """A squared loss compares with one-hot vectors."""
    options = ("sweep.measures=[components]", "data=digits", "network.bias=false", "minima.steps=5")
    table = run("barriers", *LINEAR, *options, "sweep.seeds=2", "loss=mse", "measure.components.learned=1")
    named = table.filter(pc.is_valid(table["component"]))
    assert set(named["data"].to_pylist()) == {"digits", "iris"} and set(named["labels"].to_pylist()) == {2}


def test_curves_between_minima_on_as_many_labels_as_features(run, tmp_path):
    np.savez(tmp_path / "own.npz", x=np.eye(2) + 0.1, y=np.array([0, 1]))
    options = ("sweep.measures=[components]", "data=npz", f"data.path={tmp_path / 'own.npz'}", "data.test_share=0")
    fit = (
        "network.bias=false",
        "loss=mse",
        "data.standardize=false",
        "minima.steps=50",
        "measure.components.learned=1",
    )
    polar = [value for value in run("barriers", *LINEAR, *options, *fit)["polar_loss"].to_pylist() if value is not None]
    assert polar and max(polar) <= 1e-20


@pytest.mark.parametrize("measure", ["components", "permutation", "curve", "residual"])
def test_components_have_no_names_with_biases(measure, run):
    table = run("barriers", *LINEAR, f"sweep.measures=[{measure}]", "data=regression", "network.bias=true", "loss=sse")
    assert not pc.any(pc.equal(table["measure"], measure)).as_py()


def test_the_best_map_of_one_sample_is_its_bias(run):
    """Less their mean, its features are zero and so is the best linear map."""
    options = ("minima=exact", "data=regression", "data.samples=1", "data.test_samples=0", "network.bias=true")
    table = run("barriers", *LINEAR, *options, "loss=mse", "sweep.relations=[independent]", *PLAIN)
    assert max(table["loss_a"].to_pylist()) <= 1e-28


def test_components_of_maps_that_are_not_square(run, tmp_path):
    """They are counted, but not held against Prop. 4.3."""
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=generator.normal(size=(30, 3)), y=generator.normal(size=(30, 2)))
    options = ["sweep.grid.depth=[3]", "sweep.grid.width=[2]", "sweep.grid.skip=[0]", "sweep.seeds=2", "tracking=none"]
    options += ["measure.residual.draws=1", "measure.residual.samples=20", "measure.residual.steps=20"]
    table = run("residual", *options, "data=npz", f"data.path={tmp_path / 'own.npz'}")
    assert None not in table["components"].to_pylist() and set(table["orientation"].to_pylist()) == {None}
    judged = {entry["name"]: entry["verdict"] for entry in json.loads(run.claims.read_text())}
    assert judged["wider"] == judged["scalars"] == "not applicable"


def test_components_on_the_data_that_were_asked_for(run, tmp_path):
    """Each draw is another split of them; what says nothing of test samples has none."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 3))
    np.savez(tmp_path / "own.npz", x=x, y=x @ generator.normal(size=(3, 2)))  # nothing is added to the map
    options = [
        "sweep.grid.depth=[2,3]",
        "sweep.grid.width=[2]",
        "sweep.grid.skip=[0]",
        "sweep.seeds=2",
        "tracking=none",
    ]
    options += ["measure.residual.draws=2", "measure.residual.samples=12", "measure.residual.learning_rate=0.2"]
    own = ["data=npz", f"data.path={tmp_path / 'own.npz'}"]
    table = run("residual", *options, *own)
    assert {abs(gap) < 0.1 for gap in table["gap"].to_pylist()} == {True} and len(set(table["gap"].to_pylist())) > 2
    without = engine.load(engine.run("residual", [*options, *own, "data.test_share=0", f"out={tmp_path / 'all'}"]))
    assert without["gap"].null_count == without.num_rows and not without["steps"].null_count
    judged = json.loads((tmp_path / "all" / claim.CLAIMS).read_text())
    assert {entry["verdict"] for entry in judged if entry["name"] == "wider_gap"} == {"not applicable"}


def test_components_that_cannot_be_counted_are_rows_with_their_reason(run, tmp_path):
    np.savez(tmp_path / "own.npz", x=np.eye(2), y=np.eye(2))
    own = ["data=npz", f"data.path={tmp_path / 'own.npz'}", "data.test_share=0", "data.standardize=false"]
    options = ["sweep.grid.depth=[3]", "sweep.grid.width=[2]", "sweep.grid.skip=[0,1]", "sweep.seeds=2"]
    options += ["measure.residual.draws=1", "measure.residual.samples=12", "tracking=none"]

    def too_few(*args, **kwargs):
        raise TooFewMinima("count_components: too few")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(residual, "count_components", too_few)
        table = run("residual", *options, *own)
    assert set(table["reason"].to_pylist()) == {"count_components: too few"}
    judged = {entry["name"]: entry for entry in json.loads(run.claims.read_text())}
    assert {entry["verdict"] for entry in judged.values()} == {"not applicable"}
    assert "count_components: too few" in judged["wider"]["without_number"]


def test_a_unit_that_decay_has_removed_says_nothing_of_orbits(run):
    """Its weights are rounding: all others are balanced, and so no factor stands between the minima."""
    options = ("sweep.grid.weight_decay=[0.01]", "sweep.grid.activation=[relu_squared]", "sweep.measures=[parts]")
    parts = run("regularization", *options, "sweep.relations=[]", "minima.steps=3000", "tracking=none")
    spread = [value for value in parts["orbit_spread"].to_pylist() if value is not None]
    assert spread and max(spread) <= 1e-9


@pytest.fixture
def judged(run):
    """The verdicts of the claims of the sweep that ran last."""
    return lambda: {entry["name"]: entry for entry in json.loads(run.claims.read_text())}


@pytest.mark.parametrize("sweep", ["curves", "permutation", "components"])
def test_components_have_no_names_with_skips(sweep, run):
    options = ("sweep.grid.depth=[4]", "sweep.grid.skip=[1]", "minima=trained", "minima.steps=2")
    assert not run(sweep, *LINEAR, *options).num_rows


@pytest.mark.parametrize("sweep", ["curves", "permutation", "conditions", "nonlinear", "residual"])
def test_targets_that_are_all_zero(sweep, run, judged, tmp_path):
    """There is no loss of the zero network to hold anything against."""
    np.savez(tmp_path / "own.npz", x=np.random.default_rng(0).normal(size=(8, 3)), y=np.zeros((8, 3)))
    own = ["data=npz", f"data.path={tmp_path / 'own.npz'}", "data.test_share=0", "minima=trained", "minima.steps=2"]
    table = run(sweep, *LINEAR, *own)
    assert set(table["reason"].to_pylist()) == {"all targets are zero"}
    assert {entry["verdict"] for entry in judged().values()} == {"not applicable"}


def test_on_curves_from_minima_with_a_loss_it_cannot_stay_zero(run, judged):
    table = run("curves", *LINEAR, "data=regression", "data.samples=9")
    reasons = table.filter(pc.is_valid(table["curve"]))["reason"].to_pylist()
    assert reasons and all("the zero network's, not zero" in reason for reason in reasons)
    assert judged()["principal"]["verdict"] == judged()["polar"]["verdict"] == "not applicable"
    assert judged()["joined_by_label"]["verdict"] == "holds"


def test_claims_that_have_nothing_to_speak_of(run, judged):
    """One minimum has no pairs; where there is one label it is met, also by the control."""
    run("components", *LINEAR, "sweep.seeds=1", "data=regression", "data.samples=1", "minima=exact")
    assert judged()["paths_agree"]["verdict"] == "not applicable"
