"""The W&B workspace of a sweep, without an account."""

from pathlib import Path

import pytest
import report_case
import yaml

from engine import config, dashboard

ROOT = Path(__file__).resolve().parents[2]
AGENTS = sorted(ROOT.glob("sweeps/*/wandb.yaml"))


@pytest.fixture(autouse=True)
def no_account(monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("NETRC", "/nonexistent")


@pytest.fixture
def directory(tmp_path):
    recorded = report_case.config()
    recorded["sweep"] |= {
        "relations": ["rescaled", "independent"],
        "alignments": ["none", "permutation"],
        "grid": {"depth": [2, 3], "rescaling": [1, 10], "skip": [0]},
    }
    recorded["tracking"] = {"name": "wandb", "entity": "someone", "project": "minima"}
    return report_case.write(tmp_path, config=recorded)


def test_a_dry_run_tells_what_would_be_built(directory, capsys):
    assert dashboard.main(["--dry-run", str(directory)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "workspace 'barriers: barriers' in someone/minima"
    assert "y: barrier/rescaled/none, predicted/rescaled/none" in lines
    assert "groupby: config:depth" in lines
    assert "metrics: barrier/independent/none, barrier/independent/permutation" in lines
    assert "columns: config:depth, config:rescaling, config:seed, summary:barrier/rescaled/none" in lines
    assert "media_keys: figure/growth, figure/curves, figure/alignment" in lines
    assert "table_name: results" in lines


def test_a_sweep_without_pairs_has_its_figures_and_tables(tmp_path):
    recorded = report_case.config("curves")
    recorded["sweep"] |= {"relations": [], "alignments": ["none"], "figures": ["symmetry_curves"]}
    recorded["tracking"] = {"name": "none"}
    described = dashboard.of_directory(report_case.write(tmp_path, config=recorded))
    assert (described.name, list(described.sections)) == ("curves", ["Figures and curves", "Runs"])
    assert not any("barrier" in line for line in dashboard.outline(described))


def test_of_a_series_each_sweep_has_a_dashboard(tmp_path, capsys):
    recorded = report_case.config("paper")
    recorded["sweep"] |= {"sweeps": ["barriers", "curves"]}
    assert dashboard.main(["--dry-run", str(report_case.write(tmp_path, made=[], config=recorded))]) == 2
    assert f"of its own: {tmp_path / 'barriers'}, {tmp_path / 'curves'}" in capsys.readouterr().err


def test_a_project_of_which_nothing_is_here_can_be_shown(capsys):
    assert dashboard.main(["--dry-run", "entity/project"]) == 0
    assert "in entity/project" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pydantic, in wandb-workspaces
def test_wandb_workspaces_takes_every_panel(directory):
    pytest.importorskip("wandb_workspaces")
    described = dashboard.of_directory(directory)
    built = dashboard.build(described)
    assert (built.entity, built.project) == ("someone", "minima")
    for section, panels in zip(built.sections, described.sections.values(), strict=True):
        assert [type(panel).__name__ for panel in section.panels] == [panel.kind for panel in panels]
    growth = built.sections[0].panels
    assert growth[0].log_x and growth[0].log_y and growth[0].x == "rescaling"
    assert growth[1].groupby.name == "depth" and growth[2].y.name == "barrier/rescaled/none"
    coordinates = built.sections[2].panels[0].columns
    assert [column.metric.name for column in coordinates][-1] == "barrier/rescaled/none"
    assert [bool(column.log) for column in coordinates] == [False, True, False, True]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("entity/project", "needs an account's API key"),
        ("neither", "neither a results directory nor"),
        ("a/b/c", "neither"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(what, said, capsys):
    assert dashboard.main([what]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_key_is_in_no_message(directory, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "secret-of-the-test")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert dashboard.main([str(directory)]) == 2
    told = capsys.readouterr()
    assert "cannot be reached" in told.err and "secret" not in told.err + told.out


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.parent.name)
def test_an_agent_of_wandb_is_given_a_command_line_that_runs(path):
    sweep = yaml.safe_load(path.read_text())
    assert sweep["method"] == "grid" and sweep["name"] == path.parent.name
    head, args = sweep["command"][:-1], sweep["command"][-1]
    assert head[:4] == ["${env}", "${interpreter}", "-m", "engine"] and args == "${args_no_hyphens}"
    parameters = {name: given.get("values", [given.get("value")]) for name, given in sweep["parameters"].items()}
    jobs = [
        config.read([*head[4:], *(f"{name}={value}" for name, value in zip(parameters, values, strict=True))])
        for values in (tuple(found[i] for found in parameters.values()) for i in (0, -1))
    ]
    assert all(job.sweep.name == path.parent.name and job.tracking.name == "wandb" for job in jobs)
    # together the runs are the sweep at its full scale, a value of each axis apiece
    whole = config.read([f"+sweep={path.parent.name}", "sweep.scale=full"])
    for axis in ("depth", "width", "activation"):
        given = [yaml.safe_load(value)[0] for value in parameters.get(f"sweep.grid.{axis}", [])]
        assert given in ([], getattr(whole.sweep.grid, axis))
        assert given or len(getattr(whole.sweep.grid, axis)) == 1
