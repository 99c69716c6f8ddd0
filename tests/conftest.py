"""Two test processes share the machine: each keeps to one thread, and so do the processes it starts.

Modules of tests are handed out one by one in the order that is made here.
"""

import gc
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # set before torch is imported anywhere
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# From the longest on, which waits for others' work: at the end the processes have little to wait for each other.
# While it compiles what a sweep needs, the other process interprets, and then finds it compiled.
LONGEST = (
    "test_slurm",
    "test_simd",
    "test_path_loss_gpu",
    "test_path_loss_slopes_gpu",
    "test_expm_gpu",
    "test_logm_gpu",
    "test_train_gpu",
    "test_count_components",
    "test_faults",
    "test_tracking",
    "test_claims",
    "test_series",
    "test_combinations",
    "test_multirun",
    "test_members",
    "test_report",
    "test_jit",
    "test_dashboard",
)


def pytest_collection_modifyitems(items):
    """Begin with the longest modules."""
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_collection_finish():
    """Look for garbage less often, and not among what was imported: it took an eighth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def pytest_unconfigure():
    """Libraries say what is left of them at the end: nothing may be kept from being taken away."""
    gc.unfreeze()
