"""Losses along a path and the two usual definitions of its barrier."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from engine.walk import excess, tolerance_of

COLUMNS = {
    "loss_a": pa.float64(),
    "loss_b": pa.float64(),
    "loss_max": pa.float64(),
    "t_max": pa.float64(),
    # max L(γ(t)) - ((1-t) L(γ(0)) + t L(γ(1))), Entezari et al. 2022
    "barrier": pa.float64(),
    # max L(γ(t)) - (L(γ(0)) + L(γ(1))) / 2, Frankle et al. 2020
    "barrier_mean": pa.float64(),
    # how far `barrier` may lie below the path's
    "barrier_tolerance": pa.float64(),
    # largest |L(γ(t)) - L(γ(0))|: zero to rounding on a symmetry curve
    "deviation": pa.float64(),
    "t": pa.list_(pa.float64()),
    "loss": pa.list_(pa.float64()),
    "error_rate": pa.list_(pa.float64()),
}


def of_track(study, track, split):
    """The curves and what follows from them."""
    return of_walk(track.walk, split, study.network.loss_name)


def of_walk(walked, split: str, loss_name: str) -> dict[str, list]:
    """A value per pair for each column; no barrier where a loss is not finite, and the reason."""
    curves = walked.losses[split]
    rows = {name: [] for name in (*COLUMNS, "reason")}
    for i, (t, loss) in enumerate(zip(walked.t, curves[loss_name], strict=True)):
        row = dict.fromkeys(rows) | {"t": t, "loss": loss, "loss_a": loss[0], "loss_b": loss[-1]}
        if "error_rate" in curves:
            row["error_rate"] = curves["error_rate"][i]
        if np.isfinite(loss).all():
            top = int(loss.argmax())
            row |= {
                "loss_max": loss[top],
                "t_max": t[top],
                "barrier": excess(t, loss).max(),
                "barrier_mean": loss[top] - (loss[0] + loss[-1]) / 2,
                "barrier_tolerance": tolerance_of(t, loss),
                "deviation": np.abs(loss - loss[0]).max(),
            }
        else:
            at = t[~np.isfinite(loss)][0]
            row["reason"] = f"the loss is not finite on the path, first at t = {at:.6g}"
        for name, value in row.items():
            rows[name].append(value)
    return rows
