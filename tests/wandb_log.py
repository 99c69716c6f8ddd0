"""Reading what W&B wrote offline: its transaction log of checksummed, possibly divided records."""

import json
import struct
from pathlib import Path

from wandb.proto import wandb_internal_pb2

BLOCK = 32768  # a record never straddles two: it is divided
HEADER = struct.Struct("<IHB")  # checksum, length, kind: 1 whole, 2 first, 3 middle, 4 last


def records(path: Path):
    """The records of a ``.wandb`` file, as far as it is written."""
    raw, at, gathered = path.read_bytes(), 7, b""  # behind the file's own header
    while at + HEADER.size <= len(raw):
        left = BLOCK - at % BLOCK
        if left < HEADER.size:
            at += left
            continue
        _, length, kind = HEADER.unpack_from(raw, at)
        at += HEADER.size
        if kind == 0 or at + length > len(raw):
            return
        gathered += raw[at : at + length]
        at += length
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(gathered)
            gathered = b""


def logs(directory: Path) -> list[Path]:
    """The transaction logs of a results directory, oldest first."""
    return sorted((directory / "wandb").glob("*run-*/run-*.wandb"))


def history(path: Path) -> list[dict]:
    """What was logged, step by step."""
    steps = [record.history.item for record in records(path) if record.WhichOneof("record_type") == "history"]
    return [{item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in step} for step in steps]


def run(path: Path):
    """The run's own record: project, group, name, configuration."""
    return next(record.run for record in records(path) if record.WhichOneof("record_type") == "run")


def config(path: Path) -> dict:
    """The run's configuration."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in run(path).config.update}
