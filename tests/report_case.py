"""A small results directory with numbers chosen by hand: what reports are tested on, without a sweep or torch."""

import itertools
import json

import pyarrow as pa

from engine import results

COLUMNS = results.schema({
    "loss_a": pa.float64(),
    "loss_max": pa.float64(),
    "barrier": pa.float64(),
    "deviation": pa.float64(),
    "t": pa.list_(pa.float64()),
    "loss": pa.list_(pa.float64()),
    "predicted": pa.float64(),
    "grad_norm": pa.float64(),
    "reached": pa.bool_(),
})
FACTORS = (1.0, 10.0, 100.0)
ROWS = 2 * len(FACTORS) + 5  # of each minimum
# barriers of independent minima: seed s has (1 + s) times this
ALIGNED = {"none": 0.5, "permutation": 0.05, "rescaling": 0.4, "both": 0.02}


def row(base=None, **values):
    """One row, or one that differs from another in some columns."""
    return (base or dict.fromkeys(COLUMNS.names)) | values


def rows(activation="relu", reason="no symmetry relates the two minima"):
    """Rows of two depths, two widths, two weight decays and three seeds."""
    made = []
    for depth, width, decay, seed in itertools.product((2, 3), (8, 16), (0.0, 1e-3), range(3)):
        cell = row(depth=depth, width=width, activation=activation, skip=0.0, weight_decay=decay, seed=seed)
        cell = row(cell, split="train", grad_norm=1e-5, reached=seed > 0, alignment="none", loss_a=0.01)
        for m in FACTORS:
            twin = row(cell, relation="rescaled", rescaling=m, per_neuron=False, seed_b=seed)
            barrier = 0.01 * (1 + seed) * (m - 1) ** 4 / (16 * m**2)
            made.append(row(twin, path="linear", predicted=barrier * (1 + 1e-13), **line(barrier)))
            made.append(row(twin, path="symmetry", deviation=1e-17, **line(0.0)))
        other = row(cell, relation="independent", seed_b=(seed + 1) % 3)
        for alignment, barrier in ALIGNED.items():
            made.append(row(other, path="linear", alignment=alignment, **line(barrier * (1 + seed))))
        made.append(row(other, path="symmetry", reason=reason))
    return made


def line(barrier):
    """Columns of a path with this barrier between two minima of loss 0.01."""
    top = 0.01 + barrier
    return {"barrier": barrier, "loss_max": top, "t": [0.0, 0.5, 1.0], "loss": [0.01, top, 0.01]}


def config(name="barriers"):
    """What the manifest records of a configuration, as far as a report reads it."""
    return {
        "sweep": {"name": name, "sweeps": [], "figures": ["growth", "curves", "alignment"], "grid": {"depth": [2, 3]}},
        "data": {"name": "digits"},
        "minima": {"name": "trained", "tolerance": 1e-4},
        "loss": "mse",
        "precision": "float64",
    }


def write(directory, made=None, claims=None, **recorded):
    """Write a results directory as a sweep leaves it."""
    table = pa.Table.from_pylist(rows() if made is None else made, schema=COLUMNS)
    manifest = {
        "config": config(),
        "columns": {field.name: str(field.type) for field in COLUMNS},
        "created": "2026-01-01T00:00:00+00:00",
        "python": "3.11.7",
        "device": "CPU",
        "versions": {"torch": "2.13.0"},
        "commit": "0123456789abcdef",
        "command": ["+sweep=barriers"],
    }
    results.write_manifest(directory, manifest | recorded)
    half = table.num_rows // (2 * ROWS) * ROWS  # no part ends within a minimum's rows
    for index, part in enumerate((table.slice(0, half), table.slice(half))):
        results.write_part(directory, results.entry(f"{index:032x}", index, part.num_rows // ROWS, part), part)
    if claims is not None:
        (directory / "claims.json").write_text(json.dumps(claims))
    return directory
