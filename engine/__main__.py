"""``python -m engine +sweep=NAME``; the console command is ``isoloss``."""

import importlib.util
import sys
from pathlib import Path


def hidden_kernels() -> str | None:
    """One sentence where another package named ``kernels``, as there is one on PyPI, hides this project's."""
    found = importlib.util.find_spec("kernels")
    folder = Path(next(iter(found.submodule_search_locations or ()), "")) if found else None
    if folder and (folder / "path_loss" / "reference.py").is_file():
        return None
    what = f"{folder} is another package named kernels" if folder else "the package kernels is missing"
    return f"{what}; run: pip uninstall kernels, then install isoloss again"


def main() -> None:
    """Run the command line."""
    if told := hidden_kernels():
        print(f"error: {told}", file=sys.stderr)
        sys.exit(2)
    from engine.command_line import main

    main()


if __name__ == "__main__":
    main()
