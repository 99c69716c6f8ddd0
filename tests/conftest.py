"""Two test processes share the machine: each keeps to one thread, and so do the processes it starts."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # set before torch is imported anywhere
    os.environ.setdefault("OMP_NUM_THREADS", "1")
