"""The tables that end a sweep: medians by architecture, and how far measured and predicted are apart; no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.report.chart import UNITS
from engine.report.select import array, measured, rows, values
from engine.results import BASE_COLUMNS

LINES = 24  # of a table in the terminal; the page has all
FACTORS = 5  # columns of rescaling factors
COLUMNS = 6  # of a measure's table
ALIGNMENTS = ("none", "permutation", "rescaling", "both")


@dataclass(frozen=True)
class Table:
    """Some rows under a head; the cells are words already."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    lines: int = LINES  # in the terminal at most


def summaries(table: pa.Table) -> list[Table]:
    """What is worth a look, in the order in which a reader asks; what the sweep did not measure is left out."""
    train = rows(table, measure=None, split="train")
    # where there are pairs, what the measures add to them is told by the claims
    measures = [] if train.num_rows else _measured(table)
    made = (_rescaled(train), *_aligned(train), _curves(train), *measures, _without(table))
    return [found for found in made if found is not None]


def heading(table: pa.Table, config: Mapping[str, Any]) -> str:
    """What was measured, in a sentence."""
    told = [f"{table.num_rows} rows"]
    pairs = rows(table, measure=None)
    if pairs.num_rows:
        told.append(_minima(pairs, config["data"]["name"]))
    if measures := values(table, "measure"):
        told.append(f"measures {', '.join(measures)}")
    return f"{', '.join(told)}; {UNITS[config['loss']]}, {config['precision']}, training split"


def _minima(pairs: pa.Table, data: str) -> str:
    """How many networks were found, and how near to a minimum they are."""
    axes = ["depth", "width", "activation", "skip", "weight_decay", "seed"]
    found = pairs.group_by(axes, use_threads=False).aggregate([("reached", "min"), ("grad_norm", "max")])
    norms, within = array(found, "grad_norm_max"), pc.sum(found["reached_min"]).as_py() or 0
    finite = norms[np.isfinite(norms)]
    median = number(float(np.median(finite))) if len(finite) else "–"
    lost = f", {len(norms) - len(finite)} lost" if len(finite) < len(norms) else ""
    return f"{len(norms)} minima of {data} (median gradient norm {median}, {within} within the tolerance{lost})"


def heading_of_series(config: Mapping[str, Any], claims: Sequence[Mapping[str, Any]]) -> str:
    """What a sweep made of sweeps found, in a sentence."""
    holds = sum(claim["verdict"] == "holds" for claim in claims)
    return f"{len(config['sweep']['sweeps'])} sweeps, {len(claims)} claims, of which {holds} hold"


def number(value: float) -> str:
    """Two significant digits; a dash for NaN."""
    if value != value:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{float(f'{value:.2g}'):g}"
    return f"{value:.1e}"


def claims_tables(claims: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Verdict and sentence of each claim, and under it the numbers, with those of its control, where it must fail."""
    if not claims:
        return []
    told = []
    for claim in claims:
        measured, tolerance, control = (words(claim.get(key)) for key in ("measured", "tolerance", "control_measured"))
        told += [
            [claim["verdict"], claim["claim"]],
            [
                "",
                f"predicted {prediction(claim)}, measured {measured}, tolerance {tolerance}; "
                f"control: {claim.get('control')}, {control}{missing(claim)}{_not_judged(claim)}",
            ],
        ]
    return [Table("Claims", ["verdict", "claim"], told, lines=len(told))]


def _not_judged(claim: Mapping[str, Any]) -> str:
    """Why a number that was measured is not judged, or nothing."""
    return f"; {claim['reason']}" if claim["verdict"] == "not applicable" and claim.get("measured") is not None else ""


def prediction(claim: Mapping[str, Any]) -> str:
    """What a claim predicts: a number, or on which side of it lies what is measured."""
    sign, number = claim.get("comparison") or "=", words(claim.get("predicted"))
    # an error of at most 0 is an error of 0
    return number if sign == "=" or (sign, number) == ("≤", "0") else f"{sign} {number}"


def missing(claim: Mapping[str, Any]) -> str:
    """How many of a claim's rows have no number, and why; empty where all have one."""
    return f"; rows without a number: {claim['without_number']}" if claim.get("without_number") else ""


def words(value: Any) -> str:
    """A number of a claim; a dash where there is none."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def _architectures(table: pa.Table) -> tuple[list[str], list[dict[str, Any]]]:
    """The axes of an architecture that vary, and its values, in order."""
    axes = [axis for axis in ("depth", "width", "activation", "skip") if axis in table.column_names]
    found = table.group_by(axes, use_threads=False).aggregate([]).sort_by([(axis, "ascending") for axis in axes])
    varied = [axis for axis in axes if len(values(found, axis)) > 1] or axes[:2]
    return varied, found.to_pylist()


def _rescaled(table: pa.Table) -> Table | None:
    """Median barrier by factor, and the worst disagreement with the closed form."""
    table = measured(rows(table, relation="rescaled", path="linear", alignment="none", per_neuron=False), "barrier")
    if not table.num_rows:
        return None
    factors = values(table, "rescaling")
    if len(factors) > FACTORS:
        factors = [factors[round(i * (len(factors) - 1) / (FACTORS - 1))] for i in range(FACTORS)]
    varied, architectures = _architectures(table)
    told = []
    for architecture in architectures:
        part = rows(table, **architecture)
        barriers = [array(rows(part, rescaling=factor), "barrier") for factor in factors]
        told.append([
            *(str(architecture[axis]) for axis in varied),
            *(number(np.median(found)) if len(found) else "–" for found in barriers),
            number(_apart(part)),
        ])
    return Table(
        "Rescaled twins, straight line: median barrier by factor m",
        [*varied, *(f"m={factor:g}" for factor in factors), "apart"],
        told,
        "apart: the worst |measured − predicted| of all pairs, over the largest loss of the path",
    )


def _apart(table: pa.Table) -> float:
    """The largest distance of measured and predicted barriers over the largest loss; NaN where none is predicted."""
    table = measured(table, "predicted")
    if not table.num_rows:
        return float("nan")
    measured_, predicted, scale = (array(table, name) for name in ("barrier", "predicted", "loss_max"))
    return float((np.abs(measured_ - predicted) / scale).max())


def _aligned(table: pa.Table) -> list[Table]:
    """Median barriers of the pairs without a factor by alignment, a table for each relation."""
    table = measured(rows(table, path="linear", rescaling=None), "barrier")
    made = []
    for relation in values(table, "relation"):
        of_relation = rows(table, relation=relation)
        there = values(of_relation, "alignment")
        alignments = [name for name in ALIGNMENTS if name in there]
        varied, architectures = _architectures(of_relation)
        told = []
        for architecture in architectures:
            part = rows(of_relation, **architecture)
            found = [array(rows(part, alignment=alignment), "barrier") for alignment in alignments]
            told.append([
                *(str(architecture[axis]) for axis in varied),
                *(number(np.median(barriers)) if len(barriers) else "–" for barriers in found),
            ])
        words = {"independent": "Independent minima", "transformed": "GL twins"}
        title = (
            f"{words.get(relation, f'{relation.capitalize()} twins')}, straight line: median barrier after alignment by"
        )
        made.append(Table(title, [*varied, *("nothing" if name == "none" else name for name in alignments)], told))
    return made


def _curves(table: pa.Table) -> Table | None:
    """How constant the loss is along the paths that are not straight."""
    if "deviation" not in table.column_names:
        return None
    told = []
    for path in values(table, "path"):
        if path == "linear":
            continue
        part = measured(rows(table, path=path), "deviation", "loss_a")
        for relation in values(part, "relation"):
            some = rows(part, relation=relation)
            told.append([relation, path, str(some.num_rows), number(float(array(some, "deviation").max()))])
    if not told:
        return None
    return Table("Curves: largest change of the loss along any", ["pairs", "path", "number", "change"], told)


def _measured(table: pa.Table) -> list[Table]:
    """The medians of what each of the sweep's own measures found, by architecture."""
    made = []
    for measure in values(table, "measure"):
        part = rows(table, measure=measure)
        own = [
            field.name
            for field in part.schema
            if field.name not in BASE_COLUMNS
            and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
            and part[field.name].null_count < part.num_rows
        ]
        varied, architectures = _architectures(part)
        # what does not fit is in the report's run table
        own = own[: max(1, COLUMNS - len(varied))]
        told = []
        for architecture in architectures:
            some = rows(part, **architecture)
            medians = [array(measured(some, name), name) for name in own]
            told.append([
                *(str(architecture[axis]) for axis in varied),
                *(number(float(np.median(found))) if len(found) else "–" for found in medians),
            ])
        words = [name.replace("_", " ") for name in own]
        made.append(Table(f"Measure {measure}: medians", [*varied, *words], told))
    return made


def _without(table: pa.Table) -> Table | None:
    """Why there are rows without a number."""
    if "reason" not in table.column_names:
        return None
    reasons = Counter(table.filter(pc.is_valid(table["reason"]))["reason"].to_pylist())
    if not reasons:
        return None
    return Table(
        "Rows without a number", ["rows", "reason"], [[str(count), reason] for reason, count in reasons.most_common()]
    )
