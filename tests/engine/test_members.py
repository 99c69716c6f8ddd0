"""Every sweep on any data and with any minima: its own options of a member hold where that member is the one used."""

import itertools
import re

import numpy as np
import pytest

import engine
from engine import config, manifest
from engine.data import regression
from engine.discovery import members
from engine.minima import exact, trained

SWEEPS = [name for name in config.sweeps() if name != "paper"]
ANYWHERE = ("components", "curves", "permutation")  # linear networks without skip: minima in closed form on any data
REFUSED = "minima=exact: minima in closed form are known for data=teacher and .*; minima=trained finds others$"


@pytest.fixture(scope="module")
def choice(tmp_path_factory):
    """The options that choose data and minima; for ``npz`` a file of real targets."""
    path, draw = tmp_path_factory.mktemp("own") / "own.npz", np.random.default_rng(0)
    np.savez(path, x=draw.normal(size=(20, 5)), y=draw.normal(size=(20, 3)))
    return lambda data, minima: [f"data={data}", f"minima={minima}", *[f"data.path={path}"] * (data == "npz")]


def read(sweep, *options):
    return config.read([f"+sweep={sweep}", "sweep.grid.weight_decay=[0]", "tracking=none", "out=here", *options])


@pytest.mark.parametrize("sweep", SWEEPS)
def test_any_data_and_any_minima(sweep, choice):
    plain = ["sweep.grid.skip=[0]"] * (sweep == "residual")  # a skip joins layers of equal width alone
    for data, minima in itertools.product(members("data"), members("minima")):
        try:
            found = read(sweep, *choice(data, minima), *plain)
        except config.ConfigError as error:
            assert (minima, sweep in ANYWHERE) == ("exact", False) and data != "teacher", (data, minima, error)
            assert re.match(REFUSED, str(error))
            continue
        for family, chosen in (("data", found.data), ("minima", found.minima)):
            given = {option: value for option, value in vars(chosen).items() if option in ("name", "path") and value}
            theirs = found.members.get(family, {}).get(chosen.name, {})
            assert chosen == members(family)[chosen.name].Config(**given | theirs)


def test_options_go_with_their_member():
    own = read("conditions")
    assert (own.data.name, own.data.samples, own.data.inputs, own.data.outputs) == ("teacher", 64, 8, 4)
    other = read("conditions", "data=regression", "minima=trained")
    assert other.data == regression.Config() and other.minima == trained.Config()
    assert read("components").minima == trained.Config(steps=300, learning_rate=0.01, polish=True)
    assert read("components", "minima=exact").minima == exact.Config()
    assert read("nonlinear", "sweep.scale=full").data.samples == 512


def test_the_command_line_comes_last():
    found = read("conditions", "data.samples=7")
    assert (found.data.samples, found.data.inputs) == (7, 8)


def test_what_is_set_of_a_member_that_is_not_used_makes_no_other_sweep():
    ours = config.recorded(read("conditions"))
    theirs = ours | {"members": {"data": {"digits": {"test_share": 0.5}}}}
    assert not manifest.differences(ours, theirs)
    assert config.restore(theirs).data == config.restore(ours).data == read("conditions").data


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "members: {data: {teacher: {sampels: 3}}}",
            "'members.data.teacher.sampels'; did you mean 'members.data.teach",
        ),
        ("members: {data: {teecher: {samples: 3}}}", "'members.data.teecher'; did you mean 'members.data.teacher'?"),
        ("members: {data: {teacher: 3}}", "members.data.teacher=3, expected some of its options: samples, inputs"),
        ("data: {samples: 3}", "'samples', .* in sweep/mine.yaml it belongs under members, as FAMILY.MEMBER.samples$"),
    ],
)
def test_a_sweep_s_file_that_is_wrong_is_told_so(tmp_path, body, words):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(f"# @package _global_\n{body}\nsweep: {{name: mine}}\n")
    with pytest.raises(config.ConfigError, match=words):
        config.check_command_line(["--config-dir", str(tmp_path), "+sweep=mine"])


SMALL = ["sweep.grid.depth=[2]", "sweep.grid.width=[3]", "sweep.seeds=2"]
RUNS = {
    "conditions": ["data=regression", "minima=trained", "data.samples=20", "minima.steps=50"],
    "components": ["minima=exact", "measure.components.learned=1"],
    "curvature": ["data=digits", "minima=trained", "minima.steps=50"],
    "detection": ["data=regression", "data.inputs=5", "minima.steps=50", "sweep.measures=[detection]"],
    "permutation": ["minima=trained"],
    "approximate": ["data=teacher", "minima=exact", "measure.approximate.networks=2"],
}


@pytest.mark.parametrize("sweep", RUNS)
def test_rows_on_other_data(sweep, tmp_path):
    table = engine.load(engine.run(sweep, [*SMALL, *RUNS[sweep], "tracking=none", f"out={tmp_path / 'out'}"]))
    assert table.num_rows and table["reason"].null_count
