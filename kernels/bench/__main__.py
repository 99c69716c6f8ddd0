"""``python -m kernels.bench SUITE``: time the kernels against what else there is, and write the record.

``OMP_WAIT_POLICY=passive`` is set, by starting again where it is not, so that idle threads of one library do not slow
another's down.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from pathlib import Path


def main() -> None:
    """Parse the command line, start again with the right environment, run."""
    from . import ROOT, __path__

    suites = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in ("__main__", "product"))
    parser = argparse.ArgumentParser(prog="python -m kernels.bench", description=__doc__.split("\n\n")[1])
    parser.add_argument("suite", choices=suites)
    parser.add_argument("--full", action="store_true", help="all sizes; may take many minutes")
    parser.add_argument("--device", help="cpu or cuda; default: the GPU where there is one")
    parser.add_argument("--out", type=Path, default=ROOT / "sweeps" / "bench", help="folder of the record")
    options = parser.parse_args()
    if os.environ.get("OMP_WAIT_POLICY") != "passive":
        print("started again with OMP_WAIT_POLICY=passive", file=sys.stderr, flush=True)
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        os.execve(sys.executable, [sys.executable, "-m", "kernels.bench", *sys.argv[1:]], environment)

    import torch

    from . import run

    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    comparisons = importlib.import_module(f"kernels.bench.{options.suite}").comparisons(options.full, device)
    for line in run(options.suite, comparisons, device, options.out):
        print(line, flush=True)


if __name__ == "__main__":
    main()
