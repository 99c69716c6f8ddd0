"""What the README promises is there."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [path for path in sorted(ROOT.rglob("*.md")) if not {".git", "outputs", ".venv"} & set(path.parts)]


def test_the_tests_run_as_it_says():
    command = "pip install -e '.[test]' && pytest"
    assert f"    {command} " in README
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    missing = [
        target
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
        if not target.startswith(("http://", "https://")) and not (page.parent / target).exists()
    ]
    assert not missing


def test_the_sweeps_it_lists_are_the_sweeps_there_are():
    named = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    assert named == {path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml")} - {"paper"}


def test_its_python_parses_and_names_what_exists():
    import engine

    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "engine":
                assert hasattr(engine, node.attr)
            if isinstance(node, ast.ImportFrom):
                there = importlib.import_module(node.module)
                assert all(hasattr(there, alias.name) for alias in node.names)
