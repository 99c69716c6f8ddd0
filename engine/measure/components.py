"""Components of minima that were trained: by label, by certified paths, by explicit and by learned curves."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pyarrow as pa
import torch

from engine.count import SHARE, draw
from engine.count.join import UNAWARE, search
from engine.count.level_set import LevelSet
from engine.discovery import members
from engine.learned import Config as Learned
from engine.pairs import Pairs
from engine.seeding import seed_of
from engine.symmetry.linear import has_labels, label
from engine.types import Data, Pair, Split

COLUMNS = {
    # the data of the minima: those of the sweep, or iris, 150 flowers with four features and three classes
    "data": pa.string(),
    # the signs that name the component; of the first minimum of a pair
    "label": pa.string(),
    # the number of labels there are, 2^b
    "labels": pa.int64(),
    # the class of a minimum among those that certified paths join
    "component": pa.int64(),
    # of a pair
    "same_label": pa.bool_(),
    "same_component": pa.bool_(),
    # largest sse over ‖Y‖²: on the curve of the general linear group, and on the lower of two learned curves
    "polar_loss": pa.float64(),
    "learned_loss": pa.float64(),
    # of square networks, what a path between different labels must rise to, over ‖Y‖²
    "least_rise": pa.float64(),
}
COPIES = "images of one minimum under elements of positive determinant"
LINE = "the straight line in place of the curve"
ONE_LABEL = "pairs of one label"
ROLLED = "the labels of other minima"
FINE = 257  # points at which learned curves are evaluated


@dataclass
class Config:
    """Options of ``measures=[components]``."""

    # pairs of each kind between which curves are learned
    learned: int = 6
    # walks to try between two components before they are left apart
    attempts: int = 4

    def __post_init__(self):
        for option in ("learned", "attempts"):
            if getattr(self, option) < 1:
                raise ValueError(f"measure.components.{option}={getattr(self, option)}, expected at least 1")


def of_found(study):
    """Rows of minima and of pairs, on the sweep's data and on iris."""
    architecture = study.block.architecture
    # the minimum of a cross entropy is another one, if there is any
    network = study.network
    if study.symmetries["linear"].reason or not has_labels(network) or network.loss_name == "cross_entropy":
        return []
    data = study.data.to(study.data.train.x.device, torch.float64)  # a minimum to all digits
    train = replace(data.train, y=data.train.targets(data.outputs))
    study = replace(study, data=replace(data, train=train))
    rows = _rows(study, study.config.data.name)
    iris = _iris().to(study.data.train.x.device, torch.float64)
    widths = (4, *[architecture.width] * (architecture.depth - 1), 3)
    network = replace(study.network, widths=widths)
    generators = [
        torch.Generator().manual_seed(seed_of(what="iris", sweep_seed=study.config.seed, **minimum.axes))
        for minimum in study.block.minima
    ]
    found = study.config.minima.find(network, study.block, iris, generators, study.symmetries)
    flowers = replace(study, network=network, data=iris, found=found)
    rows += [row | {"data": "iris"} for row in flowers.lost()]
    return rows + _rows(flowers.without_lost(), "iris")


def _iris() -> Data:
    from sklearn.datasets import load_iris  # a second to import

    x, y = load_iris(return_X_y=True)
    classes = torch.nn.functional.one_hot(torch.from_numpy(y).long(), 3).double()
    return Data(Split(torch.from_numpy(x), classes), None, 3)


def _rows(study, name):
    network, options, split = study.network, study.config.measure.components, study.data.train
    axes, shared = [minimum.axes for minimum in study.block.minima], {"data": name, "split": "train"}
    if not axes:
        return []
    flat = torch.cat([layer.flatten(1) for layer in study.found.weights.layers], dim=1).double()
    # training leaves the last digits
    level, w, kept = draw.polish(LevelSet.of(network, split.x, split.y), flat)
    minima, stack = [study.block.minima[i] for i in kept], level.stack(w)
    drawn = seed_of(what="join", sweep_seed=study.config.seed, data=name, **vars(study.block.architecture))
    generator = torch.Generator().manual_seed(drawn)
    component = search(level, w, SHARE * level.scale, options.attempts, generator, UNAWARE).group().tolist()
    labels = label(network, stack, split)
    reason = {"reason": "no minimum: others have less loss"}
    rows = [at | shared | reason for i, at in enumerate(axes) if i not in kept]
    shared["labels"] = 2 ** len(labels[0])
    rows += [
        minimum.axes | shared | {"label": _word(labels[i]), "component": component[i]}
        for i, minimum in enumerate(minima)
    ]
    rows += [
        axes[i] | shared | {"label": _word(signs), "control": COPIES}
        for i, signs in enumerate(_copies(study, stack[:1]))
    ]
    chosen = list(itertools.combinations(range(len(minima)), 2))
    rolled = labels[1:] + labels[:1]
    # images of labels that are all alike are the same labels
    controls = ((None, labels), (ROLLED, rolled)) if len(set(labels)) > 1 else ((None, labels),)
    pairs = {(i, j): minima[i].axes | shared | {"seed_b": minima[j].seed, "relation": "independent"} for i, j in chosen}
    for control, of in controls:
        rows += [
            row
            | {"label": _word(of[i]), "same_label": labels[j] == of[i], "same_component": component[i] == component[j]}
            | {"control": control}
            for (i, j), row in pairs.items()
        ]
    if len(set(network.widths)) == 1 and len(split.x) == network.widths[0]:
        rows += _curves(study, stack, labels, pairs)
    return rows


def _copies(study, first):
    """Labels of as many images of a minimum as the block has minima."""
    group = members("symmetry")["linear"].Group(study.network)
    generator = torch.Generator().manual_seed(seed_of(what="copies", sweep_seed=study.config.seed))
    count = len(study.block.minima)
    g = tuple(torch.cat(parts) for parts in zip(*(group.random(generator) for _ in range(count)), strict=True))
    images = group.act(group.compose(g, g), first.map(lambda p: p.expand(count, *p.shape[1:])))
    return label(study.network, images, study.data.train)


def _curves(study, stack, labels, pairs):
    """Rows of the explicit curves between minima of one label, and of learned ones between those of any."""
    network, split, options, rows = study.network, study.data.train, study.config.measure.components, []
    zero = split.y.square().sum()
    least = float(torch.linalg.svdvals(split.y)[-1] ** 2 / zero)
    alike = [(i, j) for i, j in pairs if labels[i] == labels[j]]
    unlike = [(i, j) for i, j in pairs if labels[i] != labels[j]]

    def between(chosen, group=None):
        a, b = (stack[torch.tensor(ends)] for ends in zip(*chosen, strict=True))
        of_pair = tuple(Pair(*ends, "independent") for ends in chosen)
        return Pairs(of_pair, a, b, group, group and group.align(b, a))

    def highest(path, points):
        t = torch.linspace(0, 1, points).to(split.x).expand(len(path.pairs), -1)
        return path.loss(split, t, ("sse",))[0].amax(1) / zero

    if alike:
        ends = between(alike, members("symmetry")["linear"].Group(study.network))
        curve, line = (members("path")[name].Path(network, ends) for name in ("symmetry", "linear"))
        polar, straight = (highest(path, study.config.sweep.points).tolist() for path in (curve, line))
        for k, pair in enumerate(alike):
            row = pairs[pair] | {"path": "symmetry", "reason": curve.reasons[k]}
            rows.append(row | {"polar_loss": None if curve.reasons[k] else polar[k]})
            rows.append(row | {"polar_loss": straight[k], "control": LINE, "reason": None})
    for chosen, control in ((unlike, None), (alike, ONE_LABEL)):
        chosen = chosen[:: max(1, len(chosen) // options.learned)][: options.learned]
        if not chosen:
            continue
        ends, lowest = between(chosen), []
        for name in ("bezier", "polygonal"):
            path = members("path")[name].Path(network, ends, getattr(study.config.path, name) or Learned())
            path.learn(split)
            lowest.append(highest(path, FINE))
        lowest = torch.stack(lowest).amin(0).tolist()
        rows += [
            pairs[pair] | {"path": "learned", "learned_loss": lowest[k], "least_rise": least, "control": control}
            for k, pair in enumerate(chosen)
        ]
    return rows


def _word(signs) -> str:
    return "".join("+" if sign > 0 else "-" for sign in signs)
