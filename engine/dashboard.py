"""``python -m engine.dashboard DIR|ENTITY/PROJECT``: the W&B workspace of a sweep, as code.

What is shown is described first, in plain words and metric names, and printed by ``--dry-run``; only then is it handed
to wandb-workspaces, which needs an account to save it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import results
from engine.tracking.wandb import account
from engine.types import AXES

PROJECT = "isoloss"
ALIGNMENTS = ("none", "permutation", "rescaling", "both")


class DashboardError(Exception):
    """A dashboard that cannot be built; one sentence."""


@dataclass(frozen=True)
class Panel:
    """A panel: the kind and the options of a class of wandb-workspaces, in plain values."""

    kind: str
    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    # what runs it needs: one for each cell, or one for the sweep
    runs: str = "sweep"


@dataclass(frozen=True)
class Dashboard:
    """A workspace: sections of panels in a project."""

    name: str
    entity: str | None
    project: str
    sections: Mapping[str, Sequence[Panel]]


def of(what: str) -> Dashboard:
    """The dashboard of a results directory or of ENTITY/PROJECT.

    Raises:
        DashboardError: it is neither.
    """
    if (Path(what) / results.MANIFEST).exists():
        return of_directory(Path(what))
    parts = what.split("/")
    if len(parts) == 2 and all(parts) and not Path(what).exists():
        return of_project(*parts)
    raise DashboardError(f"{what} is neither a results directory nor ENTITY/PROJECT")


def of_directory(directory: Path) -> Dashboard:
    """The dashboard of a sweep that was run here: its project, and the metrics that its options give.

    Raises:
        DashboardError: it is made of sweeps, which have one each.
    """
    config = results.read_manifest(directory)["config"]
    if parts := config["sweep"]["sweeps"]:
        names = ", ".join(str(directory / name) for name in parts)
        raise DashboardError(f"{directory} is made of sweeps, and each has a dashboard of its own: {names}")
    tracking = config["tracking"]
    return _dashboard(
        config["sweep"]["name"],
        tracking.get("entity"),
        tracking.get("project", PROJECT),
        config["sweep"]["relations"],
        config["sweep"]["alignments"],
        [axis for axis, values in config["sweep"]["grid"].items() if len(values) > 1] + ["seed"],
        config["sweep"]["figures"],
    )


def of_project(entity: str, project: str) -> Dashboard:
    """The dashboard of a project of which nothing is here: with everything that a sweep of barriers tracks."""
    relations = ("rescaled", "independent")
    return _dashboard(PROJECT, entity, project, relations, ALIGNMENTS, AXES, ("growth", "curves", "alignment"))


def _dashboard(name, entity, project, relations, alignments, axes, figures) -> Dashboard:
    aligned = [f"barrier/independent/{alignment}" for alignment in alignments]
    varied = [f"config:{axis}" for axis in axes]
    other = [axis for axis in varied if axis != "config:rescaling"]
    log = {"log_x": True, "log_y": True}
    growth = ["barrier/rescaled/none", "predicted/rescaled/none"]
    by_depth = {"groupby": "config:depth", "groupby_aggfunc": "median", "groupby_rangefunc": "minmax"}
    sections, coordinates = {}, []
    barrier = f"summary:{growth[0]}"
    if "rescaled" in relations:
        sections["Barrier over the rescaling factor"] = [
            Panel("LinePlot", "measured and predicted", {"x": "rescaling", "y": growth, **log}),
            Panel("LinePlot", "by depth", {"x": "rescaling", "y": growth[:1], **log, **by_depth}, runs="cell"),
            Panel("ScatterPlot", "all cells", {"x": "config:rescaling", "y": barrier, **log}, runs="cell"),
        ]
        coordinates.append(("rescaled minima", varied, growth[0]))
    if "independent" in relations:
        sections["Before and after alignment"] = [
            Panel("BarPlot", "by depth", {"metrics": aligned, "orientation": "v", **by_depth}, runs="cell"),
            Panel("LinePlot", "cell by cell", {"x": "width", "y": aligned, "log_y": True}),
        ]
        coordinates.append(("independent minima", other, aligned[0]))
        coordinates.append(("independent minima, aligned", other, aligned[-1]))
    if coordinates:
        sections["Axes and barrier"] = [
            Panel("ParallelCoordinatesPlot", title, {"columns": [*of_it, f"summary:{last}"]}, runs="cell")
            for title, of_it, last in coordinates
        ]
    sections["Figures and curves"] = [
        Panel("MediaBrowser", "figures", {"media_keys": [f"figure/{figure}" for figure in figures]}),
        *([Panel("WeavePanelSummaryTable", "curves", {"table_name": "curves"})] if coordinates else []),
    ]
    sections["Runs"] = [
        Panel("WeavePanelSummaryTable", "claims", {"table_name": "claims"}),
        Panel("WeavePanelSummaryTable", "run table", {"table_name": "results"}),
    ]
    return Dashboard(f"{name}: barriers" if coordinates else name, entity, project, sections)


def outline(dashboard: Dashboard) -> Iterator[str]:
    """The dashboard in lines of text.

    Yields:
        A line for the workspace, for each section, panel and option.
    """
    yield f"workspace {dashboard.name!r} in {dashboard.entity or '(the account)'}/{dashboard.project}"
    for section, panels in dashboard.sections.items():
        yield f"  section {section!r}"
        for panel in panels:
            yield f"    {panel.kind} {panel.title!r}" + (" (of tracking.runs=cell)" if panel.runs == "cell" else "")
            for name, value in panel.options.items():
                yield f"      {name}: {', '.join(value) if isinstance(value, list) else value}"


def build(dashboard: Dashboard):
    """The workspace as wandb-workspaces has it, not saved.

    Args:
        dashboard: its description, with an entity.

    Returns:
        A ``wandb_workspaces.workspaces.Workspace``.

    Raises:
        DashboardError: the package is not there.
    """
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ImportError:
        raise DashboardError("dashboards need wandb-workspaces: pip install 'isoloss[dashboard]'") from None

    kinds = {"config": reports.Config, "summary": reports.SummaryMetric, "metric": reports.Metric}

    def metric(words: str):
        kind, _, name = words.partition(":")
        return kinds[kind](name)

    def made(panel: Panel):
        options = dict(panel.options)
        for name in ("x", "y", "groupby"):
            if isinstance(options.get(name), str) and ":" in options[name]:
                options[name] = metric(options[name])
        if panel.kind == "ParallelCoordinatesPlot":
            column = reports.ParallelCoordinatesPlotColumn
            options["columns"] = [
                column(metric(words), log=words.startswith("summary:") or words == "config:rescaling")
                for words in options["columns"]
            ]
        if panel.kind != "WeavePanelSummaryTable":  # a table has no title
            options["title"] = panel.title
        return getattr(reports, panel.kind)(**options)

    return workspaces.Workspace(
        name=dashboard.name,
        entity=dashboard.entity or "",
        project=dashboard.project,
        sections=[
            workspaces.Section(name=name, panels=[made(panel) for panel in panels], is_open=True)
            for name, panels in dashboard.sections.items()
        ],
        auto_generate_panels=False,
    )


def save(dashboard: Dashboard) -> str:
    """Make the workspace in the account; returns its address.

    Raises:
        DashboardError: there is no key, no network, or W&B refuses.
    """
    host = account.server().hostname
    if not account.has_key():
        raise DashboardError(
            f"a dashboard needs an account's API key for {host}: set {account.KEY} or run `wandb login`; "
            "--dry-run shows what would be built"
        )
    if not account.reachable():
        raise DashboardError(f"{host} cannot be reached from here; --dry-run shows what would be built")
    try:
        if dashboard.entity is None:
            import wandb

            dashboard = Dashboard(dashboard.name, wandb.Api().default_entity, dashboard.project, dashboard.sections)
        return build(dashboard).save().url
    except DashboardError:
        raise
    except Exception as error:  # whatever W&B raises is told in its first line
        raise DashboardError(f"W&B refused the dashboard: {account.sentence(error)}") from None


def main(argv: Sequence[str]) -> int:
    """Build the dashboard of a directory or project; returns the exit code."""
    parser = argparse.ArgumentParser("python -m engine.dashboard", description="The W&B workspace of a sweep.")
    parser.add_argument("what", metavar="DIR|ENTITY/PROJECT", help="a results directory, or a project of W&B")
    parser.add_argument("--dry-run", action="store_true", help="print what would be built, without an account")
    given = parser.parse_args(argv)
    try:
        dashboard = of(given.what)
        if given.dry_run:
            print("\n".join(outline(dashboard)), flush=True)
        else:
            print(f"dashboard: {save(dashboard)}")
    except (DashboardError, results.ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # as of head
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
