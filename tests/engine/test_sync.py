"""Uploading what was tracked offline: what it needs is said in one sentence."""

import pytest
import report_case

from engine import sync


@pytest.fixture(autouse=True)
def no_account(monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("NETRC", "/nonexistent")


@pytest.fixture
def directory(tmp_path):
    report_case.write(tmp_path)
    for kind in ("offline-run-1-a", "offline-run-2-b", "run-3-c"):
        run = tmp_path / "wandb" / kind
        run.mkdir(parents=True)
        (run / f"run-{kind[-1]}.wandb").write_bytes(b"")
    (tmp_path / "wandb" / "offline-run-2-b" / "run-b.wandb.synced").touch()
    return tmp_path


def test_runs_that_wait_are_those_not_marked(directory):
    assert [run.name for run in sync.waiting(directory, online=False)] == ["offline-run-1-a"]
    assert [run.name for run in sync.waiting(directory, online=True)] == ["offline-run-1-a", "run-3-c"]


def test_runs_of_a_series_are_those_of_its_sweeps(directory):
    series = directory / "series"
    directory.rename(series_part := directory.with_name("barriers"))
    recorded = report_case.config("paper")
    recorded["sweep"]["sweeps"] = ["barriers", "curves"]
    report_case.write(series, made=[], config=recorded)
    series_part.rename(series / "barriers")
    assert [run.name for run in sync.waiting(series, online=False)] == ["offline-run-1-a"]


def test_without_a_key_it_says_what_it_needs(directory, capsys):
    assert sync.main([str(directory)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 W&B run to upload" in line and "WANDB_API_KEY" in line and "api.wandb.ai" in line


def test_without_a_network_it_says_so_and_does_not_wait(directory, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "secret-of-the-test")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert sync.main([str(directory)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "127.0.0.1 cannot be reached" in line and "secret" not in line


def test_with_nothing_to_upload_it_is_content(tmp_path, capsys):
    assert sync.main([str(report_case.write(tmp_path))]) == 0
    assert "nothing to upload" in capsys.readouterr().out


@pytest.mark.parametrize(("argv", "code"), [([], 2), (["--help"], 0), (["--online"], 2), (["/nonexistent"], 2)])
def test_usage(argv, code, capsys):
    assert sync.main(argv) == code
    assert capsys.readouterr().err
