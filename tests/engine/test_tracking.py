"""Weights & Biases without an account, and with everything that can go wrong with it."""

import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import report_case
import wandb_log
from small_sweep import Engine

import engine
from engine import results
from engine.report import report
from engine.tracking import wandb as tracking
from engine.tracking.wandb import account

KEY = "0123456789abcdef0123456789abcdef01234567"
BLOCKS = [SimpleNamespace(key=f"{index:032x}") for index in range(2)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_account(monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")  # whatever account the machine knows


@pytest.fixture
def directory(tmp_path):
    return report_case.write(tmp_path, claims=[{"sweep": "barriers", "claim": "Prop. 5.3", "verdict": "holds"}])


def start(directory, shard=None, **options):
    return tracking.Config(**options).start(SimpleNamespace(shard=shard), directory)


def track(tracker, figures=()):
    for block in BLOCKS:
        tracker.block(block, None)
    tracker.finish(pa.table({}), figures)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def core(tracker_pid, directory):
    """The process id of wandb-core, once the run is there."""
    until = time.monotonic() + 60
    while not (found := children(tracker_pid)) or not wandb_log.logs(directory):
        assert time.monotonic() < until, "W&B did not start"
        time.sleep(0.02)
    return found[0]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_sweep_without_an_account_is_a_run_with_cells_table_curves_and_figures(directory, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    _, figures = report(directory)
    track(start(directory), figures)
    assert f"python -m engine.sync {directory}" in capsys.readouterr().out
    (log,) = wandb_log.logs(directory)
    assert wandb_log.run(log).run_group.startswith("barriers 2026-01-01")
    assert wandb_log.config(log)["sweep"]["name"] == "barriers"
    steps = wandb_log.history(log)
    cells = [step for step in steps if "barrier/independent/none" in step]
    assert len(cells) == 24 and all("rescaling" not in step for step in cells)
    one = next(step for step in cells if (step["depth"], step["width"], step["seed"]) == (3, 16, 2))
    assert one["barrier/independent/none"] == 1.5 and one["barrier/independent/both"] == 0.06
    assert one["reached"] is True and one["grad_norm"] == 1e-5
    assert one["reason/independent/symmetry"] == "no symmetry relates the two minima"
    rescaled = [step for step in steps if step.get("rescaling") == 100.0]
    assert len(rescaled) == 24
    assert {step["barrier/rescaled/none"] for step in rescaled if step["seed"] == 0} == {0.01 * 99**4 / 160_000}
    media = {name: step[name] for step in steps for name in step if "." in name}
    assert media["results.nrows"] == len(report_case.rows()) and media["claims.nrows"] == 1
    for name in ("growth", "curves", "alignment"):
        assert media[f"figure/{name}.width"] > 1000
    (table,) = (directory / "wandb").rglob("curves*.json")
    assert ["rescaled twin", "straight line", 0.5, pytest.approx(0.01 + 0.02 * 9**4 / 3200)] in json.loads(
        table.read_text()
    )["data"]
    # the account's key is nowhere
    for path in directory.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_every_cell_is_a_run_of_its_own_on_request(tmp_path):
    made = [row for row in report_case.rows() if (row["depth"], row["width"], row["weight_decay"]) == (2, 8, 0.0)]
    directory = report_case.write(tmp_path, made=made)
    track(start(directory, runs="cell"))
    logs = wandb_log.logs(directory)
    assert len(logs) == 3 * (3 + 1) + 1  # seeds, factors and the pairs without one, and the report
    configs = [wandb_log.config(log) for log in logs]
    cell = {"depth": 2, "width": 8, "activation": "relu", "skip": 0, "weight_decay": 0, "seed": 1, "rescaling": 10}
    assert len([config for config in configs if cell.items() <= config.items()]) == 1
    assert len({wandb_log.run(log).run_group for log in logs}) == 1


def test_a_shard_is_a_run_of_the_sweeps_group_without_the_whole(directory):
    tracker = start(directory, shard=1)
    tracker.block(BLOCKS[1], None)
    tracker.finish(None, [])
    (log,) = wandb_log.logs(directory)
    assert wandb_log.run(log).display_name == "barriers shard 1" and wandb_log.config(log)["shard"] == 1
    assert {step["depth"] for step in wandb_log.history(log)} == {3}


def test_a_run_that_an_agent_of_wandb_started_is_that_run(directory, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "agent123")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep456")
    track(start(directory))
    (log,) = wandb_log.logs(directory)
    assert (wandb_log.run(log).run_id, wandb_log.run(log).sweep_id) == ("agent123", "sweep456")


def test_numbers_that_are_none_are_kept_as_such(tmp_path):
    made = [report_case.row(row, barrier=math.nan, predicted=math.inf) for row in report_case.rows()]
    directory = report_case.write(tmp_path, made=made)
    track(start(directory))
    (log,) = wandb_log.logs(directory)
    steps = wandb_log.history(log)
    assert sum(math.isnan(step.get("barrier/independent/none", 0)) for step in steps) == 24


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=lambda sent: sent.name)
def test_a_sweep_whose_wandb_core_is_killed_or_stopped_goes_on_and_says_so_once(
    sent, tmp_path, monkeypatch, caplog, capsys
):
    hit = []
    write_part = results.write_part

    def write_and_strike(directory, *rest):
        size = write_part(directory, *rest)
        if not hit:
            (tracker,) = [
                pid for pid in children(os.getpid()) if b"engine.tracking" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            hit.append(core(tracker, directory))
            os.kill(hit[0], sent)
        return size

    monkeypatch.setattr(results, "write_part", write_and_strike)
    options = ["sweep.grid.depth=[2]", "sweep.grid.width=[4,6]", "sweep.grid.rescaling=[1,10]", "sweep.measures=[]"]
    options += ["sweep.claims={}", "sweep.grid.weight_decay=[0]", "sweep.seeds=2", "minima.steps=5", "tracking=wandb"]
    with caplog.at_level(logging.WARNING):
        directory = engine.run("barriers", [*options, "tracking.patience_s=3", f"out={tmp_path}"])
    assert len([record for record in caplog.records if "W&B is given up" in record.getMessage()]) == 1
    assert set(engine.load(directory)["width"].to_pylist()) == {4, 6}
    assert (directory / "figures" / "growth.png").is_file()
    assert gone(hit[0])
    assert "W&B" not in capsys.readouterr().out


def test_a_killed_sweep_keeps_what_it_had_logged(directory):
    program = (
        "import os, signal, sys, time; sys.path[:0] = [sys.argv[2], sys.argv[3]]; import wandb_log\n"
        "from types import SimpleNamespace; from pathlib import Path; from engine.tracking import wandb as tracking\n"
        "tracker = tracking.Config().start(SimpleNamespace(shard=None), Path(sys.argv[1]))\n"
        "tracker.block(SimpleNamespace(key='0' * 32), None)\n"
        "while tracker.heard.words.get('cells', 0) < 48: time.sleep(0.02)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, directory, ROOT, ROOT / "tests"], check=False)
    assert done.returncode == -signal.SIGKILL
    (log,) = wandb_log.logs(directory)
    until = time.monotonic() + 30
    while len(wandb_log.history(log)) < 48 and time.monotonic() < until:
        time.sleep(0.05)
    assert {step["depth"] for step in wandb_log.history(log)} == {2}


def test_a_network_that_does_not_answer_leaves_the_run_offline(directory, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # the discard port: refused
    track(start(directory))
    told = capsys.readouterr().out
    assert "W&B, offline (" in told and KEY not in told
    assert sum(len(wandb_log.history(log)) for log in wandb_log.logs(directory)) >= 96
    for path in directory.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_server_that_takes_calls_and_never_answers_holds_nothing_up(directory, monkeypatch, caplog, capsys):
    """W&B gives the server up and goes on offline, or, where it is slow to, is given up itself: one of them is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.delenv("WANDB_MODE")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        tracker = start(directory, patience_s=2)
        with caplog.at_level(logging.WARNING):
            track(tracker)
    told = [line for line in capsys.readouterr().out.splitlines() if "W&B, offline (Timed out" in line]
    told += [record.getMessage() for record in caplog.records if "no answer for 2 s" in record.getMessage()]
    assert len(told) == 1 and KEY not in told[0]
    assert tracker.process.poll() is not None


TINY = ["sweep.grid.depth=[2]", "sweep.grid.width=[4]", "sweep.grid.rescaling=[10]", "sweep.grid.weight_decay=[0]"]
TINY += ["sweep.seeds=1", "sweep.measures=[]", "sweep.claims={}", "minima.steps=2", "hydra.verbose=engine"]


@pytest.mark.parametrize(
    ("options", "code"),
    [([], 0), (["--cfg", "job"], 0), (["tracking.api_key=" + KEY], 2)],
    ids=["a sweep", "a dump", "an unknown option"],
)
def test_a_key_is_nowhere_in_what_a_command_says_and_leaves_behind(options, code, tmp_path):
    key = {"WANDB_MODE": "offline", "WANDB_API_KEY": KEY}
    argv = ["+sweep=barriers", *TINY, f"out={tmp_path}/out", *options]
    found, told = Engine(argv, tmp_path / "told", environment=key).wait()
    assert found == code, told
    assert KEY not in told
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert ((tmp_path / "out" / "report.html").is_file()) == (not options)


def test_a_wandb_that_cannot_be_imported_is_one_warning(directory, monkeypatch, caplog, tmp_path_factory):
    broken = tmp_path_factory.mktemp("broken")
    (broken / "wandb.py").write_text("raise ImportError('broken for the test')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with caplog.at_level(logging.WARNING):
        track(start(directory))
    (record,) = caplog.records
    assert "broken for the test" in record.getMessage()


def test_without_being_told_it_is_online_only_where_there_is_a_key(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    assert account.mode("auto") == "offline" and account.mode("online") == "online"
    (tmp_path / ".netrc").write_text("machine elsewhere.example login user password x\n")
    assert account.mode("auto") == "offline"
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x\n")
    assert account.mode("auto") == "online" and account.mode("offline") == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert account.mode("auto") == "disabled"


@pytest.mark.parametrize("option", ["mode=on", "runs=all", "patience_s=0"])
def test_an_option_out_of_range_is_named_with_the_choices(option):
    name, _, value = option.partition("=")
    with pytest.raises(ValueError, match=f"tracking.{name}={value}.*expected"):
        tracking.Config(**{name: float(value) if name == "patience_s" else value})
