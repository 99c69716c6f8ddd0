"""Components of residual networks, counted (Prop. 4.3), beside how fast they train and generalise (Open Question 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import torch

from engine.count import count_components
from engine.count.draw import TooFewMinima
from engine.seeding import seed_of
from engine.types import Split, Weights

COLUMNS = {
    # which of the draws of training and test samples, from 0
    "draw": pa.int64(),
    # sign of the determinant of the linear map nearest to the training samples
    "orientation": pa.int64(),
    # classes of minima that certified paths join
    "components": pa.int64(),
    # with 95 % confidence at most this share of minima lies in others
    "missed": pa.float64(),
    # walks between any two classes left apart, the fewest; null where there is one class
    "resisted": pa.int64(),
    # of gradient descent, until the loss is `reached` of what it was for the zero network, over the least possible;
    # null where it took more than the most
    "steps": pa.int64(),
    # at this point, loss on test samples less that on training samples, over that of the zero network; null where the
    # data have no test samples
    "gap": pa.float64(),
}
NO_SKIP = "the network without its skip, the prediction with it"
DRAWN = "counts drawn at random"


@dataclass
class Config:
    """Options of ``measures=[residual]``."""

    # minima that are drawn to count components
    samples: int = 48
    # walks to try between two components before they are left apart
    attempts: int = 4
    # of training and test samples
    draws: int = 3
    # of data=regression: training samples per unit of width, and as many test samples as there are in all
    samples_per_unit: int = 8
    # of data=regression: standard deviation of what the targets add to a linear map of the inputs
    noise: float = 0.5
    # of gradient descent on the mean squared error
    learning_rate: float = 0.03
    # of the loss between the zero network's and the least
    reached: float = 0.02
    # at most
    steps: int = 2000
    # in which the loss is looked at
    stride: int = 10

    def __post_init__(self):
        for option in ("samples", "attempts", "draws", "samples_per_unit", "steps", "stride"):
            if getattr(self, option) < 1:
                raise ValueError(f"measure.residual.{option}={getattr(self, option)}, expected at least 1")
        if not 0 < self.reached < 1:
            raise ValueError(f"measure.residual.reached={self.reached}, expected a number between 0 and 1")
        if not (self.learning_rate > 0 and self.noise >= 0):
            raise ValueError(
                f"measure.residual.learning_rate={self.learning_rate} and noise={self.noise}, "
                "expected a number above 0 and one from 0"
            )


def of_block(study):
    """A row per draw of the data and seed, one count without the skip, and counts that mean nothing."""
    options = study.config.measure.residual
    if study.network.bias or study.network.activation != "linear":
        return []
    axes, rows = study.block.architecture, []
    for draw in range(options.draws):
        train, test = _samples(study, draw)
        if not train.y.any():
            reason = {"split": "train", "draw": draw, "reason": "all targets are zero"}
            rows += [minimum.axes | reason for minimum in study.block.minima]
            continue
        fitted = torch.linalg.lstsq(train.x, train.y).solution  # (d_0, d_l)
        shared = vars(axes) | {"weight_decay": 0.0, "split": "train", "draw": draw}
        if len(set(fitted.shape)) == 1:
            shared["orientation"] = int(torch.linalg.slogdet(fitted).sign)
        counted = _count(study, train, axes.skip, draw)
        steps, gaps = _descend(study, train, test, fitted)
        for k, minimum in enumerate(study.block.minima):
            row = shared | counted | {"seed": minimum.seed, "steps": steps[k], "gap": gaps[k]}
            if steps[k] is None:
                row.setdefault("reason", f"the loss was not reached in {options.steps} steps")
            drawn = seed_of(what="counts", sweep_seed=study.config.seed, draw=draw, **vars(axes)) % 9 + 1
            rows.append(row)
            if "components" in counted:
                rows.append(row | {"components": drawn, "control": DRAWN})
        if axes.skip and axes.depth in (3, 4) and draw == 0:
            without = shared | _count(study, train, 0.0, draw) | {"control": NO_SKIP}
            rows.append(without | {"seed": study.block.minima[0].seed})
    return rows


def _count(study, train, skip, draw):
    """Components of the minimum on the training samples, or why they could not be counted."""
    options, network = study.config.measure.residual, study.network
    seed = seed_of(what="count", sweep_seed=study.config.seed, draw=draw, like=[*network.widths, skip])
    try:
        found = count_components(
            network.widths,
            train.x,
            train.y,
            skip=skip,
            samples=options.samples,
            seed=seed,
            attempts=options.attempts,
        )
    except TooFewMinima as error:
        return {"reason": str(error)}
    apart = found.attempts[~torch.eye(found.count, dtype=torch.bool)]
    resisted = int(apart.min()) if found.count > 1 else None
    return {"components": found.count, "missed": found.missed, "resisted": resisted}


def _descend(study, train, test, fitted):
    """Steps of gradient descent to a fixed loss, and the gap between test and training loss there, of each seed."""
    options, network = study.config.measure.residual, replace(study.network, loss_name="mse")
    (zero,) = network.loss(study.found.weights[:1].map(torch.zeros_like), train, ("mse",))
    least = (train.x @ fitted - train.y).square().mean()
    goal = float(least + options.reached * (zero - least))
    weights, count = study.found.weights, len(study.found.weights)
    steps, gaps = [None] * count, [None] * count
    for step in range(0, options.steps + 1, options.stride):
        (loss,) = network.loss(weights, train, ("mse",))
        gap = ((network.loss(weights, test, ("mse",))[0] - loss) / zero).tolist() if test else gaps
        for k, value in enumerate(loss.tolist()):
            if steps[k] is None and value <= goal:
                steps[k], gaps[k] = step, gap[k]
        if None not in steps:
            break
        # plain descent has no state: a stretch goes on where the last one ended
        trained = network.train(
            weights, train, optimizer="sgd", momentum=0.0, learning_rate=options.learning_rate, steps=options.stride
        )
        weights = Weights(trained.weights, trained.biases)
    return steps, gaps


def _samples(study, draw):
    """Training and test samples, drawn anew; None for the second where the sweep's data have none.

    The targets of ``data=regression`` are noise, from which nothing generalises: in their place stand those of a linear
    map with noise, the same for all networks of a width.
    """
    options, (inputs, *_, outputs) = study.config.measure.residual, study.network.widths
    drawn = seed_of(what="residual", sweep_seed=study.config.seed, draw=draw, inputs=inputs, outputs=outputs)
    if study.config.data.name != "regression":
        data = study.config.data.draw(study.block.architecture, drawn, study.network)
        data = data.to(study.data.train.x.device, study.data.train.x.dtype)
        train, test = (split and Split(split.x, split.targets(outputs)) for split in (data.train, data.test))
        return train, test
    generator, count = torch.Generator().manual_seed(drawn), options.samples_per_unit * inputs

    def normal(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(study.data.train.x)

    teacher = normal(inputs, outputs) / inputs**0.5

    def split():
        x = normal(count, inputs)
        return Split(x, x @ teacher + options.noise * normal(count, outputs))

    return split(), split()
