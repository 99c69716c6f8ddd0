"""Collecting the rows of a block, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from engine.discovery import members
from engine.measure import ALWAYS, Study, Track
from engine.types import Pair


def rows_of_track(study: Study, track: Track, split: str, **constant: Any) -> list[dict[str, Any]]:
    """Rows of one path of a stack of pairs, as dictionaries, with what the measures of every sweep say of it.

    For measures that walk paths of their own; ``constant`` are the axes and whatever else is the same in all rows.
    """
    columns: dict[str, list] = {"reason": [None] * len(track.pairs)}
    for name in ALWAYS:
        if hasattr(members("measure")[name], "of_track"):
            columns |= members("measure")[name].of_track(study, track, split)
    shared = constant | {"path": track.path, "alignment": track.alignment, "split": split}
    return [
        shared
        | {name: getattr(pair, name) for name in ("relation", "rescaling", "per_neuron")}
        | {name: values[i] for name, values in columns.items()}
        for i, pair in enumerate(track.pairs.pairs)
    ]


class Rows:
    """One row per pair, path and split, with the values of every measure; what a measure does not fill is null."""

    def __init__(self, study: Study, schema: pa.Schema):
        self.study, self.schema = study, schema
        self.values: dict[str, list] = {name: [] for name in schema.names}
        self.measures = [members("measure")[name] for name in (*ALWAYS, *study.config.sweep.measures)]
        self.of_minima: dict[str, list] = {}
        for measure in self.measures:
            if hasattr(measure, "of_minima"):
                self.of_minima |= measure.of_minima(study)

    def add_track(self, track: Track) -> None:
        """The rows of a path of a stack of pairs, one per pair and split."""
        for split in self.study.data.splits:
            columns = self._of_pairs(track.pairs.pairs, path=track.path, alignment=track.alignment, split=split)
            for measure in self.measures:
                if hasattr(measure, "of_track"):
                    columns |= measure.of_track(self.study, track, split)
            # a minimum that was not found is the first reason of all that follows from it
            failed = self.study.found.reasons
            columns["reason"] = [
                failed[pair.a] or failed[pair.b] or reason
                for pair, reason in zip(track.pairs.pairs, columns["reason"], strict=True)
            ]
            self._extend(columns)

    def add_reasons(self, pairs: Sequence[Pair], reasons: Sequence[str], **where: str) -> None:
        """One row per pair for what could not be computed; ``where`` gives the path and the alignment."""
        self._extend(self._of_pairs(pairs, **where) | {"reason": list(reasons)})

    def add_whole(self, measure: str, rows: Sequence[dict[str, Any]]) -> None:
        """Rows that a measure made itself."""
        self._extend(
            {name: [row.get(name) for row in rows] for name in self.schema.names} | {"measure": [measure] * len(rows)}
        )

    def table(self) -> pa.Table:
        """All rows."""
        return pa.table(self.values, schema=self.schema)

    def _of_pairs(self, pairs: Sequence[Pair], **constant: str | None) -> dict[str, list]:
        minima = self.study.block.minima
        columns: dict[str, list] = {axis: [minima[pair.a].axes[axis] for pair in pairs] for axis in minima[0].axes}
        columns |= {name: [values[pair.a] for pair in pairs] for name, values in self.of_minima.items()}
        columns |= {name: [getattr(pair, name) for pair in pairs] for name in ("relation", "rescaling", "per_neuron")}
        columns["seed_b"] = [minima[pair.b].seed for pair in pairs]
        return columns | {name: [value] * len(pairs) for name, value in constant.items()}

    def _extend(self, columns: dict[str, list]) -> None:
        length = len(next(iter(columns.values())))
        for name, values in self.values.items():
            values.extend(columns.get(name, [None] * length))
