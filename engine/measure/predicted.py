"""The closed form of the barrier on the straight line between rescaled minima (``engine.predict``)."""

from __future__ import annotations

import pyarrow as pa
import torch

COLUMNS = {"predicted": pa.float64()}


def of_track(study, track, split):
    """Its greatest value among the points that were measured; None where no closed form is known."""
    if track.closed_form is None:
        return {"predicted": [None] * len(track.pairs)}
    # the curves have different numbers of points: repeat the last one
    longest = max(len(t) for t in track.walk.t)
    x = study.data.train.x
    t = torch.stack([torch.tensor([*t, *[t[-1]] * (longest - len(t))], dtype=torch.float64) for t in track.walk.t])
    rise = track.closed_form.rise(study.data.splits[split], t.to(x), study.network.loss_name)
    top = rise.max(dim=1).values
    return {"predicted": [value if value == value else None for value in top.tolist()]}
