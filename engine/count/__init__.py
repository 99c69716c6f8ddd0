"""Counting the connected components of the minimum of a small network without knowing what to expect.

Minima are drawn from random starting points; paths of low loss are searched between them; what no path joins is
counted apart.  Nothing here knows a formula or an invariant of the minimum.  Its symmetry makes some of the curves that
are tried; whether one joins is for the loss on it to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.count import draw, inputs
from engine.count.join import MEANS, Join, search
from engine.count.level_set import LevelSet
from engine.count.spread import far_apart
from engine.network.fully_connected import Network
from engine.types import Weights
from kernels import errors

SHARE = 1e-6  # a join needs a path whose loss exceeds the least by at most this share of ‖Y‖²
CONFIDENCE = 0.95  # of the bound `missed`
FOLD = 12  # times as many minima are drawn, where that is easy, as far ones are chosen of them


@dataclass(frozen=True)
class Components:
    """The components that were met, and how sure that is."""

    count: int
    group: Tensor  # (samples,) int64: the component of each minimum, numbered in the order they were met
    weights: Weights  # (samples, …), the minima
    loss_min: float  # sse at the minima
    loss_max: float  # the largest sse on any path that certified a join
    missed: float  # with 95 % confidence at most this share of minima lies in components that were not met
    joins: tuple[Join, ...]  # how components grew together
    tried: Mapping[str, int]  # paths by each means, also those that joined nothing
    attempts: Tensor  # (count, count) int64: walks between two components, none of which arrived
    starts: int  # random starting points that led to the samples


def count_components(
    widths: Sequence[int],
    x: Tensor,
    y: Tensor,
    *,
    activation: str = "linear",
    skip: float = 0.0,
    loss: str = "sse",
    samples: int = 64,
    seed: int = 0,
    attempts: int = 24,
    means: Sequence[str] = MEANS,
) -> Components:
    """Count the connected components of the minimum of a small network without biases.

    Inputs on which no component depends are left out (``engine.count.inputs``).  Minima are drawn by the
    Levenberg-Marquardt method from Gaussian weights of widely spread scales; three in eight are the most distant of
    many, so that rare components are met, the others are as they come.  Each is walked along the minimum toward the
    origin, where the minimum bends least.  Then straight lines, curves of the family's continuous symmetry, walks from
    one to the other and learned curves are tried, and walks from where detours led, until every two components that are
    left have resisted ``attempts`` walks.  A path joins if its loss, bounded on every chord of it, exceeds the least by
    at most ``1e-6 ‖Y‖²``.

    The count is that of the sampled components if every search that failed was bound to; it errs upward where a walk
    was too hard to find, downward where components are rarer than ``missed`` or their barrier is below the tolerance.

    Args:
        widths: ``d_0 … d_l``.
        x: ``(N, d_0)`` floating; computed in float64 on its device.
        y: ``(N, d_l)`` floating targets, or ``(N,)`` integer labels, compared as one-hot vectors.
        activation: a name of ``kernels.errors.ACTIVATIONS``.
        skip: ε of Zhao et al. 2025, section 4.3; 0 for none.
        loss: ``"sse"``.
        samples: minima to draw.
        seed: of all random draws.
        attempts: walks to try between any two components before they are left apart.
        means: of joining samples; without ``"symmetry"`` the count is evidence about the symmetry.

    Returns:
        The components met.

    Raises:
        ValueError: an argument does not fit.
        TooFewMinima: too few starting points lead to the least loss; a ValueError too.
    """
    errors.check_choice("count_components", "loss", loss, ("sse",))
    errors.check_choice("count_components", "activation", activation, errors.ACTIVATIONS)
    for name, given in (("samples", samples), ("attempts", attempts)):
        if given < 1:
            raise ValueError(f"count_components: {name}={given}, expected at least 1")
    for name in means:
        errors.check_choice("count_components", "means", name, MEANS)
    network, x, y = _problem(tuple(widths), x, y, activation, skip)
    directions = inputs.needed(network, x, y)
    if directions is not None:
        network, x = replace(network, widths=(len(directions), *network.widths[1:])), x @ directions.mT
    level = LevelSet.of(network, x, y)
    level, minima, starts, generator = sample(level, samples, seed)
    found = search(level, minima, SHARE * level.scale, attempts, generator, means)
    group, weights = found.group(), level.stack(minima)
    if directions is not None:
        weights = replace(weights, layers=(weights.layers[0] @ directions, *weights.layers[1:]))
    return Components(
        count=int(group.max()) + 1,
        group=torch.from_numpy(group),
        weights=weights,
        loss_min=level.least,
        loss_max=max((join.loss_max for join in found.joins), default=level.least),
        missed=unseen(group.tolist(), CONFIDENCE),
        joins=tuple(found.joins),
        tried=dict(found.tried),
        attempts=torch.from_numpy(found.failures(group)),
        starts=starts,
    )


def sample(level: LevelSet, samples: int, seed: int) -> tuple[LevelSet, Tensor, int, torch.Generator]:
    """Minima: three in eight are the most distant of up to ``FOLD`` times as many, the others independent of them.

    Args:
        level: the networks, held to the targets.
        samples: minima wanted.
        seed: of all random draws.

    Returns:
        The set that was reached, the minima ``(samples, n)`` on it, the distant ones first, the number of starting
        points they took, and the generator for what comes next.
    """
    generator, distant = torch.Generator().manual_seed(seed), 3 * samples // 8
    level, drawn, starts = draw.minima(level, samples + (FOLD - 1) * distant, generator, enough=samples)
    many, others = drawn.split([len(drawn) - samples + distant, samples - distant])
    far = far_apart(level, many, distant, SHARE * level.scale)
    return level, torch.cat([many[far], others]), starts, generator


def unseen(group: Sequence[int], confidence: float) -> float:
    """An upper bound of the share of a population that lies in groups which a sample of it did not meet.

    The groups of the first half are met, however it was chosen; of the second half, each member independently falls
    outside of them with the probability that is asked for, so Clopper and Pearson's bound of a binomial share holds,
    whatever the groups are.  It is a bound also for the whole sample, which has met more.

    Args:
        group: the group of each member of the sample; those of the second half are drawn independently.
        confidence: of the bound.

    Returns:
        The bound, 1 for a sample of one.
    """
    from scipy.stats import beta

    half = len(group) // 2
    rest = len(group) - half
    new = sum(member not in group[:half] for member in group[half:])
    return 1.0 if new == rest else float(beta.ppf(confidence, new + 1, rest - new))


def _problem(
    widths: tuple[int, ...], x: Tensor, y: Tensor, activation: str, skip: float
) -> tuple[Network, Tensor, Tensor]:
    """The network and the data, checked and in float64, labels as one-hot vectors.

    Raises:
        ValueError: widths, skip, x and y do not fit each other.
    """
    if len(widths) < 2 or any(int(width) != width or width < 1 for width in widths):
        raise ValueError(f"count_components: widths={list(widths)}, expected d_0 … d_l, each at least 1")
    if x.dim() != 2 or x.shape[1] != widths[0]:
        raise ValueError(f"count_components: x has shape {tuple(x.shape)}, expected (N, {widths[0]}) as widths[0]")
    x = x.detach().double()
    y = y.detach().double() if y.is_floating_point() else y.detach()
    errors.check_targets("count_components", x, y, widths[-1], "sse")
    if not y.is_floating_point():
        y = torch.nn.functional.one_hot(y, widths[-1]).double()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise ValueError("count_components: x or y is not finite")
    if not y.any():
        raise ValueError("count_components: y is zero, expected targets to fit: the tolerance is a share of ‖Y‖²")
    network = Network(widths, activation, float(skip), False, "sse")
    if network.reason:
        raise ValueError(f"count_components: {network.reason}")
    return network, x, y
