"""Claims: sentences of the paper held against the rows of a sweep.  One file per sweep, found by its name; no torch.

A member is a module with functions made by ``claim``.  Each takes rows and says what was predicted and measured there;
it is called twice, with the rows the claim speaks of and with those of its control, in which something was altered so
that the claim must fail.  One tolerance, ``sweep.claims.NAME`` of the configuration, judges both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine import reading, results
from engine.discovery import members
from engine.report.select import rows as select
from engine.types import NOT_APPLICABLE

CLAIMS = "claims.json"


@dataclass(frozen=True)
class Finding:
    """What rows say about a claim; ``off`` is how far ``measured`` lies on the wrong side of ``predicted``."""

    comparison: str  # how measured stands to predicted where the claim holds: =, ≤, ≥ or >
    predicted: float
    measured: float
    off: float
    over: str = ""  # what it rests on, in a few words where the claim is about many at once


def equal(predicted: float, measured: float) -> Finding:
    """The claim is an equality."""
    return Finding("=", predicted, measured, abs(measured - predicted))


def at_most(predicted: float, measured: float) -> Finding:
    """The claim is an upper bound."""
    return Finding("≤", predicted, measured, measured - predicted)


def at_least(predicted: float, measured: float) -> Finding:
    """The claim is a lower bound."""
    return Finding("≥", predicted, measured, predicted - measured)


def above(predicted: float, measured: float) -> Finding:
    """The claim is a lower bound that is not met itself: what ends there does not hold."""
    return Finding(">", predicted, measured, np.nextafter(predicted - measured, np.inf))


@dataclass(frozen=True)
class Claim:
    """A sentence that begins with its source, and how rows answer it."""

    name: str
    sentence: str
    measure: str | None  # whose rows it speaks of; None: the sweep's own pairs
    column: str | None  # the one of the measure's columns that it speaks of, where a row may lack one and have others
    control: str  # what was altered, the entry of the column `control`
    find: Callable[[pa.Table], Finding | None]  # None where the rows do not meet the claim's hypothesis

    def judge(self, table: pa.Table, tolerance: float) -> dict[str, Any]:
        """Predicted, measured and verdict on the claim's rows, and the verdict on its control's."""
        rows = select(table, measure=self.measure, control=None)
        if self.column:
            lost = results.without_number(select(rows, **{self.column: None}))
        else:
            rows, lost = results.with_number(rows), results.without_number(rows)
        finding = self._find(rows)
        control = self._find(select(table, control=self.control))
        return {
            "claim": self.sentence + (f" ({finding.over})" if finding and finding.over else ""),
            "comparison": finding and finding.comparison,
            "predicted": finding and _number(finding.predicted),
            "measured": finding and _number(finding.measured),
            "tolerance": tolerance,
            "verdict": verdict(finding, tolerance),
            "control": verdict(control, tolerance),
            "control_measured": control and _number(control.measured),
            "altered": self.control,
            "without_number": "; ".join(f"{n}: {why}" for why, n in results.by_reason(lost).items()) or None,
        }

    def _find(self, rows: pa.Table) -> Finding | None:
        return self.find(rows) if rows.num_rows else None


def claim(
    sentence: str, *, control: str, measure: str | None = None, column: str | None = None
) -> Callable[[Callable], Claim]:
    """Make a claim of a function from rows to a ``Finding``; its name is the key of its tolerance.

    Args:
        sentence: what is claimed, beginning with its source ("Prop. 5.3: …").
        control: what was altered in the rows in which it must fail, as the column ``control`` has it.
        measure: the measure whose rows it speaks of; None for the sweep's own pairs.
        column: the column it speaks of, where a row may have a number in one and lack another: ``find`` is given all
            rows.  With None it is given those that have their numbers.

    Returns:
        A decorator.
    """
    return lambda find: Claim(find.__name__, sentence, measure, column, control, find)


def verdict(finding: Finding | None, tolerance: float) -> str:
    """``holds``, ``fails`` (also where a number is not finite) or ``not applicable``."""
    if finding is None:
        return NOT_APPLICABLE
    return "holds" if finding.off <= tolerance else "fails"


def numbers(table: pa.Table, *names: str) -> tuple[np.ndarray, ...]:
    """Columns as float64 arrays, null as NaN."""
    return tuple(table[name].cast(pa.float64()).to_numpy() for name in names)


def of_sweep(name: str) -> dict[str, Claim]:
    """The claims that the file of a sweep makes, by name, in its order."""
    module = members("claim").get(name)
    return {made.name: made for made in vars(module).values() if isinstance(made, Claim)} if module else {}


def judge(directory: str | Path) -> list[dict[str, Any]]:
    """Judge the claims of a finished sweep, or of each of its sweeps, from its rows and its recorded tolerances alone.

    Args:
        directory: a results directory.

    Returns:
        For each claim ``sweep``, ``name``, ``claim``, ``comparison``, ``predicted``, ``measured``, ``tolerance``,
        ``verdict``, ``control``, ``control_measured``, ``altered``, ``without_number``, how many of the rows it speaks
        of have none and why, null where all have one, and ``reason``, that of the tolerance, or why it does not apply.
    """
    directory = Path(directory)
    config = results.read_manifest(directory)["config"]
    sweep, precision = config["sweep"], config["precision"]
    apart = np.finfo(precision).eps  # a tolerance below it, but for that of a count, 0, judges nothing
    if sweep["sweeps"]:
        return [entry for name in sweep["sweeps"] for entry in judge(directory / name)]
    if not sweep["claims"]:
        return []
    table = reading.load(directory, results.scalar_columns(directory), controls=True)
    claims = of_sweep(sweep["name"])
    judged = []
    for name, given in sweep["claims"].items():
        entry = claims[name].judge(table, given["tolerance"]) | {"reason": given["reason"]}
        if 0 < given["tolerance"] < apart:
            reason = f"{precision} tells apart {apart:.2g}; expected precision=float64 or a larger tolerance"
            entry |= {"verdict": NOT_APPLICABLE, "control": NOT_APPLICABLE, "reason": reason}
        judged.append({"sweep": sweep["name"], "name": name, **entry})
    return judged


def write(directory: str | Path) -> list[dict[str, Any]]:
    """Judge the claims of a finished sweep and, where it has any, keep them in ``claims.json``."""
    judged = judge(directory)
    if judged:
        text = json.dumps(judged, indent=2, ensure_ascii=False, allow_nan=False)
        results.write_atomically(Path(directory) / CLAIMS, text.encode())
    return judged


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity: what is not finite is no number."""
    return float(value) if math.isfinite(value) else None
