"""The benchmark's harness on providers whose answers and costs are known."""

import contextlib
import json
from itertools import pairwise

import pytest
import torch

from kernels import bench
from kernels.bench import Comparison, Provider
from kernels.bench import matrix as suite

CPU = torch.device("cpu")


def test_percentiles():
    assert [bench.percentile([4.0, 1.0, 2.0, 3.0], share) for share in (0.0, 0.5, 1.0)] == [1.0, 2.5, 4.0]


def test_providers_are_sampled_in_turn_and_per_item():
    calls = []
    providers = [Provider("one", lambda: calls.append(1)), Provider("ten", lambda: calls.append(10), items=10)]
    samples = bench.timed(providers, 0.01, CPU)
    assert len(samples["one"]) == len(samples["ten"]) >= bench.SAMPLES[0]
    changes = sum(a != b for a, b in pairwise(calls))
    assert changes >= 2 * len(samples["one"])  # never one of them to the end and then the other


def test_on_a_gpu_events_around_all_calls_give_seconds_a_call(monkeypatch):
    """Without one: work that is enqueued takes 3 ms each, and 5 ms were enqueued before."""
    enqueued, done = [5.0], []

    def synchronize(*_):
        done.extend(enqueued)
        enqueued.clear()

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = sum(done) + sum(enqueued)

        def elapsed_time(self, end):
            assert sum(done) >= end.at, "asked before the work was done"
            return end.at - self.at

    Event.synchronize = synchronize
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    assert bench.sample(lambda: enqueued.append(3.0), 4, torch.device("cuda")) == pytest.approx(3e-3)
    assert sum(done) == 5.0 + 4 * 3.0


@pytest.mark.parametrize("difference", [0.1, float("nan")])
def test_what_disagrees_is_not_timed(difference):
    provider = Provider("one", lambda: pytest.fail("was run"))
    comparison = Comparison({"what": "sum"}, [provider], verify=lambda: difference, tolerance=0.01)
    with pytest.raises(ArithmeticError, match="providers differ by"):
        bench.rows(comparison, {}, CPU)


def test_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "ceilings", lambda device: {"float64": 2e9, "bytes": 1e9})
    ours, theirs = Provider("kernels", lambda: None), Provider("other", lambda: None)
    comparison = Comparison({"n": 8}, [ours, theirs], operations=1e3, bytes=10.0, ceiling="float64", seconds=0.01)
    lines = list(bench.run("what", [comparison], torch.device("cpu"), tmp_path))
    assert "provider" in lines[-2] and "other" in lines[-2]
    [path] = tmp_path.glob("what_*.json")
    assert str(path) in lines[-1]
    record = json.loads(path.read_text())
    assert torch.__version__.startswith(record["versions"]["torch"].split("+")[0])
    assert {"command", "date", "commit", "dirty", "device", "ceilings"} <= record.keys()
    assert record["clock"] == "wall clock"
    row = record["rows"][0]
    assert row["ratio"] == 1.0 and record["rows"][1]["ratio"] > 0
    assert row["share"] == pytest.approx(row["gflops"] / 2) and row["p20_us"] <= row["median_us"] <= row["p80_us"]


def test_a_yardstick_is_timed_in_turn_and_gives_the_share(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(bench, "sample", lambda run, calls, device: run() * next(clock))  # slower from round to round
    ours, theirs = Provider("kernels", lambda: 2.0), Provider("other", lambda: 8.0)
    standard = Provider("product", lambda: 1.0, items=100)
    comparison = Comparison(
        {"n": 8}, [ours, theirs], operations=50.0, ceiling="float64", yardstick=standard, seconds=1e9
    )
    mine, other = bench.rows(comparison, {"float64": 1.0, "float64_tiles": 1.0}, CPU)
    assert mine["share_tiles"] == pytest.approx(50 / 2 / 100, rel=0.1)
    assert other["share_tiles"] == pytest.approx(50 / 8 / 100, rel=0.1)


def test_the_suite_of_matrix_functions_agrees_with_its_baselines():
    for comparison in suite.comparisons(True, torch.device("cpu"), orders=(3,), batch=20):
        assert comparison.verify() <= comparison.tolerance
        for provider in comparison.providers:
            provider.run()


def test_three_passes_are_measured_against_a_third_of_tf32(monkeypatch):
    """Without a GPU: the rates that are asked for, and under which setting."""
    asked = []

    def rate(device, dtype):
        asked.append((dtype, torch.get_float32_matmul_precision()))
        return 9.0

    monkeypatch.setattr(bench, "_product_rate", rate)
    monkeypatch.setattr(bench, "timed", lambda providers, seconds, device: {"copy": [1.0]})
    monkeypatch.setattr(torch, "zeros", lambda *args, device, **like: torch.empty(8, **like))
    rates = bench.ceilings(torch.device("cuda"))
    assert rates["3xtf32"] == 3.0 and rates["float32"] == rates["float64"] == 9.0
    assert [setting for _, setting in asked] == ["highest", "highest", "high"]
    assert torch.get_float32_matmul_precision() == "highest"
    assert bench.ceiling(torch.device("cuda"), torch.float32) in rates
    assert bench.ceiling(torch.device("cuda"), torch.float64) in rates
    assert bench.ceiling(torch.device("cpu"), torch.float32) == "float32"
