"""What a sweep would take, without running it: cells, blocks, memory, and time from a second of measurement."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

import torch

from engine import memory, pairs, plan
from engine.types import Block

STEPS, POINTS, PAIRS = 20, 21, 16  # of the measurement


def describe(config, device: torch.device) -> str:
    """The plan in words, a line per depth and width and a total.

    Args:
        config: a checked configuration.
        device: where it would run.

    Returns:
        Lines for the terminal.  Times are extrapolated from a measurement of one architecture by the number of
        multiplications; expect them within a factor of two.
    """
    blocks = list(plan.blocks(config.sweep.grid, config.sweep.seeds, config.block))
    mine = plan.share([block.key for block in blocks], config.shards, config.shard or 0)
    rates = _measure(blocks[len(blocks) // 2], config, device)
    rows = [("depth", "width", "blocks", "cells", "minima", "paths", "memory", "time")]
    totals, shared_s = [0, 0, 0, 0, 0, 0.0], 0.0
    for (depth, width), group in groupby(blocks, key=lambda b: (b.architecture.depth, b.architecture.width)):
        found = list(group)
        seconds = [_seconds(block, config, rates) for block in found]
        values = [
            len(found),
            sum(map(len, found)),
            sum(len(block.minima) for block in found),
            sum(_paths(block, config) for block in found),
            max(_bytes(block, config) for block in found),
            sum(seconds),
        ]
        shared_s += sum(s for s, block in zip(seconds, found, strict=True) if block.key in mine)
        rows.append((str(depth), str(width), *_words(values)))
        totals = [a + b for a, b in zip(totals[:4], values[:4], strict=True)] + [
            max(totals[4], values[4]),
            totals[5] + values[5],
        ]
    rows.append(("all", "", *_words(totals)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(f"{entry:>{w}}" for entry, w in zip(row, widths, strict=True)) for row in rows]
    about = f"plan of {config.sweep.name} on {device}: {config.precision}, {config.minima.name} minima"
    share = f"this share ({config.shard} of {config.shards}): {len(mine)} blocks, {_duration(shared_s)}"
    end = [config.cluster.describe()] if config.cluster else [share] if config.shards > 1 else []
    how = "times: of minima and paths, extrapolated from one measurement"
    if config.sweep.measures:
        how += f"; what {', '.join(config.sweep.measures)} measure besides comes on top"
    return "\n".join([about, *lines, *end, how])


def _paths(block: Block, config) -> int:
    """How many paths are walked."""
    sweep, total = config.sweep, 0
    ways = len(sweep.paths) * ("none" in sweep.alignments) + sum(kind != "none" for kind in sweep.alignments)
    for relation in sweep.relations:
        for per_neuron in (False, True) if relation == "rescaled" else (None,):
            total += ways * len(pairs.enumerate_pairs(block, relation, per_neuron))
    return total


def _network(block: Block, config):
    shape = config.data.shape(block.architecture)
    return shape, config.network.build(shape, block.architecture, config.loss)


def _bytes(block: Block, config) -> int:
    """Of the stack with its optimizer's state, the data, and the pieces in which paths are walked at most."""
    shape, network = _network(block, config)
    size = 8 if config.precision == "float64" else 4
    data = (shape.train + shape.test) * (shape.inputs + shape.outputs) * size
    training = 5 * len(block.minima) * network.parameters * size
    pair = memory.bytes_of_a_pair(network, shape.train, config.sweep.points, size)
    return data + max(training, _paths(block, config) * pair)


def _work(block: Block, config) -> tuple[float, float]:
    """Multiplications of the training and of the paths."""
    shape, network = _network(block, config)
    steps = getattr(config.minima, "steps", 1)
    batch = getattr(config.minima, "batch_size", None) or shape.train
    training = 3.0 * len(block.minima) * steps * batch * network.parameters
    walking = float(_paths(block, config)) * config.sweep.points * (shape.train + shape.test) * network.parameters
    return training, walking


def _seconds(block: Block, config, rates: Sequence[float]) -> float:
    return sum(work * rate for work, rate in zip(_work(block, config), rates, strict=True))


def _measure(block: Block, config, device: torch.device) -> tuple[float, float]:
    """Seconds per multiplication of training and of walking paths, on a block as it would be computed."""
    shape, network = _network(block, config)
    data = config.data.draw(block.architecture, 0, network).to(device, getattr(torch, config.precision))
    draw = torch.Generator().manual_seed(0)
    drawn = [network.random(draw) for _ in block.minima]
    stack = drawn[0].map(lambda *parts: torch.cat(parts).to(data.train.x), *drawn[1:])
    options = {
        name: getattr(config.minima, name) for name in ("optimizer", "batch_size") if hasattr(config.minima, name)
    }

    def timed(function):
        function()  # compiles, and fills caches
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    training = timed(lambda: network.train(stack, data.train, steps=STEPS, **options))
    some = stack[torch.arange(PAIRS) % len(stack)]
    others = some[torch.arange(PAIRS).flip(0)]
    t = torch.linspace(0, 1, POINTS, dtype=torch.float64).to(data.train.x).expand(PAIRS, -1)
    walking = timed(lambda: network.line_loss(some, others, data.train, t, (network.loss_name,)))
    batch = getattr(config.minima, "batch_size", None) or shape.train
    trained = 3.0 * len(block.minima) * STEPS * batch * network.parameters
    return training / trained, walking / (PAIRS * POINTS * shape.train * network.parameters)


def _words(values) -> tuple[str, ...]:
    *counts, size, seconds = values
    return (*(f"{count:,}".replace(",", " ") for count in counts), _size(size), _duration(seconds))


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 99:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
