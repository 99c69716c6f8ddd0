"""The wheel, installed where no checkout is near, runs a sweep."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from kernels.jit import cache_folder

ROOT = Path(__file__).resolve().parents[1]
SWEEP = [
    "+sweep=barriers", "sweep.grid.depth=[2]", "sweep.grid.width=[4]", "sweep.grid.rescaling=[1,10]",
    "sweep.grid.weight_decay=[0]", "sweep.seeds=1", "sweep.measures=[]", "minima.steps=5", "tracking=none", "out=here",
]  # fmt: skip


def run(*command, cwd, **changed):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | changed
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, env=environment, timeout=500
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is committed or would be: building must not write into the checkout."""
    copy = tmp_path_factory.mktemp("source") / "isoloss"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def test_the_wheel_runs_a_sweep_outside_any_checkout(source, tmp_path):
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        source,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("isoloss-*.whl")
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    python = env / "bin" / "python"
    (site,) = (env / "lib").glob("python3*/site-packages")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    # the present packages, behind the wheel's own files; their .pth files, an editable install among them, are not read
    present = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = run(
        python,
        "-c",
        "import engine, kernels; print(engine.__file__, kernels.__file__)",
        cwd=elsewhere,
        PYTHONPATH=present,
    )
    assert all(path.startswith(str(site)) for path in where.split())
    # machine code is named by what it was made from: the wheel's kernels find that of the checkout's
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "kernels").symlink_to(cache_folder() or tmp_path)
    caches = {"PYTHONPATH": present, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    told = run(python, "-m", "engine", *SWEEP, cwd=elsewhere, **caches)
    assert told.splitlines()[-1] == "results: here"
    assert (elsewhere / "here" / "manifest.json").is_file() and list((elsewhere / "here" / "parts").glob("*.parquet"))
    assert "barriers" in run(python, "-m", "engine", "--help", cwd=elsewhere, PYTHONPATH=present)


@pytest.mark.slow  # pytest -m slow tests/test_install.py: everything from the package index, some minutes
def test_a_fresh_environment_runs_the_readmes_first_command(source, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    path = f"{tmp_path / 'env' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = next(line for line in (ROOT / "README.md").read_text().splitlines() if "python -m engine +sweep" in line)
    told = run("bash", "-c", command.split("#")[0].strip(), cwd=source, PATH=path)
    assert told.splitlines()[-1].startswith("results: outputs/barriers/")
