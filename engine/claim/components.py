"""Components of the minima of linear networks: Prop. 4.1, Cor. 4.2 of Zhao et al. 2025, Trager et al. 2020."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from engine.claim import at_least, at_most, claim, equal, numbers, select
from engine.report.select import measured


@claim(
    "Cor. 4.2: training meets all 2^b components, b hidden layers as narrow as the best map's rank (Trager et al.)",
    measure="components",
    control="images of one minimum under elements of positive determinant",
)
def all_labels(rows):
    """Labels that occur over those there are; of the architectures and data sets the least."""
    rows = measured(select(rows, seed_b=None), "labels")
    rows = rows.filter(pc.greater(rows["labels"], 1))  # where there is one it is met
    if not rows.num_rows:
        return None
    found = {}
    for row in rows.select(["depth", "width", "data", "label", "labels"]).to_pylist():
        found.setdefault((row["depth"], row["width"], row["data"], row["labels"]), set()).add(row["label"])
    return equal(1.0, min(len(met) / labels for (*_, labels), met in found.items()))


@claim(
    "Cor. 4.2: certified paths of low loss exist between two trained minima exactly where their labels agree",
    measure="components",
    control="the labels of other minima",
)
def paths_agree(rows):
    """Share of pairs of which the search for paths and the labels say the same."""
    rows = measured(rows, "same_label")
    if not rows.num_rows:
        return None
    same_label, same_component = numbers(rows, "same_label", "same_component")
    return equal(1.0, np.mean(same_label == same_component))


@claim(
    "Prop. 4.1: two minima of one label are joined by a closed-form curve on which the loss stays zero",
    measure="components",
    control="the straight line in place of the curve",
)
def joined(rows):
    """Largest loss on a curve over ‖Y‖²; infinite where a pair has none."""
    rows = rows.filter(pc.equal(rows["path"], "symmetry"))
    (loss,) = numbers(rows, "polar_loss")
    return at_most(0.0, np.max(np.where(np.isnan(loss), np.inf, loss))) if len(loss) else None


@claim(
    "Cor. 4.2: between different labels every learned curve rises to the least squared singular value of Y",
    measure="components",
    control="pairs of one label",
)
def apart(rows):
    """Least ratio of the largest loss on the lower of two learned curves to that value."""
    rows = rows.filter(pc.is_valid(rows["learned_loss"]))
    loss, least = numbers(rows, "learned_loss", "least_rise")
    return at_least(1.0, np.min(loss / least)) if len(loss) else None
