"""``python -m engine.bench``: the default barriers sweep against the same cells one by one in plain PyTorch.

Two alternatives are what people do today: a loop over the cells in one warm process, and one process per cell, as a
plain Hydra multirun starts them.  Both train the cell's minimum with ``torch.optim``, make its two rescaled twins, and
walk the straight lines to them, as they are and after each alignment, and the symmetry curves, with a loop over points
that loads each point's weights into a module and evaluates it on both splits.  In their favour, the permuted and the
independent pairs of the sweep are left out, and the alignment is the engine's own.  A cell of each architecture is
timed and agrees with the sweep's rows; the whole is their sum times the number of cells of each architecture.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch

from engine import align, config, pairs, plan, reading
from engine.discovery import members
from engine.path.symmetry import Path as Symmetry
from engine.seeding import seed_of
from engine.shard import execute
from engine.types import Architecture, Block, Cell, Split, Weights
from kernels import bench
from kernels.path_loss.reference import ACTIVATION, loss_of
from kernels.train import reference

AGREEMENT = 1e-5  # relative, of the barriers of a cell: rounding grows along a thousand steps of training
ROUNDS = 3  # of the whole sweep
PROCESSES = 3  # cells that are timed in a process of their own
TINY = ["sweep.grid.depth=[2]", "sweep.grid.width=[4]", "sweep.seeds=2", "minima.steps=5", "tracking=none"]


class Plain(torch.nn.Module):
    """The network as anybody would write it."""

    def __init__(self, network):
        super().__init__()
        sizes = zip(network.widths[:-1], network.widths[1:], strict=True)
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(*size, bias=network.bias, dtype=torch.float64) for size in sizes
        )
        self.activation = ACTIVATION[network.activation]

    def forward(self, x):
        """Outputs ``(N, d_l)`` at ``x`` ``(N, d_0)``."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)

    def load(self, weights: Weights) -> None:
        """Take the weights of a stack of one."""
        state = {f"layers.{i}.weight": layer[0] for i, layer in enumerate(weights.layers)}
        state |= {f"layers.{i}.bias": bias[0] for i, bias in enumerate(weights.biases or ())}
        self.load_state_dict(state)


@torch.no_grad()
def walk(module: Plain, points: list[Weights], splits: dict[str, Split], loss: str) -> dict[str, list[float]]:
    """Losses and error rates at each point, one after the other."""
    found: dict[str, list[float]] = {}
    for point in points:
        module.load(point)
        for name, split in splits.items():
            outputs = module(split.x)
            found.setdefault(name, []).append(float(loss_of(outputs, split.y, loss)))
            found.setdefault(f"{name} error", []).append(float(loss_of(outputs, split.y, "error_rate")))
    return found


def cell_alone(chosen: Cell, settings) -> dict[bool, float]:
    """One cell from its data to its barriers; the training barrier of the layer-wise and of the per-neuron twin."""
    minimum, architecture = chosen.minimum, chosen.minimum.architecture
    network = settings.network.build(settings.data.shape(architecture), architecture, settings.loss)
    data = settings.data.draw(architecture, seed_of(what="data", sweep_seed=settings.seed), network)
    drawn = seed_of(what="minimum", sweep_seed=settings.seed, **minimum.axes)
    start = network.random(torch.Generator().manual_seed(drawn))
    weights, biases, _ = reference.train(
        [layer[0] for layer in start.layers],
        data.train.x,
        data.train.y,
        biases=start.biases and [bias[0] for bias in start.biases],
        activation=network.activation,
        loss=network.loss_name,
        weight_decay=minimum.weight_decay,
        **{
            name: getattr(settings.minima, name)
            for name in ("optimizer", "learning_rate", "steps", "schedule", "tolerance")
        },
    )
    a = Weights(tuple(w[None] for w in weights), biases and tuple(b[None] for b in biases))
    groups = {name: module.Group(network, None) for name, module in members("symmetry").items()}
    block = Block("", architecture, (minimum,), (chosen.rescaling,))
    module, t = Plain(network), torch.linspace(0, 1, settings.sweep.points, dtype=torch.float64)
    barriers = {}
    for per_neuron in (False, True):
        twins = pairs.related(
            block, pairs.enumerate_pairs(block, "rescaled", per_neuron), a, groups["rescaling"], settings.seed
        )
        for alignment in settings.sweep.alignments:
            b = align.aligned(alignment, groups, a, twins.b)
            line = [a.map(lambda p, q, s=s: (1 - s) * p + s * q, b) for s in t.tolist()]
            found = walk(module, line, data.splits, network.loss_name)
            if alignment == "none":
                loss = torch.tensor(found["train"], dtype=torch.float64)
                barriers[per_neuron] = float((loss - ((1 - t) * loss[0] + t * loss[-1])).max())
        curve = Symmetry(network, twins).points(t[None])
        walk(module, [curve[:, i] for i in range(len(t))], data.splits, network.loss_name)
    return barriers


def check(table: pa.Table, chosen: Cell, barriers: dict[bool, float], points: int) -> float:
    """Largest relative difference of a cell's barriers from the sweep's, on the coarse points."""
    off = 0.0
    for per_neuron, barrier in barriers.items():
        wanted = {
            **chosen.axes,
            "relation": "rescaled",
            "per_neuron": per_neuron,
            "path": "linear",
            "alignment": "none",
        }
        rows = table
        for name, value in (wanted | {"split": "train"}).items():
            rows = rows.filter(pc.equal(rows[name], value))
        (row,) = rows.to_pylist()
        coarse = [
            (t, loss)
            for t, loss in zip(row["t"], row["loss"], strict=True)
            if abs(t * (points - 1) - round(t * (points - 1))) < 1e-9
        ]
        first, last = coarse[0][1], coarse[-1][1]
        ours = max(loss - ((1 - t) * first + t * last) for t, loss in coarse)
        off = max(off, abs(ours - barrier) / max(abs(barrier), 1e-12))
    return off


def sample(settings) -> dict[Architecture, tuple[Cell, int]]:
    """A cell of each architecture, every axis varied over them, and how many cells the architecture has."""
    found = {}
    for block in plan.blocks(settings.sweep.grid, settings.sweep.seeds, settings.block):
        cells = [cell for cell in block.cells if cell.rescaling != 1]
        found[block.architecture] = (cells[(7 * len(found) + 3) % len(cells)], len(block))
    return found


def main(argv: list[str] | None = None) -> None:
    """Time the sweep and its alternatives, print a table, write the record."""
    parser = argparse.ArgumentParser(prog="python -m engine.bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=bench.ROOT / "sweeps" / "bench", help="folder of the record")
    parser.add_argument("--cell", type=int, help="compute the i-th sampled cell alone, as one process of many would")
    parser.add_argument("overrides", nargs="*", help="options of the sweep")
    given = parser.parse_args(argv)
    settings = config.read(["+sweep=barriers", "tracking=none", "out=unused", "sweep.measures=[]", *given.overrides])
    if given.cell is not None:
        cell_alone(list(sample(settings).values())[given.cell][0], settings)
        return
    bench.idle_threads_sleep("engine.bench")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    record = bench.circumstances(device) | {"command": " ".join(["python -m engine.bench", *given.overrides])}
    rows = measured(settings, given.overrides)
    print(bench.table(rows))
    print(f"record: {bench.write('sweep', device, record | {'rows': rows}, given.out)}")


def measured(settings, overrides: list[str]) -> list[dict]:
    """The three ways, a row each.

    Raises:
        ArithmeticError: their barriers differ: nothing wrong is timed.
    """
    chosen = sample(settings)
    with tempfile.TemporaryDirectory() as folder:

        def sweep(name, *options):
            wanted = ["+sweep=barriers", "tracking=none", "sweep.measures=[]", *options, f"out={folder}/{name}"]
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):  # the report's tables
                execute(config.read(wanted))
            return time.perf_counter() - start

        sweep("warm", *TINY)
        ours = [sweep(str(i), *overrides) for i in range(ROUNDS)]
        table = reading.load(Path(folder) / "0")
    cell_alone(next(iter(chosen.values()))[0], config.read(["+sweep=barriers", "out=unused", *TINY]))  # warm
    alone, off = [], 0.0
    for cell, count in chosen.values():
        start = time.perf_counter()
        barriers = cell_alone(cell, settings)
        alone.append((time.perf_counter() - start, count))
        off = max(off, check(table, cell, barriers, settings.sweep.points))
    if not off <= AGREEMENT:
        raise ArithmeticError(f"the cells' barriers differ by {off:.1e}, expected {AGREEMENT:.0e}")
    cells = sum(count for _, count in alone)
    one_by_one = sum(seconds * count for seconds, count in alone)
    starts = []
    for i in sorted({0, len(alone) // 2, len(alone) - 1})[:PROCESSES]:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "engine.bench", "--cell", str(i), *overrides], check=True)
        starts.append(time.perf_counter() - start - alone[i][0])
    processes = one_by_one + cells * max(0.0, statistics.median(starts))
    median = statistics.median(ours)
    return [
        {"way": way, "seconds": seconds, "ratio": seconds / median, "cells": cells, "timed": timed, "disagreement": off}
        for way, seconds, timed in (
            ("this engine, one process, warm", median, f"{ROUNDS} whole sweeps"),
            ("plain PyTorch, cell by cell, one process, warm", one_by_one, f"{len(alone)} cells"),
            ("plain PyTorch, one process per cell", processes, f"{len(alone)} cells, {len(starts)} processes"),
        )
    ]


if __name__ == "__main__":
    main()
