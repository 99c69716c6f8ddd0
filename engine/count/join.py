"""Joining minima by paths of low loss, the cheap ones first.

Straight lines, curves of the family's symmetry, walks, learned curves, then walks from and to where detours led.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from engine.count import curve, draw
from engine.count.level_set import LevelSet
from engine.count.walk import certify, walk

MEANS = ("line", "symmetry", "walk", "learned")  # in the order they are tried
UNAWARE = ("line", "walk", "learned")  # of any symmetry: what they find is evidence about it
LINES = 4096  # evaluated together
CURVES = 512  # at most in a round
EACH = 2  # curves between two components in a round
WALKS = 512  # at most in a round
DIRECT = 4  # walks between two components in the first round
A_ROUND = 10  # walks between two components in a later one
DETOURS = 8  # from each component before each later round
ROUNDS = 100  # at most
STRETCH = 100.0  # weights of the layers in the distance of a walk lie between its inverse and it
FAR = (1.0, 8.0)  # the norm of a detour's goal over that of its start, log-uniform


@dataclass(frozen=True)
class Join:
    """A path of low loss between two samples."""

    a: int
    b: int
    # one of MEANS, between the ends of their walks toward the origin; detour: a walk from or to where another led
    how: str
    loss_max: float  # on the whole path from sample to sample


class Search:
    """The samples, points that certified paths lead to from them, and the joins and failures so far."""

    def __init__(self, level: LevelSet, samples: Tensor, allowed: float, generator: torch.Generator):
        """The nodes are the samples.

        Args:
            level: the minimum.
            samples: ``(samples, n)`` points on it.
            allowed: by how much the loss on a path may exceed the least.
            generator: of pairs and detours, on the CPU.
        """
        self.level, self.allowed, self.generator = level, allowed, generator
        self.points = samples  # (nodes, n)
        self.origin = np.arange(len(samples))  # (nodes,), the sample a path leads from
        self.top = level.loss(samples).tolist()  # (nodes,), the largest loss on that path
        self.samples = len(samples)
        self.fresh = 0  # nodes from here on are the latest
        self.joins: list[Join] = []
        self.tried: Counter[str] = Counter()  # paths by each means
        self.failed: list[tuple[int, int]] = []  # samples between whose components a walk did not arrive

    def group(self) -> np.ndarray:
        """The component of each sample, ``(samples,)``, numbered in the order of the samples."""
        return _components([(join.a, join.b) for join in self.joins], self.samples)

    def failures(self, group: np.ndarray) -> np.ndarray:
        """Walks that did not arrive between each two components, symmetric ``(count, count)``."""
        table = np.zeros((group.max() + 1,) * 2, dtype=np.int64)
        for a, b in self.failed:
            if group[a] != group[b]:
                table[group[a], group[b]] += 1
                table[group[b], group[a]] += 1
        return table

    def descend(self) -> None:
        """Walk every sample toward the origin: there the minimum bends least and unlike points come near each other."""
        ends = walk(self.level, self.points, torch.zeros_like(self.points), self.allowed)
        top = certify(self.level, ends.points, self.allowed)
        good = top.isfinite()
        self.points = torch.where(good[:, None], ends.at, self.points)
        self.top = torch.where(good, top, self.level.loss(self.points)).tolist()

    def lines(self) -> None:
        """Try the straight lines between all nodes."""
        for part in torch.combinations(torch.arange(len(self.points)), 2).split(LINES):
            a, b = part.T.to(self.points.device)
            loss = self.level.chord_loss(self.points[a], self.points[b])
            low = loss <= self.level.least + self.allowed
            self.tried["line"] += len(part)
            self._join(part[low.cpu()].tolist(), loss[low].tolist(), "line")

    def curves(self, how: str, make: Callable) -> None:
        """Try curves between nodes of different components until a round joins none.

        Args:
            how: of the joins.
            make: a function of ``engine.count.curve``.
        """
        # a curve from b to a is one from a to b
        while pairs := list({frozenset(pair): pair for pair in self.some_pairs(EACH)}.values())[:CURVES]:
            a, b = torch.tensor(pairs, device=self.points.device).T
            there, points = make(self.level, self.points[a], self.points[b], self.allowed)
            self.tried[how] += len(pairs)
            before = len(self.joins)
            self._certify([pairs[k] for k in there.tolist()], points, how)
            if len(self.joins) == before:
                break

    def walks(self, pairs: list[tuple[int, int]], stretch: float) -> None:
        """Walk from the first node of each pair to the second; certify the walks that join components.

        Distance is measured with weights of the layers between ``1 / stretch`` and ``stretch``, drawn for each walk.
        """
        a, b = torch.tensor(pairs, device=self.points.device).T
        metric = draw.layer_scales(self.level, len(pairs), stretch, self.generator)
        walked = walk(self.level, self.points[a], self.points[b], self.allowed, metric)
        there = torch.nonzero(walked.arrived).ravel().tolist()
        self.tried["walk"] += len(pairs)
        self.failed += [self._origins(pair) for k, pair in enumerate(pairs) if not walked.arrived[k]]
        self.failed += self._certify([pairs[k] for k in there], [walked.points[k] for k in there], "walk")

    def _certify(self, pairs: Sequence[tuple[int, int]], paths: Sequence[Tensor], how: str) -> list[tuple[int, int]]:
        """Join what low paths join; as few of them are looked at as it takes.

        Returns:
            The samples of the pairs whose paths turned out to be none.
        """
        failed, waiting = [], list(range(len(pairs)))
        while waiting := self._merging(waiting, pairs):
            forest = self._forest(waiting, pairs)
            top = certify(self.level, [paths[k] for k in forest], self.allowed).tolist()
            good = [(pairs[k], loss) for k, loss in zip(forest, top, strict=True) if loss < np.inf]
            self._join([pair for pair, _ in good], [loss for _, loss in good], how)
            failed += [self._origins(pairs[k]) for k, loss in zip(forest, top, strict=True) if not loss < np.inf]
            waiting = [k for k in waiting if k not in forest]
        return failed

    def detours(self, nodes: list[int]) -> None:
        """Walk from some nodes toward random goals; where they end are new nodes."""
        start = self.points[torch.tensor(nodes, device=self.points.device)]
        goal = torch.randn(start.shape, generator=self.generator, dtype=start.dtype)
        far = FAR[0] * (FAR[1] / FAR[0]) ** torch.rand(len(goal), 1, generator=self.generator, dtype=goal.dtype)
        goal = (goal * far / goal.norm(dim=1, keepdim=True)).to(start.device) * start.norm(dim=1, keepdim=True)
        ends = walk(self.level, start, goal, self.allowed)
        top = certify(self.level, ends.points, self.allowed)
        good = top.isfinite()
        kept = [node for node, low in zip(nodes, good.tolist(), strict=True) if low]
        self.fresh = len(self.points)
        self.points = torch.cat([self.points, ends.at[good]])
        self.origin = np.concatenate([self.origin, self.origin[kept]])
        self.top += [max(self.top[node], loss) for node, loss in zip(kept, top[good].tolist(), strict=True)]

    def open_pairs(self, attempts: int, at_once: int) -> list[tuple[int, int]]:
        """Nodes to walk between: some for each two components between which fewer than ``attempts`` walks failed."""
        return self.some_pairs(np.minimum(attempts - self.failures(self.group()), at_once))[:WALKS]

    def some_pairs(self, times: np.ndarray | int) -> list[tuple[int, int]]:
        """So many pairs of nodes for each two components, in random order."""
        group = self.group()
        times = np.broadcast_to(times, (group.max() + 1,) * 2)
        a, b = np.nonzero(np.triu(times > 0, 1))
        times = times[a, b]
        a, b = np.repeat(a, times), np.repeat(b, times)
        order = torch.randperm(len(a), generator=self.generator).tolist()
        # from either side, one end among the latest nodes
        ends = [(a[k], b[k]) if k % 2 else (b[k], a[k]) for k in order]
        members, latest = self._members(group), self._members(group, self.fresh)
        return [(self._one_of(latest[i] if len(latest[i]) else members[i]), self._one_of(members[j])) for i, j in ends]

    def some_of_each(self) -> list[int]:
        """Nodes of every component, to start detours from."""
        return [self._one_of(members) for members in self._members(self.group()) for _ in range(DETOURS)]

    def _members(self, group: np.ndarray, since: int = 0) -> list[np.ndarray]:
        """The nodes of each component, from a node on."""
        of_nodes = group[self.origin[since:]]
        return [since + np.flatnonzero(of_nodes == component) for component in range(group.max() + 1)]

    def _one_of(self, members: np.ndarray) -> int:
        return int(members[int(torch.randint(len(members), (), generator=self.generator))])

    def _origins(self, pair: tuple[int, int]) -> tuple[int, int]:
        return int(self.origin[pair[0]]), int(self.origin[pair[1]])

    def _merging(self, waiting: Sequence[int], pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Those of the pairs whose ends are not in one component yet."""
        group = self.group()[self.origin]
        return [k for k in waiting if group[pairs[k][0]] != group[pairs[k][1]]]

    def _forest(self, waiting: list[int], pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Pairs, none superfluous, that would join all that any of them would."""
        group, chosen = self.group(), []
        edges = np.array([[group[o] for o in self._origins(pairs[k])] for k in waiting])
        tree = np.arange(group.max() + 1)
        for k, (a, b) in zip(waiting, edges, strict=True):
            if tree[a] != tree[b]:
                chosen.append(k)
                tree[tree == tree[a]] = tree[b]
        return chosen

    def _join(self, pairs, losses, how: str) -> None:
        for pair, loss in zip(pairs, losses, strict=True):
            on_way = max(loss, *(self.top[node] for node in pair))
            self.joins.append(Join(*self._origins(pair), "detour" if max(pair) >= self.samples else how, on_way))


def _components(edges: list[tuple[int, int]], nodes: int) -> np.ndarray:
    """The component of each node, numbered in the order of the nodes."""
    a, b = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    labels = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(nodes, nodes)), directed=False)[1]
    first, inverse = np.unique(labels, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(first))[inverse]


def search(
    level: LevelSet,
    samples: Tensor,
    allowed: float,
    attempts: int,
    generator: torch.Generator,
    means: Sequence[str] = MEANS,
) -> Search:
    """Join samples until every two components that are left have resisted ``attempts`` walks, and the other means.

    Args:
        level: the minimum.
        samples: ``(samples, n)`` points on it.
        allowed: by how much the loss on a path may exceed the least.
        attempts: walks to try between two components.
        generator: of pairs and detours, on the CPU.
        means: those of ``MEANS`` to try.

    Returns:
        The finished search.
    """
    found = Search(level, samples, allowed, generator)
    if "walk" in means:
        found.descend()
    if "line" in means:
        found.lines()
    if "symmetry" in means:
        found.curves("symmetry", curve.symmetry)
    if "walk" in means and (pairs := found.open_pairs(attempts, DIRECT)):
        found.walks(pairs, 1.0)
    if "learned" in means:
        found.curves("learned", curve.learned)
    for _ in range(ROUNDS if "walk" in means else 0):
        if not found.open_pairs(attempts, A_ROUND):
            break
        found.detours(found.some_of_each())
        found.walks(found.open_pairs(attempts, A_ROUND), STRETCH)
    return found
