"""``python -m engine +sweep=NAME``; the console command is ``isoloss``."""

import importlib.util
import os
import signal
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
    # an exception would be a traceback, or be swallowed by a library in the middle of its own start, as by torch
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from engine.command_line import main

    signal.signal(signal.SIGINT, heard)
    try:
        main()
    except KeyboardInterrupt:
        _interrupted()


def _interrupted(*signal_and_frame: object) -> None:
    """The sentence and the exit code of a process that was interrupted before it began anything."""
    os.write(2, b"interrupted: nothing has begun\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
