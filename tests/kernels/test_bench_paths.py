"""The suites of paths and training on small cases: all ways agree, and the counts are right."""

import pytest
import torch

from kernels.bench import memory, paths, training

CPU = torch.device("cpu")


@pytest.mark.parametrize("depth", [1, 3])
def test_all_ways_to_a_path_agree(depth):
    comparison = paths._line(8, depth, 3, 5, torch.float64, CPU)
    assert [p.name for p in comparison.providers] == ["kernels", "loss-landscapes", "loop", "vmap", "bmm"]
    assert comparison.verify() <= comparison.tolerance
    for provider in comparison.providers:
        provider.run()


def test_a_wrong_way_is_noticed():
    case = paths.Case(8, 2, 2, 5, torch.float64, CPU)
    assert case.difference({"loop": lambda pairs: case.loop(pairs) + 1e-9}) > paths.TOLERANCE[torch.float64]


@pytest.mark.parametrize("batch_size", [None, 128])
def test_all_ways_of_training_agree(batch_size):
    comparison = training._training([64, 8, 10], batch_size, "adam", torch.float64, CPU, networks=3)
    assert comparison.verify() <= comparison.tolerance


def test_memory_is_that_of_a_call(monkeypatch):
    for name, value in {"PAIRS": 64, "MANY": 3}.items():
        monkeypatch.setattr(memory, name, value)
    kernels = paths.Case.kernels
    few, _ = memory.peak(8, 2, "float64")
    monkeypatch.setattr(paths.Case, "kernels", lambda case: (torch.ones(2**24), kernels(case))[1])
    more, seconds = memory.peak(8, 2, "float64")
    assert 0 <= few < 32 and 60 < more < 100 and seconds > 0


def test_counts_of_operations():
    assert paths.operations([64, 16, 10], 25) == 1797 * (25 * 2 * 16 * 10 + 2 * 2 * 64 * 16)
    assert training.operations([64, 32, 10], 128) == 128 * 2 * (2 * 64 * 32 + 3 * 32 * 10)
