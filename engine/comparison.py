"""Two checkpoints of one architecture: what stands between them, and how much of it is symmetry.

``python -m engine.comparison A.pt B.pt --data DATA.npz --activation relu`` does the same from files.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import align, checkpoint, walk
from engine.discovery import members
from engine.learned import LearnedCurve
from engine.measure import barrier
from engine.measure.minimum import balance_residual
from engine.network.fully_connected import Network
from engine.pairs import Pairs
from engine.path import Curve
from engine.path.linear import Path as Line
from engine.types import Data, Pair, Split, Weights, not_applicable

# the paths that are learned, by the names of their files
CURVES = tuple(name for name, module in members("path").items() if issubclass(module.Path, LearnedCurve))
LOSSES = ("mse", "sse", "cross_entropy")
SAME = 1e-6  # relative distance below which two networks are one up to a symmetry: their checkpoints' own rounding


@dataclass(frozen=True)
class Comparison:
    """What was measured between two networks."""

    # the straight line after each alignment that applies, and the learned curve if there is one: a sweep's columns
    rows: list[dict[str, Any]]
    reasons: dict[str, str]  # alignments that do not apply, and why
    norm: float  # of the first network's parameters
    balance: tuple[float | None, float | None]  # balance residuals of the two

    def __getitem__(self, alignment: str) -> dict[str, Any]:
        """The row of the straight line after ``none``, ``permutation``, ``rescaling`` or ``both``."""
        return next(row for row in self.lines if row["alignment"] == alignment)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The rows of straight lines."""
        return [row for row in self.rows if row["path"] == "linear"]

    @property
    def curve(self) -> dict[str, Any] | None:
        """The row of the curve learned between the two as they are."""
        return next((row for row in self.rows if row["path"] != "linear"), None)

    @property
    def verdict(self) -> str:
        """What the rows say, in a few sentences."""
        return "\n".join(filter(None, (self._of_lines(), self._of_curve())))

    def _of_curve(self) -> str | None:
        if (row := self.curve) is None:
            return None
        if row["loss_max"] is None:
            return f"The loss of the {row['path']} curve is no finite number: {row['reason']}."
        return (
            f"On a {row['path']} curve learned between the two as they are, the loss reaches {row['loss_max']:.3g}; "
            f"it is {row['loss_a']:.3g} and {row['loss_b']:.3g} at the ends."
        )

    def _of_lines(self) -> str:
        raw, best = self["none"], min(self.lines, key=lambda row: row["distance"])
        near = f"{best['distance'] / self.norm:.2g} of the first one's norm"
        if best["distance"] <= SAME * self.norm:
            how = "as they are" if best["alignment"] == "none" else f"up to {_WORDS[best['alignment']]}"
            return f"The two networks are the same {how} (distance {near})."
        lowest = min(self.lines, key=lambda row: np.inf if row["barrier"] is None else row["barrier"])
        if lowest["barrier"] is None:
            return f"No barrier is a finite number: {lowest['reason']}."
        alone = len(self.lines) == 1  # one layer has no hidden units to align
        apart = f"{'' if alone else 'after alignment '}they are {near} apart"
        if raw["barrier"] is None:
            return f"The barrier of the straight line is no finite number: {raw['reason']}; {apart}."
        if raw["barrier"] <= raw["barrier_tolerance"]:
            return f"The straight line between them has no barrier; {apart}."
        if alone:
            return f"There are no hidden units to align: a barrier of {raw['barrier']:.3g} is left, and {apart}."
        rest = lowest["barrier"] / raw["barrier"]
        if rest >= 1:
            return f"No alignment lowers the barrier; after the best one they are still {near} apart."
        what, kind = _WORDS[lowest["alignment"]].capitalize(), lowest["alignment"]
        return (
            f"{what} explain{'' if kind == 'both' else 's'} {1 - rest:.0%} of the barrier; {lowest['barrier']:.3g} of "
            f"{raw['barrier']:.3g} is left. After alignment the networks are {near} apart."
        )

    def __str__(self) -> str:
        """A table of the rows, and the verdict."""
        measured = ("distance", "loss a", "loss b", "highest loss", "at t", "barrier", "highest error rate")
        header = ("path", "alignment", *measured)
        lines = [header]
        for row in self.rows:
            values = (row[name] for name in ("distance", "loss_a", "loss_b", "loss_max", "t_max", "barrier"))
            errors = None if row["error_rate"] is None else max(row["error_rate"])
            lines.append((row["path"], row["alignment"], *(_number(value) for value in (*values, errors))))
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        table = ["  ".join(f"{entry:>{w}}" for entry, w in zip(line, widths, strict=True)) for line in lines]
        left_out = [f"{name}: {reason}" for name, reason in self.reasons.items()]
        return "\n".join([*table, *left_out, self.verdict])


_WORDS = {
    "none": "nothing",
    "permutation": "permutation",
    "rescaling": "rescaling",
    "both": "permutation and rescaling",
}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def compare(
    model_a: Any,
    model_b: Any,
    x: Any,
    y: Any,
    *,
    activation: str | None = None,
    loss: str | None = None,
    points: int = 51,
    tolerance: float = 1e-3,
    curve: str | None = None,
    bends: int = 3,
    steps: int = 400,
) -> Comparison:
    """Measure the straight line between two networks before and after each alignment of the second with the first.

    On request also a curve learned between the two as they are (Garipov et al. 2018).

    Args:
        model_a: an ``nn.Module`` that is a chain of linear layers and one kind of activation, or a checkpoint's path.
        model_b: the same architecture.
        x: ``(N, features)`` real, tensor or array.
        y: ``(N,)`` integer labels from 0, or ``(N, outputs)`` real.
        activation: of checkpoint files, which do not say it; a name of ``kernels.errors.ACTIVATIONS``.
        loss: ``mse``, ``sse`` or ``cross_entropy``; by default cross entropy for labels, else ``mse``.
        points: coarse points of the line, its ends among them.
        tolerance: the maximum is refined until it is known to this share.
        curve: a learned member of ``engine.path``: ``bezier``, ``polygonal``.
        bends: control points of the curve between the two networks.
        steps: of its learning; each costs about as much as 36 passes over the data.

    Returns:
        The comparison; ``print`` shows it, ``rows`` has the curves.

    Raises:
        ValueError: something does not fit; names the model, file or array and what was expected.
    """
    if curve not in (None, *CURVES):
        raise ValueError(f"curve={curve}, expected one of {', '.join(CURVES)}")
    x, y = _array("x", x, 2), _array("y", y, None)
    if loss not in (None, *LOSSES):
        raise ValueError(f"loss={loss}, expected one of {', '.join(LOSSES)}")
    loss = loss or ("mse" if y.is_floating_point() else "cross_entropy")
    read = [_read(model, activation, x, loss) for model in (model_a, model_b)]
    (network, a), (other, b) = read
    if (network.widths, network.activation) != (other.widths, other.activation):
        raise ValueError(
            f"the first network has widths {network.widths} with {network.activation}, the second {other.widths} with "
            f"{other.activation}; expected one architecture"
        )
    if network.bias != other.bias:
        network = Network(network.widths, network.activation, 0.0, True, loss)
        a, b = (
            w if w.biases else Weights(w.layers, tuple(torch.zeros_like(p[..., 0]) for p in w.layers)) for w in (a, b)
        )
    data = Data(Split(x, y), None, network.widths[-1])
    names = (loss,) if y.is_floating_point() else (loss, "error_rate")
    groups = {name: module.Group(network, None) for name, module in members("symmetry").items()}
    rows, reasons = [], {}

    def pair(b: Weights) -> Pairs:
        return Pairs((Pair(0, 1, "independent"),), a, b)

    def measure(path: Curve, name: str, alignment: str) -> None:
        columns = barrier.of_walk(walk.follow(path, data, names, points, tolerance, None), "train", loss)
        row = {"path": name, "alignment": alignment, "distance": float(a.distance(path.pairs.b))}
        rows.append(row | {column: values[0] for column, values in columns.items()})

    for alignment in align.ALIGNMENTS:
        if reason := align.reason(alignment, groups):
            reasons[alignment] = not_applicable(reason)
            continue
        measure(Line(network, pair(align.aligned(alignment, groups, a, b))), "linear", alignment)
    if curve:
        member = members("path")[curve]
        learned = member.Path(network, pair(b), member.Config(bends=bends, steps=steps))
        learned.learn(data.train)
        measure(learned, curve, "none")
    balance = tuple(balance_residual(network, weights)[0] for weights in (a, b))
    return Comparison(rows, reasons, float(a.squared_norm().sqrt()), balance)


def _read(model: Any, activation: str | None, x: torch.Tensor, loss: str) -> tuple[Network, Weights]:
    if isinstance(model, (str, Path)):
        if activation is None:
            raise ValueError(f"{model}: a checkpoint does not say its activation; give activation=…")
        network, weights = checkpoint.from_file(model, activation, loss)
    elif isinstance(model, torch.nn.Module):
        network, weights = checkpoint.from_module(model, x, loss)
    else:
        raise ValueError(f"a model is a {type(model).__name__}, expected an nn.Module or a checkpoint's path")
    if network.widths[0] != x.shape[1]:
        raise ValueError(f"x has {x.shape[1]} features, the network reads {network.widths[0]}")
    return network, weights


def _array(name: str, value: Any, axes: int | None) -> torch.Tensor:
    """A float64 or int64 tensor on the CPU.

    Raises:
        ValueError: its shape or a value cannot be.
    """
    tensor = torch.as_tensor(value).detach().cpu()
    tensor = tensor.long() if name == "y" and not tensor.is_floating_point() else tensor.double()
    if axes is not None and tensor.dim() != axes:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected (N, features)")
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise ValueError(f"{name} has values that are NaN or infinite, expected finite numbers")
    return tensor


def main(argv: list[str] | None = None) -> int:
    """Compare two checkpoint files; returns the exit code."""
    parser = argparse.ArgumentParser("python -m engine.comparison", description="What stands between two checkpoints.")
    parser.add_argument("a", metavar="A.pt", help="a state dictionary saved by torch.save")
    parser.add_argument("b", metavar="B.pt", help="another of the same architecture")
    parser.add_argument("--data", required=True, metavar="DATA.npz", help="arrays x (N, features) and y")
    parser.add_argument("--activation", required=True, help="of the hidden layers")
    parser.add_argument("--loss", help="mse, sse or cross_entropy; by default cross_entropy for labels, else mse")
    parser.add_argument("--curve", choices=CURVES, help="also learn a curve between the two as they are")
    parser.add_argument("--bends", type=int, default=3, metavar="N", help="control points of the curve (default: 3)")
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="of its learning (default: 400)")
    given = parser.parse_args(argv)
    try:
        arrays = members("data")["npz"].Config(path=given.data).arrays
        options = {name: getattr(given, name) for name in ("activation", "loss", "curve", "bends", "steps")}
        print(compare(given.a, given.b, arrays["x"], arrays["y"], **options))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
