"""Networks and data for the tests of losses, and the memory that these take."""

import itertools
from itertools import pairwise

import torch
from torch.profiler import ProfilerActivity, profile


def stack(networks, widths, seed, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    weights = [torch.randn(networks, o, i, generator=draw, dtype=dtype) / i**0.5 for i, o in pairwise(widths)]
    return weights, [torch.randn(networks, o, generator=draw, dtype=dtype) / 5 for o in widths[1:]]


def data(samples, widths, seed=2, dtype=torch.float64, labels=True):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, widths[0], generator=draw, dtype=dtype)
    y = torch.randint(0, widths[-1], (samples,), generator=draw)
    return x, y if labels else torch.randn(samples, widths[-1], generator=draw, dtype=dtype)


def close(given, expected, rtol, atol=0.0):
    torch.testing.assert_close(given, expected, rtol=rtol, atol=atol, equal_nan=True)


def peak_bytes(call):
    """The most that PyTorch allocates on the CPU at once while it runs."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return max(itertools.accumulate(change for _, change in changes))
