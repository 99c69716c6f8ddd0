"""The small sweep as it is without disturbance: what others are compared with."""

import pytest
from small_sweep import OPTIONS

import engine


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The directory of a run in one process; nobody writes there."""
    return engine.run("barriers", [*OPTIONS, f"out={tmp_path_factory.mktemp('whole')}"])


@pytest.fixture(scope="session")
def whole(undisturbed):
    """Its rows."""
    return engine.load(undisturbed)
