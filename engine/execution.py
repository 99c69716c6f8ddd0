"""The story on one screen: for each block of the plan find minima, pair them, walk the paths, measure, write."""

from __future__ import annotations

import pyarrow as pa
import torch

from engine import align, memory, pairs, predict, results, walk
from engine.discovery import members
from engine.measure import ALWAYS, Study, Track
from engine.rows import Rows
from engine.seeding import seed_of
from engine.types import Block, not_applicable


def columns(config) -> pa.Schema:
    """The columns of the sweep's rows."""
    return results.schema(*(members("measure")[name].COLUMNS for name in (*ALWAYS, *config.sweep.measures)))


def study(block: Block, config, device: torch.device, progress) -> Study:
    """Draw the data and find the minima of a block."""
    shape = config.data.shape(block.architecture)
    network = config.network.build(shape, block.architecture, config.loss)
    # the same draw for every architecture, so far as the data do not depend on it: cells differ in minima, not in data
    data = config.data.draw(block.architecture, seed_of(what="data", sweep_seed=config.seed), network)
    data = data.to(device, getattr(torch, config.precision))
    groups = {
        name: module.Group(network, getattr(config.symmetry, name, None))
        for name, module in members("symmetry").items()
    }
    generators = [
        torch.Generator().manual_seed(seed_of(what="minimum", sweep_seed=config.seed, **minimum.axes))
        for minimum in block.minima
    ]
    progress.stage(f"{len(block.minima)} minima: {words(block)}")
    found = config.minima.find(network, block, data, generators, groups)
    return Study(block, network, data, found, groups, config)


def compute(block: Block, config, device: torch.device, progress) -> pa.Table:
    """The rows of one block; they depend on the block and the configuration alone."""
    at = study(block, config, device, progress)
    rows = Rows(at, columns(config))
    for relation in config.sweep.relations:
        progress.stage(f"{relation} pairs: {words(block)}")
        for per_neuron in (False, True) if relation == "rescaled" else (None,):
            _relation(at, relation, per_neuron, rows)
    # what is found is held against the loss of the zero network, and may have none
    pointless = not at.data.train.targets(at.data.outputs).any()
    for name in config.sweep.measures:
        measure = members("measure")[name]
        progress.stage(f"{name}: {words(block)}")
        if hasattr(measure, "of_block"):
            rows.add_whole(name, measure.of_block(at))
        if hasattr(measure, "of_found") and pointless:
            reason = {"split": "train", "reason": "all targets are zero"}
            rows.add_whole(name, [minimum.axes | reason for minimum in block.minima])
        elif hasattr(measure, "of_found"):
            sound = at.without_lost()
            rows.add_whole(name, at.lost() + (measure.of_found(sound) if sound.block.minima else []))
    return rows.table()


def words(block: Block) -> str:
    """The architecture of a block, for people."""
    a = block.architecture
    return f"depth {a.depth}, width {a.width}, {a.activation}" + (f", skip {a.skip:g}" if a.skip else "")


def _relation(at: Study, relation: str, per_neuron: bool | None, rows: Rows) -> None:
    """Pair the minima by one relation and walk every path between them, before and after alignment."""
    sweep, found = at.config.sweep, at.found.weights
    chosen = pairs.enumerate_pairs(at.block, relation, per_neuron)
    group = next((group for group in at.symmetries.values() if group.relation == relation), None)
    if group is not None and group.reason:
        if not per_neuron:  # one row per cell says it
            rows.add_reasons(chosen, [not_applicable(group.reason)] * len(chosen))
        return
    if not chosen:
        return
    if group is None:
        stack = pairs.independent(chosen, found)
    else:
        stack = pairs.related(at.block, chosen, found, group, at.config.seed)
    for alignment in sweep.alignments:
        if reason := align.reason(alignment, at.symmetries):
            rows.add_reasons(chosen, [not_applicable(reason)] * len(chosen), alignment=alignment)
        elif alignment == "none":
            for path in sweep.paths:
                _walk(at, stack, path, alignment, rows)
        else:
            moved = align.aligned(alignment, at.symmetries, stack.a, stack.b)
            _walk(at, stack.to_ends(stack.a, moved), "linear", alignment, rows)


def _walk(at: Study, stack: pairs.Pairs, path: str, alignment: str, rows: Rows) -> None:
    """Evaluate one kind of path for a stack of pairs, in pieces that fit into memory, and add its rows."""
    sweep, network = at.config.sweep, at.network
    names = (network.loss_name,) if at.data.train.y.is_floating_point() else (network.loss_name, "error_rate")
    options = getattr(at.config.path, path, None)

    def piece(part: slice):
        curve = members("path")[path].Path(network, stack[part], options)
        without = {i: reason for i, reason in enumerate(curve.reasons) if reason}
        if without:
            rest = [i for i in range(len(curve.pairs)) if i not in without]
            lost = [curve.pairs.pairs[i] for i in without]
            curve = curve.take(torch.tensor(rest, dtype=torch.int64))
        else:
            lost = []
        curve.learn(at.data.train)
        closed_form = predict.line(network, curve.pairs) if path == "linear" else None
        also = None if closed_form is None else closed_form.maximiser()
        walked = walk.follow(curve, at.data, names, sweep.points, sweep.tolerance, also) if len(curve.pairs) else None
        return lost, list(without.values()), curve.pairs, walked, closed_form

    size = memory.pairs_at_once(at, len(stack), sweep.points)
    for lost, reasons, walked_pairs, walked, closed_form in memory.in_pieces(len(stack), size, piece):
        if lost:
            rows.add_reasons(lost, reasons, path=path, alignment=alignment)
        if walked is not None:
            rows.add_track(Track(walked_pairs, path, alignment, walked, closed_form))
