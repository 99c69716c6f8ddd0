"""What a user reads on the terminal, and the exit codes."""

import re
import subprocess
import sys

import pytest
from small_sweep import OPTIONS

import engine
from engine import command_line, config, results, shard


def run(capsys, monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", ["engine", *argv])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_without_a_sweep_they_are_listed(capsys, monkeypatch):
    code, out, err = run(capsys, monkeypatch)
    assert (code, out) == (2, "")
    for name, about in config.sweeps().items():
        assert re.search(rf"^  {name} +{re.escape(about)}$", err, re.MULTILINE)
    assert "python -m engine +sweep=NAME" in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["+sweep=bariers"], ["+sweep=bariers", "Did you mean barriers?"]),
        (["+sweep=barriers", "sede=3"], ["'sede'", "did you mean 'seed'?"]),
        (["+sweep=barriers", "+sede=3"], ["'sede'", "did you mean 'seed'?"]),
        (["+sweep=barriers", "sweep.grid.wdith=[8]"], ["'sweep.grid.wdith'", "'sweep.grid.width'"]),
        (["+sweep=barriers", "+sweep.grid.wdith=[8]"], ["'sweep.grid.wdith'", "'sweep.grid.width'"]),
        (["+sweep=barriers", "sweep.grid.width=8"], ["sweep.grid.width", "[1,2]"]),
        (["+sweep=barriers", "sweep.grid.width=[8,x]"], ["sweep.grid.width", "'x'", "Integer"]),
        (["+sweep=barriers", "sweep.grid.depth=[0]"], ["sweep.grid.depth=0", "at least 1"]),
        (["+sweep=paper", "sweep.sweeps=[]"], ["sweep.sweeps=[]", "at least one"]),
        (["+sweep=barriers", "sweep.grid.depth=[]"], ["sweep.grid.depth=[]", "at least one value"]),
        (["+sweep=barriers", "sweep.grid.rescaling=[-1]"], ["sweep.grid.rescaling=-1", "above 0"]),
        (["+sweep=barriers", "sweep.grid.activation=[rleu]"], ["rleu", "relu_squared", "Did you mean relu?"]),
        (["+sweep=barriers", "sweep.paths=[liner]"], ["sweep.paths=liner", "linear"]),
        (["+sweep=barriers", "data=dogits"], ["data=dogits", "npz", "Did you mean digits?"]),
        (["+sweep=barriers", "loss=l2"], ["loss=l2", "mse, sse, cross_entropy"]),
        (["+sweep=barriers", "precision=float16"], ["precision=float16", "float64, float32"]),
        (["+sweep=barriers", "minima.steps=many"], ["minima.steps", "'many'"]),
        (["+sweep=barriers", "minima.batch_size=5000"], ["minima.batch_size=5000", "1438"]),
        (["+sweep=barriers", "minima=exact"], ["minima=exact", "data=teacher"]),
        (["+sweep=conditions", "data=regression"], ["minima=exact", "data=teacher", "minima=trained finds others"]),
        (["+sweep=barriers", "minima=exact", "data=teacher"], ["minima=exact", "weight_decay=0.0001", "closed form"]),
        (["+sweep=curvature", "members.data.teacher.samples=few"], ["data.samples", "'few'", "Integer"]),
        (["+sweep=barriers", "data=regression", "loss=cross_entropy"], ["loss=cross_entropy", "class labels"]),
        (["+sweep=barriers", "data=npz"], ["data.path=FILE.npz"]),
        (["+sweep=barriers", "shards=3", "shard=5"], ["shard=5", "0 … 2"]),
        (["+sweep=barriers", "shards=3"], ["shards=3", "shard=0 … 2"]),
        (["+sweep=barriers", "device=cuda:9"], ["device=cuda:9"]),
        (["+sweep=barriers", "nonsense"], ["nonsense: cannot be read", "expected NAME=VALUE"]),
        (["+sweep=barriers", "sweep.grid.width=[8"], ["sweep.grid.width=[8: cannot be read", "NAME=[1,2]"]),
        (["+sweep=barriers", "data=null"], ["data=null", "the name of one of the files of data"]),
        (["+sweep=barriers", "minima.learning_rate=inf"], ["minima.learning_rate=inf", "a finite number"]),
        (
            ["+sweep=barriers", "measure.growth.factors=[2,3,inf]"],
            ["measure.growth.factors=[2.0, 3.0, inf]", "finite numbers"],
        ),
        (["+sweep=barriers", "sweep.paths=[linear,linear]"], ["sweep.paths", "each value once"]),
        (["+sweep=barriers", "sweep.name=other"], ["engine/claim/other.py"]),
        (["+sweep=barriers", "data.test_share=0.9999"], ["data.test_share=0.9999", "1797"]),
        (["+sweep=barriers", "measure.growth.factors=[1,10]"], ["factors=[1.0, 10.0]", "two or more above 1"]),
        (["+sweep=barriers", "sweep.grid.skip=[0,1]", "sweep.grid.width=[8]"], ["skip=1", "64, 8, 10", "skip=0"]),
        (["+sweep=barriers", "measure.growth.samples=0"], ["measure.growth.samples=0", "at least 1"]),
        (["-m", "+sweep=barriers", "seed=1,-2"], ["seed=-2"]),
        (["-m", "+sweep=barriers", "data=digits,teacher"], ["-m: data.", "run different sweeps one after the other"]),
    ],
    ids=lambda value: " ".join(value) if value and isinstance(value, list) and "=" in value[-1] else "",
)
def test_a_wrong_option_is_named_and_nothing_is_left_behind(capsys, monkeypatch, tmp_path, argv, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, monkeypatch, *argv)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and len(err.splitlines()) <= 24 and "Traceback" not in err
    for word in words:
        assert word in err
    assert not list(tmp_path.iterdir())


def test_help_shows_every_option_with_its_words(capsys, monkeypatch):
    code, out, _ = run(capsys, monkeypatch, "--help")
    assert code == 0
    for line in ("sweep.grid.width=[16]", "minima.learning_rate=0.02", "data.test_share=0.2", "+sweep=barriers"):
        assert line in out
    options = [line for line in out.splitlines() if "=" in line and line.startswith("  sweep.")]
    assert len(options) > 12


def test_help_of_a_sweep_shows_its_own_values(capsys, monkeypatch):
    code, out, _ = run(capsys, monkeypatch, "+sweep=barriers", "sweep.grid.width=[3,5]", "--help")
    depth = ",".join(map(str, config.read(["+sweep=barriers"]).sweep.grid.depth))
    assert code == 0 and "sweep.grid.width=[3,5]" in out and f"sweep.grid.depth=[{depth}]" in out


def test_a_dry_run_prints_the_plan_and_writes_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(
        capsys, monkeypatch, "+sweep=barriers", "sweep.grid.depth=[2]", "sweep.grid.width=[4]", "dry=true"
    )
    assert code == 0
    header, *_, total, _ = [line.split() for line in out.splitlines()]
    assert header[:3] == ["plan", "of", "barriers"]
    # 5 factors, 3 decays, 4 seeds: (12 · 5 · 2 + 12 + 12) pairs · (2 paths + 3 alignments)
    assert total[:5] == ["all", "1", "60", "12", "720"]
    assert not list(tmp_path.iterdir())


def test_the_configuration_is_printed(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "engine", "+sweep=barriers", "sweep.seeds=7", "--cfg", "job", "--resolve"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "seeds: 7" in told.stdout and "learning_rate: 0.02" in told.stdout


def test_another_package_named_kernels_is_named(tmp_path):
    """There is one on PyPI; it hides this project's or writes over it."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from engine.__main__ import main; main()"
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert told.returncode == 2 and told.stdout == ""
    assert told.stderr.startswith(f"error: {tmp_path / 'kernels'} is another package named kernels; run: pip uninstall")


KEY = "0123456789abcdef" * 2 + "planted!"


@pytest.mark.parametrize("option", ["tracking.project", "data", "sweep.seeds", "out", "+sweep"])
def test_an_api_key_is_neither_recorded_nor_told(tmp_path, capsys, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    given = f"{option}={KEY}"
    code, out, err = run(capsys, monkeypatch, *(["+sweep=barriers"] if option != "+sweep" else []), given)
    assert code == 2 and option.removeprefix("+") in err and KEY not in out + err
    assert not list(tmp_path.iterdir())


def test_an_api_key_in_an_error_is_not_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)

    def fail(*args):
        raise results.CannotWrite(f"no room beside {KEY}")

    monkeypatch.setattr(shard, "compute", fail)
    options = [*OPTIONS, f"out={tmp_path / 'out'}"]
    with pytest.raises(results.CannotWrite):
        engine.run("barriers", options)
    assert command_line.attempt(lambda: engine.run("barriers", options), "out") == 1
    told = capsys.readouterr()
    assert "no room beside …" in told.err and KEY not in told.err + told.out
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written and not any(KEY.encode() in path.read_bytes() for path in written)


INTERRUPTED = """
import os, signal, sys
from engine import __main__ as start

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "engine.command_line":
            os.kill(os.getpid(), signal.SIGINT)
            try:
                sum(range(1000))
            except BaseException:  # as a library does whose own start is interrupted
                pass

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
start.main()
"""


def test_interrupted_before_anything_began():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted: nothing has begun\n")
