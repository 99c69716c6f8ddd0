"""Who may import whom: the arrows of the design, read from the sources."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ("data", "network", "minima", "symmetry", "path", "measure", "tracking")


def imported(path: Path) -> set[str]:
    """Full names of the modules a file imports, anywhere in it."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def starts(names: set[str], *prefixes: str) -> set[str]:
    return {name for name in names if any(name == p or name.startswith(p + ".") for p in prefixes)}


@pytest.mark.parametrize("path", files("kernels"), ids=lambda path: str(path.relative_to(ROOT)))
def test_kernels_import_nothing_of_the_engine(path):
    assert not starts(imported(path), "engine", "hydra", "omegaconf", "wandb", "pyarrow")


@pytest.mark.parametrize("family", FAMILIES)
def test_members_of_a_family_do_not_import_each_other(family):
    members = [path for path in files(f"engine/{family}") if path.name != "__init__.py"]
    for path in members:
        others = {f"engine.{family}.{other.stem}" for other in members if other != path}
        assert not starts(imported(path), *others), path
        assert not starts(imported(path), "engine.execution"), path


def test_results_are_read_and_reported_without_torch():
    code = (
        "import sys; sys.path.insert(0, '.'); import engine, engine.results, engine.plan, engine.types, engine.report\n"
    )
    code += "assert 'torch' not in sys.modules and 'kernels' not in sys.modules and 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_importing_the_kernels_compiles_nothing():
    code = "import sys; import kernels; assert 'numba' not in sys.modules and 'triton' not in sys.modules, 'compiled'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
