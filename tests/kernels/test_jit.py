"""The disk cache of compiled kernels: hit by a second process, never stale, never in the way."""

import os
import subprocess
import sys

import pytest

from kernels import jit

CALL = """
import sys; sys.path.insert(0, {root!r})
import numpy as np, mine.kernel
out = np.zeros(1); mine.kernel.run(out); print(out[0], sum(mine.kernel.run._cache_hits.values()))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the compiler's part of the package with one kernel that takes its number from another file."""
    root = tmp_path / "mine"
    root.mkdir()
    for name in ("jit.py", "threads.py", "target.py"):
        (root / name).write_text((jit.PACKAGE / name).read_text())
    (root / "__init__.py").write_text("")
    (root / "number.py").write_text("from .jit import inline\n\n@inline\ndef number():\n    return 1.0\n")
    (root / "kernel.py").write_text(
        "from .jit import kernel\nfrom .number import number\n\n@kernel\ndef run(out):\n    out[0] = number()\n"
    )
    return root


def run(package, **environment):
    """What the kernel gives and whether it came from the cache, in a fresh process."""
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment = {**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    code = CALL.format(root=str(package.parent))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    value, hits = done.stdout.split()
    return float(value), int(hits), done.stderr


def test_a_second_process_hits_and_an_edit_of_an_imported_file_does_not(package):
    assert run(package)[:2] == (1.0, 0)
    assert run(package)[:2] == (1.0, 1)
    number = package / "number.py"
    number.write_text(number.read_text().replace("1.0", "2.0"))
    assert run(package)[:2] == (2.0, 0)
    assert len(list((package / "__pycache__").glob("*.kernel"))) == 1  # the old version is gone
    [file] = (package / "__pycache__").glob("*.kernel")
    file.write_bytes(file.read_bytes()[:100])  # cut short
    value, hits, said = run(package)
    assert (value, hits) == (2.0, 0) and "compiled anew" in said


def test_works_where_nothing_can_be_written(package):
    """Folders that are files cannot be made; permissions would not stop root."""
    (package / "__pycache__").write_text("")
    blocked = {"XDG_CACHE_HOME": str(package / "__pycache__")}
    private = package.parent / "tmp"
    private.mkdir()
    for hits in (0, 1):
        assert run(package, TMPDIR=str(private), **blocked)[:2] == (1.0, hits)
    [folder] = private.glob("isoloss-*")
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)  # others could have put code there
    value, hits, said = run(package, TMPDIR=str(private), **blocked)
    assert (value, hits) == (1.0, 0) and "no folder can be written" in said


def test_sources_follow_imports_inside_the_package():
    names = {path.name for path in jit.sources(jit.PACKAGE / "tile_matrix.py")}
    assert {"tile_matrix.py", "simd.py", "jit.py", "target.py"} <= names
    assert "tile_math.py" not in names
