"""The W&B runs of a sweep, written by the process that tracks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import wandb

from engine import reading, results
from engine.report import CLAIMS, PAGE, read_claims, rows_of, some_rows
from engine.report.figure import curves
from engine.report.select import scalars
from engine.tracking.wandb import account
from engine.types import AXES

TABLE_ROWS = 50_000  # W&B refuses tables of more than 200 000 rows, and shows 10 000
# columns that are the same for all pairs of a minimum, and those that only the table has
OF_MINIMUM = ("loss_a", "grad_norm", "balance", "reached", "steps")
TABLE_ONLY = ("loss_b", "loss_max", "t_max", "barrier_mean", "barrier_tolerance", "distance")


class Runs:
    """The runs of one sweep or shard: one run, or one for each cell."""

    def __init__(self, directory: Path, shard: int | None, options: Mapping[str, Any]):
        self.directory, self.shard, self.options = directory, shard, options
        self.manifest = results.read_manifest(directory)
        self.sweep = self.manifest["config"]["sweep"]["name"]
        # all shards, and whoever goes on with them, see the same manifest
        self.group = f"{self.sweep} {self.manifest['created']}"
        self.mode = account.mode(options["mode"])
        self.trouble = ""
        # W&B itself takes a quarter of a minute to find out
        if self.mode == "online" and not account.reachable(options["patience_s"] / 4):
            self._go_offline(f"{account.server().hostname} cannot be reached")
        self.count = 0
        self.run = None
        if options["runs"] == "sweep":
            self.run = self._start("sweep" if shard is None else f"shard {shard}")
            for measure in ("barrier", "predicted"):
                self.run.define_metric(f"{measure}/rescaled/*", step_metric="rescaling")

    def block(self, key: str) -> Iterator[None]:
        """Log the cells of a finished block; yields after each, as a sign of life."""
        (table,) = reading.batches(self.directory, blocks={key})
        for axes, entries in cells(table):
            if self.run is not None:
                for entry in entries:
                    self.run.log(entry)
            else:
                run = self._start(f"cell {self.count}", axes)
                for entry in entries:
                    run.log(entry)
                run.finish()
            self.count += 1
            yield

    def whole(self, figures: list[str]) -> Iterator[None]:
        """Log the table, the curves, the figures and the page of the whole sweep; yields after each."""
        if self.run is None:
            self.run = self._start("report")
        table = rows_of(self.directory)
        self.run.log({"results": as_table(scalars(table))})
        yield
        with_curves = table if "t" in table.column_names else some_rows(self.directory)
        if lines := curve_points(with_curves, self.manifest["config"]):
            self.run.log({"curves": as_table(pa.Table.from_pylist(lines))})
        if claims := read_claims(self.directory):
            self.run.log({Path(CLAIMS).stem: as_table(pa.Table.from_pylist(claims))})
        for figure in figures:
            self.run.log({f"figure/{Path(figure).stem}": wandb.Image(figure)})
        yield
        if (page := self.directory / PAGE).is_file():
            self.run.log({"report": wandb.Html(page.read_text(), inject=False)})

    def finish(self) -> str:
        """End the run; returns where it is."""
        url = self.run.url if self.run is not None and self.mode == "online" else None
        if self.run is not None:
            self.run.finish()
        if url:
            return f"W&B, {url}"
        return f"W&B, offline{self.trouble}; to upload it: python -m engine.sync {self.directory}"

    def _go_offline(self, reason: str) -> None:
        self.mode, self.trouble = "offline", f" ({reason})"

    def _start(self, what: str, axes: Mapping[str, Any] | None = None):
        """A new run with the sweep's configuration, or with a cell's axes; offline where the network fails."""
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            save_code=False,
            x_disable_meta=True,  # command line and machine are in the manifest
            x_disable_stats=True,
            x_transaction_log_flush_interval=1,  # s; what is logged outlives a SIGKILL
            init_timeout=self.options["patience_s"] / 2,
        )
        asked = {
            "project": self.options["project"],
            "entity": self.options["entity"],
            "group": self.group,
            "job_type": what.split()[0],
            "name": f"{self.sweep} {what}",
            "dir": str(self.directory),
            "config": axes or self.manifest["config"] | {"shard": self.shard, "commit": self.manifest["commit"]},
            "reinit": "create_new",
            "settings": settings,
        }
        try:
            return wandb.init(mode=self.mode, **asked)
        except Exception as error:
            if self.mode == "offline":
                raise
            self._go_offline(account.sentence(error))
            return wandb.init(mode="offline", **asked)


def cells(table: pa.Table) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """What is logged of each cell of a block.

    Args:
        table: the rows of a block.

    Yields:
        For each combination of the axes, minima without a factor apart, the axes by name and dictionaries to log, the
        axes among them: one of the pairs, with what was measured of the first minimum by name, of a pair as
        ``column/relation/alignment`` (or ``path`` where it is no straight line; ``/test`` behind it), and one of each
        row that a measure of the sweep made, as ``column/measure``.
    """
    table = scalars(table)
    found: dict[tuple, tuple[dict, list]] = {}
    for row in table.to_pylist():
        key = tuple(row[axis] for axis in AXES)
        if key not in found:
            axes = {axis: value for axis, value in zip(AXES, key, strict=True) if value is not None}
            found[key] = axes, [dict(axes)]
        axes, entries = found[key]
        if row["measure"] is None:
            entry = entries[0]
        else:
            entry = dict(axes)
            entries.append(entry)
        place = _place(row)
        for name, value in row.items():
            if value is None or name in results.BASE_COLUMNS or name in TABLE_ONLY:
                continue
            if name in OF_MINIMUM:
                if row["split"] in {"train", None}:
                    entry[name] = value
            else:
                entry[f"{name}/{place}"] = value
    for axes, entries in found.values():
        yield axes, [entry for entry in entries if len(entry) > len(axes)]


def _place(row: Mapping[str, Any]) -> str:
    """Which pair, path and split a row is of, in words."""
    relation = row["relation"] and row["relation"] + (" per neuron" if row["per_neuron"] else "")
    way = row["alignment"] if row["path"] in {"linear", None} else row["path"]
    split = row["split"] if row["split"] != "train" else None
    return "/".join(part for part in (row["measure"], relation, way, split) if part) or "cell"


def curve_points(table: pa.Table, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of the figure of curves, one by one."""
    chart = curves.chart(table, config)
    if chart is None:
        return []
    return [
        {"pair": panel.title, "path": series.label, "t": t, "loss": loss}
        for panel in chart.shown().panels
        for series in panel.series
        for t, loss in zip(series.x.tolist(), series.y.tolist(), strict=True)
        if t == t
    ]


def as_table(rows: pa.Table) -> wandb.Table:
    """A W&B table; of very many rows every k-th."""
    every = -(-rows.num_rows // TABLE_ROWS)
    some = rows.take(list(range(0, rows.num_rows, every))) if every > 1 else rows
    lines = zip(*(column.to_pylist() for column in some.columns), strict=True)
    return wandb.Table(columns=rows.column_names, data=[list(line) for line in lines], allow_mixed_types=True)
