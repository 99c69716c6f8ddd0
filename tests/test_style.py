"""What the linter and a few greps say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for folder in ("engine", "kernels") for path in sorted((ROOT / folder).rglob("*.py"))]
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(command):
    told = subprocess.run([RUFF, *command, "--no-cache", str(ROOT)], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


# a word that must not stand in the sources, and the files and folders that may have it
BANNED = {
    r"\.cuda\(\)": (),
    r"torch\.load\((?!.*weights_only=True)": (),
    r"make_block_ptr": (),
    r"nan_to_num": (),
    r"^\s*(import wandb|from wandb)": ("engine/tracking/wandb/runs.py", "engine/dashboard.py"),
    r"^\s*(import|from) (hydra|omegaconf)": ("engine/config/", "engine/command_line.py", "engine/__main__.py"),
    r"pickle\.load": ("kernels/jit.py",),  # machine code in the user's own cache
    r"allow_pickle=True": (),
    r"\bTODO\b|\bFIXME\b": (),
}


@pytest.mark.parametrize("pattern", BANNED)
def test_words_that_are_not_used(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        if not path.relative_to(ROOT).as_posix().startswith(BANNED[pattern])
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert not found
