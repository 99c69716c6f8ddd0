"""``python -m kernels.bench SUITE``: time the kernels against what else there is, and write the record.

It starts again with ``OMP_WAIT_POLICY=passive`` and ``OPENBLAS_THREAD_TIMEOUT=4`` where these are not set, so that idle
threads of one library do not slow another's down.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path


def main() -> None:
    """Parse the command line, start again with the right environment, run."""
    from . import ROOT, __path__, idle_threads_sleep

    suites = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in ("__main__", "product"))
    parser = argparse.ArgumentParser(prog="python -m kernels.bench", description=__doc__.split("\n\n")[1])
    parser.add_argument("suite", choices=suites)
    parser.add_argument("--full", action="store_true", help="all sizes; may take many minutes")
    parser.add_argument("--device", help="cpu or cuda; default: the GPU where there is one")
    parser.add_argument("--out", type=Path, default=ROOT / "sweeps" / "bench", help="folder of the record")
    options = parser.parse_args()
    idle_threads_sleep("kernels.bench")

    import torch

    from . import run

    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    comparisons = importlib.import_module(f"kernels.bench.{options.suite}").comparisons(options.full, device)
    for line in run(options.suite, comparisons, device, options.out):
        print(line, flush=True)


if __name__ == "__main__":
    main()
