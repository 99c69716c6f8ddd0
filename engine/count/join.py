"""Joining minima by paths of low loss: straight lines, then walks, then walks from and to where detours led."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from engine.count.level_set import LevelSet
from engine.count.walk import walk

LINES = 4096  # evaluated together
WALKS = 512  # at most in a round
A_ROUND = 4  # walks between two components, or detours from one, in a round
ROUNDS = 100  # at most
FAR = 2.0  # the norm of a detour's goal over that of its start


@dataclass(frozen=True)
class Join:
    """A path of low loss between two samples."""

    a: int
    b: int
    # line, walk or detour: what joins the ends of their walks toward the origin, straight, by a walk, by several
    how: str
    loss_max: float  # on the whole path from sample to sample


class Search:
    """The samples, points that certified paths lead to from them, and the joins and failures so far."""

    def __init__(self, level: LevelSet, samples: Tensor, allowed: float, generator: torch.Generator):
        """Walk every sample toward the origin: there the minimum bends least, and unlike points come near each other.

        Args:
            level: the minimum.
            samples: ``(samples, n)`` points on it.
            allowed: by how much the loss on a path may exceed the least.
            generator: of pairs and detours, on the CPU.
        """
        self.level, self.allowed, self.generator = level, allowed, generator
        ends = walk(level, samples, torch.zeros_like(samples), allowed)
        self.points = ends.at  # (nodes, n)
        self.origin = np.arange(len(samples))  # (nodes,), the sample a path leads from
        self.top = ends.loss_max.tolist()  # (nodes,), the largest loss on that path
        self.samples = len(samples)
        self.joins: list[Join] = []
        self.failed: list[tuple[int, int]] = []  # samples between whose components a walk did not arrive

    def group(self) -> np.ndarray:
        """The component of each sample, ``(samples,)``, numbered in the order of the samples."""
        ends = np.array([(join.a, join.b) for join in self.joins], dtype=np.int64).reshape(-1, 2).T
        graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(self.samples, self.samples))
        _, labels = connected_components(graph, directed=False)
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[inverse]

    def failures(self, group: np.ndarray) -> np.ndarray:
        """Walks that did not arrive between each two components, symmetric ``(count, count)``."""
        table = np.zeros((group.max() + 1,) * 2, dtype=np.int64)
        for a, b in self.failed:
            if group[a] != group[b]:
                table[group[a], group[b]] += 1
                table[group[b], group[a]] += 1
        return table

    def lines(self) -> None:
        """Try the straight lines between all nodes."""
        pairs = torch.combinations(torch.arange(len(self.points)), 2)
        for part in pairs.split(LINES):
            a, b = part.T.to(self.points.device)
            loss = self.level.chord_loss(self.points[a], self.points[b])
            low = loss <= self.level.least + self.allowed
            self._join(part[low.cpu()].tolist(), loss[low].tolist(), "line")

    def walks(self, pairs: list[tuple[int, int]]) -> None:
        """Walk from the first node of each pair to the second."""
        a, b = torch.tensor(pairs, device=self.points.device).T
        walked = walk(self.level, self.points[a], self.points[b], self.allowed)
        arrived = walked.arrived.tolist()
        there = [pair for pair, good in zip(pairs, arrived, strict=True) if good]
        self._join(there, walked.loss_max[walked.arrived].tolist(), "walk")
        self.failed += [
            (int(self.origin[i]), int(self.origin[j]))
            for (i, j), good in zip(pairs, arrived, strict=True) if not good
        ]  # fmt: skip

    def detours(self, nodes: list[int]) -> None:
        """Walk from some nodes toward random goals; where they end are new nodes."""
        start = self.points[torch.tensor(nodes, device=self.points.device)]
        goal = torch.randn(start.shape, generator=self.generator, dtype=start.dtype).to(start.device)
        goal = goal * (FAR * start.norm(dim=1) / goal.norm(dim=1))[:, None]
        ends = walk(self.level, start, goal, self.allowed)
        self.points = torch.cat([self.points, ends.at])
        self.origin = np.concatenate([self.origin, self.origin[nodes]])
        self.top += [max(self.top[i], loss) for i, loss in zip(nodes, ends.loss_max.tolist(), strict=True)]

    def open_pairs(self, attempts: int) -> list[tuple[int, int]]:
        """Nodes to walk between: a few for each two components between which fewer than ``attempts`` walks failed."""
        group = self.group()
        left = attempts - self.failures(group)
        a, b = np.nonzero(np.triu(left > 0, 1))
        times = np.minimum(left[a, b], A_ROUND)
        a, b = np.repeat(a, times), np.repeat(b, times)
        chosen = self._shuffled(len(a))[:WALKS]
        members = [np.flatnonzero(group[self.origin] == component) for component in range(group.max() + 1)]
        pairs = [(self._one_of(members[a[k]]), self._one_of(members[b[k]])) for k in chosen]
        # from either side
        return [pair if k % 2 else pair[::-1] for k, pair in enumerate(pairs)]

    def some_of_each(self) -> list[int]:
        """A few nodes of every component."""
        group = self.group()[self.origin]
        return [self._one_of(np.flatnonzero(group == c)) for c in range(group.max() + 1) for _ in range(A_ROUND)]

    def _join(self, pairs, losses, how: str) -> None:
        for (i, j), loss in zip(pairs, losses, strict=True):
            detour = max(i, j) >= self.samples
            a, b = int(self.origin[i]), int(self.origin[j])
            self.joins.append(Join(a, b, "detour" if detour else how, max(loss, self.top[i], self.top[j])))

    def _shuffled(self, count: int) -> list[int]:
        return torch.randperm(count, generator=self.generator).tolist()

    def _one_of(self, members: np.ndarray) -> int:
        return int(members[int(torch.randint(len(members), (), generator=self.generator))])


def search(level: LevelSet, samples: Tensor, allowed: float, attempts: int, generator: torch.Generator) -> Search:
    """Join samples until every two components that are left have resisted ``attempts`` walks.

    Args:
        level: the minimum.
        samples: ``(samples, n)`` points on it.
        allowed: by how much the loss on a path may exceed the least.
        attempts: walks to try between two components.
        generator: of pairs and detours, on the CPU.

    Returns:
        The finished search.
    """
    found = Search(level, samples, allowed, generator)
    found.lines()
    for round_ in range(ROUNDS):
        if round_:
            found.detours(found.some_of_each())
        pairs = found.open_pairs(attempts)
        if not pairs:
            break
        found.walks(pairs)
    return found
